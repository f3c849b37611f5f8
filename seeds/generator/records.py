"""The life of a record of a person: created once, changed now and then."""

from dataclasses import dataclass

import numpy as np

from seeds.generator.cards import Forms
from seeds.generator.people import People
from seeds.generator.purchases import daytime
from seeds.generator.world import DAY, Bools, Ints, World

BLANK_RATE = 0.004  # rows that lose one column


@dataclass(frozen=True)
class Records:
    """One entry per version; the records are numbered in the order of their creation.

    count: how many records. record, person, created, at: per version, `at` is when it was written.
    """

    count: int
    record: Ints
    person: Ints
    created: Ints
    at: Ints
    corrected: Bools
    is_last: Bools

    @property
    def forms(self) -> Forms:
        """What is filled in for each version."""
        return Forms(self.record, self.person, self.at, self.corrected)

    @property
    def is_first(self) -> Bools:
        """Marks the first version of each record."""
        return np.equal(self.at, self.created)


def keep_records(world: World, topic: str, people: People, person: Ints) -> Records:
    """Create one record for each entry of `person`, some time after they appear, and update some.

    Everybody's record may be touched; those who move tell most sources soon afterwards.
    """
    rng = world.rng(f"records {topic}")
    count = len(person)
    latest = world.end - 3 * DAY
    wait = (rng.exponential(70, count) * DAY).astype(np.int64)
    created = np.minimum(daytime(rng, world, people.first_seen[person] + wait), latest)
    order = np.lexsort((person, created))
    person, created = person[order], created[order]
    touched = rng.random(count) < 0.3
    touch = created + 3600 + (rng.random(count) * (world.end - created - 7200)).astype(np.int64)
    tells = (people.moved_at[person] > created) & (people.moved_at[person] < latest)
    tells &= rng.random(count) < 0.65
    told = people.moved_at[person] + (rng.exponential(12, count) * DAY).astype(np.int64)
    changed = np.where(tells, np.minimum(told, world.end - 3600), touch)
    again = np.flatnonzero(touched | tells)
    record = np.concatenate([np.arange(count), again])
    at = np.concatenate([created, changed[again]])
    corrected = np.concatenate([np.zeros(count, np.bool_), rng.random(len(again)) < 0.3])
    is_last = np.concatenate([~(touched | tells), np.ones(len(again), np.bool_)])
    by_record = np.lexsort((at, record))
    record = record[by_record]
    return Records(
        count,
        record,
        person[record],
        created[record],
        at[by_record],
        corrected[by_record],
        is_last[by_record],
    )


def blanks(rng: np.random.Generator, count: int, columns: int) -> Ints:
    """For each row the position of the column that got lost, mostly 0 for none."""
    position = 1 + (rng.random(count) * columns).astype(np.int64)
    return np.where(rng.random(count) < BLANK_RATE, position, 0)
