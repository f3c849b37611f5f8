"""`warehouse status`: quick, true beside a run, a word for each thing that needs a person."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest

from orchestration.landing import land
from orchestration.operations.freshness import feed_freshness
from orchestration.operations.ledger import FeedFreshness, Outcome, RunRecord, Stage
from orchestration.release import publish
from orchestration.settings import PROJECT_ROOT
from tests.operations.conftest import House

RELEASED_AT = datetime(2026, 6, 30, 4, tzinfo=UTC)


def release(house: House, as_of: date = date(2026, 6, 30)) -> None:
    settings = house.settings.model_copy(update={"as_of": as_of})
    with duckdb.connect() as connection:
        connection.execute(
            f"attach '{settings.candidate_database}' as candidate (storage_version 'v1.0.0')"
        )
        connection.execute("create schema candidate.marts")
        connection.execute("create table candidate.marts.customers as select '1' as customer_id")
    by = {"code_version": "abc"}
    publish(settings, gates=[], provenance=by, released_at=RELEASED_AT, roles=[])


def landed(house: House) -> None:
    with duckdb.connect(str(house.settings.working_database)) as connection:
        land(connection, house.installation.landing, load_id="1", loaded_at=datetime.now(UTC))


def recorded(house: House, **changes: Any) -> None:
    record = RunRecord(
        run_id="r1",
        as_of="2026-06-30",
        outcome=Outcome.RELEASED,
        began_at=datetime(2026, 6, 30, 3, 58, tzinfo=UTC),
        ended_at=RELEASED_AT,
        started_by="schedule every_morning",
        stages=[Stage(name="marts", seconds=100, cpu_seconds=90, peak_mib=512, rows=9)],
        feeds={"crm/contacts": FeedFreshness(rows=1, newest_record=RELEASED_AT)},
        gates=[{"layer": "marts", "passed": True, "check_count": 3, "warnings": []}],
        release={"id": "x", "rows": {"customers": 1}},
    )
    record.model_copy(update=changes).save(house.settings)


def status(house: House) -> dict[str, Any]:
    outcome = house.warehouse("status", "--json")
    said: dict[str, Any] = json.loads(outcome.output)
    assert outcome.exit_code == (0 if said["is_healthy"] else 1)
    return said


def test_a_healthy_installation_says_what_is_published_and_what_comes_next(house: House) -> None:
    release(house)
    landed(house)
    recorded(house)
    said = status(house)
    assert said["is_healthy"], said["attention"]
    assert said["release"]["as_of"] == "2026-06-30"
    assert said["release"]["customers"] == 1
    assert said["runs"][0]["seconds"] == 120
    assert said["runs"][0]["peak_mib"] == 512
    assert said["feeds"]["crm/contacts"]["rows"] == 1
    assert said["disk_bytes"]["releases"] > 0
    assert said["waiting"] == {"is_known": True, "files": [], "gone": []}
    shown = house.warehouse("status")
    assert shown.exit_code == 0
    for word in (
        "schedule every_morning",
        "crm/contacts",
        "marts passed",
        "nothing needs a person",
    ):
        assert word in shown.output
    assert "\x1b[" not in shown.output


def test_files_that_no_run_has_read_are_told(house: House) -> None:
    release(house)
    landed(house)
    recorded(house)
    house.installation.write("crm/contacts", "b.csv", [{"contact_id": "2"}])
    os.utime(house.installation.landing / "crm" / "contacts" / "a.csv", (1, 1))
    said = status(house)
    assert said["waiting"]["files"] == ["crm/contacts/a.csv", "crm/contacts/b.csv"]
    assert said["next_run"] == "a run would build and judge: 2 new or changed files"


def test_what_people_decided_is_told_until_a_run_has_followed_it(house: House) -> None:
    release(house)
    landed(house)
    recorded(house)
    house.settings.withdrawals.write_text("", encoding="ascii")
    assert "withdrawals of files" in status(house)["next_run"]
    recorded(house, run_id="r2", began_at=datetime.now(UTC), outcome=Outcome.STOPPED)
    assert "withdrawals of files" in status(house)["next_run"]
    recorded(house, run_id="r3", began_at=datetime.now(UTC), outcome=Outcome.UNCHANGED)
    assert "withdrawals of files" not in status(house)["next_run"]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(Outcome.STOPPED, "a gate said no"), (Outcome.CRASHED, "OSError: away")],
)
def test_a_last_run_that_released_nothing_needs_a_person(
    house: House, outcome: Outcome, reason: str
) -> None:
    release(house)
    landed(house)
    recorded(house, outcome=outcome, reason=reason)
    assert status(house)["attention"] == [f"The last run was {outcome}: {reason}"]


def test_a_release_that_is_days_behind_or_damaged_needs_a_person(house: House) -> None:
    assert status(house)["attention"] == ["Nothing is released yet: `make run`."]
    release(house, as_of=date(2026, 6, 27))
    landed(house)
    recorded(house)
    (behind,) = status(house)["attention"]
    assert behind.startswith("The release speaks of 2026-06-27, 3 days before 2026-06-30")
    manifest = house.home / "current" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{")
    (damaged,) = status(house)["attention"]
    assert "its manifest.json cannot be read" in damaged


def test_status_beside_a_run_that_writes_tells_process_and_stage(house: House) -> None:
    release(house)
    landed(house)
    process = house.process(
        """
        connection = duckdb.connect(str(warehouse.settings.working_database))
        with warehouse.stage("identity"):
            print("there", flush=True)
            time.sleep(300)
        """
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        house.installation.write("crm/contacts", "late.csv", [{"contact_id": "2"}])
        said = status(house)
        assert said["is_healthy"], said["attention"]
        assert said["process"] == process.pid
        assert said["running"]["stage"] == "identity"
        assert said["waiting"]["files"] == ["crm/contacts/late.csv"]
        assert f"process {process.pid}" in house.warehouse("status").output
        assert house.warehouse("doctor").exit_code == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("verb", ["status", "doctor"])
def test_who_asks_waits_for_no_slow_import(house: House, verb: str) -> None:
    """How many seconds that takes is the machine's business."""
    release(house)
    program = (
        f"import sys; from orchestration.cli import main; main(['{verb}']);"
        "print(sorted({'dagster', 'dbt', 'great_expectations', 'scipy'}"
        " & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        env=os.environ | {"WAREHOUSE_HOME": str(house.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.splitlines()[-1] == "[]"


def test_freshness_reads_what_is_new_and_ignores_times_to_come(house: House) -> None:
    with duckdb.connect() as connection:

        def load(number: int, *times: str) -> FeedFreshness:
            house.installation.write(
                "crm/contacts",
                f"{number}.csv",
                [{"contact_id": f"{number}-{at}", "updated_at": at} for at in times],
            )
            report = land(
                connection,
                house.installation.landing,
                load_id=str(number),
                loaded_at=datetime.now(UTC),
            )
            feeds = feed_freshness(connection, house.settings, report)
            assert list(feeds) == ["crm/contacts"]
            recorded(house, feeds=feeds)
            return feeds["crm/contacts"]

        first = load(1, "2026-05-01T10:00:00+02:00", "2999-01-01T00:00:00Z")
        assert first.newest_record == datetime(2026, 5, 1, 8, tzinfo=UTC)
        assert first.rows == 3
        assert first.newest_file is not None
        assert load(2, "2026-05-02T00:00:00Z").newest_record == datetime(2026, 5, 2, tzinfo=UTC)
        # an older record that comes late does not make the feed older
        assert load(3, "2026-01-01T00:00:00Z").newest_record == datetime(2026, 5, 2, tzinfo=UTC)
