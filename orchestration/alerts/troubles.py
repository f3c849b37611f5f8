"""What is worth an alert, judged from the ledger of runs alone, and how a message tells of it.

A trouble is a state and not an event: it stands until a run, or the clock, shows that it is over.
So whoever asks, a run that ends, cron or Dagster's sensor, finds the same.

A message says nothing that came in with data. The reason of a run may quote a file's name or a
cell, where no pattern finds every name of a person; so of a reason only the kind is told, the class
of an exception, and names of feeds, all from lists that are ours.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestration.landing.feeds import FEEDS
from orchestration.operations.freshness import RELEASE_WINDOW
from orchestration.operations.ledger import GOOD_OUTCOMES, Outcome, RunRecord

# The deadline ends a run that does not listen one minute after its time.
_HANGS_AFTER = timedelta(minutes=5)
_MOST_LISTED = 10
_LINE = 300
_TITLE = 140
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]{0,80}(?:Error|Exception|Interrupt|Exit))(?=:|$)")
# What stands in the sentences of `orchestration.faults` and others, and what is told instead.
_CAUSES = (
    ("timeout:", "it took longer than WAREHOUSE_RUN_TIMEOUT allows"),
    ("interrupted", "it was interrupted"),
    ("The disk that holds", "the disk is full or broken"),
    ("The memory did not suffice", "the memory did not suffice"),
    ("cannot be written:", "the home cannot be written"),
    ("Another program holds a file", "another program holds a database"),
    ("and its key is not here", "a key of encryption is missing"),
    ("is damaged", "a database or a release is damaged"),
    ("was refused", "a file of the landing was refused"),
)


class Kind(StrEnum):
    """What sort of trouble it is; messages and machines name it so."""

    RUN_FAILED = "run_failed"
    GATE_FAILED = "gate_failed"
    FRESHNESS_LATE = "freshness_late"
    IDENTITY_CHURN = "identity_churn"
    POSTGRES_BEHIND = "postgres_behind"
    EXPORTS_BEHIND = "exports_behind"
    ERASURE_UNFINISHED = "erasure_unfinished"


@dataclass(frozen=True)
class Trouble:
    """Something that needs a person. subject: the feed, gate or other thing; the key with its kind.

    version: told anew when it changes, though the trouble is the same. facts: sentences. remedy:
    what to do, one sentence.
    """

    kind: Kind
    subject: str
    version: str
    title: str
    facts: tuple[str, ...]
    remedy: str

    @property
    def key(self) -> str:
        """What tells it from others, in every run."""
        return f"{self.kind} {self.subject}".strip()


def standing(
    records: Sequence[RunRecord], *, is_running: bool, now: datetime, run_timeout: timedelta
) -> tuple[Trouble, ...]:
    """Return what is wrong now, the worst first.

    records: the ledger, newest first. is_running: whether a process holds the installation; if not,
    a record that says it runs is one of a run that was killed. now: UTC.
    """
    under_way = records[0] if is_running and records else None
    if under_way is not None and under_way.outcome is not Outcome.RUNNING:
        under_way = None  # it has not written its record yet
    over = [record for record in records if record is not under_way]
    found: list[Trouble] = []
    if under_way is not None:
        found += _hanging(under_way, now, run_timeout)
    if over:
        found += _failed(over[0])
        found += _left_undone(over[0])
    found += _release_late(records, now)
    late = next((record.late for record in over if record.late is not None), {})
    found += [_feed_late(feed, sentence) for feed, sentence in late.items()]
    moved = next((record for record in over if record.moved is not None), None)
    if moved is not None and moved.moved:
        found.append(_churn(moved, moved.moved))
    return tuple(found)


def _hanging(record: RunRecord, now: datetime, run_timeout: timedelta) -> Iterator[Trouble]:
    if record.began_at is None or now - record.began_at <= run_timeout + _HANGS_AFTER:
        return
    yield Trouble(
        kind=Kind.RUN_FAILED,
        subject="",
        version="hanging",
        title=f"A run does not end, in {record.stage_under_way or 'no stage'}",
        facts=(
            f"Run {record.run_id}, process {record.process}, has been at work since "
            f"{_moment(record.began_at)}, longer than WAREHOUSE_RUN_TIMEOUT allows.",
        ),
        remedy="End that process; the next run takes it from there.",
    )


def _failed(record: RunRecord) -> Iterator[Trouble]:
    """A run that a gate stopped is told as the gate's trouble, and not as one of its own too."""
    if record.outcome in GOOD_OUTCOMES:
        return
    failed = [gate for gate in record.gates if not gate["passed"]]
    yield from (_gate_failed(record, gate) for gate in failed)
    if failed:
        return
    stage = record.stage_under_way or (record.stages[-1].name if record.stages else "no stage")
    outcome = Outcome.KILLED if record.outcome is Outcome.RUNNING else record.outcome
    what = {Outcome.CRASHED: "crashed", Outcome.KILLED: "was killed"}.get(outcome, "was stopped")
    cause = _cause(outcome, record.reason)
    yield Trouble(
        kind=Kind.RUN_FAILED,
        subject="",
        version=f"{outcome} in {stage}: {cause}",
        title=f"A run {what} in {stage}",
        facts=(
            f"Run {record.run_id} as of {record.as_of} {what} in {stage}: {cause}.",
            *_feeds_named_in(record.reason),
            "It released nothing.",
        ),
        remedy=(
            "`warehouse run`: it takes up from there."
            if outcome is Outcome.KILLED
            else "`warehouse status` shows the reason, which is not sent, for it may quote data."
        ),
    )


def _cause(outcome: Outcome, reason: str) -> str:
    if outcome is Outcome.KILLED:
        return "its process ended without a word"
    if outcome is Outcome.CRASHED:
        exception = _EXCEPTION.match(reason)
        return exception[1] if exception else "an error that nobody foresaw"
    return next((said for sign, said in _CAUSES if sign in reason), "it found something wrong")


def _feeds_named_in(text: str) -> list[str]:
    named = [feed.name for feed in FEEDS if feed.name in text]
    return [f"Its reason names {_listed(named)}."] if named else []


def _gate_failed(record: RunRecord, gate: Mapping[str, Any]) -> Trouble:
    """Why a rule is there is said by the suite, what broke it by the data: only the former goes."""
    layer, failing = gate["layer"], gate.get("failing", {})
    lines = [
        f"{check}: {_counted(found['rows'])}. {found['because']}"
        for check, found in failing.items()
    ]
    more = len(lines) - _MOST_LISTED
    first = next(iter(failing), "<check id>")
    return Trouble(
        kind=Kind.GATE_FAILED,
        subject=layer,
        version=", ".join(sorted(failing)),
        title=f"The {layer} gate stopped a run",
        facts=(
            f"Run {record.run_id} as of {record.as_of} released nothing. "
            f"Critical failures: {len(lines)}.",
            *lines[:_MOST_LISTED],
            *([f"and {more:,} more"] if more > 0 else []),
            *_feeds_named_in(" ".join(gate.get("failures", []))),
        ),
        remedy=f"`make quality` says what is wrong, `make quality CHECK={first}` in which rows.",
    )


def _left_undone(record: RunRecord) -> Iterator[Trouble]:
    if record.unfinished:
        yield Trouble(
            kind=Kind.ERASURE_UNFINISHED,
            subject="",
            version="",
            title="An erasure is not complete",
            facts=(f"Run {record.run_id} could not complete an erasure that is pending.",),
            remedy="`warehouse doctor` says why, `warehouse forget --resume` completes it.",
        )
    if record.behind:
        yield Trouble(
            kind=Kind.POSTGRES_BEHIND,
            subject="",
            version="",
            title="Postgres does not show the release",
            facts=(f"Run {record.run_id} could not send it; the files show it.",),
            remedy="`warehouse doctor` says why, `warehouse send` sends it.",
        )
    if record.exports_behind:
        yield Trouble(
            kind=Kind.EXPORTS_BEHIND,
            subject="",
            version="",
            title="An export does not show the release",
            facts=(
                f"Run {record.run_id} could not export every audience: who withdrew consent since"
                " the last export may still stand in a file.",
            ),
            remedy="`warehouse status` says why, `warehouse export` exports them.",
        )


def _release_late(records: Sequence[RunRecord], now: datetime) -> Iterator[Trouble]:
    """By the last run that released or found it up to date; a new home has none to miss."""
    good = (Outcome.RELEASED, Outcome.UNCHANGED)
    released = [record.ended_at for record in records if record.outcome in good and record.ended_at]
    began = [record.began_at for record in records if record.began_at]
    since = max(released, default=None) or min(began, default=None)
    if since is None or now - since <= RELEASE_WINDOW:
        return
    yield Trouble(
        kind=Kind.FRESHNESS_LATE,
        subject="release",
        version="",
        title="The release is late",
        facts=(
            f"No run has released, or found the release up to date, since {_moment(since)}; it is "
            f"late after {RELEASE_WINDOW.total_seconds() / 3600:.0f} hours.",
        ),
        remedy="`warehouse status` shows the last runs; look at what should start them.",
    )


def _feed_late(feed: str, sentence: str) -> Trouble:
    return Trouble(
        kind=Kind.FRESHNESS_LATE,
        subject=feed,
        version="",
        title=f"{feed} is late",
        facts=(f"{sentence}.",),
        remedy="Ask whoever delivers it, and see whether its files come under another name.",
    )


def _churn(record: RunRecord, moved: Mapping[str, str]) -> Trouble:
    has_passed = all(gate["passed"] for gate in record.gates if gate["layer"] == "identity")
    return Trouble(
        kind=Kind.IDENTITY_CHURN,
        subject="",
        version=", ".join(sorted(moved)),
        title="Customers moved more than usual",
        facts=(
            f"Run {record.run_id} as of {record.as_of}, which "
            f"{'the identity gate let pass' if has_passed else 'the identity gate stopped'}:",
            *(f"{sentence}." for sentence in list(moved.values())[:_MOST_LISTED]),
        ),
        remedy="`make quality CHECK=identity.int_identity_judged/within_bands` and `warehouse "
        "explain` of a record show why; the bands are seeds/reference/release_bands.csv.",
    )


# --- messages -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """What is sent. subject: one line. sections: heading, lines below it; all of bounded length."""

    subject: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def text(self) -> str:
        """All of it as plain text."""
        return "\n\n".join("\n".join([heading, *lines]) for heading, lines in self.sections)


def compose(
    place: str,
    *,
    new: Sequence[Trouble] = (),
    again: Sequence[tuple[Trouble, datetime]] = (),
    over: Sequence[tuple[str, datetime]] = (),
) -> Message:
    """Return one message about troubles that are new, that still stand, and that are over.

    place: which installation. again, over: with the time since when; over: titles. At least one is
    given.
    """
    sections = [_section(trouble.title, trouble) for trouble in new]
    sections += [
        _section(f"Still: {trouble.title}, since {_moment(since)}", trouble)
        for trouble, since in again
    ]
    sections += [
        (_bounded(f"Recovered: {title}", _TITLE), (f"It stood since {_moment(since)}.",))
        for title, since in over
    ]
    more = len(sections) - _MOST_LISTED
    if more > 0:
        listed = "`warehouse alerts` lists all of them."
        sections = [*sections[:_MOST_LISTED], (f"and {more:,} more", (listed,))]
    others = len(new) + len(again or {}) + len(over or {}) - 1
    also = f" (and {others:,} more)" if others > 0 else ""
    return Message(
        _bounded(f"[warehouse {place}] {sections[0][0]}", _TITLE) + also, tuple(sections)
    )


def _section(heading: str, trouble: Trouble) -> tuple[str, tuple[str, ...]]:
    lines = (*trouble.facts, f"To do: {trouble.remedy}", f"Kind: {trouble.key}")
    return _bounded(heading, _TITLE), tuple(_bounded(line, _LINE) for line in lines)


def _bounded(text: str, limit: int) -> str:
    """One line of printable characters: no text begins a header or a block of its own."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(printable.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _counted(rows: int | None) -> str:
    """Failing rows of a check; None where it judges a whole table."""
    if rows is None:
        return "not as expected"
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join([*names[:_MOST_LISTED], *([f"{more:,} more"] if more > 0 else [])])


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
