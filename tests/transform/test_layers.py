"""When the stage of the marts may add to what its last build left, and what it leaves alone then.

A small project with the macros, settings and layers of the real one: one model of `intermediate`
that replaces the days that have changed, and a mart of it. Each row says how it was made.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.settings import Settings
from orchestration.transform.dbt import DBT_PROJECT, TransformError, parse
from orchestration.transform.layers import build_layer

FILES = {
    "models/_boards.yml": """
sources:
  - name: seen
    schema: staging
    tables: [{name: events}]
  - name: last_build
    schema: intermediate
    tables: [{name: int_days_counted}]
models:
  - name: days
    columns:
      - {name: event_date, data_type: date}
      - {name: event_count, data_type: bigint}
      - {name: is_added, data_type: boolean}
  - name: days_kept
    columns:
      - {name: event_date, data_type: date}
      - {name: is_added, data_type: boolean}
""",
    "models/intermediate/int_days_changed.sql": """
with days as (
    select event_date, count(*) as event_count from {{ source('seen', 'events') }} group by 1
)
{% if increment() %}
select coalesce(days.event_date, known.event_date) as event_date
from days
full outer join {{ source('last_build', 'int_days_counted') }} as known
    on days.event_date = known.event_date
where days.event_count is distinct from known.event_count
{% else %}
select event_date from days
{% endif %}
""",
    "models/intermediate/int_days_counted.sql": """
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    meta={'replaces': {'key': 'event_date', 'changed': 'int_days_changed'}}
) }}
select event_date, count(*) as event_count, {{ increment() }} as is_added
from {{ source('seen', 'events') }}
{{ only_changed('event_date', ref('int_days_changed')) }}
group by event_date
""",
    "models/marts/days.sql": "select * from {{ ref('int_days_counted') }}",
    "models/marts/days_kept.sql": """
{{ config(
    materialized='incremental',
    incremental_strategy='replace_changed',
    on_schema_change='fail',
    meta={'replaces': {'key': 'event_date', 'changed': 'int_days_changed'}}
) }}
select event_date, {{ increment() }} as is_added from {{ ref('days') }}
{{ only_changed('event_date', ref('int_days_changed')) }}
""",
}

ANEW = [("2026-01-01", 1, False), ("2026-01-02", 1, False)]


class Warehouse:
    """An installation of the small project with two events on two days."""

    def __init__(self, settings: Settings, manifest: Any) -> None:
        self.settings = settings
        self.manifest = manifest
        settings.home.mkdir()
        self.do("create schema staging")
        self.do("create table staging.events (event_date date)")
        self.do("insert into staging.events values ('2026-01-01'), ('2026-01-02')")

    def do(self, statement: str) -> None:
        with duckdb.connect(str(self.settings.working_database)) as connection:
            connection.execute(statement)

    def build(self, *only: str, anew: bool = False) -> list[tuple[Any, ...]]:
        """Build the stage; returns the rows of the mart: day, events, whether it was added."""
        build_layer(self.settings, self.manifest, "marts", only, anew=anew)
        with duckdb.connect(str(self.settings.candidate_database)) as connection:
            return connection.execute(
                "select event_date::varchar, event_count, is_added from marts.days order by all"
            ).fetchall()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The small project, parsed; dbt builds it instead of the real one."""
    folder = tmp_path_factory.mktemp("small") / "dbt_project"
    shutil.copytree(DBT_PROJECT / "macros", folder / "macros")
    for name in ("dbt_project.yml", "profiles.yml", "models/groups.yml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DBT_PROJECT / name, folder / name)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.transform.dbt.DBT_PROJECT", folder)
        yield parse(Settings(home=folder.parent / "home"))


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the code hash is; a test changes the code by changing it."""
    code = ["first"]
    monkeypatch.setattr("orchestration.transform.layers.code_hash", lambda: code[0])
    return code


@pytest.fixture
def warehouse(manifest: Any, code: list[str], tmp_path: Path) -> Warehouse:
    """Built once, and then one more event on the second day."""
    warehouse = Warehouse(Settings(home=tmp_path / "home"), manifest)
    assert warehouse.build() == ANEW
    warehouse.do("insert into staging.events values ('2026-01-02')")
    return warehouse


def test_after_a_whole_build_only_the_days_that_changed_are_made_and_the_mart_has_all(
    warehouse: Warehouse,
) -> None:
    assert warehouse.build() == [("2026-01-01", 1, False), ("2026-01-02", 2, True)]
    warehouse.do("delete from staging.events where event_date = '2026-01-01'")
    assert warehouse.build() == [("2026-01-02", 2, True)]


def kept(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """The mart that keeps its rows: day, whether it was added."""
    with duckdb.connect(str(warehouse.settings.candidate_database), read_only=True) as connection:
        return connection.execute(
            "select event_date::varchar, is_added from marts.days_kept order by all"
        ).fetchall()


def test_a_mart_keeps_the_rows_of_days_that_did_not_change(warehouse: Warehouse) -> None:
    warehouse.build()
    assert kept(warehouse) == [("2026-01-01", False), ("2026-01-02", True)]
    warehouse.do("delete from staging.events where event_date = '2026-01-01'")
    warehouse.build()
    assert kept(warehouse) == [("2026-01-02", True)]


@pytest.mark.parametrize("damage", ["lost", "written to", "half a file"])
def test_marts_that_are_not_as_the_last_build_left_them_are_made_anew(
    warehouse: Warehouse, damage: str
) -> None:
    candidate = warehouse.settings.candidate_database
    if damage == "lost":
        candidate.unlink()
    elif damage == "written to":
        with duckdb.connect(str(candidate)) as connection:
            connection.execute("delete from marts.days_kept")
    else:
        candidate.write_bytes(candidate.read_bytes()[: candidate.stat().st_size // 2])
    assert warehouse.build() == [("2026-01-01", 1, False), ("2026-01-02", 2, False)]
    assert kept(warehouse) == [("2026-01-01", False), ("2026-01-02", False)]


def test_other_code_makes_everything_anew(warehouse: Warehouse, code: list[str]) -> None:
    code[0] = "second"
    assert warehouse.build() == [("2026-01-01", 1, False), ("2026-01-02", 2, False)]
    assert warehouse.build() == [("2026-01-01", 1, False), ("2026-01-02", 2, False)]


def test_a_rebuild_makes_everything_anew_and_the_next_build_may_add_to_it(
    warehouse: Warehouse,
) -> None:
    assert warehouse.build(anew=True) == [("2026-01-01", 1, False), ("2026-01-02", 2, False)]
    warehouse.do("insert into staging.events values ('2026-01-01')")
    assert warehouse.build() == [("2026-01-01", 2, True), ("2026-01-02", 2, False)]


def test_after_a_build_that_did_not_finish_everything_is_made_anew(warehouse: Warehouse) -> None:
    warehouse.do("alter table staging.events rename to events_gone")
    with pytest.raises(TransformError, match="int_days_changed"):
        warehouse.build()
    warehouse.do("alter table staging.events_gone rename to events")
    assert warehouse.build() == [("2026-01-01", 1, False), ("2026-01-02", 2, False)]


def test_after_a_model_was_built_by_itself_everything_is_made_anew(warehouse: Warehouse) -> None:
    warehouse.build("days")
    assert warehouse.build() == [("2026-01-01", 1, False), ("2026-01-02", 2, False)]
