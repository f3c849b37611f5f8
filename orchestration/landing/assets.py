"""The feeds as Dagster assets: one step reads every new or changed file of the landing."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import duckdb

from orchestration.gates import close_layer, open_landing, open_layer
from orchestration.identity.decisions import DecisionError
from orchestration.identity.state import load_released_ids, load_steward_decisions
from orchestration.landing import FEEDS, Feed, LandingError, LandingReport, land
from orchestration.operations.freshness import feed_freshness
from orchestration.operations.ledger import Outcome
from orchestration.operations.migrations import migrate
from orchestration.operations.retention import forget_rejects
from orchestration.provenance import provenance
from orchestration.release import (
    Release,
    ReleaseError,
    current_release,
    read_manifest,
    verify_release,
)
from orchestration.run import Warehouse, log
from orchestration.settings import Settings
from orchestration.transform.segments import SegmentRuleError, check_segment_rules


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
        try:
            # before anything is landed: a rule that cannot be used would fail the marts at the end
            check_segment_rules()
            release = current_release(settings)
        except (SegmentRuleError, ReleaseError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        with _working_database(settings) as connection:
            migrate(connection)
            open_landing(connection)
            try:
                report = land(
                    connection,
                    settings.landing,
                    load_id=context.run.run_id,
                    loaded_at=datetime.now(UTC),
                    progress=log.info,
                )
            except LandingError as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            stage.rows = sum(feed.raw_row_count for feed in report.feeds.values())
            forgotten = forget_rejects(connection, settings.keep_rejects_days, datetime.now(UTC))
            if forgotten:
                log.info("forgot %d rejected lines of files that are gone", forgotten)
            warehouse.record.feeds = feed_freshness(connection, settings, report)
            _load_ids(connection, release)
            _load_decisions(connection, settings)
            inputs = str(provenance(settings, connection)["inputs"])
            unchanged = (
                release is not None
                and not report.refused
                and not warehouse.rebuild
                and read_manifest(release).provenance.get("inputs") == inputs
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


def _working_database(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Open or make the working database; all of it can be made again."""
    try:
        return duckdb.connect(
            str(settings.working_database),
            config={
                "memory_limit": settings.memory_limit,
                "threads": settings.threads,
                # Read by this DuckDB only; its text compression halves the CPU of a large load.
                "storage_compatibility_version": "latest",
            },
        )
    except duckdb.Error as error:
        raise dg.Failure(
            description=(
                f"The working database {settings.working_database} cannot be opened: {error}. "
                "When no other program holds it, delete it: the next run makes it again from the "
                "landing, and the customer ids come from the current release."
            ),
            allow_retries=False,
        ) from error


def _load_ids(connection: duckdb.DuckDBPyConnection, release: Release | None) -> None:
    """Without the released ids every customer would be a new one, so this must not be skipped."""
    try:
        load_released_ids(connection, release.database if release else None)
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


def _keep(warehouse: Warehouse, release: Release) -> None:
    """Nothing is new: prove that what readers see still is what was published."""
    try:
        verify_release(release)
    except ReleaseError as error:
        raise dg.Failure(
            description=f"{error} Publish it anew with `make run REBUILD=1`.", allow_retries=False
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
        "refused": list(report.refused),
    }
