"""Verbs of the `warehouse` command about who is who, from decide to preview."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from orchestration.console import console, print_report
from orchestration.identity.decisions import (
    Action,
    Decision,
    DecisionError,
    append_decision,
    decisions_in_force,
    new_decision,
    read_decisions,
)
from orchestration.identity.ledger import states
from orchestration.identity.rectifications import PREFIX
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.identity.training import TrainingReport

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_VERDICTS = {"same": Action.SAME, "not-same": Action.NOT_SAME, "unsure": Action.UNSURE}
_RELATIONS = {Action.SAME: "is", Action.NOT_SAME: "is not", Action.UNSURE: "may be"}
NEXT = "`make run` builds and releases customers with it."


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of identity beside the others."""
    _add_decide(verbs)
    _add_decisions(verbs)
    _add_revoke(verbs)
    _add_train(verbs)
    _add_explain(verbs)
    _add_preview(verbs)


# --- decide ------------------------------------------------------------------------------------


def _add_decide(verbs: "Verbs") -> None:
    verb = verbs.add_parser(
        "decide", help="say that two records are, are not, or may be one person"
    )
    verb.add_argument("verdict", choices=_VERDICTS)
    verb.add_argument("record", metavar="RECORD", help="source_record_id, for example crm:C1")
    verb.add_argument("other", metavar="OTHER", help="source_record_id of the other record")
    add_who_and_why(verb)
    verb.add_argument(
        "--unseen", action="store_true", help="decide on records that have not landed yet, too"
    )
    verb.set_defaults(action=_decide)


def _decide(settings: Settings, options: argparse.Namespace) -> int:
    try:
        decision = new_decision(
            _VERDICTS[options.verdict],
            source_record_id=options.record,
            other_source_record_id=options.other,
            decided_by=options.by,
            reason=options.why,
            decided_at=datetime.now(UTC),
        )
        if not options.unseen and not _are_known(settings, decision.pair):
            return 1
        before = _in_force_on(settings, decision.pair)
        if before and before.action is decision.action:
            say(f"Nothing to add: {_told(before)}, by {before.decided_by}: {before.reason}")
            return 0
        append_decision(settings.decisions, decision)
    except DecisionError as error:
        complain(str(error))
        return 1
    say(f"Decided {_told(decision)}.")
    if before:
        say(f"It takes the place of {_told(before)}, by {before.decided_by}: {before.reason}")
    say(NEXT)
    return 0


def _are_known(settings: Settings, records: tuple[str, ...]) -> bool:
    """Complain of records that no run has seen; what cannot be looked up counts as known."""
    import duckdb  # noqa: PLC0415 - 0.1 s that the other verbs need not pay

    from orchestration.database import working_file  # noqa: PLC0415
    from orchestration.sql import literal  # noqa: PLC0415

    if not settings.working_database.exists():
        return True
    known = True
    try:
        with working_file(settings).connect(read_only=True) as connection:
            for record in records:
                found = connection.execute(
                    "select source_record_id from identity.int_records_normalised"
                    f" where lower(source_record_id) = lower({literal(record)})"
                    f" order by source_record_id <> {literal(record)}, source_record_id limit 1"
                ).fetchone()
                if found is None or found[0] != record:
                    known = False
                    hint = f"did you mean {found[0]}? " if found else ""
                    complain(
                        f"Not decided: no record {record} was in the last run; {hint}"
                        "`--unseen` decides on it nevertheless."
                    )
    except duckdb.CatalogException:
        return True  # nothing has been built yet
    except duckdb.Error as error:
        say(f"Not looked up whether the records exist: {error}")
    return known


# --- decisions ---------------------------------------------------------------------------------


def _add_decisions(verbs: "Verbs") -> None:
    verb = verbs.add_parser("decisions", help="list what stewards decided")
    verb.add_argument(
        "--all", action="store_true", help="also what was revoked or replaced since, and by what"
    )
    verb.set_defaults(action=_decisions)


def _decisions(settings: Settings, options: argparse.Namespace) -> int:
    try:
        decisions = read_decisions(settings.decisions)
    except DecisionError as error:
        complain(str(error))
        return 1
    in_force = decisions_in_force(decisions)
    shown = decisions if options.all else in_force
    table = Table("decision", "says", "by", "at", "reason", "", box=None)
    # A long reason goes on in the next line, an id is never broken.
    table.columns[0].no_wrap = table.columns[3].no_wrap = True
    became = states(decisions)
    for decision in shown:
        cells = (
            decision.decision_id,
            _verdict(decision),
            decision.decided_by,
            f"{decision.decided_at:%Y-%m-%d %H:%M}",
            decision.reason,
            became[decision.decision_id] if options.all else "",
        )
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    if shown:
        console.print(table)
    say(f"In force: {len(in_force):,} of {len(decisions):,} lines in {settings.decisions}")
    return 0


# --- revoke ------------------------------------------------------------------------------------


def _add_revoke(verbs: "Verbs") -> None:
    verb = verbs.add_parser(
        "revoke", help="take a decision or rectification away; an earlier one holds again"
    )
    verb.add_argument(
        "decision_id", metavar="ID", help="as `decisions` or `rectifications` lists it"
    )
    add_who_and_why(verb)
    verb.set_defaults(action=_revoke)


def _revoke(settings: Settings, options: argparse.Namespace) -> int:
    if options.decision_id.startswith(PREFIX):
        from orchestration.identity.rectification_commands import (  # noqa: PLC0415 - imports this
            revoke_rectification,
        )

        return revoke_rectification(settings, options)
    try:
        revoke = new_decision(
            Action.REVOKE,
            revokes=options.decision_id,
            decided_by=options.by,
            reason=options.why,
            decided_at=datetime.now(UTC),
        )
        append_decision(settings.decisions, revoke)
        decisions = read_decisions(settings.decisions)
    except DecisionError as error:
        complain(str(error))
        return 1
    target = next(d for d in decisions if d.decision_id == revoke.revokes)
    say(f"Revoked {_told(target)}.")
    now = _in_force_on(settings, target.pair)
    first, second = target.pair
    say(
        f"In force on the two is now {_told(now)}, by {now.decided_by}: {now.reason}"
        if now
        else f"On {first} and {second} only the evidence speaks now."
    )
    say(NEXT)
    return 0


# --- train -------------------------------------------------------------------------------------


def _add_train(verbs: "Verbs") -> None:
    verb = verbs.add_parser("train", help="learn the parameters of matching from the last run")
    verb.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write them; default seeds/reference"
    )
    verb.add_argument("--dry-run", action="store_true", help="show them, write nothing")
    verb.add_argument(
        "--min-count",
        type=int,
        default=5,
        metavar="N",
        help="list no name or city that fewer profiles bear (default 5)",
    )
    verb.set_defaults(action=_train)


def _train(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.identity.parameters import REFERENCE  # noqa: PLC0415
    from orchestration.identity.training import TrainingError, train  # noqa: PLC0415 - numpy, dbt
    from orchestration.run import WarehouseBusyError, only_one_run  # noqa: PLC0415
    from orchestration.transform.dbt import TransformError, parse  # noqa: PLC0415

    out = None if options.dry_run else (options.out or REFERENCE)
    try:
        with only_one_run(settings):
            report = train(settings, parse(settings), out=out, min_count=options.min_count)
    except (TrainingError, TransformError, WarehouseBusyError, OSError) as error:
        complain(str(error))
        return 1
    _show_training(report)
    if out is None:
        say("Nothing was written.")
    else:
        say(f"Wrote match_levels.csv, match_priors.csv and match_frequencies.csv to {out}.")
        if out == REFERENCE:
            say(NEXT.replace("with it", "with them"))
    return 0


def _show_training(report: "TrainingReport") -> None:
    levels = Table("comparison", "level", "m", "u", "bits", "before", box=None)
    before = {(level.comparison, level.level): level for level in report.before.levels}
    for level in report.after.levels:
        old = before.get((level.comparison, level.level))
        levels.add_row(
            level.comparison if level.level == 1 else "",
            level.meaning,
            f"{level.m:.4f}",
            f"{level.u:.3g}",
            f"{level.bits:+.1f}",
            f"{old.bits:+.1f}" if old else "-",
        )
    console.print(levels)
    console.print()

    priors = Table("e-mail", "phone", "address", "prior", "before", box=None)
    before_priors = {prior.context: prior.prior for prior in report.before.priors}
    for prior in report.after.priors:
        priors.add_row(
            prior.shared_email,
            prior.shared_phone,
            prior.shared_address,
            f"{prior.prior:.4g}",
            f"{before_priors[prior.context]:.4g}" if prior.context in before_priors else "-",
        )
    console.print(priors)
    console.print()

    sessions = Table("session", "pairs", "expected matches", "free comparisons", box=None)
    for session in report.sessions:
        sessions.add_row(
            session.key,
            f"{session.pair_count:,}",
            "left out" if session.left_out else f"{session.matches:,.0f}",
            ", ".join(session.free),
        )
    console.print(sessions)
    console.print()
    for warning in report.warnings:
        console.print(warning, style="yellow", markup=False)
    listed = sum(bool(frequency.value) for frequency in report.after.frequencies)
    say(
        f"Learned from {report.profile_count:,} profiles, {report.candidate_count:,} candidate"
        f" pairs and {report.random_count:,} random pairs; {listed:,} values are listed."
    )


# --- explain -------------------------------------------------------------------------------------


def _add_explain(verbs: "Verbs") -> None:
    verb = verbs.add_parser("explain", help="tell why records are one customer, or are not")
    verb.add_argument(
        "reference",
        metavar="CUSTOMER_OR_RECORD",
        help="customer id, also one out of use, or source_record_id, for example crm:C1",
    )
    verb.add_argument("--all", action="store_true", help="cut no list short")
    verb.add_argument("--by", metavar="NAME", default="", help="who looks; default: the account")
    verb.add_argument("--why", metavar="CASE", default="", help="kept in the access log")
    verb.set_defaults(action=_explain)


def _explain(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.identity.explain import ExplainError, explain  # noqa: PLC0415 - duckdb
    from orchestration.identity.showing import explanation  # noqa: PLC0415
    from orchestration.privacy.access_log import note  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        told = explain(settings, options.reference)
        shown = [told.customer_id, told.redirected_from, *told.former_ids, *told.visitors]
        shown += [record.source_record_id for record in told.records]
        note(
            settings,
            verb="explain",
            by=options.by,
            why=options.why,
            names=[*filter(None, shown), *told.strangers],
            outcome="shown",
        )
    except (ExplainError, PrivacyError) as error:
        complain(str(error))
        return 1
    print_report(explanation(told, everything=options.all))
    return 0


# --- preview -------------------------------------------------------------------------------------


def _add_preview(verbs: "Verbs") -> None:
    verb = verbs.add_parser(
        "preview",
        help="show what edited rules, parameters or decisions would change, and change nothing",
    )
    verb.add_argument(
        "--parameters",
        type=Path,
        metavar="FOLDER",
        help="take match_*.csv from there, for example what `train --out FOLDER` wrote",
    )
    verb.add_argument(
        "--limit", type=int, default=10, metavar="N", help="examples of each kind (default 10)"
    )
    verb.set_defaults(action=_preview)


def _preview(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.identity.preview import PreviewError, preview  # noqa: PLC0415 - dbt
    from orchestration.identity.showing import preview_report  # noqa: PLC0415

    try:
        seen = preview(settings, parameters=options.parameters, limit=options.limit)
    except PreviewError as error:
        complain(str(error))
        return 1
    print_report(preview_report(seen))
    say("\nNothing was changed. `make run` builds and releases it.")
    return 0


# --- what the verbs share ------------------------------------------------------------------------


def add_who_and_why(verb: argparse.ArgumentParser) -> None:
    """Let a verb be told who decides and why: what journals keep."""
    verb.add_argument("--by", metavar="WHO", required=True, help="who answers for it")
    verb.add_argument("--why", metavar="TEXT", required=True, help="what speaks for it, one line")


def _in_force_on(settings: Settings, pair: tuple[str, str]) -> Decision | None:
    in_force = decisions_in_force(read_decisions(settings.decisions))
    return next((decision for decision in in_force if decision.pair == pair), None)


def _told(decision: Decision) -> str:
    return f"{decision.decision_id}: {_verdict(decision)}"


def _verdict(decision: Decision) -> str:
    if decision.action is Action.REVOKE:
        return f"revokes {decision.revokes}"
    return (
        f"{decision.source_record_id} {_RELATIONS[decision.action]}"
        f" {decision.other_source_record_id}"
    )


def say(text: str) -> None:
    """Print a sentence."""
    console.print(text, markup=False)


def complain(text: str) -> None:
    """Print what went wrong."""
    console.print(text, style="red", markup=False)
