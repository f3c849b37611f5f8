"""The few things that every room does with a DuckDB connection."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb


def quoted(name: str) -> str:
    """Return a name as an SQL identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | Path) -> str:
    """Return a text or path as an SQL literal, for statements that take no parameters."""
    return "'" + str(text).replace("'", "''") + "'"


def rows(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a query by column name."""
    cursor = connection.execute(query, parameters or {})
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block does as one, or leave nothing of it."""
    connection.begin()
    try:
        yield
    except BaseException:
        # After a fatal error DuckDB has no transaction left; the first error matters.
        with contextlib.suppress(duckdb.Error):
            connection.rollback()
        raise
    connection.commit()
