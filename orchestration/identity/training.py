"""Learn the parameters of matching from the records themselves; nobody has to label pairs.

u is measured on random pairs and on value frequencies, m fitted by expectation maximisation on the
candidate pairs, grouped by agreement pattern (estimation.py has the method and its sources).

u stays fixed while m is fitted: free to move, EM calls families matches (F1 .13 to .37). No session
is trained on phones or addresses for the same reason. The two people of a pair are strangers or
relatives, each with a u of its own, and strangers of a key are counted whether or not another key
finds them. Without that EM took every pair of a session for a match at five million records:
precision .972, with it .988.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from orchestration.database import working_file
from orchestration.identity.estimation import (
    CONTACTS,
    FEWEST_FREE,
    Floats,
    Integers,
    Vectors,
    distribution,
    fit_matches,
    fit_prior,
    fit_session,
    vectors,
    weigh,
)
from orchestration.identity.parameters import (
    DEFAULTS,
    HOUSEHOLD_ADDRESS,
    HOUSEHOLD_EMAIL,
    HOUSEHOLD_PHONE,
    MATCHES_PER_PROFILE,
    MOST_BITS,
    REFERENCE,
    Frequency,
    ParameterError,
    Parameters,
    Prior,
    comparison_names,
    exact_levels,
    read_parameters,
    rounded,
    write_parameters,
)
from orchestration.settings import Settings
from orchestration.sql import literal
from orchestration.transform.dbt import compile_inline

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

RANDOM_PAIRS = 1_000_000
MOST_VALUES_PER_FIELD = 5_000
FEWEST_PAIRS = 20
# A comparison takes part in a session when both sides have a value in this share of its pairs.
FEWEST_COMPARABLE = 0.01
# What the defaults weigh beside the data, in random pairs.
U_STRENGTH = 100.0
# u is measured, then twice again without the matches that the parameters so far expect among the
# random pairs: in 1,000 records they are more than the people born on one day by chance. F1 on
# fake_1000 rose from .924 to .934; at 100,000 records it changes nothing.
U_PASSES = 3
# A wrong guess of the matches must not take all of u away.
LEAST_LEFT = 0.02

# Of two people who share a contact, how many share a surname; and how often even the first name.
SAME_SURNAME = 0.65
SAME_FIRST_NAME = 0.015
# Of two people in one household this share was born on one day: every eightieth birth is twins.
TWINS = 0.005
# What these guesses weigh beside the pairs of a household that are seen, in pairs.
HOUSEHOLD_STRENGTH = 100.0
# A pair of a household is taken for two people below this probability of being one.
CLEARLY_APART = 0.1

_FREQUENCY_FIELDS = ("first_name", "last_name", "city")

# Training key -> what must be exact, and what is free of it. Phone and address never train: EM
# would learn what a household is. Families share e-mails too, so nothing they share is free there.
_TRAINING_KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "birth_date": (
        ("birth_date",),
        ("first_name", "last_name", "email", "phone", "address", "national_id"),
    ),
    "full_name": (
        ("first_name", "last_name"),
        ("birth_date", "email", "phone", "address", "national_id"),
    ),
    "email": (("email",), ("first_name", "last_name", "birth_date", "national_id")),
}


class TrainingError(Exception):
    """There is nothing to train on; the message says what to do first."""


@dataclass(frozen=True)
class Session:
    """One training key: its pairs, expected matches, and why it was left out when it was."""

    key: str
    pair_count: int
    free: tuple[str, ...]
    matches: float = 0.0
    left_out: str = ""


@dataclass(frozen=True)
class TrainingReport:
    """Parameters before and after, and what they were learned from."""

    before: Parameters
    after: Parameters
    profile_count: int
    candidate_count: int
    random_count: int
    sessions: tuple[Session, ...]
    warnings: tuple[str, ...]


def train(
    settings: Settings, manifest: "Manifest", *, out: Path | None = None, min_count: int = 5
) -> TrainingReport:
    """Train on the profiles of the working database; the same profiles give the same bytes.

    out: folder for the three files; without it nothing is written. min_count: names and cities
    borne by fewer profiles are not listed, because a rare value in a file names somebody.
    Raises TrainingError when no run has formed profiles yet.
    """
    queries = _compile(settings, manifest)
    try:
        before = read_parameters(REFERENCE)
    except ParameterError:
        before = DEFAULTS
    if not settings.working_database.exists():
        raise TrainingError(f"{settings.home} has no working database; run `make run` first")
    try:
        with working_file(settings).connect(read_only=True) as connection:
            connection.execute(
                f"set memory_limit = {literal(settings.memory_limit)};"
                f" set threads = {settings.threads}"
            )
            connection.execute("create temp view profiles as from identity.int_profiles_formed")
            report = _learn(connection, queries, before, min_count)
    except duckdb.CatalogException as error:
        raise TrainingError(
            f"{settings.home} has no comparable profiles yet; run `make run` first"
        ) from error
    if out is not None:
        write_parameters(report.after, out)
    return report


# --- what is learned, step by step ---------------------------------------------------------------


@dataclass(frozen=True)
class _Patterns:
    """Pairs grouped by pattern and by how rare their values are: (patterns,) arrays.

    names_bits: rarity of both names by their own frequencies, where both agree and nothing else is
    shared, otherwise nan. namesakes: profiles with both names, nan for a crowd. value_bits: rarity
    of other values that agree exactly.
    """

    levels: Mapping[str, Integers]
    contexts: Integers
    pairs: Floats
    names_bits: Floats
    namesakes: Floats
    value_bits: Floats

    def where(self, chosen: npt.NDArray[np.bool_]) -> "_Patterns":
        return _Patterns(
            {name: level[chosen] for name, level in self.levels.items()},
            self.contexts[chosen],
            self.pairs[chosen],
            self.names_bits[chosen],
            self.namesakes[chosen],
            self.value_bits[chosen],
        )

    def rarity(self, scale: "_Scale", m: Vectors, u: Vectors, matches: float) -> Floats:
        """Bits that the rarity of the values adds to the levels, as macro `rarity` has it.

        Without relatives of the same name: too few to move what is fitted.
        """
        first_name, last_name = self.levels["first_name"], self.levels["last_name"]
        by_names = scale.profile_count * np.exp2(-np.nan_to_num(self.names_bits))
        own = 2 * matches * m["first_name"][1] * m["last_name"][1]
        others = np.where(
            np.isnan(self.namesakes),
            np.maximum(by_names, scale.names_cap),
            (scale.shape + np.maximum(np.nan_to_num(self.namesakes) - 1 - own, 0))
            / (scale.shape / by_names + 1),
        )
        names = np.log2(scale.profile_count / others)
        average = -np.log2((u["first_name"][1] + u["first_name"][2]) * u["last_name"][1])
        is_outside = self.contexts == 0
        values = self.value_bits + np.where(
            self.levels["address"] == _level("address", "city"), 1, 0
        ) * np.log2(u["address"][_level("address", "city")])
        apart = np.where((first_name == 1) & is_outside, np.log2(u["first_name"][1]), 0) + np.where(
            (last_name == 1) & is_outside, np.log2(u["last_name"][1]), 0
        )
        bits: Floats = np.where(np.isnan(self.names_bits), values + apart, values + names - average)
        return bits

    def by_level(self, counts: Floats) -> dict[str, Floats]:
        """Sum counts, one for each pattern, by comparison and level."""
        return {
            name: np.bincount(self.levels[name], counts, len(vector)).astype(np.float64)
            for name, vector in vectors(DEFAULTS.levels, "u").items()
        }

    @property
    def pair_count(self) -> int:
        return int(self.pairs.sum())


@dataclass(frozen=True)
class _Scale:
    """How many profiles there are, and what the models are told about namesakes."""

    profile_count: int
    shape: float
    names_cap: int


def _learn(
    connection: duckdb.DuckDBPyConnection,
    queries: Mapping[str, str],
    before: Parameters,
    min_count: int,
) -> TrainingReport:
    frequencies = tuple(
        frequency
        for field in _FREQUENCY_FIELDS
        for frequency in _count_values(connection, field, min_count)
    )
    _lay_rarity(connection, queries, frequencies)
    profile_count = _numbers(connection, "select count(*) from profiles")[0]
    scale = _Scale(profile_count, **json.loads(queries["scale"]))
    candidates = _candidates(connection, queries)
    observed = _observe(connection, queries, profile_count)
    matches_in = np.zeros(len(candidates.pairs))
    m: Vectors = vectors(DEFAULTS.levels, "m")
    matches = MATCHES_PER_PROFILE
    for _ in range(U_PASSES):
        u = _measure_u(observed, candidates.by_level(matches_in))
        household_u = _measure_household(u, candidates, matches_in)
        m, sessions, warnings = _fit_m(candidates, u, household_u, observed.equal)
        weights = weigh(candidates.levels, candidates.contexts, m, u, household_u)
        weights += candidates.rarity(scale, m, u, matches)
        priors = _fit_priors(candidates, weights, profile_count)
        matches = priors[0].prior
        matches_in = _expect_matches(candidates, weights, priors, profile_count)
    after = Parameters(
        levels=tuple(
            replace(
                level,
                m=rounded(m[level.comparison][level.level]),
                u=rounded(u[level.comparison][level.level]),
                household_u=rounded(household_u[level.comparison][level.level]),
            )
            for level in DEFAULTS.levels
        ),
        priors=priors,
        frequencies=frequencies,
    )
    return TrainingReport(
        before=before,
        after=after,
        profile_count=profile_count,
        candidate_count=candidates.pair_count,
        random_count=observed.random_count,
        sessions=sessions,
        warnings=(*warnings, *_upside_down(after)),
    )


def _lay_rarity(
    connection: duckdb.DuckDBPyConnection,
    queries: Mapping[str, str],
    frequencies: Sequence[Frequency],
) -> None:
    """Give the profiles the rarity of their values by frequencies just counted, not the seed's."""
    columns = ("field", "value", "frequency")
    rows = [[getattr(frequency, column) for frequency in frequencies] for column in columns]
    listed = pa.table(dict(zip(columns, rows, strict=True)))  # noqa: F841 - DuckDB reads it by name
    connection.execute("create temp table frequencies as from listed")
    connection.execute(f"create temp table rated as {queries['rated']}")
    connection.execute("create or replace temp view profiles as from rated")


def _candidates(connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str]) -> _Patterns:
    """The pairs that blocking finds, of all profiles."""
    connection.execute(f"create temp table keys_collected as {queries['blocking_keys']}")
    connection.execute(f"create temp table keys_kept as {queries['keys_kept']}")
    connection.execute(f"create or replace temp table pairs_compared as {queries['pairs']}")
    return _grouped(connection, queries)


def _random_pairs(
    connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str], profile_count: int
) -> _Patterns:
    """About a million pairs, or all there are: each profile with its next ones by key.

    Keys are hashes, so neighbours have nothing in common; and the pairs are the same every time.
    """
    reach = max(1, min(profile_count - 1, round(RANDOM_PAIRS / max(profile_count, 1))))
    connection.execute(
        f"""
        create or replace temp table pairs_compared as
        with placed as (
            select profile_key, row_number() over (order by profile_key) as place from profiles
        ),

        neighbours as (
            select profile_key, place + unnest(range(1, {reach + 1})) as other_place
            from placed where place <= {RANDOM_PAIRS}
        )

        select
            neighbours.profile_key,
            placed.profile_key as other_profile_key,
            null::utinyint as namesakes
        from neighbours inner join placed on neighbours.other_place = placed.place
        """
    )
    return _grouped(connection, queries)


def _grouped(connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str]) -> _Patterns:
    columns: dict[str, Any] = connection.execute(queries["patterns"]).fetchnumpy()
    return _Patterns(
        levels={name: columns[name].astype(np.int64) for name in comparison_names()},
        contexts=columns["context"].astype(np.int64),
        pairs=columns["pairs"].astype(np.float64),
        **{
            name: np.ma.filled(columns[name].astype(np.float64), np.nan)
            for name in ("names_bits", "namesakes", "value_bits")
        },
    )


@dataclass(frozen=True)
class _Observed:
    """How pairs that nobody chose compare.

    random: (levels,) random pairs per comparison; random_count: of them, random_share: of all pairs
    of profiles. equal: per comparison the profiles with a value, then the pairs that have it in
    common, per exact level. crossings: meaning of a first name's level to its pairs, and of how
    many. namesakes: e-mail level to pairs with one first name and different last names.
    """

    random: Vectors
    random_count: int
    random_share: float
    equal: Mapping[str, tuple[int, ...]]
    crossings: Mapping[str, tuple[float, float]]
    namesakes: Mapping[int, int]


def _observe(
    connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str], profile_count: int
) -> _Observed:
    pairs = _random_pairs(connection, queries, profile_count)
    equal = {name: _numbers(connection, _equal_pairs(*_EQUAL[name])) for name in comparison_names()}
    swaps, crossings, first_names, last_names = _numbers(connection, queries["crossings"])
    of = first_names * last_names / 2
    bearers, equal_first_names = equal["first_name"]
    chance = max(equal_first_names, 1) / max(bearers * (bearers - 1) / 2, 1)
    namesakes = queries["namesakes"].format(
        # so many profiles have about a million pairs of namesakes
        most=min(30_000, int(math.sqrt(2 * RANDOM_PAIRS / chance))),
        different=_level("last_name", "different"),
    )
    return _Observed(
        random=pairs.by_level(pairs.pairs),
        random_count=pairs.pair_count,
        random_share=pairs.pair_count / max(profile_count * (profile_count - 1) / 2, 1),
        equal=equal,
        crossings={
            "swapped with last name": (swaps / 2, of),
            "crossed with last name": (crossings - swaps, of),
        },
        namesakes=dict(connection.execute(namesakes).fetchall()),
    )


def _measure_u(observed: _Observed, matched: Vectors) -> dict[str, Floats]:
    """How often two people show a level: from random pairs, and where that is rarer than a million
    pairs can tell, from how often values occur.

    matched: (levels,) matches to expect per comparison among all pairs, which are not two people.
    """
    defaults = vectors(DEFAULTS.levels, "u")
    rarest = 1 / RANDOM_PAIRS
    u = {}
    for comparison, default in defaults.items():
        seen = observed.random[comparison]
        seen = np.maximum(seen - observed.random_share * matched[comparison], LEAST_LEFT * seen)
        spread = distribution(seen + U_STRENGTH * default)
        u[comparison] = distribution(np.maximum(spread, rarest))

    for meaning, (crossings, of) in observed.crossings.items():
        crossed = _level("first_name", meaning)
        apart = max(crossings - float(matched["first_name"][crossed]), LEAST_LEFT * crossings)
        u["first_name"][crossed] = max(
            _shrunk(apart, of, defaults["first_name"][crossed]), 2.0 ** (-2 * MOST_BITS)
        )
    # Mailboxes often carry the first name: among namesakes alike mailboxes are less of a miracle.
    # With another last name they are other people: matches among them would spoil the count.
    among = sum(observed.namesakes.values()) + U_STRENGTH
    for meaning in ("same mailbox name at another provider", "close"):
        level = _level("email", meaning)
        u["email"][level] = max(u["email"][level], observed.namesakes.get(level, 0) / among)

    for comparison, (bearers, *equal) in observed.equal.items():
        exact = exact_levels(comparison)
        for level, pairs in zip(exact, equal, strict=True):
            apart = max(pairs - float(matched[comparison][level]), LEAST_LEFT * pairs)
            chance = _shrunk(apart, bearers * (bearers - 1) / 2, defaults[comparison][level])
            u[comparison][level] = max(chance, 2.0**-MOST_BITS)
        rest = np.ones(len(u[comparison]), dtype=bool)
        rest[[0, *exact]] = False
        left = 1.0 - sum(u[comparison][level] for level in exact)
        u[comparison][rest] *= left / u[comparison][rest].sum()
    return u


def _expect_matches(
    candidates: _Patterns, weights: Floats, priors: Sequence[Prior], profile_count: int
) -> Floats:
    """Matches to expect among the pairs of each pattern."""
    outside, *others = (prior.prior for prior in priors)
    probabilities = [min(2 * outside / max(profile_count, 2), 0.5), *others]
    prior = np.array(probabilities)[candidates.contexts]
    odds = np.log2(prior / (1 - prior)) + weights
    matches: Floats = candidates.pairs / (1 + np.exp2(-np.clip(odds, -500, 500)))
    return matches


def _shrunk(seen: float, of: float, default: float) -> float:
    return (seen + U_STRENGTH * default) / (of + U_STRENGTH)


def _measure_household(u: Vectors, candidates: _Patterns, matches_in: Floats) -> dict[str, Floats]:
    """u of two people who share a contact: a family name for most, and contacts of the family.

    matches_in: (patterns,) matches to expect. Measured where a pair of a household is two people
    beyond doubt, so that it cannot run away as free EM does: by their first names, and what the
    first names of two people are, by their birth dates.
    """
    guessed = _guess_household(u)
    is_clear = (candidates.contexts > 0) & (matches_in < CLEARLY_APART * candidates.pairs)
    people = np.where(is_clear, candidates.pairs - matches_in, 0.0)
    levels = candidates.levels
    by_first_name = levels["first_name"] == _level("first_name", "different")
    by_birth_date = levels["birth_date"] == _level("birth_date", "different")
    measured = {}
    for name, guess in guessed.items():
        told_apart = by_birth_date if name == "first_name" else by_first_name
        seen = np.bincount(levels[name], np.where(told_apart, people, 0.0), len(guess))
        free = np.ones(len(guess), dtype=bool)
        free[0] = False
        if name == "national_id":
            # no family shares one
            measured[name] = np.array(guess)
            continue
        if name in CONTACTS:
            # that a contact is shared is what the context says: only the rest is seen
            free[exact_levels(name)] = False
        rest = seen[free] + HOUSEHOLD_STRENGTH * guess[free]
        vector = np.array(guess)
        vector[free] = rest / rest.sum() * guess[free].sum()
        measured[name] = vector
    return measured


def _guess_household(u: Vectors) -> dict[str, Floats]:
    first_name = np.array(u["first_name"])
    first_name[1] = max(first_name[1], SAME_FIRST_NAME)
    birth_date = np.array(u["birth_date"])
    birth_date[1] = max(birth_date[1], TWINS)
    return {
        **u,
        "birth_date": distribution(birth_date),
        "first_name": distribution(first_name),
        "last_name": distribution(
            (1 - SAME_SURNAME) * u["last_name"]
            + SAME_SURNAME * (np.arange(len(u["last_name"])) == 1)
        ),
        "email": np.array((1.0, *HOUSEHOLD_EMAIL)),
        "phone": np.array((1.0, *HOUSEHOLD_PHONE)),
        "address": np.array((1.0, *HOUSEHOLD_ADDRESS)),
    }


def _fit_m(
    candidates: _Patterns, u: Vectors, household_u: Vectors, equal: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Floats], tuple[Session, ...], list[str]]:
    """One EM session per training key, averaged by the expected matches that could be compared.

    equal: of _Observed. Namesakes are all found, or a crowd in which no pair is.
    """
    defaults = vectors(DEFAULTS.levels, "m")
    sums = {name: np.zeros(len(vector)) for name, vector in defaults.items()}
    weights = dict.fromkeys(defaults, 0.0)
    sessions = []
    for key in _TRAINING_KEYS:
        chosen, free, left_out = choose_session(candidates.levels, candidates.pairs, key)
        inside = candidates.where(chosen)
        if left_out:
            sessions.append(Session(key, inside.pair_count, free, left_out=left_out))
            continue
        fit = fit_session(
            np.column_stack([inside.levels[name] for name in free]),
            inside.pairs,
            [u[name] for name in free],
            [defaults[name] for name in free],
            household_u=[household_u[name] for name in free],
            total=0.0 if key == "full_name" else float(equal[key][1]),
        )
        sessions.append(Session(key, inside.pair_count, free, matches=fit.matches))
        for name, vector, comparable in zip(free, fit.m, fit.comparable, strict=True):
            sums[name] += comparable * vector
            weights[name] += float(comparable)
    m = {
        name: distribution(sums[name]) if weights[name] > 0 else default
        for name, default in defaults.items()
    }
    warnings = [f"session {s.key} left out: {s.left_out}" for s in sessions if s.left_out]
    if len(warnings) == len(sessions):
        warnings.append("EM is not identifiable on these records: every m is the default")
    else:
        unknown = [name for name in defaults if weights[name] == 0]
        warnings += [f"m of {name} is the default: no session could compare it" for name in unknown]
    return m, tuple(sessions), warnings


def choose_session(
    levels: Mapping[str, Integers], pairs: Floats, key: str
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...], str]:
    """Pick the patterns of a training key and its free comparisons.

    levels, pairs: as of all candidate pairs, (patterns,) each. Returns the mask of the patterns
    (patterns,), the comparisons that are free of the key and present in the data, and why the
    session must be left out, or nothing.
    """
    exact, free = _TRAINING_KEYS[key]
    chosen = np.logical_and.reduce([levels[name] == 1 for name in exact])
    pair_count = float(pairs[chosen].sum())
    fewest = max(FEWEST_PAIRS, FEWEST_COMPARABLE * pair_count)
    present = tuple(
        name for name in free if float(pairs[chosen & (levels[name] > 0)].sum()) >= fewest
    )
    if pair_count < FEWEST_PAIRS:
        return chosen, present, f"only {pair_count:.0f} pairs agree on it"
    if len(present) < FEWEST_FREE:
        named = f" ({', '.join(present)})" if present else ""
        return chosen, present, (f"{len(present)} free comparisons{named}, EM needs {FEWEST_FREE}")
    return chosen, present, ""


def _fit_priors(candidates: _Patterns, weights: Floats, profile_count: int) -> tuple[Prior, ...]:
    outside, *others = DEFAULTS.priors
    fitted, known = [], 0.0
    for shipped in others:
        here = candidates.contexts == shipped.context
        pairs = candidates.pairs[here]
        prior = shipped.prior
        if pairs.sum() >= FEWEST_PAIRS:
            prior = fit_prior(weights[here], pairs, shipped.prior)
        known += prior * float(pairs.sum())
        fitted.append(replace(shipped, prior=rounded(prior)))
    here = candidates.contexts == 0
    matches = fit_matches(
        weights[here], candidates.pairs[here], profile_count, outside.prior, known=known
    )
    return replace(outside, prior=rounded(matches)), *fitted


def _count_values(
    connection: duckdb.DuckDBPyConnection, field: str, min_count: int
) -> list[Frequency]:
    total, distinct = _numbers(
        connection, f"select count({field}), count(distinct {field}) from profiles"
    )
    (default,) = (f for f in DEFAULTS.frequencies if f.field == field)
    if total == 0:
        return [default]
    listed = connection.execute(
        f"""
        select {field}, count(*) as bearers from profiles where {field} <> ''
        group by {field} having count(*) >= {min_count}
        order by bearers desc, {field}
        limit {MOST_VALUES_PER_FIELD}
        """
    ).fetchall()
    rarest = 2.0**-MOST_BITS
    unlisted, values = total - sum(bearers for _, bearers in listed), distinct - len(listed)
    # when all are listed, the next value will be a new one
    mean = unlisted / values / total if values else 1 / (total + 1)
    return [
        Frequency(field, "", rounded(max(mean, rarest))),
        *(
            Frequency(field, value, rounded(max(bearers / total, rarest)))
            for value, bearers in sorted(listed)
        ),
    ]


def _upside_down(parameters: Parameters) -> list[str]:
    """Comparisons in which agreement speaks no more for one person than disagreement does."""
    bits = {(level.comparison, level.meaning): level.bits for level in parameters.levels}
    return [
        f"{name}: exact speaks no louder than different; its values are not what they should be"
        for name in comparison_names()
        if bits[name, "exact"] <= bits[name, "different"]
    ]


# --- comparisons and their queries ---------------------------------------------------------------


def _level(comparison: str, meaning: str) -> int:
    (number,) = (
        level.level
        for level in DEFAULTS.levels
        if level.comparison == comparison and level.meaning == meaning
    )
    return number


def _numbers(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    (row,) = connection.execute(query).fetchall()
    return tuple(number or 0 for number in row)


# Comparison -> the value that is equal at its exact levels, and what tells those levels apart.
_EQUAL: Mapping[str, tuple[str, str]] = {
    "first_name": ("first_name", ""),
    "last_name": ("last_name", ""),
    "birth_date": ("birth_date", ""),
    "email": ("mailbox || '@' || email_domain", "is_email_shared"),
    "phone": ("phone", "is_phone_shared"),
    "address": (
        "house_number || '|' || left(street, 4) || '|' || coalesce(postcode, city)",
        "",
    ),
    "national_id": ("national_id", ""),
}


def _equal_pairs(value: str, flag: str) -> str:
    """SQL for how many profiles have the value, and how many pairs of them have it in common."""
    pairs = "sum(bearers * (bearers - 1) // 2)"
    return f"""
        select
            sum(bearers),
            {pairs} filter (not is_flagged)
            {f", {pairs} filter (is_flagged)" if flag else ""}
        from (
            select {value} as value, {flag or "false"} as is_flagged, count(*) as bearers
            from profiles where ({value}) is not null group by all
        ) as counted
    """


# The macros of the models, so that training compares as they do. One compilation, cut at the marks.
_QUERIES = """
== comparisons
{{ comparisons() | tojson }}
== scale
{
    "shape": {{ var('namesake_shape') }},
    "names_cap": {{ names_cap() }}
}
== rated
select
    profiles.* replace (
        cast(coalesce(first_names.bits, unlisted.first_name_bits) as float) as first_name_bits,
        cast(coalesce(last_names.bits, unlisted.last_name_bits) as float) as last_name_bits,
        cast(coalesce(cities.bits, unlisted.city_bits) as float) as city_bits
    )
from profiles
cross join (
    select
        max(case when field = 'first_name' then -log2(frequency) end) as first_name_bits,
        max(case when field = 'last_name' then -log2(frequency) end) as last_name_bits,
        max(case when field = 'city' then -log2(frequency) end) as city_bits
    from frequencies
    where value = ''
) as unlisted
{% for alias, field in {
    'first_names': 'first_name', 'last_names': 'last_name', 'cities': 'city',
}.items() -%}
left join (
    select value, -log2(frequency) as bits from frequencies
    where field = '{{ field }}' and value <> ''
) as {{ alias }} on profiles.{{ field }} = {{ alias }}.value
{% endfor %}
== blocking_keys
{%- set size = '(select pow(2, round(log2(greatest(count(*), 2)))) from profiles)' %}
{{ blocking_keys_of('profiles', size) }}
== keys_kept
select keys.*, blocks.size
from keys_collected as keys
inner join ({{ blocks_compared('keys_collected') }}) as blocks on keys.block = blocks.block
== pairs
{{ candidate_pairs_of('keys_kept') }}
== patterns
select
    pattern,
    context,
    {%- for comparison in comparisons() %}
    {{ level_of(comparison.name, 'pattern') }} as {{ comparison.name }},
    {%- endfor %}
    case when agrees then round(names_bits) end as names_bits,
    case when agrees then namesakes end as namesakes,
    round(
        case when not agrees and context = 0 and {{ level_of('first_name', 'pattern') }} = 1
            then first_name_bits else 0 end
        + case when not agrees and context = 0 and {{ level_of('last_name', 'pattern') }} = 1
            then last_name_bits else 0 end
        + case when {{ level_of('address', 'pattern') }} = 4 then city_bits else 0 end
    ) as value_bits,
    count(*) as pairs
from (
    select
        *,
        {{ household_context('pattern') }} as context,
        {{ household_context('pattern') }} = 0 and (
            {{ level_of('first_name', 'pattern') }} in (1, 2)
            and {{ level_of('last_name', 'pattern') }} = 1
            or {{ level_of('first_name', 'pattern') }} = 7
        ) as agrees
    from (
        select
            {{ pattern('one', 'other') }} as pattern,
            pairs_compared.namesakes,
            {{ rarity_of_pair('one', 'other') }}
        from pairs_compared
        inner join profiles as one on pairs_compared.profile_key = one.profile_key
        inner join profiles as other on pairs_compared.other_profile_key = other.profile_key
    ) as compared
) as placed
group by all
order by all
== crossings
select
    (
        select sum(one.bearers * other.bearers)
        from (select first_name, last_name, count(*) as bearers from profiles group by all) as one
        inner join (select first_name, last_name, count(*) as bearers from profiles group by all)
            as other
            on
                one.first_name = other.last_name and one.last_name = other.first_name
                and one.first_name <> one.last_name
    ),
    (
        select sum(first_names.bearers * last_names.bearers)
        from (select first_name, count(*) as bearers from profiles group by first_name)
            as first_names
        inner join (select last_name, count(*) as bearers from profiles group by last_name)
            as last_names
            on first_names.first_name = last_names.last_name
    ),
    (select count(first_name) from profiles),
    (select count(last_name) from profiles)
== namesakes
with some_profiles as (
    select * from profiles
    where first_name_canonical is not null and mailbox is not null
    order by profile_key
    limit {most}
)
select level, count(*)
from (
    select {{ compare_email('one', 'other') }} as level
    from some_profiles as one
    inner join some_profiles as other
        on one.first_name_canonical = other.first_name_canonical
        and one.profile_key < other.profile_key
    where {{ compare_last_name('one', 'other') }} = {different}
) as compared
where level > 0
group by level
"""


def _compile(settings: Settings, manifest: "Manifest") -> dict[str, str]:
    compiled = compile_inline(settings, manifest, _QUERIES)
    queries = {}
    for part in compiled.split("\n== ")[1:]:
        name, _, text = part.partition("\n")
        queries[name.strip()] = text.strip()
    compared = [(c["name"], c["levels"]) for c in json.loads(queries["comparisons"])]
    known = [(name, len(vector)) for name, vector in vectors(DEFAULTS.levels, "m").items()]
    if compared != known:
        raise TrainingError(
            f"macros/comparisons.sql compares {compared}, identity/parameters.py knows {known}"
        )
    return queries
