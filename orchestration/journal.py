"""Append-only CSV files of what people decided, each line confirmed on disk before it counts.

Nothing else can make such a line again, so it is never changed: a later line takes its place. Lines
are in the order of the file, for clocks can be wrong. A spreadsheet may be used to read a journal
and to add to it.
"""

import csv
import fcntl
import io
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

_CUT_OFF = (
    "; the line has no end, so its writing was cut off and it was never confirmed: "
    "delete it and enter it anew"
)
_MOST_CHARACTERS = 1000
_MOST_PROBLEMS = 5

Line = dict[str, str]
# Takes the lines one after the other; returns what is wrong with one, or nothing.
Judge = Callable[[Line], str]


@dataclass(frozen=True)
class Journal:
    """One file, its columns in order, and how its owner speaks of what goes wrong.

    error: what is raised, with a message that says what, where and what to do. not_added: how the
    message begins when a line was not added, for example "Not decided". verbatim: columns whose
    blanks at the ends mean something. unwritable: a sentence about a file that cannot be written.
    """

    path: Path
    columns: tuple[str, ...]
    error: type[Exception]
    not_added: str
    verbatim: frozenset[str] = frozenset()
    unwritable: str = ""

    def read(self, judge: Judge) -> None:
        """Give every line to `judge` by column name; none when there is no file.

        Waits while another process appends. A last line without its end counts when it is whole,
        as an editor may leave it; one that was cut off is refused. Raises the error of the journal
        naming file, line, value and remedy, for at most five lines.
        """
        try:
            with self.path.open("rb") as file, _locked(file, fcntl.LOCK_SH):
                content = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.error(f"{self.path} cannot be read: {error.strerror}.") from error
        self._read(content, judge)

    def append(
        self, line: Mapping[str, str], judge: Judge, fits: Callable[[], str] = lambda: ""
    ) -> None:
        """Add one line at the end of the file and wait until it is on disk.

        Nothing that is in the file is touched; two processes take turns. judge: is given the lines
        of the file, as in `read`. fits: asked then, returns why the new line does not fit to them,
        as a part of a sentence. Raises the error of the journal, and adds nothing, when the file
        cannot be used or written, or the line does not fit.
        """
        try:
            with self.path.open("a+b", buffering=0) as file, _locked(file, fcntl.LOCK_EX):
                file.seek(0)
                content = file.read()
                self._read(content, judge)
                if problem := self.problem(line) or fits():
                    raise self.error(f"{self.not_added}: {problem}.")
                write_at_end(file, self._as_bytes(content, line))
                if not content:
                    flush_folder(self.path.parent)
        except OSError as error:
            raise self.error(
                f"{self.not_added}: {self.path} cannot be written ({error.strerror})."
                f" {self.unwritable}".rstrip()
            ) from error

    def problem(self, line: Mapping[str, str]) -> str:
        """Return why a line cannot be kept whatever it says, or nothing."""
        for column, value in line.items():
            if len(value) > _MOST_CHARACTERS:
                return f"{column} has {len(value):,} characters; at most {_MOST_CHARACTERS:,} fit"
            # isprintable also rejects harmless spaces and joiners, but is thirty times faster.
            if not value.isprintable() and any(
                unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in value
            ):
                return f"{column} {shown(value)} has a character that cannot be printed"
        return ""

    def _read(self, content: bytes, judge: Judge) -> None:
        try:
            # Spreadsheets write a byte order mark and CR LF; both are harmless.
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            number = content.count(b"\n", 0, error.start) + 1
            remedy = "; save the file as UTF-8" if b"\n" in content[error.start :] else _CUT_OFF
            raise self.error(
                f"{self.path}:{number}: byte {content[error.start]:#04x} is not UTF-8{remedy}."
            ) from error
        # Not splitlines: it also breaks at characters that a reason may contain.
        *lines, unended = text.split("\n")
        if unended:
            lines.append(unended)
        found: list[str] = []
        for number, line in enumerate(lines, start=1):
            problem = self._read_line(number, line.removesuffix("\r"), judge)
            if problem and unended and number == len(lines):
                problem += _CUT_OFF
            if problem:
                found.append(f"{self.path}:{number}: {problem}.")
                if number == 1:
                    break  # with other columns every line would be wrong
        if found:
            raise self.error("\n".join(first_few(found)))

    def _read_line(self, number: int, line: str, judge: Judge) -> str:
        if number == 1:
            return "" if line == ",".join(self.columns) else self._header_problem(line)
        if not line:
            return ""
        try:
            (values,) = csv.reader([line], strict=True)
        except csv.Error as error:
            return (
                f"{shown(line)} is not CSV ({error}); write each entry on one line of its own, "
                "a text with a comma or a quotation mark between quotation marks"
            )
        if len(values) != len(self.columns):
            return f"{len(values)} fields in {shown(line)}, expected {len(self.columns)}"
        named = {
            column: value if column in self.verbatim else value.strip()
            for column, value in zip(self.columns, values, strict=True)
        }
        return self.problem(named) or judge(named)

    def _header_problem(self, line: str) -> str:
        return f"the first line must be {','.join(self.columns)}, not {shown(line)}"

    def _as_bytes(self, content: bytes, line: Mapping[str, str]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not content:
            writer.writerow(self.columns)
        elif not content.endswith(b"\n"):
            text.write("\n")  # whole, or it could not have been read; an editor left the end out
        writer.writerow([line[column] for column in self.columns])
        return text.getvalue().encode()


def time_problem(column: str, value: str) -> str:
    """Return why a value is no instant with its zone, or nothing."""
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None:
            time.astimezone(UTC)
            return ""
    except (ValueError, OverflowError):
        pass
    return f"{column} {shown(value)} is no time in UTC; write it like 2026-06-30T09:15:00Z"


def written_time(time: datetime) -> str:
    """Return an instant as journals keep it: UTC, microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(text: str) -> str:
    """Return a value as it is quoted in a sentence, not longer than a line."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def first_few(found: Sequence[str]) -> list[str]:
    """Return the first five problems, and how many more there are."""
    more = len(found) - _MOST_PROBLEMS
    return [*found[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]


@contextmanager
def _locked(file: IO[bytes], lock: int) -> Iterator[None]:
    """Hold the lock of the file; closing it, or the death of the process, frees it."""
    fcntl.flock(file, lock)
    yield


def write_at_end(file: IO[bytes], line: bytes) -> None:
    """Write at the end in one piece; a full disk leaves the file as it was."""
    size = file.seek(0, os.SEEK_END)
    try:
        rest = line
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), size)
        raise


def flush_folder(folder: Path) -> None:
    """Wait until a new name in a folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
