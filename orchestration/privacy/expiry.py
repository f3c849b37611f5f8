"""What has been kept as long as the retention policy says: deleted or anonymised in every run.

Asked of all of `raw` after a landing, so what an old file brings again goes again, and is counted
in `raw.files` as expired. Every verdict is given before anything changes, and everything changes in
one transaction. A record that was anonymised stays as it is: what lands of it later goes.
"""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import duckdb

from orchestration.landing.column_types import timestamp_sql
from orchestration.landing.feeds import FEEDS, Feed
from orchestration.landing.raw_tables import create_raw_tables
from orchestration.privacy.holds import Hold, held_identifiers, holds_in_force
from orchestration.privacy.identifiers import PSEUDONYM, RULES, Keep, kept_sql, record_sql
from orchestration.privacy.people import Registry
from orchestration.privacy.raw_rows import meets_in_quarantine, rewrite, take_out
from orchestration.privacy.retention_log import Accepted, add_line, read_accepted
from orchestration.privacy.retention_policy import Action, Policy, Rule, later_of, read_policy
from orchestration.privacy.tombstones import Tombstones, erasure_key, keyed, meets_sql
from orchestration.release import current_release
from orchestration.settings import Settings
from orchestration.sql import literal, quoted, transaction

log = logging.getLogger("warehouse")

MOST_SHARE = 0.25
"""Rows of a feed, as a share, that may expire at once without somebody who confirms it."""
LEAST_ROWS = 20
"""Fewer rows than these may go unasked, or the last rows of a small feed would stop every run."""

_TextOf = Callable[[str], str]
"""How to read a column: in a raw table, or in the quarantine."""

_COUNTED_AS = "expired_count"
_QUARANTINE = "raw.quarantine"


class RetentionError(Exception):
    """Too much would expire; one sentence a feed says how much and how to let it go."""


@dataclass(frozen=True)
class Due:
    """What is due of a feed. limit: first day that stays. oldest: newest date of the oldest record.

    row_count: rows in raw and in quarantine. expiring: those that go. unexpected: those in raw that
    nobody has accepted to go so far. held: due, and kept by a hold. undated: kept without a date.
    """

    feed: str
    limit: date | None
    oldest: date | None
    row_count: int
    expiring: int
    unexpected: int
    held: int
    undated: int

    @property
    def needs_confirmation(self) -> bool:
        """Whether it is so much that it may be a mistake."""
        return self.unexpected >= LEAST_ROWS and self.unexpected > MOST_SHARE * self.row_count


def find_due(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    policy: Policy,
    *,
    feeds: Sequence[Feed] = FEEDS,
    may_write: bool = False,
) -> dict[str, Due]:
    """Return what is due by feed; makes temporary tables only.

    may_write: make the key of the pseudonyms where there is none. Raises PrivacyError.
    """
    connection.execute("set TimeZone = 'UTC'")
    accepted = read_accepted(settings)
    day = later_of(settings.as_of, accepted.applied)
    holds = holds_in_force(settings, day)
    names: frozenset[str] = frozenset()
    if any(hold.customer_id for hold in holds):
        release = current_release(settings)
        names = held_identifiers(Registry(connection, release.marts if release else None), holds)
    key = _key(connection, settings, policy, feeds, day, may_write=may_write)
    Tombstones(key, frozenset(keyed(key, name) for name in names)).enter(connection)
    return find_expiring(connection, policy, day, holds, accepted, feeds=feeds)


def find_expiring(
    connection: duckdb.DuckDBPyConnection,
    policy: Policy,
    day: date,
    holds: Sequence[Hold] = (),
    accepted: Accepted = Accepted(None, {}),  # noqa: B008 - frozen
    *,
    feeds: Sequence[Feed] = FEEDS,
) -> dict[str, Due]:
    """Fill `temp.expiring` with the rows that are due, and return what is due by feed.

    The connection knows the key of the pseudonyms, and as tombstones whom a hold names.
    """
    connection.execute(
        "create or replace temp table expiring (feed varchar, place varchar, row_id bigint,"
        " record varchar, dated_at timestamptz, is_held boolean, is_superseded boolean)"
    )
    known = {feed.name: feed for feed in feeds}
    held = {hold.feed for hold in holds if hold.feed}
    # What is dated by another feed goes with it, and so does its hold; after that feed.
    linked = {rule.feed: rule.parent for rule in policy.values() if rule.parent}
    held |= {feed for feed, parent in linked.items() if parent in held}
    held |= {parent for feed, parent in linked.items() if feed in held}
    for name in sorted(known, key=lambda name: name in linked):
        rule = policy[name]
        if (limit := rule.limit(day)) is not None:
            parent = known[rule.parent] if rule.parent else None
            _find(connection, known[name], rule, limit, parent, is_held=name in held)
    return {
        name: _due(connection, feed, policy[name], day, accepted=accepted, known=known)
        for name, feed in known.items()
    }


def expire(connection: duckdb.DuckDBPyConnection, settings: Settings, by: str) -> dict[str, Due]:
    """Apply the policy to `raw`; returns what was due, by feed, where there was anything.

    connection: the working database, after a landing. by: the run. Raises RetentionPolicyError,
    PrivacyError or RetentionError, and deletes nothing then.
    """
    policy = read_policy(FEEDS)
    create_raw_tables(connection)
    due = find_due(connection, settings, policy, may_write=not settings.is_scratch)
    if problems := [
        unconfirmed(policy[one.feed], one) for one in due.values() if one.needs_confirmation
    ]:
        raise RetentionError("\n".join(problems))
    day = later_of(settings.as_of, read_accepted(settings).applied)
    for one in due.values():
        if one.expiring and one.limit:
            rule = policy[one.feed]
            why = f"{rule.told}: {rule.basis}"
            add_line(settings.retention_log, rule, day, one.limit, one.expiring, by=by, why=why)
    with transaction(connection):
        apply(connection, policy)
    for one in due.values():
        if one.expiring or one.held:
            log.info(
                "retention: %s: %s rows, %s; %s kept by a hold",
                one.feed,
                f"{one.expiring:,}",
                policy[one.feed].told,
                f"{one.held:,}",
            )
    return {name: one for name, one in due.items() if one.expiring or one.held or one.undated}


def apply(
    connection: duckdb.DuckDBPyConnection, policy: Policy, feeds: Sequence[Feed] = FEEDS
) -> None:
    """Delete or anonymise the rows of `temp.expiring`, within the caller's transaction."""
    _note_records(connection, policy, feeds)
    for feed in feeds:
        theirs = f"select row_id from temp.expiring where feed = {literal(feed.name)}"
        theirs += " and not is_held"
        if not connection.execute(f"select 1 from ({theirs}) limit 1").fetchone():
            continue
        table = f"raw.{quoted(feed.table)}"
        aside = f"rowid in ({theirs} and place = 'quarantine')"
        take_out(connection, _QUARANTINE, aside, _COUNTED_AS)
        landed = f"{theirs} and place = 'raw'"
        if policy[feed.name].action is Action.DELETE:
            take_out(connection, table, f"rowid in ({landed})", _COUNTED_AS)
            continue
        take_out(connection, table, f"rowid in ({landed} and is_superseded)", _COUNTED_AS)
        kept = ", ".join(f"{sql} as {quoted(name)}" for name, sql in kept_sql(feed).items())
        rewrite(
            connection,
            feed,
            table,
            f"select rowid as row_id, {kept} from {table}"
            f" where rowid in ({landed} and not is_superseded)",
            _COUNTED_AS,
        )
    _leave_out_living(connection, feeds)


def told(due: Mapping[str, Due]) -> dict[str, dict[str, int]]:
    """Return the counts that the record of a run keeps, by feed."""
    kept = ("expiring", "held", "undated")
    return {name: {k: v for k, v in asdict(one).items() if k in kept} for name, one in due.items()}


def unconfirmed(rule: Rule, due: Due) -> str:
    """Return why so much may not expire, and what to do; nothing when it may."""
    if not due.needs_confirmation:
        return ""
    return (
        f"{due.unexpected:,} of {due.row_count:,} rows of {due.feed} would expire at once"
        f" ({rule.told}), more than {MOST_SHARE:.0%}; nothing was deleted. If the policy"
        " (seeds/reference/retention_policy.csv) and the as-of day are right, let them go with"
        f" `warehouse retention --confirm {due.feed} --by NAME --why REASON`; `warehouse hold"
        f" {due.feed}` keeps them all."
    )


def forget_history(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave expired records, and customers of no others, out of what releases remember of them.

    After the memory of the current release was loaded. Once a release is without them, their
    records are no longer noted.
    """
    connection.execute("create schema if not exists state")
    connection.execute(
        "create table if not exists state.expired_records (source_record_id varchar not null)"
    )
    with transaction(connection):
        connection.execute(
            "delete from state.expired_records where source_record_id not in"
            " (select source_record_id from state.customer_history"
            " where source_record_id is not null"
            " union select source_record_id from state.customer_sources)"
        )
        # A run of an earlier day would count people as members who are no customers any more.
        connection.execute(
            "delete from state.customer_segment_memberships where customer_id in"
            " (select customer_id from state.customer_sources group by customer_id"
            " having bool_and(source_record_id in"
            " (select source_record_id from state.expired_records)))"
        )
        connection.execute(
            "delete from state.customer_history where source_record_id in"
            " (select source_record_id from state.expired_records)"
        )


# --- verdicts -----------------------------------------------------------------------------------


def _key(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    policy: Policy,
    feeds: Sequence[Feed],
    day: date,
    *,
    may_write: bool,
) -> bytes:
    """Key of the pseudonyms; any one when none was ever needed."""
    if settings.erasure_key.exists():
        return erasure_key(settings)
    if may_write:
        for feed in feeds:
            rule = policy[feed.name]
            limit = rule.limit(day)
            if limit is None or rule.action is not Action.ANONYMISE or rule.parent:
                continue
            if connection.execute(
                f"select 1 from raw.{quoted(feed.table)} where {_is_old(rule, limit, quoted)}"
                " limit 1"
            ).fetchone():
                return erasure_key(settings)
    return secrets.token_bytes(32)


def _is_old(rule: Rule, limit: date, text_of: _TextOf) -> str:
    """SQL that holds at least where a row is due by its own date, without parsing every date.

    Dates in raw begin with year, month and day; the zone moves one by less than two days.
    """
    if limit.year == 9999:
        return "true"
    cut = (limit + timedelta(days=2)).isoformat()
    texts = ", ".join(text_of(column) for column in rule.dated_by)
    return f"coalesce({texts}) < {literal(cut)}"


def _dated(rule: Rule, text_of: _TextOf) -> str:
    return f"coalesce({', '.join(timestamp_sql(text_of(column)) for column in rule.dated_by)})"


def _pseudonymous(feed: Feed) -> str:
    """The column of a fact whose value becomes a pseudonym."""
    keeps = RULES[feed.name].keeps or {}
    return next(column for column, keep in keeps.items() if keep is Keep.PSEUDONYM)


def _is_anonymised(feed: Feed, text_of: _TextOf) -> str:
    """SQL of whether nothing is left in a row to take out."""
    named = _pseudonymous(feed)
    kept = kept_sql(feed, {column.name: text_of(column.name) for column in feed.columns})
    same = " and ".join(
        f"{text_of(name)} is not distinct from {sql}" for name, sql in kept.items() if name != named
    )
    return f"(starts_with({text_of(named)}, {literal(PSEUDONYM)}) and {same})"


def _record(feed: Feed, action: Action, text_of: _TextOf, columns: Sequence[str]) -> str:
    """SQL of what the versions of one record have in common, anonymised or not."""
    if action is Action.ANONYMISE and columns[0] == _pseudonymous(feed):
        texts = {column.name: text_of(column.name) for column in feed.columns}
        pseudonym = kept_sql(feed, texts)[columns[0]]
        first = f"if({_is_anonymised(feed, text_of)}, {text_of(columns[0])}, {pseudonym})"
    else:
        first = text_of(columns[0])
    return f"concat_ws(chr(0), {', '.join([first, *(text_of(name) for name in columns[1:])])})"


def _find(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    rule: Rule,
    limit: date,
    parent: Feed | None,
    *,
    is_held: bool,
) -> None:
    """Add the rows of a feed that are due to `temp.expiring`."""
    table = f"raw.{quoted(feed.table)}"
    start = f"timestamptz '{limit.isoformat()} 00:00:00+00'"
    columns = (rule.parent_key,) if rule.parent else feed.key
    record = _record(feed, rule.action, quoted, columns)
    done = _is_anonymised(feed, quoted) if rule.action is Action.ANONYMISE else "false"
    dating = parent or feed
    dated_in = f"raw.{quoted(dating.table)}"
    dating_record = _record(dating, rule.action, quoted, dating.key)
    dating_done = _is_anonymised(dating, quoted) if rule.action is Action.ANONYMISE else "false"
    old = f"select {dating_record} from {dated_in} where {_is_old(rule, limit, quoted)}"
    if not connection.execute(f"select 1 from ({old}) limit 1").fetchone():
        return
    connection.execute(
        f"""
        create or replace temp table expired_records as
        select record, max(dated_at) as dated_at
        from (
            select {dating_record} as record, {_dated(rule, quoted)} as dated_at,
                {dating_done} as is_done
            from {dated_in}
        )
        where record in ({old})
        group by record
        having max(dated_at) < {start} or max(dated_at) filter (where is_done) < {start}
        """
    )
    cursor = f"{timestamp_sql(quoted(feed.cursor))} desc nulls last," if feed.cursor else ""
    keys = ", ".join(["record", *(quoted(name) for name in feed.key if name not in columns)])
    connection.execute(
        f"""
        insert into temp.expiring
        with due as (
            select landed.rowid as row_id, landed.*, expired.record, expired.dated_at,
                {done} as is_done
            from {table} as landed
            inner join temp.expired_records as expired on {record} = expired.record
        ),

        judged as (
            select
                row_id, record, dated_at, is_done,
                {str(is_held).lower()} or bool_or({meets_sql(feed)}) over (partition by record)
                or record in (
                    select record from temp.expiring
                    where feed = {literal(rule.parent)} and is_held
                ) as is_held,
                row_number() over (
                    partition by {keys}
                    order by is_done desc, {cursor} _loaded_at desc, _source_file desc, _row_hash
                ) > 1 as is_superseded
            from due
        )

        select {literal(feed.name)}, 'raw', row_id, record, dated_at, is_held, is_superseded
        from judged
        where not is_done
        """
    )

    def text_of(column: str) -> str:
        return f"(row_values ->> {literal(column)})"

    aside = f"feed = {literal(feed.name)}"
    if connection.execute(f"select 1 from {_QUARANTINE} where {aside} limit 1").fetchone():
        record = _record(feed, rule.action, text_of, columns)
        is_due = (
            f"{record} in (select record from temp.expired_records)"
            if parent
            else f"{_dated(rule, text_of)} < {start}"
        )
        dated = "null" if parent else _dated(rule, text_of)
        connection.execute(
            f"""
            insert into temp.expiring
            select {literal(feed.name)}, 'quarantine', rowid, {record}, {dated},
                {str(is_held).lower()} or {meets_in_quarantine(feed)}, true
            from {_QUARANTINE}
            where {aside} and {is_due}
            """
        )
    connection.execute("drop table temp.expired_records")


def _due(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    rule: Rule,
    day: date,
    *,
    accepted: Accepted,
    known: Mapping[str, Feed],
) -> Due:
    table = f"raw.{quoted(feed.table)}"
    limit = rule.limit(day)
    so_far = accepted.limits.get((feed.name, str(rule.action)), date.min)
    ((expiring, unexpected, held),) = connection.execute(
        f"""
        select
            count(*) filter (where not is_held),
            count(*) filter (
                where not is_held and place = 'raw'
                and dated_at >= timestamptz '{so_far.isoformat()} 00:00:00+00'
            ),
            count(*) filter (where is_held)
        from temp.expiring
        where feed = {literal(feed.name)}
        """
    ).fetchall()
    ((aside,),) = connection.execute(
        f"select count(*) from {_QUARANTINE} where feed = {literal(feed.name)}"
    ).fetchall()
    dating = known[rule.parent] if rule.parent else feed
    texts = f"coalesce({', '.join(quoted(column) for column in rule.dated_by)})"
    keys = ", ".join(quoted(name) for name in dating.key)
    dated_in = f"raw.{quoted(dating.table)} where {texts} is not null"
    is_dated = f"({keys}) in (select ({keys}) from {dated_in})"
    undated = f"not {is_dated}" if rule.parent else f"{texts} is null and not {is_dated}"
    ((count, without),) = connection.execute(
        f"select count(*), count(*) filter (where {undated}) from {table}"
    ).fetchall()
    ((oldest,),) = connection.execute(
        f"select left(min({texts}), 10) from raw.{quoted(dating.table)}"
    ).fetchall()
    return Due(
        feed=feed.name,
        limit=limit,
        oldest=date.fromisoformat(oldest) if oldest else None,
        row_count=count + aside,
        expiring=expiring,
        unexpected=unexpected,
        held=held,
        undated=without,
    )


def _note_records(
    connection: duckdb.DuckDBPyConnection, policy: Policy, feeds: Sequence[Feed]
) -> None:
    """Note the records of people that expire, for `forget_history`."""
    connection.execute("create schema if not exists state")
    connection.execute(
        "create table if not exists state.expired_records (source_record_id varchar not null)"
    )
    for feed in feeds:
        kinds = RULES[feed.name].identifiers
        record = record_sql(feed)
        # A row is a record of its own where its key names it; others hang on one that stays.
        is_record = next(iter(kinds)) == feed.key[0] and policy[feed.name].action is Action.DELETE
        if record is not None and (is_record or feed.name == "shop/orders"):
            connection.execute(
                f"insert into state.expired_records select distinct {record} as record"
                f" from raw.{quoted(feed.table)} where record is not null and rowid in"
                f" (select row_id from temp.expiring where feed = {literal(feed.name)}"
                " and place = 'raw' and not is_held)"
                + (" and customer_id is null" if feed.name == "shop/orders" else "")
            )


def _leave_out_living(connection: duckdb.DuckDBPyConnection, feeds: Sequence[Feed]) -> None:
    """Take back the note of records that other rows still speak of, as orders of an account."""
    if not connection.execute("select 1 from state.expired_records limit 1").fetchone():
        return
    for feed in feeds:
        if record := record_sql(feed):
            connection.execute(
                "delete from state.expired_records where source_record_id in"
                f" (select {record} from raw.{quoted(feed.table)})"
            )
