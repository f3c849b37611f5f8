"""support/tickets: requests with names and addresses as typed, replies, solutions and a score."""

import numpy as np

from seeds.generator.cards import Forms, Manners, fill_cards
from seeds.generator.delivery import Delivery, versions
from seeds.generator.purchases import Purchases, daytime
from seeds.generator.records import blanks
from seeds.generator.shop import FIRST_ORDER, Orders
from seeds.generator.world import DAY, Ints, World, roll

MANNERS = Manners(
    typo=0.03, nickname=0.1, initial=0.04, swapped=0.02, no_name=0.05, no_mail=0.15, role_mail=0.3,
    no_phone=0.5, landline=0.3,
)  # fmt: skip
ORDER_TICKET_RATE = 0.1
TILL_TICKET_RATE = 0.03
TOPICS = (  # subject|body
    "Where is my order?|My parcel has not arrived yet. The last update is several days old.",
    "Return|I would like to return an item.\nHow do I get a label?",
    "Wrong item|I ordered the blue one, but \"navy\" came, which is not the same.",
    "Refund missing|You confirmed my refund, but I have not seen any money, so far.",
    "Damaged on arrival|The box was open and the product is scratched; see the photos.",
    "Change of address|I have moved. Please use my new address from now on.",
    "Invoice|Please send the invoice to my company.",
    "Cannot log in|The password link does not work; I tried it three times.",
    "Loyalty points|My points from last Saturday are missing.",
    "Delete my data|Please delete everything that you know about me.",
    "Unsubscribe|I get your newsletter although I never asked for it.",
    "Thank you|Great service, the shop assistant was very kind!",
)  # fmt: skip


def tickets(world: World, bought: Purchases, placed: Orders, delivery: Delivery) -> None:
    """Write support/tickets; a ticket has a version when it opens and one when it is solved."""
    rng = world.rng("support")
    person, order, opened = _requests(rng, world, bought, placed)
    count = len(person)
    fill_cards(world, "ticket_cards", Forms.once(person, opened), MANNERS)
    replied = opened + (rng.lognormal(9.3, 1.3, count)).astype(np.int64)
    solved = replied + (rng.lognormal(10.8, 1.2, count)).astype(np.int64)
    is_solved = (rng.random(count) < 0.93) & (solved < world.end)
    has_score = is_solved & (rng.random(count) < 0.4)
    # slow answers annoy
    mood = 4.6 - np.minimum((solved - opened) / (4 * DAY), 2.2) + rng.normal(0, 0.9, count)
    record = np.concatenate([np.arange(count), np.flatnonzero(is_solved)])
    step = np.repeat([0, 1], [count, int(is_solved.sum())])
    in_order = np.lexsort((step, record))
    record, step = record[in_order], step[in_order]
    world.show(
        "ticket_steps",
        {
            "_row": np.arange(len(record)),
            "ticket": record,
            "step": step,
            "order_no": order[record],
            "opened": opened[record],
            "replied": replied[record],
            "solved": solved[record],
            "score": np.where(has_score, np.clip(np.round(mood), 1, 5), 0)[record],
            "has_order": (order[record] >= 0) & (rng.random(count) < 0.6)[record],
            "topic_die": roll(rng, count)[record],
            "late_die": roll(rng, len(record)),
            "_blank": blanks(rng, len(record), 14),
        },
    )
    world.make("ticket_rows", _TICKETS)
    world.hide("ticket_steps")
    delivery.deliver(world, "support/tickets", "select * from ticket_rows")
    world.know("select distinct 'support:' || ticket_id, 'P' || person from ticket_rows")
    world.drop("ticket_rows", "ticket_cards")


def _requests(
    rng: np.random.Generator, world: World, bought: Purchases, placed: Orders
) -> tuple[Ints, Ints, Ints]:
    """Who asks, about which order (-1: none) and when, in the order of time."""
    ordered = np.flatnonzero(rng.random(len(placed.person)) < ORDER_TICKET_RATE)
    at_till = bought.where(~bought.is_online)
    visited = np.flatnonzero(rng.random(len(at_till.person)) < TILL_TICKET_RATE)
    person = np.concatenate([placed.person[ordered], at_till.person[visited]])
    order = np.concatenate([ordered, np.full(len(visited), -1)])
    after = np.concatenate([placed.at[ordered], at_till.at[visited]])
    opened = after + 3600 + (rng.exponential(6, len(after)) * DAY).astype(np.int64)
    opened = np.maximum(daytime(rng, world, opened), after)
    in_time = np.flatnonzero(opened < world.end - 3600)
    in_order = in_time[np.lexsort((person[in_time], opened[in_time]))]
    return person[in_order], order[in_order], opened[in_order]


def _topics() -> str:
    pairs = (topic.split("|") for topic in TOPICS)
    return ", ".join(
        "['" + "', '".join(text.replace("'", "''") for text in pair) + "']" for pair in pairs
    )


_TICKETS = f"""
    with steps as (
        select
            ticket_cards.*,
            ticket_steps.*,
            one_of(topic_die, [{_topics()}]) as topic,
            case
                when step = 1 then solved
                when replied < least(opened + 7200, the_end()) then replied
                else opened
            end as updated
        from ticket_steps
        inner join ticket_cards on ticket_steps.ticket = ticket_cards.record
    ),

    rows_of_tickets as (
        select *, arrival(updated, late_die) as arrives from steps
    )

    select
        'T-' || (40001 + ticket) as ticket_id,
        full_name as requester_name,
        email as requester_email,
        phone as requester_phone,
        topic[1] || if(has_order, ' (order ' || ({FIRST_ORDER} + order_no) || ')', '') as subject,
        case when happens(reroll(topic_die, 3), .5) then 'Hello,' || chr(10) else '' end
            || topic[2]
            || case when happens(reroll(topic_die, 5), .4)
                then chr(10) || 'Best regards,' || chr(10) || coalesce(full_name, '') else '' end
            as body,
        one_of(reroll(topic_die, 7), ['email', 'email', 'chat', 'phone', 'web']) as channel,
        one_of(reroll(topic_die, 11), ['low', 'normal', 'normal', 'normal', 'high', 'urgent'])
            as priority,
        case when step = 1 then 'solved' when updated > opened then 'open' else 'new' end as status,
        iso_local(opened, -6) as opened_at,
        case when step = 1 or updated >= replied then iso_local(replied, -6) end as first_reply_at,
        case when step = 1 then iso_local(solved, -6) end as solved_at,
        case when step = 1 and score > 0 then cast(score as integer) end as csat_score,
        iso_local(updated, -6) as updated_at,
        person,
        _row,
        arrives as _from,
        {versions("ticket", "arrives")} as _until,
        _blank
    from rows_of_tickets
    order by _row
"""
