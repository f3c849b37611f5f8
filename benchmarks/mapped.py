"""Foreign files put through the same landing and the same dbt models as everything else.

A file's columns are mapped to those of a feed: `customer_id=user_id ordered_at=order_date`. What
the feed needs and the file lacks is filled: rows are numbered, money is in the reporting currency.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
)
from orchestration.landing import FEEDS, Feed, land
from orchestration.landing.feeds import ColumnType
from orchestration.settings import Settings
from orchestration.sql import literal, quoted
from orchestration.transform.dbt import build, parse

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# Tried in this order; the first that reads every value of the column is taken.
TIME_FORMATS = (
    *("%Y%m%d", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S"),
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S"),
    "%Y%m%d%H%M%S",
)
# Digits of a Unix time, and microseconds in one unit of it; tried before the formats.
UNIX_TIMES = {10: 1_000_000, 13: 1_000, 16: 1}


class MappedFileError(Exception):
    """The file or the map cannot be used; one sentence that says why."""


@dataclass(frozen=True)
class MappedFile:
    """A file of one feed. mapping: our column to the file's; constants: our column to a text.

    layout: `csv` (with a header; Parquet is told by its name), `whitespace` (no header, columns
    c1, c2, ... between blanks) or `lines` (no header, c1 is what stands before the last tab of a
    line and c2 what stands after it). required: our columns without which a line is left out; how
    many there are is printed.
    """

    feed: str
    path: Path
    mapping: Mapping[str, str]
    constants: Mapping[str, str] = field(default_factory=dict)
    layout: str = "csv"
    time_format: str | None = None
    required: Sequence[str] = ()


def parse_map(text: str) -> dict[str, str]:
    """Read `ours=theirs ours=theirs`. Raises MappedFileError for a part that is not that."""
    mapping: dict[str, str] = {}
    for part in text.split():
        ours, equals, theirs = part.partition("=")
        if not (equals and ours and theirs):
            raise MappedFileError(f"The map says {part!r}, which is not ours=theirs.")
        if ours in mapping:
            raise MappedFileError(f"The map fills {ours!r} twice.")
        mapping[ours] = theirs
    if not mapping:
        raise MappedFileError("The map is empty: say which column holds what.")
    return mapping


def build_marts(
    files: Sequence[MappedFile],
    folder: Path,
    *,
    as_of: date,
    models: Sequence[str],
    variables: Mapping[str, object] | None = None,
    seeds: Mapping[str, Path] | None = None,
    memory_limit: str = "8GiB",
) -> Settings:
    """Land the files in a fresh folder and build the named marts with all that they read.

    variables: of dbt, instead of those in dbt_project.yml. seeds: name of a seed to a CSV whose
    rows take the place of its own. Returns the installation; its working
    database and its candidate hold the tables. Raises MappedFileError for a file that cannot be
    used or a line that does not land.
    """
    settings = Settings(
        landing=folder / "landing", home=folder / "home", as_of=as_of, memory_limit=memory_limit
    )
    for file in files:
        write_feed(file, settings.landing)
    settings.home.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(
        str(settings.working_database), config={"storage_compatibility_version": "latest"}
    ) as connection:
        report = land(connection, settings.landing, load_id="bench", loaded_at=datetime.now(UTC))
        rejected = connection.execute(
            "select source_file, line_number, reason from raw.rejects limit 1"
        ).fetchone()
        if report.refused or rejected:
            raise MappedFileError(
                f"Not every line landed: {report.refused[0] if report.refused else rejected}."
            )
        load_released_ids(connection, None)
        load_steward_decisions(connection, settings.decisions)
        load_rectifications(connection, settings.rectifications)
    manifest = parse(settings)
    build(settings, manifest, "staging", variables=variables)
    _replace_seeds(settings, seeds or {})
    build(settings, manifest, "identity", variables=variables)
    settings.candidate_database.unlink(missing_ok=True)
    build(settings, manifest, "marts", list(_with_parents(manifest, models)), variables=variables)
    return settings


def _replace_seeds(settings: Settings, seeds: Mapping[str, Path]) -> None:
    with duckdb.connect(str(settings.working_database)) as connection:
        for seed, path in seeds.items():
            try:
                connection.execute(f"delete from reference.{quoted(seed)}")
                connection.execute(
                    f"insert into reference.{quoted(seed)} by name"
                    f" from read_csv({literal(path)}, header = true, all_varchar = true)"
                )
            except duckdb.Error as error:
                raise MappedFileError(f"{path} cannot be read: {_first_line(error)}") from error


def _with_parents(manifest: "Manifest", models: Sequence[str]) -> set[str]:
    """Names of these models and of those of the marts' stage that they read."""
    stage = {
        name: node
        for name, node in manifest.nodes.items()
        if name.startswith("model.") and node.fqn[1] in ("intermediate", "marts")
    }
    unknown = set(models) - {node.name for node in stage.values()}
    if unknown:
        raise MappedFileError(f"There is no mart {', '.join(sorted(unknown))}.")
    found: set[str] = set()
    waiting = [name for name, node in stage.items() if node.name in models]
    while waiting:
        name = waiting.pop()
        if name in stage and name not in found:
            found.add(name)
            waiting.extend(stage[name].depends_on_nodes)
    return {stage[name].name for name in found}


@contextmanager
def opened(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The working database with the marts' file beside it, as `marts.<model>` and read-only."""
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        connection.execute(
            f"attach {literal(settings.candidate_database)} as release_candidate (read_only)"
        )
        yield connection


def write_feed(file: MappedFile, landing: Path) -> None:
    """Write a mapped file as Parquet into the folder of its feed, every column as text."""
    feed = next((feed for feed in FEEDS if feed.name == file.feed), None)
    if feed is None:
        raise MappedFileError(f"There is no feed {file.feed!r}.")
    folder = landing / feed.name
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        load_text(connection, file)
        cells = ", ".join(_cells(connection, feed, file))
        _leave_out(connection, file)
        target = folder / f"{file.path.stem.split('.')[0]}.parquet"
        connection.execute(f"copy (select {cells} from file) to {literal(target)} (format parquet)")


def load_text(connection: duckdb.DuckDBPyConnection, file: MappedFile) -> None:
    """Load the file as table `file`, all text, numbered by `_number` as it stands."""
    if not file.path.is_file():
        raise MappedFileError(f"There is no file {file.path}.")
    if not file.path.stat().st_size:
        raise MappedFileError(f"{file.path} is empty.")
    path = literal(file.path)
    if file.layout == "whitespace":
        query = (
            "select regexp_split_to_array(trim(line), '\\s+') as cells from read_csv("
            f"{path}, columns = {{'line': 'varchar'}}, header = false, delim = '\\0', quote = '',"
            " escape = '') where trim(line) <> ''"
        )
        try:
            width = connection.execute(f"select max(len(cells)) from ({query})").fetchone()
        except duckdb.Error as error:
            raise MappedFileError(f"{file.path} cannot be read: {_first_line(error)}") from error
        columns = ", ".join(f"cells[{i}] as c{i}" for i in range(1, (width[0] if width else 0) + 1))
        source = f"(select {columns} from ({query}))"
    elif file.path.suffix == ".parquet":
        source = f"read_parquet({path})"
    elif file.layout == "lines":
        source = (
            "(select if(has_tab, left(line, length(line) - length(last) - 1), line) as c1,"
            " if(has_tab, last, null) as c2 from (select line, contains(line, chr(9)) as has_tab,"
            " string_split(line, chr(9))[-1] as last"
            f" from read_csv({path}, columns = {{'line': 'varchar'}}, header = false,"
            " delim = '\\0', quote = '', escape = '') where trim(line) <> ''))"
        )
    else:
        source = f"read_csv({path}, header = true, all_varchar = true)"
    try:
        connection.execute(
            f"create temp table file as select *, row_number() over () as _number from {source}"
        )
    except duckdb.Error as error:
        raise MappedFileError(f"{file.path} cannot be read: {_first_line(error)}") from error


def _cells(connection: duckdb.DuckDBPyConnection, feed: Feed, file: MappedFile) -> Iterator[str]:
    columns = [column.name for column in feed.columns]
    theirs = [
        row[0]
        for row in connection.execute(
            "select column_name from (describe file) where column_name <> '_number'"
        ).fetchall()
    ]
    for ours, name in file.mapping.items():
        if ours not in columns:
            raise MappedFileError(
                f"The map fills {ours!r}, but the columns of {feed.name} are {', '.join(columns)}."
            )
        if name not in theirs:
            raise MappedFileError(
                f"{file.path} has no column {name!r}; it has {', '.join(theirs)}."
            )
    for column in feed.columns:
        if column.name in file.mapping:
            text = f"nullif(trim(cast({quoted(file.mapping[column.name])} as varchar)), '')"
            if column.type == ColumnType.TIMESTAMP:
                text = _time(connection, text, column.name, file)
            yield f"{text} as {quoted(column.name)}"
        elif column.name in file.constants:
            yield f"{literal(file.constants[column.name])} as {quoted(column.name)}"
        elif column.name in feed.key:
            yield f"cast(_number as varchar) as {quoted(column.name)}"
        elif column.name == "currency_code":
            yield "'EUR' as currency_code"


def _leave_out(connection: duckdb.DuckDBPyConnection, file: MappedFile) -> None:
    for column in file.required:
        theirs = f"nullif(trim(cast({quoted(file.mapping[column])} as varchar)), '')"
        count = connection.execute(f"delete from file where {theirs} is null").fetchall()[0][0]
        if count:
            print(f"{count:,} lines of {file.path.name} without {column} are left out.")


def _time(connection: duckdb.DuckDBPyConnection, text: str, column: str, file: MappedFile) -> str:
    """SQL of the ISO text of a time column. Raises MappedFileError when no format reads it all."""
    if file.time_format:
        reads = [f"try_strptime({text}, {literal(file.time_format)})"]
    else:
        reads = [f"try_cast({text} as timestamptz)"]
        reads += [
            f"make_timestamp({microseconds}"
            f" * try_cast(case when length({text}) = {digits} then {text} end as bigint))"
            for digits, microseconds in UNIX_TIMES.items()
        ]
        reads += [f"try_strptime({text}, {literal(time_format)})" for time_format in TIME_FORMATS]
    for read in reads:
        try:
            unread = connection.execute(
                f"select {text} from file where {text} is not null and {read} is null limit 1"
            ).fetchone()
        except duckdb.Error as error:
            raise MappedFileError(
                f"TIME_FORMAT is {file.time_format!r}, which is no format: {_first_line(error)}"
            ) from error
        if unread is None:
            return f"strftime({read}, '%Y-%m-%dT%H:%M:%S.%fZ')"
    raise MappedFileError(
        f"{file.path}, column {file.mapping[column]!r}: {unread[0] if unread else ''!r} is no time"
        f" that {file.time_format or 'ISO 8601, Unix or ' + ', '.join(TIME_FORMATS)} reads; say"
        " TIME_FORMAT='%d/%m/%Y', for example."
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
