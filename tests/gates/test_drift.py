"""New deliveries beside the feed's history: what drifts is said, what is usual or small is not."""

import csv
import random
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.gates import SuiteError, run_gate
from orchestration.gates.drift import (
    BANDS,
    accept_deliveries,
    judge_all,
    judge_deliveries,
    late_feeds,
    load_bands,
)
from orchestration.landing import land
from orchestration.landing.withdrawals import (
    in_force,
    read_withdrawals,
    withdraw,
)
from orchestration.settings import Settings

Row = dict[str, str]
LAST = date(2026, 3, 31)
DAYS = 25
PEOPLE = (("Anna", "Berg"), ("Peter", "Stone"), ("Mia", "Field"), ("Zoë", "Müller"))


def order(day: date, number: int) -> Row:
    """One order of an ordinary day; the same for the same day and number."""
    dice = random.Random(f"{day} {number}")
    key = f"{day:%m%d}{number:03}"
    return {
        "order_id": key,
        "customer_id": str(1000 + dice.randrange(300)),
        "email": f"buyer.{key}@x.test",
        "ordered_at": f"{day}T{dice.randrange(8, 22):02}:{dice.randrange(60):02}:00Z",
        "status": dice.choice(["completed", "completed", "shipped", "cancelled"]),
        "currency_code": dice.choice(["EUR", "EUR", "EUR", "GBP"]),
        "total_amount": f"{dice.lognormvariate(3.5, 0.8):.2f}",
        "updated_at": f"{day}T23:00:00Z",
    }


def account(day: date, number: int) -> Row:
    """One new account of an ordinary day."""
    dice = random.Random(f"account {day} {number}")
    first, last = dice.choice(PEOPLE)
    return {
        "customer_id": f"9{day:%m%d}{number:03}",
        "first_name": first,
        "last_name": last,
        "email": f"{first}.{last}{dice.randrange(10_000)}@x.test".lower().replace("ü", "ue"),
        "phone": f"+4477{dice.randrange(10**8):08}",
        "country": "GB",
        "created_at": f"{day}T10:{dice.randrange(60):02}:00Z",
    }


def write(landing: Path, feed: str, name: str, rows: list[Row], columns: list[str]) -> Path:
    path = landing / feed / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


MAKERS: dict[str, Callable[[date, int], Row]] = {"shop/orders": order, "shop/customers": account}


def day_of(feed: str, day: date, count: int = 60) -> list[Row]:
    return [MAKERS[feed](day, number) for number in range(count)]


class Shop:
    """A shop with a landing, a working database and a history of ordinary days."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(landing=folder / "landing", home=folder / "home", as_of=LAST)
        self.settings.home.mkdir(parents=True, exist_ok=True)

    def deliver(self, feed: str, day: date, rows: list[Row]) -> None:
        write(self.settings.landing, feed, str(day), rows, list(rows[0]))

    def connect(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.settings.working_database))

    def land(self) -> None:
        with self.connect() as connection:
            land(
                connection,
                self.settings.landing,
                load_id=f"load-{random.random()}",
                loaded_at=datetime.now(UTC),
                withdrawn=in_force(read_withdrawals(self.settings.withdrawals)),
            )

    def judge(self) -> dict[str, tuple[str, str]]:
        """Land what is new and judge it: finding → (level, sentence)."""
        self.land()
        with self.connect() as connection:
            judge_deliveries(connection, self.settings)
            return {
                finding: (level, sentence)
                for finding, level, sentence in connection.execute(
                    "select finding_id, level, sentence from quality.drift_findings"
                ).fetchall()
            }

    def drift(self) -> set[str]:
        """The findings about what came, not about what stayed away."""
        return {finding for finding in self.judge() if not finding.endswith((" missing", " gap"))}

    def accept(self) -> None:
        with self.connect() as connection:
            judge_all(connection, [], LAST)
            accept_deliveries(connection)


def shop_with_history(folder: Path, counts: Callable[[date], int] = lambda _: 60) -> Shop:
    shop = Shop(folder)
    for feed in MAKERS:
        for ago in range(DAYS, 0, -1):
            day = LAST - timedelta(days=ago)
            shop.deliver(feed, day, day_of(feed, day, counts(day)))
    shop.land()
    shop.accept()
    return shop


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shop_with_history(tmp_path_factory.mktemp("history")).settings.home.parent)


@pytest.fixture
def shop(history: Path, tmp_path: Path) -> Shop:
    """A copy that a test may break; files keep their times, so only what is new is read."""
    shutil.copytree(history, tmp_path / "shop")
    return Shop(tmp_path / "shop")


def test_a_day_like_the_others_drifts_in_nothing(shop: Shop) -> None:
    for feed in MAKERS:
        shop.deliver(feed, LAST, day_of(feed, LAST))

    assert shop.judge() == {}


def each(column: str, value: Callable[[Row], str]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [row | {column: value(row)} for row in rows]


def slipped(rows: list[Row]) -> list[Row]:
    return [
        row | {"email": other["email"]}
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True)
    ]


CRITICAL: dict[str, tuple[str, Callable[[list[Row]], list[Row]], str]] = {
    "half the file": ("shop/orders", lambda rows: rows[:20], "rows"),
    "amounts in cents": (
        "shop/orders",
        each("total_amount", lambda row: f"{float(row['total_amount']) * 100:.2f}"),
        "total_amount size",
    ),
    "no currency": ("shop/orders", each("currency_code", lambda _: ""), "currency_code filled"),
    "another currency": (
        "shop/orders",
        each("currency_code", lambda _: "USD"),
        "currency_code values",
    ),
    "dates of last year": (
        "shop/orders",
        each("ordered_at", lambda row: row["ordered_at"].replace("2026", "2025")),
        "ordered_at age",
    ),
    "dates a day early": (
        "shop/orders",
        each("ordered_at", lambda row: f"{LAST - timedelta(days=1)}{row['ordered_at'][10:]}"),
        "ordered_at fresh",
    ),
    "clocks twelve hours off": (
        "shop/orders",
        each(
            "ordered_at",
            lambda row: (
                f"{LAST}T{(int(row['ordered_at'][11:13]) + 12) % 24:02}{row['ordered_at'][13:]}"
            ),
        ),
        "ordered_at, hour hours",
    ),
    "amounts of zero": (
        "shop/orders",
        each("total_amount", lambda _: "0.00"),
        "total_amount zero",
    ),
    "numbers that start again": (
        "shop/orders",
        lambda rows: [
            row | {"order_id": order(LAST - timedelta(days=9), number)["order_id"]}
            for number, row in enumerate(rows)
        ],
        "order_id known",
    ),
    "one e-mail for all": ("shop/customers", each("email", lambda _: "a@x.test"), "email distinct"),
    "a wrong code page": (
        "shop/customers",
        each("first_name", lambda row: row["first_name"].encode().decode("latin-1")),
        "damaged",
    ),
    "names exchanged": (
        "shop/customers",
        lambda rows: [
            row | {"first_name": row["last_name"], "last_name": row["first_name"]} for row in rows
        ],
        "email first_name_leads",
    ),
    "e-mails one row further": ("shop/customers", slipped, "email bears_name"),
}


@pytest.mark.parametrize("fault", CRITICAL)
def test_a_delivery_that_is_nothing_like_the_others_is_critical(shop: Shop, fault: str) -> None:
    feed, change, measure = CRITICAL[fault]
    shop.deliver(feed, LAST, change(day_of(feed, LAST)))

    found = shop.judge()

    level, sentence = found[f"{feed} {LAST} {measure}"]
    assert level == "critical", sentence
    assert sentence.startswith(f"{feed} of {LAST}")
    assert "usually" in sentence
    assert "x.test" not in sentence


def test_yesterdays_file_under_todays_name_is_critical(shop: Shop) -> None:
    yesterday = LAST - timedelta(days=1)
    rows = day_of("shop/orders", yesterday)
    shop.deliver("shop/orders", LAST, [*rows[1:], rows[0]])

    level, sentence = shop.judge()[f"shop/orders {LAST} repeated"]

    assert (level, "100%" in sentence) == ("critical", True)


def test_a_small_delivery_does_not_cry_wolf(shop: Shop) -> None:
    rows = day_of("shop/customers", LAST, 4)
    shop.deliver("shop/customers", LAST, each("email", lambda _: "")(rows))

    found = shop.judge()

    assert not [finding for finding in found if "email" in finding]


@pytest.mark.parametrize(("count", "level"), [(10, "warning"), (28, "critical")])
def test_in_few_rows_only_a_larger_change_is_critical(shop: Shop, count: int, level: str) -> None:
    rows = day_of("shop/orders", LAST, count)
    unfilled = [row | {"currency_code": ""} for row in rows[: count * 3 // 7]]
    shop.deliver("shop/orders", LAST, [*unfilled, *rows[len(unfilled) :]])

    assert shop.judge()[f"shop/orders {LAST} currency_code filled"][0] == level


@pytest.mark.parametrize(("visitors", "is_critical"), [(2, False), (14, True)])
def test_many_events_of_one_visitor_say_no_more_than_one(
    tmp_path: Path, visitors: int, is_critical: bool
) -> None:
    shop = Shop(tmp_path)

    def events(day: date, visitor_of: Callable[[int], int], strangers: set[int]) -> list[Row]:
        return [
            {
                "event_id": f"{day:%m%d}{number:02}",
                "anonymous_id": f"v{day:%m%d}{visitor_of(number)}",
                "user_id": "" if visitor_of(number) in strangers else str(100 + number),
                "event_type": "page_view",
                "occurred_at": f"{day}T{8 + number % 12:02}:00:00Z",
            }
            for number in range(14)
        ]

    for ago in range(DAYS, 0, -1):
        day = LAST - timedelta(days=ago)
        shop.deliver("web/events", day, events(day, lambda number: number, set()))
    shop.land()
    shop.accept()
    # nine of 14 rows lack the user: those of one visitor of two, or of nine of 14
    strangers = {0} if visitors == 2 else set(range(9))
    visitor_of = (lambda number: number // 9) if visitors == 2 else (lambda number: number)
    shop.deliver("web/events", LAST, events(LAST, visitor_of, strangers))

    level, _ = shop.judge().get(f"web/events {LAST} user_id filled", (None, ""))
    assert (level == "critical") == is_critical


def test_ids_that_come_twice_in_a_small_delivery_are_not_its_usual_values(tmp_path: Path) -> None:
    shop = shop_with_history(tmp_path, lambda _: 24)
    rows = day_of("shop/orders", LAST, 24)
    twice = [
        row | {"customer_id": rows[number // 2]["customer_id"]} for number, row in enumerate(rows)
    ]
    shop.deliver("shop/orders", LAST, twice)
    assert f"shop/orders {LAST} customer_id values" not in shop.judge()

    shop.deliver("shop/orders", LAST, each("customer_id", lambda _: "1")(rows))
    assert shop.judge()[f"shop/orders {LAST} customer_id values"][0] == "critical"


def test_ids_that_are_new_in_every_delivery_have_no_usual_values(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    def events(day: date, long_sessions: int) -> list[Row]:
        return [
            {
                "event_id": f"{day:%m%d}{number:02}",
                "session_id": f"{day} {number // 6 if number < 6 * long_sessions else number}",
                "event_type": "page_view",
                "occurred_at": f"{day}T{8 + number % 12:02}:00:00Z",
            }
            for number in range(30)
        ]

    for ago in range(DAYS, 0, -1):
        day = LAST - timedelta(days=ago)
        shop.deliver("web/events", day, events(day, 3))
    shop.land()
    shop.accept()
    shop.deliver("web/events", LAST, events(LAST, 5))

    assert f"web/events {LAST} session_id values" not in shop.judge()


def test_what_nearly_came_twice_before_is_usual(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    def filled(day: date, count: int) -> list[Row]:
        rows = day_of("shop/orders", day)
        return [row | {"email": row["email"] if n < count else ""} for n, row in enumerate(rows)]

    for ago in range(DAYS, 0, -1):
        day = LAST - timedelta(days=ago)
        shop.deliver("shop/orders", day, filled(day, 21 if ago in (5, 12) else 60))
    shop.land()
    shop.accept()
    shop.deliver("shop/orders", LAST, filled(LAST, 19))
    assert shop.judge() == {}

    # other orders: rows that have landed are not judged again
    shop.deliver("shop/orders", LAST, filled(LAST + timedelta(days=1), 12))
    assert shop.judge()[f"shop/orders {LAST} email filled"][0] == "critical"


def test_flags_of_known_records_that_turned_round_are_critical(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    def contacts(day: date, *, turned: bool = False) -> list[Row]:
        agreed = {number: number % 3 == 0 for number in range(40)}
        return [
            {
                "contact_id": f"C{number}",
                "email": f"c{number}@x.test",
                "marketing_opt_in": str(agrees != turned).lower(),
                "updated_at": f"{day}T09:00:00Z",
            }
            for number, agrees in agreed.items()
        ]

    for ago in range(DAYS, 0, -1):
        day = LAST - timedelta(days=ago)
        shop.deliver("crm/contacts", day, contacts(day))
    shop.land()
    shop.accept()
    shop.deliver("crm/contacts", LAST, contacts(LAST))
    assert shop.judge() == {}

    shop.deliver("crm/contacts", LAST, contacts(LAST, turned=True))
    assert shop.judge()[f"crm/contacts {LAST} marketing_opt_in kept"][0] == "critical"


def test_a_feed_with_few_deliveries_is_not_judged(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for ago in range(4):
        day = LAST - timedelta(days=ago)
        shop.deliver("shop/orders", day, day_of("shop/orders", day, 3 if ago == 0 else 300))

    assert shop.judge() == {}


def test_one_accident_of_the_past_neither_excuses_the_next_nor_widens_the_band(
    shop: Shop,
) -> None:
    accident = LAST - timedelta(days=30)
    shop.deliver("shop/orders", accident, day_of("shop/orders", accident, 1))
    shop.land()
    shop.accept()
    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST, 6))

    assert shop.judge()[f"shop/orders {LAST} rows"][0] == "critical"


def test_the_number_of_lines_follows_the_day_of_the_week(tmp_path: Path) -> None:
    busy = LAST.isoweekday()
    shop = Shop(tmp_path)
    for ago in range(36, 0, -1):
        day = LAST - timedelta(days=ago)
        count = 300 if day.isoweekday() == busy else 40
        shop.deliver("shop/orders", day, day_of("shop/orders", day, count))
    shop.land()
    shop.accept()

    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST, 300))
    assert shop.judge() == {}
    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST, 40))
    level, sentence = shop.judge()[f"shop/orders {LAST} rows"]

    assert level == "critical"
    assert "on this weekday" in sentence


def test_a_delivery_is_judged_until_the_gate_has_passed_with_it(shop: Shop) -> None:
    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST, 2))

    assert f"shop/orders {LAST} rows" in shop.judge()
    assert f"shop/orders {LAST} rows" in shop.judge()
    shop.accept()
    assert shop.drift() == set()


def test_a_corrected_file_is_judged_in_place_of_the_bad_one(shop: Shop) -> None:
    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST, 2))
    assert f"shop/orders {LAST} rows" in shop.judge()

    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST))

    assert shop.drift() == set()


def test_after_the_bad_file_is_withdrawn_the_gate_passes_and_no_profile_is_left(
    shop: Shop,
) -> None:
    rows = day_of("shop/orders", LAST)
    yesterday = day_of("shop/orders", LAST - timedelta(days=1))
    shop.deliver("shop/orders", LAST, [*each("currency_code", lambda _: "")(rows), *yesterday[:9]])
    assert shop.judge()[f"shop/orders {LAST} currency_code filled"][0] == "critical"
    file = f"shop/orders/{LAST}.csv"
    withdraw(shop.settings, file, "", by="Eva", why="no currency", at=datetime.now(UTC))

    shop.land()
    passed = run_gate("landing", shop.settings)

    assert passed.passed, passed.summary
    with shop.connect() as connection:
        for table in ("file_profiles", "profiled_files", "judged_files"):
            assert connection.execute(
                f"select count(*) from quality.{table} where file_path = ?", [file]
            ).fetchone() == (0,)
    shop.deliver("shop/orders", LAST, rows)
    assert shop.drift() == set()


def test_a_file_that_is_corrected_has_not_taken_the_keys_of_others(shop: Shop) -> None:
    rows = day_of("shop/orders", LAST)
    shop.deliver("shop/orders", LAST, each("currency_code", lambda _: "")(rows))
    shop.judge()
    shop.deliver("shop/orders", LAST, rows)

    assert shop.drift() == set()


def test_a_new_working_database_judges_the_newest_delivery_and_makes_the_history_again(
    shop: Shop,
) -> None:
    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST, 2))
    before = shop.judge()
    shop.settings.working_database.unlink()

    assert shop.judge() == before


@pytest.mark.parametrize(("days", "level"), [(1, None), (3, "warning"), (9, "critical")])
def test_a_silent_feed_is_named_by_the_rhythm_it_had(
    shop: Shop, days: int, level: str | None
) -> None:
    newest = LAST - timedelta(days=1)
    shop.settings = shop.settings.model_copy(update={"as_of": newest + timedelta(days=days)})

    found = shop.judge()

    assert found.get(f"shop/orders {newest} gap", (None, ""))[0] == level


def test_a_feed_that_stays_away_while_others_come_is_named(shop: Shop) -> None:
    shop.deliver("shop/customers", LAST, day_of("shop/customers", LAST))

    level, sentence = shop.judge()[f"shop/orders {LAST} missing"]

    assert level == "warning"
    assert "though other feeds came" in sentence
    with shop.connect() as connection:
        assert late_feeds(connection) == {"shop/orders": sentence}


def test_a_feed_whose_delivery_is_only_strange_is_not_late(shop: Shop) -> None:
    strange = each("currency_code", lambda _: "")(day_of("shop/orders", LAST))
    shop.deliver("shop/orders", LAST, strange)
    shop.settings = shop.settings.model_copy(update={"as_of": LAST + timedelta(days=1)})
    found = shop.judge()

    assert any("currency_code" in finding for finding in found)
    with shop.connect() as connection:
        assert list(late_feeds(connection)) == ["shop/customers"]


def test_the_landing_gate_stops_for_a_critical_finding_and_passes_for_a_clean_day(
    shop: Shop,
) -> None:
    shop.deliver(
        "shop/orders", LAST, each("currency_code", lambda _: "")(day_of("shop/orders", LAST))
    )
    shop.land()
    blocked = run_gate("landing", shop.settings)
    shop.deliver("shop/orders", LAST, day_of("shop/orders", LAST))
    shop.land()
    passed = run_gate("landing", shop.settings)

    assert not blocked.passed
    assert f"shop/orders of {LAST}, currency_code: filled 0%" in " ".join(blocked.summary)
    assert passed.passed, passed.summary


def test_without_a_history_a_first_file_of_defaults_is_stopped_by_its_values(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path)
    rows = each("email", lambda _: "unknown")(day_of("shop/customers", LAST))
    shop.deliver("shop/customers", LAST, rows)
    shop.land()

    result = run_gate("landing", shop.settings)

    assert not result.passed
    assert f"shop/customers/{LAST}.csv, email: 60 of 60 values" in " ".join(result.summary)
    assert "unknown" not in " ".join(result.summary)


def test_profiles_keep_no_personal_data(shop: Shop) -> None:
    shop.deliver("shop/customers", LAST, day_of("shop/customers", LAST))
    shop.judge()

    with shop.connect() as connection:
        kept = {
            category
            for (category,) in connection.execute(
                "select distinct category from quality.file_profiles where category is not null"
            ).fetchall()
        }

    assert "EUR" in kept
    assert kept.isdisjoint({name for pair in PEOPLE for name in pair})


@pytest.mark.parametrize(
    ("line", "instead", "complaint"),
    [
        ("filled,0.15", "filed,0.15", "no measure `filed`. Did you mean `filled`"),
        ("filled,0.15", "filled,some", "warning_change is 'some'. Write a number"),
        ("filled,0.15,0.35", "filled,0.35,0.15", "critical_change is below warning_change"),
        ("filled,0.15,0.35,4,6,5", "filled,0.15,0.35,4,6,1", "least_deliveries must be 2 or more"),
        ("filled,0.15,0.35,4,6", "filled,0.15,0.35,6,4", "critical_spreads is below"),
        ("filled,0.15", "digits,0.15", "`digits` is given twice"),
        ("measure,warning_change", "measure,warning", "its columns must be measure"),
    ],
)
def test_a_band_that_cannot_be_used_is_named(
    tmp_path: Path, line: str, instead: str, complaint: str
) -> None:
    text = BANDS.read_text(encoding="utf-8")
    assert text.count(line) == 1
    file = tmp_path / "drift_bands.csv"
    file.write_text(text.replace(line, instead), encoding="utf-8")

    with pytest.raises(SuiteError, match=complaint):
        load_bands(file)
