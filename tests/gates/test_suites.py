"""A suite file that could mislead is refused with its place and a remedy, before GX is asked."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.gates.suites import (
    Catalogue,
    Severity,
    SuiteError,
    load_layer,
    load_suites,
    staged_once_query,
    unique_key_query,
)
from orchestration.landing.feeds import FEEDS

TYPES = [
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_between",
    "expect_table_row_count_to_be_between",
    "expect_query_to_return_no_rows",
]


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    with duckdb.connect() as connection:
        connection.execute(
            """
            create schema staging;
            create schema raw;
            create table staging.orders (order_id varchar, total_amount decimal(18, 2));
            create table raw.shop__orders (order_id varchar);
            create table raw.crm__contacts (contact_id varchar);
            insert into raw.shop__orders values ('1');
            alter table raw.shop__orders add column _source_file varchar;
            alter table raw.shop__orders add column _load_id varchar;
            create schema quality;
            create table quality.judged_files (file_path varchar, load_id varchar);
            """
        )
        yield Catalogue(connection)


def load(tmp_path: Path, catalogue: Catalogue, text: str) -> list[str]:
    """Load the text; return `type arguments` of every check."""
    file = tmp_path / "staging.yml"
    file.write_text(text, encoding="utf-8")
    suites = load_suites(file, catalogue, {"as_of_date": "2026-03-01"}, TYPES)
    return [f"{c.asked_as} {dict(c.arguments)}" for suite in suites for c in suite.checks]


def suite(expectation: str = "", table: str = "staging.orders", floor: str = "row_floor: 1") -> str:
    """Write a suite with one expectation, given as lines of `key: value`."""
    lines = expectation.strip() or (
        "expect: expect_column_values_to_not_be_null\n"
        "column: order_id\n"
        "severity: critical\n"
        "because: It is the key."
    )
    first, *rest = lines.splitlines()
    return "\n".join(
        [
            f"- table: {table}",
            *([f"  {floor}"] if floor else []),
            "  expectations:",
            f"    - {first.strip()}",
            *(f"      {line.strip()}" for line in rest),
        ]
    )


NOT_NULL = (
    "expect: expect_column_values_to_not_be_null\nseverity: critical\nbecause: It is the key.\n"
)
QUERY = "expect: expect_query_to_return_no_rows\nseverity: warning\nbecause: Rules are rules.\n"


def test_a_suite_becomes_its_row_floor_and_its_checks(tmp_path: Path, catalogue: Catalogue) -> None:
    assert load(tmp_path, catalogue, suite()) == [
        "expect_table_row_count_to_be_between {'min_value': 1}",
        "expect_column_values_to_not_be_null {'column': 'order_id'}",
    ]


@pytest.mark.parametrize(
    ("floor", "minimum"),
    [
        ("when_landed shop/orders", 1),
        ("when_landed crm/contacts", 0),
        ("when_landed crm/contacts, shop/orders", 1),
        # the feed's table is not there at all
        ("when_landed pos/receipts", 0),
        ("0", 0),
        ("7", 7),
    ],
)
def test_a_row_floor_asks_for_rows_only_when_the_feed_has_landed_some(
    tmp_path: Path, catalogue: Catalogue, floor: str, minimum: int
) -> None:
    first, *_ = load(tmp_path, catalogue, suite(floor=f"row_floor: {floor}"))

    assert first == f"expect_table_row_count_to_be_between {{'min_value': {minimum}}}"


def test_parameters_and_the_table_reach_arguments_and_sql_and_a_quantifier_stays(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    text = suite(QUERY + "query: select '{as_of_date}' from {batch} where order_id ~ '.{3}'")
    argument = suite(
        "expect: expect_column_values_to_be_between\ncolumn: total_amount\n"
        "max_value: {$PARAMETER: as_of_date}\nseverity: warning\nbecause: It is so."
    )

    assert load(tmp_path, catalogue, text)[1].endswith(
        """{'query': "select '2026-03-01' from staging.orders where order_id ~ '.{3}'"}"""
    )
    assert load(tmp_path, catalogue, argument)[1].endswith(
        "{'column': 'total_amount', 'max_value': '2026-03-01'}"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must be a list of suites"),
        ("[]", "an empty file would pass every gate"),
        ("table: staging.orders", "must be a list of suites"),
        ("- [", "this is not YAML"),
        (suite(floor=""), "suite 1 (staging.orders): has no `row_floor`"),
        (suite(floor="row_floor: often"), "row_floor is 'often'"),
        (suite(floor="row_floor: -1"), "row_floor is -1"),
        (suite(floor="row_floor: true"), "row_floor is True"),
        (suite(floor="row_floor: when_landed shop/order"), "Did you mean `shop/orders`"),
        (suite(table="staging.order"), "Did you mean `staging.orders`?"),
        ("- row_floor: 1\n  expectations: []", "has no `table`"),
        ("- table: staging.orders\n  row_floor: 1\n  expectations: []", "has no expectations"),
        ("- table: staging.orders\n  row_floor: 1", "has no expectations"),
        (suite() + "\n  owner: me", "unknown key `owner`"),
        (suite() + "\n" + suite(), "`staging.orders` has 2 suites"),
        (suite(NOT_NULL + "column: order"), "has no column `order`. Did you mean `order_id`?"),
        (suite(NOT_NULL + "column_list: [order_id, x]"), "has no column `x`"),
        (
            suite(NOT_NULL.replace("not_be_null", "not_be_nul") + "column: order_id"),
            "Did you mean `expect_column_values_to_not_be_null`",
        ),
        (suite(NOT_NULL.replace("critical", "high") + "column: order_id"), "severity is 'high'"),
        (
            suite("expect: expect_column_values_to_not_be_null\nbecause: x\ncolumn: order_id"),
            "severity is None",
        ),
        (suite(NOT_NULL.replace("It is the key.", "''") + "column: order_id"), "has no `because`"),
        (suite("severity: critical\nbecause: x"), "has no `expect`"),
        (suite(NOT_NULL + "column: order_id\nmeta: {}"), "`meta` is set by the gate"),
        (suite(NOT_NULL + "column: order_id\ncolumn: order_id"), "`column` is given twice"),
        (suite(QUERY), "needs `query`"),
        (suite(QUERY + "query: select 1\ncolumn: order_id"), "unknown key `column`"),
        (suite(QUERY + "query: select nothing from {batch}"), "DuckDB cannot run the query"),
        (suite(QUERY + "query: drop table staging.orders"), "it is not one single select"),
        (suite(QUERY + "query: select 1; select 2"), "it is not one single select"),
        (suite(QUERY + "query: select '{as_of_dat}'"), "Did you mean `as_of_date`"),
        (
            suite("expect: expect_key_to_be_unique\nseverity: critical\nbecause: x"),
            "needs `column_list`",
        ),
        (
            suite(
                "expect: expect_landed_records_to_be_staged_once\nseverity: critical\n"
                "because: x\nfeed: shop/oders"
            ),
            "Did you mean `shop/orders`",
        ),
    ],
)
def test_a_suite_that_could_mislead_is_refused_with_its_place(
    tmp_path: Path, catalogue: Catalogue, text: str, complaint: str
) -> None:
    with pytest.raises(SuiteError) as raised:
        load(tmp_path, catalogue, text)

    assert complaint in str(raised.value)
    assert "/staging.yml" in str(raised.value)


def test_a_complaint_counts_suites_and_expectations(tmp_path: Path, catalogue: Catalogue) -> None:
    text = suite(NOT_NULL + "column: order_id") + (
        "\n    - expect: expect_column_values_to_not_be_null\n      column: amount\n"
        "      severity: warning\n      because: x"
    )

    with pytest.raises(SuiteError, match=r"suite 1 \(staging.orders\), expectation 2"):
        load(tmp_path, catalogue, text)


def test_the_same_rule_twice_is_refused_whatever_its_severity(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    once = suite(NOT_NULL + "column: order_id")
    again = (
        once
        + "\n    - "
        + (NOT_NULL.replace("critical", "warning") + "column: order_id").replace("\n", "\n      ")
    )

    with pytest.raises(SuiteError, match=r"expectation 2 .* says the same as .* expectation 1"):
        load(tmp_path, catalogue, again)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(SuiteError, match="there is no such file"):
        load_suites(tmp_path / "marts.yml", catalogue, {}, TYPES)


def test_a_layer_of_several_files_has_one_suite_a_table(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    (tmp_path / "staging").mkdir()
    for name in ("one.yml", "two.yml"):
        (tmp_path / "staging" / name).write_text(suite())
    with pytest.raises(SuiteError, match=r"staging/two.yml: .* has a suite in one.yml already"):
        load_layer(tmp_path, "staging", catalogue, {}, TYPES)


def test_severities_are_two() -> None:
    assert [str(severity) for severity in Severity] == ["critical", "warning"]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("('1'), ('2')", []),
        ("('1'), ('1')", ["1"]),
        ("('1'), (null)", [None]),
    ],
)
def test_a_unique_key_is_filled_and_stands_once(
    tmp_path: Path, catalogue: Catalogue, rows: str, found: list[str | None]
) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"create table t as from (values {rows}) as v (k)")

        assert connection.execute(unique_key_query("t", ["k"])).fetchall() == [(k,) for k in found]


@pytest.mark.parametrize(
    ("landed", "staged", "is_right"),
    [
        ("('1'), ('2')", "('1'), ('2')", True),
        # an older version of 1
        ("('1'), ('1'), ('2')", "('1'), ('2')", True),
        ("('1'), ('1'), ('2')", "('1')", False),
        ("('1'), ('2')", "('1')", False),
        ("('1')", "('1'), ('2')", False),
        ("(null)", "(null)", True),
    ],
)
def test_landed_records_are_staged_once_whatever_their_versions(
    landed: str, staged: str, is_right: bool
) -> None:
    contacts = next(feed for feed in FEEDS if feed.name == "crm/contacts")
    with duckdb.connect() as connection:
        connection.execute("create schema raw")
        connection.execute(
            f"create table raw.crm__contacts as from (values {landed}) v (contact_id)"
        )
        connection.execute(f"create table staged as from (values {staged}) v (contact_id)")

        rows = connection.execute(staged_once_query("staged", contacts)).fetchall()

    assert (rows == []) is is_right


NEW_VALUES = "expect: expect_new_values_to_fit\nseverity: warning\nbecause: Rules are rules.\n"


def test_new_values_become_one_query_over_the_judged_files(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    text = suite(
        NEW_VALUES + "mostly: 0.5\nvalues: {order_id: len(order_id) > 2}", table="raw.shop__orders"
    )
    _, asked = load(tmp_path, catalogue, text)

    assert asked.startswith("expect_query_to_return_no_rows")
    assert "quality.judged_files" in asked


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("mostly: 0.5", "needs `values`"),
        ("mostly: 0.5\nvalues: {ordr_id: 1 = 1}", "no column `ordr_id`. Did you mean `order_id`"),
        ("mostly: 0.5\nvalues: {order_id: 7}", "`order_id` needs a condition"),
        ("mostly: 50\nvalues: {order_id: 1 = 1}", "`mostly` is 50. Write a share"),
        ("mostly: 0.5\nvalues: {order_id: shoe_size = 1}", "DuckDB cannot run the query"),
        ("mostly: 0.5\ncolumn: order_id\nvalues: {order_id: 1 = 1}", "unknown key `column`"),
    ],
)
def test_new_values_that_cannot_be_asked_are_named(
    tmp_path: Path, catalogue: Catalogue, arguments: str, complaint: str
) -> None:
    with pytest.raises(SuiteError, match=re.escape(complaint)):
        load(tmp_path, catalogue, suite(f"{NEW_VALUES}{arguments}", table="raw.shop__orders"))
