"""A thousand small days in a row: what a run costs, and whether anything grows that should not.

    make bench-days N=1000 [AT_ONCE=600]

Generates a small landing with a delivery of every feed for each day, then delivers and releases one
day after the other in one process, as `warehouse backfill` does: what leaks there would leak in a
scheduler, too. After each run it counts CPU and wall seconds, open files, threads, memory and the
disk below the home, and writes them to `days.csv`; a bench that was stopped goes on from there.
AT_ONCE: the first run takes that many days in one, so that those that are measured meet an old
installation. At the end it compares the last tenth of the runs with the first. Exit code 1 when a
run failed, more files or threads are open at the end, or time or disk a run has grown by more than
a fifth.
"""

import argparse
import csv
import gc
import os
import shutil
import statistics
import threading
import time
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from pathlib import Path

from benchmarks.landings import generate
from orchestration.cli import build_job, execute_job, prepare_run
from orchestration.operations.ledger import Outcome, RunRecord
from orchestration.operations.retention import disk_use
from orchestration.settings import PROJECT_ROOT, Settings

LAST_DAY = date(2026, 6, 30)
SEED = 20260630
MOST_GROWTH = 1.2
# Runs whose record and log are kept. Before there are as many, each run adds its own and deletes
# none, so the comparison begins after them.
KEPT_RUNS = 20
WARM_UP = KEPT_RUNS


@dataclass(frozen=True)
class Run:
    """What one day cost. disk_mib: below the home, with everything that is kept of earlier days."""

    day: date
    process: int
    outcome: str
    cpu_seconds: float
    seconds: float
    rows: int
    open_files: int
    threads: int
    memory_mib: int
    disk_mib: float
    working_mib: float
    dagster_mib: float
    wal_mib: float


def main() -> int:
    """Run the days, print the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=0, help="days of the first run")
    parser.add_argument("--people", type=int, default=600)
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out" / "days")
    options = parser.parse_args()
    if options.days - options.at_once <= WARM_UP:
        parser.error(f"the first {WARM_UP} runs are not compared: more days, or fewer at once")
    generated = generate(
        options.out / f"landing-{options.people}-{options.days}",
        options.out / f"landing-{options.people}-{options.days}-truth.csv",
        people=options.people,
        days=options.days,
        format="daily",
        seed=SEED,
        as_of=LAST_DAY,
    )
    folder = options.out / f"installation-{options.people}-{options.days}-{options.at_once}"
    runs = run_days(generated, folder, options.days, options.at_once)
    print()
    problems = compare(runs)
    for problem in problems:
        print(f"NOT FLAT: {problem}")
    return 1 if problems else 0


def run_days(generated: Path, folder: Path, count: int, at_once: int) -> list[Run]:
    """Deliver and release each day that `days.csv` does not know yet; returns all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = folder / "days.csv"
    done = read_runs(measured)
    # The resource that the job makes reads the settings from the environment.
    os.environ["WAREHOUSE_LANDING"] = str(folder / "landing")
    os.environ["WAREHOUSE_HOME"] = str(folder / "home")
    os.environ["WAREHOUSE_KEEP_RUNS"] = str(KEPT_RUNS)
    settings = Settings(as_of=LAST_DAY)
    settings.home.mkdir(exist_ok=True)
    prepare_run(settings)
    job = build_job(settings)
    days = [LAST_DAY - timedelta(days=ago) for ago in range(count - at_once, -1, -1)]
    for day in days[len(done) :]:
        deliver(generated, settings.landing, day)
        at = settings.model_copy(update={"as_of": day})
        cpu, wall = time.process_time(), time.perf_counter()
        result = execute_job(job, at, started_by="bench-days")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        record = RunRecord.open(at, result.run_id)
        run = weigh(day, record, at, cpu, wall)
        with measured.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(Run)])
            if not done:
                writer.writeheader()
            writer.writerow(asdict(run))
        done.append(run)
        if len(done) % 20 == 1 or run.outcome != Outcome.RELEASED:
            print(
                f"day {len(done)} of {len(days)}, {day}: {run.outcome}, {run.cpu_seconds} CPU s,"
                f" {run.open_files} open files, {run.memory_mib} MiB, {run.disk_mib} MiB on disk"
                f" {record.reason}",
                flush=True,
            )
        if run.outcome != Outcome.RELEASED:
            break  # until somebody decides, every later run is stopped by the same
    return done


def deliver(generated: Path, landing: Path, day: date) -> None:
    """Hand over what the sources send up to a day; an old time stamp lets a file count as whole."""
    for path in generated.glob("*/*/*"):
        if path.name[:10] <= day.isoformat():
            target = landing / path.relative_to(generated)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
                os.utime(target, (path.stat().st_mtime - 3600,) * 2)


def weigh(day: date, record: RunRecord, settings: Settings, cpu: float, wall: float) -> Run:
    """Count what this process and the installation hold after a run."""
    gc.collect()
    disk = disk_use(settings)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    files = [path for path in settings.home.rglob("*.wal") if path.is_file()]
    return Run(
        day=day,
        process=os.getpid(),
        outcome=str(record.outcome),
        cpu_seconds=round(cpu, 2),
        seconds=round(wall, 2),
        rows=int(record.landing.get("new_row_count", 0)),
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
        memory_mib=pages * os.sysconf("SC_PAGESIZE") // 2**20,
        disk_mib=_mib(sum(disk.values())),
        working_mib=_mib(settings.working_database.stat().st_size),
        dagster_mib=_mib(sum(p.stat().st_size for p in (settings.home / "dagster").rglob("*"))),
        wal_mib=_mib(sum(path.stat().st_size for path in files)),
    )


def read_runs(path: Path) -> list[Run]:
    """What an earlier, stopped bench has measured."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            Run(
                day=date.fromisoformat(line["day"]),
                outcome=line["outcome"],
                **{
                    field.name: field.type(line[field.name])  # type: ignore[operator]
                    for field in fields(Run)
                    if field.type in (int, float)
                },
            )
            for line in csv.DictReader(stream)
        ]


def compare(runs: list[Run]) -> list[str]:
    """Print the first tenth of the days beside the last; returns what has grown or failed."""
    problems = [f"{run.day}: {run.outcome}" for run in runs if run.outcome != str(Outcome.RELEASED)]
    if len(runs) <= WARM_UP:
        return [*problems, f"only {len(runs)} runs, of which the first {WARM_UP} are not compared"]
    tenth = max(1, (len(runs) - WARM_UP) // 10)
    first, last = runs[WARM_UP : WARM_UP + tenth], runs[-tenth:]
    print(f"| {len(runs)} days | first {tenth} | last {tenth} | ratio |\n|---|---:|---:|---:|")
    ratios = {}
    for name, said in (
        ("cpu_seconds", "CPU seconds a run"),
        ("seconds", "wall seconds a run"),
        ("rows", "new rows a day"),
        ("open_files", "open files of the process"),
        ("threads", "threads"),
        ("memory_mib", "resident memory, MiB"),
        ("disk_mib", "home, MiB"),
        ("working_mib", "of it working database, MiB"),
        ("dagster_mib", "of it Dagster, MiB"),
        ("wal_mib", "of it write-ahead logs, MiB"),
    ):
        before, after = (
            statistics.median(getattr(run, name) for run in part) for part in (first, last)
        )
        ratios[name] = after / before if before else 1.0 if not after else float("inf")
        print(f"| {said} | {before:,.1f} | {after:,.1f} | {ratios[name]:.2f} |")
    grown = [_added(part) for part in (first, last)]
    print(f"| disk that a run adds, MiB | {grown[0]:.3f} | {grown[1]:.3f} | |")
    problems += [
        f"{name} has grown to {ratios[name]:.2f} of what it was"
        for name in ("cpu_seconds", "seconds", "dagster_mib")
        if ratios[name] > MOST_GROWTH
    ]
    problems += [
        f"more {name} at the end"
        for name in ("open_files", "threads", "wal_mib")
        if ratios[name] > 1
    ]
    if grown[1] > grown[0] * MOST_GROWTH:
        problems.append("a run adds more disk than in the beginning")
    return problems


def _added(runs: list[Run]) -> float:
    return (runs[-1].disk_mib - runs[0].disk_mib) / max(1, len(runs) - 1)


def _mib(size: int) -> float:
    return round(size / 2**20, 3)


if __name__ == "__main__":
    raise SystemExit(main())
