"""When which version of which file landed, in a file beside the working database.

What lies in the landing does not tell in which order it came, and of versions without a cursor the
one that landed last is the newest. So a working database that is made again, because it was damaged
or deleted, takes the files in the order, and with the times, of the first one.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from orchestration.faults import write_whole
from orchestration.landing.feeds import Feed
from orchestration.landing.listing import LandedFile
from orchestration.landing.readers import GoneError, RefusedError, hash_file

_COLUMNS = ["feed", "content_hash", "loaded_at", "file_path"]


@dataclass(frozen=True)
class Arrival:
    """A version of a file that was loaded. loaded_at: UTC, without zone."""

    feed: str
    content_hash: str
    loaded_at: datetime
    file_path: str


class ArrivalsError(Exception):
    """The file is not what was written; the message names the line."""


def read_arrivals(path: Path) -> tuple[Arrival, ...]:
    """Return what has landed, oldest first; nothing when there is no file.

    Raises ArrivalsError when it cannot be read.
    """
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArrivalsError(f"{path} cannot be read ({error})") from error
    if not lines or lines[0] != _COLUMNS:
        raise ArrivalsError(f"{path}:1: the first line must be {','.join(_COLUMNS)}")
    arrivals = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            feed, content_hash, loaded_at, file_path = line
            moment = datetime.fromisoformat(loaded_at)
        except ValueError as error:
            raise ArrivalsError(f"{path}:{number}: {error}") from error
        arrivals.append(Arrival(feed, content_hash, moment, file_path))
    return tuple(arrivals)


def keep_arrivals(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write what the manifest says to have landed; leaves the file alone when it says so already.

    connection: the working database.
    """
    found = connection.execute(
        "select feed, content_hash, strftime(loaded_at, '%Y-%m-%dT%H:%M:%S.%f'), file_path"
        " from raw.files where status = 'loaded' order by loaded_at, file_path, content_hash"
    ).fetchall()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(found)
    if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text.getvalue():
        write_whole(path, text.getvalue())


def have_landed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the working database knows of any file."""
    return bool(
        connection.execute(
            "select 1 from duckdb_tables() where database_name = current_database()"
            " and schema_name = 'raw' and table_name = 'files'"
        ).fetchone()
        and connection.execute("select 1 from raw.files limit 1").fetchone()
    )


def match_arrivals(
    arrivals: Iterable[Arrival], files: Sequence[LandedFile]
) -> tuple[Mapping[str, datetime], tuple[Arrival, ...]]:
    """Find what has landed among the files that are there, by content.

    Returns when each file landed first, by its name, and what is nowhere any more. Reads every
    file once.
    """
    waiting = tuple(arrivals)
    first = {(a.feed, a.content_hash, a.file_path): a.loaded_at for a in reversed(waiting)}
    of_content = {(a.feed, a.content_hash): a.loaded_at for a in reversed(waiting)}
    landed: dict[str, datetime] = {}
    seen: set[tuple[str, str]] = set()
    for file in files:
        content = _content(file.feed, file)
        seen.add(content)
        moment = first.get((*content, file.name)) or of_content.get(content)
        if moment is not None:
            landed[file.name] = moment
    return landed, tuple(a for a in waiting if (a.feed, a.content_hash) not in seen)


def _content(feed: Feed, file: LandedFile) -> tuple[str, str]:
    try:
        return feed.name, hash_file(file)
    except (GoneError, RefusedError):
        return feed.name, ""  # the load itself will say so
