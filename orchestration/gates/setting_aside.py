"""Let a run go on without the few rows that break a rule, where the policy of their feed allows."""

from collections.abc import Callable, Mapping

import duckdb

from orchestration.database import working_file
from orchestration.gates.databases import opened
from orchestration.gates.overrides import Override
from orchestration.gates.results import CheckResult, GateResult
from orchestration.gates.suites import ROW_HASH
from orchestration.landing.feeds import FEEDS, Feed
from orchestration.landing.quarantine import (
    Action,
    Correction,
    entry_id,
    follow_corrections,
    read_corrections,
    set_aside,
)
from orchestration.settings import Settings
from orchestration.sql import quoted

# More than anybody will look at row by row.
_MOST_ROWS = 50_000


def set_failing_rows_aside(
    settings: Settings,
    result: GateResult,
    shares: Mapping[str, float],
    load_id: str,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Feed, ...]:
    """Move the rows that stop a gate into the quarantine; returns the feeds that lost some.

    Only when that lets the gate pass: every check that stops it is about rows of a feed, and of no
    feed more than its share (0 to 1, by feed name) of the loads they came with. Otherwise nothing
    is moved. What a person has readmitted or repaired before is followed at once. load_id: of rows
    that come back repaired. Raises QuarantineError when the journal cannot be read.
    """
    if result.layer not in ("landing", "staging"):
        return ()
    corrections = read_corrections(settings.corrections)
    with opened(working_file(settings)) as connection:
        failing: dict[Feed, dict[int, str]] = {}
        for check in result.critical_failures:
            feed = _feed_of(check)
            hashes = _hashes(connection, check)
            if feed is None or not hashes:
                return ()
            for row_hash in hashes:
                failing.setdefault(feed, {}).setdefault(row_hash, check.check.id)
        for feed, checks in failing.items():
            landed = _rows_landed_with(connection, feed, checks)
            most = shares.get(feed.name, 0.0)
            if len(checks) > most * landed:
                progress(
                    f"{feed.name}: {len(checks):,} of {landed:,} rows break a rule, more than the"
                    f" {100 * most:g} % that may be set aside"
                )
                return ()
        moved = []
        at = result.checked_at.replace(tzinfo=None)
        for feed, checks in failing.items():
            count = set_aside(connection, feed, checks, corrections, at)
            if count:
                moved.append(feed)
                progress(f"{feed.name}: {count:,} rows set aside, see `warehouse quarantine list`")
        follow_corrections(connection, corrections, load_id, at)
    return tuple(moved)


def who_readmitted(
    connection: duckdb.DuckDBPyConnection,
    check: CheckResult,
    corrections: Mapping[str, Correction],
    settings: Settings,
) -> Override | None:
    """Return an override in the name of whoever readmitted the rows that a check dislikes.

    None when the check is not about rows, or when one of them is nobody's.
    """
    feed = _feed_of(check)
    if feed is None or not corrections:
        return None
    hashes = _hashes(connection, check)
    found = [corrections.get(entry_id(feed, row_hash)) for row_hash in hashes]
    kept = [one for one in found if one is not None and one.action is Action.READMIT]
    if not kept or len(kept) < len(hashes):
        return None
    last = max(kept, key=lambda correction: correction.decided_at)
    return Override(
        check_id=check.check.id,
        as_of=settings.as_of,
        overridden_by=", ".join(sorted({correction.decided_by for correction in kept})),
        overridden_at=last.decided_at,
        reason=f"readmitted {len(kept):,} rows, {last.reason}",
    )


def _feed_of(check: CheckResult) -> Feed | None:
    tables = {f"raw.{feed.table}": feed for feed in FEEDS}
    tables |= {f"staging.stg_{feed.table}": feed for feed in FEEDS}
    return tables.get(check.table)


def _hashes(connection: duckdb.DuckDBPyConnection, check: CheckResult) -> list[int]:
    """Return the rows that a check dislikes; none when it is not about rows, or about very many."""
    if check.rows_query is None:
        return []
    cursor = connection.execute(f"select * from (\n{check.rows_query}\n) limit 0")
    if ROW_HASH not in [column[0] for column in cursor.description or []]:
        return []
    found = connection.execute(
        f"select distinct {ROW_HASH} from (\n{check.rows_query}\n) where {ROW_HASH} is not null"
        f" limit {_MOST_ROWS + 1}"
    ).fetchall()
    return [int(row_hash) for (row_hash,) in found] if len(found) <= _MOST_ROWS else []


def _rows_landed_with(
    connection: duckdb.DuckDBPyConnection, feed: Feed, hashes: Mapping[int, str]
) -> int:
    table = f"raw.{quoted(feed.table)}"
    listed = ", ".join(f"{row_hash}::uhugeint" for row_hash in hashes)
    row = connection.execute(
        f"select count(*) from {table} where _load_id in"
        f" (select _load_id from {table} where _row_hash in ({listed}))"
    ).fetchone()
    return int(row[0]) if row else 0
