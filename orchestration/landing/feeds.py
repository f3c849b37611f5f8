"""The intake contract: every feed the warehouse accepts, as one declarative table.

A feed is one kind of file that one source delivers, found under `<landing>/<source>/<things>/`.
To accept another one, add an entry to `FEEDS` and a staging model; `docs/sources.md`, the raw
tables and the landing checks follow from here.
"""

from dataclasses import dataclass
from enum import StrEnum


class ColumnType(StrEnum):
    """What a value must look like; raw keeps the text itself, staging casts it."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


class Pii(StrEnum):
    """How closely a value points at a person."""

    NONE = "none"
    DIRECT = "direct"  # names or reaches the person on its own: e-mail, phone, national id
    INDIRECT = "indirect"  # narrows the person down: birth date, postcode
    SENSITIVE = "sensitive"  # free text in which a person may have written anything


@dataclass(frozen=True)
class Column:
    """One column of the contract; optional in a file unless it is part of the feed's key."""

    name: str
    description: str
    type: ColumnType = ColumnType.TEXT
    pii: Pii = Pii.NONE


@dataclass(frozen=True)
class Feed:
    """One entry of the contract.

    key: columns that name a record; the only ones that a file must have and a row must fill.
    cursor: the timestamp that tells a newer version of a record from an older one. Without it the
    version that was loaded later wins. cluster: a column whose rows come together and are alike, as
    those of a visitor are: a share of so many rows says no more than one of so many clusters.
    """

    source: str
    entity: str
    description: str
    key: tuple[str, ...]
    cursor: str | None
    columns: tuple[Column, ...]
    cluster: str | None = None

    @property
    def name(self) -> str:
        """`crm/contacts`: the folder below the landing and the name in every message."""
        return f"{self.source}/{self.entity}"

    @property
    def table(self) -> str:
        """`crm__contacts`: the table in schema `raw`."""
        return f"{self.source}__{self.entity}"


def _id(name: str, of: str) -> Column:
    return Column(name, f"Identifier of the {of} in its source.")


def _text(name: str, description: str, pii: Pii = Pii.NONE) -> Column:
    return Column(name, description, ColumnType.TEXT, pii)


def _at(name: str, description: str) -> Column:
    return Column(name, f"{description}, ISO 8601 with zone.", ColumnType.TIMESTAMP)


def _amount(name: str, description: str) -> Column:
    return Column(name, f"{description}, in `currency_code`.", ColumnType.DECIMAL)


FIRST_NAME = _text("first_name", "Given name as typed.", Pii.DIRECT)
LAST_NAME = _text("last_name", "Family name as typed.", Pii.DIRECT)
EMAIL = _text("email", "E-mail address as typed.", Pii.DIRECT)
PHONE = _text("phone", "Phone number as typed, national or international.", Pii.DIRECT)
BIRTH_DATE = Column("birth_date", "Date of birth.", ColumnType.DATE, Pii.INDIRECT)
ADDRESS = (
    _text("street", "Street and house number.", Pii.DIRECT),
    _text("city", "City.", Pii.INDIRECT),
    _text("postcode", "Postal code.", Pii.INDIRECT),
    _text("country", "Country, as ISO 3166 alpha-2 code or name.", Pii.INDIRECT),
)
CREATED_AT = _at("created_at", "When the record was created")
UPDATED_AT = _at("updated_at", "When the record last changed")
OCCURRED_AT = _at("occurred_at", "When it happened")
CURRENCY = _text("currency_code", "ISO 4217 code of the amounts.")
ORDER_AMOUNTS = (
    CURRENCY,
    _amount("total_amount", "What the customer paid, after discounts, before refunds"),
)
REFUNDED = _amount("refunded_amount", "What was paid back; empty means nothing")

FEEDS: tuple[Feed, ...] = (
    Feed(
        "crm",
        "contacts",
        "Contacts as the sales and service team keeps them.",
        key=("contact_id",),
        cursor="updated_at",
        columns=(
            _id("contact_id", "contact"),
            FIRST_NAME,
            LAST_NAME,
            EMAIL,
            PHONE,
            BIRTH_DATE,
            _text("gender", "Gender as recorded.", Pii.INDIRECT),
            _text("national_id", "National identity number.", Pii.DIRECT),
            *ADDRESS,
            _text("company", "Employer or business name.", Pii.INDIRECT),
            Column(
                "marketing_opt_in",
                "Whether the contact agreed to e-mail marketing; empty means not asked.",
                ColumnType.BOOLEAN,
            ),
            CREATED_AT,
            UPDATED_AT,
            Column(
                "is_deleted",
                "True when the contact was deleted in the CRM; empty means false.",
                ColumnType.BOOLEAN,
            ),
        ),
    ),
    Feed(
        "shop",
        "customers",
        "Accounts of the web shop.",
        key=("customer_id",),
        cursor="updated_at",
        columns=(
            _id("customer_id", "shop account"),
            FIRST_NAME,
            LAST_NAME,
            EMAIL,
            PHONE,
            *ADDRESS,
            CREATED_AT,
            UPDATED_AT,
        ),
    ),
    Feed(
        "shop",
        "orders",
        "Orders of the web shop; one without `customer_id` is a guest's.",
        key=("order_id",),
        cursor="updated_at",
        columns=(
            _id("order_id", "order"),
            _id("customer_id", "shop account"),
            EMAIL,
            PHONE,
            _at("ordered_at", "When the order was placed"),
            _text("status", "State of the order, for example `completed` or `cancelled`."),
            *ORDER_AMOUNTS,
            _amount("discount_amount", "Discount that `total_amount` already contains"),
            REFUNDED,
            _text("campaign", "Campaign that the shop credited."),
            UPDATED_AT,
        ),
    ),
    Feed(
        "shop",
        "order_lines",
        "Lines of the web shop's orders.",
        key=("order_id", "line_number"),
        cursor=None,
        columns=(
            _id("order_id", "order"),
            Column("line_number", "Position within the order.", ColumnType.INTEGER),
            _id("product_id", "product"),
            _text("product_name", "Name of the product."),
            _text("category", "Category of the product."),
            Column("quantity", "Pieces; negative for a return.", ColumnType.DECIMAL),
            Column(
                "unit_price", "Price of one piece, in the order's currency.", ColumnType.DECIMAL
            ),
        ),
    ),
    Feed(
        "pos",
        "members",
        "Members of the tills' loyalty programme.",
        key=("member_id",),
        cursor="updated_at",
        columns=(
            _id("member_id", "till member"),
            FIRST_NAME,
            LAST_NAME,
            EMAIL,
            PHONE,
            BIRTH_DATE,
            ADDRESS[2],
            _at("joined_at", "When the person joined"),
            UPDATED_AT,
        ),
    ),
    Feed(
        "pos",
        "receipts",
        "Till receipts; one without `member_id` is anonymous.",
        key=("receipt_id",),
        cursor=None,
        columns=(
            _id("receipt_id", "receipt"),
            _id("member_id", "till member"),
            _id("store_id", "store"),
            _at("purchased_at", "When it was paid"),
            *ORDER_AMOUNTS,
            REFUNDED,
        ),
    ),
    Feed(
        "web",
        "events",
        "What visitors did on the web site.",
        key=("event_id",),
        cursor=None,
        cluster="anonymous_id",
        columns=(
            _id("event_id", "event"),
            _text("anonymous_id", "Cookie or device identifier.", Pii.INDIRECT),
            _text("user_id", "Shop account that was logged in (a shop `customer_id`)."),
            _id("session_id", "session as the tracker cut it"),
            _text("event_type", "For example `page_view`, `login`, `add_to_cart`, `order`."),
            _text("page_url", "Address of the page.", Pii.INDIRECT),
            _text("referrer", "Address of the page before.", Pii.INDIRECT),
            _text("utm_source", "Campaign source."),
            _text("utm_medium", "Campaign medium."),
            _text("utm_campaign", "Campaign name."),
            _id("product_id", "product"),
            _id("order_id", "order that the event placed"),
            OCCURRED_AT,
        ),
    ),
    Feed(
        "support",
        "tickets",
        "Tickets of the support desk.",
        key=("ticket_id",),
        cursor="updated_at",
        columns=(
            _id("ticket_id", "ticket"),
            _text("requester_name", "Full name of the requester as typed.", Pii.DIRECT),
            _text("requester_email", "E-mail address of the requester.", Pii.DIRECT),
            _text("requester_phone", "Phone number of the requester.", Pii.DIRECT),
            _text("subject", "Subject line.", Pii.SENSITIVE),
            _text("body", "Text of the request.", Pii.SENSITIVE),
            _text("channel", "How it came in: e-mail, chat, phone, web."),
            _text("priority", "Priority given by the desk."),
            _text("status", "State of the ticket."),
            _at("opened_at", "When it was opened"),
            _at("first_reply_at", "When the desk first answered"),
            _at("solved_at", "When it was solved"),
            Column("csat_score", "Satisfaction from 1 to 5.", ColumnType.INTEGER),
            UPDATED_AT,
        ),
    ),
    Feed(
        "mailing",
        "subscribers",
        "Subscribers of the e-mail marketing tool.",
        key=("subscriber_id",),
        cursor="updated_at",
        columns=(
            _id("subscriber_id", "subscriber"),
            EMAIL,
            FIRST_NAME,
            LAST_NAME,
            _at("subscribed_at", "When the person subscribed"),
            UPDATED_AT,
        ),
    ),
    Feed(
        "mailing",
        "deliveries",
        "What happened to each e-mail.",
        key=("delivery_id",),
        cursor=None,
        columns=(
            _id("delivery_id", "delivery event"),
            _id("subscriber_id", "subscriber"),
            _text("campaign", "Campaign that was sent."),
            _text("event_type", "`sent`, `open`, `click`, `bounce` or `unsubscribe`."),
            OCCURRED_AT,
        ),
    ),
    Feed(
        "mailing",
        "consents",
        "Consent given or withdrawn, one event a row.",
        key=("consent_id",),
        cursor=None,
        columns=(
            _id("consent_id", "consent event"),
            EMAIL,
            PHONE,
            _text("purpose", "What the consent is for, for example `email_marketing`."),
            _text("status", "`granted` or `withdrawn`."),
            _text("legal_basis", "Legal basis, for example `consent`."),
            OCCURRED_AT,
        ),
    ),
    Feed(
        "mailing",
        "suppressions",
        "People who must not be contacted, whatever they agreed to.",
        key=("suppression_id",),
        cursor=None,
        columns=(
            _id("suppression_id", "suppression"),
            EMAIL,
            PHONE,
            _text("reason", "`hard_bounce`, `invalid_number`, `complaint` or `do_not_contact`."),
            OCCURRED_AT,
        ),
    ),
    Feed(
        "surveys",
        "responses",
        "Answers to surveys.",
        key=("response_id",),
        cursor=None,
        columns=(
            _id("response_id", "response"),
            EMAIL,
            PHONE,
            _text("survey", "Name of the survey."),
            Column("nps_score", "Likelihood to recommend, 0 to 10.", ColumnType.INTEGER),
            Column("csat_score", "Satisfaction from 1 to 5.", ColumnType.INTEGER),
            _text("comment", "Free text.", Pii.SENSITIVE),
            _at("responded_at", "When the person answered"),
        ),
    ),
)
