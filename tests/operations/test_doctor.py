"""`warehouse doctor`: each thing that would stop a run is found, with what to do about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from orchestration.operations import doctor
from tests.operations.conftest import House


def findings(house: House) -> dict[str, dict[str, str]]:
    outcome = house.warehouse("doctor", "--json")
    said: dict[str, Any] = json.loads(outcome.output)
    assert outcome.exit_code == (1 if said["errors"] else 0)
    worst: dict[str, dict[str, str]] = {}
    for finding in said["findings"]:
        order = ["ok", "warning", "error"]
        before = worst.get(finding["check"])
        if before is None or order.index(finding["level"]) > order.index(before["level"]):
            worst[finding["check"]] = finding
    return worst


def test_a_new_installation_has_nothing_to_fix_but_that_nothing_is_released(house: House) -> None:
    found = findings(house)
    assert {name for name, finding in found.items() if finding["level"] != "ok"} == {"release"}
    assert len(found) == 24
    shown = house.warehouse("doctor")
    assert shown.exit_code == 0
    assert "0 errors" in shown.output


def break_landing(house: House, patch: pytest.MonkeyPatch) -> None:
    (house.installation.landing / "crm" / "contacts").rename(house.home / "elsewhere")


def break_database(house: House, patch: pytest.MonkeyPatch) -> None:
    house.settings.working_database.write_bytes(b"no database" * 1000)


def break_withdrawals(house: House, patch: pytest.MonkeyPatch) -> None:
    (house.settings.home / "withdrawals.csv").write_text("what is this\n")


def break_decisions(house: House, patch: pytest.MonkeyPatch) -> None:
    house.settings.decisions.write_text("what is this\n1,2,3\n")


def break_rectifications(house: House, patch: pytest.MonkeyPatch) -> None:
    house.settings.rectifications.write_text("what is this\n")


def break_link(house: House, patch: pytest.MonkeyPatch) -> None:
    house.settings.current.symlink_to("releases/20260101T000000Z-00000000")


def break_dagster(house: House, patch: pytest.MonkeyPatch) -> None:
    path = house.home / "dagster" / "history" / "runs.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no sqlite" * 1000)


def break_packages(house: House, patch: pytest.MonkeyPatch) -> None:
    lock = house.home / "requirements.lock"
    lock.write_text("duckdb==0.1.0 \\\n    --hash=sha256:0\nno-such-package==1.0 \\\n")
    patch.setattr(doctor, "LOCK", lock)


def break_suites(house: House, patch: pytest.MonkeyPatch) -> None:
    suites = house.home / "suites"
    suites.mkdir()
    (suites / "landing.yml").write_text("- table: [")
    patch.setattr(doctor, "SUITES", suites)


def break_reference(house: House, patch: pytest.MonkeyPatch) -> None:
    folder = house.home / "reference"
    folder.mkdir()
    (folder / "nicknames.csv").write_text("name,formal\nlisa\n")
    patch.setattr(doctor, "REFERENCE", folder)


def break_network(house: House, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(doctor, "_file_system", lambda path: "nfs4")


def break_disk(house: House, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=9, used=8, free=1))


@pytest.mark.parametrize(
    ("damage", "check", "said"),
    [
        (break_landing, "landing", "contains no feed"),
        (break_database, "working database", "cannot be opened"),
        (break_decisions, "decisions", "decisions.csv"),
        (break_rectifications, "decisions", "rectifications.csv"),
        (break_withdrawals, "decisions", "withdrawals.csv"),
        (break_link, "release", "which is gone"),
        (break_dagster, "Dagster's storage", "is damaged"),
        (break_packages, "packages", "missing: no-such-package"),
        (break_suites, "suites", "landing.yml is not YAML"),
        (break_reference, "reference data", "nicknames.csv:2 has another number of fields"),
        (break_network, "home", "is on a network drive"),
        (break_disk, "disk", "a run may need"),
    ],
)
def test_what_would_stop_a_run_is_an_error_with_a_remedy(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[House, pytest.MonkeyPatch], None],
    check: str,
    said: str,
) -> None:
    damage(house, monkeypatch)
    found = findings(house)
    assert found[check]["level"] == "error", found[check]
    assert said in found[check]["found"]
    assert found[check]["remedy"].endswith(".")
    others = {n for n, finding in found.items() if finding["level"] == "error"} - {check}
    assert not others - {"as-of day"}


@pytest.mark.parametrize(
    ("variables", "check", "said"),
    [
        ({"WAREHOUSE_MEMORY_LIMIT": "9000GiB"}, "memory", "DuckDB may take 9000GiB"),
        ({"WAREHOUSE_THREADS": "256"}, "settings", "256 threads on"),
        ({"WAREHOUSE_LANDINGS": "x"}, "settings", "WAREHOUSE_LANDINGS means nothing"),
    ],
)
def test_settings_that_do_not_fit_are_a_warning(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    check: str,
    said: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = findings(house)
    assert found[check]["level"] == "warning"
    assert said in found[check]["found"]


def test_what_killed_runs_and_newer_code_left_is_told(house: House) -> None:
    (house.home / ".landing-abc").mkdir()
    with duckdb.connect(str(house.settings.working_database)) as connection:
        connection.execute("create schema state")
        connection.execute("create table state.schema_version as select 99 as version")
    found = findings(house)
    assert ".landing-abc" in found["left behind"]["found"]
    assert found["working database"]["level"] == "error"
    assert "schema version 99" in found["working database"]["found"]


def test_a_home_inside_the_landing_is_an_error(tmp_path: Path, house: House) -> None:
    inside = house.installation.landing / "home"
    inside.mkdir()
    moved = House(type(house.installation)(house.installation.landing, inside))
    assert findings(moved)["settings"]["level"] == "error"
