"""Customers one by one: found by what is known of them, told in full, masked for whom it is not."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestration.dashboard.people import (
    MASK,
    MOST_FOUND,
    NAME_KEY,
    Customer,
    masked,
    masked_found,
    search,
    tell,
)
from orchestration.dashboard.reading import Opened, find_release, open_release
from orchestration.governance.register import read_register
from orchestration.landing.feeds import Pii
from orchestration.settings import PROJECT_ROOT, Settings


@pytest.fixture(scope="module")
def opened(sample_release: Path) -> Iterator[Opened]:
    settings = Settings(home=sample_release.parent.parent)
    with open_release(settings, find_release(settings)) as opened:
        yield opened


def ask(opened: Opened, query: str) -> list[tuple[Any, ...]]:
    return opened.connection.execute(query).fetchall()


def found(opened: Opened, text: str, *, whole: bool = False) -> list[str]:
    return [one.customer_id for one in search(opened, text, whole=whole)]


@pytest.fixture(scope="module")
def known(opened: Opened) -> Customer:
    """A customer of whom everything is known."""
    ((customer_id,),) = ask(
        opened,
        "select customer_id from marts.customers where first_name is not null and email is not null"
        " and phone is not null and street is not null and birth_date is not null"
        " order by record_count desc, customer_id limit 1",
    )
    customer = tell(opened, customer_id)
    assert customer
    return customer


def test_what_a_record_shows_finds_its_customer(opened: Opened) -> None:
    records = ask(
        opened,
        "select customer_id, source_record_id, first_name, last_name, email, phone"
        " from marts.customer_records order by hash(source_record_id) limit 60",
    )
    for customer_id, record, first_name, last_name, email, phone in records:
        assert customer_id in found(opened, customer_id)
        assert customer_id in found(opened, record)
        if first_name and last_name:
            assert customer_id in found(opened, f"{first_name} {last_name}", whole=True)
            assert customer_id in found(opened, f" {last_name.upper()}, {first_name}")
        if email:
            assert customer_id in found(opened, email.upper())
            assert customer_id in found(opened, email[: email.index("@") + 2])
        if phone:
            assert customer_id in found(opened, phone)
            assert customer_id in found(opened, f"0{phone[-9:-6]} / {phone[-6:-3]}-{phone[-3:]}")


def test_the_beginning_is_enough_only_where_it_may_be(opened: Opened, known: Customer) -> None:
    beginning = known.profile["last_name"][:4]
    assert (
        known.customer_id in found(opened, f"{beginning}")
        or len(found(opened, beginning)) == MOST_FOUND
    )
    assert known.customer_id not in found(opened, beginning, whole=True)
    assert found(opened, known.profile["email"][:3] + "@", whole=True) == []


def test_an_id_out_of_use_finds_whom_it_leads_to(opened: Opened) -> None:
    for former, current in ask(
        opened,
        "select customer_id, current_customer_id from marts.customer_redirects"
        " where current_customer_id is not null limit 5",
    ):
        assert found(opened, former) == [current]


@pytest.mark.parametrize(
    "text",
    ["", "  ", "%", "_", "'", "''; drop table customers --", "@", "*", "0", "<>", "ß" * 999],
)
def test_what_names_nobody_finds_nobody(opened: Opened, text: str) -> None:
    assert search(opened, text) == []


def test_one_search_shows_a_page_of_customers_and_no_more(opened: Opened) -> None:
    assert len(search(opened, "a")) == MOST_FOUND


@given(st.text(max_size=12))
@example("Jörg Müller-Łukasz")
@example("ÆØÐß œuvre \N{LATIN SMALL LETTER DOTLESS I}I")
def test_a_name_is_looked_for_by_the_key_under_which_it_is_kept(text: str) -> None:
    macros = (PROJECT_ROOT / "dbt_project/macros/normalise.sql").read_text(encoding="utf-8")
    module: Any = jinja2.Environment().from_string(macros).module
    kept = module.normalise_name("$text")
    asked = NAME_KEY.format(text="$text")
    ((one, other),) = duckdb.execute(
        f"select coalesce({kept}, ''), {asked}", {"text": text}
    ).fetchall()
    assert one == other


def test_everything_that_a_release_knows_of_a_customer_is_told(
    opened: Opened, known: Customer
) -> None:
    of_them = f"where customer_id = '{known.customer_id}'"
    counts = {
        "customer_golden_values": len(known.golden),
        "customer_consent": len(known.consents),
        "customer_suppressions": len(known.suppressions),
        "customer_segment_memberships": len(known.segments),
        "customer_records": len(known.own_records),
        "touchpoints": sum(row["kind"] not in {"consent", "first seen"} for row in known.touches),
    }
    for mart, count in counts.items():
        assert ask(opened, f"select count(*) from marts.{mart} {of_them}") == [(count,)], mart
    assert known.name == f"{known.profile['first_name']} {known.profile['last_name']}"
    assert [row["touched_at"] for row in known.touches] == sorted(
        (row["touched_at"] for row in known.touches), reverse=True
    )
    for link in known.links:
        assert {*link.pair} <= {*known.records}
    assert {known.customer_id, *(link.pair[0] for link in known.links)} <= {*known.names}


def test_somebody_who_is_not_there_is_not_told(opened: Opened) -> None:
    assert tell(opened, "cus_nobody") is None


def test_nothing_that_identifies_a_person_is_left_where_it_is_masked(known: Customer) -> None:
    register = read_register()
    shown = str(dataclasses.asdict(masked(known, register)))
    hidden = 0
    for record in (known.profile, *known.records.values()):
        for column, value in record.items():
            pii = register.pii("customer_records", column)
            if pii in {Pii.DIRECT, Pii.SENSITIVE} and value and len(str(value)) > 2:
                assert str(value) not in shown, column
                hidden += 1
    assert hidden >= 5
    assert MASK in shown
    assert known.customer_id in shown


def test_a_column_without_a_mask_of_its_own_is_hidden_by_its_class(known: Customer) -> None:
    told = dataclasses.replace(known, profile={**known.profile, "street": "Elm Road 1"})
    assert masked(told, read_register()).profile["street"] == MASK
    told = dataclasses.replace(known, profile={**known.profile, "never_seen_before": "Elm Road 1"})
    assert masked(told, read_register()).profile["never_seen_before"] == MASK


def test_a_result_is_masked_like_a_customer(opened: Opened, known: Customer) -> None:
    (result,) = search(opened, known.customer_id)
    told = masked_found(result)
    for text in (result.name, result.email, result.phone):
        assert text not in str(told)
    assert told.customer_id == result.customer_id
