"""Forgotten people taken out of DuckDB files that are not `raw`: marts, models, state, history.

No list of tables says where a person may stand: every text of every table is looked at, once, and
what it finds is all that is edited. A row in which a customer, record or order of theirs is named
goes. Where one of their texts stands within a longer one, it is masked. DuckDB does not overwrite
freed blocks, so every file is written anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

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
    """The people who have to go, and what finds them; one for a whole erasure.

    while_searching: entered around every search of a table.
    """

    people: People
    scanner: Scanner
    tombstones: Tombstones
    while_searching: Callable[[], AbstractContextManager[None]] = nullcontext

    def edit_marts(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Fill database `release` with the marts of database `before` without them."""
        self._enter(connection)
        connection.execute("create schema if not exists release.marts")
        for table, columns in text_columns(connection, "before", "marts").items():
            hits = self._hits(connection, f"before.marts.{quoted(table)}", columns)
            keeps_rows = table in _ANONYMISED
            self._enter_masks(connection, hits, of_names=keeps_rows)
            connection.execute(
                f"create table release.marts.{quoted(table)} as"
                f" {_selection(table, hits, self._naming(hits))}"
            )

    def purge(self, connection: duckdb.DuckDBPyConnection, schemas: Sequence[str]) -> int:
        """Delete their rows from schemas of the database that is open, mask what is left.

        Returns how many rows went. The file has to be written anew afterwards: `rewrite_file`.
        """
        self._enter(connection)
        ((database,),) = connection.execute("select current_database()").fetchall()
        count = 0
        for schema in schemas:
            texts = text_columns(connection, database, schema)
            keys = key_columns(connection, database, schema) if self.people.keys else {}
            for table in sorted({*texts, *keys}):
                source = f"{quoted(schema)}.{quoted(table)}"
                hits = self._hits(connection, source, texts.get(table, ()))
                asked = [
                    f"{quoted(column)} in (select name from temp.forgotten_names)"
                    for column in self._naming(hits)
                ]
                asked += [
                    f"{quoted(column)} in (select key from temp.forgotten_keys)"
                    for column in keys.get(table, ())
                ]
                if asked:
                    row = connection.execute(
                        f"delete from {source} where {' or '.join(asked)}"
                    ).fetchone()
                    count += int(row[0]) if row else 0
                self._enter_masks(connection, hits, of_names=False)
                for column, found in hits.items():
                    if found - self._names:
                        connection.execute(
                            f"update {source} as cells set {quoted(column)} = masks.masked_text"
                            " from temp.masks where"
                            f" cells.{quoted(column)} = masks.forgotten_text"
                        )
        return count

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.people.names)

    @cached_property
    def _short_names(self) -> list[str]:
        """Names that are no texts to search for, for they may be a part of any word."""
        return [name for name in self.people.names if not self.scanner.is_in(name)]

    def _hits(
        self, connection: duckdb.DuckDBPyConnection, source: str, columns: Sequence[str]
    ) -> dict[str, set[str]]:
        """Return by column the cells that are a name of theirs or in which one of their texts is.

        Only columns that have one.
        """
        with self.while_searching():
            found = {
                column: hits
                for column, (_, hits) in self.scanner.texts_in(connection, source, columns).items()
            }
            for column in columns if self._short_names else ():
                found[column] |= {
                    name
                    for (name,) in connection.execute(
                        f"select distinct {quoted(column)} from {source}"
                        f" where {quoted(column)} in (select unnest($names))",
                        {"names": self._short_names},
                    ).fetchall()
                }
        return {column: hits for column, hits in found.items() if hits}

    def _naming(self, hits: Mapping[str, set[str]]) -> list[str]:
        """Columns in which a cell is a name of theirs."""
        return [column for column, found in hits.items() if not found.isdisjoint(self._names)]

    def _enter_masks(
        self,
        connection: duckdb.DuckDBPyConnection,
        hits: Mapping[str, set[str]],
        *,
        of_names: bool,
    ) -> None:
        """Tell the connection what stands instead of each text. of_names: of whole names, too."""
        found = sorted({text for texts in hits.values() for text in texts})
        if not of_names:
            found = [text for text in found if text not in self._names]
        masked = [self.scanner.masked(text.encode(), FORGOTTEN.encode()).decode() for text in found]
        connection.execute(
            "create or replace temp table masks as select unnest($texts::varchar[])"
            " as forgotten_text, unnest($masked::varchar[]) as masked_text",
            {"texts": found, "masked": masked},
        )

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


def _selection(table: str, hits: Mapping[str, set[str]], naming: Iterable[str]) -> str:
    """SQL of a mart without them. hits: cells by column; naming: columns that hold their names."""
    source = f"before.marts.{quoted(table)}"
    if not hits:
        return f"select * from {source}"
    mentions = _MENTIONED.get(table, ())
    is_theirs = " or ".join(
        f"coalesce({quoted(column)} in (select name from temp.forgotten_names), false)"
        for column in naming
        if column not in mentions
    )
    cells = {
        column: f"coalesce({_mask_of(column)}.masked_text, mart.{quoted(column)})"
        for column in hits
    }
    for column in cells.keys() & set(mentions):
        cells[column] = (
            f"if(mart.{quoted(column)} in (select name from temp.forgotten_names), null,"
            f" {cells[column]})"
        )
    for column, text in _ANONYMISED.get(table, {}).items():
        cells[column] = (
            f"case when is_theirs then {text.format(order_key=_order_key())}"
            f" else {cells.get(column, f'mart.{quoted(column)}')} end"
        )
    replaced = ", ".join(f"{cell} as {quoted(column)}" for column, cell in cells.items())
    joined = "".join(
        f" left join temp.masks as {_mask_of(column)}"
        f" on mart.{quoted(column)} = {_mask_of(column)}.forgotten_text"
        for column in hits
    )
    where = "" if table in _ANONYMISED else " where not is_theirs"
    return (
        f"select mart.* exclude (is_theirs) replace ({replaced})"
        f" from (select *, {is_theirs or 'false'} as is_theirs from {source}) as mart"
        f"{joined}{where}"
    )


def _mask_of(column: str) -> str:
    return quoted(f"mask of {column}")


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
