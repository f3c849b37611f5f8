"""Who is meant by an identifier, and everything by which that person could be found again.

An erasure is always of a whole customer. Whoever was joined by mistake is taken apart first
(`warehouse decide not-same`, then a run). A value that somebody else bears too, in any version of
any record, is that person's as well: it stays, and rows are known by what is the forgotten person's
alone.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import md5, sha1, sha256

import duckdb

from orchestration.activation.identifiers import Platform, email_sql
from orchestration.database import DatabaseFile
from orchestration.landing.feeds import FEEDS, Feed
from orchestration.privacy.identifiers import (
    EMAIL,
    NATIONAL_ID,
    ORDER,
    PHONE,
    RECORD_KINDS,
    RULES,
    VALUES,
    VISITOR,
    identifier_sql,
    keyed_sql,
    record_sql,
)
from orchestration.privacy.tombstones import PrivacyError, Tombstones, meets_sql
from orchestration.sql import literal, quoted

CUSTOMER_ID = re.compile(r"cus_[0-9a-f]{20}")
_RECORD = re.compile(rf"({'|'.join(sorted(RECORD_KINDS))})\S+")
_PHONE = re.compile(r"[+(]?[0-9][0-9 ()/.-]{5,}")
# What a person may be called in a text, if nobody else is: shorter ones are words.
_NAME_COLUMNS = ("requester_name", "street")
_SHORTEST_NAME = 8
_SHORTEST_ID = 6
_SHORTEST_NUMBER = 10
_RECTIFIED = {"email": EMAIL, "phone": PHONE, "national_id": NATIONAL_ID}
# A value that is nobody's own makes no tombstone: it would keep strangers out.
_NOBODYS = "('placeholder', 'role', 'crowded')"


@dataclass(frozen=True)
class People:
    """People to be forgotten, as one set.

    customers: their ids, those out of use too. records: `crm:C1`; of visitors only those who are
    nobody else. identifiers: what tombstones are made of. names: texts that a cell may be equal to.
    needles: texts by which a scan finds them, in every spelling, and hashed. keys: 64-bit hashes
    that identity works with. shared_count: values that stay, for others bear them too.
    """

    customers: tuple[str, ...]
    records: tuple[str, ...]
    identifiers: tuple[str, ...]
    names: tuple[str, ...]
    needles: tuple[str, ...]
    keys: tuple[int, ...]
    shared_count: int


def kind_of(text: str) -> str:
    """Return what a text identifies somebody by: a kind, `customer` or `record`.

    Raises PrivacyError when it is no identifier.
    """
    text = text.strip()
    for kind in VALUES:
        if text.startswith(kind):
            return kind
    if CUSTOMER_ID.fullmatch(text):
        return "customer"
    if "@" in text and not any(character.isspace() for character in text):
        return EMAIL
    if _RECORD.fullmatch(text):
        return "record"
    if _PHONE.fullmatch(text):
        return PHONE
    raise PrivacyError(
        "An identifier is a customer id (cus_...), a record (crm:C1), an e-mail address, a phone"
        " number or national_id:<number>; what was given is none of them."
    )


class Registry:
    """What the working database and the current release know of who is who.

    connection: the working database, with time zone UTC. released: the marts of the
    current release, or None. Makes temporary tables only.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, released: DatabaseFile | None
    ) -> None:
        self._connection = connection
        connection.execute("set TimeZone = 'UTC'")
        self._tables = set(
            connection.execute(
                "select schema_name || '.' || table_name from duckdb_tables()"
                " where database_name = current_database()"
            ).fetchall()
        )
        self._enter_crosswalk(released)
        self._enter_bearers()

    def find(self, text: str) -> list[str]:
        """Return the customers that an identifier means; several when they share a value.

        Raises PrivacyError when it is no identifier.
        """
        return self.find_each([text])[0]

    def find_each(self, texts: Sequence[str]) -> list[list[str]]:
        """Return for each identifier the customers that it means, in one query for each kind.

        Raises PrivacyError when one is no identifier.
        """
        asked: dict[str, list[tuple[int, str]]] = {}
        for number, text in enumerate(texts):
            kind = kind_of(text)
            asked.setdefault(kind, []).append((number, text.strip().removeprefix(kind)))
        found: list[list[str]] = [[] for _ in texts]
        for kind, numbered in asked.items():
            rows = self._connection.execute(
                f"""
                with asked as (select unnest($numbers) as number, unnest($texts) as text)
                select distinct number, customer_id from ({_meant_sql(kind)}) order by all
                """,
                {
                    "numbers": [number for number, _ in numbered],
                    "texts": [text for _, text in numbered],
                },
            ).fetchall()
            for number, customer in rows:
                found[number].append(customer)
        return found

    def people(self, customers: Iterable[str], records: Iterable[str] = ()) -> People:
        """Return everything by which these customers could be found again.

        records: of theirs whatever anybody knows by now, for example when ids were lost.
        """
        execute = self._connection.execute
        execute("create or replace temp table subjects (customer_id varchar)")
        execute("insert into temp.subjects select unnest($ids)", {"ids": sorted(set(customers))})
        execute(
            "insert into temp.subjects select customer_id from temp.redirects"
            " where current_id in (select customer_id from temp.subjects)"
        )
        self._enter_records(sorted(set(records)))
        return self._people(self._identifiers())

    def forgotten(self, tombstones: Tombstones) -> People:
        """Return who is known by tombstones alone: what is held of them all the same.

        A record is theirs when it has a tombstone, or when each of its rows would not land; a
        customer when somebody of them is among its records, for nobody can say what of its values
        came from whom. Their orders and values are those that have a tombstone.
        """
        execute = self._connection.execute
        tombstones.enter(self._connection)
        execute("create or replace temp table told (record varchar, is_met boolean)")
        # of whom the release tells, whether or not there are rows
        execute("insert into temp.told select record, null from temp.crosswalk")
        for feed in FEEDS:
            record = record_sql(feed)
            if record is not None and self._has(f"raw.{feed.table}"):
                execute(
                    f"insert into temp.told select {record}, {meets_sql(feed)}"
                    f" from raw.{quoted(feed.table)}"
                )
        if self._has("raw.web__events"):
            execute(
                f"insert into temp.told select distinct {literal(VISITOR)} || anonymous_id, null"
                " from raw.web__events"
            )
        met = "(select keyed_hash from temp.tombstones)"
        execute(
            "create or replace temp table own_records as select record from temp.told"
            " where record is not null group by record"
            f" having {keyed_sql('record')} in {met} or coalesce(bool_and(is_met), false)"
        )
        execute("create or replace temp table shared_values (identifier varchar)")
        execute(
            "create or replace temp table own_values as select distinct identifier, typed"
            f" from temp.bearers where {keyed_sql('identifier')} in {met}"
        )
        execute("create or replace temp table own_orders (order_id varchar)")
        if self._has("raw.shop__orders"):
            order = f"{literal(ORDER)} || order_id"
            execute(
                "insert into temp.own_orders select distinct order_id from raw.shop__orders"
                f" where coalesce({keyed_sql(order)} in {met}, false)"
            )
        execute(
            "create or replace temp table subjects as select distinct customer_id"
            " from temp.crosswalk where record in (select record from temp.own_records)"
        )
        execute(
            "insert into temp.subjects select customer_id from temp.redirects"
            " where current_id in (select customer_id from temp.subjects)"
        )
        return self._people(
            self._list(
                "select record from temp.own_records union select identifier from temp.own_values"
                f" union select {literal(ORDER)} || order_id from temp.own_orders"
            )
        )

    def _people(self, identifiers: tuple[str, ...]) -> People:
        return People(
            customers=self._list("select customer_id from temp.subjects"),
            records=self._list("select record from temp.own_records"),
            identifiers=identifiers,
            names=self._names(),
            needles=self._needles(),
            keys=self._keys(),
            shared_count=len(self._list("select identifier from temp.shared_values")),
        )

    # --- who is who ----------------------------------------------------------------------------

    def _has(self, table: str) -> bool:
        return (table,) in self._tables

    def _enter_crosswalk(self, released: DatabaseFile | None) -> None:
        execute = self._connection.execute
        execute("create or replace temp table crosswalk (record varchar, customer_id varchar)")
        execute("create or replace temp table redirects (customer_id varchar, current_id varchar)")
        if released is not None:
            released.attach(self._connection, "published")
            try:
                execute(
                    "insert into temp.crosswalk select source_record_id, customer_id"
                    " from published.marts.customer_sources"
                )
                execute(
                    "insert into temp.redirects select customer_id, current_customer_id"
                    " from published.marts.customer_redirects"
                )
            finally:
                execute("detach published")
        if self._has("identity.int_records_assigned"):
            execute(
                """
                insert into temp.crosswalk
                with built as (
                    select records.source_record_id as record, assigned.customer_id
                    from identity.int_records_normalised as records
                    inner join identity.int_records_assigned as assigned using (record_key)
                ),
                visitors as (
                    select links.source_record_id as record, built.customer_id
                    from identity.int_visitors_linked as links
                    inner join built on links.linked_record_id = built.record
                )
                (select * from built union select * from visitors) except select * from crosswalk
                """
            )

    def _enter_bearers(self) -> None:
        """Who bears which value, in every version of every record that was ever landed."""
        self._connection.execute(
            "create or replace temp table bearers"
            " (record varchar, identifier varchar, typed varchar)"
        )
        for feed in FEEDS:
            record = record_sql(feed)
            if record is None or not self._has(f"raw.{feed.table}"):
                continue
            for column, kind in RULES[feed.name].identifiers.items():
                if kind in VALUES:
                    self._connection.execute(
                        f"insert into temp.bearers select distinct {record} as record,"
                        f" {identifier_sql(kind, quoted(column))} as identifier,"
                        f" {quoted(column)} as typed from raw.{quoted(feed.table)}"
                        " where record is not null and identifier is not null"
                    )
        # what a steward put in the place of a value is theirs, and in no row of raw
        if self._has("state.rectifications"):
            for field, kind in _RECTIFIED.items():
                self._connection.execute(
                    f"insert into temp.bearers select source_record_id,"
                    f" {identifier_sql(kind, 'value')} as identifier, value"
                    f" from state.rectifications where field = {literal(field)}"
                    " and action = 'set' and identifier is not null"
                )

    def _enter_records(self, given: Sequence[str]) -> None:
        """The people's own records and values; records of nobody that bear one are theirs too."""
        execute = self._connection.execute
        execute(
            "create or replace temp table own_records as"
            " select distinct record from temp.crosswalk"
            " where customer_id in (select customer_id from temp.subjects)"
            " union select unnest($given::varchar[])",
            {"given": list(given)},
        )
        # A device that somebody else was logged in on is theirs as much as it is this person's.
        if self._has("raw.web__events"):
            execute(
                f"""
                delete from temp.own_records where record in (
                    select {literal(VISITOR)} || anonymous_id from raw.web__events
                    where 'shop:' || user_id not in (select record from temp.own_records)
                )
                """
            )
        while True:
            execute(
                """
                create or replace temp table shared_values as
                select distinct identifier from temp.bearers
                where identifier in (
                    select identifier from temp.bearers
                    where record in (select record from temp.own_records)
                )
                and record not in (select record from temp.own_records)
                and record in (select record from temp.crosswalk)
                """
            )
            execute(
                """
                create or replace temp table own_values as
                select distinct identifier, typed from temp.bearers
                where record in (select record from temp.own_records)
                and identifier not in (select identifier from temp.shared_values)
                """
            )
            row = execute(
                """
                insert into temp.own_records
                select distinct record from temp.bearers
                where identifier in (select identifier from temp.own_values)
                and record not in (select record from temp.own_records)
                """
            ).fetchone()
            if not row or not row[0]:
                break
        execute("create or replace temp table own_orders (order_id varchar)")
        if self._has("raw.shop__orders"):
            orders = record_sql(_feed("shop/orders"))
            execute(
                f"insert into temp.own_orders select distinct order_id from raw.shop__orders"
                f" where {orders} in (select record from temp.own_records)"
            )

    # --- by what they are found ----------------------------------------------------------------

    def _list(self, query: str) -> tuple[str, ...]:
        found = self._connection.execute(f"select distinct * from ({query}) order by 1")
        return tuple(str(value) for (value,) in found.fetchall())

    def _identifiers(self) -> tuple[str, ...]:
        nobodys = "select null::varchar"
        if self._has("identity.int_values_shared"):
            nobodys = f"""
                select {literal(EMAIL)} || match_email from identity.int_records_normalised
                where email_key in (
                    select value_key from identity.int_values_shared where status in {_NOBODYS}
                ) and match_email is not null
                union
                select {literal(PHONE)} || match_phone from identity.int_records_normalised
                where phone_key in (
                    select value_key from identity.int_values_shared where status in {_NOBODYS}
                ) and match_phone is not null
            """
        return self._list(
            f"""
            select record from temp.own_records
            union select {literal(ORDER)} || order_id from temp.own_orders
            union (select identifier from temp.own_values except ({nobodys}))
            """
        )

    def _names(self) -> tuple[str, ...]:
        """Names that cells of the house hold as a whole: of customers, records, facts."""
        receipts = "select null::varchar where false"
        if self._has("raw.pos__receipts"):
            receipts = (
                "select 'pos:' || receipt_id from raw.pos__receipts"
                " where 'pos:' || member_id in (select record from temp.own_records)"
            )
        return self._list(
            f"""
            select customer_id from temp.subjects
            union select record from temp.own_records
            union select 'shop:order:' || order_id from temp.own_orders
            union (
                select 'shop:' || order_id from temp.own_orders
                except select record from temp.crosswalk
            )
            union select substr(record, 5) from temp.own_records
            where starts_with(record, {literal(VISITOR)})
            union {receipts}
            """
        )

    def _needles(self) -> tuple[str, ...]:
        found = {name for name in self._names() if len(name) >= _SHORTEST_ID}
        # `C100001` of `crm:C100001`, where it is no plain number and no other record's
        found |= {
            bare
            for bare in self._list(
                r"""
                select regexp_extract(record, '[^:]*$') as bare from temp.own_records
                where regexp_matches(bare, '[A-Za-z]') and regexp_matches(bare, '[0-9]')
                except
                select regexp_extract(record, '[^:]*$') from temp.crosswalk
                where record not in (select record from temp.own_records)
                """
            )
            if len(bare) >= _SHORTEST_ID
        }
        if self._has("raw.mailing__consents"):
            found |= set(
                self._list(
                    f"""
                    select 'mailing:consent:' || consent_id from raw.mailing__consents
                    where coalesce({identifier_sql(EMAIL, "email")}
                        in (select identifier from temp.own_values), false)
                    or coalesce({identifier_sql(PHONE, "phone")}
                        in (select identifier from temp.own_values), false)
                    """
                )
            )
        found |= set(self._people_names())
        values: set[str] = set()
        for typed, identifier in self._connection.execute(
            "select typed, identifier from temp.own_values"
        ).fetchall():
            values |= _spellings(str(typed), str(identifier))
        values |= set(self._international_phones())
        values |= set(self._platforms_emails())
        hashed = {
            digest(value.encode(), usedforsecurity=False).hexdigest()
            for value in values
            for digest in (md5, sha1, sha256)
        }
        return tuple(sorted({*found, *values, *hashed}))

    def _international_phones(self) -> Sequence[str]:
        if not self._has("identity.int_records_normalised"):
            return ()
        phone = identifier_sql(PHONE, "phone")
        phones = self._list(
            f"select phone from identity.int_records_normalised"
            f" where {phone} in (select identifier from temp.own_values)"
        )
        return [*phones, *(phone.removeprefix("+") for phone in phones)]

    def _platforms_emails(self) -> Sequence[str]:
        """E-mail addresses as platforms hash them."""
        return self._list(
            f"select {email_sql('typed', Platform.GOOGLE)} from temp.own_values"
            f" where starts_with(identifier, {literal(EMAIL)})"
        )

    def _people_names(self) -> Sequence[str]:
        """Full names and streets of theirs that nobody else has."""
        self._connection.execute(
            "create or replace temp table called (record varchar, name varchar)"
        )
        for feed in FEEDS:
            record = record_sql(feed)
            columns = {column.name for column in feed.columns}
            if record is None or not self._has(f"raw.{feed.table}"):
                continue
            texts = [quoted(name) for name in _NAME_COLUMNS if name in columns]
            if {"first_name", "last_name"} <= columns:
                texts.append("trim(first_name) || ' ' || trim(last_name)")
            for text in texts:
                self._connection.execute(
                    f"insert into temp.called select distinct {record} as record, trim({text})"
                    f" as name from raw.{quoted(feed.table)}"
                    " where record is not null and name is not null"
                )
        if self._has("identity.int_rectifications_applied"):
            for text in ("first_name || ' ' || last_name", "street"):
                self._connection.execute(
                    f"insert into temp.called select distinct source_record_id, {text} as name"
                    " from identity.int_records_normalised where name is not null and record_key in"
                    " (select record_key from identity.int_rectifications_applied)"
                )
        return [
            name
            for name in self._list(
                """
                select lower(name) from temp.called
                where record in (select record from temp.own_records) and contains(name, ' ')
                except
                select lower(name) from temp.called
                where record not in (select record from temp.own_records)
                """
            )
            if len(name) >= _SHORTEST_NAME
        ]

    def _keys(self) -> tuple[int, ...]:
        """Hashes that identity works with instead of texts, of theirs alone."""
        if not self._has("identity.int_records_normalised"):
            return ()
        theirs = "source_record_id in (select record from temp.own_records)"
        keys = ["record_key", "email_key", "phone_key", "profile_key"]
        found = self._connection.execute(
            " union ".join(
                f"(select {key} from identity.int_records_normalised where {theirs}"
                f" except select {key} from identity.int_records_normalised where not {theirs})"
                for key in keys
            )
        ).fetchall()
        return tuple(sorted(int(key) for (key,) in found if key is not None))


def _meant_sql(kind: str) -> str:
    """SQL of the customers (number, customer_id) that identifiers `asked` (number, text) mean."""
    if kind == "customer":
        return """
            select asked.number, coalesce(redirects.current_id, asked.text) as customer_id
            from asked
            left join temp.redirects on asked.text = redirects.customer_id
            where redirects.customer_id is not null
                or asked.text in (select customer_id from temp.crosswalk)
        """
    if kind == "record":
        return """
            select asked.number, crosswalk.customer_id
            from asked
            inner join temp.crosswalk on asked.text = crosswalk.record
        """
    return f"""
        select asked.number, crosswalk.customer_id
        from (select number, {identifier_sql(kind, "text")} as identifier from asked) as asked
        inner join temp.bearers on asked.identifier = bearers.identifier
        inner join temp.crosswalk on bearers.record = crosswalk.record
    """


def _spellings(typed: str, identifier: str) -> set[str]:
    """How a value may be written; numbers only where they are long enough to be no other number."""
    kind = next(kind for kind in VALUES if identifier.startswith(kind))
    value = identifier.removeprefix(kind)
    trimmed = typed.strip()
    if kind == EMAIL:
        return {trimmed, trimmed.lower(), value}
    digits = re.sub(r"[^0-9A-Za-z]", "", trimmed)
    if kind == NATIONAL_ID:
        return {text for text in (trimmed, digits, value) if len(text) >= _SHORTEST_ID}
    return {text for text in (trimmed, digits) if len(text) >= _SHORTEST_NUMBER}


def _feed(name: str) -> Feed:
    return next(feed for feed in FEEDS if feed.name == name)
