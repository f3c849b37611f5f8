"""What the benchmarks of sessions and of the funnel share: a file of events in the real models."""

import argparse
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from benchmarks.mapped import MappedFile, MappedFileError, build_marts, opened, parse_map
from orchestration.settings import PROJECT_ROOT

# Later than any event that a tracker has written.
NO_END = date(9998, 12, 31)


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows which file is read, how, and up to which day."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=Path, help="CSV, CSV with gzip, or Parquet")
    parser.add_argument("--map", default="", help="ours=theirs ours=theirs ...")
    parser.add_argument("--time-format", help="of occurred_at, when it is not found: %%d/%%m/%%Y")
    parser.add_argument("--as-of", help="last day that counts, YYYY-MM-DD in UTC")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    return parser


@contextmanager
def built(
    options: argparse.Namespace, models: Sequence[str], variables: Mapping[str, object]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Put the file through landing, staging, identity and these marts; open what came out.

    options: of `parser_of`. variables: of dbt. Raises MappedFileError for what cannot be used.
    """
    if options.events is None:
        raise MappedFileError("Say with EVENTS which file holds the events.")
    mapping = parse_map(options.map)
    if not {"anonymous_id", "user_id"} & mapping.keys():
        raise MappedFileError(
            f"The map {options.map!r} does not say whose an event is: fill anonymous_id (a visitor)"
            " or user_id (an account)."
        )
    for needed in ("occurred_at", "event_type"):
        if needed not in mapping:
            raise MappedFileError(f"The map {options.map!r} does not fill {needed}.")
    as_of = calendar_day(options.as_of) if options.as_of else NO_END
    events = MappedFile("web/events", options.events, mapping, time_format=options.time_format)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="events-", dir=options.out) as folder:
        settings = build_marts(
            [events], Path(folder), as_of=as_of, models=models, variables=variables
        )
        with opened(settings) as connection:
            yield connection


def calendar_day(text: str) -> date:
    """Read YYYY-MM-DD. Raises MappedFileError for anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise MappedFileError(f"AS_OF is {text!r}, which is no day; say YYYY-MM-DD.") from error


def show_where(options: argparse.Namespace) -> None:
    """Print the file, the day, cores and versions."""
    print(f"\n{options.events}")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, DuckDB {duckdb.__version__},"
        f" Python {platform.python_version()}\n"
    )
