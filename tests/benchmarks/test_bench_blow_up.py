from pathlib import Path

import duckdb
import pytest

from benchmarks.bench_blow_up import CHAIN, INPUTS, write_input
from benchmarks.people import COLUMNS

RECORDS = 2 * CHAIN


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records without anything in common."""
    path = tmp_path_factory.mktemp("blow-up") / "people.parquet"
    values = {"varchar": "'{name} ' || n"}
    columns = ", ".join(
        f"cast({values.get(type_, 'null').format(name=name)} as {type_}) as {name}"
        for name, type_ in COLUMNS.items()
    )
    duckdb.execute(f"copy (select {columns} from range({RECORDS}) as t (n)) to '{path}'")
    return path


def changed(people: Path, name: str) -> duckdb.DuckDBPyRelation:
    path = people.with_name("changed.parquet")
    write_input(people, INPUTS[name], path)
    relation = duckdb.sql(f"from read_parquet('{path}')")
    assert relation.columns == list(COLUMNS)
    assert relation.count("*").fetchall() == [(RECORDS,)]
    return relation


def test_the_ordinary_records_are_left_as_they_are(people: Path) -> None:
    same = duckdb.sql(f"from read_parquet('{people}')")
    assert changed(people, "ordinary records").except_(same).fetchall() == []


def test_one_address_is_on_all_records_and_half_of_them_are_john_smith(people: Path) -> None:
    emails = changed(people, "one address on all").aggregate("count(distinct email)")
    assert emails.fetchall() == [(1,)]
    named = changed(people, "half are John Smith").filter(
        "first_name = 'John' and last_name = 'Smith'"
    )
    assert named.count("*").fetchall() == [(RECORDS // 2,)]


def test_each_record_of_the_chain_shares_something_with_one_before_and_one_after(
    people: Path,
) -> None:
    chain = changed(people, f"a chain of {CHAIN:,} records").filter("last_name = 'Chain'")
    shared = chain.aggregate("count(*), count(distinct email), count(distinct phone)")
    assert shared.fetchall() == [(CHAIN, CHAIN // 2, CHAIN // 2 + 1)]
