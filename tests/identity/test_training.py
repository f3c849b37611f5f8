"""What training learns, from pairs whose truth the test has made up."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest

from orchestration.identity.estimation import (
    Floats,
    Integers,
    distribution,
    fit_prior,
    fit_session,
    vectors,
    weigh,
)
from orchestration.identity.parameters import (
    DEFAULTS,
    REFERENCE,
    ParameterError,
    Parameters,
    comparison_names,
    read_parameters,
    write_parameters,
)
from orchestration.identity.training import (
    TrainingError,
    choose_session,
    train,
)
from orchestration.transform.dbt import parse
from tests.conftest import Installation

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

M = [
    np.array([1.0, 0.85, 0.10, 0.05]),
    np.array([1.0, 0.70, 0.30]),
    np.array([1.0, 0.90, 0.06, 0.04]),
    np.array([1.0, 0.60, 0.40]),
]
U = [
    np.array([1.0, 0.02, 0.05, 0.93]),
    np.array([1.0, 0.01, 0.99]),
    np.array([1.0, 0.001, 0.099, 0.90]),
    np.array([1.0, 0.05, 0.95]),
]
# Relatives have the first field in common by half and live together; the third tells them apart.
HOUSEHOLD_U = [
    np.array([1.0, 0.50, 0.10, 0.40]),
    np.array([1.0, 0.60, 0.40]),
    np.array([1.0, 0.004, 0.096, 0.90]),
    np.array([1.0, 0.80, 0.20]),
]


def simulated(
    share: float, pair_count: int = 200_000, people: Sequence[Floats] = U
) -> tuple[Integers, Floats]:
    """Pairs drawn from M and, two people, from U; a tenth missing, grouped by pattern."""
    random = np.random.default_rng(7)
    matching = random.random(pair_count) < share
    columns = []
    for m, u in zip(M, people, strict=True):
        same = random.choice(len(m) - 1, pair_count, p=m[1:]) + 1
        other = random.choice(len(u) - 1, pair_count, p=u[1:]) + 1
        level = np.where(matching, same, other)
        columns.append(np.where(random.random(pair_count) < 0.1, 0, level))
    patterns, counts = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    return patterns.astype(np.int64), counts.astype(np.float64)


def test_em_recovers_the_m_that_the_pairs_were_drawn_from() -> None:
    levels, pairs = simulated(share=0.3)
    flat = [distribution(np.ones(len(m))) for m in M]
    flat[0] = flat[2] = distribution(np.array([1.0, 3.0, 2.0, 1.0]))
    fit = fit_session(levels, pairs, U, flat, strength=1.0)
    assert fit.share == pytest.approx(0.3, abs=0.01)
    assert fit.matches == pytest.approx(60_000, rel=0.03)
    assert fit.comparable == pytest.approx(0.9 * fit.matches, rel=0.02)
    for found, true in zip(fit.m, M, strict=True):
        assert found[1:] == pytest.approx(true[1:], abs=0.015)


def test_strangers_that_blocking_does_not_find_are_still_no_matches() -> None:
    levels, pairs = simulated(share=0.005, pair_count=1_000_000)
    found = (levels == 1).any(axis=1)
    fit = fit_session(levels[found], pairs[found], U, M, total=float(pairs.sum()))
    assert fit.matches == pytest.approx(5_000, rel=0.05)
    assert fit.share == pytest.approx(0.005, rel=0.05)
    for learned, true in zip(fit.m, M, strict=True):
        assert learned[1:] == pytest.approx(true[1:], abs=0.03)
    # most pairs that agree on something do so by chance; taken for all there are, they mislead
    misled = fit_session(levels[found], pairs[found], U, M)
    assert misled.matches > 2 * fit.matches


def test_relatives_are_not_taken_for_matches() -> None:
    levels, pairs = simulated(share=0.3)
    akin, akin_pairs = simulated(share=0.0, pair_count=50_000, people=HOUSEHOLD_U)
    levels, pairs = np.concatenate([levels, akin]), np.concatenate([pairs, akin_pairs])
    fit = fit_session(levels, pairs, U, M, household_u=HOUSEHOLD_U)
    assert fit.matches == pytest.approx(60_000, rel=0.03)
    # a birth date that differs is as rare among matches as it was
    assert fit.m[2][3] == pytest.approx(M[2][3], abs=0.01)
    misled = fit_session(levels, pairs, U, M)
    assert misled.m[2][3] > 2 * fit.m[2][3]


def test_a_level_that_no_match_shows_keeps_a_probability_above_zero() -> None:
    levels, pairs = simulated(share=0.3)
    never = levels[:, 0] != 2
    fit = fit_session(levels[never], pairs[never], U, M)
    assert 0 < fit.m[0][2] < 0.001


def test_two_free_comparisons_are_refused_by_em() -> None:
    levels, pairs = simulated(share=0.3)
    with pytest.raises(ValueError, match="2 free comparisons, at least 3"):
        fit_session(levels[:, :2], pairs, U[:2], M[:2])


def test_the_prior_is_the_share_of_matches() -> None:
    levels, pairs = simulated(share=0.02)
    weights = sum(np.log2(m / u)[levels[:, i]] for i, (m, u) in enumerate(zip(M, U, strict=True)))
    assert isinstance(weights, np.ndarray)
    assert fit_prior(weights, pairs, 0.5) == pytest.approx(0.02, rel=0.1)
    among_more = fit_prior(weights, pairs, 0.5, total=100 * pairs.sum(), strength=0)
    # pairs that nobody compared are no matches, and make those compared less likely ones
    assert 0.00005 < among_more < 0.0002


def test_a_prior_without_pairs_is_the_default() -> None:
    nothing = np.zeros(0)
    assert fit_prior(nothing, nothing, 0.25) == pytest.approx(0.25)


def test_a_key_with_fewer_than_three_comparisons_beside_it_is_left_out_with_the_reason() -> None:
    levels = {name: np.array([0, 0], dtype=np.int64) for name in comparison_names()}
    levels["birth_date"] = np.array([1, 1])
    levels["first_name"] = levels["last_name"] = np.array([1, 6])
    _, free, left_out = choose_session(levels, np.array([50.0, 50.0]), "birth_date")
    assert free == ("first_name", "last_name")
    assert left_out == "2 free comparisons (first_name, last_name), EM needs 3"
    levels["email"] = np.array([1, 4])
    _, free, left_out = choose_session(levels, np.array([50.0, 50.0]), "birth_date")
    assert (free, left_out) == (("first_name", "last_name", "email"), "")


def test_a_key_on_which_hardly_a_pair_agrees_is_left_out() -> None:
    levels = {name: np.array([1], dtype=np.int64) for name in comparison_names()}
    assert choose_session(levels, np.array([19.0]), "email")[2] == "only 19 pairs agree on it"


def test_a_shared_contact_is_no_evidence_beside_the_prior_of_sharing_it() -> None:
    vector = {p: vectors(DEFAULTS.levels, p) for p in ("m", "u", "household_u")}
    levels = {name: np.array([0, 0], dtype=np.int64) for name in comparison_names()}
    levels["email"] = np.array([1, 0])
    bits = weigh(levels, np.array([1, 1]), **vector)
    assert bits.tolist() == [0, 0]


# --- parameters ----------------------------------------------------------------------------------


def assert_usable(parameters: Parameters) -> None:
    for probability in ("m", "u", "household_u"):
        for name, vector in vectors(parameters.levels, probability).items():
            assert vector[1:].sum() == pytest.approx(1, abs=1e-5), (name, probability)
            assert (vector > 0).all()
    bits = {(level.comparison, level.meaning): level.bits for level in parameters.levels}
    for name in comparison_names():
        assert bits[name, "exact"] > 3
        assert bits[name, "different"] < 0
    assert [prior.context for prior in parameters.priors] == list(range(18))
    assert all(0 < prior.prior < 1 for prior in parameters.priors[1:])
    # a number of matches, not a probability
    assert 0 < parameters.priors[0].prior < 20
    for field in ("first_name", "last_name", "city"):
        values = [f.value for f in parameters.frequencies if f.field == field]
        assert values[0] == ""
        assert values == sorted(set(values))
    assert all(2**-18.1 < f.frequency <= 1 for f in parameters.frequencies)


def test_the_defaults_can_be_used() -> None:
    assert_usable(DEFAULTS)


def test_the_shipped_parameters_can_be_used() -> None:
    assert_usable(read_parameters(REFERENCE))


def test_parameters_survive_a_file(tmp_path: Path) -> None:
    write_parameters(DEFAULTS, tmp_path)
    assert read_parameters(tmp_path) == DEFAULTS
    first = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    write_parameters(read_parameters(tmp_path), tmp_path)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == first
    assert len(first) == 3


@pytest.mark.parametrize("cell", ["0", "-1", "1.5", "nan", "much", ""])
def test_a_cell_that_is_no_probability_is_named_with_its_line(tmp_path: Path, cell: str) -> None:
    write_parameters(DEFAULTS, tmp_path)
    path = tmp_path / "match_priors.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].rpartition(",")[0] + f",{cell}"
    path.write_text("\n".join(lines))
    with pytest.raises(ParameterError, match=r"match_priors\.csv:3: "):
        read_parameters(tmp_path)


# --- training ------------------------------------------------------------------------------------

PEOPLE = """
with numbers as (
    select
        range as person,
        hash('f', range) % 40 as first,
        hash('l', range) % 60 as last,
        date '1950-01-01' + cast(hash('b', range) % 18000 as integer) as birth_date
    from range({people})
),

records as (
    select *, unnest([0, 1]) as copy from numbers
),

written as (
    select
        *,
        -- in a fifth of the copies one thing is wrong or missing
        copy = 1 and hash('e', person) % 5 = 0 as is_wrong
    from records
    where copy = 0 or person % 3 = 0
)

select
    hash(person, copy) as profile_key,
    translate(left(md5('f' || first), 6), '0123456789', 'ghijklmnop') as first_name,
    first_name as first_name_canonical,
    cast(null as varchar) as formal_names,
    translate(left(md5('l' || last), 8), '0123456789', 'ghijklmnop') as last_name,
    person || if(is_wrong, '.old', '') as mailbox,
    'x.example' as email_domain,
    false as is_email_private,
    true as is_mailbox_distinctive,
    false as is_email_shared,
    if(copy = 0, lpad(cast(hash('p', person) % 1000000000 as varchar), 9, '0'), null) as phone,
    false as is_phone_shared,
    if(is_wrong and person % 2 = 0, birth_date + 1, birth_date) as birth_date,
    cast(null as varchar) as national_id,
    'street' as street,
    cast(hash('h', person) % 200 as varchar) as house_number,
    cast(hash('c', person) % 300 as varchar) as postcode,
    translate(left(md5('c' || hash('c', person) % 12), 6), '0123456789', 'ghijklmnop') as city,
    -- by the parameters before: training counts anew
    unnest([{{'first_name_bits': 1, 'last_name_bits': 1, 'city_bits': 1}}], recursive := true)
from written
"""


def form_profiles(installation: Installation, people: int) -> None:
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        connection.execute("create schema if not exists identity")
        connection.execute(
            "create or replace table identity.int_profiles_formed as "
            + PEOPLE.format(people=people)
        )


@pytest.fixture(scope="module")
def manifest(new_installation: Callable[[], Installation]) -> "Manifest":
    """The project, parsed once for all that train here."""
    return parse(new_installation().settings)


def test_the_same_profiles_give_the_same_bytes(
    installation: Installation, manifest: "Manifest", tmp_path: Path
) -> None:
    form_profiles(installation, people=900)
    report = train(installation.settings, manifest, out=tmp_path / "first")
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        connection.execute(
            "create or replace table identity.int_profiles_formed as"
            " from identity.int_profiles_formed order by mailbox desc"
        )
    train(installation.settings, manifest, out=tmp_path / "again")
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert read_parameters(tmp_path / "first") == report.after
    assert_usable(report.after)
    matches = {session.key: session.matches for session in report.sessions}
    assert matches["birth_date"] == pytest.approx(270, rel=0.1)
    assert matches["full_name"] > 200
    assert "m of national_id is the default: no session could compare it" in report.warnings
    m = vectors(report.after.levels, "m")["birth_date"]
    assert m[1] == pytest.approx(0.9, abs=0.04)


def test_few_profiles_train_nothing_and_the_report_says_so(
    installation: Installation, manifest: "Manifest"
) -> None:
    form_profiles(installation, people=6)
    report = train(installation.settings, manifest)
    assert_usable(report.after)
    assert "EM is not identifiable on these records: every m is the default" in report.warnings
    assert all(session.left_out for session in report.sessions)
    after = vectors(report.after.levels, "m")
    for name, default in vectors(DEFAULTS.levels, "m").items():
        assert after[name] == pytest.approx(default, rel=1e-5)
    # nothing that six people bear is listed
    assert {f.value for f in report.after.frequencies if f.field == "last_name"} == {""}


def test_no_profiles_at_all_give_the_defaults(
    installation: Installation, manifest: "Manifest"
) -> None:
    form_profiles(installation, people=0)
    report = train(installation.settings, manifest)
    assert report.after.frequencies == DEFAULTS.frequencies
    assert report.after.priors[1:] == DEFAULTS.priors[1:]
    for probability in ("m", "u"):
        after = vectors(report.after.levels, probability)
        for name, default in vectors(DEFAULTS.levels, probability).items():
            assert after[name] == pytest.approx(default, rel=1e-2), name


def test_a_value_that_few_profiles_bear_is_not_listed(
    installation: Installation, manifest: "Manifest"
) -> None:
    form_profiles(installation, people=900)
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        connection.execute(
            "update identity.int_profiles_formed set city = 'nowhere'"
            " where profile_key in (select profile_key from identity.int_profiles_formed"
            " order by profile_key limit 4)"
        )
    report = train(installation.settings, manifest)
    listed = {f.value: f.frequency for f in report.after.frequencies if f.field == "city"}
    assert "nowhere" not in listed
    assert listed[""] == pytest.approx(4 / 1200, rel=1e-5)
    assert len(listed) == 13
    assert sum(listed.values()) == pytest.approx(1, abs=1e-4)


def test_training_before_the_first_run_says_what_to_do(
    installation: Installation, manifest: "Manifest"
) -> None:
    with pytest.raises(TrainingError, match="run `make run` first"):
        train(installation.settings, manifest)
    with duckdb.connect(str(installation.settings.working_database)):
        pass
    with pytest.raises(TrainingError, match="no comparable profiles yet; run `make run` first"):
        train(installation.settings, manifest)


def test_the_verb_says_what_to_do_shows_what_it_learned_and_writes_where_it_is_told(
    installation: Installation, tmp_path: Path
) -> None:
    outcome = installation.warehouse("train", "--dry-run")
    assert outcome.exit_code == 1
    assert "run `make run` first" in outcome.output
    form_profiles(installation, people=900)
    out = tmp_path / "learned"
    outcome = installation.warehouse("train", "--out", str(out))
    assert outcome.exit_code == 0
    assert "expected matches" in outcome.output
    assert f"to {out}" in outcome.output
    assert_usable(read_parameters(out))
