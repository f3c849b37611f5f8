"""The bench of many small days says what has grown."""

import csv
from dataclasses import asdict, fields, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from benchmarks.bench_days import WARM_UP, Run, compare, read_runs

FIRST = Run(
    day=date(2026, 1, 1),
    process=1,
    outcome="released",
    cpu_seconds=20.0,
    seconds=22.0,
    rows=10,
    open_files=7,
    threads=2,
    memory_mib=500,
    disk_mib=100.0,
    working_mib=40.0,
    dagster_mib=30.0,
    wal_mib=0.0,
)


def days(count: int = 100) -> list[Run]:
    """Days that cost the same and add the same."""
    return [
        replace(FIRST, day=FIRST.day + timedelta(n), disk_mib=100 + 0.01 * n) for n in range(count)
    ]


def test_days_that_cost_the_same_are_flat() -> None:
    assert compare(days()) == []


@pytest.mark.parametrize(
    ("grown", "said"),
    [
        ({"cpu_seconds": 25.0}, "cpu_seconds has grown to 1.25"),
        ({"seconds": 30.0}, "seconds has grown to 1.36"),
        ({"open_files": 8}, "more open_files at the end"),
        ({"threads": 3}, "more threads at the end"),
        ({"wal_mib": 1.0}, "more wal_mib at the end"),
        ({"outcome": "stopped"}, "2026-04-10: stopped"),
    ],
)
def test_what_has_grown_or_failed_is_named(grown: dict[str, float], said: str) -> None:
    runs = days()
    runs[-10:] = [replace(run, **grown) for run in runs[-10:]]  # type: ignore[arg-type]
    assert said in " ".join(compare(runs))


def test_a_run_that_adds_more_disk_than_in_the_beginning_is_named() -> None:
    runs = days()
    runs[-10:] = [replace(run, disk_mib=200 + 0.1 * n) for n, run in enumerate(runs[-10:])]
    assert compare(runs) == ["a run adds more disk than in the beginning"]


def test_a_bench_that_was_stopped_by_a_gate_early_compares_nothing_and_says_so() -> None:
    runs = days(3)
    runs[-1] = replace(runs[-1], outcome="stopped")
    stopped, too_few = compare(runs)
    assert stopped == "2026-01-03: stopped"
    assert too_few == "only 3 runs, of which the first 20 are not compared"


def test_a_stopped_bench_goes_on_with_what_it_has_measured(tmp_path: Path) -> None:
    measured = tmp_path / "days.csv"
    with measured.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Run)])
        writer.writeheader()
        writer.writerows(asdict(run) for run in days(WARM_UP))
    assert read_runs(measured) == days(WARM_UP)
    assert read_runs(tmp_path / "none.csv") == []
