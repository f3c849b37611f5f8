"""A batch: files of one feed and one shape, read by one query, checked, and inserted.

What may be in a batch is decided by the caller; here a batch is staged in a temporary table, its
counts are compared with the independent ones, misfits are found again in the files, and the rows
that raw does not have yet are inserted.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import duckdb

from orchestration.landing.column_types import expectation, fits_sql
from orchestration.landing.feeds import ColumnType, Feed
from orchestration.landing.listing import Format, LandedFile
from orchestration.landing.quarantine import row_hash_sql
from orchestration.landing.readers import DUCKDB_CSV_LINE_LIMIT, Columns, Scan, check_unchanged
from orchestration.landing.records import LINE_LIMIT
from orchestration.landing.schema_drift import Drift
from orchestration.landing.sieve import (
    Reject,
    Sieved,
    check_no_other_header,
    excerpt,
    locate,
    locate_clean,
    locate_lines,
)
from orchestration.sql import literal, quoted, rows

_THOUSANDS = " *[-+]?[0-9]{1,3}([.][0-9]{3})+ *"

PAGE = 20_000
"""Rejects that are held in memory at a time."""


class DoubtError(Exception):
    """DuckDB and the independent count disagree about a batch, or DuckDB cannot read it."""


class RejectSpool:
    """Rejects of one file on disk, so that a file of nothing but bad lines does not fill memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._out: TextIO | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator["RejectSpool"]:
        """Open the file for `append`."""
        with self.path.open("w", encoding="ascii") as self._out:
            yield self

    def append(self, reject: Reject) -> None:
        """Write one reject."""
        if self._out is None:
            raise ValueError("append belongs into `with spool.writing()`")
        self._out.write(json.dumps(astuple(reject)) + "\n")

    def __iter__(self) -> Iterator[Reject]:
        with self.path.open(encoding="ascii") as lines:
            for line in lines:
                yield Reject(*json.loads(line))


@dataclass
class Prepared:
    """A file on its way: scanned, perhaps sieved, and the counts that it ends with."""

    file: LandedFile
    scan: Scan
    columns: Columns
    number: int
    started: float
    sieved: Sieved | None = None
    clean: Path | None = None
    rejects: RejectSpool | None = None
    drift: Drift = field(default_factory=Drift)
    first_row: int = 0
    type_rejected_count: int = 0
    forgotten_count: int = 0
    new_row_count: int = 0
    repeated_row_count: int = 0
    seconds: float = 0.0

    @property
    def readable_count(self) -> int:
        """Records that DuckDB has to find."""
        return self.scan.line_count if self.sieved is None else len(self.sieved.line_numbers)

    @property
    def good_count(self) -> int:
        """Records that fit their columns and whose person was not forgotten."""
        return self.readable_count - self.type_rejected_count - self.forgotten_count

    @property
    def rejected_count(self) -> int:
        """Lines that the sieve or a column type turned down."""
        before = self.sieved.rejected_count if self.sieved else 0
        return before + self.type_rejected_count

    @property
    def line_count(self) -> int:
        """All data lines of the file."""
        before = self.sieved.rejected_count if self.sieved else 0
        return self.readable_count + before

    @property
    def shape(self) -> tuple[object, ...]:
        """Files of one shape are read by one query."""
        is_long = self.longest_line > DUCKDB_CSV_LINE_LIMIT - 1000
        is_gzipped = self.file.is_gzipped and self.clean is None
        is_json = self.file.format is Format.JSONL
        names = tuple(self.json_keys.values()) if is_json else self.scan.names
        return (
            self.file.format,
            is_gzipped,
            self.scan.delimiter,
            names,
            is_long,
        )

    @property
    def json_keys(self) -> dict[str, str]:
        """Contract column → key as the file spells it; a key that was not seen may still come."""
        keys = {column.name: column.name for column in self.file.feed.loaded_columns}
        for name, position in self.columns.positions.items():
            keys[name] = self.scan.names[position]
        return keys

    @property
    def longest_line(self) -> int:
        """Length in bytes of the longest line that DuckDB has to read."""
        return self.scan.longest_line if self.sieved is None else self.sieved.longest_line


def stage(
    connection: duckdb.DuckDBPyConnection, feed: Feed, batch: list[Prepared], spool: Path
) -> None:
    """Read a batch into a temporary table: texts, row hash, and the column that does not fit.

    Files are given to DuckDB as links with names of our own, because it takes every path for a
    pattern and a file may be called `a[1]*.csv`.
    """
    first = batch[0]
    links = []
    for prepared in batch:
        link = spool / f"{prepared.number}.{first.file.format}"
        link.unlink(missing_ok=True)
        link.symlink_to((prepared.clean or prepared.file.path).absolute())
        links.append(str(link))
    texts = _texts(feed, first)
    number = str(first.number) if len(batch) == 1 else "parse_filename(filename, true)::bigint"
    names = [quoted(column.name) for column in feed.columns]
    query = f"""
        create temp table landing_stage as
        select
            file_number, {", ".join(names)},
            {_misfit_sql(feed, first.file.format)} as misfit,
            {row_hash_sql(feed)} as row_hash
        from (
            select {number} as file_number, {", ".join(texts)}
            from {_reader_sql(first, is_many=len(batch) > 1)}
        )
    """
    try:
        connection.execute("drop table if exists temp.landing_stage")
        connection.execute(query, {"paths": links})
    except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
        raise DoubtError(str(error)) from error
    except duckdb.IOException:
        # The file may have been removed; everything else (disk full) is the machine's.
        for prepared in batch:
            check_unchanged(prepared.file)
        raise
    finally:
        for path in links:
            Path(path).unlink(missing_ok=True)


def check_counts(connection: duckdb.DuckDBPyConnection, batch: list[Prepared]) -> None:
    """Compare what DuckDB found with the independent count, and note where each file starts."""
    found = {
        row["file_number"]: row
        for row in rows(
            connection,
            "select file_number, count(*) as row_count, count(misfit) as misfit_count,"
            " min(rowid) as first_row, max(rowid) as last_row from landing_stage group by all",
        )
    }
    for prepared in batch:
        row = found.get(prepared.number)
        count = row["row_count"] if row else 0
        if count != prepared.readable_count:
            raise DoubtError(f"{count:,} records found, {prepared.readable_count:,} expected")
        if row:
            if row["last_row"] - row["first_row"] + 1 != count:
                # Line numbers of rejects are counted from here, so this must never happen.
                raise RuntimeError(f"{prepared.file.name}: staged rows are not in file order")
            prepared.first_row = row["first_row"]
            prepared.type_rejected_count = row["misfit_count"]


def doubt_thousands(connection: duckdb.DuckDBPyConnection, feed: Feed, prepared: Prepared) -> None:
    """Make a misfit of 1.234 where other values of the column in the file have a decimal comma."""
    if not prepared.type_rejected_count or prepared.file.format is not Format.CSV:
        return
    for position, column in enumerate(feed.columns):
        if column.type is not ColumnType.DECIMAL:
            continue
        name = quoted(column.name)
        prepared.type_rejected_count += _value(
            connection,
            f"""
            update landing_stage set misfit = {position}
            where
                file_number = $number and misfit is null
                and regexp_full_match({name}, '{_THOUSANDS}')
                and (
                    select count(*) from landing_stage
                    where
                        file_number = $number and misfit = {position}
                        and regexp_full_match({name}, ' *[-+]?[0-9.]*,[0-9]+ *')
                ) > 0
            """,
            {"number": prepared.number},
        )


def misfit_columns(
    connection: duckdb.DuckDBPyConnection, feed: Feed, prepared: Prepared
) -> list[tuple[str, int, int]]:
    """Return (column, rows that fail on it, rows that have it) of the staged rows of a file."""
    if not prepared.type_rejected_count:
        return []
    found = connection.execute(
        "select misfit, count(*) from landing_stage"
        " where file_number = $number and misfit is not null group by misfit order by misfit",
        {"number": prepared.number},
    ).fetchall()
    counted = []
    for position, count in found:
        column = feed.columns[position]
        if column.type is ColumnType.TEXT:
            continue
        filled = _value(
            connection,
            "select count(*) from landing_stage"
            f" where file_number = $number and trim({quoted(column.name)}) <> ''",
            {"number": prepared.number},
        )
        counted.append((column.name, count, filled))
    return counted


def misfits(
    connection: duckdb.DuckDBPyConnection, feed: Feed, prepared: Prepared
) -> Iterator[Reject]:
    """Yield the rejects of one file; the staged rows of a file are in its order."""
    after = -1
    while page := _misfit_page(connection, feed, prepared, after):
        after = page[-1][0]
        places: Iterable[tuple[int, str]]
        ordinals = [row_id - prepared.first_row for row_id, *_ in page]
        if prepared.file.format is Format.PARQUET:
            places = (
                (ordinal + 1, row[3] or "") for ordinal, row in zip(ordinals, page, strict=True)
            )
        elif prepared.sieved is None:
            places = locate(prepared.file, iter(ordinals))
        elif prepared.scan.is_document and prepared.clean is not None:
            numbers = [prepared.sieved.line_numbers[ordinal] for ordinal in ordinals]
            texts = locate_clean(prepared.clean, iter(ordinals))
            places = zip(numbers, texts, strict=True)
        else:
            numbers = [prepared.sieved.line_numbers[ordinal] for ordinal in ordinals]
            texts = locate_lines(prepared.file, prepared.scan, iter(numbers))
            places = zip(numbers, texts, strict=True)
        for (line_number, text), (_, misfit, found, _) in zip(places, page, strict=True):
            if prepared.file.format is Format.CSV:
                check_no_other_header(feed, prepared.scan, line_number, text)
            column = feed.columns[misfit]
            value = found or ""
            if "\0" in value:
                reason = "the value has a NUL character, which no database text takes"
            elif not value.strip():
                reason = f"{column.name} is empty; every row needs it"
            elif column.type is ColumnType.DECIMAL and re.fullmatch(_THOUSANDS, value):
                reason = (
                    f"{value!r} may mean thousands, for other values of {column.name} in the file"
                    " have a decimal comma; write numbers with a decimal point only"
                )
            elif column.name in feed.key and is_no_identifier(value, column.name):
                reason = (
                    f"{excerpt(value)[:100]!r} names no record: the line is a total, a header, a"
                    " comment or a note rather than data"
                )
            else:
                reason = (
                    f"{excerpt(value)[:100]!r} is no {column.type} for {column.name}: expected"
                    f" {expectation(column.type)}"
                )
            yield Reject(
                line_number,
                excerpt(text),
                column.name,
                excerpt(value) or None,
                reason,
            )


def is_no_identifier(value: str, column: str) -> bool:
    """Tell whether the text in a key column is a word that no record is called by."""
    return re.match(_no_identifier(column), value) is not None or (
        re.match(_NOTE, value) is not None
    )


def _no_identifier(column: str) -> str:
    """Return the pattern, for Python and RE2, of what stands in a key column but is no key."""
    words = (
        "(grand |sub|sub-|sub )?(total|sum)s?|summe|gesamt(summe)?|zwischensumme|totaal|somme"
        "|average|mean|min|max|count|end of (file|report|data)|eof|null|none|nan|n/a|undefined|nil"
        "|#n/a|#ref!|#name[?]|#value!|#null!|#div/0!|[-=_*~.+#/]+"
    )
    return f"(?is)^ *({words}|{re.escape(column)}) *([:;=(].*)?$"


_NOTE = r"(?s)^ *(#|//|--|;|[*]|=|<|[(\[]).*$|^.*\w\W* +\W*\w.*$"
"""What a line is called that has nothing else in it: a comment, a title, a remark of some words."""


def _misfit_page(
    connection: duckdb.DuckDBPyConnection, feed: Feed, prepared: Prepared, after: int
) -> list[tuple[int, int, str | None, str | None]]:
    names = ", ".join(quoted(column.name) for column in feed.columns)
    line = "null"
    if prepared.file.format is Format.PARQUET:
        pairs = ", ".join(
            f"{quoted(column.name)} := {quoted(column.name)}" for column in feed.columns
        )
        line = f"to_json(struct_pack({pairs}))::varchar"
    return connection.execute(
        f"""
        select rowid, misfit, list_value({names})[misfit + 1], {line}
        from landing_stage
        where misfit is not null and file_number = $number and rowid > $after
        order by rowid
        limit {PAGE}
        """,
        {"number": prepared.number, "after": after},
    ).fetchall()


def insert_new_rows(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    batch: list[Prepared],
    load_id: str,
    loaded_at: datetime,
) -> None:
    """Insert the staged rows that are neither misfits nor known; count both per file.

    Of equal rows in a batch the first in file name order stays. Looking for repeated rows in
    an empty table costs one count of distinct hashes.
    """
    table = f"raw.{quoted(feed.table)}"
    good = sum(prepared.good_count for prepared in batch)
    distinct = _value(
        connection, "select count(distinct row_hash) from landing_stage where misfit is null"
    )
    finders = []
    if _value(connection, f"select count(*) from (select 1 from {table} limit 1)"):
        finders.append(
            "select stage.rowid as row_id, stage.file_number from landing_stage as stage"
            f" where stage.misfit is null"
            f" and stage.row_hash in (select _row_hash from {table})"
        )
    in_quarantine = f"raw.quarantine where feed = {literal(feed.name)}"
    if _value(connection, f"select count(*) from {in_quarantine}"):
        finders.append(
            "select stage.rowid as row_id, stage.file_number from landing_stage as stage"
            " where stage.misfit is null"
            f" and stage.row_hash in (select _row_hash from {in_quarantine})"
        )
    if distinct != good:
        finders.append(
            "select row_id, file_number from (select rowid as row_id, file_number,"
            " row_number() over (partition by row_hash order by file_number, rowid)"
            " as occurrence from landing_stage where misfit is null) where occurrence > 1"
        )
    repeated_filter = ""
    repeated: dict[int, int] = {}
    if finders:
        connection.execute(f"create temp table landing_repeated as {' union '.join(finders)}")
        repeated = dict(
            connection.execute(
                "select file_number, count(*) from landing_repeated group by all"
            ).fetchall()
        )
        if repeated:
            repeated_filter = "and stage.rowid not in (select row_id from landing_repeated)"
    for prepared in batch:
        prepared.repeated_row_count = repeated.get(prepared.number, 0)
        prepared.new_row_count = prepared.good_count - prepared.repeated_row_count
    new_count = sum(prepared.new_row_count for prepared in batch)
    if not new_count:
        return
    names = ", ".join(quoted(column.name) for column in feed.columns)
    staged = ", ".join(f"stage.{quoted(column.name)}" for column in feed.columns)
    parameters: dict[str, Any] = {"load_id": load_id, "loaded_at": loaded_at}
    if len(batch) == 1:
        source, join = "$path", ""
        parameters["path"] = batch[0].file.name
    else:
        source = "sources.path"
        join = (
            "inner join (select unnest($numbers) as number, unnest($names) as path) as sources"
            " on stage.file_number = sources.number"
        )
        parameters["numbers"] = [prepared.number for prepared in batch]
        parameters["names"] = [prepared.file.name for prepared in batch]
    inserted = _value(
        connection,
        f"insert into {table} ({names}, _load_id, _loaded_at, _source_file, _row_hash)"
        f" select {staged}, $load_id, $loaded_at, {source}, stage.row_hash"
        f" from landing_stage as stage {join}"
        f" where stage.misfit is null {repeated_filter}",
        parameters,
    )
    if inserted != new_count:
        raise RuntimeError(f"{table}: {inserted} rows inserted, {new_count} expected")


def _texts(feed: Feed, first: Prepared) -> list[str]:
    """Return one SQL expression per contract column: its text as received, NULL when empty."""
    texts = []
    for column in feed.columns:
        position = first.columns.positions.get(column.name)
        name = quoted(column.name)
        if column.name in feed.purposeless:
            texts.append(f"null::varchar as {name}")
        elif first.file.format is Format.JSONL:
            texts.append(f"nullif({quoted(first.json_keys[column.name])}, '') as {name}")
        elif position is None:
            texts.append(f"null::varchar as {name}")
        elif first.file.format is Format.CSV:
            texts.append(f"c{position} as {name}")
        else:
            found = quoted(first.scan.names[position])
            texts.append(f"nullif({found}::varchar, '') as {name}")
    return texts


def _reader_sql(first: Prepared, *, is_many: bool) -> str:
    """Return the table function that reads `$paths`, all columns as text."""
    filename = f"filename = {str(is_many).lower()}"
    compression = "gzip" if first.file.is_gzipped and first.clean is None else "uncompressed"
    match first.file.format:
        case Format.CSV:
            columns = ", ".join(f"'c{i}': 'varchar'" for i in range(len(first.scan.names)))
            long = ""
            if first.longest_line > DUCKDB_CSV_LINE_LIMIT - 1000:
                # Twice, because the clean copy doubles quotes.
                long = f", max_line_size = {2 * LINE_LIMIT}, buffer_size = {4 * LINE_LIMIT}"
            delimiter = first.scan.delimiter.replace("\t", "\\t")
            return (
                f"read_csv($paths, auto_detect = false, header = true, delim = '{delimiter}',"
                f" quote = '\"', escape = '\"', columns = {{{columns}}}, strict_mode = true,"
                f" null_padding = false, compression = '{compression}', {filename}{long})"
            )
        case Format.JSONL:
            columns = ", ".join(f"{literal(key)}: 'varchar'" for key in first.json_keys.values())
            return (
                "read_json($paths, format = 'newline_delimited', records = true,"
                f" columns = {{{columns}}}, maximum_object_size = {LINE_LIMIT + 1000},"
                f" compression = '{compression}', {filename})"
            )
        case Format.PARQUET:
            return f"read_parquet($paths, binary_as_string = true, {filename})"


def _misfit_sql(feed: Feed, format_: Format) -> str:
    """Return the SQL for the position of the first column that a row fails on, else NULL."""
    conditions = []
    others = ", ".join(
        quoted(column.name) for column in feed.columns if column.name not in feed.key
    )
    for position, column in enumerate(feed.columns):
        name = quoted(column.name)
        is_key = column.name in feed.key
        if is_key:
            conditions.append(f"when {name} is null or trim({name}) = '' then {position}")
        if is_key and column.type is ColumnType.TEXT:
            # 0.04 µs a value, because both patterns begin at the beginning.
            pattern = literal(_no_identifier(column.name))
            conditions.append(f"when regexp_matches({name}, {pattern}) then {position}")
            if others and format_ is Format.CSV:
                conditions.append(
                    f"when case when coalesce({others}) is null"
                    f" then regexp_matches({name}, {literal(_NOTE)}) end then {position}"
                )
        if format_ is Format.PARQUET:  # in text files the scan has looked for NUL
            conditions.append(f"when contains({name}, chr(0)) then {position}")
        fits = fits_sql(column.type, name)
        if fits != "true":
            conditions.append(f"when {name} is not null and {fits} is not true then {position}")
    if not conditions:
        return "null::usmallint"
    return f"case {' '.join(conditions)} end::usmallint"


def _value(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> int:
    row = connection.execute(query, parameters or {}).fetchone()
    return int(row[0]) if row else 0
