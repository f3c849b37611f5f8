"""The release as a Dagster asset: it depends on every mart, so on every gate."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import duckdb

from orchestration.database import working_file
from orchestration.gates import gate_records, why_not_released
from orchestration.operations.freshness import RELEASE_WINDOW
from orchestration.operations.ledger import Outcome
from orchestration.operations.run_log import without_personal_data
from orchestration.provenance import provenance
from orchestration.release import ReleaseError, current_release, publish, read_manifest
from orchestration.release.roles import read_roles
from orchestration.report.reports import PAGE, headline_of, run_facts, write_report
from orchestration.run import Warehouse, log
from orchestration.settings import Settings

RELEASE_KEY = dg.AssetKey(["release", "current"])


def release_asset(marts: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """Publish the candidate and switch `current`; the only step that a reader can notice."""

    @dg.asset(
        key=RELEASE_KEY,
        deps=list(marts),
        group_name="release",
        owners=["team:data-platform"],
        kinds={"duckdb", "parquet"},
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=RELEASE_WINDOW, warn_window=RELEASE_WINDOW - timedelta(hours=1)
        ),
        description=(
            "The published marts: `current/warehouse.duckdb`, `current/parquet/`, a file for each "
            "role and their manifest. Written only when all four gates have passed, switched in "
            "one step."
        ),
    )
    def release(warehouse: Warehouse) -> dg.MaterializeResult[None]:
        settings = warehouse.settings
        with warehouse.stage("release") as stage:
            with working_file(settings).connect(read_only=True) as connection:
                gates = gate_records(connection)
                explained = provenance(settings, connection)
                measures = _measures(connection)
                known = run_facts(connection, settings, warehouse.record)
                refusal = why_not_released(connection, str(explained["inputs"]))
                if refusal:
                    raise dg.Failure(description=refusal, allow_retries=False)
            try:
                now = datetime.now(UTC)
                _tell_of_clock(settings, now)
                published = publish(
                    settings,
                    gates=[asdict(gate) for gate in gates],
                    provenance=explained,
                    released_at=now,
                    measures=measures,
                    roles=read_roles(),
                    report=partial(
                        write_report, run=known, before=headline_of(current_release(settings))
                    ),
                    progress=log.debug,
                )
            except ReleaseError as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            manifest = read_manifest(published)
            log.info("published %s", published.id)
            stage.rows = sum(table.row_count for table in manifest.tables.values())
            warehouse.record.outcome = Outcome.RELEASED
            warehouse.record.release = {
                "id": published.id,
                "inputs": explained["inputs"],
                "path": str(published.path),
                "content_hash": manifest.content_hash,
                "rows": {name: table.row_count for name, table in manifest.tables.items()},
            }
        return dg.MaterializeResult(
            metadata={
                "release": published.id,
                "path": dg.MetadataValue.path(str(published.path)),
                "report": dg.MetadataValue.path(str(published.path / PAGE)),
                "content hash": manifest.content_hash,
                "dagster/row_count": sum(t.row_count for t in manifest.tables.values()),
                "tables": dg.MetadataValue.md(
                    "| mart | rows | content hash |\n|---|---:|---|\n"
                    + "\n".join(
                        f"| {name} | {table.row_count:,} | `{table.content_hash[:16]}` |"
                        for name, table in manifest.tables.items()
                    )
                ),
            }
        )

    return release


def postgres_asset() -> dg.AssetsDefinition:
    """Send the release to the database that WAREHOUSE_POSTGRES names."""

    @dg.asset(
        key=["release", "postgres"],
        deps=[RELEASE_KEY],
        group_name="release",
        owners=["team:data-platform"],
        kinds={"postgres"},
        description=(
            "The published marts in Postgres: schema `marts`, and one for each role. Loaded beside "
            "what readers see, switched in one transaction. It is the same release as the files; "
            "what could not be sent is sent with the next run."
        ),
    )
    def postgres(warehouse: Warehouse) -> dg.MaterializeResult[None]:
        from orchestration.release.postgres import send_release  # noqa: PLC0415 - 0.2 s

        settings = warehouse.settings
        with warehouse.stage("postgres") as stage:
            try:
                release = current_release(settings)
                if release is None:
                    raise ReleaseError(f"Nothing is released in {settings.home} yet.")
                sent = send_release(settings, release, read_roles(), log.debug)
            except ReleaseError as error:
                warehouse.record.behind = without_personal_data(str(error))
                raise dg.Failure(description=str(error), allow_retries=False) from error
            stage.rows = sum(sum(rows.values()) for rows in sent.rows.values())
            log.info("Postgres shows %s", sent.release_id)
        return dg.MaterializeResult(
            metadata={
                "release": sent.release_id,
                "dagster/row_count": stage.rows,
                "waited for readers": sent.attempts - 1,
                "lost views of others": ", ".join(sent.lost) or "none",
            }
        )

    return postgres


def _measures(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """What this release says of itself, for the next one to be compared with."""
    found = connection.execute(
        "select measure, value from identity.int_identity_measured where value is not null"
        " union all"
        " select measure, value from intermediate.int_marts_measured where value is not null"
        " order by measure"
    ).fetchall()
    return dict(found)


def _tell_of_clock(settings: Settings, now: datetime) -> None:
    current = current_release(settings)
    if current is None:
        return
    last = read_manifest(current).released_at
    if now < last:
        log.warning(
            "The clock says %s, but the current release was made at %s: it went backwards. The "
            "new release follows the others all the same; set the clock right.",
            f"{now:%Y-%m-%d %H:%M:%S}",
            f"{last:%Y-%m-%d %H:%M:%S}",
        )
