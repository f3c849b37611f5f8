"""The proof of an erasure: every byte below a folder is searched for every text of a person.

A search of the bytes alone would be blind: DuckDB, Parquet and gzip compress. So each such file is
also read as what it is, cell by cell. A text counts when no letter or digit stands beside it, in
any case of letters: `ann@x.test` is not in `joann@x.test`.

In the bytes of a database other cells stand right beside it: "dorpsplein 3", "1 windsor close".
There only addresses and hashes count, whatever their neighbours are, unless a cell that is alive
explains them. A DuckDB file without freed blocks and deleted rows holds nothing but its cells.
"""

import gzip
import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ahocorasick_rs
import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.database import DatabaseFile, is_encrypted
from orchestration.sql import literal, quoted

_CHUNK = 16 << 20
# A text that two cells, which happen to stand side by side, hardly make: an address, a hash.
_DISTINCT = re.compile(rb"[^@]+@[^@]+|[0-9a-f]{32,}")
_HASH = re.compile(rb"[0-9a-f]{32,}")
_WORD = 8
_SHORT = 4096
# Files as large as this are compared before they are searched: hashing takes a tenth of it.
_LARGE = 1 << 20
_ROWS = 500_000
# A column in which texts repeat is searched text by text, not cell by cell: half the CPU for a
# whole database. Whether they do is asked of the first rows of a table that has many.
_MANY_ROWS = 50_000
_ASKED_ROWS = 10_000
_ASKED_PART = 30
_MOST_DISTINCT = 0.8


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
        hashes = sorted(form for form in forms if _HASH.fullmatch(form))
        words = sorted(forms.difference(hashes))
        self.needles = [*words, *hashes]
        self.keys = sorted(set(keys))
        self._key_of = key_of
        self._longest = max((len(form) for form in self.needles), default=0)
        self._automaton = ahocorasick_rs.BytesAhoCorasick(words) if words else None
        self._hashes = _Hashes(hashes) if hashes else None
        self._first_hash = len(words)

    def in_bytes(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Yield begin and end of every text that was found."""
        lowered = _lower(content)
        for _, begin, end in self._matches(lowered):
            if _stands_alone(lowered, begin, end):
                yield begin, end

    def _matches(self, lowered: bytes) -> Sequence[tuple[int, int, int]]:
        found: list[tuple[int, int, int]] = []
        if self._automaton is not None and lowered:
            found += self._automaton.find_matches_as_indexes(lowered, overlapping=True)
        if self._hashes is not None:
            found += [
                (self._first_hash + number, begin, end)
                for number, begin, end in self._hashes.matches(lowered)
            ]
        return found

    def folder(
        self,
        folder: Path,
        but: Callable[[Path], bool] = lambda _: False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Findings:
        """Search every file below a folder, but those that `but` names.

        Of large files with the same bytes the first is searched; its places are those of all.
        """
        findings = Findings()
        paths = [
            path
            for path in sorted(folder.rglob("*"))
            if not path.is_symlink() and path.is_file() and not but(path)
        ]
        sizes = Counter(path.stat().st_size for path in paths)
        searched: dict[str, Findings] = {}
        for path in paths:
            size = path.stat().st_size
            content = None
            if size >= _LARGE and sizes[size] > 1:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                content = searched.get(digest)
                if content is None:
                    content = searched[digest] = self._content(path)
            self._add(path, path.relative_to(folder).as_posix(), findings, content)
            progress(f"{findings.file_count:,} files, {findings.byte_count / 1e6:,.0f} MB")
        return findings

    def file(self, path: Path, name: str, findings: Findings) -> None:
        """Search one file: its bytes, its name, and its cells where it has any."""
        self._add(path, name, findings, None)

    def _add(self, path: Path, name: str, findings: Findings, content: Findings | None) -> None:
        """Add a file to what was searched. content: what is in it, where that is known."""
        content = content or self._content(path)
        findings.file_count += 1
        findings.byte_count += path.stat().st_size
        findings.cell_count += content.cell_count
        if self.is_in(name):
            findings.places.append(name)
        findings.places += [name + place for place in content.places]

    def _content(self, path: Path) -> Findings:
        """Search what is in a file; its places go on where its name ends."""
        content = Findings()
        with path.open("rb") as file:
            start = file.read(16)
        is_duckdb, is_sqlite = start[8:12] == b"DUCK", start.startswith(b"SQLite format 3\0")
        if not is_duckdb and not is_sqlite:
            if any(alone for _, alone in self._in_file(path)):
                content.places.append("")
            if start[:4] == b"PAR1":
                with duckdb.connect() as connection:
                    self._table(connection, f"read_parquet({literal(path)})", "", content)
            return content
        # texts that stand in cells, be it within a longer word
        explained: set[int] = set()
        if is_duckdb:
            self._duckdb(path, content, explained)
        else:
            self._sqlite(path, content, explained)
        if is_duckdb and is_encrypted(path):
            if _has_deleted(DatabaseFile(path, self._key_of(path))):
                content.places.append(": freed blocks, which are encrypted and cannot be searched")
        elif is_sqlite or _has_deleted(DatabaseFile(path)):
            left = {
                needle
                for needle, _ in self._in_file(path)
                if needle not in explained and _DISTINCT.fullmatch(self.needles[needle])
            }
            if left:
                content.places.append(": freed blocks")
        return content

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

    def _duckdb(self, path: Path, findings: Findings, explained: set[int]) -> None:
        with duckdb.connect() as connection:
            DatabaseFile(path, self._key_of(path)).attach(connection, "scanned")
            self.database(connection, "scanned", "", findings, explained=explained)

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
        texts = [column for column, type_, *_ in described if type_ == "VARCHAR"]
        for column, (count, hits) in self.texts_in(connection, source, texts, explained).items():
            findings.cell_count += count
            if hits:
                findings.places.append(f"{name}.{column}")
        for column, type_, *_ in described:
            if type_ == "UBIGINT" and self.keys:
                row = connection.execute(
                    f"select count(*), count({quoted(column)}) filter (where {quoted(column)} in"
                    f" (select unnest($keys::ubigint[]))) from {source}",
                    {"keys": self.keys},
                ).fetchone()
                findings.cell_count += row[0] if row else 0
                if row and row[1]:
                    findings.places.append(f"{name}.{column}")

    def texts_in(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        columns: Sequence[str],
        explained: set[int] | None = None,
    ) -> Mapping[str, tuple[int, set[str]]]:
        """Search text columns of a relation; returns by column how many cells, and which texts hit.

        explained: takes up every text that stands in a cell, alone or not.
        """
        repetitive = _repetitive(connection, source, columns)
        return {
            column: self._in_column(connection, source, column, column in repetitive, explained)
            for column in columns
        }

    def _in_column(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        column: str,
        is_repetitive: bool,
        explained: set[int] | None,
    ) -> tuple[int, set[str]]:
        cells = f"select {quoted(column)} as cell from {source} where cell is not null"
        if is_repetitive:
            cells = f"select cell, count(*) as cell_count from ({cells}) group by cell"
        count, hits = 0, set[str]()
        for batch in connection.execute(cells).to_arrow_reader(_ROWS):
            hits |= self._cells_hit(batch.column(0), explained)
            count += pc.sum(batch.column(1)).as_py() or 0 if is_repetitive else len(batch)
        return count, hits

    def _cells_hit(self, cells: pa.Array, explained: set[int] | None) -> set[str]:
        """The cells of an Arrow column in which a text stands."""
        cells = cells.cast(pa.string()) if not pa.types.is_string(cells.type) else cells
        _, offset_buffer, data = cells.buffers()
        if data is None or not len(cells):
            return set()
        offsets = np.frombuffer(offset_buffer, np.int32, len(cells) + 1, cells.offset * 4)
        lowered = _lower(data.to_pybytes())
        matches = self._matches(lowered)
        if not matches:
            return set()
        begins = np.fromiter((begin for _, begin, _ in matches), np.int64, len(matches))
        found = set()
        of_matches = np.searchsorted(offsets, begins, side="right") - 1
        for (needle, begin, end), cell in zip(matches, of_matches.tolist(), strict=True):
            if not 0 <= cell < len(cells):
                continue
            first, last = int(offsets[cell]), int(offsets[cell + 1])
            # cells lie side by side: a text that runs over the border is in neither
            if end > last:
                continue
            if explained is not None:
                explained.add(needle)
            if cell not in found and _stands_alone(lowered[first:last], begin - first, end - first):
                found.add(cell)
        return set(cells.take(pa.array(sorted(found), pa.int64())).to_pylist())

    def _sqlite(self, path: Path, findings: Findings, explained: set[int]) -> None:
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
                    findings.places.append(f": {table}")

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


class _Hashes:
    """Searches for texts of 32 hex digits or more.

    An automaton leaves its first state at nearly every hex digit, and of a thousand people it has
    more states than a cache holds: 150 MB of text a second. But a text of 15 bytes or more covers a
    whole word of 8, wherever it begins. So the words of the content are looked up, 600 MB a second,
    and the automaton sees what stands around those that are in a hash.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        self._longest = max(len(needle) for needle in needles)
        self._automaton = ahocorasick_rs.BytesAhoCorasick(needles)
        # the first whole word of each, for every place in a word at which it may begin
        words = b"".join(
            needle[shift : shift + _WORD] for needle in needles for shift in range(_WORD)
        )
        self._words = np.unique(np.frombuffer(words, np.uint64))
        # few enough that most other words fall beside them, and no larger than a cache
        bits = min(max(len(self._words).bit_length() + 4, 12), 22)
        self._shift = np.uint64(64 - bits)
        self._is_taken = np.zeros(1 << bits, np.bool_)
        self._is_taken[self._slots(self._words)] = True

    def matches(self, lowered: bytes) -> Iterator[tuple[int, int, int]]:
        """Yield which texts stand where, from begin to end."""
        if len(lowered) < _SHORT:
            yield from self._automaton.find_matches_as_indexes(lowered, overlapping=True)
            return
        words = np.frombuffer(lowered, np.uint64, len(lowered) // _WORD)
        positions = np.flatnonzero(self._is_taken[self._slots(words)])
        known = np.searchsorted(self._words, words[positions])
        known[known == len(self._words)] = 0
        positions = positions[self._words[known] == words[positions]]
        for position in (positions * _WORD).tolist():
            start = max(position - _WORD + 1, 0)
            around = lowered[start : position + self._longest]
            for needle, begin, end in self._automaton.find_matches_as_indexes(
                around, overlapping=True
            ):
                # what begins later has a whole word of its own
                if start + begin <= position:
                    yield needle, start + begin, start + end

    def _slots(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Multiplicative hashes (Knuth, 1973): the upper bits of a product that wraps."""
        slots: npt.NDArray[np.uint64] = (words * np.uint64(0x9E3779B97F4A7C15)) >> self._shift
        return slots


def _repetitive(
    connection: duckdb.DuckDBPyConnection, source: str, columns: Sequence[str]
) -> set[str]:
    """Which columns of a large relation hold the same texts again and again."""
    ((row_count,),) = connection.execute(f"select count(*) from {source}").fetchall()
    if row_count < _MANY_ROWS or not columns:
        return set()
    counted = ", ".join(
        f"approx_count_distinct({quoted(column)}), count({quoted(column)})" for column in columns
    )
    names = ", ".join(quoted(column) for column in columns)
    asked = max(_ASKED_ROWS, row_count // _ASKED_PART)
    ((*counts,),) = connection.execute(
        f"select {counted} from (select {names} from {source} limit {asked})"
    ).fetchall()
    pairs = zip(columns, counts[::2], counts[1::2], strict=True)
    return {column for column, distinct, all_ in pairs if distinct < _MOST_DISTINCT * all_}


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
