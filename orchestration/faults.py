"""What the machine does to a run: sentences for its errors, and damaged files that are made anew.

The working database and the candidate hold nothing that cannot be made again: the landing has the
rows, the current release the customer ids, `decisions.csv` the decisions. So a damaged one is put
out of the way and the next run builds everything; a full disk or a missing right is only told.
"""

import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb

from orchestration.database import DatabaseFile, candidate_file, working_file
from orchestration.keys import BadKeyError
from orchestration.settings import Settings
from orchestration.sql import quoted

log = logging.getLogger("warehouse")

# How DuckDB 1.5 begins to tell that a file is not what it wrote: found by flipping, cutting and
# blanking bytes of a working database, 40 times, and of an encrypted one, 180 times. Every block
# has a checksum or a tag. Another key is no damage: it is tried on the header first.
_DAMAGE = (
    "Computed AES tag differs",
    "Corrupt database file",
    "Corrupt WAL file",
    "Could not read enough bytes",
    "not a valid DuckDB database file",
)

_SIGNS: tuple[tuple[tuple[str, ...], tuple[int, ...], str], ...] = (
    (
        ("No space left", "disk is full", "File too large", "Disk quota exceeded"),
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        "The disk that holds {home} is full: {reason}. Free some space or lower "
        "WAREHOUSE_KEEP_RELEASES, then run again.",
    ),
    (
        ("disk I/O error",),  # SQLite, of a file that may not grow as of a disk that is broken
        (errno.EIO,),
        "The disk that holds {home} is full or broken: {reason}. Free some space, or look at the "
        "machine's log, then run again.",
    ),
    (
        (
            "Read-only file system",
            "Permission denied",
            "readonly database",
            "unable to open database file",
        ),
        (errno.EROFS, errno.EACCES, errno.EPERM),
        "{home} cannot be written: {reason}. Make the folder and everything in it writable for "
        "the user who runs the warehouse, or name another one with WAREHOUSE_HOME.",
    ),
    (
        (
            "Out of Memory Error",
            "failed to allocate",
            "failed to pin block",
            "could not allocate block",
            "bad_alloc",
            "Cannot allocate memory",
        ),
        (errno.ENOMEM,),
        "The memory did not suffice: {reason}. DuckDB may take WAREHOUSE_MEMORY_LIMIT="
        "{memory_limit} before it spills to disk; set it higher when the machine has more, or to "
        "two thirds of what it has, and WAREHOUSE_THREADS lower.",
    ),
    (
        ("Could not set lock on file", "Conflicting lock", "database is locked"),
        (),
        "Another program holds a file of {home}: {reason}. Close it, then run again.",
    ),
)


def fault_sentence(settings: Settings, error: BaseException) -> str | None:
    """What to tell when the machine and not the data or the code is to blame; else None.

    Looks at the error and at those that it was raised from.
    """
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for one in reversed(chain):
        if isinstance(one, BadKeyError):
            return str(one)
        text = _text(one)
        for texts, numbers, sentence in _SIGNS:
            if (
                any(sign in text for sign in texts)
                or getattr(one, "errno", None) in numbers
                or (isinstance(one, MemoryError) and errno.ENOMEM in numbers)
            ):
                return sentence.format(
                    home=settings.home,
                    memory_limit=settings.memory_limit,
                    reason=(_first_line(text) or type(one).__name__).rstrip("."),
                )
    return None


@contextmanager
def told(settings: Settings, failure: Callable[[str], Exception]) -> Iterator[None]:
    """Turn errors of the machine and damaged files into a failure with a sentence.

    failure: makes the exception that is raised instead. A file that is really damaged is put out
    of the way at once, so that the next run begins without it. Everything else is raised as it is.
    """
    try:
        yield
    except Exception as error:
        if any(sign in _text(error) for sign in _DAMAGE) and (
            sentences := put_away_damaged(settings)
        ):
            raise failure(" ".join([*sentences, "Run again."])) from error
        # here, for a release is made of roles and feeds, which write their files with this module
        from orchestration.release.content import ReleaseError  # noqa: PLC0415

        is_told = isinstance(error.__cause__, ReleaseError)
        if not is_told and (sentence := fault_sentence(settings, error)):
            raise failure(sentence) from error
        raise


def put_away_damaged(settings: Settings) -> list[str]:
    """Read both databases of the run whole, and put away those that cannot be read.

    Returns a sentence for each. A file that somebody else holds, or that may not be read, is none
    of them. No connection of this process may be open.
    """
    sentences = []
    if reason := _damage(working_file(settings)):
        database = settings.working_database
        aside = database.with_name(f"{database.name}.damaged")
        _move(database, aside)
        sentences.append(
            f"The working database is damaged ({reason}). It was moved to {aside}, in place of an "
            "older one, for you to look at or delete; it holds personal data. It is made anew from "
            "the landing, and the customer ids come from the current release."
        )
    if reason := _damage(candidate_file(settings)):
        remove_database(settings.candidate_database)
        sentences.append(
            f"{settings.candidate_database} was damaged ({reason}) and was deleted; the marts are "
            "built anew."
        )
    return sentences


def remove_database(database: Path) -> None:
    """Delete a DuckDB file and the log beside it, which would be replayed into the next one."""
    _log_of(database).unlink(missing_ok=True)
    database.unlink(missing_ok=True)


def remove_unfinished(settings: Settings) -> list[Path]:
    """Delete what killed processes left beside the databases; returns what that was.

    Folders of what queries had no memory for, and files that were not yet written anew.
    """
    left = sorted(settings.home.glob("*.duckdb.tmp"))
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return left


def put_away_damaged_events(storage: Path) -> list[str]:
    """Put away Dagster's SQLite files when one cannot be read; returns a sentence if so.

    storage: its folder. Only the history of runs and events is in there.
    """
    for file in sorted(storage.rglob("*.db")):
        try:
            with closing(sqlite3.connect(file)) as connection:
                answer = connection.execute("pragma quick_check(1)").fetchone()
        except sqlite3.OperationalError:
            continue  # locked, or may not be opened: not damaged, and told when it is written
        except sqlite3.DatabaseError as error:
            answer = (str(error),)
        if answer != ("ok",):
            aside = storage.with_name(f"{storage.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            storage.rename(aside)
            storage.mkdir()
            return [
                f"Dagster's history is damaged ({file.name}: {_first_line(str(answer[0]))}). It "
                f"was moved to {aside}; the UI begins with an empty one, the warehouse loses "
                "nothing."
            ]
    return []


def write_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace a file in one step: whenever the process is killed, the old or the new one is there.

    Flushed before, so that a power cut leaves no empty file either. mode: less what the process
    takes away from every file (umask).
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _damage(database: DatabaseFile) -> str:
    """Why a DuckDB file is damaged, found by reading all of it; else empty, also without a file."""
    if not database.path.exists():
        return ""
    try:
        with database.connect(read_only=True) as connection:
            tables = connection.execute(
                "select schema_name, table_name from duckdb_tables()"
                " where database_name = current_database()"
            ).fetchall()
            for schema, table in tables:
                connection.execute(
                    f"select sum(hash(columns(*))) from {quoted(schema)}.{quoted(table)}"
                ).fetchall()
    except duckdb.Error as error:
        text = _text(error)
        return _first_line(text) if any(sign in text for sign in _DAMAGE) else ""
    return ""


def _move(database: Path, aside: Path) -> None:
    remove_database(aside)
    database.replace(aside)
    if _log_of(database).exists():
        _log_of(database).replace(_log_of(aside))


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


def _text(error: BaseException) -> str:
    """The message; Dagster's failures keep theirs in `description`."""
    return str(getattr(error, "description", None) or error)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")
