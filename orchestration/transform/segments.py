"""The rules of segments, read and proven before a run: what a rule may say, and what it may not.

A rule is SQL that an analyst writes and that the models put into their queries. So it is parsed by
DuckDB itself, the parser that will read it later, and its tree is walked against lists of what is
allowed: no query, no file, no setting, no clock can be named. Then it is bound to an empty table of
the documented columns, and tried on a few awkward rows, all in memory: no database is needed.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import yaml

from orchestration.settings import PROJECT_ROOT
from orchestration.sql import quoted
from orchestration.transform.audiences import check_audiences
from orchestration.transform.purposes import (
    CONSENTS_FILE,
    SERVED_FILE,
    Purposes,
    declared_purposes,
)
from orchestration.transform.rule_files import REFERENCE, SegmentRuleError, csv_rows, nearest

RULES_FILE = REFERENCE / "segment_rules.csv"
BOARD = PROJECT_ROOT / "dbt_project" / "models" / "intermediate" / "_segments.yml"
ATTRIBUTES = "int_customer_attributes_gathered"

COLUMNS = (
    "segment",
    "segment_group",
    "priority",
    "predicate",
    "purpose",
    "required_consent",
    "owner",
    "description",
)
_MAY_BE_BLANK = frozenset({"priority", "required_consent"})

_LONGEST_PREDICATE = 10_000
_SEVERAL = "it is more than one condition; write only what comes after WHERE."

_EXPRESSIONS = frozenset(
    {
        *("COLUMN_REF", "VALUE_CONSTANT", "CASE_EXPR", "OPERATOR_CAST"),
        *("CONJUNCTION_AND", "CONJUNCTION_OR", "OPERATOR_NOT", "OPERATOR_COALESCE"),
        *("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"),
        *("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN"),
        *("COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO"),
        *("COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM"),
        *("COMPARE_IN", "COMPARE_NOT_IN", "COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN", "FUNCTION"),
    }
)
# What the parser calls the plain operators, and functions that only look at their arguments.
_FUNCTIONS = frozenset(
    {
        *("+", "-", "*", "/", "//", "%", "~~", "!~~", "||"),
        *("abs", "round", "floor", "ceil", "greatest", "least", "nullif"),
        *("lower", "upper", "trim", "length", "left", "right", "substring"),
        *("starts_with", "contains"),
        *("year", "month", "day"),
        # `interval 30 days` is written with these
        *("to_years", "to_months", "to_weeks", "to_days", "to_hours", "trunc"),
    }
)
_TOLD = ", ".join(
    sorted(name for name in _FUNCTIONS if name.isidentifier() and name[:3] not in ("to_", "tru"))
)
_TYPES = frozenset(
    {
        *("BOOLEAN", "INTEGER", "BIGINT", "DECIMAL", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"),
        # what a literal or `interval 30 days` has without being asked
        *("INTEGER_LITERAL", "STRING_LITERAL", "INTERVAL", "NULL", "SQLNULL"),
    }
)
_CLOCKS = frozenset(
    {
        *("now", "today", "current_date", "current_timestamp", "current_time", "get_current_time"),
        *("get_current_timestamp", "transaction_timestamp", "statement_timestamp"),
        *("clock_timestamp", "localtime", "localtimestamp", "current_localtime"),
        *("current_localtimestamp", "getdate", "sysdate"),
    }
)
_REFUSED = {
    "SUBQUERY": "a query inside a rule is not allowed",
    "WINDOW": "a rule looks at one customer, so it knows no window",
    "STAR": "a rule names its columns one by one",
    "LAMBDA": "a rule knows no lists and lambdas",
}

# Values that predicates are tried on: unknown, nothing, ordinary, large. One row for each place.
_PROBES = {
    "varchar": ("null", "''", "'7'", "'Ünï ''x'' 12-34'"),
    "boolean": ("null", "false", "true", "true"),
    "date": ("null", "date '1970-01-01'", "date '2024-02-29'", "date '2199-12-31'"),
    "timestamp": (
        "null",
        "timestamp '1970-01-01 00:00:00'",
        "timestamp '2024-02-29 23:59:59'",
        "timestamp '2199-12-31 00:00:00'",
    ),
    "integer": ("null", "0", "5", "1000000"),
}
_NUMBERS = ("null", "0", "-7", "1000000000")


class PredicateError(ValueError):
    """A predicate cannot be used; half a sentence that says why and what to do."""


@dataclass(frozen=True)
class Rule:
    """One row of the rule file. line: where it begins; priority: None when it does not compete.

    required_consent: purpose, or None.
    """

    line: int
    segment: str
    segment_group: str
    priority: int | None
    predicate: str
    purpose: str
    required_consent: str | None
    owner: str
    description: str


@dataclass(frozen=True)
class Vocabulary:
    """What rules may speak of. columns: name to SQL type; values: of columns that have few."""

    columns: Mapping[str, str]
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)


def check_segment_rules(path: Path | None = None) -> tuple[Rule, ...]:
    """Return the rules of a file, by default those of the seed, when a run can use all of them.

    With the rules of the seed its audiences are proven, too: they are made of those.
    Raises SegmentRuleError naming every problem with file, line, rule and column.
    """
    purposes = declared_purposes()
    rules = read_rules(path or RULES_FILE, documented_attributes(), purposes)
    if path is None:
        check_audiences({rule.segment: rule.required_consent for rule in rules}, purposes)
    return rules


def read_rules(path: Path, vocabulary: Vocabulary, purposes: Purposes) -> tuple[Rule, ...]:
    """Return the rules of a file in their order. purposes: what a rule may serve and ask for.

    Raises SegmentRuleError naming every problem.
    """
    problems: list[str] = []
    rules: list[Rule] = []
    with PredicateChecker(vocabulary) as checker:
        for line, row in csv_rows(path, COLUMNS):
            place = f"{path}, line {line}, segment {row['segment'] or '(without name)'!r}"
            found = list(_cell_problems(row, purposes))
            if row["predicate"]:
                try:
                    checker.check(row["predicate"])
                except PredicateError as error:
                    found.append(f"predicate: {error}")
            problems += [f"{place}, {problem}" for problem in found]
            if not found:
                rules.append(_rule(line, row))
    problems += [f"{path}, {problem}" for problem in _contradictions(rules)]
    if problems:
        raise SegmentRuleError(problems)
    return tuple(rules)


def documented_attributes(board: Path = BOARD) -> Vocabulary:
    """Return the vocabulary of rules from the board of the attributes.

    Few values are those of an `accepted_values` test, or of a column of a seed that the board names
    (`values_of`, `and_also`). Raises SegmentRuleError when the board does not document them.
    """
    models = yaml.safe_load(board.read_text(encoding="utf-8"))["models"]
    documented = [model for model in models if model["name"] == ATTRIBUTES]
    if not documented:
        raise SegmentRuleError([f"{board} does not document {ATTRIBUTES}; rules speak of it."])
    columns: dict[str, str] = {}
    values: dict[str, frozenset[str]] = {}
    for column in documented[0]["columns"]:
        name = column["name"]
        if "data_type" not in column:
            raise SegmentRuleError([f"{board}, column {name}: no data_type; rules need it."])
        columns[name] = column["data_type"]
        meta = column.get("config", {}).get("meta", {})
        if "values_of" in meta:
            seed, _, of = meta["values_of"].partition(".")
            read = {row[of] for _, row in csv_rows(REFERENCE / f"{seed}.csv", (of,))}
            values[name] = frozenset(read | {meta.get("and_also", "")} - {""})
        for test in column.get("data_tests", []):
            if isinstance(test, dict) and "accepted_values" in test:
                values[name] = frozenset(test["accepted_values"]["arguments"]["values"])
    return Vocabulary(columns, values)


# --- the file ------------------------------------------------------------------------------------


def _rule(line: int, row: Mapping[str, str]) -> Rule:
    texts: dict[str, Any] = {name: row[name] for name in COLUMNS}
    texts["priority"] = int(row["priority"]) if row["priority"] else None
    texts["required_consent"] = row["required_consent"] or None
    return Rule(line=line, **texts)


def _cell_problems(row: Mapping[str, str], purposes: Purposes) -> Iterator[str]:
    for name in COLUMNS:
        if not row[name] and name not in _MAY_BE_BLANK:
            yield f"column {name}: it is blank; every rule has one."
    extra = [name for name in row if name not in COLUMNS]
    if extra:
        yield f"column {extra[0]}: unknown; the columns are {', '.join(COLUMNS)}."
    priority = row["priority"]
    if priority and not (priority.isascii() and priority.isdigit() and 1 <= int(priority) <= 10**6):
        yield f"column priority: {priority!r} is no whole number from 1 to 1,000,000."
    consent, purpose = row["required_consent"], row["purpose"]
    if consent and consent not in purposes.consents:
        yield (
            f"column required_consent: {consent!r} is no purpose of consent"
            f"{nearest(consent, purposes.consents)}; {CONSENTS_FILE.name} lists them."
        )
    if purpose and purpose not in purposes.served:
        yield (
            f"column purpose: {purpose!r} is no purpose of segments"
            f"{nearest(purpose, purposes.served)}; {SERVED_FILE.name} lists them."
        )
    needed = purposes.served.get(purpose)
    if needed and consent != needed:
        yield (
            f"column required_consent: purpose {purpose!r} is served only with consent to"
            f" {needed}, this says {consent or 'none'}; write {needed}, or another purpose."
        )


def _contradictions(rules: Sequence[Rule]) -> Iterator[str]:
    names: dict[str, list[Rule]] = defaultdict(list)
    places: dict[tuple[str, int], list[Rule]] = defaultdict(list)
    for rule in rules:
        names[rule.segment].append(rule)
        if rule.priority is not None:
            places[rule.segment_group, rule.priority].append(rule)
    for name, same in names.items():
        if len(same) > 1:
            yield (
                f"line {same[1].line}, segment {name!r}, column segment: line {same[0].line} has"
                " this name, too; a segment has one rule."
            )
    for (group, priority), same in places.items():
        if len(same) > 1:
            yield (
                f"line {same[1].line}, segment {same[1].segment!r}, column priority: {priority} is"
                f" taken in group {group!r} by {same[0].segment!r} (line {same[0].line}); give each"
                " its own."
            )


# --- the predicate -------------------------------------------------------------------------------


class PredicateChecker:
    """Proves predicates over a vocabulary, in a DuckDB of its own that can reach nothing."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._connection = duckdb.connect(
            config={"enable_external_access": False, "autoload_known_extensions": False}
        )
        columns = ", ".join(f"{quoted(n)} {t}" for n, t in vocabulary.columns.items())
        self._connection.execute(f"create table attributes ({columns})")
        for place in range(len(_NUMBERS)):
            row = ", ".join(
                _PROBES.get(type_.lower(), _NUMBERS)[place] for type_ in vocabulary.columns.values()
            )
            self._connection.execute(f"insert into attributes values ({row})")
        self._connection.execute("set lock_configuration = true")
        self._envelope = self._parsed("(true)")[1]

    def __enter__(self) -> "PredicateChecker":
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def check(self, predicate: str) -> None:
        """Raise PredicateError unless the predicate is a condition over the documented columns."""
        if len(predicate) > _LONGEST_PREDICATE:
            raise PredicateError(f"it is longer than {_LONGEST_PREDICATE:,} characters.")
        if "\0" in predicate:
            raise PredicateError("it holds a character that is no text (NUL).")
        try:
            # In parentheses, as the models write it, and bare: what stands by itself is the same.
            bare, envelope = self._parsed(predicate)
            enclosed, same_envelope = self._parsed(f"(\n{predicate}\n)")
            if not envelope == same_envelope == self._envelope or _bare(bare) != _bare(enclosed):
                raise PredicateError(_SEVERAL)
            self._walk(bare)
        except RecursionError:
            raise PredicateError("it is nested too deeply; make it shorter.") from None
        self._bind(predicate)

    def _parsed(self, condition: str) -> tuple[Any, Any]:
        """Return the tree of the condition and that of the query around it."""
        query = f"select\n{condition}\nas matches from attributes"
        row = self._connection.execute(
            "select json_serialize_sql(?::varchar, skip_default := false)", [query]
        ).fetchone()
        tree = json.loads(row[0]) if row else {"error": True}
        if tree["error"]:
            message = str(tree.get("error_message", "")).splitlines()[:1]
            raise PredicateError(f"it is no SQL condition: {message[0] if message else ''}.")
        statements = tree["statements"]
        if any(statement["named_param_map"] for statement in statements):
            raise PredicateError("a rule has no parameters; write the values.")
        if len(statements) != 1 or len(statements[0]["node"].get("select_list", ())) != 1:
            raise PredicateError(_SEVERAL)
        condition_tree = statements[0]["node"].pop("select_list")[0]
        return condition_tree, _bare(statements[0])

    def _walk(self, tree: Any) -> None:
        if isinstance(tree, list):
            for child in tree:
                self._walk(child)
        elif isinstance(tree, dict):
            if "class" in tree:
                self._allow(tree)
            for child in tree.values():
                self._walk(child)

    def _allow(self, tree: Mapping[str, Any]) -> None:
        kind, type_ = tree["class"], tree["type"]
        if kind == "FUNCTION":
            self._allow_function(tree)
        elif kind == "COLUMN_REF":
            self._allow_column(tree["column_names"])
        elif type_ not in _EXPRESSIONS:
            why = _REFUSED.get(kind, f"{type_.lower()} is not among what a rule may use")
            raise PredicateError(f"{why}; compare columns with values.")
        elif kind == "CAST":
            self._allow_cast(tree)
        elif kind in ("COMPARISON", "OPERATOR"):
            self._allow_values(tree)

    def _allow_function(self, tree: Mapping[str, Any]) -> None:
        name = tree["function_name"]
        if name.lower() in _CLOCKS:
            raise PredicateError(f"{name}() reads the clock; use as_of_date.")
        plain = not (
            tree.get("schema")
            or tree.get("catalog")
            or tree.get("filter")
            or tree.get("distinct")
            or tree.get("export_state")
            or (tree.get("order_bys") or {}).get("orders")
        )
        if name not in _FUNCTIONS or not plain:
            raise PredicateError(f"the function {name} is not allowed; a rule may use {_TOLD}.")

    def _allow_column(self, names: Sequence[str]) -> None:
        *qualifiers, name = names
        if name.lower() in _CLOCKS:
            raise PredicateError(f"{name} reads the clock; use as_of_date.")
        if qualifiers:
            raise PredicateError(f"write {name} instead of {'.'.join(names)}.")
        if name.lower() not in self._vocabulary.columns:
            hint = nearest(name, self._vocabulary.columns) or "; texts stand in single quotes"
            raise PredicateError(
                f"there is no column {name!r}{hint}. The columns are documented in {BOARD.name}."
            )

    def _allow_cast(self, tree: Mapping[str, Any]) -> None:
        target, child = tree["cast_type"]["id"], tree["child"]
        if target not in _TYPES:
            raise PredicateError(f"a rule does not cast to {target.lower()}.")
        # a literal is cast here and now
        columns = list(_columns_of(child))
        is_safe = tree["try_cast"] or not columns or target == "VARCHAR"
        if child["class"] == "COLUMN_REF" and target in ("DATE", "TIMESTAMP"):
            of = self._vocabulary.columns.get(columns[0].lower(), "")
            is_safe = is_safe or of in ("date", "timestamp")
        if not is_safe:
            raise PredicateError(
                f"write try_cast(... as {target.lower()}): a value that cannot be cast would stop"
                " the run."
            )

    def _allow_values(self, tree: Mapping[str, Any]) -> None:
        """A text that a column never has is a typing error that makes an empty segment."""
        sides = tree.get("children") or [tree.get("left"), tree.get("right")]
        columns = [s["column_names"][-1].lower() for s in sides if s and s["class"] == "COLUMN_REF"]
        if len(columns) != 1 or tree["type"] == "OPERATOR_COALESCE":
            return
        known = self._vocabulary.values.get(columns[0])
        for side in sides:
            if known is None or not side or side["class"] != "CONSTANT":
                continue
            value = side["value"].get("value")
            if isinstance(value, str) and value not in known:
                hint = nearest(value, known) or f"; it has {', '.join(sorted(known))}"
                raise PredicateError(f"column {columns[0]} never has the value {value!r}{hint}.")

    def _bind(self, predicate: str) -> None:
        query = f"select (\n{predicate}\n) as matches from attributes"
        try:
            described = self._connection.execute(f"describe {query}").fetchall()
            if described[0][1] != "BOOLEAN":
                raise PredicateError(
                    f"it gives {described[0][1].lower()} instead of true or false; compare it with"
                    " something."
                )
            self._connection.execute(query).fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].partition(": ")[2] or str(error)
            raise PredicateError(f"it cannot be evaluated: {reason.rstrip('.')}.") from error


def _bare(tree: Any) -> Any:
    """Return the tree without names of results and places in the text."""
    if isinstance(tree, list):
        return [_bare(child) for child in tree]
    if isinstance(tree, dict):
        return {k: _bare(v) for k, v in tree.items() if k not in ("query_location", "alias")}
    return tree


def _columns_of(tree: Any) -> Iterator[str]:
    if isinstance(tree, list):
        for child in tree:
            yield from _columns_of(child)
    elif isinstance(tree, dict):
        if tree.get("class") == "COLUMN_REF":
            yield tree["column_names"][-1]
        for child in tree.values():
            yield from _columns_of(child)
