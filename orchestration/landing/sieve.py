"""The sieve: files that are not clean are split into rejects and a clean copy for DuckDB."""

import codecs
import io
import json
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import duckdb

from orchestration.landing.feeds import ColumnType, Feed
from orchestration.landing.listing import Format, LandedFile
from orchestration.landing.readers import (
    DELIMITERS,
    DOCUMENT_LIMIT,
    CrAsLf,
    RefusedError,
    Scan,
    contract_names,
    decompressed,
    document_elements,
    is_json,
    is_twice_encoded,
    opened,
    skip_bom,
)
from orchestration.landing.records import (
    CR,
    LF,
    LINE_LIMIT,
    QUOTE,
    TEXT_LIMIT,
    Record,
    csv_records,
    numbered_lines,
    without_break,
)


@dataclass(frozen=True)
class Reject:
    """A data line that is not loaded. line_number counts from 1, the header included."""

    line_number: int
    line_text: str
    column_name: str | None
    value: str | None
    reason: str


@dataclass
class Sieved:
    """The good lines of a file. line_numbers: of each record in the clean copy, in its order."""

    line_numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    rejected_count: int = 0
    longest_line: int = 0


def sieve(file: LandedFile, found: Scan, clean: Path, reject: Callable[[Reject], None]) -> Sieved:
    """Write the good lines of a text file to `clean`, and hand every other one to `reject`.

    The clean copy of a CSV file has a header, LF line breaks, and every quote, delimiter or line
    break inside a field properly quoted. Raises RefusedError when most of the lines that are not
    plain ASCII are not UTF-8 either, for then the file is in another encoding, and when a CSV file
    has a second table or other quotation marks, or JSON that is not JSON lines is broken.
    """
    if found.is_document:
        return _sieve_document(file, found, clean, reject)
    encoding = _EncodingTally()
    with opened(file) as raw, clean.open("wb") as out:
        stream = decompressed(raw) if file.is_gzipped else raw
        if found.is_cr_only:
            stream = cast(BinaryIO, io.BufferedReader(CrAsLf(stream)))
        skip_bom(stream)
        if file.format is Format.CSV:
            sieved = _sieve_csv(stream, found, _LineJudge(file.feed, found, encoding), out, reject)
        else:
            known = [
                name for name in found.names if name.strip().lower() in contract_names(file.feed)
            ]
            sieved = _sieve_jsonl(stream, known, out, reject, encoding)
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
    with opened(file) as raw:
        stream = decompressed(raw) if file.is_gzipped else raw
        skip_bom(stream)
        started, record, quotes = 0, b"", 0
        for number, line, _ in numbered_lines(stream):
            if wanted is None:
                return
            if file.format is Format.CSV:
                quotes += line.count(QUOTE)
            if not record:
                started = number
                if not without_break(line).strip(b" "):
                    continue
            if ordinal == wanted:
                record += line
            elif quotes % 2:
                record = b"."  # an open record whose text nobody wants
            if quotes % 2:
                continue
            if ordinal == wanted:
                yield started, excerpt(without_break(record))
                wanted = next(ordinals, None)
            ordinal += 1
            record, quotes = b"", 0


def locate_clean(clean: Path, ordinals: Iterator[int]) -> Iterator[str]:
    """Yield the text of the records at `ordinals`, ascending, from 0, of a clean JSON copy."""
    wanted = next(ordinals, None)
    with clean.open("rb") as lines:
        for ordinal, line in enumerate(lines):
            if wanted is None:
                return
            if ordinal == wanted:
                yield excerpt(without_break(line))
                wanted = next(ordinals, None)


def locate_lines(file: LandedFile, found: Scan, numbers: Iterator[int]) -> Iterator[str]:
    """Yield the text of the records that start at the line `numbers`, ascending; after a sieve."""
    wanted = next(numbers, None)
    with opened(file) as raw:
        stream = decompressed(raw) if file.is_gzipped else raw
        if found.is_cr_only:
            stream = cast(BinaryIO, io.BufferedReader(CrAsLf(stream)))
        skip_bom(stream)
        records = (
            (
                (record.line_number, record.text)
                for record in csv_records(stream, found.delimiter, len(found.names))
            )
            if file.format is Format.CSV
            else ((number, line) for number, line, _ in numbered_lines(stream))
        )
        for number, text in records:
            if wanted is None:
                return
            if number == wanted:
                yield excerpt(without_break(text))
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
    judge: "_LineJudge",
    out: BinaryIO,
    reject: Callable[[Reject], None],
) -> Sieved:
    sieved = Sieved()
    delimiter = found.delimiter.encode()
    width = len(found.names)
    records = csv_records(stream, found.delimiter, len(found.names))
    next(records)  # the header, which the scan has read
    out.write(delimiter.join(b"c%d" % position for position in range(width)) + LF)
    ahead = next(records, None)
    while (record := ahead) is not None:
        ahead = next(records, None)
        number = record.line_number
        values = None
        if not record.problem and not record.is_proper:
            values = record.fields(found.delimiter)
        problem, position = judge.problem(record, values, ahead)
        if problem:
            column = found.names[position] if position is not None and position < width else None
            reject(
                Reject(
                    number,
                    excerpt(without_break(record.text), record.length),
                    column,
                    None,
                    problem,
                )
            )
            sieved.rejected_count += 1
            continue
        if values is not None and judge.strips(values):
            values = [values[0], *(value.removeprefix(b" ") for value in values[1:])]
        elif record.is_proper or (record.values is None and CR not in without_break(record.text)):
            values = None
        if values is None:
            line = without_break(record.text) + LF
        else:
            line = delimiter.join(_quoted(value, delimiter) for value in values) + LF
            if line == LF:
                line = b'""\n'
        out.write(line)
        sieved.longest_line = max(sieved.longest_line, len(line))
        sieved.line_numbers.append(number)
    judge.finish()
    return sieved


class _LineJudge:
    """Tells the records of a CSV file from lines that only look like records."""

    def __init__(self, feed: Feed, found: Scan, encoding: _EncodingTally) -> None:
        self._found = found
        self._encoding = encoding
        self._width = len(found.names)
        self._mark = found.delimiter.encode()
        self._header = [name.lower() for name in found.names]
        mark = re.escape(self._mark)
        self._nothing = re.compile(b"(?:^|" + mark + b") *(NULL|\\\\N) *(?=" + mark + b"|[\r\n]|$)")
        by_name = {column.name: column.type for column in feed.loaded_columns}
        self._types = [by_name.get(name, ColumnType.TEXT) for name in self._header]
        self._typed_positions = [
            position for position, type_ in enumerate(self._types) if type_ in _WITH_DIGITS
        ]
        self._is_wrapped_file = found.has_other_quotes
        self._wrapped_count = 0
        self._wrapped_line = 0
        self._wrapped_value = ""
        self._record_count = 0

    def problem(
        self, record: Record, values: list[bytes] | None, ahead: Record | None
    ) -> tuple[str, int | None]:
        """Return why a record is none, or nothing, and the position of the column to blame.

        values: not known when the record is proper, so that those of the right width stay cheap.
        ahead: the record after it. Raises RefusedError when another table begins here.
        """
        problem = record.problem or self._encoding.problem(record.line_number, record.text)
        if not problem and values is not None and len(values) != self._width:
            problem = self._wrong_width(record, len(values))
        if not problem:
            self._record_count += 1
            problem = self._bad_bytes(record)
        if problem:
            return problem, record.position
        has_rest = ahead is not None and self._mark not in ahead.text
        is_named = not _DIGIT.search(record.text)
        nothing = self._nothing.search(record.text)
        if not (has_rest or is_named or nothing or self._is_wrapped_file or b'="' in record.text):
            return "", None  # nearly every record: what follows costs 10 µs
        if values is None:
            values = self._parsed(record)
        texts = [value.decode("utf-8").strip() for value in values]
        if is_named and (problem := self._header_problem(record, texts)):
            return problem, None
        for position, value in enumerate(values):
            if problem := self._bad_value(value, nothing[1] if nothing else b""):
                return problem, position
        if self._is_wrapped_file and self._is_wrapped(texts):
            self._wrapped_count += 1
            self._wrapped_line = self._wrapped_line or record.line_number
        return self._cut_short(record, values, ahead), self._width - 1

    def _bad_bytes(self, record: Record) -> str:
        if record.text.startswith(CR):
            return "a carriage return begins the line; end lines in LF or CR LF"
        if self._is_several_lines(record):
            return (
                "a quoted value goes over lines that look like records; a quote is missing or one"
                " too many"
            )
        if record.text.isascii():
            return ""
        if record.text.startswith(codecs.BOM_UTF8):
            return "a byte order mark begins the line: two files were put together"
        if is_twice_encoded(record.text):
            return (
                "its text is UTF-8 that was read as Latin-1 or Windows-1252 and encoded again"
                " (`Ã¼` for `ü`); export it anew"
            )
        return ""

    def _header_problem(self, record: Record, texts: list[str]) -> str:
        if [text.lower() for text in texts] == self._header:
            return "the line repeats the header"
        if _is_other_header(texts, self._header, self._types):
            if self._record_count <= _MORE_HEADER_LINES:
                return "the line looks like one more line of the header"
            _refuse_other_header(record.line_number, texts)
        return ""

    def _bad_value(self, value: bytes, nothing: bytes) -> str:
        text = value.strip()
        if nothing and text == nothing:
            return (
                f"{nothing.decode()} stands for nothing here; leave the value empty, or quote it"
                " if it is text"
            )
        if value.startswith(b'="') and value.endswith(b'"'):
            return "the value is a spreadsheet formula; export values"
        if self._is_wrapped_file and text[:1] == text[-1:] == b"'" and b"''" in text[1:-1]:
            return "the value is quoted with '; quote with \" (RFC 4180)"
        return ""

    def strips(self, values: list[bytes]) -> bool:
        """Tell whether the blank after each delimiter belongs to the delimiter."""
        return (
            self._found.has_blank_after_delimiter
            and len(values) > 1
            and all(value.startswith(b" ") for value in values[1:])
        )

    def _is_several_lines(self, record: Record) -> bool:
        """Tell whether a line inside a quoted value would be a record by itself."""
        first, *others = without_break(record.text).split(LF)
        if not others or self._width < (3 if self._typed_positions else 5):
            return False
        for line in others:
            parts = line.strip(b'\r"').split(self._mark)
            if (
                len(parts) == self._width
                and b" " not in parts[0].strip()
                and all(
                    not parts[position].strip(b' "') or _DIGIT.search(parts[position])
                    for position in self._typed_positions
                )
            ):
                return True
        return first.count(self._mark) >= 2 * (self._width - 1)

    def finish(self) -> None:
        """Raise RefusedError when the values are quoted in a way that RFC 4180 does not know."""
        if self._wrapped_count >= 2 and self._wrapped_count * 2 >= self._record_count:
            raise RefusedError(
                f"its values are in quotation marks that are none in CSV ({self._wrapped_value} in"
                f' line {self._wrapped_line}); quote with " (RFC 4180)'
            )

    def _parsed(self, record: Record) -> list[bytes]:
        return next(csv_records(io.BytesIO(record.text), self._found.delimiter)).fields(
            self._found.delimiter
        )

    def _wrong_width(self, record: Record, count: int) -> str:
        text = without_break(record.text)
        if count < self._width:
            for other in DELIMITERS:
                if other.encode() != self._mark and text.count(other.encode()) == self._width - 1:
                    return (
                        f"the line is separated by {other!r},"
                        f" the header by {self._found.delimiter!r}"
                    )
        return f"the line has {count} columns, the header has {self._width}"

    def _is_wrapped(self, texts: list[str]) -> bool:
        for text in texts:
            if len(text) > 2 and (text[0], text[-1]) in _WRAPPINGS:
                self._wrapped_value = self._wrapped_value or excerpt(text)[:40]
                return True
        return False

    def _cut_short(self, record: Record, values: list[bytes], ahead: Record | None) -> str:
        """Say so when the next line is the rest of this one's last value.

        A record whose last value is text goes on when the next line has no delimiter, neither
        this nor another; two such lines cannot be told from one with an unquoted line break.
        """
        if (
            ahead is None
            or self._width < 3
            or self._types[-1] is not ColumnType.TEXT
            or ahead.problem
            or len(ahead.fields(self._found.delimiter)) != 1
            or any(other.encode() in ahead.text for other in DELIMITERS[1:])
            or record.text.rstrip(b"\r\n").endswith(QUOTE)
            or not values[-1]
        ):
            return ""
        return (
            f"line {ahead.line_number} has no delimiter and may be the rest of the last value;"
            " quote values with line breaks"
        )


def check_no_other_header(feed: Feed, found: Scan, line_number: int, text: str) -> None:
    """Raise RefusedError when a line that does not fit its types is the header of another table."""
    if line_number <= 1 + _MORE_HEADER_LINES or _DIGIT.search(text.encode()):
        return
    record = next(csv_records(io.BytesIO(text.encode()), found.delimiter), None)
    texts = [value.decode().strip() for value in record.fields(found.delimiter)] if record else []
    header = [name.lower() for name in found.names]
    if len(texts) == len(header):
        by_name = {column.name: column.type for column in feed.loaded_columns}
        types = [by_name.get(name, ColumnType.TEXT) for name in header]
        if [value.lower() for value in texts] != header and _is_other_header(texts, header, types):
            _refuse_other_header(line_number, texts)


def _is_other_header(
    texts: Sequence[str], header: Sequence[str], types: Sequence[ColumnType]
) -> bool:
    """Tell whether a line names columns: those of the header in another order, or other ones.

    texts: the values. header: lower case. Other names are recognised by columns of numbers and
    times, in which data has digits, or nothing, and names have neither.
    """
    filled = [text.lower() for text in texts if text]
    if not filled:
        return False
    if len(filled) > 1 and sum(text in header for text in filled) * 2 > len(filled):
        return True
    typed = [text for text, type_ in zip(texts, types, strict=True) if type_ in _WITH_DIGITS]
    return (
        len(typed) > 1
        and all(typed)
        and len(filled) == len(texts)
        and not any(char.isdigit() for text in filled for char in text)
    )


def _refuse_other_header(line_number: int, texts: Sequence[str]) -> NoReturn:
    """Raise the RefusedError of a file with several tables."""
    raise RefusedError(
        f"line {line_number} looks like another header ({excerpt(', '.join(texts))[:100]});"
        " deliver one table in a file, under one header"
    )


def _quoted(value: bytes, delimiter: bytes) -> bytes:
    if (
        QUOTE in value
        or delimiter in value
        or LF in value
        or CR in value
        or value[:1] == b" "
        or value[-1:] == b" "
    ):
        return QUOTE + value.replace(QUOTE, b'""') + QUOTE
    return value


def _sieve_document(
    file: LandedFile, found: Scan, clean: Path, reject: Callable[[Reject], None]
) -> Sieved:
    """Write the elements of one JSON value as JSON lines, then sieve these."""
    lines = clean.with_name(f"{clean.name}-lines")
    try:
        numbers: list[int] = []
        with opened(file) as raw, lines.open("wb") as out:
            stream = decompressed(raw) if file.is_gzipped else raw
            for number, text in document_elements(stream.read(DOCUMENT_LIMIT + 1)):
                numbers.append(number)
                out.write(text.encode() + LF)
        known = [name for name in found.names if name.strip().lower() in contract_names(file.feed)]

        def reject_element(problem: Reject) -> None:
            reject(replace(problem, line_number=numbers[problem.line_number - 1]))

        with lines.open("rb") as stream, clean.open("wb") as out:
            sieved = _sieve_jsonl(stream, known, out, reject_element, _EncodingTally())
    finally:
        lines.unlink(missing_ok=True)
    sieved.line_numbers = array("Q", (numbers[ordinal - 1] for ordinal in sieved.line_numbers))
    return sieved


def _sieve_jsonl(
    stream: BinaryIO,
    known: list[str],
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
                out.write(line + LF)
                sieved.longest_line = max(sieved.longest_line, len(line))
                sieved.line_numbers.append(number)
        numbers.clear()
        lines.clear()
        problems.clear()
        lengths.clear()

    lengths: dict[int, int] = {}
    judge = duckdb.connect(config={"threads": 1})
    try:
        for number, raw, length in numbered_lines(stream):
            line = without_break(raw)
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
    from (select unnest($numbers) as number, unnest($lines) as line)
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
    if not kept:
        return {}
    verdicts = dict(
        judge.execute(
            _JUDGE,
            {
                "known": known,
                "numbers": [number for number, _ in kept],
                "lines": [line.decode("utf-8") for _, line in kept],
            },
        ).fetchall()
    )
    for number, line in kept:
        if number in verdicts:
            continue
        # DuckDB 1.5.5 takes NaN, Infinity and a comma too many for JSON.
        if _LENIENT.search(line) and not is_json(line):
            verdicts[number] = "the line is not valid JSON: NaN, Infinity or a comma too many"
        elif b"\\u0000" in line and _has_nul(json.loads(line)):
            verdicts[number] = "a value has a NUL character (\\u0000), which no database text takes"
    return verdicts


def _has_nul(value: object) -> bool:
    """Only values that become text themselves; nested ones stay JSON, in which NUL is escaped."""
    return isinstance(value, dict) and any(
        isinstance(part, str) and "\0" in part for part in value.values()
    )


_LENIENT = re.compile(rb"(?i)nan|inf|,\s*[}\]]")
_MORE_HEADER_LINES = 2
"""Lines below the header that may belong to it: units, types, a second language."""

_DIGIT = re.compile(rb"[0-9]")
_WRAPPINGS = frozenset(
    tuple(pair) for pair in ("''", "\u2018\u2019", "\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb")
)
_WITH_DIGITS = (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.TIMESTAMP)
