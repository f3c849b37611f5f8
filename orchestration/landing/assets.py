"""The feeds as Dagster assets: one step reads every new or changed file of the landing."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import duckdb

from orchestration.activation.declarations import read_exports
from orchestration.database import candidate_file, working_file
from orchestration.faults import fault_sentence, put_away_damaged, remove_unfinished
from orchestration.gates import close_layer, open_landing, open_layer
from orchestration.gates.layers import noted_layers
from orchestration.identity.decisions import DecisionError
from orchestration.identity.rectifications import RectificationError, drop_records
from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
)
from orchestration.landing import FEEDS, Feed, LandingError, LandingReport, land
from orchestration.landing.arrivals import (
    Arrival,
    ArrivalsError,
    have_landed,
    keep_arrivals,
    match_arrivals,
    read_arrivals,
)
from orchestration.landing.listing import list_landing
from orchestration.landing.quarantine import (
    QuarantineError,
    follow_corrections,
    read_corrections,
)
from orchestration.landing.withdrawals import (
    WithdrawalError,
    Withdrawn,
    in_force,
    read_withdrawals,
)
from orchestration.operations.freshness import feed_freshness
from orchestration.operations.ledger import Outcome
from orchestration.operations.migrations import migrate
from orchestration.operations.retention import forget_rejects
from orchestration.privacy.erasing import begin_erasures
from orchestration.privacy.expiry import RetentionError, expire, forget_history, told
from orchestration.privacy.raw_rows import Forgetter, erase_raw
from orchestration.privacy.requests import follow_requests
from orchestration.privacy.retention_policy import RetentionPolicyError, read_policy
from orchestration.privacy.tombstones import PrivacyError, Tombstones
from orchestration.provenance import provenance
from orchestration.release import (
    Manifest,
    Release,
    ReleaseError,
    current_release,
    read_manifest,
    verify_release,
)
from orchestration.run import Warehouse, log
from orchestration.settings import Settings
from orchestration.sql import quoted, transaction
from orchestration.transform.builds import drop_leftovers
from orchestration.transform.rule_files import SegmentRuleError
from orchestration.transform.segments import check_segment_rules


def feed_key(feed: Feed) -> dg.AssetKey:
    """`raw/<source>/<things>`."""
    return dg.AssetKey(["raw", feed.source, feed.entity])


@dg.multi_asset(
    name="landing",
    specs=[
        dg.AssetSpec(
            key=feed_key(feed),
            description=feed.description,
            group_name="landing",
            owners=["team:data-platform"],
            kinds={"duckdb", "file"},
            skippable=True,
            metadata={
                "dagster/column_schema": dg.TableSchema(
                    [
                        dg.TableColumn(c.name, "varchar", description=c.description)
                        for c in feed.columns
                    ]
                ),
                "key": ", ".join(feed.key),
                "owner": feed.owner,
                "cursor": feed.cursor or "none: the version landed last wins",
            },
        )
        for feed in FEEDS
    ],
)
def landing(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult[None]]:
    """Read what is new in the landing; yields nothing, so nothing runs, when nothing changed."""
    settings = warehouse.settings
    with warehouse.stage("landing", may_retry=True) as stage:
        _check_rules()
        with _working_database(settings) as connection:
            drop_leftovers(connection)
            migrate(connection)
            try:
                for sentence in follow_requests(connection, settings):
                    log.warning(sentence)
                tombstones = begin_erasures(connection, settings)
                release = current_release(settings)
                manifest = read_manifest(release) if release is not None else None
            except (PrivacyError, ReleaseError) as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            _tell_of_day(settings, manifest)
            open_landing(connection)
            try:
                withdrawn = in_force(read_withdrawals(settings.withdrawals))
                arrivals = _arrivals(connection, settings, withdrawn)
                arrived = _landed_again(connection, settings, arrivals, warehouse.rebuild)
                report = land(
                    connection,
                    settings.landing,
                    load_id=context.run.run_id,
                    loaded_at=_now(connection, arrivals),
                    arrived=arrived,
                    withdrawn=withdrawn,
                    forgetting=Forgetter(tombstones) if tombstones else None,
                    anyway=warehouse.rebuild,
                    progress=log.info,
                )
            except (LandingError, WithdrawalError) as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            keep_arrivals(connection, settings.arrivals)
            _let_back_in(connection, warehouse, tombstones)
            _expire(connection, warehouse)
            stage.rows = sum(_row_count(connection, feed) for feed in FEEDS)
            forgotten = forget_rejects(connection, settings.keep_rejects_days, datetime.now(UTC))
            if forgotten:
                log.info("forgot %d rejected lines of files that are gone", forgotten)
            warehouse.record.feeds = feed_freshness(connection, settings, report)
            _load_ids(connection, release)
            forget_history(connection)
            _load_decisions(connection, settings)
            _load_rectifications(connection, settings)
            inputs = str(provenance(settings, connection)["inputs"])
            unchanged = (
                manifest is not None
                and not report.refused
                and not warehouse.rebuild
                # made anew: what explains and previews the customers has to be built again too
                and not arrived
                and manifest.provenance.get("inputs") == inputs
                # a run that was stopped built them from what has been taken back since
                and {*noted_layers(connection).values()} <= {inputs}
            )
            if not unchanged:
                open_layer(connection, "landing")
            close_layer(connection, "landing", inputs)
        _tell(warehouse, report)
    if unchanged and release is not None:
        with warehouse.stage("release check"):
            _keep(warehouse, release)
        return
    for feed in FEEDS:
        outcome = report.feeds[feed.name]
        yield dg.MaterializeResult(
            asset_key=feed_key(feed),
            metadata={
                "dagster/row_count": outcome.raw_row_count,
                "new rows": outcome.new_row_count,
                "repeated rows": outcome.repeated_row_count,
                "rejected lines": outcome.rejected_count,
                "files read": outcome.files_read,
                "seconds": round(outcome.seconds, 3),
            },
        )


def _check_rules() -> None:
    """Before anything is landed: a rule that cannot be used would fail the run at its end."""
    try:
        check_segment_rules()
        read_exports()
        read_policy(FEEDS)
    except (SegmentRuleError, RetentionPolicyError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def _working_database(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Open or make the working database; a damaged one is put away, all of it can be made again.

    So is a damaged candidate, which dbt opens in every stage.
    """
    remove_unfinished(settings)
    try:
        if settings.candidate_database.exists():
            candidate_file(settings).connect(read_only=True).close()
        return _connect(settings)
    except duckdb.Error as error:
        sentences = put_away_damaged(settings)
        for sentence in sentences:
            log.warning(sentence)
        if sentences:
            return _connect(settings)
        raise dg.Failure(
            description=fault_sentence(settings, error)
            or f"The databases in {settings.home} cannot be opened: {error}.",
            allow_retries=False,
        ) from error


def _tell_of_day(settings: Settings, manifest: Manifest | None) -> None:
    if manifest is not None and manifest.as_of > settings.as_of:
        log.warning(
            "This run speaks of %s, the current release %s of a later day, %s: readers go back "
            "to the earlier day. WAREHOUSE_AS_OF says which day it is, or else the clock.",
            settings.as_of,
            manifest.release_id,
            manifest.as_of,
        )


def _let_back_in(
    connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, tombstones: Tombstones
) -> None:
    """Follow what people decided about rows that earlier gates set aside."""
    try:
        corrections = read_corrections(warehouse.settings.corrections)
    except QuarantineError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    now = datetime.now(UTC).replace(tzinfo=None)
    readmitted, repaired = follow_corrections(connection, corrections, warehouse.record.run_id, now)
    if readmitted or repaired:
        if tombstones:
            tombstones.enter(connection)
            with transaction(connection):
                erase_raw(connection, FEEDS)
        log.info("quarantine: %d rows readmitted, %d repaired", readmitted, repaired)


def _expire(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> None:
    """Let go what has been kept long enough; before anything is made of it."""
    try:
        due = expire(connection, warehouse.settings, f"run {warehouse.record.run_id}")
    except (RetentionError, RetentionPolicyError, PrivacyError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    warehouse.record.retention = told(due)


def _row_count(connection: duckdb.DuckDBPyConnection, feed: Feed) -> int:
    row = connection.execute(f"select count(*) from raw.{quoted(feed.table)}").fetchone()
    return int(row[0]) if row else 0


def _connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    return working_file(settings).connect(
        config={
            "memory_limit": settings.memory_limit,
            "threads": settings.threads,
            # Read by this DuckDB only; its text compression halves the CPU of a large load.
            "storage_compatibility_version": "latest",
        },
    )


def _arrivals(
    connection: duckdb.DuckDBPyConnection, settings: Settings, withdrawn: Withdrawn
) -> tuple[Arrival, ...]:
    """What has landed and the working database does not know, but for what is withdrawn.

    All of it when the database was lost; nothing mostly; and what was about to be read again when a
    run was killed.
    """
    known: set[tuple[str, str]] = set()
    if have_landed(connection):
        known.update(connection.execute("select file_path, content_hash from raw.files").fetchall())
    try:
        arrivals = read_arrivals(settings.arrivals)
    except ArrivalsError as error:
        if not known:
            log.warning(
                "%s, so nobody knows in which order the files landed: they land in the order of "
                "their names",
                error,
            )
        return ()
    past = known | withdrawn.keys()
    return tuple(one for one in arrivals if (one.file_path, one.content_hash) not in past)


def _landed_again(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    arrivals: tuple[Arrival, ...],
    anyway: bool,
) -> Mapping[str, datetime]:
    """When the files of the landing landed first; a file that is gone would be lost in silence."""
    if not arrivals:
        return {}
    files = list_landing(settings.landing, FEEDS).files
    if have_landed(connection):
        # Rows of a version that the database has forgotten stay in it when its file goes.
        paths = {arrival.file_path for arrival in arrivals}
        return match_arrivals(arrivals, [file for file in files if file.name in paths])[0]
    landed, missing = match_arrivals(arrivals, files)
    if missing:
        sentence = (
            f"The working database is made anew, but {len(missing):,} of {len(arrivals):,} files "
            f"that it was made from are no longer in {settings.landing}, or were changed there, "
            f"among them {missing[0].file_path}"
        )
        if not anyway:
            raise LandingError(
                f"{sentence}. Bring them back; or build without them, and lose what only they "
                "said, with `make run REBUILD=1`."
            )
        log.warning("%s; what only they said is lost", sentence)
    log.info("%s files land anew, in the order in which they came", f"{len(landed):,}")
    return landed


def _now(connection: duckdb.DuckDBPyConnection, arrivals: tuple[Arrival, ...]) -> datetime:
    """Return the time in UTC, but later than everything that landed before.

    What landed last is the newest, whatever became of the clock since.
    """
    moments = [arrival.loaded_at for arrival in arrivals]
    if have_landed(connection):
        ((newest,),) = connection.execute("select max(loaded_at) from raw.files").fetchall()
        moments.append(newest)
    last = max(moments, default=None)
    now = datetime.now(UTC).replace(tzinfo=None)
    if last is None or now > last:
        return now
    log.warning(
        "The clock says %s, but files landed at %s: it went backwards. What lands now counts as "
        "later nevertheless; set the clock right.",
        f"{now:%Y-%m-%d %H:%M:%S}",
        f"{last:%Y-%m-%d %H:%M:%S}",
    )
    return last + timedelta(microseconds=1)


def _load_ids(connection: duckdb.DuckDBPyConnection, release: Release | None) -> None:
    """Without the released ids every customer would be a new one, so this must not be skipped."""
    try:
        load_released_ids(
            connection,
            release.marts if release else None,
            read_manifest(release).measures if release else None,
        )
    except duckdb.Error as error:
        raise dg.Failure(
            description=(
                f"The customer ids of the current release {release.id if release else ''} cannot "
                f"be read: {error}. Go back to a release that is whole with `make rollback`."
            ),
            allow_retries=False,
        ) from error


def _load_decisions(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """A decision that was dropped without a word would join or part customers by itself."""
    try:
        lost = load_steward_decisions(connection, settings.decisions)
    except DecisionError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    if lost:
        log.warning(
            "%d decisions of the last run are no longer in %s, among them %s: lines are only added "
            "to it, so bring it back from a backup unless they were taken out on purpose",
            len(lost),
            settings.decisions,
            lost[0],
        )


def _load_rectifications(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """A rectification that was dropped without a word would bring a wrong value back.

    Those of records that have expired go with them: they hold values of a person, too.
    """
    expired = connection.execute("select source_record_id from state.expired_records").fetchall()
    try:
        dropped = drop_records(settings.rectifications, {record for (record,) in expired})
        lost = load_rectifications(connection, settings.rectifications)
    except RectificationError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    if dropped:
        log.info("retention: %d rectifications of records that have expired", len(dropped))
    lost = tuple(name for name in lost if name not in dropped)
    if lost:
        log.warning(
            "%d rectifications of the last run are no longer in %s, among them %s: lines are only"
            " added to it, so bring it back from a backup unless they were taken out on purpose",
            len(lost),
            settings.rectifications,
            lost[0],
        )


def _keep(warehouse: Warehouse, release: Release) -> None:
    """Nothing is new: prove that what readers see still is what was published."""
    try:
        verify_release(release)
    except ReleaseError as error:
        raise dg.Failure(
            description=f"{error} Or publish it anew with `make run REBUILD=1`.",
            allow_retries=False,
        ) from error
    manifest = read_manifest(release)
    warehouse.record.outcome = Outcome.UNCHANGED
    warehouse.record.release = {
        "id": release.id,
        "inputs": manifest.provenance.get("inputs"),
        "path": str(release.path),
        "content_hash": manifest.content_hash,
        "rows": {name: table.row_count for name, table in manifest.tables.items()},
    }
    log.info("nothing new since release %s: its content hashes hold, it stays", release.id)


def _tell(warehouse: Warehouse, report: LandingReport) -> None:
    for sentence in (*report.warnings, *report.refused):
        log.warning(sentence)
    warehouse.record.landing = {
        "files_seen": report.files_seen,
        "files_read": report.files_read,
        "line_count": report.line_count,
        "new_row_count": report.new_row_count,
        "repeated_row_count": report.repeated_row_count,
        "rejected_count": report.rejected_count,
        "files_withdrawn": report.files_withdrawn,
        "refused": list(report.refused),
    }
