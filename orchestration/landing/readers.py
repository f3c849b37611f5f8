"""Reading files exactly: one independent count of the records in every file.

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
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from orchestration.landing.feeds import Feed
from orchestration.landing.listing import Format, LandedFile
from orchestration.landing.records import CR, LF, LINE_LIMIT, QUOTE, Record, csv_records

DUCKDB_CSV_LINE_LIMIT = 2_000_000
"""DuckDB's default; a longer record needs larger buffers, so they are asked for only then."""

_CHUNK = 4 << 20
_DELIMITERS = (",", ";", "\t", "|")
_UTF8_BOM = codecs.BOM_UTF8
_OTHER_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class RefusedError(Exception):
    """A whole file cannot be loaded; the message continues a sentence that names the file."""


class GoneError(Exception):
    """A file was removed or changed after the landing was listed."""


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
    with opened(file) as raw:
        tee = _Hashing(raw)
        try:
            if file.format is Format.PARQUET:
                found = _scan_parquet(tee)
            else:
                stream = decompressed(tee) if file.is_gzipped else cast(BinaryIO, tee)
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
    with opened(file) as raw:
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


class CrAsLf(io.RawIOBase):
    """Read a file whose lines end in CR alone as if they ended in LF."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        """Fill the buffer from the file."""
        data = self._raw.read(len(buffer)).replace(CR, LF)
        buffer[: len(data)] = data
        return len(data)


def opened(file: LandedFile) -> BinaryIO:
    """Open a file. Raises GoneError when it is not there, RefusedError when it is forbidden."""
    try:
        return file.path.open("rb")
    except FileNotFoundError as error:
        raise GoneError("was removed while the landing was read") from error
    except PermissionError as error:
        raise RefusedError("it cannot be opened, permission is denied; allow reading it") from error


def decompressed(raw: object) -> BinaryIO:
    """Return what a gzip stream contains."""
    return cast(BinaryIO, gzip.GzipFile(fileobj=cast(BinaryIO, raw), mode="rb"))


def skip_bom(stream: BinaryIO) -> None:
    """Go past a UTF-8 byte order mark at the beginning of a stream."""
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
    if LF not in head and CR in head:
        found.doubt, found.is_cr_only = "lines end in CR", True
        text = text.replace(CR, LF)
    contract = contract_names(feed)
    best = (-1, -1)
    broken: Record | None = None
    for delimiter in _DELIMITERS:
        record = next(csv_records(io.BytesIO(text), delimiter), None)
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
        if self._is_csv and (self._is_quoted or QUOTE in chunk):
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
        lines = chunk.split(LF, 1000)[:1000] if self._is_first else chunk.split(LF, 12)[1:12]
        self._is_first = False
        for line in lines:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                self.names.update(dict.fromkeys(value))


def contract_names(feed: Feed) -> set[str]:
    """Return the names of a feed's columns."""
    return {column.name for column in feed.columns}


def _shorten(text: str, limit: int = 500) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
