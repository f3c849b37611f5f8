"""Metrics of the semantic layer are what plain SQL says of the release."""

from pathlib import Path

import duckdb
import pytest

from orchestration.database import DatabaseFile
from orchestration.settings import Settings
from orchestration.transform.metrics import MetricError, list_metrics, query_metrics

SQL = {
    "customers": "select count(*) from marts.customers",
    "contactable_audience": "select count(*) from marts.customers where is_contactable_by_email",
    "text_audience": "select count(*) from marts.customers where is_contactable_by_sms",
    "purchases": "select count(*) from marts.orders where is_counted",
    "priced_purchases": ("select count(reporting_net_amount) from marts.orders where is_counted"),
    "gross_revenue": "select sum(reporting_total_amount) from marts.orders where is_counted",
    "net_revenue": "select sum(reporting_net_amount) from marts.orders where is_counted",
    "average_order_value": (
        "select sum(reporting_net_amount)::double / count(reporting_net_amount)"
        " from marts.orders where is_counted"
    ),
    "buyers": "select count(*) from marts.customer_purchases",
    "repeat_buyers": "select count(*) from marts.customer_purchases where purchase_count > 1",
    "repeat_rate": (
        "select (count(*) filter (where purchase_count > 1))::double / count(*)"
        " from marts.customer_purchases"
    ),
    "active_customers": (
        "select count(*) from marts.customer_retention where is_active or is_reactivated"
    ),
    "lapsed_customers": "select count(*) from marts.customer_retention where is_lapsed",
    "valued_customers": "select count(*) from marts.customer_purchases",
    "total_historical_value": "select sum(reporting_net_amount) from marts.customer_purchases",
    "total_expected_value": "select sum(expected_value_365_days) from marts.customer_value",
    "customer_lifetime_value": (
        "select (sum(reporting_net_amount) + sum(expected_value_365_days))::double"
        " / count(*) filter (where purchase_count > 0) from marts.customer_value"
    ),
    "cohort_customers": "select sum(cohort_size) from marts.cohort_retention",
    "retained_customers": "select sum(retained_count) from marts.cohort_retention",
    "retention_rate": (
        "select sum(retained_count)::double / sum(cohort_size) from marts.cohort_retention"
    ),
    "scored_responses": "select sum(nps_response_count) from marts.feedback_scores",
    "promoters": "select sum(promoter_count) from marts.feedback_scores",
    "detractors": "select sum(detractor_count) from marts.feedback_scores",
    "net_promoter_score": (
        "select 100.0 * (sum(promoter_count) - sum(detractor_count)) / sum(nps_response_count)"
        " from marts.feedback_scores"
    ),
}


@pytest.fixture(scope="module")
def settings(parsed_project: Path) -> Settings:
    return Settings(home=parsed_project.parent)


def test_every_metric_is_what_sql_says(sample_release: Path, settings: Settings) -> None:
    assert {metric.name for metric in list_metrics(settings)} == set(SQL)
    answer = query_metrics(settings, DatabaseFile(sample_release), list(SQL))
    assert len(answer.rows) == 1
    found = dict(zip(answer.columns, answer.rows[0], strict=True))
    with duckdb.connect(str(sample_release), read_only=True) as connection:
        for name, query in SQL.items():
            (expected,) = connection.execute(query).fetchall()[0]
            assert expected, name
            assert float(found[name]) == pytest.approx(float(expected), abs=1e-9), name


def test_metrics_by_month_and_channel_are_what_sql_says(
    sample_release: Path, settings: Settings
) -> None:
    answer = query_metrics(
        settings,
        DatabaseFile(sample_release),
        ["net_revenue", "purchases"],
        group_by=["metric_time__month", "order__channel"],
        where="{{ Dimension('order__currency_code') }} = 'EUR'",
        order_by=["metric_time__month", "order__channel"],
    )
    with duckdb.connect(str(sample_release), read_only=True) as connection:
        expected = connection.execute(
            """
            select
                date_trunc('month', ordered_at), channel,
                sum(reporting_net_amount) filter (where is_counted),
                count(*) filter (where is_counted)
            from marts.orders where currency_code = 'EUR' group by 1, 2 order by 1, 2
            """
        ).fetchall()
    months = [(month, channel, net, count) for month, channel, net, count in answer.rows]
    assert [(str(m)[:10], *rest) for m, *rest in months] == [
        (str(m)[:10], *rest) for m, *rest in expected
    ]


def test_retention_by_period_and_revenue_by_country_join_what_belongs_together(
    sample_release: Path, settings: Settings
) -> None:
    by_period = query_metrics(
        settings,
        DatabaseFile(sample_release),
        ["retention_rate"],
        group_by=["cohort_cell__period_offset"],
        order_by=["cohort_cell__period_offset"],
        limit=6,
    )
    by_country = query_metrics(
        settings,
        DatabaseFile(sample_release),
        ["net_revenue"],
        group_by=["customer__country"],
        order_by=["net_revenue"],
    )
    with duckdb.connect(str(sample_release), read_only=True) as connection:
        periods = connection.execute(
            "select period_offset, sum(retained_count)::double / sum(cohort_size)"
            " from marts.cohort_retention group by 1 order by 1 limit 6"
        ).fetchall()
        countries = connection.execute(
            "select country, sum(orders.reporting_net_amount) filter (where orders.is_counted)"
            " from marts.orders left join marts.customers using (customer_id) group by 1"
        ).fetchall()
    assert list(by_period.rows) == periods
    assert dict(by_country.rows) == dict(countries)


@pytest.mark.parametrize(
    ("metrics", "group_by", "sentence"),
    [
        (["revenue"], [], "There is no metric revenue; there are active_customers,"),
        ([], [], "No metric was asked for"),
        (
            ["net_revenue"],
            ["order__colour"],
            "MetricFlow cannot answer net_revenue by",
        ),
    ],
)
def test_a_question_that_cannot_be_answered_says_what_can(
    settings: Settings, sample_release: Path, metrics: list[str], group_by: list[str], sentence: str
) -> None:
    with pytest.raises(MetricError, match=sentence.replace("(", r"\(")):
        query_metrics(settings, DatabaseFile(sample_release), metrics, group_by=group_by)
