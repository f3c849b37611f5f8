"""The report in the folder of its release: sealed with it, compared with the last, written anew."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest

from orchestration.operations.ledger import RunRecord
from orchestration.release import (
    Release,
    ReleaseError,
    current_release,
    publish,
    read_manifest,
    rewrite_releases,
)
from orchestration.report.reports import (
    DATA,
    PAGE,
    Feed,
    RunFacts,
    headline_of,
    read_report,
    run_facts,
    write_report,
)
from orchestration.settings import Settings
from tests.conftest import Installation

FEED = Feed(
    feed="crm/contacts",
    row_count=2,
    line_count=3,
    rejected_count=1,
    newest_file=None,
    newest_record=None,
)
KNOWN = RunFacts(feeds=(FEED,))


@pytest.fixture
def settings(tmp_path: Path, sample_release: Path) -> Settings:
    """A home whose candidate holds the marts of the sample."""
    settings = Settings(home=tmp_path, as_of=date(2026, 6, 30), memory_limit="1GiB")
    shutil.copyfile(sample_release, settings.candidate_database)
    settings.candidate_database.chmod(0o600)
    return settings


@pytest.fixture
def release(settings: Settings) -> Callable[..., Release]:
    """Publish what the candidate holds, an hour after the last time."""
    clock = [datetime(2026, 6, 30, 4, tzinfo=UTC)]

    def release(gates: list[dict[str, object]] | None = None) -> Release:
        clock[0] += timedelta(hours=1)
        before = headline_of(current_release(settings))
        return publish(
            settings,
            gates=gates or [],
            provenance={},
            released_at=clock[0],
            roles=(),
            report=partial(write_report, run=KNOWN, before=before),
        )

    return release


def _customer(release: Release) -> str:
    with duckdb.connect(str(release.database), read_only=True) as connection:
        ((customer_id,),) = connection.execute(
            "select min(customer_id) from marts.customers where purchase_count > 0"
        ).fetchall()
    return str(customer_id)


def _without(customer_id: str) -> Callable[[duckdb.DuckDBPyConnection], None]:
    def edit(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("create schema release.marts")
        for (mart,) in connection.execute(
            "select table_name from duckdb_tables() where database_name = 'before'"
        ).fetchall():
            columns = connection.execute(f"describe before.marts.{mart}").fetchall()
            has_customer = any(name == "customer_id" for name, *_ in columns)
            where = f"where customer_id is distinct from '{customer_id}'" if has_customer else ""
            connection.execute(
                f"create table release.marts.{mart} as from before.marts.{mart} {where}"
            )

    return edit


def test_the_report_is_sealed_with_its_release(release: Callable[..., Release]) -> None:
    published = release()
    manifest = read_manifest(published)
    for name in (DATA, PAGE):
        path = published.path / name
        assert manifest.files[name].size == path.stat().st_size
        assert path.stat().st_mode & 0o777 == 0o440
    report = read_report(published.path)
    assert report is not None
    assert (report.release_id, report.content_hash) == (published.id, manifest.content_hash)
    assert report.run == KNOWN


def test_numbers_are_compared_with_the_release_that_is_replaced(
    release: Callable[..., Release], settings: Settings
) -> None:
    first = release()
    with duckdb.connect(str(settings.candidate_database)) as connection:
        connection.execute(f"delete from marts.customers where customer_id = '{_customer(first)}'")
    second = release()
    told, before = read_report(second.path), read_report(first.path)
    assert told is not None
    assert before is not None
    assert before.before is None
    assert told.before is not None
    assert told.before.release_id == first.id
    assert told.figures["headline"][0]["customers"] == told.before.headline["customers"] - 1


def test_a_release_that_is_written_anew_gets_its_report_anew(
    release: Callable[..., Release], settings: Settings
) -> None:
    first = release()
    gone = _customer(first)
    rewrite_releases(settings, _without(gone), erasure_id="e-1", roles=())
    written = current_release(settings)
    assert written is not None
    assert written.id != first.id
    report = read_report(written.path)
    assert report is not None
    assert report.rewritten
    assert report.release_id == written.id
    assert report.run == KNOWN, "what only the run knew is kept"
    with duckdb.connect(str(written.database), read_only=True) as connection:
        ((customers,),) = connection.execute("select count(*) from marts.customers").fetchall()
    assert report.figures["headline"][0]["customers"] == customers
    assert "Written anew after people were forgotten" in (written.path / PAGE).read_text("utf-8")
    assert {DATA, PAGE} <= {*read_manifest(written).files}


def test_a_report_that_older_marts_cannot_answer_goes_rather_than_stays_with_who_was_forgotten(
    release: Callable[..., Release], settings: Settings
) -> None:
    gone = _customer(release())

    def edit(connection: duckdb.DuckDBPyConnection) -> None:
        _without(gone)(connection)
        connection.execute("alter table release.marts.customer_value drop column value_tier")

    rewrite_releases(settings, edit, erasure_id="e-1", roles=())
    written = current_release(settings)
    assert written is not None
    assert read_report(written.path) is None
    assert not (written.path / PAGE).exists()
    assert not {DATA, PAGE} & {*read_manifest(written).files}


def test_a_report_that_fails_publishes_nothing(
    release: Callable[..., Release], settings: Settings
) -> None:
    first = release()
    with duckdb.connect(str(settings.candidate_database)) as connection:
        connection.execute("drop table marts.purchase_funnel")
    with pytest.raises(ReleaseError, match="purchase_funnel"):
        release()
    assert current_release(settings) == first
    assert [path.name for path in settings.releases.iterdir() if path.is_dir()] == [first.id]


def test_who_answers_for_a_failed_check_is_counted_and_not_named(
    release: Callable[..., Release],
) -> None:
    gate = {
        "layer": "marts",
        "check_count": 3,
        "critical_failure_count": 0,
        "warning_count": 0,
        "overrides": ["marts.orders/x, by Eva Lind: known"],
    }
    published = release([gate])
    report = read_report(published.path)
    assert report is not None
    assert report.gates[0]["overridden_count"] == 1
    for name in (DATA, PAGE):
        assert "Eva Lind" not in (published.path / name).read_text("utf-8")


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    assert read_report(tmp_path) is None
    (tmp_path / DATA).write_text('{"release_id": 7}', "utf-8")
    with pytest.raises(ReleaseError, match=r"report\.json is no report"):
        read_report(tmp_path)


# As the landing writes them, with what people have typed into their fields.
REASONS = {
    "'ann@lind.test' is no date for birth_date: expected a calendar date such as 2026-01-31": (
        "the value is not of the type of the column"
    ),
    '"Ann O\'Lind" is no decimal for total_amount: expected a number': (
        "the value is not of the type of the column"
    ),
    "'1.234' may mean thousands, for other values of total_amount in the file have a comma": (
        "the number may mean thousands or decimals"
    ),
    "'Ann Lind' names no record: the line is a total, a header, a comment or a note": (
        "the line is a total, a header or a note"
    ),
    "subscriber_id is empty; every row needs it": "the key is empty",
    "the line has 4 columns, the header has 12": "the line has other columns than the header",
    "the line is not valid JSON": "the line is not valid JSON",
    "something about Ann Lind that nobody thought of": "another reason",
}


def test_reasons_of_rejects_come_without_the_values_they_speak_of(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with duckdb.connect() as connection:
        connection.execute(
            """
            create schema raw;
            create schema quality;
            create schema identity;
            create table raw.files (
                feed varchar, status varchar, line_count bigint, rejected_count bigint
            );
            create table raw.rejects (feed varchar, column_name varchar, reason varchar);
            create table identity.int_identity_measured (
                measure varchar, counted bigint, out_of bigint, value double
            );
            create table quality.gate_results (
                layer varchar, table_name varchar, column_name varchar, severity varchar,
                is_success boolean, unexpected_count bigint, because varchar, fix varchar,
                overridden_by varchar
            );
            """
        )
        connection.executemany(
            "insert into raw.rejects values ('crm/contacts', null, ?)",
            [[reason] for reason in REASONS],
        )
        facts = run_facts(connection, settings, RunRecord.open(settings, "r"))
    assert {reject.reason for reject in facts.rejects} == {*REASONS.values()}
    assert sum(reject.line_count for reject in facts.rejects) == len(REASONS)
    assert "Lind" not in facts.model_dump_json()


def test_the_command_says_where_the_report_is_or_why_there_is_none(
    release: Callable[..., Release], settings: Settings
) -> None:
    house = Installation(settings.landing, settings.home)
    nothing = house.warehouse("report")
    assert (nothing.exit_code, "Nothing is released" in nothing.output) == (1, True)
    page = release().path / PAGE
    told = house.warehouse("report")
    assert (told.exit_code, told.output.strip()) == (0, str(page))
    page.unlink()
    without = house.warehouse("report")
    assert (without.exit_code, "made without a report" in without.output) == (1, True)
