"""Forgotten people taken out of DuckDB files that are not `raw`: marts, models, state, history.

No list of tables says where a person may stand: every text of every table is looked at. A row in
which a customer, record or order of theirs is named goes. Where one of their texts stands within a
longer one, it is masked. DuckDB does not overwrite freed blocks, so every file is written anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.privacy.identifiers import ORDER, PSEUDONYM, RECEIPT, keyed_sql
from orchestration.privacy.people import People
from orchestration.privacy.scanning import Scanner
from orchestration.privacy.tombstones import FORGOTTEN, Tombstones
from orchestration.sql import literal, quoted

# What stays of a row of theirs in a fact of the marts, by table; the same as a landing leaves
# (identifiers.RULES), so a release that was rewritten equals one that was built afterwards.
_NOBODY = "null::varchar"
_DAY = "date_trunc('day', ordered_at)::timestamp"
_ANONYMISED = {
    "orders": {
        "customer_id": _NOBODY,
        "source_record_id": _NOBODY,
        "order_key": "{order_key}",
        "ordered_at": _DAY,
        "is_guest_order": "false",
    },
    "order_lines": {
        "customer_id": _NOBODY,
        "order_key": "{order_key}",
        "order_line_key": "{order_key} || ':' || line_number",
        "ordered_at": _DAY,
    },
}
# Columns of others' rows that may name them: another life's note of where somebody came from.
_MENTIONED = {"customer_id_history": ("other_customer_id",)}


@dataclass(frozen=True)
class Forgotten:
    """The people who have to go, and what finds them; one for a whole erasure."""

    people: People
    scanner: Scanner
    tombstones: Tombstones

    def edit_marts(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Fill database `release` with the marts of database `before` without them.

        Returns whether cells were masked: as they were, they are in the file still, until it is
        written anew.
        """
        self._enter(connection)
        connection.execute("create schema if not exists release.marts")
        for table, columns in text_columns(connection, "before", "marts").items():
            connection.execute(
                f"create table release.marts.{quoted(table)} as {_selection(table, columns)}"
            )
        return self._mask(connection, "release", ["marts"]) > 0

    def purge(self, connection: duckdb.DuckDBPyConnection, schemas: Sequence[str]) -> int:
        """Delete their rows from schemas of the database that is open, mask what is left.

        Returns how many rows went. The file has to be written anew afterwards: `rewrite_file`.
        """
        self._enter(connection)
        ((database,),) = connection.execute("select current_database()").fetchall()
        count = 0
        for schema in schemas:
            texts = text_columns(connection, database, schema)
            keys = key_columns(connection, database, schema)
            for table in sorted({*texts, *keys}):
                asked = [
                    f"{quoted(column)} in (select name from temp.forgotten_names)"
                    for column in texts.get(table, ())
                ]
                asked += [
                    f"{quoted(column)} in (select key from temp.forgotten_keys)"
                    for column in keys.get(table, ())
                ]
                if asked:
                    row = connection.execute(
                        f"delete from {quoted(schema)}.{quoted(table)} where {' or '.join(asked)}"
                    ).fetchone()
                    count += int(row[0]) if row else 0
        self._mask(connection, database, schemas)
        return count

    def _enter(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.tombstones.enter(connection)
        connection.execute("create or replace temp table forgotten_names (name varchar)")
        connection.execute("create or replace temp table forgotten_keys (key ubigint)")
        connection.execute(
            "insert into temp.forgotten_names select unnest($names::varchar[])",
            {"names": list(self.people.names)},
        )
        connection.execute(
            "insert into temp.forgotten_keys select unnest($keys::ubigint[])",
            {"keys": list(self.people.keys)},
        )

    def _mask(
        self, connection: duckdb.DuckDBPyConnection, database: str, schemas: Iterable[str]
    ) -> int:
        """Mask their texts in every text of the schemas; returns how many cells had one."""
        count = 0
        for schema in schemas:
            for table, columns in text_columns(connection, database, schema).items():
                source = f"{quoted(database)}.{quoted(schema)}.{quoted(table)}"
                for column in columns:
                    _, row_ids = self.scanner.in_column(connection, source, column, "rowid")
                    if row_ids:
                        self._mask_cells(connection, source, column, row_ids)
                        count += len(row_ids)
        return count

    def _mask_cells(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        column: str,
        row_ids: Sequence[int],
    ) -> None:
        cells = connection.execute(
            f"select rowid, {quoted(column)} from {source}"
            " where rowid in (select unnest($row_ids))",
            {"row_ids": list(row_ids)},
        ).fetchall()
        masked = [
            self.scanner.masked(text.encode(), FORGOTTEN.encode()).decode() for _, text in cells
        ]
        connection.execute(
            f"update {source} as cells set {quoted(column)} = masked.text"
            " from (select unnest($row_ids) as row_id, unnest($texts) as text) as masked"
            " where cells.rowid = masked.row_id",
            {"row_ids": [row_id for row_id, _ in cells], "texts": masked},
        )


def rewrite_file(path: Path) -> None:
    """Write a DuckDB file anew and put it in the place of the old one: without freed blocks.

    Nobody may have it open. A process that is killed leaves the old one or the new one.
    """
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        # what is in the log beside it, too
        connection.execute("checkpoint")
    with duckdb.connect() as connection:
        # By the file's own name, for views name the database that they read.
        name = quoted(path.stem)
        connection.execute(f"attach {literal(path)} as before (read_only)")
        ((version,),) = connection.execute(
            "select tags['storage_version'] from duckdb_databases() where database_name = 'before'"
        ).fetchall()
        storage = "v1.0.0" if str(version).startswith("v1.0.0") else "latest"
        connection.execute(f"attach {literal(fresh)} as {name} (storage_version '{storage}')")
        connection.execute(f"copy from database before to {name}")
        connection.execute(f"checkpoint {name}")
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    fresh.replace(path)


def _selection(table: str, columns: Sequence[str]) -> str:
    source = f"before.marts.{quoted(table)}"
    is_theirs = " or ".join(
        f"coalesce({quoted(column)} in (select name from temp.forgotten_names), false)"
        for column in columns
        if column not in _MENTIONED.get(table, ())
    )
    if not is_theirs:
        return f"select * from {source}"
    if table in _ANONYMISED:
        replaced = ", ".join(
            f"case when is_theirs then {text.format(order_key=_order_key())}"
            f" else {quoted(column)} end as {quoted(column)}"
            for column, text in _ANONYMISED[table].items()
        )
        return (
            f"select * exclude (is_theirs) replace ({replaced})"
            f" from (select *, {is_theirs} as is_theirs from {source})"
        )
    mentions = ", ".join(
        f"if({quoted(column)} in (select name from temp.forgotten_names), null,"
        f" {quoted(column)}) as {quoted(column)}"
        for column in _MENTIONED.get(table, ())
    )
    replaced = f" replace ({mentions})" if mentions else ""
    return f"select *{replaced} from {source} where not ({is_theirs})"


def _order_key() -> str:
    """SQL of the key of an order without its person, as staging makes it of what lands."""
    shop = keyed_sql(f"{literal(ORDER)} || substr(order_key, 6)")
    till = keyed_sql(f"{literal(RECEIPT)} || substr(order_key, 5)")
    return (
        f"if(starts_with(order_key, 'shop:'), 'shop:{PSEUDONYM}' || left({shop}, 16),"
        f" 'pos:{PSEUDONYM}' || left({till}, 16))"
    )


def text_columns(
    connection: duckdb.DuckDBPyConnection, database: str, schema: str
) -> dict[str, list[str]]:
    """Return the columns of text by table."""
    return _columns(connection, database, schema, "data_type = 'VARCHAR'")


def key_columns(
    connection: duckdb.DuckDBPyConnection, database: str, schema: str
) -> dict[str, list[str]]:
    """Return the columns of 64-bit hashes that identity works with, by table."""
    return _columns(
        connection,
        database,
        schema,
        "data_type = 'UBIGINT' and column_name like '%\\_key' escape '\\'",
    )


def _columns(
    connection: duckdb.DuckDBPyConnection, database: str, schema: str, condition: str
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "select columns.table_name, columns.column_name from duckdb_columns() as columns"
        " inner join duckdb_tables() as tables"
        " on columns.table_oid = tables.table_oid and columns.database_name = tables.database_name"
        f" where columns.database_name = {literal(database)}"
        f" and columns.schema_name = {literal(schema)} and {condition}"
        " order by columns.table_name, columns.column_index"
    ).fetchall():
        found.setdefault(table, []).append(column)
    return found
