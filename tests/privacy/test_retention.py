"""What is older than the policy keeps goes, what is held or undated stays; against plain Python."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.landing import FEEDS
from orchestration.privacy.expiry import apply, expire, find_expiring
from orchestration.privacy.holds import Hold, add_hold, read_holds, release_hold
from orchestration.privacy.retention_log import add_line, read_accepted
from orchestration.privacy.retention_policy import (
    POLICY_FILE,
    Policy,
    RetentionPolicyError,
    later_of,
    read_policy,
)
from orchestration.privacy.tombstones import PrivacyError
from orchestration.settings import Settings
from orchestration.sql import transaction
from tests.privacy.test_forgotten_rows import Landing, tombstones

AS_OF = date(2026, 6, 30)
POLICY = read_policy(FEEDS)


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    landing = Landing(tmp_path)
    yield landing
    landing.connection.close()


def policy_with(line: str, folder: Path) -> Policy:
    """The policy with another line for the feed that the line begins with."""
    path = folder / "retention_policy.csv"
    start = ",".join(line.split(",")[:2]) + ","
    lines = POLICY_FILE.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line if old.startswith(start) else old for old in lines) + "\n")
    return read_policy(FEEDS, path)


def expired(
    landing: Landing, *held: str, day: date = AS_OF, policy: Policy = POLICY, feed: str = ""
) -> Any:
    """Apply the policy; held: identifiers of people, feed: one that is held as a whole."""
    landing.connection.execute("set TimeZone = 'UTC'")
    tombstones(*held).enter(landing.connection)
    hold = Hold("h-1", feed, "", (), None, "Eva Lind", datetime(2026, 1, 1, tzinfo=UTC), "case")
    due = find_expiring(landing.connection, policy, day, [hold] if feed else [])
    with transaction(landing.connection):
        apply(landing.connection, policy)
    for lines, told in landing.rows(
        "select line_count, loaded_count + rejected_count + forgotten_count + expired_count"
        " from raw.files"
    ):
        assert lines == told
    return due


def event(name: str, at: str, **more: str) -> dict[str, str]:
    return {"event_id": name, "occurred_at": at, "user_id": "", **more}


def test_every_feed_has_a_line_and_the_shipped_policy_can_be_used() -> None:
    assert list(POLICY) == [feed.name for feed in FEEDS]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("web,events,occurred_at,soon,delete,why", "'soon' is no period"),
        ("web,events,occurred_at,101 years,delete,why", "'101 years' is no period"),
        ("web,events,occurred_at,3 years,burn,why", "'burn' is no action"),
        ("web,events,occurred_at,3 years,anonymise,why", "without its person"),
        ("web,events,page_url,3 years,delete,why", "'page_url' is no column"),
        ("web,events,,3 years,delete,why", "dated_by: it is empty"),
        ("web,events,occurred_at,3 years,keep,why", "is for nothing"),
        ("web,events,occurred_at,3 years,delete,", "basis: it is empty"),
        ("shop,order_lines,orders.ordered_at,9 years,anonymise,why", "has to go with it"),
        ("shop,order_lines,receipts.ordered_at,9 years,anonymise,why", "dates no row"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(RetentionPolicyError, match=sentence):
        policy_with(line, tmp_path)


def test_a_missing_an_unknown_and_a_double_line_are_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.csv"
    lines = POLICY_FILE.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:-1], lines[1], "web,event,occurred_at,,keep,why"]))
    with pytest.raises(RetentionPolicyError) as raised:
        read_policy(FEEDS, path)
    assert "surveys/responses has no line" in str(raised.value)
    assert "crm/contacts has a line already" in str(raised.value)
    assert "did you mean web/events" in str(raised.value)


def test_a_period_ends_with_its_day_and_no_month_is_too_short() -> None:
    assert POLICY["web/events"].limit(date(2024, 2, 29)) == date(2021, 2, 28)
    assert POLICY["mailing/consents"].limit(AS_OF) is None


def test_the_boundary_day_stays_and_the_day_before_goes(landing: Landing) -> None:
    landing.put(
        "web/events",
        event("E1", "2023-06-30T00:00:00Z"),
        event("E2", "2023-06-29T23:59:59Z"),
        event("E3", "2023-06-30T01:00:00+02:00"),
        event("E4", ""),
    )
    landing.land()
    due = expired(landing)["web/events"]
    assert landing.rows("select event_id from raw.web__events order by 1") == [("E1",), ("E4",)]
    assert (due.expiring, due.undated, due.oldest) == (2, 1, date(2023, 6, 29))


def test_what_lands_again_from_an_old_file_goes_again_and_is_counted(landing: Landing) -> None:
    landing.put("web/events", event("E1", "2020-01-01T00:00:00Z"))
    landing.land()
    expired(landing)
    landing.put("web/events", event("E1", "2020-01-01T00:00:00Z"), event("E2", ""), name="b.csv")
    landing.land()
    expired(landing)
    assert landing.rows("select event_id from raw.web__events") == [("E2",)]
    assert landing.rows("select sum(expired_count) from raw.files") == [(2,)]


def test_an_old_version_stays_as_long_as_its_record(landing: Landing) -> None:
    """What is superseded says since when somebody agreed; and it never becomes current again."""
    for name, when in (("a.csv", "2010-01-01T00:00:00Z"), ("b.csv", "2026-01-01T00:00:00Z")):
        landing.put("crm/contacts", {"contact_id": "C1", "updated_at": when}, name=name)
    landing.put("crm/contacts", {"contact_id": "C2", "updated_at": ""}, name="c.csv")
    landing.put(
        "crm/contacts", {"contact_id": "C2", "updated_at": "2010-01-01T00:00:00Z"}, name="d.csv"
    )
    landing.land()
    expired(landing)
    assert landing.rows("select contact_id from raw.crm__contacts") == [("C1",), ("C1",)]


def old_order(**more: str) -> dict[str, str]:
    return {
        "order_id": "77",
        "customer_id": "7",
        "email": "ann@x.test",
        "ordered_at": "2010-03-01T10:30:00Z",
        "total_amount": "12.50",
        "status": "completed",
        "updated_at": "2010-03-02T10:30:00Z",
    } | more


def test_an_old_order_and_its_lines_keep_their_money_under_one_pseudonym(
    landing: Landing,
) -> None:
    landing.put("shop/orders", old_order(status="pending", updated_at="2010-03-02T09:00:00Z"))
    landing.put("shop/orders", old_order(), name="b.csv")
    landing.put("shop/order_lines", {"order_id": "77", "line_number": "1", "quantity": "2"})
    landing.land()
    expired(landing)
    orders = "select order_id, customer_id, email, status, total_amount from raw.shop__orders"
    ((order, customer, email, status, total),) = landing.rows(orders)
    assert (customer, email, status, total) == (None, None, "completed", "12.50")
    assert order.startswith("anonymised-")
    lines = landing.rows("select order_id, quantity from raw.shop__order_lines")
    assert lines == [(order, "2")]
    before = landing.content()
    expired(landing)
    assert landing.content() == before, "what was anonymised is left alone"
    # the old file again, under another name, with a line that came late
    landing.put("shop/orders", old_order(status="pending"), name="c.csv")
    landing.put("shop/order_lines", {"order_id": "77", "line_number": "2"}, name="c.csv")
    landing.land()
    expired(landing)
    assert landing.rows(orders) == [(order, None, None, "completed", "12.50")]
    assert landing.rows("select distinct order_id from raw.shop__order_lines") == [(order,)]


def test_a_hold_keeps_a_person_with_orders_and_lines_and_others_go(landing: Landing) -> None:
    landing.put("shop/orders", old_order(), old_order(order_id="78", customer_id="8", email=""))
    landing.put(
        "shop/order_lines",
        {"order_id": "77", "line_number": "1"},
        {"order_id": "78", "line_number": "1"},
    )
    landing.land()
    due = expired(landing, "shop:7", "shop:order:77")
    assert (due["shop/orders"].held, due["shop/orders"].expiring) == (1, 1)
    kept = "select count(*) from raw.{} where order_id = '77'"
    assert landing.rows(kept.format("shop__orders")) == [(1,)]
    assert landing.rows(kept.format("shop__order_lines")) == [(1,)]
    gone = "select count(*) from raw.shop__order_lines where order_id = '78'"
    assert landing.rows(gone) == [(0,)]


def test_a_hold_of_orders_holds_their_lines(landing: Landing) -> None:
    landing.put("shop/orders", old_order())
    landing.put("shop/order_lines", {"order_id": "77", "line_number": "1"})
    landing.land()
    expired(landing, feed="shop/orders")
    assert landing.rows("select order_id from raw.shop__order_lines") == [("77",)]


def home(folder: Path) -> Settings:
    return Settings(home=folder, landing=folder / "landing", as_of=AS_OF)


def test_more_than_a_quarter_stops_before_anything_is_deleted_until_it_is_confirmed(
    landing: Landing, tmp_path: Path
) -> None:
    rows = [event(f"E{n}", "2020-01-01T00:00:00Z" if n < 30 else "2026-01-01") for n in range(90)]
    landing.put("web/events", *rows)
    landing.land()
    installation = home(tmp_path)
    with pytest.raises(Exception, match=r"30 of 90 rows of web/events .*--confirm web/events"):
        expire(landing.connection, installation, "run 1")
    assert landing.rows("select count(*) from raw.web__events") == [(90,)]
    assert not installation.retention_log.exists()
    rule = POLICY["web/events"]
    limit = rule.limit(AS_OF)
    assert limit is not None
    add_line(
        installation.retention_confirmations, rule, AS_OF, limit, 30, by="Eva Lind", why="agreed"
    )
    due = expire(landing.connection, installation, "run 2")
    assert due["web/events"].expiring == 30
    assert landing.rows("select count(*) from raw.web__events") == [(60,)]
    assert read_accepted(installation).applied == AS_OF
    assert expire(landing.connection, installation, "run 3") == {}


def test_a_run_of_an_earlier_day_lets_nothing_back_in(landing: Landing, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    assert later_of(date(2020, 1, 1), date(2021, 1, 1)) == date(2021, 1, 1)
    assert later_of(date(2020, 1, 1), None) == date(2020, 1, 1)
    assert later_of(today, today + timedelta(days=900)) == today, "a day to come binds nobody"


def test_a_hold_ends_with_its_day_or_when_it_is_released(tmp_path: Path) -> None:
    installation = home(tmp_path)
    until = date(2024, 1, 31)
    add_hold(installation, feed="web/events", until=until, by="Eva Lind", why="case 1")
    many = [f"crm:C{number}" for number in range(400)]
    held = add_hold(
        installation,
        customer_id="cus_00000000000000000001",
        records=[*many, "web:V1"],
        until=None,
        by="Eva Lind",
        why="case 2",
    )
    first, second = read_holds(installation)
    assert first.is_in_force(until)
    assert not first.is_in_force(until + timedelta(days=1))
    assert sorted(second.records) == sorted(many)
    release_hold(installation, held, by="Eva Lind", why="settled")
    assert not read_holds(installation)[1].is_in_force(until)
    for unknown in (held, "h-none"):
        with pytest.raises(PrivacyError, match=r"released before|There is no hold"):
            release_hold(installation, unknown, by="Eva Lind", why="settled")


DAYS = st.one_of(st.none(), st.integers(0, 2000))


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), DAYS, st.integers(0, 2), st.booleans()), max_size=12
    ),
    period=st.integers(1, 1500),
    held=st.sets(st.integers(0, 2)),
)
@settings(max_examples=25)
def test_what_is_left_is_what_plain_python_leaves(
    rows: list[tuple[int, int | None, int, bool]], period: int, held: set[int]
) -> None:
    """rows: event, age in days or none, account, whether it lands in a second file, later."""
    with tempfile.TemporaryDirectory() as folder:
        policy = policy_with(f"web,events,occurred_at,{period} days,delete,why", Path(folder))
        landing = Landing(Path(folder))
        model: set[tuple[str, str | None, str]] = set()
        gone = 0
        for is_late in (False, True):
            loaded = [
                event(
                    f"E{number}",
                    (AS_OF - timedelta(days=age)).isoformat() if age is not None else "",
                    user_id=str(account),
                )
                for number, age, account, late in rows
                if late is is_late
            ]
            if loaded:
                landing.put("web/events", *loaded, name=f"{is_late}.csv")
            if not list(Path(folder).rglob("*/*.csv")):
                continue
            landing.land()
            due = expired(landing, *(f"shop:{one}" for one in held), policy=policy)
            model |= {(r["event_id"], r["occurred_at"] or None, r["user_id"]) for r in loaded}
            limit = (AS_OF - timedelta(days=period)).isoformat()
            expiring = set()
            for name in {one[0] for one in model}:
                versions = [one for one in model if one[0] == name]
                dates = [one[1] for one in versions if one[1]]
                if dates and max(dates) < limit and not any(int(v[2]) in held for v in versions):
                    expiring |= {*versions}
            model -= expiring
            gone += len(expiring)
            assert due["web/events"].expiring == len(expiring)
        if not rows:
            return
        left = landing.rows("select event_id, occurred_at, user_id from raw.web__events")
        assert sorted(left, key=str) == sorted(model, key=str)
        assert landing.rows("select coalesce(sum(expired_count), 0) from raw.files") == [(gone,)]
        landing.connection.close()
