"""The steps of `bench_marts`, each run in a process of its own (`python -m`, see measuring)."""

import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.bare import connect_bare, make_bare
from benchmarks.marts_world import World, add_day, write_world
from benchmarks.measuring import Meter, answer
from benchmarks.people import open_working_database
from orchestration.database import DatabaseFile
from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
)
from orchestration.landing.raw_tables import create_raw_tables
from orchestration.release import Manifest
from orchestration.report.reports import PAGE, RunFacts, write_report
from orchestration.settings import Settings
from orchestration.sql import literal, quoted
from orchestration.transform.dbt import build, parse
from orchestration.transform.layers import build_layer

# Folders of dbt_project/models that are built by the stage of the marts.
STAGE = ("intermediate", "marts")

# The two databases as the last day left them, beside those that are built.
DAY_BEFORE = "day_before"
# A digest of the Python file that rated a comment; dbt runs another one than it compiles.
RATED_BY = "rated_by"

Costs = list[tuple[str, str, float]]


def settings_of(home: str | Path, as_of: str | date) -> Settings:
    """Settings of a home of the benchmark; nothing of the caller's own warehouse shows through."""
    home = Path(home)
    return Settings(
        landing=home / "landing",
        home=home,
        decisions=home / "decisions.csv",
        as_of=date.fromisoformat(str(as_of)),
    )


def world(meter: Meter, home: str, as_of: str, size: Mapping[str, int]) -> dict[str, int]:
    """Write a world; returns the rows of its staging tables.

    size: customers, orders, events and seed. The tables get the columns that the staging models
    give them: the models are built on nothing and filled then.
    """
    settings = settings_of(home, as_of)
    settings.home.mkdir(parents=True)
    with open_working_database(settings) as connection:
        create_raw_tables(connection)
        load_released_ids(connection, None)
        load_steward_decisions(connection, settings.decisions)
        load_rectifications(connection, settings.rectifications)
    build(settings, parse(settings), "staging")
    with meter.phase("world"), connect(settings) as connection:
        return write_world(connection, World(**size, as_of=settings.as_of))


def next_day(
    meter: Meter, home: str, as_of: str, size: Mapping[str, int], share: float
) -> dict[str, int]:
    """Keep what the last day built and add what the day `as_of` brings; returns new rows."""
    settings = settings_of(home, as_of)
    (settings.home / DAY_BEFORE).mkdir()
    for database in (settings.candidate_database, settings.working_database):
        shutil.copyfile(database, settings.home / DAY_BEFORE / database.name)
    with meter.phase("next day"), connect(settings) as connection:
        load_released_ids(connection, DatabaseFile(settings.candidate_database))
        last_day = settings.as_of - timedelta(days=1)
        return add_day(connection, World(**size, as_of=last_day), share)


def built(meter: Meter, home: str, as_of: str, layer: str, anew: bool = False) -> Costs:
    """Build identity or marts as a run does; returns schema, name and CPU seconds of each model."""
    settings = settings_of(home, as_of)
    with meter.phase("start"):
        manifest = parse(settings)
    with meter.phase(layer):
        nodes = build_layer(settings, manifest, layer, anew=anew)
    return [(node.schema, node.name, node.cpu_seconds) for node in nodes]


def bare(meter: Meter, home: str, as_of: str) -> Costs:
    """Make the marts of this home again, from the same tables by one bare connection."""
    settings = settings_of(home, as_of)
    settings.candidate_database.unlink()
    with open_working_database(settings) as connection:
        connection.execute("drop schema if exists intermediate cascade")
    with meter.phase("bare"), connect_bare(settings, settings.home) as connection:
        return [
            (model.schema, model.name, model.cpu_seconds)
            for model in make_bare(connection, settings, STAGE)
        ]


def writing(meter: Meter, home: str, as_of: str) -> None:
    """Copy the finished marts into a file of their own: what writing them alone costs."""
    settings = settings_of(home, as_of)
    copied = settings.home / "copied"
    copied.mkdir()
    name = settings.candidate_database.stem
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(settings.candidate_database)} (read_only)")
        connection.execute(f"set memory_limit = {literal(settings.memory_limit)}")
        connection.execute(f"set threads = {settings.threads}")
        connection.execute("set preserve_insertion_order = false")
        with meter.phase("writing"):
            connection.execute(
                f"attach {literal(copied / 'copy.duckdb')} as copied (storage_version 'v1.0.0')"
            )
            connection.execute(f"copy from database {name} to copied")
            connection.execute("detach copied")
    shutil.rmtree(copied)


def report(meter: Meter, home: str, as_of: str) -> int:
    """Write the report of the finished marts, as a release does; returns the bytes of its page."""
    settings = settings_of(home, as_of)
    folder = settings.home / "report"
    folder.mkdir()
    manifest = Manifest(
        release_id="20260630T040000Z-00000000",
        as_of=settings.as_of,
        released_at=datetime.combine(settings.as_of, time(4), UTC),
        replaces=None,
        content_hash="",
        tables={},
        files={},
        gates=[],
        provenance={},
    )
    with meter.phase("report"), duckdb.connect() as connection:
        connection.execute(f"attach {literal(settings.candidate_database)} as release (read_only)")
        connection.execute(f"set memory_limit = {literal(settings.memory_limit)}")
        connection.execute(f"set threads = {settings.threads}")
        write_report(connection, manifest, folder, run=RunFacts(), before=None)
    return (folder / PAGE).stat().st_size


def changed_rows(meter: Meter, home: str, as_of: str) -> dict[str, tuple[int, int]]:
    """Return of each table its rows, and those of them that it did not hold the day before.

    A row of which only the as-of date is another one counts as the same.
    """
    settings = settings_of(home, as_of)
    found: dict[str, tuple[int, int]] = {}
    with meter.phase("changed rows"), duckdb.connect() as connection:
        connection.execute(f"set memory_limit = {literal(settings.memory_limit)}")
        connection.execute(f"set threads = {settings.threads}")
        for database in (settings.candidate_database, settings.working_database):
            before = settings.home / DAY_BEFORE / database.name
            connection.execute(f"attach {literal(database)} as today (read_only)")
            connection.execute(f"attach {literal(before)} as before (read_only)")
            tables = connection.execute(
                "select schema_name, table_name from duckdb_tables() where database_name = 'today'"
                " and schema_name in ('intermediate', 'marts') order by all"
            ).fetchall()
            for schema, table in tables:
                now, then = (
                    f"(select hash(row_of) as row_hash from (select columns(lambda name: name"
                    f" not in ('as_of_date', '{RATED_BY}')) from {side}.{schema}.{quoted(table)})"
                    " as row_of)"
                    for side in ("today", "before")
                )
                found[f"{schema}.{table}"] = connection.execute(
                    "select count(*), count(*) filter (where before.row_hash is null)"
                    f" from {now} as now left join (select distinct row_hash from {then})"
                    " as before using (row_hash)"
                ).fetchall()[0]
            connection.execute("detach today")
            connection.execute("detach before")
    return found


def fingerprints(meter: Meter, home: str, as_of: str) -> dict[str, tuple[int, str]]:
    """Rows and a sum of hashes of every table of the stage, in any order of the rows."""
    settings = settings_of(home, as_of)
    found: dict[str, tuple[int, str]] = {}
    with meter.phase("fingerprints"), connect(settings) as connection:
        connection.execute(f"attach {literal(settings.candidate_database)} (read_only)")
        tables = connection.execute(
            "select database_name, schema_name, table_name from duckdb_tables()"
            " where schema_name in ('intermediate', 'marts') order by all"
        ).fetchall()
        for database, schema, table in tables:
            relation = ".".join(quoted(part) for part in (database, schema, table))
            rows, content = connection.execute(
                "select count(*), coalesce(sum(hash(row_of)), 0) from"
                f" (select columns(lambda name: name <> '{RATED_BY}') from {relation}) as row_of"
            ).fetchall()[0]
            found[f"{schema}.{table}"] = (rows, str(content))
    return found


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Open the working database with the limits of a run."""
    connection = open_working_database(settings)
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"set memory_limit = {literal(settings.memory_limit)}")
    connection.execute(f"set threads = {settings.threads}")
    return connection


STEPS: Mapping[str, Any] = {
    "world": world,
    "next_day": next_day,
    "built": built,
    "bare": bare,
    "writing": writing,
    "report": report,
    "changed_rows": changed_rows,
    "fingerprints": fingerprints,
}

if __name__ == "__main__":
    answer(STEPS)
