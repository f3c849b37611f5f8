"""The steward's desk: pairs of records that the evidence leaves to a person, and their answers.

What a steward says goes into the decision store, where it holds from the next run on; the release
stays as it is. A pair that was spoken of leaves the queue at once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from orchestration.dashboard.people import Row, read, records_of
from orchestration.dashboard.reading import Opened
from orchestration.identity.decisions import (
    Action,
    Decision,
    append_decision,
    contradictions,
    decisions_in_force,
    new_decision,
    read_decisions,
)
from orchestration.identity.explain import Link, Outcome, link_of, spanned
from orchestration.settings import Settings
from orchestration.sql import literal, rows

# Pairs that a queue shows: more than a person decides in a day.
MOST_PAIRS = 200


class Queue(StrEnum):
    """Why a pair waits for a person."""

    REVIEW = "review"
    REFUSED = "refused"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Pair:
    """Two records that a person should look at.

    records: those of both their customers. decision: what is said of the two already.
    """

    link: Link
    records: Mapping[str, Row]
    decision: Decision | None

    @property
    def both(self) -> tuple[Row, Row]:
        """The two records in the order of the link."""
        one, other = self.link.pair
        return self.records[one], self.records[other]

    @property
    def title(self) -> str:
        """The two names, as far as the records have some."""
        one, other = (
            f"{read(row, 'first_name')} {read(row, 'last_name')}".strip() or row["source_record_id"]
            for row in self.both
        )
        return one if one.casefold() == other.casefold() else f"{one} / {other}"


def decided(settings: Settings) -> tuple[Decision, ...]:
    """Return the decisions in force, the newest first. Raises DecisionError."""
    return tuple(reversed(decisions_in_force(read_decisions(settings.decisions))))


def waiting(opened: Opened, decisions: Sequence[Decision]) -> dict[Queue, int]:
    """Return how many pairs wait for each reason. decisions: those in force."""
    counts = dict(
        opened.connection.execute(
            "select outcome, count(*) from marts.customer_matches where"
            f" not ({_among([decision.pair for decision in decisions])}) group by outcome"
        ).fetchall()
    )
    return {
        Queue.REVIEW: counts.get(Outcome.REVIEW, 0),
        Queue.REFUSED: counts.get(Outcome.REFUSED, 0),
        Queue.UNSURE: len(queue(opened, Queue.UNSURE, decisions)),
    }


def queue(opened: Opened, kind: Queue, decisions: Sequence[Decision]) -> list[Link]:
    """Return the pairs that wait, at most MOST_PAIRS: the likeliest, of which a person sees most.

    decisions: those in force.
    """
    if kind is Queue.UNSURE:
        unsure = [one.pair for one in decisions if one.action is Action.UNSURE]
        return _links(opened, _among(unsure))
    said = _among([decision.pair for decision in decisions])
    return _links(opened, f"outcome = '{kind}' and not ({said})")


def find_pair(opened: Opened, names: tuple[str, str], decisions: Sequence[Decision]) -> Pair | None:
    """Return a pair of records by their names; None when the release tells nothing of the two."""
    links = _links(opened, _among([names]))
    if not links:
        return None
    (link,) = links
    said = {decision.pair: decision for decision in decisions}
    records = records_of(opened, {link.customer_id, link.other_customer_id})
    return Pair(link, records, said.get(link.pair))


def _links(opened: Opened, condition: str) -> list[Link]:
    found = rows(
        opened.connection,
        f"from marts.customer_matches where {condition}"
        f" order by match_weight desc, source_record_id, other_source_record_id limit {MOST_PAIRS}",
    )
    return [link_of(row) for row in found]


def _among(pairs: Sequence[tuple[str, str]]) -> str:
    """Whether a link is of one of these pairs, in SQL."""
    listed = ", ".join(f"({literal(one)}, {literal(other)})" for one, other in pairs)
    return f"(source_record_id, other_source_record_id) in ({listed})" if pairs else "false"


# --- what a decision does ------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """What a verdict does to customers, as far as the links of this release tell.

    told: a sentence. groups: records of the customers that there would be, the largest first; the
    next run, which sees all evidence, has the last word. is_possible: no decision in force stands
    against it.
    """

    told: str
    groups: Sequence[Sequence[str]]
    is_possible: bool = True


def effect(opened: Opened, pair: Pair, action: Action, decisions: Sequence[Decision]) -> Effect:
    """Return what a verdict on a pair would do. decisions: those in force."""
    link = pair.link
    members = {name: str(row["customer_id"]) for name, row in pair.records.items()}
    if action is Action.UNSURE:
        return Effect("Nothing changes: the evidence goes on deciding.", _groups(members))
    if against := _against(link, action, decisions):
        return Effect(
            f"It cannot be decided: {against}. Revoke what is wrong first.",
            _groups(members),
            is_possible=False,
        )
    if action is Action.SAME:
        if link.customer_id == link.other_customer_id:
            return Effect(
                "They are one customer and stay one, whatever the evidence says later.",
                _groups(members),
            )
        return Effect(
            f"Two customers become one, of {_counted(len(members))}: also what the other"
            " records of the two know of each other counts as one person's.",
            [sorted(members)],
        )
    if link.customer_id != link.other_customer_id:
        return Effect(
            "They stay two customers, whatever a third record says later.", _groups(members)
        )
    _, groups = spanned(_links_within(opened, link.customer_id), apart=link.pair)
    parts = _groups({record: groups.get(record, record) for record in members})
    sizes = " and ".join(str(len(part)) for part in parts)
    return Effect(
        f"One customer of {_counted(len(members))} becomes {len(parts)}, of {sizes}; no later"
        " evidence joins the two again.",
        parts,
    )


def _links_within(opened: Opened, customer_id: str) -> list[Link]:
    named = literal(customer_id)
    found = rows(
        opened.connection,
        f"from marts.customer_matches where customer_id = {named} and other_customer_id = {named}",
    )
    return [link_of(row) for row in found]


def _groups(members: dict[str, str]) -> list[list[str]]:
    sizes = Counter(members.values())
    order = sorted(sizes, key=lambda group: (-sizes[group], group))
    return [sorted(r for r, group in members.items() if group == one) for one in order]


def _counted(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"


def _against(link: Link, action: Action, decisions: Sequence[Decision]) -> str:
    """Which decisions in force a new one would contradict, in words; empty when none."""
    made = new_decision(
        action,
        source_record_id=link.source_record_id,
        other_source_record_id=link.other_source_record_id,
        decided_by="somebody",
        reason="to see what it would do",
        decided_at=datetime.now(UTC),
    )
    others = tuple(decision for decision in decisions if decision.pair != link.pair)
    return "; ".join(one.told(made) for one in contradictions((*others, made)))


# --- saying so -----------------------------------------------------------------------------------


def decide(settings: Settings, pair: Pair, action: Action, *, by: str, why: str) -> Decision:
    """Write a verdict into the decision store. Raises DecisionError, and writes nothing."""
    decision = new_decision(
        action,
        source_record_id=pair.link.source_record_id,
        other_source_record_id=pair.link.other_source_record_id,
        decided_by=by,
        reason=why,
        decided_at=datetime.now(UTC),
    )
    append_decision(settings.decisions, decision)
    return decision


def undo(settings: Settings, decision: Decision, *, by: str) -> Decision:
    """Revoke a decision, so that what was said before holds again. Raises DecisionError."""
    revoke = new_decision(
        Action.REVOKE,
        revokes=decision.decision_id,
        decided_by=by,
        reason="undone at the desk",
        decided_at=datetime.now(UTC),
    )
    append_decision(settings.decisions, revoke)
    return revoke


def is_linked(link: Link) -> bool:
    """Whether two records are one customer by this link."""
    return link.outcome in (Outcome.MATCHED, Outcome.SAME_EVIDENCE, Outcome.DECIDED_SAME)
