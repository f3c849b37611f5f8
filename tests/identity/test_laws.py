"""The laws of identity, on histories that nobody thought of."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from orchestration.identity.decisions import Decision
from tests.identity.lab import AS_OF, KilledError, Lab, Partition, differences
from tests.identity.world import SLOTS, Step, histories, records_of

Event = tuple[str, str, str | None, int]


@dataclass(frozen=True)
class Release:
    """What a release says about ids."""

    customers: Mapping[str, str]
    redirects: Mapping[str, str | None]
    history: list[Event]


NOTHING = Release({}, {}, [])


def publish(lab: Lab, partition: Partition) -> Release:
    lab.release()
    return Release(partition.customers, lab.redirects(), lab.history())


def check_decisions(partition: Partition, decisions: Iterable[Decision]) -> None:
    for line in decisions:
        one, other = line.pair
        if one in partition.customers and other in partition.customers:
            assert partition.together(one, other) == (line.action.value == "same"), line


def check_ids(lab: Lab, partition: Partition, released: Release) -> None:
    """Every id that was ever published means somebody or says that it means nobody."""
    redirects, history = lab.redirects(), lab.history()
    live = set(partition.customers.values())
    assert len(live) == len(partition.groups)
    assert len(lab.query("from identity.int_customers_identified")) == len(live)
    published = set(released.customers.values()) | released.redirects.keys()
    assert not live & redirects.keys()
    assert published <= live | redirects.keys()
    assert redirects.keys() <= published
    assert set(redirects.values()) <= live | {None}

    groups_before = Partition(released.customers).groups
    for group in partition.groups & groups_before:
        record = next(iter(group))
        assert partition.customers[record] == released.customers[record]
    members: dict[str, set[str]] = {}
    for record, customer in released.customers.items():
        if record in partition.customers:
            members.setdefault(customer, set()).add(partition.customers[record])
    heirs = Counter(heir for customers in members.values() for heir in customers)
    for customer, customers in members.items():
        if len(customers) == 1 and heirs[next(iter(customers))] == 1:
            # nobody else has a claim, so the id stays with its records
            assert customers == {customer}
    for customer in published - members.keys() - released.redirects.keys():
        assert redirects[customer] is None

    check_history(live, redirects, history, released)


def check_history(
    live: set[str], redirects: Mapping[str, str | None], history: list[Event], released: Release
) -> None:
    assert not Counter(released.history) - Counter(history)
    begun = [line for line in history if line[1] in ("created", "split_from")]
    ended = [line for line in history if line[1] in ("merged_into", "withdrawn")]
    assert len(begun) + len(ended) == len(history)
    first = {customer: number for customer, _, _, number in begun}
    last = {customer: (other, number) for customer, _, other, number in ended}
    assert len(first) == len(begun)
    assert len(last) == len(ended)
    # an id has one life: it begins, and once it has ended it is nobody's again
    assert first.keys() == live | last.keys()
    assert not live & last.keys()
    assert last.keys() == redirects.keys()
    for customer, (_, number) in last.items():
        assert first[customer] < number
    for customer in redirects:
        successor: str | None = customer
        while successor in last:
            successor = last[successor][0]
        assert redirects[customer] == successor


def build(lab: Lab, step: Step, *, increment: bool = True) -> Partition:
    return lab.build(
        step.records.values(),
        step.decisions,
        increment=increment,
        as_of=AS_OF + timedelta(days=step.day),
    )


def live_through(lab: Lab, history: list[Step], seen: Counter[str]) -> None:
    """Build and release step by step; hold every build against the laws and a full rebuild."""
    lab.reset()
    releases: list[Release] = []
    for number, step in enumerate(history):
        released = releases[-1] if releases else NOTHING
        if step.killed_after is not None and step.killed_after < len(lab.models):
            with pytest.raises(KilledError):
                lab.build(
                    step.records.values(),
                    step.decisions,
                    killed_after=lab.models[step.killed_after].name,
                )
        partition = build(lab, step)
        if step.killed_after is not None:
            assert not lab.was_increment
            seen["killed"] += 1
        if lab.was_increment:
            seen["increment"] += 1
            if number == len(history) - 1:
                stepwise = lab.tables()
                again = build(lab, step, increment=False)
                assert differences(stepwise, lab.tables()) == {}
                assert again == partition
        check_decisions(partition, step.decisions)
        check_ids(lab, partition, released)
        note(lab, step, seen)
        if step.then == "release":
            releases.append(publish(lab, partition))
        elif step.then == "roll back" and releases:
            lab.roll_back()
            releases.pop()
            seen["roll back"] += 1


def note(lab: Lab, step: Step, seen: Counter[str]) -> None:
    """Count what really happened, or the laws might hold of nothing."""
    happened = {kind for _, kind, _, _ in lab.history()} | step.changes
    happened |= {reason for _, reason in lab.refusals()}
    happened |= {status for (status,) in lab.query("select status from identity.int_values_shared")}
    for name in happened:
        seen[name] += 1


def test_any_split_into_increments_gives_what_one_full_build_gives_and_ids_are_kept(
    lab_of_session: Lab, low_lab: Lab
) -> None:
    seen: Counter[str] = Counter()

    @given(history=histories(), is_low=st.booleans())
    def law(history: list[Step], is_low: bool) -> None:
        live_through(low_lab if is_low else lab_of_session, history, seen)

    law()
    print(seen)
