"""What every delivery of a feed looks like: counts, shares and means of each column.

A file is profiled once, from its new rows in `raw`, before the landing gate asks; so the history
is made again when the working database is. A profile holds no cell of a row: frequent
values of columns that are personal data are kept as digests.
"""

from dataclasses import dataclass

import duckdb

from orchestration.landing.feeds import FEEDS, Column, ColumnType, Feed, Pii
from orchestration.sql import literal, quoted, transaction

SAMPLED_ROWS = 2_000
"""Rows of a file that are looked at; by a hash of the key, so that all versions come together."""

KEPT_DELIVERIES = 90
"""Newest deliveries of a feed whose profiles are kept; older ones are forgotten."""

KEPT_VALUES = 40
"""Most frequent values of a column that are kept of a file."""

LEAST_SHARE = 0.02
"""A value that a smaller share of the rows has says nothing about the feed."""

# UTF-8 that was read as Latin-1 or Windows-1252, and letters that were lost on the way: a question
# mark within a word, except in addresses of pages.
_DAMAGED = (
    "'\ufffd|[\u00c3\u00c5][^ A-Za-z]|\u00e2\u20ac|\u00c2[\u00a0-\u00bf]|^[^/]*[A-Za-z][?][a-z]'"
)

# The last date in a file's path, as 2026-01-31 or 20260131, between characters that are no digits.
_DATE = "^(?:.*[^0-9])?((?:19|20)[0-9]{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12][0-9]|3[01])(?:[^0-9].*)?$"


@dataclass(frozen=True)
class Reference:
    """Values of a column that name a record of another feed; what is not there is an orphan.

    same: a column that both feeds have and that should agree, if there is one.
    """

    feed: str
    column: str
    other_feed: str
    other_column: str
    same: str | None = None


REFERENCES = (
    Reference("shop/orders", "customer_id", "shop/customers", "customer_id", same="email"),
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
        connection.execute(_CREATE_CELLS)
        for feed in FEEDS:
            if feed.name in feeds:
                _collect(connection, feed)
        connection.execute(_MEASURE_CELLS)
        connection.execute(_MEASURE_DAMAGE)
        connection.execute(_COUNT_VALUES)
        connection.execute(
            "insert into quality.profiled_files"
            " select feed, file_path, load_id, delivery_day from files_to_profile"
        )
        connection.execute("drop table files_to_profile; drop table profile_cells")


def _collect(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Put the cells of the sampled rows of one feed into `profile_cells`; ask about its keys."""
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
    cells = [
        (column.name, str(column.type), _keeping(feed, column), quoted(column.name))
        for column in feed.loaded_columns
    ]
    cells += [(name, kind, "none", value) for name, kind, value in _pairs(feed)]
    lists = ", ".join(
        f"unnest([{', '.join(one)}]) as {name}"
        for name, one in (
            ("column_name", [literal(name) for name, *_ in cells]),
            ("kind", [literal(kind) for _, kind, *_ in cells]),
            ("keeping", [literal(keeping) for *_, keeping, _ in cells]),
            ("cell", [value for *_, value in cells]),
        )
    )
    connection.execute(
        f"insert into profile_cells select {literal(feed.name)}, file_path, load_id, delivery_day,"
        f" {lists} from profile_sample"
    )
    _profile_known_keys(connection, feed)
    for reference in REFERENCES:
        if reference.feed == feed.name:
            _profile_orphans(connection, reference)
    connection.execute("drop table profile_sample")


def _keeping(feed: Feed, column: Column) -> str:
    """How frequent values are kept: `plain`, as a `digest`, or not (`none`)."""
    is_word = column.type in {ColumnType.TEXT, ColumnType.BOOLEAN, ColumnType.INTEGER}
    if not is_word or column.pii is Pii.SENSITIVE or column.name in feed.key:
        return "none"
    return "plain" if column.pii is Pii.NONE else "digest"


def _pairs(feed: Feed) -> list[tuple[str, str, str]]:
    """What is read out of columns, as (column, kind, SQL of a text).

    Rows whose values slipped by a line keep the looks of each column, and lose what columns say of
    each other. The hour is the one that was written: a clock that is five hours off moves the whole
    day, and of a mean of hours only a part.
    """
    names = {column.name for column in feed.loaded_columns}
    pairs = [
        (
            f"{column.name}, hour",
            "pair",
            f"lpad((try_cast(substr({quoted(column.name)}, 12, 2) as integer) // 4 * 4)::varchar,"
            " 2, '0')",
        )
        for column in feed.loaded_columns
        if column.type is ColumnType.TIMESTAMP
    ]
    if {"country", "postcode"} <= names:
        shape = "regexp_replace(regexp_replace(postcode, '[0-9]', '9', 'g'), '[A-Za-z]', 'A', 'g')"
        pairs.append(("country, postcode", "pair", f"country || ' ' || {shape}"))
    if {"email", "first_name", "last_name"} <= names:
        mail, first, last = "email", "first_name", "last_name"
    elif {"requester_email", "requester_name"} <= names:
        mail = "requester_email"
        first, last = "split_part(requester_name, ' ', 1)", "split_part(requester_name, ' ', -1)"
    else:
        return pairs
    box = f"lower(split_part({mail}, '@', 1))"
    first, last = (f"left(lower(strip_accents(trim({name}))), 3)" for name in (first, last))
    both = (
        f"length({first}) = 3 and length({last}) = 3 and {first} <> {last}"
        f" and contains({mail}, '@')"
    )
    bears = f"contains({box}, {first}) or contains({box}, {last})"
    begins = f"starts_with({box}, {first}) <> starts_with({box}, {last})"
    return [
        *pairs,
        (mail, "bears_name", f"case when {both} then ({bears})::varchar end"),
        (
            mail,
            "first_name_leads",
            f"case when {both} and {begins} then starts_with({box}, {first})::varchar end",
        ),
    ]


# One row per sampled cell of all feeds: one query with few aggregates measures them all, where a
# query per feed with an aggregate per column and measure took ten times as long to plan as to run.
_CREATE_CELLS = """
create or replace temp table profile_cells (
    feed varchar,
    file_path varchar,
    load_id varchar,
    delivery_day date,
    column_name varchar,
    kind varchar,
    keeping varchar,
    cell varchar
)
"""

_MEASURE_CELLS = """
insert into quality.file_profiles
with cells as (
    select
        *,
        ln(1 + length(cell)) as long,
        case when kind in ('integer', 'decimal') then try_cast(cell as double) end as number,
        case
            when kind = 'timestamp' then epoch(try_cast(cell as timestamptz))
            when kind = 'date' then epoch(try_cast(cell as date)::timestamp)
        end as moment,
        case when kind = 'text' then cell end as word
    from profile_cells
),

derived as (
    select
        *,
        ln(abs(nullif(number, 0))) as size,
        (epoch((delivery_day + 1)::timestamp) - moment) / 86400 as days
    from cells
),

aggregated as (
    select
        feed,
        file_path,
        load_id,
        column_name,
        kind,
        count(*) as row_count,
        count(cell) as filled_count,
        count(size) as size_count,
        count(number) as number_count,
        count(cell) / count(*) as filled,
        -- exact: the approximate count is off by a fifth among twenty values (DuckDB 1.5)
        count(distinct cell) / nullif(count(cell), 0) as different,
        avg(long) as length,
        stddev_samp(long) / sqrt(count(cell)) as length_error,
        avg(regexp_matches(word, '[0-9]')::int) as digits,
        avg(regexp_matches(word, '[A-Za-z]')::int) as letters,
        avg(contains(word, '@')::int) as at_sign,
        avg((word = upper(word) and word <> lower(word))::int) as upper_case,
        avg((word <> trim(word))::int) as padded,
        avg((number < 0)::int) as negative,
        avg((number = 0)::int) as zero,
        avg(size) as size,
        stddev_samp(size) / sqrt(count(size)) as size_error,
        quantile_cont(size, 0.95) as high,
        avg(ln(1 + greatest(days, 0))) as age,
        stddev_samp(ln(1 + greatest(days, 0))) / sqrt(count(days)) as age_error,
        avg((days <= 1)::int) as fresh,
        -- half a day of tolerance: in the west the day ends later than in UTC
        avg((days < -0.5)::int) as future,
        avg((cell = 'true')::int) as holds
    from derived
    where kind <> 'pair'
    group by feed, file_path, load_id, column_name, kind
),

listed as (
    select
        feed,
        file_path,
        load_id,
        column_name,
        unnest(
            case
                when kind in ('bears_name', 'first_name_leads') then [
                    {'m': kind, 'v': holds, 'e': null, 'n': filled_count}
                ]
                else [
                    {'m': 'filled', 'v': filled, 'e': null, 'n': row_count},
                    {'m': 'distinct', 'v': different, 'e': null, 'n': filled_count},
                    {'m': 'length', 'v': length, 'e': length_error, 'n': filled_count},
                    {'m': 'digits', 'v': digits, 'e': null, 'n': filled_count},
                    {'m': 'letters', 'v': letters, 'e': null, 'n': filled_count},
                    {'m': 'at', 'v': at_sign, 'e': null, 'n': filled_count},
                    {'m': 'upper', 'v': upper_case, 'e': null, 'n': filled_count},
                    {'m': 'padded', 'v': padded, 'e': null, 'n': filled_count},
                    {'m': 'negative', 'v': negative, 'e': null, 'n': filled_count},
                    {'m': 'zero', 'v': zero, 'e': null, 'n': number_count},
                    {'m': 'size', 'v': size, 'e': size_error, 'n': size_count},
                    {'m': 'high', 'v': high, 'e': null, 'n': size_count},
                    {'m': 'age', 'v': age, 'e': age_error, 'n': filled_count},
                    {'m': 'fresh', 'v': fresh, 'e': null, 'n': filled_count},
                    {'m': 'future', 'v': future, 'e': null, 'n': filled_count}
                ]
            end
        ) as one
    from aggregated
)

select feed, file_path, load_id, column_name, one.m, null, one.v, one.e, one.n
from listed
where one.v is not null and one.n > 0
"""

# Only letters beyond ASCII can be damaged, and one column may have few of them: of all that a file
# has, or had before they became question marks.
_MEASURE_DAMAGE = f"""
insert into quality.file_profiles
with looked_at as (
    select feed, file_path, load_id, regexp_matches(cell, {_DAMAGED}) as is_damaged
    from profile_cells
    where kind = 'text' and (regexp_matches(cell, {_DAMAGED}) or cell <> strip_accents(cell))
)

select feed, file_path, load_id, '', 'damaged', null, avg(is_damaged::int), null, count(*)
from looked_at
group by all
"""

_COUNT_VALUES = f"""
insert into quality.file_profiles
with kept as (
    select
        feed,
        file_path,
        load_id,
        column_name,
        if(keeping = 'plain', left(cell, 200), left(md5(cell), 16)) as category,
        count(*) as row_count
    from profile_cells
    where cell is not null and (keeping <> 'none' or kind = 'pair')
    group by all
),

shared as (
    select
        *,
        sum(row_count) over (
            partition by feed, file_path, load_id, column_name
        ) as filled_count
    from kept
)

select
    feed, file_path, load_id, column_name, 'value', category, row_count / filled_count, null,
    filled_count
from shared
where row_count > 1 and row_count >= {LEAST_SHARE} * filled_count
qualify row_number() over (
    partition by feed, file_path, load_id, column_name order by row_count desc, category
) <= {KEPT_VALUES}
"""


def _profile_known_keys(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Keep the share of rows whose key an earlier delivery had, and of rows whose key is the first.

    A file of nothing but new versions, in a feed of new records, has taken the ids of others.
    """
    keys = ", ".join(quoted(key) for key in feed.key)
    about = [
        column
        for column in feed.loaded_columns
        if feed.cursor
        and (column.pii in {Pii.DIRECT, Pii.INDIRECT} or column.type is ColumnType.BOOLEAN)
    ]
    names = "".join(f", {quoted(column.name)}" for column in about)
    connection.execute(
        f"""
        create or replace temp table profile_known as
        with days as (
            -- by file: the rows of the version that a file had before are of the same delivery
            select file_path, delivery_day from quality.profiled_files
            union
            select file_path, delivery_day from files_to_profile
        ),

        found as (
            select {keys}, _source_file as file_path{names}
            from raw.{quoted(feed.table)}
            where ({keys}) in (select ({keys}) from profile_sample)
        )

        -- what was delivered before the profiles began has no day left
        select found.*, coalesce(days.delivery_day, '0001-01-01') as first_day
        from found
        left join days using (file_path)
        """
    )
    connection.execute(
        f"""
        insert into quality.file_profiles
        with first_seen as (
            select {keys}, min(first_day) as first_day from profile_known group by {keys}
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
    if about:
        _profile_kept(connection, feed, [column.name for column in about])
    connection.execute("drop table profile_known")


def _profile_kept(connection: duckdb.DuckDBPyConnection, feed: Feed, names: list[str]) -> None:
    """Keep, of the records that came before, the share whose value is one that they had then.

    What slips by a row looks like itself and belongs to another person.
    """
    keys = ", ".join(f"sample.{quoted(key)}" for key in feed.key)
    same_key = " and ".join(f"sample.{quoted(key)} = known.{quoted(key)}" for key in feed.key)
    kept = ", ".join(
        f"bool_or(sample.{quoted(name)} = known.{quoted(name)}) as kept_{i}"
        for i, name in enumerate(names)
    )
    listed = ", ".join(
        f"{{'name': {literal(name)}, 'kept': avg(kept_{i}::int), 'row_count': count(kept_{i})}}"
        for i, name in enumerate(names)
    )
    connection.execute(
        f"""
        insert into quality.file_profiles
        with compared as (
            select sample.file_path, sample.load_id, {keys}, {kept}
            from profile_sample as sample
            inner join profile_known as known
                on {same_key} and known.first_day < sample.delivery_day
            group by all
        ),

        listed as (
            select file_path, load_id, unnest([{listed}]) as one from compared group by all
        )

        select
            {literal(feed.name)}, file_path, load_id, one.name, 'kept', null, one.kept, null,
            one.row_count
        from listed
        where one.row_count > 0
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
    if reference.same is None:
        return
    same = quoted(reference.same)
    connection.execute(
        f"""
        insert into quality.file_profiles
        with known as (
            select {key} as known_key, list(lower(trim({same}))) as known_values
            from {other}
            where {key} in (select {column} from profile_sample) and {same} is not null
            group by {key}
        )

        select
            {literal(reference.feed)}, file_path, load_id, {literal(reference.same)},
            {literal("agrees in " + reference.other_feed)}, null,
            avg(list_contains(known_values, lower(trim(sample.{same})))::int), null, count(*)
        from profile_sample as sample
        inner join known on sample.{column} = known.known_key
        where sample.{same} is not null
        group by all
        """
    )
