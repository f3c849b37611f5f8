"""The proof of an erasure: every byte below a folder is searched for every text of a person.

A search of the bytes alone would be blind: DuckDB, Parquet and gzip compress. So each such file is
also read as what it is, cell by cell. A text counts when no letter or digit stands beside it, in
any case of letters: `ann@x.test` is not in `joann@x.test`.

In the bytes of a database other cells stand right beside it: "dorpsplein 3", "1 windsor close".
There only addresses and hashes count, whatever their neighbours are, unless a cell that is alive
explains them. A DuckDB file without freed blocks and deleted rows holds nothing but its cells.
"""

import gzip
import json
import re
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ahocorasick_rs
import duckdb
import numpy as np
import pyarrow as pa

from orchestration.release.content import DatabaseFile
from orchestration.sql import literal, quoted

_CHUNK = 16 << 20
# A text that two cells, which happen to stand side by side, hardly make: an address, a hash.
_DISTINCT = re.compile(rb"[^@]+@[^@]+|[0-9a-f]{32,}")
_ROWS = 500_000


@dataclass
class Findings:
    """What a scan read, and where it found somebody. places: `file` or `file: table.column`."""

    file_count: int = 0
    byte_count: int = 0
    cell_count: int = 0
    places: list[str] = field(default_factory=list)


class Scanner:
    """Searches for texts, all in one pass (Aho and Corasick, 1975). keys: 64-bit hashes.

    key_of: what opens a DuckDB file that is encrypted.
    """

    def __init__(
        self,
        needles: Iterable[str],
        keys: Iterable[int] = (),
        key_of: Callable[[Path], bytes | None] = lambda _: None,
    ) -> None:
        # ASCII letters count in any case; of others, as written, all small and all capital ones
        texts = {form for one in needles if one for form in (one, one.lower(), one.upper())}
        # as JSON and as web addresses write them
        texts |= {json.dumps(text)[1:-1] for text in texts}
        texts |= {text.replace("@", "%40") for text in texts}
        forms = {_lower(text.encode()) for text in texts}
        self.needles = sorted(forms)
        self.keys = sorted(set(keys))
        self._key_of = key_of
        self._longest = max((len(form) for form in self.needles), default=0)
        self._automaton = ahocorasick_rs.BytesAhoCorasick(self.needles) if self.needles else None

    def in_bytes(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Yield begin and end of every text that was found."""
        lowered = _lower(content)
        for _, begin, end in self._matches(lowered):
            if _stands_alone(lowered, begin, end):
                yield begin, end

    def _matches(self, lowered: bytes) -> Sequence[tuple[int, int, int]]:
        if self._automaton is None or not lowered:
            return ()
        found: Sequence[tuple[int, int, int]] = self._automaton.find_matches_as_indexes(
            lowered, overlapping=True
        )
        return found

    def folder(
        self,
        folder: Path,
        but: Callable[[Path], bool] = lambda _: False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Findings:
        """Search every file below a folder, but those that `but` names."""
        findings = Findings()
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file() or but(path):
                continue
            self.file(path, path.relative_to(folder).as_posix(), findings)
            progress(f"{findings.file_count:,} files, {findings.byte_count / 1e6:,.0f} MB")
        return findings

    def file(self, path: Path, name: str, findings: Findings) -> None:
        """Search one file: its bytes, its name, and its cells where it has any."""
        findings.file_count += 1
        findings.byte_count += path.stat().st_size
        if next(self.in_bytes(name.encode()), None) is not None:
            findings.places.append(name)
        with path.open("rb") as file:
            start = file.read(16)
        is_duckdb, is_sqlite = start[8:12] == b"DUCK", start.startswith(b"SQLite format 3\0")
        if not is_duckdb and not is_sqlite:
            if any(alone for _, alone in self._in_file(path)):
                findings.places.append(name)
            if start[:4] == b"PAR1":
                with duckdb.connect() as connection:
                    self._table(connection, f"read_parquet({literal(path)})", name, findings)
            return
        # texts that stand in cells, be it within a longer word
        explained: set[int] = set()
        if is_duckdb:
            self._duckdb(path, name, findings, explained)
        else:
            self._sqlite(path, name, findings, explained)
        if is_sqlite or _has_deleted(DatabaseFile(path, self._key_of(path))):
            left = {
                needle
                for needle, _ in self._in_file(path)
                if needle not in explained and _DISTINCT.fullmatch(self.needles[needle])
            }
            if left:
                findings.places.append(f"{name}: freed blocks")

    def _in_file(self, path: Path) -> Iterator[tuple[int, bool]]:
        """Yield which texts stand in the bytes of a file, and whether alone; gzip is unpacked."""
        with path.open("rb") as probe:
            is_gzipped = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzipped else path.open("rb") as file:
            before = b""
            while chunk := file.read(_CHUNK):
                content = _lower(before + chunk)
                for needle, begin, end in self._matches(content):
                    # what touches the end may go on in the next chunk
                    if end < len(content) or len(chunk) < _CHUNK:
                        yield needle, _stands_alone(content, begin, end)
                before = content[-(self._longest + 1) :]

    # --- cells ---------------------------------------------------------------------------------

    def _duckdb(self, path: Path, name: str, findings: Findings, explained: set[int]) -> None:
        with duckdb.connect() as connection:
            DatabaseFile(path, self._key_of(path)).attach(connection, "scanned")
            self.database(connection, "scanned", name, findings, explained=explained)

    def database(
        self,
        connection: duckdb.DuckDBPyConnection,
        catalog: str,
        name: str,
        findings: Findings,
        *,
        explained: set[int] | None = None,
        only: Container[str] | None = None,
    ) -> None:
        """Search the cells of every table of an attached database; only: in these schemas."""
        for schema, table in connection.execute(
            "select schema_name, table_name from duckdb_tables()"
            f" where database_name = {literal(catalog)} order by all"
        ).fetchall():
            if only is not None and schema not in only:
                continue
            source = f"{quoted(catalog)}.{quoted(schema)}.{quoted(table)}"
            self._table(connection, source, f"{name}: {schema}.{table}", findings, explained)

    def _table(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        name: str,
        findings: Findings,
        explained: set[int] | None = None,
    ) -> None:
        described = connection.execute(f"describe select * from {source}").fetchall()
        for column, type_, *_ in described:
            if type_ == "VARCHAR":
                count, rows = self.in_column(connection, source, column, explained=explained)
                findings.cell_count += count
                if rows:
                    findings.places.append(f"{name}.{column}")
            elif type_ == "UBIGINT" and self.keys:
                row = connection.execute(
                    f"select count(*), count({quoted(column)}) filter (where {quoted(column)} in"
                    f" (select unnest($keys::ubigint[]))) from {source}",
                    {"keys": self.keys},
                ).fetchone()
                findings.cell_count += row[0] if row else 0
                if row and row[1]:
                    findings.places.append(f"{name}.{column}")

    def in_column(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        column: str,
        row_id: str = "",
        explained: set[int] | None = None,
    ) -> tuple[int, list[int]]:
        """Search a text column of a relation; returns how many cells it has, and which rows hit.

        row_id: expression by which a row is named; without it rows are numbered as they come.
        explained: takes up every text that stands in a cell, alone or not.
        """
        named = f", {row_id} as row_id" if row_id else ""
        reader = connection.execute(
            f"select {quoted(column)} as cell{named} from {source} where cell is not null"
        ).to_arrow_reader(_ROWS)
        count, hits = 0, []
        for batch in reader:
            rows = self._cells_hit(batch.column(0), explained)
            hits += [int(batch.column(1)[row].as_py()) if row_id else count + row for row in rows]
            count += len(batch)
        return count, hits

    def _cells_hit(self, cells: pa.Array, explained: set[int] | None) -> Sequence[int]:
        """Positions of the cells of an Arrow column in which a text stands."""
        cells = cells.cast(pa.string()) if not pa.types.is_string(cells.type) else cells
        _, offset_buffer, data = cells.buffers()
        if data is None or not len(cells):
            return []
        offsets = np.frombuffer(offset_buffer, np.int32, len(cells) + 1, cells.offset * 4)
        lowered = _lower(data.to_pybytes())
        found = set()
        for needle, begin, end in self._matches(lowered):
            cell = int(np.searchsorted(offsets, begin, side="right")) - 1
            if not 0 <= cell < len(cells):
                continue
            first, last = int(offsets[cell]), int(offsets[cell + 1])
            # cells lie side by side: a text that runs over the border is in neither
            if end > last:
                continue
            if explained is not None:
                explained.add(needle)
            if _stands_alone(lowered[first:last], begin - first, end - first):
                found.add(cell)
        return sorted(found)

    def _sqlite(self, path: Path, name: str, findings: Findings, explained: set[int]) -> None:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            for table in sqlite_tables(connection):
                is_hit = False
                for row in connection.execute(f"select * from {quoted(table)}"):
                    for cell in row:
                        findings.cell_count += 1
                        content = _lower(cell if isinstance(cell, bytes) else str(cell).encode())
                        for needle, begin, end in self._matches(content):
                            explained.add(needle)
                            is_hit = is_hit or _stands_alone(content, begin, end)
                if is_hit:
                    findings.places.append(f"{name}: {table}")

    def is_in(self, cell: Any) -> bool:
        """Whether a text stands in a value."""
        content = cell if isinstance(cell, bytes) else str(cell).encode()
        return next(self.in_bytes(content), None) is not None

    def masked(self, content: bytes, mask: bytes) -> bytes:
        """Return the content with `mask` instead of every text that was found."""
        parts, at = [], 0
        spans = sorted(self.in_bytes(content), key=lambda span: (span[0], -span[1]))
        for begin, end in spans:
            if begin >= at:
                parts += [content[at:begin], mask]
                at = end
        return b"".join([*parts, content[at:]])


def _has_deleted(file: DatabaseFile) -> bool:
    """Whether a DuckDB file holds what is no cell any more: freed blocks, deleted rows."""
    with duckdb.connect() as connection:
        file.attach(connection, "scanned")
        for database, _, _, _, _, free_blocks, *_ in connection.execute(
            "call pragma_database_size()"
        ).fetchall():
            if database == "scanned" and free_blocks:
                return True
        for schema, table in connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'scanned'"
        ).fetchall():
            source = f"scanned.{quoted(schema)}.{quoted(table)}"
            ((stored, alive),) = connection.execute(
                f"select (select max(stored) from (select sum(count) as stored"
                f" from pragma_storage_info({literal(source)}) group by column_id, column_path)),"
                f" (select count(*) from {source})"
            ).fetchall()
            if (stored or 0) > alive:
                return True
    return False


def sqlite_tables(connection: sqlite3.Connection) -> list[str]:
    """Names of the tables of an SQLite database."""
    found = connection.execute("select name from sqlite_master where type = 'table' order by 1")
    return [name for (name,) in found if not name.startswith("sqlite_")]


def _lower(content: bytes) -> bytes:
    """Lower case of ASCII letters; every other byte stays where it is."""
    return content.lower()


def _stands_alone(content: bytes, begin: int, end: int) -> bool:
    """Whether no letter or digit is beside a text."""
    before, after = content[max(begin - 1, 0) : begin], content[end : end + 1]
    return not before.isalnum() and not after.isalnum()
