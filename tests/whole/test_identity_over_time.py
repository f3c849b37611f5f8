"""What happens to customer ids when evidence comes and goes, run after run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Installation

DAY = "2026-06-{:02d}T00:00:00Z"


def contact(contact_id: str, email: str, day: int = 1, **values: str) -> dict[str, str]:
    return {"contact_id": contact_id, "email": email, "updated_at": DAY.format(day)} | values


@pytest.fixture(scope="module")
def first_day(new_installation: Callable[[], Installation]) -> Installation:
    """A has three records and is older; B has one."""
    installation = new_installation()
    installation.write(
        "crm/contacts",
        "day1.csv",
        [
            contact("A1", "a@x.test", created_at="2020-01-01T00:00:00Z"),
            contact("A2", "a@x.test"),
            contact("A3", "a@x.test"),
            contact("B1", "b@x.test"),
            contact("C1", "c@x.test"),
        ],
    )
    installation.run()
    return installation


@pytest.fixture
def two_people(first_day: Installation, tmp_path: Path) -> Installation:
    """The first day, for a test to go on with."""
    return first_day.copy_to(tmp_path)


def test_a_merge_keeps_the_larger_id_and_redirects_the_other(two_people: Installation) -> None:
    before = two_people.customers()
    two_people.write("crm/contacts", "day2.csv", [contact("B1", "a@x.test", 2)])
    two_people.run()
    after = two_people.customers()
    assert after["crm:B1"] == before["crm:A1"] == after["crm:A1"]
    assert after["crm:C1"] == before["crm:C1"]
    assert two_people.query(
        "select customer_id, current_customer_id from marts.customer_redirects"
    ) == [(before["crm:B1"], before["crm:A1"])]


def test_a_split_leaves_the_id_with_most_of_its_records(two_people: Installation) -> None:
    before = two_people.customers()
    two_people.write("crm/contacts", "day2.csv", [contact("A1", "new@x.test", 2)])
    two_people.run()
    after = two_people.customers()
    assert after["crm:A2"] == after["crm:A3"] == before["crm:A2"]
    assert after["crm:A1"] not in set(before.values())


def test_a_merge_that_is_undone_gives_both_ids_back_to_nobody_else(
    two_people: Installation,
) -> None:
    before = two_people.customers()
    two_people.write("crm/contacts", "day2.csv", [contact("B1", "a@x.test", 2)])
    two_people.run()
    two_people.write("crm/contacts", "day3.csv", [contact("B1", "b@x.test", 3)])
    two_people.run()
    after = two_people.customers()
    assert after["crm:A1"] == before["crm:A1"]
    assert after["crm:B1"] not in {before["crm:A1"], before["crm:C1"]}
    live = {row[0] for row in two_people.query("select customer_id from marts.customers")}
    redirects = dict(
        two_people.query("select customer_id, current_customer_id from marts.customer_redirects")
    )
    assert not live & redirects.keys()
    assert set(redirects.values()) <= live | {None}


def test_a_deleted_contact_no_longer_holds_others_together(two_people: Installation) -> None:
    two_people.write(
        "crm/contacts",
        "day2.csv",
        [
            contact("D1", "d@x.test", phone="+44 20 7946 0018", first_name="Jo", last_name="Day"),
            contact("D2", "other@x.test", phone="020 7946 0018", first_name="Jo", last_name="Day"),
            contact("D3", "other@x.test"),
        ],
    )
    two_people.run()
    joined = two_people.customers()
    assert joined["crm:D1"] == joined["crm:D2"] == joined["crm:D3"]
    two_people.write(
        "crm/contacts", "day3.csv", [contact("D2", "other@x.test", 3, is_deleted="true")]
    )
    two_people.run()
    apart = two_people.customers()
    assert "crm:D2" not in apart
    assert apart["crm:D1"] != apart["crm:D3"]


def test_any_order_of_files_gives_the_same_customers(
    two_people: Installation, installation: Installation
) -> None:
    """`installation` lends its home: the same files, landed there at once."""
    two_people.write("crm/contacts", "day2.csv", [contact("B1", "a@x.test", 2)])
    two_people.run()
    stepwise = two_people.customers()
    at_once = Installation(two_people.landing, installation.home)
    at_once.run()
    together = at_once.customers()
    assert _partition(stepwise) == _partition(together)


def _partition(customers: dict[str, str]) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for record, customer in customers.items():
        groups.setdefault(customer, set()).add(record)
    return {frozenset(group) for group in groups.values()}


def test_an_id_rolled_back_with_its_release_is_given_again(two_people: Installation) -> None:
    two_people.write("crm/contacts", "day2.csv", [contact("N1", "n@x.test", 2)])
    two_people.run()
    before = two_people.customers()
    assert two_people.warehouse("rollback").exit_code == 0
    two_people.run()
    assert two_people.customers() == before


def test_a_login_ties_a_visitor_to_the_account_and_a_stranger_stays_out(
    installation: Installation,
) -> None:
    installation.write("shop/customers", "a.csv", [{"customer_id": "1", "email": "a@x.test"}])
    event = {"event_type": "page_view", "occurred_at": DAY.format(1)}
    installation.write(
        "web/events",
        "a.csv",
        [
            event | {"event_id": "e1", "anonymous_id": "v1", "user_id": ""},
            event | {"event_id": "e2", "anonymous_id": "v1", "user_id": "1"},
            event | {"event_id": "e3", "anonymous_id": "v2", "user_id": ""},
            event | {"event_id": "e4", "anonymous_id": "v3", "user_id": "404"},
        ],
    )
    installation.run()
    customers = installation.customers()
    assert customers.keys() == {"shop:1", "web:v1"}
    assert customers["shop:1"] == customers["web:v1"]


def test_a_family_address_and_a_role_address_join_nobody_by_themselves(
    installation: Installation,
) -> None:
    installation.write(
        "crm/contacts",
        "a.csv",
        [
            contact("F1", "berg@x.test", first_name="Anna", last_name="Berg"),
            contact("F2", "berg@x.test", first_name="Peter", last_name="Berg"),
            contact("F3", "berg@x.test", first_name="ANNA", last_name="Berg"),
            contact("R1", "info@x.test", first_name="Tom", last_name="Ash"),
            contact("R2", "info@x.test", first_name="Tom", last_name="Oak"),
            contact("N1", "will@x.test", first_name="Bill", last_name="Fox"),
            contact("N2", "will@x.test", first_name="William", last_name="Fox"),
        ],
    )
    installation.run()
    customers = installation.customers()
    assert customers["crm:F1"] == customers["crm:F3"] != customers["crm:F2"]
    assert customers["crm:R1"] != customers["crm:R2"]
    assert customers["crm:N1"] == customers["crm:N2"]


EMAILS_KNOWN_ON = """
    select value from marts.customer_history
    where
        {column} = '{customer}' and field_group = 'email'
        and known_from <= date '{day}' and (known_until is null or known_until > date '{day}')
    order by value
"""


def test_what_was_believed_is_answered_as_known_then_and_as_known_now(
    two_people: Installation,
) -> None:
    before = two_people.customers()
    a, b = before["crm:A1"], before["crm:B1"]

    def emails(column: str, customer: str, day: str) -> list[str]:
        query = EMAILS_KNOWN_ON.format(column=column, customer=customer, day=day)
        return [value for (value,) in two_people.query(query)]

    def remembered() -> list[list[tuple[object, ...]]]:
        tables = ("customer_history", "customer_source_history", "customer_id_history")
        return [two_people.query(f"select * from marts.{table} order by all") for table in tables]

    two_people.write(
        "crm/contacts",
        "day2.csv",
        [contact("B1", "a@x.test", 2), contact("C1", "wrong@x.test", 2)],
    )
    two_people.run(as_of="2026-07-02")
    assert emails("customer_id", b, "2026-06-30") == ["b@x.test"]
    assert emails("customer_id", b, "2026-07-02") == []
    assert emails("customer_id", a, "2026-07-02") == ["a@x.test"]
    assert emails("current_customer_id", a, "2026-06-30") == ["a@x.test", "b@x.test"]
    assert two_people.query(
        "select ended_because, current_customer_id from marts.customer_history"
        f" where customer_id = '{b}' and field_group = 'email'"
    ) == [("merged", a)]
    assert two_people.query(
        "select source_record_id, customer_id, cast(known_until as varchar)"
        " from marts.customer_source_history"
    ) == [("crm:B1", b, "2026-07-02")]

    released_once = remembered()
    two_people.run("--rebuild", as_of="2026-07-02")
    assert remembered() == released_once

    # what was wrong for part of a day was never believed of a day
    two_people.write("crm/contacts", "day3.csv", [contact("C1", "c@x.test", 3)])
    two_people.run(as_of="2026-07-02")
    assert two_people.query(
        "select value, cast(known_from as varchar), known_until from marts.customer_history"
        f" where customer_id = '{before['crm:C1']}' and field_group = 'email'"
    ) == [("c@x.test", "2026-06-30", None)]
