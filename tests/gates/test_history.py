"""What gates leave behind: results of every run, keys of failed rows, trends, overrides."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.gates import OverrideError, gate_records, history, run_gate
from orchestration.gates.overrides import (
    Override,
    append_override,
    overrides_in_force,
)
from orchestration.settings import Settings
from tests.gates.conftest import AS_OF

SUITE = """\
- table: staging.people
  row_floor: 1
  expectations:
    - expect: expect_key_to_be_unique
      column_list: [person_id]
      severity: critical
      because: One row a person.
    - name: grown_up
      expect: expect_column_values_to_be_between
      column: age
      min_value: 18
      severity: critical
      {overridable}
      because: Children have no account.
    - name: known_city
      expect: expect_query_to_return_no_rows
      query: |
        select person_id, email, person_id || ' lives nowhere' as reason
        from {{batch}} where city is null
      severity: warning
      because: A person lives somewhere.
"""


def prepare(settings: Settings, *, is_overridable: bool = True) -> Path:
    """Three people: one too young, one without a city."""
    with duckdb.connect(str(settings.working_database)) as connection:
        connection.execute("create schema if not exists staging")
        connection.execute(
            "create or replace table staging.people as from (values"
            " ('P1', 30, 'one@x.test', 'Berlin'), ('P2', 7, 'two@x.test', 'Graz'),"
            " ('P3', 40, 'three@x.test', null)) people(person_id, age, email, city)"
        )
    folder = settings.home / "expectations"
    folder.mkdir(exist_ok=True)
    line = "may_be_overridden: true" if is_overridable else ""
    (folder / "staging.yml").write_text(SUITE.format(overridable=line))
    return folder


def override(settings: Settings, check_id: str, as_of: date = AS_OF) -> None:
    append_override(
        settings.overrides,
        Override(check_id, as_of, "Eva Lind", datetime(2026, 3, 1, 9, tzinfo=UTC), "a school trip"),
    )


def test_the_keys_of_failed_rows_are_kept_and_no_value_of_a_person(empty: Settings) -> None:
    run_gate("staging", empty, prepare(empty), run_id="run-1")

    young = history.failed_rows(empty, "staging.people/grown_up")
    nowhere = history.failed_rows(empty, "staging.people/known_city")

    assert [json.loads(str(row["row_key"])) for row in young] == [{"person_id": "P2"}]
    (kept,) = [json.loads(str(row["row_key"])) for row in nowhere]
    assert (kept["person_id"], kept["reason"]) == ("P3", "P3 lives nowhere")
    assert kept["email"].startswith("#")
    for file in empty.home.rglob("*"):
        if file.is_file() and file != empty.working_database:
            assert b"@x.test" not in file.read_bytes(), file


def test_a_failure_says_in_how_many_runs_before_it_was_there(empty: Settings) -> None:
    suites = prepare(empty)
    for day in range(3):
        settings = empty.model_copy(update={"as_of": AS_OF + timedelta(days=day)})
        result = run_gate("staging", settings, suites, run_id=f"run-{day}")

    (failure,) = result.critical_failures
    assert "It failed in the 2 runs before this as well, since 2026-03-01, 1 rows then." in (
        failure.sentence
    )


def test_a_check_that_passed_in_between_fails_anew(empty: Settings) -> None:
    suites = prepare(empty)
    run_gate("staging", empty, suites, run_id="run-1")
    with duckdb.connect(str(empty.working_database)) as connection:
        connection.execute("update staging.people set age = 20 where age < 18")
    run_gate("staging", empty, suites, run_id="run-2")
    prepare(empty)

    result = run_gate("staging", empty, suites, run_id="run-3")

    (failure,) = result.critical_failures
    assert failure.trend is None


def test_a_gate_asked_again_in_one_run_counts_once(empty: Settings) -> None:
    suites = prepare(empty)
    run_gate("staging", empty, suites, run_id="run-1")
    run_gate("staging", empty, suites, run_id="run-1")

    (score,) = history.scorecard(empty)

    assert (score["table_name"], score["checks"], score["passed"]) == ("staging.people", 4, 2)
    assert score["trend"] == "X"


def test_an_override_lets_one_check_pass_on_its_day_and_is_recorded(empty: Settings) -> None:
    suites = prepare(empty)
    override(empty, "staging.people/grown_up")

    result = run_gate("staging", empty, suites, run_id="run-1")
    next_day = empty.model_copy(update={"as_of": AS_OF + timedelta(days=1)})

    assert result.passed
    assert "Overridden by Eva Lind: a school trip." in result.overridden[0].sentence
    with duckdb.connect(str(empty.working_database), read_only=True) as connection:
        (record,) = gate_records(connection)
    assert record.passed
    assert record.overrides == ("staging.people/grown_up, by Eva Lind: a school trip",)
    assert not run_gate("staging", next_day, suites, run_id="run-2").passed


def test_a_law_cannot_be_overridden(empty: Settings) -> None:
    suites = prepare(empty, is_overridable=False)
    override(empty, "staging.people/grown_up")

    assert not run_gate("staging", empty, suites, run_id="run-1").passed


def test_an_override_without_a_name_or_a_reason_is_refused_and_nothing_is_written(
    empty: Settings,
) -> None:
    given = Override("a/b", AS_OF, " ", datetime(2026, 3, 1, tzinfo=UTC), "because")

    with pytest.raises(OverrideError, match="overridden_by is missing"):
        append_override(empty.overrides, given)
    with pytest.raises(OverrideError, match="reason is missing"):
        append_override(empty.overrides, replace(given, overridden_by="Eva", reason=""))

    assert overrides_in_force(empty.overrides, AS_OF) == {}


def test_a_broken_file_of_overrides_stops_the_gate_with_its_line(empty: Settings) -> None:
    suites = prepare(empty)
    override(empty, "staging.people/grown_up")
    with empty.overrides.open("a") as file:
        file.write("staging.people/grown_up,yesterday,Eva,2026-03-01T09:00:00Z,so\n")

    with pytest.raises(OverrideError, match=r"overrides\.csv:3: as_of 'yesterday' is no day"):
        run_gate("staging", empty, suites)


def test_what_is_older_than_is_kept_goes(empty: Settings) -> None:
    run_gate("staging", empty, prepare(empty), run_id="run-1")
    later = datetime.now(UTC).replace(tzinfo=None) + timedelta(
        days=history.FAILED_ROWS_KEPT_DAYS + 1
    )

    history.keep(empty, [], [], later)

    assert history.failed_rows(empty, "staging.people/grown_up") == []
    assert history.scorecard(empty) != []
