"""pos/members and pos/receipts: the loyalty programme of the tills."""

import numpy as np

from seeds.generator.cards import Manners, fill_cards
from seeds.generator.countries import COUNTRIES
from seeds.generator.delivery import Delivery, versions
from seeds.generator.people import People
from seeds.generator.products import PRODUCTS, local_cents
from seeds.generator.purchases import Purchases
from seeds.generator.records import blanks, keep_records
from seeds.generator.world import NEVER, Ints, World, pick, roll, words

MANNERS = Manners(
    typo=0.035, nickname=0.08, initial=0.02, swapped=0.02, no_mail=0.3, no_phone=0.2, landline=0.3,
    no_birth=0.25,
)  # fmt: skip
LOST_CARD_RATE = 0.06  # people with two cards
FORGOTTEN_CARD_RATE = 0.15  # receipts of members who leave the card at home
STORES_PER_COUNTRY = 12
FIRST_MEMBER = 7_000_001


def members(world: World, people: People, delivery: Delivery) -> tuple[Ints, Ints]:
    """Write pos/members; returns (person, joined) of each member."""
    rng = world.rng("pos/members")
    holders = np.flatnonzero(people.has_till)
    second_cards = holders[rng.random(len(holders)) < LOST_CARD_RATE]
    records = keep_records(world, "pos", people, np.concatenate([holders, second_cards]))
    fill_cards(world, "pos_cards", records.forms, MANNERS)
    count = len(records.record)
    world.show(
        "pos_extra",
        {
            "row": np.arange(count),
            "created": records.created,
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 9),
        },
    )
    world.make("pos_rows", _MEMBERS)
    world.hide("pos_extra")
    delivery.deliver(world, "pos/members", "select * from pos_rows")
    world.know("select distinct 'pos:' || member_id, 'P' || person from pos_rows")
    world.drop("pos_rows", "pos_cards")
    return records.person[records.is_first], records.created[records.is_first]


def receipts(
    world: World, people: People, bought: Purchases, cards: tuple[Ints, Ints], delivery: Delivery
) -> None:
    """Write pos/receipts; a purchase without a card, or before it, is anonymous."""
    rng = world.rng("pos/receipts")
    at_till = bought.where(~bought.is_online)
    count = len(at_till.person)
    holder, joined = cards
    card_of = np.full(len(people), -1)
    card_of[holder] = np.arange(len(holder))  # a second card replaces the first
    card = card_of[at_till.person]
    joined_at = np.append(joined, NEVER)[card]  # -1, no card, reads the last entry
    shows = (joined_at <= at_till.at) & (rng.random(count) >= FORGOTTEN_CARD_RATE)
    country = people.country[at_till.person]
    pieces = 1 + rng.poisson(0.9, count)
    cents = pieces * local_cents(pick(rng, np.ones(len(PRODUCTS)), count), country)
    is_full = rng.random(count) < 0.5
    part = (cents * rng.uniform(0.1, 0.9, count)).astype(np.int64)
    refund = np.where(rng.random(count) < 0.035, np.where(is_full, cents, part), 0)
    # people mostly shop in the same store
    usual = at_till.person * 7 % STORES_PER_COUNTRY
    store = np.where(rng.random(count) < 0.8, usual, rng.integers(0, STORES_PER_COUNTRY, count))
    stores = [f"{c.code}-{n + 1:02}" for c in COUNTRIES for n in range(STORES_PER_COUNTRY)]
    world.show(
        "receipt_rows",
        {
            "_row": np.arange(count),
            "card": np.where(shows, card, -1),
            "store_id": words(stores, country * STORES_PER_COUNTRY + store),
            "happened": at_till.at,
            "winter": np.array([c.utc_offset for c in COUNTRIES])[country],
            "currency_code": words([c.currency for c in COUNTRIES], country),
            "cents": cents,
            "refund": refund,
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 7),
        },
    )
    delivery.deliver(world, "pos/receipts", _RECEIPTS, is_sorted=True)
    world.hide("receipt_rows")


_MEMBERS = f"""
    with rows_of_members as (
        select *, row as _row, arrival(happened, late_die) as arrives
        from pos_cards
        inner join pos_extra using (row)
    )

    select
        'M' || ({FIRST_MEMBER} + record) as member_id,
        first_name, last_name, email, phone, birth_date, postcode,
        iso_local(created, winter) as joined_at,
        iso_local(happened, winter) as updated_at,
        person,
        _row,
        arrives as _from,
        {versions("record", "arrives")} as _until,
        _blank
    from rows_of_members
    order by row
"""

_RECEIPTS = f"""
    select
        'R' || (30000001 + _row) as receipt_id,
        case when card >= 0 then 'M' || ({FIRST_MEMBER} + card) end as member_id,
        store_id,
        iso_local(happened, winter) as purchased_at,
        currency_code,
        cast(cents / 100 as decimal(12, 2)) as total_amount,
        case when refund > 0 then cast(refund / 100 as decimal(12, 2)) end as refunded_amount,
        _row, arrival(happened, late_die) as _from, never() as _until, _blank
    from receipt_rows
"""
