"""Lines of a journal that a later one takes the place of, or takes away: what stewards say.

A line speaks of something (a pair of records, a field of a record) and holds until a later one
speaks of the same; a revoke takes away exactly one line, so an earlier one holds again. The order
is that of the file, for clocks can be wrong.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from orchestration.journal import Line, shown, time_problem, written_time


class Entry(Protocol):
    """A line as its owner keeps it. target: what it speaks of; of no meaning for a revoke."""

    @property
    def id(self) -> str:
        """The id of the line."""

    @property
    def target(self) -> Hashable:
        """What it speaks of."""

    @property
    def revokes(self) -> str:
        """The id that a revoke takes away, else empty."""


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True)
class Kind(Generic[E]):
    """What the lines of one journal are called, and how one is read.

    noun: `decision`; its column of ids is `<noun>_id` and begins with `prefix`. listed_by: the verb
    that lists them. anew: how one does it again. problem: what is wrong with a line by itself, or
    nothing. entry: makes one of a line without a problem.
    """

    noun: str
    prefix: str
    listed_by: str
    anew: str
    problem: Callable[[Line], str]
    entry: Callable[[Line], E]

    @property
    def id_column(self) -> str:
        """Name of the column of ids."""
        return f"{self.noun}_id"

    def with_id(self, values: Line) -> Line:
        """Return a new line with its id, which is a digest of everything in it."""
        text = "\n".join(values.values()).encode("utf-8", "surrogatepass")
        return values | {self.id_column: f"{self.prefix}{hashlib.sha256(text).hexdigest()[:10]}"}

    def author_problem(self, line: Line) -> str:
        """Return what is wrong with id, author, reason and time, or nothing."""
        for column in (self.id_column, "decided_by", "reason"):
            if not line[column]:
                return f"{column} is missing; every {self.noun} says who decided and why"
        return time_problem("decided_at", line["decided_at"])

    def revoke_problem(self, line: Line, speaks_of: Iterable[str], nothing_else: str) -> str:
        """Return what is wrong with a revoke by itself, or nothing.

        speaks_of: columns that it leaves empty. nothing_else: the end of that sentence.
        """
        if not line["revokes"]:
            return f"revokes is missing; a revoke names the {self.id_column} that it takes away"
        if any(line[column] for column in speaks_of):
            return f"a revoke names a {self.noun} in revokes, and {nothing_else}"
        return ""


class Ledger(Generic[E]):
    """Lines in the order of the file, each checked against those before it."""

    def __init__(self, kind: Kind[E]) -> None:
        self.entries: list[E] = []
        self._kind = kind
        self._known: dict[str, E] = {}
        self._revoked_by: dict[str, str] = {}

    def take(self, line: Line) -> str:
        """Add what a line says, or return what is wrong with it."""
        return self._kind.problem(line) or self.add(self._kind.entry(line))

    def add(self, entry: E) -> str:
        """Return why an entry does not fit to those before it, or add it."""
        if entry.id in self._known:
            return f"{self._kind.id_column} {shown(entry.id)} is taken; give each its own"
        if entry.revokes:
            if problem := self._revoke_misfit(entry.revokes):
                return problem
            self._revoked_by[entry.revokes] = entry.id
        self._known[entry.id] = entry
        self.entries.append(entry)
        return ""

    def _revoke_misfit(self, id_: str) -> str:
        kind, target = self._kind, self._known.get(id_)
        if target is None:
            return (
                f"there is no {kind.noun} {shown(id_)} to revoke; "
                f"`{kind.listed_by} --all` lists what there is"
            )
        if target.revokes:
            return f"{id_} is a revoke itself and stays; {kind.anew} anew instead"
        if id_ in self._revoked_by:
            return f"{id_} was revoked before, by {self._revoked_by[id_]}"
        return ""


def in_force(entries: Iterable[E]) -> tuple[E, ...]:
    """Return the entry that holds for each target, in the order of the file."""
    entries = tuple(entries)
    revoked = {entry.revokes for entry in entries}
    last = {
        entry.target: entry for entry in entries if not entry.revokes and entry.id not in revoked
    }
    return tuple(entry for entry in entries if last.get(entry.target) is entry)


def states(entries: Iterable[E]) -> dict[str, str]:
    """What became of each entry, in words, by its id; nothing of a revoke."""
    entries = tuple(entries)
    holding = {entry.target: entry for entry in in_force(entries)}
    revoked_by = {entry.revokes: entry.id for entry in entries if entry.revokes}
    told: dict[str, str] = {}
    for entry in entries:
        holder = holding.get(entry.target)
        if entry.revokes:
            told[entry.id] = ""
        elif by := revoked_by.get(entry.id):
            told[entry.id] = f"revoked by {by}"
        elif holder is entry:
            told[entry.id] = "in force"
        elif holder:
            told[entry.id] = f"replaced by {holder.id}"
    return told


def line_of(entry: Any, columns: Iterable[str]) -> Line:
    """Return an entry as the journal keeps it: its attributes of these names, as texts."""
    return {column: _text(getattr(entry, column)) for column in columns}


def read_time(line: Mapping[str, str]) -> datetime:
    """When it was decided, in UTC; of a line without a problem."""
    return datetime.fromisoformat(line["decided_at"]).astimezone(UTC)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return written_time(value)
    return value.value if isinstance(value, StrEnum) else str(value)
