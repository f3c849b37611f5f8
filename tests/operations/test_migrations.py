"""What older code has stored is brought up to this code, or refused, and never half of it."""

from pathlib import Path

import dagster as dg
import duckdb
import pytest

from orchestration.landing import FEEDS, create_raw_tables
from orchestration.operations.ledger import Outcome
from orchestration.operations.migrations import (
    MIGRATIONS,
    Migration,
    SchemaVersionError,
    migrate,
    schema_version,
)
from orchestration.run import Warehouse
from orchestration.sql import quoted
from tests.operations.conftest import House

# Version 1 as the code made it before it noted versions: copied, so that it stays what it was.
VERSION_1 = """
create schema raw;
create table raw.files (
    file_path varchar not null, feed varchar not null, content_hash varchar not null,
    size_bytes bigint not null, modified_at timestamp not null, modified_ns bigint not null,
    status varchar not null, line_count bigint not null, loaded_count bigint not null,
    new_row_count bigint not null, repeated_row_count bigint not null,
    rejected_count bigint not null, extra_columns varchar, missing_columns varchar,
    message varchar, seconds double not null, load_id varchar not null,
    loaded_at timestamp not null, is_present boolean not null
);
create table raw.rejects (
    feed varchar not null, source_file varchar not null, content_hash varchar not null,
    line_number bigint not null, line_text varchar not null, column_name varchar, value varchar,
    reason varchar not null, load_id varchar not null, loaded_at timestamp not null
);
create schema state;
create table state.builds (
    layer varchar, fingerprint varchar, left_behind varchar, is_whole boolean
);
create schema quality;
create table quality.gate_results (
    layer varchar not null, table_name varchar not null, expectation varchar not null,
    column_name varchar, severity varchar not null, is_success boolean not null,
    observed_value varchar, unexpected_count bigint, description varchar not null,
    checked_at timestamp not null
);
"""


def make_version_1(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(VERSION_1)
    for feed in FEEDS:
        columns = ", ".join(f"{quoted(column.name)} varchar" for column in feed.columns)
        connection.execute(
            f"create table raw.{quoted(feed.table)} ({columns}, _load_id varchar not null,"
            " _loaded_at timestamp not null, _source_file varchar not null,"
            " _row_hash uhugeint not null)"
        )


def layout(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    return connection.execute(
        "select schema_name, table_name, column_name, data_type, is_nullable::varchar"
        " from duckdb_columns() where schema_name in ('raw', 'state', 'quality') order by all"
    ).fetchall()


def test_a_database_of_the_version_before_becomes_what_a_new_one_is() -> None:
    with duckdb.connect() as old, duckdb.connect() as new:
        make_version_1(old)
        assert schema_version(old) == 1
        create_raw_tables(old)
        create_raw_tables(new)
        assert schema_version(old) == schema_version(new) == MIGRATIONS[-1].version
        missing = set(layout(new)) - set(layout(old))
        assert missing == set()
        create_raw_tables(old)
        noted = old.execute("select count(*) from state.schema_version").fetchone()
        assert noted == (len(MIGRATIONS),)


def test_versions_follow_each_other_without_a_gap() -> None:
    versions = [step.version for step in MIGRATIONS]
    assert versions == list(range(2, 2 + len(versions)))


def test_a_migration_takes_five_lines_and_meets_rows_of_the_version_before() -> None:
    steps = (
        *MIGRATIONS,
        Migration(
            MIGRATIONS[-1].version + 1,
            "the encoding of a file",
            "alter table raw.rejects add column encoding varchar default 'utf-8'",
        ),
    )
    with duckdb.connect() as connection:
        make_version_1(connection)
        connection.execute(
            "insert into raw.rejects values"
            " ('f', 'a', 'h', 1, 'x', null, null, 'r', 'l', timestamp '2026-01-01')"
        )
        migrate(connection, steps)
        assert connection.execute("select encoding from raw.rejects").fetchall() == [("utf-8",)]
        assert schema_version(connection) == steps[-1].version


def test_a_step_that_fails_leaves_the_version_before_it_whole() -> None:
    version = MIGRATIONS[-1].version
    steps = (
        *MIGRATIONS,
        Migration(version + 1, "half", "drop table raw.rejects; drop table raw.no_such"),
    )
    with duckdb.connect() as connection:
        make_version_1(connection)
        with pytest.raises(duckdb.Error, match="no_such"):
            migrate(connection, steps)
        assert schema_version(connection) == version
        assert connection.execute("select count(*) from raw.rejects").fetchone() == (0,)


def test_a_database_of_newer_code_stops_the_run_and_says_what_to_do(house: House) -> None:
    with duckdb.connect(str(house.settings.working_database)) as connection:
        create_raw_tables(connection)
        connection.execute("insert into state.schema_version values (99, now()::timestamp)")
        with pytest.raises(SchemaVersionError, match="schema version 99"):
            migrate(connection)

    def body(warehouse: Warehouse) -> None:
        with warehouse.stage("landing"):
            raise dg.Failure(description="the stage began")

    record = house.run(body)
    assert record.outcome is Outcome.STOPPED
    assert "has schema version 99, and this code knows versions up to" in record.reason
    assert "the next run makes it again from the landing" in record.reason
    checked = house.warehouse("doctor")
    assert checked.exit_code == 1
    assert "schema version 99" in checked.output


def test_the_first_stage_of_a_run_brings_the_database_up_and_says_so(
    house: House, tmp_path: Path
) -> None:
    with duckdb.connect(str(house.settings.working_database)) as connection:
        make_version_1(connection)

    def body(warehouse: Warehouse) -> None:
        with (
            warehouse.stage("staging"),
            duckdb.connect(str(warehouse.settings.working_database)) as connection,
        ):
            assert schema_version(connection) == MIGRATIONS[-1].version

    record = house.run(body)
    assert record.outcome is Outcome.BUILT
    said = (house.home / "logs" / f"{record.run_id}.jsonl").read_text()
    assert "brought up to schema version 2" in said
