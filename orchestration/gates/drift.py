"""Whether what a feed delivered looks like what it has always delivered.

A delivery is what one feed brought for one day: the date in the name of the file, or else the day
it was loaded. Each measure of it (see `profiles`) is held against the feed's earlier deliveries;
its number of lines against those of the same weekday where there are enough. The middle is a median
and the spread a median deviation, so that single accidents of the past neither move nor widen the
band. A measure drifts when three things hold: the change is large (the floor of
`seeds/reference/drift_bands.csv`), it is many spreads away, chance included, and at most one of the
deliveries that it is compared with has gone about as far. In the fewest rows a change must be
larger to stop a run, and rows that come together (`Feed.cluster`) count once.

Deliveries are judged until the landing gate has passed with them; then they are history.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from orchestration.gates.profiles import (
    CREATE_PROFILES,
    LANDED_FILES,
    LEAST_SHARE,
    profile_new_files,
)
from orchestration.gates.suites import SuiteError, did_you_mean
from orchestration.landing.feeds import FEEDS
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal, transaction

BANDS = PROJECT_ROOT / "seeds" / "reference" / "drift_bands.csv"

HISTORY = 60
"""A delivery is compared with at most so many of the feed's deliveries before it."""

SAME_WEEKDAYS = 4
"""So many earlier deliveries of a weekday tell how many lines are usual on it."""

OFTEN = 5
"""A value that comes in so many rows of a delivery comes often, however few rows it has."""


@dataclass(frozen=True)
class Measure:
    """How a measure is compared and shown.

    kind: `share` is a proportion of rows with an error of chance of its own; `level` is not. shown:
    SQL that turns the value x into what a person reads. says: the words before the value.
    """

    kind: str
    shown: str
    says: str


_PERCENT = "printf('%.0f%%', 100 * greatest(x, 0))"
_COUNT = "printf('%,d', round(greatest(exp(x) - 1, 0))::bigint)"
_NUMBER = "printf('%.4g', exp(x))"

MEASURES: Mapping[str, Measure] = {
    "rows": Measure("level", _COUNT, "lines"),
    "repeated": Measure("share", _PERCENT, "lines that were landed before"),
    "rejected": Measure("share", _PERCENT, "lines that could not be read"),
    "known": Measure("share", _PERCENT, "rows with a key that came before"),
    "single": Measure("share", _PERCENT, "different keys"),
    "orphans": Measure("share", _PERCENT, "values without a record"),
    "agrees": Measure("share", _PERCENT, "values that agree with the record"),
    "kept": Measure("share", _PERCENT, "known records with a value that they had"),
    "filled": Measure("share", _PERCENT, "filled"),
    "distinct": Measure("share", _PERCENT, "different values"),
    "length": Measure("level", "printf('%.1f', exp(x) - 1)", "mean length"),
    "digits": Measure("share", _PERCENT, "values with a digit"),
    "letters": Measure("share", _PERCENT, "values with a letter"),
    "at": Measure("share", _PERCENT, "values with an at sign"),
    "damaged": Measure("share", _PERCENT, "letters beyond ASCII in a wrong encoding"),
    "upper": Measure("share", _PERCENT, "values in capital letters"),
    "padded": Measure("share", _PERCENT, "values with blanks around them"),
    "negative": Measure("share", _PERCENT, "numbers below zero"),
    "zero": Measure("share", _PERCENT, "zeros"),
    "size": Measure("level", _NUMBER, "mean size"),
    "high": Measure("level", _NUMBER, "size that one in twenty exceeds"),
    "age": Measure("level", "printf('%.1f', greatest(exp(x) - 1, 0))", "mean age in days"),
    "fresh": Measure("share", _PERCENT, "dates of the delivery day"),
    "future": Measure("share", _PERCENT, "dates after the delivery"),
    "bears_name": Measure("share", _PERCENT, "e-mails that contain a name of the row"),
    "first_name_leads": Measure("share", _PERCENT, "e-mails that begin with the first name"),
    "values": Measure("level", _PERCENT, "rows with other values than usual"),
    "hours": Measure("level", _PERCENT, "rows of other hours than usual"),
    "gap": Measure("silence", "", ""),
    "missing": Measure("silence", "", ""),
}


@dataclass(frozen=True)
class Band:
    """When a measure drifts; a line of `drift_bands.csv`.

    Changes are in the units of the measure, logarithms where its meaning says so. critical_change
    None: never critical. least_rows: of the delivery; with fewer there is no opinion.
    """

    measure: str
    warning_change: float
    critical_change: float | None
    warning_spreads: float
    critical_spreads: float
    least_deliveries: int
    least_rows: int


def load_bands(file: Path = BANDS) -> tuple[Band, ...]:
    """Read the bands; raises SuiteError naming line, column and what to write."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{file.name}: cannot be read: {error}. Restore it.") from error
    lines = csv.DictReader(io.StringIO(text))
    wanted = [*Band.__dataclass_fields__, "meaning"]
    if lines.fieldnames != wanted:
        raise SuiteError(f"{file.name}: its columns must be {', '.join(wanted)}.")
    bands: dict[str, Band] = {}
    for line in lines:
        place = f"{file.name}, line {lines.line_num}"
        measure = line["measure"]
        if measure not in MEASURES:
            raise SuiteError(
                f"{place}: there is no measure `{measure}`.{did_you_mean(str(measure), MEASURES)}"
            )
        if measure in bands:
            raise SuiteError(f"{place}: `{measure}` is given twice. Remove one.")
        bands[measure] = _band(place, line)
    if lacking := MEASURES.keys() - bands.keys():
        raise SuiteError(f"{file.name}: has no line for {', '.join(sorted(lacking))}. Add it.")
    return tuple(bands.values())


def _band(place: str, line: Mapping[str, str | None]) -> Band:
    if None in line or None in line.values():
        raise SuiteError(f"{place}: has too few or too many values.")

    def number(column: str) -> float:
        try:
            found = float(line[column] or "")
        except ValueError:
            found = -1.0
        if not 0 <= found < float("inf"):
            raise SuiteError(
                f"{place}: {column} is {line[column]!r}. Write a number that is not below zero."
            )
        return found

    def whole(column: str) -> int:
        if not number(column).is_integer():
            raise SuiteError(f"{place}: {column} is {line[column]!r}. Write a whole number.")
        return int(number(column))

    band = Band(
        measure=str(line["measure"]),
        warning_change=number("warning_change"),
        critical_change=number("critical_change") if line["critical_change"] else None,
        warning_spreads=number("warning_spreads"),
        critical_spreads=number("critical_spreads"),
        least_deliveries=whole("least_deliveries"),
        least_rows=whole("least_rows"),
    )
    if band.critical_change is not None and band.critical_change < band.warning_change:
        raise SuiteError(f"{place}: critical_change is below warning_change. Exchange them.")
    if band.critical_spreads < band.warning_spreads:
        raise SuiteError(f"{place}: critical_spreads is below warning_spreads. Exchange them.")
    if band.least_deliveries < 2:
        raise SuiteError(f"{place}: least_deliveries must be 2 or more: one is no history.")
    return band


_CREATE_TABLES = """
create schema if not exists quality;
create table if not exists quality.accepted_files (
    file_path varchar not null,
    content_hash varchar not null
);
create table if not exists quality.judged_files (
    feed varchar not null,
    file_path varchar not null,
    load_id varchar not null,
    delivery_day date not null
);
create table if not exists quality.drift_findings (
    finding_id varchar not null,
    feed varchar not null,
    delivery_day date not null,
    column_name varchar,
    measure varchar not null,
    level varchar not null,
    observed double,
    expected double,
    expected_low double,
    expected_high double,
    spreads double,
    sentence varchar not null
)
"""


def judge_deliveries(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Write what is unusual about the new deliveries to `quality.drift_findings`.

    One row per delivery, column and measure; `finding_id` stays the same when it is judged again.
    `quality.judged_files` are the files of these deliveries. Raises SuiteError when
    `drift_bands.csv` is wrong.
    """
    bands = load_bands()
    with transaction(connection):
        connection.execute(CREATE_PROFILES)
        connection.execute(_CREATE_TABLES)
        connection.execute("delete from quality.drift_findings; delete from quality.judged_files")
    if not _has_files(connection):
        return
    profile_new_files(connection)
    with transaction(connection):
        _choose(connection, settings)
        _find_drift(connection, bands, settings.as_of)


def judge_all(connection: duckdb.DuckDBPyConnection, days: Sequence[date], as_of: date) -> None:
    """Judge the deliveries of these days anew, each against those before it, accepted or not."""
    bands = load_bands()
    profile_new_files(connection)
    with transaction(connection):
        connection.execute(_CREATE_TABLES)
        connection.execute("delete from quality.drift_findings; delete from quality.judged_files")
        connection.execute(
            f"insert into quality.judged_files with landed as ({LANDED_FILES})"
            " select feed, file_path, load_id, delivery_day from landed"
            " where list_contains($days::date[], delivery_day)",
            {"days": [str(day) for day in days]},
        )
        _find_drift(connection, bands, as_of)


def accept_deliveries(connection: duckdb.DuckDBPyConnection) -> None:
    """Make history of what was judged: the landing gate has passed with it."""
    if not _has_files(connection):
        return
    connection.execute(
        """
        insert into quality.accepted_files
        select file_path, content_hash from raw.files
        where status = 'loaded'
        except select file_path, content_hash from quality.accepted_files
        """
    )


def late_feeds(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the feeds that `judge_deliveries` found late, with its sentence of feed and days."""
    found = connection.execute(
        "select feed, min_by(sentence, measure) from quality.drift_findings"
        " where measure in ('gap', 'missing') group by feed order by feed"
    ).fetchall()
    return dict(found)


def _has_files(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = 'files'"
        " and database_name = current_database()"
    ).fetchone()
    return found is not None


def _choose(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Judge the files that no passed gate has seen.

    A new working database has seen none. Then what lies before the as-of day of the current release
    was in it, and without a release only the newest delivery of each feed is judged.
    """
    (has_memory,) = connection.execute(
        "select count(*) > 0 from quality.accepted_files"
    ).fetchone() or (False,)
    if has_memory:
        is_new = "where (file_path, content_hash) not in (from quality.accepted_files)"
    elif (released := _released_day(settings)) is not None:
        is_new = f"where delivery_day > date '{released}'"
    else:
        is_new = "qualify delivery_day = max(delivery_day) over (partition by feed)"
    connection.execute(
        f"""
        insert into quality.judged_files
        with landed as ({LANDED_FILES})

        select feed, file_path, load_id, delivery_day from landed
        {is_new}
        """
    )


def _released_day(settings: Settings) -> date | None:
    """As-of day of the current release, if there is one."""
    # the release asks the gates, so it cannot be imported above
    from orchestration.release import current_release, read_manifest  # noqa: PLC0415

    release = current_release(settings)
    if release is None:
        return None
    return date.fromisoformat(str(read_manifest(release).provenance["as_of"]))


def _find_drift(
    connection: duckdb.DuckDBPyConnection, bands: tuple[Band, ...], as_of: date
) -> None:
    """Compare the deliveries in `quality.judged_files` with earlier ones; see the module.

    Needs the tables of `profile_new_files`. Writes `quality.drift_findings`.
    """
    _load_bands(connection, bands)
    for statement in _COMPARE:
        connection.execute(statement)
    connection.execute(_sentences())
    for statement in _SILENCE:
        connection.execute(statement, {"as_of": as_of} if "$as_of" in statement else None)
    for table in _TEMPORARY:
        connection.execute(f"drop table if exists temp.{table}")


def _load_bands(connection: duckdb.DuckDBPyConnection, bands: tuple[Band, ...]) -> None:
    def shown(value: float | None) -> str:
        return "null" if value is None else repr(value)

    rows = ", ".join(
        f"({literal(band.measure)}, {literal(MEASURES[band.measure].kind)},"
        f" {shown(band.warning_change)}, {shown(band.critical_change)},"
        f" {band.warning_spreads!r}, {band.critical_spreads!r},"
        f" {band.least_deliveries}, {band.least_rows})"
        for band in bands
    )
    connection.execute(
        f"""
        create or replace temp table drift_bands as
        select
            measure, kind, warning_change::double as warning_change,
            critical_change::double as critical_change, warning_spreads::double as warning_spreads,
            critical_spreads::double as critical_spreads, least_deliveries, least_rows
        from (values {rows}) as bands (
            measure, kind, warning_change, critical_change, warning_spreads, critical_spreads,
            least_deliveries, least_rows
        )
        """
    )


_TEMPORARY = (
    "drift_bands", "drift_deliveries", "drift_measures", "drift_past", "drift_values",
    "drift_compared",
)  # fmt: skip

_COMPARE = (
    # every delivery, and whether it is judged
    f"""
    create or replace temp table drift_deliveries as
    with landed as ({LANDED_FILES})

    select
        feed,
        delivery_day,
        isodow(delivery_day) as weekday,
        sum(line_count) as line_count,
        sum(loaded_count) as loaded_count,
        sum(repeated_row_count) as repeated_count,
        sum(rejected_count) as rejected_count,
        bool_or(file_path in (select file_path from quality.judged_files)) as is_judged
    from landed
    group by feed, delivery_day
    """,
    # x and the number of rows it speaks of, for every delivery, column and measure
    """
    create or replace temp table drift_measures as
    select feed, delivery_day, '' as column_name, 'rows' as measure, '' as detail,
        ln(1 + line_count) as x, 1 / sqrt(1 + line_count) as error, line_count as row_count
    from drift_deliveries
    union all
    select feed, delivery_day, '', 'repeated', '', repeated_count / loaded_count, null, loaded_count
    from drift_deliveries where loaded_count > 0
    union all
    select feed, delivery_day, '', 'rejected', '', rejected_count / line_count, null, line_count
    from drift_deliveries where line_count > 0
    union all
    select
        profiles.feed,
        files.delivery_day,
        profiles.column_name,
        split_part(profiles.measure, ' ', 1),
        split_part(profiles.measure, ' in ', 2),
        sum(profiles.value * profiles.row_count) / sum(profiles.row_count),
        sqrt(sum(power(profiles.error * profiles.row_count, 2))) / sum(profiles.row_count),
        sum(profiles.row_count)
    from quality.file_profiles as profiles
    inner join quality.profiled_files as files using (feed, file_path, load_id)
    where profiles.measure <> 'value'
    group by all
    """,
    # which earlier deliveries a judged one is compared with
    f"""
    create or replace temp table drift_past as
    with earlier as (
        select
            judged.feed,
            judged.delivery_day as judged_day,
            past.delivery_day,
            past.weekday = judged.weekday as is_same_weekday
        from drift_deliveries as judged
        inner join drift_deliveries as past
            on judged.feed = past.feed and judged.delivery_day > past.delivery_day
        where judged.is_judged
        qualify row_number() over (
            partition by judged.feed, judged.delivery_day order by past.delivery_day desc
        ) <= {HISTORY}
    )

    select * from earlier
    """,
    # how far the frequent values of a delivery are from the mean of the earlier ones (and those
    # from the mean of the others): half the sum of the differences of the shares
    f"""
    create or replace temp table drift_values as
    with shares as (
        select
            profiles.feed,
            files.delivery_day,
            profiles.column_name,
            profiles.category,
            sum(profiles.value * profiles.row_count) as row_count
        from quality.file_profiles as profiles
        inner join quality.profiled_files as files using (feed, file_path, load_id)
        where profiles.measure = 'value'
        group by all
    ),

    filled as (
        select
            feed,
            delivery_day,
            column_name,
            x * row_count as row_count
        from drift_measures
        where measure = 'filled' and x > 0
        union all
        -- what is read out of several columns has no measure of its own
        select feed, delivery_day, column_name, sum(row_count)
        from shares
        where contains(column_name, ', ')
        group by all
    ),

    compared as (
        select feed, judged_day, judged_day as delivery_day, true as is_judged
        from drift_past group by all
        union all
        select feed, judged_day, delivery_day, false from drift_past
    ),

    present as (
        select
            compared.*,
            filled.column_name,
            filled.row_count,
            count(*) filter (not is_judged) over of_column as past_count,
            sum(filled.row_count) filter (not is_judged) over of_column as past_row_count
        from compared
        inner join filled using (feed, delivery_day)
        window of_column as (partition by feed, judged_day, filled.column_name)
    ),

    -- in a few rows every value is frequent, an id too: what counts comes often, or did before
    categories as (
        select present.feed, present.judged_day, present.column_name, shares.category
        from present
        inner join shares using (feed, delivery_day, column_name)
        group by all
        having
            max(shares.row_count) >= {OFTEN}
            or sum(shares.row_count) filter (not present.is_judged)
            >= greatest({OFTEN}, {LEAST_SHARE} * any_value(present.past_row_count))
    ),

    full_shares as (
        select
            present.feed,
            present.judged_day,
            present.column_name,
            present.delivery_day,
            present.is_judged,
            present.row_count,
            present.past_count,
            categories.category,
            coalesce(shares.row_count / present.row_count, 0) as share
        from present
        inner join categories using (feed, judged_day, column_name)
        left join shares using (feed, delivery_day, column_name, category)
    ),

    with_mean as (
        select
            *,
            (
                sum(share) filter (not is_judged) over (
                    partition by feed, judged_day, column_name, category
                ) - if(is_judged, 0, share)
            ) / nullif(past_count - if(is_judged, 0, 1), 0) as mean_share
        from full_shares
    )

    select
        feed,
        judged_day,
        delivery_day,
        column_name,
        any_value(row_count) as row_count,
        -- what the frequent values leave is one value more
        (sum(abs(share - mean_share)) + abs(sum(share) - sum(mean_share))) / 2 as x,
        arg_max(category, abs(share - mean_share)) as category,
        if(ends_with(column_name, ', hour'), 'hours', 'values') as measure
    from with_mean
    where mean_share is not null
    group by all
    """,
    """
    create or replace temp table drift_compared as
    with judged as (
        select measures.*, measures.delivery_day as judged_day
        from drift_measures as measures
        inner join drift_deliveries as deliveries using (feed, delivery_day)
        where deliveries.is_judged
        union all by name
        select
            feed, judged_day, delivery_day, column_name, measure, '' as detail, x, row_count
        from drift_values
        where judged_day = delivery_day
    ),

    -- the rows of a cluster are alike, so a share of many rows of few clusters is one of a few
    clusters as (
        select
            feed,
            delivery_day as judged_day,
            greatest(1, x * row_count) as cluster_count
        from drift_measures
        where measure = 'distinct' and (feed, column_name) in ($clusters)
    ),

    past as (
        select drift_past.judged_day, is_same_weekday, measures.*
        from drift_past
        inner join drift_measures as measures using (feed, delivery_day)
        union all by name
        select
            drift_past.judged_day, is_same_weekday, drift_past.feed,
            drift_past.delivery_day, column_name, measure, '' as detail, x, row_count
        from drift_past
        inner join drift_values using (feed, judged_day, delivery_day)
    ),

    -- of each weekday the middle, to tell the rhythm of the week from what varies within it
    centred as (
        select
            past.*,
            median(x) over (
                partition by feed, judged_day, column_name, measure, detail, isodow(delivery_day)
            ) as weekday_middle,
            median(x) over (
                partition by feed, judged_day, column_name, measure, detail
            ) as middle,
            measure = 'rows' and count(*) filter (is_same_weekday) over (
                partition by feed, judged_day, column_name, measure, detail
            ) >= $weekdays as by_weekday
        from past
        inner join drift_bands using (measure)
        -- a share of three rows says nothing about the share
        where row_count >= least_rows
    ),

    described as (
        select
            feed,
            judged_day,
            column_name,
            measure,
            detail,
            any_value(by_weekday) as by_weekday,
            count(*) as past_count,
            median(x) filter (is_same_weekday or not by_weekday) as expected,
            1.4826 * median(abs(x - if(by_weekday, weekday_middle, middle))) as spread,
            median(row_count) filter (is_same_weekday or not by_weekday) as usual_rows,
            min(x, 2) filter (is_same_weekday or not by_weekday) as lowest,
            max(x, 2) filter (is_same_weekday or not by_weekday) as highest
        from centred
        group by feed, judged_day, column_name, measure, detail
    ),

    measured as (
        select
            judged.feed,
            judged.judged_day as delivery_day,
            judged.column_name,
            judged.measure,
            judged.detail,
            judged.x,
            judged.error,
            judged.row_count,
            least(judged.row_count, coalesce(cluster_count, judged.row_count)) as sample_size,
            described.* exclude (feed, judged_day, column_name, measure, detail),
            bands.* exclude (measure),
            -- what past deliveries differ by holds their chance too: the larger, not both
            greatest(
                -- a median deviation of few is uncertain
                spread * (1 + 2 / past_count)
                -- what has no error of its own varies more in fewer rows
                * if(
                    kind = 'level' and judged.error is null,
                    sqrt(greatest(1, usual_rows / greatest(judged.row_count, 1))),
                    1
                ),
                case
                    -- the error of a draw; half a row of each kind keeps it above zero
                    when kind = 'share' then sqrt(
                        ((expected * sample_size + 0.5) / (sample_size + 1))
                        * (((1 - expected) * sample_size + 0.5) / (sample_size + 1))
                        / sample_size
                    )
                    -- of an expected number of lines, not of the one that came
                    when judged.measure = 'rows' then exp(-expected / 2)
                    else coalesce(judged.error, 0)
                end
            )
            -- more rows repeat more values, so the share of different ones falls
            + if(
                judged.measure = 'distinct',
                (1 - expected) * abs(ln(judged.row_count / usual_rows)),
                0
            ) as whole_spread
        from judged
        inner join described
            using (feed, judged_day, column_name, measure, detail)
        inner join drift_bands as bands on judged.measure = bands.measure
        left join clusters using (feed, judged_day)
        where
            past_count >= least_deliveries
            and judged.row_count >= least_rows
            -- ids of sessions or visitors: where most are new in every delivery, none is usual
            and (judged.measure <> 'values' or expected <= 0.5)
    )

    select
        *,
        abs(x - expected) as change,
        greatest(warning_change, warning_spreads * whole_spread) as band,
        -- what came twice before, or nearly so, has happened; once is an accident
        x < list_last(lowest) - warning_change / 4
        or x > list_last(highest) + warning_change / 4 as is_new,
        case
            when not is_new then null
            -- a short history may hold no second delivery of a kind: enough for a look, no more;
            -- and what the fewest rows have in common is more often chance
            when
                past_count >= 2 * least_deliveries
                and change
                >= critical_change * greatest(1, 1.5 * least_rows / greatest(row_count, 1))
                and change >= critical_spreads * whole_spread
                then 'critical'
            when change >= warning_change and change >= warning_spreads * whole_spread
                then 'warning'
        end as level
    from measured
    """.replace("$weekdays", str(SAME_WEEKDAYS)).replace(
        "$clusters",
        ", ".join(
            f"({literal(feed.name)}, {literal(feed.cluster)})" for feed in FEEDS if feed.cluster
        ),
    ),
)


def _sentences() -> str:
    """SQL that turns what drifted into findings."""

    def shown(value: str) -> str:
        cases = " ".join(
            f"when '{name}' then {measure.shown.replace('x', value)}"
            if "exp(" not in measure.shown
            else f"when '{name}' then {measure.shown.replace('exp(x)', f'exp({value})')}"
            for name, measure in MEASURES.items()
            if measure.shown
        )
        return f"case measure {cases} end"

    says = " ".join(
        f"when '{name}' then {literal(measure.says)}"
        for name, measure in MEASURES.items()
        if measure.says
    )
    return f"""
        insert into quality.drift_findings
        with worded as (
            select
                drifted.*,
                {shown("x")} as x_shown,
                {shown("(expected - band)")} as low_shown,
                {shown("(expected + band)")} as high_shown,
                case measure {says} end || if(detail = '', '', ' in ' || detail) as says
            from drift_compared as drifted
            where level is not null
        )

        select
            concat_ws(
                ' ', feed, delivery_day, nullif(column_name, ''), measure, nullif(detail, '')
            ),
            feed,
            delivery_day,
            nullif(column_name, ''),
            measure || if(detail = '', '', ' in ' || detail),
            level,
            x,
            expected,
            expected - band,
            expected + band,
            change / nullif(whole_spread, 0),
            feed || ' of ' || delivery_day || if(column_name = '', '', ', ' || column_name) || ': '
            || says || ' ' || x_shown || ', usually ' || low_shown || ' to ' || high_shown
            || if(by_weekday, ' on this weekday', '') || ' (' || past_count || ' deliveries)'
        from worded
    """


_SILENCE = (
    # A feed is silent for longer than it ever was, the longest pause of all set aside.
    """
    insert into quality.drift_findings
    with paused as (
        select
            feed,
            delivery_day,
            delivery_day - lag(delivery_day) over (
                partition by feed order by delivery_day
            ) as pause
        from drift_deliveries
        where delivery_day <= $as_of
    ),

    rhythm as (
        select
            feed,
            max(delivery_day) as newest,
            count(pause) as pause_count,
            greatest(
                coalesce(list_last(max(pause, 2)), 1),
                median(pause) + 3 * 1.4826 * mad(pause)
            ) as longest
        from paused
        group by feed
    ),

    silent as (
        select
            rhythm.*,
            bands.*,
            $as_of - newest as silence,
            case
                when
                    pause_count >= 2 * least_deliveries
                    and silence > longest * (1 + critical_change) + 1
                    then 'critical'
                when silence > longest * (1 + warning_change) then 'warning'
            end as level
        from rhythm
        inner join drift_bands as bands on bands.measure = 'gap'
        where pause_count >= least_deliveries
    )

    select
        feed || ' ' || newest || ' gap', feed, newest, null, 'gap', level, silence, longest,
        1, longest * (1 + warning_change), null,
        feed || ': nothing since ' || newest || ', ' || silence::integer || ' days before '
        || $as_of || '; its pauses are of at most ' || longest::integer
        || if(longest = 1, ' day', ' days')
    from silent
    where level is not null
    """,
    # On the newest day half of the feeds came, and this one, which always comes then, did not.
    """
    insert into quality.drift_findings
    with days as (
        select delivery_day
        from drift_deliveries
        group by delivery_day
        having
            2 * count(*) >= (select count(distinct feed) from drift_deliveries)
            and delivery_day <= $as_of
    ),

    newest as (
        select max(delivery_day) as newest from days
    ),

    attended as (
        select
            feeds.feed,
            count(*) filter (days.delivery_day < newest) as day_count,
            count(deliveries.feed) filter (days.delivery_day < newest) as came_count,
            bool_or(deliveries.feed is not null and days.delivery_day = newest) as is_there,
            any_value(newest) as newest
        from (
            select feed, min(delivery_day) as first_day from drift_deliveries group by feed
        ) as feeds
        inner join days on days.delivery_day >= first_day
        cross join newest
        left join drift_deliveries as deliveries
            on deliveries.feed = feeds.feed and deliveries.delivery_day = days.delivery_day
        group by feeds.feed
    )

    select
        feed || ' ' || newest || ' missing', feed, newest, null, 'missing', 'warning', 0, 1, 1, 1,
        null,
        feed || ': no delivery of ' || newest || ', though other feeds came; it came on all '
        || day_count || ' such days before'
    from attended
    inner join drift_bands as bands on bands.measure = 'missing'
    where not is_there and came_count = day_count and day_count >= least_deliveries
    """,
)
