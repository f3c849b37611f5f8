"""Grain: one row per origin, model and parameter or diagnostic; origin 0 is the as-of day.

Maximum likelihood of BG/NBD (Fader, Hardie and Lee 2005), MBG/NBD (Batislam, Denizel and Filiztekin
2007) and gamma-gamma (Fader, Hardie and Lee 2005) over counted histories: how many customers share
one does not change what it costs. Only MBG/NBD is fitted at the earlier origins of the backtest.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, psi

DAYS_PER_UNIT = 7.0
# Fewer customers with a repeat purchase carry no four parameters.
LEAST_REPEATERS = 100
LEAST_REPEATERS_AT_ORIGINS = 50
# Natural logarithms. At a bound the parameter means "as good as none" or "everybody alike".
LOWEST, HIGHEST = np.log(1e-4), np.log(1e5)
# So near to a bound is at it.
EDGE = 1e-3
# Log-likelihood that a further step may gain: nothing that data can tell. Where everybody is alike
# the likelihood is a ridge, and no climb along it ends.
FLAT = 0.1
PURCHASE_PARAMETERS = ("r", "alpha", "a", "b")
SPEND_PARAMETERS = ("p", "q", "v")


class Histories:
    """Counted histories: repeat purchases, recency and age in whole days, customers of each.

    Ages and counts are few though histories are many: logarithms and gammas are taken of the few.
    """

    def __init__(self, repeat_count, recency_days, age_days, customer_count):
        self.customer_count = np.asarray(customer_count, dtype=float)
        self.counts, self.count_at = np.unique(
            np.asarray(repeat_count, dtype=float), return_inverse=True
        )
        self.recencies, self.recency_at = np.unique(
            np.asarray(recency_days) / DAYS_PER_UNIT, return_inverse=True
        )
        self.ages, self.age_at = np.unique(
            np.asarray(age_days) / DAYS_PER_UNIT, return_inverse=True
        )
        self.customers_of_count = np.bincount(
            self.count_at, self.customer_count, minlength=len(self.counts)
        )
        self.customers = float(self.customer_count.sum())
        self.repeaters = float(self.customer_count[self.counts[self.count_at] > 0].sum())


def purchase_likelihood(logarithms, histories, modified):
    """Log-likelihood and its gradient by (log r, log alpha, log a, log b).

    modified: MBG/NBD, in which a customer may be gone right after the first purchase; BG/NBD, in
    which nobody is before the second, when false.
    """
    r, alpha, a, b = np.exp(logarithms)
    x, x_at = histories.counts, histories.count_at
    log_age = np.log(alpha + histories.ages)[histories.age_at]
    log_recency = np.log(alpha + histories.recencies)[histories.recency_at]
    survived = b + x if modified else np.maximum(b + x - 1, b)
    # Odds of being gone against being there, as a logarithm.
    log_gone = (np.log(a) - np.log(survived))[x_at] + (r + x)[x_at] * (log_age - log_recency)
    gone = 1 / (1 + np.exp(-np.clip(log_gone, -700, 700)))
    softplus = np.logaddexp(0.0, log_gone)
    if not modified:
        gone = np.where(x[x_at] > 0, gone, 0.0)
        softplus = np.where(x[x_at] > 0, softplus, 0.0)
    of_count = (
        gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        + gammaln(b + x) - gammaln(b) + gammaln(a + b) - gammaln(a + b + x)
    )  # fmt: skip
    by_a = psi(a + b) - psi(a + b + x)
    by_b = psi(b + x) - psi(b) + psi(a + b) - psi(a + b + x)
    if modified:
        of_count += np.log(b + x) - np.log(a + b + x)
        by_a += -1 / (a + b + x)
        by_b += 1 / (b + x) - 1 / (a + b + x)

    customers, customers_of = histories.customer_count, histories.customers_of_count
    value = np.sum(customers_of * of_count) + np.sum(
        customers * (softplus - (r + x)[x_at] * log_age)
    )
    per_age = (1 / (alpha + histories.ages))[histories.age_at]
    per_recency = (1 / (alpha + histories.recencies))[histories.recency_at]
    gradient = np.array([
        np.sum(customers_of * (psi(r + x) - psi(r) + np.log(alpha)))
        + np.sum(customers * (gone * (log_age - log_recency) - log_age)),
        np.sum(customers) * r / alpha
        + np.sum(customers * (r + x)[x_at] * (gone * (per_age - per_recency) - per_age)),
        np.sum(customers_of * by_a) + np.sum(customers * gone) / a,
        np.sum(customers_of * by_b) - np.sum(customers * gone / survived[x_at]),
    ])  # fmt: skip
    return value, gradient * np.array([r, alpha, a, b])


def spend_likelihood(logarithms, spend):
    """Log-likelihood of gamma-gamma and its gradient by (log p, log q, log v).

    spend: arrays (priced repeat days, mean amount of one, customers).
    """
    p, q, v = np.exp(logarithms)
    count, mean, customers = spend
    log_all = np.log(v + mean * count)
    value = np.sum(
        customers
        * (
            gammaln(p * count + q) - gammaln(p * count) - gammaln(q) + q * np.log(v)
            + (p * count - 1) * np.log(mean) + p * count * np.log(count)
            - (p * count + q) * log_all
        )
    )  # fmt: skip
    shared = psi(p * count + q)
    gradient = np.array([
        np.sum(
            customers * count
            * (shared - psi(p * count) + np.log(mean) + np.log(count) - log_all)
        ),
        np.sum(customers * (shared - psi(q) + np.log(v) - log_all)),
        np.sum(customers * (q / v - (p * count + q) / (v + mean * count))),
    ])  # fmt: skip
    return value, gradient * np.array([p, q, v])


def maximise(likelihood, starts, customers):
    """Climb from every start, polish the best. Returns (parameters, log-likelihood, status).

    likelihood: of log parameters, returns value and gradient. status: `converged`, `at_bound`
    (a maximum for what the bounds allow) or `not_converged`.
    """
    bounds = [(LOWEST, HIGHEST)] * len(starts[0])

    def loss(logarithms):
        value, gradient = likelihood(logarithms)
        return -value / customers, -gradient / customers

    best = None
    with np.errstate(all="ignore"):
        for start in starts:
            found = minimize(
                loss,
                np.clip(np.log(start), LOWEST, HIGHEST),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
            )
            if np.isfinite(found.fun) and (best is None or found.fun < best[0] - 1e-12):
                best = (found.fun, found.x)
        if best is None:
            return np.exp(np.log(starts[0])), float("nan"), "not_converged"
        logarithms, gain = polish(loss, best[1], customers)
        value, _ = loss(logarithms)
    is_at_bound = np.any((logarithms <= LOWEST + EDGE) | (logarithms >= HIGHEST - EDGE))
    status = "at_bound" if is_at_bound else "converged"
    if not (np.isfinite(value) and gain < FLAT):
        status = "not_converged"
    return np.exp(logarithms), -value * customers, status


def polish(loss, logarithms, customers):
    """Newton steps, which make the parameters the same from any start.

    Returns the parameters and the log-likelihood that one more step promises to gain. The curvature
    is taken for one more than it is: on a ridge, where everybody is alike, a step stays short.
    """
    size = len(logarithms)
    for _ in range(50):
        value, slope = loss(logarithms)
        # a bound that the slope points out of holds its parameter
        is_free = ~(
            ((logarithms <= LOWEST + EDGE) & (slope > 0))
            | ((logarithms >= HIGHEST - EDGE) & (slope < 0))
        )
        curvature = np.empty((size, size))
        for place in range(size):
            step = np.zeros(size)
            step[place] = 1e-5
            curvature[place] = (loss(logarithms + step)[1] - loss(logarithms - step)[1]) / 2e-5
        curvature = (curvature + curvature.T)[np.ix_(is_free, is_free)] / 2
        if not (np.all(np.isfinite(curvature)) and np.all(np.isfinite(slope))):
            return logarithms, float("inf")
        bends, directions = np.linalg.eigh(curvature * customers)
        along = directions.T @ (-slope[is_free] * customers)
        gain = float(np.sum(along**2 / (np.abs(bends) + 1)) / 2)
        if gain < 1e-12:
            break
        moved = logarithms.copy()
        moved[is_free] += directions @ (along / (np.abs(bends) + 1))
        moved = np.clip(moved, LOWEST, HIGHEST)
        if not loss(moved)[0] <= value:
            break
        logarithms = moved
    return logarithms, gain


def fit_purchases(histories, modified, least_repeaters, start=None):
    """Fit BG/NBD or MBG/NBD; yields (name, value, status) for parameters and diagnostics.

    start: parameters to climb from first, those of a fit of nearly the same customers. Where that
    converges no other start is tried: a climb of 50,000 histories takes 0.5 CPU seconds.
    """
    yield "customers", histories.customers, None
    yield "repeaters", histories.repeaters, None
    if histories.repeaters < least_repeaters:
        reason = (
            f"{histories.repeaters:.0f} customers have a repeat purchase,"
            f" {least_repeaters} are needed"
        )
        yield "converged", 0.0, reason
        return
    mean_age = np.sum(histories.customer_count * histories.ages[histories.age_at])
    mean_age = max(mean_age / histories.customers, 1 / DAYS_PER_UNIT)
    usual = [np.array([0.5, mean_age / 4, 1.0, 2.0]), np.array([2.0, mean_age, 0.3, 3.0])]

    def climb(starts):
        return maximise(
            lambda logarithms: purchase_likelihood(logarithms, histories, modified),
            starts,
            histories.customers,
        )

    values, likelihood, status = climb(usual if start is None else [np.asarray(start)])
    if start is not None and status == "not_converged":
        values, likelihood, status = climb(usual)
    for name, value in zip(PURCHASE_PARAMETERS, values, strict=True):
        yield name, float(value), None
    yield "log_likelihood", float(likelihood), None
    yield "converged", float(status != "not_converged"), status


def fit_spend(count, mean, customers):
    """Fit gamma-gamma; yields (name, value, status). Only means above zero can be fitted.

    The fit counts as converged only when the mean that it expects of a new customer is one: q above
    1, and within a factor of two of the mean that was seen.
    """
    count, mean = np.asarray(count, dtype=float), np.asarray(mean, dtype=float)
    customers = np.asarray(customers, dtype=float)
    left_out = float(np.sum(customers[mean <= 0]))
    count, mean, customers = (column[mean > 0] for column in (count, mean, customers))
    total = float(np.sum(customers))
    yield "customers", total, None
    yield "customers_without_spend", left_out, None
    if total:
        seen = float(np.sum(customers * mean) / total)
        yield "observed_mean_amount", seen, None
    if total < LEAST_REPEATERS:
        reason = (
            f"{total:.0f} customers have a repeat purchase with an amount above zero,"
            f" {LEAST_REPEATERS} are needed"
        )
        yield "converged", 0.0, reason
        return
    # In units of the mean, so that no currency is large or small.
    values, likelihood, status = maximise(
        lambda logarithms: spend_likelihood(logarithms, (count, mean / seen, customers)),
        [np.array([2.0, 3.0, 1.0]), np.array([6.0, 4.0, 0.5]), np.array([1.0, 2.0, 1.0])],
        total,
    )
    p, q, v = values
    for name, value in zip(SPEND_PARAMETERS, (p, q, v * seen), strict=True):
        yield name, float(value), None
    yield "log_likelihood", float(likelihood - total * np.log(seen)), None
    expected = p * v * seen / (q - 1) if q > 1 else float("inf")
    if status != "not_converged" and not seen / 2 <= expected <= seen * 2:
        status = "the mean amount of a new customer is not known"
        yield "converged", 0.0, status
        return
    yield "expected_mean_amount", float(expected), None
    yield "count_amount_correlation", correlation(count, mean, customers), None
    yield "converged", float(status != "not_converged"), status


def correlation(one, other, weight):
    """Pearson's: gamma-gamma takes it for none. 0 when one side does not vary."""
    total = np.sum(weight)
    one, other = one - np.sum(weight * one) / total, other - np.sum(weight * other) / total
    spread = np.sqrt(np.sum(weight * one * one) * np.sum(weight * other * other))
    return float(np.sum(weight * one * other) / spread) if spread > 0 else 0.0


def fit_all(origins, spend):
    """Fit what there is; yields (origin, model, name, value, status).

    origins: {origin: Histories}; spend: arrays (priced repeat days, mean amount, customers).
    """
    current = origins.get(0)
    if current is None:
        return
    start = None
    for model, modified in (("bg_nbd", False), ("mbg_nbd", True)):
        rows = list(fit_purchases(current, modified, LEAST_REPEATERS))
        yield from ((0, model, *row) for row in rows)
        found = {name: value for name, value, _ in rows}
        if "r" in found:
            start = [found[name] for name in PURCHASE_PARAMETERS]
    for origin in sorted(set(origins) - {0}):
        rows = fit_purchases(origins[origin], True, LEAST_REPEATERS_AT_ORIGINS, start)
        yield from ((origin, "mbg_nbd", *row) for row in rows)
    yield from ((0, "gamma_gamma", *row) for row in fit_spend(*spend))


def model(dbt, session):
    """dbt's entry: counted histories by origin, and amounts of the customers that are fitted."""
    histories = dbt.ref("int_purchase_histories_backtested")  # noqa: F841 - DuckDB reads it by name
    customers = dbt.ref("int_purchase_histories_summarised")  # noqa: F841
    counted = session.sql(
        "select origin, repeat_count, recency_days, age_days, customer_count from histories"
        " order by all"
    ).fetchnumpy()
    spend = session.sql(
        "select priced_repeat_count, cast(mean_repeat_amount as double) as amount,"
        " count(*) as customer_count from customers"
        " where is_fitted and priced_repeat_count > 0 group by all order by all"
    ).fetchnumpy()
    origins = {}
    for origin in np.unique(counted["origin"]):
        at = counted["origin"] == origin
        columns = ("repeat_count", "recency_days", "age_days", "customer_count")
        origins[int(origin)] = Histories(*(counted[column][at] for column in columns))
    rows = list(fit_all(origins, tuple(spend.values())))
    # Registered as arrays: bound parameters and data frames import pandas, 1 s.
    columns = list(zip(*rows, strict=True)) if rows else [[], [], [], [], []]
    session.register(
        "fitted_parameters",
        {
            "origin": np.array(columns[0], dtype=np.int64),
            "model": np.array(columns[1], dtype=object),
            "name": np.array(columns[2], dtype=object),
            "value": np.array(columns[3], dtype=float),
            "status": np.array([text or "" for text in columns[4]], dtype=object),
        },
    )
    session.sql(
        "create or replace temp table purchase_models_fitted as select origin,"
        " cast(model as varchar) as model, cast(name as varchar) as name,"
        " round(value, 6) as value, nullif(cast(status as varchar), '') as status"
        " from fitted_parameters"
    )
    return session.table("purchase_models_fitted")
