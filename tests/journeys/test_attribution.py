"""Credits add up to the amount, to the last decimal, in every model."""

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.journeys.lab import ATTRIBUTION_MODELS, Lab, at

UNIT = Decimal("0.0001")
MOST = 10**18 - 1

amounts = st.one_of(
    st.integers(-MOST, MOST), st.sampled_from([0, 1, -1, 100, -100, MOST, -MOST])
).map(lambda units: units * UNIT)
# Weights of one order, the last touch first: each is at most the one after it.
weights = st.lists(st.integers(0, 10**9), max_size=11).map(lambda more: [*sorted(more), 10**9])


def weighed(orders: dict[str, tuple[Decimal, list[int]]]) -> pa.Table:
    """Rows of int_touches_weighed."""
    columns = defaultdict(list)
    for order_key, (amount, decayed) in orders.items():
        for position, weight in enumerate(decayed, start=1):
            row = {
                "order_key": order_key,
                "customer_id": None,
                "touchpoint_key": f"{order_key} {position}",
                "touch_position": position,
                "touch_count": len(decayed),
                "decayed_weight": weight,
                "running_decayed_weight": sum(decayed[:position]),
                "total_decayed_weight": sum(decayed),
                "net_amount": amount,
                "reporting_net_amount": amount,
            }
            for name, value in row.items():
                columns[name].append(value)
    count = len(columns["order_key"])
    money = pa.decimal128(18, 4)
    return pa.table(
        {
            name: pa.array(values, money if name.endswith("net_amount") else None)
            for name, values in columns.items()
        }
        | {name: pa.nulls(count, pa.string()) for name in ("channel", "campaign", "currency_code")}
        | {name: pa.array([at("2026-01-01")] * count) for name in ("touched_at", "ordered_at")}
        | {"is_touch": pa.array([True] * count)}
    )


def shares(model: str, decayed: list[int]) -> list[Fraction]:
    """What each touch should get, exactly."""
    count = len(decayed)
    if model == "first_touch":
        return [Fraction(i == 0) for i in range(count)]
    if model == "last_touch":
        return [Fraction(i == count - 1) for i in range(count)]
    if model == "time_decay":
        return [Fraction(weight, sum(decayed)) for weight in decayed]
    if model == "linear" or count <= 2:
        return [Fraction(1, count)] * count
    return [
        Fraction(2, 5) if i in (0, count - 1) else Fraction(1, 5 * (count - 2))
        for i in range(count)
    ]


@given(orders=st.lists(st.tuples(amounts, weights), min_size=1, max_size=5))
def test_credits_add_up_and_none_is_a_unit_away_from_its_share(
    plain: Lab, orders: list[tuple[Decimal, list[int]]]
) -> None:
    by_key = {f"order {number}": order for number, order in enumerate(orders)}
    credited: dict[tuple[str, str], dict[int, tuple[float, Decimal]]] = defaultdict(dict)
    for order_key, model, position, ratio, amount in plain.credits(weighed(by_key)):
        credited[order_key, model][position] = ratio, amount
    assert credited.keys() == {(key, model) for key in by_key for model in ATTRIBUTION_MODELS}
    for (order_key, model), touches in credited.items():
        amount, decayed = by_key[order_key]
        assert sum(credit for _, credit in touches.values()) == amount
        for position, share in enumerate(shares(model, decayed), start=1):
            ratio, credit = touches[position]
            assert ratio == pytest.approx(float(share))
            assert abs(Fraction(credit) - Fraction(amount) * share) < Fraction(UNIT)


def test_a_cent_over_seven_touches_is_given_in_ten_thousandths(plain: Lab) -> None:
    rows = plain.credits(weighed({"cent": (Decimal("0.01"), [10**9] * 7)}))
    linear = [amount for _, model, _, _, amount in rows if model == "linear"]
    assert linear == [n * UNIT for n in (14, 14, 14, 15, 14, 14, 15)]
    refund = plain.credits(weighed({"refund": (Decimal("-0.01"), [10**9] * 7)}))
    assert [amount for *_, amount in refund] == [-amount for *_, amount in rows]
