"""What a gate found, in sentences and as rows of `quality.gate_results`."""

import json
from dataclasses import dataclass, field
from datetime import date, datetime

import duckdb

from orchestration.gates.history import MOST_FAILED_ROWS, Trend
from orchestration.gates.overrides import Override
from orchestration.gates.suites import Check, Severity
from orchestration.sql import transaction

# The order in which data walks through the house; a rebuilt layer voids the gates after it.
LAYERS = ("landing", "staging", "identity", "marts")

CREATE_RESULTS = """
create schema if not exists quality;
create table if not exists quality.gate_results (
    layer varchar not null,
    check_id varchar not null,
    table_name varchar not null,
    expectation varchar not null,
    column_name varchar,
    severity varchar not null,
    is_success boolean not null,
    observed_value varchar,
    unexpected_count bigint,
    description varchar not null,
    overridden_by varchar,
    override_reason varchar,
    checked_at timestamp not null,
    because varchar,
    fix varchar
)
"""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one expectation.

    observed: a count, an extreme or a share; never a cell of a row. reasons: what a query gave in
    its column `reason`, at most five. failed_rows: keys of rows that broke the rule, at most a
    hundred; rows_query: SQL of all of them. override: who answers for the failure. trend: what came
    before a failure.
    """

    table: str
    check: Check
    is_success: bool
    observed: str | None
    unexpected_count: int | None
    reasons: tuple[str, ...] = ()
    failed_rows: tuple[dict[str, str], ...] = ()
    rows_query: str | None = field(default=None, repr=False)
    override: Override | None = None
    trend: Trend | None = None

    @property
    def outcome(self) -> str:
        """`passed`, `failed` or `overridden`."""
        if self.is_success:
            return "passed"
        return "overridden" if self.override else "failed"

    @property
    def stops(self) -> bool:
        """Whether the run must not go on."""
        return self.outcome == "failed" and self.severity is Severity.CRITICAL

    @property
    def expectation(self) -> str:
        """GX's name of the rule."""
        return self.check.expectation

    @property
    def column(self) -> str | None:
        """The columns it speaks of."""
        return self.check.column

    @property
    def severity(self) -> Severity:
        """What a failure does to the run."""
        return self.check.severity

    @property
    def because(self) -> str:
        """Why the rule is there."""
        return self.check.because

    @property
    def sentence(self) -> str:
        """What broke, where, how often, why it matters and what to do."""
        where = f"{self.table}.{self.column}" if self.column else self.table
        if self.unexpected_count is not None:
            rows = "row" if self.unexpected_count == 1 else "rows"
            found = f"{self.unexpected_count:,} {rows}"
        else:
            found = f"observed {self.observed}" if self.observed is not None else "not as expected"
        severity = "overridden" if self.override else self.severity
        parts = [f"[{severity}] {where}: {found} against {self.expectation}. {self.because}"]
        if self.reasons:
            shown = "; ".join(reason.rstrip(".") for reason in self.reasons)
            more = (self.unexpected_count or 0) - len(self.reasons)
            parts.append(f"Found: {shown}{f'; and {more:,} more' if more > 0 else ''}.")
        if self.check.fix:
            parts.append(self.check.fix)
        if self.trend:
            parts.append(self._told_trend(self.trend))
        if self.override:
            parts.append(f"Overridden by {self.override.overridden_by}: {self.override.reason}.")
        elif self.stops and self.check.may_be_overridden:
            parts.append(
                "Somebody who knows that it is right can let it pass for this day:"
                f" `warehouse override {self.check.id} --by NAME --why REASON`."
            )
        return " ".join(parts)

    def _told_trend(self, trend: Trend) -> str:
        runs = "run" if trend.failed_before == 1 else f"{trend.failed_before} runs"
        counted = f", {trend.count_before:,} rows then" if trend.count_before is not None else ""
        return f"It failed in the {runs} before this as well, since {trend.since}{counted}."


@dataclass(frozen=True)
class GateResult:
    """All outcomes of one layer's gate."""

    layer: str
    checks: tuple[CheckResult, ...]
    checked_at: datetime
    seconds: float

    @property
    def critical_failures(self) -> tuple[CheckResult, ...]:
        """What stops the run."""
        return tuple(check for check in self.checks if check.stops)

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """What is shown and does not stop the run, what somebody overrode included."""
        return tuple(check for check in self.checks if not check.is_success and not check.stops)

    @property
    def overridden(self) -> tuple[CheckResult, ...]:
        """What would stop the run if nobody answered for it."""
        return tuple(check for check in self.checks if check.outcome == "overridden")

    @property
    def passed(self) -> bool:
        """By severity: GX calls a suite failed when a mere warning failed."""
        return not self.critical_failures

    @property
    def summary(self) -> tuple[str, ...]:
        """Sentences for a person: the verdict first, then every failure, critical ones first."""
        verdict = "passed" if self.passed else "FAILED, nothing after it may run"
        critical, warnings = len(self.critical_failures), len(self.warnings)
        return (
            f"The {self.layer} gate {verdict}: {len(self.checks)} checks,"
            f" {critical} critical {'failure' if critical == 1 else 'failures'},"
            f" {warnings} {'warning' if warnings == 1 else 'warnings'}.",
            *(check.sentence for check in (*self.critical_failures, *self.warnings)),
        )


@dataclass(frozen=True)
class GateRecord:
    """What the working database remembers of a layer's last gate.

    overrides: for each check that somebody answers for, which, who and why.
    """

    layer: str
    check_count: int
    critical_failure_count: int
    warning_count: int
    checked_at: datetime
    overrides: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there is a verdict and nothing critical in it."""
        return self.check_count > 0 and self.critical_failure_count == 0


def history_rows(
    result: GateResult, run_id: str, as_of: date
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the rows of `quality.results` and `quality.failed_rows` for `history.keep`."""
    shared = {
        "run_id": run_id,
        "checked_at": result.checked_at.replace(tzinfo=None),
        "layer": result.layer,
    }
    results: list[dict[str, object]] = []
    failed: list[dict[str, object]] = []
    for check in result.checks:
        asked = shared | {"check_id": check.check.id, "table_name": check.table}
        results.append(
            asked
            | {
                "as_of": as_of,
                "expectation": check.expectation,
                "column_name": check.column,
                "severity": str(check.severity),
                "outcome": check.outcome,
                "observed_value": check.observed,
                "unexpected_count": check.unexpected_count,
                "sentence": None if check.is_success else check.sentence,
                "may_be_overridden": check.check.may_be_overridden,
                "overridden_by": check.override.overridden_by if check.override else None,
                "override_reason": check.override.reason if check.override else None,
            }
        )
        failed += [
            asked | {"row_number": number, "row_key": json.dumps(row, ensure_ascii=False)}
            for number, row in enumerate(check.failed_rows[:MOST_FAILED_ROWS], start=1)
        ]
    return results, failed


def record(connection: duckdb.DuckDBPyConnection, result: GateResult) -> None:
    """Replace the layer's rows in `quality.gate_results`, and drop those of later layers."""
    rows = [
        (
            result.layer,
            check.check.id,
            check.table,
            check.expectation,
            check.column,
            str(check.severity),
            check.is_success,
            check.observed,
            check.unexpected_count,
            check.because if check.is_success else check.sentence,
            check.override.overridden_by if check.override else None,
            check.override.reason if check.override else None,
            result.checked_at.replace(tzinfo=None),
            check.because,
            check.check.fix,
        )
        for check in result.checks
    ]
    connection.execute(CREATE_RESULTS)
    with transaction(connection):
        void_gates(connection, result.layer)
        connection.executemany(
            f"insert into quality.gate_results values ({', '.join('?' * 15)})", rows
        )


def void_gates(connection: duckdb.DuckDBPyConnection, layer: str) -> None:
    """Forget the gate of the layer and of every layer after it: what they saw is being rebuilt."""
    void = LAYERS[position_of_layer(layer) :]
    if _has_results(connection):
        connection.execute(
            "delete from quality.gate_results where list_contains(?, layer)", [list(void)]
        )


def gate_records(connection: duckdb.DuckDBPyConnection) -> tuple[GateRecord, ...]:
    """Return the gates that have a verdict, in the order of the layers."""
    if not _has_results(connection):
        return ()
    rows = connection.execute(
        """
        select
            layer,
            count(*),
            count(*) filter (
                where not is_success and severity = 'critical' and overridden_by is null
            ),
            count(*) filter (where not is_success and severity = 'warning'),
            max(checked_at),
            list(check_id || ', by ' || overridden_by || ': ' || override_reason order by check_id)
                filter (where overridden_by is not null)
        from quality.gate_results
        group by layer
        """
    ).fetchall()
    records = [
        GateRecord(layer, checks, critical, warnings, checked_at, tuple(overrides or ()))
        for layer, checks, critical, warnings, checked_at, overrides in rows
    ]
    return tuple(sorted(records, key=lambda record: position_of_layer(record.layer)))


def passed_gates(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the layers whose last gate passed; a release needs all of `LAYERS`."""
    return tuple(gate.layer for gate in gate_records(connection) if gate.passed)


def position_of_layer(layer: str) -> int:
    """Return how many layers come before it; raises ValueError when there is no such layer."""
    if layer not in LAYERS:
        raise ValueError(f"There is no layer `{layer}`; there are {', '.join(LAYERS)}.")
    return LAYERS.index(layer)


def _has_results(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        """
        select 1 from duckdb_tables()
        where
            database_name = current_database()
            and schema_name = 'quality'
            and table_name = 'gate_results'
        """
    ).fetchone()
    return found is not None
