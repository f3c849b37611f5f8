"""What a published database holds, and a hash by which two releases can be compared.

The hash of a table speaks of its content, not of its file: any order of the rows, any number of
threads, a rebuild and another DuckDB version (1.3 to 2.0 tried) give the same one; a changed cell,
a duplicated row, another column name, type or order give another one. Each row becomes a text,
each text an MD5, and both halves of the MD5s are summed as integers of 128 bits, because a sum,
unlike an exclusive or, counts duplicates. That finds accidents; it is no seal against somebody who
may choose the rows.

The text of a row of (name varchar, city varchar, orders integer, amount decimal):

    3,-1|2|9.90|Ann

first the length in bytes of every text column (-1 is NULL, 0 is the empty text), then every other
column (nothing is NULL), then the texts themselves, so that no value can pose as a separator.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping

import duckdb
from pydantic import BaseModel, ConfigDict

from orchestration.database import DatabaseFile
from orchestration.keys import BadKeyError
from orchestration.sql import quoted

SCHEMA = "marts"

# Types that a Parquet file and a DuckDB 1.0 reader both carry without loss. Their text is never
# empty and never holds a `|`.
_PLAIN_TYPE = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|DECIMAL\(\d+,\d+\)|FLOAT|DOUBLE|UUID"
    r"|DATE|TIME|TIMESTAMP(_S|_MS|_NS)?|TIMESTAMP WITH TIME ZONE"
)
_TEXT_TYPE = re.compile(r"VARCHAR|BLOB|ENUM\(.*\)", re.DOTALL)


class ReleaseError(Exception):
    """A release that cannot be made, found or trusted; the sentence says why and what to do."""


_LOWER_HALF = f"{2**64 - 1}::uhugeint"


class ReleaseFile(DatabaseFile):
    """A file of a release; what is wrong with its key is wrong with the release."""

    def attach(self, connection: duckdb.DuckDBPyConnection, alias: str) -> None:
        """Attach the file for reading. Raises ReleaseError when its key is missing or wrong."""
        try:
            super().attach(connection, alias)
        except BadKeyError as error:
            raise ReleaseError(str(error)) from None


class Column(BaseModel):
    """A column as a reader of the published file sees it."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str


class Table(BaseModel):
    """A published table: its columns in order, how many rows, and the hash of all of them."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[Column, ...]
    row_count: int
    content_hash: str


def read_tables(
    connection: duckdb.DuckDBPyConnection,
    catalog: str,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Table]:
    """Describe every mart of an attached database, by name.

    Raises ReleaseError when there is no mart, when something else than marts would be published
    with them, or when a column has a type that not every reader gets exactly.
    """
    # Written into the text because the first bound parameter of a process imports pandas (0.5 s).
    strangers = connection.execute(
        f"""
        select 'table ' || schema_name || '.' || table_name from duckdb_tables()
        where database_name = '{catalog}' and schema_name <> '{SCHEMA}' and not internal
        union all
        select 'view ' || schema_name || '.' || view_name from duckdb_views()
        where database_name = '{catalog}' and not internal
        order by all
        """
    ).fetchall()
    if strangers:
        raise ReleaseError(
            f"The database holds {', '.join(name for (name,) in strangers)}, but only tables of "
            f"schema {SCHEMA} are gated and published. Build everything else in the working "
            "database, and marts as tables."
        )
    columns_by_table: dict[str, list[Column]] = {}
    for table, column, data_type in connection.execute(
        f"""
        select table_name, column_name, data_type from duckdb_columns()
        where database_name = '{catalog}' and schema_name = '{SCHEMA}'
        order by table_name, column_index
        """
    ).fetchall():
        columns_by_table.setdefault(table, []).append(Column(name=column, type=data_type))
    if not columns_by_table:
        raise ReleaseError(
            f"The database holds no table in schema {SCHEMA}. Build the marts first."
        )
    tables = {}
    for name, columns in columns_by_table.items():
        tables[name] = _read_table(connection, catalog, name, tuple(columns))
        progress(f"hashed {SCHEMA}.{name}, {tables[name].row_count:,} rows")
    return tables


def hash_tables(tables: Mapping[str, Table]) -> str:
    """One hash for all of a release: equal exactly when every table is."""
    return _sha256(sorted((name, table.content_hash) for name, table in tables.items()))


def _read_table(
    connection: duckdb.DuckDBPyConnection, catalog: str, name: str, columns: tuple[Column, ...]
) -> Table:
    row = connection.execute(
        f"""
        select
            count(*),
            coalesce(sum((row_hash & {_LOWER_HALF})::ubigint), 0),
            coalesce(sum((row_hash >> 64::uhugeint)::ubigint), 0)
        from (
            select md5_number({_row_text(name, columns)}) as row_hash
            from {quoted(catalog)}.{SCHEMA}.{quoted(name)}
        )
        """
    ).fetchone()
    assert row is not None  # noqa: S101  # an aggregate without groups has one row
    row_count, lower_sum, upper_sum = (int(value) for value in row)
    return Table(
        columns=columns,
        row_count=row_count,
        content_hash=_sha256(
            [[[c.name, c.type] for c in columns], row_count, lower_sum, upper_sum]
        ),
    )


def _row_text(table: str, columns: tuple[Column, ...]) -> str:
    """SQL of the text of a row; an expression per cell costs 0.05 to 0.1 µs of CPU."""
    texts: list[str] = []
    plains: list[str] = []
    for column in columns:
        cell = quoted(column.name)
        if _TEXT_TYPE.fullmatch(column.type):
            texts.append(f"hex({cell})" if column.type == "BLOB" else f"{cell}::varchar")
        elif not _PLAIN_TYPE.fullmatch(column.type):
            raise ReleaseError(
                f"Column {column.name} of {SCHEMA}.{table} has type {column.type}, which Parquet "
                "files or older readers cannot carry exactly. Cast it in the model: whole numbers "
                "to bigint or decimal(38, 0), anything nested to plain columns or text."
            )
        elif column.type in ("FLOAT", "DOUBLE"):
            plains.append(f"({cell} + 0)::varchar")  # -0.0 equals 0.0
        elif column.type == "TIMESTAMP WITH TIME ZONE":
            plains.append(f"timezone('UTC', {cell})::varchar")
        else:
            plains.append(f"{cell}::varchar")
    lengths = ", ".join(f"coalesce(strlen({text}), -1)" for text in texts)
    head = [f"concat_ws(',', {lengths})"] if texts else []
    middle = [f"'|', {plain}" for plain in plains]
    arguments = [*head, *middle, "'|'", *texts]
    return f"concat({', '.join(arguments)})"


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
