"""What every delivery of a feed looks like: counts, shares and means of each column.

A file is profiled once, from its new rows in `raw`, before the landing gate asks; so the history
is made again when the working database is. A profile holds no cell of a row: frequent
values of columns that are personal data are kept as digests.
"""

from dataclasses import dataclass

import duckdb

from orchestration.landing.feeds import FEEDS, Column, ColumnType, Feed, Pii
from orchestration.sql import literal, quoted, transaction

SAMPLED_ROWS = 5_000
"""Rows of a file that are looked at; by a hash of the key, so that all versions come together."""

KEPT_DELIVERIES = 90
"""Newest deliveries of a feed whose profiles are kept; older ones are forgotten."""

KEPT_VALUES = 40
"""Most frequent values of a column that are kept of a file."""

# UTF-8 that was read as Latin-1 or Windows-1252, and letters that were lost on the way.
_DAMAGED = "'\ufffd|[\u00c3\u00c5][^ A-Za-z]|\u00e2\u20ac|\u00c2[\u00a0-\u00bf]'"

# A value that a smaller share of the rows has says nothing about the feed.
_LEAST_SHARE = 0.02

# The last date in a file's path, as 2026-01-31 or 20260131, between characters that are no digits.
_DATE = "^(?:.*[^0-9])?((?:19|20)[0-9]{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12][0-9]|3[01])(?:[^0-9].*)?$"


@dataclass(frozen=True)
class Reference:
    """Values of a column that name a record of another feed; what is not there is an orphan."""

    feed: str
    column: str
    other_feed: str
    other_column: str


REFERENCES = (
    Reference("shop/orders", "customer_id", "shop/customers", "customer_id"),
    Reference("shop/orders", "order_id", "shop/order_lines", "order_id"),
    Reference("shop/order_lines", "order_id", "shop/orders", "order_id"),
    Reference("pos/receipts", "member_id", "pos/members", "member_id"),
    Reference("web/events", "user_id", "shop/customers", "customer_id"),
    Reference("web/events", "order_id", "shop/orders", "order_id"),
    Reference("mailing/deliveries", "subscriber_id", "mailing/subscribers", "subscriber_id"),
)

CREATE_PROFILES = """
create schema if not exists quality;
create table if not exists quality.file_profiles (
    feed varchar not null,
    file_path varchar not null,
    load_id varchar not null,
    column_name varchar not null,
    measure varchar not null,
    category varchar,
    value double not null,
    error double,
    row_count bigint not null
);
create table if not exists quality.profiled_files (
    feed varchar not null,
    file_path varchar not null,
    load_id varchar not null,
    delivery_day date not null
)
"""

# One entry per file, its last version: what an earlier version brought is not the file any more.
LANDED_FILES = f"""
    select
        feed,
        file_path,
        load_id,
        content_hash,
        line_count,
        loaded_count,
        new_row_count,
        repeated_row_count,
        rejected_count,
        loaded_at,
        coalesce(
            try_cast(regexp_replace(file_path, '{_DATE}', '\\1-\\2-\\3') as date),
            loaded_at::date
        ) as delivery_day
    from raw.files
    where status = 'loaded'
    qualify row_number() over (
        partition by file_path order by is_present desc, loaded_at desc, content_hash
    ) = 1
"""


def profile_new_files(connection: duckdb.DuckDBPyConnection) -> None:
    """Profile the files of `raw.files` that have no profile, and forget the oldest ones.

    Makes `quality.file_profiles`. Reads at most SAMPLED_ROWS of a file, and, to tell known keys
    and orphans, the key columns of the feeds concerned once.
    """
    connection.execute("set TimeZone = 'UTC'")
    with transaction(connection):
        connection.execute(CREATE_PROFILES)
        connection.execute(
            f"""
            create or replace temp table files_to_profile as
            with landed as ({LANDED_FILES}),

            newest as (
                select * from landed
                qualify dense_rank() over (partition by feed order by delivery_day desc)
                    <= {KEPT_DELIVERIES}
            )

            select
                *,
                greatest(1, new_row_count // {SAMPLED_ROWS})::ubigint as every,
                not exists (
                    from quality.profiled_files as profiled
                    where
                        profiled.file_path = newest.file_path
                        and profiled.load_id = newest.load_id
                ) as is_new
            from newest
            """
        )
        for table in ("file_profiles", "profiled_files"):
            connection.execute(
                f"delete from quality.{table} where (file_path, load_id) not in"
                " (select (file_path, load_id) from files_to_profile)"
            )
        connection.execute("delete from files_to_profile where not is_new")
        feeds = {
            feed
            for (feed,) in connection.execute(
                "select distinct feed from files_to_profile where new_row_count > 0"
            ).fetchall()
        }
        for feed in FEEDS:
            if feed.name in feeds:
                _profile(connection, feed)
        connection.execute(
            "insert into quality.profiled_files"
            " select feed, file_path, load_id, delivery_day from files_to_profile"
        )
        connection.execute("drop table files_to_profile")


def _profile(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Write the measures of the new files of one feed."""
    keys = ", ".join(f"landed.{quoted(key)}" for key in feed.key)
    names = ", ".join(f"landed.{quoted(column.name)}" for column in feed.columns)
    connection.execute(
        f"""
        create or replace temp table profile_sample as
        select files.file_path, files.load_id, files.delivery_day, {names}
        from raw.{quoted(feed.table)} as landed
        inner join files_to_profile as files
            on landed._source_file = files.file_path and landed._load_id = files.load_id
        where files.feed = {literal(feed.name)} and hash({keys}) % files.every = 0
        """
    )
    aggregates = [one for column in feed.columns for one in _measures(column)] + _pairs(feed)
    selected = ",\n".join(
        f"{aggregate.sql} as v{i}, {aggregate.error} as e{i}, {aggregate.row_count} as n{i}"
        for i, aggregate in enumerate(aggregates)
    )
    listed = ",\n".join(
        f"{{'column_name': {literal(aggregate.column)}, 'measure': {literal(aggregate.measure)},"
        f" 'value': v{i}::double, 'error': e{i}::double, 'row_count': n{i}::bigint}}"
        for i, aggregate in enumerate(aggregates)
    )
    connection.execute(
        f"""
        insert into quality.file_profiles
        with aggregated as (
            select file_path, load_id, {selected} from profile_sample group by all
        ),

        listed as (
            select file_path, load_id, unnest([{listed}]) as one from aggregated
        )

        select
            {literal(feed.name)}, file_path, load_id, one.column_name, one.measure, null,
            one.value, one.error, one.row_count
        from listed
        where one.value is not null and one.row_count > 0
        """
    )
    _profile_values(connection, feed)
    _profile_known_keys(connection, feed)
    for reference in REFERENCES:
        if reference.feed == feed.name:
            _profile_orphans(connection, reference)
    connection.execute("drop table profile_sample")


@dataclass(frozen=True)
class _Aggregate:
    """One measure of a column as an SQL aggregate, and over how many rows it speaks.

    error: SQL of the standard error of a mean; shares need none, it follows from them.
    """

    column: str
    measure: str
    sql: str
    row_count: str
    error: str = "null"


def _measures(column: Column) -> list[_Aggregate]:
    name = quoted(column.name)
    filled = f"count({name})"

    def share(measure: str, condition: str) -> _Aggregate:
        return _Aggregate(column.name, measure, f"avg(({condition})::int)", filled)

    def mean(measure: str, value: str) -> _Aggregate:
        count = f"count({value})"
        error = f"stddev_samp({value}) / sqrt({count})"
        return _Aggregate(column.name, measure, f"avg({value})", count, error)

    measures = [
        _Aggregate(column.name, "filled", f"count({name}) / count(*)", "count(*)"),
        # Exact: the approximate count is wrong by a fifth for twenty values (DuckDB 1.5).
        _Aggregate(
            column.name, "distinct", f"count(distinct {name}) / nullif({filled}, 0)", filled
        ),
        mean("length", f"ln(1 + length({name}))"),
    ]
    if column.type is ColumnType.TEXT:
        measures += [
            share("digits", f"regexp_matches({name}, '[0-9]')"),
            share("letters", f"regexp_matches({name}, '[A-Za-z]')"),
            share("at", f"contains({name}, '@')"),
            share("damaged", f"regexp_matches({name}, {_DAMAGED})"),
            share("upper", f"{name} = upper({name}) and {name} <> lower({name})"),
            share("padded", f"{name} <> trim({name})"),
        ]
    if column.type in {ColumnType.DECIMAL, ColumnType.INTEGER}:
        number = f"try_cast({name} as double)"
        size = f"ln(abs(nullif({number}, 0)))"
        measures += [
            share("negative", f"{number} < 0"),
            mean("size", size),
            _Aggregate(
                column.name, "high", f"quantile_cont({size}, 0.95)", f"count(nullif({number}, 0))"
            ),
        ]
    if column.type in {ColumnType.TIMESTAMP, ColumnType.DATE}:
        moment = f"try_cast({name} as timestamptz)"
        if column.type is ColumnType.DATE:
            moment = f"try_cast({name} as date)::timestamp"
        age = f"((epoch((delivery_day + 1)::timestamp) - epoch({moment})) / 86400)"
        measures += [
            mean("age", f"ln(1 + greatest({age}, 0))"),
            # Half a day of tolerance: in the west the day ends later than in UTC.
            share("future", f"{age} < -0.5"),
        ]
    if column.type is ColumnType.TIMESTAMP:
        hour = " + ".join(
            f"try_cast(substr({name}, {start}, 2) as integer) / {parts}"
            for start, parts in ((12, 1), (15, 60))
        )
        measures.append(mean("hour", f"({hour})"))
    return measures


def _pairs(feed: Feed) -> list[_Aggregate]:
    """Measures of columns that speak of each other: rows that slipped keep each column's own."""
    names = {column.name for column in feed.columns}
    if {"email", "first_name", "last_name"} <= names:
        mail, first, last = "email", "first_name", "last_name"
    elif {"requester_email", "requester_name"} <= names:
        mail = "requester_email"
        first, last = "split_part(requester_name, ' ', 1)", "split_part(requester_name, ' ', -1)"
    else:
        return []
    box = f"lower(split_part({mail}, '@', 1))"
    first, last = (f"left(lower(strip_accents(trim({name}))), 3)" for name in (first, last))
    both = (
        f"length({first}) = 3 and length({last}) = 3 and {first} <> {last}"
        f" and contains({mail}, '@')"
    )
    bears = f"contains({box}, {first}) or contains({box}, {last})"
    begins = f"{both} and starts_with({box}, {first}) <> starts_with({box}, {last})"
    return [
        _Aggregate(
            mail,
            "bears_name",
            f"avg(({bears})::int) filter ({both})",
            f"count(*) filter ({both})",
        ),
        _Aggregate(
            mail,
            "first_name_leads",
            f"avg(starts_with({box}, {first})::int) filter ({begins})",
            f"count(*) filter ({begins})",
        ),
    ]


def _profile_values(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Keep the shares of the values that many rows of a file have."""
    names = {column.name for column in feed.columns}
    categories = {
        column.name: quoted(column.name)
        if column.pii is Pii.NONE
        else f"left(md5({quoted(column.name)}), 16)"
        for column in feed.columns
        if column.type in {ColumnType.TEXT, ColumnType.BOOLEAN, ColumnType.INTEGER}
        and column.pii is not Pii.SENSITIVE
        and column.name not in feed.key
    }
    if {"country", "postcode"} <= names:
        shape = "regexp_replace(regexp_replace(postcode, '[0-9]', '9', 'g'), '[A-Za-z]', 'A', 'g')"
        categories["country, postcode"] = f"country || ' ' || {shape}"
    counted = " union all ".join(
        f"select file_path, load_id, {literal(name)} as column_name, {category} as category,"
        f" count(*) as row_count from profile_sample where {category} is not null"
        " group by all"
        for name, category in categories.items()
    )
    connection.execute(
        f"""
        insert into quality.file_profiles
        with counted as ({counted}),

        shared as (
            select
                *,
                sum(row_count) over (partition by file_path, load_id, column_name) as filled_count
            from counted
        )

        select
            {literal(feed.name)}, file_path, load_id, column_name, 'value', left(category, 200),
            row_count / filled_count, null, filled_count
        from shared
        where row_count > 1 and row_count >= {_LEAST_SHARE} * filled_count
        qualify row_number() over (
            partition by file_path, load_id, column_name order by row_count desc, category
        ) <= {KEPT_VALUES}
        """
    )


def _profile_known_keys(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Keep the share of rows whose key an earlier delivery had, and of rows whose key is the first.

    A file of nothing but new versions, in a feed of new records, has taken the ids of others.
    """
    keys = ", ".join(quoted(key) for key in feed.key)
    connection.execute(
        f"""
        insert into quality.file_profiles
        with days as (
            select feed, file_path, load_id, delivery_day from quality.profiled_files
            union
            select feed, file_path, load_id, delivery_day from files_to_profile
        ),

        found as (
            select {keys}, _source_file as file_path, _load_id as load_id
            from raw.{quoted(feed.table)}
            where ({keys}) in (select ({keys}) from profile_sample)
        ),

        first_seen as (
            select {keys}, min(coalesce(days.delivery_day, '0001-01-01')) as first_day
            from found
            left join days using (file_path, load_id)
            group by {keys}
        ),

        measured as (
            select
                file_path,
                load_id,
                avg((first_seen.first_day < profile_sample.delivery_day)::int) as known,
                count(distinct ({keys})) / count(*) as single,
                count(*) as row_count
            from profile_sample
            inner join first_seen using ({keys})
            group by all
        )

        select
            {literal(feed.name)}, file_path, load_id, {literal(", ".join(feed.key))}, measure, null,
            value, null, row_count
        from measured
        unpivot (value for measure in (known, single))
        """
    )


def _profile_orphans(connection: duckdb.DuckDBPyConnection, reference: Reference) -> None:
    """Keep the share of filled values that name no record of the other feed.

    No opinion while the other feed has no row.
    """
    other = f"raw.{quoted(reference.other_feed.replace('/', '__'))}"
    column, key = quoted(reference.column), quoted(reference.other_column)
    connection.execute(
        f"""
        insert into quality.file_profiles
        with known as (
            select distinct {key} as known_key from {other}
            where {key} in (select {column} from profile_sample)
        )

        select
            {literal(reference.feed)}, file_path, load_id, {literal(reference.column)},
            {literal("orphans in " + reference.other_feed)}, null,
            avg((known.known_key is null)::int), null, count(*)
        from profile_sample
        left join known on profile_sample.{column} = known.known_key
        where {column} is not null and exists (select 1 from {other})
        group by all
        """
    )
