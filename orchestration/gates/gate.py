"""Decide whether a layer is good enough for the next one to read it."""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from orchestration.database import working_file
from orchestration.gates import history
from orchestration.gates.data_docs import keep_documents
from orchestration.gates.databases import attached_for, opened
from orchestration.gates.drift import accept_deliveries, judge_deliveries
from orchestration.gates.lean_import import lean_import
from orchestration.gates.overrides import overrides_in_force
from orchestration.gates.results import (
    CheckResult,
    GateResult,
    history_rows,
    position_of_layer,
    record,
    void_gates,
)
from orchestration.gates.setting_aside import who_readmitted
from orchestration.gates.suites import QUERY, Catalogue, Parameters, load_layer
from orchestration.landing.feeds import FEEDS
from orchestration.landing.quarantine import read_corrections
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal, quoted

SUITES = PROJECT_ROOT / "expectations"

# Columns that say which row it is and nothing about a person; of others a digest is kept.
_NAMES_A_ROW = re.compile(
    r"^(reason|feed|purpose|segment|channel|line_number|source_file|file_path)$"
    r"|(?<!national)_(id|key|hash|date)$"
)


def run_gate(
    layer: str, settings: Settings, suites: Path = SUITES, *, run_id: str = "by hand"
) -> GateResult:
    """Check the layer against its suites, see `load_layer`, and record the outcome.

    The databases are read through read-only connections and closed before this returns; no other
    connection may have them open. The results of the layer and of all later ones are dropped
    first, so a gate that breaks leaves nothing that reads as passed. run_id: under which the
    history keeps what was found.
    Raises SuiteError when a suite file is wrong, OverrideError or QuarantineError when what people
    decided about failures cannot be read, GateError when a check could not be carried out.
    """
    position_of_layer(layer)
    started = time.monotonic()
    overrides = overrides_in_force(settings.overrides, settings.as_of)
    corrections = read_corrections(settings.corrections)
    with opened(working_file(settings)) as connection:
        void_gates(connection, layer)
        if layer == "landing":
            judge_deliveries(connection, settings)
    with lean_import():
        from orchestration.gates import asking  # noqa: PLC0415 - costs 2.2 CPU s, once a process
    attached = attached_for(layer, settings)
    with opened(working_file(settings), read_only=True, attached=attached) as connection:
        loaded = load_layer(
            suites,
            layer,
            Catalogue(connection),
            suite_parameters(settings),
            asking.expectation_types(),
        )
    built = [asking.build(suite) for suite in loaded]
    checks: list[CheckResult] = []
    documents = []
    queries: dict[str, str] = {}
    with asking.opened_datasource(settings, attached) as datasource:
        for suite, expectations in zip(loaded, built, strict=True):
            outcome, keys = asking.ask(datasource, suite, expectations)
            checks.extend(asking.check_results(suite, outcome))
            documents.append(asking.as_document(outcome))
            queries |= {suite.checks[position].id: query for position, query in keys.items()}
    failed = [check for check in checks if not check.is_success]
    trends = history.trends(settings, run_id, [check.check.id for check in failed])
    told: dict[str, CheckResult] = {}
    if failed:
        with opened(working_file(settings), read_only=True, attached=attached) as connection:
            for check in failed:
                shown = _with_failed_rows(connection, check, queries)
                told[check.check.id] = replace(
                    shown,
                    trend=trends.get(check.check.id),
                    override=overrides.get(check.check.id)
                    if check.check.may_be_overridden
                    else who_readmitted(connection, shown, corrections, settings),
                )
    checks = [told.get(check.check.id, check) for check in checks]
    result = GateResult(
        layer=layer,
        checks=tuple(checks),
        checked_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
    )
    keep_documents(settings, layer, documents, result)
    history.keep(
        settings,
        *history_rows(result, run_id, settings.as_of),
        result.checked_at.replace(tzinfo=None),
    )
    with opened(working_file(settings)) as connection:
        record(connection, result)
        if layer == "landing" and result.passed:
            accept_deliveries(connection)
    return result


def _with_failed_rows(
    connection: duckdb.DuckDBPyConnection, check: CheckResult, queries: Mapping[str, str]
) -> CheckResult:
    """Add the keys of rows that broke the rule, and the reason if its query gives one.

    queries: of checks that GX words itself, SQL of the failing rows, by check id.
    """
    query = queries.get(check.check.id)
    if check.check.asked_as == QUERY:
        query = str(check.check.arguments["query"])
    if query is None:
        return check
    cursor = connection.execute(f"select * from (\n{query}\n) limit {history.MOST_FAILED_ROWS}")
    names = [column[0] for column in cursor.description or []]
    rows = tuple(
        {name: _named(name, value) for name, value in zip(names, row, strict=True)}
        for row in cursor.fetchall()
    )
    return replace(check, failed_rows=rows, rows_query=query)


def _named(column: str, value: object) -> str:
    if value is None or _NAMES_A_ROW.search(column):
        return str(value)
    return f"#{hashlib.sha256(str(value).encode()).hexdigest()[:12]}"


def suite_parameters(settings: Settings) -> Parameters:
    """Values that a suite may name: `{as_of_date}` in SQL, `{$PARAMETER: as_of_date}` elsewhere.

    as_of_end: the first instant after the as-of day, UTC. Of every feed, as SQL: landed_rows (feed,
    _source_file), rows_without_key (reason) and sources, a list of literals.
    """
    return {
        "as_of_date": settings.as_of.isoformat(),
        "as_of_end": f"{settings.as_of + timedelta(days=1)}T00:00:00",
        "landed_rows": " union all ".join(
            f"select {literal(feed.name)} as feed, _source_file from raw.{quoted(feed.table)}"
            for feed in FEEDS
        ),
        "rows_without_key": " union all ".join(
            f"select {literal(f'{feed.name}: {key} is empty')} as reason"
            f" from raw.{quoted(feed.table)} where {quoted(key)} is null"
            for feed in FEEDS
            for key in feed.key
        ),
        "sources": ", ".join(literal(source) for source in sorted({feed.source for feed in FEEDS})),
    }
