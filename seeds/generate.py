"""Generate the sample world: seven sources of a retailer, and the truth about who is who.

The committed sample comes from

    python seeds/generate.py --out seeds/landing --truth seeds/truth/truth.csv \\
        --people 2000 --seed 20260630 --as-of 2026-06-30 --format sample --bad-lines 8

and a benchmark from, for example,

    python seeds/generate.py --out big/landing --truth big/truth.parquet --records 1000000 --seed 1

The same arguments give the same bytes. The truth (`source_record_id`, `person_id`) covers every
record of a person and every web visitor and is never written below the landing: it exists to
measure the warehouse, not to feed it. A shared browser belongs to its first owner; each test
account is a person of its own (`T...`).

Formats: `csv` (default) writes plain CSV, and JSONL for web and support, in two exports per feed,
`parquet` the same as Parquet, `sample` mixes all types over many dated exports: full dumps, deltas,
rows that arrive late or twice, and a replay of an old file. `daily` writes one full export and then
a delta a day for `--days` days, up to the as-of day, with a weekly rhythm and no accident: what the
gates are tried on. `--bad-lines N` adds N lines that no loader can read, each a damaged copy of a
good line: see `delivery.DAMAGES`.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
if str(PROJECT_ROOT) not in sys.path:  # so that `python seeds/generate.py` works
    sys.path.insert(0, str(PROJECT_ROOT))

from seeds.generator import crm, mailing, pos, shop, support, surveys, web  # noqa: E402
from seeds.generator.delivery import FEED_BY_NAME, Delivery, Format, spoil_lines, write_truth  # noqa: E402
from seeds.generator.mess import install_macros  # noqa: E402
from seeds.generator.people import populate  # noqa: E402
from seeds.generator.purchases import shop_around  # noqa: E402
from seeds.generator.world import HISTORY_DAYS, World  # noqa: E402

# The last rows of a world crowd at its end, so daily deliveries stop earlier.
QUIET_DAYS = 30
DAILY_DAYS = 60
RECORDS_PER_PERSON = 2.97  # measured; the share of people in each source decides it
TRUTH_ENDINGS = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class Generated:
    """What was written. rows: per feed, repeats included. truth_rows: records and visitors."""

    rows: dict[str, int]
    truth_rows: int
    bad_lines: list[str]


class GenerateError(ValueError):
    """The request cannot be met; the message says what to change."""


def generate(
    out: Path,
    truth: Path,
    *,
    people: int,
    seed: int,
    as_of: date = date(2026, 6, 30),
    format: Format = "csv",  # noqa: A002
    days: int = DAILY_DAYS,
    bad_lines: int = 0,
) -> Generated:
    """Write the landing files of one world to `out` and who is who to `truth`.

    people: how many people live in the world; about 2.97 identity records each. truth: a file
    (.csv, .csv.gz, .parquet) or a folder, which gets `truth.csv`. days: how many deltas follow the
    full export where the format is daily; the history begins long before them. The folders of the
    feeds below `out` are replaced. Raises GenerateError for a request that makes no sense.
    """
    truth_file = _truth_file(truth)
    if people < 1:
        raise GenerateError(f"people is {people}, but a world needs at least one person")
    if truth_file.resolve().is_relative_to(out.resolve()):
        raise GenerateError(f"the truth {truth_file} lies inside the landing {out}; choose another")
    _clear(out)
    is_daily = format == "daily"
    ends_on = as_of + timedelta(days=QUIET_DAYS) if is_daily else as_of
    history = HISTORY_DAYS + max(0, days - DAILY_DAYS) if is_daily else HISTORY_DAYS
    world = World(seed, ends_on, people, history_days=history, has_weekdays=is_daily)
    install_macros(world.database, world.end)
    delivery = Delivery(out, format, as_of, days)
    _tell_everything(world, delivery)
    spoiled = spoil_lines(out, bad_lines)
    truth_rows = write_truth(world, truth_file)
    world.say(f"{truth_file}: {truth_rows:,} rows")
    world.database.close()
    return Generated(delivery.written, truth_rows, spoiled)


def _tell_everything(world: World, delivery: Delivery) -> None:
    """Let everybody live and every source write down what it saw."""
    people = populate(world)
    world.say(f"people: {len(people):,}")
    bought = shop_around(world, people)
    crm.contacts(world, people, delivery)
    accounts = shop.customers(world, people, delivery)
    placed = shop.place_orders(world, accounts, bought)
    shop.orders(world, people, placed, delivery)
    cards = pos.members(world, people, delivery)
    pos.receipts(world, people, bought, cards, delivery)
    web.events(world, people, accounts, placed, delivery)
    support.tickets(world, bought, placed, delivery)
    subscribers = mailing.subscribers(world, people, delivery)
    left_at = mailing.deliveries(world, people, subscribers, delivery)
    mailing.suppressions(world, delivery)
    mailing.consents(world, left_at, delivery)
    surveys.responses(world, people, bought, delivery)


def _truth_file(truth: Path) -> Path:
    if truth.name.endswith(TRUTH_ENDINGS):
        return truth
    if truth.suffix:
        raise GenerateError(f"{truth} must end in {', '.join(TRUTH_ENDINGS)} or be a folder")
    return truth / "truth.csv"


def _clear(out: Path) -> None:
    """Remove what an earlier run wrote; files of other names stay."""
    for feed_name in FEED_BY_NAME:
        shutil.rmtree(out / feed_name, ignore_errors=True)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0],
        epilog="The truth is never written below --out.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the landing files")
    parser.add_argument("--truth", type=Path, required=True, help="file or folder for the truth")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--people", type=int, default=2000, help="people in the world (2000)")
    size.add_argument("--records", type=int, help="about how many identity records to make")
    parser.add_argument("--seed", type=int, required=True, help="same seed, same bytes")
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2026, 6, 30))
    parser.add_argument("--format", choices=("sample", "csv", "parquet", "daily"), default="csv")
    parser.add_argument(
        "--days", type=int, default=DAILY_DAYS, help=f"daily deltas, with daily ({DAILY_DAYS})"
    )
    parser.add_argument("--bad-lines", type=int, default=0, help="unreadable lines to add (0)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _arguments(argv)
    people = options.people
    if options.records is not None:
        people = max(1, round(options.records / RECORDS_PER_PERSON))
    try:
        generated = generate(
            options.out,
            options.truth,
            people=people,
            seed=options.seed,
            as_of=options.as_of,
            format=options.format,
            days=options.days,
            bad_lines=options.bad_lines,
        )
    except (ValueError, OSError) as error:
        print(f"cannot generate: {error}", file=sys.stderr)
        return 1
    for line in generated.bad_lines:
        print(f"          bad line: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
