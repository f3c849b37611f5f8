"""The whole run beside the same work as one bare DuckDB script.

    make bench-run SIZE=1000000

Generates a landing of that many records of people (once per size), then in one sitting:
1. the whole run, in a process of its own: landing, dbt, gates, release;
2. the empty second run: the fixed overhead;
3. the bare script, in a process of its own: plain readers into the raw tables, then the SQL that
   dbt compiled for the run, in its order, by one DuckDB connection with the same settings. No
   checks, no rejects, no gates, no release: the least this work can cost on this machine.
Prints wall and CPU seconds and the peak memory of every stage, and the ratio of 1 to 3.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.accuracy import pair_accuracy
from benchmarks.bare import connect_bare, make_bare
from benchmarks.landings import generate_records
from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
)
from orchestration.landing import FEEDS, Feed
from orchestration.operations.ledger import RunRecord
from orchestration.settings import PROJECT_ROOT, Settings

SAMPLE_AS_OF = date(2026, 6, 30)


def main() -> None:
    """Run the three, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records of people")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    landing = options.out / f"landing-{options.records}"
    settings = Settings(
        landing=landing, home=options.out / f"home-{options.records}", as_of=SAMPLE_AS_OF
    )
    if options.bare:
        print(json.dumps(list(run_bare(settings, options.out / "bare"))))
        return
    generate_records(options.records, options.out)
    shutil.rmtree(settings.home, ignore_errors=True)
    first = run_warehouse(settings)
    second = run_warehouse(settings)
    bare = json.loads(
        subprocess.run(
            [sys.executable, __file__, "--bare", *sys.argv[1:]],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    show(options.records, first, second, bare)
    truth = options.out / f"truth-{options.records}" / "truth.csv"
    precision, recall = pair_accuracy(settings.current / "warehouse.duckdb", truth)
    print(f"pairs of records: precision {precision:.3f}, recall {recall:.3f}")


def run_warehouse(settings: Settings) -> dict[str, Any]:
    """`warehouse run` as a user starts it; wall seconds, CPU seconds and its own record."""
    environment = os.environ | {
        "WAREHOUSE_LANDING": str(settings.landing),
        "WAREHOUSE_HOME": str(settings.home),
        "WAREHOUSE_AS_OF": settings.as_of.isoformat(),
    }
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "orchestration", "run"], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.perf_counter() - started
    newest = max((settings.home / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime)
    return {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "record": RunRecord.open(settings, newest.stem),
    }


def run_bare(settings: Settings, folder: Path) -> Iterator[dict[str, Any]]:
    """The same SQL without dbt, Dagster and GX; yields name, seconds, CPU seconds, peak MiB."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    connection = connect_bare(settings, folder)
    steps: dict[str, Callable[[], object]] = {
        "landing": lambda: bare_landing(connection, settings),
        "models": lambda: list(make_bare(connection, settings)),
        "checkpoint": lambda: connection.execute(
            f"checkpoint; checkpoint {settings.candidate_database.stem}"
        ),
    }
    for name, step in steps.items():
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        yield {
            "name": name,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


def bare_landing(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """One plain reader per feed; the row hash stays, because staging orders by it."""
    connection.execute("create schema raw")
    load_released_ids(connection, None)
    load_steward_decisions(connection, settings.decisions)
    load_rectifications(connection, settings.rectifications)
    for feed in FEEDS:
        columns = ", ".join(column.name for column in feed.columns)
        row_text = ", ".join(f"coalesce({column.name}, '')" for column in feed.columns)
        connection.execute(
            f"create table raw.{feed.table} as select {columns}, 'bare' as _load_id, "
            "timestamp '2026-06-30' as _loaded_at, filename as _source_file, "
            f"md5_number(concat_ws(chr(31), {row_text})) as _row_hash "
            f"from {reader(settings.landing, feed)}"
        )


def reader(landing: Path, feed: Feed) -> str:
    """DuckDB's own reader for the files of a feed, all columns as text."""
    folder = landing / feed.name
    suffix = next(path.suffix for path in sorted(folder.iterdir()))
    struct = ", ".join(f"'{column.name}': 'varchar'" for column in feed.columns)
    if suffix == ".jsonl":
        return (
            f"read_json('{folder}/*.jsonl', format = 'newline_delimited', "
            f"columns = {{{struct}}}, filename = true)"
        )
    if suffix == ".parquet":
        return f"read_parquet('{folder}/*.parquet', filename = true)"
    return (
        f"read_csv('{folder}/*.csv', header = true, delim = ',', quote = '\"', escape = '\"', "
        f"columns = {{{struct}}}, auto_detect = false, filename = true)"
    )


def show(records: int, first: dict[str, Any], second: dict[str, Any], bare: list[Any]) -> None:
    """The table, as Markdown."""
    landed = first["record"].landing["new_row_count"]
    print(f"\n{records:,} records of people, {landed:,} rows landed")
    versions = f"DuckDB {duckdb.__version__}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {versions}\n")
    print(f"| {'stage':<22} | {'seconds':>8} | {'CPU s':>8} | {'peak MiB':>8} |")
    print(f"|{'-' * 24}|{'-' * 9}:|{'-' * 9}:|{'-' * 9}:|")
    for stage in first["record"].stages:
        line(stage.name, stage.seconds, stage.cpu_seconds, stage.peak_mib)
    line("whole run", first["seconds"], first["cpu_seconds"])
    line("empty second run", second["seconds"], second["cpu_seconds"])
    for step in bare:
        line(f"bare {step['name']}", step["seconds"], step["cpu_seconds"], step["peak_mib"])
    seconds = sum(step["seconds"] for step in bare)
    cpu_seconds = sum(step["cpu_seconds"] for step in bare)
    line("bare script", seconds, cpu_seconds)
    print(
        f"\nwhole run / bare script: {first['seconds'] / seconds:.2f} wall, "
        f"{first['cpu_seconds'] / cpu_seconds:.2f} CPU"
    )
    landing, bare_reading = first["record"].stages[0].seconds, bare[0]["seconds"]
    without = (first["seconds"] - landing) / (seconds - bare_reading)
    print(f"without reading the files on either side: {without:.2f} wall")


def line(name: str, seconds: float, cpu_seconds: float, peak_mib: int | None = None) -> None:
    """One row of the table."""
    peak = f"{peak_mib:,}" if peak_mib is not None else ""
    print(f"| {name:<22} | {seconds:8.1f} | {cpu_seconds:8.1f} | {peak:>8} |")


if __name__ == "__main__":
    main()
