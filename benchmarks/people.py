"""Files of people, with the truth in a column, in the shape of `identity.int_records_unioned`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
)
from orchestration.landing import land
from orchestration.settings import Settings
from orchestration.sql import literal, quoted
from orchestration.transform.dbt import build, parse

# The columns of `identity.int_records_unioned`, in its order.
COLUMNS: Mapping[str, str] = {
    "source_record_id": "varchar",
    "source": "varchar",
    "record_type": "varchar",
    "first_name": "varchar",
    "last_name": "varchar",
    "email": "varchar",
    "phone": "varchar",
    "birth_date": "date",
    "gender": "varchar",
    "national_id": "varchar",
    "street": "varchar",
    "city": "varchar",
    "postcode": "varchar",
    "country": "varchar",
    "company": "varchar",
    "first_seen_at": "timestamp",
    "last_seen_at": "timestamp",
    "updated_at": "timestamp",
}
# A file cannot say these: all its records come from one place.
_FIXED = {"source": "people", "record_type": "person"}


class PeopleError(Exception):
    """The file, the map or the truth cannot be used; one sentence that says why."""


def parse_map(text: str) -> dict[str, list[str]]:
    """Read `ours=theirs ours=this+that` into our column -> the columns of the file that fill it.

    Raises PeopleError for a part without `=`, an unknown or repeated column of ours, a blank name.
    """
    mapping: dict[str, list[str]] = {}
    for part in text.split():
        ours, equals, theirs = part.partition("=")
        names = theirs.split("+")
        if not (equals and ours and all(names)):
            raise PeopleError(
                f"The map says {part!r}, which is not ours=theirs (or ours=this+that)."
            )
        if ours not in COLUMNS or ours in _FIXED:
            known = ", ".join(column for column in COLUMNS if column not in _FIXED)
            raise PeopleError(f"The map fills {ours!r}, but the columns of a record are {known}.")
        if ours in mapping:
            raise PeopleError(f"The map fills {ours!r} twice; join columns as {ours}=this+that.")
        mapping[ours] = names
    if not mapping:
        raise PeopleError("The map is empty: say which columns hold names, for example.")
    return mapping


def read_people(
    path: Path, mapping: Mapping[str, list[str]], truth: str, pattern: str | None, people: Path
) -> list[str]:
    """Write the people of a CSV or Parquet file as Parquet: COLUMNS and `person_id`.

    truth: the file's column that says who is who. pattern: a regular expression with one group,
    which is the person in it. Blanks around header names and values do not count, nor do empty
    values. Returns remarks, one sentence each, on values that could not be used. Raises PeopleError
    for anything that makes the whole file unusable.
    """
    with duckdb.connect() as connection:
        theirs = _load_text(connection, path)
        for name in [truth, *(name for names in mapping.values() for name in names)]:
            if name not in theirs:
                raise PeopleError(f"{path} has no column {name!r}; it has {', '.join(theirs)}.")
        try:
            connection.execute(
                f"create temp table people as select {_select(mapping)},"
                f" {_person(truth, pattern)} as person_id from file"
            )
        except duckdb.Error as error:
            # Python's expressions know more than RE2's, which is what reads the column.
            raise PeopleError(f"The truth pattern {pattern!r} cannot be used: {error}") from error
        _check(connection, path, truth, pattern)
        remarks = [
            remark
            for column in COLUMNS
            if column in mapping and COLUMNS[column] != "varchar"
            for remark in _unread(connection, column, mapping[column])
        ]
        connection.execute(f"copy people to {literal(people)} (format parquet)")
    return remarks


def _load_text(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """Load the file as table `file`, all text, blanks and empty values gone; return its columns."""
    if not path.is_file():
        raise PeopleError(f"There is no file {path}.")
    reader = (
        f"read_parquet({literal(path)})"
        if path.suffix == ".parquet"
        else f"read_csv({literal(path)}, header = true, all_varchar = true)"
    )
    try:
        relation = connection.sql(f"from {reader}")
        columns = {name: name.strip() for name in relation.columns}
        if len(set(columns.values())) < len(columns):
            raise PeopleError(f"{path} has two columns of one name.")
        cells = ", ".join(
            f"nullif(trim(cast({quoted(name)} as varchar)), '') as {quoted(stripped)}"
            for name, stripped in columns.items()
        )
        connection.execute(f"create temp table file as select {cells} from {reader}")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise PeopleError(f"{path} cannot be read as CSV or Parquet: {reason}") from error
    return list(columns.values())


def _select(mapping: Mapping[str, list[str]]) -> str:
    return ", ".join(f"{_value(column, mapping)} as {column}" for column in COLUMNS)


def _value(column: str, mapping: Mapping[str, list[str]]) -> str:
    type_ = COLUMNS[column]
    if column in _FIXED:
        return f"'{_FIXED[column]}'"
    if column not in mapping:
        # Without ids of their own the records are numbered as they stand in the file.
        return (
            "'people:' || row_number() over ()"
            if column == "source_record_id"
            else f"{_none(type_)}"
        )
    text = _joined(mapping[column])
    if column == "source_record_id":
        return f"'people:' || {text}"
    if type_ == "date":
        return f"coalesce(try_cast({text} as date), cast(try_strptime({text}, '%Y%m%d') as date))"
    return text if type_ == "varchar" else f"try_cast({text} as {type_})"


def _none(type_: str) -> str:
    return f"cast(null as {type_})"


def _joined(names: list[str]) -> str:
    columns = ", ".join(quoted(name) for name in names)
    return columns if len(names) == 1 else f"nullif(concat_ws(' ', {columns}), '')"


def _person(truth: str, pattern: str | None) -> str:
    if pattern is None:
        return quoted(truth)
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise PeopleError(
            f"The truth pattern {pattern!r} is no regular expression: {error}."
        ) from error
    if groups != 1:
        raise PeopleError(f"The truth pattern {pattern!r} has {groups} groups and needs one.")
    return f"nullif(regexp_extract({quoted(truth)}, {literal(pattern)}, 1), '')"


def _check(
    connection: duckdb.DuckDBPyConnection, path: Path, truth: str, pattern: str | None
) -> None:
    """Raise PeopleError when a record has no person or shares its id, or there is none."""
    total, unknown, ids, distinct = connection.execute(
        "select count(*), count(*) - count(person_id), count(source_record_id),"
        " count(distinct source_record_id) from people"
    ).fetchall()[0]
    if total == 0:
        raise PeopleError(f"{path} has no record.")
    if unknown:
        matched = f" that matches {pattern!r}" if pattern else ""
        raise PeopleError(
            f"{unknown:,} of the {total:,} records of {path} have no {truth!r}{matched}."
        )
    if ids < total or distinct < total:
        raise PeopleError(
            f"source_record_id must be there and unique: {path} has {total:,} records"
            f" and {distinct:,} ids."
        )


def _unread(connection: duckdb.DuckDBPyConnection, column: str, theirs: list[str]) -> list[str]:
    """Say how many values of a typed column could not be read; they count as missing."""
    value = _joined(theirs)
    # Typed as in `_value`; only the text tells a missing value from one that cannot be read.
    given, count, example = connection.execute(
        f"select count(text), count(text) filter (typed is null),"
        f" min(text) filter (typed is null) from (select {value} as text,"
        f" {_value(column, {column: theirs})} as typed from file)"
    ).fetchall()[0]
    what = f"{column}: {count:,} of {given:,} values are no {COLUMNS[column]}"
    return [f"{what} ({example!r} for one); they count as missing."] if count else []


def build_world(settings: Settings, truth: Path, people: Path) -> None:
    """Land a generated landing, stage it, union its records; write them as `read_people` does.

    settings: the landing and a fresh home. truth: CSV with source_record_id and person_id.
    """
    settings.home.mkdir(parents=True)
    with open_working_database(settings) as connection:
        land(connection, settings.landing, load_id="bench", loaded_at=datetime.now(UTC))
        load_released_ids(connection, None)
        load_steward_decisions(connection, settings.decisions)
        load_rectifications(connection, settings.rectifications)
    manifest = parse(settings)
    build(settings, manifest, "staging")
    build(settings, manifest, "identity", ["int_records_unioned"])
    columns = ", ".join(f"unioned.{column}" for column in COLUMNS)
    with open_working_database(settings) as connection:
        connection.execute(
            f"copy (select {columns}, truth.person_id from identity.int_records_unioned as unioned"
            f" inner join read_csv({literal(truth)}, all_varchar = true) as truth"
            " using (source_record_id))"
            f" to {literal(people)} (format parquet)"
        )


def open_working_database(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Open or make `work.duckdb` as the landing does; only the benchmark is in it."""
    return duckdb.connect(
        str(settings.working_database), config={"storage_compatibility_version": "latest"}
    )
