"""What stewards decided about pairs of records: an append-only CSV file.

A decision is one line and is never changed: a later line on the same two records takes its place,
a `revoke` takes it away. The order is that of the file, for clocks can be wrong.
"""

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from orchestration.journal import (
    Journal,
    first_few,
    shown,
    time_problem,
    written_time,
)

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

_RECORD = re.compile(r"[a-z][a-z0-9_]*:.+")


class DecisionError(Exception):
    """The file or a decision cannot be used; the message says what, where and what to do."""


class Action(StrEnum):
    """What a line of the file says."""

    SAME = "same"
    NOT_SAME = "not_same"
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
    def pair(self) -> tuple[str, str]:
        """The two records in alphabetical order."""
        first, second = sorted((self.source_record_id, self.other_source_record_id))
        return first, second


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
    text = "\n".join(values.values()).encode("utf-8", "surrogatepass")
    values["decision_id"] = f"d-{hashlib.sha256(text).hexdigest()[:10]}"
    if problem := _journal(Path()).problem(values) or _problem(values):
        raise DecisionError(f"Not decided: {problem}.")
    return _decision(values)


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """Return every decision of the file in its order; none when there is no file.

    Raises DecisionError as `Journal.read` does, and for a line that does not fit to those before.
    """
    ledger = _Ledger()
    _journal(path).read(ledger.take)
    return tuple(ledger.decisions)


def append_decision(path: Path, decision: Decision) -> None:
    """Add one line at the end of the file and wait until it is on disk.

    Nothing that is in the file is touched; two processes take turns. Raises DecisionError, and
    adds nothing, when the file cannot be used, the decision revokes what cannot be revoked, or
    the decisions in force would contradict each other.
    """
    ledger = _Ledger()

    def fits() -> str:
        problem = ledger.add(decision)
        if not problem:
            try:
                check_consistent(decisions_in_force(ledger.decisions), decision)
            except DecisionError as error:
                return str(error).removesuffix(".")
        return problem

    _journal(path).append(_line_of(decision), ledger.take, fits)


def decisions_in_force(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Return the decision that holds for each pair of records, in the order of the file.

    The last one on a pair holds, whichever of the two records it names first. A revoke takes away
    exactly one decision, so an earlier one on the same pair holds again.
    """
    decisions = tuple(decisions)
    revoked = {decision.revokes for decision in decisions}
    last: dict[tuple[str, str], Decision] = {}
    for decision in decisions:
        if decision.action is not Action.REVOKE and decision.decision_id not in revoked:
            last[decision.pair] = decision
    return tuple(d for d in decisions if last.get(d.pair) is d)


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


class _Ledger:
    """Decisions in the order of the file, each checked against those before it."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self._known: dict[str, Decision] = {}
        self._revoked_by: dict[str, str] = {}

    def take(self, line: Mapping[str, str]) -> str:
        """Add what a line says, or return what is wrong with it."""
        return _problem(line) or self.add(_decision(line))

    def add(self, decision: Decision) -> str:
        """Return why the decision does not fit to those before it, or add it."""
        if decision.decision_id in self._known:
            return f"decision_id {shown(decision.decision_id)} is taken; give each its own"
        if decision.action is Action.REVOKE:
            if problem := self._revoke_misfit(decision.revokes):
                return problem
            self._revoked_by[decision.revokes] = decision.decision_id
        self._known[decision.decision_id] = decision
        self.decisions.append(decision)
        return ""

    def _revoke_misfit(self, decision_id: str) -> str:
        target = self._known.get(decision_id)
        if target is None:
            return (
                f"there is no decision {shown(decision_id)} to revoke; "
                "`decisions --all` lists what there is"
            )
        if target.action is Action.REVOKE:
            return f"{decision_id} is a revoke itself and stays; decide anew instead"
        if decision_id in self._revoked_by:
            return f"{decision_id} was revoked before, by {self._revoked_by[decision_id]}"
        return ""


def _journal(path: Path) -> Journal:
    # A record id is compared as it is; around the other values a blank means nothing.
    return Journal(
        path,
        COLUMNS,
        DecisionError,
        "Not decided",
        verbatim=frozenset({"source_record_id", "other_source_record_id"}),
        unwritable="WAREHOUSE_DECISIONS names the file; its folder must exist.",
    )


def _line_of(decision: Decision) -> dict[str, str]:
    return {
        "decision_id": decision.decision_id,
        "action": decision.action.value,
        "source_record_id": decision.source_record_id,
        "other_source_record_id": decision.other_source_record_id,
        "decided_by": decision.decided_by,
        "decided_at": written_time(decision.decided_at),
        "reason": decision.reason,
        "revokes": decision.revokes,
    }


def _decision(values: Mapping[str, str]) -> Decision:
    return Decision(
        decision_id=values["decision_id"],
        action=Action(values["action"]),
        source_record_id=values["source_record_id"],
        other_source_record_id=values["other_source_record_id"],
        decided_by=values["decided_by"],
        decided_at=datetime.fromisoformat(values["decided_at"]).astimezone(UTC),
        reason=values["reason"],
        revokes=values["revokes"],
    )


# --- judging -----------------------------------------------------------------------------------


def _problem(values: Mapping[str, str]) -> str:
    """Return what is wrong with a decision by itself, or nothing."""
    action = values["action"]
    if action not in list(Action):
        return f"action {shown(action)} is unknown; expected {', '.join(Action)}"
    for column in ("decision_id", "decided_by", "reason"):
        if not values[column]:
            return f"{column} is missing; every decision says who decided and why"
    return time_problem("decided_at", values["decided_at"]) or (
        _revoke_problem(values) if action == Action.REVOKE else _pair_problem(values)
    )


def _revoke_problem(values: Mapping[str, str]) -> str:
    if not values["revokes"]:
        return "revokes is missing; a revoke names the decision_id that it takes away"
    if values["source_record_id"] or values["other_source_record_id"]:
        return "a revoke names a decision in revokes, and no records; leave both empty"
    return ""


def _pair_problem(values: Mapping[str, str]) -> str:
    for column in ("source_record_id", "other_source_record_id"):
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
