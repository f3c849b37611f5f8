"""What identity knows from outside the landing, laid beside the raw tables for dbt to read.

Customer ids live in the release, not in the working database: a rollback rolls them back too, and
a lost working database is rebuilt from the landing without a single customer changing its id.
Steward decisions and rectifications live in files of their own, which no rollback touches.

The tables of the identity layer are state too: a build may add to what the last one left, when
that is whole and nothing but records, and what stewards say of them, has changed since.
`open_build` says so.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path

import duckdb

from orchestration.database import DatabaseFile
from orchestration.identity.decisions import (
    Action,
    Decision,
    DecisionError,
    check_consistent,
    decisions_in_force,
    read_decisions,
)
from orchestration.identity.rectifications import (
    Rectification,
    read_rectifications,
    rectifications_in_force,
)
from orchestration.sql import literal, transaction
from orchestration.transform import builds

LAYER = "identity"

_TABLES = {
    # record_key is what identity/int_records_normalised calls the record (macro hash_of)
    "customer_sources": "source_record_id varchar, customer_id varchar, record_key ubigint",
    "customer_redirects": "customer_id varchar, current_customer_id varchar, redirected_on date",
    "customer_id_history": (
        "customer_id varchar, event varchar, other_customer_id varchar, release_number bigint,"
        " occurred_on date, reason varchar"
    ),
}

# Marts that remember what no landing tells: what the releases before this one said. Each is made
# from what the current release holds of it and from what is known today, so a run of the same day
# makes the same table again.
_REMEMBERED = {
    "customer_source_history": "source_record_id varchar, customer_id varchar, known_until date",
    "customer_history": (
        "customer_id varchar, field_group varchar, value varchar, source_record_id varchar,"
        " known_from date, known_until date, ended_because varchar"
    ),
    "customer_segment_memberships": (
        "customer_id varchar, segment varchar, entered_on date, left_on date,"
        " entered_reason varchar, left_reason varchar"
    ),
}

_DECISION_COLUMNS = (
    "decision_id varchar, verdict varchar, source_record_id varchar,"
    " other_source_record_id varchar, decided_by varchar, decided_at timestamp, reason varchar"
)
_RECTIFICATION_COLUMNS = (
    "rectification_id varchar, action varchar, source_record_id varchar, field varchar,"
    " value varchar, decided_by varchar, decided_at timestamp, reason varchar"
)
_ROWS_PER_INSERT = 1000


def load_released_ids(
    connection: duckdb.DuckDBPyConnection,
    released: DatabaseFile | None,
    measures: Mapping[str, float] | None = None,
) -> None:
    """Fill schema `state` with what the current release knows: its ids, and what it remembers.

    connection: the working database. released: its marts, or None before the first
    release, which leaves the tables empty. measures: what its manifest says of itself. Web visitors
    are left out: they follow their account. A release made before a mart existed remembers nothing
    of it.
    """
    if released is not None:
        released.attach(connection, "current_release")
    try:
        # One transaction: a run killed in between must not leave the ids emptied.
        with transaction(connection):
            connection.execute("create schema if not exists state")
            for table, columns in (_TABLES | _REMEMBERED).items():
                connection.execute(f"create or replace table state.{table} ({columns})")
            connection.execute(
                "create or replace table state.released_measures (measure varchar, value double)"
            )
            for measure, value in (measures or {}).items():
                connection.execute(
                    f"insert into state.released_measures values ({literal(measure)}, {value!r})"
                )
            if released is not None:
                connection.execute(
                    "insert into state.customer_sources"
                    " select source_record_id, customer_id,"
                    " hash(source_record_id, substr(source_record_id, 2))"
                    " from current_release.marts.customer_sources"
                    " where record_type <> 'visitor'"
                )
                connection.execute(
                    "insert into state.customer_redirects"
                    " select customer_id, current_customer_id, redirected_on"
                    " from current_release.marts.customer_redirects"
                )
                connection.execute(f"insert into state.customer_id_history {_history(connection)}")
                for table in _REMEMBERED:
                    if _is_released(connection, table):
                        connection.execute(
                            f"insert into state.{table} by name"
                            f" select columns(c -> c in ({_remembered_columns(table)}))"
                            f" from current_release.marts.{table}"
                        )
    finally:
        if released is not None:
            connection.execute("detach current_release")


def _history(connection: duckdb.DuckDBPyConnection) -> str:
    """Query of the history of the attached release; one made before there was any gets its ids."""
    if _is_released(connection, "customer_id_history"):
        return (
            "select customer_id, event, other_customer_id, release_number, occurred_on, reason"
            " from current_release.marts.customer_id_history"
        )
    beginning = "1 as release_number, null::date as occurred_on, 'known before history' as reason"
    return (
        f"select customer_id, 'created' as event, null as other_customer_id, {beginning}"
        " from (select distinct customer_id from current_release.marts.customer_sources"
        " union select customer_id from current_release.marts.customer_redirects)"
        " union all select customer_id, if(current_customer_id is null, 'withdrawn',"
        f" 'merged_into') as event, current_customer_id, {beginning}"
        " from current_release.marts.customer_redirects"
    )


def _is_released(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(
        connection.execute(
            "select 1 from duckdb_tables() where database_name = 'current_release'"
            f" and schema_name = 'marts' and table_name = {literal(table)}"
        ).fetchone()
    )


def _remembered_columns(table: str) -> str:
    """Names of the columns to copy, as literals; the release may have others, or lack one."""
    names = [column.split()[0] for column in _REMEMBERED[table].split(",")]
    return ", ".join(literal(name) for name in names)


def load_steward_decisions(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    """Fill `state.steward_decisions` with the decisions in force; empty when there is no file.

    Each pair once, its records in alphabetical order; pairs of which somebody is unsure are left
    to the evidence. Returns the ids that the table had and that
    the file no longer knows: a file that is only added to loses none. Raises DecisionError when
    the file cannot be used or its decisions contradict each other.
    """
    decisions = read_decisions(path)
    in_force = decisions_in_force(decisions)
    try:
        check_consistent(in_force)
    except DecisionError as error:
        raise DecisionError(f"{path}: {error}") from error
    before = _refill(
        connection,
        "steward_decisions",
        _DECISION_COLUMNS,
        [_row(one) for one in in_force if one.action is not Action.UNSURE],
    )
    return tuple(sorted(before - {decision.decision_id for decision in decisions}))


def load_rectifications(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    """Fill `state.rectifications` with those in force; empty when there is no file.

    Each field of a record once. Returns the ids that the table had and that the file no longer
    knows. Raises RectificationError when the file cannot be used.
    """
    lines = read_rectifications(path)
    before = _refill(
        connection,
        "rectifications",
        _RECTIFICATION_COLUMNS,
        [_rectification_row(line) for line in rectifications_in_force(lines)],
    )
    return tuple(sorted(before - {line.rectification_id for line in lines}))


def _refill(
    connection: duckdb.DuckDBPyConnection, table: str, columns: str, rows: Sequence[str]
) -> set[str]:
    """Make a table of schema `state` anew; returns the ids, its first column, that it had.

    rows: as SQL. In one transaction: a run killed in between must not leave the table emptied.
    """
    id_column, _, _ = columns.partition(" ")
    with transaction(connection):
        connection.execute("create schema if not exists state")
        connection.execute(f"create table if not exists state.{table} ({columns})")
        before = connection.execute(f"select {id_column} from state.{table}").fetchall()
        connection.execute(f"create or replace table state.{table} ({columns})")
        for start in range(0, len(rows), _ROWS_PER_INSERT):
            page = ", ".join(rows[start : start + _ROWS_PER_INSERT])
            connection.execute(f"insert into state.{table} values {page}")
    return {name for (name,) in before}


def decisions_state(connection: duckdb.DuckDBPyConnection) -> str:
    """Return a fingerprint of `state.steward_decisions`: 64 bits as hex, zeros when it is empty."""
    return _state_of(connection, "steward_decisions", "decision_id")


def rectifications_state(connection: duckdb.DuckDBPyConnection) -> str:
    """Return a fingerprint of `state.rectifications`: 64 bits as hex, zeros when it is empty.

    A database that no run has landed in since there are rectifications has none.
    """
    is_there = connection.execute(
        "select 1 from duckdb_tables() where database_name = current_database()"
        " and schema_name = 'state' and table_name = 'rectifications'"
    ).fetchone()
    return _state_of(connection, "rectifications", "rectification_id") if is_there else "0" * 16


def _state_of(connection: duckdb.DuckDBPyConnection, table: str, id_column: str) -> str:
    row = connection.execute(
        f"select md5(string_agg(md5(to_json({table})::varchar), ' ' order by {id_column}))"
        f" from state.{table}"
    ).fetchone()
    return str(row[0])[:16] if row and row[0] else "0" * 16


def open_build(connection: duckdb.DuckDBPyConnection, code: str) -> bool:
    """Note that the identity layer is being built; returns whether an increment is allowed.

    connection: the working database, `identity.int_records_unioned` already up to date. code:
    fingerprint of all that turns records into customers. Allowed when the last build was finished
    by the same code on a landing of the same size class, and the released ids are those that it
    gave. Until `close_build` no increment is allowed: a build that was killed leaves tables of
    mixed age.
    """
    released = _fingerprint(connection, "state.customer_sources")
    return builds.open_build(connection, LAYER, f"{code}|{_size_class(connection)}", released)


def close_build(connection: duckdb.DuckDBPyConnection) -> None:
    """Note that the build is whole, and which ids it gave."""
    assigned = _fingerprint(connection, "identity.int_records_assigned")
    builds.close_build(connection, LAYER, assigned)


def forget_records(connection: duckdb.DuckDBPyConnection, records: str) -> None:
    """Let the next build be an increment though some records leave the releases at once.

    records: a table with the record_key of each. What the last build left is noted without them;
    its tables keep them, for the next build has to see that they went.
    """
    if connection.execute(
        "select 1 from duckdb_tables() where database_name = current_database()"
        " and schema_name = 'identity' and table_name = 'int_records_assigned'"
    ).fetchone():
        assigned = "identity.int_records_assigned"
        staying = (
            f"(select * from {assigned} where record_key not in (select record_key from {records}))"
        )
        builds.take_over(
            connection,
            LAYER,
            _fingerprint(connection, assigned),
            _fingerprint(connection, staying),
        )


def _fingerprint(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """Count and content of a table of (record_key, customer_id), in any order."""
    row = connection.execute(
        f"select count(*), coalesce(bit_xor(hash(record_key, customer_id)), 0) from {table}"
    ).fetchone()
    return f"{row[0]} {row[1]}" if row else ""


def _size_class(connection: duckdb.DuckDBPyConnection) -> int:
    """Power of two next to the number of records; the prior of a match depends on it."""
    row = connection.execute(
        "select coalesce(round(log2(nullif(count(*), 0))), 0) from identity.int_records_unioned"
    ).fetchone()
    return int(row[0]) if row else 0


def _row(decision: Decision) -> str:
    first, second = decision.pair
    values = (
        decision.decision_id,
        decision.action.value,
        first,
        second,
        decision.decided_by,
        decision.decided_at.astimezone(UTC).replace(tzinfo=None).isoformat(),
        decision.reason,
    )
    return f"({', '.join(literal(value) for value in values)})"


def _rectification_row(line: Rectification) -> str:
    values = (
        line.rectification_id,
        line.action.value,
        line.source_record_id,
        line.field,
        line.value,
        line.decided_by,
        line.decided_at.astimezone(UTC).replace(tzinfo=None).isoformat(),
        line.reason,
    )
    return f"({', '.join(literal(value) for value in values)})"
