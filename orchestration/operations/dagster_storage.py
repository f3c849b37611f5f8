"""Dagster's own storage: only the last runs stay in it, and no dead run holds up the queue.

Through Dagster's API, but for what that leaves behind (1.13): `delete_run` empties the event file
of a run (2 MB) without removing it, and keeps the outcomes of its asset checks in the index.
"""

import logging
import shutil
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from orchestration.operations.ledger import Outcome, RunRecord, read_record
from orchestration.settings import Settings

log = logging.getLogger("warehouse")


def prune_dagster(instance: dg.DagsterInstance, settings: Settings, running: str) -> int:
    """Delete all but the last runs from Dagster's storage; returns how many were deleted.

    running: id of the run that asks, which stays whatever its place. Runs that Dagster does not
    know as finished stay too.
    """
    records = instance.get_run_records()
    old = [record.dagster_run for record in records[settings.keep_runs :]]
    gone = [run for run in old if run.status in FINISHED_STATUSES and run.run_id != running]
    for run in gone:
        instance.delete_run(run.run_id)
        _delete_what_is_left(instance, settings, run.run_id)
    return len(gone)


def settle_dead_runs(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Tell Dagster of runs that the ledger knows as over and Dagster as under way.

    A killed process tells nobody, and one run at a time means that it would hold up all later ones.
    Returns the ids. Call it after `ledger.close_killed`.
    """
    under_way = dg.RunsFilter(
        statuses=[
            dg.DagsterRunStatus.STARTING,
            dg.DagsterRunStatus.STARTED,
            dg.DagsterRunStatus.CANCELING,
        ]
    )
    settled = []
    for run in instance.get_runs(under_way):
        record = read_record(RunRecord.path(settings, run.run_id))
        if record is not None and record.outcome is not Outcome.RUNNING:
            instance.report_run_failed(
                run, f"The run ledger says {record.outcome}: {record.reason}"
            )
            settled.append(run.run_id)
    return settled


def started_by(tags: dict[str, str]) -> str:
    """Who or what started a run, from its tags."""
    if "warehouse/started_by" in tags:
        return tags["warehouse/started_by"]
    for what in ("schedule", "sensor"):
        if f"dagster/{what}_name" in tags:
            return f"{what} {tags[f'dagster/{what}_name']}"
    return "ui"


def _delete_what_is_left(instance: dg.DagsterInstance, settings: Settings, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    artifacts = settings.home / "dagster" / run_id
    if artifacts.is_dir():
        shutil.rmtree(artifacts)
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        with storage.index_connection() as connection:
            connection.execute(
                sa.delete(AssetCheckExecutionsTable).where(
                    AssetCheckExecutionsTable.c.run_id == run_id
                )
            )
        for ending in ("", "-wal", "-shm"):
            Path(f"{storage.path_for_shard(run_id)}{ending}").unlink(missing_ok=True)
