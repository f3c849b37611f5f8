"""The embedded sample, from raw files to a release, and once more."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.accuracy import pair_accuracy
from orchestration.activation.declarations import read_exports
from orchestration.run import only_one_run
from orchestration.settings import PROJECT_ROOT
from tests.conftest import SAMPLE, Installation, Outcome

TRUTH = PROJECT_ROOT / "seeds" / "truth" / "truth.csv"


@pytest.fixture(scope="module")
def sample(new_installation: Callable[[], Installation]) -> Installation:
    installation = new_installation()
    shutil.copytree(SAMPLE, installation.landing, dirs_exist_ok=True)
    return installation


@pytest.fixture(scope="module")
def first_run(sample: Installation) -> Outcome:
    return sample.run()


def manifest(sample: Installation) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((sample.home / "current" / "manifest.json").read_text())
    return content


def test_a_run_ends_with_a_table_of_what_it_did(first_run: Outcome) -> None:
    for word in ("files", "rows landed", "rejects", "customers", "4 of 4 passed", "released"):
        assert word in first_run.output


def test_the_release_holds_every_mart_with_rows_as_parquet_too(
    sample: Installation, first_run: Outcome
) -> None:
    tables = {row[0] for row in sample.query("select table_name from duckdb_tables()")}
    models = (PROJECT_ROOT / "dbt_project" / "models" / "marts").glob("*/*.*")
    assert tables == {model.stem for model in models if model.suffix in (".sql", ".py")}
    for table in tables:
        parquet = sample.home / "current" / "parquet" / f"{table}.parquet"
        counted = duckdb.sql(f"select count(*) from read_parquet('{parquet}')").fetchone()
        assert counted == sample.query(f"select count(*) from marts.{table}")[0]
        assert counted == (manifest(sample)["tables"][table]["row_count"],)


def test_every_record_of_a_person_that_is_not_deleted_belongs_to_exactly_one_customer(
    sample: Installation, first_run: Outcome
) -> None:
    with duckdb.connect(str(sample.settings.working_database), read_only=True) as connection:
        records = {
            row[0]
            for row in connection.execute(
                f"select source_record_id from read_csv('{TRUTH}', all_varchar = true)"
                " where source_record_id not like 'web:%' and source_record_id not in"
                " (select source_record_id from staging.stg_crm__contacts where is_deleted)"
            ).fetchall()
        }
    listed = sample.query(
        "select source_record_id from marts.customer_sources where record_type <> 'visitor'"
    )
    assert len(listed) == len(set(listed))
    assert {row[0] for row in listed} == records


def test_exact_evidence_joins_few_strangers(sample: Installation, first_run: Outcome) -> None:
    precision, recall = pair_accuracy(sample.home / "current" / "warehouse.duckdb", TRUTH)
    assert 0.98 < precision <= 1
    assert 0.6 < recall <= 1


def test_money_in_the_marts_equals_money_landed(sample: Installation, first_run: Outcome) -> None:
    with duckdb.connect(str(sample.settings.working_database), read_only=True) as connection:
        landed = connection.execute(
            """
            with newest as (
                select currency_code, total_amount, refunded_amount from raw.shop__orders
                qualify row_number() over (
                    partition by order_id order by updated_at::timestamptz desc, _source_file desc
                ) = 1
                union all
                select currency_code, total_amount, refunded_amount from raw.pos__receipts
                qualify row_number() over (
                    partition by receipt_id order by _source_file desc
                ) = 1
            )
            select
                currency_code,
                sum(total_amount::decimal(18, 4)),
                sum(total_amount::decimal(18, 4) - coalesce(refunded_amount::decimal(18, 4), 0))
            from newest group by 1 order by 1
            """
        ).fetchall()
    assert landed == sample.query(
        "select currency_code, sum(total_amount), sum(net_amount) from marts.orders"
        " group by 1 order by 1"
    )


def test_each_export_names_exactly_who_may_be_contacted_as_its_platform_would(
    sample: Installation, first_run: Outcome
) -> None:
    """By plain Python, from the mart that the last gate proves."""

    def normalised(address: str, platform: str | None) -> str:
        mailbox, domain = address.strip().lower().split("@")
        if platform == "google" and domain in {"gmail.com", "googlemail.com"}:
            mailbox = mailbox.split("+")[0].replace(".", "")
        return f"{mailbox}@{domain}"

    for one in read_exports():
        addresses = sample.query(
            f"select address from marts.audience_members where audience = '{one.audience}'"
        )
        expected = {normalised(address, one.platform) for (address,) in addresses}
        if one.identifier == "email_sha256":
            expected = {hashlib.sha256(text.encode()).hexdigest() for text in expected}
        else:
            assert one.identifier == "email"
        latest = sample.home / "exports" / one.name / "latest"
        members = duckdb.execute(f"from '{latest / f'members.{one.format}'}'").fetchall()
        assert [text for (text,) in members] == sorted(expected)
        manifest = json.loads((latest / "manifest.json").read_text())
        ((in_segment,),) = sample.query(
            "select segment_member_count from marts.audience_sizes"
            f" where audience = '{one.audience}'"
        )
        assert len(expected) + sum(manifest["left_out"].values()) == in_segment > 0


def test_each_golden_value_is_what_the_named_record_says(
    sample: Installation, first_run: Outcome
) -> None:
    published = sample.query(
        "select email_source_record_id, email from marts.customers where email is not null"
    )
    with duckdb.connect(str(sample.settings.working_database), read_only=True) as connection:
        records = dict(
            connection.execute(
                "select source_record_id, email from identity.int_records_normalised"
            ).fetchall()
        )
    assert published
    assert all(records[record] == email for record, email in published)


def test_the_sample_in_two_deliveries_gives_what_it_gives_at_once(
    sample: Installation, first_run: Outcome, new_installation: Callable[[], Installation]
) -> None:
    """Only the ids may tell the way that the records came: who got one first keeps it."""
    stepwise = new_installation()
    exports = sorted(path for path in SAMPLE.rglob("*") if path.is_file())
    for is_first_delivery in (True, False):
        for path in exports:
            if (path.name < "2026-06-10") == is_first_delivery:
                target = stepwise.landing / path.relative_to(SAMPLE)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
        stepwise.run()
    everything_but_ids = [
        "select * exclude (customer_id) from marts.customers order by all",
        "select * exclude (customer_id) from marts.orders order by all",
        "select * exclude (customer_id) from marts.customer_consent order by all",
        "select * exclude (customer_id) from marts.customer_segments order by all",
        """
        select list(source_record_id order by source_record_id) as records
        from marts.customer_sources group by customer_id order by all
        """,
    ]
    for question in everything_but_ids:
        assert stepwise.query(question) == sample.query(question)


def test_the_same_run_again_lands_nothing_and_keeps_identical_hashes(
    sample: Installation, first_run: Outcome
) -> None:
    before = manifest(sample)
    again = sample.run()
    assert "0 new, 0 repeated" in again.output
    assert "identical hashes" in again.output
    assert manifest(sample) == before


def test_a_rebuild_from_the_same_inputs_has_the_same_content_hashes(
    sample: Installation, first_run: Outcome
) -> None:
    before = manifest(sample)
    sample.run("--rebuild")
    after = manifest(sample)
    assert after["release_id"] != before["release_id"]
    assert after["content_hash"] == before["content_hash"]
    assert after["tables"] == before["tables"]


def test_a_lost_working_database_is_rebuilt_with_the_same_customer_ids(
    sample: Installation, first_run: Outcome
) -> None:
    before = sample.customers()
    sample.settings.working_database.unlink()
    sample.run("--rebuild")
    assert sample.customers() == before


def test_a_rollback_shows_readers_the_release_before(
    sample: Installation, first_run: Outcome
) -> None:
    newest = manifest(sample)["release_id"]
    outcome = sample.warehouse("rollback")
    assert outcome.exit_code == 0, outcome.output
    assert manifest(sample)["release_id"] < newest
    sample.warehouse("rollback", "--to", newest)
    assert manifest(sample)["release_id"] == newest
    assert newest in sample.warehouse("releases").output


def test_a_refused_file_stops_the_run_and_readers_keep_the_last_release(
    sample: Installation, first_run: Outcome
) -> None:
    before = manifest(sample)
    bad = sample.landing / "crm" / "contacts" / "without_key.csv"
    bad.write_text("name\nJane\n", encoding="utf-8")
    try:
        outcome = sample.warehouse("run")
    finally:
        bad.unlink()
    assert outcome.exit_code == 1
    assert "without_key.csv" in outcome.output
    assert "contact_id" in outcome.output
    assert "Nothing was released" in outcome.output
    assert manifest(sample) == before


def test_a_second_run_at_the_same_time_is_told_to_wait(
    sample: Installation, first_run: Outcome
) -> None:
    with only_one_run(sample.settings):
        outcome = sample.warehouse("run")
    assert outcome.exit_code == 1
    assert "Another run" in outcome.output


def test_dbt_build_works_alone_on_landed_data(sample: Installation, first_run: Outcome) -> None:
    """Models, data tests and unit tests, as an analytics engineer runs them."""
    finished = subprocess.run(
        [str(Path(sys.executable).parent / "dbt"), "build", "--target-path", sample.home / "dbt"],
        cwd=PROJECT_ROOT / "dbt_project",
        env=os.environ | {"WAREHOUSE_HOME": str(sample.home), "WAREHOUSE_AS_OF": "2026-06-30"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    assert "ERROR=0" in finished.stdout


# What a late order may change besides the rows of its customer: figures of the whole population.
ABOUT_EVERYBODY = {
    "customer_retention": "alive_probability|churn_probability|expected_.*|overdue_.*|is_overdue"
    "|prediction_method",
    "customer_value": "expected_.*|value_tier|prediction_method|spend_method",
    "customer_segments": ".*_score|rfm_segment|value_tier",
    "customer_segment_memberships": None,
    "retention_model_fits": None,
    "segments": None,
}
# Figures of periods: the rows that may change, of an order in May 2026.
ABOUT_PERIODS = {
    "cohort_retention": "period_start = date '2026-05-01'",
    "channel_performance": "purchase_month >= date '2026-05-01'",
    "purchase_retention": "true",
    "retention_bridge": "month_start >= date '2026-05-01'",
}


@pytest.fixture(scope="module")
def late_order(
    sample: Installation, first_run: Outcome, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Installation, str]:
    """A copy of the sample that got an order 40 days late, and the customer who had placed it."""
    folder = tmp_path_factory.mktemp("late")
    copied = Installation(folder / "landing", folder / "home")
    shutil.copytree(sample.landing, copied.landing)
    shutil.copytree(sample.home, copied.home, symlinks=True)
    [(account, customer)] = copied.query(
        """
        select sources.source_record_id, sources.customer_id
        from marts.customer_sources as sources
        inner join marts.customer_purchases as purchases using (customer_id)
        where
            sources.record_type = 'account'
            and purchases.purchase_count > 3
            and purchases.first_purchased_at < timestamp '2026-01-01'
            and purchases.last_purchased_at > timestamp '2026-06-01'
        order by sources.source_record_id
        limit 1
        """
    )
    copied.write(
        "shop/orders",
        "late.csv",
        [
            {
                "order_id": "late-1",
                "customer_id": account.removeprefix("shop:"),
                "ordered_at": "2026-05-21T12:00:00Z",
                "status": "completed",
                "currency_code": "EUR",
                "total_amount": "40.00",
                "updated_at": "2026-06-30T12:00:00Z",
            }
        ],
    )
    copied.write(
        "shop/order_lines",
        "late.csv",
        [{"order_id": "late-1", "line_number": "1", "quantity": "2", "unit_price": "20.00"}],
    )
    outcome = copied.run()
    assert "2 new, 0 repeated" in outcome.output
    return copied, customer


def published_size(installation: Installation) -> int:
    """Bytes of the published database."""
    return (installation.home / "current" / "warehouse.duckdb").stat().st_size


def test_an_order_that_comes_40_days_late_changes_exactly_its_own_rows(
    sample: Installation, late_order: tuple[Installation, str]
) -> None:
    after, customer = late_order
    tables = [
        name
        for (name,) in after.query(
            "select table_name from duckdb_tables() where schema_name = 'marts' order by 1"
        )
    ]
    with duckdb.connect() as connection:
        for name, installation in (("before", sample), ("after", after)):
            path = installation.home / "current" / "warehouse.duckdb"
            connection.execute(f"attach '{path}' as {name} (read_only)")

        def changed(table: str, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
            return connection.execute(
                f"""
                with earlier as (select {columns} from before.marts.{table} where {where}),
                later as (select {columns} from after.marts.{table} where {where})
                (from earlier except all from later) union all
                (from later except all from earlier)
                """
            ).fetchall()

        moved = {}
        for table in tables:
            of_everybody = ABOUT_EVERYBODY.get(table, "")
            if of_everybody is None:
                continue
            columns = "*"
            if of_everybody:
                names = connection.execute(
                    "select column_name from duckdb_columns() where database_name = 'after'"
                    " and schema_name = 'marts' and table_name = ?"
                    " and not regexp_full_match(column_name, ?) order by column_index",
                    [table, of_everybody],
                ).fetchall()
                columns = ", ".join(name for (name,) in names)
            if table in ABOUT_PERIODS:
                assert changed(table, columns, f"not ({ABOUT_PERIODS[table]})") == [], table
                continue
            named = connection.execute(
                "select count(*) from duckdb_columns() where database_name = 'after'"
                " and schema_name = 'marts' and table_name = ? and column_name = 'customer_id'",
                [table],
            ).fetchone()
            if named == (1,):
                others = f"customer_id is distinct from '{customer}'"
                assert changed(table, columns, others) == [], table
            else:
                assert changed(table, columns) == [], table
            moved[table] = len(changed(table, columns))
    assert moved["orders"] == 1
    assert moved["order_lines"] == 1
    assert moved["customer_purchases"] == 2
    assert moved["customers"] == 2
    assert moved["customer_retention"] == 2
    assert moved["sessions"] == 0
    assert moved["customer_engagement"] == 0
    assert moved["customer_history"] == 0


def test_what_an_increment_makes_of_a_late_order_is_what_a_full_build_makes(
    late_order: tuple[Installation, str],
) -> None:
    after, _ = late_order
    increment, size = manifest(after), published_size(after)
    after.run("--rebuild")
    assert manifest(after)["tables"] == increment["tables"]
    # what was replaced leaves no room behind
    assert size < 1.3 * published_size(after)
