"""A failed check that somebody answers for: an append-only journal, `overrides.csv`.

An override lets one check fail on one as-of day. It never changes data, and only checks whose suite
says `may_be_overridden: true` take it: bands that a true change can break, never a law.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from orchestration.journal import Journal, shown, time_problem, written_time

COLUMNS = ("check_id", "as_of", "overridden_by", "overridden_at", "reason")


class OverrideError(Exception):
    """The file or an override cannot be used; the message says what, where and what to do."""


@dataclass(frozen=True)
class Override:
    """One line of the file. overridden_at: UTC, knows its zone."""

    check_id: str
    as_of: date
    overridden_by: str
    overridden_at: datetime
    reason: str


def read_overrides(path: Path) -> tuple[Override, ...]:
    """Return every override in the order of the file; none when there is no file.

    Raises OverrideError as `Journal.read` does.
    """
    found: list[Override] = []

    def judge(line: Mapping[str, str]) -> str:
        problem = _problem(line)
        if not problem:
            found.append(_override(line))
        return problem

    _journal(path).read(judge)
    return tuple(found)


def append_override(path: Path, override: Override) -> None:
    """Add one line at the end of the file and wait until it is on disk.

    Raises OverrideError, and adds nothing, when a part is missing or the file cannot be used.
    """
    line = {
        "check_id": override.check_id,
        "as_of": override.as_of.isoformat(),
        "overridden_by": override.overridden_by.strip(),
        "overridden_at": written_time(override.overridden_at),
        "reason": override.reason.strip(),
    }
    _journal(path).append(line, _problem, lambda: _problem(line))


def overrides_in_force(path: Path, as_of: date) -> dict[str, Override]:
    """Return the last override of each check for the day, by check id. Raises OverrideError."""
    return {one.check_id: one for one in read_overrides(path) if one.as_of == as_of}


def _journal(path: Path) -> Journal:
    return Journal(path, COLUMNS, OverrideError, "Not overridden")


def _override(line: Mapping[str, str]) -> Override:
    return Override(
        check_id=line["check_id"],
        as_of=date.fromisoformat(line["as_of"]),
        overridden_by=line["overridden_by"],
        overridden_at=datetime.fromisoformat(line["overridden_at"]).astimezone(UTC),
        reason=line["reason"],
    )


def _problem(line: Mapping[str, str]) -> str:
    for column in ("check_id", "overridden_by", "reason"):
        if not line[column]:
            return f"{column} is missing; every override says which check, who and why"
    try:
        date.fromisoformat(line["as_of"])
    except ValueError:
        return f"as_of {shown(line['as_of'])} is no day; write it like 2026-06-30"
    return time_problem("overridden_at", line["overridden_at"])
