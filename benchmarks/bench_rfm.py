"""RFM segments of foreign orders, from the models that make them for everybody.

    make bench-rfm ORDERS=orders.csv MAP="customer_id=user ordered_at=date total_amount=revenue"
    make bench-rfm ORDERS=... MAP=... AS_OF=2006-12-31 RULES=ranges.csv SEGMENT=Champions

MAP names the file's columns for ours of the feed shop/orders; customer_id, ordered_at and
total_amount are needed, order_id, currency_code, status and refunded_amount may be given. Without
order_id every line is an order. AS_OF is the day of the last order unless given; later orders do
not count. RULES is a CSV with the columns of seeds/reference/rfm_segments.csv and takes its place.
Prints customers, orders and revenue of each segment as a Markdown table. Exit code 2 says that
something cannot be used, and what.
"""

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from benchmarks.mapped import (
    MappedFile,
    MappedFileError,
    build_marts,
    opened,
    parse_map,
    write_feed,
)
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal
from orchestration.transform.dbt import TransformError

SCORES = ("recency", "frequency", "monetary")
BOUNDS = tuple(f"{end}_{score}" for score in SCORES for end in ("min", "max"))
COLUMNS = ("priority", "segment", *BOUNDS)
NEEDED = ("customer_id", "ordered_at", "total_amount")
SHIPPED = PROJECT_ROOT / "seeds" / "reference" / "rfm_segments.csv"


class RangesError(ValueError):
    """The rules cannot be used; one sentence with file, line, column and value."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 0, or 2 for what cannot be used."""
    options = _arguments(arguments)
    try:
        run(options)
    except (MappedFileError, RangesError, TransformError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench-rfm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--orders", required=True, help="CSV or Parquet of orders")
    parser.add_argument("--map", required=True, help="ours=theirs ours=theirs ...")
    parser.add_argument("--as-of", help="YYYY-MM-DD; default: the day of the last order")
    parser.add_argument("--rules", type=Path, help="CSV with the columns of rfm_segments.csv")
    parser.add_argument("--segment", help="print this segment only")
    parser.add_argument("--time-format", help="of ordered_at, for example %%d/%%m/%%Y")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Build the segments in a folder that is thrown away, and print them.

    Raises MappedFileError, RangesError or TransformError.
    """
    if not options.orders:
        raise MappedFileError("Say with ORDERS=file.csv where the orders are.")
    mapping = parse_map(options.map)
    for column in NEEDED:
        if column not in mapping:
            raise MappedFileError(
                f"The map does not fill {column!r}; it needs {', '.join(NEEDED)}, as in"
                " MAP='customer_id=user ordered_at=date total_amount=revenue'."
            )
    segments = read_ranges(options.rules or SHIPPED)
    if options.segment and options.segment not in (*segments, "Other"):
        raise RangesError(
            f"No rule makes the segment {options.segment!r}; there are {', '.join(segments)} and"
            " Other."
        )
    orders = MappedFile(
        "shop/orders", Path(options.orders), mapping, time_format=options.time_format
    )
    with tempfile.TemporaryDirectory(prefix="rfm-") as folder:
        as_of = _day(options.as_of) if options.as_of else last_day(orders, Path(folder))
        settings = build_marts(
            [orders],
            Path(folder) / "built",
            as_of=as_of,
            models=["customer_segments"],
            seeds={"rfm_segments": options.rules} if options.rules else None,
        )
        rows = sizes(settings, segments)
    ranges = (options.rules or SHIPPED).name
    print(f"RFM segments of {orders.path.name} as of {as_of}, ranges of {ranges}")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores")
    print("\n| segment | customers | orders | revenue |\n|---|---:|---:|---:|")
    for segment, *numbers in rows:
        if options.segment in (None, "", segment):
            print(f"| {segment} | {' | '.join(numbers)} |")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise MappedFileError(f"AS_OF={text!r} is no day; write it as 2006-12-31.") from None


def last_day(orders: MappedFile, folder: Path) -> date:
    """Return the day (UTC) of the last order. Raises MappedFileError when no order is dated."""
    write_feed(orders, folder / "read")
    files = folder / "read" / orders.feed / "*.parquet"
    with duckdb.connect() as connection:
        row = connection.execute(
            f"select max(left(ordered_at, 10)) from read_parquet({literal(files)})"
        ).fetchone()
    if row is None or row[0] is None:
        raise MappedFileError(f"{orders.path} has no order with a time.")
    return date.fromisoformat(row[0])


def sizes(settings: Settings, segments: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Segment, customers, orders and revenue as text: rules in their order, then Other and all."""
    with opened(settings) as connection:
        found = connection.execute(
            "select rfm_segment, count(*), sum(purchase_count), sum(reporting_net_amount)"
            " from release_candidate.marts.customer_segments where rfm_segment is not null"
            " group by 1"
        ).fetchall()
    by_segment = {segment: numbers for segment, *numbers in found}
    listed = [*segments, *(["Other"] if "Other" in by_segment else [])]
    rows = [(segment, *by_segment.get(segment, (0, 0, 0))) for segment in listed]
    rows.append(("all", *(sum(row[place] for row in rows) for place in (1, 2, 3))))
    return [(name, f"{n:,}", f"{orders:,}", f"{money:,.2f}") for name, n, orders, money in rows]


def read_ranges(path: Path) -> list[str]:
    """Return the segments of a file of ranges in the order in which they are asked.

    Raises RangesError for a file that cannot take the place of rfm_segments.csv.
    """
    priorities: dict[int, str] = {}
    for line, row in _lines(path):
        place = f"{path}, line {line}"
        numbers = {name: _number(place, name, row[name]) for name in ("priority", *BOUNDS)}
        if not row["segment"]:
            raise RangesError(f"{place}, column segment: it is blank; name the segment.")
        for name in BOUNDS:
            if not 1 <= numbers[name] <= 5:
                raise RangesError(
                    f"{place}, column {name}: {numbers[name]} is no score from 1 to 5."
                )
        for score in SCORES:
            if numbers[f"min_{score}"] > numbers[f"max_{score}"]:
                raise RangesError(
                    f"{place}, column min_{score}: {numbers[f'min_{score}']} is above max_{score}."
                )
        if numbers["priority"] in priorities:
            raise RangesError(
                f"{place}, column priority: {numbers['priority']} is taken; give each its own."
            )
        priorities[numbers["priority"]] = row["segment"]
    if not priorities:
        raise RangesError(f"{path} has no rule.")
    return list(dict.fromkeys(priorities[place] for place in sorted(priorities)))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            extra = [name for name in reader.fieldnames or () if name not in COLUMNS]
            if missing or extra:
                raise RangesError(
                    f"{path}, line 1: {'no' if missing else 'unknown'} column"
                    f" {(missing or extra)[0]!r}; the columns are {', '.join(COLUMNS)}."
                )
            for row in reader:
                if None in row or None in row.values():
                    raise RangesError(f"{path}, line {reader.line_num}: not {len(COLUMNS)} cells.")
                yield reader.line_num, {name: cell.strip() for name, cell in row.items()}
    except OSError as error:
        raise RangesError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RangesError(f"{path} is not UTF-8; save it so.") from error
    except csv.Error as error:
        raise RangesError(f"{path} is no CSV: {error}.") from error


def _number(place: str, name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RangesError(f"{place}, column {name}: {text!r} is no whole number.") from None


if __name__ == "__main__":
    sys.exit(main())
