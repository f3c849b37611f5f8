"""Landing: every line of every file goes to schema `raw`, or to `raw.rejects` with a reason.

Three laws, for each file: `loaded_count + rejected_count = line_count`;
`loaded_count = new_row_count + repeated_row_count`; its rows, rejects and manifest entry commit in
one transaction or not at all. A line is a data record as `readers` defines it: the header and blank
lines are none, a CSV record with line breaks inside quotes is one, a row of a Parquet file is one.
A row that is already in raw (same text in every contract column) is counted as repeated and not
stored again, so the same data may come in any number of files; a changed row is a new version.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.landing.column_types import expectation, fits_sql
from orchestration.landing.feeds import FEEDS, Feed
from orchestration.landing.listing import Format, LandedFile, LandingError, list_landing
from orchestration.landing.readers import (
    DUCKDB_CSV_LINE_LIMIT,
    LINE_LIMIT,
    Columns,
    GoneError,
    RefusedError,
    Reject,
    Scan,
    Sieved,
    check_unchanged,
    excerpt,
    hash_file,
    locate,
    locate_lines,
    match_columns,
    scan,
    sieve,
)

__all__ = [
    "FileOutcome",
    "LandingError",
    "LandingReport",
    "Outcome",
    "create_raw_tables",
    "land",
    "landing_state",
]

_BATCH_BYTES = 512 << 20
_BATCH_FILES = 1000
_PAGE = 20_000
_SPOOL_PREFIX = ".landing-"


class Outcome(StrEnum):
    """What became of a file in this run."""

    LOADED = "loaded"
    KNOWN = "known"  # unchanged since an earlier run, or the same content under another name
    REFUSED = "refused"
    GONE = "gone"  # removed or changed between listing and reading


@dataclass(frozen=True)
class FileOutcome:
    """One file of the landing in this run.

    Counts are those of the file whenever it was read. is_read: whether this run read it.
    message: one sentence when it was refused or is gone. seconds: wall time, shared out by size
    among files that were read together.
    """

    path: str
    feed: str
    outcome: Outcome
    is_read: bool
    size_bytes: int
    line_count: int = 0
    loaded_count: int = 0
    new_row_count: int = 0
    repeated_row_count: int = 0
    rejected_count: int = 0
    seconds: float = 0.0
    message: str | None = None


@dataclass(frozen=True)
class FeedTotals:
    """Sums over the files of one feed that this run read, and the rows that raw holds now."""

    files_seen: int
    files_read: int
    line_count: int
    loaded_count: int
    new_row_count: int
    repeated_row_count: int
    rejected_count: int
    raw_row_count: int
    seconds: float


@dataclass(frozen=True)
class LandingReport:
    """What one run of the landing did.

    refused: one sentence per file that cannot be loaded, also when it was refused in an earlier
    run and has not changed since. warnings: everything else that a person should look at. The
    counts are of the files that this run read. state_hash: see landing_state.
    """

    load_id: str
    files: tuple[FileOutcome, ...]
    feeds: dict[str, FeedTotals]
    warnings: tuple[str, ...]
    refused: tuple[str, ...]
    vanished_paths: tuple[str, ...]
    state_hash: str
    seconds: float

    @property
    def files_seen(self) -> int:
        """Files of feeds in the landing."""
        return len(self.files)

    @property
    def files_read(self) -> int:
        """Files that this run read."""
        return sum(file.is_read for file in self.files)

    @property
    def line_count(self) -> int:
        """Data lines in the files that this run read."""
        return sum(file.line_count for file in self.files if file.is_read)

    @property
    def loaded_count(self) -> int:
        """Lines that are in raw now."""
        return sum(file.loaded_count for file in self.files if file.is_read)

    @property
    def new_row_count(self) -> int:
        """Rows that this run added to raw."""
        return sum(file.new_row_count for file in self.files if file.is_read)

    @property
    def repeated_row_count(self) -> int:
        """Lines that were in raw already."""
        return sum(file.repeated_row_count for file in self.files if file.is_read)

    @property
    def rejected_count(self) -> int:
        """Lines that went to raw.rejects."""
        return sum(file.rejected_count for file in self.files if file.is_read)


def land(
    connection: duckdb.DuckDBPyConnection,
    landing: Path,
    *,
    load_id: str,
    loaded_at: datetime,
    feeds: Sequence[Feed] = FEEDS,
    progress: Callable[[str], None] = lambda _: None,
) -> LandingReport:
    """Load every new or changed file below `landing` into schema `raw` of the connection.

    The connection must not be inside a transaction; its TimeZone is set to UTC and stays so.
    loaded_at: with zone, or UTC without. progress: told one line per batch of files.

    A file that cannot be loaded is refused: it is in the report and in `raw.files`, nothing of it
    is in raw, and the other files load. Raises LandingError when the landing as a whole cannot be
    read; errors of the machine (disk full, out of memory) are raised as they come.
    """
    started = time.perf_counter()
    listing = list_landing(landing, feeds)
    connection.execute("set TimeZone = 'UTC'")
    create_raw_tables(connection, feeds)
    if loaded_at.tzinfo is not None:
        loaded_at = loaded_at.astimezone(UTC).replace(tzinfo=None)
    with _spool_folder(connection) as spool:
        run = _Run(connection, load_id, loaded_at, spool, progress)
        vanished = run.compare_with_manifest(listing.files)
        for feed in feeds:
            run.load_feed(feed, [file for file in listing.files if file.feed == feed])
    warnings = [*listing.warnings, *run.warnings]
    outcomes = tuple(run.outcomes[file.name] for file in listing.files)
    return LandingReport(
        load_id=load_id,
        files=outcomes,
        feeds={feed.name: _totals(connection, feed, outcomes) for feed in feeds},
        warnings=tuple(warnings),
        refused=tuple(file.message or "" for file in outcomes if file.outcome is Outcome.REFUSED),
        vanished_paths=tuple(vanished),
        state_hash=landing_state(connection),
        seconds=time.perf_counter() - started,
    )


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
        f" from raw.{_quote(table)}"
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


def create_raw_tables(connection: duckdb.DuckDBPyConnection, feeds: Sequence[Feed] = FEEDS) -> None:
    """Create schema `raw` with the table of every feed, the manifest and the rejects.

    Safe to repeat. A column that the contract gained is added to a table that exists.
    """
    connection.begin()
    try:
        connection.execute("create schema if not exists raw")
        for feed in feeds:
            columns = ", ".join(f"{_quote(column.name)} varchar" for column in feed.columns)
            connection.execute(
                f"create table if not exists raw.{_quote(feed.table)} ({columns},"
                " _load_id varchar not null, _loaded_at timestamp not null,"
                " _source_file varchar not null, _row_hash uhugeint not null)"
            )
            known = {
                row[0]
                for row in connection.execute(
                    "select column_name from duckdb_columns() where schema_name = 'raw'"
                    " and database_name = current_database() and table_name = $table",
                    {"table": feed.table},
                ).fetchall()
            }
            for column in feed.columns:
                if column.name not in known:
                    connection.execute(
                        f"alter table raw.{_quote(feed.table)}"
                        f" add column {_quote(column.name)} varchar"
                    )
        connection.execute(_CREATE_FILES)
        connection.execute(_CREATE_REJECTS)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


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
    is_present boolean not null
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


class _DoubtError(Exception):
    """DuckDB and the independent count disagree about a batch, or DuckDB cannot read it."""


@dataclass
class _Prepared:
    """A file on its way: scanned, perhaps sieved, and the counts that it ends with."""

    file: LandedFile
    scan: Scan
    columns: Columns
    number: int
    started: float
    sieved: Sieved | None = None
    clean: Path | None = None
    rejects: list[Reject] = field(default_factory=list)
    first_row: int = 0
    type_rejected_count: int = 0
    new_row_count: int = 0
    repeated_row_count: int = 0
    seconds: float = 0.0

    @property
    def readable_count(self) -> int:
        """Records that DuckDB has to find."""
        return self.scan.line_count if self.sieved is None else len(self.sieved.line_numbers)

    @property
    def rejected_count(self) -> int:
        before = self.sieved.rejected_count if self.sieved else 0
        return before + self.type_rejected_count

    @property
    def line_count(self) -> int:
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
        keys = {column.name: column.name for column in self.file.feed.columns}
        for name, position in self.columns.positions.items():
            keys[name] = self.scan.names[position]
        return keys

    @property
    def longest_line(self) -> int:
        return self.scan.longest_line if self.sieved is None else self.sieved.longest_line


class _Run:
    """One call of `land`: what the files of a run share."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        load_id: str,
        loaded_at: datetime,
        spool: Path,
        progress: Callable[[str], None],
    ) -> None:
        self.connection = connection
        self.load_id = load_id
        self.loaded_at = loaded_at
        self.spool = spool
        self.progress = progress
        self.outcomes: dict[str, FileOutcome] = {}
        self.warnings: list[str] = []
        self._number = 0

    # --- which files are new ---------------------------------------------------------------

    def compare_with_manifest(self, files: Sequence[LandedFile]) -> list[str]:
        """Settle the files that have not changed, and mark those that are gone.

        Returns the paths that the previous listing contained and this one does not.
        """
        known = self._rows(
            """
            select file_path, content_hash, size_bytes, modified_ns, status, line_count,
                loaded_count, new_row_count, repeated_row_count, rejected_count, message, is_present
            from raw.files
            qualify row_number() over (
                partition by file_path order by is_present desc, loaded_at desc, content_hash
            ) = 1
            """
        )
        listed = {file.name: file for file in files}
        by_path = {row["file_path"]: row for row in known}
        returned: list[tuple[str, str]] = []
        for name, file in listed.items():
            row = by_path.get(name)
            if row is None or not row["content_hash"]:
                continue
            if (row["size_bytes"], row["modified_ns"]) != (file.size_bytes, file.modified_ns):
                continue
            self.outcomes[name] = _known_outcome(file, row)
            if not row["is_present"]:
                returned.append((name, row["content_hash"]))
        vanished = [
            path for path, row in by_path.items() if row["is_present"] and path not in listed
        ]
        if returned or vanished:
            with self._transaction():
                for path in vanished:
                    self._set_present(path, None)
                for path, content_hash in returned:
                    self._set_present(path, content_hash)
        return vanished

    def _set_present(self, path: str, content_hash: str | None) -> None:
        self.connection.execute(
            "update raw.files set is_present = (content_hash is not distinct from $hash)"
            " where file_path = $path"
            " and is_present <> (content_hash is not distinct from $hash)",
            {"path": path, "hash": content_hash},
        )

    # --- one feed --------------------------------------------------------------------------

    def load_feed(self, feed: Feed, files: Sequence[LandedFile]) -> None:
        """Read the files of one feed in name order, those of one shape together."""
        batch: list[_Prepared] = []
        for file in files:
            if file.name in self.outcomes:
                continue
            prepared = self._prepare(file)
            if prepared is None:
                continue
            same_content = any(
                other.scan.content_hash == prepared.scan.content_hash for other in batch
            )
            size = sum(other.file.size_bytes for other in batch) + file.size_bytes
            if batch and (
                same_content
                or batch[0].shape != prepared.shape
                or size > _BATCH_BYTES
                or len(batch) >= _BATCH_FILES
            ):
                self._load(feed, batch)
                batch = []
            if self._repeat_known_content(prepared):
                continue
            batch.append(prepared)
        if batch:
            self._load(feed, batch)

    def _prepare(self, file: LandedFile) -> _Prepared | None:
        """Scan a file, and sieve it when it is not clean; None when it is refused or gone."""
        started = time.perf_counter()
        with self._settled(file, started):
            found = scan(file)
            if file.format is Format.PARQUET:
                self._scan_parquet(file, found)
            columns = _columns(file, found)
            self._number += 1
            prepared = _Prepared(file, found, columns, self._number, started)
            if found.doubt:
                self._sieve(prepared)
            prepared.seconds = time.perf_counter() - started
            return prepared
        return None

    def _scan_parquet(self, file: LandedFile, found: Scan) -> None:
        """Read everything once without writing anything, so that every error is the file's."""
        link = self.spool / "parquet_under_test.parquet"
        link.symlink_to(file.path.absolute())
        try:
            described = self.connection.execute(
                "describe select * from read_parquet($path, binary_as_string = true)",
                {"path": str(link)},
            ).fetchall()
            found.names = tuple(row[0] for row in described)
            row = self.connection.execute(
                "select count(*), sum(strlen(columns(*)::varchar))"
                " from read_parquet($path, binary_as_string = true)",
                {"path": str(link)},
            ).fetchone()
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            check_unchanged(file)
            raise RefusedError(
                f"it cannot be read as Parquet ({_first_line(error)}); deliver it again"
            ) from error
        finally:
            link.unlink()
        found.line_count = int(row[0]) if row else 0

    def _sieve(self, prepared: _Prepared) -> None:
        prepared.clean = self.spool / f"clean-{prepared.number}"
        prepared.rejects = []
        prepared.sieved = sieve(
            prepared.file, prepared.scan, prepared.clean, prepared.rejects.append
        )
        check_unchanged(prepared.file)

    @contextlib.contextmanager
    def _settled(self, file: LandedFile, started: float) -> Iterator[None]:
        """Turn what is wrong with one file into its outcome, and go on."""
        try:
            yield
        except RefusedError as error:
            self._refuse(file, str(error), time.perf_counter() - started)
        except GoneError as error:
            self._give_up(file, error)

    def _give_up(self, file: LandedFile, error: GoneError) -> None:
        message = f"{file.name} {error}; nothing of it was loaded."
        self.warnings.append(message)
        self.outcomes[file.name] = FileOutcome(
            file.name, file.feed.name, Outcome.GONE, False, file.size_bytes, message=message
        )

    def _refuse(self, file: LandedFile, reason: str, seconds: float) -> None:
        try:
            content_hash = hash_file(file)
            check_unchanged(file)
        except RefusedError:
            content_hash = ""  # cannot be opened: looked at again in every run
        except GoneError as error:
            self._give_up(file, error)
            return
        message = f"{file.name} was refused: {reason}."
        outcome = FileOutcome(
            file.name,
            file.feed.name,
            Outcome.REFUSED,
            True,
            file.size_bytes,
            seconds=seconds,
            message=message,
        )
        with self._transaction():
            self._record(file, content_hash, outcome, None)
        self.outcomes[file.name] = outcome
        self.progress(message)

    def _repeat_known_content(self, prepared: _Prepared) -> bool:
        """Settle a file whose content was loaded before, under this or another name."""
        file, content_hash = prepared.file, prepared.scan.content_hash
        rows = self._rows(
            """
            select file_path, line_count, loaded_count, rejected_count, extra_columns,
                missing_columns
            from raw.files
            where feed = $feed and content_hash = $hash and status = 'loaded'
            order by file_path <> $path, loaded_at, file_path
            limit 1
            """,
            {"feed": file.feed.name, "hash": content_hash, "path": file.name},
        )
        if not rows:
            return False
        row = rows[0]
        other = row["file_path"]
        is_same_path = other == file.name
        outcome = FileOutcome(
            file.name,
            file.feed.name,
            Outcome.KNOWN,
            True,
            file.size_bytes,
            line_count=row["line_count"],
            loaded_count=row["loaded_count"],
            repeated_row_count=row["loaded_count"],
            rejected_count=row["rejected_count"],
            seconds=prepared.seconds,
            message=None if is_same_path else f"Same content as {other}.",
        )
        with self._transaction():
            if is_same_path:
                self.connection.execute(
                    "update raw.files set modified_ns = $ns, modified_at = make_timestamp_ns($ns)"
                    " where file_path = $path and content_hash = $hash",
                    {"ns": file.modified_ns, "path": file.name, "hash": content_hash},
                )
                self._set_present(file.name, content_hash)
            else:
                self._record(file, content_hash, outcome, prepared.columns)
                self.connection.execute(
                    """
                    insert into raw.rejects
                    select feed, $path, content_hash, line_number, line_text, column_name, value,
                        reason, $load_id, $loaded_at
                    from raw.rejects
                    where source_file = $other and content_hash = $hash
                    """,
                    {
                        "path": file.name,
                        "other": other,
                        "hash": content_hash,
                        "load_id": self.load_id,
                        "loaded_at": self.loaded_at,
                    },
                )
        self.outcomes[file.name] = outcome
        self._discard(prepared)
        return True

    # --- one batch -------------------------------------------------------------------------

    def _load(self, feed: Feed, batch: list[_Prepared]) -> None:
        """Load files of one shape; whatever DuckDB cannot read as counted is read exactly."""
        started = time.perf_counter()
        try:
            self._load_batch(feed, batch)
        except _DoubtError as doubt:
            if len(batch) > 1:
                # Mostly one file is to blame and DuckDB names it; the others stay together.
                named = [one for one in batch if f"/{one.number}.{one.file.format}" in str(doubt)]
                if len(named) == 1 and named[0].sieved is None:
                    with self._settled(named[0].file, named[0].started):
                        self._sieve(named[0])
                    rest = [one for one in batch if one.file.name not in self.outcomes]
                    self._load(feed, rest)
                    return
                for prepared in batch:
                    self._load(feed, [prepared])
                return
            (prepared,) = batch
            if prepared.sieved is None and prepared.file.format is not Format.PARQUET:
                with self._settled(prepared.file, prepared.started):
                    self._sieve(prepared)
                    self._load(feed, batch)
                return
            seconds = prepared.seconds + time.perf_counter() - started
            reason = f"it cannot be read ({_first_line(doubt)})"
            self._refuse(prepared.file, reason, seconds)
        except GoneError:
            for prepared in batch:
                with self._settled(prepared.file, prepared.started):
                    check_unchanged(prepared.file)
            if still := [one for one in batch if one.file.name not in self.outcomes]:
                self._load(feed, still)
        finally:
            for prepared in batch:
                if prepared.file.name in self.outcomes:
                    self._discard(prepared)

    def _load_batch(self, feed: Feed, batch: list[_Prepared]) -> None:
        started = time.perf_counter()
        for prepared in batch:
            prepared.type_rejected_count = 0
        try:
            self._stage(feed, batch)
            for prepared in batch:
                check_unchanged(prepared.file)
            self._check_counts(batch)
            with self._transaction():
                for prepared in batch:
                    self._write_rejects(prepared, prepared.rejects)
                self._reject_misfits(feed, batch)
                self._insert(feed, batch)
                size = sum(prepared.file.size_bytes for prepared in batch) or 1
                seconds = time.perf_counter() - started
                outcomes = []
                for prepared in batch:
                    share = seconds * prepared.file.size_bytes / size
                    outcomes.append(_loaded_outcome(prepared, prepared.seconds + share))
                    self._record(
                        prepared.file,
                        prepared.scan.content_hash,
                        outcomes[-1],
                        prepared.columns,
                    )
        finally:
            for table in ("landing_stage", "landing_repeated"):
                self.connection.execute(f"drop table if exists temp.{table}")
        for outcome, prepared in zip(outcomes, batch, strict=True):
            self.outcomes[outcome.path] = outcome
            self._warn(prepared)
        lines = sum(outcome.line_count for outcome in outcomes)
        new = sum(outcome.new_row_count for outcome in outcomes)
        rejected = sum(outcome.rejected_count for outcome in outcomes)
        files = batch[0].file.name if len(batch) == 1 else f"{len(batch)} files"
        self.progress(
            f"{feed.name}: {files}, {lines:,} lines, {new:,} new rows, {rejected:,} rejected"
            f" ({seconds:.1f} s)"
        )

    def _warn(self, prepared: _Prepared) -> None:
        name, columns = prepared.file.name, prepared.columns
        if columns.extra:
            plural = "columns" if len(columns.extra) > 1 else "column"
            self.warnings.append(
                f"{name} has the {plural} {', '.join(columns.extra)}, which the contract does not"
                " know and which was not loaded; add it to the feed or stop sending it"
            )
        if prepared.file.format is Format.JSONL and prepared.line_count == 0:
            self.warnings.append(f"{name} is empty; it counts as loaded with 0 lines")

    def _stage(self, feed: Feed, batch: list[_Prepared]) -> None:
        """Read a batch into a temporary table: texts, row hash, and the column that does not fit.

        Files are given to DuckDB as links with names of our own, because it takes every path for a
        pattern and a file may be called `a[1]*.csv`.
        """
        first = batch[0]
        links = []
        for prepared in batch:
            link = self.spool / f"{prepared.number}.{first.file.format}"
            link.unlink(missing_ok=True)
            link.symlink_to((prepared.clean or prepared.file.path).absolute())
            links.append(str(link))
        texts = _texts(feed, first)
        number = str(first.number) if len(batch) == 1 else "parse_filename(filename, true)::bigint"
        names = [_quote(column.name) for column in feed.columns]
        # Empty text is NULL and no text contains NUL, so the joined text tells rows apart.
        joined = ", chr(0), ".join(names)
        query = f"""
            create temp table landing_stage as
            select
                file_number, {", ".join(names)},
                {_misfit_sql(feed, first.file.format)} as misfit,
                md5_number(concat({joined})) as row_hash
            from (
                select {number} as file_number, {", ".join(texts)}
                from {_reader_sql(first, is_many=len(batch) > 1)}
            )
        """
        try:
            self.connection.execute("drop table if exists temp.landing_stage")
            self.connection.execute(query, {"paths": links})
        except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
            raise _DoubtError(str(error)) from error
        except duckdb.IOException:
            # The file may have been removed; everything else (disk full) is the machine's.
            for prepared in batch:
                check_unchanged(prepared.file)
            raise
        finally:
            for path in links:
                Path(path).unlink(missing_ok=True)

    def _check_counts(self, batch: list[_Prepared]) -> None:
        """Compare what DuckDB found with the independent count, and note where each file starts."""
        found = {
            row["file_number"]: row
            for row in self._rows(
                "select file_number, count(*) as row_count, count(misfit) as misfit_count,"
                " min(rowid) as first_row, max(rowid) as last_row from landing_stage group by all"
            )
        }
        for prepared in batch:
            row = found.get(prepared.number)
            count = row["row_count"] if row else 0
            if count != prepared.readable_count:
                raise _DoubtError(f"{count:,} records found, {prepared.readable_count:,} expected")
            if row:
                if row["last_row"] - row["first_row"] + 1 != count:
                    # Line numbers of rejects are counted from here, so this must never happen.
                    raise RuntimeError(f"{prepared.file.name}: staged rows are not in file order")
                prepared.first_row = row["first_row"]
                prepared.type_rejected_count = row["misfit_count"]

    def _reject_misfits(self, feed: Feed, batch: list[_Prepared]) -> None:
        """Write a reject for every staged row with a value that does not fit its column."""
        for prepared in batch:
            if prepared.type_rejected_count:
                written = self._write_rejects(prepared, self._misfits(feed, prepared))
                if written != prepared.type_rejected_count:
                    raise RuntimeError(
                        f"{prepared.file.name}: {written} of {prepared.type_rejected_count}"
                        " rejects found again in the file"
                    )

    def _misfits(self, feed: Feed, prepared: _Prepared) -> Iterator[Reject]:
        """Yield the rejects of one file; the staged rows of a file are in its order."""
        after = -1
        while page := self._misfit_page(feed, prepared, after):
            after = page[-1][0]
            places: Iterable[tuple[int, str]]
            ordinals = [row_id - prepared.first_row for row_id, *_ in page]
            if prepared.file.format is Format.PARQUET:
                places = (
                    (ordinal + 1, row[3] or "") for ordinal, row in zip(ordinals, page, strict=True)
                )
            elif prepared.sieved is None:
                places = locate(prepared.file, iter(ordinals))
            else:
                numbers = [prepared.sieved.line_numbers[ordinal] for ordinal in ordinals]
                texts = locate_lines(prepared.file, prepared.scan, iter(numbers))
                places = zip(numbers, texts, strict=True)
            for (line_number, text), (_, misfit, found, _) in zip(places, page, strict=True):
                column = feed.columns[misfit]
                value = found or ""
                if "\0" in value:
                    reason = "the value has a NUL character, which no database text takes"
                elif not value.strip():
                    reason = f"{column.name} is empty; every row needs it"
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

    def _misfit_page(
        self, feed: Feed, prepared: _Prepared, after: int
    ) -> list[tuple[int, int, str | None, str | None]]:
        names = ", ".join(_quote(column.name) for column in feed.columns)
        line = "null"
        if prepared.file.format is Format.PARQUET:
            pairs = ", ".join(
                f"{_quote(column.name)} := {_quote(column.name)}" for column in feed.columns
            )
            line = f"to_json(struct_pack({pairs}))::varchar"
        return self.connection.execute(
            f"""
            select rowid, misfit, list_value({names})[misfit + 1], {line}
            from landing_stage
            where misfit is not null and file_number = $number and rowid > $after
            order by rowid
            limit {_PAGE}
            """,
            {"number": prepared.number, "after": after},
        ).fetchall()

    def _write_rejects(self, prepared: _Prepared, rejects: Iterable[Reject]) -> int:
        """Insert rejects in pages; returns how many."""
        count = 0
        page: list[Reject] = []
        for reject in rejects:
            page.append(reject)
            count += 1
            if len(page) == _PAGE:
                self._write_reject_page(prepared, page)
                page.clear()
        if page:
            self._write_reject_page(prepared, page)
        return count

    def _write_reject_page(self, prepared: _Prepared, page: list[Reject]) -> None:
        table = pa.table(
            {
                "line_number": pa.array([reject.line_number for reject in page], pa.int64()),
                "line_text": pa.array([reject.line_text for reject in page], pa.string()),
                "column_name": pa.array([reject.column_name for reject in page], pa.string()),
                "value": pa.array([reject.value for reject in page], pa.string()),
                "reason": pa.array([reject.reason for reject in page], pa.string()),
            }
        )
        self.connection.register("landing_reject_page", table)
        self.connection.execute(
            """
            insert into raw.rejects
            select $feed, $path, $hash, line_number, line_text, column_name, value, reason,
                $load_id, $loaded_at
            from landing_reject_page
            """,
            {
                "feed": prepared.file.feed.name,
                "path": prepared.file.name,
                "hash": prepared.scan.content_hash,
                "load_id": self.load_id,
                "loaded_at": self.loaded_at,
            },
        )
        self.connection.unregister("landing_reject_page")

    def _insert(self, feed: Feed, batch: list[_Prepared]) -> None:
        """Insert the staged rows that are neither misfits nor known; count both per file.

        Of equal rows in a batch the first in file name order stays. Looking for repeated rows in
        an empty table costs one count of distinct hashes.
        """
        table = f"raw.{_quote(feed.table)}"
        good = sum(prepared.readable_count - prepared.type_rejected_count for prepared in batch)
        distinct = self._value(
            "select count(distinct row_hash) from landing_stage where misfit is null"
        )
        finders = []
        if self._value(f"select count(*) from (select 1 from {table} limit 1)"):
            finders.append(
                "select stage.rowid as row_id, stage.file_number from landing_stage as stage"
                f" where stage.misfit is null"
                f" and stage.row_hash in (select _row_hash from {table})"
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
            self.connection.execute(
                f"create temp table landing_repeated as {' union '.join(finders)}"
            )
            repeated = dict(
                self.connection.execute(
                    "select file_number, count(*) from landing_repeated group by all"
                ).fetchall()
            )
            if repeated:
                repeated_filter = "and stage.rowid not in (select row_id from landing_repeated)"
        for prepared in batch:
            loaded = prepared.readable_count - prepared.type_rejected_count
            prepared.repeated_row_count = repeated.get(prepared.number, 0)
            prepared.new_row_count = loaded - prepared.repeated_row_count
        new_count = sum(prepared.new_row_count for prepared in batch)
        if not new_count:
            return
        names = ", ".join(_quote(column.name) for column in feed.columns)
        staged = ", ".join(f"stage.{_quote(column.name)}" for column in feed.columns)
        parameters: dict[str, Any] = {"load_id": self.load_id, "loaded_at": self.loaded_at}
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
        inserted = self._value(
            f"insert into {table} ({names}, _load_id, _loaded_at, _source_file, _row_hash)"
            f" select {staged}, $load_id, $loaded_at, {source}, stage.row_hash"
            f" from landing_stage as stage {join}"
            f" where stage.misfit is null {repeated_filter}",
            parameters,
        )
        if inserted != new_count:
            raise RuntimeError(f"{table}: {inserted} rows inserted, {new_count} expected")

    # --- bookkeeping -----------------------------------------------------------------------

    def _record(
        self,
        file: LandedFile,
        content_hash: str,
        outcome: FileOutcome,
        columns: Columns | None,
    ) -> None:
        """Write the manifest entry of this version of a file; earlier versions are not present."""
        self._set_present(file.name, None)
        self.connection.execute(
            "delete from raw.files where file_path = $path and content_hash = $hash",
            {"path": file.name, "hash": content_hash},
        )
        self.connection.execute(
            """
            insert into raw.files by name
            select
                $path as file_path, $feed as feed, $hash as content_hash, $size as size_bytes,
                make_timestamp_ns($ns)::timestamp as modified_at, $ns as modified_ns,
                $status as status, $lines as line_count, $loaded as loaded_count,
                $new as new_row_count, $repeated as repeated_row_count,
                $rejected as rejected_count, $extra as extra_columns, $missing as missing_columns,
                $message as message, $seconds as seconds, $load_id as load_id,
                $loaded_at as loaded_at, true as is_present
            """,
            {
                "path": file.name,
                "feed": file.feed.name,
                "hash": content_hash,
                "size": file.size_bytes,
                "ns": file.modified_ns,
                "status": "refused" if outcome.outcome is Outcome.REFUSED else "loaded",
                "lines": outcome.line_count,
                "loaded": outcome.loaded_count,
                "new": outcome.new_row_count,
                "repeated": outcome.repeated_row_count,
                "rejected": outcome.rejected_count,
                "extra": ", ".join(columns.extra) or None if columns else None,
                "missing": ", ".join(columns.missing) or None if columns else None,
                "message": outcome.message,
                "seconds": outcome.seconds,
                "load_id": self.load_id,
                "loaded_at": self.loaded_at,
            },
        )

    def _discard(self, prepared: _Prepared) -> None:
        if prepared.clean is not None:
            prepared.clean.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.begin()
        try:
            yield
        except BaseException:
            # After a fatal error DuckDB has no transaction left; the first error matters.
            with contextlib.suppress(duckdb.Error):
                self.connection.rollback()
            raise
        self.connection.commit()

    def _rows(self, query: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        cursor = self.connection.execute(query, parameters or {})
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _value(self, query: str, parameters: dict[str, Any] | None = None) -> int:
        row = self.connection.execute(query, parameters or {}).fetchone()
        return int(row[0]) if row else 0


@contextlib.contextmanager
def _spool_folder(connection: duckdb.DuckDBPyConnection) -> Iterator[Path]:
    """A private folder beside the database, on its disk; what a killed run left there goes first.

    Clean copies hold personal data, so nothing of them may stay behind.
    """
    row = connection.execute(
        "select path from duckdb_databases() where database_name = current_database()"
    ).fetchone()
    beside = Path(row[0]).parent if row and row[0] else None
    if beside is not None:
        for left in beside.glob(f"{_SPOOL_PREFIX}*"):
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_SPOOL_PREFIX, dir=beside) as folder:
        yield Path(folder)


def _columns(file: LandedFile, found: Scan) -> Columns:
    if file.format is Format.JSONL and not found.names:
        # No line that is an object was seen: every line will be rejected, or there is none.
        return Columns({}, tuple(column.name for column in file.feed.columns), ())
    return match_columns(file.feed, found.names, file.format)


def _texts(feed: Feed, first: _Prepared) -> list[str]:
    """Return one SQL expression per contract column: its text as received, NULL when empty."""
    texts = []
    for column in feed.columns:
        position = first.columns.positions.get(column.name)
        name = _quote(column.name)
        if first.file.format is Format.JSONL:
            texts.append(f"nullif({_quote(first.json_keys[column.name])}, '') as {name}")
        elif position is None:
            texts.append(f"null::varchar as {name}")
        elif first.file.format is Format.CSV:
            texts.append(f"c{position} as {name}")
        else:
            found = _quote(first.scan.names[position])
            texts.append(f"nullif({found}::varchar, '') as {name}")
    return texts


def _reader_sql(first: _Prepared, *, is_many: bool) -> str:
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
            columns = ", ".join(f"{_literal(key)}: 'varchar'" for key in first.json_keys.values())
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
    for position, column in enumerate(feed.columns):
        name = _quote(column.name)
        is_key = column.name in feed.key
        if is_key:
            conditions.append(f"when {name} is null or trim({name}) = '' then {position}")
        if format_ is Format.PARQUET:  # in text files the scan has looked for NUL
            conditions.append(f"when contains({name}, chr(0)) then {position}")
        fits = fits_sql(column.type, name)
        if fits != "true":
            conditions.append(f"when {name} is not null and {fits} is not true then {position}")
    return f"case {' '.join(conditions)} end::usmallint"


def _known_outcome(file: LandedFile, row: dict[str, Any]) -> FileOutcome:
    return FileOutcome(
        file.name,
        file.feed.name,
        Outcome.REFUSED if row["status"] == "refused" else Outcome.KNOWN,
        False,
        file.size_bytes,
        line_count=row["line_count"],
        loaded_count=row["loaded_count"],
        new_row_count=row["new_row_count"],
        repeated_row_count=row["repeated_row_count"],
        rejected_count=row["rejected_count"],
        message=row["message"],
    )


def _loaded_outcome(prepared: _Prepared, seconds: float) -> FileOutcome:
    return FileOutcome(
        prepared.file.name,
        prepared.file.feed.name,
        Outcome.LOADED,
        True,
        prepared.file.size_bytes,
        line_count=prepared.line_count,
        loaded_count=prepared.new_row_count + prepared.repeated_row_count,
        new_row_count=prepared.new_row_count,
        repeated_row_count=prepared.repeated_row_count,
        rejected_count=prepared.rejected_count,
        seconds=seconds,
    )


def _totals(
    connection: duckdb.DuckDBPyConnection, feed: Feed, outcomes: Sequence[FileOutcome]
) -> FeedTotals:
    own = [outcome for outcome in outcomes if outcome.feed == feed.name]
    read = [outcome for outcome in own if outcome.is_read]
    row = connection.execute(f"select count(*) from raw.{_quote(feed.table)}").fetchone()
    return FeedTotals(
        files_seen=len(own),
        files_read=len(read),
        line_count=sum(outcome.line_count for outcome in read),
        loaded_count=sum(outcome.loaded_count for outcome in read),
        new_row_count=sum(outcome.new_row_count for outcome in read),
        repeated_row_count=sum(outcome.repeated_row_count for outcome in read),
        rejected_count=sum(outcome.rejected_count for outcome in read),
        raw_row_count=int(row[0]) if row else 0,
        seconds=sum(outcome.seconds for outcome in read),
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
