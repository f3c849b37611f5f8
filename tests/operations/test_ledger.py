"""What a run leaves in the ledger and in its log, however it ends."""

import json
import os
import signal
import threading
import time

import dagster as dg
import pytest

from orchestration.cli import prepare_dagster
from orchestration.operations.dagster_storage import settle_dead_runs
from orchestration.operations.ledger import (
    Outcome,
    RunRecord,
    no_run_beside,
    read_ledger,
    runs_folder,
)
from orchestration.operations.run_log import log_path, without_personal_data
from orchestration.run import Warehouse, log, only_one_run
from tests.operations.conftest import House

# As a run wrote it before the ledger kept times, reasons and who began it.
RECORD_OF_AN_OLDER_VERSION = {
    "run_id": "0f6c0a5e-0000-4000-8000-000000000001",
    "as_of": "2026-06-29",
    "outcome": "released",
    "stages": [{"name": "landing", "seconds": 2.5, "cpu_seconds": 2.0, "peak_mib": 300}],
    "landing": {"files_seen": 1, "files_read": 1},
    "gates": [{"layer": "landing", "passed": True, "check_count": 3, "warnings": []}],
    "release": {"id": "r", "rows": {"customers": 2}},
}


def fine(warehouse: Warehouse) -> None:
    with warehouse.stage("landing") as stage:
        stage.rows = 7


def test_a_run_says_what_it_did_who_began_it_and_what_each_stage_cost(house: House) -> None:
    record = house.run(fine)
    assert record.outcome is Outcome.BUILT
    assert record.started_by == "test"
    assert record.began_at is not None
    assert record.ended_at is not None
    assert record.ended_at > record.began_at
    assert record.code_version
    assert [(stage.name, stage.rows) for stage in record.stages] == [("landing", 7)]
    assert record.stages[0].peak_mib > 0
    assert record.disk["Dagster"] > 0


def test_a_finding_stops_a_run_and_its_sentence_is_kept(house: House) -> None:
    def body(warehouse: Warehouse) -> None:
        with warehouse.stage("landing"):
            raise dg.Failure(description="The landing is empty.")

    record = house.run(body)
    assert (record.outcome, record.reason) == (Outcome.STOPPED, "The landing is empty.")


def test_a_crash_is_told_from_a_finding_and_shows_no_personal_data(house: House) -> None:
    def body(warehouse: Warehouse) -> None:
        with warehouse.stage("staging"):
            log.warning("somebody logs eva@lind.example")
            raise ValueError("Could not convert string 'Eva Lind' to INT32")

    record = house.run(body)
    assert record.outcome is Outcome.CRASHED
    assert record.reason == "ValueError: Could not convert string <hidden> to INT32"
    written = log_path(house.settings, record.run_id).read_text()
    written += RunRecord.path(house.settings, record.run_id).read_text()
    assert "somebody logs <hidden>" in written
    assert "Eva" not in written
    assert "lind.example" not in written


def test_an_error_outside_of_every_stage_is_a_crash_too(house: House) -> None:
    def body(warehouse: Warehouse) -> None:
        fine(warehouse)
        raise KeyError("oops")

    record = house.run(body)
    assert record.outcome is Outcome.CRASHED
    assert "oops" in record.reason


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("mail to Eva.Lind+news@mail.example.de bounced", "mail to <hidden> bounced"),
        ("call +49 170 6142562 now", "call <hidden> now"),
        ('invalid value "Eva" in stg_x', "invalid value <hidden> in stg_x"),
        ("marts.orders: 1 row of 2026-06-30 10:00", "marts.orders: 1 row of 2026-06-30 10:00"),
        ('table "orders" is missing', 'table "orders" is missing'),
    ],
)
def test_a_log_keeps_numbers_and_names_of_tables_but_no_values(said: str, kept: str) -> None:
    assert without_personal_data(said) == kept


def test_each_line_of_a_log_is_an_object_with_time_level_run_stage_and_message(
    house: House,
) -> None:
    record = house.run(fine)
    lines = [
        json.loads(line)
        for line in log_path(house.settings, record.run_id).read_text().splitlines()
    ]
    assert [line["message"] for line in lines] == [
        "run began",
        "landing ...",
        "landing ended",
        "run ended",
    ]
    for line in lines:
        assert line["at"].endswith("+00:00")
        assert line["level"] == "info"
        assert line["run_id"] == record.run_id
    assert lines[2]["stage"] == "landing"
    assert lines[2]["fields"]["rows"] == 7
    assert lines[-1]["fields"]["outcome"] == "built"


def test_a_killed_run_is_recognised_by_the_next_and_frees_the_queue_of_dagster(
    house: House,
) -> None:
    process = house.process(
        """
        with warehouse.stage("identity"):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert process.wait(timeout=120) == -signal.SIGKILL
    (left,), _ = read_ledger(house.settings)
    assert left.outcome is Outcome.RUNNING
    status = house.warehouse("status")
    assert status.exit_code == 1
    assert f"killed: process {process.pid} ended without a word, in identity" in status.output

    house.run(fine)
    killed = read_ledger(house.settings)[0][1]
    assert killed.run_id == left.run_id
    assert killed.outcome is Outcome.KILLED
    assert killed.reason == f"process {process.pid} ended without a word, in identity"
    prepare_dagster(house.settings)
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(killed.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert settle_dead_runs(instance, house.settings) == []


def test_records_that_are_broken_half_written_or_old_break_nothing(house: House) -> None:
    folder = runs_folder(house.settings)
    folder.mkdir()
    (folder / "half.json").write_text('{"run_id": "half", "as_o')
    (folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "older.json").write_text(json.dumps(RECORD_OF_AN_OLDER_VERSION))
    (folder / "newer.json").write_text(
        json.dumps(RECORD_OF_AN_OLDER_VERSION | {"run_id": "newer", "of_tomorrow": [1]})
    )
    records, broken = read_ledger(house.settings)
    assert [path.name for path in broken] == ["bytes.json", "half.json", "list.json"]
    assert {record.run_id[:5] for record in records} == {"0f6c0", "newer"}
    assert records[0].seconds == 2.5
    house.run(fine)
    assert len(read_ledger(house.settings)[0]) == 3
    assert "3 files in" in house.warehouse("status").output


def test_a_trouble_that_passes_is_waited_for_only_where_a_stage_may_be_repeated(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.run._PAUSE_SECONDS", 0.05)
    calls: list[str] = []

    def body_of(name: str, may_retry: bool, error: Exception) -> RunRecord:
        def body(warehouse: Warehouse) -> None:
            with warehouse.stage(name, may_retry=may_retry):
                calls.append(name)
                if calls.count(name) < 3:
                    raise error

        return house.run(body)

    away = OSError(116, "Stale file handle")
    assert body_of("landing", True, away).outcome is Outcome.BUILT
    assert calls.count("landing") == 3
    assert body_of("release", False, away).outcome is Outcome.CRASHED
    assert calls.count("release") == 1
    assert body_of("full disk", True, OSError(28, "No space left")).outcome is Outcome.STOPPED
    assert calls.count("full disk") == 1
    assert body_of("mistake", True, ValueError("wrong")).outcome is Outcome.CRASHED
    assert calls.count("mistake") == 1


def test_a_run_waits_for_somebody_who_only_asks(house: House) -> None:
    house.run(fine)
    asking, answered = threading.Event(), threading.Event()

    def ask() -> None:
        with no_run_beside(house.settings) as holder:
            assert holder is None
            asking.set()
            time.sleep(0.4)
            answered.set()

    asker = threading.Thread(target=ask)
    asker.start()
    assert asking.wait(timeout=10)
    with only_one_run(house.settings):
        assert answered.is_set()
        with no_run_beside(house.settings) as holder:
            assert holder == os.getpid()
    asker.join()
