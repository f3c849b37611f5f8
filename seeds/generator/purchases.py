"""What people buy: one purchase process for all doors of the retailer."""

from dataclasses import dataclass

import numpy as np

from seeds.generator.people import People
from seeds.generator.world import DAY, NEVER, Bools, Ints, World, spread

YEAR = 365.25 * DAY
SEASON = np.array([0.7, 0.65, 0.75, 0.8, 0.85, 0.8, 0.7, 0.7, 0.8, 0.85, 1.0, 1.0])  # Jan..Dec

GUEST_APPETITE = 0.3  # orders of people without an account, relative to the others


@dataclass(frozen=True)
class Purchases:
    """One entry per purchase, in the order of time."""

    person: Ints
    at: Ints
    is_online: Bools

    def where(self, chosen: Bools) -> "Purchases":
        """The purchases that `chosen` marks."""
        return Purchases(self.person[chosen], self.at[chosen], self.is_online[chosen])


def shop_around(world: World, people: People) -> Purchases:
    """Draw purchases: everybody at their own pace, some stop, some come back, December is busy."""
    rng = world.rng("purchases")
    spans = (
        (people.first_seen, people.gone),
        (people.back, np.where(people.back < NEVER, world.end, NEVER)),
    )
    persons, moments = [], []
    for start, stop in spans:
        length = stop - start
        counts = rng.poisson(people.pace * length / YEAR)
        person, _ = spread(counts)
        persons.append(person)
        moments.append(start[person] + (rng.random(len(person)) * length[person]).astype(np.int64))
    person, at = np.concatenate(persons), daytime(rng, world, np.concatenate(moments))
    month = at.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12
    kept = rng.random(len(at)) < SEASON[month] * world.rhythm(at)
    person, at = person[kept], at[kept]
    order = np.lexsort((person, at))
    person, at = person[order], at[order]
    online_share = np.where(people.is_online, np.where(people.has_till, 0.55, 0.9), 0.0)
    is_online = rng.random(len(at)) < online_share[person]
    # without an account people order much less
    kept = ~is_online | people.has_shop[person] | (rng.random(len(at)) < GUEST_APPETITE)
    return Purchases(person, at, is_online).where(kept)


def daytime(rng: np.random.Generator, world: World, at: Ints) -> Ints:
    """Move moments into waking hours of their day, mostly the evening."""
    hour = np.clip(rng.normal(15, 3.6, len(at)), 5, 23) * 3600
    return np.clip(at // DAY * DAY + hour.astype(np.int64), world.start, world.end - 60)
