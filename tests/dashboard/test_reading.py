"""What the dashboard reads: one release, of whom the filters name, and nothing else."""

from pathlib import Path

import duckdb
import pytest

from orchestration.dashboard.reading import Filters, choices, find_release, open_release
from orchestration.release import ReleaseError
from orchestration.report.figures import FIGURES, HEADLINE
from orchestration.settings import Settings

BY_KEY = {figure.key: figure for figure in (HEADLINE, *FIGURES)}


@pytest.fixture(scope="module")
def settings(sample_release: Path) -> Settings:
    return Settings(home=sample_release.parent.parent)


def ask(release: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(release), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    "attempt",
    [
        "from read_csv('/etc/hostname')",
        "from glob('/*')",
        "copy (select 1) to '/tmp/of-a-dashboard.csv'",
        "attach '/tmp/of-a-dashboard.duckdb'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set memory_limit = '1TB'",
        "delete from release.marts.customers",
        "create table release.marts.mine as select 1",
    ],
)
def test_a_query_can_read_the_release_and_nothing_else(settings: Settings, attempt: str) -> None:
    with open_release(settings, find_release(settings)) as opened:
        with pytest.raises(duckdb.Error):
            opened.connection.execute(attempt)
        assert opened.figure(HEADLINE)[0]["customers"]


def test_filtered_figures_are_those_of_whom_the_filters_name(
    settings: Settings, sample_release: Path
) -> None:
    filters = Filters(country="DE", lifecycle_stage="active")
    chosen = (
        "(select customer_id from marts.customer_segments"
        " where country = 'DE' and lifecycle_stage = 'active')"
    )
    ((customers, revenue),) = ask(
        sample_release,
        "select count(distinct customer_id), sum(reporting_net_amount) from marts.orders"
        f" where is_counted and customer_id in {chosen} and ordered_at >= '2025-07-01'",
    )
    ((everybody,),) = ask(sample_release, f"select count(*) from {chosen}")
    with open_release(settings, find_release(settings), filters) as opened:
        (headline,) = opened.figure(HEADLINE)
        stages = opened.figure(BY_KEY["lifecycle_stages"])
    assert customers
    assert headline["customers"] == everybody
    assert headline["net_revenue_365_days"] == pytest.approx(float(str(revenue)))
    assert stages == [{"lifecycle_stage": "active", "customer_count": everybody}]


def test_only_what_is_told_by_customer_can_be_filtered(settings: Settings) -> None:
    with open_release(settings, find_release(settings)) as opened:
        told = {key for key, figure in BY_KEY.items() if opened.can_filter(figure)}
    assert {"lifecycle_stages", "revenue", "consent", "headline"} <= told
    assert not {"retention_bridge", "cohort_retention", "attribution", "audiences"} & told


def test_a_filter_offers_no_group_of_few_people(settings: Settings, sample_release: Path) -> None:
    with open_release(settings, find_release(settings)) as opened:
        offered = choices(opened)
    for name, values in offered.items():
        for value in values:
            ((count,),) = ask(
                sample_release,
                f"select count(*) from marts.customer_segments where {name} = "
                + "'"
                + value.replace("'", "''")
                + "'",
            )
            assert isinstance(count, int)
            assert count >= 10, (name, value)
    assert "DE" in offered["country"]


@pytest.mark.parametrize("value", ["it's", "'; drop table x; --", '"', "\u0000", "💥"])
def test_a_filter_is_a_value_whatever_it_holds(settings: Settings, value: str) -> None:
    with open_release(settings, find_release(settings), Filters(country=value)) as opened:
        assert opened.figure(HEADLINE)[0]["customers"] == 0


def test_without_a_release_it_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="make run"):
        find_release(Settings(home=tmp_path))
