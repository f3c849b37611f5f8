"""The content hash is equal exactly when the content is."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.release.content import ReleaseError, Table, read_tables


def describe(*statements: str, threads: int = 2, time_zone: str = "UTC") -> dict[str, Table]:
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute(f"set TimeZone = '{time_zone}'")
        connection.execute("create schema marts")
        for statement in statements:
            connection.execute(statement)
        return read_tables(connection, "memory")


def content_hash(query: str, *, threads: int = 2, time_zone: str = "UTC") -> str:
    tables = describe(f"create table marts.t as {query}", threads=threads, time_zone=time_zone)
    return tables["t"].content_hash


def values(rows: str, types: str = "varchar, varchar") -> str:
    names = [f"c{number}" for number in range(len(types.split(", ")))]
    casts = ", ".join(
        f"{name}::{kind}" for name, kind in zip(names, types.split(", "), strict=True)
    )
    return f"select {casts} from (values {rows}) as v ({', '.join(names)})"


def test_the_hash_of_a_known_table_never_changes_so_that_old_releases_stay_comparable() -> None:
    tables = describe(
        """
        create table marts.everything as
        select
            'Zoë' as name, '' as empty, null::varchar as missing, 'a\\x00'::blob as bytes,
            'low'::enum ('low', 'high') as rank, true as flag, -5::tinyint as tiny,
            18446744073709551615::ubigint as big, 12.30::decimal(18, 2) as amount,
            0.1::float as single, 0.1::double + 0.2::double as double,
            'infinity'::timestamp as forever, timestamp_ns '2026-03-01 10:00:00.123456789' as nanos,
            timestamptz '2026-03-01 10:00:00+02' as moment, time '10:00:00.5' as clock,
            date '0044-03-15 (BC)' as ides, '00000000-0000-0000-0000-000000000001'::uuid as uuid
        """
    )
    assert tables["everything"].row_count == 1
    assert tables["everything"].content_hash == (
        "5a2c517a7d8325da12cfb6f38c9763dd60359faf4fee892baf386b8d08aa4c0c"
    )


BIG = """
    select i as id, 'customer ' || i as name, if(i % 3 = 0, null, i / 7) as score,
        timestamp '2026-01-01' + to_minutes(i) as seen_at
    from range(300000) as r (i)
"""


def test_row_order_and_threads_do_not_change_the_hash() -> None:
    expected = content_hash(BIG, threads=1)
    assert content_hash(BIG, threads=4) == expected
    assert content_hash(f"from ({BIG}) order by hash(id)", threads=4) == expected
    assert content_hash(f"from ({BIG}) order by id desc", threads=3) == expected


def test_one_changed_cell_among_many_changes_the_hash() -> None:
    changed = f"select * replace (if(id = 77777, name || ' ', name) as name) from ({BIG})"
    assert content_hash(changed) != content_hash(BIG)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (values("('a', 'b')"), values("('a', 'c')")),
        (values("('a', 'b')"), values("('b', 'a')")),
        (values("('a', 'b')"), values("('a', 'b'), ('a', 'b')")),
        (values("('a', 'b'), ('a', 'b')"), values("('a', 'b'), ('a', 'b'), ('a', 'b')")),
        (values("('a', 'b'), ('a', 'b')"), values("('c', 'd'), ('c', 'd')")),
        (values("('a', 'b'), ('c', 'd')"), values("('a', 'd'), ('c', 'b')")),
        (values("('a', null)"), values("('a', '')")),
        (values("('a', null)"), values("(null, 'a')")),
        (values("('a', null)"), values("('a', 'NULL')")),
        (values("('ab', 'c')"), values("('a', 'bc')")),
        (values("('a,1', 'b')"), values("('a', '1,b')")),
        (values("('1|', '|')"), values("('1', '||')")),
        (values("('é', '')"), values("('e\u0301', '')")),
        (values("(null, 1)", "int, int"), values("(1, null)", "int, int")),
        (values("(null, 1)", "int, int"), values("(0, 1)", "int, int")),
        (values("(1, 23)", "int, int"), values("(12, 3)", "int, int")),
        (values("('nan', 1)", "double, int"), values("(null, 1)", "double, int")),
        (values("('infinity')", "timestamp"), values("(null)", "timestamp")),
        (values("('infinity')", "timestamp"), values("('-infinity')", "timestamp")),
        (values("(0.1)", "double"), values("(0.10000000000000002)", "double")),
        (values("(''), (null)", "blob"), values("(null), (null)", "blob")),
        (values("(1)", "int"), values("(1)", "bigint")),
        (values("(1)", "decimal(9,1)"), values("(1)", "decimal(9,2)")),
        ("select 1 as a", "select 1 as b"),
        ("select 1 as a, 1 as b", "select 1 as b, 1 as a"),
        ("select 1 as a where false", "select '1' as a where false"),
    ],
)
def test_another_content_has_another_hash(one: str, other: str) -> None:
    assert content_hash(one) != content_hash(other)


def test_values_that_are_equal_in_sql_have_one_hash() -> None:
    assert content_hash("select -0.0::double as d") == content_hash("select 0.0::double as d")
    moment = "select timestamptz '2026-03-01 12:00:00+00' as at"
    assert content_hash(moment, time_zone="America/New_York") == content_hash(moment)


Row = tuple[str, str, str, str, str]
texts = st.sampled_from(["null", "''", "'a'", "'1'", "','", "'|'", "'-1'", "'1,|'"])
rows = st.lists(
    st.tuples(
        texts,
        texts,
        st.sampled_from(["null", "-1", "0", "1", "12"]),
        st.sampled_from(["null", "0.0", "1.5", "'inf'"]),
        st.sampled_from(["null", "'infinity'", "'2026-03-01'"]),
    ),
    max_size=4,
)


def hash_of_rows(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> str:
    connection.execute(
        "create or replace table marts.t (a varchar, b varchar, n integer, d double, t timestamp)"
    )
    if rows:
        values = ", ".join(f"({', '.join(row)})" for row in rows)
        connection.execute(f"insert into marts.t values {values}")
    return read_tables(connection, "memory")["t"].content_hash


@given(one=rows, other=rows, random=st.randoms())
def test_hashes_are_equal_exactly_when_the_multisets_of_rows_are(
    one: list[Row], other: list[Row], random: Random
) -> None:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("create schema marts")
        hash_of_one = hash_of_rows(connection, one)
        assert hash_of_rows(connection, random.sample(one, len(one))) == hash_of_one
        equal = Counter(one) == Counter(other)
        assert (hash_of_rows(connection, other) == hash_of_one) == equal


def test_an_empty_table_has_a_hash_of_its_columns() -> None:
    tables = describe("create table marts.none (a varchar)", "create table marts.nil (a integer)")
    assert [table.row_count for table in tables.values()] == [0, 0]
    assert tables["none"].content_hash != tables["nil"].content_hash


@pytest.mark.parametrize(
    "expression",
    [
        "sum(1)",
        "[1]",
        "{'a': 1}",
        "map {'a': 1}",
        "interval 1 day",
        "timetz '10:00:00+02'",
        "['low'::enum ('low')]",
        "[1.0]",
    ],
)
def test_a_type_that_some_reader_would_get_wrong_is_refused_by_name(expression: str) -> None:
    with pytest.raises(ReleaseError, match=r"Column odd of marts\.t has type .*[Cc]ast it"):
        content_hash(f"select {expression} as odd")


def test_only_marts_may_stand_in_the_published_database() -> None:
    mart = "create table marts.t as select 1 as a"
    with pytest.raises(ReleaseError, match=r"table main\.secret, but only tables of schema marts"):
        describe(mart, "create table secret as select 1 as a")
    with pytest.raises(ReleaseError, match=r"view marts\.window"):
        describe(mart, "create view marts.window as from marts.t")
    with pytest.raises(ReleaseError, match="no table in schema marts"):
        describe()
