"""Bad files against our real landing: loaded exactly, refused or rejected with a reason, or wrong.

A folder of polluted files is compared with a folder of their clean twins (the same file stem). The
contract of a file is an ad-hoc feed made from its twin: its columns, their types when all values
fit one, and as key the first column that names each row. All drift is refused but added columns.
A JSON suite in the manner of JSONTestSuite needs no twins: the first letter of a name says what
must happen (y: accepted, n: not accepted, i: either).

    exact      every row of the twin has landed as it is there, and no other
    refused    nothing landed, and a sentence says why
    rejected   what landed is in the twin, and each row that did not is a reject with its reason
    unsettled  nothing landed: taken for a file that is still being written
    unlike     what landed is in the file to the letter, and the twin says what is not in the file
    wrong      a row landed that is not in the twin, or one is missing without a word
    crashed    the landing raised an error

A text that differs from the twin's by blanks around it counts as the same: staging trims texts.
"""

import argparse
import csv
import io
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import duckdb

from benchmarks.pollution import EXAMPLE, Table, parse_table, pollutions
from orchestration.landing import Feed, LandingReport, land
from orchestration.landing.column_types import fits_sql
from orchestration.landing.feed_policies import Action, FeedPolicy
from orchestration.landing.feeds import Column, ColumnType, Pii
from orchestration.landing.listing import SETTLED_SECONDS
from orchestration.sql import quoted

STRICT = FeedPolicy(
    on_added_column=Action.WARN,
    on_removed_column=Action.STOP,
    on_renamed_column=Action.STOP,
    on_retyped_column=Action.STOP,
)
"""A twin names every column that must be there, so none may go, be renamed or change its type."""

_SOURCE, _THINGS = "bench", "files"
_LAYOUT = "0-layout.csv"
_KNOWN_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".csv.gz", ".jsonl.gz")
_LANDED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Outcome(StrEnum):
    """What became of one bad file."""

    EXACT = "exact"
    REFUSED = "refused"
    REJECTED = "rejected"
    UNSETTLED = "unsettled"
    UNLIKE = "unlike"
    WRONG = "wrong"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Verdict:
    """One bad file: what became of it, and why, or what is wrong."""

    name: str
    outcome: Outcome
    detail: str = ""


class Bench:
    """A landing folder and a DuckDB in memory, for many small loads.

    Close it, or use it in a `with`.
    """

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 2})
        self.connection.execute("set TimeZone = 'UTC'")
        self._feeds: dict[Table, Feed] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="bench-files-"))

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        shutil.rmtree(self.folder)

    def judge(self, name: str, content: bytes, twin: Table) -> Verdict:
        """Land one bad file and compare what landed with its clean twin."""
        try:
            feed = self.feed_of(twin)
            report, landed = self.land(feed, name, content)
        except Exception as error:  # a crash is what is looked for
            return Verdict(name, Outcome.CRASHED, f"{type(error).__name__}: {error}")
        (file,) = [file for file in report.files if not file.path.endswith(_LAYOUT)]
        if file.message and not landed:
            is_refused = file.outcome == "refused"
            return Verdict(name, Outcome.REFUSED if is_refused else Outcome.UNSETTLED, file.message)
        expected = Counter(_trimmed(row) for row in twin.rows)
        found = Counter(_trimmed(row) for row in landed)
        if foreign := [row for row in found if row not in expected]:
            is_unlike = all(_is_unlike(row, twin, content) for row in foreign)
            outcome = Outcome.UNLIKE if is_unlike else Outcome.WRONG
            return Verdict(name, outcome, _difference(foreign[0], twin))
        return self._judge_missing(name, twin, file.loaded_count, set(found) == set(expected))

    def _judge_missing(self, name: str, twin: Table, loaded_count: int, is_same: bool) -> Verdict:
        """Judge a file of which only rows of the twin have landed, by what is said of the others.

        Equal rows are stored once and counted as repeated.
        """
        rejects = self.connection.execute(
            "select line_number, line_text, reason from raw.rejects order by 1"
        ).fetchall()
        expected_count = len(twin.rows)
        told = sum(_row_count(text, len(twin.columns)) for _, text, _ in rejects)
        if not loaded_count and rejects:
            told = expected_count
        if not rejects:
            if is_same and loaded_count == expected_count:
                return Verdict(name, Outcome.EXACT)
            told_nothing = f"{loaded_count} of {expected_count} rows landed, without a word"
            return Verdict(name, Outcome.WRONG, told_nothing)
        if not 0 <= expected_count - loaded_count <= told:
            detail = f"{loaded_count} of {expected_count} rows landed, {told} rejected"
            return Verdict(name, Outcome.WRONG, detail)
        line, _, reason = rejects[0]
        return Verdict(name, Outcome.REJECTED, f"{len(rejects)} rejects, line {line}: {reason}")

    def land(
        self, feed: Feed, name: str, content: bytes
    ) -> tuple[LandingReport, list[tuple[str | None, ...]]]:
        """Land a file as the only data of a feed; returns the rows of raw, keys as the feed's."""
        folder = self.folder / _SOURCE / _THINGS
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.connection.execute("drop schema if exists raw cascade")
        # What the feed had before: a file with all columns of the twin, so that drift is seen.
        layout = io.StringIO()
        csv.writer(layout).writerow([column.name for column in feed.columns])
        if not name.lower().endswith(_KNOWN_SUFFIXES):
            name += ".csv"
        settled = time.time() - 2 * SETTLED_SECONDS
        for file, text in ((_LAYOUT, layout.getvalue().encode()), (f"1-{name}", content)):
            (folder / file).write_bytes(text)
            os.utime(folder / file, (settled, settled))
        report = land(
            self.connection,
            self.folder,
            load_id="bench",
            loaded_at=_LANDED_AT,
            feeds=[feed],
            policies={feed.name: STRICT},
        )
        names = ", ".join(quoted(column.name) for column in feed.columns)
        return report, self.connection.execute(
            f"select {names} from raw.{quoted(feed.table)} order by rowid"
        ).fetchall()

    def feed_of(self, twin: Table) -> Feed:
        """Make the feed that a clean table would be delivered to."""
        if twin not in self._feeds:
            self._feeds[twin] = self._feed_of(twin)
        return self._feeds[twin]

    def _feed_of(self, twin: Table) -> Feed:
        names = [name.strip().lower() for name in twin.columns] or ["value"]
        values = [[row[position] for row in twin.rows] for position in range(len(twin.columns))]
        columns = tuple(
            Column(
                name,
                "",
                self._type(values[position] if values else []),
                pii=Pii.NONE,
                purposes=("operations",),
            )
            for position, name in enumerate(names)
        )
        filled = [
            name for name, column in zip(names, values, strict=False) if column and all(column)
        ]
        named = [
            name
            for name, column in zip(names, values, strict=False)
            if name in filled and len(set(column)) == len(column)
        ]
        key = (named or filled or names)[:1] if named or filled or not twin.rows else []
        return Feed(_SOURCE, _THINGS, "", tuple(key), None, columns, owner="nobody")

    def _type(self, values: Sequence[str]) -> ColumnType:
        values = [value for value in values if value]
        if not values:
            return ColumnType.TEXT
        for type_ in (
            *(ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.TIMESTAMP),
        ):
            row = self.connection.execute(
                f"select bool_and({fits_sql(type_, 'value')} is true)"
                " from (select unnest($values) as value)",
                {"values": values},
            ).fetchone()
            if row and row[0]:
                return type_
        return ColumnType.TEXT


# --- folders -----------------------------------------------------------------------------------


def judge_folder(folder: Path, clean: Path) -> Iterator[Verdict]:
    """Judge every file of a folder by its twin in another, both searched with their subfolders.

    Raises SystemExit when a file has no twin.
    """
    twins = {_stem(path): path for path in sorted(clean.rglob("*")) if path.is_file()}
    with Bench() as bench:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            twin = twins.get(_stem(path))
            if twin is None:
                raise SystemExit(f"{path} has no clean twin called {_stem(path)}.* in {clean}")
            name = str(path.relative_to(folder))
            verdict = bench.judge(path.name, path.read_bytes(), parse_table(twin))
            yield Verdict(name, verdict.outcome, verdict.detail)


def judge_pollutions(table: Table) -> Iterator[Verdict]:
    """Judge what the generator makes of a clean table."""
    with Bench() as bench:
        for pollution in pollutions(table):
            yield bench.judge(pollution.name, pollution.content, pollution.twin)


def judge_json_suite(folder: Path) -> Iterator[Verdict]:
    """Judge files that hold one JSON value each: y_ must be accepted, n_ must not, i_ may.

    A value is laid before the landing as the value of a column of one record, in a `.json` file:
    `{"id": "<name>", "value": <the bytes of the file>}`. So whatever is JSON is a record, and
    nothing else is. Then each file is landed as it is, where a value that is no object is no
    record; what is JSON must not be called unreadable there, and what is none must not land.
    """
    columns = tuple(
        Column(name, "", pii=Pii.NONE, purposes=("operations",)) for name in ("id", "value")
    )
    feed = Feed(_SOURCE, _THINGS, "", ("id",), None, columns, owner="nobody")
    with Bench() as bench:
        for path in sorted(folder.glob("*.json")):
            verdict = _judge_json(bench, feed, path)
            if path.name.startswith("i_") and verdict.outcome is Outcome.WRONG:
                verdict = Verdict(path.name, Outcome.EXACT, "free")
            yield verdict


def _judge_json(bench: Bench, feed: Feed, path: Path) -> Verdict:
    content, name = path.read_bytes(), path.name
    envelope = b'{"id": ' + json.dumps(name).encode() + b', "value":\n' + content + b"\n}\n"
    try:
        report, landed = bench.land(feed, "value.json", envelope)
        told = [*report.refused, *_reasons(bench)]
        alone, alone_landed = bench.land(feed, "alone.json", content)
        alone_told = [*alone.refused, *_reasons(bench), *alone.warnings]
    except Exception as error:  # a crash is what is looked for
        return Verdict(name, Outcome.CRASHED, f"{type(error).__name__}: {error}")
    problem = ""
    if name.startswith("n_") and (landed or alone_landed):
        problem = f"landed as {[*landed, *alone_landed][0]!r}"
    elif name.startswith("y_") and not landed:
        problem = f"not accepted: {told[0] if told else 'no word'}"
    elif landed and _is_python_json(content) and not _says_same(landed[0][1], content):
        problem = f"landed as {landed[0][1]!r}"
    elif (not landed and not told) or (not alone_landed and not alone_told):
        problem = "nothing landed without a word"
    elif name.startswith("y_") and (unreadable := [t for t in alone_told if _is_unreadable(t)]):
        problem = f"without an envelope: {unreadable[0]}"
    if problem:
        return Verdict(name, Outcome.WRONG, problem)
    if landed:
        return Verdict(name, Outcome.EXACT)
    return Verdict(name, Outcome.REFUSED if report.refused else Outcome.REJECTED, told[0])


def _is_unreadable(sentence: str) -> bool:
    return "it is no JSON" in sentence or "not valid JSON" in sentence


def _reasons(bench: Bench) -> list[str]:
    return [
        reason
        for (reason,) in bench.connection.execute("select reason from raw.rejects").fetchall()
    ]


def _is_python_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _says_same(landed: str | None, content: bytes) -> bool:
    """Compare a landed text with the JSON value that it came from; empty and null are nothing."""
    value = json.loads(content)
    if isinstance(value, str) or value is None:
        return (landed or "") == (value or "")
    return landed is not None and bool(json.loads(landed) == value)


def _row_count(text: str, width: int) -> int:
    """Return how many rows of the twin a rejected line may hold."""
    delimiters = max(text.count(delimiter) for delimiter in (",", ";", "\t", "|"))
    return max(1 + text.count("\n") + text.count("\r"), delimiters // max(width - 1, 1))


def _trimmed(row: Sequence[str | None]) -> tuple[str, ...]:
    return tuple((value or "").strip(" ") for value in row)


def _nearest(row: tuple[str, ...], twin: Table) -> tuple[str, ...]:
    return max(
        (_trimmed(other) for other in twin.rows),
        key=lambda other: sum(a == b for a, b in zip(row, other, strict=False)),
    )


def _is_unlike(row: tuple[str, ...], twin: Table, content: bytes) -> bool:
    """Tell whether a twin contradicts its own file, so that no reader could agree with it.

    Wherever the row differs, ours stands in the file, and the twin's does not though it is written
    in the same way: as many ASCII digits and letters in the same places. No format, encoding or
    quotation changes 1234567890 into 2095257564.
    """
    if not twin.rows:
        return False
    text = content.decode("utf-8", "replace")
    letters = re.sub(r"[\W_]", "", text)
    for ours, theirs in zip(row, _nearest(row, twin), strict=False):
        if ours == theirs:
            continue
        is_alike = theirs.isascii() and _shape(theirs) == _shape(ours)
        if not is_alike or ours not in text or re.sub(r"[\W_]", "", theirs) in letters:
            return False
    return True


def _shape(text: str) -> str:
    return re.sub(r"[0-9]", "0", re.sub(r"[A-Za-z]", "a", text))


def _difference(row: tuple[str, ...], twin: Table) -> str:
    """Say what is wrong about a landed row, beside the row of the twin that is most like it."""
    if not twin.rows:
        return f"landed {row!r}, the twin has no rows"
    nearest = _nearest(row, twin)
    parts = [
        f"{name}: landed {ours!r}, the twin says {theirs!r}"
        for name, ours, theirs in zip(twin.columns, row, nearest, strict=False)
        if ours != theirs
    ]
    return "; ".join(parts)[:300]


def _stem(path: Path) -> str:
    return path.name.split(".")[0] if path.name.endswith(".gz") else path.stem


def main() -> int:
    """Print what became of each file; exit code 1 when one is wrong or crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="polluted files, or a JSON suite")
    parser.add_argument("--clean", type=Path, help="their clean twins, CSV or JSON")
    parser.add_argument(
        "--pollute",
        type=Path,
        nargs="?",
        const=Path(),
        help="make polluted variants of a clean CSV; of a small one of its own when none is named",
    )
    parser.add_argument("--all", action="store_true", help="also list what was exact")
    options = parser.parse_args()
    verdicts: Iterator[Verdict]
    if options.pollute is not None:
        table = EXAMPLE if options.pollute == Path() else parse_table(options.pollute)
        verdicts = judge_pollutions(table)
    elif options.folder and options.clean:
        verdicts = judge_folder(options.folder, options.clean)
    elif options.folder and _is_json_suite(options.folder):
        verdicts = judge_json_suite(options.folder)
    else:
        parser.error(
            "give --folder and --clean, --folder of files y_*.json, n_*.json, i_*.json, or"
            " --pollute with a clean CSV"
        )
    return _print(verdicts, options.all, sys.stdout.write)


_TO_LIST = (Outcome.WRONG, Outcome.CRASHED, Outcome.UNLIKE, Outcome.UNSETTLED)


def _is_json_suite(folder: Path) -> bool:
    names = [path.name for path in folder.glob("*.json")]
    return bool(names) and all(name[:2] in ("y_", "n_", "i_") for name in names)


def _print(verdicts: Iterator[Verdict], show_all: bool, write: Callable[[str], object]) -> int:
    counts: dict[str, Counter[Outcome]] = {}
    for verdict in verdicts:
        group = verdict.name[:2] if verdict.name[:2] in ("y_", "n_", "i_") else "files"
        counts.setdefault(group, Counter())[verdict.outcome] += 1
        if show_all or verdict.outcome in _TO_LIST:
            write(f"{verdict.outcome:10}{verdict.name}  {verdict.detail}\n")
    for group, count in sorted(counts.items()):
        numbers = "  ".join(f"{outcome} {count[outcome]}" for outcome in Outcome)
        write(f"{group:6}{sum(count.values()):6}  {numbers}\n")
    bad = sum(count[Outcome.WRONG] + count[Outcome.CRASHED] for count in counts.values())
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
