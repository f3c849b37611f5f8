"""Rows that break a rule: set aside by policy, repaired, readmitted, and always counted."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from orchestration.gates import GateResult, run_gate
from orchestration.gates.setting_aside import set_failing_rows_aside
from orchestration.landing import land
from orchestration.landing.quarantine import (
    Action,
    Correction,
    QuarantineError,
    correct,
    entries,
    follow_corrections,
    read_corrections,
)
from orchestration.settings import Settings
from tests.gates.conftest import AS_OF, write_landing

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
HEADER = "order_id,customer_id,email,ordered_at,status,currency_code,total_amount,updated_at\n"
ORDERS = HEADER + "".join(
    f"{number},42,anna@x.test,2026-02-{number:02}T10:00:00Z,completed,EUR,{amount},"
    f"2026-02-{number:02}T10:00:00Z\n"
    for number, amount in enumerate([10, 20, 99999999, 30, 40, 50, 60, 70, 80, 90], start=1)
)
SUITES = """\
- table: raw.shop__orders
  row_floor: 1
  expectations:
    - name: sane_amount
      expect: expect_query_to_return_no_rows
      query: |
        select order_id, _row_hash from {batch}
        where try_cast(total_amount as decimal(18, 4)) > 1000000
      severity: critical
      because: No order is that large.
"""
COUNTED = """
    select
        (select count(*) from raw.shop__orders where not starts_with(_source_file, 'quarantine/'))
        + (select count(*) from raw.quarantine)
        = (select sum(new_row_count) from raw.files)
"""


@pytest.fixture
def landed(tmp_path: Path) -> Settings:
    """Ten landed orders, one of them a hundred million."""
    landing = write_landing(tmp_path / "landing", {"shop/orders/2026-02-28.csv": ORDERS})
    settings = Settings(landing=landing, home=tmp_path / "home", as_of=AS_OF)
    settings.home.mkdir()
    relanded(settings, "load-1")
    (settings.home / "suites").mkdir()
    (settings.home / "suites" / "landing.yml").write_text(SUITES)
    return settings


def relanded(settings: Settings, load_id: str) -> None:
    with duckdb.connect(str(settings.working_database)) as connection:
        land(connection, settings.landing, load_id=load_id, loaded_at=NOW)
        corrections = read_corrections(settings.corrections)
        follow_corrections(connection, corrections, load_id, NOW.replace(tzinfo=None))


def gate(settings: Settings) -> GateResult:
    return run_gate("landing", settings, settings.home / "suites", run_id="run")


def set_aside(settings: Settings, share: float) -> list[str]:
    feeds = set_failing_rows_aside(settings, gate(settings), {"shop/orders": share}, "load-2")
    return [feed.name for feed in feeds]


def ask(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def decide(settings: Settings, action: Action, **changes: str | None) -> None:
    (entry,) = [e for e in entries(settings) if e["status"] == "set aside"]
    correct(
        settings,
        Correction(str(entry["entry_id"]), action, changes, "Eva Lind", NOW, "asked the shop"),
    )


@pytest.fixture
def orders_are_counted(landed: Settings) -> Iterator[None]:
    """Whatever a test does: rows in raw and rows set aside are the rows that were landed."""
    yield
    assert ask(landed, COUNTED) == [(True,)]


@pytest.mark.usefixtures("orders_are_counted")
def test_a_row_within_the_share_of_its_feed_is_set_aside_and_the_gate_passes(
    landed: Settings,
) -> None:
    assert set_aside(landed, 0.1) == ["shop/orders"]

    assert gate(landed).passed
    (entry,) = entries(landed)
    assert (entry["record"], entry["check_id"], entry["status"]) == (
        '{"order_id":"3"}',
        "raw.shop__orders/sane_amount",
        "set aside",
    )


@pytest.mark.usefixtures("orders_are_counted")
def test_more_rows_than_the_share_stop_the_run_and_none_is_moved(landed: Settings) -> None:
    assert set_aside(landed, 0.09) == []
    assert ask(landed, "select count(*) from raw.shop__orders") == [(10,)]


@pytest.mark.usefixtures("orders_are_counted")
def test_a_row_that_is_set_aside_does_not_come_back_with_the_next_file(landed: Settings) -> None:
    set_aside(landed, 0.1)
    write_landing(landed.landing, {"shop/orders/2026-03-01.csv": ORDERS})

    relanded(landed, "load-3")

    assert ask(landed, "select count(*) from raw.shop__orders") == [(9,)]


@pytest.mark.usefixtures("orders_are_counted")
def test_a_repaired_row_comes_back_with_its_new_values_and_the_old_one_stays_out(
    landed: Settings,
) -> None:
    set_aside(landed, 0.1)
    decide(landed, Action.REPAIR, total_amount="999.99")

    relanded(landed, "load-3")
    relanded(landed, "load-4")

    assert ask(landed, "select total_amount from raw.shop__orders where order_id = '3'") == [
        ("999.99",)
    ]
    assert [entry["status"] for entry in entries(landed)] == ["repaired"]
    assert gate(landed).passed


@pytest.mark.usefixtures("orders_are_counted")
def test_a_readmitted_row_stays_and_the_gate_names_who_answers(landed: Settings) -> None:
    set_aside(landed, 0.1)
    decide(landed, Action.READMIT)

    relanded(landed, "load-3")

    result = gate(landed)
    assert result.passed
    assert "Overridden by Eva Lind: readmitted 1 rows, asked the shop." in (
        result.overridden[0].sentence
    )
    assert entries(landed) == []


def test_decisions_about_rows_hold_when_the_working_database_is_made_again(
    landed: Settings,
) -> None:
    set_aside(landed, 0.1)
    decide(landed, Action.REPAIR, total_amount="999.99")
    relanded(landed, "load-3")
    before = ask(landed, "select order_id, total_amount from raw.shop__orders order by all")
    landed.working_database.unlink()

    relanded(landed, "load-4")
    set_aside(landed, 0.1)

    after = ask(landed, "select order_id, total_amount from raw.shop__orders order by all")
    assert after == before
    assert gate(landed).passed


def test_a_check_that_is_not_about_rows_sets_nothing_aside(landed: Settings) -> None:
    file = landed.home / "suites" / "landing.yml"
    file.write_text(SUITES.replace("order_id, _row_hash", "order_id"))

    assert set_aside(landed, 1.0) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"total_amount": "plenty"}, "'plenty' is no"),
        ({"amount": "1"}, "has no column 'amount'"),
        ({"order_id": ""}, "cannot be empty"),
    ],
)
def test_a_repair_that_cannot_be_landed_is_refused(
    landed: Settings, changes: dict[str, str | None], sentence: str
) -> None:
    set_aside(landed, 0.1)

    with pytest.raises(QuarantineError, match=sentence):
        decide(landed, Action.REPAIR, **changes)

    assert read_corrections(landed.corrections) == {}
