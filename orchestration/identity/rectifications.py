"""Values that stewards corrected in what a source holds of a person: an append-only CSV file.

Article 16 of the GDPR: a person may have wrong data corrected, and the source may go on delivering
it. So the correction is a line of its own, on one field of one record, and holds in every later
run. A line is never changed: a later one on the same field of the same record takes its place, a
`revoke` takes it away. The order is that of the file, for clocks can be wrong.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from orchestration.faults import write_whole
from orchestration.identity.ledger import Kind, Ledger, in_force, line_of, read_time
from orchestration.journal import Journal, Line, shown, written_time

COLUMNS = (
    "rectification_id",
    "action",
    "source_record_id",
    "field",
    "value",
    "source_value",
    "decided_by",
    "decided_at",
    "reason",
    "revokes",
)

# What identity reads of a person, as in macro rectifiable_fields.
FIELDS = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "birth_date",
    "gender",
    "national_id",
    "street",
    "city",
    "postcode",
    "country",
    "company",
)

PREFIX = "r-"
_RECORD = re.compile(r"[a-z][a-z0-9_]*:.+")


class RectificationError(Exception):
    """The file or a rectification cannot be used; the message says what, where, what to do."""


class Action(StrEnum):
    """What a line of the file says."""

    SET = "set"
    CLEAR = "clear"
    REVOKE = "revoke"


@dataclass(frozen=True)
class Rectification:
    """One line of the file.

    value: empty unless the action is `set`. source_value: what the source said then, as typed,
    empty for nothing. decided_at: UTC, knows its zone. revokes: the id that a revoke takes away,
    empty otherwise; a revoke names no record.
    """

    rectification_id: str
    action: Action
    source_record_id: str
    field: str
    value: str
    source_value: str
    decided_by: str
    decided_at: datetime
    reason: str
    revokes: str

    @property
    def id(self) -> str:
        """The id of the line."""
        return self.rectification_id

    @property
    def target(self) -> tuple[str, str]:
        """The record and the field."""
        return self.source_record_id, self.field


def new_rectification(
    action: Action,
    *,
    source_record_id: str = "",
    field: str = "",
    value: str = "",
    source_value: str = "",
    revokes: str = "",
    decided_by: str,
    reason: str,
    decided_at: datetime,
) -> Rectification:
    """Return a rectification with its id, which is a digest of everything in it.

    decided_at: knows its zone. Raises RectificationError when a part is missing or does not fit.
    """
    values = {
        "action": action.value,
        "source_record_id": source_record_id,
        "field": field,
        "value": value.strip(),
        "source_value": source_value.strip(),
        "decided_by": decided_by.strip(),
        "decided_at": written_time(decided_at),
        "reason": reason.strip(),
        "revokes": revokes.strip(),
    }
    values = _KIND.with_id(values)
    if problem := _journal(Path()).problem(values) or _problem(values):
        raise RectificationError(f"Not rectified: {problem}.")
    return _rectification(values)


def read_rectifications(path: Path) -> tuple[Rectification, ...]:
    """Return every line of the file in its order; none when there is no file.

    Raises RectificationError as `Journal.read` does, and for a line that does not fit to those
    before.
    """
    ledger = Ledger(_KIND)
    _journal(path).read(ledger.take)
    return tuple(ledger.entries)


def append_rectification(path: Path, rectification: Rectification) -> None:
    """Add one line at the end of the file and wait until it is on disk.

    Nothing that is in the file is touched; two processes take turns. Raises RectificationError,
    and adds nothing, when the file cannot be used or the line revokes what cannot be revoked.
    """
    ledger = Ledger(_KIND)
    line = line_of(rectification, COLUMNS)
    _journal(path).append(line, ledger.take, lambda: ledger.add(rectification))


def rectifications_in_force(lines: Iterable[Rectification]) -> tuple[Rectification, ...]:
    """Return the line that holds for each field of a record, in the order of the file.

    A revoke takes away exactly one line, so an earlier one on the same field holds again.
    """
    return in_force(lines)


def drop_records(path: Path, records: Collection[str]) -> tuple[str, ...]:
    """Take every line about these records out of the file, and what revoked one of them.

    For who is forgotten and what has expired; nothing else takes a line out. Returns the ids of
    the lines that went. Raises RectificationError when the file cannot be used.
    """
    lines = read_rectifications(path)
    theirs = {line.rectification_id for line in lines if line.source_record_id in records}
    gone = theirs | {line.rectification_id for line in lines if line.revokes in theirs}
    if gone:
        # By id: each line begins with its own, and a line never goes on in the next.
        head, *texts = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
        kept = [text for text in texts if text.partition(",")[0].strip(' "') not in gone]
        write_whole(path, "".join([head, *kept]))
    return tuple(sorted(gone))


# --- reading -----------------------------------------------------------------------------------


def _journal(path: Path) -> Journal:
    # A record id is compared as it is; around the other values a blank means nothing.
    return Journal(
        path,
        COLUMNS,
        RectificationError,
        "Not rectified",
        verbatim=frozenset({"source_record_id"}),
    )


# --- judging -----------------------------------------------------------------------------------


def field_problem(field: str) -> str:
    """Return why a text is no field of a person, or nothing."""
    return "" if field in FIELDS else f"field {shown(field)} is unknown; one of {', '.join(FIELDS)}"


def date_problem(value: str) -> str:
    """Return why a text is no birth date, or nothing."""
    try:
        if date.fromisoformat(value).isoformat() == value:
            return ""
    except ValueError:
        pass
    return f"birth_date {shown(value)} is no date; write it like 1980-12-31"


def _problem(values: Line) -> str:
    """Return what is wrong with a line by itself, or nothing."""
    action = values["action"]
    if action not in list(Action):
        return f"action {shown(action)} is unknown; expected {', '.join(Action)}"
    return _KIND.author_problem(values) or (
        _KIND.revoke_problem(
            values,
            ("source_record_id", "field", "value", "source_value"),
            "no record, field or value; leave them empty",
        )
        if action == Action.REVOKE
        else _value_problem(values)
    )


def _value_problem(values: Line) -> str:
    action, record, value = values["action"], values["source_record_id"], values["value"]
    if not _RECORD.fullmatch(record):
        return (
            f"source_record_id {shown(record)} is no record; expected <source>:<id>,"
            " for example crm:C1"
        )
    if problem := field_problem(values["field"]):
        return problem
    if values["revokes"]:
        return f"only a revoke names a rectification in revokes, this one says {action}"
    if action == Action.CLEAR:
        return "a clear has no value; leave it empty" if value else ""
    if not value:
        return "value is missing; `clear` takes a value away"
    # As date: the run could not go on with another text.
    return date_problem(value) if values["field"] == "birth_date" else ""


def _rectification(values: Line) -> Rectification:
    return Rectification(
        rectification_id=values["rectification_id"],
        action=Action(values["action"]),
        source_record_id=values["source_record_id"],
        field=values["field"],
        value=values["value"],
        source_value=values["source_value"],
        decided_by=values["decided_by"],
        decided_at=read_time(values),
        reason=values["reason"],
        revokes=values["revokes"],
    )


_KIND = Kind(
    noun="rectification",
    prefix=PREFIX,
    listed_by="rectifications",
    anew="rectify",
    problem=_problem,
    entry=_rectification,
)
