"""The sample world is reproducible, fits the intake contract, and is as messy as it claims."""

import filecmp
import gzip
import shutil
from datetime import date
from pathlib import Path

import duckdb
import phonenumbers
import pytest

from orchestration.landing.feeds import ColumnType, Feed
from seeds.generate import GenerateError, generate, main
from seeds.generator.delivery import DAMAGES, Format, spoil_lines
from tests.seeds.conftest import GENERATED, SAMPLE_BAD_LINES, Sample, read_feed
from tests.seeds.mess_queries import MESS, PREPARE

SEEDS = Path(__file__).resolve().parents[2] / "seeds"
SAMPLE_LIMIT_BYTES = 4_000_000
AS_OF = date(2026, 6, 30)
CASTS = {
    ColumnType.INTEGER: "bigint",
    ColumnType.DECIMAL: "decimal(18, 2)",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.DATE: "date",
    ColumnType.TIMESTAMP: "timestamptz",
}
ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z|[+-]\d\d(:\d\d)?)$"


def files_below(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def content(path: Path) -> object:
    """What a file says, whatever the version of the compressor or of DuckDB that wrote it."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".parquet":
        with duckdb.connect() as database:
            return database.execute(f"from read_parquet('{path}')").fetchall()
    return path.read_bytes()


def test_the_committed_sample_is_what_the_generator_writes(sample: Sample, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    shutil.copytree(sample.landing, landing)
    assert len(spoil_lines(landing, SAMPLE_BAD_LINES)) == SAMPLE_BAD_LINES
    committed = SEEDS / "landing"
    assert files_below(committed) == files_below(landing)
    differing = [
        str(path)
        for path in files_below(landing)
        if content(committed / path) != content(landing / path)
    ]
    assert not differing
    assert content(SEEDS / "truth" / "truth.csv") == content(sample.truth)


def test_the_committed_sample_is_small_and_holds_no_truth() -> None:
    sizes = [(SEEDS / "landing" / path).stat().st_size for path in files_below(SEEDS / "landing")]
    assert sum(sizes) < SAMPLE_LIMIT_BYTES
    assert not list((SEEDS / "landing").rglob("*truth*"))


@pytest.mark.parametrize("format", ["sample", "csv", "parquet"])
def test_the_same_seed_gives_the_same_bytes(format: Format, tmp_path: Path) -> None:  # noqa: A002
    for run in ("one", "two"):
        generate(
            tmp_path / run / "landing",
            tmp_path / run / "truth.csv.gz",
            people=120,
            seed=7,
            format=format,
        )
    files = files_below(tmp_path / "one")
    assert files == files_below(tmp_path / "two")
    names = [str(path) for path in files]
    _, different, errors = filecmp.cmpfiles(
        tmp_path / "one", tmp_path / "two", names, shallow=False
    )
    assert (different, errors) == ([], [])


def test_daily_deliveries_come_every_day_and_know_nothing_of_the_next(tmp_path: Path) -> None:
    generate(tmp_path / "daily", tmp_path / "t.csv", people=150, seed=5, format="daily")
    files = sorted((tmp_path / "daily" / "shop" / "orders").iterdir())
    days = [file.stem for file in files]

    assert days[0] == "2026-05-01"
    assert days[-1] <= "2026-06-30"
    assert len(days) > 10
    for file in files:
        with duckdb.connect() as database:
            database.execute("set timezone = 'UTC'")
            row = database.execute(
                f"select max(cast(updated_at as timestamptz))::date from read_csv('{file}',"
                " all_varchar = true)"
            ).fetchone()
        assert row is not None
        assert str(row[0]) <= file.stem


def test_another_seed_gives_another_world(tmp_path: Path) -> None:
    for seed in (1, 2):
        generate(tmp_path / f"{seed}", tmp_path / f"{seed}.csv", people=50, seed=seed)
    assert (tmp_path / "1.csv").read_bytes() != (tmp_path / "2.csv").read_bytes()


def test_csv_and_parquet_hold_the_same_records(tmp_path: Path) -> None:
    counts = {}
    formats: tuple[Format, ...] = ("csv", "parquet")
    for form in formats:
        generate(tmp_path / form, tmp_path / f"{form}.parquet", people=150, seed=3, format=form)
        with duckdb.connect() as database:
            for feed in GENERATED:
                read_feed(database, tmp_path / form, feed)
            counts[form] = [
                database.execute(
                    f"select {', '.join(feed.key)} from {feed.table} order by all"
                ).fetchall()
                for feed in GENERATED
            ]
    assert counts["csv"] == counts["parquet"]


@pytest.mark.parametrize("feed", GENERATED, ids=lambda feed: feed.name)
def test_every_value_fits_the_contract(sample: Sample, feed: Feed) -> None:
    for name in feed.key:
        assert sample.count(f"select count(*) from {feed.table} where {name} is null") == 0, name
    for column in feed.columns:
        if column.type in CASTS:
            unreadable = f"""
                select count(*) from {feed.table}
                where {column.name} is not null
                    and try_cast({column.name} as {CASTS[column.type]}) is null
            """
            assert sample.count(unreadable) == 0, column.name
        if column.type is ColumnType.TIMESTAMP:
            zoneless = f"""
                select count(*) from {feed.table}
                where not regexp_matches({column.name}, '{ZONED}')
            """
            assert sample.count(zoneless) == 0, column.name


@pytest.mark.parametrize("feed", GENERATED, ids=lambda feed: feed.name)
def test_every_optional_column_is_filled_somewhere(sample: Sample, feed: Feed) -> None:
    filled = ", ".join(f"count({column.name}) > 0" for column in feed.columns)
    row = sample.database.execute(f"select [{filled}] from {feed.table}").fetchone()
    assert row is not None
    assert all(row[0])


@pytest.mark.parametrize("feed", GENERATED, ids=lambda feed: feed.name)
def test_files_carry_the_columns_of_the_contract_in_its_order(sample: Sample, feed: Feed) -> None:
    for path in sorted((sample.landing / feed.name).glob("*.csv*")):
        text = content(path)
        assert isinstance(text, bytes)
        header = text.split(b"\n", 1)[0].decode()
        assert header.split(",") == [column.name for column in feed.columns]


@pytest.mark.parametrize("feed", GENERATED, ids=lambda feed: feed.name)
def test_nothing_happens_after_the_as_of_day(sample: Sample, feed: Feed) -> None:
    for column in feed.columns:
        if column.type is ColumnType.TIMESTAMP:
            later = f"""
                select count(*) from {feed.table}
                where cast({column.name} as timestamptz) >= timestamptz '2026-07-01 00:00:00+00'
                    or left({column.name}, 10) > '{AS_OF}'
            """
            assert sample.count(later) == 0, column.name


def moment_of(feed: Feed) -> str | None:
    """The column that says when a row came to be: the cursor, or the only timestamp."""
    moments = [column.name for column in feed.columns if column.type is ColumnType.TIMESTAMP]
    return feed.cursor or next(iter(moments), None)


@pytest.mark.parametrize("feed", [f for f in GENERATED if moment_of(f)], ids=lambda feed: feed.name)
def test_a_file_never_holds_what_happened_after_its_day(sample: Sample, feed: Feed) -> None:
    moment = moment_of(feed)
    early = f"""
        select count(*) from {feed.table}
        where cast({moment} as timestamptz)
            >= cast(left(_file, 10) || ' 00:00:00+00' as timestamptz) + interval 1 day
    """
    assert sample.count(early) == 0


RECORDS = """
    select 'crm:' || contact_id from crm__contacts
    union select 'shop:' || customer_id from shop__customers
    union select 'shop:order:' || order_id from shop__orders where customer_id is null
    union select 'pos:' || member_id from pos__members
    union select 'support:' || ticket_id from support__tickets
    union select 'mailing:' || subscriber_id from mailing__subscribers
    union select 'surveys:' || response_id from surveys__responses
    union select 'web:' || anonymous_id from web__events where anonymous_id is not null
"""


def test_the_truth_names_the_person_of_every_record_exactly_once(sample: Sample) -> None:
    known = "select source_record_id from truth"
    assert sample.count(f"select count(*) from (({RECORDS}) except {known})") == 0
    assert sample.count(f"select count(*) from ({known} except ({RECORDS}))") == 0
    repeated = "select count(*) - count(distinct source_record_id) from truth"
    assert sample.count(repeated) == 0
    assert sample.count("select count(*) from truth where person_id is null") == 0


def test_an_order_or_receipt_never_points_at_an_unknown_account_or_card(sample: Sample) -> None:
    orphans = """
        select count(*) from (
            select customer_id from shop__orders where customer_id is not null
            except select customer_id from shop__customers
        )
    """
    assert sample.count(orphans) == 0
    strangers = """
        select count(*) from (
            select member_id from pos__receipts where member_id is not null
            except select member_id from pos__members
        )
    """
    assert sample.count(strangers) == 0


def test_order_lines_add_up_to_the_order_before_its_discount(sample: Sample) -> None:
    wrong = """
        with priced as (
            select
                order_id,
                sum(cast(quantity as bigint) * cast(unit_price as decimal(18, 2))) as price
            from (select distinct * exclude (_file) from shop__order_lines)
            group by order_id
            having count(quantity) = count(*) and count(unit_price) = count(*)
        )

        select count(*)
        from shop__orders
        inner join priced using (order_id)
        where cast(total_amount as decimal(18, 2)) + cast(discount_amount as decimal(18, 2))
            <> price
    """
    assert sample.count(wrong) == 0


def test_a_visitor_is_anonymous_until_the_first_login(sample: Sample) -> None:
    too_early = """
        with visitors as (
            select
                anonymous_id,
                min(cast(occurred_at as timestamptz)) filter (event_type = 'login') as logged_in_at,
                min(cast(occurred_at as timestamptz)) filter (user_id is not null) as known_at
            from web__events
            where anonymous_id is not null
            group by anonymous_id
            -- a visitor with a lost cell may have lost the login
            having count(event_type) = count(*) and count(occurred_at) = count(*)
        )

        select count(*) from visitors where known_at is distinct from logged_in_at
    """
    assert sample.count(too_early) == 0


def test_nearly_all_phone_numbers_are_valid_in_their_country(sample: Sample) -> None:
    rows = sample.database.execute("""
        select phone, country from crm__contacts
        where phone is not null and regexp_matches(country, '^[A-Z]{2}$') and country <> 'UK'
            and phone not in ('0000000', '0000000000', '123456789', '+999999999')
        union all
        select phone, country from shop__customers
        where phone is not null and regexp_matches(country, '^[A-Z]{2}$') and country <> 'UK'
            and phone not in ('0000000', '0000000000', '123456789', '+999999999')
    """).fetchall()
    valid = sum(is_valid_phone(phone, country) for phone, country in rows)
    assert len(rows) > 500
    assert valid / len(rows) > 0.96


def is_valid_phone(phone: str, country: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(phone, country))
    except phonenumbers.NumberParseException:
        return False


@pytest.mark.parametrize("feature", MESS)
def test_the_sample_is_messy(sample: Sample, feature: str) -> None:
    sample.database.execute(PREPARE)
    at_least, query = MESS[feature]
    assert sample.count(query) >= at_least


def test_each_bad_line_is_a_damaged_copy_that_loses_no_record(tmp_path: Path) -> None:
    generated = generate(
        tmp_path / "landing",
        tmp_path / "truth.csv",
        people=400,
        seed=9,
        format="sample",
        bad_lines=len(DAMAGES),
    )
    assert len(generated.bad_lines) == len(DAMAGES)
    assert {line.rsplit("/", 1)[0] for line in generated.bad_lines} == {d.feed for d in DAMAGES}


def test_more_bad_lines_than_known_damages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only 8 kinds"):
        generate(tmp_path / "l", tmp_path / "t.csv", people=20, seed=1, bad_lines=99)


def test_a_truth_below_the_landing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenerateError, match="inside the landing"):
        generate(tmp_path / "landing", tmp_path / "landing" / "truth.csv", people=5, seed=1)


def test_a_world_without_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenerateError, match="at least one person"):
        generate(tmp_path / "landing", tmp_path / "truth.csv", people=0, seed=1)


@pytest.mark.parametrize("people", [1, 2, 7])
def test_a_tiny_world_is_still_a_world(people: int, tmp_path: Path) -> None:
    generated = generate(tmp_path / "landing", tmp_path / "truth.csv", people=people, seed=4)
    assert set(generated.rows) == {feed.name for feed in GENERATED}


def test_the_command_line_says_what_is_wrong_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = str(tmp_path / "truth.xlsx")
    code = main(["--out", str(tmp_path), "--truth", truth, "--people", "5", "--seed", "1"])
    assert code == 1
    assert "must end in .csv, .csv.gz, .parquet" in capsys.readouterr().err


def test_the_wanted_number_of_records_is_met_within_a_tenth(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path / "l"), "--truth", str(tmp_path / "t.parquet")]
    assert main([*arguments, "--records", "20000", "--seed", "11"]) == 0
    with duckdb.connect() as database:
        row = database.execute(f"""
            select count(*) from read_parquet('{tmp_path / "t.parquet"}')
            where not starts_with(source_record_id, 'web:')
        """).fetchone()
    assert row is not None
    assert abs(row[0] - 20_000) < 2_000
