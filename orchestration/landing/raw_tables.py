"""The tables of schema `raw`, and a fingerprint of what is in them."""

from collections.abc import Sequence

import duckdb

from orchestration.landing.feeds import FEEDS, Feed
from orchestration.landing.quarantine import create_quarantine
from orchestration.operations.migrations import migrate
from orchestration.sql import literal, quoted, transaction


def create_raw_tables(connection: duckdb.DuckDBPyConnection, feeds: Sequence[Feed] = FEEDS) -> None:
    """Create schema `raw` with the table of every feed, the manifest, rejects and quarantine.

    Safe to repeat. What an older version of the code has stored is brought up to this one first,
    a column that the contract gained is added to a table that exists, and one that has lost its
    purpose is emptied.
    """
    migrate(connection)
    with transaction(connection):
        connection.execute("create schema if not exists raw")
        known = set(
            connection.execute(
                "select table_name, column_name from duckdb_columns()"
                " where schema_name = 'raw' and database_name = current_database()"
            ).fetchall()
        )
        tables = {table for table, _ in known}
        for feed in feeds:
            columns = ", ".join(f"{quoted(column.name)} varchar" for column in feed.columns)
            connection.execute(
                f"create table if not exists raw.{quoted(feed.table)} ({columns},"
                " _load_id varchar not null, _loaded_at timestamp not null,"
                " _source_file varchar not null, _row_hash uhugeint not null)"
            )
            for column in feed.columns:
                if feed.table in tables and (feed.table, column.name) not in known:
                    connection.execute(
                        f"alter table raw.{quoted(feed.table)}"
                        f" add column {quoted(column.name)} varchar"
                    )
        connection.execute(_CREATE_FILES)
        connection.execute(_CREATE_REJECTS)
        create_quarantine(connection)
        for feed in feeds:
            for name in sorted(feed.purposeless):
                _forget_values(connection, feed, name)


def _forget_values(connection: duckdb.DuckDBPyConnection, feed: Feed, name: str) -> None:
    """Empty a column, here and in the quarantine.

    The hashes of rows stay, so a row that has landed is not landed again when the column gets a
    purpose once more: values that were forgotten come back with a new working database only.
    """
    column = quoted(name)
    connection.execute(
        f"update raw.{quoted(feed.table)} set {column} = null where {column} is not null"
    )
    connection.execute(
        "update raw.quarantine"
        f" set row_values = json_merge_patch(row_values, json_object({literal(name)}, null))"
        f" where feed = {literal(feed.name)} and (row_values ->> {literal(name)}) is not null"
    )


_CREATE_FILES = """
create table if not exists raw.files (
    file_path varchar not null,
    feed varchar not null,
    content_hash varchar not null,
    size_bytes bigint not null,
    modified_at timestamp not null,
    modified_ns bigint not null,
    status varchar not null,
    line_count bigint not null,
    loaded_count bigint not null,
    new_row_count bigint not null,
    repeated_row_count bigint not null,
    rejected_count bigint not null,
    extra_columns varchar,
    missing_columns varchar,
    message varchar,
    seconds double not null,
    load_id varchar not null,
    loaded_at timestamp not null,
    is_present boolean not null,
    read_columns varchar,
    accepted_columns varchar,
    drift varchar,
    contract varchar,
    forgotten_count bigint default 0,
    expired_count bigint default 0
)
"""

_CREATE_REJECTS = """
create table if not exists raw.rejects (
    feed varchar not null,
    source_file varchar not null,
    content_hash varchar not null,
    line_number bigint not null,
    line_text varchar not null,
    column_name varchar,
    value varchar,
    reason varchar not null,
    load_id varchar not null,
    loaded_at timestamp not null
)
"""


def landing_state(connection: duckdb.DuckDBPyConnection) -> str:
    """Return a fingerprint of what is in raw: 64 bits as hex, the same for the same content.

    Covers the rows of every feed, the rejected lines and the refused files that are present; not
    when, in which order or in which files they came. Reads 16 bytes per row: 10M rows in 0.1 s.
    """
    tables = connection.execute(
        "select table_name from duckdb_tables() where schema_name = 'raw'"
        " and database_name = current_database() and contains(table_name, '__') order by 1"
    ).fetchall()
    parts = [
        # Row hashes are unique within a table, so they cannot cancel each other out.
        f"select '{table}' as part, count(*)::varchar as size, bit_xor(_row_hash)::varchar as sum"
        f" from raw.{quoted(table)}"
        for (table,) in tables
    ]
    parts += [
        "select 'rejects', count(*)::varchar,"
        " sum(hash(feed, line_text, column_name, value, reason)::hugeint)::varchar"
        " from raw.rejects",
        "select 'refused', count(*)::varchar, sum(hash(feed, content_hash)::hugeint)::varchar"
        " from raw.files where status = 'refused' and is_present",
    ]
    query = " union all ".join(parts)
    row = connection.execute(
        f"select md5(string_agg(concat_ws(' ', part, size, sum), ',' order by part))"
        f" from ({query}) where size <> '0'"
    ).fetchone()
    return str(row[0])[:16] if row and row[0] else "0" * 16
