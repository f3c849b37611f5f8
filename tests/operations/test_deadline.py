"""A run that hangs ends, whatever it hangs in, and leaves its reason."""

import threading
import time

import duckdb
import pytest

from orchestration.operations.ledger import Outcome, read_ledger
from orchestration.run import Warehouse
from tests.alerts.servers import web_server
from tests.operations.conftest import House

ENDLESS = "select count(*) from range(1000000000000) as a, range(1000) as b where a.range % 7 = 8"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_RUN_TIMEOUT", "1s")


def test_a_query_that_never_ends_is_interrupted_and_nothing_runs_after_it(
    house: House, short: None
) -> None:
    reached: list[str] = []

    def body(warehouse: Warehouse) -> None:
        with warehouse.stage("identity"), duckdb.connect() as connection:
            connection.execute(ENDLESS)
        reached.append("after")

    began = time.monotonic()
    record = house.run(body)
    assert time.monotonic() - began < 30
    assert record.outcome is Outcome.STOPPED
    assert record.reason == (
        "timeout: the run was stopped in identity because it took longer than 0:00:01 "
        "(WAREHOUSE_RUN_TIMEOUT)."
    )
    assert reached == []
    assert house.run(lambda warehouse: None).outcome is Outcome.BUILT


def test_code_that_hides_the_interruption_still_ends_as_a_timeout(
    house: House, short: None
) -> None:
    def body(warehouse: Warehouse) -> None:
        with warehouse.stage("marts"):
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                raise RuntimeError("dbt could not build marts") from None

    record = house.run(body)
    assert record.outcome is Outcome.STOPPED
    assert record.reason.startswith("timeout: the run was stopped in marts")


def test_a_stage_does_not_begin_after_the_time_is_over(house: House, short: None) -> None:
    def body(warehouse: Warehouse) -> None:
        time.sleep(1.5)  # between two stages, where nothing is interrupted
        with warehouse.stage("release"):
            raise AssertionError("the release began")

    record = house.run(body)
    assert record.outcome is Outcome.STOPPED
    assert record.reason.startswith("timeout: the run was stopped in release")


def test_a_run_in_time_is_left_alone_and_its_watch_ends_with_it(house: House) -> None:
    before = threading.active_count()
    record = house.run(lambda warehouse: None)
    assert record.outcome is Outcome.BUILT
    assert threading.active_count() <= before


def test_what_does_not_listen_is_ended_with_its_process_and_tells_so_before(house: House) -> None:
    with web_server() as web:
        process = house.process(
            """
            with warehouse.stage("marts"):
                warehouse._deadline._grace = timedelta(seconds=1)
                while True:
                    try:
                        time.sleep(600)
                    except KeyboardInterrupt:
                        pass
            """,
            WAREHOUSE_RUN_TIMEOUT="1s",
            WAREHOUSE_ALERT_WEBHOOK=web.url,
        )
        assert process.wait(timeout=120) == 1
    assert "A run was stopped in marts" in web.texts[0]
    assert "it took longer than WAREHOUSE_RUN_TIMEOUT allows" in web.texts[0]
    record = read_ledger(house.settings)[0][0]
    assert record.outcome is Outcome.STOPPED
    assert record.reason.endswith("It did not stop by itself, so its process was ended.")
