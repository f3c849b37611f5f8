"""What a rectification would change, and what became of those in force: asked of the last run.

Values are read as identity reads them, by the same macros (dbt_project/macros/normalise.sql).
Reads the working database and changes nothing in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import duckdb
import yaml

from orchestration.identity.explain import ExplainError, customer_of, reading
from orchestration.identity.rectifications import (
    Action,
    Rectification,
    RectificationError,
    date_problem,
    field_problem,
    read_rectifications,
    rectifications_in_force,
)
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal, rows
from orchestration.transform.macros import plain_macros

_EARLIEST_BIRTH = date(1900, 1, 1)
_EXPECTED = {
    "email": "an address is name@domain",
    "phone": "a number of another country is written with + and its code",
    "gender": "female, male or diverse",
    "postcode": "it has letters or digits",
    "national_id": "it has letters or digits",
}


@dataclass(frozen=True)
class Holding:
    """What is known of one field of a record.

    delivered: what the source says, as typed; None for nothing. current: what counts by now, by the
    line in force if there is one, as typed. others: other records of the customer with a value, and
    the value.
    """

    source_record_id: str
    customer_id: str
    field: str
    delivered: str | None
    current: str | None
    others: Mapping[str, str]


def look_up(settings: Settings, record: str, field: str) -> Holding:
    """Return what a record holds in a field. Raises RectificationError in words of the steward."""
    if problem := field_problem(field):
        raise RectificationError(f"Not rectified: {problem}.")
    in_force = _in_force(settings)
    try:
        with reading(settings) as connection:
            customer_id, _ = customer_of(connection, record)
            held = _held(connection, customer_id, field)
            delivered = _delivered(connection, [record])
    except ExplainError as error:
        raise RectificationError(f"Not rectified: {error}") from error
    if record not in delivered:
        bearing = [name for name, value in held.items() if value]
        raise RectificationError(
            f"Not rectified: {record} is no record of a source, and a source's word is what is"
            f" corrected. Name the one that is wrong; `explain {record}` shows them all. A {field}"
            f" is held by {', '.join(bearing) or 'none of them'}."
        )
    line = in_force.get((record, field))
    told = delivered[record].get(field)
    return Holding(
        source_record_id=record,
        customer_id=customer_id or "",
        field=field,
        delivered=told,
        current=told if line is None else line.value or None,
        others={name: value for name, value in held.items() if value and name != record},
    )


def normalised(settings: Settings, holding: Holding, values: Sequence[str]) -> list[str | None]:
    """Return values as identity would read them in this field of this record; None: unreadable.

    Raises RectificationError when the working database cannot be read.
    """
    try:
        with reading(settings) as connection:
            return [
                _normalised(connection, holding.source_record_id, holding.field, value)
                for value in values
            ]
    except ExplainError as error:
        raise RectificationError(f"Not rectified: {error}") from error


def value_problem(settings: Settings, holding: Holding, value: str) -> str:
    """Return why identity could do nothing with a value, or nothing."""
    field = holding.field
    if not value.strip():
        return f"{field} is empty; `--clear` takes a value away"
    if field == "birth_date":
        if problem := date_problem(value.strip()):
            return problem
        if not _EARLIEST_BIRTH < date.fromisoformat(value.strip()) < settings.as_of:
            return f"birth_date {value.strip()} is not between 1900 and {settings.as_of}"
    (read,) = normalised(settings, holding, [value])
    if read is None:
        return (
            f"{field} {value.strip()!r} cannot be read; {_EXPECTED.get(field, 'it says nothing')}"
        )
    return ""


@dataclass(frozen=True)
class Outcome:
    """What became of a line of the file. source: what the source says of it now, in words."""

    line: Rectification
    source: str


def outcomes(settings: Settings, lines: Iterable[Rectification]) -> list[Outcome]:
    """Hold lines against what the sources say in the last run.

    Raises RectificationError when the working database cannot be read.
    """
    lines = list(lines)
    try:
        with reading(settings) as connection:
            records = sorted({line.source_record_id for line in lines if line.source_record_id})
            delivered = _delivered(connection, records)
            return [Outcome(line, _source_says(connection, line, delivered)) for line in lines]
    except ExplainError as error:
        raise RectificationError(f"What the sources say is not known: {error}") from error


def _source_says(
    connection: duckdb.DuckDBPyConnection,
    line: Rectification,
    delivered: Mapping[str, Mapping[str, str | None]],
) -> str:
    if line.action is Action.REVOKE:
        return ""
    record, field = line.target
    if record not in delivered:
        return "no longer has the record"
    told = delivered[record].get(field)
    if told is None or line.action is Action.CLEAR:
        agrees = told is None and line.action is Action.CLEAR
    else:
        agrees = _normalised(connection, record, field, told) == _normalised(
            connection, record, field, line.value
        )
    if agrees:
        return "agrees now, so this is no longer needed"
    if (told or "") == line.source_value:
        return f"still says {told}" if told else "still says nothing"
    before = f"{line.source_value} before" if line.source_value else "nothing before"
    return f"says meanwhile {told or 'nothing'}, {before}"


# --- asking the last run -----------------------------------------------------------------------


def _in_force(settings: Settings) -> dict[tuple[str, str], Rectification]:
    lines = rectifications_in_force(read_rectifications(settings.rectifications))
    return {line.target: line for line in lines}


def _delivered(
    connection: duckdb.DuckDBPyConnection, records: Sequence[str]
) -> dict[str, dict[str, str | None]]:
    """What the sources say of these records, as typed, by record and field."""
    if not records:
        return {}
    found: list[dict[str, Any]] = rows(
        connection,
        "select * from identity.int_records_unioned"
        f" where source_record_id in ({', '.join(literal(name) for name in records)})",
    )
    return {
        row["source_record_id"]: {
            name: None if value is None else str(value) for name, value in row.items()
        }
        for row in found
    }


def _held(
    connection: duckdb.DuckDBPyConnection, customer_id: str | None, field: str
) -> dict[str, str]:
    """What the records of a customer show in a field in the last run."""
    found = connection.execute(
        f"select source_record_id, cast(records.{field} as varchar)"
        " from identity.int_records_normalised as records"
        " inner join identity.int_customer_sources_resolved as sources using (source_record_id)"
        " where customer_id = $customer order by source_record_id",
        {"customer": customer_id},
    ).fetchall()
    return {record: value or "" for record, value in found}


def _normalised(
    connection: duckdb.DuckDBPyConnection, record: str, field: str, value: str
) -> str | None:
    macros = plain_macros("normalise.sql")
    readings = {
        "email": macros.normalise_email("value"),
        "phone": macros.phone_e164("value", macros.phone_digits("value"), "plan"),
        "gender": macros.normalise_gender("value"),
        "national_id": macros.normalise_national_id("value"),
        "postcode": macros.normalise_postcode("value"),
        "country": "coalesce(country_names.country_code, upper(trim(value)))",
    }
    row = connection.execute(
        f"""
        select {readings.get(field, "nullif(trim(value), '')")}
        from (
            select
                {literal(value)} as value,
                coalesce(country, {literal(_home_country())}) as country_code
            from identity.int_records_normalised
            where source_record_id = {literal(record)}
        ) as given
        left join reference.phone_plans as plan on given.country_code = plan.country_code
        left join reference.country_names as country_names
            on lower(trim(value)) = country_names.country_name
        """
    ).fetchone()
    return str(row[0]) if row and row[0] is not None else None


@cache
def _home_country() -> str:
    text = (PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8")
    project = yaml.safe_load(text)
    return str(project["vars"]["home_country"])
