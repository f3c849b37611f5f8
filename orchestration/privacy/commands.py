"""Verbs of the `warehouse` command about a person's rights, from forget to access-log."""

import argparse
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from rich.markup import escape
from rich.table import Table

from orchestration.console import console
from orchestration.database import working_file
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.privacy.certificates import Certificate, Plan
    from orchestration.privacy.people import People, Registry

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of privacy beside the others."""
    forget = verbs.add_parser(
        "forget", help="erase people everywhere; without --confirm it only says what would go"
    )
    forget.add_argument(
        "identifier",
        nargs="*",
        metavar="PERSON",
        help="customer id, record (crm:C1), e-mail address, phone number or national_id:<number>",
    )
    forget.add_argument("--file", type=Path, metavar="FILE", help="one PERSON a line")
    forget.add_argument("--by", default="", metavar="NAME", help="who answers for it")
    forget.add_argument(
        "--why", default="", metavar="CASE", help="number of the case; kept in the certificate"
    )
    how = forget.add_mutually_exclusive_group()
    how.add_argument("--confirm", action="store_true", help="erase them; nothing brings them back")
    how.add_argument("--dry-run", action="store_true", help="only say what would go (the default)")
    how.add_argument("--resume", action="store_true", help="complete what was begun")
    how.add_argument(
        "--lift", action="store_true", help="let a forgotten person land again from now on"
    )
    forget.add_argument(
        "--without-run",
        action="store_true",
        help="erase at once, and leave it to the next run to compare everybody else anew",
    )
    forget.set_defaults(action=_forget)
    erasures = verbs.add_parser("erasures", help="list erasures, prove their certificates")
    erasures.set_defaults(action=_erasures)
    report = verbs.add_parser(
        "subject-report", help="write down everything that is held on a person, to hand it over"
    )
    report.add_argument("identifier", metavar="PERSON", help="as `forget` takes it")
    report.add_argument("--by", required=True, metavar="NAME", help="who answers for it")
    report.add_argument("--why", required=True, metavar="CASE", help="number of the case")
    report.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to; default: `reports` of the home"
    )
    report.set_defaults(action=_subject_report)
    accesses = verbs.add_parser("access-log", help="list who looked at whom, prove the list")
    accesses.add_argument(
        "--of", metavar="PERSON", help="only who looked at this person, as `forget` takes them"
    )
    accesses.add_argument("--json", action="store_true", help="for machines")
    accesses.set_defaults(action=_access_log)


def _forget(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415 - DuckDB

    try:
        if options.resume:
            return _carry_out(settings, without_run=options.without_run)
        asked = [*options.identifier, *_lines(options.file)]
        if not asked:
            raise PrivacyError("Nobody is named: give a customer id, a record, an e-mail or more.")
        if options.confirm or options.lift:
            for option, text in (("--by", options.by), ("--why", options.why)):
                if not text.strip():
                    raise PrivacyError(f"{option} is missing: somebody has to answer for it.")
        if options.lift:
            return _lift(settings, asked, options)
        return _erase(settings, asked, options)
    except PrivacyError as error:
        console.print(str(error), style="red", markup=False)
        return 1


def _lines(file: Path | None) -> list[str]:
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PrivacyError(f"{file} cannot be read: {error}.") from error
    return [line.strip() for line in lines if line.strip()]


def _erase(settings: Settings, asked: list[str], options: argparse.Namespace) -> int:
    from orchestration.privacy.certificates import plan_erasure  # noqa: PLC0415 - Dagster
    from orchestration.privacy.holds import refuse_held  # noqa: PLC0415

    with registry_of(settings) as (connection, registry):
        customers = find_customers(registry, asked, "Nobody was erased.")
        people = registry.people(customers)
        refuse_held(registry, settings, people.customers, people.records)
        note_access(settings, people, options, outcome="counts and records shown")
        _show_people(people, len(customers))
        if not options.confirm:
            _show_rows(connection, people)
            console.print("\nNothing was changed; `--confirm` erases them.")
            return 0
        plan = plan_erasure(settings, people, count=len(customers), by=options.by, why=options.why)
    console.print(f"\nErasure {plan.erasure_id} is decided.")
    return _carry_out(settings, without_run=options.without_run)


@contextmanager
def registry_of(settings: Settings) -> "Iterator[tuple[duckdb.DuckDBPyConnection, Registry]]":
    """Who is who, while nobody else writes. Raises PrivacyError when nobody can be known now."""
    from orchestration.privacy.people import Registry  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415
    from orchestration.release import ReleaseError, current_release  # noqa: PLC0415
    from orchestration.run import WarehouseBusyError, only_one_run  # noqa: PLC0415 - Dagster

    if not settings.working_database.exists():
        raise PrivacyError(f"Nothing has been landed in {settings.home} yet.")
    try:
        with (
            only_one_run(settings),
            working_file(settings).connect(read_only=True) as connection,
        ):
            release = current_release(settings)
            yield connection, Registry(connection, release.marts if release else None)
    except (WarehouseBusyError, ReleaseError) as error:
        raise PrivacyError(str(error)) from error


def note_access(
    settings: Settings, people: "People", options: argparse.Namespace, *, outcome: str
) -> None:
    """Note in the access log who looks at people. Raises PrivacyError when it cannot be kept."""
    from orchestration.privacy.access_log import note  # noqa: PLC0415
    from orchestration.privacy.scanning import Scanner  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    scanner = Scanner(people.needles)
    for option, text in (("--by", options.by), ("--why", options.why)):
        if scanner.is_in(text):
            raise PrivacyError(
                f"{option} names the person, and it is kept in the access log; use the number of a"
                " case."
            )
    note(
        settings,
        verb=options.verb,
        by=options.by,
        why=options.why,
        names=[*people.customers, *people.records],
        outcome=outcome,
    )


def find_customers(registry: "Registry", asked: Iterable[str], so: str) -> list[str]:
    """The customers that are meant. Raises PrivacyError naming those who are not clear.

    so: what has come of it, at the end of the message.
    """
    from orchestration.privacy.people import kind_of  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    customers: list[str] = []
    problems: dict[int, str] = {}
    known: dict[int, str] = {}
    for number, identifier in enumerate(asked, start=1):
        try:
            kind_of(identifier)
            known[number] = identifier
        except PrivacyError as error:
            problems[number] = str(error)
    meant = registry.find_each(list(known.values()))
    for number, found in zip(known, meant, strict=True):
        if len(found) == 1:
            customers += found
        elif found:
            problems[number] = (
                f"{len(found)} customers share it, {', '.join(found[:5])}; "
                "name one by its customer id or a record."
            )
        else:
            problems[number] = "nobody is known by it."
    if problems:
        told = [f"Identifier {number}: {problems[number]}" for number in sorted(problems)]
        raise PrivacyError("\n".join([*told[:20], so]))
    return sorted(set(customers))


def _show_people(people: "People", count: int) -> None:
    """Print who is meant, in counts and record ids: no name, no address."""
    sources = Counter(record.split(":")[0] for record in people.records)
    console.print(
        f"{count:,} customers, {len(people.records):,} records: "
        + ", ".join(f"{number:,} {source}" for source, number in sorted(sources.items()))
    )
    if count == 1:
        console.print("records        " + ", ".join(people.records), markup=False)
    if people.shared_count:
        console.print(
            f"{people.shared_count:,} addresses, phones or ids stay: others bear them too."
        )


def _show_rows(connection: duckdb.DuckDBPyConnection, people: "People") -> None:
    """Print how many rows of each feed would go; an erasure counts them itself."""
    from orchestration.landing.feeds import FEEDS  # noqa: PLC0415
    from orchestration.privacy.identifiers import RULES  # noqa: PLC0415
    from orchestration.privacy.tombstones import (  # noqa: PLC0415
        Tombstones,
        keyed,
        meets_sql,
    )

    key = secrets.token_bytes(32)
    hashes = frozenset(keyed(key, identifier) for identifier in people.identifiers)
    Tombstones(key, hashes).enter(connection)
    table = Table("feed", "rows in all versions", "what becomes of them", box=None)
    for feed in FEEDS:
        try:
            row = connection.execute(
                f"select count(*) from raw.{feed.table} where {meets_sql(feed)}"
            ).fetchone()
        except duckdb.CatalogException:
            continue
        if row and row[0]:
            keeps = RULES[feed.name].keeps is not None
            table.add_row(feed.name, f"{row[0]:,}", "stay, without the person" if keeps else "go")
    console.print(table)


def _carry_out(settings: Settings, *, without_run: bool) -> int:
    from orchestration.cli import run_warehouse  # noqa: PLC0415 - imports this module
    from orchestration.privacy.certificates import (  # noqa: PLC0415
        certificate_path,
        certificates,
        pending,
    )

    waiting = pending(settings)
    if not waiting:
        console.print("No erasure is pending.")
        return 0
    code = _erase_at_once(settings) if without_run else run_warehouse(settings)
    left = {plan.erasure_id for plan in pending(settings)}
    for certificate in certificates(settings):
        if certificate.erasure_id in {plan.erasure_id for plan in waiting}:
            _show_certificate(certificate_path(settings, certificate))
    if left:
        console.print(
            f"{len(left)} erasures are not complete: `warehouse forget --resume` goes on.",
            style="red",
        )
        return 1
    if code and not without_run:
        console.print(
            "The person is erased. The run released nothing new, so readers see the releases that "
            "were written anew without them; the next good run compares everybody else anew."
        )
    return 0


def _erase_at_once(settings: Settings) -> int:
    from orchestration.cli import show_progress  # noqa: PLC0415 - imports this module
    from orchestration.privacy.erasing import finish_erasures  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415
    from orchestration.release import ReleaseError  # noqa: PLC0415
    from orchestration.run import WarehouseBusyError, only_one_run  # noqa: PLC0415

    show_progress(time.perf_counter())
    try:
        with only_one_run(settings):
            finish_erasures(settings)
    except (WarehouseBusyError, ReleaseError) as error:
        raise PrivacyError(str(error)) from error
    return 0


def _show_certificate(path: Path) -> None:
    from orchestration.privacy.certificates import Certificate  # noqa: PLC0415

    certificate = Certificate.model_validate_json(path.read_bytes())
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("erased", f"{certificate.customer_count:,} customers, {certificate.erasure_id}")
    for feed, counts in certificate.rows.items():
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        table.add_row("", f"{feed}: {told}")
    table.add_row("releases", f"{len(certificate.releases)} written anew")
    table.add_row(
        "searched",
        f"{certificate.scanned['bytes']:,} bytes of {certificate.scanned['files']:,} files and "
        f"{certificate.scanned['cells']:,} cells for {certificate.scanned['texts']:,} texts: "
        f"{certificate.found} found",
    )
    table.add_row("certificate", str(path))
    console.print()
    console.print(table)


def _lift(settings: Settings, asked: list[str], options: argparse.Namespace) -> int:
    """Lift the tombstones of what was named; a person who came back has other records anyway."""
    from orchestration.privacy.identifiers import identifier_sql  # noqa: PLC0415
    from orchestration.privacy.people import kind_of  # noqa: PLC0415
    from orchestration.privacy.tombstones import (  # noqa: PLC0415
        PrivacyError,
        keyed,
        lift,
        read_tombstones,
    )

    tombstones = read_tombstones(settings)
    hashes = []
    for number, text in enumerate(asked, start=1):
        kind = kind_of(text)
        identifier = text.strip()
        if kind not in {"record", "customer"}:
            row = duckdb.execute(
                f"select {identifier_sql(kind, '$text')}", {"text": identifier.removeprefix(kind)}
            ).fetchone()
            identifier = str(row and row[0])
        keyed_hash = keyed(tombstones.key, identifier)
        if keyed_hash not in tombstones.keyed_hashes:
            raise PrivacyError(f"Identifier {number}: there is no tombstone of it.")
        hashes.append(keyed_hash)
    lift(settings, hashes, by=options.by, why=options.why)
    console.print(f"{len(hashes)} tombstones are lifted; what lands from now on counts again.")
    return 0


def _erasures(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    from orchestration.privacy.certificates import certificates, pending  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError, read_tombstones  # noqa: PLC0415

    try:
        done, waiting = certificates(settings), pending(settings)
        tombstones = read_tombstones(settings)
    except PrivacyError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    table = Table("erasure", "asked", "completed", "people", "by", "case", box=None)
    completed = {one.erasure_id: f"{one.completed_at:%Y-%m-%d %H:%M}" for one in done}
    every: list[Certificate | Plan] = [*done, *waiting]
    for one in every:
        table.add_row(
            one.erasure_id,
            f"{one.requested_at:%Y-%m-%d %H:%M}",
            completed.get(one.erasure_id, "PENDING"),
            f"{one.customer_count:,}",
            escape(one.requested_by),
            escape(one.reason),
        )
    console.print(table)
    console.print(
        f"{len(done):,} certificates, each as it was written; {len(waiting):,} pending; "
        f"{len(tombstones.keyed_hashes):,} tombstones in force"
    )
    return 0


# --- what is held, and who looked ---------------------------------------------------------------


def _subject_report(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.privacy.subject_report import (  # noqa: PLC0415 - Dagster and dbt
        collect,
        paths,
        write,
    )
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        for option, text in (("--by", options.by), ("--why", options.why)):
            if not text.strip():
                raise PrivacyError(f"{option} is missing: somebody has to answer for it.")
        folder = options.out or settings.reports
        with registry_of(settings) as (connection, registry):
            customers = find_customers(registry, [options.identifier], "Nothing was written.")
            people = registry.people(customers)
            paths(folder, customers[0])
            report = collect(settings, connection, customers[0], people, case=options.why.strip())
            note_access(settings, people, options, outcome="report written")
            written = write(report, folder)
    except PrivacyError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    table = Table("what is held", "tables", "rows", box=None)
    for layer in dict.fromkeys(held["layer"] for held in report["held"]):
        tables = [held for held in report["held"] if held["layer"] == layer]
        rows = sum(len(held["rows"]) for held in tables)
        table.add_row(layer, f"{len(tables):,}", f"{rows:,}")
    console.print(table)
    for path in written:
        console.print(str(path), markup=False)
    console.print("They are personal data: hand them over safely, and delete them then.")
    return 0


def _access_log(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.privacy.access_log import hashes_of, read_log  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        log = read_log(settings)
        lines = log.lines
        if options.of is not None and lines:
            wanted = hashes_of(settings, _names_of(settings, options.of))
            lines = tuple(line for line in lines if line.of & wanted)
    except PrivacyError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    if options.json:
        shown = [
            {
                **{name: getattr(line, name) for name in ("number", "by", "account", "verb")},
                "at": line.at.isoformat(),
                "why": line.why,
                "of": sorted(line.of),
                "outcome": line.outcome,
            }
            for line in lines
        ]
        told = {"lines": shown, "proven_count": len(log.lines), "problem": log.problem or None}
        # not through `console`, which would break long lines at a window's edge
        print(json.dumps(told, indent=1))
        return 1 if log.problem else 0
    table = Table("line", "at (UTC)", "by", "account", "verb", "why", "outcome", "of", box=None)
    for line in lines:
        of = next(iter(sorted(line.of)), "")[:8]
        more = f" and {len(line.of) - 1} more" if len(line.of) > 1 else ""
        at = f"{line.at:%Y-%m-%d %H:%M:%S}"
        cells = (f"{line.number:,}", at, line.by, line.account, line.verb, line.why, line.outcome)
        table.add_row(*map(escape, cells), of + more)
    console.print(table)
    if log.problem:
        console.print(log.problem, style="red", markup=False)
        return 1
    console.print(f"{len(log.lines):,} lines, each as it was written")
    return 0


def _names_of(settings: Settings, identifier: str) -> list[str]:
    """Everything that names a person; of who is no longer known, what was given."""
    from orchestration.privacy.people import kind_of  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    kind_of(identifier)
    try:
        with registry_of(settings) as (_, registry):
            people = registry.people(find_customers(registry, [identifier], "Nothing is listed."))
    except PrivacyError:
        if kind_of(identifier) not in {"customer", "record"}:
            raise
        return [identifier.strip()]
    return [*people.customers, *people.records, *people.identifiers]
