"""What the next run would change, found out by running it in a copy and publishing nothing."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
import duckdb
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestration.activation.assets import EXPORTS
from orchestration.database import candidate_file, working_file
from orchestration.definitions import JOB_NAME, build_definitions
from orchestration.operations.ledger import RunRecord
from orchestration.release import current_release, read_manifest
from orchestration.release.assets import RELEASE_KEY
from orchestration.scratch import scratch_copy
from orchestration.settings import Settings
from orchestration.sql import quoted


@dataclass(frozen=True)
class Plan:
    """What a run would do now.

    record: the run in the copy: files, rows, stages, gates. would_release: every gate passed.
    is_unchanged: nothing is new, the current release would stay. measures: (counted, out of) of
    seed release_bands, empty when identity was not reached. rows: rows of each mart in the current
    release and in the one that would come, only of those that were built. failures: why a step
    broke that is no gate.
    """

    record: RunRecord
    would_release: bool
    is_unchanged: bool
    measures: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def plan(settings: Settings) -> Plan:
    """Run everything up to the release in a copy of the installation, and throw the copy away.

    Raises ScratchError when nothing is built yet, a run is under way or the disk is too small.
    """
    with scratch_copy(settings) as copy, _environment(copy):
        job = build_definitions(copy).resolve_job_def(JOB_NAME)
        keys = job.asset_layer.executable_asset_keys
        wanted = [key for key in keys if key.path[0] not in (RELEASE_KEY.path[0], EXPORTS)]
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(
                instance=instance,
                raise_on_error=False,
                asset_selection=wanted,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        record = RunRecord.open(copy, result.run_id)
        stopped = [gate for gate in record.gates if not gate["passed"]]
        failures = tuple(
            event.step_failure_data.user_failure_data.description or ""
            if event.step_failure_data.user_failure_data
            else event.step_failure_data.error_display_string
            for event in result.all_events
            if event.is_step_failure
        )
        return Plan(
            record=record,
            would_release=result.success and record.outcome != "unchanged" and not stopped,
            is_unchanged=record.outcome == "unchanged",
            measures=_measures(copy),
            rows=_rows(copy) if result.success else {},
            failures=() if stopped else failures,
        )


@contextmanager
def _environment(copy: Settings) -> Iterator[None]:
    """Let everything that reads its settings for itself read those of the copy."""
    values = {
        "WAREHOUSE_HOME": str(copy.home),
        "WAREHOUSE_LANDING": str(copy.landing),
        "WAREHOUSE_DECISIONS": str(copy.decisions),
        "WAREHOUSE_ERASURE_KEY": str(copy.erasure_key),
        "WAREHOUSE_AS_OF": copy.as_of.isoformat(),
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _measures(copy: Settings) -> dict[str, tuple[int, int]]:
    """The measures of the layers whose gate was asked: older ones are those of the last run."""
    with working_file(copy).connect(read_only=True) as connection:
        try:
            found = connection.execute(
                "select measure, counted, out_of from identity.int_identity_measured"
                " where exists (select 1 from quality.gate_results where layer = 'identity')"
            ).fetchall()
        except duckdb.CatalogException:  # built by an earlier version, or not reached
            return {}
    return {measure: (counted, out_of) for measure, counted, out_of in found}


def _rows(copy: Settings) -> dict[str, tuple[int, int]]:
    release = current_release(copy)
    before = read_manifest(release).tables if release else {}
    with candidate_file(copy).connect(read_only=True) as connection:
        names = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'marts' order by 1"
        ).fetchall()
        after = {
            name: connection.execute(f"select count(*) from marts.{quoted(name)}").fetchone()
            for (name,) in names
        }
    return {
        name: (before[name].row_count if name in before else 0, row[0])
        for name, row in after.items()
        if row
    }


def plan_report(plan: Plan, settings: Settings) -> list[RenderableType]:
    """Lay a plan out: what is new, who would be whom, which marts grow, what the gates say."""
    landing, gates = plan.record.landing, plan.record.gates
    table = Table(show_header=False, box=None, padding=(0, 2))
    if landing:
        table.add_row("files", f"{landing['files_read']:,} to read of {landing['files_seen']:,}")
        table.add_row(
            "rows",
            f"{landing['new_row_count']:,} new, {landing['repeated_row_count']:,} repeated, "
            f"{landing['rejected_count']:,} rejected",
        )
        if withdrawn := landing.get("files_withdrawn"):
            table.add_row("withdrawn", f"{withdrawn:,} files are left out")
    for measure in ("merged_customers", "split_customers", "withdrawn_customers"):
        if measure in plan.measures:
            counted, out_of = plan.measures[measure]
            table.add_row(measure.replace("_", " "), f"{counted:,} of {out_of:,} released")
    for name, (before, after) in plan.rows.items():
        if before != after:
            table.add_row(f"marts.{name}", f"{before:,} → {after:,} rows ({after - before:+,})")
    for gate in gates:
        verdict = "would pass" if gate["passed"] else "WOULD STOP THE RUN"
        table.add_row(
            f"{gate['layer']} gate",
            f"{verdict}: {gate['check_count']} checks, {len(gate['failures'])} critical failures, "
            f"{len(gate['warnings'])} warnings",
        )
    sentences = [sentence for gate in gates for sentence in gate["failures"]]
    return [
        table,
        *(Text(sentence, style="red") for sentence in (*sentences, *plan.failures)),
        Text(_verdict(plan, settings), style="" if plan.would_release else "bold"),
    ]


def _verdict(plan: Plan, settings: Settings) -> str:
    if plan.is_unchanged:
        return "Nothing is new: `make run` would leave the release as it is."
    if plan.would_release:
        return f"`make run` would release this as of {settings.as_of}. Nothing was changed."
    return "`make run` would release nothing. Nothing was changed."
