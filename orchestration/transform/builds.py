"""Whether a layer may add to the tables that its last build left, or has to make them anew.

The note is kept in the working database, beside the tables that it speaks of, so both are lost or
copied together. A build that was killed, or that made some tables only, leaves no whole build.
"""

import hashlib
from pathlib import Path

import duckdb

from orchestration.sql import literal, quoted, transaction


def open_build(
    connection: duckdb.DuckDBPyConnection, layer: str, fingerprint: str, found: str = ""
) -> bool:
    """Note that a layer is being built; returns whether an increment is allowed.

    connection: the working database. fingerprint: of all that makes the layer's tables what they
    are, except the rows that they read. found: of what the last build must have left outside its
    tables, see `close_build`. Allowed when the last build of the layer was closed with the same
    fingerprint and left what is found. Until `close_build` no other increment is allowed.
    """
    with transaction(connection):
        connection.execute("create schema if not exists state")
        connection.execute(
            "create table if not exists state.builds"
            " (layer varchar, fingerprint varchar, left_behind varchar, is_whole boolean)"
        )
        last = connection.execute(
            "select fingerprint, left_behind, is_whole from state.builds"
            f" where layer = {literal(layer)}"
        ).fetchall()
        void_build(connection, layer)
        connection.execute(
            f"insert into state.builds values ({literal(layer)}, {literal(fingerprint)}, '', false)"
        )
    return last == [(fingerprint, found, True)]


def close_build(connection: duckdb.DuckDBPyConnection, layer: str, left_behind: str = "") -> None:
    """Note that the build is whole, and what it left for the next one to find."""
    connection.execute(
        f"update state.builds set left_behind = {literal(left_behind)}, is_whole = true"
        f" where layer = {literal(layer)}"
    )


def void_build(connection: duckdb.DuckDBPyConnection, layer: str) -> None:
    """Note that some tables of the layer were built by themselves: the next build is a full one."""
    if connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'state' and table_name = 'builds'"
    ).fetchone():
        connection.execute(f"delete from state.builds where layer = {literal(layer)}")


def take_over(
    connection: duckdb.DuckDBPyConnection, layer: str, left_behind: str, instead: str
) -> None:
    """Note that something else stands now where the last build left what it did.

    For who has changed it so that the next build may add to it all the same. Nothing is noted when
    the last build had not left that.
    """
    if connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'state' and table_name = 'builds'"
    ).fetchone():
        connection.execute(
            f"update state.builds set left_behind = {literal(instead)}"
            f" where layer = {literal(layer)} and left_behind = {literal(left_behind)}"
        )


def version_of(database: Path) -> str:
    """Return what is other after every write to a DuckDB file; empty when there is none.

    Its first 12 KiB are the headers, and each checkpoint counts up in one of them.
    """
    if not database.exists():
        return ""
    with database.open("rb") as file:
        headers = file.read(3 * 4096)
    return f"{database.stat().st_size} {hashlib.sha256(headers).hexdigest()}"


def drop_leftovers(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop what dbt made on the way and did not clear.

    A killed run leaves tables under way, or those that were to be replaced; an increment of a
    Python model leaves its new rows in a table of schema main.
    """
    left = connection.execute(
        "select schema_name, table_name from duckdb_tables()"
        " where database_name = current_database()"
        " and regexp_matches(table_name, '__dbt_(backup|tmp)')"
    ).fetchall()
    for schema, table in left:
        connection.execute(f"drop table {quoted(schema)}.{quoted(table)}")
