"""Stays in segments over many runs: dbt compiles the models once, DuckDB runs them in memory."""

import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.settings import Settings
from orchestration.sql import literal
from orchestration.transform.dbt import _invoke, _variables, parse

COMPILED_AS_OF = date(2001, 2, 3)
FIRST_DAY = date(2026, 1, 1)
MODELS = {
    "int_segment_stays_reopened": "intermediate",
    "customer_segment_memberships": "release_candidate.marts",
}

Member = tuple[str, str]
Stay = tuple[str, str, date, date | None, str, str | None]


@dataclass(frozen=True)
class Run:
    """What one run is told. day: days after the first; merged: retired id to survivor or None."""

    day: int
    members: frozenset[Member]
    merged: tuple[tuple[str, str | None], ...] = ()
    rules: tuple[str, ...] = ("s", "t")

    @property
    def as_of(self) -> date:
        return FIRST_DAY + timedelta(days=self.day)


class Stays:
    """The memory of one installation, in a database in memory."""

    def __init__(self, compiled: Mapping[str, str]) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("attach ':memory:' as work; attach ':memory:' as release_candidate")
        self.connection.execute(
            """
            use work;
            create schema state; create schema intermediate; create schema reference;
            create schema release_candidate.marts;
            create table state.as_of (day date);
            create table state.customer_segment_memberships (
                customer_id varchar, segment varchar, entered_on date, left_on date,
                entered_reason varchar, left_reason varchar
            );
            create table intermediate.int_segment_candidates_judged (
                customer_id varchar, segment varchar, verdict varchar, reason varchar
            );
            create table release_candidate.marts.customer_redirects (
                customer_id varchar, current_customer_id varchar, redirected_on date
            );
            create table reference.segment_rules (segment varchar);
            """
        )
        today = "(select day from work.state.as_of)"
        for name, schema in MODELS.items():
            sql = compiled[name].replace(f"cast('{COMPILED_AS_OF}' as date)", today)
            self.connection.execute(f"create view {schema}.{name} as {sql}")

    def build(self, remembered: Sequence[Stay], run: Run) -> list[Stay]:
        """Return the stays that a run publishes, given those of the release before it."""
        retired = dict(run.merged)
        concerned = {(stay[0], stay[1]) for stay in remembered} | run.members
        judged = [
            (customer, segment, verdict, f"{verdict} on {run.as_of}")
            for customer, segment in concerned
            if customer not in retired and segment in run.rules
            for verdict in ("member" if (customer, segment) in run.members else "no_match",)
        ]
        self._fill("state.as_of", [(run.as_of,)])
        self._fill("state.customer_segment_memberships", remembered)
        self._fill("intermediate.int_segment_candidates_judged", judged)
        self._fill(
            "release_candidate.marts.customer_redirects", [(*m, run.as_of) for m in run.merged]
        )
        self._fill("reference.segment_rules", [(segment,) for segment in run.rules])
        # not prepared: a plan made while tables are empty leaves them out for good
        return self.connection.execute(
            "from release_candidate.marts.customer_segment_memberships order by all"
        ).fetchall()

    def _fill(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Replace the rows; as literals, because parameters cost more than the models."""
        statement = f"delete from {table};"
        if rows:
            written = ", ".join(
                f"({', '.join('null' if cell is None else literal(str(cell)) for cell in row)})"
                for row in rows
            )
            statement += f"insert into {table} values {written}"
        self.connection.execute(statement)


@pytest.fixture(scope="module")
def stays(parsed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stays]:
    home = tmp_path_factory.mktemp("compiled")
    shutil.copytree(parsed_project, home / "dbt")
    settings = Settings(home=home, as_of=COMPILED_AS_OF)
    manifest = parse(settings)
    command = ["compile", "--no-introspect", "--no-populate-cache", "--select", *MODELS]
    result: Any = _invoke(settings, command, manifest, _variables(settings))
    assert result.success, result.exception
    compiled = {
        outcome.node.name: outcome.node.compiled_code
        for outcome in result.result.results
        if outcome.node.resource_type == "model"
    }
    memory = Stays(compiled)
    yield memory
    memory.connection.close()


def members_on(table: Sequence[Stay], day: date) -> frozenset[Member]:
    return frozenset(
        (customer, segment)
        for customer, segment, entered_on, left_on, *_ in table
        if entered_on <= day and (left_on is None or left_on > day)
    )


def assert_sound(table: Sequence[Stay]) -> None:
    by_key: dict[Member, list[Stay]] = {}
    for stay in table:
        by_key.setdefault((stay[0], stay[1]), []).append(stay)
        assert stay[3] is None or stay[3] > stay[2]
        assert (stay[3] is None) == (stay[5] is None)
        assert stay[4]
    for listed in by_key.values():
        for one, other in itertools.pairwise(listed):
            assert one[3] is not None
            assert one[3] <= other[2]


def last_change(table: Sequence[Stay]) -> date:
    return max((day for stay in table for day in stay[2:4] if day), default=date.min)


PEOPLE = ("a", "b", "c")
members = st.frozensets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(("s", "t"))))
runs = st.builds(Run, st.integers(0, 6), members)


@given(st.lists(runs, max_size=6))
def test_every_day_is_remembered_as_its_last_run_told_it(stays: Stays, history: list[Run]) -> None:
    told: dict[date, frozenset[Member]] = {}
    table: list[Stay] = []
    for run in history:
        before, table = table, stays.build(table, run)
        assert_sound(table)
        if run.as_of < last_change(before):
            assert table == before
            continue
        # a day between two changes that was never run, or a later one run before, is that of before
        told = {day: who for day, who in told.items() if day < run.as_of} | {run.as_of: run.members}
        assert members_on(table, run.as_of) == run.members
        assert {day: members_on(table, day) for day in told} == told


@given(st.lists(runs, max_size=3), runs, members)
def test_a_day_that_is_run_again_is_told_as_if_it_had_been_run_once(
    stays: Stays, history: list[Run], first: Run, others: frozenset[Member]
) -> None:
    table: list[Stay] = []
    for run in sorted(history, key=lambda run: run.day):
        if run.day < first.day:
            table = stays.build(table, run)
    again = stays.build(table, first)
    assert stays.build(again, first) == again
    second = Run(first.day, others)
    assert stays.build(again, second) == stays.build(table, second)


@given(
    st.lists(st.tuples(st.integers(1, 3), members), min_size=1, max_size=3),
    st.sampled_from(["b", None]),
    members,
)
def test_a_merge_leaves_no_open_stay_of_the_retired_and_forgets_nothing(
    stays: Stays,
    history: list[tuple[int, frozenset[Member]]],
    survivor: str | None,
    after: frozenset[Member],
) -> None:
    table: list[Stay] = []
    day = 0
    for days, who in history:
        day += days
        table = stays.build(table, Run(day, who))
    day += 1
    today = FIRST_DAY + timedelta(days=day)
    left = frozenset(member for member in after if member[0] != "a")
    merge = Run(day, left, merged=(("a", survivor),))
    merged = stays.build(table, merge)

    assert_sound(merged)
    assert stays.build(merged, merge) == merged
    assert members_on(merged, today) == left
    assert [stay for stay in table if stay[3]] == [
        stay for stay in merged if stay[3] and stay[3] < today
    ]
    why = f"merged into {survivor}" if survivor else "customer withdrawn"
    for stay in table:
        if stay[0] == "a" and stay[3] is None:
            assert (*stay[:3], today, stay[4], why) in merged
    for customer, segment in left:
        if customer == survivor:
            heirs = [s for s in table if s[0] in "ab" and s[1] == segment and s[3] is None]
            gone = [s[3] for s in table if s[0] == survivor and s[1] == segment and s[3]]
            begins = max([min([s[2] for s in heirs], default=today), *gone])
            [entered_on] = [s[2] for s in merged if s[:2] == (customer, segment) and s[3] is None]
            assert entered_on == begins


def test_a_rule_that_is_removed_ends_its_stays_and_one_that_comes_back_begins_anew(
    stays: Stays,
) -> None:
    both = frozenset({("a", "s"), ("a", "t")})
    table = stays.build([], Run(0, both))
    table = stays.build(table, Run(1, frozenset({("a", "s")}), rules=("s",)))
    table = stays.build(table, Run(2, both))
    assert [(segment, left_on, why) for _, segment, _, left_on, _, why in table] == [
        ("s", None, None),
        ("t", FIRST_DAY + timedelta(days=1), "rule removed"),
        ("t", None, None),
    ]


def test_a_flip_within_a_day_leaves_no_stay(stays: Stays) -> None:
    table = stays.build([], Run(0, frozenset({("a", "s")})))
    assert stays.build(table, Run(0, frozenset())) == []
