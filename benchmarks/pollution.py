"""Ways in which CSV files go wrong: polluted variants of a clean table, each with its clean twin.

A variant says what the twin says to a person who looks at it, in a way that a reader may get
wrong. What no reader can tell from clean data is not made: a file cut inside its last text value,
`&uuml;` for `ü`, a backslash and an n for a line break, leading zeros that are gone.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A table of texts; empty means nothing."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


EXAMPLE = Table(
    ("item_id", "label", "unit_price", "bought_on", "stock", "comment"),
    (
        ("A-1", "Größe", "12.50", "2026-01-31", "1200", "plain, with a comma"),
        ("A-2", "Mug", "1234.00", "2026-02-01", "3000", ""),
        ("A-3", '5" pipe', "7.25", "2026-02-02", "14", "He said hello"),
        ("A-4", "Ærø lamp", "999.99", "2026-02-03", "5400", "two\nlines"),
        ("A-5", "", "0.99", "2026-02-04", "2", "café"),
        ("A-6", "Box of O'Brien", "15000.00", "2026-02-05", "8100", "the end"),
    ),
)
"""Small, with quotes, delimiters, line breaks, letters beyond ASCII, numbers, dates and gaps."""


@dataclass(frozen=True)
class Pollution:
    """A bad file and what it means. name: the file's name, which says what is bad about it."""

    name: str
    content: bytes
    twin: Table


def parse_table(path: Path) -> Table:
    """Read a clean twin: CSV with header (RFC 4180), or JSON, one object or an array of objects.

    Raises SystemExit when it is neither.
    """
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix.lower() == ".json":
        found = json.loads(text)
        records = found if isinstance(found, list) else [found]
        columns = tuple(dict.fromkeys(name for record in records for name in record))
        return Table(
            columns,
            tuple(tuple(_text(record.get(name)) for name in columns) for record in records),
        )
    lines = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    for number, row in enumerate(lines, start=1):
        if len(row) != len(lines[0]):
            raise SystemExit(
                f"{path}, record {number}: {len(row)} values, the header has {len(lines[0])};"
                " a clean twin is plain CSV"
            )
    return Table(tuple(lines[0]) if lines else (), tuple(tuple(row) for row in lines[1:]))


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def pollutions(table: Table) -> Iterator[Pollution]:
    """Yield every variant that the table allows; it needs three rows and three columns.

    Those that change numbers, dates or letters beyond ASCII need such values and are left out
    otherwise.
    """
    for part in (
        _separated,
        _quoted,
        _encoded,
        _framed,
        _ragged,
        _several,
        _headed,
        _ended,
        _typed,
    ):
        yield from part(table)
    yield from _no_csv(table)


# --- writing -----------------------------------------------------------------------------------


def _write(
    rows: Sequence[Sequence[str]],
    delimiter: str = ",",
    *,
    newline: str = "\n",
    quoting: int = csv.QUOTE_MINIMAL,
    quote: str = '"',
    escape: str | None = None,
) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=delimiter,
        lineterminator=newline,
        quoting=quoting,  # type: ignore[arg-type]
        quotechar=quote,
        escapechar=escape,
        doublequote=escape is None,
    )
    writer.writerows(rows)
    return out.getvalue()


def _all(table: Table) -> list[Sequence[str]]:
    return [table.columns, *table.rows]


def _lines(table: Table, delimiter: str = ",") -> list[str]:
    """One text a record, without its line break; values with line breaks stay quoted."""
    return [_write([row], delimiter).removesuffix("\n") for row in _all(table)]


def _join(lines: Sequence[str], newline: str = "\n") -> bytes:
    return "".join(line + newline for line in lines).encode()


def _plain(table: Table) -> Table:
    """The table without characters that need quotes."""
    return Table(
        table.columns,
        tuple(tuple(re.sub(r'[",;\t|\r\n\' ]', "_", value) for value in row) for row in table.rows),
    )


# --- the variants ------------------------------------------------------------------------------


def _separated(table: Table) -> Iterator[Pollution]:
    for name, delimiter in (("semicolon", ";"), ("tab", "\t"), ("bar", "|"), ("caret", "^")):
        yield Pollution(f"delimiter_{name}.csv", _write(_all(table), delimiter).encode(), table)
    for name, delimiter in (("blank", " "), ("tilde", "~"), ("unit_separator", "\x1f")):
        yield Pollution(f"delimiter_{name}.csv", _write(_all(table), delimiter).encode(), table)
    plain = _plain(table)
    for name, delimiter in (
        ("comma_blank", ", "),
        ("semicolon_blank", "; "),
        ("comma_two_blanks", ",  "),
        ("blank_comma", " ,"),
        ("double_colon", "::"),
        ("double_comma", ",,"),
        ("bar_blanks", " | "),
    ):
        text = "".join(delimiter.join(row) + "\n" for row in _all(plain))
        yield Pollution(f"delimiter_{name}.csv", text.encode(), plain)
    quoted = "".join(
        ", ".join(f'"{value}"' if number else value for number, value in enumerate(row)) + "\n"
        for row in _all(plain)
    )
    yield Pollution("delimiter_comma_blank_quoted.csv", quoted.encode(), plain)
    lines = _lines(plain)
    for name, other in (("semicolon", ";"), ("tab", "\t"), ("bar", "|"), ("blank", " ")):
        for place, at in (("first", 1), ("middle", len(lines) // 2), ("last", -1)):
            changed = [*lines]
            changed[at] = changed[at].replace(",", other)
            yield Pollution(f"row_delimiter_{name}_{place}.csv", _join(changed), plain)
    changed = [*lines]
    changed[2] = changed[2].replace(",", ";", 1)
    yield Pollution("row_one_other_delimiter.csv", _join(changed), plain)
    yield Pollution("delimiter_sep_line.csv", b"sep=;\n" + _join(_lines(table, ";")), table)


def _quoted(table: Table) -> Iterator[Pollution]:
    rows, plain = _all(table), _plain(table)
    yield Pollution("quotes_everywhere.csv", _write(rows, quoting=csv.QUOTE_ALL).encode(), table)
    yield Pollution("quotes_single.csv", _write(rows, quote="'").encode(), table)
    yield Pollution(
        "quotes_single_everywhere.csv",
        _write(rows, quote="'", quoting=csv.QUOTE_ALL).encode(),
        table,
    )
    yield Pollution("quotes_backslash.csv", _write(rows, escape="\\").encode(), table)
    yield Pollution(
        "quotes_backslash_everywhere.csv",
        _write(rows, escape="\\", quoting=csv.QUOTE_ALL).encode(),
        table,
    )
    yield Pollution(
        "quotes_none_backslash.csv",
        _write(rows, escape="\\", quoting=csv.QUOTE_NONE).encode(),
        table,
    )
    unquoted = "".join(",".join(row) + "\n" for row in rows)
    yield Pollution("quotes_forgotten.csv", unquoted.encode(), table)
    header = ",".join(plain.columns)
    for name, left, right in (
        ("single", "'", "'"),
        ("typographic", "\u201c", "\u201d"),
        ("german", "\u201e", "\u201c"),
        ("french", "\u00ab", "\u00bb"),
        ("doubled", '""', '""'),
    ):
        text = "".join(
            ",".join([row[0], *(f"{left}{value}{right}" if value else "" for value in row[1:])])
            + "\n"
            for row in plain.rows
        )
        yield Pollution(f"quotes_{name}_in_data.csv", f"{header}\n{text}".encode(), plain)
        text = "".join(
            ",".join([*row[:-1], f"{left}{row[-1]}{right}" if row[-1] else ""]) + "\n"
            for row in plain.rows
        )
        yield Pollution(f"quotes_{name}_in_last_column.csv", f"{header}\n{text}".encode(), plain)
    blanks = "".join(" , ".join(f'"{value}"' for value in row) + " \n" for row in _all(plain))
    yield Pollution("quotes_blanks_around.csv", blanks.encode(), plain)
    for number in sorted({1, 2, len(plain.rows) // 2, len(plain.rows)}):
        for position in range(len(plain.columns)):
            for name, template in (
                ("open", '"{}'),
                ("close", '{}"'),
                ("inside", '"{}"x'),
                ("open_quoted", '""{}"'),
                ("two", '"{}""'),
            ):
                row = [*plain.rows[number - 1]]
                row[position] = template.format(row[position])
                lines = _lines(plain)
                lines[number] = ",".join(row)
                yield Pollution(
                    f"quote_{name}_row{number}_column{position + 1}.csv", _join(lines), plain
                )
    # One quote too many in each of two rows: in the end all quotes pair up.
    for first, second in ((1, 2), (1, 3), (2, len(plain.rows))):
        for position in range(len(plain.columns)):
            lines = _lines(plain)
            for number in (first, second):
                row = [*plain.rows[number - 1]]
                row[position] = f'"{row[position]}' if number == first else f'{row[position]}"'
                lines[number] = ",".join(row)
            yield Pollution(
                f"quotes_pair_rows{first}_{second}_column{position + 1}.csv", _join(lines), plain
            )


def _encoded(table: Table) -> Iterator[Pollution]:
    text = _write(_all(table))
    yield Pollution("encoding_utf8_bom.csv", b"\xef\xbb\xbf" + text.encode(), table)
    yield Pollution("encoding_two_boms.csv", b"\xef\xbb\xbf" * 2 + text.encode(), table)
    for encoding in (
        *("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "cp037"),
        *("latin-1", "cp1252", "mac-roman", "cp850", "gb18030", "shift-jis"),
    ):
        try:
            content = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        if content != text.encode():
            yield Pollution(f"encoding_{encoding}.csv", content, table)
    lines = _lines(table)
    foreign = [number for number, line in enumerate(lines) if number and not line.isascii()]
    for encoding in ("latin-1", "cp1252"):
        try:
            twice = text.encode().decode(encoding).encode()
        except UnicodeDecodeError:
            continue
        if twice != text.encode():
            yield Pollution(f"encoding_twice_{encoding}.csv", twice, table)
        for number in foreign[:1]:
            damaged = [line.encode() for line in lines]
            damaged[number] = damaged[number].decode(encoding).encode()
            yield Pollution(
                f"encoding_twice_one_row_{encoding}.csv", b"\n".join(damaged) + b"\n", table
            )
    for number in foreign[:1]:
        damaged = [line.encode() for line in lines]
        damaged[number] = lines[number].encode("latin-1", "replace")
        yield Pollution("encoding_one_row_latin-1.csv", b"\n".join(damaged) + b"\n", table)
    half = len(table.rows) // 2
    first, second = replace(table, rows=table.rows[:half]), replace(table, rows=table.rows[half:])
    glued = _join(_lines(first)) + b"\xef\xbb\xbf" + _join(_lines(second))
    yield Pollution("encoding_bom_before_second_header.csv", glued, table)
    glued = _join(_lines(first)) + b"\xef\xbb\xbf" + _join(_lines(second)[1:])
    yield Pollution("encoding_bom_in_the_middle.csv", glued, table)
    lines = _lines(_plain(table))
    for name, damaged_line in (
        ("in_value", lines[2][:-1] + "\0" + lines[2][-1:]),
        ("before_value", "\0" + lines[2]),
        ("padding", lines[2] + "\0\0\0\0"),
    ):
        yield Pollution(
            f"nul_{name}.csv", _join([*lines[:2], damaged_line, *lines[3:]]), _plain(table)
        )
    yield Pollution("nul_tail.csv", _join(lines) + b"\0" * 512, _plain(table))


def _framed(table: Table) -> Iterator[Pollution]:
    """Preambles, footers, totals, comments, blank lines."""
    lines, width = _lines(table), len(table.columns)
    pad = "," * (width - 1)
    preambles = {
        "title": ["Export of all records"],
        "title_and_blank_line": ["Export of all records", ""],
        "padded_title": [f"Export of all records{pad}"],
        "facts": ["Created by,Eva", "On,2026-01-31", "Rows,12", ""],
        "comment": ["# created 2026-01-31"],
        "comments": ["# created 2026-01-31", "# by Eva"],
        "rule": ["-" * 40],
        "blank_lines": ["", ""],
        "delimiters": [pad],
        "long": [f"line {number}" for number in range(20)],
    }
    for name, above in preambles.items():
        yield Pollution(f"preamble_{name}.csv", _join([*above, *lines]), table)
    numbers = ["9999.99"] * (width - 1)
    footers = {
        "count": [f"{len(table.rows)} rows"],
        "count_in_brackets": [f"({len(table.rows)} rows)"],
        "blank_and_count": ["", f"{len(table.rows)} rows"],
        "end": ["-- end of file --"],
        "eof": [f"EOF{pad}"],
        "padded_note": [f"End of the report{pad}"],
        "padded_comment": [f"#{len(table.rows)}{pad}"],
        "note_behind_a_blank_line": ["", f"Generated by Eva{pad}"],
        "delimiters": [pad, pad],
        "total": [f"Total,{','.join(numbers)}"],
        "total_upper": [f"TOTAL,{','.join(numbers)}"],
        "total_colon": [f"Total:{pad}"],
        "total_german": [f"Summe,{','.join(numbers)}"],
        "grand_total": [f"Grand Total,{','.join(numbers)}"],
        "total_with_count": [f"Total (12 rows),{','.join(numbers)}"],
        "average": [f"Average,{','.join(numbers)}"],
        "total_without_key": [f",{','.join(numbers)}"],
        "total_in_second_column": [f",Total,{','.join(numbers[1:])}"],
        "rule_and_total": [",".join(["-----"] * width), f"Total,{','.join(numbers)}"],
        "double_rule": [",".join(["====="] * width)],
        "signature": ["", "Eva Lind", "Head of data, Example Ltd"],
        "sql": [
            "",
            f"({len(table.rows)} rows affected)",
            "",
            "Completion time: 2026-01-31T10:00:00",
        ],
    }
    for name, below in footers.items():
        yield Pollution(f"footer_{name}.csv", _join([*lines, *below]), table)
    middle = len(lines) // 2
    between = {
        "blank": [""],
        "blanks": ["", "", ""],
        "white": ["   "],
        "tabs": ["\t\t"],
        "delimiters": [pad],
        "comment": ["# to be checked"],
        "slashes": ["// to be checked"],
        "padded_comment": [f"# to be checked{pad}"],
        "subtotal": [f"Subtotal,{','.join(numbers)}"],
        "section": [f"Region north{pad}"],
        "rule": ["-" * 40],
        "page_break": ["\f"],
        "page_header": [lines[0]],
        "page_header_upper": [lines[0].upper()],
        "null_row": [",".join(["NULL"] * width)],
    }
    for name, inside in between.items():
        yield Pollution(
            f"between_{name}.csv", _join([*lines[:middle], *inside, *lines[middle:]]), table
        )
    every = [line for pair in zip(lines, [""] * len(lines), strict=True) for line in pair]
    yield Pollution("between_blank_everywhere.csv", _join(every), table)


def _ragged(table: Table) -> Iterator[Pollution]:
    plain = _plain(table)
    lines, width = _lines(plain), len(plain.columns)
    for number in sorted({1, len(lines) // 2, len(lines) - 1}):
        row = lines[number].split(",")
        for position in range(1, width):
            less = [*row[: position - 1], row[position - 1] + row[position], *row[position + 1 :]]
            more = [*row[:position], "", *row[position:]]
            shifted = [*row[: position - 1], *row[position:], ""]
            for name, values in (("less", less), ("more", more)):
                changed = [*lines]
                changed[number] = ",".join(values)
                yield Pollution(
                    f"ragged_{name}_row{number}_column{position}.csv", _join(changed), plain
                )
            if position == 1:
                changed = [*lines]
                changed[number] = ",".join(shifted)
                yield Pollution(f"ragged_shifted_row{number}.csv", _join(changed), plain)
    yield Pollution("ragged_trailing_everywhere.csv", _join([f"{x}," for x in lines]), plain)
    yield Pollution(
        "ragged_trailing_in_data.csv", _join([lines[0], *(f"{x}," for x in lines[1:])]), plain
    )
    yield Pollution("ragged_leading_everywhere.csv", _join([f",{x}" for x in lines]), plain)
    yield Pollution(
        "ragged_leading_in_data.csv", _join([lines[0], *(f",{x}" for x in lines[1:])]), plain
    )
    joined = [*lines[:2], lines[2] + lines[3], *lines[4:]]
    yield Pollution("ragged_two_rows_joined.csv", _join(joined), plain)
    joined = [*lines[:2], lines[2] + "," + lines[3], *lines[4:]]
    yield Pollution("ragged_two_rows_in_one.csv", _join(joined), plain)
    for position in range(1, width):
        row = lines[2].split(",")
        split = [",".join(row[:position]), ",".join(row[position:])]
        changed = [*lines[:2], *split, *lines[3:]]
        yield Pollution(f"ragged_split_before_column{position + 1}.csv", _join(changed), plain)
    for position in range(1, width):
        row = [*plain.rows[1]]
        if len(row[position]) < 2:
            continue
        text = f"{row[position][:1]}\n{row[position][1:]}"
        twin_row = (*row[:position], text, *row[position + 1 :])
        twin = replace(plain, rows=(plain.rows[0], twin_row, *plain.rows[2:]))
        changed = [*lines[:2], ",".join(twin_row), *lines[3:]]
        yield Pollution(f"multi_line_unquoted_column{position + 1}.csv", _join(changed), twin)
        quoted = [*lines[:2], _write([twin_row]).removesuffix("\n"), *lines[3:]]
        yield Pollution(f"multi_line_quoted_column{position + 1}.csv", _join(quoted), twin)
    cut = _join(lines)
    without_last = replace(plain, rows=plain.rows[:-1])
    for name, end in (("delimiter", cut.rindex(b",", 0, -1)), ("half", len(cut) - len(lines[-1]))):
        twin = plain if name == "delimiter" else without_last
        yield Pollution(f"cut_at_{name}.csv", cut[: end + (name == "delimiter") - 1], twin)


def _several(table: Table) -> Iterator[Pollution]:
    """Several tables in one file; the twin is the first one."""
    lines, width = _lines(table), len(table.columns)
    other = [f"field_{chr(97 + number)}" for number in range(width)]
    rows = [[f"x{number}"] * width for number in range(1, 4)]
    same = [",".join(other), *(",".join(row) for row in rows)]
    less = [",".join(other[:-1]), *(",".join(row[:-1]) for row in rows)]
    more = [",".join([*other, "z"]), *(",".join([*row, "x"]) for row in rows)]
    back = [",".join(reversed(line.split(","))) for line in _lines(_plain(table))]
    twice = _join([*lines, *lines])
    yield Pollution("tables_same_again.csv", twice, replace(table, rows=table.rows * 2))
    yield Pollution(
        "tables_same_again_blank.csv",
        _join([*lines, "", *lines]),
        replace(table, rows=table.rows * 2),
    )
    for name, second in (("less", less), ("more", more), ("same_width", same), ("reversed", back)):
        for joint, between in (("blank", [""]), ("title", ["", "Second table", ""]), ("glued", [])):
            if joint == "glued" and name == "same_width" and not _has_numbers(table):
                continue  # another header cannot be told from a row of texts
            yield Pollution(f"tables_{name}_{joint}.csv", _join([*lines, *between, *second]), table)
    beside = [f"{line},,{line}" for line in lines]
    yield Pollution("tables_side_by_side.csv", _join(beside), table)


def _headed(table: Table) -> Iterator[Pollution]:
    columns, body = [*table.columns], _lines(table)[1:]
    width = len(columns)

    def headed(name: str, header: Sequence[str], twin: Table = table) -> Pollution:
        return Pollution(f"header_{name}.csv", _join([_write([header])[:-1], *body]), twin)

    yield headed("upper", [name.upper() for name in columns])
    yield headed("title", [name.title() for name in columns])
    yield headed("blanks", [f"  {name} " for name in columns])
    yield headed("quoted_blanks", [f'" {name}"'.replace('"', "") for name in columns])
    yield Pollution("header_missing.csv", _join(body), table)
    yield Pollution("header_only.csv", _join(_lines(table)[:1]), replace(table, rows=()))
    yield Pollution("header_last.csv", _join([*body, _lines(table)[0]]), table)
    yield Pollution(
        "header_one_row.csv", _join(_lines(table)[:2]), replace(table, rows=table.rows[:1])
    )
    yield headed("numbers", [str(number) for number in range(width)])
    yield headed("letters", [chr(65 + number) for number in range(width)])
    for position in range(width):
        for name, changed in (
            ("twice", columns[(position + 1) % width]),
            ("twice_other_case", columns[(position + 1) % width].upper()),
            ("empty", ""),
            ("unit", f"{columns[position]} (EUR)"),
            ("renamed", f"{columns[position]}_new"),
            ("misspelt", f"{columns[position][:-1]}"),
            ("foreign", "something else"),
            ("line_break", f"{columns[position]}\nin EUR"),
        ):
            header = [*columns]
            header[position] = changed
            yield headed(f"{name}_column{position + 1}", header)
    yield headed("underscores", [name.replace("_", " ") for name in columns])
    yield headed("hyphens", [name.replace("_", "-") for name in columns])
    yield headed("joined", [name.replace("_", "") for name in columns])
    yield headed("prefixed", [f"t1.{name}" for name in columns])
    yield headed("bracketed", [f"[{name}]" for name in columns])
    yield headed("hash", [f"#{columns[0]}", *columns[1:]])
    yield headed("less", columns[:-1])
    yield headed("more", [*columns, "more"])
    lines = _lines(table)
    for name, second in (
        ("units", ["", *["EUR"] * (width - 1)]),
        ("types", ["text"] * width),
        ("names", [f"{column} name" for column in columns]),
        ("again", columns),
        ("rule", ["---"] * width),
    ):
        yield Pollution(
            f"header_second_line_{name}.csv", _join([lines[0], ",".join(second), *body]), table
        )
    yield Pollution("header_group_line.csv", _join(["group" + "," * (width - 1), *lines]), table)
    order = [*range(1, width), 0]
    permuted = [[row[position] for position in order] for row in _all(table)]
    yield Pollution("header_other_order.csv", _write(permuted).encode(), table)
    extra = [[*row, "extra" if number == 0 else "x"] for number, row in enumerate(_all(table))]
    yield Pollution("header_column_added.csv", _write(extra).encode(), table)
    for position in range(width):
        less = [[*row[:position], *row[position + 1 :]] for row in _all(table)]
        yield Pollution(f"header_column{position + 1}_removed.csv", _write(less).encode(), table)


def _ended(table: Table) -> Iterator[Pollution]:
    plain = _plain(table)
    lines = _lines(plain)
    for name, newline in (
        *(("crlf", "\r\n"), ("cr", "\r"), ("crcrlf", "\r\r\n"), ("lfcr", "\n\r")),
        *(
            ("nel", "\x85"),
            ("line_separator", "\u2028"),
            ("vertical_tab", "\v"),
            ("backslash_n", "\\n"),
        ),
        *(("two", "\n\n"), ("semicolon", ";\n"), ("blank", " \n"), ("comma", ",\n")),
    ):
        yield Pollution(f"ends_{name}.csv", _join(lines, newline), plain)
    yield Pollution("ends_open.csv", _join(lines)[:-1], plain)
    yield Pollution("ends_twice.csv", _join(lines) + b"\n", plain)
    yield Pollution("ends_with_blank_lines.csv", _join(lines) + b"\n \n\r\n", plain)
    yield Pollution("ends_with_control_z.csv", _join(lines) + b"\x1a", plain)
    mixed = "".join(x + ("\r\n" if n % 2 else "\n") for n, x in enumerate(lines))
    yield Pollution("ends_mixed.csv", mixed.encode(), plain)
    for at in sorted({0, 2, len(lines) - 2}):
        text = "".join(x + ("\r" if n == at else "\n") for n, x in enumerate(lines))
        yield Pollution(f"ends_cr_behind_line{at + 1}.csv", text.encode(), plain)
        text = "".join(x + ("\n" if n == at else "\r") for n, x in enumerate(lines))
        yield Pollution(f"ends_lf_behind_line{at + 1}.csv", text.encode(), plain)
        text = "".join(x + ("" if n == at else "\n") for n, x in enumerate(lines))
        yield Pollution(f"ends_missing_behind_line{at + 1}.csv", text.encode(), plain)
    yield Pollution("ends_crlf_in_values.csv", _write(_all(table), newline="\r\n").encode(), table)


def _typed(table: Table) -> Iterator[Pollution]:
    """Numbers, dates and words for nothing, as people and spreadsheets write them."""

    def changed(name: str, change: Callable[[str], str], delimiter: str = ",") -> Pollution | None:
        rows = [[row[0], *(change(value) for value in row[1:])] for row in table.rows]
        if rows == [[*row] for row in table.rows]:
            return None
        text = _write([table.columns, *rows], delimiter)
        return Pollution(f"values_{name}.csv", text.encode(), table)

    def number(change: Callable[[str], str]) -> Callable[[str], str]:
        return lambda value: change(value) if re.fullmatch(r"-?\d+\.\d+", value) else value

    def whole(change: Callable[[str], str]) -> Callable[[str], str]:
        return lambda value: change(value) if re.fullmatch(r"-?[1-9]\d{3,}", value) else value

    def day(template: str) -> Callable[[str], str]:
        return lambda value: (
            template.format(*value.split("-"))
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)
            else value
        )

    made = [
        changed("decimal_comma", number(lambda value: value.replace(".", ","))),
        changed("decimal_comma_semicolon", number(lambda value: value.replace(".", ",")), ";"),
        changed("thousands_comma", number(lambda value: f"{float(value):,.2f}")),
        changed("thousands_blank", number(lambda value: f"{float(value):,.2f}".replace(",", " "))),
        changed(
            "thousands_point",
            number(lambda value: f"{float(value):,.2f}".translate(str.maketrans(",.", ".,"))),
            ";",
        ),
        changed(
            "thousands_point_without_cents",
            number(
                lambda value: f"{float(value):,.2f}".translate(str.maketrans(",.", ".,")).replace(
                    ",00", ""
                )
            ),
            ";",
        ),
        changed(
            "thousands_apostrophe", number(lambda value: f"{float(value):,.2f}".replace(",", "'"))
        ),
        changed("thousands_underscore", number(lambda value: f"{float(value):_.2f}")),
        changed("currency", number(lambda value: f"€{value}")),
        changed("currency_behind", number(lambda value: f"{value} EUR")),
        changed("percent", number(lambda value: f"{value}%")),
        changed("accounting", number(lambda value: f"({value})")),
        changed("minus_behind", number(lambda value: f"{value}-")),
        changed("scientific", number(lambda value: f"{float(value):.2E}")),
        changed("whole_thousands_point", whole(lambda value: f"{int(value):,}".replace(",", "."))),
        changed("whole_thousands_comma", whole(lambda value: f"{int(value):,}")),
        changed("whole_scientific", whole(lambda value: f"{int(value):.1E}")),
        changed("date_german", day("{2}.{1}.{0}")),
        changed("date_american", day("{1}/{2}/{0}")),
        changed("date_slashes", day("{0}/{1}/{2}")),
        changed("date_compact", day("{0}{1}{2}")),
        changed("date_serial", day("4{1}{2}")),
        changed("null", lambda value: value or "NULL"),
        changed("mysql_null", lambda value: value or "\\N"),
        changed("padded", lambda value: f"{value}   "),
        changed("padded_left", lambda value: f"   {value}"),
    ]
    yield from (pollution for pollution in made if pollution is not None)
    plain = _plain(table)
    header = ",".join(plain.columns)
    formulas = "".join(",".join(f'="{value}"' for value in row) + "\n" for row in plain.rows)
    yield Pollution("values_formulas.csv", f"{header}\n{formulas}".encode(), plain)
    for at in (1, 2, len(plain.rows)):
        lines = _lines(plain)
        row = lines[at].split(",")
        lines[at] = ",".join([*row[:-1], f'="{row[-1]}"'])
        yield Pollution(f"values_formula_row{at}.csv", _join(lines), plain)
    for word in ("NULL", "null", "None", "N/A", "#N/A", "#REF!", "nan", "undefined", "\\N", "-"):
        lines = _lines(plain)
        twin = replace(plain, rows=(*plain.rows[:1], *plain.rows[2:]))
        row = lines[2].split(",")
        lines[2] = ",".join([word, *row[1:]])
        name = re.sub(r"\W", "_", word)
        yield Pollution(f"values_key_{name}.csv", _join(lines), twin)


def _no_csv(table: Table) -> Iterator[Pollution]:
    text = _write(_all(table)).encode()
    records = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    yield Pollution("file_empty.csv", b"", table)
    yield Pollution("file_white.csv", b" \n\n \n", table)
    yield Pollution("file_zip.csv", b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(256)), table)
    yield Pollution("file_gzip.csv", gzip.compress(text, mtime=0), table)
    yield Pollution("file_plain.csv.gz", text, table)
    yield Pollution("file_good.csv.gz", gzip.compress(text, mtime=0), table)
    yield Pollution("file_cut.csv.gz", gzip.compress(text, mtime=0)[:-12], table)
    yield Pollution(
        "file_html.csv", b"<html><body><table><tr><td>a</td></tr></table></html>\n", table
    )
    yield Pollution("file_error_page.csv", b"HTTP/1.1 502 Bad Gateway\n\nTry again later\n", table)
    yield Pollution("file_json.csv", json.dumps(records).encode(), table)
    yield Pollution("file_array.json", json.dumps(records).encode(), table)
    yield Pollution("file_pretty_array.json", json.dumps(records, indent=2).encode(), table)
    yield Pollution("file_cut_array.json", json.dumps(records, indent=2).encode()[:-20], table)
    yield Pollution("file_trailing_comma.json", json.dumps(records).encode()[:-1] + b",]", table)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    yield Pollution("file_lines.jsonl", lines.encode(), table)
    yield Pollution("file_array_in_lines.jsonl", json.dumps(records).encode(), table)
    yield Pollution("file_csv.jsonl", text, table)
    yield Pollution("file_csv.json", text, table)
    yield Pollution("file_nan.jsonl", (lines + '{"x": NaN}\n').encode(), table)
    yield Pollution("file_trailing_comma.jsonl", lines.replace("}\n", ",}\n").encode(), table)
    yield Pollution("file_parquet.csv", b"PAR1\x15\x04\x15" + bytes(200) + b"PAR1", table)


def _has_numbers(table: Table) -> bool:
    return (
        sum(
            all(re.fullmatch(r"[-\d.]+", row[position]) for row in table.rows)
            for position in range(len(table.columns))
        )
        > 1
    )
