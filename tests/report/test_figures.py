"""The figures of a report: equal to the release, and silent about few people."""

import itertools
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.report.figures import (
    FIGURES,
    FLOOR,
    HEADLINE,
    Count,
    Figure,
    collect,
    hide_few,
    is_few,
)
from orchestration.report.reports import Report

AS_OF = date(2026, 6, 30)
GROUPS = Figure("groups", "", "", (), "", people=(Count("people"),), parts_of=())


def _hidden(counts: list[int]) -> list[int | None]:
    return [row["people"] for row in hide_few([{"people": count} for count in counts], GROUPS)]


def test_a_group_of_nine_is_hidden_and_one_of_ten_is_told() -> None:
    assert is_few(1)
    assert is_few(FLOOR - 1)
    assert not is_few(FLOOR)
    assert not is_few(0), "nobody is not few"


def test_the_only_small_group_takes_the_next_smallest_with_it() -> None:
    assert _hidden([50, 3, 20]) == [50, None, None]


def test_small_groups_that_are_enough_together_hide_no_other() -> None:
    assert _hidden([50, 6, 7, 20]) == [50, None, None, 20]


def test_what_is_left_of_a_whole_may_not_be_few_either() -> None:
    figure = Figure(
        "", "", "", (), "", people=(Count("all"), Count("some", beside=("ratio",), of="all"))
    )
    row = {"all": 30, "some": 27, "ratio": 0.9}
    assert hide_few([row], figure) == [{"all": 30, "some": None, "ratio": None}]


def test_what_stands_beside_a_hidden_count_is_hidden_with_it() -> None:
    figure = Figure("", "", "", (), "", people=(Count("people", beside=("amount",)),))
    assert hide_few([{"people": 2, "amount": 99.5, "name": "x"}], figure) == [
        {"people": None, "amount": None, "name": "x"}
    ]


@given(st.lists(st.integers(0, 60), max_size=8))
def test_no_small_group_can_be_told_from_the_others_and_their_sum(counts: list[int]) -> None:
    shown = _hidden(counts)
    assert all(told in (None, count) for told, count in zip(shown, counts, strict=True))
    hidden = [count for told, count in zip(shown, counts, strict=True) if told is None]
    assert not any(is_few(count) for count in shown if count is not None)
    if hidden and len(hidden) < sum(count > 0 for count in counts):
        assert sum(hidden) >= FLOOR


# What the report says of the sample, asked once more in other words of other marts.
ASKED_AGAIN: dict[str, str] = {
    "customers": "select count(distinct customer_id) from marts.customer_sources",
    "active_customers": """
        select count(*) from marts.customer_segments
        where lifecycle_stage in ('active', 'new', 'reactivated')
    """,
    "net_revenue_30_days": """
        select sum(reporting_net_amount) from marts.orders
        where is_counted and ordered_at::date between date '2026-06-01' and date '2026-06-30'
    """,
    "net_revenue_365_days": """
        select sum(reporting_net_amount) from marts.orders
        where is_counted and ordered_at::date between date '2025-07-01' and date '2026-06-30'
    """,
    "repeat_rate": """
        select count(*) filter (where purchase_count >= 2) / count(*) from marts.customer_purchases
    """,
    "expected_value_365_days": """
        select sum(expected_value_365_days) from marts.customer_value where purchase_count > 0
    """,
    "net_promoter_score_365_days": """
        select 100 * avg(case when nps_score >= 9 then 1 when nps_score <= 6 then -1 else 0 end)
        from marts.surveys
        where is_counted and nps_score is not null
            and responded_at::date between date '2025-07-01' and date '2026-06-30'
    """,
    "contactable_audience": """
        select count(*) from marts.customers as customers
        where email_marketing_consent = 'granted' and email is not null
            and customer_id not in (
                select customer_id from marts.customer_suppressions where channel = 'email'
            )
    """,
}


@pytest.mark.parametrize("key", ASKED_AGAIN)
def test_a_headline_number_equals_another_query_of_the_release(
    key: str, sample_report: Report, sample_release: Path
) -> None:
    with duckdb.connect(str(sample_release), read_only=True) as connection:
        (expected,) = connection.execute(ASKED_AGAIN[key]).fetchone() or (None,)
    (headline,) = sample_report.figures["headline"]
    assert headline[key] == pytest.approx(float(expected))


def test_groups_add_up_to_what_the_release_holds(
    sample_report: Report, sample_release: Path
) -> None:
    figures = sample_report.figures

    def total(key: str, column: str) -> float:
        return sum(row[column] or 0 for row in figures[key])

    with duckdb.connect(str(sample_release), read_only=True) as connection:

        def ask(query: str) -> Any:
            return (connection.execute(query).fetchone() or (None,))[0]

        customers = ask("select count(*) from marts.customers")
        records = ask("select count(*) from marts.customer_sources")
        pairs = ask("select count(*) from marts.customer_matches")
        revenue = float(
            ask(
                "select sum(reporting_net_amount) from marts.orders"
                " where is_counted and ordered_at >= '2024-07-01'"
            )
        )
        by_model = connection.execute(
            "select sum(reporting_credited_amount)::double from marts.channel_performance"
            " where purchase_month >= '2025-07-01' group by attribution_model"
        ).fetchall()
    assert total("lifecycle_stages", "customer_count") == customers
    assert total("sources", "record_count") == records
    assert total("match_bands", "pair_count") == pairs
    assert total("revenue", "net_amount") == pytest.approx(revenue)
    assert total("attribution", "credited_amount") == pytest.approx(sum(one for (one,) in by_model))
    for purpose in {row["purpose"] for row in figures["consent"]}:
        told = [row["customer_count"] for row in figures["consent"] if row["purpose"] == purpose]
        assert sum(told) == customers, purpose


def test_a_bridge_leads_from_each_month_to_the_next(sample_report: Report) -> None:
    months = sample_report.figures["retention_bridge"]
    assert len(months) == 13
    for month, following in itertools.pairwise(months):
        assert month["closing_count"] == following["opening_count"]
        gained = month["new_count"] + month["reactivated_count"] + month["gained_by_identity_count"]
        lost = month["lapsed_count"] + month["lost_by_identity_count"]
        assert month["opening_count"] + gained - lost == month["closing_count"]


def test_no_figure_speaks_of_fewer_than_ten_people(sample_report: Report) -> None:
    for figure in (HEADLINE, *FIGURES):
        for row in sample_report.figures[figure.key]:
            for count in figure.people:
                assert not is_few(row[count.name]), (figure.key, row)


def test_a_report_of_nobody_has_figures_without_rows(sample_release: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "nobody.duckdb")) as connection:
        connection.execute(f"attach '{sample_release}' as sample (read_only)")
        connection.execute("create schema marts")
        for (mart,) in connection.execute(
            "select table_name from duckdb_tables() where database_name = 'sample'"
        ).fetchall():
            connection.execute(f"create table marts.{mart} as from sample.marts.{mart} limit 0")
        figures = collect(connection, AS_OF)
    (headline,) = figures.pop("headline")
    assert headline["customers"] == 0
    assert headline["net_revenue_365_days"] == 0
    assert headline["repeat_rate"] is None
    assert not any(figures.values())
