"""The customer ids of the current release, laid beside the raw tables for dbt to read.

Ids live in the release, not in the working database: a rollback rolls them back too, and a lost
working database is rebuilt from the landing without a single customer changing its id.
"""

from pathlib import Path

import duckdb

from orchestration.sql import literal, transaction

_TABLES = {
    "customer_sources": "source_record_id varchar, customer_id varchar",
    "customer_redirects": ("customer_id varchar, current_customer_id varchar, redirected_on date"),
}


def load_released_ids(connection: duckdb.DuckDBPyConnection, released: Path | None) -> None:
    """Fill schema `state` with the crosswalk and the redirects of the current release.

    connection: the working database. released: its `warehouse.duckdb`, or None before the first
    release, which leaves the tables empty. Web visitors are left out: they follow their account.
    """
    if released is not None:
        connection.execute(f"attach {literal(released)} as current_release (read_only)")
    try:
        # One transaction: a run killed in between must not leave the ids emptied.
        with transaction(connection):
            connection.execute("create schema if not exists state")
            for table, columns in _TABLES.items():
                connection.execute(f"create or replace table state.{table} ({columns})")
            if released is not None:
                connection.execute(
                    "insert into state.customer_sources select source_record_id, customer_id"
                    " from current_release.marts.customer_sources"
                    " where record_type <> 'visitor'"
                )
                connection.execute(
                    "insert into state.customer_redirects"
                    " select customer_id, current_customer_id, redirected_on"
                    " from current_release.marts.customer_redirects"
                )
    finally:
        if released is not None:
            connection.execute("detach current_release")
