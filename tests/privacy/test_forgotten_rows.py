"""Rows of forgotten people: kept out of what lands, and taken out of what has landed."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.landing import FEEDS, land
from orchestration.privacy.identifiers import RULES, VALUES, identifier_sql, keyed_sql
from orchestration.privacy.raw_rows import Forgetter, erase_raw
from orchestration.privacy.tombstones import Tombstones, keyed
from orchestration.sql import transaction
from tests.landing.conftest import LOADED_AT

KEY = b"k" * 32


class Landing:
    """A landing and a database in memory; lands with tombstones or without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = duckdb.connect()
        self._loads = 0

    def put(self, feed: str, *rows: dict[str, str], name: str = "a.csv", extra: str = "") -> None:
        path = self.folder / feed / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(text.getvalue() + extra, encoding="utf-8")

    def land(self, *identifiers: str) -> Any:
        self._loads += 1
        stones = tombstones(*identifiers)
        return land(
            self.connection,
            self.folder,
            load_id=f"load-{self._loads}",
            loaded_at=LOADED_AT,
            forgetting=Forgetter(stones) if stones else None,
        )

    def erase(self, *identifiers: str) -> dict[str, Any]:
        tombstones(*identifiers).enter(self.connection)
        with transaction(self.connection):
            return erase_raw(self.connection, FEEDS)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything of raw that says something of people."""
        found = {
            feed.table: self.rows(
                f"select * exclude (_load_id) from raw.{feed.table} order by _row_hash"
            )
            for feed in FEEDS
        }
        found["rejects"] = self.rows(
            "select feed, source_file, line_number, line_text, value, reason from raw.rejects"
            " order by all"
        )
        found["files"] = self.rows(
            "select file_path, line_count, loaded_count, new_row_count, rejected_count,"
            " forgotten_count from raw.files order by file_path"
        )
        return found


def tombstones(*identifiers: str) -> Tombstones:
    return Tombstones(KEY, frozenset(keyed(KEY, identifier) for identifier in identifiers))


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    landing = Landing(tmp_path)
    yield landing
    landing.connection.close()


def test_every_feed_says_who_its_rows_speak_of_and_what_becomes_of_them() -> None:
    assert RULES.keys() == {feed.name for feed in FEEDS}
    for feed in FEEDS:
        columns = {column.name for column in feed.columns}
        rule = RULES[feed.name]
        assert rule.identifiers.keys() <= columns, feed.name
        assert set(rule.mentions) <= columns, feed.name
        assert (rule.keeps or {}).keys() <= columns, feed.name
        assert not (rule.keeps or {}).keys() & {
            column for column, kind in rule.identifiers.items() if kind in VALUES
        }, feed.name


def test_a_keyed_hash_in_sql_is_the_one_in_python(landing: Landing) -> None:
    tombstones("email:ann@x.test").enter(landing.connection)
    asked = keyed_sql(identifier_sql("email:", "' Ann+news@X.test'"))
    assert landing.rows(f"select {asked} = keyed_hash from temp.tombstones") == [(True,)]


def test_a_row_of_a_forgotten_person_does_not_land_and_is_counted(landing: Landing) -> None:
    landing.put(
        "crm/contacts",
        {"contact_id": "C1", "email": "ann@x.test"},
        {"contact_id": "C2", "email": "bob@x.test"},
        {"contact_id": "C3", "email": "ANN+shop@x.test"},
    )
    report = landing.land("email:ann@x.test")
    assert landing.rows("select contact_id from raw.crm__contacts") == [("C2",)]
    (outcome,) = report.files
    assert (outcome.line_count, outcome.loaded_count, outcome.forgotten_count) == (3, 1, 2)


def test_an_order_of_a_forgotten_person_keeps_its_money_and_day_only(landing: Landing) -> None:
    landing.put(
        "shop/orders",
        {
            "order_id": "77",
            "customer_id": "7",
            "email": "ann@x.test",
            "phone": "+44 20 7946 0018",
            "ordered_at": "2026-03-01T23:30:00-02:00",
            "status": "completed",
            "currency_code": "EUR",
            "total_amount": "10.50",
        },
    )
    landing.put("shop/order_lines", {"order_id": "77", "line_number": "1", "product_id": "p"})
    landing.land("shop:7", "shop:order:77")
    ((order, customer, email, phone, day, amount),) = landing.rows(
        "select order_id, customer_id, email, phone, ordered_at, total_amount from raw.shop__orders"
    )
    assert (customer, email, phone, amount) == (None, None, None, "10.50")
    assert day == "2026-03-02T00:00:00Z"
    assert order.startswith("anonymised-")
    assert landing.rows("select order_id, product_id from raw.shop__order_lines") == [(order, "p")]


def test_versions_of_an_order_that_differed_in_the_person_only_are_one_row(
    landing: Landing,
) -> None:
    order = {"order_id": "77", "customer_id": "7", "total_amount": "10.50"}
    landing.put("shop/orders", order | {"email": "a@x.test"}, order | {"email": "b@x.test"})
    landing.land()
    erased = landing.erase("shop:7", "shop:order:77")
    assert (erased["shop/orders"].anonymised, erased["shop/orders"].deleted) == (1, 1)
    assert landing.rows("select count(*), count(distinct _row_hash) from raw.shop__orders") == [
        (1, 1)
    ]


def test_a_rejected_line_that_names_a_forgotten_person_keeps_its_place_and_not_its_text(
    landing: Landing,
) -> None:
    landing.put(
        "crm/contacts",
        {"contact_id": "C1", "email": "ann@x.test", "birth_date": "1990-13-01"},
        {"contact_id": "C2", "email": "bob@x.test", "birth_date": "1990-13-01"},
    )
    landing.land("email:ann@x.test")
    first, second = landing.rows("select line_text, value from raw.rejects order by line_number")
    assert first == ("", None)
    assert "bob@x.test" in second[0]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("please call ann@x.test.", "please call [forgotten]."),
        ("call 0044 20 7946 0018 now", "call [forgotten] now"),
        ("joann@x.test wrote", "joann@x.test wrote"),
        ("Ann and ANN@X.TEST", "Ann and [forgotten]"),
    ],
)
def test_an_address_within_somebody_elses_text_is_masked(
    landing: Landing, text: str, left: str
) -> None:
    landing.put("support/tickets", {"ticket_id": "T2", "body": text})
    landing.land("email:ann@x.test", "phone:079460018")
    assert landing.rows("select body from raw.support__tickets") == [(left,)]


def test_an_address_within_the_address_of_a_page_is_masked(landing: Landing) -> None:
    landing.put("web/events", {"event_id": "e", "page_url": "https://s.test/?m=ann%40x.test&q=1"})
    landing.land("email:ann@x.test")
    assert landing.rows("select page_url from raw.web__events") == [
        ("https://s.test/?m=[forgotten]&q=1",)
    ]


def test_a_row_in_quarantine_goes_with_its_person(landing: Landing) -> None:
    landing.put("crm/contacts", {"contact_id": "C1", "email": "ann@x.test"})
    landing.land()
    landing.connection.execute(
        "insert into raw.quarantine select 'q-1', 'crm/contacts', '{}',"
        """ '{"contact_id": "C1", "email": "ann@x.test"}', 'check', 'set aside',"""
        " now()::timestamp,"
        " _load_id, _loaded_at, _source_file, _row_hash from raw.crm__contacts"
    )
    landing.connection.execute("delete from raw.crm__contacts")
    landing.erase("crm:C1")
    assert landing.rows("select count(*) from raw.quarantine") == [(0,)]
    assert landing.rows("select new_row_count, forgotten_count from raw.files") == [(0, 1)]


# --- the law -------------------------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "b", "c"])
_ID = st.sampled_from(["1", "2", "3"])
_EMAIL = _NAMES.map(lambda name: f"{name}@x.test")
_CONTACTS = st.lists(st.fixed_dictionaries({"contact_id": _ID, "email": _EMAIL}), max_size=5)
_ORDERS = st.lists(
    st.fixed_dictionaries(
        {
            "order_id": _ID,
            "customer_id": st.sampled_from(["", "1", "2"]),
            "email": _EMAIL,
            "total_amount": st.sampled_from(["1", "2"]),
            "ordered_at": st.sampled_from(["2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"]),
        }
    ),
    max_size=6,
)
_TICKETS = st.lists(
    st.fixed_dictionaries(
        {
            "ticket_id": _ID,
            "requester_email": _EMAIL,
            "body": _EMAIL.map("ask {}".format),
            # some lines are rejects
            "opened_at": st.sampled_from(["2026-01-01T10:00:00Z", "never"]),
        }
    ),
    max_size=5,
)
_FORGOTTEN = st.sets(
    st.sampled_from(
        [
            *(f"email:{name}@x.test" for name in "abc"),
            *("crm:1", "crm:2", "shop:1", "shop:order:1", "shop:order:2", "support:1"),
        ]
    ),
    min_size=1,
    max_size=3,
)


@given(contacts=_CONTACTS, orders=_ORDERS, tickets=_TICKETS, forgotten=_FORGOTTEN)
def test_an_erasure_after_the_landing_leaves_what_a_landing_after_the_erasure_leaves(
    tmp_path_factory: pytest.TempPathFactory,
    contacts: list[dict[str, str]],
    orders: list[dict[str, str]],
    tickets: list[dict[str, str]],
    forgotten: set[str],
) -> None:
    folder = tmp_path_factory.mktemp("landing")
    left = []
    for is_erased_first in (True, False):
        landing = Landing(folder)
        for feed, rows in (
            ("crm/contacts", contacts),
            ("shop/orders", orders),
            ("support/tickets", tickets),
        ):
            if rows:
                landing.put(feed, *rows)
            else:
                landing.put(feed, {f"{feed[:-1].rpartition('/')[2]}_id": ""})
        if is_erased_first:
            landing.land(*forgotten)
        else:
            landing.land()
            landing.erase(*forgotten)
        content = landing.content()
        # which of several equal rows is the new one is nobody's concern
        files = content.pop("files")
        for path, lines, loaded, new, rejected, gone in files:
            assert lines == loaded + rejected + gone, path
            assert new <= loaded, path
        left.append(content)
        again = landing.land(*forgotten)
        assert again.new_row_count == 0
        landing.connection.close()
    assert left[0] == left[1]
