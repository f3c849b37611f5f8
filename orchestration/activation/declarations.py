"""Exports as people declare them, proven against the audiences before anything is landed."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.activation.identifiers import Identifier, Platform
from orchestration.settings import PROJECT_ROOT
from orchestration.transform.audiences import AUDIENCES_FILE, COLUMNS
from orchestration.transform.rule_files import SegmentRuleError, csv_rows, nearest

EXPORTS_FILE = PROJECT_ROOT / "governance" / "exports.yml"

# The purpose of consent that who is handed to a partner has to have granted.
SHARING = "sharing"

# Names a folder.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class Format(StrEnum):
    """How the files are written."""

    CSV = "csv"
    PARQUET = "parquet"


class Mode(StrEnum):
    """Whether a version also says what changed since the one before."""

    FULL = "full"
    DELTA = "delta"


class ExportRuleError(SegmentRuleError):
    """Exports cannot be used. problems: each a sentence with file, export, entry and remedy."""


class Export(BaseModel):
    """An export as declared; `governance/exports.yml` says what each entry means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    audience: str = Field(min_length=1)
    identifier: Identifier
    platform: Platform | None = None
    format: Format
    mode: Mode
    owner: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    description: str = Field(min_length=1)


def read_exports(
    path: Path = EXPORTS_FILE, audiences_path: Path = AUDIENCES_FILE
) -> tuple[Export, ...]:
    """Return the declared exports in the order of the file.

    Raises SegmentRuleError with all that is wrong, by file, export and entry.
    """
    audiences = {row["audience"]: row for _, row in csv_rows(audiences_path, COLUMNS)}
    problems: list[str] = []
    declared: list[Export] = []
    for name, entry in _entries(path).items():
        place = f"{path}, export {name!r}"
        if not _NAME.fullmatch(name):
            problems.append(
                f"{place}: it names a folder; use small letters, digits and underscores, at most"
                " 41, a letter first."
            )
        if not isinstance(entry, dict):
            problems.append(f"{place}: it has no entries; see the comment at the file's beginning.")
            continue
        try:
            export = Export.model_validate({**entry, "name": name})
        except ValidationError as error:
            problems += [f"{place}, {_told(problem)}" for problem in error.errors()]
            continue
        problems += [f"{place}, {problem}" for problem in _contradictions(export, audiences)]
        declared.append(export)
    if problems:
        raise ExportRuleError(problems)
    return tuple(declared)


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ExportRuleError([f"{path} cannot be read: {reason}."]) from error
    entries = content.get("exports") if isinstance(content, dict) else None
    # `exports:` with nothing below declares none
    if entries is None and isinstance(content, dict) and "exports" in content:
        return {}
    if not isinstance(entries, dict):
        raise ExportRuleError([f"{path} has no mapping `exports`; its first comment says how."])
    return {str(name): entry for name, entry in entries.items()}


def _told(problem: Mapping[str, Any]) -> str:
    entry = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{entry} is missing; every export has one."
    if problem["type"] == "extra_forbidden":
        known = [name for name in Export.model_fields if name != "name"]
        return f"{entry} is unknown{nearest(entry, known)}; the entries are {', '.join(known)}."
    return f"{entry}: {problem['input']!r} does not fit: {problem['msg']}."


def _contradictions(export: Export, audiences: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    if export.identifier.is_hashed and export.platform is None:
        yield (
            f"platform is missing: {export.identifier} is hashed as a platform wants it, so say"
            f" which, {' or '.join(Platform)}."
        )
    if export.platform is not None and not export.identifier.is_hashed:
        yield (
            f"platform: {export.platform} is given hashed identifiers only, and"
            f" {export.identifier} is none; take email_sha256 or phone_sha256."
        )
    audience = audiences.get(export.audience)
    if audience is None:
        yield (
            f"audience: there is no audience {export.audience!r}"
            f"{nearest(export.audience, audiences)}; {AUDIENCES_FILE.name} lists them."
        )
        return
    channel = export.identifier.channel
    if channel is not None and channel != audience["channel"]:
        yield (
            f"identifier: {export.identifier} is of channel {channel}, and audience"
            f" {export.audience!r} is reached by {audience['channel']}."
        )
    if export.identifier.is_hashed and audience["purpose"] != SHARING:
        yield (
            f"audience: {export.audience!r} agreed to {audience['purpose']}, which is no consent to"
            f" be handed to a platform; take an audience of purpose {SHARING}."
        )
