"""Grain: one row per origin and history: what its own MBG/NBD expects of whoever has bought so.

The expected count is the mean of (1 - (1 + p t / (alpha + T)) ^ -(r + x)) / p over the dropout
probability p ~ Beta(a, b + x + 1) of a customer who is still there, times P(there). Gauss' rule for
that Beta makes it finite, positive and growing with the horizon by construction, where the closed
form with 2F1 divides by a - 1 and loses all digits for thousands of purchases.
"""

import numpy as np
from scipy.linalg import eigh_tridiagonal

DAYS_PER_UNIT = 7.0
# Digits that agree with 2F1: 10 for ordinary customers, 6 for the first day of a frequent buyer.
NODES = 48
HORIZONS = (90, 180, 365)
# Pairs of purchases and age whose expectations are computed at once, 100 MB.
CHUNK = 100_000


def beta_nodes(a, b, size=NODES):
    """Gauss' nodes and weights (they add up to 1) for Beta(a, b), by Golub and Welsch.

    Jacobi's recurrence moved to 0..1; every a and b above 0 will do, however large.
    """
    n = np.arange(size)
    left, right = a - 1, b - 1
    total = 2 * n + left + right
    with np.errstate(all="ignore"):
        diagonal = (left**2 - right**2) / (total * (total + 2))
        squares = (
            4 * n * (n + left) * (n + right) * (n + left + right)
            / (total**2 * (total + 1) * (total - 1))
        )  # fmt: skip
    # The first terms are limits: the formula divides 0 by 0 for a + b = 2 or 1.
    diagonal[0] = (left - right) / (left + right + 2)
    if size > 1:
        squares[1] = 4 * (1 + left) * (1 + right) / ((2 + left + right) ** 2 * (3 + left + right))
    values, vectors = eigh_tridiagonal(diagonal, np.sqrt(squares[1:]))
    return np.clip((1 + values) / 2, 1e-15, 1.0), vectors[0] ** 2


def alive_probability(parameters, count, recency, age):
    """P(still a customer); ages and recencies in weeks, all arrays of one length."""
    r, alpha, a, b = parameters
    odds = np.log(a / (b + count)) + (r + count) * np.log((alpha + age) / (alpha + recency))
    return 1 / (1 + np.exp(np.clip(odds, -700, 700)))


def no_purchase_probability(parameters, count, alive, age, horizon):
    """P(no purchase within the horizon, weeks): gone, or there and silent."""
    r, alpha = parameters[:2]
    silent = np.exp(-(r + count) * np.log1p(horizon / (alpha + age)))
    return 1 - alive * (1 - silent)


def purchases_while_alive(parameters, count, age, horizons):
    """Expected purchases within each horizon (weeks) of customers who are there; one row each.

    Each pair of purchases and age is computed once, with the nodes of its number of purchases.
    """
    r, alpha, a, b = parameters
    expected = np.zeros((len(horizons), len(count)))
    counts, places = np.unique(count, return_inverse=True)
    nodes = [beta_nodes(a, b + number + 1) for number in counts]
    dropout = np.array([points for points, _ in nodes]).reshape(len(counts), -1)
    weights = np.array([weight for _, weight in nodes]).reshape(len(counts), -1)
    for begin in range(0, len(count), CHUNK):
        chunk = slice(begin, begin + CHUNK)
        place = places[chunk]
        points, weight = dropout[place], weights[place]
        shape, scale = (r + count[chunk])[:, None], (alpha + age[chunk])[:, None]
        for row, horizon in enumerate(horizons):
            bought = -np.expm1(-shape * np.log1p(points * horizon / scale)) / points
            expected[row, chunk] = np.sum(weight * bought, axis=1)
    return expected


def predict(parameters, repeat_count, recency_days, age_days, horizon_days):
    """Predict for histories; horizon_days: whole days, several.

    Returns alive probabilities, no-purchase probabilities of the first horizon, and expected
    purchases with one row per horizon.
    """
    count = np.asarray(repeat_count, dtype=float)
    recency = np.asarray(recency_days) / DAYS_PER_UNIT
    age = np.asarray(age_days) / DAYS_PER_UNIT
    horizons = [days / DAYS_PER_UNIT for days in horizon_days]
    alive = alive_probability(parameters, count, recency, age)
    silent = no_purchase_probability(parameters, count, alive, age, horizons[0])
    pairs, place = np.unique(np.stack([count, age]), axis=1, return_inverse=True)
    expected = purchases_while_alive(parameters, *pairs, horizons)[:, place.ravel()]
    return alive, silent, expected * alive


def model(dbt, session):
    """dbt's entry: every history of the as-of day, and the counted ones of earlier origins."""
    fitted = dbt.ref("int_purchase_models_fitted")  # noqa: F841 - DuckDB reads it by its name
    origins = dbt.ref("int_prediction_origins_dated")  # noqa: F841
    backtested = dbt.ref("int_purchase_histories_backtested")  # noqa: F841
    customers = dbt.ref("int_purchase_histories_summarised")  # noqa: F841
    session.sql(
        """
        create or replace temp table purchases_predicted (
            origin bigint, repeat_count bigint, recency_days bigint, age_days bigint,
            alive_probability double, no_purchase_probability double, expected_count double,
            expected_90_days_count double, expected_180_days_count double,
            expected_365_days_count double
        )
        """
    )
    usable = session.sql(
        """
        select origins.origin, origins.horizon_days, r.value, alpha.value, a.value, b.value
        from origins
        inner join fitted as r on origins.origin = r.origin and r.name = 'r'
        inner join fitted as alpha on origins.origin = alpha.origin and alpha.name = 'alpha'
        inner join fitted as a on origins.origin = a.origin and a.name = 'a'
        inner join fitted as b on origins.origin = b.origin and b.name = 'b'
        inner join fitted as fit on origins.origin = fit.origin and fit.name = 'converged'
        where
            r.model = 'mbg_nbd' and alpha.model = 'mbg_nbd' and a.model = 'mbg_nbd'
            and b.model = 'mbg_nbd' and fit.model = 'mbg_nbd' and fit.value = 1
        order by origins.origin
        """
    ).fetchall()
    for origin, horizon, *parameters in usable:
        histories = session.sql(
            "select repeat_count, recency_days, age_days from "
            + ("customers" if origin == 0 else f"backtested where origin = {int(origin)}")
            + " group by all order by all"
        ).fetchnumpy()
        columns = {name: np.asarray(values) for name, values in histories.items()}
        alive, silent, expected = predict(
            parameters,
            *columns.values(),
            [horizon, *HORIZONS],
        )
        session.register(
            "predicted_histories",
            columns
            | {"alive": alive, "silent": silent}
            | {f"expected_{place}": row for place, row in enumerate(expected)},
        )
        session.sql(
            f"""
            insert into purchases_predicted
            select
                {int(origin)}, repeat_count, recency_days, age_days, round(alive, 6),
                round(silent, 6), round(expected_0, 6), round(expected_1, 6),
                round(expected_2, 6), round(expected_3, 6)
            from predicted_histories
            """
        )
        session.unregister("predicted_histories")
    return session.table("purchases_predicted")
