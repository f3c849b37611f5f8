"""The answered sheet of a new source, read strictly: whatever is open or wrong is a sentence."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestration.governance.register import Register, RegisterError, read_register
from orchestration.journal import shown
from orchestration.landing.feeds import FEEDS, Column, ColumnType, Feed, Pii
from orchestration.new_source.draft import (
    NAME,
    PERSON_FIELDS,
    RECORD,
    TODO,
    NewSourceError,
    house_columns,
)
from orchestration.privacy.identifiers import RULES

_QUESTIONS = (
    "description",
    "owner",
    "rows_are",
    "key",
    "newest_by",
    "dated_by",
    "keep_for",
    "keep_because",
    "columns",
)
_COLUMN_QUESTIONS = ("is", "type", "class", "purposes", "says")
_PERIOD = re.compile(r"[1-9][0-9]{0,4} (day|month|year)s?")
_MOST_LETTERS = 75


@dataclass(frozen=True)
class NewFeed:
    """What a person answered about a new feed.

    says: column → what it says of the person, a field of `int_records_unioned` or `record`.
    dated_by: columns, the first that is filled dates a row. keep_for: a period, empty for ever.
    """

    feed: Feed
    says: Mapping[str, str]
    are_people: bool
    dated_by: tuple[str, ...]
    keep_for: str
    keep_because: str


def read_sheet(path: Path, name: str) -> NewFeed:
    """Return the answers of a sheet. Raises NewSourceError with all that is open or wrong."""
    try:
        sheet = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NewSourceError(
            f"{path} is not there: draft it from a file of the source first, with --from FILE."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NewSourceError(f"{path} cannot be read: {error}") from error
    try:
        return _Reader(path, name, read_register()).read(sheet)
    except RegisterError as error:
        raise NewSourceError(str(error)) from error


class _Reader:
    """Collects what is wrong with a sheet, so that a person sees all of it at once."""

    def __init__(self, path: Path, name: str, register: Register) -> None:
        self._path = f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
        self._source, _, self._entity = name.partition("/")
        self._register = register
        self._problems: list[str] = []
        self._purposeless: list[str] = []

    def read(self, sheet: Any) -> NewFeed:
        if not isinstance(sheet, dict) or not isinstance(sheet.get("columns"), dict):
            raise NewSourceError(
                f"{self._path}: it is no sheet with `columns`; draft it anew with --from FILE."
            )
        self._known_keys("the sheet", sheet, _QUESTIONS)
        columns = {
            str(name): self._column(str(name), answers if isinstance(answers, dict) else {})
            for name, answers in sheet["columns"].items()
        }
        says = {
            str(name): str(answers["is"])
            for name, answers in sheet["columns"].items()
            if isinstance(answers, dict) and answers.get("is")
        }
        description = self._text("description", sheet)
        owner = self._text("owner", sheet)
        rows_are = self._one_of("rows_are", self._text("rows_are", sheet), ("people", "facts"))
        key = self._columns("key", sheet.get("key"), columns)
        newest_by = self._text("newest_by", sheet)
        times = [name for name, column in columns.items() if column.type is ColumnType.TIMESTAMP]
        if newest_by not in ("none", "", *times):
            self._wrong("newest_by", newest_by, f"it is none, or a time: {', '.join(times)}")
        dated_by = self._columns("dated_by", sheet.get("dated_by"), times)
        keep_for = self._text("keep_for", sheet)
        if keep_for and keep_for != "forever":
            if not _PERIOD.fullmatch(keep_for):
                self._wrong("keep_for", keep_for, "write for example 3 years, 90 days or forever")
            if not dated_by:
                self._wrong("dated_by", "", "what is not kept forever needs a time that dates it")
        keep_because = self._text("keep_because", sheet)
        if not key and TODO not in str(sheet.get("key")):
            self._wrong("key", "", "name the column, or the columns, that name a row")
        self._check_meanings(says, key, rows_are)
        if self._purposeless:
            self._problems.append(
                f"{self._path}, purposes of {', '.join(self._purposeless)}: they are open; say what"
                f" each is kept for, of {', '.join(self._register.purposes)}, or delete its line."
            )
        if self._problems:
            raise NewSourceError("\n".join(self._problems))
        feed = Feed(
            self._source,
            self._entity,
            description,
            key=key,
            cursor=None if newest_by == "none" else newest_by,
            columns=tuple(columns.values()),
            owner=owner,
        )
        read_register(feeds=(*FEEDS, feed))  # a name has one class
        return NewFeed(
            feed=feed,
            says=says,
            are_people=rows_are == "people",
            dated_by=() if keep_for == "forever" else dated_by,
            keep_for="" if keep_for == "forever" else keep_for,
            keep_because=keep_because,
        )

    def _column(self, name: str, answers: Mapping[str, Any]) -> Column:
        self._known_keys(name, answers, _COLUMN_QUESTIONS)
        if not NAME.fullmatch(name):
            self._wrong("columns", name, "a name is small letters, digits and _")
        known, _ = house_columns().get(name, (None, None))
        house = {"type": known.type, "class": known.pii, "says": known.description} if known else {}
        answered = {**house, **answers}
        type_ = self._one_of(f"{name}, type", self._text("type", answered, name), ColumnType)
        pii = self._one_of(f"{name}, class", self._text("class", answered, name), Pii)
        says = self._text("says", answered, name)
        purposes = answers.get("purposes")
        listed = [purposes] if isinstance(purposes, str) else purposes
        if not isinstance(listed, list) or not listed or TODO in listed:
            self._purposeless.append(name)
            listed = []
        for purpose in listed:
            self._one_of(f"{name}, purposes", str(purpose), self._register.purposes)
        return Column(
            name,
            says,
            ColumnType(type_) if type_ else ColumnType.TEXT,
            pii=Pii(pii) if pii else Pii.SENSITIVE,
            purposes=tuple(map(str, listed)),
        )

    def _check_meanings(self, says: Mapping[str, str], key: Sequence[str], rows_are: str) -> None:
        for name, meaning in says.items():
            self._one_of(f"{name}, is", meaning, (RECORD, *PERSON_FIELDS))
            if list(says.values()).count(meaning) > 1:
                self._wrong(f"{name}, is", meaning, "two columns say it; keep the better one")
        if rows_are != "people":
            return
        if [name for name, meaning in says.items() if meaning == RECORD] != list(key):
            self._wrong("key", ", ".join(key), f"where rows are people, it alone is: {RECORD}")
        others = [
            feed.name
            for feed in FEEDS
            if f"{self._source}:" in map(RULES[feed.name].identifiers.get, feed.key)
        ]
        if others:
            self._problems.append(
                f"{self._path}: {others[0]} already brings records of people, and two of one source"
                " could have one id; choose another source, for example"
                f" {self._source}_{self._entity}/{self._entity}."
            )

    def _columns(self, question: str, given: Any, known: Any) -> tuple[str, ...]:
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list):
            self._wrong(question, str(given), "name columns between [ ]")
            return ()
        for name in names:
            if name == TODO:
                self._open(question)
            elif name not in known:
                self._wrong(question, str(name), f"it is none of {', '.join(known) or 'nothing'}")
        return tuple(map(str, names))

    def _text(self, question: str, answers: Mapping[str, Any], column: str = "") -> str:
        place = f"{column}, {question}" if column else question
        given = answers.get(question)
        text = "" if given is None else " ".join(str(given).split())
        if not text or text == TODO:
            self._open(place)
            return ""
        if len(text) > _MOST_LETTERS and question in ("says", "description", "owner"):
            self._wrong(place, text, f"say it in {_MOST_LETTERS} letters")
        is_sentence = question in ("says", "description")
        return text if not is_sentence or text.endswith(".") else f"{text}."

    def _one_of(self, place: str, given: str, allowed: Any) -> str:
        if given and given not in list(allowed):
            self._wrong(place, given, f"allowed are {', '.join(allowed)}")
            return ""
        return given

    def _known_keys(self, place: str, given: Mapping[str, Any], allowed: Sequence[str]) -> None:
        for key in given:
            if key not in allowed:
                self._wrong(place, str(key), f"it has only {', '.join(allowed)}")

    def _open(self, place: str) -> None:
        self._problems.append(f"{self._path}, {place}: it is open; answer it.")

    def _wrong(self, place: str, given: str, remedy: str) -> None:
        self._problems.append(f"{self._path}, {place}: {shown(given)} is wrong; {remedy}.")
