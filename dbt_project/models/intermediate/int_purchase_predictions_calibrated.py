"""Grain: one row per origin, model and parameter or diagnostic; origin 0 stands for all together.

Predictions made at earlier days of the data are held against what came: a logistic regression
corrects the probability of no purchase by its own logit and log(1 + repeat purchases), one factor
corrects expected purchases. Says also which method the marts publish, and why.
"""

import numpy as np
from scipy.optimize import minimize

# The model's own word counts like so many customers: with little to learn from it stands.
PRIOR = 5.0
# A probability must not fall when the model's rises, and a correction is no new model.
LEAST_SLOPE, MOST_SLOPE, MOST_SHIFT = 0.2, 3.0, 2.0
LEAST_FACTOR, MOST_FACTOR = 0.2, 5.0
# A correction that predicts the past worse by more than this is none: times have changed.
MOST_BRIER_RATIO = 1.01
# Of customers who bought again, and of those who did not, at all origins together.
LEAST_OUTCOMES = 50
CALIBRATED, PLAIN, RECENCY = "mbg_nbd_calibrated", "mbg_nbd", "recency"


class Outcomes:
    """What was predicted of groups of customers and what came; arrays of one length.

    silent_days: since the last purchase day; silent: predicted probability of no purchase;
    expected: purchases of one customer.
    """

    def __init__(  # noqa: PLR0917 - the columns of the query
        self, origin, repeat_count, silent_days, silent, expected, customers, without, purchases
    ):
        self.origin = np.asarray(origin, dtype=int)
        self.repeat_count = np.asarray(repeat_count, dtype=float)
        self.silent_days = np.asarray(silent_days, dtype=float)
        self.silent = np.clip(np.asarray(silent, dtype=float), 1e-6, 1 - 1e-6)
        self.expected = np.asarray(expected, dtype=float)
        self.customers = np.asarray(customers, dtype=float)
        self.without = np.asarray(without, dtype=float)
        self.purchases = np.asarray(purchases, dtype=float)

    def where(self, chosen):
        """The groups that a mask chooses."""
        return Outcomes(*(values[chosen] for values in vars(self).values()))


def features(outcomes):
    """Columns of the regression: constant, logit of the prediction, log(1 + repeat purchases)."""
    logit = np.log(outcomes.silent / (1 - outcomes.silent))
    return np.stack([np.ones_like(logit), logit, np.log1p(outcomes.repeat_count)])


def calibrate(outcomes):
    """Return (intercept, slope, slope of log(1 + repeats)) and the factor of expected purchases."""
    columns = features(outcomes)
    neutral = np.array([0.0, 1.0, 0.0])

    def loss(weights):
        score = np.sum(columns * weights[:, None], axis=0)
        value = np.sum(outcomes.customers * np.logaddexp(0, score) - outcomes.without * score)
        error = outcomes.customers / (1 + np.exp(-score)) - outcomes.without
        pull = PRIOR * (weights - neutral)
        return (
            value + np.sum(pull * (weights - neutral)) / 2,
            np.sum(columns * error, axis=1) + pull,
        )

    found = minimize(
        loss,
        neutral,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-10, 10), (LEAST_SLOPE, MOST_SLOPE), (-MOST_SHIFT, MOST_SHIFT)],
        options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9},
    )
    bought = np.sum(outcomes.purchases) + PRIOR
    factor = bought / (np.sum(outcomes.customers * outcomes.expected) + PRIOR)
    return found.x, float(np.clip(factor, LEAST_FACTOR, MOST_FACTOR))


def calibrated(outcomes, weights):
    """Corrected probabilities of no purchase."""
    return 1 / (1 + np.exp(-np.sum(features(outcomes) * weights[:, None], axis=0)))


def area_under_curve(scores, without, purchased):
    """Chance that a customer without purchase scores above one with; a tie counts half."""
    scores, place = np.unique(np.round(scores, 9), return_inverse=True)
    without = np.bincount(place, without, minlength=len(scores))
    purchased = np.bincount(place, purchased, minlength=len(scores))
    pairs = np.sum(without) * np.sum(purchased)
    below = np.cumsum(purchased) - purchased
    return float(np.sum(without * (below + purchased / 2)) / pairs) if pairs else float("nan")


def brier(scores, customers, without):
    """Mean squared error of a probability of no purchase."""
    squares = without * (1 - scores) ** 2 + (customers - without) * scores**2
    return float(np.sum(squares) / np.sum(customers))


def measured(outcomes, scores, factor):
    """Yield (name, value) of how well scores and factor fit outcomes that they did not see."""
    bought = outcomes.customers - outcomes.without
    yield "customers", float(np.sum(outcomes.customers))
    yield "churn_ratio", float(np.sum(outcomes.without) / np.sum(outcomes.customers))
    yield "auc", area_under_curve(scores, outcomes.without, bought)
    yield "brier", brier(scores, outcomes.customers, outcomes.without)
    yield "actual_purchases", float(np.sum(outcomes.purchases))
    expected = np.sum(outcomes.customers * outcomes.expected * factor)
    yield "expected_purchases", float(expected)


def backtest(outcomes):
    """Yield (origin, name, value): each origin predicted with what the other origins taught.

    The days that they predict overlap, so this tells what the correction is worth, not how exact
    the next prediction will be.
    """
    scores = np.zeros_like(outcomes.silent)
    factors = np.ones_like(outcomes.silent)
    origins = np.unique(outcomes.origin)
    for origin in origins:
        at = outcomes.origin == origin
        weights, factor = calibrate(outcomes.where(~at)) if len(origins) > 1 else (None, 1.0)
        told = outcomes.where(at)
        scores[at] = told.silent if weights is None else calibrated(told, weights)
        factors[at] = factor
        for name, value in measured(told, scores[at], factors[at]):
            yield int(origin), name, value
    for name, value in measured(outcomes, scores, factors):
        yield 0, name, value


def decide(fit, outcomes):
    """Yield (origin, model, name, value, status) of calibration, backtest and chosen method.

    fit: (is converged, status) of MBG/NBD on the as-of day, None without customers. outcomes:
    Outcomes of the earlier origins, possibly empty.
    """
    if fit is None or not fit[0]:
        reason = "there are no purchases" if fit is None else fit[1]
        yield 0, "published", "method", None, RECENCY
        yield 0, "published", "reason", None, f"MBG/NBD is not fitted: {reason}"
        return
    without = float(np.sum(outcomes.without))
    bought = float(np.sum(outcomes.customers)) - without
    if min(without, bought) < LEAST_OUTCOMES:
        yield 0, "published", "method", None, PLAIN
        yield (
            0,
            "published",
            "reason",
            None,
            f"not calibrated: at earlier days {bought:.0f} customers bought again and"
            f" {without:.0f} did not, {LEAST_OUTCOMES} of each are needed",
        )
        return
    weights, factor = calibrate(outcomes)
    names = ("intercept", "logit_slope", "repeat_slope")
    for name, value in zip(names, weights, strict=True):
        yield 0, CALIBRATED, name, float(value), None
    yield 0, CALIBRATED, "expected_factor", factor, None
    yield 0, CALIBRATED, "origins", float(len(np.unique(outcomes.origin))), None
    found = list(backtest(outcomes))
    for origin, name, value in found:
        yield origin, CALIBRATED, f"backtest_{name}", value, None
    plain = dict(measured(outcomes, outcomes.silent, np.ones_like(outcomes.silent)))
    for name, value in plain.items():
        yield 0, PLAIN, f"backtest_{name}", value, None
    bought_again = outcomes.customers - outcomes.without
    area = area_under_curve(outcomes.silent_days, outcomes.without, bought_again)
    yield 0, RECENCY, "backtest_auc", area, None
    corrected = {name: value for origin, name, value in found if origin == 0}
    if corrected["brier"] > MOST_BRIER_RATIO * plain["brier"]:
        yield 0, "published", "method", None, PLAIN
        yield (
            0,
            "published",
            "reason",
            None,
            "not calibrated: what earlier days taught made predictions of others worse",
        )
        return
    yield 0, "published", "method", None, CALIBRATED
    yield 0, "published", "reason", None, "MBG/NBD is fitted, and calibrated by its own past"


def model(dbt, session):
    """dbt's entry: predictions of earlier origins beside what came."""
    fitted = dbt.ref("int_purchase_models_fitted")  # noqa: F841 - DuckDB reads it by its name
    predicted = dbt.ref("int_purchases_predicted")  # noqa: F841
    backtested = dbt.ref("int_purchase_histories_backtested")  # noqa: F841
    fits = session.sql(
        "select value = 1, coalesce(status, '') from fitted"
        " where origin = 0 and model = 'mbg_nbd' and name = 'converged'"
    ).fetchall()
    found = session.sql(
        """
        select
            backtested.origin, backtested.repeat_count,
            backtested.age_days - backtested.recency_days as silent_days,
            predicted.no_purchase_probability,
            predicted.expected_count, backtested.customer_count,
            backtested.customers_without_purchase, backtested.later_purchase_count
        from backtested
        inner join predicted
            on
                backtested.origin = predicted.origin
                and backtested.repeat_count = predicted.repeat_count
                and backtested.recency_days = predicted.recency_days
                and backtested.age_days = predicted.age_days
        where backtested.origin > 0
        order by backtested.origin, 2, backtested.recency_days, backtested.age_days
        """
    ).fetchnumpy()
    rows = list(decide(fits[0] if fits else None, Outcomes(*found.values())))
    columns = list(zip(*rows, strict=True))
    # Registered as arrays: bound parameters and data frames import pandas, 1 s.
    session.register(
        "calibration",
        {
            "origin": np.array(columns[0], dtype=np.int64),
            "model": np.array(columns[1], dtype=object),
            "name": np.array(columns[2], dtype=object),
            "value": np.array(columns[3], dtype=float),
            "status": np.array([text or "" for text in columns[4]], dtype=object),
        },
    )
    session.sql(
        "create or replace temp table purchase_predictions_calibrated as select origin,"
        " cast(model as varchar) as model, cast(name as varchar) as name,"
        " case when isfinite(value) then round(value, 6) end as value,"
        " nullif(cast(status as varchar), '') as status from calibration"
    )
    return session.table("purchase_predictions_calibrated")
