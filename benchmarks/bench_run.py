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
from collections.abc import Iterator
from datetime import UTC, date, datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.accuracy import pair_accuracy
from orchestration.landing import FEEDS, Feed
from orchestration.run import RunRecord
from orchestration.settings import PROJECT_ROOT, Settings

SAMPLE_AS_OF = date(2026, 6, 30)
SEED = 7


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
    generate(landing, options.records, options.out)
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


def generate(landing: Path, records: int, out: Path) -> None:
    """The same generator that made the sample, without its deliberate bad lines."""
    if landing.exists():
        return
    unfinished = landing.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    generator: list[str | Path] = [sys.executable, PROJECT_ROOT / "seeds" / "generate.py"]
    wanted = ["--records", str(records), "--seed", str(SEED)]
    places: list[str | Path] = ["--out", unfinished, "--truth", out / f"truth-{records}"]
    subprocess.run([*generator, *wanted, *places], check=True)
    unfinished.rename(landing)


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
    # The compiled SQL names its databases, so the files must bear the same names.
    connection = duckdb.connect(
        str(folder / settings.working_database.name),
        config={"storage_compatibility_version": "latest"},
    )
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"set memory_limit = '{settings.memory_limit}'")
    connection.execute(f"set threads = {settings.threads}")
    connection.execute("set preserve_insertion_order = false")
    candidate = settings.candidate_database
    connection.execute(
        f"attach '{folder / candidate.name}' as {candidate.stem} (storage_version 'v1.0.0')"
    )
    steps = {
        "landing": bare_landing(settings),
        "models": bare_models(settings),
        "checkpoint": ["checkpoint", f"checkpoint {candidate.stem}"],
    }
    for name, statements in steps.items():
        wall, cpu = time.perf_counter(), time.process_time()
        for statement in statements:
            connection.execute(statement)
        yield {
            "name": name,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


def bare_landing(settings: Settings) -> Iterator[str]:
    """One plain reader per feed; the row hash stays, because staging orders by it."""
    yield "create schema raw"
    yield "create schema state"
    yield "create table state.customer_sources (source_record_id varchar, customer_id varchar)"
    yield (
        "create table state.customer_redirects "
        "(customer_id varchar, current_customer_id varchar, redirected_on date)"
    )
    yield (
        "create table state.steward_decisions "
        "(decision_id varchar, verdict varchar, source_record_id varchar, "
        "other_source_record_id varchar, decided_by varchar, decided_at timestamp, reason varchar)"
    )
    for feed in FEEDS:
        columns = ", ".join(column.name for column in feed.columns)
        row_text = ", ".join(f"coalesce({column.name}, '')" for column in feed.columns)
        yield (
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


def bare_models(settings: Settings) -> Iterator[str]:
    """Seeds and models as `create table as`, in dependency order, from what dbt compiled."""
    target = settings.home / "dbt"
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    nodes = {
        name: node
        for name, node in manifest["nodes"].items()
        if node["resource_type"] in ("seed", "model")
    }
    order = TopologicalSorter(
        {
            name: [other for other in node["depends_on"].get("nodes", []) if other in nodes]
            for name, node in nodes.items()
        }
    )
    for schema in ("reference", "staging", "identity", "release_candidate.marts"):
        yield f"create schema {schema}"
    for name in order.static_order():
        node = nodes[name]
        relation = node["relation_name"]
        if node["resource_type"] == "seed":
            yield f"create table {relation} as {seed_query(node)}"
        else:
            path = target / "compiled" / manifest["metadata"]["project_name"]
            yield f"create table {relation} as {(path / node['original_file_path']).read_text()}"


def seed_query(node: dict[str, Any]) -> str:
    """A seed read as dbt reads it, with the column types that its board declares."""
    types = node["config"].get("column_types") or {}
    declared = ", ".join(f"'{column}': '{type_}'" for column, type_ in types.items())
    path = (PROJECT_ROOT / "dbt_project" / node["original_file_path"]).resolve()
    types_option = f", types = {{{declared}}}" if declared else ""
    return f"select * from read_csv('{path}', header = true{types_option})"


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
