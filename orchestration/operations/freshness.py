"""How new each feed is: its newest file, and its newest record by the record's own time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import duckdb

from orchestration.landing.feeds import FEEDS, ColumnType, Feed
from orchestration.landing.report import LandingReport
from orchestration.operations.ledger import FeedFreshness, read_ledger
from orchestration.settings import Settings
from orchestration.sql import literal, quoted

RELEASE_WINDOW = timedelta(hours=26)
"""A release is late after a day and two hours: the morning run may take its time once."""


def feed_freshness(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    report: LandingReport,
    feeds: Sequence[Feed] = FEEDS,
) -> dict[str, FeedFreshness]:
    """Return how new each feed is that has rows or files, right after a load.

    connection: the working database. The ledger knows how new a feed was before this load, so only
    the rows of this load are read; all of them when no run has told it yet, or when rows went.
    """
    last = next((record.feeds for record in read_ledger(settings)[0] if record.feeds), {})
    files: dict[str, datetime] = dict(
        connection.execute(
            "select feed, max(modified_at) from raw.files where is_present group by feed"
        ).fetchall()
    )
    found: dict[str, FeedFreshness] = {}
    for feed in feeds:
        totals = report.feeds[feed.name]
        if not totals.raw_row_count and not totals.files_seen:
            continue
        known = last.get(feed.name, FeedFreshness())
        is_grown = known.rows and not totals.taken_out_row_count
        before = known.newest_record if is_grown else None
        file = files.get(feed.name)
        found[feed.name] = FeedFreshness(
            rows=totals.raw_row_count,
            newest_file=file.replace(tzinfo=UTC) if file else None,
            newest_record=_newest_record(connection, feed, report.load_id, before),
        )
    return found


def _newest_record(
    connection: duckdb.DuckDBPyConnection, feed: Feed, load_id: str, before: datetime | None
) -> datetime | None:
    """By the feed's cursor, or the first time of its contract; times to come are mistakes."""
    times = [column.name for column in feed.loaded_columns if column.type is ColumnType.TIMESTAMP]
    column = feed.cursor or next(iter(times), None)
    if column is None:
        return None
    only = f"where _load_id = {literal(load_id)}" if before else ""
    row = connection.execute(
        f"select max(moment) from (select try_cast({quoted(column)} as timestamptz)"
        f" at time zone 'UTC' as moment from raw.{quoted(feed.table)} {only})"
        f" where moment <= now() at time zone 'UTC'"
    ).fetchone()
    newest = row[0].replace(tzinfo=UTC) if row and row[0] else None
    return max((moment for moment in (before, newest) if moment), default=None)
