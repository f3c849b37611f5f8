"""What it costs to forget people, beside one whole run.

    make bench-erasure SIZE=1000000

Generates a landing of that many records of people (once per size) and runs it. Then one person is
erased at once, and a thousand more, each with its proof; then a run compares everybody else anew.
Prints wall and CPU seconds of each, every step of the erasures, and the ratios to the first run:
what only writes files anew, whoever is in them, and everything else, from start to certificate.
"""

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from benchmarks.bench_run import SAMPLE_AS_OF, run_warehouse
from benchmarks.landings import generate_records
from orchestration.privacy.certificates import certificates
from orchestration.settings import PROJECT_ROOT, Settings

PEOPLE = 1000
WRITING = ("releases", "candidate", "working database written anew", "backup")
"""Steps of a certificate that do nothing but write files anew."""


def main() -> None:
    """Run, erase, run; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records of people")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    options = parser.parse_args()
    settings = Settings(
        landing=options.out / f"landing-{options.records}",
        home=options.out / f"erasure-{options.records}",
        as_of=SAMPLE_AS_OF,
    )
    generate_records(options.records, options.out)
    shutil.rmtree(settings.home, ignore_errors=True)
    whole = run_warehouse(settings)
    customers = _customers(settings)
    file = options.out / "forget.txt"
    costs = []
    for count, chosen in ((1, customers[:1]), (PEOPLE, customers[1:])):
        file.write_text("\n".join(chosen) + "\n", encoding="ascii")
        costs.append((count, *_forget(settings, file)))
    after = run_warehouse(settings)
    ((rows,),) = (
        duckdb.connect(str(settings.working_database), read_only=True)
        .execute("select sum(line_count) from raw.files")
        .fetchall()
    )
    print(f"\n{options.records:,} records of people, {rows:,} lines landed")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, DuckDB {duckdb.__version__}, "
        f"Python {platform.python_version()}\n"
    )
    print(f"| {'':<36} | {'seconds':>8} | {'of a run':>8} | {'CPU s':>8} | {'of a run':>8} |")
    print(f"|{'-' * 38}|{'-' * 9}:|{'-' * 9}:|{'-' * 9}:|{'-' * 9}:|")
    run = whole["seconds"], whole["cpu_seconds"]
    _line("whole run", run, run)
    done = {one.customer_count: one for one in certificates(settings)}
    for count, *spent in costs:
        seconds, cpu_seconds = done[count].seconds, done[count].cpu_seconds
        written = [sum(told.get(step, 0.0) for step in WRITING) for told in (seconds, cpu_seconds)]
        _line(f"{'1 person' if count == 1 else f'{count:,} people'} forgotten", spent, run)
        left = [all_ - one for all_, one in zip(spent, written, strict=True)]
        _line("files written anew", written, run)
        _line("everything else", left, run)
        for step in seconds:
            _line(f"- {step}", (seconds[step], cpu_seconds[step]), run)
        scanned = done[count].scanned
        print(
            f"searched for {count:,}: {scanned['bytes'] / 1e9:.1f} GB, {scanned['cells']:,} cells,"
            f" {scanned['texts']:,} texts, {done[count].found} found",
            file=sys.stderr,
        )
    _line("the run after", (after["seconds"], after["cpu_seconds"]), run)


def _customers(settings: Settings) -> list[str]:
    """Customers of many records first, as an angry person would have; by id, so always the same."""
    database = str(settings.current / "warehouse.duckdb")
    with duckdb.connect(database, read_only=True) as connection:
        found = connection.execute(
            "select customer_id from marts.customers where record_count >= 3"
            f" order by customer_id limit {PEOPLE + 1}"
        ).fetchall()
    return [customer for (customer,) in found]


def _forget(settings: Settings, file: Path) -> tuple[float, float]:
    environment = os.environ | {
        "WAREHOUSE_LANDING": str(settings.landing),
        "WAREHOUSE_HOME": str(settings.home),
        "WAREHOUSE_AS_OF": settings.as_of.isoformat(),
    }
    command = [sys.executable, "-m", "orchestration", "forget", "--file", str(file)]
    command += ["--confirm", "--without-run", "--by", "bench", "--why", "a measurement"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def _line(name: str, spent: Sequence[float], run: Sequence[float]) -> None:
    """Print a row of the table. spent, run: wall and CPU seconds."""
    cells = [f"{one:8.1f} | {one / whole:8.3f}" for one, whole in zip(spent, run, strict=True)]
    print(f"| {name:<36} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
