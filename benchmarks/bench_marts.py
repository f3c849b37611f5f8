"""What the marts cost, beside the same SQL bare, and what a day with a little new data costs.

    make bench-marts CUSTOMERS=1000000 ORDERS=10000000 EVENTS=20000000 INCREMENT=0.01

Writes a retailer of that size straight into staging (benchmarks/marts_world.py), lets the project's
own models find the customers, and then, each in a process of its own:
1. the marts' stage as a run builds it, through dbt, everything anew;
2. a copy of the finished marts into an empty file: what writing them costs; the report of them;
3. a day later, with a share of new people, orders, visits and tickets: the stage as a run builds
   it then, how many rows that changes, and the stage once more with everything anew;
4. the SQL that dbt compiled for it, in the same order, by one bare DuckDB connection.
What was built last through dbt, bare, and as an increment must hold the same rows. Prints CPU and
wall seconds, peaks, the CPU of every model, and the ratios; steps say on stderr when they are done.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measuring import Measured, Spent, StepFailedError, run_step
from orchestration.settings import PROJECT_ROOT

STEPS = "benchmarks.marts_steps"
AS_OF = date(2026, 6, 30)
# What is asked of the marts: CPU beside the bare SQL, MiB, CPU of a day with 1 % beside everything.
MOST_RATIO, MOST_MIB, MOST_OF_A_DAY = 1.5, 12 * 1024, 0.06
MOST_REPORT_SECONDS = 60
# A table with fewer rows has sums that a day could be added to.
LEAST_ROWS = 10_000
# What an increment has to make anew, so they hold other rows when everything is.
WORK_LISTS = {
    f"intermediate.{name}"
    for name in (
        "int_event_days_changed",
        "int_journeys_changed",
        "int_touches_weighed",
        "int_visitors_changed",
    )
}


class DifferentRowsError(Exception):
    """Two builds that must hold the same rows do not; the message names the tables."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps, print the tables. Returns 0, or 1 when a step failed or rows differ."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="marts-", dir=options.out))
    try:
        bench(options, work)
    except (StepFailedError, DifferentRowsError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"\nkept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    return 0


def bench(options: argparse.Namespace, work: Path) -> None:
    """Measure everything and print it."""
    home = work / "home"
    world_size = {
        "customers": options.customers,
        "orders": options.orders,
        "events": options.events,
        "seed": options.seed,
    }

    def step(name: str, as_of: date, **more: Any) -> Measured:
        measured = run_step(STEPS, name, {"home": home, "as_of": as_of, **more}, work)
        print(f"{name} of {as_of}: {measured.whole.seconds:.0f} s", file=sys.stderr, flush=True)
        return measured

    world = step("world", AS_OF, size=world_size)
    _say(world.result)
    table = Table(("step", "CPU s", "wall s", "peak MiB"))
    table.row("the world", *_cost(world.phases["world"]))
    table.row("identity", *_cost(step("built", AS_OF, layer="identity").phases["identity"]))
    measured = {"marts": step("built", AS_OF, layer="marts", anew=True)}
    table.row("marts, through dbt", *_cost(measured["marts"].phases["marts"]))
    writing = step("writing", AS_OF).phases["writing"]
    table.row("writing them alone", *_cost(writing))
    reported = step("report", AS_OF)
    table.row("the report of them", *_cost(reported.phases["report"]))
    last, changed, increment = AS_OF, {}, {}
    if options.increment:
        last = AS_OF + timedelta(days=1)
        step("next_day", last, size=world_size, share=options.increment)
        identity = step("built", last, layer="identity")
        table.row("a day later: identity", *_cost(identity.phases["identity"]))
        measured["day"] = step("built", last, layer="marts")
        table.row("a day later: marts", *_cost(measured["day"].phases["marts"]))
        changed = step("changed_rows", last).result
        increment = step("fingerprints", last).result
        measured["anew"] = step("built", last, layer="marts", anew=True)
        table.row("a day later: marts, anew", *_cost(measured["anew"].phases["marts"]))
    through_dbt = step("fingerprints", last).result
    # last, because it leaves other files than a build does
    measured["bare"] = step("bare", last)
    table.row("the same, bare", *_cost(measured["bare"].phases["bare"]))
    built_bare = step("fingerprints", last).result
    table.show()
    _show_models(measured, through_dbt)
    _show_ratios(measured, writing, options.increment)
    seconds, size = reported.phases["report"].seconds, reported.result / 1e6
    print(
        f"the report: {seconds:.1f} s, {size:.1f} MB"
        f" (asked: at most {MOST_REPORT_SECONDS} s for a million customers)"
    )
    if options.increment:
        _show_changes(changed, measured["anew"])
    _compare(through_dbt, built_bare, "bare")
    if options.increment:
        _compare(increment, through_dbt, "everything anew")


class Table:
    """A Markdown table whose columns after the first are numbers."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._rows = [tuple(columns)]

    def row(self, *cells: str) -> None:
        """Add a row."""
        self._rows.append(cells)

    def show(self) -> None:
        """Print it, with an empty line after it."""
        widths = [max(len(row[place]) for row in self._rows) for place in range(len(self._rows[0]))]
        rule = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
        for number, row in enumerate(self._rows):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            print(f"| {' | '.join(cells)} |")
            if number == 0:
                print(f"|{'|'.join(rule)}|")
        print()


def _say(rows: Mapping[str, int]) -> None:
    orders = rows["stg_shop__orders"] + rows["stg_pos__receipts"]
    print(
        f"{orders:,} orders, {rows['stg_web__events']:,} web events,"
        f" {sum(rows.values()):,} rows in staging"
    )
    versions = f"DuckDB {duckdb.__version__}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {versions}\n")


def _show_models(measured: Mapping[str, Measured], fingerprints: Mapping[str, Any]) -> None:
    """Print the CPU of every model that takes a fiftieth of a second or more."""
    cpu = {
        name: {f"{schema}.{model}": seconds for schema, model, seconds in result.result}
        for name, result in measured.items()
    }
    titles = {"marts": "anew CPU s", "day": "a day later", "anew": "anew then", "bare": "bare then"}
    table = Table(("model", "rows", *(titles[name] for name in cpu)))
    for model in sorted(cpu["marts"], key=lambda name: -cpu["marts"][name]):
        if cpu["marts"][model] >= 0.02:
            rows, _ = fingerprints.get(model, ("", ""))
            costs = (f"{cpu[name].get(model, 0):.1f}" for name in cpu)
            table.row(model, f"{rows:,}" if rows != "" else "view", *costs)
    table.show()


def _show_ratios(measured: Mapping[str, Measured], writing: Spent, increment: float | None) -> None:
    # the last build through dbt, of the rows that were made bare
    marts = measured.get("anew", measured["marts"]).phases["marts"]
    bare = measured["bare"].phases["bare"]
    ratio = marts.cpu_seconds / max(bare.cpu_seconds, 1e-9)
    print(f"marts / bare: {ratio:.2f} CPU (asked: at most {MOST_RATIO})")
    peak = max(result.whole.peak_mib for result in measured.values())
    print(f"peak: {peak:,} MiB (asked: at most {MOST_MIB:,})")
    if increment:
        day, anew = (measured[name].phases["marts"].cpu_seconds for name in ("day", "anew"))
        print(
            f"a day with {increment:.0%} new: {day / anew:.2f} of everything anew"
            f" (asked: at most {MOST_OF_A_DAY} for 1 %); writing the marts alone is"
            f" {writing.cpu_seconds / anew:.2f}"
        )


def _show_changes(changed: Mapping[str, Sequence[int]], anew: Measured) -> None:
    """Print how much of what is published a day changes, and what that much costs in proportion.

    In proportion: of every table the share of the CPU that is the share of its rows which are new,
    as if a changed row could be found and made for nothing beside it. Work lists, and tables so
    small that they could be counted on from the day before, are left out.
    """
    marts = {name: counts for name, counts in changed.items() if name.startswith("marts.")}
    rows, others = (sum(counts[place] for counts in marts.values()) for place in (0, 1))
    print(f"the day changes {others:,} of {rows:,} rows of the marts ({others / rows:.0%})")
    shares = {
        name: other / rows
        for name, (rows, other) in changed.items()
        if rows >= LEAST_ROWS and name not in WORK_LISTS
    }
    cpu = {f"{schema}.{model}": seconds for schema, model, seconds in anew.result}
    floor = {name: share * cpu.get(name, 0) for name, share in shares.items()}
    whole = sorted((name for name, share in shares.items() if share > 0.5), key=floor.__getitem__)
    everything = anew.phases["marts"].cpu_seconds
    print(
        f"in proportion to the rows that are new, a day would cost {sum(floor.values()):.1f} CPU s,"
        f" {sum(floor.values()) / everything:.2f} of everything anew;"
        f" {sum(floor[name] for name in whole):.1f} of them for the tables that are new by more"
        f" than half: {', '.join(name.split('.')[1] for name in reversed(whole))}"
    )


def _cost(spent: Spent) -> tuple[str, str, str]:
    return f"{spent.cpu_seconds:.1f}", f"{spent.seconds:.1f}", f"{spent.peak_mib:,}"


def _compare(one: Mapping[str, Any], other: Mapping[str, Any], what: str) -> None:
    """Raise DifferentRowsError naming the tables that hold other rows in the second build."""
    tables = (one.keys() | other.keys()) - WORK_LISTS
    differing = sorted(name for name in tables if one.get(name) != other.get(name))
    if differing:
        raise DifferentRowsError(f"Built {what}, these hold other rows: {', '.join(differing)}.")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    count = _number(int, "a whole number above 0", lambda number: number > 0)
    share = _number(float, "a share above 0 and up to 1", lambda number: 0 < number <= 1)
    parser.add_argument("--customers", type=count, default=1_000_000, help="people in the world")
    parser.add_argument("--orders", type=count, help="orders and receipts (ten to a customer)")
    parser.add_argument("--events", type=count, help="web events (twenty to a customer)")
    parser.add_argument("--increment", type=share, help="share of new data of the next day")
    parser.add_argument("--seed", type=int, default=7, help="another seed is another world")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    parser.add_argument("--keep", action="store_true", help="leave the databases where they are")
    options = parser.parse_args(arguments)
    options.orders = options.orders or 10 * options.customers
    options.events = options.events or 20 * options.customers
    return options


def _number(
    read: Callable[[str], Any], what: str, fits: Callable[[Any], bool]
) -> Callable[[str], Any]:
    """An argparse type that says in words what it wants."""

    def parse(text: str) -> Any:
        try:
            number = read(text.replace("_", "").replace(",", ""))
        except ValueError:
            number = None
        if number is None or not fits(number):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return number

    return parse


if __name__ == "__main__":
    sys.exit(main())
