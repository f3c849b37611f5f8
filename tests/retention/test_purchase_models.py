"""The purchase models against simulated worlds, closed forms and other libraries."""

import importlib.util
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import hyp2f1
from sklearn.metrics import roc_auc_score

from orchestration.transform.dbt import DBT_PROJECT


def loaded(name: str) -> Any:
    """A Python model of the intermediate layer as a module."""
    path = DBT_PROJECT / "models" / "intermediate" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fitted = loaded("int_purchase_models_fitted")
predicted = loaded("int_purchases_predicted")
calibration = loaded("int_purchase_predictions_calibrated")

TRUTH = (0.8, 7.0, 0.7, 2.5)
# Parameters from nearly none to nearly everybody alike, as the fits are bounded.
PARAMETERS = st.tuples(*(st.floats(-4, 5).map(lambda power: 10.0**power) for _ in range(4)))
HISTORIES = st.tuples(
    st.one_of(st.integers(0, 12), st.integers(1_000, 20_000)),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
)


def world(customers: int, *, is_modified: bool = True, span: int = 560, seed: int = 7) -> Any:
    """Counted histories of customers who buy as the model says; some are gone from the start."""
    random = np.random.default_rng(seed)
    rates = random.gamma(TRUTH[0], 1 / TRUTH[1], customers) / 7
    dropouts = random.beta(TRUTH[2], TRUTH[3], customers)
    rows = []
    for rate, dropout in zip(rates, dropouts, strict=True):
        born = int(random.integers(0, span // 2))
        days, now = {born}, float(born)
        is_there = not (is_modified and random.random() < dropout)
        while is_there:
            now += random.exponential(1 / rate)
            if now > span:
                break
            days.add(int(now))
            is_there = random.random() >= dropout
        rows.append((len(days) - 1, max(days) - born, span - born))
    counted, counts = np.unique(np.array(rows), axis=0, return_counts=True)
    return [*counted.T, counts]


def fit(histories: Any, *, is_modified: bool = True) -> dict[str, tuple[float, str | None]]:
    rows = fitted.fit_purchases(histories, is_modified, 100)
    return {name: (value, status) for name, value, status in rows}


@pytest.mark.parametrize("is_modified", [True, False])
def test_a_fit_finds_the_parameters_of_a_simulated_world(is_modified: bool) -> None:
    histories = fitted.Histories(*world(6000, is_modified=is_modified))
    found = fit(histories, is_modified=is_modified)
    assert found["converged"] == (1, "converged")
    values = [found[name][0] for name in ("r", "alpha", "a", "b")]
    # Days are whole and the second purchase of a day is none: a slight bias on top of chance.
    assert values == pytest.approx(TRUTH, rel=0.25)
    truth, _ = fitted.purchase_likelihood(np.log(TRUTH), histories, is_modified)
    assert found["log_likelihood"][0] >= truth


def test_a_fit_finds_the_parameters_of_simulated_amounts_in_any_currency() -> None:
    random = np.random.default_rng(3)
    count = random.integers(1, 9, 4000).astype(float)
    scale = random.gamma(4, 1 / 15, 4000)
    mean = random.gamma(6 * count, 1 / (count * scale))
    for unit in (1.0, 1_000_000.0):
        rows = fitted.fit_spend(count, mean * unit, np.ones(4000))
        found = {name: value for name, value, _ in rows}
        assert found["converged"] == 1
        assert [found["p"], found["q"], found["v"] / unit] == pytest.approx((6, 4, 15), rel=0.15)
        assert found["expected_mean_amount"] / unit == pytest.approx(6 * 15 / 3, rel=0.05)


def test_the_order_of_histories_does_not_matter() -> None:
    columns = world(800)
    shuffled = np.random.default_rng(1).permutation(len(columns[0]))
    one = fit(fitted.Histories(*columns))
    other = fit(fitted.Histories(*(column[shuffled] for column in columns)))
    for name, (value, status) in one.items():
        assert round(other[name][0], 6) == round(value, 6)
        assert other[name][1] == status


def test_histories_counted_once_or_customer_by_customer_are_fitted_alike() -> None:
    columns = world(800)
    repeated = [np.repeat(column, columns[3]) for column in columns[:3]]
    one = fit(fitted.Histories(*columns))
    other = fit(fitted.Histories(*repeated, np.ones(len(repeated[0]))))
    for name, (value, _) in one.items():
        assert other[name][0] == pytest.approx(value, rel=1e-7)


@given(PARAMETERS, st.lists(HISTORIES, min_size=1, max_size=5), st.booleans())
def test_likelihoods_are_finite_and_their_slopes_are_true(
    parameters: tuple[float, ...], rows: list[tuple[int, int, int]], is_modified: bool
) -> None:
    histories = fitted.Histories(
        *zip(*((x, min(t, age) if x else 0, age) for x, t, age in rows), strict=True),
        np.ones(len(rows)),
    )
    logarithms = np.log(parameters)
    value, slope = fitted.purchase_likelihood(logarithms, histories, is_modified)
    assert np.isfinite(value)
    assert np.all(np.isfinite(slope))
    if abs(value) < 1e4:
        near = approx_fprime(
            logarithms,
            lambda at: fitted.purchase_likelihood(at, histories, is_modified)[0],
            1e-6,
        )
        assert slope == pytest.approx(near, rel=1e-2, abs=1e-2 * max(1.0, abs(value) / 100))


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (([0], [0], [0], [1]), "0 customers have a repeat purchase"),
        (([3], [40], [90], [1]), "1 customers have a repeat purchase"),
        (([0] * 50, [0] * 50, list(range(50)), [1000] * 50), "0 customers have a repeat purchase"),
    ],
)
def test_too_little_data_is_not_fitted_and_says_why(
    columns: tuple[list[int], ...], reason: str
) -> None:
    found = fit(fitted.Histories(*columns))
    assert "r" not in found
    assert found["converged"][0] == 0
    assert reason in str(found["converged"][1])


def test_nothing_at_all_is_no_error() -> None:
    assert list(fitted.fit_all({}, ([], [], []))) == []
    rows = dict(row[:2] for row in fitted.fit_spend([], [], []))
    assert rows == {"customers": 0, "customers_without_spend": 0, "converged": 0}
    methods = {row[2]: row[4] for row in calibration.decide(None, outcomes_of([]))}
    assert methods["method"] == "recency"


def test_refunded_customers_are_left_out_of_amounts_and_counted() -> None:
    rows = {row[0]: row[1] for row in fitted.fit_spend([1, 2, 1], [0, -5, 7], [3, 1, 1])}
    assert rows["customers_without_spend"] == 4
    assert rows["customers"] == 1


def test_customers_with_thousands_of_purchases_do_not_break_a_fit() -> None:
    columns = world(800)
    heavy = ([5000, 7000], [7200, 7299], [7200, 7300], [1, 1])
    mixed = [np.concatenate([one, other]) for one, other in zip(columns, heavy, strict=True)]
    found = fit(fitted.Histories(*mixed))
    assert found["converged"][0] == 1
    parameters = [found[name][0] for name in ("r", "alpha", "a", "b")]
    alive, silent, expected = predicted.predict(parameters, *heavy[:3], [180, 90, 365])
    assert np.all(alive > 0.5)
    assert np.all(silent < 0.5)
    # who bought on most days for twenty years goes on
    assert expected[0] == pytest.approx(np.array(heavy[0]) / 7250 * 180 * alive, rel=0.1)


@pytest.mark.parametrize("is_modified", [True, False])
def test_where_everybody_is_alike_and_nobody_leaves_a_fit_ends_all_the_same(
    is_modified: bool,
) -> None:
    random = np.random.default_rng(2)
    rows = []
    for _ in range(3000):
        days = np.unique(np.floor(np.cumsum(random.exponential(20, 60))))
        days = np.concatenate([[0], days[days <= 400]])
        rows.append((len(np.unique(days)) - 1, days[-1], 400))
    found = fit(fitted.Histories(*np.array(rows).T, np.ones(len(rows))), is_modified=is_modified)
    assert found["converged"][0] == 1
    mean_rate = found["r"][0] / found["alpha"][0]
    assert mean_rate == pytest.approx(7 / 20, rel=0.05)
    assert found["a"][0] / (found["a"][0] + found["b"][0]) < 0.01


@given(PARAMETERS, st.lists(HISTORIES, min_size=1, max_size=5))
def test_predictions_are_finite_and_grow_with_the_horizon(
    parameters: tuple[float, ...], rows: list[tuple[int, int, int]]
) -> None:
    count = np.array([row[0] for row in rows])
    age = np.array([row[2] for row in rows])
    recency = np.where(count > 0, np.minimum([row[1] for row in rows], age), 0)
    horizons = [180, 90, 365, 36_500]
    alive, silent, expected = predicted.predict(parameters, count, recency, age, horizons)
    assert np.all((alive >= 0) & (alive <= 1))
    assert np.all((silent >= 0) & (silent <= 1))
    assert np.all(np.isfinite(expected))
    assert np.all(expected >= 0)
    assert np.all(expected[1] <= expected[0])
    assert np.all(expected[0] <= expected[2])
    # who buys at all buys once or more
    assert np.all(1 - silent <= expected[0] * (1 + 1e-3) + 1e-9)


@pytest.mark.parametrize(
    "parameters", [(0.525, 6.183, 0.891, 1.614), (1.2, 15.0, 1.7, 3.0), (3.0, 30.0, 0.2, 4.0)]
)
def test_expected_purchases_are_those_of_the_closed_form(
    parameters: tuple[float, float, float, float],
) -> None:
    r, alpha, a, b = parameters
    rows = list(itertools.product((0, 1, 3, 12), (30, 270, 900)))
    count, age = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    recency = np.where(count > 0, np.floor(age * 0.8), 0)
    alive, _, expected = predicted.predict(parameters, count, recency, age, [273])
    weeks, horizon = age / 7, 273 / 7
    shape = r + count
    # Batislam, Denizel and Filiztekin 2007
    closed = (
        (a + b + count)
        / (a - 1)
        * (
            1
            - ((alpha + weeks) / (alpha + weeks + horizon)) ** shape
            * hyp2f1(shape, b + count + 1, a + b + count, horizon / (alpha + weeks + horizon))
        )
    )
    assert expected[0] == pytest.approx(closed * alive, rel=1e-6)


def test_a_rule_of_gauss_integrates_powers_of_the_dropout_exactly() -> None:
    for a, b in ((0.5, 0.5), (1.0, 1.0), (0.001, 0.999), (2.5, 4000.0), (1e-4, 1e5)):
        points, weights = predicted.beta_nodes(a, b)
        moment = 1.0
        for power in range(6):
            assert np.sum(weights * points**power) == pytest.approx(moment, rel=1e-7)
            moment *= (a + power) / (a + b + power)


# --- calibration ---------------------------------------------------------------------------------


def outcomes_of(rows: Sequence[tuple[float, ...]]) -> Any:
    """Outcomes from rows of what calibration.Outcomes takes."""
    return calibration.Outcomes(*(zip(*rows, strict=True) if rows else [()] * 8))


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20
    )
)
def test_the_area_is_that_of_another_library(rows: list[tuple[float, int, int]]) -> None:
    scores, without, bought = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    scores = np.round(scores, 3)
    area = calibration.area_under_curve(scores, without, bought)
    if not without.sum() or not bought.sum():
        assert np.isnan(area)
        return
    truth = np.concatenate([np.ones(len(rows)), np.zeros(len(rows))])
    expected = roc_auc_score(
        truth, np.tile(scores, 2), sample_weight=np.concatenate([without, bought])
    )
    assert area == pytest.approx(expected)


def test_a_correction_removes_a_bias_and_never_turns_the_order_round() -> None:
    random = np.random.default_rng(5)
    silent = random.uniform(0.05, 0.95, 3000)
    gone = random.uniform(size=3000) < silent**2
    rows = [
        (1 + i % 4, 0, 0, p, 1.0, 1, float(is_gone), 2.0)
        for i, (p, is_gone) in enumerate(zip(silent, gone, strict=True))
    ]
    outcomes = outcomes_of(rows)
    weights, factor = calibration.calibrate(outcomes)
    corrected = calibration.calibrated(outcomes, weights)
    assert corrected.mean() == pytest.approx(gone.mean(), abs=0.01)
    assert np.all(np.diff(corrected[np.argsort(silent)]) >= 0)
    assert factor == pytest.approx(2, rel=0.01)


def test_predictions_that_are_the_wrong_way_round_are_not_turned() -> None:
    rows = [
        (1 + i % 4, 0, 0, silent, 1.0, 100, 100 * (1 - silent), 1.0)
        for i, silent in enumerate(np.linspace(0.1, 0.9, 40))
    ]
    weights, _ = calibration.calibrate(outcomes_of(rows))
    assert weights[1] == pytest.approx(calibration.LEAST_SLOPE)


@pytest.mark.parametrize(
    ("fit_of", "rows", "method", "reason"),
    [
        (None, [], "recency", "there are no purchases"),
        ((False, "3 customers are too few"), [], "recency", "3 customers are too few"),
        ((True, "converged"), [], "mbg_nbd", "0 customers bought again"),
        ((True, "converged"), [(1, 0, 9, 0.5, 1, 200, 200, 0)], "mbg_nbd", "0 customers bought"),
        ((True, "converged"), [(1, 0, 9, 0.5, 1, 200, 90, 110)] * 2, "mbg_nbd_calibrated", "past"),
        (
            (True, "converged"),
            # times changed: who was seldom silent is so often now
            [(1, 0, 9, 0.5, 1, 500, 25, 475), (2, 0, 9, 0.5, 1, 500, 475, 25)],
            "mbg_nbd",
            "made predictions of others worse",
        ),
    ],
)
def test_the_method_is_what_the_data_allows_and_says_why(
    fit_of: tuple[bool, str] | None, rows: list[tuple[float, ...]], method: str, reason: str
) -> None:
    told = list(calibration.decide(fit_of, outcomes_of(rows)))
    published = {row[2]: row[4] for row in told if row[1] == "published"}
    assert published["method"] == method
    assert reason in published["reason"]
    assert len({row[:3] for row in told}) == len(told)
