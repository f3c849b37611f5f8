"""What points at a person in each feed, and what becomes of a row whose person is forgotten.

An identifier is a text that begins with its kind: `email:ann@x.test`, `phone:079460018` (the last
nine digits), `national_id:AB12`, or the record as the whole house calls it, `crm:C1`. The same
normalisers as in identity make them (dbt_project/macros/normalise.sql), so `Ann+news@X.test` and
`ann@x.test` are one.

Facts that are worth keeping lose their person: an order, its lines and a till receipt keep amounts,
products and the day, under a pseudonym, for the books. Everything else goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import duckdb

from orchestration.landing.feeds import Feed
from orchestration.sql import literal, quoted
from orchestration.transform.macros import plain_macros

EMAIL, PHONE, NATIONAL_ID = "email:", "phone:", "national_id:"
CONTACT, ACCOUNT, MEMBER, SUBSCRIBER = "crm:", "shop:", "pos:", "mailing:"
ORDER, RECEIPT, TICKET, RESPONSE, VISITOR = (
    "shop:order:",
    "pos:receipt:",
    "support:",
    "surveys:",
    "web:",
)

VALUES = (EMAIL, PHONE, NATIONAL_ID)
"""Kinds that several people may bear; all others name one record of one person."""

PSEUDONYM = "anonymised-"
"""How the id of a fact begins that has lost its person."""


class Keep(StrEnum):
    """What stays of a value in a fact that has lost its person."""

    AS_IS = "as it is"
    DAY = "the day only"
    PSEUDONYM = "a keyed hash instead"


@dataclass(frozen=True)
class FeedRule:
    """How a feed speaks of people.

    identifiers: column to kind, the one that names the row's record first. keeps: what stays of
    each column when the person is forgotten, all others are emptied; None when the row goes.
    mentions: columns of free text, in which anybody's address may stand.
    """

    identifiers: Mapping[str, str]
    keeps: Mapping[str, Keep] | None = None
    mentions: tuple[str, ...] = ()


_AMOUNTS = MappingProxyType(
    dict.fromkeys(("currency_code", "total_amount", "refunded_amount"), Keep.AS_IS)
)

RULES: Mapping[str, FeedRule] = MappingProxyType(
    {
        "crm/contacts": FeedRule(
            {"contact_id": CONTACT, "email": EMAIL, "phone": PHONE, "national_id": NATIONAL_ID}
        ),
        "shop/customers": FeedRule({"customer_id": ACCOUNT, "email": EMAIL, "phone": PHONE}),
        "shop/orders": FeedRule(
            {"customer_id": ACCOUNT, "order_id": ORDER, "email": EMAIL, "phone": PHONE},
            keeps={
                "order_id": Keep.PSEUDONYM,
                "ordered_at": Keep.DAY,
                "updated_at": Keep.DAY,
                "status": Keep.AS_IS,
                "discount_amount": Keep.AS_IS,
                "campaign": Keep.AS_IS,
                **_AMOUNTS,
            },
        ),
        "shop/order_lines": FeedRule(
            {"order_id": ORDER},
            keeps={
                "order_id": Keep.PSEUDONYM,
                **dict.fromkeys(
                    (
                        "line_number",
                        "product_id",
                        "product_name",
                        "category",
                        "quantity",
                        "unit_price",
                    ),
                    Keep.AS_IS,
                ),
            },
        ),
        "pos/members": FeedRule({"member_id": MEMBER, "email": EMAIL, "phone": PHONE}),
        "pos/receipts": FeedRule(
            {"member_id": MEMBER},
            keeps={
                "receipt_id": Keep.PSEUDONYM,
                "store_id": Keep.AS_IS,
                "purchased_at": Keep.DAY,
                **_AMOUNTS,
            },
        ),
        "web/events": FeedRule(
            {"user_id": ACCOUNT, "anonymous_id": VISITOR, "order_id": ORDER},
            mentions=("page_url", "referrer"),
        ),
        "support/tickets": FeedRule(
            {"ticket_id": TICKET, "requester_email": EMAIL, "requester_phone": PHONE},
            mentions=("subject", "body"),
        ),
        "mailing/subscribers": FeedRule({"subscriber_id": SUBSCRIBER, "email": EMAIL}),
        "mailing/deliveries": FeedRule({"subscriber_id": SUBSCRIBER}),
        "mailing/consents": FeedRule({"email": EMAIL, "phone": PHONE}),
        "mailing/suppressions": FeedRule({"email": EMAIL, "phone": PHONE}),
        "surveys/responses": FeedRule(
            {"response_id": RESPONSE, "email": EMAIL, "phone": PHONE}, mentions=("comment",)
        ),
    }
)
"""By name of the feed; a test holds it against the intake contract."""

RECORD_KINDS = frozenset(
    kind for rule in RULES.values() for kind in rule.identifiers.values() if kind not in VALUES
)
"""Kinds that name one record."""

_PSEUDONYMS = {"shop/orders": ORDER, "shop/order_lines": ORDER, "pos/receipts": RECEIPT}


def identifier_sql(kind: str, text: str) -> str:
    """SQL of the identifier that a text is; NULL when it is none. text: an SQL expression."""
    macros = plain_macros("normalise.sql")
    if kind == EMAIL:
        email = macros.normalise_email(text)
        return (
            f"{literal(EMAIL)} || {macros.mailbox_of(email)} || '@' || split_part({email}, '@', 2)"
        )
    if kind == PHONE:
        return f"{literal(PHONE)} || {macros.phone_tail(macros.phone_digits(text))}"
    if kind == NATIONAL_ID:
        letters = f"nullif(regexp_replace(upper({text}), '[^0-9A-Z]', '', 'g'), '')"
        return f"{literal(NATIONAL_ID)} || {letters}"
    return f"{literal(kind)} || {text}"


def identifiers_of(feed: str, values: Mapping[str, str | None]) -> list[str]:
    """Return the identifiers in a row of a feed. values: by column."""
    kinds = {name: kind for name, kind in RULES[feed].identifiers.items() if values.get(name)}
    if not kinds:
        return []
    texts = ", ".join(identifier_sql(kind, f"${name}") for name, kind in kinds.items())
    found = duckdb.execute(f"select {texts}", {name: values[name] for name in kinds}).fetchone()
    return [str(one) for one in found or () if one is not None]


def record_sql(feed: Feed, alias: str = "") -> str | None:
    """SQL of the record that a row of the feed is, or hangs on; None where rows name no record."""
    names = [
        identifier_sql(kind, f"{alias}{quoted(column)}")
        for column, kind in RULES[feed.name].identifiers.items()
        if kind not in VALUES and kind != VISITOR
    ]
    return f"coalesce({', '.join(names)})" if names else None


def keyed_sql(text: str) -> str:
    """SQL of the keyed hash of a text: 128 bits as hex.

    `sha256(key || text)`, cut in half, so that it cannot be extended. HMAC would hash twice: 1.7
    instead of 0.3 µs of CPU a value, and a landing asks several values of every row.
    """
    return f"left(sha256(getvariable('erasure_key') || encode({text})), 32)"


def kept_sql(feed: Feed, text_of: Mapping[str, str] | None = None) -> dict[str, str]:
    """SQL of each column of a row that loses its person. text_of: how to read a column."""
    rule = RULES[feed.name]
    kept = {}
    for column in feed.columns:
        text = (text_of or {}).get(column.name, quoted(column.name))
        how = (rule.keeps or {}).get(column.name)
        if how is Keep.PSEUDONYM:
            keyed = keyed_sql(identifier_sql(_PSEUDONYMS[feed.name], text))
            kept[column.name] = f"{literal(PSEUDONYM)} || left({keyed}, 16)"
        elif how is Keep.DAY:
            kept[column.name] = (
                f"strftime({plain_macros('time.sql').utc(text)}, '%Y-%m-%dT00:00:00Z')"
            )
        else:
            kept[column.name] = text if how is Keep.AS_IS else "null::varchar"
    return kept
