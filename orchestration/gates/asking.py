"""Ask Great Expectations; the only module besides the data source that imports it.

Import it inside `lean_import()`.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from numbers import Number
from typing import Any

import great_expectations as gx
from great_expectations.compatibility import pydantic
from great_expectations.core import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
    expectationSuiteValidationResultSchema,
)
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.registry import (
    get_expectation_impl,
    list_registered_expectation_implementations,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView
from great_expectations.validator.v1_validator import Validator

from orchestration.database import working_file
from orchestration.gates.databases import Attached, GateError, opened, search_path
from orchestration.gates.duckdb_datasource import DuckDBDatasource
from orchestration.gates.results import CheckResult
from orchestration.gates.suites import QUERY, Suite, SuiteError
from orchestration.settings import Settings
from orchestration.sql import quoted

# Counts, no values: a cell in a result would carry personal data into logs and Data Docs.
# BOOLEAN_ONLY is not cheaper: the counts come out of the same query (5M rows, 10 rules: 0.3 s).
RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}

COUNTS = (
    "element_count",
    "unexpected_count",
    "unexpected_percent",
    "missing_count",
    "missing_percent",
)
ABOUT_THE_SCHEMA = (
    "expect_column_to_exist",
    "expect_column_values_to_be_in_type_list",
    "expect_column_values_to_be_of_type",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
)


def expectation_types() -> list[str]:
    """Return what may stand behind `expect` in a suite file."""
    return sorted(list_registered_expectation_implementations())


def build(suite: Suite) -> gx.ExpectationSuite:
    """Build every expectation by itself: GX drops what it dislikes from a whole suite.

    Raises SuiteError when GX refuses an argument.
    """
    expectations = []
    for position, check in enumerate(suite.checks):
        try:
            expectations.append(
                get_expectation_impl(check.asked_as)(
                    **check.arguments,
                    severity=FailureSeverity(check.severity),
                    notes=check.because,
                    # what a reader of Data Docs sees in place of the SQL
                    description=check.because if check.asked_as == QUERY else None,
                    # GX answers in an order of its own
                    meta={"position": position},
                )
            )
        except (pydantic.ValidationError, TypeError, ValueError) as error:
            complaint = " ".join(str(error).split())
            raise SuiteError(f"{check.place}: GX does not take it: {complaint}") from error
    built = gx.ExpectationSuite(name=suite.table, expectations=expectations)
    if len(built.expectations) != len(suite.checks):
        raise SuiteError(
            f"{suite.table}: GX kept {len(built.expectations)} of {len(suite.checks)} expectations."
        )
    return built


@contextmanager
def opened_datasource(settings: Settings, attached: Attached) -> Iterator[DuckDBDatasource]:
    """Open the databases read-only for the block, in a context that leaves no files.

    Raises GateError when they cannot be opened.
    """
    database = working_file(settings)
    options: dict[str, str | int] = {
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
    }
    configuration = DataContextConfig(
        # With its defaults an ephemeral context leaves a folder in /tmp behind, each time.
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    context: Any = gx.get_context(mode="ephemeral", project_config=configuration)
    # GX writes the whole context out as YAML after each new table, here to nowhere: a sixth of a
    # gate's time.
    context._save_project_config = lambda: None
    with opened(database, read_only=True, attached=attached, config=options):
        try:
            datasource: DuckDBDatasource = context.data_sources.add_or_update_duckdb(
                name="warehouse",
                connection_string=f"duckdb:///{database.instance}",
                searched=search_path(database, attached),
                options=options,
            )
        except Exception as error:
            raise GateError(f"{database.path}: cannot be opened: {error}") from error
        try:
            yield datasource
        finally:
            datasource.close()


def ask(
    datasource: DuckDBDatasource, suite: Suite, expectations: gx.ExpectationSuite
) -> tuple[ExpectationSuiteValidationResult, dict[int, str]]:
    """Check one table.

    Returns the answers and, by position of a failed check about values, SQL that gives the keys of
    its failing rows; none for a table whose suite names no key.
    Raises GateError when a check could not be carried out, which is not a failed check.
    """
    try:
        with warnings.catch_warnings():
            # GX wants one data source for each schema; the working database has six
            warnings.filterwarnings("ignore", "`schema_name` is deprecated", DeprecationWarning)
            batch = datasource.add_table_asset(
                suite.table, table_name=suite.name, schema_name=suite.schema
            ).add_batch_definition_whole_table("all rows")
        validator = Validator(batch, result_format=RESULT_FORMAT)
        outcome = validator.validate_expectation_suite(expectations)
    except Exception as error:
        raise GateError(f"{suite.table}: the checks could not be carried out: {error}") from error
    if len(outcome.results) != len(suite.checks):
        raise GateError(
            f"{suite.table}: GX answered {len(outcome.results)} of {len(suite.checks)} checks."
        )
    for answer in outcome.results:
        cause = _cause(answer.exception_info)
        if cause is not None:
            place = suite.checks[_position(answer)].place
            raise GateError(f"{place}: the check could not be carried out: {cause}")
        # numpy's booleans, which two expectations give, are no JSON
        answer.success = bool(answer.success)
        answer.result = _without_values(answer)
    failed = [_position(answer) for answer in outcome.results if not answer.success]
    queries = {
        position: query
        for position in failed
        if (query := _keys_query(validator, suite, position)) is not None
    }
    return outcome, queries


def _keys_query(validator: Validator, suite: Suite, position: int) -> str | None:
    """Return SQL of the keys of the rows that a failed check dislikes, as GX itself would ask."""
    check = suite.checks[position]
    implementation = get_expectation_impl(check.asked_as)
    metric = getattr(implementation, "map_metric", None)
    if not metric or not suite.key:
        return None
    asked = implementation(**check.arguments)
    wrapped: Any = validator._wrapped_validator
    wanted = asked.get_validation_dependencies(
        execution_engine=wrapped.execution_engine,
        runtime_configuration={
            "result_format": {
                "result_format": "COMPLETE",
                "unexpected_index_column_names": list(suite.key),
                "partial_unexpected_count": 0,
            }
        },
    ).metric_configurations.get(f"{metric}.unexpected_index_query")
    if wanted is None:
        return None
    query = str(wrapped.metrics_calculator.get_metric(wanted)).rstrip().rstrip(";")
    # A value that GX binds later is not in the text.
    if re.search(r"\$\d", query):
        return None
    keys = ", ".join(quoted(column) for column in suite.key)
    return f"select {keys} from ({query}) as failing"


def as_document(outcome: ExpectationSuiteValidationResult) -> dict[str, Any]:
    """Return the answers as JSON keeps them."""
    document: dict[str, Any] = outcome.to_json_dict()  # type: ignore[no-untyped-call]
    return document


def page(document: dict[str, Any]) -> str:
    """Render one suite's answers, as `ask` gave them and JSON kept them, as Data Docs HTML."""
    outcome = expectationSuiteValidationResultSchema.load(document)
    for answer in outcome.results:
        if "unexpected_percent" not in answer.result:
            # A query counts offenders, not rows looked at; GX's page divides by the latter.
            answer.result.pop("unexpected_count", None)
    html: str = _view().render(ValidationResultsPageRenderer().render(outcome))
    return html


@cache
def _view() -> Any:
    """Return the one view: a new one for each page would compile its templates again, 0.1 s."""
    return DefaultJinjaPageView()


def check_results(suite: Suite, outcome: ExpectationSuiteValidationResult) -> Sequence[CheckResult]:
    """Translate GX's answers, in the order of the suite."""
    by_position = {_position(answer): answer for answer in outcome.results}
    results = []
    for position, check in enumerate(suite.checks):
        found: dict[str, Any] = by_position[position].result
        observed = found.get("observed_value")
        unexpected = found.get("unexpected_count")
        results.append(
            CheckResult(
                table=suite.table,
                check=check,
                is_success=bool(by_position[position].success),
                observed=None if observed is None else str(observed),
                unexpected_count=None if unexpected is None else int(unexpected),
                reasons=tuple(found.get("details", {}).get("reasons", ())),
            )
        )
    return results


def _without_values(answer: ExpectationValidationResult) -> dict[str, Any]:
    """Keep counts and shares; drop what may be a cell of a row: values, extremes that are text."""
    found: dict[str, Any] = answer.result
    kept = {key: found[key] for key in COUNTS if key in found}
    observed = found.get("observed_value")
    name = answer.expectation_config.type if answer.expectation_config else ""
    if isinstance(observed, Number) or name in ABOUT_THE_SCHEMA:
        kept["observed_value"] = observed
    if reasons := found.get("details", {}).get("reasons"):
        kept["details"] = {"reasons": reasons}
    return kept


def _position(answer: ExpectationValidationResult) -> int:
    if answer.expectation_config is None:
        raise GateError("GX answered without saying which check it answers.")
    return int(answer.expectation_config.meta["position"])


def _cause(exception_info: dict[str, Any] | None) -> str | None:
    """Return what was raised inside GX: it reports one exception, or one for each metric."""
    if not exception_info:
        return None
    several = [one for one in exception_info.values() if isinstance(one, dict)]
    for one in several or [exception_info]:
        if one.get("raised_exception"):
            return str(one.get("exception_message") or one.get("exception_traceback"))
    return None
