"""Why records are one customer, as `warehouse explain` tells it after a run."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import duckdb
import pytest

from orchestration.identity.explain import (
    Event,
    ExplainError,
    Explanation,
    Link,
    Outcome,
    explain,
)
from tests.conftest import Installation

DAY_1, DAY_2 = "2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"


def contact(contact_id: str, updated_at: str = DAY_1, **values: str) -> dict[str, str]:
    return {"contact_id": contact_id, "updated_at": updated_at} | values


ANN = {"first_name": "Ann", "last_name": "Berg", "email": "aberg77@x.test"}
CARL = {"first_name": "Carl", "last_name": "Moss", "email": "cmoss5@x.test"}

# Pairs with equal birth dates that differ in ever more: whatever parameters were trained, one of
# the pairs is worth a look.
DIFFERENCES = (
    ("email",),
    ("email", "phone"),
    ("last_name",),
    ("last_name", "email"),
    ("last_name", "email", "phone"),
    ("last_name", "email", "phone", "city"),
)
SIDES = {
    "a": {"email": "first", "phone": "020 7946 01", "last_name": "Vasquez", "city": "Leeds"},
    "b": {"email": "zz", "phone": "0161 496 08", "last_name": "Okafor", "city": "York"},
}
ENDS = {"email": "{}@x.test", "phone": "{}5"}
LADDER = [
    contact(f"L{number}{side}", birth_date=f"197{number}-03-1{number}")
    | {column: f"{values[column]}{ENDS.get(column, '').format(number)}" for column in differing}
    for number, differing in enumerate(DIFFERENCES)
    for side, values in SIDES.items()
]


@pytest.fixture(scope="module")
def world(new_installation: Callable[[], Installation]) -> Installation:
    """Two runs: after the first E2 was a customer of its own, and G1 was there."""
    world = new_installation()
    world.write(
        "crm/contacts",
        "day1.csv",
        [
            contact("A1", DAY_1, **ANN, city="[red]Ulm"),
            contact("A2", DAY_1, **ANN, city="[red]Ulm"),
            contact("A3", DAY_1, **ANN, phone="020 7946 0018", city="Bonn"),
            contact("C1", DAY_1, **CARL, birth_date="1971-03-14"),
            contact("C2", DAY_1, **CARL, birth_date="1985-05-07"),
            *LADDER,
            contact("D1", first_name="Dora", email="dora1@x.test"),
            contact("D2", first_name="Theo", email="theo9@x.test"),
            contact("E1", first_name="Eva", last_name="Lund", email="elund3@x.test"),
            contact("E2", first_name="Olga", last_name="Hahn", email="other8@y.test"),
            contact("G1", email="gone@x.test"),
            contact("W1", company="Peck"),
        ],
    )
    decide = ("--by", "Eva Lind", "--unseen", "--why", "married [sic]")
    assert world.warehouse("decide", "same", "crm:D1", "crm:D2", *decide).exit_code == 0
    world.run()
    world.write(
        "crm/contacts",
        "day2.csv",
        [
            contact("E2", DAY_2, first_name="Eva", last_name="Lund", email="elund3@x.test"),
            contact("G1", DAY_2, email="gone@x.test", is_deleted="true"),
        ],
    )
    world.run()
    return world


@pytest.fixture(scope="module")
def old_ids(world: Installation) -> dict[str, str | None]:
    return dict(
        world.query("select customer_id, current_customer_id from marts.customer_redirects")
    )


def told(world: Installation, reference: str) -> Explanation:
    return explain(world.settings, reference)


def link_of(explanation: Explanation, one: str, other: str) -> Link:
    (link,) = (link for link in explanation.links if link.pair == (one, other))
    return link


def test_the_bits_of_every_link_add_up_to_its_weight_and_its_probability(
    world: Installation,
) -> None:
    links = [link for record in sorted(world.customers()) for link in told(world, record).links]
    assert {link.outcome for link in links} == set(Outcome) - {Outcome.DECIDED_NOT_SAME}
    for link in links:
        parts = (
            link.prior_bits,
            link.frequency_bits,
            *(evidence.bits for evidence in link.evidence),
        )
        assert sum(parts) == pytest.approx(link.weight, abs=1e-6)
        assert link.probability == pytest.approx(1 / (1 + 2**-link.weight), abs=1e-6)


def test_a_customer_is_told_alike_by_its_id_and_by_each_of_its_records(
    world: Installation,
) -> None:
    customer = world.customers()["crm:A1"]
    for reference in (customer, "crm:A1", "crm:A2", "crm:A3"):
        explanation = told(world, reference)
        assert explanation.customer_id == customer
        assert [r.source_record_id for r in explanation.records] == ["crm:A1", "crm:A2", "crm:A3"]
        assert link_of(explanation, "crm:A1", "crm:A2").outcome is Outcome.SAME_EVIDENCE
        assert link_of(explanation, "crm:A1", "crm:A3").outcome is Outcome.MATCHED
        assert all(link.holds for link in explanation.links)


def test_a_refused_merge_names_the_other_customer_and_the_reason(world: Installation) -> None:
    explanation = told(world, "crm:C1")
    link = link_of(explanation, "crm:C1", "crm:C2")
    assert link.outcome is Outcome.REFUSED
    assert link.refused_reason == "the birth dates differ"
    assert {link.customer_id, link.other_customer_id} == {
        world.customers()["crm:C1"],
        world.customers()["crm:C2"],
    }
    assert explanation.strangers["crm:C2"].values["birth_date"] == "1985-05-07"


def test_a_pair_that_may_be_one_is_left_to_a_person(world: Installation) -> None:
    links = [
        link
        for number in range(len(DIFFERENCES))
        for link in told(world, f"crm:L{number}a").links_of(Outcome.REVIEW)
    ]
    assert links
    for link in links:
        assert 0.5 <= link.probability < 0.9
        assert not link.holds
        assert link.customer_id != link.other_customer_id


def test_a_decision_is_told_with_who_and_why_and_with_the_evidence_against_it(
    world: Installation,
) -> None:
    explanation = told(world, "crm:D1")
    (decision,) = explanation.decisions
    assert (decision.decided_by, decision.reason) == ("Eva Lind", "married [sic]")
    link = link_of(explanation, "crm:D1", "crm:D2")
    assert link.outcome is Outcome.DECIDED_SAME
    assert link.decision_id == decision.decision_id
    assert link.weight < 0


def test_an_id_out_of_use_leads_to_its_customer_and_to_the_merge(
    world: Installation, old_ids: dict[str, str | None]
) -> None:
    customer = world.customers()["crm:E1"]
    (old,) = (old for old, current in old_ids.items() if current == customer)
    explanation = told(world, old)
    assert explanation.customer_id == customer
    assert explanation.redirected_from == old
    assert explanation.former_ids == (old,)
    assert [(e.customer_id, e.event, e.other_customer_id) for e in explanation.history][-1] == (
        old,
        "merged_into",
        customer,
    )
    assert f"{old} is now customer {customer}" in world.warehouse("explain", old).output


def test_an_id_that_was_withdrawn_tells_its_end(
    world: Installation, old_ids: dict[str, str | None]
) -> None:
    (old,) = (old for old, current in old_ids.items() if current is None)
    explanation = told(world, old)
    assert explanation.customer_id is None
    assert isinstance(explanation.history[-1], Event)
    assert explanation.history[-1].event == "withdrawn"
    assert "no longer in use" in world.warehouse("explain", old).output


def test_the_golden_record_names_the_record_and_the_rule_of_each_value(
    world: Installation,
) -> None:
    golden = {g.field_group: g for g in told(world, "crm:A1").golden}
    assert golden["phone"].source_record_id == "crm:A3"
    assert golden["phone"].decided_by == "only_value"
    assert golden["address"].rivals == ("Bonn",) or golden["address"].value == "Bonn"


def test_a_record_that_matches_nothing_stands_alone_and_a_company_says_too_little(
    world: Installation,
) -> None:
    output = world.warehouse("explain", "crm:W1").output
    assert "No other record matches this one." in output
    assert "crm:W1 says too little" in output


@pytest.mark.parametrize("record", ["crm:A1", "crm:C1", "crm:D1", "crm:L1a"])
def test_what_is_printed_fits_into_100_columns_and_alters_no_value(
    world: Installation, record: str
) -> None:
    outcome = world.warehouse("explain", record, "--all")
    assert outcome.exit_code == 0
    lines = outcome.output.splitlines()
    assert max(len(line) for line in lines) <= 100
    assert [line for line in lines if line != line.rstrip()] == []
    if record == "crm:A1":
        assert "[red]Ulm" in outcome.output
        assert "crm:A2 shows the same evidence as crm:A1." in outcome.output
    if record == "crm:D1":
        assert "married [sic]" in outcome.output


def test_a_reference_that_nobody_has_gets_a_suggestion(world: Installation) -> None:
    with pytest.raises(ExplainError, match="Did you mean crm:A1"):
        told(world, "CRM:a1")
    with pytest.raises(ExplainError, match=r"<source>:<id>, for example crm:C1"):
        told(world, "O'Brien")
    outcome = world.warehouse("explain", "nobody")
    assert outcome.exit_code == 1
    assert "No customer and no record is called nobody." in outcome.output


def test_before_the_first_run_there_is_nothing_to_explain(installation: Installation) -> None:
    with pytest.raises(ExplainError, match="Nothing has been built"):
        told(installation, "crm:A1")
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        connection.execute("create schema identity")
    with pytest.raises(ExplainError, match="`make run REBUILD=1` builds it anew"):
        told(installation, "crm:A1")


@pytest.fixture
def held(installation: Installation) -> Iterator[Installation]:
    """An installation whose working database another process writes to."""
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()",
            str(installation.settings.working_database),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    yield installation
    holder.communicate(b"\n")


def test_while_a_run_holds_the_database_it_says_so(held: Installation) -> None:
    with pytest.raises(ExplainError, match="in use, most likely by a run"):
        told(held, "crm:A1")


def test_the_mart_tells_the_same_as_the_explanation(world: Installation) -> None:
    published = world.query(
        "select source_record_id, other_source_record_id, outcome, match_weight::double"
        " from marts.customer_matches order by all"
    )
    links = {
        (*link.pair, link.outcome.value, link.weight)
        for record in world.customers()
        for link in told(world, record).links
    }
    assert sorted(links) == published
