"""Read a layer's suite file strictly: whatever GX would shrug off is an error with a place here.

GX drops a misspelt expectation with a log line, passes an empty suite and passes column rules on an
empty table. So everything is checked before GX sees it: keys, severities, row floors, tables and
columns against the database's catalogue, SQL by asking DuckDB to plan it.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import yaml

from orchestration.landing.feeds import FEEDS, Feed

ROW_FLOOR = "expect_table_row_count_to_be_between"
QUERY = "expect_query_to_return_no_rows"
# Written for the warehouse: each becomes SQL and is asked as QUERY.
UNIQUE_KEY = "expect_key_to_be_unique"
STAGED_ONCE = "expect_landed_records_to_be_staged_once"
NEW_VALUES_FIT = "expect_new_values_to_fit"
# Fewer values of a file that do not fit are typing errors, whatever their share.
LEAST_MISFITS = 4

# A check whose failing rows have it is about rows, not about the table as a whole.
ROW_HASH = "_row_hash"

SUITE_KEYS = frozenset({"table", "row_floor", "expectations"})
# Keys that GX or the gate sets; an analyst who writes one means something else.
RESERVED_KEYS = frozenset(
    {"type", "meta", "id", "notes", "description", "batch_id", "result_format"}
)
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")

WHEN_LANDED = re.compile(r"^when_landed\s+(?P<feeds>[a-z_]+/[a-z_]+(?:\s*,\s*[a-z_]+/[a-z_]+)*)$")
CHECK_NAME = re.compile(r"[a-z][a-z0-9_]*")
# `{name}` only: `[A-Z]{3}` and a struct literal stay what they are.
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

Parameters = Mapping[str, str | int | float]


class SuiteError(ValueError):
    """A suite file cannot be used: says which file, suite and expectation, and what to do."""


class Severity(StrEnum):
    """What a failed expectation does to the run."""

    CRITICAL = "critical"  # stops it before release
    WARNING = "warning"  # is shown


@dataclass(frozen=True)
class Check:
    """One expectation of an analyst, ready for GX.

    expectation: its name in the suite file. asked_as: the name by which GX knows it. arguments:
    what GX gets besides. because: why the rule is there. fix: what to do when it breaks, or none.
    id: the same in every run, `<table>/<name>` or made from what the check says. may_be_overridden:
    whether somebody can answer for a failure. key: columns that a rule about a key names.
    """

    id: str
    expectation: str
    column: str | None
    asked_as: str
    arguments: Mapping[str, Any]
    severity: Severity
    because: str
    fix: str | None
    place: str
    may_be_overridden: bool = False
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """The checks of one table; the first one is its row floor."""

    table: str
    checks: tuple[Check, ...]
    columns: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name a row: those of the first rule about a key; none when there is none.

        A row that was landed is named by its hash as well, for it may be one version of several.
        """
        feed = next((feed for feed in FEEDS if self.table == f"raw.{feed.table}"), None)
        key = feed.key if feed else next((check.key for check in self.checks if check.key), ())
        return (*key, ROW_HASH) if ROW_HASH in self.columns else key

    @property
    def schema(self) -> str:
        """`marts` of `marts.orders`."""
        return self.table.partition(".")[0]

    @property
    def name(self) -> str:
        """`orders` of `marts.orders`."""
        return self.table.partition(".")[2]


class Catalogue:
    """What the opened databases hold, for checking names and SQL before GX is asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.columns: dict[str, tuple[str, ...]] = {
            table: tuple(columns)
            for table, columns in connection.execute(
                """
                select schema_name || '.' || table_name, list(column_name order by column_index)
                from duckdb_columns()
                where not internal
                group by all
                """
            ).fetchall()
        }

    def has_rows(self, feeds: Iterable[str]) -> bool:
        """Tell whether any of the feeds (`crm/contacts`) has a landed row."""
        tables = [f"raw.{feed.replace('/', '__')}" for feed in feeds]
        return any(
            self._connection.execute(f"select 1 from {table} limit 1").fetchone()
            for table in tables
            if table in self.columns
        )

    def complaint(self, query: str) -> str | None:
        """Return why DuckDB cannot plan the query, or nothing."""
        try:
            statements = self._connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                return "it is not one single select"
            self._connection.execute(f"explain select count(*) from (\n{query}\n) as found")
        except duckdb.Error as error:
            return str(error)
        return None


def load_suites(
    file: Path,
    catalogue: Catalogue,
    parameters: Parameters,
    expectation_types: Iterable[str],
) -> tuple[Suite, ...]:
    """Return the suites of the file, each beginning with its row floor.

    parameters: values for `{name}` in SQL and for `{$PARAMETER: name}` in arguments.
    expectation_types: what may stand behind `expect`.
    Raises SuiteError at the first thing that is not as it should be.
    """
    reader = _Reader(file, catalogue, parameters, tuple(expectation_types))
    return reader.suites()


def load_layer(
    folder: Path,
    layer: str,
    catalogue: Catalogue,
    parameters: Parameters,
    expectation_types: Iterable[str],
) -> tuple[Suite, ...]:
    """Return the suites of `<folder>/<layer>.yml`, or of every file of `<folder>/<layer>/` by name.

    Raises SuiteError as `load_suites` does, and for a table that two files speak of.
    """
    files = sorted((folder / layer).glob("*.yml")) or [folder / f"{layer}.yml"]
    types = tuple(expectation_types)
    place_of: dict[str, Path] = {}
    suites: list[Suite] = []
    for file in files:
        for suite in load_suites(file, catalogue, parameters, types):
            first = place_of.setdefault(suite.table, file)
            if first != file:
                raise SuiteError(
                    f"{layer}/{file.name}: `{suite.table}` has a suite in {first.name} already."
                    " Join them."
                )
            suites.append(suite)
    return tuple(suites)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?`, or the known names when they are few, or nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(f'`{one}`' for one in close)}?"
    return f" There are: {', '.join(names)}." if 0 < len(names) <= 40 else ""


def unique_key_query(table: str, columns: list[str]) -> str:
    """SQL for the keys that stand in several rows or are not filled.

    5M text keys: 0.9 s, where expect_column_values_to_be_unique takes 1.8 s and GX's rule for
    several columns 2.5 s.
    """
    keys = ", ".join(columns)
    unfilled = " or ".join(f"{column} is null" for column in columns)
    return f"select {keys} from {table} group by {keys} having count(*) > 1 or {unfilled}"


def staged_once_query(table: str, feed: Feed) -> str:
    """SQL that finds a row when records of the feed were lost or doubled on the way to the table.

    Keys are counted only when the numbers of rows differ, which older versions of a record explain.
    Together with a unique key it is exact.
    """
    landed = f"raw.{feed.table}"
    keys = f"({', '.join(feed.key)})"
    return f"""
        with counted as (
            select
                (select count(*) from {landed}) as landed,
                (select count(*) from {table}) as staged
        )

        select staged || ' staged of ' || landed || ' landed rows' as reason
        from counted
        where
            staged <> landed
            and staged <> (
                select count(distinct {keys}) from {landed}
                where (select staged <> landed from counted)
            )
    """


def new_values_fit_query(table: str, conditions: Mapping[str, str], mostly: float) -> str:
    """SQL for newly delivered files in which too many values of a column do not fit.

    conditions: SQL per column. Reads the rows of `quality.judged_files` only and once for all
    columns, so its cost does not grow with the history.
    """
    pairs = ", ".join(
        f"{{'name': '{column}', 'filled_count': count({column}), 'misfit_count':"
        f" count(*) filter ({column} is not null and ({condition}) is not true)}}"
        for column, condition in conditions.items()
    )
    return f"""
        with counted as (
            select landed._source_file as file_path, unnest([{pairs}]) as found
            from {table} as landed
            inner join quality.judged_files as files
                on landed._source_file = files.file_path and landed._load_id = files.load_id
            group by landed._source_file
        )

        select
            file_path || ', ' || found.name || ': ' || found.misfit_count || ' of '
            || found.filled_count || ' values' as reason
        from counted
        where
            found.misfit_count >= {LEAST_MISFITS}
            and found.misfit_count > {1 - mostly:.6f} * found.filled_count
        order by file_path, found.name
    """


class _Reader:
    """Walks a suite file and knows, at every step, where it is."""

    def __init__(
        self,
        file: Path,
        catalogue: Catalogue,
        parameters: Parameters,
        expectation_types: tuple[str, ...],
    ) -> None:
        self.file = file
        self.shown = f"{file.parent.name}/{file.name}"
        self.catalogue = catalogue
        self.parameters = parameters
        self.expectation_types = expectation_types

    def suites(self) -> tuple[Suite, ...]:
        try:
            document = yaml.load(self.file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506
        except FileNotFoundError:
            raise SuiteError(
                f"{self.shown}: there is no such file. Every layer needs its suites; restore it."
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SuiteError(f"{self.shown}: this is not YAML: {error}. Correct it.") from error
        if not isinstance(document, list) or not document:
            raise SuiteError(
                f"{self.shown}: it must be a list of suites, each `- table: schema.name`, and hold"
                " at least one: an empty file would pass every gate."
            )
        suites = tuple(self._suite(number, entry) for number, entry in enumerate(document, 1))
        tables = [suite.table for suite in suites]
        for table in tables:
            if tables.count(table) > 1:
                raise SuiteError(
                    f"{self.shown}: `{table}` has {tables.count(table)} suites. Join them."
                )
        return suites

    def _suite(self, number: int, entry: object) -> Suite:
        place = f"{self.shown}, suite {number}"
        if not isinstance(entry, dict):
            raise SuiteError(f"{place}: must be a mapping with table, row_floor and expectations.")
        table = entry.get("table")
        if isinstance(table, str):
            place += f" ({table})"
        self._refuse_unknown_keys(place, entry, SUITE_KEYS)
        if not isinstance(table, str):
            raise SuiteError(f"{place}: has no `table`. Name one, for example `marts.orders`.")
        if table not in self.catalogue.columns:
            raise SuiteError(
                f"{place}: the database has no table `{table}`."
                f"{did_you_mean(table, self.catalogue.columns)}"
            )
        if "row_floor" not in entry:
            raise SuiteError(
                f"{place}: has no `row_floor`. An empty table passes every column rule: write"
                " `row_floor: 1`, or `row_floor: when_landed crm/contacts`."
            )
        expectations = entry.get("expectations")
        if not isinstance(expectations, list) or not expectations:
            raise SuiteError(
                f"{place}: has no expectations. A suite without any passes; add one or remove it."
            )
        checks = (
            self._row_floor(place, table, entry["row_floor"]),
            *(self._check(place, table, n, entry) for n, entry in enumerate(expectations, 1)),
        )
        seen: dict[str, str] = {}
        by_id: dict[str, str] = {}
        for check in checks:
            same = repr((check.asked_as, sorted(check.arguments.items(), key=str)))
            if same in seen:
                raise SuiteError(f"{check.place}: says the same as {seen[same]}. Remove one.")
            seen[same] = check.place
            if check.id in by_id:
                raise SuiteError(
                    f"{check.place}: is called like {by_id[check.id]}. Give each a `name`."
                )
            by_id[check.id] = check.place
        return Suite(table, checks, self.catalogue.columns[table])

    def _row_floor(self, place: str, table: str, floor: object) -> Check:
        match = WHEN_LANDED.match(floor) if isinstance(floor, str) else None
        if match:
            feeds = [feed.strip() for feed in match["feeds"].split(",")]
            for feed in feeds:
                self._feed(f"{place}, row_floor", feed)
            minimum = 1 if self.catalogue.has_rows(feeds) else 0
            because = f"{' or '.join(feeds)} landed rows, so {table} must have some."
        elif isinstance(floor, int) and not isinstance(floor, bool) and floor >= 0:
            minimum = floor
            because = "An empty table passes every rule about its columns."
        else:
            raise SuiteError(
                f"{place}: row_floor is {floor!r}. Write a number of rows, or"
                " `when_landed crm/contacts` (several feeds with commas: any of them)."
            )
        return Check(
            id=f"{table}/row_floor",
            expectation=ROW_FLOOR,
            column=None,
            asked_as=ROW_FLOOR,
            arguments={"min_value": minimum},
            severity=Severity.CRITICAL,
            because=because,
            fix="Find the step that lost the rows; look at its query and at raw.files.",
            place=f"{place}, row_floor",
        )

    def _check(self, suite_place: str, table: str, number: int, entry: object) -> Check:
        place = f"{suite_place}, expectation {number}"
        if not isinstance(entry, dict):
            raise SuiteError(f"{place}: must be a mapping with expect, severity and because.")
        arguments = dict(entry)
        expectation = arguments.pop("expect", None)
        if not isinstance(expectation, str):
            raise SuiteError(f"{place}: has no `expect`. Name the expectation.")
        place += f" ({expectation})"
        known = (*self.expectation_types, UNIQUE_KEY, STAGED_ONCE, NEW_VALUES_FIT)
        if expectation not in known:
            raise SuiteError(
                f"{place}: there is no such expectation.{did_you_mean(expectation, known)}"
            )
        severity = arguments.pop("severity", None)
        if severity not in set(Severity):
            raise SuiteError(
                f"{place}: severity is {severity!r}. Write `critical` (a failure stops the run) or"
                " `warning` (a failure is shown)."
            )
        because = arguments.pop("because", None)
        if not isinstance(because, str) or not because.strip():
            raise SuiteError(f"{place}: has no `because`. Say in a sentence why the rule is there.")
        fix = arguments.pop("fix", None)
        if fix is not None and not isinstance(fix, str):
            raise SuiteError(f"{place}: `fix` must be a sentence saying what to do.")
        name = arguments.pop("name", None)
        if name is not None and not (isinstance(name, str) and CHECK_NAME.fullmatch(name)):
            raise SuiteError(
                f"{place}: name is {name!r}. Write small letters, digits and `_`, for example"
                " `orders_have_customers`."
            )
        may_be_overridden = arguments.pop("may_be_overridden", False)
        if not isinstance(may_be_overridden, bool):
            raise SuiteError(
                f"{place}: may_be_overridden is {may_be_overridden!r}. Write `true`: a person can"
                " answer for a failure; or leave it out."
            )
        for key in RESERVED_KEYS & arguments.keys():
            raise SuiteError(f"{place}: `{key}` is set by the gate. Remove it.")
        columns = self._columns(place, table, arguments)
        own_id = f"{table}/{name}" if name else _derived_id(table, expectation, columns, arguments)
        resolved = {key: self._resolve_parameters(place, value) for key, value in arguments.items()}
        asked_as, arguments = self._asked_as(place, table, expectation, resolved)
        return Check(
            id=own_id,
            expectation=expectation,
            column=", ".join(columns) or None,
            asked_as=asked_as,
            arguments=arguments,
            severity=Severity(severity),
            because=" ".join(because.split()),
            fix=" ".join(fix.split()) if fix else None,
            place=place,
            may_be_overridden=may_be_overridden,
            key=tuple(columns) if expectation == UNIQUE_KEY else (),
        )

    def _columns(self, place: str, table: str, arguments: Mapping[str, object]) -> list[str]:
        """Return the columns that an expectation speaks of; they must be the table's."""
        known = self.catalogue.columns[table]
        named: list[str] = []
        for key in COLUMN_KEYS:
            value = arguments.get(key, [])
            for column in value if isinstance(value, list) else [value]:
                if column not in known:
                    raise SuiteError(
                        f"{place}: `{table}` has no column `{column}`."
                        f"{did_you_mean(str(column), known)}"
                    )
                named.append(str(column))
        return named

    def _asked_as(
        self, place: str, table: str, expectation: str, arguments: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Return what GX is asked: the expectation itself, or SQL for one of our own."""
        if expectation == UNIQUE_KEY:
            self._require(place, arguments, "column_list", list)
            query = unique_key_query(table, arguments["column_list"])
        elif expectation == STAGED_ONCE:
            self._require(place, arguments, "feed", str)
            query = staged_once_query(table, self._feed(place, arguments["feed"]))
        elif expectation == NEW_VALUES_FIT:
            query = self._new_values_fit(place, table, arguments)
        elif expectation == QUERY:
            self._require(place, arguments, "query", str)
            query = self._fill(place, table, arguments["query"]).strip().rstrip(";")
        else:
            return expectation, arguments
        complaint = self.catalogue.complaint(query)
        if complaint:
            raise SuiteError(f"{place}: DuckDB cannot run the query: {complaint}")
        return QUERY, {"query": query}

    def _new_values_fit(self, place: str, table: str, arguments: dict[str, Any]) -> str:
        self._refuse_unknown_keys(place, arguments, frozenset({"values", "mostly"}))
        values, mostly = arguments.get("values"), arguments.get("mostly")
        if not isinstance(values, dict) or not values:
            raise SuiteError(f"{place}: needs `values`, a mapping of columns to SQL conditions.")
        known = self.catalogue.columns[table]
        for column, condition in values.items():
            if column not in known:
                raise SuiteError(
                    f"{place}: `{table}` has no column `{column}`."
                    f"{did_you_mean(str(column), known)}"
                )
            if not isinstance(condition, str) or not condition.strip():
                raise SuiteError(f"{place}: `{column}` needs a condition, SQL about a row.")
        if not isinstance(mostly, int | float) or isinstance(mostly, bool) or not 0 < mostly <= 1:
            raise SuiteError(f"{place}: `mostly` is {mostly!r}. Write a share above 0, up to 1.")
        filled = {column: self._fill(place, table, text) for column, text in values.items()}
        return new_values_fit_query(table, filled, mostly)

    def _require(self, place: str, arguments: dict[str, Any], key: str, kind: type) -> None:
        """Demand one argument and no other."""
        self._refuse_unknown_keys(place, arguments, frozenset({key}))
        if not isinstance(arguments.get(key), kind) or not arguments[key]:
            wanted = "a list of columns" if kind is list else "a text"
            raise SuiteError(f"{place}: needs `{key}`, {wanted}.")

    def _feed(self, place: str, name: str) -> Feed:
        feeds = {feed.name: feed for feed in FEEDS}
        if name not in feeds:
            raise SuiteError(f"{place}: there is no feed `{name}`.{did_you_mean(name, feeds)}")
        return feeds[name]

    def _resolve_parameters(self, place: str, value: Any) -> Any:
        """Replace `{$PARAMETER: name}` at any depth."""
        if isinstance(value, dict):
            if set(value) == {"$PARAMETER"}:
                return self._parameter(place, str(value["$PARAMETER"]))
            return {key: self._resolve_parameters(place, one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._resolve_parameters(place, one) for one in value]
        return value

    def _fill(self, place: str, table: str, query: str) -> str:
        """Replace `{batch}` by the table and `{name}` by the parameter's value."""
        return PLACEHOLDER.sub(
            lambda match: table if match[1] == "batch" else str(self._parameter(place, match[1])),
            query,
        )

    def _parameter(self, place: str, name: str) -> str | int | float:
        if name not in self.parameters:
            raise SuiteError(
                f"{place}: there is no parameter `{name}`.{did_you_mean(name, self.parameters)}"
            )
        return self.parameters[name]

    @staticmethod
    def _refuse_unknown_keys(
        place: str, entry: Mapping[Any, object], known: frozenset[str]
    ) -> None:
        for key in entry:
            if key not in known:
                raise SuiteError(f"{place}: unknown key `{key}`.{did_you_mean(str(key), known)}")


def _derived_id(
    table: str, expectation: str, columns: Sequence[str], arguments: Mapping[str, object]
) -> str:
    """Name a check that has no name by what it says, so that its history goes on while it does."""
    said = repr((expectation, sorted(arguments.items(), key=str)))
    digest = hashlib.sha256(said.encode()).hexdigest()[:6]
    spoken_of = "_".join(columns) or "table"
    return f"{table}/{spoken_of}_{expectation.removeprefix('expect_')}_{digest}"


class _StrictLoader(yaml.CSafeLoader):
    """Refuses a key that is given twice; YAML takes the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build the mapping after looking for a key that stands there twice."""
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` is given twice", key.start_mark
                )
        return super().construct_mapping(node, deep)
