"""What a gate does with the answers: verdict, record, locks, errors, and no personal data."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from orchestration.gates import (
    LAYERS,
    GateError,
    SuiteError,
    build_data_docs,
    gate_records,
    passed_gates,
    run_gate,
    void_gates,
)
from orchestration.settings import Settings

SECRET = "secret.person@x.test"

PASSING = """
    - expect: expect_column_values_to_not_be_null
      column: email
      severity: critical
      because: It is there.
"""
FAILING = """
    - expect: expect_column_values_to_match_regex
      column: email
      regex: "^nobody@"
      severity: {severity}
      because: Everybody is nobody.
      fix: Ask them.
"""


def prepare(settings: Settings, expectations: str, layer: str = "staging") -> Path:
    """Make a table with one e-mail and a suite file for it; return the folder of suites."""
    with duckdb.connect(str(settings.working_database)) as connection:
        connection.execute("create schema if not exists staging")
        connection.execute(
            f"create or replace table staging.people as select '{SECRET}' as email, 7 as age"
        )
    folder = settings.home / "expectations"
    folder.mkdir(exist_ok=True)
    (folder / f"{layer}.yml").write_text(
        f"- table: staging.people\n  row_floor: 1\n  expectations:{expectations}"
    )
    return folder


def recorded(settings: Settings) -> list[tuple[object, ...]]:
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        return connection.execute(
            "select layer, expectation, severity, is_success, unexpected_count"
            " from quality.gate_results order by all"
        ).fetchall()


def test_a_failed_critical_expectation_fails_the_gate_and_says_what_where_and_what_to_do(
    empty: Settings,
) -> None:
    result = run_gate(
        "staging", empty, prepare(empty, PASSING + FAILING.format(severity="critical"))
    )

    assert not result.passed
    assert [check.is_success for check in result.checks] == [True, True, False]
    assert result.summary == (
        "The staging gate FAILED, nothing after it may run: 3 checks, 1 critical failure, "
        "0 warnings.",
        "[critical] staging.people.email: 1 row against expect_column_values_to_match_regex. "
        "Everybody is nobody. Ask them.",
    )


def test_a_failed_warning_is_shown_and_does_not_fail_the_gate(empty: Settings) -> None:
    result = run_gate(
        "staging", empty, prepare(empty, PASSING + FAILING.format(severity="warning"))
    )

    assert result.passed
    assert len(result.warnings) == 1
    assert "1 warning" in result.summary[0]


def test_an_empty_table_fails_its_row_floor(empty: Settings) -> None:
    suites = prepare(empty, PASSING)
    with duckdb.connect(str(empty.working_database)) as connection:
        connection.execute("delete from staging.people")

    result = run_gate("staging", empty, suites)

    assert [check.expectation for check in result.critical_failures] == [
        "expect_table_row_count_to_be_between"
    ]


def test_results_are_recorded_once_and_replaced_by_the_next_gate(empty: Settings) -> None:
    suites = prepare(empty, FAILING.format(severity="warning"))

    run_gate("staging", empty, suites)
    run_gate("staging", empty, suites)

    assert recorded(empty) == [
        ("staging", "expect_column_values_to_match_regex", "warning", False, 1),
        ("staging", "expect_table_row_count_to_be_between", "critical", True, None),
    ]


def test_a_layer_that_is_checked_again_voids_the_gates_after_it(empty: Settings) -> None:
    suites = prepare(empty, PASSING)
    for layer in ("landing", "identity"):
        prepare(empty, PASSING, layer)
    for layer in ("landing", "staging", "identity"):
        run_gate(layer, empty, suites)
    with duckdb.connect(str(empty.working_database)) as connection:
        assert passed_gates(connection) == ("landing", "staging", "identity")

    run_gate("staging", empty, suites)

    with duckdb.connect(str(empty.working_database)) as connection:
        assert passed_gates(connection) == ("landing", "staging")
        void_gates(connection, "landing")
        assert passed_gates(connection) == ()


def test_a_failed_gate_has_a_record_but_has_not_passed(empty: Settings) -> None:
    run_gate("staging", empty, prepare(empty, FAILING.format(severity="critical")))

    with duckdb.connect(str(empty.working_database), read_only=True) as connection:
        (record,) = gate_records(connection)
        assert (record.layer, record.check_count, record.critical_failure_count) == (
            "staging",
            2,
            1,
        )
        assert passed_gates(connection) == ()


def test_a_database_without_results_has_passed_no_gate(empty: Settings) -> None:
    with duckdb.connect(str(empty.working_database)) as connection:
        void_gates(connection, "landing")
        assert passed_gates(connection) == ()
        with pytest.raises(ValueError, match="There is no layer `lounge`"):
            void_gates(connection, "lounge")


def test_a_check_that_breaks_is_an_error_not_a_failed_check_and_leaves_no_verdict(
    empty: Settings,
) -> None:
    run_gate("staging", empty, prepare(empty, PASSING))
    broken = prepare(
        empty,
        """
    - expect: expect_query_to_return_no_rows
      query: select email from {batch} where email::int > 0
      severity: warning
      because: It converts only while it runs.
""",
    )

    with pytest.raises(GateError, match=r"expectation 1 .* Could not convert string"):
        run_gate("staging", empty, broken)

    assert recorded(empty) == []
    duckdb.connect(str(empty.working_database)).close()


def test_a_wrong_argument_is_a_suite_error(empty: Settings) -> None:
    suites = prepare(empty, PASSING.replace("column: email", "column: email\n      colour: red"))

    with pytest.raises(SuiteError, match=r"expectation 1 .*colour"):
        run_gate("staging", empty, suites)


def test_a_missing_argument_is_a_suite_error(empty: Settings) -> None:
    suites = prepare(empty, PASSING.replace("column: email", "mostly: 0.5"))

    with pytest.raises(SuiteError, match=r"expectation 1 .*column"):
        run_gate("staging", empty, suites)


def test_a_database_that_somebody_holds_is_an_error_with_a_remedy(empty: Settings) -> None:
    suites = prepare(empty, PASSING)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; c = duckdb.connect({str(empty.working_database)!r});"
            " print('held', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(GateError, match="Close what holds it"):
            run_gate("staging", empty, suites)
    finally:
        holder.communicate(b"\n")


def test_a_missing_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="there is no such database"):
        run_gate("landing", Settings(home=tmp_path))


def test_after_a_gate_another_process_may_write_to_both_files(world: Settings) -> None:
    run_gate("marts", world)

    for database in (world.working_database, world.candidate_database):
        code = f"import duckdb; duckdb.connect({str(database)!r}).execute('create table t (i int)')"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_a_gate_changes_nothing_but_its_results(world: Settings) -> None:
    before = world.candidate_database.read_bytes()

    run_gate("marts", world)

    assert world.candidate_database.read_bytes() == before


def test_no_table_is_copied_for_a_check(empty: Settings) -> None:
    suites = prepare(
        empty,
        """
    - expect: expect_query_to_return_no_rows
      query: select table_name as reason from duckdb_tables() where temporary
      severity: critical
      because: GX copies each table into a temporary one unless it is told not to.
""",
    )

    assert run_gate("staging", empty, suites).passed


def test_neither_results_nor_documents_nor_data_docs_hold_a_cell(empty: Settings) -> None:
    leaky = """
    - expect: expect_column_distinct_values_to_be_in_set
      column: email
      value_set: [nobody@x.test]
      severity: warning
      because: GX lists what it found instead.
    - expect: expect_column_most_common_value_to_be_in_set
      column: email
      value_set: [nobody@x.test]
      severity: warning
      because: GX reports the most common value.
"""
    result = run_gate("staging", empty, prepare(empty, FAILING.format(severity="critical") + leaky))
    index = build_data_docs(empty)

    assert len(result.warnings) == 2
    assert SECRET not in repr(result)
    with duckdb.connect(str(empty.working_database), read_only=True) as connection:
        rows = connection.execute("select * from quality.gate_results").fetchall()
    assert SECRET not in repr(rows)
    written = [*index.parent.iterdir(), *(empty.home / "gates").iterdir()]
    assert len(written) == 3
    assert not any(SECRET in file.read_text(encoding="utf-8") for file in written)


def test_a_gate_leaves_no_file_outside_its_home(
    empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))

    run_gate("staging", empty, prepare(empty, PASSING))

    assert list(elsewhere.iterdir()) == []


def test_a_reason_that_a_query_gives_is_shown_up_to_five_times(empty: Settings) -> None:
    suites = prepare(
        empty,
        """
    - expect: expect_query_to_return_no_rows
      query: select 'file ' || i || '.csv' as reason from {batch}, range(7) as numbers (i)
      severity: critical
      because: Seven files are broken.
""",
    )

    (failure,) = run_gate("staging", empty, suites).critical_failures

    assert failure.unexpected_count == 7
    assert "Found: file 0.csv; file 1.csv; file 2.csv; file 3.csv; file 4.csv; and 2 more." in (
        failure.sentence
    )


def test_data_docs_show_every_suite_of_the_gates_that_stand_and_fetch_nothing(
    world: Settings,
) -> None:
    for layer in LAYERS:
        run_gate(layer, world)
    with duckdb.connect(str(world.working_database)) as connection:
        void_gates(connection, "marts")

    index = build_data_docs(world)

    names = {file.stem for file in index.parent.glob("*.html")}
    assert {"index", "raw.files", "staging.stg_crm__contacts"} < names
    assert not any(name.startswith("marts.") for name in names)
    pages = [file.read_text(encoding="utf-8") for file in index.parent.glob("*.html")]
    assert not any("http://" in page or "https://" in page for page in pages)
    assert all(f'href="{name}.html"' in index.read_text() for name in names - {"index"})
    contacts = (index.parent / "staging.stg_crm__contacts.html").read_text(encoding="utf-8")
    assert "Every landed record is staged." in contacts


def test_gates_can_be_imported_without_gx_and_gx_without_what_it_rarely_uses() -> None:
    code = """
import json, os, sys
import orchestration.gates
from orchestration.gates.lean_import import lean_import
before = "great_expectations" in sys.modules
with lean_import():
    from orchestration.gates import asking
rare = [name for name in ("scipy.stats", "altair") if name in sys.modules]
import scipy.stats
print(json.dumps([before, rare, os.environ["GX_ANALYTICS_ENABLED"], scipy.stats.norm.cdf(0)]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert json.loads(answer) == [False, [], "false", 0.5]
