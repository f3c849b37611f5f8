"""An erasure: from a request to a certificate, through every kill.

An erasure is carried by a run, which keeps everybody else's customers right:

1. before the landing, `begin_erasures`: tombstones; then the rows in raw; then every release, the
   candidate and what people decided about them. From here on no reader sees them.
2. the run itself: they are records that were withdrawn, and whoever was compared with them is
   compared anew.
3. at the end of the run, whatever came of it, `finish_erasures`: what the run did not make anew is
   deleted, files are written anew, everything is searched, and the certificate is written.

Every step may be repeated. Whoever kills one delays it: the next run goes on, and so does
`warehouse forget --resume`. A gate that stops the run does not even do that. Then, and when nobody
wants to wait for a run (`--without-run`), the rows of the models are deleted where they stand, and
the next run compares everybody anew.
"""

import hashlib
import json
import logging
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from orchestration.activation.exporting import ExportError, export_folders, forget_in_exports
from orchestration.backups.archive import BackupError, known_backups, renew_backups
from orchestration.database import candidate_file, history_file, working_file
from orchestration.faults import remove_database, write_whole
from orchestration.gates.layers import noted_layers
from orchestration.identity import state
from orchestration.identity.rectifications import RectificationError, drop_records
from orchestration.landing.feeds import FEEDS
from orchestration.landing.raw_tables import create_raw_tables
from orchestration.operations.retention import set_aside
from orchestration.privacy.access_log import is_log, mask_log
from orchestration.privacy.certificates import (
    PLAN,
    Certificate,
    Plan,
    as_written,
    certificate_path,
    hash_before,
    keep_certificate,
    pending,
    save_plan,
    timed,
)
from orchestration.privacy.databases import Forgotten
from orchestration.privacy.raw_rows import erase_raw
from orchestration.privacy.scanning import Findings, Scanner, sqlite_tables
from orchestration.privacy.tombstones import (
    FORGOTTEN,
    PrivacyError,
    Tombstones,
    erasure_key,
    keep_stones,
    keyed,
    read_tombstones,
)
from orchestration.provenance import provenance
from orchestration.release import rewrite_releases
from orchestration.release.releases import key_of, released_as
from orchestration.release.roles import read_roles
from orchestration.settings import Settings
from orchestration.sql import quoted, transaction
from orchestration.transform import builds

log = logging.getLogger("warehouse")

# Made by models from raw, and so by the next run again.
_DERIVED = ("staging", "identity", "intermediate")


# --- doing --------------------------------------------------------------------------------------


def begin_erasures(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Tombstones:
    """Take the people of every pending erasure out of raw and of what is published.

    connection: the working database, whose schema version is that of this code. Returns the
    tombstones in force. Raises PrivacyError or ReleaseError.
    """
    plans = pending(settings)
    for plan in plans:
        key = erasure_key(settings)
        keep_stones(
            settings,
            plan.erasure_id,
            plan.requested_at,
            key,
            identifiers=plan.people.identifiers,
            requests=plan.requests,
        )
    tombstones = read_tombstones(settings)
    for plan in (plan for plan in plans if not plan.is_begun):
        log.info("erasure %s: %d people", plan.erasure_id, plan.customer_count)
        forgotten = _forgotten(settings, plan, tombstones)
        create_raw_tables(connection, FEEDS)
        connection.execute("set TimeZone = 'UTC'")
        # Only its own: what becomes of whose rows is counted for each erasure.
        own = frozenset(keyed(tombstones.key, identifier) for identifier in plan.people.identifiers)
        own |= frozenset(plan.keyed_hashes)
        Tombstones(tombstones.key, own).enter(connection)
        with timed(plan, "rows of raw"), transaction(connection):
            erased = erase_raw(connection, FEEDS)
            _let_identity_go_on(connection, plan)
        for feed, counts in erased.items():
            plan.rows[feed] = asdict(counts)
        _drop_decisions(connection, settings, plan, forgotten.scanner)
        _forget_in_exports(settings, plan, forgotten.scanner)
        save_plan(settings, plan)
        released = released_as(settings, settings.candidate_database)
        with timed(plan, "releases"):
            renamed = rewrite_releases(
                settings,
                forgotten.edit_marts,
                erasure_id=plan.erasure_id,
                roles=read_roles(),
                progress=log.debug,
            )
        plan.releases |= renamed
        save_plan(settings, plan)
        with timed(plan, "candidate"):
            _rewrite_candidate(
                connection,
                settings,
                forgotten,
                released_as=renamed.get(released.id, released.id) if released else None,
            )
        plan.is_begun = True
        save_plan(settings, plan)
        log.info(
            "erasure %s: %d rows out of raw, %d releases written anew",
            plan.erasure_id,
            sum(sum(counts.values()) for counts in plan.rows.values()),
            len(plan.releases),
        )
    return tombstones


def finish_erasures(settings: Settings) -> list[Certificate]:
    """Delete what is left after the run, write files anew, search everything, certify.

    Only for who holds the lock, with no database open. Raises PrivacyError when somebody is still
    found somewhere: the erasure then stays pending.
    """
    done = []
    for plan in pending(settings):
        database = working_file(settings)
        with database.connect() as connection:
            tombstones = begin_erasures(connection, settings)
        # read again: it knows by now what was done
        plan = next(one for one in pending(settings) if one.erasure_id == plan.erasure_id)  # noqa: PLW2901
        forgotten = _forgotten(settings, plan, tombstones)
        log.info("erasure %s: what is left ...", plan.erasure_id)
        with database.connect() as connection:
            if not _is_built(connection, settings):
                # Without their rows it cannot tell any more who was compared with them.
                builds.void_build(connection, "identity")
            with timed(plan, "rows of models"):
                rows_of_models = forgotten.purge(connection, _schemas(connection))
            _rewrite_encrypted_candidate(connection, settings)
        with timed(plan, "working database written anew"):
            database.rewrite()
        if settings.postgres_targets.exists():
            with timed(plan, "Postgres"):
                _bring_postgres_up_to_date(settings)
        with timed(plan, "other files"):
            found = history_file(settings)
            if found.path.exists():
                with found.connect() as connection:
                    forgotten.purge(connection, _schemas(connection))
                found.rewrite()
            removed = [path for path in set_aside(settings) if _remove(path)]
            removed += remove_reports(settings, forgotten.scanner)
            _forget_in_exports(settings, plan, forgotten.scanner)
            masked = _mask_files(settings, forgotten.scanner)
        log.info("erasure %s: everything is searched ...", plan.erasure_id)
        with timed(plan, "proof"):
            findings = _search(settings, forgotten.scanner)
        if findings.places:
            # The next run has to make everything anew; the next attempt begins from the beginning.
            with database.connect() as connection:
                _drop_derived(connection)
            remove_database(settings.candidate_database)
            plan.is_begun = False
            save_plan(settings, plan)
            raise PrivacyError(
                f"Erasure {plan.erasure_id} is not complete: the person is still found in "
                f"{len(findings.places)} places, among them {', '.join(findings.places[:5])}. "
                "Run again with `warehouse forget --resume`; report it if it stays."
            )
        plan.backups += tuple(
            name
            for name in (path.name for path in known_backups(settings))
            if name not in plan.backups
        )
        save_plan(settings, plan)
        certificate = _certificate(
            settings,
            plan,
            findings,
            rows_of_models=rows_of_models,
            files_masked=len(masked),
            files_removed=len(removed) + plan.exports,
        )
        with timed(plan, "backup"):
            _renew_backups(settings, plan, certificate)
        keep_certificate(settings, plan, certificate)
        done.append(certificate)
        log.info("erasure %s is complete: %s", plan.erasure_id, certificate_path(settings, plan))
    return done


def _certificate(
    settings: Settings,
    plan: Plan,
    findings: Findings,
    *,
    rows_of_models: int,
    files_masked: int,
    files_removed: int,
) -> Certificate:
    stones = json.loads(
        (settings.erasures / plan.erasure_id / "tombstones.json").read_text(encoding="utf-8")
    )["keyed_hashes"]
    return Certificate(
        erasure_id=plan.erasure_id,
        requested_at=plan.requested_at,
        completed_at=datetime.now(UTC),
        requested_by=plan.requested_by,
        reason=plan.reason,
        customer_count=plan.customer_count,
        records_by_source=dict(
            sorted(Counter(record.split(":")[0] for record in plan.people.records).items())
        ),
        values_shared_with_others=plan.people.shared_count,
        rows=plan.rows,
        releases=plan.releases,
        rows_of_models=rows_of_models,
        decisions_removed=plan.decisions,
        files_masked=files_masked,
        files_removed=files_removed,
        backups_deleted=plan.backups,
        scanned={
            "files": findings.file_count,
            "bytes": findings.byte_count,
            "cells": findings.cell_count,
            "texts": len(plan.people.needles),
        },
        found=0,
        seconds=plan.seconds,
        cpu_seconds=plan.cpu_seconds,
        tombstone_count=len(stones),
        tombstones_hash=hashlib.sha256("\n".join(stones).encode()).hexdigest(),
        previous=hash_before(settings, plan),
    ).sealed()


def _renew_backups(settings: Settings, plan: Plan, certificate: Certificate) -> None:
    """Let one backup without the person take the place of all that were made before."""
    kept = {f"erasures/{plan.erasure_id}/certificate.json": as_written(certificate)}
    try:
        renew_backups(settings, erasure_id=plan.erasure_id, extra=kept)
    except BackupError as error:
        raise PrivacyError(str(error)) from error


# --- steps --------------------------------------------------------------------------------------


def _forgotten(settings: Settings, plan: Plan, tombstones: Tombstones) -> Forgotten:
    scanner = Scanner(
        plan.people.needles, plan.people.keys, key_of=lambda path: key_of(settings, path)
    )
    return Forgotten(
        plan.people, scanner, tombstones, while_searching=lambda: timed(plan, "search for rows")
    )


def _let_identity_go_on(connection: duckdb.DuckDBPyConnection, plan: Plan) -> None:
    """Allow the next build of identity to be an increment all the same.

    It is one when the released ids are those that the last build gave, and the releases lose the
    ids of these people now. What the last build made of them stays until then: it is how the build
    finds out who was compared with them.
    """
    connection.execute(
        "create or replace temp table leaving as select unnest($keys::ubigint[]) as record_key",
        {"keys": list(plan.people.keys)},
    )
    state.forget_records(connection, "temp.leaving")
    connection.execute("drop table temp.leaving")


def _rewrite_candidate(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    forgotten: Forgotten,
    *,
    released_as: str | None,
) -> None:
    """Write the marts of the last build anew without the people; the next one may add to them.

    released_as: the release that was a copy of them, and has been written anew: it is one still.
    """
    old = candidate_file(settings)
    if not old.path.exists():
        return
    before = builds.version_of(old.path)
    fresh = old.unfinished()
    if released_as:
        shutil.copyfile(settings.releases / released_as / "warehouse.duckdb", fresh.path)
    else:
        with old.connect() as closing_log:
            closing_log.execute("checkpoint")
        with duckdb.connect() as editing:
            old.attach(editing, "before")
            fresh.attach_for_writing(editing, "release")
            forgotten.edit_marts(editing)
    fresh.path.replace(old.path)
    builds.take_over(connection, "marts", before, builds.version_of(old.path))


def _rewrite_encrypted_candidate(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Leave no freed blocks in encrypted marts: nobody could search them."""
    marts = candidate_file(settings)
    if marts.key is not None and marts.path.exists():
        before = builds.version_of(marts.path)
        marts.rewrite()
        builds.take_over(connection, "marts", before, builds.version_of(marts.path))


def _drop_decisions(
    connection: duckdb.DuckDBPyConnection, settings: Settings, plan: Plan, scanner: Scanner
) -> None:
    """Take lines that name them out of what people decided; `_mask_files` masks the others."""
    for journal in (settings.decisions, settings.corrections, settings.holds):
        if not journal.exists():
            continue
        head, *lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = _not_naming(lines, scanner)
        if len(kept) < len(lines):
            plan.decisions += len(lines) - len(kept)
            write_whole(journal, "".join([head, *kept]))
    # A line of somebody else stays in force, whatever its reason says: `_mask_files` masks that.
    try:
        plan.decisions += len(drop_records(settings.rectifications, frozenset(plan.people.names)))
    except RectificationError as error:
        raise PrivacyError(f"Rectifications of the person cannot be taken out: {error}") from error
    if ("state", "steward_decisions") in _tables(connection):
        for column in ("source_record_id", "other_source_record_id"):
            connection.execute(
                f"delete from state.steward_decisions where {column} in (select unnest($names))",
                {"names": list(plan.people.names)},
            )
    if ("state", "rectifications") in _tables(connection):
        connection.execute(
            "delete from state.rectifications where source_record_id in (select unnest($names))",
            {"names": list(plan.people.names)},
        )


def _not_naming(lines: Sequence[str], scanner: Scanner) -> list[str]:
    """Return lines of a journal that do not name them; a line that revokes one that does goes too.

    A line begins with its id, and a revoke ends with the id that it takes away.
    """
    gone = {line.partition(",")[0] for line in lines if scanner.is_in(line)}
    return [
        line
        for line in lines
        if line.partition(",")[0] not in gone and line.rstrip().rpartition(",")[2] not in gone
    ]


def _is_built(connection: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Whether the models were made from what is in raw now."""
    noted = noted_layers(connection)
    if not noted:
        return False
    inputs = str(provenance(settings, connection)["inputs"])
    return all(noted.get(layer) == inputs for layer in ("staging", "identity", "marts"))


def _drop_derived(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop all that models have made; the next run makes it anew, whole."""
    for layer in ("identity", "marts"):
        builds.void_build(connection, layer)
    for schema in _DERIVED:
        connection.execute(f"drop schema if exists {schema} cascade")


def _schemas(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return sorted({schema for schema, _ in _tables(connection)} - {"reference", "main"})


def _tables(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    return set(
        connection.execute(
            "select schema_name, table_name from duckdb_tables()"
            " where database_name = current_database()"
        ).fetchall()
    )


def _forget_in_exports(settings: Settings, plan: Plan, scanner: Scanner) -> None:
    """Delete what was exported of them; the next export is a whole list, without them."""
    with timed(plan, "exports"):
        try:
            plan.exports += len(forget_in_exports(settings, scanner))
        except ExportError as error:
            raise PrivacyError(str(error)) from error


def _remove(path: Path) -> bool:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return True


def remove_reports(settings: Settings, scanner: Scanner) -> list[Path]:
    """Delete reports in which they are named, each in all its forms; returns the files."""
    files = [path for path in sorted(settings.reports.rglob("*")) if path.is_file()]
    naming = {
        path.with_suffix("")
        for path in files
        if scanner.is_in(path.name) or scanner.is_in(path.read_bytes())
    }
    return [path for path in files if path.with_suffix("") in naming and _remove(path)]


def _mask_files(settings: Settings, scanner: Scanner) -> list[Path]:
    """Mask their texts in logs, reports and what Dagster noted; returns the files that had one."""
    masked = [settings.access_log] if mask_log(settings, scanner) else []
    for path in [*sorted(settings.home.rglob("*")), *_outside(settings)]:
        if path.is_symlink() or not path.is_file() or _is_own(settings, path):
            continue
        if is_log(settings, path):
            continue
        if path.name.endswith(".duckdb.tmp"):
            path.unlink()
            continue
        with path.open("rb") as file:
            start = file.read(16)
        if start.startswith(b"SQLite format 3\0"):
            if _mask_sqlite(path, scanner):
                masked.append(path)
        elif start[8:12] != b"DUCK" and start[:4] != b"PAR1":
            content = path.read_bytes()
            clean = scanner.masked(content, FORGOTTEN.encode())
            if clean != content:
                _replace_bytes(path, clean)
                masked.append(path)
    return masked


def _mask_sqlite(path: Path, scanner: Scanner) -> int:
    """Mask texts of an SQLite database, and write it anew when there were any."""
    count = 0
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        for table in sqlite_tables(connection):
            columns = [row[1] for row in connection.execute(f"pragma table_info({quoted(table)})")]
            for column in columns:
                cells = connection.execute(
                    f"select rowid, {quoted(column)} from {quoted(table)}"
                    f" where typeof({quoted(column)}) = 'text'"
                ).fetchall()
                for row_id, text in cells:
                    clean = scanner.masked(text.encode(), FORGOTTEN.encode()).decode()
                    if clean != text:
                        connection.execute(
                            f"update {quoted(table)} set {quoted(column)} = ? where rowid = ?",
                            (clean, row_id),
                        )
                        count += 1
        connection.commit()
        # Always: what Dagster deleted of older runs is in freed pages.
        connection.execute("vacuum")
    return count


def _replace_bytes(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_bytes(content)
    unfinished.chmod(path.stat().st_mode)
    unfinished.replace(path)


def _bring_postgres_up_to_date(settings: Settings) -> None:
    """Let every database that a release was sent to show the one without the person."""
    from orchestration.release import postgres  # noqa: PLC0415 - 0.2 s for psycopg

    named = {postgres.describe_target(settings)} if settings.postgres else set()
    if others := sorted({*postgres.described_targets(settings)} - named):
        raise PrivacyError(
            f"A release was sent to {', '.join(others)} as well, and WAREHOUSE_POSTGRES does not "
            "name it: who is to be forgotten may stand there. Set it, or drop the schemas there "
            f"and take its line out of {settings.postgres_targets}; then `warehouse forget "
            "--resume`."
        )
    postgres.follow(settings, log.info)


def _search(settings: Settings, scanner: Scanner) -> Findings:
    findings = scanner.folder(settings.home, but=lambda path: _is_own(settings, path))
    if settings.postgres_targets.exists():
        from orchestration.release.postgres import attached, our_schemas  # noqa: PLC0415

        with attached(settings, "sent") as connection:
            scanner.database(connection, "sent", "Postgres", findings, only=our_schemas(settings))
    for path in _outside(settings):
        scanner.file(path, str(path), findings)
    return findings


def _outside(settings: Settings) -> list[Path]:
    """Files of ours that may lie outside of the home."""
    paths = [settings.decisions, *settings.journals.values()]
    paths += [path for folder in export_folders(settings) for path in sorted(folder.rglob("*"))]
    return [
        path
        for path in dict.fromkeys(paths)
        if path.is_file() and not path.is_relative_to(settings.home)
    ]


def _is_own(settings: Settings, path: Path) -> bool:
    """Plans name who is to be forgotten: this one's goes last, another's has its own turn.

    Backups say nothing without their key; one without the person takes their place at the end.
    """
    if path.parent == settings.backups:
        return True
    return path.parent.parent == settings.erasures and path.name.startswith(PLAN)
