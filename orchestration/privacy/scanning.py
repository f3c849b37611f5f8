"""The proof of an erasure: every byte below a folder is searched for every text of a person.

A search of the bytes alone would be blind: DuckDB, Parquet and gzip compress. So each such file is
also read as what it is, cell by cell. What a file format left behind in freed blocks is no cell,
but was written by itself: those bytes are searched too. A text counts when no letter or digit
stands beside it, in any case of letters: `ann@x.test` is not in `joann@x.test`.
"""

import gzip
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ahocorasick_rs
import duckdb
import numpy as np
import pyarrow as pa

from orchestration.sql import literal, quoted

_CHUNK = 16 << 20
_ROWS = 500_000


@dataclass
class Findings:
    """What a scan read, and where it found somebody. places: `file` or `file: table.column`."""

    file_count: int = 0
    byte_count: int = 0
    cell_count: int = 0
    places: list[str] = field(default_factory=list)


class Scanner:
    """Searches for texts, all in one pass (Aho and Corasick, 1975). keys: 64-bit hashes."""

    def __init__(self, needles: Iterable[str], keys: Iterable[int] = ()) -> None:
        forms = {_lower(needle.encode()) for needle in needles if needle}
        # as JSON and as web addresses write them
        forms |= {form.replace(b"@", b"%40") for form in forms if b"@" in form}
        forms |= {
            _lower(needle.encode("unicode_escape")) for needle in needles if not needle.isascii()
        }
        self.needles = sorted(forms)
        self.keys = sorted(set(keys))
        self._longest = max((len(form) for form in self.needles), default=0)
        self._automaton = ahocorasick_rs.BytesAhoCorasick(self.needles) if self.needles else None

    def in_bytes(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Yield begin and end of every text that was found."""
        if self._automaton is None or not content:
            return
        lowered = _lower(content)
        for _, begin, end in self._automaton.find_matches_as_indexes(lowered, overlapping=True):
            if not _is_word(lowered[begin - 1 : begin]) and not _is_word(lowered[end : end + 1]):
                yield begin, end

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
        hit = next(self.in_bytes(name.encode()), None) is not None
        with path.open("rb") as file:
            start = file.read(16)
        if hit or any(True for _ in self._in_file(path)):
            findings.places.append(name)
        if start[8:12] == b"DUCK":
            self._duckdb(path, name, findings)
        elif start[:4] == b"PAR1":
            with duckdb.connect() as connection:
                source = f"read_parquet({literal(path)})"
                self._table(connection, source, name, findings)
        elif start.startswith(b"SQLite format 3\0"):
            self._sqlite(path, name, findings)

    def _in_file(self, path: Path) -> Iterator[int]:
        """Yield where texts stand in the bytes of a file; gzip is unpacked."""
        with path.open("rb") as probe:
            is_gzipped = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzipped else path.open("rb") as file:
            before, offset = b"", 0
            while chunk := file.read(_CHUNK):
                content = before + chunk
                for begin, end in self.in_bytes(content):
                    # what touches the end may go on in the next chunk
                    if end < len(content) or len(chunk) < _CHUNK:
                        yield offset - len(before) + begin
                before = content[-(self._longest + 1) :]
                offset += len(chunk)

    # --- cells ---------------------------------------------------------------------------------

    def _duckdb(self, path: Path, name: str, findings: Findings) -> None:
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(path)} as scanned (read_only)")
            for schema, table in connection.execute(
                "select schema_name, table_name from duckdb_tables()"
                " where database_name = 'scanned' order by all"
            ).fetchall():
                source = f"scanned.{quoted(schema)}.{quoted(table)}"
                self._table(connection, source, f"{name}: {schema}.{table}", findings)

    def _table(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        name: str,
        findings: Findings,
    ) -> None:
        described = connection.execute(f"describe select * from {source}").fetchall()
        for column, type_, *_ in described:
            if type_ == "VARCHAR":
                count, rows = self.in_column(connection, source, column)
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
    ) -> tuple[int, list[int]]:
        """Search a text column of a relation; returns how many cells it has, and which rows hit.

        row_id: expression by which a row is named; without it rows are numbered as they come.
        """
        named = f", {row_id} as row_id" if row_id else ""
        reader = connection.execute(
            f"select {quoted(column)} as cell{named} from {source} where cell is not null"
        ).to_arrow_reader(_ROWS)
        count, hits = 0, []
        for batch in reader:
            rows = self._cells_hit(batch.column(0))
            hits += [int(batch.column(1)[row].as_py()) if row_id else count + row for row in rows]
            count += len(batch)
        return count, hits

    def _cells_hit(self, cells: pa.Array) -> Sequence[int]:
        """Positions of the cells of an Arrow column in which a text stands."""
        cells = cells.cast(pa.string()) if not pa.types.is_string(cells.type) else cells
        _, offset_buffer, data = cells.buffers()
        if data is None or not len(cells):
            return []
        offsets = np.frombuffer(offset_buffer, np.int32, len(cells) + 1, cells.offset * 4)
        lowered = _lower(data.to_pybytes())
        found = set()
        if self._automaton is None:
            return []
        for _, begin, end in self._automaton.find_matches_as_indexes(lowered, overlapping=True):
            cell = int(np.searchsorted(offsets, begin, side="right")) - 1
            if not 0 <= cell < len(cells):
                continue
            first, last = int(offsets[cell]), int(offsets[cell + 1])
            # cells lie side by side: a text that runs over the border is in neither
            if end > last:
                continue
            is_whole = (begin == first or not _is_word(lowered[begin - 1 : begin])) and (
                end == last or not _is_word(lowered[end : end + 1])
            )
            if is_whole:
                found.add(cell)
        return sorted(found)

    def _sqlite(self, path: Path, name: str, findings: Findings) -> None:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            for table in sqlite_tables(connection):
                for row in connection.execute(f"select * from {quoted(table)}"):
                    for cell in row:
                        findings.cell_count += 1
                        if self.is_in(cell):
                            place = f"{name}: {table}"
                            if place not in findings.places:
                                findings.places.append(place)

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


def sqlite_tables(connection: sqlite3.Connection) -> list[str]:
    """Names of the tables of an SQLite database."""
    found = connection.execute("select name from sqlite_master where type = 'table' order by 1")
    return [name for (name,) in found if not name.startswith("sqlite_")]


def _lower(content: bytes) -> bytes:
    """Lower case of ASCII letters; every other byte stays where it is."""
    return content.lower()


def _is_word(byte: bytes) -> bool:
    return byte.isalnum()
