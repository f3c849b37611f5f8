"""Verbs of the `warehouse` command about wrong data of a person: rectify and rectifications."""

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from orchestration.console import console
from orchestration.identity.commands import NEXT, add_who_and_why, complain, say
from orchestration.identity.ledger import states
from orchestration.identity.rectifications import (
    FIELDS,
    Action,
    Rectification,
    RectificationError,
    append_rectification,
    new_rectification,
    read_rectifications,
    rectifications_in_force,
)
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.identity.rectifying import Holding, Outcome

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of rectification beside the others."""
    rectify = verbs.add_parser(
        "rectify", help="correct what a source holds of a person, for every later run"
    )
    rectify.add_argument("record", metavar="RECORD", help="source_record_id, for example crm:C1")
    rectify.add_argument("field", metavar="FIELD", help=", ".join(FIELDS))
    rectify.add_argument("value", metavar="VALUE", nargs="?", help="a date as 1980-12-31")
    rectify.add_argument(
        "--clear", action="store_true", help="the record is to have no value there, without VALUE"
    )
    add_who_and_why(rectify)
    rectify.set_defaults(action=_rectify)
    listed = verbs.add_parser(
        "rectifications", help="list what stewards corrected, and what the sources say meanwhile"
    )
    listed.add_argument(
        "--all", action="store_true", help="also what was revoked or replaced since, and by what"
    )
    listed.add_argument("--by", metavar="NAME", default="", help="who looks; default: the account")
    listed.add_argument("--why", metavar="CASE", default="", help="kept in the access log")
    listed.set_defaults(action=_rectifications)


# --- rectify -----------------------------------------------------------------------------------


def _rectify(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.identity.rectifying import look_up, value_problem  # noqa: PLC0415 - duckdb
    from orchestration.privacy.access_log import note  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        if options.clear is (options.value is not None):
            raise RectificationError("Not rectified: give either a VALUE or --clear.")
        value = (options.value or "").strip()
        holding = look_up(settings, options.record, options.field)
        if not options.clear and (problem := value_problem(settings, holding, value)):
            raise RectificationError(f"Not rectified: {problem}.")
        proposed = new_rectification(
            Action.CLEAR if options.clear else Action.SET,
            source_record_id=options.record,
            field=options.field,
            value=value,
            source_value=holding.delivered or "",
            decided_by=options.by,
            reason=options.why,
            decided_at=datetime.now(UTC),
        )
        note(
            settings,
            verb="rectify",
            by=options.by,
            why=options.why,
            names=[holding.source_record_id, holding.customer_id, *holding.others],
            outcome=f"{options.field} shown",
        )
        if _is_there(settings, holding, value):
            return 0
        append_rectification(settings.rectifications, proposed)
    except (RectificationError, PrivacyError) as error:
        complain(str(error))
        return 1
    _tell(settings, holding, proposed)
    return 0


def _is_there(settings: Settings, holding: "Holding", value: str) -> bool:
    """Whether the record has that value already, and so nothing is to be added; says so."""
    from orchestration.identity.rectifying import normalised  # noqa: PLC0415

    record, field = holding.source_record_id, holding.field
    if not value:
        if holding.current is None:
            say(f"Nothing to add: {record} has no {field}.")
        return holding.current is None
    if holding.current is None:
        return False
    current, wanted = normalised(settings, holding, [holding.current, value])
    if current == wanted:
        say(f"Nothing to add: {field} of {record} is {wanted} already.")
        for other, shown in holding.others.items():
            if shown != wanted:
                say(f"Another record of the customer shows another one, {other}: {shown}.")
    return current == wanted


def _tell(settings: Settings, holding: "Holding", line: Rectification) -> None:
    from orchestration.identity.rectifying import normalised  # noqa: PLC0415

    field = line.field
    told = holding.delivered or "nothing"
    say(f"Rectified {_told(line)}. The source says {told}, and stays as it is.")
    if line.action is Action.CLEAR:
        wrong = normalised(settings, holding, [holding.current])[0] if holding.current else None
        bearing = [other for other, shown in holding.others.items() if shown == wrong]
        if bearing:
            say(
                f"The same {field} is held by {', '.join(bearing)} of the same customer; clear it"
                " there too if it is to go."
            )
    elif field in {"email", "phone"}:
        say(f"A no to the old {field} stays one of the customer; a yes to it is none to the new.")
    say(NEXT)


# --- rectifications ----------------------------------------------------------------------------


def _rectifications(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.identity.rectifying import Outcome, outcomes  # noqa: PLC0415 - duckdb
    from orchestration.privacy.access_log import note  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        lines = read_rectifications(settings.rectifications)
        in_force = rectifications_in_force(lines)
        listed = lines if options.all else in_force
        if listed:
            note(
                settings,
                verb="rectifications",
                by=options.by,
                why=options.why,
                names={line.source_record_id for line in listed if line.source_record_id},
                outcome="shown",
            )
    except (RectificationError, PrivacyError) as error:
        complain(str(error))
        return 1
    try:
        found = outcomes(settings, listed) if listed else []
    except RectificationError as error:
        say(str(error))
        found = [Outcome(line, "") for line in listed]
    if found:
        console.print(_table(found, states(lines) if options.all else {}))
    say(f"In force: {len(in_force):,} of {len(lines):,} lines in {settings.rectifications}")
    return 0


def _table(found: Iterable["Outcome"], became: dict[str, str]) -> Table:
    table = Table("rectification", "says", "the source", "by", "at", "reason", "", box=None)
    # A long reason goes on in the next line, an id is never broken.
    table.columns[0].no_wrap = table.columns[4].no_wrap = True
    for outcome in found:
        line = outcome.line
        cells = (
            line.rectification_id,
            _says(line),
            outcome.source,
            line.decided_by,
            f"{line.decided_at:%Y-%m-%d %H:%M}",
            line.reason,
            became.get(line.rectification_id, ""),
        )
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


# --- revoke ------------------------------------------------------------------------------------


def revoke_rectification(settings: Settings, options: argparse.Namespace) -> int:
    """Take a rectification away: the verb `revoke` with the id of one."""
    try:
        revoke = new_rectification(
            Action.REVOKE,
            revokes=options.decision_id,
            decided_by=options.by,
            reason=options.why,
            decided_at=datetime.now(UTC),
        )
        append_rectification(settings.rectifications, revoke)
        lines = read_rectifications(settings.rectifications)
    except RectificationError as error:
        complain(str(error))
        return 1
    target = next(line for line in lines if line.rectification_id == revoke.revokes)
    record, field = target.target
    say(f"Revoked {target.rectification_id}, {field} of {record}.")
    now = {line.target: line for line in rectifications_in_force(lines)}.get(target.target)
    say(
        f"In force is now {now.rectification_id}, by {now.decided_by}: {now.reason}"
        if now
        else f"{field} of {record} is now what the source says."
    )
    say(NEXT)
    return 0


def _told(line: Rectification) -> str:
    return f"{line.rectification_id}: {_says(line)}"


def _says(line: Rectification) -> str:
    if line.action is Action.REVOKE:
        return f"revokes {line.revokes}"
    return f"{line.field} of {line.source_record_id} is {line.value or 'nothing'}"
