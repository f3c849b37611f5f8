"""How long what landed is kept, and what becomes of it then: one line a feed.

The controller decides in `seeds/reference/retention_policy.csv`. A record expires with all of its
versions, when the newest date that any of them has is older than the period: what is superseded may
still say since when somebody agreed to something, and nothing outdated becomes current again.
"""

import csv
import difflib
import io
import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from orchestration.journal import shown
from orchestration.landing.feeds import ColumnType, Feed
from orchestration.privacy.identifiers import RULES
from orchestration.settings import PROJECT_ROOT

POLICY_FILE = PROJECT_ROOT / "seeds" / "reference" / "retention_policy.csv"

COLUMNS = ("source", "entity", "dated_by", "period", "action", "basis")

_PERIOD = re.compile(r"([1-9][0-9]{0,4}) (day|month|year)s?")
_MOST_DAYS = 36_525


class RetentionPolicyError(Exception):
    """The policy file cannot be used; one sentence a problem with file, line, value, remedy."""


class Action(StrEnum):
    """What becomes of a record that has expired."""

    DELETE = "delete"
    ANONYMISE = "anonymise"  # what an erasure leaves of it (identifiers.RULES) stays
    KEEP = "keep"  # nothing expires


@dataclass(frozen=True)
class Rule:
    """One line of the policy.

    dated_by: columns, the first that is filled dates a row. parent: feed by whose record a row is
    dated instead, found by `parent_key`; the columns are the parent's then. period: as written,
    empty where everything is kept.
    """

    feed: str
    dated_by: tuple[str, ...]
    period: str
    action: Action
    basis: str
    parent: str = ""
    parent_key: str = ""

    @property
    def told(self) -> str:
        """The rule in words, for example `delete 3 years after occurred_at`."""
        if self.action is Action.KEEP:
            return str(self.action)
        place = f"{self.parent}." if self.parent else ""
        return f"{self.action} {self.period} after {place}{' or '.join(self.dated_by)}"

    def limit(self, day: date) -> date | None:
        """Return the first day that is kept as of a day; None where everything is."""
        match = _PERIOD.fullmatch(self.period)
        if self.action is Action.KEEP or match is None:
            return None
        count, unit = int(match[1]), match[2]
        if unit == "day":
            return date.fromordinal(max(1, day.toordinal() - count))
        months = day.year * 12 + day.month - 1 - count * (12 if unit == "year" else 1)
        if months < 12:
            return date.min
        year, month = months // 12, months % 12 + 1
        # A month that has no such day ends before: what is kept for a month is not kept for less.
        return date(year, month, min(day.day, monthrange(year, month)[1]))


Policy = Mapping[str, Rule]
"""The rules by name of the feed, in the order of the feeds."""


def read_policy(feeds: Sequence[Feed], path: Path = POLICY_FILE) -> Policy:
    """Return the rule of every feed. Raises RetentionPolicyError with all that is wrong."""
    lines = _lines(path)
    known = {feed.name: feed for feed in feeds}
    rules: dict[str, Rule] = {}
    problems: list[str] = []
    for number, line in lines:
        place = f"{path}, line {number}"
        name = f"{line['source']}/{line['entity']}"
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}" if close else f"the feeds are {', '.join(known)}"
            problems.append(f"{place}: {shown(name)} is no feed; {hint}?")
        elif name in rules:
            problems.append(f"{place}: {name} has a line already; keep one of them.")
        else:
            rules[name] = _rule(known[name], known, line, place, problems)
    problems += [
        f"{path}: the feed {name} has no line; say how long it is kept, for example"
        f" {name.replace('/', ',')},,,keep,why."
        for name in known
        if name not in rules
    ]
    if not problems:
        problems += [
            f"{path}: {rule.feed} is dated by {rule.parent} and has to go with it; give both the"
            f" same period and action, not {rule.period or 'none'}, {rule.action} and"
            f" {rules[rule.parent].period or 'none'}, {rules[rule.parent].action}."
            for rule in rules.values()
            if rule.parent
            and (rule.period, rule.action) != (rules[rule.parent].period, rules[rule.parent].action)
        ]
    if problems:
        raise RetentionPolicyError("\n".join(problems))
    return {name: rules[name] for name in known}


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RetentionPolicyError(
            f"The retention policy {path} cannot be read: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise RetentionPolicyError(
            f"The retention policy {path} is not UTF-8; save it as UTF-8."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if header != list(COLUMNS):
            raise RetentionPolicyError(
                f"{path}, line 1: the columns are {', '.join(header) or 'none'}; expected"
                f" {', '.join(COLUMNS)}."
            )
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(COLUMNS):
                raise RetentionPolicyError(
                    f"{path}, line {reader.line_num}: {len(values)} values, the header has"
                    f" {len(COLUMNS)}; a text with a comma stands between quotation marks."
                )
            stripped = (value.strip() for value in values)
            lines.append((reader.line_num, dict(zip(COLUMNS, stripped, strict=True))))
    except csv.Error as error:
        raise RetentionPolicyError(
            f"{path}, line {reader.line_num}: it is not CSV ({error})."
        ) from error
    return lines


def _rule(
    feed: Feed,
    known: Mapping[str, Feed],
    line: Mapping[str, str],
    place: str,
    problems: list[str],
) -> Rule:
    """Return the rule that a line says, and add what is wrong with it to `problems`."""
    action, period = line["action"], line["period"]
    parent, columns = _dated_by(feed, known, line["dated_by"], place, problems)
    if action not in list(Action):
        problems.append(
            f"{place}, action: {shown(action)} is no action; allowed are {', '.join(Action)}."
        )
        action = Action.KEEP
    elif action == Action.ANONYMISE and RULES[feed.name].keeps is None:
        problems.append(
            f"{place}, action: nothing of {feed.name} says anything without its person; allowed"
            f" are {Action.DELETE} and {Action.KEEP}."
        )
    if action == Action.KEEP and period:
        problems.append(
            f"{place}, period: {shown(period)} is for nothing, for the action is {Action.KEEP};"
            " leave it empty, or say what happens then."
        )
    elif action != Action.KEEP and not columns:
        problems.append(f"{place}, dated_by: it is empty; name the column that dates a row.")
    match = _PERIOD.fullmatch(period)
    if action != Action.KEEP and (match is None or _days(match) > _MOST_DAYS):
        problems.append(
            f"{place}, period: {shown(period)} is no period; write for example 730 days, 25 months"
            " or 10 years, at most 100 years."
        )
    if not line["basis"]:
        problems.append(f"{place}, basis: it is empty; say why the rows may be kept so long.")
    return Rule(
        feed=feed.name,
        dated_by=columns,
        period=period,
        action=Action(action),
        basis=line["basis"],
        parent=parent.name if parent else "",
        parent_key=parent.key[0] if parent else "",
    )


def _days(match: re.Match[str]) -> int:
    return int(match[1]) * {"day": 1, "month": 30, "year": 365}[match[2]]


def _dated_by(
    feed: Feed, known: Mapping[str, Feed], text: str, place: str, problems: list[str]
) -> tuple[Feed | None, tuple[str, ...]]:
    """Return the feed that dates the rows, if it is another one, and its columns."""
    entity, _, column = text.rpartition(".")
    dating, columns = feed, tuple(text.split())
    if entity:
        parent = known.get(f"{feed.source}/{entity}")
        names = {one.name for one in feed.columns}
        if parent is None or parent == feed or len(parent.key) != 1 or parent.key[0] not in names:
            problems.append(
                f"{place}, dated_by: {shown(text)} dates no row of {feed.name}; name a column of"
                " its own, or <things>.<column> of a feed of the same source whose key it has."
            )
            return None, ()
        dating, columns = parent, (column,)
    dates = [one.name for one in dating.columns if one.type is ColumnType.TIMESTAMP]
    problems += [
        f"{place}, dated_by: {shown(name)} is no column of {dating.name} with a time; it has"
        f" {', '.join(dates) or 'none'}."
        for name in columns
        if name not in dates
    ]
    return (dating if dating != feed else None), columns


def later_of(day: date, applied: date | None) -> date:
    """Return the day as of which rows expire: no earlier one than that of an earlier run.

    applied: the latest day by which rows have gone. What has gone does not come back when an
    earlier day is run again. A day in the future does not bind: it was a mistake, or a trial.
    """
    if applied is None:
        return day
    return max(day, min(applied, datetime.now(UTC).date()))
