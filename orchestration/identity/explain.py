"""Why records are one customer: everything identity knows about one customer, read and told.

The arithmetic is not done here: view `identity.int_matches_explained`, which mart
`customer_matches` publishes, says what each pair of records is worth, field by field.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import duckdb

from orchestration.database import working_file
from orchestration.settings import Settings
from orchestration.sql import literal, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

# Comparison -> the columns of a record that people read for it.
COMPARED: Mapping[str, tuple[str, ...]] = {
    "first_name": ("first_name",),
    "last_name": ("last_name",),
    "birth_date": ("birth_date",),
    "email": ("email",),
    "phone": ("phone",),
    "address": ("street", "postcode", "city"),
    "national_id": ("national_id",),
}

# What a record shows, in the order of reading.
SHOWN = (
    "first_name",
    "last_name",
    "birth_date",
    "email",
    "phone",
    "street",
    "postcode",
    "city",
    "country",
    "national_id",
    "company",
)

_MOST_SUGGESTIONS = 3


class ExplainError(Exception):
    """Nothing can be explained now; the message says why and what to do."""


class Outcome(StrEnum):
    """What identity made of a pair of records."""

    MATCHED = "matched"
    SAME_EVIDENCE = "same_evidence"
    REVIEW = "review"
    REFUSED = "refused"
    DECIDED_SAME = "decided_same"
    DECIDED_NOT_SAME = "decided_not_same"


@dataclass(frozen=True)
class Record:
    """A record of a person. values: by column of SHOWN, only those it has.

    notes: by column, what is to be known of the value: "rectified", "read from the e-mail", "role".
    is_alone: it says too little to be one with others of its profile, and the profile matches none.
    """

    source_record_id: str
    source: str
    record_type: str
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    values: Mapping[str, str]
    notes: Mapping[str, str]
    is_alone: bool

    def value_of(self, comparison: str) -> str:
        """What the record shows for a comparison, in one line."""
        return ", ".join(self.values[c] for c in COMPARED[comparison] if c in self.values)


@dataclass(frozen=True)
class Evidence:
    """How two records agree in one comparison, and what that is worth in bits."""

    comparison: str
    level: str
    bits: float


@dataclass(frozen=True)
class DecisionMade:
    """A steward's decision in force on two records. decided_at: UTC."""

    decision_id: str
    verdict: str
    source_record_id: str
    other_source_record_id: str
    decided_by: str
    decided_at: datetime
    reason: str


@dataclass(frozen=True)
class Link:
    """A pair of records and what speaks for one person.

    The bits of prior, evidence and frequency add up to the weight (log2 of the odds); probability
    follows from it. holds: without this link the customer would fall apart, as far as links tell.
    """

    source_record_id: str
    other_source_record_id: str
    customer_id: str
    other_customer_id: str
    outcome: Outcome
    weight: float
    probability: float
    shared_contacts: str
    prior_bits: float
    evidence: tuple[Evidence, ...]
    frequency_bits: float
    refused_reason: str | None
    decision_id: str | None
    holds: bool = False

    @property
    def pair(self) -> tuple[str, str]:
        """The two records."""
        return self.source_record_id, self.other_source_record_id


@dataclass(frozen=True)
class GoldenValue:
    """The value that survived for a group of fields. decided_by: a rule of survivorship."""

    field_group: str
    value: str
    source_record_id: str
    decided_by: str
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    """Something that happened to a customer id."""

    customer_id: str
    event: str
    other_customer_id: str | None
    release_number: int
    occurred_on: date
    reason: str


@dataclass(frozen=True)
class Explanation:
    """All about one customer.

    reference: what was asked for. customer_id: None when the id asked for was withdrawn with all
    its records. redirected_from: the id asked for when it is out of use. strangers: records of
    other customers that a link names. former_ids: ids that lead to this customer.
    """

    reference: str
    customer_id: str | None
    redirected_from: str | None
    records: tuple[Record, ...]
    visitors: tuple[str, ...]
    strangers: Mapping[str, Record]
    links: tuple[Link, ...]
    decisions: tuple[DecisionMade, ...]
    golden: tuple[GoldenValue, ...]
    history: tuple[Event, ...]
    former_ids: tuple[str, ...]

    def record(self, source_record_id: str) -> Record | None:
        """A record that a link names, of this customer or of another one."""
        for record in self.records:
            if record.source_record_id == source_record_id:
                return record
        return self.strangers.get(source_record_id)

    def links_of(self, *outcomes: Outcome) -> tuple[Link, ...]:
        """The links with these outcomes, strongest first."""
        return tuple(link for link in self.links if link.outcome in outcomes)


def explain(settings: Settings, reference: str) -> Explanation:
    """Tell all about the customer that a customer id, also one out of use, or a record names.

    Reads the working database and changes nothing. Raises ExplainError when there is none, when a
    run holds it, or when nobody has that id.
    """
    with reading(settings) as connection:
        customer_id, redirected_from = customer_of(connection, reference)
        if customer_id is None:
            return _withdrawn(connection, reference)
        members = rows(
            connection,
            "select source_record_id, record_type from identity.int_customer_sources_resolved"
            f" where customer_id = {literal(customer_id)} order by source_record_id",
        )
        own = [m["source_record_id"] for m in members if m["record_type"] != "visitor"]
        links = _links(connection, customer_id)
        named = {record for link in links for record in link.pair}
        records = _records(connection, named | set(own))
        former_ids = _former_ids(connection, customer_id)
        return Explanation(
            reference=reference,
            customer_id=customer_id,
            redirected_from=redirected_from,
            records=tuple(records[record] for record in own if record in records),
            visitors=tuple(m["source_record_id"] for m in members if m["record_type"] == "visitor"),
            strangers={name: record for name, record in records.items() if name not in own},
            links=links,
            decisions=_decisions(connection, own),
            golden=_golden(connection, customer_id),
            history=_history(connection, [customer_id, *former_ids]),
            former_ids=former_ids,
        )


@contextmanager
def reading(settings: Settings) -> "Iterator[duckdb.DuckDBPyConnection]":
    """Open the working database to read; raises ExplainError, also for what goes wrong within."""
    database = settings.working_database
    if not database.exists():
        raise ExplainError(
            f"Nothing has been built in {settings.home} yet: there is no {database.name}. "
            "`make run` builds it."
        )
    try:
        with working_file(settings).connect(
            read_only=True,
            config={"memory_limit": settings.memory_limit, "threads": settings.threads},
        ) as connection:
            yield connection
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise ExplainError(
            f"The identity layer in {database} is not there, or an earlier version of the "
            f"warehouse built it: {_first_line(error)} `make run REBUILD=1` builds it anew."
        ) from error
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise ExplainError(
                f"{database} is in use, most likely by a run; ask again when it has finished."
            ) from error
        raise ExplainError(f"{database} cannot be read: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise ExplainError(f"{database} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") + "."


# --- whom the reference means --------------------------------------------------------------------


def customer_of(
    connection: duckdb.DuckDBPyConnection, reference: str
) -> tuple[str | None, str | None]:
    """Return the customer id in use, and the reference when it is an id out of use.

    reference: a customer id or a record. Raises ExplainError when there is none of that name.
    """
    named = literal(reference)
    found = connection.execute(
        "select customer_id from identity.int_customer_sources_resolved"
        f" where source_record_id = {named} or customer_id = {named} limit 1"
    ).fetchone()
    if found:
        return str(found[0]), None
    redirect = connection.execute(
        "select current_customer_id from identity.int_customer_redirects_resolved"
        f" where customer_id = {named}"
    ).fetchone()
    if redirect:
        return redirect[0], reference
    similar = connection.execute(
        f"""
        select name from (
            select
                unnest([source_record_id, customer_id]) as name
            from identity.int_customer_sources_resolved
        )
        where
            lower(name) = lower({named})
            or (
                abs(length(name) - {len(reference)}) <= 2
                and jaro_winkler_similarity(lower(name), lower({named})) >= 0.9
            )
        group by name
        order by lower(name) <> lower({named}), levenshtein(lower(name), lower({named})), name
        limit {_MOST_SUGGESTIONS}
        """
    ).fetchall()
    hint = f"Did you mean {' or '.join(name for (name,) in similar)}?" if similar else ""
    raise ExplainError(
        f"No customer and no record is called {reference}. "
        + (hint or "A customer id starts with cus_, a record is <source>:<id>, for example crm:C1.")
    )


def _withdrawn(connection: duckdb.DuckDBPyConnection, reference: str) -> Explanation:
    return Explanation(
        reference=reference,
        customer_id=None,
        redirected_from=reference,
        records=(),
        visitors=(),
        strangers={},
        links=(),
        decisions=(),
        golden=(),
        history=_history(connection, [reference]),
        former_ids=(),
    )


# --- what is known of them -----------------------------------------------------------------------


def _records(connection: duckdb.DuckDBPyConnection, names: Collection[str]) -> dict[str, Record]:
    """The records of these names, shared or suppressed contacts marked."""
    if not names:
        return {}
    found = rows(
        connection,
        f"""
        select
            records.*,
            shared_emails.status as email_status,
            shared_phones.status as phone_status,
            rectified.fields as rectified_fields,
            clustered.cluster_key = records.record_key as is_alone
        from identity.int_records_normalised as records
        inner join identity.int_records_clustered as clustered
            on records.record_key = clustered.record_key
        left join identity.int_values_shared as shared_emails
            on records.email_key = shared_emails.value_key and records.email is not null
        left join identity.int_values_shared as shared_phones
            on records.phone_key = shared_phones.value_key and records.phone is not null
        left join (
            select record_key, list(field) as fields from identity.int_rectifications_applied
            group by record_key
        ) as rectified on records.record_key = rectified.record_key
        where records.source_record_id in ({", ".join(literal(name) for name in sorted(names))})
        """,
    )
    return {row["source_record_id"]: _record(row) for row in found}


def _record(row: Mapping[str, Any]) -> Record:
    values = {column: str(row[column]) for column in SHOWN if row[column] is not None}
    notes = dict.fromkeys(row["rectified_fields"] or (), "rectified")
    notes |= {
        column: str(row[f"{column}_status"])
        for column in ("email", "phone")
        if row[f"{column}_status"]
    }
    for column in ("first_name", "last_name"):
        compared = row[f"match_{column}"]
        if column not in values and compared:
            values[column] = str(compared)
            notes[column] = "read from the e-mail"
    return Record(
        source_record_id=row["source_record_id"],
        source=row["source"],
        record_type=row["record_type"],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        values=values,
        notes=notes,
        is_alone=row["is_alone"],
    )


def _links(connection: duckdb.DuckDBPyConnection, customer_id: str) -> tuple[Link, ...]:
    """Every link of the customer, strongest first, those that hold it together marked."""
    named = literal(customer_id)
    found = rows(
        connection,
        "select * from identity.int_matches_explained"
        f" where customer_id = {named} or other_customer_id = {named}"
        " order by match_weight desc, source_record_id, other_source_record_id",
    )
    links = [link_of(row) for row in found]
    holding, _ = spanned(links)
    return tuple(replace(link, holds=link.pair in holding) for link in links)


def link_of(row: Mapping[str, Any]) -> Link:
    """Read a row of `int_matches_explained`, or of mart `customer_matches`, which is the same."""
    return Link(
        source_record_id=row["source_record_id"],
        other_source_record_id=row["other_source_record_id"],
        customer_id=row["customer_id"],
        other_customer_id=row["other_customer_id"],
        outcome=Outcome(row["outcome"]),
        weight=float(row["match_weight"]),
        probability=row["match_probability"],
        shared_contacts=row["shared_contacts"],
        prior_bits=float(row["prior_bits"]),
        evidence=tuple(
            Evidence(name, row[f"{name}_level"], float(row[f"{name}_bits"])) for name in COMPARED
        ),
        frequency_bits=float(row["frequency_bits"]),
        refused_reason=row["refused_reason"],
        decision_id=row["decision_id"],
    )


def spanned(
    links: Iterable[Link], apart: tuple[str, str] | None = None
) -> tuple[set[tuple[str, str]], Mapping[str, str]]:
    """Return the strongest links that keep records together, and by record the group it falls into.

    A maximum spanning forest: a steward's "same" comes first and equal evidence second, as when
    customers are made. apart: two records that no link may join, not even through others.
    """
    order = (Outcome.DECIDED_SAME, Outcome.SAME_EVIDENCE, Outcome.MATCHED)
    joining = sorted(
        (link for link in links if link.outcome in order and link.pair != apart),
        key=lambda link: (order.index(link.outcome), -link.weight, link.pair),
    )
    root: dict[str, str] = {}

    def root_of(record: str) -> str:
        while root.setdefault(record, record) != record:
            record = root[record]
        return record

    holding = set()
    for link in joining:
        one, other = root_of(link.source_record_id), root_of(link.other_source_record_id)
        if one == other or (apart and {one, other} == {root_of(apart[0]), root_of(apart[1])}):
            continue
        root[one] = other
        holding.add(link.pair)
    return holding, {record: root_of(record) for record in tuple(root)}


def _decisions(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str]
) -> tuple[DecisionMade, ...]:
    """Decisions in force in the last run on any of these records and on any other record."""
    if not names:
        return ()
    own = ", ".join(literal(name) for name in names)
    found = rows(
        connection,
        "select * from state.steward_decisions"
        f" where source_record_id in ({own}) or other_source_record_id in ({own})"
        " order by decided_at, decision_id",
    )
    return tuple(DecisionMade(**row) for row in found)


def _golden(connection: duckdb.DuckDBPyConnection, customer_id: str) -> tuple[GoldenValue, ...]:
    found = rows(
        connection,
        "select * from identity.int_golden_values_ranked"
        f" where customer_id = {literal(customer_id)} order by rank",
    )
    order = ("name", "birth_date", "gender", "email", "phone", "address", "national_id", "company")
    survivors = sorted(
        (row for row in found if row["rank"] == 1),
        key=lambda row: (
            order.index(row["field_group"]) if row["field_group"] in order else len(order)
        ),
    )
    return tuple(
        GoldenValue(
            field_group=row["field_group"],
            value=row["value"],
            source_record_id=row["source_record_id"],
            decided_by=row["decided_by"],
            rivals=tuple(
                rival["value"]
                for rival in found
                if rival["field_group"] == row["field_group"] and rival["rank"] > 1
            ),
        )
        for row in survivors
    )


def _history(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> tuple[Event, ...]:
    """Events of these ids, and of others with them, in their order."""
    named = ", ".join(literal(name) for name in ids)
    found = rows(
        connection,
        "select customer_id, event, other_customer_id, release_number, occurred_on, reason"
        " from identity.int_customer_ids_recorded"
        f" where customer_id in ({named}) or other_customer_id in ({named})"
        " order by release_number, event, customer_id",
    )
    return tuple(Event(**row) for row in found)


def _former_ids(connection: duckdb.DuckDBPyConnection, customer_id: str) -> tuple[str, ...]:
    found = connection.execute(
        "select customer_id from identity.int_customer_redirects_resolved"
        f" where current_customer_id = {literal(customer_id)} order by 1"
    ).fetchall()
    return tuple(name for (name,) in found)
