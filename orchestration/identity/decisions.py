"""What stewards decided about pairs of records: an append-only CSV file.

A decision is one line and is never changed: a later line on the same two records takes its place,
a `revoke` takes it away. The order is that of the file, for clocks can be wrong.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from orchestration.identity.ledger import Kind, Ledger, in_force, line_of, read_time
from orchestration.journal import Journal, Line, first_few, shown, written_time

COLUMNS = (
    "decision_id",
    "action",
    "source_record_id",
    "other_source_record_id",
    "decided_by",
    "decided_at",
    "reason",
    "revokes",
)

_RECORDS = ("source_record_id", "other_source_record_id")
_RECORD = re.compile(r"[a-z][a-z0-9_]*:.+")


class DecisionError(Exception):
    """The file or a decision cannot be used; the message says what, where and what to do."""


class Action(StrEnum):
    """What a line of the file says. unsure: looked at, and left to the evidence."""

    SAME = "same"
    NOT_SAME = "not_same"
    UNSURE = "unsure"
    REVOKE = "revoke"


@dataclass(frozen=True)
class Decision:
    """One line of the file.

    decided_at: UTC, knows its zone. revokes: the id that a revoke takes away, empty otherwise; a
    revoke names no records.
    """

    decision_id: str
    action: Action
    source_record_id: str
    other_source_record_id: str
    decided_by: str
    decided_at: datetime
    reason: str
    revokes: str

    @property
    def id(self) -> str:
        """The id of the line."""
        return self.decision_id

    @property
    def pair(self) -> tuple[str, str]:
        """The two records in alphabetical order."""
        first, second = sorted((self.source_record_id, self.other_source_record_id))
        return first, second

    @property
    def target(self) -> tuple[str, str]:
        """What it speaks of: the pair."""
        return self.pair


@dataclass(frozen=True)
class Contradiction:
    """Two records that are kept apart by one decision and joined by a chain of others."""

    separating: Decision
    joining: tuple[Decision, ...]

    def told(self, unwritten: Decision | None = None) -> str:
        """Return a sentence that names the decisions; unwritten: the one that is being made."""

        def name(decision: Decision) -> str:
            return "this decision" if decision == unwritten else decision.decision_id

        first, second = self.separating.pair
        chain = ", ".join(f"{name(d)} ({' = '.join(d.pair)})" for d in self.joining)
        return (
            f"{first} and {second} are different people by {name(self.separating)}, "
            f"but the same person by {chain}"
        )


def new_decision(
    action: Action,
    *,
    source_record_id: str = "",
    other_source_record_id: str = "",
    revokes: str = "",
    decided_by: str,
    reason: str,
    decided_at: datetime,
) -> Decision:
    """Return a decision with its id, which is a digest of everything in it.

    decided_at: knows its zone. Raises DecisionError when a part is missing or does not fit.
    """
    values = {
        "action": action.value,
        "source_record_id": source_record_id,
        "other_source_record_id": other_source_record_id,
        "decided_by": decided_by.strip(),
        "decided_at": written_time(decided_at),
        "reason": reason.strip(),
        "revokes": revokes.strip(),
    }
    values = _KIND.with_id(values)
    if problem := _journal(Path()).problem(values) or _problem(values):
        raise DecisionError(f"Not decided: {problem}.")
    return _decision(values)


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """Return every decision of the file in its order; none when there is no file.

    Raises DecisionError as `Journal.read` does, and for a line that does not fit to those before.
    """
    ledger = Ledger(_KIND)
    _journal(path).read(ledger.take)
    return tuple(ledger.entries)


def append_decision(path: Path, decision: Decision) -> None:
    """Add one line at the end of the file and wait until it is on disk.

    Nothing that is in the file is touched; two processes take turns. Raises DecisionError, and
    adds nothing, when the file cannot be used, the decision revokes what cannot be revoked, or
    the decisions in force would contradict each other.
    """
    ledger = Ledger(_KIND)

    def fits() -> str:
        problem = ledger.add(decision)
        if not problem:
            try:
                check_consistent(decisions_in_force(ledger.entries), decision)
            except DecisionError as error:
                return str(error).removesuffix(".")
        return problem

    _journal(path).append(line_of(decision, COLUMNS), ledger.take, fits)


def decisions_in_force(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Return the decision that holds for each pair of records, in the order of the file.

    The last one on a pair holds, whichever of the two records it names first. A revoke takes away
    exactly one decision, so an earlier one on the same pair holds again.
    """
    return in_force(decisions)


def contradictions(in_force: Sequence[Decision]) -> tuple[Contradiction, ...]:
    """Return every `not_same` whose records are joined by `same`, with a shortest chain of them.

    in_force: what decisions_in_force returns.
    """
    neighbours: dict[str, list[tuple[str, Decision]]] = defaultdict(list)
    for decision in in_force:
        if decision.action is Action.SAME:
            first, second = decision.pair
            neighbours[first].append((second, decision))
            neighbours[second].append((first, decision))
    group = _components(neighbours)
    return tuple(
        Contradiction(decision, _shortest_chain(neighbours, *decision.pair))
        for decision in in_force
        if decision.action is Action.NOT_SAME
        and group.get(decision.pair[0], -1) == group.get(decision.pair[1], -2)
    )


def check_consistent(in_force: Sequence[Decision], unwritten: Decision | None = None) -> None:
    """Raise DecisionError naming them when decisions in force contradict each other.

    unwritten: the decision among them that is being made and has no line in the file yet.
    """
    found = contradictions(in_force)
    if found:
        sentences = first_few([contradiction.told(unwritten) for contradiction in found])
        raise DecisionError(f"{'; '.join(sentences)}. Revoke what is wrong, or decide otherwise.")


# --- reading -----------------------------------------------------------------------------------


def _journal(path: Path) -> Journal:
    # A record id is compared as it is; around the other values a blank means nothing.
    return Journal(
        path,
        COLUMNS,
        DecisionError,
        "Not decided",
        verbatim=frozenset(_RECORDS),
        unwritable="WAREHOUSE_DECISIONS names the file; its folder must exist.",
    )


# --- judging -----------------------------------------------------------------------------------


def _problem(values: Line) -> str:
    """Return what is wrong with a decision by itself, or nothing."""
    action = values["action"]
    if action not in list(Action):
        return f"action {shown(action)} is unknown; expected {', '.join(Action)}"
    return _KIND.author_problem(values) or (
        _KIND.revoke_problem(values, _RECORDS, "no records; leave both empty")
        if action == Action.REVOKE
        else _pair_problem(values)
    )


def _pair_problem(values: Line) -> str:
    for column in _RECORDS:
        if not _RECORD.fullmatch(values[column]):
            return (
                f"{column} {shown(values[column])} is no record; "
                "expected <source>:<id>, for example crm:C1"
            )
    if values["source_record_id"] == values["other_source_record_id"]:
        return f"both records are {values['source_record_id']}; name two different ones"
    if values["revokes"]:
        return f"only a revoke names a decision in revokes, this one says {values['action']}"
    return ""


def _decision(values: Line) -> Decision:
    return Decision(
        decision_id=values["decision_id"],
        action=Action(values["action"]),
        source_record_id=values["source_record_id"],
        other_source_record_id=values["other_source_record_id"],
        decided_by=values["decided_by"],
        decided_at=read_time(values),
        reason=values["reason"],
        revokes=values["revokes"],
    )


_KIND = Kind(
    noun="decision",
    prefix="d-",
    listed_by="decisions",
    anew="decide",
    problem=_problem,
    entry=_decision,
)


# --- contradictions ----------------------------------------------------------------------------


def _components(neighbours: Mapping[str, Sequence[tuple[str, Decision]]]) -> dict[str, int]:
    group: dict[str, int] = {}
    for number, start in enumerate(neighbours):
        if start in group:
            continue
        waiting = [start]
        group[start] = number
        while waiting:
            for other, _ in neighbours[waiting.pop()]:
                if other not in group:
                    group[other] = number
                    waiting.append(other)
    return group


def _shortest_chain(
    neighbours: Mapping[str, Sequence[tuple[str, Decision]]], start: str, end: str
) -> tuple[Decision, ...]:
    """Breadth first; start and end are in one component."""
    came_by: dict[str, tuple[str, Decision] | None] = {start: None}
    waiting = deque([start])
    while end not in came_by:
        record = waiting.popleft()
        for other, decision in neighbours[record]:
            if other not in came_by:
                came_by[other] = (record, decision)
                waiting.append(other)
    chain: list[Decision] = []
    step = came_by[end]
    while step is not None:
        record, decision = step
        chain.append(decision)
        step = came_by[record]
    return tuple(reversed(chain))
