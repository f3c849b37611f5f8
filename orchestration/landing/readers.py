"""Reading files exactly: one independent count of the records in every file.

DuckDB reads clean files, several times faster than anything here. What makes a file clean is not
left to DuckDB: `scan` counts its records in an own pass over the bytes (which also yields the
content hash), and the loader compares. Every other file goes through `sieve`, which splits it into
rejects, each with its line number, and a clean copy that DuckDB reads in its place.

A record of a CSV file ends at the line break (LF, CR LF, or CR when the file has no LF at all)
outside quotes. Quoting is RFC 4180, with blanks allowed around a quoted field, and pairs of quotes
inside an unquoted field being just characters (`37.8"N 17.9"W`); a single one there is an error,
because it is the end of a quoted field that lost its beginning as often as it is an inch. A quote
that is never closed, or whose closing quote is followed by other text, costs the line on which its
record begins; reading goes on at the next line. A line of a JSONL file is one JSON object; a
`.json` file may also be one array of objects. Empty lines and lines of blanks are not data.
"""

import codecs
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from orchestration.landing.feeds import Feed
from orchestration.landing.listing import Format, LandedFile
from orchestration.landing.records import (
    CR,
    LF,
    LINE_LIMIT,
    QUOTE,
    Record,
    csv_records,
    without_break,
)

DUCKDB_CSV_LINE_LIMIT = 2_000_000
"""DuckDB's default; a longer record needs larger buffers, so they are asked for only then."""

DOCUMENT_LIMIT = 256 << 20
"""Bytes of a JSON value that is not JSON lines; it is read at once and takes several times that."""

OTHER_QUOTES = (b"'", "\u2018".encode(), "\u201c".encode(), "\u201e".encode(), "\u00ab".encode())
"""What opens a quotation that RFC 4180 does not know."""

_TWICE_ENCODED = (
    (b"\xc2", b"\xc3\x83\xc2"),
    (b"\xc2", b"\xc3\x82\xc2"),
    (b"\xc5", b"\xc3\x83\xc5"),
    (b"\xe2", b"\xc3\xa2\xe2\x82\xac"),
)
"""A byte, and how UTF-8 with it begins that was read as Windows-1252 and saved as UTF-8 again."""

_CHUNK = 4 << 20
_SEAM = 1000
_PREAMBLE = 30
_SAMPLED_LINES = 1000
DELIMITERS = (",", ";", "\t", "|")
_UTF8_BOM = codecs.BOM_UTF8
_OTHER_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class RefusedError(Exception):
    """A whole file cannot be loaded; the message continues a sentence that names the file.

    is_cut: the end of the file is missing, as it is while somebody still writes it.
    """

    def __init__(self, message: str, *, is_cut: bool = False) -> None:
        super().__init__(message)
        self.is_cut = is_cut


class GoneError(Exception):
    """A file was removed or changed after the landing was listed."""


class UnsettledError(Exception):
    """A file is not complete and changed a moment ago; the message says what is missing."""


@dataclass
class Scan:
    """What one pass over the bytes of a file found out.

    content_hash: SHA-256 of the file as stored (still compressed). line_count: data records.
    names: the header of a CSV file in order; the keys seen in a sample of JSON lines.
    doubt: why DuckDB should not read the file itself; empty when nothing speaks against it.
    ends_open: the last line has no line break. is_document: one JSON value instead of JSON lines.
    later_header: line that looks more like a header than the first one; 0 when there is none.
    header_line: as in a CSV file, without its line break.
    """

    content_hash: str
    line_count: int = 0
    names: tuple[str, ...] = ()
    delimiter: str = ","
    longest_line: int = 0
    doubt: str = ""
    is_cr_only: bool = False
    has_blank_after_delimiter: bool = False
    has_other_quotes: bool = False
    ends_open: bool = False
    is_document: bool = False
    later_header: int = 0
    header_line: bytes = b""


@dataclass(frozen=True)
class Columns:
    """How the columns of a file meet those of its feed.

    positions: contract column → position in `Scan.names`. missing: contract columns that the file
    lacks. extra: names in the file that the contract does not know. purposeless: names in the file
    that the contract knows and has no purpose for: not read, and no drift either.
    """

    positions: dict[str, int]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    purposeless: tuple[str, ...] = ()


def match_columns(
    feed: Feed, names: tuple[str, ...], format_: Format, later_header: int = 0
) -> Columns:
    """Match the names in a file with the contract, ignoring case and blanks around them.

    later_header: as in Scan, for the message.

    Raises RefusedError when a name occurs twice or a key column is missing. JSON keys that differ
    only in case are no error: the first spelling seen is read, the others count as extra.
    """
    contract = [column.name for column in feed.loaded_columns]
    positions: dict[str, int] = {}
    extra: list[str] = []
    purposeless: list[str] = []
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
        elif normal in feed.purposeless:
            purposeless.append(name.strip())
        else:
            extra.append(name.strip() or f"(column {position + 1} has no name)")
    if lacking := [key for key in feed.key if key not in positions]:
        hint = ""
        if later_header:
            hint = (
                f"; line {later_header} looks like the header: deliver the file without the"
                " lines above it"
            )
        raise RefusedError(
            f"the required column {' and '.join(lacking)} is missing; the columns found are"
            f" {_shorten(', '.join(names)) or 'none'}; {feed.name} needs"
            f" {', '.join(feed.key)} (see docs/sources.md){hint}"
        )
    missing = tuple(name for name in contract if name not in positions)
    return Columns(positions, missing, tuple(extra), tuple(purposeless))


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
                stem = file.name.lower().removesuffix(".gz")
                found = _scan_text(stream, file.format, file.feed, stem.endswith(".json"))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise RefusedError(
                f"the gzip data is damaged or cut off ({error}); compress and deliver it again",
                is_cut=True,
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
            " it may be cut off; deliver it again",
            is_cut=True,
        )
    return Scan("")


def _scan_text(
    stream: BinaryIO, format_: Format, feed: Feed, may_be_document: bool = False
) -> Scan:
    head = stream.read(_CHUNK)
    for bom, encoding in _OTHER_BOMS:
        if head.startswith(bom):
            raise RefusedError(f"it is {encoding} (byte order mark at byte 1); save it as UTF-8")
    if head[:1000].count(0) * 4 > len(head[:1000]):
        raise RefusedError("it looks like UTF-16 or a binary file (NUL bytes); save it as UTF-8")
    has_bom = head.startswith(_UTF8_BOM)
    sample = None
    if format_ is Format.JSONL:
        found = Scan("", doubt="byte order mark" if has_bom else "")
        if may_be_document and _begins_document(head.removeprefix(_UTF8_BOM)):
            return _scan_document(head, stream)
        sample = _KeySample(found)
    else:
        found = _scan_header(head, feed)
    counter = _Counter(found, format_, offset=3 if has_bom else 0)
    chunk = head
    while chunk:
        counter.add(chunk)
        if sample is not None:
            sample.add(chunk)
        chunk = stream.read(_CHUNK)
    counter.finish()
    if sample is not None:
        found.names = tuple(_printable(name) for name in sample.names)
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
    for delimiter in DELIMITERS:
        record = next(csv_records(io.BytesIO(text), delimiter), None)
        if record is None:
            raise RefusedError(
                "it is empty, not even a header; deliver it again, or remove it if there is no"
                " data",
                is_cut=True,
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
            header = record
    if broken is not None and not found.names:
        raise RefusedError(f"the header in line {broken.line_number} is broken: {broken.problem}")
    if any("\r" in name for name in found.names):
        raise RefusedError(
            "the header does not end where its line ends: lines end in CR, yet the file has LF as"
            " well; end all of them in LF or CR LF"
        )
    spread = header.fields(found.delimiter)[1:]
    if header.values is None and spread and all(value[:1] == b" " for value in spread):
        found.has_blank_after_delimiter = True
        found.doubt = found.doubt or "blanks after delimiters"
    found.header_line = without_break(header.text)
    if not {name.lower() for name in found.names}.issuperset(feed.key):
        found.later_header = _later_header(text, feed)
    return found


def _later_header(text: bytes, feed: Feed) -> int:
    """Return the number of the first of some lines that has all key columns, else 0."""
    for number, line in enumerate(text.split(LF, _PREAMBLE)[:_PREAMBLE], start=1):
        for delimiter in DELIMITERS:
            values = line.decode("utf-8", "replace").split(delimiter)
            if {value.strip(' "\r').lower() for value in values}.issuperset(feed.key):
                return number
    return 0


def _begins_document(head: bytes) -> bool:
    """Tell whether a file that may be JSON lines is rather one JSON value over several lines."""
    first, _, rest = head.lstrip().partition(LF)
    if first[:1] == b"[":
        return True
    if not first or is_json(first):
        return False
    second = rest.lstrip().partition(LF)[0]
    return first.rstrip()[-1:] in b"{[,:" or not (second[:1] == b"{" and is_json(second))


def _scan_document(head: bytes, stream: BinaryIO) -> Scan:
    """Count the elements of one JSON value; the sieve turns it into JSON lines."""
    found = Scan("", doubt="one JSON value", is_document=True)
    names: dict[str, None] = {}
    for _, text in document_elements(head + stream.read(DOCUMENT_LIMIT)):
        found.line_count += 1
        if found.line_count <= _SAMPLED_LINES and isinstance(value := json.loads(text), dict):
            names.update(dict.fromkeys(value))
    found.names = tuple(_printable(name) for name in names)
    return found


def document_elements(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield (line number, JSON text on one line) of each element of an array, or of one value.

    The text of an element is as it came but for line breaks, which JSON has only between values.
    Raises RefusedError when the whole is no JSON (RFC 8259) or too large to be read at once.
    """
    if len(content) > DOCUMENT_LIMIT:
        raise RefusedError(
            f"it is one JSON value of more than {DOCUMENT_LIMIT:,} bytes; deliver it as JSON"
            " lines, one object a line"
        )
    try:
        text = content.removeprefix(_UTF8_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"it is not UTF-8 (byte {error.start + 1:,} is 0x{content[error.start]:02X});"
            " save it as UTF-8"
        ) from error
    line, at = 1, 0
    elements: list[tuple[int, int]] = []
    start = end = _skip_blanks(text, 0)
    try:
        if text[start : start + 1] == "[":
            end = _skip_blanks(text, start + 1)
            while text[end : end + 1] != "]" or elements:
                begin = end
                _, end = _STRICT_JSON.raw_decode(text, begin)
                elements.append((begin, end))
                end = _skip_blanks(text, end)
                if text[end : end + 1] != ",":
                    break
                end = _skip_blanks(text, end + 1)
            if text[end : end + 1] != "]":
                raise json.JSONDecodeError("Expecting ',' or ']'", text, end)
            end += 1
        else:
            _, end = _STRICT_JSON.raw_decode(text, start)
            elements.append((start, end))
        if _skip_blanks(text, end) != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        raise RefusedError(
            f"it is no JSON: {error.msg} in line {error.lineno}, column {error.colno}; deliver one"
            " object a line, or one valid JSON array of objects",
            is_cut=error.msg.startswith("Unterminated") or error.pos >= len(text.rstrip()) - 5,
        ) from error
    except RecursionError as error:
        raise RefusedError(
            "its JSON is nested too deeply to be read; deliver flat objects"
        ) from error
    for begin, end in elements:
        line += text.count("\n", at, begin)
        at = begin
        yield line, text[begin:end].replace("\r", " ").replace("\n", " ")


def is_twice_encoded(text: bytes) -> bool:
    """Tell whether UTF-8 text is UTF-8 that was taken for Latin-1 or Windows-1252 before."""
    if not any(mark in text for _, mark in _TWICE_ENCODED):
        return False
    decoded = text.decode("utf-8")
    for encoding in ("cp1252", "latin-1"):
        try:
            decoded.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        return True
    return False


def is_json(line: bytes) -> bool:
    """Tell whether a line is JSON in the strict sense of RFC 8259: no NaN, no trailing comma."""
    try:
        _STRICT_JSON.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _skip_blanks(text: str, at: int) -> int:
    found = _JSON_BLANKS.match(text, at)
    return found.end() if found else at


def _no_constant(name: str) -> float:
    raise json.JSONDecodeError(f"{name} is no JSON", "", 0)


_STRICT_JSON = json.JSONDecoder(parse_constant=_no_constant, parse_int=str, parse_float=str)
_JSON_BLANKS = re.compile(r"[ \t\n\r]*")


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
        self._has_blank_line = False
        self._wrapped = 0
        self._width = len(found.names)
        mark = found.delimiter.encode()
        header = found.header_line
        # Three delimiters, so that a short header does not look like data.
        self._repeat = LF + header if header.count(mark) >= 2 else b""
        self._null = mark + b"NULL"  # as a key it is told by its type or its word
        self._formulas = (mark + b'="', LF + b'="')
        self._wrappers = [mark + quote for quote in OTHER_QUOTES]

    def add(self, chunk: bytes) -> None:
        data = np.frombuffer(chunk, np.uint8)
        if self._is_csv and (self._is_quoted or QUOTE in chunk):
            # Parity of the quotes up to and with each byte: 1 inside a quoted field.
            parity = np.bitwise_xor.accumulate((data == 34).view(np.uint8))
            if self._is_quoted:
                parity ^= 1
            outside = parity == 0
            is_break, is_delimiter = data == 10, data == self._delimiter
            breaks = np.flatnonzero(is_break & outside)
            self._delimiters += int(np.count_nonzero(is_delimiter & outside))
            self._is_quoted = int(parity[-1])
            if self._width >= 3 and int(np.count_nonzero(is_break)) > len(breaks):
                self._look_for_swallowed_lines(parity, is_break, is_delimiter)
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
            blank_count = int(np.count_nonzero(is_blank))
            if self._is_csv and (blank_count or self._has_blank_line):
                since = 0 if self._has_blank_line else int(is_blank.argmax())
                if not is_blank[since:].all():
                    self._doubt("blank lines between others")
                self._has_blank_line = True
            self._lines += len(breaks) - blank_count
            self._line_breaks += len(breaks)
            self._found.longest_line = max(self._found.longest_line, int(lengths.max()))
            self._line_start = int(ends[-1]) + 1
        self._offset += len(chunk)
        self._previous_byte = chunk[-1]
        self._look_for_trouble(chunk)

    def _look_for_swallowed_lines(
        self,
        parity: "np.typing.NDArray[np.uint8]",
        is_break: "np.typing.NDArray[np.bool_]",
        is_delimiter: "np.typing.NDArray[np.bool_]",
    ) -> None:
        """Doubt a quoted value with a line that has as many delimiters as a record."""
        ends = np.flatnonzero(is_break)
        begins_quoted = parity[ends] == 1
        before = np.searchsorted(np.flatnonzero(is_delimiter), ends)
        counts = np.diff(before, append=int(np.count_nonzero(is_delimiter)))
        if (counts[begins_quoted] >= self._width - 1).any():
            self._doubt("a quoted value that looks like several lines")

    def _look_for_trouble(self, chunk: bytes) -> None:
        is_ascii = chunk.isascii()
        if self._is_utf8 and not (is_ascii and not self._decoder.getstate()[0]):
            try:
                self._decoder.decode(chunk)
            except UnicodeDecodeError:
                self._is_utf8 = False
        if 0 in chunk:
            self._doubt("NUL bytes")
        # What lies across two chunks is looked for in this seam.
        seam = self._tail + chunk[:_SEAM] if self._tail else b""
        self._tail = chunk[-_SEAM:]
        look = self._look_at_csv if self._is_csv else self._look_at_json
        for part in (seam, chunk):
            look(part)
        if not is_ascii:
            if any(mark in chunk for byte, mark in _TWICE_ENCODED if byte in chunk):
                self._doubt("text that was encoded twice")
            start = 1 if self._offset == len(chunk) else 0
            if b"\xef" in chunk and chunk.find(_UTF8_BOM, start) >= 0:
                self._doubt("a byte order mark inside")
        if self._is_csv:
            for wrapper in self._wrappers:
                if wrapper[1:2] in chunk and (found := chunk.count(wrapper)):
                    self._wrapped += found
                    if b"''" in chunk:
                        self._doubt("doubled single quotes")
                        self._found.has_other_quotes = True

    # One byte is looked for at 10 GB/s, several at 1 GB/s or less: so a rare byte goes first.

    def _look_at_json(self, chunk: bytes) -> None:
        if b"\\" in chunk and b"\\u0000" in chunk:
            self._doubt("NUL characters")
        if b"NaN" in chunk and (b": NaN" in chunk or b":NaN" in chunk):
            self._doubt("numbers that are none")

    def _look_at_csv(self, chunk: bytes) -> None:
        has_backslash = b"\\" in chunk
        if (b"U" in chunk and self._null in chunk) or (has_backslash and b"\\N" in chunk):
            self._doubt("words for nothing")
        if self._repeat and self._repeat in chunk:
            self._doubt("the header again")
        if (has_backslash and b'\\"' in chunk) or (
            b"=" in chunk
            and QUOTE in chunk
            and b'="' in chunk
            and any(formula in chunk for formula in self._formulas)
        ):
            self._doubt("quotes behind other characters")
        if b"\r" in chunk and b"\n\r" in chunk:
            self._doubt("line breaks the wrong way round")

    def _doubt(self, reason: str) -> None:
        self._found.doubt = self._found.doubt or reason

    def finish(self) -> None:
        found = self._found
        last = self._offset - self._line_start
        if last > 0 and not (last == 1 and self._previous_byte == 13):
            self._lines += 1
            found.longest_line = max(found.longest_line, last)
            found.ends_open = self._previous_byte not in (10, 13)
            if self._has_blank_line:
                self._doubt("blank lines between others")
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
            if self._wrapped and self._wrapped * 2 >= self._lines - 1:
                self._doubt("other quotation marks")
                found.has_other_quotes = True
            self._lines -= 1  # the header
        found.line_count = max(self._lines, 0)


class _KeySample:
    """Keys of JSON objects, from the first lines and then from a few lines of every chunk.

    Parsing every line would cost more than loading it.
    """

    def __init__(self, found: Scan) -> None:
        self.names: dict[str, None] = {}
        self._found = found
        self._is_first = True

    def add(self, chunk: bytes) -> None:
        if self._is_first:
            lines = chunk.removeprefix(_UTF8_BOM).split(LF, _SAMPLED_LINES)[:_SAMPLED_LINES]
        else:
            lines = chunk.split(LF, 12)[1:12]
        if len(chunk) == _CHUNK and lines and chunk.endswith(lines[-1]):
            lines.pop()  # it goes on in the next chunk
        self._is_first = False
        for line in lines:
            try:
                value = _STRICT_JSON.decode(line.decode("utf-8"))
            except (ValueError, RecursionError):
                if line.strip():
                    # DuckDB 1.5.5 reads NaN and a comma too many without a word.
                    self._found.doubt = self._found.doubt or "lines that are no JSON"
                continue
            if isinstance(value, dict):
                self.names.update(dict.fromkeys(value))


def contract_names(feed: Feed) -> set[str]:
    """Return the names of the columns that are read from a feed's files."""
    return {column.name for column in feed.loaded_columns}


def _printable(name: str) -> str:
    """Return a key as text that a database takes: half a surrogate pair is written out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _shorten(text: str, limit: int = 500) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
