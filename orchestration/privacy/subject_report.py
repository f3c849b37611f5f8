"""What is held on one person, for that person: articles 15 and 20 of the GDPR.

Two files with the same content: `<customer id>.json` for machines, `<customer id>.html` to read and
to print. Rows of `raw` and of the quarantine are asked the same question as in an erasure
(`tombstones.meets_sql`), marts are looked through text by text, so what is in the report is what an
erasure would take.

Nothing of other people is in it. Where a row names somebody else too (a pair of records that was
compared, an id that was merged), only this person's side is shown: the other's ids read `[another
person]`, and names, addresses and free texts of such a row are left out. Texts of other people that
mention an address of this person are counted only. A value that others bear too stands where this
person's own records have it, and nowhere else. Staff who decided or looked are not named.

The report is personal data. It is for its owner's eyes only (mode 0600), the end of a run deletes
it after some days (operations/retention.py), and so does an erasure of the person.
"""

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from orchestration.database import DatabaseFile
from orchestration.governance.models import Model, read_models
from orchestration.governance.page import STORAGE
from orchestration.governance.register import BASES, Register, read_register
from orchestration.identity.decisions import (
    Action,
    Decision,
    DecisionError,
    decisions_in_force,
    read_decisions,
)
from orchestration.identity.rectifications import Action as Rectifying
from orchestration.identity.rectifications import (
    Rectification,
    RectificationError,
    read_rectifications,
    rectifications_in_force,
)
from orchestration.landing.feeds import FEEDS, Feed, Pii
from orchestration.landing.quarantine import QuarantineError, read_corrections
from orchestration.operations.retention import RULES
from orchestration.privacy.access_log import hashes_of, read_log
from orchestration.privacy.databases import key_columns, text_columns
from orchestration.privacy.identifiers import RULES as RULES_OF_FEEDS
from orchestration.privacy.identifiers import record_sql
from orchestration.privacy.people import CUSTOMER_ID, People
from orchestration.privacy.raw_rows import meets_in_quarantine
from orchestration.privacy.scanning import Scanner
from orchestration.privacy.tombstones import (
    PrivacyError,
    Tombstones,
    keyed,
    mask_mentions,
    meets_sql,
    names_forgotten,
)
from orchestration.release import ReleaseError, current_release, list_releases
from orchestration.settings import Settings
from orchestration.sql import literal, quoted, rows
from orchestration.transform.dbt import TransformError, parse

FORMAT_VERSION = 1
ANOTHER = "[another person]"
NOT_SHOWN = "[not shown: it may speak of another person]"

Held = dict[str, Any]

_PREDICTED = re.compile(r"expected_.+|(alive|churn)_probability|is_overdue|overdue_days")
_PREDICTION = (
    "These figures are predictions: a statistical model works them out from when you bought and"
    " for how much, as it does for every customer. They are likely values and not facts, may be"
    " wrong for you, and the warehouse decides nothing by them."
)
_RECORD = re.compile(r"[a-z_]+:\S+")
_STAFF = ("decided_by",)
_WORKING = ("staging", "identity", "intermediate", "state", "quality")
_OF_ONE_PERSON = ("subject-report", "forget", "rectify")
_DATABASES = (".duckdb", ".parquet", ".wal")
_REJECT_PAGE = 5_000

_LANDED = {
    "_record": "The record that the row is, or hangs on.",
    "_source_file": "File that brought the row.",
    "_loaded_at": "When it landed, UTC.",
}
_REJECTED = {
    "feed": "Which kind of file.",
    "_source_file": "The file.",
    "line_number": "Line of the file.",
    "line_text": "The line as it came.",
    "reason": "Why it was not taken up.",
    "_loaded_at": "When it was read, UTC.",
}

RIGHTS = (
    ("to have it corrected", "Tell us what is wrong or out of date (article 16)."),
    (
        "to have it erased",
        "We erase you everywhere, and keep only keyed hashes by which you stay erased; orders stay"
        " for the books, without you (article 17).",
    ),
    ("to have its use restricted", "While it is disputed, for example (article 18)."),
    (
        "to take it with you",
        "The JSON file beside this page holds the same, for other programs (article 20).",
    ),
    (
        "to object",
        "To what rests on a legitimate interest, and to advertising at any time (article 21).",
    ),
    ("to withdraw your consent", "At any time, for what comes after (article 7)."),
    (
        "not to be decided about by a machine alone",
        "The warehouse itself decides nothing about you (article 22).",
    ),
    (
        "to complain",
        "To the supervisory authority of the country in which you live or work (article 77).",
    ),
)


def paths(folder: Path, customer: str) -> tuple[Path, Path]:
    """Return where the two files go.

    Raises PrivacyError when one is there already, or the folder is open to others.
    """
    found = (folder / f"{customer}.json", folder / f"{customer}.html")
    for path in found:
        if path.exists() or path.is_symlink():
            raise PrivacyError(
                f"{path} is there already, and is not written over: delete it, or name another"
                " folder with --out."
            )
    if folder.exists() and folder.stat().st_mode & 0o077:
        raise PrivacyError(
            f"{folder} is open to others than its owner, and a report is not for them: `chmod 700`"
            " it, or name another folder with --out."
        )
    return found


def collect(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    customer: str,
    people: People,
    *,
    case: str,
) -> dict[str, Any]:
    """Return everything that is held on a customer, in JSON's types.

    connection: the working database, in which `people.Registry` has entered who is who. people: of
    this customer alone. case: what the report answers. Raises PrivacyError.
    """
    try:
        manifest, release = parse(settings), current_release(settings)
        releases = list_releases(settings)
        decisions = read_decisions(settings.decisions)
        rectifications = read_rectifications(settings.rectifications)
        corrections = read_corrections(settings.corrections)
    except (
        DecisionError,
        QuarantineError,
        RectificationError,
        ReleaseError,
        TransformError,
    ) as error:
        raise PrivacyError(str(error)) from error
    key = secrets.token_bytes(32)
    hashes = frozenset(keyed(key, identifier) for identifier in people.identifiers)
    Tombstones(key, hashes).enter(connection)
    register, models = read_register(), read_models(manifest)
    own = _Own(connection, people)
    held = [*_landed(connection), *_set_aside(connection), *_rejected(connection, people)]
    for entry in (row for table in held if table["layer"] == "set aside" for row in table["rows"]):
        if correction := corrections.get(entry["_entry_id"]):
            entry["_correction"] = f"{correction.action}: {dict(correction.changes)}"
    if release is not None:
        marts = {model.name: model for model in models.values() if model.layer == "marts"}
        texts = {
            node.name: (node.description, {c.name: c.description for c in node.columns.values()})
            for node in manifest.nodes.values()
            if node.name in marts
        }
        held += own.marts(release.marts, marts, texts, register)
    published = {table["name"] for table in held if table["layer"] == "published"}
    used = {purpose for table in held for purpose in table["purposes"]}
    report: dict[str, Any] = _plain(
        {
            "format_version": FORMAT_VERSION,
            "made_at": datetime.now(UTC).replace(microsecond=0),
            "case": case,
            "release": release.id if release else None,
            "controller": {"name": register.controller, "contact": register.contact},
            "about": {
                "customer_id": customer,
                "former_customer_ids": [one for one in people.customers if one != customer],
                "records": list(people.records),
                "values_shared_with_others": people.shared_count,
            },
            "golden_record": _golden(held),
            "held": held,
            "predictions": {"statement": _PREDICTION, "values": _predictions(held)},
            "decisions_of_stewards": list(_decisions(decisions, people)),
            "rectifications": list(_rectifications(rectifications, people)),
            "mentioned_by_others": _mentions(connection),
            "working_copies": own.working_copies(),
            "releases": [own.in_release(one.id, one.marts) for one in releases],
            "files": _files(settings, people),
            "looked_at": _looked_at(settings, people),
            "sources": _sources(held),
            "purposes": [
                {
                    "name": purpose.name,
                    "title": purpose.title,
                    "description": purpose.description,
                    "legal_basis": f"{BASES[purpose.basis]}, article 6(1)({purpose.basis})",
                    "interest": purpose.interest or None,
                    "note": purpose.note or None,
                }
                for purpose in register.purposes.values()
                if purpose.name in used
            ],
            "kept": _kept(settings),
            "recipients": [
                {
                    "name": reader.label or reader.name,
                    "who": reader.owner.name,
                    "what": " ".join(reader.description.split()),
                    "tables": sorted({ref.name for ref in reader.refs} & published),
                }
                for reader in sorted(manifest.exposures.values(), key=lambda one: one.name)
                if {ref.name for ref in reader.refs} & published
            ],
            "rights": [{"right": right, "how": how} for right, how in RIGHTS],
        }
    )
    return report


def write(report: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write both files for their owner's eyes only. Raises PrivacyError; then neither is there."""
    from orchestration.privacy.subject_page import page  # noqa: PLC0415 - for who writes only

    targets = paths(folder, report["about"]["customer_id"])
    texts = (json.dumps(report, indent=1, ensure_ascii=False) + "\n", page(report))
    written = []
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
        for path, text in zip(targets, texts, strict=True):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            written.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise PrivacyError(
            f"The report cannot be written to {folder} ({error.strerror})."
        ) from error
    return targets


# --- what landed --------------------------------------------------------------------------------


def _landed(connection: duckdb.DuckDBPyConnection) -> Iterator[Held]:
    """Rows of every version of every record, by feed."""
    for feed in FEEDS:
        if not _is_there(connection, feed.table):
            continue
        names = ", ".join(quoted(column.name) for column in feed.columns)
        found = rows(
            connection,
            f"select {record_sql(feed) or 'null'} as _record, {names}, _source_file, _loaded_at"
            f" from raw.{quoted(feed.table)} where {meets_sql(feed)}"
            " order by _loaded_at, _source_file, _row_hash",
        )
        if found:
            yield _of_feed("landed", feed, f"raw.{feed.table}", found, _LANDED)


def _set_aside(connection: duckdb.DuckDBPyConnection) -> Iterator[Held]:
    """Rows in the quarantine, by feed."""
    if not _is_there(connection, "quarantine"):
        return
    for feed in FEEDS:
        entries = rows(
            connection,
            "select entry_id, row_values, check_id, status, _source_file, _loaded_at"
            f" from raw.quarantine where {meets_in_quarantine(feed)} order by entry_id",
        )
        found = [
            {
                **json.loads(entry["row_values"]),
                "_entry_id": entry["entry_id"],
                "_check": entry["check_id"],
                "_status": entry["status"],
                "_source_file": entry["_source_file"],
                "_loaded_at": entry["_loaded_at"],
            }
            for entry in entries
        ]
        if found:
            more = {"_check": "The check that the row broke.", "_status": "What became of it."}
            yield _of_feed("set aside", feed, "raw.quarantine", found, _LANDED | more)


def _rejected(connection: duckdb.DuckDBPyConnection, people: People) -> Iterator[Held]:
    """Lines that could not be taken up and name them; others in the same line are left as is."""
    if not _is_there(connection, "rejects"):
        return
    scanner = Scanner(people.needles)
    found: list[dict[str, Any]] = []
    for feed in FEEDS:
        lines = rows(
            connection,
            "select feed, source_file as _source_file, line_number, line_text, reason,"
            f" loaded_at as _loaded_at from raw.rejects where feed = {literal(feed.name)}"
            " and line_text <> '' order by source_file, line_number",
        )
        for start in range(0, len(lines), _REJECT_PAGE):
            page = lines[start : start + _REJECT_PAGE]
            named = names_forgotten(connection, feed, [line["line_text"] for line in page])
            found += [
                line
                for position, line in enumerate(page)
                if position in named or scanner.is_in(line["line_text"])
            ]
    if found:
        yield {
            "layer": "rejected",
            "table": "raw.rejects",
            "name": "rejects",
            "topic": "lines that could not be taken up",
            "what": "Lines of files that could not be taken up and that name you.",
            "purposes": ["operations"],
            "columns": {
                name: {"class": str(Pii.SENSITIVE if name == "line_text" else Pii.NONE)}
                | {"purposes": ["operations"], "meaning": meaning}
                for name, meaning in _REJECTED.items()
            },
            "rows": found,
        }


def _of_feed(
    layer: str,
    feed: Feed,
    table: str,
    found: Sequence[Mapping[str, Any]],
    added: Mapping[str, str],
) -> Held:
    valued = [_valued(row) for row in found]
    filled = {name for row in valued for name in row}
    columns = {
        column.name: {
            "class": str(column.pii),
            "purposes": list(column.purposes),
            "meaning": column.description,
        }
        for column in feed.columns
        if column.name in filled
    }
    return {
        "layer": layer,
        "table": table,
        "name": feed.name,
        "topic": feed.source,
        "what": feed.description,
        "purposes": _purposes(columns.values()),
        "columns": columns
        | {
            name: {
                "class": str(Pii.PSEUDONYM if name == "_record" else Pii.NONE),
                "purposes": ["operations"],
                "meaning": meaning,
            }
            for name, meaning in added.items()
            if name in filled
        },
        "rows": valued,
    }


def _mentions(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """How many texts of others mention an address of theirs."""
    found = []
    for feed in FEEDS:
        if _is_there(connection, feed.table):
            table = f"raw.{quoted(feed.table)}"
            mentioned = mask_mentions(connection, feed, table, f"not {meets_sql(feed)}")
            found += [
                {"feed": feed.name, "column": column, "texts": len(texts)}
                for column, texts in mentioned.items()
            ]
    return found


def _is_there(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    row = connection.execute(
        "select count(*) from duckdb_tables() where schema_name = 'raw'"
        f" and database_name = current_database() and table_name = {literal(table)}"
    ).fetchone()
    return bool(row and row[0])


# --- what was made of it ------------------------------------------------------------------------


class _Own:
    """Finds rows by the person's names, and hides whoever else stands in them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, people: People) -> None:
        self._connection = connection
        self._people = people
        self._names = frozenset(people.names)
        connection.execute("create or replace temp table own_names (name varchar)")
        connection.execute("create or replace temp table own_keys (key ubigint)")
        connection.execute(
            "insert into temp.own_names select unnest($names::varchar[])",
            {"names": list(people.names)},
        )
        connection.execute(
            "insert into temp.own_keys select unnest($keys::ubigint[])", {"keys": list(people.keys)}
        )

    def marts(
        self,
        database: DatabaseFile,
        marts: Mapping[str, Model],
        texts: Mapping[str, tuple[str, Mapping[str, str]]],
        register: Register,
    ) -> list[Held]:
        """Return their rows of every mart of a release; only their side where others are named."""
        order = list(marts)
        found: list[Held] = []
        for table, where in self._asked(database):
            if table not in marts:
                continue
            got = rows(self._connection, f"select * from published.marts.{quoted(table)} {where}")
            if not got:
                continue
            model = marts[table]
            classes = {column.name: register.pii(table, column.name) for column in model.columns}
            purposes = {column.name: column.purposes for column in model.columns}
            shown = [_valued(row) for row in self._without_others(got, classes)]
            meanings = texts[table][1]
            filled = {name for row in shown for name in row}
            columns = {
                name: {
                    "class": str(classes.get(name) or Pii.NONE),
                    "purposes": list(purposes.get(name, ())),
                    "meaning": " ".join(meanings.get(name, "").split()),
                }
                for name in got[0]
                if name in filled
            }
            found.append(
                {
                    "layer": "published",
                    "table": f"marts.{table}",
                    "name": table,
                    "topic": model.room,
                    "what": " ".join(texts[table][0].split()),
                    "purposes": _purposes(columns.values()),
                    "columns": columns,
                    "rows": shown,
                }
            )
        self._connection.execute("detach published")
        return sorted(found, key=lambda held: order.index(held["name"]))

    def in_release(self, release_id: str, database: DatabaseFile) -> dict[str, Any]:
        """Return how many rows of a kept release name them."""
        count = 0
        for table, where in self._asked(database):
            row = self._connection.execute(
                f"select count(*) from published.marts.{quoted(table)} {where}"
            ).fetchone()
            count += int(row[0]) if row else 0
        self._connection.execute("detach published")
        return {"release": release_id, "rows": count}

    def working_copies(self) -> list[dict[str, Any]]:
        """Return in how many rows of which working tables they stand."""
        ((database,),) = self._connection.execute("select current_database()").fetchall()
        found = []
        for schema in _WORKING:
            texts = text_columns(self._connection, database, schema)
            keys = key_columns(self._connection, database, schema)
            for table in sorted({*texts, *keys}):
                where = self._where(texts.get(table, ()), keys.get(table, ()))
                row = self._connection.execute(
                    f"select count(*) from {quoted(schema)}.{quoted(table)} {where}"
                ).fetchone()
                if row and row[0]:
                    found.append({"table": f"{schema}.{table}", "rows": int(row[0])})
        return found

    def _asked(self, database: DatabaseFile) -> list[tuple[str, str]]:
        """Attach a release, and return its tables that have texts, with whom they are asked for."""
        database.attach(self._connection, "published")
        texts = text_columns(self._connection, "published", "marts")
        return [(table, self._where(columns, ())) for table, columns in texts.items()]

    def _where(self, texts: Sequence[str], keys: Sequence[str]) -> str:
        asked = [f"{quoted(name)} in (select name from temp.own_names)" for name in texts]
        asked += [f"{quoted(name)} in (select key from temp.own_keys)" for name in keys]
        return f"where {' or '.join(asked)} order by all" if asked else "where false"

    def _without_others(
        self, found: Sequence[Mapping[str, Any]], classes: Mapping[str, Pii | None]
    ) -> Iterator[dict[str, Any]]:
        cells = {
            value
            for row in found
            for value in row.values()
            if isinstance(value, str) and value not in self._names
            if CUSTOMER_ID.fullmatch(value) or _RECORD.fullmatch(value)
        }
        others = self._others(cells)
        for row in found:
            named = others & {value for value in row.values() if isinstance(value, str)}
            shown = {
                name: None if name in _STAFF and classes.get(name) is Pii.DIRECT else value
                for name, value in row.items()
            }
            if named:
                shown = {
                    name: ANOTHER
                    if value in named
                    else NOT_SHOWN
                    if value is not None and classes.get(name) in {Pii.DIRECT, Pii.SENSITIVE, None}
                    else value
                    for name, value in shown.items()
                }
            yield shown

    def _others(self, cells: Iterable[str]) -> set[str]:
        """Return which of some ids are of other people."""
        found = self._connection.execute(
            """
            select name from (select unnest($cells::varchar[]) as name)
            where name in (select record from temp.crosswalk)
                or name in (select customer_id from temp.crosswalk)
                or name in (select customer_id from temp.redirects)
                or regexp_full_match(name, 'cus_[0-9a-f]{20}')
            """,
            {"cells": sorted(cells)},
        ).fetchall()
        return {name for (name,) in found}


def _golden(held: Sequence[Held]) -> list[dict[str, Any]]:
    """The values that are believed, each with the record, the files and the rule behind it."""
    brought: dict[str, dict[str, datetime]] = {}
    keys = {feed.name: feed.key for feed in FEEDS}
    for table in held:
        # a row that is the record itself, and not one that hangs on it
        for key in keys.get(table["name"], ()) if table["layer"] == "landed" else ():
            kind = RULES_OF_FEEDS[table["name"]].identifiers.get(key)
            for row in table["rows"] if kind and len(keys[table["name"]]) == 1 else ():
                files = brought.setdefault(f"{kind}{row[key]}", {})
                files.setdefault(row["_source_file"], row["_loaded_at"])
    values = [t["rows"] for t in held if t["table"] == "marts.customer_golden_values"]
    believed: list[Mapping[str, Any]] = values[0] if values else []
    return [
        {
            "field": row["field_group"],
            "value": row["value"],
            "source_record_id": row.get("source_record_id"),
            "chosen_because": row.get("decided_by"),
            "files": [
                {"file": file, "landed_at": at}
                for file, at in sorted(brought.get(row.get("source_record_id", ""), {}).items())
            ],
            "other_values": [
                other["value"]
                for other in believed
                if other["field_group"] == row["field_group"] and not other["is_survivor"]
            ],
        }
        for row in believed
        if row["is_survivor"]
    ]


def _predictions(held: Sequence[Held]) -> list[dict[str, Any]]:
    return [
        {
            "table": table["table"],
            "column": name,
            "value": value,
            "meaning": table["columns"][name]["meaning"],
        }
        for table in held
        if table["layer"] == "published" and "customer_id" in table["columns"]
        for row in table["rows"]
        for name, value in row.items()
        if _PREDICTED.fullmatch(name)
    ]


def _decisions(decisions: Sequence[Decision], people: People) -> Iterator[dict[str, Any]]:
    """What stewards decided about their records; who they are and who else is meant is not said."""
    own = frozenset(people.names)
    in_force = {decision.decision_id for decision in decisions_in_force(decisions)}
    theirs: set[str] = set()
    for one in decisions:
        pair = (one.source_record_id, one.other_source_record_id)
        if not own & set(pair) and one.revokes not in theirs:
            continue
        theirs.add(one.decision_id)
        is_alone = own >= {name for name in pair if name}
        yield {
            "decision_id": one.decision_id,
            "decided_at": one.decided_at,
            "decided": f"revoked {one.revokes}" if one.action is Action.REVOKE else str(one.action),
            "records": [name if name in own else ANOTHER for name in pair if name],
            "reason": one.reason if is_alone and one.action is not Action.REVOKE else NOT_SHOWN,
            "is_in_force": one.decision_id in in_force,
        }


def _rectifications(lines: Sequence[Rectification], people: People) -> Iterator[dict[str, Any]]:
    """What stewards corrected in their records; who they are is not said."""
    own = frozenset(people.names)
    in_force = {line.rectification_id for line in rectifications_in_force(lines)}
    theirs: set[str] = set()
    for line in lines:
        if line.source_record_id not in own and line.revokes not in theirs:
            continue
        theirs.add(line.rectification_id)
        is_revoke = line.action is Rectifying.REVOKE
        yield {
            "rectification_id": line.rectification_id,
            "decided_at": line.decided_at,
            "rectified": f"revoked {line.revokes}" if is_revoke else str(line.action),
            "record": line.source_record_id or None,
            "field": line.field or None,
            "value": line.value or None,
            "source_value": line.source_value or None,
            "reason": line.reason,
            "is_in_force": line.rectification_id in in_force,
        }


# --- about it -----------------------------------------------------------------------------------


def _files(settings: Settings, people: People) -> list[str]:
    """Logs, reports of gates and the like that name them; databases are told row by row."""
    findings = Scanner(people.needles).folder(
        settings.home,
        but=lambda path: (
            path.name.endswith(_DATABASES)
            or path.is_relative_to(settings.reports)
            or path.is_relative_to(settings.erasures)
        ),
    )
    return sorted(dict.fromkeys(place.partition(": ")[0] for place in findings.places))


def _looked_at(settings: Settings, people: People) -> list[dict[str, Any]]:
    """When our tools showed them to somebody; not to whom.

    For which case only where it was a case of theirs: who explains somebody else's records sees
    those that they were compared with as well.
    """
    log = read_log(settings)
    if not log.lines:
        return []
    wanted = hashes_of(settings, [*people.customers, *people.records, *people.identifiers])
    return [
        {
            "at": line.at,
            "with": line.verb,
            "case": line.why or None if line.verb in _OF_ONE_PERSON else None,
            "outcome": line.outcome,
        }
        for line in log.lines
        if line.of & wanted
    ]


def _sources(held: Sequence[Held]) -> list[dict[str, Any]]:
    """Which file brought how many rows, and when."""
    files: Counter[tuple[str, str, str, Any]] = Counter()
    owners = {feed.name: feed.owner for feed in FEEDS}
    for table in held:
        if table["layer"] in {"landed", "set aside"}:
            for row in table["rows"]:
                place = (table["topic"], table["name"], row["_source_file"], row["_loaded_at"])
                files[place] += 1
    return [
        {
            "source": source,
            "feed": feed,
            "file": file,
            "landed_at": at,
            "rows": count,
            "owner": owners[feed],
        }
        for (source, feed, file, at), count in sorted(files.items())
    ]


def _kept(settings: Settings) -> list[dict[str, str]]:
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return [
        *({"what": what, "where": where, "how_long": kept} for what, where, kept in STORAGE),
        *(
            {"what": rule.what, "where": rule.where, "how_long": rule.kept.format(**values)}
            for rule in RULES
        ),
    ]


def _purposes(columns: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({purpose for column in columns for purpose in column["purposes"]})


def _valued(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the columns that are empty in it."""
    return {name: value for name, value in row.items() if value is not None}


def _plain(value: Any) -> Any:
    """The same in JSON's types: times as ISO 8601, decimals as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
