"""What each role sees of the release of the sample, in its file and in the bytes of its file."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.governance.register import read_register
from orchestration.landing.feeds import Pii
from orchestration.privacy.scanning import Findings, Scanner
from orchestration.sql import literal

MARKETING = {
    "audience_members": {"audience", "customer_id", "address", "as_of_date"},
    "audience_sizes": {
        *("audience", "segment", "purpose", "channel", "owner", "description"),
        *("segment_member_count", "no_consent_count", "suppressed_count", "no_address_count"),
        *("member_count", "as_of_date"),
    },
    "customers": {
        *("customer_id", "first_name", "last_name", "email", "phone", "country"),
        *("is_contactable_by_email", "is_contactable_by_sms"),
    },
}
DASHBOARD = {
    "audience_sizes": {
        *("audience", "segment", "purpose", "channel", "as_of_date"),
        *("segment_member_count", "member_count"),
    },
    "cohort_retention": {
        *("cohort_period", "cohort_start", "period_offset", "period_start", "is_complete"),
        *("cohort_size", "retained_count", "retained_ratio", "purchase_count"),
        *("reporting_net_amount", "reporting_currency_code"),
    },
    "customers_by_segment": {
        *("rfm_segment", "value_tier", "customer_count", "purchase_count", "reporting_net_amount"),
    },
    "customers_by_stage": {
        *("lifecycle_stage", "country", "age_band", "customer_count", "purchase_count"),
        "reporting_net_amount",
    },
    "members_by_segment": {"segment", "customer_count"},
    "purchases_by_month": {
        *("month", "channel", "reporting_currency_code", "customer_count", "purchase_count"),
        "reporting_net_amount",
    },
    "scores_by_month": {"month", "customer_count", "response_count", "nps_mean", "csat_mean"},
}
HIDDEN_FROM_ANALYSTS = {
    "customer_golden_values",
    "customer_history",
    "customer_matches",
    "customer_records",
    "customer_search_keys",
}
# Narrow a person down, and are shown all the same, generalised where they can be.
INDIRECT_FOR_ANALYSTS = {"age_band", "age_years", "birth_date", "country", "gender", "postcode"}


@pytest.fixture(scope="module")
def house(sample_release: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The files of all roles, attached under the names of the roles."""
    folder = sample_release.resolve().parent
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(sample_release)} as steward (read_only)")
        for role in ("analyst", "marketing", "dashboard"):
            path = folder / f"{role}.duckdb"
            connection.execute(f"attach {literal(path)} as {role} (read_only)")
        yield connection


def seen(house: duckdb.DuckDBPyConnection, role: str) -> dict[str, set[str]]:
    """Columns by table."""
    found: dict[str, set[str]] = {}
    for table, column in house.execute(
        "select table_name, column_name from duckdb_columns()"
        f" where database_name = {literal(role)} and not internal"
    ).fetchall():
        found.setdefault(table, set()).add(column)
    return found


def texts(house: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    return {str(value) for (value,) in house.execute(query).fetchall() if value is not None}


def places(sample_release: Path, role: str, needles: set[str]) -> list[str]:
    path = sample_release.resolve().parent / f"{role}.duckdb"
    findings = Findings()
    Scanner(needles).file(path, role, findings)
    assert findings.cell_count > 0
    return findings.places


@pytest.mark.parametrize(("role", "expected"), [("marketing", MARKETING), ("dashboard", DASHBOARD)])
def test_a_role_sees_these_tables_and_columns_and_no_other(
    house: duckdb.DuckDBPyConnection, role: str, expected: dict[str, set[str]]
) -> None:
    assert seen(house, role) == expected


def test_analysts_see_every_mart_but_no_value_that_names_or_reaches_a_person(
    house: duckdb.DuckDBPyConnection,
) -> None:
    marts, found, register = seen(house, "steward"), seen(house, "analyst"), read_register()
    assert {*found} == {*marts} - HIDDEN_FROM_ANALYSTS
    for table, columns in found.items():
        for column in marts[table]:
            pii = register.pii(table, column)
            is_shown = pii in (Pii.NONE, Pii.PSEUDONYM) or column in INDIRECT_FOR_ANALYSTS
            assert (column in columns) is is_shown, f"{table}.{column}"


def test_analysts_get_birth_years_decades_of_age_and_areas_of_postcodes(
    house: duckdb.DuckDBPyConnection,
) -> None:
    ((exact, births, ages, areas),) = house.execute("""
        select count(*) filter (where month(birth_date) <> 1 or day(birth_date) <> 1),
            count(birth_date), count(*) filter (where age_years % 10 <> 0), max(length(postcode))
        from analyst.marts.customers
    """).fetchall()
    assert (exact, ages, areas) == (0, 0, 2)
    assert births > 100


def test_analysts_join_what_stewards_join(house: duckdb.DuckDBPyConnection) -> None:
    joined = """
        select count(*), sum(orders.net_amount) from {role}.marts.orders as orders
        inner join {role}.marts.customers as customers using (customer_id)
        inner join {role}.marts.customer_segments as segments using (customer_id)
    """
    analysts, stewards = (
        house.execute(joined.format(role=role)).fetchall() for role in ("analyst", "steward")
    )
    assert analysts == stewards
    assert analysts[0][0] > 1000


def test_no_id_name_address_or_number_of_anybody_is_in_the_bytes_that_analysts_get(
    house: duckdb.DuckDBPyConnection, sample_release: Path
) -> None:
    needles = texts(house, "select customer_id from steward.marts.customers")
    needles |= texts(house, "select source_record_id from steward.marts.customer_sources")
    for column in ("email", "phone", "street"):
        needles |= texts(house, f"select {column} from steward.marts.customers")
    needles |= texts(house, "select first_name || ' ' || last_name from steward.marts.customers")
    assert len(needles) > 10_000
    assert places(sample_release, "analyst", needles) == []
    assert places(sample_release, "dashboard", needles) == []
    # the search finds what is there
    assert places(sample_release, "marketing", needles) != []


def test_marketing_reaches_those_who_agreed_and_nobody_else(
    house: duckdb.DuckDBPyConnection, sample_release: Path
) -> None:
    ((wrong, without, contactable, mails, numbers),) = house.execute("""
        select
            count(*) filter (
                where not (held.is_contactable_by_email or held.is_contactable_by_sms)
            ),
            count(*) filter (where seen.email is not null and not held.is_contactable_by_email
                or seen.phone is not null and not held.is_contactable_by_sms),
            count(*), count(seen.email), count(seen.phone)
        from marketing.marts.customers as seen
        inner join steward.marts.customers as held using (customer_id)
    """).fetchall()
    assert (wrong, without) == (0, 0)
    held = "select count(*) from steward.marts.customers where is_contactable_by_{channel}"
    by_mail, by_text = (
        house.execute(held.format(channel=channel)).fetchall()[0][0] for channel in ("email", "sms")
    )
    assert (mails, numbers) == (by_mail, by_text)
    assert max(by_mail, by_text) < contactable
    unreachable = texts(
        house,
        "select email from steward.marts.customers where not is_contactable_by_email"
        " except select email from steward.marts.customers where is_contactable_by_email"
        # of purposes that somebody agreed to who wants no newsletter
        " except select address from steward.marts.audience_members",
    )
    assert len(unreachable) > 500
    assert places(sample_release, "marketing", unreachable) == []


def test_no_figure_of_the_dashboard_speaks_of_fewer_than_ten_people(
    house: duckdb.DuckDBPyConnection,
) -> None:
    counts = {
        "customers_by_segment": ["customer_count"],
        "customers_by_stage": ["customer_count"],
        "members_by_segment": ["customer_count"],
        "purchases_by_month": ["customer_count"],
        "scores_by_month": ["customer_count"],
        "audience_sizes": ["segment_member_count", "member_count"],
        "cohort_retention": ["cohort_size", "retained_count"],
    }
    assert {*counts} == {*DASHBOARD}
    for table, columns in counts.items():
        for column in columns:
            ((few, enough),) = house.execute(
                f"select count(*) filter (where {column} between 1 and 9),"
                f" count(*) filter (where {column} >= 10) from dashboard.marts.{table}"
            ).fetchall()
            assert few == 0, f"{table}.{column}"
            assert enough > 0, f"{table}.{column}"
    # there are such figures to leave out
    ((hidden,),) = house.execute(
        "select count(*) from steward.marts.cohort_retention where retained_count between 1 and 9"
    ).fetchall()
    assert hidden > 0
    ((ratios,),) = house.execute(
        "select count(retained_ratio) + count(purchase_count) + count(reporting_net_amount)"
        " from dashboard.marts.cohort_retention where retained_count is null"
    ).fetchall()
    assert ratios == 0


def test_only_its_owner_reads_the_stewards_files_and_only_a_group_those_of_roles(
    sample_release: Path,
) -> None:
    folder = sample_release.resolve().parent
    rights = {
        path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert {rights.pop(f"{role}.duckdb") for role in ("analyst", "marketing", "dashboard")} == {
        0o440
    }
    assert {rights.pop(name) for name in ("report.html", "report.json")} == {0o440}
    assert rights.pop("manifest.json") == 0o444
    assert {*rights.values()} == {0o400}


def test_what_is_not_released_is_for_the_account_of_the_run_alone(sample_release: Path) -> None:
    home = sample_release.parents[1]
    for database in ("work.duckdb", "release_candidate.duckdb", "quality_history.duckdb"):
        assert (home / database).stat().st_mode & 0o077 == 0, database
    for folder in (home / "releases", sample_release.resolve().parent):
        assert folder.stat().st_mode & 0o777 == 0o755
