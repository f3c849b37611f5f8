"""What every run adds to the disk is bounded, and nothing that is needed is deleted."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.landing import land
from orchestration.operations import retention
from orchestration.operations.ledger import Outcome, read_ledger
from orchestration.run import Warehouse
from orchestration.settings import PROJECT_ROOT, Settings
from tests.operations.conftest import House

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def write_and_log(warehouse: Warehouse) -> None:
    settings = warehouse.settings
    with warehouse.stage("landing"), duckdb.connect(str(settings.working_database)) as connection:
        connection.execute("create or replace table t as select range from range(1000)")


def files_and_bytes(home: Path) -> tuple[int, int]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def test_after_thirty_runs_files_bytes_and_handles_are_those_after_ten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_KEEP_RUNS", "4")
    sizes: list[tuple[int, int]] = []
    handles: list[int] = []
    for _ in range(30):
        assert house.run(write_and_log).outcome is Outcome.BUILT
        sizes.append(files_and_bytes(house.home))
        handles.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - names are enough
    assert len(read_ledger(house.settings)[0]) == 4
    assert len(list((house.home / "logs").iterdir())) == 4
    assert sizes[29][0] == sizes[9][0]
    assert sizes[29][1] <= 1.05 * sizes[9][1]
    assert handles[29] <= handles[9]
    assert not list(house.home.rglob("*.wal"))


def reject(house: House, name: str, days_ago: int, connection: duckdb.DuckDBPyConnection) -> None:
    house.installation.write(
        "crm/contacts",
        name,
        [
            {"contact_id": f"{name}-1", "updated_at": "2026-05-01T00:00:00Z"},
            {"contact_id": f"{name}-2", "updated_at": "no time"},
        ],
    )
    load(house, connection, days_ago)


def load(house: House, connection: duckdb.DuckDBPyConnection, days_ago: int = 0) -> None:
    land(
        connection,
        house.installation.landing,
        load_id=f"{days_ago}",
        loaded_at=NOW - timedelta(days=days_ago),
    )


def test_what_stood_in_rejected_lines_of_files_that_are_gone_is_forgotten_and_still_counted(
    house: House,
) -> None:
    landing = house.installation.landing / "crm" / "contacts"
    with duckdb.connect() as connection:
        reject(house, "old_and_gone.csv", 100, connection)
        reject(house, "old_and_there.csv", 99, connection)
        reject(house, "young_and_gone.csv", 10, connection)
        content = (landing / "old_and_gone.csv").read_bytes()
        (landing / "old_and_gone.csv").unlink()
        (landing / "young_and_gone.csv").unlink()
        load(house, connection)
        assert retention.forget_rejects(connection, 90, NOW) == 1
        assert retention.forget_rejects(connection, 90, NOW) == 0

        def rejected() -> list[tuple[str, str, str]]:
            return connection.execute(
                "select parse_filename(source_file), line_text || coalesce(value, ''), reason"
                " from raw.rejects order by 1"
            ).fetchall()

        forgotten, *kept = rejected()
        assert forgotten == ("old_and_gone.csv", "", retention.FORGOTTEN)
        assert [file for file, *_ in kept] == ["old_and_there.csv", "young_and_gone.csv"]
        assert all("no time" in text for _, text, _ in kept)

        (landing / "old_and_gone.csv").write_bytes(content)
        load(house, connection)
        assert rejected() == [forgotten, *kept]
        (rows,) = connection.execute("select count(*) from raw.crm__contacts").fetchone() or ()
        assert connection.execute(
            "select sum(new_row_count), sum(rejected_count) from raw.files"
        ).fetchone() == (rows, 3)


def test_of_databases_that_were_set_aside_only_the_newest_of_each_stays(house: House) -> None:
    for number, name in enumerate(
        ["work.duckdb.damaged-1", "work.duckdb.damaged-2", "release_candidate.duckdb.old"]
    ):
        path = house.home / name
        path.write_bytes(b"x")
        os.utime(path, (time.time() + number, time.time() + number))
    for name in ("work.duckdb", "work.duckdb.wal", "decisions.csv"):
        (house.home / name).write_bytes(b"x")
    (house.home / "work.duckdb.tmp").mkdir()
    deleted = retention.tidy(house.settings)
    assert sorted(deleted) == ["work.duckdb.damaged-1", "work.duckdb.tmp"]
    left = {path.name for path in house.home.iterdir()}
    assert {"work.duckdb", "work.duckdb.wal", "decisions.csv", "work.duckdb.damaged-2"} <= left


def test_reports_to_people_stay_thirty_days(house: House) -> None:
    reports = house.settings.reports
    reports.mkdir()
    for name, days in (("cus_a.json", 31), ("cus_a.html", 31), ("cus_b.json", 29)):
        (reports / name).write_text("x")
        written = time.time() - days * 86_400
        os.utime(reports / name, (written, written))
    assert sorted(retention.tidy(house.settings)) == ["reports/cus_a.html", "reports/cus_a.json"]
    assert [path.name for path in reports.iterdir()] == ["cus_b.json"]


def test_every_rule_with_a_setting_is_in_the_table_of_settings() -> None:
    table = (PROJECT_ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    variables = {f"WAREHOUSE_{name.upper()}" for name in Settings.model_fields}
    assert len(retention.RULES) >= 8
    for rule in retention.RULES:
        rule.kept.format(**Settings().model_dump())
        if rule.setting is not None:
            assert rule.setting in variables
            assert f"`{rule.setting}`" in table
