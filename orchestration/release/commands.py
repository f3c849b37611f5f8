"""Verbs of the `warehouse` command about releases: releases, report, rollback, send, audit."""

import argparse
import json
import webbrowser
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from orchestration.console import console
from orchestration.release.audit import Audit, differences, take_audit
from orchestration.release.content import ReleaseError
from orchestration.release.releases import (
    Manifest,
    current_release,
    list_releases,
    read_manifest,
    rollback,
)
from orchestration.settings import Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of releases beside the others."""
    back = verbs.add_parser("rollback", help="point `current` at an earlier release")
    back.add_argument("--to", metavar="RELEASE", help="release id; default: the one before")
    back.set_defaults(action=_rollback)
    listed = verbs.add_parser("releases", help="list the releases on disk")
    listed.set_defaults(action=_releases)
    report = verbs.add_parser("report", help="say where the report of the current release is")
    report.add_argument("--open", action="store_true", help="open it in the browser, too")
    report.set_defaults(action=_report)
    send = verbs.add_parser("send", help="send the current release to Postgres again")
    send.set_defaults(action=_send)
    audit = verbs.add_parser("audit", help="say what made a release, and what has changed since")
    audit.add_argument("release", nargs="?", metavar="RELEASE", help="default: the current one")
    audit.add_argument(
        "--against", metavar="RELEASE", help="compare with this one; default: with what stands now"
    )
    audit.add_argument("--json", action="store_true", help="all of it, for machines")
    audit.set_defaults(action=_audit)


def _rollback(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.run import WarehouseBusyError, only_one_run  # noqa: PLC0415 - Dagster

    try:
        # A run carries the ids of the release that was current when it began.
        with only_one_run(settings):
            release = rollback(settings, options.to)
            console.print(f"Readers now see {release.id}: {release.path}")
            if settings.postgres:
                from orchestration.release.postgres import follow  # noqa: PLC0415 - 0.2 s

                follow(settings, _say)
    except (ReleaseError, WarehouseBusyError) as error:
        return _refuse(error)
    return 0


def _releases(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    try:
        current = current_release(settings)
        table = Table("release", "as of", "customers", "content hash", "", box=None)
        for release in list_releases(settings):
            manifest = read_manifest(release)
            customers = manifest.tables.get("customers")
            table.add_row(
                release.id,
                manifest.as_of.isoformat(),
                f"{customers.row_count:,}" if customers else "-",
                manifest.content_hash[:16],
                "current" if current and release.id == current.id else "",
            )
    except ReleaseError as error:
        return _refuse(error)
    console.print(table)
    return 0


def _report(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.report.reports import PAGE  # noqa: PLC0415 - it knows releases

    try:
        release = current_release(settings)
    except ReleaseError as error:
        return _refuse(error)
    if release is None:
        console.print(f"Nothing is released in {settings.home} yet.", markup=False)
        return 1
    page = release.path / PAGE
    if not page.is_file():
        console.print(
            f"Release {release.id} was made without a report; `make run REBUILD=1` makes one.",
            markup=False,
        )
        return 1
    console.print(str(page), markup=False, soft_wrap=True)
    if options.open and not webbrowser.open(page.as_uri()):
        console.print("No browser is known here; open the file yourself.", markup=False)
    return 0


def _send(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    from orchestration.run import WarehouseBusyError, only_one_run  # noqa: PLC0415 - Dagster

    if not settings.postgres:
        console.print(
            "WAREHOUSE_POSTGRES names no database; set it to `host=… dbname=… user=…`.",
            markup=False,
        )
        return 2
    from orchestration.release.postgres import send_release  # noqa: PLC0415 - 0.2 s
    from orchestration.release.roles import read_roles  # noqa: PLC0415

    try:
        with only_one_run(settings):
            release = current_release(settings)
            if release is None:
                console.print(f"Nothing is released in {settings.home} yet.", markup=False)
                return 1
            sent = send_release(settings, release, read_roles(), _say)
    except (ReleaseError, WarehouseBusyError) as error:
        return _refuse(error)
    for view in sent.lost:
        console.print(f"The view {view} read the last release and went with it.", markup=False)
    return 0


def _audit(settings: Settings, options: argparse.Namespace) -> int:
    try:
        manifest = _manifest(settings, options.release)
        other = _manifest(settings, options.against) if options.against else None
    except ReleaseError as error:
        return _refuse(error)
    if options.json:
        said = manifest.model_dump(
            mode="json", include={"release_id", "as_of", "released_at", "provenance", "audit"}
        ) | {"erased_afterwards": list(manifest.erasures)}
        print(json.dumps(said, indent=1))
        return 0
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name in ("code_version", "code_hash", "landing_state", "decisions_state", "duckdb"):
        table.add_row(name.replace("_", " "), str(manifest.provenance.get(name, "-")))
    for kind in ("policies", "parameters", "decisions", "erasures"):
        table.add_row(kind, f"{len(getattr(manifest.audit, kind)):,}")
    for what, journal in manifest.audit.decisions.items():
        table.add_row("", escape(f"{what}: {journal.line_count:,}"))
    table.add_row("erased afterwards", escape(", ".join(manifest.erasures)) or "nobody")
    console.print(
        f"{manifest.release_id}, as of {manifest.as_of}, {manifest.released_at:%F %T} UTC"
    )
    console.print(table)
    if manifest.audit == Audit():
        console.print("It was made by code that kept no digests of policies and decisions.")
        return 0
    changed = list(
        differences(manifest.audit, other.audit)
        if other
        else differences(manifest.audit, take_audit(settings))
    )
    against = other.release_id if other else "now"
    if not changed:
        console.print(f"The same policies, parameters, decisions and erasures as {against}.")
        return 0
    listed = Table("kind", f"between it and {against}", "", box=None)
    for kind, name, became in changed:
        listed.add_row(kind, escape(name), became)
    console.print(listed)
    return 0


def _manifest(settings: Settings, release_id: str | None) -> Manifest:
    if release_id is None:
        release = current_release(settings)
        if release is None:
            raise ReleaseError(f"Nothing is released in {settings.home} yet.")
        return read_manifest(release)
    for release in list_releases(settings):
        if release.id == release_id:
            return read_manifest(release)
    raise ReleaseError(f"There is no release {release_id}; `warehouse releases` lists them.")


def _say(what: str) -> None:
    console.print(what, style="dim", markup=False)


def _refuse(error: Exception) -> int:
    console.print(f"[red]{escape(str(error))}[/]")
    return 1
