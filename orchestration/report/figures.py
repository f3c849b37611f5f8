"""The figures of a release as small tables: what the report shows and what it is tested against.

Each is one query over the marts, so every number on the page can be asked again. None speaks of
fewer than `FLOOR` people: a smaller count becomes null, with what is said beside it, and where the
other groups and their sum would give it away, the next smallest does too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb

from orchestration.sql import literal, rows

# As the role `dashboard`: figures for everybody speak of ten people or of nobody.
FLOOR = 10

Row = dict[str, Any]


@dataclass(frozen=True)
class Count:
    """A column that counts people, or what belongs to one person each.

    beside: columns that would tell it, hidden with it. of: the count of which it is a part; what is
    left of that one may not be few either.
    """

    name: str
    beside: tuple[str, ...] = ()
    of: str = ""


@dataclass(frozen=True)
class Figure:
    """A table of figures.

    key: its name in `report.json`. title: what it shows. unit: what its numbers count. marts: where
    they come from. query: over schema `marts`; `{as_of}` is the day as a literal. people: its
    counts of people. parts_of: columns within which the first count adds up to a number that is
    told elsewhere; none when it does not, empty when all rows do.
    """

    key: str
    title: str
    unit: str
    marts: tuple[str, ...]
    query: str
    people: tuple[Count, ...] = ()
    parts_of: tuple[str, ...] | None = None


HEADLINE = Figure(
    "headline",
    "Headline numbers",
    "as named",
    ("customers", "customer_retention", "customer_value", "orders", "surveys"),
    """
    with bought as (
        select
            sum(reporting_net_amount) filter (where ordered_at >= {as_of} - interval 29 days)
                as month_amount,
            sum(reporting_net_amount) as year_amount
        from marts.orders
        where
            is_counted
            and ordered_at >= {as_of} - interval 364 days
            and ordered_at < {as_of} + interval 1 day
    ),

    states as (
        select
            count(*) filter (where is_active or is_reactivated) as active_count,
            count(*) filter (where purchase_count > 0) as buyer_count,
            count(*) filter (where purchase_count > 1) as repeat_buyer_count
        from marts.customer_retention
    ),

    scores as (
        select
            count(nps_score) as score_count,
            count(*) filter (where nps_category = 'promoter') as promoter_count,
            count(*) filter (where nps_category = 'detractor') as detractor_count
        from marts.surveys
        where
            is_counted
            and responded_at >= {as_of} - interval 364 days
            and responded_at < {as_of} + interval 1 day
    )

    select
        (select count(*) from marts.customers) as customers,
        states.active_count as active_customers,
        coalesce(bought.month_amount, 0) as net_revenue_30_days,
        coalesce(bought.year_amount, 0) as net_revenue_365_days,
        case when states.buyer_count >= {floor}
            then states.repeat_buyer_count / states.buyer_count end as repeat_rate,
        (select coalesce(sum(expected_value_365_days), 0) from marts.customer_value)
            as expected_value_365_days,
        case when scores.score_count >= {floor}
            then 100.0 * (scores.promoter_count - scores.detractor_count) / scores.score_count end
            as net_promoter_score_365_days,
        (select count(*) filter (where is_contactable_by_email) from marts.customers)
            as contactable_audience,
        (select max(reporting_currency_code) from marts.customer_value) as currency_code
    from bought
    cross join states
    cross join scores
    """,
    people=(
        Count(
            "customers",
            beside=("net_revenue_30_days", "net_revenue_365_days", "expected_value_365_days"),
        ),
        Count("active_customers", of="customers"),
        Count("contactable_audience", of="customers"),
    ),
)

FIGURES = (
    Figure(
        "sources",
        "Records of people, and customers, by source",
        "records, customers",
        ("customer_sources",),
        """
        select
            source,
            count(*) as record_count,
            count(distinct customer_id) as customer_count
        from marts.customer_sources
        group by source
        order by record_count desc, source
        """,
        people=(Count("customer_count", beside=("record_count",)),),
    ),
    Figure(
        "source_counts",
        "Customers by the number of sources that know them",
        "customers",
        ("customers",),
        """
        select source_count, count(*) as customer_count
        from marts.customers
        group by source_count
        order by source_count
        """,
        people=(Count("customer_count"),),
        parts_of=(),
    ),
    Figure(
        "cluster_sizes",
        "Customers by the number of records merged into them",
        "customers",
        ("customers",),
        """
        with sized as (
            select case
                when record_count <= 5 then record_count::varchar
                when record_count <= 10 then '6-10'
                when record_count <= 20 then '11-20'
                else 'over 20'
            end as records, record_count
            from marts.customers
        )

        select records, count(*) as customer_count
        from sized
        group by records
        order by min(record_count)
        """,
        people=(Count("customer_count"),),
        parts_of=(),
    ),
    Figure(
        "match_bands",
        "Pairs of records by the probability that they are one person",
        "pairs of records",
        ("customer_matches",),
        """
        with banded as (
            select
                outcome,
                case
                    when match_probability >= 0.999 then '99.9-100 %'
                    when match_probability >= 0.99 then '99-99.9 %'
                    when match_probability >= 0.95 then '95-99 %'
                    when match_probability >= 0.9 then '90-95 %'
                    else floor(match_probability * 10)::bigint * 10 || '-'
                        || (floor(match_probability * 10)::bigint * 10 + 10) || ' %'
                end as probability,
                match_probability
            from marts.customer_matches
            where match_probability is not null
        )

        select probability, outcome, count(*) as pair_count
        from banded
        group by probability, outcome
        order by min(match_probability), outcome
        """,
    ),
    Figure(
        "refused_merges",
        "Merges that were refused, by reason",
        "pairs of records",
        ("customer_matches",),
        """
        select refused_reason as reason, count(*) as pair_count
        from marts.customer_matches
        where outcome = 'refused'
        group by refused_reason
        order by pair_count desc, reason
        """,
    ),
    Figure(
        "lifecycle_stages",
        "Customers by stage of their life",
        "customers",
        ("customer_segments",),
        """
        select lifecycle_stage, count(*) as customer_count
        from marts.customer_segments
        group by lifecycle_stage
        order by customer_count desc, lifecycle_stage
        """,
        people=(Count("customer_count"),),
        parts_of=(),
    ),
    Figure(
        "rfm_segments",
        "RFM segments: share of buyers, share of net revenue",
        "customers, net revenue",
        ("customer_segments",),
        """
        select
            coalesce(rfm_segment, 'none') as rfm_segment,
            count(*) as customer_count,
            sum(reporting_net_amount) as net_amount
        from marts.customer_segments
        where purchase_count > 0
        group by rfm_segment
        order by net_amount desc nulls last, rfm_segment
        """,
        people=(Count("customer_count", beside=("net_amount",)),),
        parts_of=(),
    ),
    Figure(
        "segments",
        "Segments by rule",
        "members",
        ("segments",),
        """
        select segment_group, segment, description, member_count, customer_ratio
        from marts.segments
        where segment_group not in ('rfm', 'lifecycle', 'value')
        order by segment_group, member_count desc, segment
        """,
        people=(Count("member_count", beside=("customer_ratio",)),),
    ),
    Figure(
        "cohort_retention",
        "How many of a cohort bought again, by months since the first purchase",
        "share of the cohort",
        ("cohort_retention",),
        # Months of few people are told by quarter: people and purchases of cohorts add up.
        """
        with recent as (
            select
                *,
                avg(cohort_size) filter (where period_offset = 0) over () < 400 as is_sparse
            from marts.cohort_retention
            where cohort_start >= {as_of} - interval 3 years
        ),

        summed as (
            select
                cohort_period,
                date_trunc(
                    case when is_sparse then 'quarter' else 'month' end, cohort_start
                )::date as cohort_start,
                is_sparse,
                period_offset,
                sum(cohort_size)::bigint as customer_count,
                sum(retained_count)::bigint as retained_count,
                count(*) as part_count,
                bool_and(is_complete) as is_complete
            from recent
            group by all
        )

        select
            cohort_start,
            case when is_sparse then 'quarter' else 'month' end as cohort,
            cohort_period,
            period_offset,
            customer_count,
            retained_count,
            retained_count / customer_count as retained_ratio
        from summed
        -- only months that lie behind all of the cohort
        qualify
            is_complete
            and part_count = max(part_count) over (partition by cohort_start)
            and period_offset between 1 and 24
        order by cohort_start, period_offset
        """,
        people=(
            Count("customer_count", beside=("retained_count", "retained_ratio")),
            Count("retained_count", beside=("retained_ratio",), of="customer_count"),
        ),
    ),
    Figure(
        "retention_bridge",
        "Why the number of active customers moved",
        "customers",
        ("retention_bridge",),
        # Moves of everybody together: nothing by which to tell who they are, so none is hidden.
        """
        select
            month_start,
            opening_count,
            new_count,
            reactivated_count,
            gained_by_identity_count,
            lapsed_count,
            lost_by_identity_count,
            closing_count,
            is_complete
        from marts.retention_bridge
        where month_start > {as_of} - interval 13 months
        order by month_start
        """,
    ),
    Figure(
        "revenue",
        "Net revenue by month and channel",
        "net revenue",
        ("orders",),
        """
        select
            date_trunc('month', ordered_at)::date as month,
            channel,
            count(*) as purchase_count,
            -- a purchase of nobody known is one of somebody
            count(distinct coalesce(customer_id, order_key)) as customer_count,
            coalesce(sum(reporting_net_amount), 0) as net_amount
        from marts.orders
        where
            is_counted
            and ordered_at >= date_trunc('month', {as_of} - interval 23 months)
            and ordered_at < {as_of} + interval 1 day
        group by month, channel
        order by month, channel
        """,
        people=(Count("customer_count", beside=("purchase_count", "net_amount")),),
    ),
    Figure(
        "value_tiers",
        "What each tier of customers brought, and is expected to",
        "net revenue",
        ("customer_value",),
        """
        select
            value_tier,
            count(*) as customer_count,
            sum(reporting_net_amount) as net_amount,
            sum(expected_value_365_days) as expected_amount
        from marts.customer_value
        where value_tier in ('top', 'high', 'middle', 'low', 'lowest')
        group by value_tier
        order by array_position(['top', 'high', 'middle', 'low', 'lowest'], value_tier)
        """,
        people=(Count("customer_count", beside=("net_amount", "expected_amount")),),
    ),
    Figure(
        "net_promoter_scores",
        "Net promoter score",
        "-100 to 100",
        ("feedback_scores",),
        # Months of few answers are told by quarter.
        """
        with recent as (
            select
                *,
                sum(nps_response_count) over () / count(distinct month) over () < 50 as is_sparse
            from marts.feedback_scores
            where month > {as_of} - interval 3 years
        )

        select
            date_trunc(case when is_sparse then 'quarter' else 'month' end, month)::date as period,
            sum(nps_response_count)::bigint as response_count,
            100.0 * (sum(promoter_count) - sum(detractor_count)) / sum(nps_response_count)
                as net_promoter_score
        from recent
        group by period
        having sum(nps_response_count) > 0
        order by period
        """,
        people=(Count("response_count", beside=("net_promoter_score",)),),
    ),
    Figure(
        "engagement_levels",
        "Customers by how much they do in each channel",
        "share of customers",
        ("customer_segments",),
        """
        with levels as (
            unpivot (
                select mail_engagement as mail, web_engagement as web, shop_engagement as shop,
                    pos_engagement as till, support_engagement as support
                from marts.customer_segments
            )
            on mail, web, shop, till, support into name channel value level
        )

        select channel, level, count(*) as customer_count
        from levels
        group by channel, level
        order by channel, array_position(['high', 'medium', 'low', 'none'], level) nulls last, level
        """,
        people=(Count("customer_count"),),
        parts_of=("channel",),
    ),
    Figure(
        "feedback_themes",
        "What customers speak of, and how",
        "comments",
        ("customer_feedback_themes",),
        """
        select
            theme,
            count(distinct customer_id) as customer_count,
            sum(comment_count)::bigint as comment_count,
            sum(positive_comment_count)::bigint as positive_count,
            sum(negative_comment_count)::bigint as negative_count
        from marts.customer_feedback_themes
        group by theme
        order by comment_count desc, theme
        """,
        people=(
            Count("customer_count", beside=("comment_count", "positive_count", "negative_count")),
            Count("positive_count", of="comment_count"),
            Count("negative_count", of="comment_count"),
        ),
    ),
    Figure(
        "purchase_funnel",
        "From looking at a product to an order",
        "people",
        ("purchase_funnel",),
        """
        select event_type as step, unique_count as customer_count, conversion_ratio, step_ratio
        from marts.purchase_funnel
        order by step_number
        """,
        people=(Count("customer_count", beside=("conversion_ratio", "step_ratio")),),
    ),
    Figure(
        "attribution",
        "Net revenue of twelve months by channel, in five models",
        "net revenue",
        ("channel_performance",),
        """
        select
            channel,
            attribution_model,
            sum(credit_count)::bigint as purchase_count,
            sum(reporting_credited_amount) as credited_amount
        from marts.channel_performance
        where purchase_month > {as_of} - interval 12 months
        group by channel, attribution_model
        order by channel, attribution_model
        """,
        people=(Count("purchase_count", beside=("credited_amount",)),),
    ),
    Figure(
        "consent",
        "What customers agreed to",
        "share of customers",
        ("customer_consent", "customers"),
        """
        with stated as (
            select purpose, consent_status, count(distinct customer_id) as customer_count
            from marts.customer_consent
            where is_current
            group by purpose, consent_status
        ),

        unknown as (
            select
                purpose,
                'unknown' as consent_status,
                (select count(*) from marts.customers) - sum(customer_count)::bigint
                    as customer_count
            from stated
            group by purpose
        )

        select *
        from (select * from stated union all select * from unknown)
        order by
            purpose,
            array_position(['granted', 'withdrawn', 'unknown'], consent_status) nulls last,
            consent_status
        """,
        people=(Count("customer_count"),),
        parts_of=("purpose",),
    ),
    Figure(
        "audiences",
        "Audiences: who may be contacted",
        "customers",
        ("audience_sizes",),
        """
        select
            audience,
            channel,
            segment_member_count,
            member_count,
            no_consent_count,
            suppressed_count,
            no_address_count
        from marts.audience_sizes
        order by member_count desc, audience
        """,
        people=(
            Count(
                "segment_member_count",
                beside=("member_count", "no_consent_count", "suppressed_count", "no_address_count"),
            ),
            Count("member_count", of="segment_member_count"),
            Count("no_consent_count", of="segment_member_count"),
            Count("suppressed_count", of="segment_member_count"),
            Count("no_address_count", of="segment_member_count"),
        ),
    ),
)


def collect(connection: duckdb.DuckDBPyConnection, as_of: date) -> dict[str, list[Row]]:
    """Return the rows of every figure by its key, ready for JSON, small groups hidden.

    connection: its current database is a release. Raises duckdb.Error when the marts are not those
    that the figures ask for.
    """
    return {figure.key: ask(connection, figure, as_of) for figure in (HEADLINE, *FIGURES)}


def ask(connection: duckdb.DuckDBPyConnection, figure: Figure, as_of: date) -> list[Row]:
    """Return the rows of one figure, ready for JSON, small groups hidden."""
    day = f"date {literal(as_of.isoformat())}"
    found = rows(connection, figure.query.format(as_of=day, floor=FLOOR))
    plain = [{name: _plain(value) for name, value in row.items()} for row in found]
    return hide_few(plain, figure)


def hide_few(found: Sequence[Row], figure: Figure) -> list[Row]:
    """Return the rows without what they say of fewer than `FLOOR` people."""
    shown = [dict(row) for row in found]
    for position, count in enumerate(figure.people):
        few = [
            row
            for row, told in zip(shown, found, strict=True)
            if is_few(told[count.name])
            or (count.of and is_few((told[count.of] or 0) - (told[count.name] or 0)))
        ]
        if position == 0 and figure.parts_of is not None:
            few += list(_next_smallest(found, shown, count.name, figure.parts_of))
        for row in few:
            row.update(dict.fromkeys((count.name, *count.beside)))
    return shown


def is_few(count: int | None) -> bool:
    """Whether a count speaks of people, but of too few; nobody is not few."""
    return count is not None and 0 < count < FLOOR


def _next_smallest(
    found: Sequence[Row], shown: Sequence[Row], count: str, parts_of: Sequence[str]
) -> Iterable[Row]:
    """The group that must be hidden with others of its whole that are too few even together."""
    for whole in {tuple(row[name] for name in parts_of) for row in found}:
        parts = [
            number
            for number, row in enumerate(found)
            if tuple(row[name] for name in parts_of) == whole and row[count]
        ]
        hidden = [number for number in parts if is_few(found[number][count])]
        others = [number for number in parts if number not in hidden]
        if others and is_few(sum(found[number][count] for number in hidden)):
            yield shown[min(others, key=lambda number: (found[number][count], number))]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value


def currency_of(figures: Mapping[str, Sequence[Row]]) -> str:
    """The currency of every amount, or nothing when there is no customer."""
    headline = figures["headline"]
    return str(headline[0]["currency_code"] or "") if headline else ""
