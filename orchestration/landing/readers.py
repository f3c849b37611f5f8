"""Reading files exactly: one independent count per file, and a sieve for those that are not clean.

DuckDB reads clean files, several times faster than anything here. What makes a file clean is not
left to DuckDB: `scan` counts its records in an own pass over the bytes (which also yields the
content hash), and the loader compares. Every other file goes through `sieve`, which splits it into
rejects, each with its line number, and a clean copy that DuckDB reads in its place.

A record of a CSV file ends at the line break (LF, CR LF, or CR when the file has no LF at all)
outside quotes. Quoting is RFC 4180, with blanks allowed around a quoted field, and a quote inside
an unquoted field being just a character (`5" pipe`). A quote that is never closed, or whose closing
quote is followed by other text, costs the line on which its record begins; reading goes on at the
next line. A line of a JSONL file is one JSON object. Empty lines and lines of blanks are not data.
"""

import codecs
import gzip
import hashlib
import io
import json
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import duckdb
import numpy as np
import pyarrow as pa

from orchestration.landing.feeds import Feed
from orchestration.landing.listing import Format, LandedFile

LINE_LIMIT = 16_000_000
"""Longest line in bytes that is loaded; one line must fit into memory several times."""

DUCKDB_CSV_LINE_LIMIT = 2_000_000
"""DuckDB's default; a longer record needs larger buffers, so they are asked for only then."""

TEXT_LIMIT = 10_000
"""Characters of a rejected line or value that are kept."""

_CHUNK = 4 << 20
_DELIMITERS = (",", ";", "\t", "|")
_UTF8_BOM = codecs.BOM_UTF8
_OTHER_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_QUOTE, _LF, _CR = b'"', b"\n", b"\r"


class RefusedError(Exception):
    """A whole file cannot be loaded; the message continues a sentence that names the file."""


class GoneError(Exception):
    """A file was removed or changed after the landing was listed."""


@dataclass(frozen=True)
class Reject:
    """A data line that is not loaded. line_number counts from 1, the header included."""

    line_number: int
    line_text: str
    column_name: str | None
    value: str | None
    reason: str


@dataclass
class Scan:
    """What one pass over the bytes of a file found out.

    content_hash: SHA-256 of the file as stored (still compressed). line_count: data records.
    names: the header of a CSV file in order; the keys seen in a sample of JSON lines.
    doubt: why DuckDB should not read the file itself; empty when nothing speaks against it.
    """

    content_hash: str
    line_count: int = 0
    names: tuple[str, ...] = ()
    delimiter: str = ","
    longest_line: int = 0
    doubt: str = ""
    is_cr_only: bool = False


@dataclass(frozen=True)
class Columns:
    """How the columns of a file meet those of its feed.

    positions: contract column → position in `Scan.names`. missing: contract columns that the file
    lacks. extra: names in the file that the contract does not know.
    """

    positions: dict[str, int]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


@dataclass
class Sieved:
    """The good lines of a file. line_numbers: of each record in the clean copy, in its order."""

    line_numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    rejected_count: int = 0
    longest_line: int = 0


def match_columns(feed: Feed, names: tuple[str, ...], format_: Format) -> Columns:
    """Match the names in a file with the contract, ignoring case and blanks around them.

    Raises RefusedError when a name occurs twice or a key column is missing. JSON keys that differ
    only in case are no error: the first spelling seen is read, the others count as extra.
    """
    contract = [column.name for column in feed.columns]
    positions: dict[str, int] = {}
    extra: list[str] = []
    seen: set[str] = set()
    for position, name in enumerate(names):
        normal = name.strip().lower()
        is_repeated = normal in seen
        if is_repeated and normal and format_ is not Format.JSONL:
            raise RefusedError(
                f"the column {name.strip()} occurs twice in the header; rename one of them"
            )
        seen.add(normal)
        if normal in contract and not is_repeated:
            positions[normal] = position
        else:
            extra.append(name.strip() or f"(column {position + 1} has no name)")
    if lacking := [key for key in feed.key if key not in positions]:
        raise RefusedError(
            f"the required column {' and '.join(lacking)} is missing; the columns found are"
            f" {_shorten(', '.join(names)) or 'none'}; {feed.name} needs"
            f" {', '.join(feed.key)} (see docs/sources.md)"
        )
    missing = tuple(name for name in contract if name not in positions)
    return Columns(positions, missing, tuple(extra))


def scan(file: LandedFile) -> Scan:
    """Read every byte of a file once: content hash, number of data records, header, doubts.

    Takes about 1 s CPU per GB. Raises RefusedError when the file as a whole is unreadable and
    GoneError when it is no longer the file that was listed.
    """
    with _opened(file) as raw:
        tee = _Hashing(raw)
        try:
            if file.format is Format.PARQUET:
                found = _scan_parquet(tee)
            else:
                stream = _decompressed(tee) if file.is_gzipped else cast(BinaryIO, tee)
                found = _scan_text(stream, file.format, file.feed)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise RefusedError(
                f"the gzip data is damaged or cut off ({error}); compress and deliver it again"
            ) from error
        tee.drain()
    check_unchanged(file)
    found.content_hash = tee.digest.hexdigest()
    return found


def hash_file(file: LandedFile) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    with _opened(file) as raw:
        tee = _Hashing(raw)
        tee.drain()
    return tee.digest.hexdigest()


def check_unchanged(file: LandedFile) -> None:
    """Raise GoneError unless the file is still the one that was listed."""
    try:
        status = file.path.stat()
    except FileNotFoundError as error:
        raise GoneError("was removed while the landing was read") from error
    if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.modified_ns):
        raise GoneError("was changed while the landing was read; the next run reads it")


def sieve(file: LandedFile, found: Scan, clean: Path, reject: Callable[[Reject], None]) -> Sieved:
    """Write the good lines of a text file to `clean`, and hand every other one to `reject`.

    The clean copy of a CSV file has a header, LF line breaks, and every quote, delimiter or line
    break inside a field properly quoted. Raises RefusedError when most of the lines that are not
    plain ASCII are not UTF-8 either, for then the file is in another encoding.
    """
    encoding = _EncodingTally()
    with _opened(file) as raw, clean.open("wb") as out:
        stream = _decompressed(raw) if file.is_gzipped else raw
        if found.is_cr_only:
            stream = cast(BinaryIO, io.BufferedReader(_CrAsLf(stream)))
        _skip_bom(stream)
        if file.format is Format.CSV:
            sieved = _sieve_csv(stream, found, out, reject, encoding)
        else:
            sieved = _sieve_jsonl(stream, file.feed, found, out, reject, encoding)
    if encoding.bad_count > encoding.good_count:
        raise RefusedError(
            f"it is not UTF-8: line {encoding.first_line} has the byte"
            f" 0x{encoding.first_byte:02X}, which looks like Latin-1 or Windows-1252;"
            " save it as UTF-8"
        )
    return sieved


def locate(file: LandedFile, ordinals: Iterator[int]) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of the records at `ordinals`, ascending, from 0, header excluded.

    Only for a file that was loaded without a sieve: there quotes outside and inside of fields
    always pair up, so a record ends where the number of quotes is even.
    """
    wanted = next(ordinals, None)
    ordinal = -1 if file.format is Format.CSV else 0
    with _opened(file) as raw:
        stream = _decompressed(raw) if file.is_gzipped else raw
        _skip_bom(stream)
        started, record, quotes = 0, b"", 0
        for number, line, _ in _lines(stream):
            if wanted is None:
                return
            if file.format is Format.CSV:
                quotes += line.count(_QUOTE)
            if not record:
                started = number
                if not _body(line).strip(b" "):
                    continue
            if ordinal == wanted:
                record += line
            elif quotes % 2:
                record = b"."  # an open record whose text nobody wants
            if quotes % 2:
                continue
            if ordinal == wanted:
                yield started, excerpt(_body(record))
                wanted = next(ordinals, None)
            ordinal += 1
            record, quotes = b"", 0


def locate_lines(file: LandedFile, found: Scan, numbers: Iterator[int]) -> Iterator[str]:
    """Yield the text of the records that start at the line `numbers`, ascending; after a sieve."""
    wanted = next(numbers, None)
    with _opened(file) as raw:
        stream = _decompressed(raw) if file.is_gzipped else raw
        if found.is_cr_only:
            stream = cast(BinaryIO, io.BufferedReader(_CrAsLf(stream)))
        _skip_bom(stream)
        records = (
            ((record.line_number, record.text) for record in _csv_records(stream, found.delimiter))
            if file.format is Format.CSV
            else ((number, line) for number, line, _ in _lines(stream))
        )
        for number, text in records:
            if wanted is None:
                return
            if number == wanted:
                yield excerpt(_body(text))
                wanted = next(numbers, None)


def excerpt(text: bytes | str, length: int | None = None) -> str:
    """Return text for people: undecodable bytes as `\\xNN`, cut at TEXT_LIMIT with its length."""
    length = len(text) if length is None else length
    if isinstance(text, bytes):
        text = text[: TEXT_LIMIT * 4].decode("utf-8", "backslashreplace")
    text = text.replace("\0", "\\x00")
    if len(text) <= TEXT_LIMIT and length <= TEXT_LIMIT * 4:
        return text
    return f"{text[:TEXT_LIMIT]}… (cut; {length:,} bytes in all)"


# --- bytes -------------------------------------------------------------------------------------


class _Hashing(io.RawIOBase):
    """Pass reads on and hash what went through."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._raw.read(size)
        self.digest.update(data)
        return data

    def drain(self) -> None:
        while self.read(_CHUNK):
            pass


class _CrAsLf(io.RawIOBase):
    """Read a file whose lines end in CR alone as if they ended in LF."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        data = self._raw.read(len(buffer)).replace(_CR, _LF)
        buffer[: len(data)] = data
        return len(data)


def _opened(file: LandedFile) -> BinaryIO:
    try:
        return file.path.open("rb")
    except FileNotFoundError as error:
        raise GoneError("was removed while the landing was read") from error
    except PermissionError as error:
        raise RefusedError("it cannot be opened, permission is denied; allow reading it") from error


def _decompressed(raw: object) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=cast(BinaryIO, raw), mode="rb"))


def _skip_bom(stream: BinaryIO) -> None:
    peek = getattr(stream, "peek", None)
    if peek is not None and peek(3)[:3] == _UTF8_BOM:
        stream.read(3)


def _scan_parquet(tee: _Hashing) -> Scan:
    head = tee.read(4)
    tail = head
    while data := tee.read(_CHUNK):
        tail = (tail + data)[-4:]
    if head != b"PAR1" or tail != b"PAR1":
        raise RefusedError(
            "it is no complete Parquet file (it does not start and end with PAR1);"
            " it may be cut off or still being written; deliver it again"
        )
    return Scan("")


def _scan_text(stream: BinaryIO, format_: Format, feed: Feed) -> Scan:
    head = stream.read(_CHUNK)
    for bom, encoding in _OTHER_BOMS:
        if head.startswith(bom):
            raise RefusedError(f"it is {encoding} (byte order mark at byte 1); save it as UTF-8")
    if head[:1000].count(0) * 4 > len(head[:1000]):
        raise RefusedError("it looks like UTF-16 or a binary file (NUL bytes); save it as UTF-8")
    has_bom = head.startswith(_UTF8_BOM)
    if format_ is Format.JSONL:
        found = Scan("", doubt="byte order mark" if has_bom else "")
        sample = _KeySample()
    else:
        found = _scan_header(head, feed)
        sample = None
    counter = _Counter(found, format_, offset=3 if has_bom else 0)
    chunk = head
    while chunk:
        counter.add(chunk)
        if sample is not None:
            sample.add(chunk)
        chunk = stream.read(_CHUNK)
    counter.finish()
    if sample is not None:
        found.names = tuple(sample.names)
    return found


def _scan_header(head: bytes, feed: Feed) -> Scan:
    """Read the header of a CSV file and choose the delimiter under which it says most to us."""
    text = head.removeprefix(_UTF8_BOM)
    found = Scan("")
    if _LF not in head and _CR in head:
        found.doubt, found.is_cr_only = "lines end in CR", True
        text = text.replace(_CR, _LF)
    contract = _names(feed)
    best = (-1, -1)
    broken: _Record | None = None
    for delimiter in _DELIMITERS:
        record = next(_csv_records(io.BytesIO(text), delimiter), None)
        if record is None:
            raise RefusedError(
                "it is empty, not even a header; deliver it again, or remove it if there is no data"
            )
        if record.line_number > 1:
            found.doubt = found.doubt or "empty lines before the header"
        if record.problem:
            broken = broken or record
            continue
        try:
            names = tuple(value.decode("utf-8").strip() for value in record.fields(delimiter))
        except UnicodeDecodeError as error:
            raise RefusedError(
                f"the header is not UTF-8 (byte 0x{error.object[error.start]:02X});"
                " save it as UTF-8"
            ) from error
        merit = (sum(name.lower() in contract for name in names), len(names))
        if merit > best:
            best, found.names, found.delimiter = merit, names, delimiter
    if broken is not None and not found.names:
        raise RefusedError(f"the header in line {broken.line_number} is broken: {broken.problem}")
    return found


class _Counter:
    """Count records, delimiters and line lengths chunk by chunk, with numpy."""

    def __init__(self, found: Scan, format_: Format, offset: int) -> None:
        self._found = found
        self._is_csv = format_ is Format.CSV
        self._delimiter = ord(found.delimiter)
        self._offset = 0  # of the chunk within the file
        self._line_start = offset
        self._previous_byte = 0
        self._is_quoted = 0
        self._delimiters = 0
        self._lines = 0
        self._line_breaks = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_utf8 = True
        self._tail = b""

    def add(self, chunk: bytes) -> None:
        data = np.frombuffer(chunk, np.uint8)
        if self._is_csv and (self._is_quoted or _QUOTE in chunk):
            # Parity of the quotes up to and with each byte: 1 inside a quoted field.
            parity = np.bitwise_xor.accumulate((data == 34).view(np.uint8))
            if self._is_quoted:
                parity ^= 1
            outside = parity == 0
            breaks = np.flatnonzero((data == 10) & outside)
            self._delimiters += int(np.count_nonzero((data == self._delimiter) & outside))
            self._is_quoted = int(parity[-1])
        else:
            breaks = np.flatnonzero(data == 10)
            if self._is_csv:
                self._delimiters += int(np.count_nonzero(data == self._delimiter))
        if len(breaks):
            ends = breaks + self._offset
            lengths = np.diff(ends, prepend=self._line_start - 1)
            is_blank = lengths == 1
            pairs = np.flatnonzero(lengths == 2)
            for pair in pairs:  # CR LF only
                at = int(breaks[pair]) - 1
                before = int(data[at]) if at >= 0 else self._previous_byte
                is_blank[pair] = before == 13
            self._lines += len(breaks) - int(np.count_nonzero(is_blank))
            self._line_breaks += len(breaks)
            self._found.longest_line = max(self._found.longest_line, int(lengths.max()))
            self._line_start = int(ends[-1]) + 1
        self._offset += len(chunk)
        self._previous_byte = chunk[-1]
        self._look_for_trouble(chunk)

    def _look_for_trouble(self, chunk: bytes) -> None:
        if self._is_utf8 and not (chunk.isascii() and not self._decoder.getstate()[0]):
            try:
                self._decoder.decode(chunk)
            except UnicodeDecodeError:
                self._is_utf8 = False
        if 0 in chunk:
            self._found.doubt = self._found.doubt or "NUL bytes"
        if not self._is_csv and b"\\" in chunk:
            if b"\\u0000" in self._tail + chunk:
                self._found.doubt = self._found.doubt or "NUL characters"
            self._tail = chunk[-5:]

    def finish(self) -> None:
        found = self._found
        last = self._offset - self._line_start
        if last > 0 and not (last == 1 and self._previous_byte == 13):
            self._lines += 1
            found.longest_line = max(found.longest_line, last)
        if self._is_utf8 and self._decoder.getstate()[0]:
            self._is_utf8 = False
        if not self._is_utf8:
            found.doubt = found.doubt or "bytes that are not UTF-8"
        if found.longest_line > LINE_LIMIT:
            found.doubt = found.doubt or "a very long line"
        if self._is_csv:
            if self._is_quoted:
                found.doubt = found.doubt or "an open quote"
            if self._delimiters != (len(found.names) - 1) * self._lines:
                found.doubt = found.doubt or "lines with another number of columns"
            self._lines -= 1  # the header
        found.line_count = max(self._lines, 0)


class _KeySample:
    """Keys of JSON objects, from the first lines and then from a few lines of every chunk.

    Parsing every line would cost more than loading it.
    """

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._is_first = True

    def add(self, chunk: bytes) -> None:
        lines = chunk.split(_LF, 1000)[:1000] if self._is_first else chunk.split(_LF, 12)[1:12]
        self._is_first = False
        for line in lines:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                self.names.update(dict.fromkeys(value))


# --- lines and records -------------------------------------------------------------------------


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield (number from 1, line with its LF, true length); only LF ends a line here.

    Of a line longer than LINE_LIMIT only the beginning is kept.
    """
    number = 0
    while line := stream.readline(LINE_LIMIT + 2):
        number += 1
        length = len(line)
        if length > LINE_LIMIT:
            rest = line
            while rest and not rest.endswith(_LF):
                rest = stream.readline(_CHUNK)
                length += len(rest)
            line = line[: TEXT_LIMIT * 4]
        yield number, line, length


def _body(line: bytes) -> bytes:
    """Return a line without its line break."""
    return line.removesuffix(_LF).removesuffix(_CR)


@dataclass(slots=True)
class _Record:
    line_number: int
    text: bytes
    values: list[bytes] | None = None
    problem: str = ""
    position: int | None = None  # of the column with the problem, from 0
    length: int | None = None  # when text was cut

    def fields(self, delimiter: str) -> list[bytes]:
        return _body(self.text).split(delimiter.encode()) if self.values is None else self.values


def _csv_records(stream: BinaryIO, delimiter: str) -> Iterator[_Record]:
    """Split a CSV stream into records; one with a problem is a single line."""
    lines = _lines(stream)
    ahead: deque[tuple[int, bytes, int]] = deque()
    blank = b" " if delimiter == "\t" else b" \t"

    def take() -> tuple[int, bytes, int] | None:
        return ahead.popleft() if ahead else next(lines, None)

    while line := take():
        number, text, length = line
        if length > LINE_LIMIT:
            yield _Record(
                number,
                text,
                problem=f"the line is {length:,} bytes long, more than {LINE_LIMIT:,}",
                length=length,
            )
        elif not _body(text).strip(blank):
            continue
        elif _QUOTE not in text:
            yield _Record(number, text)
        else:
            record, read_ahead = _quoted_record(number, text, delimiter.encode(), take)
            ahead.extendleft(reversed(read_ahead))
            yield record


def _quoted_record(
    number: int,
    first: bytes,
    delimiter: bytes,
    take: Callable[[], tuple[int, bytes, int] | None],
) -> tuple[_Record, list[tuple[int, bytes, int]]]:
    """Parse a record with quotes, fetching lines while a quote is open.

    Returns the record and, when it has a problem, the lines that were fetched in vain.
    """
    text = bytearray(first)
    fetched: list[tuple[int, bytes, int]] = []
    values: list[bytes] = []
    at = 0
    while True:
        start = at
        while text[start : start + 1] == b" ":
            start += 1
        if text[start : start + 1] != _QUOTE:
            end = text.find(delimiter, at)
            if end < 0:
                values.append(_body(bytes(text[at:])))
                return _Record(number, bytes(text), values), []
            values.append(bytes(text[at:end]))
            at = end + 1
            continue
        at = start + 1
        while True:
            end = text.find(_QUOTE, at)
            if end < 0:
                at = len(text)
                line = take()
                if line is not None:
                    fetched.append(line)
                if line is None or line[2] > LINE_LIMIT or len(text) + line[2] > LINE_LIMIT:
                    problem = "the quote that opens here is never closed"
                    return _Record(number, first, None, problem, len(values)), fetched
                text += line[1]
            elif text[end + 1 : end + 2] == _QUOTE:
                at = end + 2
            else:
                break
        values.append(bytes(text[start + 1 : end]).replace(b'""', _QUOTE))
        at = end + 1
        while text[at : at + 1] == b" ":
            at += 1
        if text[at : at + 1] == delimiter:
            at += 1
        elif text[at:] in (b"", _LF, _CR, b"\r\n"):
            return _Record(number, bytes(text), values), []
        else:
            problem = (
                "a quoted value is followed by other text; a quote inside a value must be doubled"
            )
            return _Record(number, first, None, problem, len(values) - 1), fetched


class _EncodingTally:
    """How many lines with bytes above 127 are UTF-8 and how many are not."""

    def __init__(self) -> None:
        self.good_count = 0
        self.bad_count = 0
        self.first_line = 0
        self.first_byte = 0

    def problem(self, number: int, text: bytes) -> str:
        """Return why a line is no text, or nothing."""
        if 0 in text:
            return "the line has a NUL byte"
        if text.isascii():
            return ""
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            if not self.bad_count:
                self.first_line, self.first_byte = number, text[error.start]
            self.bad_count += 1
            return (
                f"byte {error.start + 1} of the line (0x{text[error.start]:02X}) is not UTF-8;"
                " save the file as UTF-8"
            )
        self.good_count += 1
        return ""


def _sieve_csv(
    stream: BinaryIO,
    found: Scan,
    out: BinaryIO,
    reject: Callable[[Reject], None],
    encoding: _EncodingTally,
) -> Sieved:
    sieved = Sieved()
    delimiter = found.delimiter.encode()
    width = len(found.names)
    records = _csv_records(stream, found.delimiter)
    next(records)  # the header, which the scan has read
    out.write(delimiter.join(b"c%d" % position for position in range(width)) + _LF)
    for record in records:
        number = record.line_number
        problem = record.problem or encoding.problem(number, record.text)
        if not problem:
            if record.values is None:
                count = record.text.count(delimiter) + 1
            else:
                count = len(record.values)
            if count != width:
                problem = f"the line has {count} columns, the header has {width}"
        if problem:
            column = None
            if record.position is not None and record.position < width:
                column = found.names[record.position]
            reject(
                Reject(number, excerpt(_body(record.text), record.length), column, None, problem)
            )
            sieved.rejected_count += 1
            continue
        if record.values is None and _CR not in _body(record.text):
            line = _body(record.text) + _LF
        else:
            values = record.fields(found.delimiter)
            line = delimiter.join(_quoted(value, delimiter) for value in values) + _LF
            if line == _LF:
                line = b'""\n'
        out.write(line)
        sieved.longest_line = max(sieved.longest_line, len(line))
        sieved.line_numbers.append(number)
    return sieved


def _quoted(value: bytes, delimiter: bytes) -> bytes:
    if (
        _QUOTE in value
        or delimiter in value
        or _LF in value
        or _CR in value
        or value[:1] == b" "
        or value[-1:] == b" "
    ):
        return _QUOTE + value.replace(_QUOTE, b'""') + _QUOTE
    return value


def _sieve_jsonl(
    stream: BinaryIO,
    feed: Feed,
    found: Scan,
    out: BinaryIO,
    reject: Callable[[Reject], None],
    encoding: _EncodingTally,
) -> Sieved:
    sieved = Sieved()
    numbers: list[int] = []
    lines: list[bytes] = []
    problems: dict[int, str] = {}
    size = 0

    def judge_and_write() -> None:
        """Let DuckDB's own parser decide, so that the clean copy cannot fail."""
        problems.update(_judge(judge, known, numbers, lines, problems))
        for number, line in zip(numbers, lines, strict=True):
            if problem := problems.get(number):
                length = lengths.get(number)
                reject(Reject(number, excerpt(line, length), None, None, problem))
                sieved.rejected_count += 1
            else:
                out.write(line + _LF)
                sieved.longest_line = max(sieved.longest_line, len(line))
                sieved.line_numbers.append(number)
        numbers.clear()
        lines.clear()
        problems.clear()
        lengths.clear()

    lengths: dict[int, int] = {}
    known = [name for name in found.names if name.strip().lower() in _names(feed)]
    judge = duckdb.connect(config={"threads": 1})
    try:
        for number, raw, length in _lines(stream):
            line = _body(raw)
            if not line.strip(b" \t\r"):
                continue
            if length > LINE_LIMIT:
                problems[number] = f"the line is {length:,} bytes long, more than {LINE_LIMIT:,}"
                lengths[number] = length
            elif problem := encoding.problem(number, line):
                problems[number] = problem
            numbers.append(number)
            lines.append(line)
            size += len(line)
            if len(lines) >= 20_000 or size > LINE_LIMIT:
                judge_and_write()
                size = 0
        judge_and_write()
    finally:
        judge.close()
    return sieved


def _names(feed: Feed) -> set[str]:
    return {column.name for column in feed.columns}


_JUDGE = """
select
    number,
    case
        when not json_valid(line) then 'the line is not valid JSON'
        when json_type(line) <> 'OBJECT'
            then 'the line is JSON but no object: expected {"column": value, ...}'
        when len(keys) <> len(list_distinct(keys)) then 'the object has a key twice'
    end as problem
from (
    select
        number,
        line,
        case when json_valid(line) and json_type(line) = 'OBJECT'
            then list_filter(json_keys(line), lambda key: list_contains($known, key)) end as keys
    from batch
)
where problem is not null
"""


def _judge(
    judge: duckdb.DuckDBPyConnection,
    known: list[str],
    numbers: list[int],
    lines: list[bytes],
    problems: dict[int, str],
) -> dict[int, str]:
    kept = [
        (number, line)
        for number, line in zip(numbers, lines, strict=True)
        if number not in problems
    ]
    batch = pa.table(
        {
            "number": pa.array([number for number, _ in kept], pa.int64()),
            "line": pa.array([line for _, line in kept], pa.binary()).cast(pa.string()),
        }
    )
    judge.register("batch", batch)
    verdicts = dict(judge.execute(_JUDGE, {"known": known}).fetchall())
    judge.unregister("batch")
    for number, line in kept:
        if b"\\u0000" in line and number not in verdicts and _has_nul(json.loads(line)):
            verdicts[number] = "a value has a NUL character (\\u0000), which no database text takes"
    return verdicts


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_has_nul(part) for part in value)


def _shorten(text: str, limit: int = 500) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
