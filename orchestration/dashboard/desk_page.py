"""The page "Steward's desk": pairs that wait for a person, one by one, and what was said."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import streamlit as st

from orchestration.dashboard.access import AccessError, RefusedError, Visitor
from orchestration.dashboard.desk import (
    MOST_PAIRS,
    Pair,
    Queue,
    decide,
    decided,
    effect,
    find_pair,
    is_linked,
    queue,
    undo,
    waiting,
)
from orchestration.dashboard.drawing import chance, in_colour, waterfall
from orchestration.dashboard.people import Row, read
from orchestration.dashboard.plain import escaped, table
from orchestration.dashboard.reading import Opened, open_release
from orchestration.dashboard.signing_in import visitor_now
from orchestration.identity.decisions import Action, Decision, DecisionError
from orchestration.identity.explain import Link, Outcome
from orchestration.identity.showing import LABELS, NOTES
from orchestration.privacy.access_log import note
from orchestration.privacy.tombstones import PrivacyError
from orchestration.release import Release
from orchestration.report.words import NOTHING, day, label
from orchestration.settings import PROJECT_ROOT, Settings

TITLE, PATH = "Desk", "desk"
_DECIDED = "decided"
_QUEUES = {
    Queue.REVIEW: "To review",
    Queue.REFUSED: "Refused merges",
    Queue.UNSURE: "Unsure",
}
# What stewards say most, each under a key of its own.
_REASONS = (
    "Moved or changed a contact",
    "A slip in one record",
    "Family or household",
    "Two people of one name",
    "Asked the customer",
)
_VERDICTS = {
    Action.SAME: ("Same person", "s"),
    Action.NOT_SAME: ("Not the same", "n"),
    Action.UNSURE: ("Unsure", "u"),
}
_SAID = {
    Action.SAME: "are one person",
    Action.NOT_SAME: "are not the same person",
    Action.UNSURE: "may be one person",
}
_FIELDS = (
    "first_name",
    "last_name",
    "birth_date",
    "gender",
    "email",
    "phone",
    "street",
    "postcode",
    "city",
    "country",
    "company",
)
_LONGEST_PREVIEW_SECONDS = 1800


def show(release: Release, visitor: Visitor) -> None:
    """Let a steward decide pair by pair; the decision store keeps what is said."""
    st.title("Steward's desk")
    settings = Settings()
    try:
        decisions = decided(settings)
        with open_release(settings, release) as opened:
            counts = waiting(opened, decisions)
            names = {kind: f"{_QUEUES[kind]} · {count:,}" for kind, count in counts.items()}
            chosen = st.segmented_control(
                "Queue",
                [*Queue, _DECIDED],
                default=Queue.REVIEW,
                format_func=lambda kind: names.get(kind, f"Decided · {len(decisions):,}"),
                key="queue",
                label_visibility="collapsed",
                on_change=partial(st.session_state.update, place=0),
            )
            last_word()
            if chosen == _DECIDED:
                _said(decisions)
            else:
                kind = Queue(chosen or Queue.REVIEW)
                _pair_by_pair(opened, kind, counts[kind], decisions, visitor)
    except (DecisionError, PrivacyError) as error:
        st.error(escaped(str(error)))


def _pair_by_pair(
    opened: Opened, kind: Queue, count: int, decisions: Sequence[Decision], visitor: Visitor
) -> None:
    links = queue(opened, kind, decisions)
    if not links:
        st.info("Nothing waits here.")
        return
    place = min(st.session_state.get("place", 0), len(links) - 1)
    pair = find_pair(opened, links[place].pair, decisions)
    if pair is None:
        raise LookupError(f"{links[place].pair} was there and is not")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Back", shortcut="k", disabled=place == 0, on_click=_go, args=(place - 1,))
        st.button(
            "Next", shortcut="j", disabled=place + 1 >= len(links), on_click=_go, args=(place + 1,)
        )
        more = f", the likeliest {MOST_PAIRS} of {count:,}" if count > len(links) else ""
        st.text(f"{place + 1} of {len(links)}{more}")
    _look(pair, visitor)
    with st.container(border=True):
        st.header(escaped(pair.title))
        st.text(_why_here(pair.link))
        show_records(*pair.both)
    with st.container(border=True):
        st.header("Decide")
        verdict(opened, pair, decisions)
    with st.container(border=True):
        st.header("What the evidence says")
        show_evidence(pair.link)


def _go(place: int) -> None:
    st.session_state["place"] = place


def _look(pair: Pair, visitor: Visitor) -> None:
    """Note the look in the access log, once. Raises PrivacyError; then nothing may be shown."""
    if st.session_state.get("looked") != pair.link.pair:
        note(
            Settings(),
            verb="dashboard desk",
            by=visitor.name,
            why="",
            names=[*pair.link.pair, pair.link.customer_id, pair.link.other_customer_id],
            outcome="shown",
        )
        st.session_state["looked"] = pair.link.pair


def _why_here(link: Link) -> str:
    likely = f"{chance(link)} likely to be one person by the evidence"
    match link.outcome:
        case Outcome.REFUSED:
            return f"A match, but refused: {link.refused_reason}. {likely}."
        case Outcome.REVIEW:
            return f"Below the threshold of a match: {likely}."
        case _:
            return f"{label(link.outcome).capitalize()}: {likely}."


# --- what is shown of two records ----------------------------------------------------------------


def show_records(one: Row, other: Row) -> None:
    """Show two records side by side, with what differs marked."""
    rows = [_beside("record", one["source_record_id"], other["source_record_id"], "")]
    for column in _FIELDS:
        left, right = _shown(one, column), _shown(other, column)
        if left or right:
            plain, as_plain = (read(row, column).casefold() for row in (one, other))
            same = "=" if plain == as_plain else "≠" if left and right else ""
            rows.append(_beside(LABELS.get(column, label(column)), left, right, same))
    for column in ("first_seen_at", "last_seen_at"):
        left, right = (day(row[column]) if row[column] else NOTHING for row in (one, other))
        rows.append(_beside(label(column.removesuffix("_at")), left, right, ""))
    rows.append(_beside("customer", one["customer_id"], other["customer_id"], ""))
    table(rows)


def _beside(name: str, left: str, right: str, same: str) -> Row:
    return {"field": name, "one record": left, "": same, "the other": right}


def _shown(row: Row, column: str) -> str:
    value = read(row, column)
    notes: list[str] = []
    if value and row[column] is None:
        notes.append("read from the e-mail")
    if sharing := row.get(f"{column}_sharing"):
        notes.append(NOTES.get(sharing) or label(sharing))
    if column in (row["rectified_fields"] or "").split(", "):
        notes.append("rectified")
    return f"{value} ({', '.join(notes)})" if value and notes else value


def show_evidence(link: Link) -> None:
    """Show how the bits of a link add up: a waterfall, and the same as a table."""
    st.vega_lite_chart(
        spec=in_colour(waterfall(link)), theme=None, width="stretch", key=f"bits-{link.pair}"
    )
    rows: list[Row] = [
        {"part": "prior", "how they agree": f"they share {link.shared_contacts}"}
        | {"bits": link.prior_bits}
    ]
    rows += [
        {"part": LABELS.get(one.comparison, label(one.comparison))}
        | {"how they agree": one.level, "bits": one.bits}
        for one in link.evidence
    ]
    rows.append({"part": LABELS["frequency"], "how they agree": "", "bits": link.frequency_bits})
    rows.append(
        {"part": "weight", "how they agree": f"{chance(link)} one person"} | {"bits": link.weight}
    )
    with st.expander("As a table"):
        table(rows)


# --- deciding ------------------------------------------------------------------------------------


def verdict(opened: Opened, pair: Pair, decisions: Sequence[Decision]) -> None:
    """Let a steward say what two records are, and show what each word would do."""
    if pair.decision:
        said = pair.decision
        st.text(
            f"{said.decided_by} said on {day(said.decided_at)} that they {_SAID[said.action]}:"
            f" {said.reason}. Another word takes its place with the next run."
        )
    key = f"why-{'-'.join(pair.link.pair)}"
    with st.container(horizontal=True):
        for number, reason in enumerate(_REASONS, start=1):
            st.button(
                reason,
                key=f"{key}-{number}",
                shortcut=str(number),
                type="tertiary",
                on_click=partial(st.session_state.update, {key: reason}),
            )
    st.text_input(
        "Why",
        key=key,
        placeholder="What speaks for it; the decision keeps it",
        max_chars=500,
    )
    for column, action in zip(st.columns(len(_VERDICTS)), _VERDICTS, strict=True):
        name, shortcut = _VERDICTS[action]
        would = effect(opened, pair, action, decisions)
        with column:
            st.button(
                name,
                key=f"{key}-{action}",
                shortcut=shortcut,
                width="stretch",
                type="primary" if action is not Action.UNSURE else "secondary",
                disabled=not would.is_possible,
                on_click=_decide,
                args=(pair, action, key),
            )
            st.text(would.told)
            if action is Action.NOT_SAME and is_linked(pair.link):
                for group in would.groups:
                    st.text(f"• {', '.join(group[:8])}{' ...' if len(group) > 8 else ''}")


def _decide(pair: Pair, action: Action, key: str) -> None:
    why = str(st.session_state.get(key, "")).strip()
    if not why:
        st.session_state["problem"] = "Not decided: say why first, in a few words."
        return
    with _complaining():
        by = _steward()
        st.session_state["said"] = decide(Settings(), pair, action, by=by, why=why)


@contextmanager
def _complaining() -> Iterator[None]:
    """Let the page say why something was not done."""
    try:
        yield
    except (DecisionError, RefusedError, AccessError, PrivacyError) as error:
        st.session_state["problem"] = str(error)


def _steward() -> str:
    """Who decides: asked at this moment, for a click comes before the page is asked who is there.

    Raises RefusedError for whom is no steward (any more).
    """
    visitor = visitor_now(Settings())
    if visitor is None or not visitor.decides:
        raise RefusedError("Not decided: you are no steward here, or no longer signed in.")
    return visitor.name


def last_word() -> None:
    """What has just been said, or why it was not, with a way back."""
    if problem := st.session_state.pop("problem", ""):
        st.error(escaped(problem))
    said: Decision | None = st.session_state.get("said")
    if said is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(
            f"Decided: {' and '.join(said.pair)} {_SAID[said.action]}. It holds from the next run"
            " on."
        )
        st.button("Undo", shortcut="z", on_click=_undo, args=(said,))


def _undo(said: Decision) -> None:
    with _complaining():
        undo(Settings(), said, by=_steward())
        if st.session_state.get("said") == said:
            del st.session_state["said"]


def _said(decisions: Sequence[Decision]) -> None:
    """The decisions in force, and what the next run would make of them."""
    if not decisions:
        st.info("Nothing has been decided yet.")
        return
    with st.container(border=True):
        st.header("What the next run would do")
        st.caption(
            "Identity is made anew in a copy, with all that has been decided: it takes about as"
            " long as in a run."
        )
        if st.button("Work it out"):
            with st.spinner("Working it out in a copy ..."):
                st.code(_preview(), language=None, wrap_lines=True)
    with st.container(border=True):
        st.header("Decisions in force")
        for decision in decisions[:MOST_PAIRS]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(
                    f"{day(decision.decided_at)} · {' and '.join(decision.pair)}"
                    f" {_SAID[decision.action]}: {decision.reason} ({decision.decided_by})"
                )
                st.button(
                    "Undo",
                    key=f"undo-{decision.decision_id}",
                    on_click=_undo,
                    args=(decision,),
                )


def _preview() -> str:
    """What `warehouse preview` prints; a process of its own, for dbt keeps what it opens."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", "preview"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=_LONGEST_PREVIEW_SECONDS,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip()
