"""Landings with few or odd sources: the house stands, or says in one sentence why not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.cli import main
from tests.conftest import Installation, Outcome

CONTACT = {
    "contact_id": "C1",
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "jane@shop.test",
    "updated_at": "2026-05-01T10:00:00+02:00",
}


@pytest.fixture(scope="module")
def first_run(new_installation: Callable[[], Installation]) -> tuple[Installation, Outcome]:
    """Two contacts of one person, and a line that is none; tests go on with copies."""
    installation = new_installation()
    bad = CONTACT | {"contact_id": "C3", "birth_date": "1990-13-01"}
    installation.write("crm/contacts", "a.csv", [CONTACT, CONTACT | {"contact_id": "C2"}, bad])
    return installation, installation.run()


@pytest.fixture
def released(first_run: tuple[Installation, Outcome], tmp_path: Path) -> Installation:
    return first_run[0].copy_to(tmp_path)


def test_a_landing_with_only_contacts_is_released(
    first_run: tuple[Installation, Outcome],
) -> None:
    installation, _ = first_run
    assert installation.query("select count(*), max(email) from marts.customers") == [
        (1, "jane@shop.test")
    ]
    assert installation.query("select count(*) from marts.orders") == [(0,)]


def test_one_bad_line_is_a_reject_and_the_rest_is_released(
    first_run: tuple[Installation, Outcome],
) -> None:
    installation, outcome = first_run
    assert "1 of 3 lines rejected" in outcome.output
    listed = installation.warehouse("rejects").output
    assert "crm/contacts/a.csv:4: '1990-13-01' is no date for birth_date" in listed
    assert installation.customers().keys() == {"crm:C1", "crm:C2"}


def test_a_landing_with_only_the_shop_is_released_and_orders_alone_make_customers(
    installation: Installation,
) -> None:
    order = {"currency_code": "EUR", "total_amount": "10.00", "ordered_at": "2026-06-01T08:00:00Z"}
    installation.write("shop/customers", "a.csv", [{"customer_id": "42", "email": "a@shop.test"}])
    installation.write(
        "shop/orders",
        "a.csv",
        [
            order | {"order_id": "1", "customer_id": "42"},
            order | {"order_id": "2", "email": "A@shop.test "},
            order | {"order_id": "3", "customer_id": "43", "email": "b@shop.test"},
        ],
    )
    installation.run()
    customers = installation.customers()
    assert set(customers) == {"shop:42", "shop:order:2", "shop:43"}
    assert customers["shop:42"] == customers["shop:order:2"] != customers["shop:43"]
    assert installation.query(
        "select sum(reporting_net_amount), sum(purchase_count) from marts.customers"
    ) == [(30, 3)]


@pytest.mark.parametrize("text", ["contact_id,email\n", "contact_id,email"])
def test_a_landing_of_headers_only_releases_nothing_and_says_so(
    installation: Installation, text: str
) -> None:
    (installation.landing / "crm" / "contacts").mkdir(parents=True)
    path = installation.landing / "crm" / "contacts" / "a.csv"
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1, 1))  # a line that was begun just now would be left for the next run
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert "Nothing was released" in outcome.output
    assert not (installation.home / "current").exists()


def test_a_landing_that_is_not_there_is_named(installation: Installation) -> None:
    installation.landing.rmdir()
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert str(installation.landing) in outcome.output
    assert "WAREHOUSE_LANDING" in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WAREHOUSE_AS_OF", "yesterday"),
        ("WAREHOUSE_THREADS", "0"),
        ("WAREHOUSE_MEMORY_LIMIT", "lots"),
        ("WAREHOUSE_KEEP_RELEASES", "1"),
        ("WAREHOUSE_HOME", __file__),
    ],
)
def test_a_setting_that_does_not_fit_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["run"]) == 2
    assert f"{variable}={value!r}" in capsys.readouterr().out


def test_a_working_database_that_is_none_is_put_away_and_made_anew(released: Installation) -> None:
    before = released.customers()
    damaged = released.settings.working_database
    damaged.write_bytes(b"not a database" * 1000)
    outcome = released.run()
    assert "The working database is damaged" in outcome.output
    assert damaged.with_name("work.duckdb.damaged").read_bytes() == b"not a database" * 1000
    assert released.customers() == before


def test_a_current_release_that_is_gone_stops_the_run_before_ids_are_given_anew(
    released: Installation,
) -> None:
    (released.home / "current").resolve().rename(released.home / "elsewhere")
    outcome = released.warehouse("run", "--rebuild")
    assert outcome.exit_code == 1
    assert "Nothing was released" in outcome.output
    assert "current" in outcome.output


def test_the_newest_version_wins_also_when_it_comes_first(released: Installation) -> None:
    older = CONTACT | {"last_name": "Roe", "updated_at": "2026-04-01T00:00:00Z"}
    released.write("crm/contacts", "b.csv", [older, older | {"contact_id": "C2"}])
    released.run()
    assert released.query("select last_name from marts.customers") == [("Doe",)]
