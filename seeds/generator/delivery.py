"""How sources hand over their rows: dated export files, some late, some twice, some damaged."""

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

from orchestration.landing.feeds import FEEDS, ColumnType, Feed
from seeds.generator.world import NEVER, World

Format = Literal["sample", "csv", "parquet", "daily"]
FEED_BY_NAME = {feed.name: feed for feed in FEEDS}

# The sample shows every file type; a benchmark has plain text (or Parquet) and few files.
SAMPLE_ENDINGS = {
    "web/events": "jsonl",
    "support/tickets": "jsonl",
    "mailing/deliveries": "parquet",
}
GZIPPED_WHEN_FULL = frozenset({"shop/orders", "shop/order_lines", "pos/receipts", "web/events"})
FULL_TWICE = frozenset({"crm/contacts", "pos/members"})  # nightly dumps repeat unchanged rows
NEVER_BLANK = frozenset({"customer_id"})  # without it an account's order would look like a guest's
ARROW_TYPES = {
    ColumnType.TIMESTAMP: "timestamptz",
    ColumnType.DATE: "date",
    ColumnType.DECIMAL: "decimal(18, 2)",
    ColumnType.INTEGER: "bigint",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TEXT: "varchar",
}


@dataclass(frozen=True)
class Export:
    """One file of a feed: `full` holds all rows as of the day, `delta` what changed since."""

    day: date
    kind: Literal["full", "delta", "replay"]
    since: int = 0

    @property
    def until(self) -> int:
        """First second after the day, UTC."""
        return _midnight_after(self.day)

    @property
    def stem(self) -> str:
        """`2026-05-31` or `2026-05-31-replay`."""
        return f"{self.day}-replay" if self.kind == "replay" else str(self.day)

    @property
    def condition(self) -> str:
        """SQL that picks the rows: the version of each record that was current at the end."""
        current = f"_from < {self.until} and _until >= {self.until}"
        if self.kind == "full":
            return current
        if self.kind == "delta":
            return f"{current} and _from >= {self.since}"
        # an old file that somebody sends again: outdated versions arrive last
        outdated = f"_until < {self.until} and _row % 4 = 3"
        return f"_from < {self.since} and _until >= {self.since} and (_row % 60 = 3 or {outdated})"


@dataclass
class Delivery:
    """Writes the feeds of one world below a folder.

    days: deliveries of a feed after its first, full one, where it delivers daily.
    """

    out: Path
    format: Format
    as_of: date
    days: int
    written: dict[str, int] = field(default_factory=dict)

    def deliver(self, world: World, feed_name: str, query: str, *, is_sorted: bool = False) -> None:
        """Write all export files of one feed.

        query: the columns of the contract, timestamps as ISO text, plus _row (its order), _from
        and _until (seconds in which this version is what the source would export) and _blank
        (position of the column that got lost, 0 for none). is_sorted: the query yields its rows
        in the order of _row, as it does when it only reads what `World.show` registered.
        """
        feed = FEED_BY_NAME[feed_name]
        rows = 0
        for export in self._plan(feed):
            rows += self._write(world, feed, export, query, is_sorted)
        self.written[feed_name] = rows
        world.say(f"{feed_name}: {rows:,} rows")

    def _plan(self, feed: Feed) -> list[Export]:
        """The export calendar of a feed."""
        if self.format == "daily":
            days = [self.as_of - timedelta(days=ago) for ago in range(self.days, -1, -1)]
            deltas = [Export(d, "delta", _midnight_after(b)) for b, d in pairwise(days)]
            return [Export(days[0], "full"), *deltas]
        if self.format != "sample":
            first, last = self.as_of - timedelta(days=30), self.as_of
            return [Export(first, "full"), Export(last, "delta", _midnight_after(first))]
        days = [self.as_of - timedelta(days=ago) for ago in (91, 30, 23, 16, 9, 2, 0)]
        plan = [Export(days[0], "full")]
        for before, day in pairwise(days):
            is_full = feed.name in FULL_TWICE and day == days[1]
            plan.append(Export(day, "full" if is_full else "delta", _midnight_after(before)))
        replayed = Export(days[-1] - timedelta(days=1), "replay", _midnight_after(days[0]))
        return [*plan[:-1], replayed, plan[-1]]

    def _ending(self, feed: Feed, export: Export) -> str:
        if self.format == "parquet":
            return "parquet"
        if self.format in {"csv", "daily"}:
            return "jsonl" if feed.source in {"web", "support"} else "csv"
        ending = SAMPLE_ENDINGS.get(feed.name, "csv")
        is_history = export.day <= self.as_of - timedelta(days=30)
        return f"{ending}.gz" if is_history and feed.name in GZIPPED_WHEN_FULL else ending

    def _write(self, world: World, feed: Feed, export: Export, query: str, is_sorted: bool) -> int:
        ending = self._ending(feed, export)
        path = self.out / feed.source / feed.entity / f"{export.stem}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        written = world.database.execute(
            f"""
            copy (
                select {_columns(feed, typed=ending == "parquet")}
                from ({query})
                where {export.condition}
                {"" if is_sorted else "order by _row"}
            ) to '{str(path).replace("'", "''")}' ({_options(ending)})
            """
        ).fetchone()
        if written is None or written[0] == 0:
            path.unlink()
            return 0
        return int(written[0])


def versions(record: str, moment: str) -> str:
    """SQL of the second until which a version of a record is current."""
    return f"coalesce(lead({moment}) over (partition by {record} order by {moment}, _row), {NEVER})"


def _midnight_after(day: date) -> int:
    after = day + timedelta(days=1)
    return int(datetime(after.year, after.month, after.day, tzinfo=UTC).timestamp())


def _columns(feed: Feed, *, typed: bool) -> str:
    """The contract's columns, each empty where `_blank` names its position."""
    parts = []
    for position, column in enumerate(feed.columns, start=1):
        value = column.name
        if column.name not in feed.key and column.name not in NEVER_BLANK:
            value = f"case when _blank = {position} then null else {column.name} end"
        if typed:
            value = f"cast({value} as {ARROW_TYPES[column.type]})"
        parts.append(f"{value} as {column.name}")
    return ", ".join(parts)


def _options(ending: str) -> str:
    if ending == "parquet":
        return "format parquet, compression zstd"
    compression = "gzip" if ending.endswith(".gz") else "none"
    shape = "format json" if ending.startswith("jsonl") else "format csv, header true"
    return f"{shape}, compression {compression}"


@dataclass(frozen=True)
class Damage:
    """One way in which a line of a feed goes bad."""

    feed: str
    reason: str
    spoil: Callable[[str], str]


# Every bad line is a damaged copy of a good line of the same file, so no record exists only as one.
DAMAGES = (
    Damage("crm/contacts", "a birth date that no calendar has",
           lambda line: re.sub(r"\b\d{4}-\d\d-\d\d(?=,)", "1985-02-30", line, count=1)),
    Damage("shop/orders", "too few columns", lambda line: ",".join(line.split(",")[:4])),
    Damage("web/events", "JSON that breaks off", lambda line: line[: len(line) // 2]),
    Damage("shop/order_lines", "too many columns", lambda line: f"{line},surplus,surplus"),
    Damage("pos/receipts", "an amount that is no number",
           lambda line: re.sub(r",\d+\.\d\d(?=,|$)", ",about twenty", line, count=1)),
    Damage("surveys/responses", "a moment that is no time",
           lambda line: re.sub(r",[^,]*$", ",last Tuesday", line)),
    Damage("mailing/subscribers", "no key", lambda line: re.sub(r"^[^,]+", "", line)),
    Damage("support/tickets", "a list instead of an object", lambda _: '["ticket", "lost"]'),
)  # fmt: skip


def spoil_lines(out: Path, count: int) -> list[str]:
    """Append the first `count` damages, each to the newest plain file of its feed.

    Returns one sentence per bad line. Raises ValueError when more are asked for than exist or a
    feed has no text file.
    """
    if count > len(DAMAGES):
        raise ValueError(f"there are only {len(DAMAGES)} kinds of bad lines, not {count}")
    return [_spoil(out, damage) for damage in DAMAGES[:count]]


def _spoil(out: Path, damage: Damage) -> str:
    texts = sorted(
        path for path in (out / damage.feed).iterdir() if path.suffix in {".csv", ".jsonl"}
    )
    if not texts:
        raise ValueError(
            f"{damage.feed} has no plain text file; bad lines need --format sample|csv"
        )
    for path in reversed(texts):
        lines = path.read_text(encoding="utf-8").splitlines()
        good = (line for line in reversed(lines[1:]) if line.count('"') == 0 or "{" in line)
        for line in good:
            spoiled = damage.spoil(line)
            if spoiled != line:
                with path.open("a", encoding="utf-8", newline="") as file:
                    file.write(spoiled + "\n")
                return f"{path.relative_to(out)} line {len(lines) + 1}: {damage.reason}"
    raise ValueError(f"{damage.feed} has no line to damage")


def write_truth(world: World, path: Path) -> int:
    """Write (source_record_id, person_id) as .csv, .csv.gz or .parquet, by the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = "parquet" if path.suffix == ".parquet" else "csv"
    plain = path.with_name(path.name.removesuffix(".gz"))
    counted = world.database.execute(
        f"""
        copy (select * from truth order by source_record_id)
        to '{str(plain).replace("'", "''")}' ({_options(ending)})
        """
    ).fetchone()
    if plain != path:
        # no time stamp and no name inside, so that the same truth is the same file
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
    return 0 if counted is None else int(counted[0])
