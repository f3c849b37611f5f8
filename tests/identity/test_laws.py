"""The laws of identity, on histories that nobody thought of."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestration.identity.decisions import Decision
from tests.identity.lab import AS_OF, KilledError, Lab, Partition, differences, record
from tests.identity.world import PEOPLE, Step, histories, records_of

# An example of the law of bridges costs three builds; half of them are enough.
HALF_AS_MANY = settings(max_examples=settings().max_examples // 2)

# What hangs on the records alone, not on the ids of earlier releases.
BEFORE_IDS = (
    *("int_records_normalised", "int_values_shared", "int_profiles_formed"),
    *("int_blocking_keys_collected", "int_pairs_scored", "int_profiles_connected"),
    *("int_merges_decided", "int_records_clustered"),
)

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
        rectifications=step.rectifications,
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
                    rectifications=step.rectifications,
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


def test_an_increment_after_a_release_knows_who_is_known(lab: Lab) -> None:
    landing = [record("crm:1", email="a@x.test")]
    lab.build(landing)
    lab.release()
    lab.build(landing)
    stepwise = lab.tables()
    lab.build(landing, increment=False)
    assert differences(stepwise, lab.tables()) == {}


def test_an_id_that_was_built_yesterday_and_not_released_begins_today(lab: Lab) -> None:
    landing = [record("crm:1", email="a@x.test")]
    lab.build(landing)
    tomorrow = AS_OF + timedelta(days=1)
    lab.build(landing, as_of=tomorrow)
    stepwise = lab.tables("int_customer_ids_recorded")
    lab.build(landing, as_of=tomorrow, increment=False)
    assert differences(stepwise, lab.tables("int_customer_ids_recorded")) == {}


def note(lab: Lab, step: Step, seen: Counter[str]) -> None:
    """Count what really happened, or the laws might hold of nothing."""
    happened = {kind for _, kind, _, _ in lab.history()} | step.changes
    happened |= {reason for _, reason in lab.refusals()}
    happened |= {status for (status,) in lab.query("select status from identity.int_values_shared")}
    for name in happened:
        seen[name] += 1


# Somebody without a name has the e-mail of one person and the phone of another.
BETWEEN_TWO = Step(
    records={
        slot: record(slot, **values)
        for slot, values in {
            "crm:0": {"first_name": "Anna", "last_name": "Berg", "phone": PEOPLE["Anna"]["phone"]},
            "shop:1": {"phone": PEOPLE["Anna"]["phone"], "email": PEOPLE["Peter"]["email"]},
            "pos:2": {
                "first_name": "Peter",
                "last_name": "Berg",
                "email": PEOPLE["Peter"]["email"],
            },
        }.items()
    },
    decisions=(),
    then="release",
    day=0,
)


def test_any_split_into_increments_gives_what_one_full_build_gives_and_ids_are_kept(
    lab_of_session: Lab, low_lab: Lab
) -> None:
    seen: Counter[str] = Counter()

    @given(history=histories(), is_low=st.booleans())
    @example(history=[BETWEEN_TWO], is_low=False)
    def law(history: list[Step], is_low: bool) -> None:
        live_through(low_lab if is_low else lab_of_session, history, seen)

    law()
    # the world is small enough for all of this to happen; crowding has a test of its own below
    for name in (
        *("increment", "killed", "roll back", "new", "changed", "withdrawn", "same", "not_same"),
        *("rectified", "rectification revoked"),
        *("created", "split_from", "merged_into", "household"),
        "the birth dates differ",
        "the records contradict each other",
        "the cluster would be too large",
        "a steward decided that they are not the same",
    ):
        assert seen[name], (name, seen)


def test_what_a_record_has_joined_comes_apart_when_it_is_withdrawn(low_lab: Lab) -> None:
    seen: Counter[str] = Counter()

    @HALF_AS_MANY
    @given(history=histories(1), bridge=records_of("crm:99"))
    def law(history: list[Step], bridge: dict[str, object]) -> None:
        (step,) = history
        low_lab.reset()
        before = build(low_lab, step)
        tables = low_lab.tables(*BEFORE_IDS)
        released = publish(low_lab, before)
        joined = low_lab.build(
            [*step.records.values(), bridge],
            step.decisions,
            rectifications=step.rectifications,
            as_of=AS_OF + timedelta(days=step.day),
        )
        assert low_lab.was_increment
        check_ids(low_lab, joined, released)
        seen["joined"] += len(joined.groups) <= len(before.groups)
        seen["merged"] += len(joined.groups) < len(before.groups)
        released = publish(low_lab, joined)
        after = build(low_lab, step)
        assert low_lab.was_increment
        assert after.groups == before.groups
        assert differences(tables, low_lab.tables(*BEFORE_IDS)) == {}
        check_ids(low_lab, after, released)

    law()
    assert seen["joined"]
    assert seen["merged"]


NEIGHBOURS = [
    record(f"crm:1{number}", first_name=f"Jonas{letter * 3}", last_name=f"Smit{letter * 4}")
    | {"phone": f"020 7946 0{number:03d}", "birth_date": date(1950 + number, 1, 1 + number)}
    for number, letter in enumerate("abcdefghijk")
]
TYPED_BADLY = [
    record("crm:1", first_name="Jonathan", last_name="Smithers", phone="07700 900123"),
    record("shop:2", first_name="Jonathon", last_name="Smitherz", phone="07700 900128"),
]


def build_both_ways(lab: Lab, landing: Sequence[dict[str, object]]) -> Partition:
    """An increment on what was released, but for the first; a full rebuild says the same."""
    is_first = not lab.query("from state.customer_sources limit 1")
    partition = lab.build(landing)
    assert lab.was_increment != is_first
    stepwise = lab.tables()
    assert lab.build(landing, increment=False) == partition
    assert differences(stepwise, lab.tables()) == {}
    lab.release()
    return partition


def test_a_block_that_passes_its_cap_within_increments_is_as_if_built_anew(lab: Lab) -> None:
    """The two are found by the first letters of their names alone, a key for small blocks."""
    partitions = []
    for size in (0, 7, 9, 8, 11, 0):
        landing = [*TYPED_BADLY, *NEIGHBOURS[:size]]
        partitions.append(build_both_ways(lab, landing))
    together = [partition.together("crm:1", "shop:2") for partition in partitions]
    assert together == [True, True, False, True, False, True]


def test_a_value_that_becomes_crowded_and_empties_again_is_as_if_built_anew(lab: Lab) -> None:
    """Eight names on a phone; a record with nothing but the phone hangs on the last one left."""
    names = ["Ada", "Ben", "Cora", "Dora", "Emil", "Fred", "Gina", "Hugo"]
    people = [
        record(f"crm:{number}", first_name=name, last_name="Stone", phone="020 7946 0999")
        for number, name in enumerate(names)
    ]
    statuses = []
    for size in (1, 2, 6, 8, 7, 6, 1):
        landing = [record("surveys:1", phone="+442079460999"), *people[:size]]
        partition = build_both_ways(lab, landing)
        statuses.append(lab.query("select status from identity.int_values_shared"))
        assert partition.together("surveys:1", "crm:0") == (size == 1)
    shared, crowded = [("household",)], [("crowded",)]
    assert statuses == [[], shared, shared, crowded, crowded, shared, []]


def test_a_build_killed_anywhere_is_followed_by_a_full_one(lab: Lab, low_lab: Lab) -> None:
    before, after = TYPED_BADLY, [*TYPED_BADLY[:1], *NEIGHBOURS[:3]]
    lab.build(after)
    expected = lab.tables()
    for model in lab.models[::4]:
        lab.reset()
        lab.build(before)
        with pytest.raises(KilledError):
            lab.build(after, killed_after=model.name)
        lab.build(after)
        assert not lab.was_increment
        assert differences(expected, lab.tables()) == {}
        lab.release()
        lab.build(after)
        assert lab.was_increment


def test_a_full_rebuild_keeps_every_released_id(lab: Lab) -> None:
    landing = [*TYPED_BADLY, *NEIGHBOURS[:4]]
    released = lab.build(landing)
    lab.release()
    assert lab.build(landing, increment=False) == released
    assert lab.redirects() == {}
