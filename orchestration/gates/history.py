"""What the gates of all runs found: `quality.results` and `quality.failed_rows`.

Kept in `quality_history.duckdb`, a file of its own, because the working database may be made again
at any time and these cannot. It holds counts and keys, never a value of a person. Written once per
gate in one transaction, by the run that holds the installation.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from orchestration.database import history_file
from orchestration.settings import Settings
from orchestration.sql import literal, rows, transaction

RESULTS_KEPT_DAYS = 400
FAILED_ROWS_KEPT_DAYS = 60
# More keys of one check say nothing new; all of them can be asked for while the data is there.
MOST_FAILED_ROWS = 100

_RESULTS = {
    "run_id": "varchar",
    "as_of": "date",
    "checked_at": "timestamp",
    "layer": "varchar",
    "check_id": "varchar",
    "table_name": "varchar",
    "expectation": "varchar",
    "column_name": "varchar",
    "severity": "varchar",
    "outcome": "varchar",
    "observed_value": "varchar",
    "unexpected_count": "bigint",
    "sentence": "varchar",
    "may_be_overridden": "boolean",
    "overridden_by": "varchar",
    "override_reason": "varchar",
}
_FAILED_ROWS = {
    "run_id": "varchar",
    "checked_at": "timestamp",
    "layer": "varchar",
    "check_id": "varchar",
    "table_name": "varchar",
    "row_number": "bigint",
    "row_key": "varchar",
}


class HistoryError(Exception):
    """The history cannot be read now; the message says why and what to do."""


@dataclass(frozen=True)
class Trend:
    """What came before a failure, among the runs that asked the check.

    failed_before: runs in a row, up to the one before this, in which it failed as well. since: the
    as-of day of the first of them. count_before: rows that the run before this found, if it failed.
    """

    failed_before: int
    since: date | None
    count_before: int | None


def keep(
    settings: Settings,
    results: Sequence[Mapping[str, object]],
    failed_rows: Sequence[Mapping[str, object]],
    checked_at: datetime,
) -> None:
    """Add what a gate found, and drop what is older than is kept.

    A gate that is asked again in the same run takes the place of its first answer. results,
    failed_rows: with the columns of the two tables. checked_at: UTC, without zone.
    """
    with history_file(settings).connect() as connection:
        _create(connection)
        with transaction(connection):
            for table, columns, found, days in (
                ("results", _RESULTS, results, RESULTS_KEPT_DAYS),
                ("failed_rows", _FAILED_ROWS, failed_rows, FAILED_ROWS_KEPT_DAYS),
            ):
                again = {(str(row["run_id"]), str(row["layer"])) for row in results}
                for run_id, layer in again:
                    connection.execute(
                        f"delete from quality.{table} where run_id = {literal(run_id)}"
                        f" and layer = {literal(layer)}"
                    )
                oldest = (checked_at - timedelta(days=days)).isoformat()
                connection.execute(
                    f"delete from quality.{table} where checked_at < timestamp {literal(oldest)}"
                )
                _insert(connection, table, columns, found)


def trends(settings: Settings, run_id: str, check_ids: Sequence[str]) -> dict[str, Trend]:
    """Return what came before this run for each of the checks that failed before it."""
    if not check_ids or not settings.quality_history.exists():
        return {}
    wanted = ", ".join(literal(check_id) for check_id in check_ids)
    with history_file(settings).connect(read_only=True) as connection:
        found = rows(
            connection,
            f"""
            with asked as (
                select
                    *,
                    row_number() over (partition by check_id order by checked_at desc) as age,
                    count(*) filter (where outcome = 'passed')
                        over (partition by check_id order by checked_at desc) as passed_since
                from quality.results
                where check_id in ({wanted}) and run_id <> {literal(run_id)}
            )

            select
                check_id,
                count(*) as failed_before,
                min(as_of) as since,
                max(unexpected_count) filter (where age = 1) as count_before
            from asked
            where passed_since = 0
            group by check_id
            """,
        )
    return {
        row["check_id"]: Trend(row["failed_before"], row["since"], row["count_before"])
        for row in found
    }


def scorecard(settings: Settings, runs: int = 14) -> list[dict[str, object]]:
    """Return one row per checked table, in the order of the layers.

    Counts are those of the last gate that asked; `trend` has a letter for each of the last `runs`
    gates, oldest first: `.` passed, `w` warned, `o` overridden, `X` failed. Raises HistoryError
    when a run is writing or there is no history yet.
    """
    return _ask(
        settings,
        f"""
        with gates as (
            select
                layer,
                table_name,
                run_id,
                max(as_of) as as_of,
                max(checked_at) as checked_at,
                count(*) as checks,
                count(*) filter (where outcome = 'passed') as passed,
                count(*) filter (where outcome = 'failed' and severity = 'critical') as critical,
                count(*) filter (where outcome = 'failed' and severity = 'warning') as warnings,
                count(*) filter (where outcome = 'overridden') as overridden
            from quality.results
            group by layer, table_name, run_id
            qualify row_number() over (
                partition by layer, table_name order by max(checked_at) desc
            ) <= {int(runs)}
        )

        select
            layer,
            table_name,
            max_by(as_of, checked_at) as as_of,
            max_by(checks, checked_at) as checks,
            max_by(passed, checked_at) as passed,
            max_by(critical, checked_at) as critical,
            max_by(warnings, checked_at) as warnings,
            max_by(overridden, checked_at) as overridden,
            string_agg(
                case
                    when critical > 0 then 'X' when overridden > 0 then 'o'
                    when warnings > 0 then 'w' else '.'
                end,
                '' order by checked_at
            ) as trend
        from gates
        group by layer, table_name
        order by
            list_position(['landing', 'staging', 'identity', 'marts'], layer), table_name
        """,
    )


def failed_rows(settings: Settings, check_id: str) -> list[dict[str, object]]:
    """Return the keys that the last failure of a check left. Raises HistoryError."""
    return _ask(
        settings,
        f"""
        select run_id, checked_at, row_number, row_key from quality.failed_rows
        where check_id = {literal(check_id)}
        qualify checked_at = max(checked_at) over ()
        order by row_number
        """,
    )


def failures(settings: Settings) -> list[dict[str, object]]:
    """Return the checks that failed in the last gate of each layer. Raises HistoryError."""
    return _ask(
        settings,
        """
        select * from quality.results
        qualify
            run_id = max_by(run_id, checked_at) over (partition by layer)
            and outcome <> 'passed'
        order by list_position(['landing', 'staging', 'identity', 'marts'], layer), check_id
        """,
    )


def _ask(settings: Settings, query: str) -> list[dict[str, object]]:
    path = settings.quality_history
    if not path.exists():
        raise HistoryError(
            f"{path} is not there: no gate has been asked yet. `make run` asks them."
        )
    try:
        with history_file(settings).connect(read_only=True) as connection:
            return rows(connection, query)
    except duckdb.IOException as error:
        raise HistoryError(
            f"{path} cannot be read now, perhaps a run is writing: {error}"
        ) from error


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema if not exists quality")
    for table, columns in (("results", _RESULTS), ("failed_rows", _FAILED_ROWS)):
        declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(f"create table if not exists quality.{table} ({declared})")


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, str],
    found: Sequence[Mapping[str, object]],
) -> None:
    """Insert rows as one JSON text: a statement per row would cost 1 ms each."""
    if not found:
        return
    document = json.dumps([{name: _plain(row.get(name)) for name in columns} for row in found])
    shape = json.dumps([dict(columns)])
    connection.execute(
        f"insert into quality.{table} by name select unnest(from_json("
        f"{literal(document)}, {literal(shape)}), recursive := true)"
    )


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
