"""Forgotten people taken out of databases: what names them goes, the rest of a text stays."""

from pathlib import Path

import duckdb
import pytest

from orchestration.database import DatabaseFile
from orchestration.privacy.databases import Forgotten
from orchestration.privacy.people import People
from orchestration.privacy.scanning import Scanner, _has_deleted
from orchestration.privacy.tombstones import Tombstones

ANN = "cus_0000000000000000000a"
BEA = "cus_0000000000000000000b"


@pytest.fixture
def forgotten() -> Forgotten:
    """Ann, a member of the shop `pos:1`, which is too short to be searched for."""
    needles = (ANN, "ann.b@x-mail.test", "shop:order:17")
    people = People(
        customers=(ANN,),
        records=("pos:1",),
        identifiers=("pos:1", "email:ann.b@x-mail.test"),
        names=(ANN, "pos:1", "shop:order:17"),
        needles=needles,
        keys=(77,),
        shared_count=0,
    )
    return Forgotten(people, Scanner(needles), Tombstones(b"k" * 32, frozenset()))


def _edited(forgotten: Forgotten, folder: Path, *tables: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as before; create schema before.marts")
    for table in tables:
        connection.execute(f"create table before.marts.{table}")
    DatabaseFile(folder / "release.duckdb").attach_for_writing(connection, "release")
    forgotten.edit_marts(connection)
    return connection


def test_a_mart_is_masked_while_it_is_copied_so_nothing_else_is_in_its_file(
    forgotten: Forgotten, tmp_path: Path
) -> None:
    connection = _edited(
        forgotten,
        tmp_path,
        "tickets as select range as n, if(range = 500, 'of Ann.B@x-mail.test!', 'word ' || range)"
        " as body, if(range = 501, null, 'open') as status from range(100000)",
    )
    assert connection.execute(
        "select count(*), max(body) filter (n = 500), max(body) filter (n = 501), count(status)"
        " from release.marts.tickets"
    ).fetchall() == [(100_000, "of [forgotten]!", "word 501", 99_999)]
    connection.close()
    assert not _has_deleted(DatabaseFile(tmp_path / "release.duckdb"))
    assert forgotten.scanner.folder(tmp_path).places == []
    assert b"of Ann" not in (tmp_path / "release.duckdb").read_bytes()


def test_rows_go_by_a_name_however_short_it_is(forgotten: Forgotten, tmp_path: Path) -> None:
    connection = _edited(
        forgotten,
        tmp_path,
        f"customer_sources as select unnest(['{ANN}', '{BEA}', '{BEA}', null]) as customer_id,"
        " unnest(['crm:C1', 'pos:1', 'pos:12', 'pos:11']) as source_record_id",
    )
    assert connection.execute(
        "select source_record_id from release.marts.customer_sources order by all"
    ).fetchall() == [("pos:11",), ("pos:12",)]


def test_a_mention_of_them_in_the_row_of_another_is_emptied(
    forgotten: Forgotten, tmp_path: Path
) -> None:
    connection = _edited(
        forgotten,
        tmp_path,
        f"customer_id_history as select '{BEA}' as customer_id,"
        f" unnest(['{ANN}', 'cus_0000000000000000000c']) as other_customer_id",
    )
    assert connection.execute(
        "select customer_id, other_customer_id from release.marts.customer_id_history order by all"
    ).fetchall() == [(BEA, "cus_0000000000000000000c"), (BEA, None)]


def test_an_order_stays_without_its_person_and_others_stay_whole(
    forgotten: Forgotten, tmp_path: Path
) -> None:
    connection = _edited(
        forgotten,
        tmp_path,
        f"orders as select unnest(['{ANN}', '{BEA}']) as customer_id,"
        " unnest(['shop:1', 'shop:2']) as source_record_id,"
        " unnest(['shop:order:17', 'shop:order:18']) as order_key,"
        " timestamp '2026-05-04 13:14:15' as ordered_at, true as is_guest_order,"
        " unnest(['for ann.b@x-mail.test', 'for bea']) as note",
    )
    theirs, other = connection.execute(
        "select * from release.marts.orders order by customer_id nulls first"
    ).fetchall()
    assert theirs[:2] == (None, None)
    assert theirs[2].startswith("shop:anonymised-")
    assert (theirs[3].hour, *theirs[4:]) == (0, False, "for [forgotten]")
    assert (other[0], other[2], other[3].hour, *other[4:]) == (
        BEA,
        "shop:order:18",
        13,
        True,
        "for bea",
    )


def test_rows_of_models_go_by_names_and_keys_and_longer_texts_are_masked(
    forgotten: Forgotten,
) -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema identity")
        connection.execute(
            "create table identity.records as select unnest([77, 78, 79, 80])::ubigint as"
            " record_key, unnest(['a', 'pos:1', 'shop:order:17 is late', 'shop:order:177'])"
            " as body"
        )
        assert forgotten.purge(connection, ["identity"]) == 2
        assert connection.execute("from identity.records order by all").fetchall() == [
            (79, "[forgotten] is late"),
            (80, "shop:order:177"),
        ]
