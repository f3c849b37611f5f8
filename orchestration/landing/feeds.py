"""The intake contract: every feed the warehouse accepts, as one declarative table.

A feed is one kind of file that one source delivers, found under `<landing>/<source>/<things>/`.
To accept another one, follow `docs/add-a-source.md`; `docs/sources.md`, the raw tables and the
landing checks follow from here.
"""

from dataclasses import dataclass, field
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
    """How closely a value points at a person; each points closer than those before it."""

    NONE = "none"
    PSEUDONYM = "pseudonym"  # only through another table of ours: ids of people, records, orders
    INDIRECT = "indirect"  # narrows the person down: birth date, postcode
    DIRECT = "direct"  # names or reaches the person on its own: e-mail, phone, national id
    SENSITIVE = "sensitive"  # free text in which a person may have written anything

    @property
    def strength(self) -> int:
        """0 for `none`, one more for each class that points closer."""
        return list(Pii).index(self)


@dataclass(frozen=True)
class Column:
    """One column of the contract; optional in a file unless it is part of the feed's key.

    purposes: what its values are kept for, as in `governance/purposes.yml`. Without one they are
    not loaded: the column stays in raw, and stays empty.
    """

    name: str
    description: str
    type: ColumnType = ColumnType.TEXT
    pii: Pii = field(kw_only=True)
    purposes: tuple[str, ...] = field(kw_only=True)


@dataclass(frozen=True)
class Feed:
    """One entry of the contract.

    key: columns that name a record; the only ones that a file must have and a row must fill.
    cursor: the timestamp that tells a newer version of a record from an older one. Without it the
    version that was loaded later wins. cluster: a column whose rows come together and are alike, as
    those of a visitor are: a share of so many rows says no more than one of so many clusters.
    owner: who answers for what the source says.
    """

    source: str
    entity: str
    description: str
    key: tuple[str, ...]
    cursor: str | None
    columns: tuple[Column, ...]
    cluster: str | None = None
    owner: str = field(kw_only=True)

    def __post_init__(self) -> None:
        """Raise ValueError when a column that nothing can do without has no purpose."""
        needed = {*self.key, *filter(None, (self.cursor, self.cluster))}
        if lacking := sorted(needed - {column.name for column in self.loaded_columns}):
            raise ValueError(
                f"{self.name}: {', '.join(lacking)} is key, cursor or cluster of the feed and needs"
                " a purpose, or it could not be loaded; the purposes are in"
                " governance/purposes.yml"
            )

    @property
    def name(self) -> str:
        """`crm/contacts`: the folder below the landing and the name in every message."""
        return f"{self.source}/{self.entity}"

    @property
    def table(self) -> str:
        """`crm__contacts`: the table in schema `raw`."""
        return f"{self.source}__{self.entity}"

    @property
    def loaded_columns(self) -> tuple[Column, ...]:
        """The columns that have a purpose; of the others no value is loaded."""
        return tuple(column for column in self.columns if column.purposes)

    @property
    def purposeless(self) -> frozenset[str]:
        """Names of the columns that have none."""
        return frozenset(column.name for column in self.columns if not column.purposes)


def _id(name: str, of: str, *purposes: str, pii: Pii = Pii.PSEUDONYM) -> Column:
    return Column(name, f"Identifier of the {of} in its source.", pii=pii, purposes=purposes)


def _text(name: str, description: str, pii: Pii, *purposes: str) -> Column:
    return Column(name, description, pii=pii, purposes=purposes)


def _at(name: str, description: str, *purposes: str) -> Column:
    text = f"{description}, ISO 8601 with zone."
    return Column(name, text, ColumnType.TIMESTAMP, pii=Pii.NONE, purposes=purposes)


def _amount(name: str, description: str, *purposes: str) -> Column:
    text = f"{description}, in `currency_code`."
    return Column(name, text, ColumnType.DECIMAL, pii=Pii.NONE, purposes=purposes)


def _score(name: str, description: str, *purposes: str) -> Column:
    return Column(name, description, ColumnType.INTEGER, pii=Pii.NONE, purposes=purposes)


FIRST_NAME = _text("first_name", "Given name as typed.", Pii.DIRECT, "identity")
LAST_NAME = _text("last_name", "Family name as typed.", Pii.DIRECT, "identity")
EMAIL = _text("email", "E-mail address as typed.", Pii.DIRECT, "identity", "marketing")
PHONE = _text(
    "phone",
    "Phone number as typed, national or international.",
    Pii.DIRECT,
    "identity",
    "marketing",
)
BIRTH_DATE = Column(
    "birth_date",
    "Date of birth.",
    ColumnType.DATE,
    pii=Pii.INDIRECT,
    purposes=("identity", "customer_analytics"),
)
CREATED_AT = _at("created_at", "When the record was created", "identity")
UPDATED_AT = _at("updated_at", "When the record last changed", "identity", "operations")
POSTCODE = _text("postcode", "Postal code.", Pii.INDIRECT, "identity")
ADDRESS = (
    _text("street", "Street and house number.", Pii.DIRECT, "identity"),
    _text("city", "City.", Pii.INDIRECT, "identity"),
    POSTCODE,
    _text(
        "country",
        "Country, as ISO 3166 alpha-2 code or name.",
        Pii.INDIRECT,
        "identity",
        "customer_analytics",
    ),
)
ORDER_AMOUNTS = (
    _text(
        "currency_code", "ISO 4217 code of the amounts.", Pii.NONE, "sales", "customer_analytics"
    ),
    _amount(
        "total_amount",
        "What the customer paid, after discounts, before refunds",
        "sales",
        "customer_analytics",
    ),
)
REFUNDED = _amount(
    "refunded_amount",
    "What was paid back; empty means nothing",
    "sales",
    "customer_analytics",
)

FEEDS: tuple[Feed, ...] = (
    Feed(
        "crm",
        "contacts",
        "Contacts as the sales and service team keeps them.",
        owner="sales",
        key=("contact_id",),
        cursor="updated_at",
        columns=(
            _id("contact_id", "contact", "identity"),
            FIRST_NAME,
            LAST_NAME,
            EMAIL,
            PHONE,
            BIRTH_DATE,
            _text("gender", "Gender as recorded.", Pii.INDIRECT, "customer_analytics"),
            _text("national_id", "National identity number.", Pii.DIRECT, "identity"),
            *ADDRESS,
            _text(
                "company",
                "Employer or business name.",
                Pii.INDIRECT,
                "identity",
                "customer_analytics",
            ),
            Column(
                "marketing_opt_in",
                "Whether the contact agreed to e-mail marketing; empty means not asked.",
                ColumnType.BOOLEAN,
                pii=Pii.NONE,
                purposes=("consent",),
            ),
            CREATED_AT,
            UPDATED_AT,
            Column(
                "is_deleted",
                "True when the contact was deleted in the CRM; empty means false.",
                ColumnType.BOOLEAN,
                pii=Pii.NONE,
                purposes=("identity",),
            ),
        ),
    ),
    Feed(
        "shop",
        "customers",
        "Accounts of the web shop.",
        owner="web-shop",
        key=("customer_id",),
        cursor="updated_at",
        columns=(
            _id("customer_id", "shop account", "identity"),
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
        owner="web-shop",
        key=("order_id",),
        cursor="updated_at",
        columns=(
            _id("order_id", "order", "sales"),
            _id("customer_id", "shop account", "identity", "sales"),
            EMAIL,
            PHONE,
            _at("ordered_at", "When the order was placed", "sales", "customer_analytics"),
            _text(
                "status",
                "State of the order, for example `completed` or `cancelled`.",
                Pii.NONE,
                "sales",
            ),
            *ORDER_AMOUNTS,
            _amount("discount_amount", "Discount that `total_amount` already contains", "sales"),
            REFUNDED,
            _text("campaign", "Campaign that the shop credited.", Pii.NONE, "journeys"),
            UPDATED_AT,
        ),
    ),
    Feed(
        "shop",
        "order_lines",
        "Lines of the web shop's orders.",
        owner="web-shop",
        key=("order_id", "line_number"),
        cursor=None,
        columns=(
            _id("order_id", "order", "sales"),
            Column(
                "line_number",
                "Position within the order.",
                ColumnType.INTEGER,
                pii=Pii.NONE,
                purposes=("sales",),
            ),
            _id("product_id", "product", "sales", pii=Pii.NONE),
            _text("product_name", "Name of the product.", Pii.NONE, "sales"),
            _text("category", "Category of the product.", Pii.NONE, "sales"),
            Column(
                "quantity",
                "Pieces; negative for a return.",
                ColumnType.DECIMAL,
                pii=Pii.NONE,
                purposes=("sales",),
            ),
            Column(
                "unit_price",
                "Price of one piece, in the order's currency.",
                ColumnType.DECIMAL,
                pii=Pii.NONE,
                purposes=("sales",),
            ),
        ),
    ),
    Feed(
        "pos",
        "members",
        "Members of the tills' loyalty programme.",
        owner="stores",
        key=("member_id",),
        cursor="updated_at",
        columns=(
            _id("member_id", "till member", "identity"),
            FIRST_NAME,
            LAST_NAME,
            EMAIL,
            PHONE,
            BIRTH_DATE,
            POSTCODE,
            _at("joined_at", "When the person joined", "identity"),
            UPDATED_AT,
        ),
    ),
    Feed(
        "pos",
        "receipts",
        "Till receipts; one without `member_id` is anonymous.",
        owner="stores",
        key=("receipt_id",),
        cursor=None,
        columns=(
            _id("receipt_id", "receipt", "sales"),
            _id("member_id", "till member", "identity", "sales"),
            _id("store_id", "store", "sales", pii=Pii.NONE),
            _at("purchased_at", "When it was paid", "sales", "customer_analytics"),
            *ORDER_AMOUNTS,
            REFUNDED,
        ),
    ),
    Feed(
        "web",
        "events",
        "What visitors did on the web site.",
        owner="web-shop",
        key=("event_id",),
        cursor=None,
        cluster="anonymous_id",
        columns=(
            _id("event_id", "event", "journeys"),
            _text(
                "anonymous_id",
                "Cookie or device identifier.",
                Pii.PSEUDONYM,
                "identity",
                "journeys",
            ),
            _text(
                "user_id",
                "Shop account that was logged in (a shop `customer_id`).",
                Pii.PSEUDONYM,
                "identity",
                "journeys",
            ),
            _id("session_id", "session as the tracker cut it", "journeys"),
            _text(
                "event_type",
                "For example `page_view`, `login`, `add_to_cart`, `order`.",
                Pii.NONE,
                "journeys",
                "customer_analytics",
            ),
            _text("page_url", "Address of the page.", Pii.INDIRECT, "journeys"),
            _text("referrer", "Address of the page before.", Pii.INDIRECT, "journeys"),
            _text("utm_source", "Campaign source.", Pii.NONE, "journeys"),
            _text("utm_medium", "Campaign medium.", Pii.NONE, "journeys"),
            _text("utm_campaign", "Campaign name.", Pii.NONE, "journeys"),
            _id("product_id", "product", "journeys", pii=Pii.NONE),
            _id("order_id", "order that the event placed", "identity", "journeys"),
            _at("occurred_at", "When it happened", "journeys", "customer_analytics"),
        ),
    ),
    Feed(
        "support",
        "tickets",
        "Tickets of the support desk.",
        owner="customer-service",
        key=("ticket_id",),
        cursor="updated_at",
        columns=(
            _id("ticket_id", "ticket", "service"),
            _text("requester_name", "Full name of the requester as typed.", Pii.DIRECT, "identity"),
            _text("requester_email", "E-mail address of the requester.", Pii.DIRECT, "identity"),
            _text("requester_phone", "Phone number of the requester.", Pii.DIRECT, "identity"),
            _text("subject", "Subject line.", Pii.SENSITIVE, "service"),
            _text("body", "Text of the request.", Pii.SENSITIVE, "service"),
            _text(
                "channel",
                "How it came in: e-mail, chat, phone, web.",
                Pii.NONE,
                "service",
                "journeys",
            ),
            _text("priority", "Priority given by the desk.", Pii.NONE, "service"),
            _text("status", "State of the ticket.", Pii.NONE, "service"),
            _at("opened_at", "When it was opened", "service", "journeys", "customer_analytics"),
            _at("first_reply_at", "When the desk first answered", "service", "customer_analytics"),
            _at("solved_at", "When it was solved", "service", "customer_analytics"),
            _score("csat_score", "Satisfaction from 1 to 5.", "service", "customer_analytics"),
            UPDATED_AT,
        ),
    ),
    Feed(
        "mailing",
        "subscribers",
        "Subscribers of the e-mail marketing tool.",
        owner="marketing",
        key=("subscriber_id",),
        cursor="updated_at",
        columns=(
            _id("subscriber_id", "subscriber", "identity", "marketing"),
            EMAIL,
            FIRST_NAME,
            LAST_NAME,
            _at("subscribed_at", "When the person subscribed", "identity"),
            UPDATED_AT,
        ),
    ),
    Feed(
        "mailing",
        "deliveries",
        "What happened to each e-mail.",
        owner="marketing",
        key=("delivery_id",),
        cursor=None,
        columns=(
            _id("delivery_id", "delivery event", "marketing"),
            _id("subscriber_id", "subscriber", "identity", "marketing"),
            _text("campaign", "Campaign that was sent.", Pii.NONE, "marketing", "journeys"),
            _text(
                "event_type",
                "`sent`, `open`, `click`, `bounce` or `unsubscribe`.",
                Pii.NONE,
                "marketing",
                "consent",
                "journeys",
                "customer_analytics",
            ),
            _at(
                "occurred_at",
                "When it happened",
                "marketing",
                "consent",
                "journeys",
                "customer_analytics",
            ),
        ),
    ),
    Feed(
        "mailing",
        "consents",
        "Consent given or withdrawn, one event a row.",
        owner="marketing",
        key=("consent_id",),
        cursor=None,
        columns=(
            _id("consent_id", "consent event", "consent"),
            _text("email", "E-mail address as typed.", Pii.DIRECT, "consent"),
            _text(
                "phone",
                "Phone number as typed, national or international.",
                Pii.DIRECT,
                "consent",
            ),
            _text(
                "purpose",
                "What the consent is for, for example `email_marketing`.",
                Pii.NONE,
                "consent",
            ),
            _text("status", "`granted` or `withdrawn`.", Pii.NONE, "consent"),
            _text("legal_basis", "Legal basis, for example `consent`.", Pii.NONE, "consent"),
            _at("occurred_at", "When it happened", "consent"),
        ),
    ),
    Feed(
        "mailing",
        "suppressions",
        "People who must not be contacted, whatever they agreed to.",
        owner="marketing",
        key=("suppression_id",),
        cursor=None,
        columns=(
            _id("suppression_id", "suppression", "consent"),
            EMAIL,
            PHONE,
            _text(
                "reason",
                "`hard_bounce`, `invalid_number`, `complaint` or `do_not_contact`.",
                Pii.NONE,
                "consent",
            ),
            _at("occurred_at", "When it happened", "consent"),
        ),
    ),
    Feed(
        "surveys",
        "responses",
        "Answers to surveys.",
        owner="customer-service",
        key=("response_id",),
        cursor=None,
        columns=(
            _id("response_id", "response", "service"),
            _text("email", "E-mail address as typed.", Pii.DIRECT, "identity"),
            _text(
                "phone",
                "Phone number as typed, national or international.",
                Pii.DIRECT,
                "identity",
            ),
            _text("survey", "Name of the survey.", Pii.NONE, "service", "journeys"),
            _score("nps_score", "Likelihood to recommend, 0 to 10.", "service"),
            _score("csat_score", "Satisfaction from 1 to 5.", "service"),
            _text("comment", "Free text.", Pii.SENSITIVE, "service"),
            _at(
                "responded_at",
                "When the person answered",
                "service",
                "journeys",
                "customer_analytics",
            ),
        ),
    ),
)
