"""Verbs of the `warehouse` command about gates: quality, override."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from orchestration.console import console
from orchestration.gates import history
from orchestration.gates.overrides import (
    Override,
    OverrideError,
    append_override,
    read_overrides,
)
from orchestration.settings import Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of the gates beside the others."""
    quality = verbs.add_parser("quality", help="how every source and mart did in its last gates")
    quality.add_argument("--check", metavar="CHECK", help="list the rows that failed this check")
    quality.set_defaults(action=_quality)
    override = verbs.add_parser("override", help="let a failed check pass for one as-of day")
    override.add_argument("check", metavar="CHECK", help="id of the check, as the gate printed it")
    override.add_argument("--by", required=True, metavar="NAME", help="who answers for it")
    override.add_argument("--why", required=True, metavar="REASON", help="why it is right")
    override.set_defaults(action=_override)
    overrides = verbs.add_parser("overrides", help="list every override that was given")
    overrides.set_defaults(action=_overrides)


def _quality(settings: Settings, options: argparse.Namespace) -> int:
    try:
        if options.check:
            return _show_failed_rows(options.check, history.failed_rows(settings, options.check))
        scores = history.scorecard(settings)
        failures = history.failures(settings)
    except history.HistoryError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    table = Table("layer", "table", "checks", "passed", "critical", "warnings", "trend", box=None)
    for score in scores:
        bad = "red" if score["critical"] else "yellow" if score["warnings"] else ""
        names = ("layer", "table_name", "checks", "passed", "critical", "warnings", "trend")
        table.add_row(*(str(score[name]) for name in names), style=bad)
    console.print(table)
    console.print("trend: oldest run first, . passed, w warned, o overridden, X failed\n")
    for failure in failures:
        console.print(f"{failure['check_id']}\n  {failure['sentence']}", markup=False)
    return 0


def _show_failed_rows(check_id: str, rows: list[dict[str, object]]) -> int:
    if not rows:
        console.print(
            f"No failed rows of {check_id} are kept: it never failed, or it speaks of a whole "
            "table. `warehouse quality` lists the checks that failed.",
            markup=False,
        )
        return 1
    for row in rows:
        console.print(str(row["row_key"]), markup=False)
    console.print(f"{len(rows)} rows, found by run {rows[0]['run_id']}", markup=False)
    return 0


def _override(settings: Settings, options: argparse.Namespace) -> int:
    given = Override(
        check_id=options.check,
        as_of=settings.as_of,
        overridden_by=options.by,
        overridden_at=datetime.now(UTC),
        reason=options.why,
    )
    try:
        if problem := _cannot_be_overridden(settings, options.check):
            raise OverrideError(f"Not overridden: {problem}")
        append_override(settings.overrides, given)
    except OverrideError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 1
    console.print(
        f"{options.check} may fail on {settings.as_of}. `make run` lets it pass and publishes who "
        "answered for it.",
        markup=False,
    )
    return 0


def _cannot_be_overridden(settings: Settings, check_id: str) -> str:
    """Return why there is nothing to override: the check did not fail, or it is a law."""
    try:
        failures = {str(row["check_id"]): row for row in history.failures(settings)}
    except history.HistoryError as error:
        return str(error)
    if check_id not in failures:
        stopped = [name for name, row in failures.items() if row["severity"] == "critical"]
        known = f"what stopped is {', '.join(stopped)}" if stopped else "nothing stopped it"
        return f"{check_id} did not fail in the last run; {known}."
    if not failures[check_id]["may_be_overridden"]:
        return (
            f"{check_id} is a law of the warehouse, nobody can answer for its failure; correct "
            "the data or the code."
        )
    return ""


def _overrides(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    try:
        given = read_overrides(settings.overrides)
    except OverrideError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 1
    table = Table("as of", "check", "by", "given at", "reason", box=None)
    for one in given:
        at = f"{one.overridden_at:%Y-%m-%d %H:%M}"
        cells = (str(one.as_of), one.check_id, one.overridden_by, at, one.reason)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    console.print(f"{len(given)} overrides")
    return 0
