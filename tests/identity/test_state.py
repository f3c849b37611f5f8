"""When the identity layer may add to what the last build left."""

from collections.abc import Iterator

import duckdb
import pytest

from orchestration.identity.state import close_build, load_released_ids, open_build
from orchestration.transform.builds import void_build


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A working database of four records, built by code `a` and published as it was built."""
    with duckdb.connect() as connection:
        load_released_ids(connection, None)
        connection.execute("create schema identity")
        connection.execute(
            "create table identity.int_records_unioned as"
            " select 'crm:' || i as source_record_id from range(4) as numbers (i)"
        )
        connection.execute(
            "create table identity.int_records_assigned as select hash(source_record_id,"
            " substr(source_record_id, 2))"
            " as record_key, 'cus_' || source_record_id as customer_id"
            " from identity.int_records_unioned"
        )
        assert not open_build(connection, "a")
        close_build(connection)
        connection.execute(
            "insert into state.customer_sources by name from identity.int_records_assigned"
        )
        yield connection


def test_a_build_may_add_to_a_whole_and_published_one(database: duckdb.DuckDBPyConnection) -> None:
    assert open_build(database, "a")
    close_build(database)
    assert open_build(database, "a")


@pytest.mark.parametrize(
    "event",
    [
        "update state.customer_sources set customer_id = 'cus_x' where customer_id = 'cus_crm:1'",
        "delete from state.customer_sources",
        "insert into identity.int_records_unioned select 'shop:' || i from range(4) as t (i)",
        "update state.builds set is_whole = false",
    ],
    ids=["other ids are released", "nothing is released", "the landing doubled", "it was killed"],
)
def test_everything_is_built_anew_when(database: duckdb.DuckDBPyConnection, event: str) -> None:
    database.execute(event)
    assert not open_build(database, "a")


def test_everything_is_built_anew_by_other_code(database: duckdb.DuckDBPyConnection) -> None:
    assert not open_build(database, "b")


def test_a_build_that_was_not_closed_is_followed_by_a_full_one(
    database: duckdb.DuckDBPyConnection,
) -> None:
    assert open_build(database, "a")
    assert not open_build(database, "a")


def test_a_table_that_was_built_by_itself_is_followed_by_a_full_build(
    database: duckdb.DuckDBPyConnection,
) -> None:
    void_build(database, "identity")
    assert not open_build(database, "a")
