"""Rows that could be read but break a rule: set aside until a person repairs or readmits them.

A row that is set aside leaves the raw table and stands in `raw.quarantine`, whole, with the check
that it broke; nothing after the landing sees it, and nothing is lost: rows in raw, without those
that came out of the quarantine repaired, and rows set aside are the new rows of `raw.files`. What a
person decided about a row is kept in a journal, `quarantine.csv`: an entry is named after its feed
and its content, so the decision holds also when the working database is made again.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import duckdb

from orchestration.database import working_file
from orchestration.journal import Journal, shown, time_problem, written_time
from orchestration.landing.column_types import expectation, fits_sql
from orchestration.landing.feeds import FEEDS, Feed
from orchestration.settings import Settings
from orchestration.sql import literal, quoted, rows, transaction

COLUMNS = ("entry_id", "action", "changes", "decided_by", "decided_at", "reason")
REPAIRED = "quarantine/"
"""How `_source_file` of a row begins that came out of the quarantine repaired."""


class QuarantineError(Exception):
    """An entry or the journal cannot be used; the message says what, where and what to do."""


class Action(StrEnum):
    """What a person does with an entry."""

    READMIT = "readmit"  # the row is right as it is, whatever the rule says
    REPAIR = "repair"  # the row is right with other values


@dataclass(frozen=True)
class Correction:
    """One line of the journal. changes: new values by column; None empties it."""

    entry_id: str
    action: Action
    changes: Mapping[str, str | None]
    decided_by: str
    decided_at: datetime
    reason: str


def create_quarantine(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `raw.quarantine`; safe to repeat."""
    connection.execute(
        """
        create table if not exists raw.quarantine (
            entry_id varchar not null,
            feed varchar not null,
            record varchar not null,
            row_values varchar not null,
            check_id varchar not null,
            status varchar not null,
            set_aside_at timestamp not null,
            _load_id varchar not null,
            _loaded_at timestamp not null,
            _source_file varchar not null,
            _row_hash uhugeint not null
        )
        """
    )


def read_corrections(path: Path) -> dict[str, Correction]:
    """Return the last correction of each entry; none when there is no file.

    Raises QuarantineError as `Journal.read` does.
    """
    found: dict[str, Correction] = {}

    def judge(line: Mapping[str, str]) -> str:
        problem = _problem(line)
        if not problem:
            found[line["entry_id"]] = _correction(line)
        return problem

    _journal(path).read(judge)
    return found


def correct(settings: Settings, correction: Correction) -> None:
    """Add a correction to the journal; the next run follows it.

    Raises QuarantineError, and adds nothing, when there is no such entry, a column or value does
    not fit to its feed, or the journal cannot be used.
    """
    entry = next((e for e in entries(settings) if e["entry_id"] == correction.entry_id), None)
    if entry is None:
        raise QuarantineError(
            f"There is no entry {shown(correction.entry_id)}; `warehouse quarantine list` shows "
            "what is set aside."
        )
    feed = _feed(str(entry["feed"]))
    for column, value in correction.changes.items():
        if problem := _value_problem(feed, column, value):
            raise QuarantineError(f"Not repaired: {problem}.")
    line = {
        "entry_id": correction.entry_id,
        "action": str(correction.action),
        "changes": json.dumps(dict(correction.changes), ensure_ascii=False, sort_keys=True),
        "decided_by": correction.decided_by.strip(),
        "decided_at": written_time(correction.decided_at),
        "reason": correction.reason.strip(),
    }
    _journal(settings.corrections).append(line, _problem, lambda: _problem(line))


def entries(settings: Settings) -> list[dict[str, object]]:
    """Return what is or was in the quarantine, newest first. Raises QuarantineError."""
    try:
        with working_file(settings).connect(read_only=True) as connection:
            return rows(
                connection,
                "select * exclude (_row_hash), _row_hash::varchar as _row_hash from raw.quarantine"
                " order by set_aside_at desc, feed, entry_id",
            )
    except duckdb.CatalogException:
        return []
    except duckdb.IOException as error:
        raise QuarantineError(
            f"{settings.working_database} cannot be read now, perhaps a run is writing: {error}"
        ) from error


def set_aside(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    check_of: Mapping[int, str],
    corrections: Mapping[str, Correction],
    at: datetime,
) -> int:
    """Move rows of a feed out of its raw table; returns how many went.

    check_of: row hash to the check that the row broke. A row that a person has readmitted stays; a
    repaired one goes and comes back with its new values. at: UTC, without zone.
    """
    table = f"raw.{quoted(feed.table)}"
    readmitted = {c.entry_id for c in corrections.values() if c.action is Action.READMIT}
    going = {
        row_hash: check
        for row_hash, check in check_of.items()
        if entry_id(feed, row_hash) not in readmitted
    }
    if not going:
        return 0
    with transaction(connection):
        create_quarantine(connection)
        for page in _pages(list(going.items())):
            broken = ", ".join(
                f"({row_hash}::uhugeint, {literal(check)})" for row_hash, check in page
            )
            connection.execute(
                f"""
                insert into raw.quarantine
                select
                    {_entry_id_sql(feed)},
                    {literal(feed.name)},
                    to_json({_struct(feed.key)})::varchar,
                    to_json({_struct([column.name for column in feed.columns])})::varchar,
                    broken.check_id,
                    'set aside',
                    timestamp {literal(at.isoformat())},
                    landed._load_id,
                    landed._loaded_at,
                    landed._source_file,
                    landed._row_hash
                from {table} as landed
                inner join (values {broken}) as broken(row_hash, check_id)
                    on landed._row_hash = broken.row_hash
                """
            )
            connection.execute(
                f"delete from {table} where _row_hash in"
                f" ({', '.join(f'{row_hash}::uhugeint' for row_hash, _ in page)})"
            )
    return len(going)


def follow_corrections(
    connection: duckdb.DuckDBPyConnection,
    corrections: Mapping[str, Correction],
    load_id: str,
    at: datetime,
) -> tuple[int, int]:
    """Let rows back in that a person has readmitted or repaired; returns how many of each.

    Rows that were followed before are left alone. A repair that makes a row which is there already
    adds none. at: UTC, without zone.
    """
    create_quarantine(connection)
    waiting = rows(
        connection,
        "select entry_id, feed, row_values, _row_hash from raw.quarantine"
        " where status = 'set aside' order by entry_id",
    )
    counts = {Action.READMIT: 0, Action.REPAIR: 0}
    for row in waiting:
        correction = corrections.get(row["entry_id"])
        if correction is None:
            continue
        feed = _feed(row["feed"])
        with transaction(connection):
            if correction.action is Action.READMIT:
                _readmit(connection, feed, row["entry_id"])
            else:
                _repair(connection, row, correction, load_id, at)
        counts[correction.action] += 1
    return counts[Action.READMIT], counts[Action.REPAIR]


def entry_id(feed: Feed, row_hash: int) -> str:
    """Name of an entry: the same for the same row of the same feed, in any database."""
    text = f"{feed.name} {row_hash}".encode()
    return f"q-{hashlib.md5(text, usedforsecurity=False).hexdigest()[:10]}"


def row_hash_sql(feed: Feed) -> str:
    """SQL of the hash of a row: empty is NULL and no text has NUL, so it tells rows apart."""
    names = [quoted(column.name) for column in feed.columns]
    joined = ", chr(0), ".join(names)
    return f"md5_number(concat({joined}))"


def _readmit(connection: duckdb.DuckDBPyConnection, feed: Feed, entry: str) -> None:
    names = [quoted(column.name) for column in feed.columns]
    values = ", ".join(
        f"row_values ->> {literal(column.name)}" if column.purposes else "null"
        for column in feed.columns
    )
    connection.execute(
        f"insert into raw.{quoted(feed.table)}"
        f" ({', '.join(names)}, _load_id, _loaded_at, _source_file, _row_hash)"
        f" select {values}, _load_id, _loaded_at, _source_file, _row_hash"
        f" from raw.quarantine where entry_id = {literal(entry)} and status = 'set aside'"
    )
    connection.execute(f"delete from raw.quarantine where entry_id = {literal(entry)}")


def _repair(
    connection: duckdb.DuckDBPyConnection,
    row: Mapping[str, object],
    correction: Correction,
    load_id: str,
    at: datetime,
) -> None:
    feed = _feed(str(row["feed"]))
    values = json.loads(str(row["row_values"])) | dict(correction.changes)
    values |= dict.fromkeys(feed.purposeless)
    names = [column.name for column in feed.columns]
    texts = ", ".join(
        f"{literal(values[name]) if values[name] is not None else 'null::varchar'}"
        f" as {quoted(name)}"
        for name in names
    )
    table = f"raw.{quoted(feed.table)}"
    connection.execute(
        f"insert into {table} by name select *, {literal(load_id)} as _load_id,"
        f" timestamp {literal(at.isoformat())} as _loaded_at,"
        f" {literal(REPAIRED + correction.entry_id)} as _source_file,"
        f" {row_hash_sql(feed)} as _row_hash from (select {texts}) as repaired"
        f" where {row_hash_sql(feed)} not in (select _row_hash from {table})"
    )
    connection.execute(
        "update raw.quarantine set status = 'repaired'"
        f" where entry_id = {literal(correction.entry_id)}"
    )


def _journal(path: Path) -> Journal:
    return Journal(path, COLUMNS, QuarantineError, "Nothing was decided")


def _entry_id_sql(feed: Feed) -> str:
    return f"'q-' || left(md5(concat({literal(feed.name)}, ' ', landed._row_hash)), 10)"


def _struct(names: Iterable[str]) -> str:
    pairs = ", ".join(f"{quoted(name)} := landed.{quoted(name)}" for name in names)
    return f"struct_pack({pairs})"


def _pages(
    items: Sequence[tuple[int, str]], size: int = 5000
) -> Iterable[Sequence[tuple[int, str]]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _feed(name: str) -> Feed:
    return next(feed for feed in FEEDS if feed.name == name)


def _value_problem(feed: Feed, column: str, value: str | None) -> str:
    """Return why a value cannot stand in a column, or nothing; the landing asks the same."""
    known = {one.name: one for one in feed.columns}
    if column not in known:
        return f"{feed.name} has no column {shown(column)}; it has {', '.join(known)}"
    if value is None or not value.strip():
        return f"{column} is a key of {feed.name} and cannot be empty" if column in feed.key else ""
    fits = fits_sql(known[column].type, quoted(column))
    row = duckdb.execute(
        f"select {fits} from (select {literal(value)}::varchar as {quoted(column)})"
    ).fetchone()
    if row and row[0]:
        return ""
    return (
        f"{shown(value)} is no {known[column].type} for {column}: expected"
        f" {expectation(known[column].type)}"
    )


def _correction(line: Mapping[str, str]) -> Correction:
    return Correction(
        entry_id=line["entry_id"],
        action=Action(line["action"]),
        changes=json.loads(line["changes"] or "{}"),
        decided_by=line["decided_by"],
        decided_at=datetime.fromisoformat(line["decided_at"]).astimezone(UTC),
        reason=line["reason"],
    )


def _problem(line: Mapping[str, str]) -> str:
    if line["action"] not in list(Action):
        return f"action {shown(line['action'])} is unknown; expected {', '.join(Action)}"
    for column in ("entry_id", "decided_by", "reason"):
        if not line[column]:
            return f"{column} is missing; every correction says which entry, who and why"
    try:
        changes = json.loads(line["changes"] or "{}")
    except ValueError:
        changes = None
    if not isinstance(changes, dict) or not all(
        isinstance(value, str | None) for value in changes.values()
    ):
        return f"changes {shown(line['changes'])} is no JSON object of texts by column"
    if bool(changes) != (line["action"] == Action.REPAIR):
        return "a repair names the columns that change in changes, and nothing else does"
    return time_problem("decided_at", line["decided_at"])
