"""Every stock expectation that a suite may use passes good data and fails bad data on DuckDB.

GX has no DuckDB support of its own; this file is what may break when GX, SQLAlchemy,
duckdb-sqlalchemy or DuckDB moves to another version.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from orchestration.gates.lean_import import lean_import

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

# `good` and `bad` have the same columns; whatever holds in `good` is broken in `bad`.
TABLES = """
create schema shop;
create table shop.good (
    id integer, number integer, amount decimal(18, 2), ratio double, code varchar, email varchar,
    born date, seen_at timestamp, later_at timestamp, low integer, high integer, low_again integer,
    rest integer, never varchar, kept integer
);
insert into shop.good values
    (1, 10, 1.50, 0.1, 'EUR', 'a@x.test', '1980-01-01', '2026-01-01 10:00', '2026-01-02',
     1, 2, 1, 3, null, 1),
    (2, 20, 2.50, 0.2, 'USD', 'b@x.test', '1990-01-01', '2026-02-01 10:00', '2026-02-02',
     2, 3, 2, 2, null, 1),
    (3, 30, 3.50, 0.3, 'GBP', 'c@x.test', '2000-01-01', '2026-02-28 10:00', '2026-03-02',
     3, 4, 3, 1, null, 1);
create table shop.twin as from shop.good;
create table shop.bad (
    id varchar, number integer, amount decimal(18, 2), ratio double, code varchar, email varchar,
    born date, seen_at timestamp, later_at timestamp, low integer, high integer, low_again integer,
    rest integer, never varchar, surplus integer, more integer
);
insert into shop.bad values
    ('1', 10, -1.50, 9.1, 'eur', 'ax.test', '1880-01-01', '2036-01-01 10:00', '2016-01-02',
     9, 2, 1, 3, 'x', 1, 1),
    ('1', 10, 2.50, 9.2, 'dollar', 'ax.test', '1990-01-01', '2026-02-01 10:00', '2026-02-02',
     2, 2, 2, 2, null, 1, 1),
    (null, 10, 900.50, 9.3, 'GBP', null, '2000-01-01', '2026-02-28 10:00', '2026-03-02',
     3, 4, 3, 1, null, 1, 1),
    ('4', 10, 3.50, 9.4, 'GBP', 'c@x.test', '2000-01-01', '2026-02-28 10:00', '2026-03-02',
     3, 4, 3, 1, null, 1, 1);
"""

COLUMNS = [
    *("id", "number", "amount", "ratio", "code", "email", "born", "seen_at", "later_at"),
    *("low", "high", "low_again", "rest", "never", "kept"),
]
CODES = ["EUR", "USD", "GBP"]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("expect_table_row_count_to_equal", {"value": 3}),
    ("expect_table_row_count_to_be_between", {"min_value": 1, "max_value": 3}),
    ("expect_table_column_count_to_equal", {"value": 15}),
    ("expect_table_column_count_to_be_between", {"min_value": 1, "max_value": 15}),
    ("expect_table_columns_to_match_ordered_list", {"column_list": COLUMNS}),
    ("expect_table_columns_to_match_set", {"column_set": COLUMNS}),
    ("expect_column_values_to_not_be_null", {"column": "id"}),
    ("expect_column_values_to_be_null", {"column": "never"}),
    ("expect_column_values_to_be_unique", {"column": "number"}),
    ("expect_column_values_to_be_of_type", {"column": "id", "type_": "INTEGER"}),
    ("expect_column_values_to_be_in_type_list", {"column": "id", "type_list": ["INTEGER"]}),
    ("expect_column_values_to_be_in_set", {"column": "code", "value_set": CODES}),
    ("expect_column_values_to_not_be_in_set", {"column": "code", "value_set": ["eur", "dollar"]}),
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "max_value": 99}),
    (
        "expect_column_values_to_be_between",
        {
            "column": "seen_at",
            "min_value": "2020-01-01T00:00:00",
            "max_value": "2026-03-01T00:00:00",
        },
    ),
    (
        "expect_column_values_to_be_between",
        {"column": "born", "min_value": "1900-01-01", "max_value": "2026-03-01"},
    ),
    ("expect_column_values_to_match_regex", {"column": "code", "regex": "^[A-Z]{3}$"}),
    # unanchored: PostgreSQL's ~ would pass it, DuckDB's ~ must match the whole value
    ("expect_column_values_to_match_regex", {"column": "email", "regex": "@"}),
    ("expect_column_values_to_not_match_regex", {"column": "code", "regex": "[a-z]"}),
    (
        "expect_column_values_to_match_regex_list",
        {"column": "code", "regex_list": ["^EUR$", "^[A-Z]{3}$"], "match_on": "any"},
    ),
    (
        "expect_column_values_to_not_match_regex_list",
        {"column": "code", "regex_list": ["^e", "^d"]},
    ),
    ("expect_column_values_to_match_like_pattern", {"column": "email", "like_pattern": "%@%"}),
    ("expect_column_values_to_not_match_like_pattern", {"column": "code", "like_pattern": "d%"}),
    (
        "expect_column_values_to_match_like_pattern_list",
        {"column": "email", "like_pattern_list": ["%@x%", "%@y%"], "match_on": "any"},
    ),
    (
        "expect_column_values_to_not_match_like_pattern_list",
        {"column": "code", "like_pattern_list": ["e%", "d%"]},
    ),
    ("expect_column_value_lengths_to_equal", {"column": "code", "value": 3}),
    (
        "expect_column_value_lengths_to_be_between",
        {"column": "code", "min_value": 3, "max_value": 3},
    ),
    (
        "expect_column_value_z_scores_to_be_less_than",
        {"column": "amount", "threshold": 1.4, "double_sided": True},
    ),
    ("expect_column_min_to_be_between", {"column": "amount", "min_value": 0, "max_value": 99}),
    ("expect_column_max_to_be_between", {"column": "amount", "min_value": 0, "max_value": 99}),
    ("expect_column_mean_to_be_between", {"column": "amount", "min_value": 2, "max_value": 3}),
    ("expect_column_median_to_be_between", {"column": "ratio", "min_value": 0, "max_value": 1}),
    ("expect_column_sum_to_be_between", {"column": "amount", "min_value": 7, "max_value": 8}),
    ("expect_column_stdev_to_be_between", {"column": "amount", "min_value": 0, "max_value": 2}),
    (
        "expect_column_quantile_values_to_be_between",
        {
            "column": "ratio",
            "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 1]]},
        },
    ),
    (
        "expect_column_unique_value_count_to_be_between",
        {"column": "number", "min_value": 3, "max_value": 3},
    ),
    (
        "expect_column_proportion_of_unique_values_to_be_between",
        {"column": "number", "min_value": 1},
    ),
    (
        "expect_column_proportion_of_non_null_values_to_be_between",
        {"column": "email", "min_value": 1},
    ),
    (
        "expect_column_most_common_value_to_be_in_set",
        {"column": "number", "value_set": [20, 30], "ties_okay": True},
    ),
    ("expect_column_distinct_values_to_be_in_set", {"column": "code", "value_set": CODES}),
    ("expect_column_distinct_values_to_contain_set", {"column": "code", "value_set": CODES}),
    ("expect_column_distinct_values_to_equal_set", {"column": "code", "value_set": CODES}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "high", "column_B": "low"},
    ),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "later_at", "column_B": "seen_at", "or_equal": True},
    ),
    ("expect_column_pair_values_to_be_equal", {"column_A": "low", "column_B": "low_again"}),
    (
        "expect_column_pair_values_to_be_in_set",
        {"column_A": "low", "column_B": "high", "value_pairs_set": [[1, 2], [2, 3], [3, 4]]},
    ),
    ("expect_compound_columns_to_be_unique", {"column_list": ["number", "code"]}),
    (
        "expect_select_column_values_to_be_unique_within_record",
        {"column_list": ["low", "high", "number"]},
    ),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["low", "rest"], "sum_total": 4}),
    ("expect_multicolumn_values_to_be_equal", {"column_list": ["low", "low_again"]}),
    ("expect_table_row_count_to_equal_other_table", {"other_table_name": "twin"}),
    ("expect_column_to_exist", {"column": "kept"}),
    ("expect_column_type_to_be", {"column": "id", "type_": "INTEGER"}),
    # needs scipy.stats, which is loaded only now
    (
        "expect_column_kl_divergence_to_be_less_than",
        {
            "column": "code",
            "partition_object": {"values": CODES, "weights": [0.33, 0.33, 0.34]},
            "threshold": 0.1,
        },
    ),
    (
        "unexpected_rows_expectation",
        {"unexpected_rows_query": "select * from {batch} where amount < 0"},
    ),
    ("expect_query_to_return_no_rows", {"query": "select * from shop.{table} where amount < 0"}),
]

# They work on pandas or Spark only, or compare with another data source.
NOT_FOR_SQL = {
    "expect_column_values_to_be_dateutil_parseable",
    "expect_column_values_to_be_decreasing",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_json_parseable",
    "expect_column_values_to_match_json_schema",
    "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_not_be_outliers",
    "expect_query_results_to_match_comparison",
}

Outcomes = dict[int, "ExpectationValidationResult"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    """All cases asked of both tables, as a gate asks: one suite each, counts only."""
    with lean_import():
        from orchestration.gates import asking  # noqa: PLC0415
    file = tmp_path_factory.mktemp("conformance") / "conformance.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(TABLES)
    return {table: _ask(asking, file, table) for table in ("good", "bad")}


def _ask(asking: Any, file: Path, table: str) -> Outcomes:
    suite = asking.gx.ExpectationSuite(
        name=table,
        expectations=[
            asking.get_expectation_impl(expectation)(
                **{
                    key: value.replace("shop.{table}", f"shop.{table}")
                    if isinstance(value, str)
                    else value
                    for key, value in arguments.items()
                },
                meta={"position": position},
            )
            for position, (expectation, arguments) in enumerate(CASES)
        ],
    )
    context = asking.gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    datasource = context.data_sources.add_or_update_duckdb(
        name="conformance", connection_string=f"duckdb:///{file}"
    )
    try:
        batch = datasource.add_table_asset(
            table, table_name=table, schema_name="shop"
        ).add_batch_definition_whole_table("all")
        results = (
            asking.Validator(batch, result_format=asking.RESULT_FORMAT)
            .validate_expectation_suite(suite)
            .results
        )
    finally:
        datasource.close()
    return {one.expectation_config.meta["position"]: one for one in results}


@pytest.mark.parametrize("table", ["good", "bad"])
@pytest.mark.parametrize(
    "position", range(len(CASES)), ids=[f"{n}_{name}" for n, (name, _) in enumerate(CASES)]
)
def test_an_expectation_passes_good_data_and_really_fails_bad_data(
    outcomes: dict[str, Outcomes], position: int, table: str
) -> None:
    outcome = outcomes[table][position]

    raised = [
        one["exception_message"]
        for one in ([outcome.exception_info, *outcome.exception_info.values()])
        if isinstance(one, dict) and one.get("raised_exception")
    ]

    assert raised == []
    assert bool(outcome.success) is (table == "good")


def test_every_stock_expectation_is_tried_here_or_known_not_to_work_on_sql() -> None:
    with lean_import():
        from orchestration.gates import asking  # noqa: PLC0415

    tried = {name for name, _ in CASES}

    assert set(asking.expectation_types()) == tried | NOT_FOR_SQL
    assert len(tried) >= 40


def test_results_hold_no_cell_of_the_data(outcomes: dict[str, Outcomes]) -> None:
    lists = [outcome.result.get("partial_unexpected_list") for outcome in outcomes["bad"].values()]

    assert not any(lists)
