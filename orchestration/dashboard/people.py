"""One customer, as a release knows it: found by name, e-mail, phone or id, and told in full.

Whoever may not know who somebody is sees the same with what identifies a person masked, by the
class of each column (governance/columns.yml), and finds only what they already know in full.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from orchestration.dashboard.reading import Opened
from orchestration.governance.register import Register
from orchestration.identity.explain import Link, link_of, spanned
from orchestration.landing.feeds import Pii
from orchestration.sql import literal, rows

Row = dict[str, Any]

MASK = "•••"
# Customers that a search shows, and touches of a timeline.
MOST_FOUND = 25
MOST_TOUCHES = 500
# As macro normalise_name of dbt_project/macros/normalise.sql; a test holds the two together.
NAME_KEY = (
    "replace(replace(replace(regexp_replace(translate(replace(replace(replace(lower(strip_accents("
    "{text})), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'łøđðı', 'loddi'), '[^\\p{{L}}]', '', 'g'),"
    " 'ae', 'a'), 'oe', 'o'), 'ue', 'u')"
)
_PHONE_DIGITS, _FEWEST_DIGITS = 9, 6
_FEW = 4
_LAST_CHARACTER = "\U0010ffff"
_FIELDS = ("name", "email", "phone", "birth_date", "gender", "address", "company")


@dataclass(frozen=True)
class Found:
    """A customer that a search found. found_by: name, email, phone or id."""

    customer_id: str
    found_by: str
    name: str
    email: str
    phone: str
    city: str
    record_count: int
    last_seen_at: datetime | None


@dataclass(frozen=True)
class Customer:
    """Everything that a release tells of one customer.

    profile: row of `customers`. standing: rows of `customer_segments`, `customer_value` and
    `customer_feedback`, in one. golden: rows of `customer_golden_values`, survivors first. records:
    rows of `customer_records`, also of others that a link names. touches: the newest MOST_TOUCHES
    rows of the timeline (touched_at, kind, channel, what), newest first; touch_count: of how many.
    links: those of `customer_matches`. former_ids: ids that lead here.
    """

    customer_id: str
    profile: Row
    standing: Row
    golden: Sequence[Row]
    records: Mapping[str, Row]
    visitors: Sequence[str]
    touches: Sequence[Row]
    touch_count: int
    consents: Sequence[Row]
    suppressions: Sequence[Row]
    segments: Sequence[Row]
    links: Sequence[Link]
    history: Sequence[Row]
    former_ids: Sequence[str]

    @property
    def name(self) -> str:
        """First and last name, or the id of somebody without."""
        return full_name(self.profile) or self.customer_id

    @property
    def own_records(self) -> list[Row]:
        """The records of the customer itself."""
        return [row for row in self.records.values() if row["customer_id"] == self.customer_id]

    @property
    def names(self) -> list[str]:
        """What names everybody who is told of here: for the access log."""
        links = (link for link in self.links)
        others = {name for link in links for name in (link.customer_id, link.other_customer_id)}
        return sorted({self.customer_id, *self.former_ids, *self.visitors, *self.records, *others})


def full_name(row: Row) -> str:
    """First and last name in one, where there are any."""
    return " ".join(filter(None, (row["first_name"], row["last_name"])))


def read(row: Row, column: str) -> str:
    """What a record shows, as a text; a name that it lacks is read from its mailbox."""
    value = row[column]
    if value is None and column in ("first_name", "last_name"):
        value = row[f"mailbox_{column}"]
    return "" if value is None else str(value)


# --- finding -------------------------------------------------------------------------------------


def search(opened: Opened, text: str, *, whole: bool = False) -> list[Found]:
    """Return whom a text names: (the beginning of) a name or an e-mail, a phone, or an id whole.

    whole: names and e-mails are found whole only. At most MOST_FOUND, whole ones first.
    """
    text = text.strip()
    if not text:
        return []
    found = _by_id(opened, text)
    for customer_id, found_by in _by_key(opened, text, whole).items():
        found.setdefault(customer_id, found_by)
    order = {customer_id: place for place, customer_id in enumerate(found)}
    listed = ", ".join(literal(customer_id) for customer_id in found) or "null"
    told = rows(
        opened.connection,
        "select customer_id, first_name, last_name, email, phone, city, record_count, last_seen_at"
        f" from marts.customers where customer_id in ({listed})",
    )
    told.sort(key=lambda row: order[row["customer_id"]])
    return [
        Found(
            customer_id=row["customer_id"],
            found_by=found[row["customer_id"]],
            name=full_name(row),
            email=row["email"] or "",
            phone=row["phone"] or "",
            city=row["city"] or "",
            record_count=row["record_count"],
            last_seen_at=row["last_seen_at"],
        )
        for row in told
    ]


def _by_id(opened: Opened, text: str) -> dict[str, str]:
    """Customers by an id of theirs, in use or not, or of a record; `C1` is enough for `crm:C1`."""
    if " " in text or "@" in text or not any(character.isdigit() for character in text):
        return {}
    named = literal(text)
    query = f"""
        select customer_id from marts.customers where customer_id = {named}
        union
        select current_customer_id from marts.customer_redirects
        where customer_id = {named} and current_customer_id is not null
        union
        select customer_id from marts.customer_sources
        where source_record_id = {named} or ends_with(source_record_id, {literal(":" + text)})
        limit {MOST_FOUND}
    """
    return {customer_id: "id" for (customer_id,) in opened.connection.execute(query).fetchall()}


def _by_key(opened: Opened, text: str, whole: bool) -> dict[str, str]:
    """Customers by `customer_search_keys`, and the type of the key."""
    if "@" in text:
        key_type, key, whole_only = "email", literal(text.lower()), whole
    elif digits := _phone(text):
        key_type, key, whole_only = "phone", literal(digits), True
    elif any(character.isdigit() for character in text):
        return {}  # an id
    else:
        key_type, key, whole_only = "name", NAME_KEY.format(text=literal(text)), whole
    ((key,),) = opened.connection.execute(f"select {key}").fetchall()
    if not key:
        return {}
    # between two literals, so that only what may hold such keys is read
    last = key if whole_only else f"{key}{_LAST_CHARACTER}"
    query = f"""
        select customer_id from marts.customer_search_keys
        where
            search_key between {literal(key)} and {literal(last)}
            and key_type = {literal(key_type)}
        group by customer_id
        order by min(length(search_key)), min(search_key), customer_id
        limit {MOST_FOUND}
    """
    found = opened.connection.execute(query).fetchall()
    return {customer_id: key_type for (customer_id,) in found}


def _phone(text: str) -> str:
    """The digits that a number has however it is written; empty when the text is none."""
    digits = "".join(character for character in text if character.isdigit())
    rest = text.translate(str.maketrans("", "", "0123456789+-/(). "))
    return digits[-_PHONE_DIGITS:] if not rest and len(digits) >= _FEWEST_DIGITS else ""


# --- telling -------------------------------------------------------------------------------------


def tell(opened: Opened, customer_id: str) -> Customer | None:
    """Tell all about a customer; None when the release has none of that id."""
    named = literal(customer_id)

    def of(mart: str, rest: str = "") -> list[Row]:
        return rows(opened.connection, f"from marts.{mart} where customer_id = {named} {rest}")

    profiles = of("customers")
    if not profiles:
        return None
    links = _links(opened, customer_id)
    holding, _ = spanned(links)
    linked = {record for link in links for record in link.pair}
    others = {name for link in links for name in (link.customer_id, link.other_customer_id)}
    records = {
        name: row
        for name, row in records_of(opened, {customer_id, *others}).items()
        if row["customer_id"] == customer_id or name in linked
    }
    touches, touch_count = _touches(opened, customer_id)
    standing: Row = {}
    for mart in ("customer_feedback", "customer_value", "customer_segments"):
        for row in of(mart):
            standing |= row
    former = rows(
        opened.connection,
        f"from marts.customer_redirects where current_customer_id = {named} order by customer_id",
    )
    former_ids = [row["customer_id"] for row in former]
    ids = ", ".join(literal(name) for name in (customer_id, *former_ids))
    return Customer(
        customer_id=customer_id,
        profile=profiles[0],
        standing=standing,
        golden=sorted(
            of("customer_golden_values", "order by rank, value"),
            key=lambda row: _FIELDS.index(row["field_group"]),
        ),
        records=records,
        visitors=[
            row["source_record_id"]
            for row in of("customer_sources", "and record_type = 'visitor' order by 1")
        ],
        touches=touches,
        touch_count=touch_count,
        consents=of("customer_consent", "order by purpose, valid_from desc"),
        suppressions=of("customer_suppressions", "order by channel, reason"),
        segments=of(
            "customer_segment_memberships", "order by left_on desc nulls first, entered_on desc"
        ),
        links=[replace(link, holds=link.pair in holding) for link in links],
        history=rows(
            opened.connection,
            f"from marts.customer_id_history where customer_id in ({ids})"
            f" or other_customer_id in ({ids}) order by release_number, event, customer_id",
        ),
        former_ids=former_ids,
    )


def records_of(opened: Opened, customer_ids: Collection[str]) -> dict[str, Row]:
    """Return what the records of these customers show, by record.

    A question for each of a few customers, in one: DuckDB reads `= 'a'` four times as fast as
    `in ('a', 'b')` (65 ms against 245 ms for 2.7 million records on two cores).
    """
    names = sorted(customer_ids)
    if len(names) > _FEW:
        conditions = [f"customer_id in ({', '.join(literal(name) for name in names)})"]
    else:
        conditions = [f"customer_id = {literal(name)}" for name in names]
    selects = " union all ".join(
        f"select * from marts.customer_records where {condition}" for condition in conditions
    )
    found = rows(opened.connection, f"{selects} order by source_record_id")
    return {row["source_record_id"]: row for row in found}


def _links(opened: Opened, customer_id: str) -> list[Link]:
    """The links of a customer to itself and to others, the strongest first."""
    named = literal(customer_id)
    found = rows(
        opened.connection,
        f"""
        select * from marts.customer_matches where customer_id = {named}
        union all
        select * from marts.customer_matches
        where other_customer_id = {named} and customer_id <> {named}
        order by match_weight desc, source_record_id, other_source_record_id
        """,
    )
    return [link_of(row) for row in found]


def _touches(opened: Opened, customer_id: str) -> tuple[list[Row], int]:
    """The newest touches of a customer over all channels, and how many there are."""
    named = literal(customer_id)
    found = rows(
        opened.connection,
        f"""
        with touches as (
            select
                touches.touched_at,
                replace(touches.touch_type, '_', ' ') as kind,
                touches.channel,
                case touches.touch_type
                    when 'purchase' then concat_ws(
                        ' ',
                        format('{{:.2f}}', orders.net_amount::double),
                        orders.currency_code,
                        touches.campaign
                    )
                    else touches.campaign
                end as what,
                touches.touchpoint_key as key
            from marts.touchpoints as touches
            left join (from marts.orders where customer_id = {named}) as orders
                on touches.order_key = orders.order_key
            where touches.customer_id = {named}

            union all

            select
                coalesce(decided_at, valid_from::timestamp),
                'consent',
                source,
                concat_ws(' ', replace(purpose, '_', ' '), consent_status),
                purpose || valid_from
            from marts.customer_consent
            where customer_id = {named}

            union all

            select
                first_seen_at,
                'first seen',
                source,
                source_record_id,
                source_record_id
            from marts.customer_records
            where customer_id = {named} and first_seen_at is not null
        )

        select * exclude (key), count(*) over () as touch_count from touches
        order by touched_at desc, kind, key
        limit {MOST_TOUCHES}
        """,
    )
    count = found[0]["touch_count"] if found else 0
    return [{k: v for k, v in row.items() if k != "touch_count"} for row in found], count


# --- masking -------------------------------------------------------------------------------------


def masked(customer: Customer, register: Register) -> Customer:
    """The same customer with nothing left of what identifies a person; ids stay, they join."""

    def table(mart: str, found: Sequence[Row]) -> list[Row]:
        return [_masked_row(mart, row, register) for row in found]

    (profile,) = table("customers", [customer.profile])
    return replace(
        customer,
        profile=profile,
        golden=[
            row | {"value": _masked_field(row["field_group"], row["value"])}
            for row in customer.golden
        ],
        records={
            row["source_record_id"]: row
            for row in table("customer_records", [*customer.records.values()])
        },
        segments=table("customer_segment_memberships", customer.segments),
        standing=_masked_row("customer_segments", customer.standing, register),
    )


def masked_found(found: Found) -> Found:
    """The same with nothing left of what identifies a person."""
    return replace(
        found,
        name=_initials(found.name),
        email=_mailbox(found.email) if found.email else "",
        phone=_last_two(found.phone) if found.phone else "",
    )


def _initials(value: Any) -> str:
    return " ".join(f"{word[0]}{MASK}" for word in str(value).split())


def _mailbox(value: Any) -> str:
    return f"{str(value)[:1]}{MASK}@{MASK}"


def _last_two(value: Any) -> str:
    return f"{MASK}{str(value)[-2:]}"


def _year(value: Any) -> str:
    return str(value.year) if isinstance(value, date) else str(value)[:4]


def _area(value: Any) -> str:
    return f"{str(value)[:2]}{MASK}"


def _hidden(_value: Any) -> str:
    return MASK


def _as_it_is(value: Any) -> Any:
    return value


# By column; the others follow their class: direct and sensitive are hidden, indirect too, unless
# they are here.
_MASKS: Mapping[str, Callable[[Any], Any]] = {
    "first_name": _initials,
    "last_name": _initials,
    "name": _initials,
    "email": _mailbox,
    "phone": _last_two,
    "birth_date": _year,
    "postcode": _area,
    "city": _as_it_is,
    "country": _as_it_is,
    "gender": _as_it_is,
    "age_band": _as_it_is,
    "entered_reason": _as_it_is,
    "left_reason": _as_it_is,
}


def _mask(column: str) -> Callable[[Any], Any]:
    return _MASKS.get(column, _hidden)


def _masked_row(mart: str, row: Row, register: Register) -> Row:
    shown = (Pii.NONE, Pii.PSEUDONYM)
    return {
        column: value
        if value is None or register.pii(mart, column) in shown
        else _mask(column)(value)
        for column, value in row.items()
    }


def _masked_field(field_group: str, value: Any) -> str:
    return str(_mask(field_group)(value))
