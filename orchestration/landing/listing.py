"""What lies in the landing folder: files of feeds, and what belongs to no feed."""

import difflib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestration.landing.feeds import Feed

SETTLED_SECONDS = 60
"""A file that was touched within this time may still be on its way."""

_QUIET_SUFFIXES = (".tmp", ".part", ".inprogress")


class LandingError(Exception):
    """The landing as a whole cannot be read; the message says what was expected where."""


class Format(StrEnum):
    """How a file is written; any feed may come in any of them."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


_FORMATS = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".parquet": Format.PARQUET,
}


@dataclass(frozen=True)
class LandedFile:
    """One file of a feed as it was when the landing was listed.

    name: path relative to the landing with `/`, printable. modified_ns: nanoseconds since 1970.
    """

    feed: Feed
    path: Path
    name: str
    format: Format
    is_gzipped: bool
    size_bytes: int
    modified_ns: int


def is_fresh(file: LandedFile) -> bool:
    """Tell whether a file changed so lately that somebody may still be writing it.

    A file of the future does not count: it was copied with its time, or the clock went back.
    """
    return abs(time.time_ns() - file.modified_ns) < SETTLED_SECONDS * 1_000_000_000


REQUESTS = "privacy"
"""Folder of the landing that holds no feed but requests of people (privacy/requests.py)."""


@dataclass(frozen=True)
class Listing:
    """All files of feeds in name order, and one sentence for everything that is none."""

    files: tuple[LandedFile, ...]
    warnings: tuple[str, ...]


def list_landing(landing: Path, feeds: Sequence[Feed]) -> Listing:
    """List the files below `<landing>/<source>/<things>/`, folders within it included.

    Hidden names and `*.tmp`, `*.part`, `*.inprogress` are left alone without a word, for they are
    somebody's file under way. Links are followed. Raises LandingError when the folder is missing,
    is no folder, cannot be listed, or holds the folder of no feed.
    """
    expected = (
        "expected a folder with extracts as <source>/<things>/*.csv, *.jsonl or *.parquet"
        " (for example crm/contacts/2026-01-31.csv); set WAREHOUSE_LANDING to it"
    )
    if not landing.exists():
        raise LandingError(f"The landing {landing} does not exist: {expected}.")
    if not landing.is_dir():
        raise LandingError(f"The landing {landing} is not a folder: {expected}.")
    by_name = {feed.name: feed for feed in feeds}
    sources = {feed.source for feed in feeds}
    files: list[LandedFile] = []
    warnings: list[str] = []
    found_feed = False
    try:
        for source in _entries(landing):
            if not source.is_dir():
                warnings.append(f"{printable(source.name)} was not read: {_hint_place(feeds)}")
                continue
            if source.name == REQUESTS:
                continue
            if source.name not in sources:
                warnings.append(_unknown_source(source, feeds))
                continue
            for things in _entries(source):
                name = f"{source.name}/{things.name}"
                if not things.is_dir():
                    warnings.append(f"{printable(name)} was not read: {_hint_place(feeds)}")
                elif feed := by_name.get(name):
                    found_feed = True
                    _collect(landing, feed, things, files, warnings)
                else:
                    warnings.append(
                        f"{printable(name)} is no feed{_did_you_mean(name, list(by_name))}"
                    )
    except PermissionError as error:
        raise LandingError(
            f"The landing {landing} cannot be listed, permission to {error.filename} is denied:"
            f" {expected}."
        ) from error
    if not found_feed:
        detail = f" Found instead: {'; '.join(warnings[:5])}." if warnings else ""
        raise LandingError(f"The landing {landing} contains no feed: {expected}.{detail}")
    files.sort(key=lambda file: file.name)
    return Listing(tuple(files), tuple(warnings))


def printable(name: str) -> str:
    """Return a file name as text that any database and terminal takes, reversible by a reader."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _entries(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and not entry.name.lower().endswith(_QUIET_SUFFIXES)
    )


def _collect(
    landing: Path, feed: Feed, things: Path, files: list[LandedFile], warnings: list[str]
) -> None:
    for path in _walk(things, set()):
        name = printable(path.relative_to(landing).as_posix())
        try:
            status = path.stat()
        except FileNotFoundError:
            warnings.append(f"{name} was not read: it is a link to nothing, or was just removed")
            continue
        if not stat.S_ISREG(status.st_mode):
            warnings.append(f"{name} was not read: it is not a regular file")
            continue
        format_, is_gzipped = format_of(path)
        if format_ is None:
            warnings.append(
                f"{name} was not read: its name does not end in .csv, .jsonl or .parquet"
                " (.csv.gz and .jsonl.gz are fine); export it in one of these formats"
            )
            continue
        files.append(
            LandedFile(
                feed=feed,
                path=path,
                name=name,
                format=format_,
                is_gzipped=is_gzipped,
                size_bytes=status.st_size,
                modified_ns=status.st_mtime_ns,
            )
        )


def _walk(folder: Path, above: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield everything in a folder but folders; a link back to a folder above is not entered."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walk(entry, above | {identity})
        else:
            yield entry


def format_of(path: Path) -> tuple[Format | None, bool]:
    """Tell by its name how a file is written, None when in no known way, and if it is gzipped."""
    stem, suffix = os.path.splitext(path.name.lower())  # noqa: PTH122 - Path("a.b ").suffix differs
    if suffix != ".gz":
        return _FORMATS.get(suffix), False
    format_ = _FORMATS.get(os.path.splitext(stem)[1])  # noqa: PTH122
    return (None if format_ is Format.PARQUET else format_), True


def _hint_place(feeds: Sequence[Feed]) -> str:
    return f"files belong into <source>/<things>/, for example {feeds[0].name}/"


def _unknown_source(source: Path, feeds: Sequence[Feed]) -> str:
    try:
        things = [entry.name for entry in _entries(source) if entry.is_dir()]
    except PermissionError:
        things = []
    names = [feed.name for feed in feeds]
    shown = [f"{source.name}/{thing}" for thing in things] or [source.name]
    hints = [f"{printable(name)} is no feed{_did_you_mean(name, names)}" for name in shown]
    return "; ".join(hints)


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if not close:
        close = difflib.get_close_matches(name.lower().rpartition("/")[0], known, 1, 0.3)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} (docs/sources.md lists the feeds)"
