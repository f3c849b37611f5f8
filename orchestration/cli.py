"""The `warehouse` command: run, rejects, releases, dev, the verbs of identity and operations."""

import argparse
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from orchestration.activation.commands import add_verbs as add_activation_verbs
from orchestration.alerts.commands import add_verbs as add_alert_verbs
from orchestration.backups.commands import add_verbs as add_backup_verbs
from orchestration.console import console
from orchestration.dashboard.commands import add_verbs as add_dashboard_verbs
from orchestration.gates.commands import add_verbs as add_gate_verbs
from orchestration.identity.commands import add_verbs as add_identity_verbs
from orchestration.identity.rectification_commands import add_verbs as add_rectification_verbs
from orchestration.landing.commands import add_verbs as add_landing_verbs
from orchestration.new_source.commands import add_verbs as add_new_source_verbs
from orchestration.operations.commands import add_operations
from orchestration.privacy.commands import add_verbs as add_privacy_verbs
from orchestration.privacy.retention_commands import add_verbs as add_retention_verbs
from orchestration.release.commands import add_verbs as add_release_verbs
from orchestration.settings import PROJECT_ROOT, SECRETS, Settings
from orchestration.transform.segment_sizes import add_segments

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult, JobDefinition

    from orchestration.operations.ledger import RunRecord


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every verb, each with its `action`."""
    parser = argparse.ArgumentParser(prog="warehouse", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="land what is new, build, judge and publish it")
    run.add_argument(
        "--rebuild", action="store_true", help="build and release even when nothing has changed"
    )
    run.set_defaults(action=lambda settings, options: run_warehouse(settings, options.rebuild))
    plan = verbs.add_parser("plan", help="say what a run would change, and release nothing")
    plan.set_defaults(action=_plan)
    rejects = verbs.add_parser("rejects", help="list the lines that did not land, with reasons")
    rejects.set_defaults(action=_rejects)
    docs = verbs.add_parser("docs", help="write the documentation as static pages")
    docs.set_defaults(action=_docs)
    dev = verbs.add_parser("dev", help="open the Dagster UI on http://127.0.0.1:3000")
    dev.add_argument("--port", type=int, default=3000)
    dev.set_defaults(action=_dev)
    metrics = verbs.add_parser("metrics", help="list the metrics, or answer some from the release")
    metrics.add_argument("metric", nargs="*", help="names; none lists all of them")
    metrics.add_argument(
        "--by", nargs="+", default=[], metavar="DIMENSION", help="for example metric_time__month"
    )
    metrics.add_argument(
        "--where", help="for example \"{{ Dimension('order__channel') }} = 'pos'\""
    )
    metrics.add_argument(
        "--order", nargs="+", default=[], metavar="COLUMN", help="-name: descending"
    )
    metrics.add_argument("--limit", type=int, help="most rows to show")
    metrics.add_argument("--sql", action="store_true", help="show the SQL as well")
    metrics.set_defaults(action=_metrics)
    add_landing_verbs(verbs)
    add_release_verbs(verbs)
    add_dashboard_verbs(verbs)
    add_activation_verbs(verbs)
    add_gate_verbs(verbs)
    add_identity_verbs(verbs)
    add_rectification_verbs(verbs)
    add_privacy_verbs(verbs)
    add_backup_verbs(verbs)
    add_retention_verbs(verbs)
    add_operations(verbs)
    add_alert_verbs(verbs)
    add_segments(verbs)
    add_new_source_verbs(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, or 1 when nothing was released, or 2 for a wrong setting."""
    options = build_parser().parse_args(arguments)
    action: Callable[[Settings, argparse.Namespace], int] = options.action
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            setting = "_".join(str(part) for part in problem["loc"])
            given = "…" if setting in SECRETS else repr(problem["input"])
            console.print(f"WAREHOUSE_{setting.upper()}={given}: {problem['msg']}", markup=False)
        return 2
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        console.print(
            f"WAREHOUSE_HOME={str(settings.home)!r}: the folder cannot be made ({error.strerror}); "
            "name one that can be written",
            markup=False,
        )
        return 2
    try:
        return action(settings, options)
    except Exception as error:
        from orchestration.faults import fault_sentence  # noqa: PLC0415 - 0.1 s for DuckDB

        if (sentence := fault_sentence(settings, error)) is None:
            raise  # a bug
        console.print(f"  {sentence}", style="red", markup=False)
        return 1


def prepare_dagster(settings: Settings) -> None:
    """Let Dagster read dagster.yaml of the project and write only below WAREHOUSE_HOME."""
    storage = settings.home / "dagster"
    storage.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(PROJECT_ROOT)
    os.environ["WAREHOUSE_DAGSTER_STORAGE"] = str(storage)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"


def run_warehouse(settings: Settings, rebuild: bool = False) -> int:
    """Run the whole job and tell what came of it; returns the exit code."""
    from orchestration.activation.declarations import read_exports  # noqa: PLC0415
    from orchestration.transform.rule_files import SegmentRuleError  # noqa: PLC0415
    from orchestration.transform.segments import (  # noqa: PLC0415 - 0.1 s for DuckDB
        check_segment_rules,
    )

    started = time.perf_counter()
    try:
        check_segment_rules()
        read_exports()
    except SegmentRuleError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    console.print(f"Running as of [bold]{settings.as_of}[/]: {settings.landing} → {settings.home}")
    before = _linked(settings)
    try:
        return _run_and_tell(settings, rebuild, started)
    except Exception:
        # Dagster's own storage, the lock or the record ran into something: `main` says into what.
        _say_what_stands(settings, before)
        raise


def _run_and_tell(settings: Settings, rebuild: bool, started: float) -> int:
    show_progress(started)
    logging.getLogger("warehouse").info("start: Dagster, dbt and the models ...")
    from orchestration.operations.ledger import GOOD_OUTCOMES, RunRecord  # noqa: PLC0415
    from orchestration.run import WarehouseBusyError  # noqa: PLC0415

    try:
        prepare_run(settings)
    except WarehouseBusyError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 1
    from orchestration.transform.dbt import TransformError  # noqa: PLC0415 - dbt

    before = _linked(settings)
    try:
        result = execute_job(build_job(settings), settings, rebuild=rebuild)
    except TransformError as error:  # the project cannot even be parsed
        console.print(str(error), style="red", markup=False)
        return 1
    record = RunRecord.open(settings, result.run_id)
    _show_summary(record, time.perf_counter() - started)
    if result.success and record.outcome in GOOD_OUTCOMES:
        return 0
    _say_what_stands(settings, before)
    show_failures(result, record)
    return 1


def _linked(settings: Settings) -> str | None:
    """Where `current` points to."""
    return str(settings.current.readlink()) if settings.current.is_symlink() else None


def _say_what_stands(settings: Settings, before: str | None) -> None:
    """A run can fail after its release, when not even its record can be written."""
    after = _linked(settings)
    if after == before:
        stands = "Nothing was released; the last release is untouched."
    elif after and before and after[:-9] == before[:-9]:
        # the same release, of the same time, under the name of its new content
        stands = "Nothing new was released; the last one stands, without who was forgotten."
    else:
        stands = f"Released, {after} is current; but the run failed after that."
    console.print(f"\n[red bold]{stands}[/]")


def prepare_run(settings: Settings) -> None:
    """See that nobody else runs, and make Dagster ready. Raises WarehouseBusyError."""
    from orchestration.faults import put_away_damaged_events  # noqa: PLC0415
    from orchestration.run import only_one_run  # noqa: PLC0415 - Dagster

    prepare_dagster(settings)
    with only_one_run(settings):
        for sentence in put_away_damaged_events(settings.home / "dagster"):
            logging.getLogger("warehouse").warning(sentence)


def build_job(settings: Settings) -> "JobDefinition":
    """Return the whole job; the same one serves for any as-of day."""
    from orchestration.definitions import JOB_NAME, build_definitions  # noqa: PLC0415 - 3 s

    job = build_definitions(settings).resolve_job_def(JOB_NAME)
    if not gc.get_freeze_count():
        # Libraries, manifest and definitions stay as long as the process. The collector would walk
        # through their 700,000 objects in every run: 1 of 15 CPU seconds of a small one. Only once:
        # of what a second call makes, a later one may make garbage.
        gc.freeze()
    return job


def execute_job(
    job: "JobDefinition", settings: Settings, *, rebuild: bool = False, started_by: str = "cli"
) -> "ExecuteInProcessResult":
    """Run the job in this process, as of the settings' day; call `prepare_run` before."""
    import dagster as dg  # noqa: PLC0415 - 1 s that `warehouse releases` need not pay

    asked = {"rebuild": rebuild, "as_of": settings.as_of.isoformat()}
    with dg.DagsterInstance.get() as instance:
        return job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={"warehouse/started_by": started_by},
            run_config={
                "resources": {"warehouse": {"config": asked}},
                # Progress goes through the `warehouse` logger; Dagster's events go to its storage.
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )


def _plan(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    started = time.perf_counter()
    console.print(f"Planning as of [bold]{settings.as_of}[/]: {settings.landing} → a copy")
    show_progress(started)
    logging.getLogger("warehouse").info("start: Dagster, dbt and the models ...")
    from orchestration.plan import plan, plan_report  # noqa: PLC0415 - 3 s: Dagster and dbt
    from orchestration.scratch import ScratchError  # noqa: PLC0415
    from orchestration.transform.dbt import TransformError  # noqa: PLC0415

    try:
        found = plan(settings)
    except (ScratchError, TransformError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print()
    for part in plan_report(found, settings):
        console.print(part)
    return 0 if found.would_release or found.is_unchanged else 1


def show_progress(started: float) -> None:
    """Print what the rooms say, with the seconds since `started` (`time.perf_counter`)."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            style = "yellow" if record.levelno >= logging.WARNING else ""
            seconds = time.perf_counter() - started
            console.print(f"{seconds:6.1f} s  {escape(record.getMessage())}", style=style)

    log = logging.getLogger("warehouse")
    log.setLevel(logging.INFO)
    log.handlers = [Handler()]
    log.propagate = False
    # When nothing is new the gates are skipped, and so is all that they guard; Dagster warns of it.
    logging.getLogger("dagster._core.execution.plan.active").setLevel(logging.ERROR)


def _show_summary(record: "RunRecord", seconds: float) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2), title_justify="left")
    landing, rows = record.landing, record.release.get("rows", {})
    if landing:
        table.add_row("files", f"{landing['files_read']:,} read of {landing['files_seen']:,}")
        table.add_row(
            "rows landed",
            f"{landing['new_row_count']:,} new, {landing['repeated_row_count']:,} repeated",
        )
        table.add_row("rejects", f"{landing['rejected_count']:,} (`make rejects` says why)")
        if withdrawn := landing.get("files_withdrawn"):
            table.add_row("withdrawn", f"{withdrawn:,} files (`warehouse withdrawals` says why)")
    if expired := sum(counts["expiring"] for counts in record.retention.values()):
        table.add_row("expired", f"{expired:,} rows (`warehouse retention` says by which rule)")
    if rows:
        table.add_row(
            "people", f"{rows['customer_sources']:,} records → {rows['customers']:,} customers"
        )
    if record.gates:
        passed = sum(gate["passed"] for gate in record.gates)
        checks = sum(gate["check_count"] for gate in record.gates)
        warnings = sum(len(gate["warnings"]) for gate in record.gates)
        table.add_row(
            "gates", f"{passed} of {len(record.gates)} passed, {checks} checks, {warnings} warnings"
        )
    if record.outcome == "released":
        table.add_row("released", record.release["path"])
        table.add_row("report", f"{record.release['path']}/report.html")
    elif record.outcome == "unchanged":
        table.add_row("unchanged", f"{record.release['path']} stays, identical hashes")
    if record.exports:
        table.add_row("exported", ", ".join(sorted(record.exports)))
    if record.release:
        table.add_row("content hash", record.release["content_hash"])
    stages = ", ".join(f"{stage.name} {stage.seconds:.1f}" for stage in record.stages)
    beside = seconds - sum(stage.seconds for stage in record.stages)
    table.add_row("seconds", f"{seconds:.1f} in all: {stages}, start and bookkeeping {beside:.1f}")
    console.print()
    console.print(table)


def show_failures(result: "ExecuteInProcessResult", record: "RunRecord") -> None:
    """Why nothing was released: a gate's sentences, or what a step raised."""
    failures = [sentence for gate in record.gates for sentence in gate["failures"]]
    if record.reason.startswith("timeout"):
        failures.append(record.reason)
    for sentence in failures:
        console.print(f"  {sentence}", style="red", markup=False)
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            console.print(f"  {data.user_failure_data.description}", style="red", markup=False)
        elif not failures:
            console.print(data.error_display_string, style="red", markup=False)


def _docs(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    from orchestration.release import ReleaseError  # noqa: PLC0415 - 0.1 s for DuckDB
    from orchestration.transform.dbt import TransformError  # noqa: PLC0415
    from orchestration.transform.docs import build_docs  # noqa: PLC0415 - dbt

    try:
        index = build_docs(settings)
    except (ReleaseError, TransformError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(f"Documentation: {index}", markup=False, soft_wrap=True)
    return 0


def _rejects(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    """Line numbers and reasons; the text itself stays in raw.rejects, it may be personal data."""
    import duckdb  # noqa: PLC0415

    from orchestration.database import working_file  # noqa: PLC0415

    nothing_yet = f"Nothing has been landed in {settings.home} yet."
    if not settings.working_database.exists():
        console.print(nothing_yet, markup=False)
        return 1
    try:
        with working_file(settings).connect(read_only=True) as connection:
            rows = connection.execute(
                """
                select rejects.source_file, rejects.line_number, rejects.reason
                from raw.rejects
                inner join raw.files
                    on
                        rejects.source_file = files.file_path
                        and rejects.content_hash = files.content_hash
                where files.is_present
                order by 1, 2
                """
            ).fetchall()
    except duckdb.CatalogException:
        console.print(nothing_yet, markup=False)
        return 1
    except duckdb.Error as error:
        console.print(f"{settings.working_database} cannot be read now: {error}", markup=False)
        return 1
    for file, line, reason in rows:
        console.print(f"{file}:{line}: {reason}", markup=False)
    console.print(f"{len(rows):,} rejected lines in the files that are in the landing now")
    return 0


def _metrics(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.release import ReleaseError, current_release  # noqa: PLC0415
    from orchestration.transform.dbt import TransformError  # noqa: PLC0415
    from orchestration.transform.metrics import (  # noqa: PLC0415
        MetricError,
        list_metrics,
        query_metrics,
    )

    try:
        if not options.metric:
            listed = Table("metric", "what it says", "by", box=None)
            for metric in list_metrics(settings):
                listed.add_row(metric.name, metric.description, ", ".join(metric.dimensions))
            console.print(listed)
            return 0
        release = current_release(settings)
        if release is None:
            console.print(f"Nothing is released in {settings.home} yet.", markup=False)
            return 1
        answer = query_metrics(
            settings,
            release.marts,
            options.metric,
            group_by=options.by,
            where=options.where,
            order_by=options.order,
            limit=options.limit,
        )
    except (MetricError, ReleaseError, TransformError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 1
    if options.sql:
        console.print(answer.sql, markup=False)
    table = Table(*answer.columns, box=None)
    for row in answer.rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    console.print(table)
    return 0


def _dev(settings: Settings, options: argparse.Namespace) -> int:
    prepare_dagster(settings)
    os.chdir(PROJECT_ROOT)
    dagster = os.path.join(os.path.dirname(sys.executable), "dagster")  # noqa: PTH118, PTH120
    arguments = ["dev", "-m", "orchestration.definitions", "-h", "127.0.0.1"]
    os.execv(dagster, [dagster, *arguments, "-p", str(options.port)])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
