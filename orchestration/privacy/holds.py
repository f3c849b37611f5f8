"""Legal holds: whose records, or which feeds, nobody may let expire or erase.

Each is a decision of a person, a line in a journal, `holds.csv`: until a day, or until somebody
releases it. Of a person it keeps the customer id and the records that the person had, and nothing
else; what hangs on these is found anew whenever it is asked for, by the question that an erasure
asks (GDPR article 17(3)(e)).
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from orchestration.journal import Journal, shown, time_problem, written_time
from orchestration.landing.feeds import FEEDS
from orchestration.privacy.identifiers import VISITOR
from orchestration.privacy.people import Registry
from orchestration.privacy.tombstones import PrivacyError
from orchestration.settings import Settings

COLUMNS = (
    "hold_id",
    "action",
    "feed",
    "customer_id",
    "source_record_ids",
    "until",
    "decided_by",
    "decided_at",
    "reason",
)
# Of the records of one line; somebody with more of them has several lines.
_MOST_CHARACTERS = 800


class Action(StrEnum):
    """What a line of the journal says."""

    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True)
class Hold:
    """One decision. feed: empty for a hold of a person. until: last day, None when it is open.

    released_by, released_at: who ended it; None while nobody has.
    """

    hold_id: str
    feed: str
    customer_id: str
    records: tuple[str, ...]
    until: date | None
    decided_by: str
    decided_at: datetime
    reason: str
    released_by: str = ""
    released_at: datetime | None = None

    @property
    def what(self) -> str:
        """The feed or the customer."""
        return self.feed or self.customer_id

    def is_in_force(self, day: date) -> bool:
        """Whether it holds on a day; a day in the future does not end a hold before its time."""
        return self.released_at is None and (
            self.until is None or self.until >= min(day, datetime.now(UTC).date())
        )


def read_holds(settings: Settings) -> tuple[Hold, ...]:
    """Return every hold, the oldest first. Raises PrivacyError as `Journal.read` does."""
    found: dict[str, Hold] = {}

    def judge(line: Mapping[str, str]) -> str:
        problem = _problem(line)
        if problem:
            return problem
        known = found.get(line["hold_id"])
        if line["action"] == Action.RELEASE:
            # Its hold may be gone: an erasure takes out what names a person.
            if known is not None:
                found[line["hold_id"]] = replace(
                    known, released_by=line["decided_by"], released_at=_time(line)
                )
        elif known is not None:
            found[line["hold_id"]] = replace(known, records=known.records + _records(line))
        else:
            found[line["hold_id"]] = Hold(
                hold_id=line["hold_id"],
                feed=line["feed"],
                customer_id=line["customer_id"],
                records=_records(line),
                until=date.fromisoformat(line["until"]) if line["until"] else None,
                decided_by=line["decided_by"],
                decided_at=_time(line),
                reason=line["reason"],
            )
        return ""

    _journal(settings).read(judge)
    return tuple(found.values())


def holds_in_force(settings: Settings, day: date) -> tuple[Hold, ...]:
    """Return the holds that hold on a day. Raises PrivacyError."""
    return tuple(hold for hold in read_holds(settings) if hold.is_in_force(day))


def add_hold(
    settings: Settings,
    *,
    feed: str = "",
    customer_id: str = "",
    records: Iterable[str] = (),
    until: date | None,
    by: str,
    why: str,
) -> str:
    """Hold a feed or a person from now on; returns the id. Raises PrivacyError, and holds nothing.

    records: those that the person has now; visitors are left out, they follow their account.
    """
    hold_id = f"h-{secrets.token_hex(5)}"
    pages: list[list[str]] = [[]]
    for record in sorted({one for one in records if not one.startswith(VISITOR)}):
        if pages[-1] and len(" ".join([*pages[-1], record])) > _MOST_CHARACTERS:
            pages.append([])
        pages[-1].append(record)
    # Every line of it names the customer, so one alone holds the person as well.
    for page in pages:
        _append(
            settings,
            {
                "hold_id": hold_id,
                "action": Action.HOLD,
                "feed": feed,
                "customer_id": customer_id,
                "source_record_ids": " ".join(page),
                "until": until.isoformat() if until else "",
                "decided_by": by.strip(),
                "decided_at": written_time(datetime.now(UTC)),
                "reason": why.strip(),
            },
        )
    return hold_id


def release_hold(settings: Settings, hold_id: str, *, by: str, why: str) -> Hold:
    """End a hold; returns it. Raises PrivacyError when there is none or it has ended."""
    hold = next((one for one in read_holds(settings) if one.hold_id == hold_id), None)
    if hold is None:
        raise PrivacyError(
            f"There is no hold {shown(hold_id)}; `warehouse holds --all` lists what there is."
        )
    if hold.released_at is not None:
        raise PrivacyError(
            f"{hold_id} was released before, by {hold.released_by} on {hold.released_at:%Y-%m-%d}."
        )
    line = dict.fromkeys(COLUMNS, "") | {
        "hold_id": hold_id,
        "action": Action.RELEASE,
        "decided_by": by.strip(),
        "decided_at": written_time(datetime.now(UTC)),
        "reason": why.strip(),
    }
    _append(settings, line)
    return hold


def held_identifiers(registry: Registry, holds: Sequence[Hold]) -> frozenset[str]:
    """Return what names the people that are held, as tombstones would be made of it."""
    people = [hold for hold in holds if hold.customer_id]
    if not people:
        return frozenset()
    customers = {one for hold in people for one in registry.find(hold.customer_id)}
    customers |= {hold.customer_id for hold in people}
    records = [record for hold in people for record in hold.records]
    return frozenset(registry.people(customers, records).identifiers)


def refuse_held(
    registry: Registry, settings: Settings, customers: Iterable[str], records: Iterable[str]
) -> None:
    """Raise PrivacyError when one of the people to be erased is under a hold."""
    named, theirs = set(customers), set(records)
    for hold in holds_in_force(settings, settings.as_of):
        if hold.customer_id and (
            hold.customer_id in named
            or named.intersection(registry.find(hold.customer_id))
            or theirs.intersection(hold.records)
        ):
            until = f" until {hold.until}" if hold.until else ""
            raise PrivacyError(
                f"Hold {hold.hold_id} of {hold.decided_by} keeps this person's data for legal"
                f" claims{until} (GDPR article 17(3)(e)): {hold.reason.removesuffix('.')}. Nobody"
                " was erased; `warehouse hold --release` ends it."
            )


def _append(settings: Settings, line: dict[str, str]) -> None:
    _journal(settings).append(line, _problem, lambda: _problem(line))


def _journal(settings: Settings) -> Journal:
    return Journal(settings.holds, COLUMNS, PrivacyError, "Nothing was decided")


def _records(line: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(line["source_record_ids"].split(" ")) if line["source_record_ids"] else ()


def _time(line: Mapping[str, str]) -> datetime:
    return datetime.fromisoformat(line["decided_at"]).astimezone(UTC)


def _problem(line: Mapping[str, str]) -> str:
    if line["action"] not in list(Action):
        return f"action {shown(line['action'])} is unknown; expected {', '.join(Action)}"
    for column in ("hold_id", "decided_by", "reason"):
        if not line[column]:
            return f"{column} is missing; every line says which hold, who and why"
    if line["action"] == Action.HOLD:
        if bool(line["feed"]) == bool(line["customer_id"]):
            return "a hold is of a feed or of a customer_id, and of one of them"
        if line["feed"] and line["feed"] not in {feed.name for feed in FEEDS}:
            return f"feed {shown(line['feed'])} is no feed; docs/sources.md lists them"
        if line["until"]:
            try:
                date.fromisoformat(line["until"])
            except ValueError:
                return f"until {shown(line['until'])} is no day; write it like 2027-06-30"
    return time_problem("decided_at", line["decided_at"])
