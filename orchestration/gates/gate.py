"""Decide whether a layer is good enough for the next one to read it."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.gates.data_docs import keep_documents
from orchestration.gates.databases import attached_for, opened
from orchestration.gates.drift import accept_deliveries, judge_deliveries
from orchestration.gates.lean_import import lean_import
from orchestration.gates.results import (
    CheckResult,
    GateResult,
    position_of_layer,
    record,
    void_gates,
)
from orchestration.gates.suites import Catalogue, Parameters, load_layer
from orchestration.settings import PROJECT_ROOT, Settings

SUITES = PROJECT_ROOT / "expectations"


def run_gate(layer: str, settings: Settings, suites: Path = SUITES) -> GateResult:
    """Check the layer against its suites, see `load_layer`, and record the outcome.

    The databases are read through read-only connections and closed before this returns; no other
    connection may have them open. The results of the layer and of all later ones are dropped
    first, so a gate that breaks leaves nothing that reads as passed.
    Raises SuiteError when a suite file is wrong, GateError when a check could not be carried out.
    """
    position_of_layer(layer)
    started = time.monotonic()
    with opened(settings.working_database) as connection:
        void_gates(connection, layer)
        if layer == "landing":
            judge_deliveries(connection, settings)
    with lean_import():
        from orchestration.gates import asking  # noqa: PLC0415 - costs 2.2 CPU s, once a process
    attached = attached_for(layer, settings)
    with opened(settings.working_database, read_only=True, attached=attached) as connection:
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
    with asking.opened_datasource(settings, attached) as datasource:
        for suite, expectations in zip(loaded, built, strict=True):
            outcome = asking.ask(datasource, suite, expectations)
            checks.extend(asking.check_results(suite, outcome))
            documents.append(asking.as_document(outcome))
    result = GateResult(
        layer=layer,
        checks=tuple(checks),
        checked_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
    )
    keep_documents(settings, layer, documents)
    with opened(settings.working_database) as connection:
        record(connection, result)
        if layer == "landing" and result.passed:
            accept_deliveries(connection)
    return result


def suite_parameters(settings: Settings) -> Parameters:
    """Values that a suite may name: `{as_of_date}` in SQL, `{$PARAMETER: as_of_date}` elsewhere.

    as_of_end: the first instant after the as-of day, UTC.
    """
    return {
        "as_of_date": settings.as_of.isoformat(),
        "as_of_end": f"{settings.as_of + timedelta(days=1)}T00:00:00",
    }
