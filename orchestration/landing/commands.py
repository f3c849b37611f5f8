"""Verbs of the `warehouse` command about landed rows and files: quarantine, withdraw."""

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from orchestration.console import console
from orchestration.landing.quarantine import (
    Action,
    Correction,
    QuarantineError,
    correct,
    entries,
)
from orchestration.landing.withdrawals import (
    WithdrawalError,
    in_force,
    read_withdrawals,
    take_back,
    withdraw,
)
from orchestration.settings import Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of the landing beside the others."""
    quarantine = verbs.add_parser("quarantine", help="rows that were set aside: list, repair, ...")
    actions = quarantine.add_subparsers(dest="quarantine", required=True)
    listed = actions.add_parser("list", help="which rows are set aside, and why")
    listed.set_defaults(action=_list)
    show = actions.add_parser("show", help="print a row whole; it may be personal data")
    show.add_argument("entry", metavar="ENTRY", help="for example q-3f9a01b2c4")
    show.add_argument("--by", metavar="NAME", default="", help="who looks; default: the account")
    show.add_argument("--why", metavar="CASE", default="", help="kept in the access log")
    show.set_defaults(action=_show)
    readmit = actions.add_parser("readmit", help="say that a row is right as it is")
    repair = actions.add_parser("repair", help="say what the values of a row should be")
    for verb, action in ((readmit, Action.READMIT), (repair, Action.REPAIR)):
        verb.add_argument("entry", metavar="ENTRY", help="for example q-3f9a01b2c4")
        verb.add_argument("--by", required=True, metavar="NAME", help="who answers for it")
        verb.add_argument("--why", required=True, metavar="REASON", help="why it is right")
        verb.set_defaults(action=_correct, decided=action)
    repair.add_argument(
        "changes", nargs="+", metavar="COLUMN=VALUE", help="an empty VALUE empties the column"
    )
    withdrawal = verbs.add_parser("withdraw", help="take a file with wrong contents out again")
    withdrawal.add_argument("file", metavar="FILE", help="for example crm/contacts/2026-06-30.csv")
    withdrawal.add_argument(
        "--version", default="", metavar="HASH", help="how one content begins; default: all of them"
    )
    withdrawal.add_argument("--undo", action="store_true", help="let it land again")
    withdrawal.add_argument("--by", required=True, metavar="NAME", help="who answers for it")
    withdrawal.add_argument("--why", required=True, metavar="REASON", help="what is wrong with it")
    withdrawal.set_defaults(action=_withdraw)
    withdrawals = verbs.add_parser("withdrawals", help="list every withdrawal and every undo")
    withdrawals.set_defaults(action=_withdrawals)


def _list(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    try:
        found = entries(settings)
    except QuarantineError as error:
        return _complain(error)
    table = Table("entry", "feed", "record", "file", "check", "status", box=None)
    names = ("entry_id", "feed", "record", "_source_file", "check_id", "status")
    for entry in found:
        table.add_row(*(escape(str(entry[name])) for name in names))
    console.print(table)
    waiting = sum(entry["status"] == "set aside" for entry in found)
    console.print(
        f"{waiting:,} rows are set aside. `warehouse quarantine show ENTRY` prints one, `repair` "
        "and `readmit` let it back in."
    )
    return 0


def _show(settings: Settings, options: argparse.Namespace) -> int:
    try:
        entry = next((e for e in entries(settings) if e["entry_id"] == options.entry), None)
    except QuarantineError as error:
        return _complain(error)
    if entry is None:
        return _complain(QuarantineError(f"There is no entry {options.entry!r}."))
    from orchestration.privacy.access_log import note  # noqa: PLC0415 - reads `landing`
    from orchestration.privacy.identifiers import identifiers_of  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    values = json.loads(str(entry["row_values"]))
    try:
        note(
            settings,
            verb="quarantine show",
            by=options.by,
            why=options.why,
            names=identifiers_of(str(entry["feed"]), values),
            outcome="shown",
        )
    except PrivacyError as error:
        return _complain(error)
    for column, value in values.items():
        console.print(f"{column}: {'' if value is None else value}", markup=False)
    return 0


def _correct(settings: Settings, options: argparse.Namespace) -> int:
    changes: dict[str, str | None] = {}
    for change in getattr(options, "changes", []):
        column, equals, value = change.partition("=")
        if not equals:
            return _complain(QuarantineError(f"{change!r} is not COLUMN=VALUE."))
        changes[column.strip()] = value or None
    try:
        correct(
            settings,
            Correction(
                entry_id=options.entry,
                action=options.decided,
                changes=changes,
                decided_by=options.by,
                decided_at=datetime.now(UTC),
                reason=options.why,
            ),
        )
    except QuarantineError as error:
        return _complain(error)
    console.print(f"{options.entry}: `make run` lets it back in.", markup=False)
    return 0


def _withdraw(settings: Settings, options: argparse.Namespace) -> int:
    decide = take_back if options.undo else withdraw
    try:
        lines = decide(
            settings,
            options.file,
            options.version,
            by=options.by,
            why=options.why,
            at=datetime.now(UTC),
        )
    except WithdrawalError as error:
        return _complain(error)
    for line in lines:
        then = (
            "lets it land again, if it is in the landing"
            if options.undo
            else "takes its rows out and leaves it out from then on"
        )
        console.print(
            f"{line.file_path}, version {line.content_hash[:12]}: `make run` {then}.", markup=False
        )
    return 0


def _withdrawals(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    try:
        lines = read_withdrawals(settings.withdrawals)
    except WithdrawalError as error:
        return _complain(error)
    table = Table("file", "version", "action", "by", "given at", "reason", box=None)
    for line in lines:
        at = f"{line.decided_at:%Y-%m-%d %H:%M}"
        cells = (line.file_path, line.content_hash[:12], line.action, line.decided_by, at)
        table.add_row(*(escape(cell) for cell in (*cells, line.reason)))
    console.print(table)
    console.print(f"{len(in_force(lines)):,} versions of files are withdrawn")
    return 0


def _complain(error: Exception) -> int:
    console.print(str(error), style="red", markup=False)
    return 1
