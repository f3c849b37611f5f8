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
    household_u: Sequence[Floats] | None = None,
    total: float = 0.0,
    strength: float = M_STRENGTH,
    rounds: int = 500,
) -> SessionFit:
    """Fit m of the free comparisons and the share of matches by EM with u fixed (Winkler 1988).

    Two people are strangers or, with household_u, relatives; how many of each is fitted too.

    levels: (patterns, comparisons) levels, 0 where not comparable. pairs: (patterns,) how many
    pairs show the pattern. u, household_u, start: per comparison one probability for each level,
    index 0 unused. total: pairs that there are, when blocking finds only some: the rest are
    strangers who agree on nothing else; without them a large landing makes every pair a match.
    strength: how many imagined matches with the levels of start join the data; it keeps a level
    that no match shows above zero.
    Raises ValueError with fewer than three comparisons: two leave EM with more unknowns than
    the patterns have degrees of freedom.
    """
    if levels.shape[1] < FEWEST_FREE:
        raise ValueError(f"{levels.shape[1]} free comparisons, at least {FEWEST_FREE} are needed")
    m = [distribution(vector) for vector in start]
    imagined = [strength * vector for vector in m]
    people = [_log_likelihood(levels, u)]
    if household_u is not None:
        people.append(_log_likelihood(levels, household_u))
    shares = np.array([0.3, *[0.7 / len(people)] * len(people)])
    matches = pairs
    not_found = np.zeros(len(shares))
    not_found[1] = max(total - pairs.sum(), 0)
    for _ in range(rounds):
        likelihoods = np.stack([_log_likelihood(levels, m), *people])
        odds = np.exp(likelihoods - likelihoods.max(axis=0)) * shares[:, None]
        expected = pairs * odds / odds.sum(axis=0)
        matches = expected[0]
        counts = expected.sum(axis=1) + not_found
        new_shares = np.maximum(counts / counts.sum(), 1e-9)
        moved = float(np.abs(shares - new_shares).max())
        shares = new_shares
        for i, before in enumerate(m):
            seen = np.bincount(levels[:, i], weights=matches, minlength=len(before))
            m[i] = distribution(seen + imagined[i])
            moved = max(moved, float(np.abs(m[i] - before).max()))
        if moved < 1e-10:
            break
    comparable = np.array([matches[levels[:, i] > 0].sum() for i in range(len(m))])
    return SessionFit(tuple(m), comparable, float(matches.sum()), float(shares[0]))


def _log_likelihood(levels: Integers, vectors_of_levels: Sequence[Floats]) -> Floats:
    logs = np.zeros(len(levels))
    for i, vector in enumerate(vectors_of_levels):
        logs += np.log(np.maximum(vector, 1e-12))[levels[:, i]]
    return logs


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
