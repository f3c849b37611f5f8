"""The bridge against a count by hand, on generated purchases and customers that merge and split."""

import calendar
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.settings import Settings
from orchestration.transform.dbt import _invoke, _variables, parse

MODELS = (
    "int_purchase_days_summarised",
    "int_record_customers_dated",
    "int_customer_epochs_dated",
    "int_retained_spans_measured",
    "retention_bridge",
)
FIRST_DAY, AS_OF, LAPSED_DAYS = date(2025, 8, 1), date(2026, 3, 15), 45
DAYS = st.integers(0, (AS_OF - FIRST_DAY).days).map(lambda days: FIRST_DAY + timedelta(days=days))
CUSTOMERS = st.sampled_from(["cus_a", "cus_b", "cus_c"])
# One record: days of its purchases, customers that it had with the day from which it had another,
# and the customer of today, None when the record is gone.
RECORDS = st.lists(
    st.tuples(
        st.lists(DAYS, max_size=5),
        st.lists(st.tuples(DAYS, CUSTOMERS), max_size=3, unique_by=lambda change: change[0]),
        st.one_of(CUSTOMERS, st.none()),
    ),
    max_size=5,
)
Record = tuple[list[date], list[tuple[date, str]], str | None]
Bridge = Callable[[Sequence[Record]], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def bridge(parsed_project: Path) -> Iterator[Bridge]:
    """Builds the bridge in memory from records, with the SQL that dbt compiles."""
    settings = Settings(home=parsed_project.parent, as_of=AS_OF)
    manifest = parse(settings)
    command = ["compile", "--no-introspect", "--no-populate-cache", "--select", *MODELS]
    result = _invoke(settings, command, manifest, _variables(settings))
    outcomes: Any = result.result
    compiled = {outcome.node.name: outcome.node for outcome in outcomes.results}
    connection = duckdb.connect()
    for database in ("work", "release_candidate"):
        connection.execute(f"attach ':memory:' as {database}")
    for schema in ("work.intermediate", "work.reference", "release_candidate.marts"):
        connection.execute(f"create schema {schema}")
    connection.execute(
        "create table work.reference.lifecycle_thresholds as"
        f" select 'lapsed' as threshold, {LAPSED_DAYS} as days"
    )
    for table, columns in (
        (
            "orders",
            "order_key text, customer_id text, source_record_id text, ordered_at timestamp,"
            " is_purchase boolean, reporting_total_amount decimal(18, 4),"
            " reporting_net_amount decimal(18, 4)",
        ),
        ("customer_source_history", "source_record_id text, customer_id text, known_until date"),
        ("customer_sources", "source_record_id text, customer_id text"),
    ):
        connection.execute(f"create table release_candidate.marts.{table} ({columns})")

    def build(records: Sequence[Record]) -> list[tuple[Any, ...]]:
        marts = "release_candidate.marts"
        rows: dict[str, list[str]] = {
            "orders": [],
            "customer_source_history": [],
            "customer_sources": [],
        }
        for number, (days, changes, customer) in enumerate(records):
            record = f"crm:{number}"
            todays = f"'{customer}'" if customer else "null"
            rows["orders"] += [
                f"('{place}', {todays}, '{record}', '{day} 23:59:59', true, 1, 1)"
                for place, day in enumerate(days)
            ]
            rows["customer_source_history"] += [
                f"('{record}', '{former}', '{day}')" for day, former in changes
            ]
            rows["customer_sources"] += [f"('{record}', {todays})"] if customer else []
        for table, values in rows.items():
            connection.execute(f"delete from {marts}.{table}")
            if values:
                connection.execute(f"insert into {marts}.{table} values {', '.join(values)}")
        for name in MODELS:
            node = compiled[name]
            connection.execute(
                f"create or replace table {node.relation_name} as {node.compiled_code}"
            )
        return connection.execute(
            "select month_start, opening_count, gained_by_identity_count, lost_by_identity_count,"
            " new_count, reactivated_count, lapsed_count, retained_count, closing_count"
            f" from {marts}.retention_bridge order by month_start"
        ).fetchall()

    yield build
    connection.close()


def counted_by_hand(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """The bridge by its definition: two sets of customers a month, and a third between them."""
    ends = []
    month = FIRST_DAY
    while month <= AS_OF:
        last = month.replace(day=calendar.monthrange(month.year, month.month)[1])
        ends.append(min(last, AS_OF))
        month = last + timedelta(days=1)
    rows: list[tuple[Any, ...]] = []
    before: set[str] = set()
    for place, end in enumerate(ends):
        crosswalk = customers_on(records, end)
        cut_off = ends[place - 1] if place else FIRST_DAY - timedelta(days=1)
        same_day = retained(records, crosswalk, cut_off)
        after = retained(records, crosswalk, end)
        first_months = first_purchases(records, crosswalk)
        entered = after - same_day
        new = {one for one in entered if first_months[one] > cut_off}
        rows.append((
            end.replace(day=1), len(before), len(same_day - before), len(before - same_day),
            len(new), len(entered - new), len(same_day - after), len(same_day & after), len(after),
        ))  # fmt: skip
        before = after
    started = [row for row in rows if any(row[1:])]
    return rows[rows.index(started[0]) :] if started else []


def customers_on(records: Sequence[Record], day: date) -> list[str | None]:
    """Whose each record was on a day; on the as-of day it is today's."""
    return [
        next((former for until, former in sorted(changes) if until > day and day < AS_OF), customer)
        for _, changes, customer in records
    ]


def retained(records: Sequence[Record], crosswalk: list[str | None], day: date) -> set[str]:
    """Customers whose last purchase up to a day is at most so many days ago."""
    return {
        customer
        for (days, _, _), customer in zip(records, crosswalk, strict=True)
        if customer and any(0 <= (day - bought).days <= LAPSED_DAYS for bought in days)
    }


def first_purchases(records: Sequence[Record], crosswalk: list[str | None]) -> dict[str, date]:
    """The first purchase day of each customer."""
    first: dict[str, date] = {}
    for (days, _, _), customer in zip(records, crosswalk, strict=True):
        if customer and days:
            first[customer] = min([*days, first.get(customer, AS_OF)])
    return first


@given(records=RECORDS)
def test_the_bridge_is_what_a_count_by_hand_says(records: list[Record], bridge: Bridge) -> None:
    assert bridge(records) == counted_by_hand(records)


def test_a_merge_of_two_active_customers_loses_one_by_identity_and_nobody_lapses(
    bridge: Bridge,
) -> None:
    bought = [date(2026, 1, 20), date(2026, 3, 1)]
    records: list[Record] = [
        (bought, [], "cus_a"),
        (bought, [(date(2026, 2, 10), "cus_b")], "cus_a"),
    ]
    assert bridge(records) == [
        (date(2026, 1, 1), 0, 0, 0, 2, 0, 0, 0, 2),
        (date(2026, 2, 1), 2, 0, 1, 0, 0, 0, 1, 1),
        (date(2026, 3, 1), 1, 0, 0, 0, 0, 0, 1, 1),
    ]


def test_a_split_gains_one_by_identity_who_is_not_new(bridge: Bridge) -> None:
    bought = [date(2026, 1, 20), date(2026, 3, 1)]
    records: list[Record] = [
        (bought, [], "cus_a"),
        (bought, [(date(2026, 3, 15), "cus_a")], "cus_b"),
    ]
    assert bridge(records) == [
        (date(2026, 1, 1), 0, 0, 0, 1, 0, 0, 0, 1),
        (date(2026, 2, 1), 1, 0, 0, 0, 0, 0, 1, 1),
        (date(2026, 3, 1), 1, 1, 0, 0, 0, 0, 2, 2),
    ]
