"""Files with wrong contents that a person withdraws: nothing of them stays in `raw`.

What a person decided is a line in a journal, `withdrawals.csv`, which names a path and a content.
So it holds also when the working database is made again: that content is not loaded under that
path, another content is. The next run follows. It takes out the rows of a withdrawn version, its
rejects, its rows in the quarantine, with what they were repaired to, and the profiles of what
landed since.

A row that was landed before is not stored twice, so a withdrawn file may bear rows that later files
of its feed repeated. Those files are forgotten with it and land anew, each with the time at which
it landed first. What is in raw afterwards is what would be there if the file had never come.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from orchestration.database import working_file
from orchestration.journal import Journal, shown, time_problem, written_time
from orchestration.landing.arrivals import ArrivalsError, read_arrivals
from orchestration.landing.feeds import Feed
from orchestration.landing.listing import LandedFile, LandingError
from orchestration.landing.quarantine import REPAIRED
from orchestration.landing.readers import GoneError, RefusedError, hash_file
from orchestration.settings import Settings
from orchestration.sql import literal, quoted, rows, transaction

COLUMNS = ("action", "feed", "file_path", "content_hash", "decided_by", "decided_at", "reason")

_SHOWN_DIGITS = 12


class WithdrawalError(Exception):
    """A withdrawal or the journal cannot be used; the message says what, where and what to do."""


class Action(StrEnum):
    """What a line of the journal says."""

    WITHDRAW = "withdraw"
    UNDO = "undo"  # the withdrawal before it no longer holds


@dataclass(frozen=True)
class Withdrawal:
    """One line of the journal: a content under a path. decided_at: UTC, knows its zone."""

    action: Action
    feed: str
    file_path: str
    content_hash: str
    decided_by: str
    decided_at: datetime
    reason: str

    @property
    def version(self) -> tuple[str, str]:
        """Path and content hash."""
        return self.file_path, self.content_hash

    @property
    def told(self) -> str:
        """A sentence about the file."""
        return (
            f"{self.file_path} was withdrawn by {self.decided_by} on {self.decided_at:%Y-%m-%d}: "
            f"{self.reason.removesuffix('.')}."
        )


Withdrawn = Mapping[tuple[str, str], Withdrawal]
"""The withdrawals in force, by path and content hash."""


@dataclass
class Followed:
    """What was done about withdrawals that are new to the working database.

    moments: when files that have to be read again landed first, by name; UTC, without zone.
    row_counts: rows that left raw for good or until they are read again, by feed name. told: a
    sentence for each file. warnings: what is lost.
    """

    moments: dict[str, datetime] = field(default_factory=dict)
    row_counts: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_withdrawals(path: Path) -> tuple[Withdrawal, ...]:
    """Return every line in the order of the file; none when there is no file.

    Raises WithdrawalError as `Journal.read` does.
    """
    found: list[Withdrawal] = []

    def judge(line: Mapping[str, str]) -> str:
        problem = _problem(line)
        if not problem:
            found.append(_withdrawal(line))
        return problem

    _journal(path).read(judge)
    return tuple(found)


def in_force(lines: Iterable[Withdrawal]) -> Withdrawn:
    """Return what is withdrawn: the last line on a version holds."""
    last = {line.version: line for line in lines}
    return {version: line for version, line in last.items() if line.action is Action.WITHDRAW}


def withdraw(
    settings: Settings, file: str, version: str, *, by: str, why: str, at: datetime
) -> tuple[Withdrawal, ...]:
    """Withdraw the versions of a file that have landed; the next run follows.

    file: its path from the landing on. version: how the content hash begins; empty for all. Returns
    what is withdrawn by it. Raises WithdrawalError, and adds nothing, when no such version has
    landed, several begin alike, all are withdrawn already, or the journal cannot be used.
    """
    path = settings.withdrawals
    withdrawn = in_force(read_withdrawals(path))
    landed = _landed_versions(settings)
    name = _name(settings, file)
    versions = {content: feed for feed, landed_path, content in landed if landed_path == name}
    if not versions:
        raise WithdrawalError(_unknown(name, landed))
    chosen = _chosen(name, versions, version)
    left = [content for content in chosen if (name, content) not in withdrawn]
    if not left:
        last = withdrawn[name, chosen[-1]]
        raise WithdrawalError(f"{last.told.removesuffix('.')}; nothing is left to withdraw of it.")
    lines = [
        Withdrawal(Action.WITHDRAW, versions[content], name, content, by, at, why)
        for content in left
    ]
    return _append(path, lines)


def take_back(
    settings: Settings, file: str, version: str, *, by: str, why: str, at: datetime
) -> tuple[Withdrawal, ...]:
    """Undo withdrawals of a file: it lands again at the next run, if it is in the landing.

    Parameters, result and errors are those of `withdraw`.
    """
    path = settings.withdrawals
    name = _name(settings, file)
    versions = {
        line.content_hash: line
        for line in in_force(read_withdrawals(path)).values()
        if line.file_path == name
    }
    if not versions:
        raise WithdrawalError(
            f"{name} is not withdrawn, so there is nothing to undo; `warehouse withdrawals` lists "
            "what is."
        )
    lines = [
        replace(versions[content], action=Action.UNDO, decided_by=by, decided_at=at, reason=why)
        for content in _chosen(name, versions, version)
    ]
    return _append(path, lines)


def follow_withdrawals(
    connection: duckdb.DuckDBPyConnection,
    feeds: Sequence[Feed],
    files: Sequence[LandedFile],
    withdrawn: Withdrawn,
    *,
    anyway: bool,
) -> Followed:
    """Take out what was withdrawn since the last run, in one transaction.

    files: what is in the landing. A version whose withdrawal was undone is forgotten, so that it
    lands as a new one. Raises LandingError, and takes nothing out, when a file that repeated rows
    of a withdrawn one is no longer in the landing and cannot be read again; `anyway` goes on
    without the rows that only such files would bring back.
    """
    followed = Followed()
    entries = rows(
        connection,
        "select feed, file_path, content_hash, size_bytes, modified_ns, status, loaded_at, load_id,"
        " new_row_count, repeated_row_count from raw.files where $is_any or status = 'withdrawn'"
        " order by feed, loaded_at, file_path",
        {"is_any": bool(withdrawn)},
    )
    undone = [e for e in entries if e["status"] == "withdrawn" and _version(e) not in withdrawn]
    by_name = {feed.name: feed for feed in feeds}
    fresh = [
        entry
        for entry in entries
        if entry["status"] != "withdrawn"
        and _version(entry) in withdrawn
        and entry["feed"] in by_name
    ]
    if not undone and not fresh:
        return followed
    with transaction(connection):
        _delete(connection, "raw.files", ("file_path", "content_hash"), map(_version, undone))
        if fresh:
            _forget_profiles(connection, fresh)
        for name, of_feed in groupby(fresh, key=lambda entry: str(entry["feed"])):
            bad = list(of_feed)
            known = [entry for entry in entries if entry["feed"] == name]
            there = [file for file in files if file.feed.name == name]
            again, missing = _to_read_again(bad, known, there, withdrawn)
            if missing:
                _tell_missing(followed, bad, missing, anyway=anyway)
            followed.row_counts[name] = _take_out(connection, by_name[name], bad, again)
            for entry, file in again:
                moment = followed.moments.get(file.name, entry["loaded_at"])
                followed.moments[file.name] = min(moment, entry["loaded_at"])
            for entry in bad:
                _mark_withdrawn(connection, withdrawn[_version(entry)])
                followed.told.append(
                    f"{withdrawn[_version(entry)].told} {entry['new_row_count']:,} rows of it"
                    " were taken out."
                )
    return followed


def _to_read_again(
    bad: Sequence[Mapping[str, Any]],
    known: Sequence[Mapping[str, Any]],
    files: Sequence[LandedFile],
    withdrawn: Withdrawn,
) -> tuple[list[tuple[Mapping[str, Any], LandedFile]], list[Mapping[str, Any]]]:
    """Return versions that repeated rows since the first bad one, with their files, and those gone.

    bad, known, files: of one feed. A row is stored with the version that brought it first, so
    nothing that landed earlier can have lost one.
    """
    bearers = [entry["loaded_at"] for entry in bad if entry["new_row_count"]]
    again, missing = [], []
    named = {file.name: file for file in files}
    for entry in known:
        if _version(entry) in withdrawn or not entry["repeated_row_count"]:
            continue
        if not bearers or entry["loaded_at"] < min(bearers):
            continue
        file = named.get(entry["file_path"])
        if file is None or not _is_unchanged(file, entry):
            allowed = (one for one in files if (one.name, entry["content_hash"]) not in withdrawn)
            file = next((one for one in allowed if _has_content(one, entry)), None)
        if file is None:
            missing.append(entry)
        else:
            again.append((entry, file))
    return again, missing


def _is_unchanged(file: LandedFile, entry: Mapping[str, Any]) -> bool:
    return (entry["size_bytes"], entry["modified_ns"]) == (file.size_bytes, file.modified_ns)


def _has_content(file: LandedFile, entry: Mapping[str, Any]) -> bool:
    if file.size_bytes != entry["size_bytes"]:
        return False
    try:
        return bool(hash_file(file) == entry["content_hash"])
    except (GoneError, RefusedError):
        return False


def _tell_missing(
    followed: Followed,
    bad: Sequence[Mapping[str, Any]],
    missing: Sequence[Mapping[str, Any]],
    *,
    anyway: bool,
) -> None:
    first = missing[0]
    sentence = (
        f"{bad[0]['file_path']} is withdrawn, but {len(missing):,} later files that may repeat"
        " rows of it are no longer in the landing, or were changed there, among them"
        f" {first['file_path']} (version {first['content_hash'][:_SHOWN_DIGITS]})"
    )
    if not anyway:
        raise LandingError(
            f"{sentence}. Bring them back, or withdraw them too; or go on without those rows, with"
            " `make run REBUILD=1`."
        )
    followed.warnings.append(f"{sentence}; rows that only they would bring back are lost")


def _take_out(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    bad: Sequence[Mapping[str, Any]],
    again: Sequence[tuple[Mapping[str, Any], LandedFile]],
) -> int:
    """Delete everything of the bad versions, and of those that are read again; returns rows."""
    table = f"raw.{quoted(feed.table)}"
    gone = [*bad, *(entry for entry, _ in again)]
    loads = [(entry["file_path"], entry["load_id"]) for entry in gone]
    versions = [_version(entry) for entry in gone]
    repaired = connection.execute(
        "select entry_id from raw.quarantine semi join"
        " (select unnest($paths) as path, unnest($loads) as load_id) as bad"
        " on _source_file = bad.path and _load_id = bad.load_id"
        " where feed = $feed and status = 'repaired'",
        {
            "paths": [entry["file_path"] for entry in bad],
            "loads": [entry["load_id"] for entry in bad],
            "feed": feed.name,
        },
    ).fetchall()
    count = _delete(connection, table, ("_source_file", "_load_id"), loads)
    count += _delete(connection, table, ("_source_file",), [(REPAIRED + e,) for (e,) in repaired])
    _delete(connection, "raw.quarantine", ("_source_file", "_load_id"), loads)
    # A repair that made a row which was there already added none, and the row may be gone now.
    connection.execute(
        f"update raw.quarantine set status = 'set aside' where feed = {literal(feed.name)}"
        f" and status = 'repaired'"
        f" and {literal(REPAIRED)} || entry_id not in (select _source_file from {table})"
    )
    _delete(connection, "raw.rejects", ("source_file", "content_hash"), versions)
    _delete(connection, "raw.files", ("file_path", "content_hash"), versions[len(bad) :])
    return count


def _mark_withdrawn(connection: duckdb.DuckDBPyConnection, withdrawal: Withdrawal) -> None:
    connection.execute(
        """
        update raw.files
        set
            status = 'withdrawn',
            message = $message,
            line_count = 0,
            loaded_count = 0,
            new_row_count = 0,
            repeated_row_count = 0,
            rejected_count = 0,
            forgotten_count = 0,
            expired_count = 0,
            extra_columns = null,
            missing_columns = null,
            read_columns = null,
            accepted_columns = null,
            drift = null
        where file_path = $path and content_hash = $hash
        """,
        {
            "message": withdrawal.told,
            "path": withdrawal.file_path,
            "hash": withdrawal.content_hash,
        },
    )


def _forget_profiles(
    connection: duckdb.DuckDBPyConnection, bad: Sequence[Mapping[str, Any]]
) -> None:
    """Let the gate profile anew what landed since: profiles say which keys had come before.

    A withdrawn version is no accepted delivery either: should it come back, it is judged again.
    """
    known = connection.execute(
        "select table_name from duckdb_tables()"
        " where database_name = current_database() and schema_name = 'quality'"
    ).fetchall()
    since = min(entry["loaded_at"] for entry in bad)
    for table in ("file_profiles", "profiled_files"):
        if (table,) in known:
            connection.execute(
                f"delete from quality.{table} where (file_path, load_id) in"
                " (select (file_path, load_id) from raw.files where loaded_at >= $since)",
                {"since": since},
            )
    if ("accepted_files",) in known:
        versions = map(_version, bad)
        _delete(connection, "quality.accepted_files", ("file_path", "content_hash"), versions)


def _delete(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    values: Iterable[Sequence[str]],
) -> int:
    """Delete the rows with these values in these columns; returns how many."""
    lists = list(zip(*values, strict=True))
    if not lists:
        return 0
    listed = ", ".join(f"unnest(${column}::varchar[]) as {column}" for column in columns)
    row = connection.execute(
        f"delete from {table} where ({', '.join(columns)}) in"
        f" (select ({', '.join(columns)}) from (select {listed}))",
        {column: list(parts) for column, parts in zip(columns, lists, strict=True)},
    ).fetchone()
    return int(row[0]) if row else 0


def _version(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["file_path"], entry["content_hash"]


# --- deciding ----------------------------------------------------------------------------------


def _landed_versions(settings: Settings) -> list[tuple[str, str, str]]:
    """Return feed, path and content hash of what has landed, oldest first.

    Without a working database what the arrivals say; nothing when nothing has landed.
    """
    if not settings.working_database.exists():
        try:
            arrivals = read_arrivals(settings.arrivals)
        except ArrivalsError as error:
            raise WithdrawalError(f"Nobody knows what has landed: {error}.") from error
        return [(one.feed, one.file_path, one.content_hash) for one in arrivals]
    try:
        with working_file(settings).connect(read_only=True) as connection:
            return connection.execute(
                "select feed, file_path, content_hash from raw.files where content_hash <> ''"
                " order by loaded_at, file_path, content_hash"
            ).fetchall()
    except duckdb.CatalogException:
        return []
    except duckdb.IOException as error:
        raise WithdrawalError(
            f"{settings.working_database} cannot be read now, perhaps a run is writing: {error}"
        ) from error


def _name(settings: Settings, file: str) -> str:
    """Return the path from the landing on, also of a path that leads into the landing."""
    try:
        return Path(file).resolve().relative_to(settings.landing.resolve()).as_posix()
    except (OSError, ValueError):
        return file


def _unknown(name: str, landed: Sequence[tuple[str, str, str]]) -> str:
    if not landed:
        return f"Nothing has landed yet, so {shown(name)} cannot be withdrawn."
    paths = list(dict.fromkeys(path for _, path, _ in reversed(landed)))
    near = difflib.get_close_matches(name, paths, 3, 0.8)
    near = near or [path for path in paths if path.startswith(f"{_feed_of(name)}/")][:3]
    near = near or paths[:3]
    return (
        f"No file {shown(name)} has landed. A file is named by its path from the landing on, "
        f"<source>/<things>/<name>; some that landed: {', '.join(near)}."
    )


def _feed_of(name: str) -> str:
    return "/".join(name.split("/")[:2])


def _chosen(name: str, versions: Iterable[str], version: str) -> list[str]:
    """Return the content hashes that begin as asked: all of them, or exactly one."""
    known = list(versions)
    found = [content for content in known if content.startswith(version.lower())]
    short = ", ".join(content[:_SHOWN_DIGITS] for content in (found or known))
    if not found:
        raise WithdrawalError(f"{name} has no version {shown(version)}; its versions are {short}.")
    if version and len(found) > 1:
        raise WithdrawalError(
            f"Version {shown(version)} of {name} may be any of {short}; give more digits."
        )
    return found


# --- the journal -------------------------------------------------------------------------------


def _journal(path: Path) -> Journal:
    return Journal(path, COLUMNS, WithdrawalError, "Nothing was decided", frozenset({"file_path"}))


def _append(path: Path, lines: Sequence[Withdrawal]) -> tuple[Withdrawal, ...]:
    for line in lines:
        values = {
            "action": str(line.action),
            "feed": line.feed,
            "file_path": line.file_path,
            "content_hash": line.content_hash,
            "decided_by": line.decided_by.strip(),
            "decided_at": written_time(line.decided_at),
            "reason": line.reason.strip(),
        }
        _journal(path).append(values, _problem, partial(_problem, values))
    return tuple(lines)


def _withdrawal(line: Mapping[str, str]) -> Withdrawal:
    return Withdrawal(
        action=Action(line["action"]),
        feed=line["feed"],
        file_path=line["file_path"],
        content_hash=line["content_hash"],
        decided_by=line["decided_by"],
        decided_at=datetime.fromisoformat(line["decided_at"]).astimezone(UTC),
        reason=line["reason"],
    )


def _problem(line: Mapping[str, str]) -> str:
    if line["action"] not in list(Action):
        return f"action {shown(line['action'])} is unknown; expected {', '.join(Action)}"
    for column in ("file_path", "content_hash", "decided_by", "reason"):
        if not line[column]:
            return f"{column} is missing; every withdrawal says which content, who and why"
    # not one of today's feeds: a source that was taken out had its files withdrawn before
    if line["feed"] != _feed_of(line["file_path"]):
        return f"feed {shown(line['feed'])} is not where {shown(line['file_path'])} is"
    return time_problem("decided_at", line["decided_at"])
