"""The parts of the marts' benchmark that its figures stand on."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.bare import connect_bare, make_bare
from benchmarks.bench_marts import DifferentRowsError, _compare, main
from benchmarks.marts_world import World, add_day, write_world
from orchestration.landing.raw_tables import create_raw_tables
from orchestration.settings import Settings
from orchestration.sql import literal
from orchestration.transform.dbt import build, parse

WORLD = World(customers=3000, orders=30_000, events=60_000, as_of=date(2026, 6, 30))
KEYS = {
    "stg_crm__contacts": "contact_id",
    "stg_crm__opt_ins": "opt_in_id",
    "stg_mailing__consents": "consent_id",
    "stg_mailing__deliveries": "delivery_id",
    "stg_mailing__subscribers": "subscriber_id",
    "stg_mailing__suppressions": "suppression_id",
    "stg_pos__members": "member_id",
    "stg_pos__receipts": "receipt_id",
    "stg_shop__customers": "account_id",
    "stg_shop__order_lines": "order_id, line_number",
    "stg_shop__orders": "order_id",
    "stg_support__tickets": "ticket_id",
    "stg_surveys__responses": "response_id",
    "stg_web__events": "event_id",
}
HAPPENED = {
    "stg_mailing__deliveries": "occurred_at",
    "stg_pos__receipts": "purchased_at",
    "stg_shop__orders": "ordered_at",
    "stg_support__tickets": "opened_at",
    "stg_surveys__responses": "responded_at",
    "stg_web__events": "occurred_at",
}


@pytest.fixture(scope="module")
def staged(parsed_project: Path) -> Settings:
    """A working database with empty staging tables and the seeds."""
    settings = Settings(home=parsed_project.parent)
    with duckdb.connect(str(settings.working_database)) as connection:
        create_raw_tables(connection)
    build(settings, parse(settings), "staging")
    return settings


def world_of(staged: Settings, world: World, threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A database in memory with the staging tables of this world."""
    connection = duckdb.connect(config={"threads": threads})
    connection.execute(f"attach {literal(staged.working_database)} as empty (read_only)")
    for schema in ("staging", "reference"):
        connection.execute(f"create schema {schema}")
        for (table,) in connection.execute(
            "select table_name from duckdb_tables()"
            f" where database_name = 'empty' and schema_name = '{schema}'"
        ).fetchall():
            connection.execute(f"create table {schema}.{table} as from empty.{schema}.{table}")
    connection.execute("detach empty")
    write_world(connection, world)
    return connection


def ask(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return connection.execute(query).fetchall()[0][0]


def contents(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    return {
        table: ask(connection, f"select sum(hash(row_of)) from staging.{table} as row_of")
        for table in KEYS
    }


@pytest.fixture(scope="module")
def connection(staged: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with world_of(staged, WORLD) as connection:
        yield connection


def test_the_world_fills_every_column_of_every_staging_table(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    tables = connection.execute(
        "select table_name from duckdb_tables() where schema_name = 'staging'"
    ).fetchall()
    assert {table for (table,) in tables} == set(KEYS)
    for table in KEYS:
        columns = connection.table(f"staging.{table}").columns
        filled = ", ".join(f"count({column})" for column in columns)
        counts = connection.execute(f"select {filled} from staging.{table}").fetchall()[0]
        assert 0 not in counts, dict(zip(columns, counts, strict=True))


def test_the_world_is_as_large_as_asked_and_most_people_do_little_while_a_few_do_much(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    orders = ask(connection, "select count(*) from staging.stg_shop__orders") + ask(
        connection, "select count(*) from staging.stg_pos__receipts"
    )
    assert orders == pytest.approx(WORLD.orders, rel=0.05)
    events = ask(connection, "select count(*) from staging.stg_web__events")
    assert events == pytest.approx(WORLD.events, rel=0.1)
    usual, most = connection.execute(
        "select median(orders), max(orders) from (select count(*) as orders"
        " from staging.stg_shop__orders where account_id is not null group by account_id)"
    ).fetchall()[0]
    assert usual < 10
    assert most > 20 * usual


def test_nothing_of_the_world_happens_after_its_last_day(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for table, column in HAPPENED.items():
        late = f"select count(*) from staging.{table} where {column} >= '2026-07-01'"
        assert ask(connection, late) == 0, table


def test_threads_change_nothing_and_another_seed_changes_the_world(
    staged: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    with world_of(staged, WORLD, threads=1) as again:
        assert contents(again) == contents(connection)
    other = World(WORLD.customers, WORLD.orders, WORLD.events, WORLD.as_of, seed=8)
    with world_of(staged, other) as another:
        assert not set(contents(another).values()) & set(contents(connection).values())


def test_the_day_after_adds_its_share_with_new_keys_and_some_late_events(staged: Settings) -> None:
    with world_of(staged, WORLD) as connection:
        added = add_day(connection, WORLD, 0.1)
        assert added["stg_web__events"] == pytest.approx(WORLD.events * 0.1, rel=0.2)
        assert added["stg_crm__contacts"] > 0
        for table, key in KEYS.items():
            repeated = f"select count(*) - count(distinct ({key})) from staging.{table}"
            assert ask(connection, repeated) == 0, table
        days = dict(
            connection.execute(
                "select occurred_at::date::varchar, count(*) from staging.stg_web__events"
                " where session_id like 'v1%' and length(session_id) > 13"
                " and occurred_at >= '2026-06-28' group by 1"
            ).fetchall()
        )
        assert max(days) == "2026-07-01"
        assert 0 < sum(days.values()) - days["2026-07-01"] < 0.1 * days["2026-07-01"]


@pytest.fixture
def compiled(tmp_path: Path) -> Settings:
    """A home as dbt leaves it: a view, a table of it and a mart in Python, compiled."""
    settings = Settings(home=tmp_path)
    nodes = {}
    models = {
        "base": ("intermediate", "work", "view", "sql", "select 1 as number"),
        "twice": (
            *("intermediate", "work", "table", "sql"),
            "select 2 * number as number from work.intermediate.base",
        ),
        "told": (
            *("marts", "release_candidate", "table", "py"),
            "def model(dbt, session):\n    return dbt.ref('twice').project('number + 1 as number')"
            "\nclass dbtObj:\n    def __init__(self, load):\n"
            "        self.ref = lambda name: load(f'work.intermediate.{name}')\n",
        ),
    }
    before: list[str] = []
    for name, (folder, database, kind, ending, text) in models.items():
        path = f"models/{folder}/{name}.{ending}"
        written = tmp_path / "dbt" / "compiled" / "customer_warehouse" / path
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(text, encoding="utf-8")
        nodes[f"model.{name}"] = {
            "name": name,
            "resource_type": "model",
            "fqn": ["customer_warehouse", folder, name],
            "database": database,
            "schema": folder,
            "relation_name": f'"{database}"."{folder}"."{name}"',
            "config": {"materialized": kind},
            "depends_on": {"nodes": before},
            "original_file_path": path,
        }
        before = [f"model.{name}"]
    manifest = {"nodes": nodes, "metadata": {"project_name": "customer_warehouse"}}
    (tmp_path / "dbt" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return settings


def test_the_bare_script_makes_views_tables_and_python_models_in_order(compiled: Settings) -> None:
    with connect_bare(compiled, compiled.home) as connection:
        made = [model.name for model in make_bare(connection, compiled, ("intermediate", "marts"))]
        assert made == ["base", "twice", "told"]
        assert ask(connection, "select number from release_candidate.marts.told") == 3
        assert ask(connection, "select count(*) from duckdb_views() where view_name = 'base'") == 1


def test_the_bare_script_makes_only_the_folders_that_are_named(compiled: Settings) -> None:
    with connect_bare(compiled, compiled.home) as connection:
        made = [model.name for model in make_bare(connection, compiled, ("intermediate",))]
    assert made == ["base", "twice"]


def test_two_builds_with_other_rows_stop_the_bench_and_name_the_tables() -> None:
    _compare({"marts.a": [1, "x"]}, {"marts.a": [1, "x"]}, "bare")
    with pytest.raises(DifferentRowsError, match=r"bare, .* other rows: marts\.b, marts\.c"):
        _compare({"marts.b": [1, "x"]}, {"marts.b": [1, "y"], "marts.c": [0, "0"]}, "bare")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--customers", "0"], "'0' is not a whole number above 0"),
        (["--orders", "many"], "'many' is not a whole number above 0"),
        (["--increment", "1.5"], "'1.5' is not a share above 0 and up to 1"),
        (["--increment", "nan"], "'nan' is not a share above 0 and up to 1"),
    ],
)
def test_a_size_that_makes_no_sense_is_one_sentence_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert said in capsys.readouterr().err
