"""Verbs of the `warehouse` command about the installation: status, doctor, backfill."""

import argparse
import json
import time
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from orchestration.console import console
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.operations.ledger import RunRecord
    from orchestration.operations.status import Status

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_COLOURS = {
    "ok": "green",
    "released": "green",
    "unchanged": "green",
    "built": "green",
    "running": "cyan",
    "warning": "yellow",
    "stopped": "yellow",
    "killed": "red",
    "crashed": "red",
    "error": "red",
}


def add_operations(verbs: "Verbs") -> None:
    """Register the verbs of operations beside the others."""
    status = verbs.add_parser("status", help="release, runs, feeds, gates and disk at one glance")
    status.add_argument("--json", action="store_true", help="for machines")
    status.set_defaults(action=_status)
    doctor = verbs.add_parser("doctor", help="check the installation and say what to fix")
    doctor.add_argument("--json", action="store_true", help="for machines")
    doctor.set_defaults(action=_doctor)
    backfill = verbs.add_parser("backfill", help="release each day of a range, in order")
    backfill.add_argument(
        "--from", dest="first", type=_day, required=True, metavar="DAY", help="YYYY-MM-DD"
    )
    backfill.add_argument(
        "--to", dest="last", type=_day, required=True, metavar="DAY", help="YYYY-MM-DD, included"
    )
    backfill.set_defaults(action=_backfill)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: expected YYYY-MM-DD") from None


# --- status ------------------------------------------------------------------------------------


def _status(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.operations.status import read_status  # noqa: PLC0415 - 0.2 s for DuckDB

    status = read_status(settings)
    if options.json:
        print(json.dumps(status.as_json(), indent=1))
    else:
        _show_status(status)
    return 0 if status.is_healthy else 1


def _show_status(status: "Status") -> None:
    _show_release(status)
    if status.process is not None:
        _show_running(status)
    _show_runs(status)
    _show_feeds(status)
    _show_gates(status)
    disk = ", ".join(f"{part} {_size(used)}" for part, used in status.disk.items() if used)
    _line("disk", f"{_size(sum(status.disk.values()))}: {disk}")
    if status.backups:
        _line("backups", f"{len(status.backups)}, the newest {status.backups[-1].name}")
    _line("next", status.next_run)
    for sentence in status.attention:
        _line("attention", sentence, "red")
    if status.is_healthy:
        _line("healthy", "nothing needs a person", "green")


def _line(name: str, said: str, style: str = "") -> None:
    console.print(Text.assemble((f"{name:<11}", "bold"), (said, style)))


def _show_release(status: "Status") -> None:
    from orchestration.operations.status import customers_of  # noqa: PLC0415

    release = status.release
    if release is None:
        _line("release", "none", "red")
        return
    customers = customers_of(release)
    _line(
        "release",
        f"{release.release_id}, as of {release.as_of}, "
        f"{_ago(release.released_at, status.asked_at)} old, "
        f"{customers if customers is None else f'{customers:,}'} customers, "
        f"{status.releases} releases kept",
    )
    _line("content", release.content_hash)


def _show_running(status: "Status") -> None:
    run = status.running
    if run is None:
        _line("running", f"process {status.process} holds the installation", "cyan")
        return
    where = f"in {run.stage_under_way}" if run.stage_under_way else "between two stages"
    since = f"for {_ago(run.began_at, status.asked_at)}" if run.began_at else ""
    _line(
        "running",
        f"process {status.process} {since}, now {where}, "
        f"as of {run.as_of}, started by {run.started_by}",
        "cyan",
    )


def _show_runs(status: "Status") -> None:
    from orchestration.operations.status import RUNS_SHOWN  # noqa: PLC0415

    if not status.runs:
        _line("runs", "none yet")
        return
    table = _table("run", "began (UTC)", "by", "as of", "seconds", "peak MiB", "rows", "outcome")
    for run in status.runs[:RUNS_SHOWN]:
        table.add_row(
            run.run_id[:8],
            f"{run.began_at:%Y-%m-%d %H:%M}" if run.began_at else "-",
            run.started_by or "-",
            run.as_of,
            f"{run.seconds:,.0f}" if run.seconds is not None else "-",
            f"{run.peak_mib:,}",
            f"{run.row_count:,}" if run.row_count is not None else "-",
            _outcome(run),
        )
    console.print(table)


def _outcome(run: "RunRecord") -> Text:
    reason = " ".join(run.reason.split())
    shown = f"{reason[:120]}…" if len(reason) > 120 else reason
    return Text.assemble(
        (str(run.outcome), _COLOURS.get(run.outcome, "")), f": {shown}" if shown else ""
    )


def _show_feeds(status: "Status") -> None:
    if not status.feeds:
        return
    table = _table("feed", "rows", "newest file (UTC)", "newest record (UTC)")
    for name, feed in status.feeds.items():
        table.add_row(
            name, f"{feed.rows:,}", _moment(feed.newest_file), _moment(feed.newest_record)
        )
    console.print(table)


def _show_gates(status: "Status") -> None:
    if not status.gates:
        return
    said = [
        f"{gate['layer']} {'passed' if gate['passed'] else 'FAILED'}"
        f" ({gate['check_count']} checks, {len(gate['warnings'])} warnings)"
        for gate in status.gates
    ]
    failed = any(not gate["passed"] for gate in status.gates)
    _line("gates", f"of run {status.gates_of[:8]}: {', '.join(said)}", "red" if failed else "")


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in table.columns:
        column.no_wrap = column.header != "outcome"
        if column.header in ("rows", "seconds", "peak MiB"):
            column.justify = "right"
    return table


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "-"


def _ago(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "-"
    passed = now - then
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if passed >= timedelta(seconds=2 * size):
            return f"{passed.total_seconds() // size:.0f} {unit}"
    return f"{max(passed.total_seconds(), 0):.0f} seconds"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


# --- doctor ------------------------------------------------------------------------------------


def _doctor(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.operations.doctor import Level, examine  # noqa: PLC0415 - DuckDB, yaml

    findings = examine(settings)
    errors = sum(finding.level is Level.ERROR for finding in findings)
    if options.json:
        listed: list[dict[str, Any]] = [
            {"check": f.check, "level": f.level, "found": f.found, "remedy": f.remedy}
            for f in findings
        ]
        print(json.dumps({"errors": errors, "findings": listed}, indent=1))
        return 1 if errors else 0
    for finding in findings:
        console.print(
            Text.assemble(
                (f"{finding.level:<8}", _COLOURS[finding.level]),
                (f"{finding.check}: ", "bold"),
                finding.found,
                f" → {finding.remedy}" if finding.remedy else "",
            )
        )
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    console.print(
        f"{len(findings)} findings, {errors} errors, {warnings} warnings",
        style="red" if errors else "green",
    )
    return 1 if errors else 0


# --- backfill ----------------------------------------------------------------------------------


def _backfill(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.alerts.telling import tell_and_log  # noqa: PLC0415
    from orchestration.cli import (  # noqa: PLC0415 - it imports this module
        build_job,
        execute_job,
        prepare_run,
        show_failures,
        show_progress,
    )
    from orchestration.operations.backfill import BackfillError, plan  # noqa: PLC0415
    from orchestration.operations.ledger import (  # noqa: PLC0415
        BACKFILL,
        GOOD_OUTCOMES,
        RunRecord,
    )
    from orchestration.release import ReleaseError  # noqa: PLC0415
    from orchestration.run import WarehouseBusyError  # noqa: PLC0415

    try:
        prepare_run(settings)
        days = plan(settings, options.first, options.last)
    except (BackfillError, ReleaseError, WarehouseBusyError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    job = build_job(settings)
    for number, day in enumerate(days, 1):
        place = f"day {number} of {len(days)}, {day.as_of}"
        if day.is_done:
            console.print(f"{place}: released before from the same inputs")
            continue
        console.print(f"[bold]{place}[/]")
        started = time.perf_counter()
        show_progress(started)
        at = settings.model_copy(update={"as_of": day.as_of})
        result = execute_job(job, at, started_by=BACKFILL)
        record = RunRecord.open(at, result.run_id)
        if not result.success or record.outcome not in GOOD_OUTCOMES:
            show_failures(result, record)
            console.print(
                f"Stopped at {place}. The same command goes on from there when this is put right; "
                f"days before it stay released.",
                style="red",
            )
            tell_and_log(settings)
            return 1
        console.print(
            f"{place}: {record.outcome} {record.release['id']}"
            f" ({time.perf_counter() - started:.1f} s)"
        )
    tell_and_log(settings)
    console.print(f"Readers now see {days[-1].as_of}.")
    return 0
