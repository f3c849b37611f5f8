"""The workshop of the generator: a database, named dice and a clock."""

import sys
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Rolls: TypeAlias = npt.NDArray[np.uint32]

DAY = 86_400
HISTORY_DAYS = 900
NEVER = 1 << 40  # a moment after every other one, in seconds
# Of the purchases and visits of a Saturday, Monday to Sunday, where the week has a rhythm.
WEEKDAY_SHARES = np.array([0.62, 0.6, 0.64, 0.7, 0.86, 1.0, 0.8])


class World:
    """Where one generated world is built.

    All times are whole seconds UTC since 1970. Nothing happens before `start` or after `end`;
    `end` is 20:00 UTC of the as-of day, so that no local clock of the sample shows the day after.
    has_weekdays: Saturdays are busier than Tuesdays and the newsletter comes every week; otherwise
    days are alike and it comes every 30 days.
    """

    def __init__(
        self,
        seed: int,
        as_of: date,
        people_count: int,
        *,
        history_days: int = HISTORY_DAYS,
        has_weekdays: bool = False,
    ) -> None:
        self.seed = seed
        self.as_of = as_of
        self.people_count = people_count
        self.has_weekdays = has_weekdays
        self.mail_every_days = 7 if has_weekdays else 30
        self.end = int(datetime(as_of.year, as_of.month, as_of.day, 20, tzinfo=UTC).timestamp())
        self.start = self.end - history_days * DAY
        self.database = duckdb.connect()
        self.database.execute("set preserve_insertion_order = true")
        self.database.execute("set enable_progress_bar = false")
        self.database.execute("set timezone = 'UTC'")
        self.database.execute("create table truth (source_record_id varchar, person_id varchar)")
        self._started = time.monotonic()

    def rng(self, topic: str) -> np.random.Generator:
        """Dice of their own for every topic, so that a change in one source leaves the others."""
        return np.random.default_rng([self.seed, zlib.crc32(topic.encode())])

    def rhythm(self, at: Ints) -> Floats:
        """Share of what could happen at these moments that the day of the week lets happen."""
        if not self.has_weekdays:
            return np.ones(len(at))
        return WEEKDAY_SHARES[(at // DAY + 3) % 7]  # the first day of 1970 was a Thursday

    def show(self, name: str, columns: Mapping[str, object]) -> None:
        """Let SQL read numpy or Arrow columns as the view `name`."""
        arrays = [c if isinstance(c, pa.Array) else pa.array(c) for c in columns.values()]
        self.database.register(name, pa.table(arrays, names=list(columns)))

    def hide(self, *names: str) -> None:
        """Forget views that `show` made."""
        for name in names:
            self.database.unregister(name)

    def make(self, name: str, query: str) -> None:
        """Store the rows of a query as the table `name`."""
        self.database.execute(f"create or replace table {name} as {query}")

    def drop(self, *names: str) -> None:
        """Remove tables that `make` stored."""
        for name in names:
            self.database.execute(f"drop table {name}")

    def know(self, query: str) -> None:
        """Add rows (source_record_id, person_id) to the truth."""
        self.database.execute(f"insert into truth {query}")

    def say(self, message: str) -> None:
        """Print one progress line with the seconds since the start."""
        print(f"{time.monotonic() - self._started:7.1f} s  {message}", file=sys.stderr, flush=True)


def roll(rng: np.random.Generator, count: int) -> Rolls:
    """Throw one die per row; the macros of `mess` read chances and choices from it."""
    return rng.integers(0, 1 << 32, count, dtype=np.uint32)


def pick(rng: np.random.Generator, weights: npt.ArrayLike, count: int) -> Ints:
    """Draw positions of `weights` in proportion to them."""
    cumulated = np.cumsum(np.asarray(weights, dtype=np.float64))
    drawn = np.searchsorted(cumulated, rng.random(count) * cumulated[-1], side="right")
    positions: Ints = np.minimum(drawn, len(cumulated) - 1).astype(np.int64)
    return positions


def spread(counts: Ints) -> tuple[Ints, Ints]:
    """Repeat every row `counts` times; returns (row, position within the row from 0)."""
    rows = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return rows, np.arange(len(rows)) - first[rows]


def words(vocabulary: list[str] | npt.NDArray[np.str_], codes: Ints) -> pa.Array:
    """Text column that holds each word once and a code per row; a negative code is empty."""
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(vocabulary), pa.string()))
