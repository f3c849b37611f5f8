"""What the contract has no purpose for does not reach raw, however it is delivered."""

import dataclasses
import gzip
import json
import re
from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing import FEEDS, Feed, LandingReport, land
from orchestration.landing.feed_policies import Action, FeedPolicy
from tests.landing.conftest import LOADED_AT, World

CONTACTS = next(feed for feed in FEEDS if feed.name == "crm/contacts")
STRICT = FeedPolicy(
    on_added_column=Action.STOP,
    on_removed_column=Action.STOP,
    on_renamed_column=Action.STOP,
    on_retyped_column=Action.STOP,
)
HEADER = "contact_id,first_name,Birth_Date,email\n"


def without_purpose(*names: str) -> Feed:
    columns = tuple(
        dataclasses.replace(column, purposes=()) if column.name in names else column
        for column in CONTACTS.columns
    )
    return dataclasses.replace(CONTACTS, columns=columns)


PURPOSELESS = without_purpose("birth_date")


def landed(world: World, feeds: Sequence[Feed] = (PURPOSELESS,)) -> LandingReport:
    world.runs += 1
    report = land(
        world.connection,
        world.landing,
        load_id=f"load-{world.runs}",
        loaded_at=LOADED_AT + timedelta(days=world.runs),
        feeds=feeds,
        policies={feed.name: STRICT for feed in feeds},
    )
    world.check_laws()
    return report


def everything_in_raw(world: World) -> str:
    tables = world.rows("select table_name from duckdb_tables() where schema_name = 'raw'")
    return "\n".join(str(world.rows(f"from raw.{table}")) for (table,) in tables)


def test_values_of_a_column_without_a_purpose_reach_no_table_in_any_format(world: World) -> None:
    row = {"contact_id": "J1", "first_name": "Jo", "BIRTH_DATE": "1971-01-01", "email": "j@b.c"}
    world.put("crm/contacts/1.csv", HEADER + "C1,Anna,1972-02-02,a@b.c\n")
    world.put("crm/contacts/2.csv", HEADER + '\nC2,"An"na,1973-03-03,a@b.c\nC3,Ben,1974-04-04,\n')
    world.put("crm/contacts/3.csv.gz", gzip.compress((HEADER + "C4,Cleo,1975-05-05,\n").encode()))
    world.put("crm/contacts/4.jsonl", json.dumps(row) + "\n")
    world.put("crm/contacts/5.json", json.dumps([row | {"contact_id": "J2"}]))
    path = world.put("crm/contacts/6.parquet", b"")
    table = {"contact_id": "P1", "first_name": "Pia", "birth_date": "1976-06-06", "email": ""}
    pq.write_table(pa.Table.from_pylist([table]), path)
    world.put("crm/contacts/6.parquet", path.read_bytes())
    report = landed(world)
    assert (report.refused, report.warnings) == ((), ())
    assert world.names() == [
        ("C1", "Anna"),
        ("C3", "Ben"),
        ("C4", "Cleo"),
        ("J1", "Jo"),
        ("J2", "Jo"),
        ("P1", "Pia"),
    ]
    assert world.rows("select distinct birth_date from raw.crm__contacts") == [(None,)]
    # the line that could not be read is shown as it came
    assert [line for (line,) in world.rows("select line_text from raw.rejects")] == [
        'C2,"An"na,1973-03-03,a@b.c'
    ]
    world.connection.execute("delete from raw.rejects")
    assert not re.search(r"197\d-", everything_in_raw(world))


def test_what_is_not_read_rejects_no_line_and_is_no_drift(world: World) -> None:
    world.put("crm/contacts/1.csv", HEADER + "".join(f"C{i},x,soon,\n" for i in range(9)))
    world.put("crm/contacts/2.csv", "contact_id,first_name,email\nC9,x,\n")
    report = landed(world)
    assert (report.new_row_count, report.rejected_count, report.refused) == (10, 0, ())
    assert report.warnings == ()


def test_rows_that_differ_only_there_are_one_row(world: World) -> None:
    world.put("crm/contacts/1.csv", HEADER + "C1,Anna,1972-02-02,\nC1,Anna,1973-03-03,\n")
    report = landed(world)
    assert (report.new_row_count, report.loaded_count) == (1, 2)


def test_a_file_is_read_again_when_its_column_gets_a_purpose(world: World) -> None:
    world.put("crm/contacts/1.csv", HEADER + "C1,Anna,1972-02-02,\n")
    landed(world)
    assert landed(world).files_read == 0
    assert landed(world, [CONTACTS]).files_read == 1
    newest = "select birth_date from raw.crm__contacts order by birth_date nulls last limit 1"
    assert world.rows(newest) == [("1972-02-02",)]
    assert landed(world, [CONTACTS]).files_read == 0


def test_a_column_that_loses_its_purpose_is_emptied(world: World) -> None:
    world.put("crm/contacts/1.csv", HEADER + "C1,Anna,1972-02-02,a@b.c\nC2,Ben,,\n")
    landed(world, [CONTACTS])
    world.connection.execute(
        "insert into raw.quarantine by name select 'q-1' as entry_id, 'crm/contacts' as feed,"
        " '{}' as record, to_json(landed)::varchar as row_values, 'c' as check_id,"
        " 'set aside' as status, now()::timestamp as set_aside_at,"
        " columns('_load_id|_loaded_at|_source_file|_row_hash')"
        " from raw.crm__contacts as landed where contact_id = 'C1'"
    )
    assert "1972-" in everything_in_raw(world)
    assert landed(world).files_read == 0
    assert "1972-" not in everything_in_raw(world)
    assert world.rows("select row_values ->> 'email' from raw.quarantine") == [("a@b.c",)]
    assert world.names() == [("C1", "Anna"), ("C2", "Ben")]


@pytest.mark.parametrize("needed", ["contact_id", "updated_at"])
def test_a_feed_cannot_do_without_a_purpose_for_its_key_and_its_cursor(needed: str) -> None:
    with pytest.raises(ValueError, match=f"{needed} is key, cursor or cluster.*needs a purpose"):
        without_purpose(needed)
