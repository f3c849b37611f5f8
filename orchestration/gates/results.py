"""What a gate found, in sentences and as rows of `quality.gate_results`."""

from dataclasses import dataclass
from datetime import datetime

import duckdb

from orchestration.gates.suites import Check, Severity
from orchestration.sql import transaction

# The order in which data walks through the house; a rebuilt layer voids the gates after it.
LAYERS = ("landing", "staging", "identity", "marts")

CREATE_RESULTS = """
create schema if not exists quality;
create table if not exists quality.gate_results (
    layer varchar not null,
    table_name varchar not null,
    expectation varchar not null,
    column_name varchar,
    severity varchar not null,
    is_success boolean not null,
    observed_value varchar,
    unexpected_count bigint,
    description varchar not null,
    checked_at timestamp not null
)
"""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one expectation.

    observed: a count, an extreme or a share; never a cell of a row. reasons: what a query gave in
    its column `reason`, at most five.
    """

    table: str
    check: Check
    is_success: bool
    observed: str | None
    unexpected_count: int | None
    reasons: tuple[str, ...] = ()

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
        parts = [f"[{self.severity}] {where}: {found} against {self.expectation}. {self.because}"]
        if self.reasons:
            shown = "; ".join(reason.rstrip(".") for reason in self.reasons)
            more = (self.unexpected_count or 0) - len(self.reasons)
            parts.append(f"Found: {shown}{f'; and {more:,} more' if more > 0 else ''}.")
        if self.check.fix:
            parts.append(self.check.fix)
        return " ".join(parts)


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
        return self._failed(Severity.CRITICAL)

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """What is shown and does not stop the run."""
        return self._failed(Severity.WARNING)

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

    def _failed(self, severity: Severity) -> tuple[CheckResult, ...]:
        return tuple(
            check for check in self.checks if not check.is_success and check.severity == severity
        )


@dataclass(frozen=True)
class GateRecord:
    """What the working database remembers of a layer's last gate."""

    layer: str
    check_count: int
    critical_failure_count: int
    warning_count: int
    checked_at: datetime

    @property
    def passed(self) -> bool:
        """Whether there is a verdict and nothing critical in it."""
        return self.check_count > 0 and self.critical_failure_count == 0


def record(connection: duckdb.DuckDBPyConnection, result: GateResult) -> None:
    """Replace the layer's rows in `quality.gate_results`, and drop those of later layers."""
    rows = [
        (
            result.layer,
            check.table,
            check.expectation,
            check.column,
            str(check.severity),
            check.is_success,
            check.observed,
            check.unexpected_count,
            check.because if check.is_success else check.sentence,
            result.checked_at.replace(tzinfo=None),
        )
        for check in result.checks
    ]
    connection.execute(CREATE_RESULTS)
    with transaction(connection):
        void_gates(connection, result.layer)
        connection.executemany(
            "insert into quality.gate_results values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
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
            count(*) filter (where not is_success and severity = 'critical'),
            count(*) filter (where not is_success and severity = 'warning'),
            max(checked_at),
        from quality.gate_results
        group by layer
        """
    ).fetchall()
    return tuple(
        GateRecord(*row) for row in sorted(rows, key=lambda row: position_of_layer(row[0]))
    )


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
