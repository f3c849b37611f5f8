"""Verbs of the `warehouse` command about how long data is kept: retention, hold, holds."""

import argparse
import json
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

from rich.table import Table

from orchestration.console import console
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.privacy.expiry import Due
    from orchestration.privacy.retention_policy import Policy

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of retention beside the others."""
    retention = verbs.add_parser(
        "retention", help="say what the next run would delete or anonymise by age; changes nothing"
    )
    retention.add_argument("--json", action="store_true", help="for machines")
    retention.add_argument(
        "--confirm", metavar="FEED", help="let its rows expire though they are much of the feed"
    )
    retention.add_argument("--by", default="", metavar="NAME", help="who answers for it")
    retention.add_argument("--why", default="", metavar="REASON", help="kept with the name")
    retention.set_defaults(action=_retention)
    hold = verbs.add_parser(
        "hold", help="keep a person's records, or a feed, from expiring and from being erased"
    )
    hold.add_argument(
        "what", nargs="?", default="", metavar="WHAT", help="a feed, or a person as for `forget`"
    )
    hold.add_argument("--by", required=True, metavar="NAME", help="who answers for it")
    hold.add_argument("--why", required=True, metavar="CASE", help="number of the case")
    hold.add_argument("--until", metavar="DAY", help="its last day, YYYY-MM-DD; open unless given")
    hold.add_argument("--release", default="", metavar="HOLD", help="end this hold")
    hold.set_defaults(action=_hold)
    holds = verbs.add_parser("holds", help="list the holds in force")
    holds.add_argument("--all", action="store_true", help="those that have ended too")
    holds.set_defaults(action=_holds)


def _retention(settings: Settings, options: argparse.Namespace) -> int:
    import duckdb  # noqa: PLC0415

    from orchestration.database import working_file  # noqa: PLC0415
    from orchestration.landing.feeds import FEEDS  # noqa: PLC0415
    from orchestration.privacy.expiry import find_due  # noqa: PLC0415 - Dagster
    from orchestration.privacy.retention_policy import (  # noqa: PLC0415
        RetentionPolicyError,
        read_policy,
    )
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415
    from orchestration.release import ReleaseError  # noqa: PLC0415

    try:
        policy = read_policy(FEEDS)
        if options.confirm is not None:
            _check_named(options)
        if not settings.working_database.exists():
            raise PrivacyError(f"Nothing has been landed in {settings.home} yet.")
        with working_file(settings).connect(read_only=True) as connection:
            due = find_due(connection, settings, policy)
        if options.confirm is not None:
            return _confirm(settings, options, policy, due)
    except (PrivacyError, RetentionPolicyError, ReleaseError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except duckdb.CatalogException:
        console.print(f"Nothing has been landed in {settings.home} yet.", markup=False)
        return 1
    except duckdb.IOException as error:
        console.print(f"The working database cannot be read now: {error}", markup=False)
        return 1
    if options.json:
        lines = [
            asdict(one)
            | {"policy": policy[name].told, "basis": policy[name].basis}
            | {"needs_confirmation": one.needs_confirmation}
            for name, one in due.items()
        ]
        print(json.dumps(lines, indent=1, default=str))
    else:
        _show(settings, policy, due)
    return 0


def _show(settings: Settings, policy: "Policy", due: "dict[str, Due]") -> None:
    from orchestration.privacy.expiry import unconfirmed  # noqa: PLC0415

    table = Table(
        "feed", "policy", "rows", "oldest", "would go", "held", "undated", box=None, padding=(0, 1)
    )
    for name, one in due.items():
        counts = (one.expiring, one.held, one.undated)
        table.add_row(
            name,
            policy[name].told,
            f"{one.row_count:,}",
            str(one.oldest or ""),
            *(f"{count:,}" if count else "" for count in counts),
        )
    console.print(table)
    for name, one in due.items():
        if sentence := unconfirmed(policy[name], one):
            console.print(sentence, style="yellow", markup=False)
    console.print(f"As of {settings.as_of}; the next run applies it, nothing was changed.")


def _check_named(options: argparse.Namespace) -> None:
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    for option, text in (("--by", options.by), ("--why", options.why)):
        if not text.strip():
            raise PrivacyError(f"{option} is missing: somebody has to answer for it.")


def _confirm(
    settings: Settings, options: argparse.Namespace, policy: "Policy", due: "dict[str, Due]"
) -> int:
    from orchestration.journal import shown  # noqa: PLC0415
    from orchestration.privacy.retention_log import add_line  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    one = due.get(options.confirm)
    if one is None:
        raise PrivacyError(f"{shown(options.confirm)} is no feed; the feeds are {', '.join(due)}.")
    if not one.needs_confirmation or one.limit is None:
        raise PrivacyError(f"Nothing of {one.feed} waits for somebody who confirms it.")
    add_line(
        settings.retention_confirmations,
        policy[one.feed],
        settings.as_of,
        one.limit,
        one.expiring,
        by=options.by,
        why=options.why,
    )
    console.print(f"{one.expiring:,} rows of {one.feed} before {one.limit} go with the next run.")
    return 0


def _hold(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.landing.feeds import FEEDS  # noqa: PLC0415
    from orchestration.privacy.holds import add_hold, release_hold  # noqa: PLC0415 - DuckDB
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        _check_named(options)
        if bool(options.what) == bool(options.release):
            raise PrivacyError("Name a feed or a person to hold, or a hold to --release.")
        if options.release:
            hold = release_hold(settings, options.release, by=options.by, why=options.why)
            console.print(f"{hold.hold_id} of {hold.what} is released.", markup=False)
            return 0
        until = _day(settings, options.until)
        if options.what in {feed.name for feed in FEEDS}:
            hold_id = add_hold(
                settings, feed=options.what, until=until, by=options.by, why=options.why
            )
        else:
            hold_id = _hold_person(settings, options, until)
    except PrivacyError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(f"{hold_id} holds {'until ' + str(until) if until else 'until it is released'}.")
    return 0


def _day(settings: Settings, text: str | None) -> date | None:
    from orchestration.journal import shown  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    if text is None:
        return None
    try:
        until = date.fromisoformat(text)
    except ValueError as error:
        raise PrivacyError(f"--until {shown(text)} is no day; write it like 2027-06-30.") from error
    if until < settings.as_of:
        raise PrivacyError(f"--until {until} is over already, as of {settings.as_of}.")
    return until


def _hold_person(settings: Settings, options: argparse.Namespace, until: date | None) -> str:
    from orchestration.privacy.certificates import pending  # noqa: PLC0415
    from orchestration.privacy.commands import find_customers, note_access, registry_of  # noqa: PLC0415
    from orchestration.privacy.holds import add_hold  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    with registry_of(settings) as (_, registry):
        (customer, *_) = find_customers(registry, [options.what], "Nobody is held.")
        people = registry.people([customer])
        if any(customer in plan.people.customers for plan in pending(settings)):
            raise PrivacyError("An erasure of this person is under way; nobody is held.")
        note_access(settings, people, options, outcome="held")
        return add_hold(
            settings,
            customer_id=customer,
            records=people.records,
            until=until,
            by=options.by,
            why=options.why,
        )


def _holds(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.privacy.holds import read_holds  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        holds = read_holds(settings)
    except PrivacyError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    table = Table("hold", "of", "until", "by", "on", "case", "ended", box=None, padding=(0, 1))
    for hold in holds:
        in_force = hold.is_in_force(settings.as_of)
        if in_force or options.all:
            ended = f"released by {hold.released_by}" if hold.released_at else "its day has passed"
            cells = (
                hold.hold_id,
                hold.what,
                str(hold.until or "released"),
                hold.decided_by,
                f"{hold.decided_at:%Y-%m-%d}",
                hold.reason,
                "" if in_force else ended,
            )
            table.add_row(*(cell.replace("[", r"\[") for cell in cells))
    console.print(table if table.row_count else "Nothing is held.")
    return 0
