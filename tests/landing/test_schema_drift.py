"""A file whose columns are not those that its feed had is told, or refused, as the policy says."""

import dataclasses
import gzip
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing import FEEDS, Feed, LandingReport, land
from orchestration.landing.feed_policies import (
    POLICIES_FILE,
    Action,
    FeedPolicy,
    FeedPolicyError,
    read_policies,
)
from orchestration.landing.feeds import Column, ColumnType, Pii
from orchestration.landing.schema_drift import similar_name
from tests.landing.conftest import LOADED_AT, World

CONTACTS = next(feed for feed in FEEDS if feed.name == "crm/contacts")
SHOE_SIZE = Column(
    "shoe_size", "", ColumnType.INTEGER, pii=Pii.INDIRECT, purposes=("customer_analytics",)
)
HEADER = "contact_id,first_name,email,birth_date\n"
ROWS = "".join(
    f"C{i},{name},{name.lower()}.{i}@example.com,1990-01-{i + 10}\n"
    for i, name in enumerate(("Anna", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo"))
)


def landed(
    world: World, policy: FeedPolicy | None = None, feeds: Sequence[Feed] = FEEDS
) -> LandingReport:
    world.runs += 1
    policies = {feed.name: policy or FeedPolicy() for feed in feeds}
    report = land(
        world.connection,
        world.landing,
        load_id=f"load-{world.runs}",
        loaded_at=LOADED_AT + timedelta(days=9),
        feeds=feeds,
        policies=policies,
    )
    world.check_laws()
    return report


# --- the policy file ---------------------------------------------------------------------------


def test_the_shipped_policies_have_a_row_for_every_feed() -> None:
    assert set(read_policies(FEEDS)) == {feed.name for feed in FEEDS}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("crm/contacts,", "crm/contakts,", ["line 2, feed: 'crm/contakts'", "crm/contacts"]),
        ("crm/contacts,warn", "crm/contacts,wran", ["line 2, on_added_column: 'wran'", "accept"]),
        (
            "shop/customers,warn,warn,stop",
            "shop/customers,warn,warn,accept",
            ["line 3", "'accept'"],
        ),
        ("shop/customers,", "crm/contacts,", ["line 3", "has a row already", "shop/customers"]),
        ("shop/customers", "#", ["shop/customers has no row"]),
        ("on_added_column", "on_new_column", ["line 1", "on_new_column", "on_added_column"]),
        ("crm/contacts,", "crm/contacts,warn,", ["line 2: 7 values, the header has 6"]),
    ],
)
def test_a_policy_that_cannot_be_used_names_file_line_value_and_what_is_allowed(
    world: World, tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    path = tmp_path / "feed_policies.csv"
    path.write_text(POLICIES_FILE.read_text(encoding="utf-8").replace(old, new, 1))
    with pytest.raises(FeedPolicyError) as error:
        read_policies(FEEDS, path)
    assert str(path) in str(error.value)
    for word in words:
        assert word in str(error.value)


# --- added, removed, renamed -------------------------------------------------------------------


@pytest.mark.parametrize("action", list(Action))
def test_an_added_column_is_accepted_warned_of_or_stops(world: World, action: Action) -> None:
    world.put("crm/contacts/1.csv", HEADER + ROWS)
    world.put("crm/contacts/2.csv", "contact_id,shoe_size\nC99,43\n")
    report = landed(world, FeedPolicy(Action(action), Action.ACCEPT))
    told = [*report.warnings, *report.refused]
    assert [("shoe_size" in sentence) for sentence in told] == [True] * (action != Action.ACCEPT)
    assert len(report.refused) == (action is Action.STOP)
    columns = world.rows("select extra_columns, accepted_columns from raw.files order by file_path")
    assert (
        columns[1]
        == {
            Action.ACCEPT: (None, "shoe_size"),
            Action.WARN: ("shoe_size", None),
            Action.STOP: (None, None),
        }[action]
    )


@pytest.mark.parametrize("action", list(Action))
def test_a_removed_column_is_accepted_warned_of_or_stops(world: World, action: Action) -> None:
    world.put("crm/contacts/1.csv", HEADER + ROWS)
    world.put("crm/contacts/2.csv", "contact_id,first_name,birth_date\nC99,Ida,\n")
    world.put("crm/contacts/3.csv", "contact_id,first_name,birth_date\nC98,Jo,\n")
    report = landed(world, FeedPolicy(on_removed_column=action))
    told = "`email` is gone, which the file before had"
    assert [told in sentence for sentence in report.warnings] == [True] * (action is Action.WARN)
    assert [told in sentence for sentence in report.refused] == [True, True] * (
        action is Action.STOP
    )
    # later runs compare with the file that was read last
    world.put("crm/contacts/4.csv", "contact_id,first_name\nC97,Kai\n")
    warnings = landed(world, FeedPolicy(on_removed_column=Action.WARN)).warnings
    assert any("4.csv: `birth_date` is gone" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("suffix", "new_name", "why"),
    [
        ("csv", "e_mail", "the names are alike"),
        ("csv", "customer_email", "the names are alike"),
        ("csv", "contact_via", "its values look like those it had"),
        ("jsonl", "contact_via", "its values look like those it had"),
        ("csv.gz", "contact_via", "its values look like those it had"),
        ("parquet", "contact_via", "its values look like those it had"),
    ],
)
def test_a_renamed_column_is_recognised_by_its_name_or_its_values(
    world: World, suffix: str, new_name: str, why: str
) -> None:
    world.put("crm/contacts/1.csv", HEADER + ROWS)
    landed(world)
    records = [
        {"contact_id": f"D{i}", "first_name": "Ola", new_name: f"o.{i}@example.org"}
        for i in range(8)
    ]
    lines = [",".join(records[0]), *(",".join(record.values()) for record in records)]
    content = {
        "csv": "\n".join(lines).encode() + b"\n",
        "csv.gz": gzip.compress("\n".join(lines).encode() + b"\n"),
        "jsonl": "".join(json.dumps(record) + "\n" for record in records).encode(),
        "parquet": b"",
    }[suffix]
    path = world.put(f"crm/contacts/2.{suffix}", content)
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    (sentence,) = landed(world).refused
    assert (
        f"crm/contacts/2.{suffix} was refused: `email` is gone and `{new_name}` is new" in sentence
    )
    assert why in sentence
    assert "on_renamed_column of crm/contacts to warn in seeds/reference/feed_policies" in sentence
    assert len(world.names()) == 8

    report = landed(world, FeedPolicy(on_renamed_column=Action.WARN))
    assert (report.refused, report.new_row_count) == ((), 8), "another policy reads it anew"
    assert any(
        warning.startswith(f"crm/contacts/2.{suffix}: `email` is gone and `{new_name}` is new")
        for warning in report.warnings
    )


def test_a_renamed_key_is_named_in_the_refusal(world: World) -> None:
    world.put("crm/contacts/1.csv", HEADER.replace("contact_id", "ContactID") + ROWS)
    (sentence,) = landed(world).refused
    assert "the required column contact_id is missing" in sentence
    assert "`ContactID` may be the new name of `contact_id`" in sentence


def test_a_column_with_other_values_and_another_name_is_no_renamed_one(world: World) -> None:
    world.put("crm/contacts/1.csv", HEADER + ROWS)
    lines = "".join(f"E{i},Ola,{i}\n" for i in range(8))
    world.put("crm/contacts/2.csv", "contact_id,first_name,loyalty_points\n" + lines)
    report = landed(world)
    assert report.refused == ()
    assert not any("looks like another name" in warning for warning in report.warnings)


def test_a_similar_name_is_another_spelling_and_not_another_thing() -> None:
    for other in ("e_mail", "E-Mail", "mail", "customer_email", "email_address"):
        assert similar_name("email", [other]) == other
    for other in ("email_opt_in", "phone", "name", "comment"):
        assert similar_name("email", [other]) is None
    assert similar_name("first_name", ["last_name"]) is None
    assert similar_name("created_at", ["updated_at"]) is None


# --- retyped -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [Action.WARN, Action.STOP])
def test_a_retyped_column_stops_or_costs_its_lines(world: World, action: Action) -> None:
    world.put("crm/contacts/1.csv", HEADER + ROWS)
    lines = "".join(f"F{i},Ola,,{i + 10}.01.1990\n" for i in range(8)) + "F9,Ola,,1990-01-01\n"
    world.put("crm/contacts/2.csv", HEADER + lines)
    report = landed(world, FeedPolicy(on_retyped_column=action))
    told = "8 of 9 values of `birth_date` are no date, so the column has another type now"
    said = report.refused if action is Action.STOP else report.warnings
    assert [told in sentence for sentence in said] == [True]
    assert len(world.names()) == (8 if action is Action.STOP else 9)
    assert len(world.rejects()) == (0 if action is Action.STOP else 8)


def test_a_few_values_of_another_type_are_typing_errors(world: World) -> None:
    lines = "".join(f"F{i},Ola,,soon\n" for i in range(4))
    world.put("crm/contacts/1.csv", HEADER + ROWS + lines)
    report = landed(world)
    assert (report.refused, report.warnings, report.rejected_count) == ((), (), 4)


# --- a contract that changes -------------------------------------------------------------------


def test_a_file_is_read_again_when_the_contract_gains_one_of_its_columns(world: World) -> None:
    world.put("crm/contacts/1.csv", "contact_id,shoe_size,email\nC1,43,a@b.c\nC2,,\nC2\n")
    world.put("crm/contacts/2.jsonl", '{"contact_id": "C3", "SHOE_SIZE": 39}\n')
    world.put("crm/contacts/3.csv", "contact_id,email\nC4,d@e.f\n")
    for policy in (FeedPolicy(), FeedPolicy(on_added_column=Action.ACCEPT)):
        world.connection.execute("drop schema if exists raw cascade")
        before = landed(world, policy)
        assert (before.new_row_count, before.rejected_count) == (4, 1)
        gained = dataclasses.replace(CONTACTS, columns=(*CONTACTS.columns, SHOE_SIZE))
        report = landed(world, policy, [gained])
        assert (report.files_read, report.refused) == (2, ())
        assert world.rows("select contact_id, shoe_size from raw.crm__contacts order by 1") == [
            ("C1", "43"),
            ("C2", None),
            ("C3", "39"),
            ("C4", None),
        ]
        assert len(world.rejects()) == 1
        assert landed(world, policy, [gained]).files_read == 0


def test_a_file_that_is_read_again_counts_as_landed_when_it_came(world: World) -> None:
    columns = "contact_id,shoe_size,email\n"
    world.put("crm/contacts/1.csv", columns + "C1,43,old@b.c\n")
    world.land(loaded_at=LOADED_AT)
    world.put("crm/contacts/2.csv", HEADER + "C1,Anna,,\n")
    world.land(loaded_at=LOADED_AT + timedelta(days=1))
    gained = dataclasses.replace(CONTACTS, columns=(*CONTACTS.columns, SHOE_SIZE))
    assert landed(world, feeds=[gained]).files_read == 1
    newest = "select first_name from raw.crm__contacts order by _loaded_at desc limit 1"
    assert world.rows(newest) == [("Anna",)]


def test_rejected_lines_are_read_again_when_their_column_gets_another_type(world: World) -> None:
    world.put("crm/contacts/1.csv", HEADER + "C1,Anna,,1990\nC2,Ben,,1990-01-01\n")
    assert landed(world).rejected_count == 1
    columns = tuple(
        dataclasses.replace(column, type=ColumnType.TEXT) if column.name == "birth_date" else column
        for column in CONTACTS.columns
    )
    report = landed(world, feeds=[dataclasses.replace(CONTACTS, columns=columns)])
    assert (report.new_row_count, report.rejected_count) == (2, 0)
    assert world.rejects() == []
