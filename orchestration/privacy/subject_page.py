"""A report on a person as a page to read and to print: `subject_report.html`, without scripts.

Every value is escaped; the page loads nothing from anywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_TEMPLATE = Path(__file__).with_name("subject_report.html")
# Rows with more columns than this are cards, if there are few, or else one paragraph each.
_MOST_COLUMNS = 9
_MOST_CARDS = 6
_LAYERS = {
    "landed": "What we were sent",
    "set aside": "What was set aside because it broke a rule",
    "rejected": "What could not be taken up",
    "published": "What we made of it",
}
_LEAST_COMMON = 3


@dataclass(frozen=True)
class _Shown:
    """A table as the page shows it.

    common: columns that are the same in all rows. form: `table`, `cards` or `lines`.
    """

    held: Mapping[str, Any]
    purposes: tuple[str, ...]
    columns: tuple[str, ...]
    common: Mapping[str, Any]
    form: str


def page(report: Mapping[str, Any]) -> str:
    """Return the page of a report, as `subject_report.collect` makes it."""
    titles = {purpose["name"]: purpose["title"] for purpose in report["purposes"]}
    layers = []
    for layer, title in _LAYERS.items():
        tables = [held for held in report["held"] if held["layer"] == layer]
        if tables:
            topics = [
                (topic, [_shown(held, titles) for held in tables if held["topic"] == topic])
                for topic in dict.fromkeys(held["topic"] for held in tables)
            ]
            layers.append((layer, title, topics))
    rows = dict.fromkeys(_LAYERS, 0)
    for held in report["held"]:
        rows[held["layer"]] += len(held["rows"])
    return _template().render(
        report=report,
        layers=layers,
        rows=rows,
        used=dict(_used(report)),
        name=next((g["value"] for g in report["golden_record"] if g["field"] == "name"), ""),
    )


def _shown(held: Mapping[str, Any], titles: Mapping[str, str]) -> _Shown:
    rows: Sequence[Mapping[str, Any]] = held["rows"]
    columns = tuple(held["columns"])
    common = {}
    if len(rows) >= _LEAST_COMMON:
        for name in columns:
            values = {repr(row.get(name)) for row in rows}
            if len(values) == 1:
                common[name] = rows[0].get(name)
    varying = tuple(name for name in columns if name not in common) or columns
    return _Shown(
        held,
        tuple(titles.get(name, name) for name in held["purposes"]),
        varying,
        common if len(common) < len(columns) else {},
        "table"
        if len(varying) <= _MOST_COLUMNS
        else "cards"
        if len(rows) <= _MOST_CARDS
        else "lines",
    )


def _used(report: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Which tables each purpose uses."""
    for purpose in report["purposes"]:
        yield (
            purpose["name"],
            [held["name"] for held in report["held"] if purpose["name"] in held["purposes"]],
        )


def _label(name: str) -> str:
    return {"_record": "record", "_source_file": "file", "_loaded_at": "landed"}.get(
        name, name.strip("_").replace("_", " ")
    )


def _cell(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.2f}"
    text = str(value)
    is_time = len(text) >= 20 and text[4:5] == "-" and text[10:11] == "T" and text.endswith("Z")
    return f"{text[:10]} {text[11:16]}" if is_time else text


def _prose(text: str) -> str:
    """A sentence of a board without the marks of Markdown."""
    return text.replace("`", "")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"label": _label, "cell": _cell, "prose": _prose}
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
