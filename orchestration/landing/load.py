"""Landing: every line of every file goes to schema `raw`, or to `raw.rejects` with a reason.

Three laws, for each file:
`loaded_count + rejected_count + forgotten_count + expired_count = line_count`;
`loaded_count = new_row_count + repeated_row_count`; its rows, rejects and manifest entry commit in
one transaction or not at all. A line is a data record as `readers` defines it: the header and blank
lines are none, a CSV record with line breaks inside quotes is one, a row of a Parquet file is one.
A row that is already in raw (same text in every contract column) is counted as repeated and not
stored again, so the same data may come in any number of files; a changed row is a new version.
"""

import contextlib
import re
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Protocol

import duckdb

from orchestration.landing.arrivals import have_landed
from orchestration.landing.batch import (
    DoubtError,
    Prepared,
    RejectSpool,
    check_counts,
    doubt_thousands,
    insert_new_rows,
    misfit_columns,
    misfits,
    stage,
)
from orchestration.landing.feed_policies import Action, FeedPolicy, read_policies
from orchestration.landing.feeds import FEEDS, Feed
from orchestration.landing.listing import (
    SETTLED_SECONDS,
    Format,
    LandedFile,
    is_fresh,
    list_landing,
)
from orchestration.landing.manifest import Manifest
from orchestration.landing.raw_tables import create_raw_tables, landing_state
from orchestration.landing.readers import (
    Columns,
    GoneError,
    RefusedError,
    Scan,
    UnsettledError,
    check_unchanged,
    hash_file,
    match_columns,
    scan,
)
from orchestration.landing.report import FeedTotals, FileOutcome, LandingReport, Outcome
from orchestration.landing.schema_drift import (
    Drift,
    is_retyped,
    judge_columns,
    retyped_reason,
    retyped_remedy,
    similar_name,
)
from orchestration.landing.sieve import Reject, sieve
from orchestration.landing.withdrawals import Withdrawn, follow_withdrawals
from orchestration.sql import quoted, transaction

_BATCH_BYTES = 512 << 20
_BATCH_FILES = 1000
_SPOOL_PREFIX = ".landing-"


class Forgetting(Protocol):
    """What keeps forgotten people out of what lands (orchestration/privacy/raw_rows.py)."""

    def forget_staged(self, connection: duckdb.DuckDBPyConnection, feed: Feed) -> Mapping[int, int]:
        """Take them out of table `landing_stage`; returns how many rows went, by file number."""
        ...

    def blank_rejects(
        self, connection: duckdb.DuckDBPyConnection, feed: Feed, rejects: Iterable[Reject]
    ) -> Iterable[Reject]:
        """Yield rejected lines, those that name one of them without what they say."""
        ...


def land(
    connection: duckdb.DuckDBPyConnection,
    landing: Path,
    *,
    load_id: str,
    loaded_at: datetime,
    feeds: Sequence[Feed] = FEEDS,
    policies: Mapping[str, FeedPolicy] | None = None,
    arrived: Mapping[str, datetime] | None = None,
    withdrawn: Withdrawn | None = None,
    forgetting: Forgetting | None = None,
    anyway: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> LandingReport:
    """Load every new or changed file below `landing` into schema `raw` of the connection.

    The connection must not be inside a transaction; its TimeZone is set to UTC and stays so.
    loaded_at: with zone, or UTC without. policies: what is done about schema drift, by feed name;
    read from the policy file when not given. arrived: names of files that landed before and that
    the database does not know, and when (UTC, without zone): they land before the others, in that
    order and with that time. withdrawn: versions of files that nothing may be in raw of.
    forgetting: keeps forgotten people out. anyway: go on where following a withdrawal loses rows.
    progress: told one line per batch of files.

    A file that cannot be loaded is refused: it is in the report and in `raw.files`, nothing of it
    is in raw, and the other files load. A file that is still being written is left for the next
    run. Raises LandingError when the landing as a whole or the policies cannot be read, or see
    `follow_withdrawals`; errors of the machine (disk full, out of memory) are raised as they come.
    """
    started = time.perf_counter()
    if policies is None:
        policies = read_policies(feeds)
    listing = list_landing(landing, feeds)
    connection.execute("set TimeZone = 'UTC'")
    create_raw_tables(connection, feeds)
    if loaded_at.tzinfo is not None:
        loaded_at = loaded_at.astimezone(UTC).replace(tzinfo=None)
    withdrawn = withdrawn or {}
    is_known = have_landed(connection)
    followed = follow_withdrawals(connection, feeds, listing.files, withdrawn, anyway=anyway)
    for sentence in followed.told:
        progress(sentence)
    with _spool_folder(connection) as spool:
        run = _Run(
            connection,
            load_id,
            loaded_at,
            spool=spool,
            policies=policies,
            withdrawn=withdrawn,
            forgetting=forgetting,
            progress=progress,
        )
        landed_before = dict(arrived or {}) | followed.moments
        if is_known:
            run.manifest.moments.update(landed_before)
        run.outcomes, vanished = run.manifest.compare(listing.files)
        moment_of = {file.name: loaded_at for file in listing.files}
        moment_of |= landed_before | run.manifest.moments
        places = {feed: place for place, feed in enumerate(feeds)}
        files = sorted(
            (file for file in listing.files if file.name not in run.outcomes),
            # stable: in name order within a feed, as they are listed
            key=lambda file: (moment_of[file.name], places[file.feed]),
        )
        with _scanning_ahead(files) as scanned:
            for moment, together in groupby(files, key=lambda file: moment_of[file.name]):
                run.loaded_at = run.manifest.loaded_at = moment
                for feed, of_feed in groupby(together, key=lambda file: file.feed):
                    run.load_feed(feed, list(of_feed), scanned)
    warnings = [*listing.warnings, *followed.warnings, *run.warnings]
    outcomes = tuple(run.outcomes[file.name] for file in listing.files)
    return LandingReport(
        load_id=load_id,
        files=outcomes,
        feeds={
            feed.name: _totals(connection, feed, outcomes, followed.row_counts.get(feed.name, 0))
            for feed in feeds
        },
        warnings=tuple(warnings),
        refused=tuple(file.message or "" for file in outcomes if file.outcome is Outcome.REFUSED),
        vanished_paths=vanished,
        state_hash=landing_state(connection),
        seconds=time.perf_counter() - started,
    )


class _Run:
    """One call of `land`: what the files of a run share."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        load_id: str,
        loaded_at: datetime,
        *,
        spool: Path,
        policies: Mapping[str, FeedPolicy],
        withdrawn: Withdrawn,
        forgetting: Forgetting | None,
        progress: Callable[[str], None],
    ) -> None:
        self.connection = connection
        self.load_id = load_id
        self.loaded_at = loaded_at
        self.manifest = Manifest(connection, load_id, loaded_at, policies)
        self.policies = policies
        self.withdrawn = withdrawn
        self.forgetting = forgetting
        self.spool = spool
        self.progress = progress
        self.outcomes: dict[str, FileOutcome] = {}
        self.warnings: list[str] = []
        self._number = 0

    # --- one feed --------------------------------------------------------------------------

    def load_feed(
        self, feed: Feed, files: Sequence[LandedFile], scanned: Callable[[LandedFile], Scan]
    ) -> None:
        """Read the files of one feed in name order, those of one shape together."""
        batch: list[Prepared] = []
        for file in files:
            prepared = self._prepare(file, scanned)
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
            repeated = None
            if not self.manifest.is_read_again(file):
                repeated = self.manifest.repeat(
                    file,
                    prepared.scan.content_hash,
                    prepared.columns,
                    prepared.drift,
                    prepared.seconds,
                )
            if repeated is not None:
                self.outcomes[file.name] = repeated
                self._discard(prepared)
                continue
            batch.append(prepared)
        if batch:
            self._load(feed, batch)

    def _prepare(self, file: LandedFile, scanned: Callable[[LandedFile], Scan]) -> Prepared | None:
        """Scan a file, and sieve it when it is not clean; None when it is refused or gone."""
        started = time.perf_counter()
        with self._settled(file, started):
            found = scanned(file)
            if self._is_withdrawn(file, found.content_hash):
                return None
            if file.format is Format.PARQUET:
                self._scan_parquet(file, found)
            if found.ends_open and is_fresh(file):
                raise UnsettledError("its last line has no line break yet")
            columns = _columns(file, found)
            drift = self._judge(file, found, columns)
            self._number += 1
            prepared = Prepared(file, found, columns, self._number, started, drift=drift)
            if found.doubt:
                self._sieve(prepared)
            if columns.positions and not self.manifest.is_read_again(file):
                self.manifest.columns_before[file.feed.name] = frozenset(columns.positions)
            prepared.seconds = time.perf_counter() - started
            return prepared
        return None

    def _judge(self, file: LandedFile, found: Scan, columns: Columns) -> Drift:
        """Compare the columns of a file with the contract and with the file before it."""
        if not columns.positions or self.manifest.is_known(file, found.content_hash):
            return Drift()
        before = self.manifest.columns_before.get(file.feed.name)
        if self.manifest.is_read_again(file):
            # It is older than the file that was read last, and was judged in its time.
            before = frozenset()

        def known_values(column: str) -> list[str]:
            table, name = f"raw.{quoted(file.feed.table)}", quoted(column)
            found_values = self.connection.execute(
                f"select distinct {name} from {table} where {name} is not null limit 20000"
            ).fetchall()
            return [value for (value,) in found_values]

        policy = self.policies[file.feed.name]
        return judge_columns(file, found, columns, policy, before=before, known_values=known_values)

    def _scan_parquet(self, file: LandedFile, found: Scan) -> None:
        """Read everything once, in a database of its own that writes nothing.

        So every error but a lack of memory is the file's, also those of broken Thrift metadata,
        which DuckDB raises as plain duckdb.Error, and none can invalidate the working database.
        """
        link = self.spool / "probe.parquet"
        link.symlink_to(file.path.absolute())
        try:
            with duckdb.connect() as probe:
                described = probe.execute(
                    "describe select * from read_parquet($path, binary_as_string = true)",
                    {"path": str(link)},
                ).fetchall()
                found.names = tuple(row[0] for row in described)
                row = probe.execute(
                    "select count(*), sum(strlen(columns(*)::varchar))"
                    " from read_parquet($path, binary_as_string = true)",
                    {"path": str(link)},
                ).fetchone()
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            check_unchanged(file)
            raise RefusedError(
                f"it cannot be read as Parquet ({_first_line(error)}); deliver it again"
            ) from error
        finally:
            link.unlink()
        found.line_count = int(row[0]) if row else 0

    def _sieve(self, prepared: Prepared) -> None:
        prepared.clean = self.spool / f"clean-{prepared.number}"
        with RejectSpool(self.spool / f"rejects-{prepared.number}").writing() as rejects:
            prepared.sieved = sieve(prepared.file, prepared.scan, prepared.clean, rejects.append)
        prepared.rejects = rejects
        check_unchanged(prepared.file)

    @contextlib.contextmanager
    def _settled(self, file: LandedFile, started: float) -> Iterator[None]:
        """Turn what is wrong with one file into its outcome, and go on."""
        try:
            yield
        except RefusedError as error:
            if error.is_cut and is_fresh(file):
                self._leave(file, UnsettledError(str(error)))
            else:
                self._refuse(file, str(error), time.perf_counter() - started)
        except (GoneError, UnsettledError) as error:
            self._leave(file, error)

    def _leave(self, file: LandedFile, error: GoneError | UnsettledError) -> None:
        if isinstance(error, UnsettledError):
            outcome = Outcome.UNSETTLED
            message = (
                f"{file.name} is still being written, it changed less than {SETTLED_SECONDS} s ago"
                f" and is not complete ({error}); it is left for the next run."
            )
        else:
            outcome = Outcome.GONE
            message = f"{file.name} {error}; nothing of it was loaded."
        self.warnings.append(message)
        self.outcomes[file.name] = FileOutcome(
            file.name, file.feed.name, outcome, False, file.size_bytes, message=message
        )

    def _is_withdrawn(self, file: LandedFile, content_hash: str) -> bool:
        """Tell whether a version is withdrawn, and enter it as such; warn of a copy of one."""
        withdrawal = self.withdrawn.get((file.name, content_hash))
        if withdrawal is None:
            for other in self.withdrawn.values():
                if (other.feed, other.content_hash) == (file.feed.name, content_hash):
                    self.warnings.append(
                        f"{file.name} has the content that was withdrawn as {other.file_path}, and"
                        " counts; withdraw it too if it is wrong"
                    )
                    break
            return False
        outcome = FileOutcome(
            file.name,
            file.feed.name,
            Outcome.WITHDRAWN,
            False,
            file.size_bytes,
            message=withdrawal.told,
        )
        with transaction(self.connection):
            self.manifest.record([(file, content_hash, outcome, None, Drift())])
        self.outcomes[file.name] = outcome
        return True

    def _refuse(self, file: LandedFile, reason: str, seconds: float) -> None:
        try:
            content_hash = hash_file(file)
            check_unchanged(file)
        except RefusedError:
            content_hash = ""  # cannot be opened: looked at again in every run
        except GoneError as error:
            self._leave(file, error)
            return
        if self._is_withdrawn(file, content_hash):
            return
        # DuckDB names the link that it was given, which says nothing to a reader.
        reason = re.sub(re.escape(str(self.spool)) + r"/[\w.-]+", lambda _: file.name, reason)
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
        with transaction(self.connection):
            self.manifest.forget(file, content_hash)
            self.manifest.record([(file, content_hash, outcome, None, Drift())])
        self.outcomes[file.name] = outcome
        self.progress(message)

    # --- one batch -------------------------------------------------------------------------

    def _load(self, feed: Feed, batch: list[Prepared]) -> None:
        """Load files of one shape; whatever DuckDB cannot read as counted is read exactly."""
        started = time.perf_counter()
        try:
            self._load_batch(feed, batch)
        except DoubtError as doubt:
            self._read_exactly(feed, batch, doubt, started)
        except _RetypedError as retyped:
            seconds = retyped.prepared.seconds + time.perf_counter() - started
            self._refuse(retyped.prepared.file, str(retyped), seconds)
            if still := [one for one in batch if one is not retyped.prepared]:
                self._load(feed, still)
        except RefusedError as error:
            self._blame(feed, batch, error)
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

    def _blame(self, feed: Feed, batch: list[Prepared], error: RefusedError) -> None:
        """Refuse the one file of a batch that a line of it speaks against."""
        if len(batch) == 1:
            with self._settled(batch[0].file, batch[0].started):
                raise error
        else:
            for prepared in batch:
                self._load(feed, [prepared])

    def _read_exactly(
        self, feed: Feed, batch: list[Prepared], doubt: DoubtError, started: float
    ) -> None:
        """Sieve the file that DuckDB reads in another way than it was counted."""
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

    def _load_batch(self, feed: Feed, batch: list[Prepared]) -> None:
        started = time.perf_counter()
        for prepared in batch:
            prepared.type_rejected_count = 0
        try:
            stage(self.connection, feed, batch, self.spool)
            for prepared in batch:
                check_unchanged(prepared.file)
            check_counts(self.connection, batch)
            for prepared in batch:
                doubt_thousands(self.connection, feed, prepared)
                self._judge_types(feed, prepared)
            with transaction(self.connection):
                for prepared in batch:
                    self.manifest.forget(prepared.file, prepared.scan.content_hash)
                    if prepared.rejects is not None:
                        self._add_rejects(prepared, prepared.rejects)
                self._reject_misfits(feed, batch)
                if self.forgetting is not None:
                    forgotten = self.forgetting.forget_staged(self.connection, feed)
                    for prepared in batch:
                        prepared.forgotten_count = forgotten.get(prepared.number, 0)
                insert_new_rows(self.connection, feed, batch, self.load_id, self.loaded_at)
                size = sum(prepared.file.size_bytes for prepared in batch) or 1
                seconds = time.perf_counter() - started
                outcomes = [
                    _loaded_outcome(
                        prepared, prepared.seconds + seconds * prepared.file.size_bytes / size
                    )
                    for prepared in batch
                ]
                self.manifest.record(
                    [
                        (
                            prepared.file,
                            prepared.scan.content_hash,
                            outcome,
                            prepared.columns,
                            prepared.drift,
                        )
                        for prepared, outcome in zip(batch, outcomes, strict=True)
                    ]
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

    def _judge_types(self, feed: Feed, prepared: Prepared) -> None:
        """Raise _RetypedError, or note it, when most values of a column do not fit its type."""
        prepared.drift.retyped.clear()
        for column, misfit_count, value_count in misfit_columns(self.connection, feed, prepared):
            if not is_retyped(misfit_count, value_count):
                continue
            told = retyped_reason(feed, column, misfit_count, value_count)
            if self.policies[feed.name].on_retyped_column is Action.STOP:
                raise _RetypedError(prepared, f"{told}; {retyped_remedy(feed)}")
            prepared.drift.retyped.append(
                f"{prepared.file.name}: {told}; the lines with them were rejected."
            )

    def _warn(self, prepared: Prepared) -> None:
        self.warnings += prepared.drift.told
        if prepared.file.format is Format.JSONL and prepared.line_count == 0:
            self.warnings.append(f"{prepared.file.name} is empty; it counts as loaded with 0 lines")

    def _reject_misfits(self, feed: Feed, batch: list[Prepared]) -> None:
        """Write a reject for every staged row with a value that does not fit its column."""
        for prepared in batch:
            if prepared.type_rejected_count:
                found = misfits(self.connection, feed, prepared)
                written = self._add_rejects(prepared, found)
                if written != prepared.type_rejected_count:
                    raise RuntimeError(
                        f"{prepared.file.name}: {written} of {prepared.type_rejected_count}"
                        " rejects found again in the file"
                    )

    def _add_rejects(self, prepared: Prepared, rejects: Iterable[Reject]) -> int:
        if self.forgetting is not None:
            rejects = self.forgetting.blank_rejects(self.connection, prepared.file.feed, rejects)
        return self.manifest.add_rejects(prepared.file, prepared.scan.content_hash, rejects)

    def _discard(self, prepared: Prepared) -> None:
        if prepared.clean is not None:
            prepared.clean.unlink(missing_ok=True)
        if prepared.rejects is not None:
            prepared.rejects.path.unlink(missing_ok=True)


class _RetypedError(Exception):
    """A column of a file has another type, and the policy of its feed says stop."""

    def __init__(self, prepared: Prepared, message: str) -> None:
        super().__init__(message)
        self.prepared = prepared


@contextlib.contextmanager
def _scanning_ahead(files: Sequence[LandedFile]) -> Iterator[Callable[[LandedFile], Scan]]:
    """Scan the next file in a thread while DuckDB loads this one.

    The function that is given raises what `scan` raises, when the file's turn has come. Files have
    to be asked for in the order given. At 11M rows the scans are 6 of 41 s, and hashing and
    counting leave the interpreter free.
    """
    with ThreadPoolExecutor(max_workers=1) as executor:
        waiting = iter(files)
        under_way: deque[Future[Scan]] = deque()

        def submit_next() -> None:
            if (file := next(waiting, None)) is not None:
                under_way.append(executor.submit(scan, file))

        def scanned(_: LandedFile) -> Scan:
            submit_next()
            return under_way.popleft().result()

        submit_next()
        yield scanned


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
        return Columns({}, tuple(column.name for column in file.feed.loaded_columns), ())
    try:
        return match_columns(file.feed, found.names, file.format, found.later_header)
    except RefusedError as error:
        names = {name.strip().lower() for name in found.names}
        for key in file.feed.key:
            if key not in names and (fresh := similar_name(key, found.names)):
                raise RefusedError(f"{error}; `{fresh}` may be the new name of `{key}`") from error
        raise


def _loaded_outcome(prepared: Prepared, seconds: float) -> FileOutcome:
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
        forgotten_count=prepared.forgotten_count,
        seconds=seconds,
    )


def _totals(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    outcomes: Sequence[FileOutcome],
    taken_out_row_count: int,
) -> FeedTotals:
    own = [outcome for outcome in outcomes if outcome.feed == feed.name]
    read = [outcome for outcome in own if outcome.is_read]
    row = connection.execute(f"select count(*) from raw.{quoted(feed.table)}").fetchone()
    return FeedTotals(
        files_seen=len(own),
        files_read=len(read),
        line_count=sum(outcome.line_count for outcome in read),
        loaded_count=sum(outcome.loaded_count for outcome in read),
        new_row_count=sum(outcome.new_row_count for outcome in read),
        repeated_row_count=sum(outcome.repeated_row_count for outcome in read),
        rejected_count=sum(outcome.rejected_count for outcome in read),
        forgotten_count=sum(outcome.forgotten_count for outcome in read),
        raw_row_count=int(row[0]) if row else 0,
        taken_out_row_count=taken_out_row_count,
        seconds=sum(outcome.seconds for outcome in read),
    )


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return "".join(char if char.isprintable() else "?" for char in line).rstrip(".")
