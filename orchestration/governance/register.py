"""The register: classes of columns by name and purposes of processing, from `governance/*.yml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestration.landing.feeds import FEEDS, Feed, Pii
from orchestration.settings import PROJECT_ROOT

COLUMNS_PATH = PROJECT_ROOT / "governance" / "columns.yml"
PURPOSES_PATH = PROJECT_ROOT / "governance" / "purposes.yml"

BASES: Mapping[str, str] = {
    "a": "consent",
    "b": "contract",
    "c": "legal obligation",
    "d": "vital interests",
    "e": "public task",
    "f": "legitimate interest",
}
"""Article 6(1) of the GDPR by letter."""

_HOMONYMS = "homonyms"


class RegisterError(Exception):
    """A file of the register cannot be used; one sentence a problem with file, entry and remedy."""


@dataclass(frozen=True)
class Purpose:
    """One purpose of processing. basis: letter of article 6(1). interest: of basis f."""

    name: str
    title: str
    description: str
    basis: str
    subjects: tuple[str, ...]
    interest: str = ""
    note: str = ""


@dataclass(frozen=True)
class Register:
    """What is known of columns and purposes.

    classes: by column name, those of the feeds included. homonyms: column name → model → class;
    such a name has no class in a model that is not listed. own: names that the file lists.
    """

    controller: str
    contact: str
    purposes: Mapping[str, Purpose]
    classes: Mapping[str, Pii]
    homonyms: Mapping[str, Mapping[str, Pii]]
    own: frozenset[str] = field(default=frozenset())

    def pii(self, model: str, column: str) -> Pii | None:
        """Return the class of a column of a model; None when nobody gave it one."""
        if column in self.homonyms:
            return self.homonyms[column].get(model)
        return self.classes.get(column)


def read_register(
    feeds: Sequence[Feed] = FEEDS,
    columns_path: Path = COLUMNS_PATH,
    purposes_path: Path = PURPOSES_PATH,
) -> Register:
    """Read both files. Raises RegisterError with all that is wrong in them."""
    columns, purposes = _mapping(columns_path), _mapping(purposes_path)
    problems: list[str] = []
    homonyms = _read_homonyms(columns.pop(_HOMONYMS, None) or {}, columns_path, problems)
    given = _read_classes(columns, homonyms, columns_path, problems)
    classes = dict(given)
    for feed in feeds:
        for column in feed.columns:
            if column.name in given:
                problems.append(
                    f"{columns_path}: `{column.name}` is listed as {given[column.name]}, and the"
                    f" feed {feed.name} says {column.pii}; take it out here, a name that a feed"
                    " brings keeps the feed's class."
                )
            elif classes.setdefault(column.name, column.pii) is not column.pii:
                problems.append(
                    f"{feed.name}: `{column.name}` is {column.pii}, and another feed says"
                    f" {classes[column.name]}; a name has one class, give both the stronger one."
                )
    controller = purposes.get("controller") or {}
    register = Register(
        controller=str(controller.get("name", "")),
        contact=str(controller.get("contact", "")),
        purposes=_read_purposes(purposes.get("purposes") or {}, purposes_path, problems),
        classes=classes,
        homonyms=homonyms,
        own=frozenset(given),
    )
    if problems:
        raise RegisterError("\n".join(dict.fromkeys(problems)))
    return register


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RegisterError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RegisterError(f"{path} is no mapping; see the comment at its beginning in git.")
    return content


def _read_classes(
    columns: Mapping[str, Any],
    homonyms: Mapping[str, Mapping[str, Pii]],
    path: Path,
    problems: list[str],
) -> dict[str, Pii]:
    classes: dict[str, Pii] = {}
    for word, names in columns.items():
        if word not in list(Pii):
            problems.append(f"{path}: {word!r} is no class; the classes are {', '.join(Pii)}.")
            continue
        for name in map(str, names or []):
            if name in classes or name in homonyms:
                other = classes.get(name, _HOMONYMS)
                problems.append(
                    f"{path}: `{name}` is listed under {other} and under {word}; a name has one"
                    f" class, keep one, or list its models under {_HOMONYMS}."
                )
            classes.setdefault(name, Pii(word))
    return classes


def _read_homonyms(
    names: Mapping[str, Any], path: Path, problems: list[str]
) -> dict[str, dict[str, Pii]]:
    homonyms: dict[str, dict[str, Pii]] = {}
    for name, models in names.items():
        homonyms[str(name)] = {}
        for model, word in (models or {}).items():
            if word in list(Pii):
                homonyms[str(name)][str(model)] = Pii(word)
            else:
                problems.append(
                    f"{path}, {_HOMONYMS}, {name}, {model}: {word!r} is no class; the classes are"
                    f" {', '.join(Pii)}."
                )
    return homonyms


def _read_purposes(
    listed: Mapping[str, Any], path: Path, problems: list[str]
) -> dict[str, Purpose]:
    purposes: dict[str, Purpose] = {}
    for name, entry in listed.items():
        known = {key: entry.get(key) for key in ("title", "description", "basis", "subjects")}
        if lacking := [key for key, value in known.items() if not value]:
            problems.append(f"{path}, {name}: {' and '.join(lacking)} is missing.")
            continue
        if entry["basis"] not in BASES:
            problems.append(
                f"{path}, {name}: the basis {entry['basis']!r} is no letter of article 6(1);"
                f" allowed are {', '.join(f'{key} ({text})' for key, text in BASES.items())}."
            )
        if entry["basis"] == "f" and not entry.get("interest"):
            problems.append(f"{path}, {name}: basis f needs `interest`, what the interest is.")
        purposes[name] = Purpose(
            name=name,
            title=entry["title"],
            description=" ".join(entry["description"].split()),
            basis=entry["basis"],
            subjects=tuple(entry["subjects"]),
            interest=entry.get("interest", ""),
            note=entry.get("note", ""),
        )
    return purposes
