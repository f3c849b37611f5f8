"""The sheet of a new source, drafted from one of its files.

What a file can show is proposed: key, cursor, types, which columns name a person. What it cannot
show is asked: who owns it, what each column is kept for, how long. A question is `TODO`, and a
sheet that has one is not placed. Values of the file are never written into the sheet.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb

from orchestration.journal import shown
from orchestration.landing.column_types import fits_sql
from orchestration.landing.feeds import FEEDS, Column, ColumnType, Feed
from orchestration.landing.listing import LandedFile, format_of
from orchestration.landing.readers import GoneError, RefusedError, Scan, scan
from orchestration.landing.schema_drift import records_of
from orchestration.settings import PROJECT_ROOT
from orchestration.sql import literal

TODO = "TODO"
"""What stands where a person has to answer."""

RECORD = "record"
PERSON_FIELDS: Mapping[str, tuple[str, ...]] = {
    "first_name": ("firstname", "given_name", "forename"),
    "last_name": ("lastname", "surname", "family_name"),
    "email": ("e_mail", "mail", "email_address", "mail_address"),
    "phone": ("mobile", "telephone", "tel", "phone_number", "mobile_number"),
    "birth_date": ("birthdate", "birthday", "date_of_birth", "dob"),
    "gender": ("sex",),
    "national_id": ("national_number", "ssn"),
    "street": ("address", "street_address"),
    "city": ("town",),
    "postcode": ("zip", "zip_code", "postal_code", "post_code"),
    "country": ("country_code",),
    "company": ("employer", "company_name"),
}
"""Columns of `int_records_unioned` that say something of a person, and other names they go by."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FEED = re.compile(r"[a-z]{1,30}(_[a-z]{1,30}){0,3}")

_SAMPLE = 5_000
_LIKELY = 0.8  # a type is proposed when so many values fit: samples have bad lines as well
_TRIED = (
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.BOOLEAN,
    ColumnType.DATE,
    ColumnType.TIMESTAMP,
)


class NewSourceError(Exception):
    """A source cannot be drafted or placed; one sentence a problem with place, value, remedy."""


@dataclass(frozen=True)
class _Seen:
    """A column of the sample. values: those that are filled. proposed: its type."""

    name: str
    values: tuple[str, ...]
    row_count: int
    proposed: ColumnType

    @property
    def could_be_key(self) -> bool:
        return 0 < self.row_count == len(self.values) == len(set(self.values))


def sheet_path(name: str, root: Path = PROJECT_ROOT) -> Path:
    """Where the sheet of a feed is until it is placed."""
    return root / "governance" / "drafts" / f"{name.replace('/', '__')}.yml"


def split_name(name: str, feeds: Sequence[Feed] = FEEDS) -> tuple[str, str]:
    """Return source and things. Raises NewSourceError for no name, or that of a feed."""
    source, slash, entity = name.partition("/")
    if not (slash and _FEED.fullmatch(source) and _FEED.fullmatch(entity)):
        raise NewSourceError(
            f"{shown(name)} is no name of a feed: write <source>/<things> in small letters with"
            " single _ between words, for example loyalty/members."
        )
    if any(feed.name == name for feed in feeds):
        raise NewSourceError(
            f"{name} is a feed already, in orchestration/landing/feeds.py; edit it there, or choose"
            " another name."
        )
    return source, entity


def draft(name: str, sample: Path, root: Path = PROJECT_ROOT) -> Path:
    """Write the sheet of a new feed from one of its files, and return where it is.

    Raises NewSourceError when the name or the file is of no use, or when there is a sheet already.
    """
    source, entity = split_name(name)
    path = sheet_path(name, root)
    if path.exists():
        raise NewSourceError(
            f"{path} is there already: answer it and give the command without --from, or remove it"
            " to begin anew."
        )
    columns, left_out, row_count = _look_at(source, entity, sample)
    lines = _sheet(source, entity, columns, left_out, row_count)
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise NewSourceError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def _look_at(source: str, entity: str, sample: Path) -> tuple[list[_Seen], list[str], int]:
    """Return the columns of a file, the names that no column can have, and how many records."""
    try:
        status = sample.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NewSourceError(f"The file {shown(str(sample))} cannot be read: {reason}.") from error
    format_, is_gzipped = format_of(sample)
    if format_ is None or not sample.is_file():
        raise NewSourceError(
            f"{shown(str(sample))} is no file whose name ends in .csv, .jsonl or .parquet; export"
            " one of these."
        )
    feed = Feed(source, entity, "", key=(), cursor=None, columns=(), owner="")
    file = LandedFile(
        feed, sample, sample.name, format_, is_gzipped, status.st_size, status.st_mtime_ns
    )
    try:
        found = scan(file)
        records = list(islice(_texts(file, found), _SAMPLE))
    except (RefusedError, GoneError, OSError, ValueError) as error:
        # ValueError: pyarrow's, of a damaged Parquet file
        raise NewSourceError(f"{sample} cannot be read: {error}.") from error
    if not records:
        raise NewSourceError(f"{sample} has no record; take a file with some.")
    names = dict.fromkeys(name for record in records for name in record)
    usable = {name: name.strip().lower() for name in names}
    reserved = _reserved_words()
    left_out = [
        name
        for name, plain in usable.items()
        if not NAME.fullmatch(plain) or plain in reserved or plain.startswith("_")
    ]
    repeated = [plain for plain, count in Counter(usable.values()).items() if count > 1]
    if repeated:
        raise NewSourceError(f"{sample} has the column {repeated[0]!r} twice; rename one of them.")
    columns = []
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, plain in usable.items():
            if name not in left_out:
                values = tuple(text for record in records if (text := record.get(name)))
                type_ = _type(connection, plain, values)
                columns.append(_Seen(plain, values, len(records), type_))
    return columns, left_out, len(records)


def _texts(file: LandedFile, found: Scan) -> Iterator[dict[str, str]]:
    for record in records_of(file, found):
        yield {
            str(name): "" if value is None else str(value).strip() for name, value in record.items()
        }


def _reserved_words() -> frozenset[str]:
    with duckdb.connect() as connection:
        words = connection.execute(
            "select keyword_name from duckdb_keywords() where keyword_category = 'reserved'"
        ).fetchall()
    return frozenset(word for (word,) in words)


def _type(connection: duckdb.DuckDBPyConnection, name: str, values: Sequence[str]) -> ColumnType:
    """Propose the type that most values fit: text for what has to keep its zeros and signs."""
    different = sorted(set(values))
    looks_like_code = name == "id" or name.endswith(("_id", "_code", "_number"))
    keeps_zeros = any(re.match(r"\+|0\d", value) for value in different)
    if not different or looks_like_code or keeps_zeros:
        return ColumnType.TEXT
    tried = ", ".join(f"count(*) filter ({fits_sql(type_, 'value')})" for type_ in _TRIED)
    listed = ", ".join(literal(value) for value in different)
    counts = connection.execute(
        f"select {tried} from (select unnest([{listed}]) as value)"
    ).fetchone()
    fitting = [
        type_
        for type_, count in zip(_TRIED, counts or (), strict=True)
        if count >= _LIKELY * len(different)
    ]
    return fitting[0] if fitting else ColumnType.TEXT


def house_columns(feeds: Sequence[Feed] = FEEDS) -> dict[str, tuple[Column, Feed]]:
    """Return each column that a feed has, by name: a name means the same everywhere."""
    known: dict[str, tuple[Column, Feed]] = {}
    for feed in feeds:
        for column in feed.columns:
            known.setdefault(column.name, (column, feed))
    return known


def thing(entity: str) -> str:
    """`member` of `members`."""
    return entity.removesuffix("s").replace("_", " ")


def _sheet(
    source: str, entity: str, columns: Sequence[_Seen], left_out: Iterable[str], row_count: int
) -> Iterator[str]:
    fields = _person_fields([column.name for column in columns])
    keys = [column.name for column in columns if column.could_be_key]
    key = min(keys, key=lambda name: not name.endswith("id"), default=None)
    own_keys = {key for feed in FEEDS if feed.source == source for key in feed.key}
    times = [column.name for column in columns if column.proposed is ColumnType.TIMESTAMP]
    newest = next((name for name in times if re.search("updat|modif|chang", name)), None)
    yield f"# {source}/{entity}, drafted from {row_count} records. Answer every {TODO}, then give"
    yield "# the same command without --from. Everything else is a proposal: correct it where it is"
    yield "# wrong. A column that nobody needs: delete its line, and it is not loaded."
    yield f"description: {TODO} # one sentence: what a row is"
    yield f"owner: {TODO} # who answers for what the source says, e.g. {_owners()}"
    yield f"rows_are: {TODO} # people: each row is a person; facts: something else"
    different = f"filled and different in all {row_count} records" if key else "what names a row?"
    yield f"key: [{key or TODO}] # {different}"
    yield f"newest_by: {newest or 'none'} # the time by which a version is newer; none: the last"
    dates = [name for name in (newest, *times) if name]
    yield f"dated_by: [{', '.join(dict.fromkeys(dates))}] # the first that is filled dates a row"
    yield f"keep_for: {TODO} # how long after that, e.g. 10 years; or forever"
    yield f"keep_because: {TODO} # why it may be kept so long"
    yield f"# is: what it says of the person, {RECORD} is the id. class: how closely it points at"
    yield "# one. purposes: what it is kept for, of governance/purposes.yml, in [ ]."
    yield "columns:"
    house = house_columns()
    for column in columns:
        is_record = (column.name == key and bool(fields)) or column.name in own_keys
        meaning = RECORD if is_record else fields.get(column.name, "")
        yield _column_line(column, meaning, house.get(column.name), thing(entity), key)
    for name in left_out:
        yield f"# left out: {json.dumps(name)}; small letters, digits and _ only, no word of SQL"


def _column_line(
    column: _Seen, meaning: str, known: tuple[Column, Feed] | None, thing_: str, key: str | None
) -> str:
    answers = {"is": meaning} if meaning else {}
    note = ""
    is_id = column.name.endswith("_id") and column.name not in PERSON_FIELDS
    if known is None:
        answers |= {"type": str(column.proposed), "class": TODO}
    else:
        there, feed = known
        note = f" # {there.type}, {there.pii}; in {feed.name} for {', '.join(there.purposes)}"
    answers["purposes"] = TODO
    if column.name == key:
        answers["says"] = f"Identifier of the {thing_} in its source."
    elif known is None or is_id:
        answers["says"] = TODO
    written = ", ".join(f"{name}: {answer}" for name, answer in answers.items())
    return f"  {column.name}: {{{written}}}{note}"


def _person_fields(names: Iterable[str]) -> dict[str, str]:
    """Return which column says what of a person, by its name; each field is said once."""
    found: dict[str, str] = {}
    names = list(names)
    for field, others in PERSON_FIELDS.items():
        match = next((name for name in (field, *others) if name in names), None)
        if match:
            found[match] = field
    return found


def _owners() -> str:
    return ", ".join(sorted({feed.owner for feed in FEEDS}))
