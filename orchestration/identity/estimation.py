"""The numpy part of training: expectation maximisation on counts of agreement patterns.

The model is that of Fellegi and Sunter (1969, "A Theory for Record Linkage", Journal of the
American Statistical Association 64, 1183-1210): the weight of a pair is the sum over comparisons of
log2(m / u). It is fitted by expectation maximisation (Dempster, Laird and Rubin 1977, Journal of
the Royal Statistical Society B 39, 1-38) on patterns and how many pairs show them, as Winkler
(1988, "Using the EM Algorithm for Weight Computation in the Fellegi-Sunter Model of Record
Linkage", Proceedings of the Section on Survey Research Methods, American Statistical Association,
667-671) proposed: a few thousand rows, however many records there are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestration.identity.parameters import Level, comparison_names, exact_levels

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Comparison -> one number per level; at 0, "not comparable", it is 1 and says nothing.
Vectors = Mapping[str, Floats]

# Two free comparisons leave EM with more unknowns than the patterns have degrees of freedom.
FEWEST_FREE = 3
# What the defaults weigh beside the data: imagined matches for m, imagined pairs for a prior.
M_STRENGTH = 20.0
PRIOR_STRENGTH = 10.0

# Fields whose equality is the context of a pair.
CONTACTS = ("email", "phone", "address")


@dataclass(frozen=True)
class SessionFit:
    """What EM found on the pairs of one training key.

    m: one vector per free comparison, as long as its u. comparable: expected matches for which both
    sides have a value, per free comparison. matches: expected matches. share: of the pairs.
    """

    m: tuple[Floats, ...]
    comparable: Floats
    matches: float
    share: float


def fit_session(
    levels: Integers,
    pairs: Floats,
    u: Sequence[Floats],
    start: Sequence[Floats],
    *,
    strength: float = M_STRENGTH,
    rounds: int = 500,
) -> SessionFit:
    """Fit m of the free comparisons and the share of matches by EM with u fixed (Winkler 1988).

    levels: (patterns, comparisons) levels, 0 where not comparable. pairs: (patterns,) how many
    pairs show the pattern. u, start: per comparison one probability for each level, index 0 unused.
    strength: how many imagined matches with the levels of start join the data; it keeps a level
    that no match shows above zero.
    Raises ValueError with fewer than three comparisons: two leave EM with more unknowns than
    the patterns have degrees of freedom.
    """
    if levels.shape[1] < FEWEST_FREE:
        raise ValueError(f"{levels.shape[1]} free comparisons, at least {FEWEST_FREE} are needed")
    m = [distribution(vector) for vector in start]
    u = [np.asarray(vector, dtype=float) for vector in u]
    imagined = [strength * vector for vector in m]
    found = _log_found(levels, u)
    share = 0.3
    matches = pairs
    for _ in range(rounds):
        weights = sum((_log_ratio(m[i], u[i])[levels[:, i]] for i in range(len(m))), found)
        matches = pairs * _probability(share, weights)
        new_share = float(np.clip(matches.sum() / pairs.sum(), 1e-6, 1 - 1e-6))
        moved = abs(new_share - share)
        share = new_share
        for i, before in enumerate(m):
            seen = np.bincount(levels[:, i], weights=matches, minlength=len(before))
            m[i] = distribution(seen + imagined[i])
            moved = max(moved, float(np.abs(m[i] - before).max()))
        if moved < 1e-10:
            break
    comparable = np.array([matches[levels[:, i] > 0].sum() for i in range(len(m))])
    return SessionFit(tuple(m), comparable, float(matches.sum()), share)


def _log_found(levels: Integers, u: Sequence[Floats]) -> Floats:
    """Log of how many of the pairs of two people blocking finds, per pattern: of its comparisons.

    Two people who agree on nothing else are in no block, so of the patterns that u allows only some
    can be seen, and u has to be scaled to those: unscaled, a large landing, where chance brings
    many such pairs, makes every pair of a session a match.
    """
    seen, pattern_of = np.unique(levels, axis=0, return_inverse=True)
    chances = np.prod([u[i][seen[:, i]] for i in range(len(u))], axis=0)
    kinds, kind_of = np.unique(seen > 0, axis=0, return_inverse=True)
    found = np.bincount(kind_of.ravel(), chances, len(kinds))
    log_found: Floats = np.log(np.minimum(found, 1.0))[kind_of.ravel()][pattern_of.ravel()]
    return log_found


def fit_prior(
    weights: Floats,
    pairs: Floats,
    default: float,
    *,
    total: float | None = None,
    strength: float = PRIOR_STRENGTH,
    rounds: int = 1000,
) -> float:
    """Fit the share of matches among pairs whose weights are known, by EM in one parameter.

    weights: (patterns,) sums of log2(m / u). pairs: (patterns,) how many pairs show the pattern.
    total: pairs that the share is relative to, when more exist than were compared; those left out
    count as no match. strength: how many imagined pairs with the share `default` join the data.
    """
    total = float(pairs.sum()) if total is None else total
    prior = default
    for _ in range(rounds):
        matches = float((pairs * _probability(prior, weights * math.log(2))).sum())
        found = (matches + strength * default) / (total + strength)
        found = min(max(found, 1e-12), 1 - 1e-4)
        if abs(found - prior) <= 1e-12 * prior:
            break
        prior = found
    return prior


def fit_matches(
    weights: Floats,
    pairs: Floats,
    profile_count: int,
    default: float,
    *,
    known: float = 0.0,
    strength: float = PRIOR_STRENGTH,
    rounds: int = 1000,
) -> float:
    """Fit how many matches a profile has, when those among these pairs depend on it themselves.

    weights, pairs: as of `fit_prior`, of pairs that share no contact. known: matches among all
    others. strength: how many imagined profiles with `default` matches join the data.
    """
    per_profile = default
    for _ in range(rounds):
        prior = min(2 * per_profile / max(profile_count, 2), 0.5)
        matches = known + float((pairs * _probability(prior, weights * math.log(2))).sum())
        found = (matches + strength * default) / (profile_count + strength)
        if abs(found - per_profile) <= 1e-9 * per_profile:
            break
        per_profile = found
    return per_profile


def weigh(
    levels: Mapping[str, Integers], contexts: Integers, m: Vectors, u: Vectors, household_u: Vectors
) -> Floats:
    """Sum the bits of patterns as model int_patterns_weighed does, without the prior.

    levels: per comparison (patterns,) levels. contexts: (patterns,), 0 for pairs that share no
    contact. Where a contact is shared, household u takes the place of u, and a contact field only
    counts where it is not exact, its m and household u relative to those levels.
    """
    bits = np.zeros(len(contexts))
    for comparison, level in levels.items():
        apart = _log_ratio(m[comparison], u[comparison])
        if comparison in CONTACTS:
            exact = exact_levels(comparison)
            together = _log_ratio(
                _without(m[comparison], exact), _without(household_u[comparison], exact)
            )
        else:
            together = _log_ratio(m[comparison], household_u[comparison])
        bits += np.where(contexts == 0, apart[level], together[level])
    return bits / math.log(2)


def distribution(vector: Floats) -> Floats:
    """Scale levels 1 and up to probabilities; index 0, not comparable, is 1 in m and in u."""
    spread = np.array(vector, dtype=float)
    spread[0] = 0.0
    spread /= spread.sum()
    spread[0] = 1.0
    return spread


def _without(vector: Floats, exact: Sequence[int]) -> Floats:
    rest = np.array(vector, dtype=float)
    rest[list(exact)] = 0.0
    rest = distribution(rest)
    rest[list(exact)] = 1.0
    return rest


def _log_ratio(m: Floats, u: Floats) -> Floats:
    ratio: Floats = np.log(np.maximum(m, 1e-9)) - np.log(np.maximum(u, 1e-12))
    ratio[0] = 0.0
    return ratio


def _probability(prior: float, log_weights: Floats) -> Floats:
    odds = math.log(prior) - math.log1p(-prior) + log_weights
    probability: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -500, 500)))
    return probability


def vectors(levels: Sequence[Level], probability: str) -> dict[str, Floats]:
    """Return m, u or household_u of each comparison, indexed by level."""
    return {
        name: np.array(
            [1.0, *(getattr(level, probability) for level in levels if level.comparison == name)]
        )
        for name in comparison_names()
    }
