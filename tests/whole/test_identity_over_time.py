"""What happens to customer ids when evidence comes and goes, run after run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Installation

DAY = "2026-06-{:02d}T00:00:00Z"


def contact(contact_id: str, email: str, day: int = 1, **values: str) -> dict[str, str]:
    return {"contact_id": contact_id, "email": email, "updated_at": DAY.format(day)} | values


@pytest.fixture(scope="module")
def days(
    new_installation: Callable[[], Installation], tmp_path_factory: pytest.TempPathFactory
) -> list[Installation]:
    """Three days of people who have nothing to do with each other, as each day left them.

    A whole run costs as much for one story as for all of them.
    """
    first = new_installation()
    first.write(
        "crm/contacts",
        "day1.csv",
        [
            # A has three records and is older; B, which has one, joins it for good
            contact("A1", "a@x.test", created_at="2020-01-01T00:00:00Z"),
            contact("A2", "a@x.test"),
            contact("A3", "a@x.test"),
            contact("B1", "b@x.test"),
            contact("C1", "c@x.test"),
            # S loses a record
            contact("S1", "s@x.test", created_at="2020-01-01T00:00:00Z"),
            contact("S2", "s@x.test"),
            contact("S3", "s@x.test"),
            # Q joins P for a day
            contact("P1", "p@x.test", created_at="2020-01-01T00:00:00Z"),
            contact("P2", "p@x.test"),
            contact("Q1", "q@x.test"),
            # D2 holds the others together until it is deleted
            contact("D1", "d@x.test", phone="+44 20 7946 0018", first_name="Jo", last_name="Day"),
            contact("D2", "other@x.test", phone="020 7946 0018", first_name="Jo", last_name="Day"),
            contact("D3", "other@x.test"),
            contact("F1", "berg@x.test", first_name="Anna", last_name="Berg"),
            contact("F2", "berg@x.test", first_name="Peter", last_name="Berg"),
            contact("F3", "berg@x.test", first_name="ANNA", last_name="Berg"),
            contact("R1", "info@x.test", first_name="Tom", last_name="Ash"),
            contact("R2", "info@x.test", first_name="Tom", last_name="Oak"),
            contact("N1", "will@x.test", first_name="Bill", last_name="Fox"),
            contact("N2", "will@x.test", first_name="William", last_name="Fox"),
        ],
    )
    first.write("shop/customers", "day1.csv", [{"customer_id": "1", "email": "shopper@x.test"}])
    event = {"event_type": "page_view", "occurred_at": DAY.format(1)}
    first.write(
        "web/events",
        "day1.csv",
        [
            event | {"event_id": "e1", "anonymous_id": "v1", "user_id": ""},
            event | {"event_id": "e2", "anonymous_id": "v1", "user_id": "1"},
            event | {"event_id": "e3", "anonymous_id": "v2", "user_id": ""},
            event | {"event_id": "e4", "anonymous_id": "v3", "user_id": "404"},
        ],
    )
    first.run()
    second = first.copy_to(tmp_path_factory.mktemp("second"))
    second.write(
        "crm/contacts",
        "day2.csv",
        [
            contact("B1", "a@x.test", 2),
            contact("S1", "new@x.test", 2),
            contact("Q1", "p@x.test", 2),
            contact("D2", "other@x.test", 2, is_deleted="true"),
            contact("Z1", "z@x.test", 2),
        ],
    )
    second.run()
    third = second.copy_to(tmp_path_factory.mktemp("third"))
    third.write("crm/contacts", "day3.csv", [contact("Q1", "q@x.test", 3)])
    third.run()
    return [first, second, third]


def redirects(installation: Installation) -> dict[str, str | None]:
    return dict(
        installation.query("select customer_id, current_customer_id from marts.customer_redirects")
    )


def test_a_merge_keeps_the_larger_id_and_redirects_the_other(days: list[Installation]) -> None:
    before, after = days[0].customers(), days[1].customers()
    assert after["crm:B1"] == before["crm:A1"] == after["crm:A1"] != before["crm:B1"]
    assert after["crm:C1"] == before["crm:C1"]
    assert redirects(days[1])[before["crm:B1"]] == before["crm:A1"]
    assert set(redirects(days[1])) == {before["crm:B1"], before["crm:Q1"]}


def test_a_split_leaves_the_id_with_most_of_its_records(days: list[Installation]) -> None:
    before, after = days[0].customers(), days[1].customers()
    assert after["crm:S2"] == after["crm:S3"] == before["crm:S2"] == before["crm:S1"]
    assert after["crm:S1"] not in set(before.values())


def test_a_merge_that_is_undone_gives_both_ids_back_to_nobody_else(
    days: list[Installation],
) -> None:
    before, merged, after = (day.customers() for day in days)
    assert merged["crm:Q1"] == before["crm:P1"]
    assert after["crm:P1"] == before["crm:P1"]
    assert after["crm:Q1"] not in {c for r, c in before.items() if r != "crm:Q1"}
    live = {row[0] for row in days[2].query("select customer_id from marts.customers")}
    assert not live & redirects(days[2]).keys()
    assert set(redirects(days[2]).values()) <= live | {None}


def test_a_deleted_contact_no_longer_holds_others_together(days: list[Installation]) -> None:
    joined, apart = days[0].customers(), days[1].customers()
    assert joined["crm:D1"] == joined["crm:D2"] == joined["crm:D3"]
    assert "crm:D2" not in apart
    assert apart["crm:D1"] != apart["crm:D3"]


def test_any_order_of_files_gives_the_same_customers(
    days: list[Installation], installation: Installation
) -> None:
    """`installation` lends its home: the same files, landed there at once."""
    at_once = Installation(days[2].landing, installation.home)
    at_once.run()
    assert _partition(days[2].customers()) == _partition(at_once.customers())


def _partition(customers: dict[str, str]) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for record, customer in customers.items():
        groups.setdefault(customer, set()).add(record)
    return {frozenset(group) for group in groups.values()}


def test_an_id_rolled_back_with_its_release_is_given_again(
    days: list[Installation], tmp_path: Path
) -> None:
    again = days[1].copy_to(tmp_path)
    assert again.warehouse("rollback").exit_code == 0
    assert again.customers() == days[0].customers()
    again.run()
    assert again.customers() == days[1].customers()


def test_a_login_ties_a_visitor_to_the_account_and_a_stranger_stays_out(
    days: list[Installation],
) -> None:
    customers = days[0].customers()
    assert {record for record in customers if record.startswith("web:")} == {"web:v1"}
    assert customers["shop:1"] == customers["web:v1"]


def test_a_family_address_and_a_role_address_join_nobody_by_themselves(
    days: list[Installation],
) -> None:
    customers = days[0].customers()
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
    days: list[Installation], tmp_path: Path
) -> None:
    two_people = days[0].copy_to(tmp_path)
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
