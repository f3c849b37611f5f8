"""The sieve: files that are not clean are split into rejects and a clean copy for DuckDB."""

import io
import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import duckdb

from orchestration.landing.listing import Format, LandedFile
from orchestration.landing.readers import (
    CrAsLf,
    RefusedError,
    Scan,
    contract_names,
    decompressed,
    opened,
    skip_bom,
)
from orchestration.landing.records import (
    CR,
    LF,
    LINE_LIMIT,
    QUOTE,
    TEXT_LIMIT,
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
    plain ASCII are not UTF-8 either, for then the file is in another encoding.
    """
    encoding = _EncodingTally()
    with opened(file) as raw, clean.open("wb") as out:
        stream = decompressed(raw) if file.is_gzipped else raw
        if found.is_cr_only:
            stream = cast(BinaryIO, io.BufferedReader(CrAsLf(stream)))
        skip_bom(stream)
        if file.format is Format.CSV:
            sieved = _sieve_csv(stream, found, out, reject, encoding)
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
    out: BinaryIO,
    reject: Callable[[Reject], None],
    encoding: _EncodingTally,
) -> Sieved:
    sieved = Sieved()
    delimiter = found.delimiter.encode()
    width = len(found.names)
    records = csv_records(stream, found.delimiter, len(found.names))
    next(records)  # the header, which the scan has read
    out.write(delimiter.join(b"c%d" % position for position in range(width)) + LF)
    for record in records:
        number = record.line_number
        problem = record.problem or encoding.problem(number, record.text)
        if not problem and not record.is_proper:
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
        if record.is_proper or (record.values is None and CR not in without_break(record.text)):
            line = without_break(record.text) + LF
        else:
            values = record.fields(found.delimiter)
            line = delimiter.join(_quoted(value, delimiter) for value in values) + LF
            if line == LF:
                line = b'""\n'
        out.write(line)
        sieved.longest_line = max(sieved.longest_line, len(line))
        sieved.line_numbers.append(number)
    return sieved


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
        if b"\\u0000" in line and number not in verdicts and _has_nul(json.loads(line)):
            verdicts[number] = "a value has a NUL character (\\u0000), which no database text takes"
    return verdicts


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_has_nul(part) for part in value)
