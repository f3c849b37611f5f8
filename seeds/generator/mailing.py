"""mailing/subscribers, deliveries, consents, suppressions: newsletters and permissions."""

from dataclasses import dataclass

import numpy as np

from seeds.generator.cards import Manners, fill_cards
from seeds.generator.delivery import Delivery, versions
from seeds.generator.people import People
from seeds.generator.records import Records, blanks, keep_records
from seeds.generator.world import DAY, NEVER, Bools, Ints, World, pick, roll, spread, words

MANNERS = Manners(typo=0.02, nickname=0.1, no_name=0.25, no_mail=0.0, work_mail=0.15, home_mail=0.4)
BOUNCING_RATE = 0.025  # dead mailboxes
FULL_MAILBOX_RATE = 0.004  # of single mails
PURPOSES = ("email_marketing", "sms_marketing", "profiling", "sharing")
ASKED_SHARES = (0.92, 0.3, 0.35, 0.15)  # of the signers, for each purpose
SUPPRESSED_SHARE = 0.04  # of the signers
SUPPRESSION_REASONS = ("complaint", "do_not_contact", "hard_bounce", "invalid_number")
EVENT_TYPES = ("sent", "open", "click", "bounce", "unsubscribe")
SENT, OPEN, CLICK, BOUNCE, UNSUBSCRIBE = range(5)


def subscribers(world: World, people: People, delivery: Delivery) -> Records:
    """Write mailing/subscribers; keep the table `mailing_cards` for the consents."""
    rng = world.rng("mailing/subscribers")
    readers = np.flatnonzero(people.has_mailing)
    doubles = readers[rng.random(len(readers)) < 0.05]
    records = keep_records(world, "mailing", people, np.concatenate([readers, doubles]))
    fill_cards(world, "mailing_cards", records.forms, MANNERS)
    count = len(records.record)
    world.show(
        "mailing_extra",
        {
            "row": np.arange(count),
            "created": records.created,
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 6),
        },
    )
    world.make("mailing_rows", _SUBSCRIBERS)
    world.hide("mailing_extra")
    delivery.deliver(world, "mailing/subscribers", "select * from mailing_rows")
    world.know("select distinct 'mailing:' || subscriber_id, 'P' || person from mailing_rows")
    world.drop("mailing_rows")
    return records


def deliveries(world: World, people: People, records: Records, delivery: Delivery) -> Ints:
    """Write mailing/deliveries; returns per subscriber when they unsubscribed, or NEVER.

    Everybody on the list gets every campaign. Readers open as much as their own interest says,
    less once they have stopped shopping. A dead mailbox bounces once and is dropped.
    """
    rng = world.rng("mailing/deliveries")
    person = records.person[records.is_first]
    created = records.created[records.is_first]
    count = len(person)
    period = world.mail_every_days * DAY
    first_mail = (created - world.start) // period + 1
    last_mail = (world.end - DAY - world.start) // period
    subscriber, nth = spread(np.maximum(last_mail - first_mail + 1, 0))
    number = first_mail[subscriber] + nth
    sent = world.start + number * period + rng.integers(0, 7200, len(number)) - 12 * 3600
    sent = np.maximum(sent, created[subscriber] + 60)
    interest = rng.beta(1.3, 2.6, count)[subscriber]
    has_left = sent > people.gone[person[subscriber]]
    opens = rng.random(len(sent)) < np.where(has_left, interest * 0.3, interest)
    clicks = opens & (rng.random(len(sent)) < 0.18)
    leaves = rng.random(len(sent)) < np.where(has_left, 0.02, 0.006)
    is_dead = (rng.random(count) < BOUNCING_RATE)[subscriber]
    bounces = is_dead | (rng.random(len(sent)) < FULL_MAILBOX_RATE)
    left_at = np.full(count, NEVER)
    leaving = leaves & ~bounces
    read = sent + 600 + (rng.exponential(0.4, len(sent)) * DAY).astype(np.int64)
    np.minimum.at(left_at, subscriber[leaving], read[leaving] + 120)
    dropped_at = np.full(count, NEVER)
    np.minimum.at(dropped_at, subscriber[is_dead], sent[is_dead] + 60)
    on_list = (sent < left_at[subscriber]) & (sent < dropped_at[subscriber])
    happened = (
        (SENT, on_list, sent),
        (BOUNCE, on_list & bounces, sent + 30),
        (OPEN, on_list & ~bounces & (opens | leaving), read),
        (CLICK, on_list & ~bounces & clicks, read + 45),
        (UNSUBSCRIBE, on_list & leaving, read + 120),
    )
    mail = np.concatenate([np.flatnonzero(chosen) for _, chosen, _ in happened])
    at = np.concatenate([when[chosen] for _, chosen, when in happened])
    kind = np.repeat([k for k, *_ in happened], [int(chosen.sum()) for _, chosen, _ in happened])
    in_time = np.flatnonzero(at < world.end)
    in_order = in_time[np.lexsort((kind[in_time], mail[in_time], at[in_time]))]
    mail, at, kind = mail[in_order], at[in_order], kind[in_order]
    rows = len(mail)
    world.show(
        "delivery_rows",
        {
            "_row": np.arange(rows),
            "subscriber": subscriber[mail],
            "campaign": words(_campaign_names(world, int(last_mail) + 1), number[mail]),
            "event_type": words(list(EVENT_TYPES), kind),
            "happened": at,
            "late_die": roll(rng, rows),
            "_blank": blanks(rng, rows, 5),
        },
    )
    delivery.deliver(world, "mailing/deliveries", _DELIVERIES, is_sorted=True)
    world.hide("delivery_rows")
    return np.where(left_at < world.end, left_at, NEVER)


def _campaign_names(world: World, count: int) -> list[str]:
    themes = ("news", "sale", "new-in", "gifts", "win-back", "club")
    moments = world.start + np.arange(count) * world.mail_every_days * DAY
    months = moments.astype("datetime64[s]").astype("datetime64[M]").astype(str).tolist()
    return [f"{month}-{themes[i % len(themes)]}-{i}" for i, month in enumerate(months)]


def suppressions(world: World, delivery: Delivery) -> None:
    """Write mailing/suppressions from the cards of subscribers and CRM contacts."""
    rng = world.rng("mailing/suppressions")
    world.make("signers", _SIGNERS)
    signed = np.asarray(
        world.database.execute("select happened from signers order by signer").fetchnumpy()[
            "happened"
        ],
        np.int64,
    )
    at = _later(rng, world, signed, rng.random(len(signed)) < SUPPRESSED_SHARE)
    signer = np.flatnonzero(at < world.end)
    signer = signer[np.lexsort((signer, at[signer]))]
    count = len(signer)
    world.show(
        "suppression_rows",
        {
            "_row": np.arange(count),
            "signer": signer,
            "reason": words(list(SUPPRESSION_REASONS), pick(rng, [0.4, 0.35, 0.15, 0.1], count)),
            "happened": at[signer],
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 5),
        },
    )
    world.make("suppression_steps", _SUPPRESSIONS)
    world.hide("suppression_rows")
    delivery.deliver(world, "mailing/suppressions", "select * from suppression_steps")
    world.drop("suppression_steps", "signers")


def consents(world: World, left_at: Ints, delivery: Delivery) -> None:
    """Write mailing/consents from the cards of subscribers and CRM contacts, then drop the cards.

    Consent is granted when the record is created, sometimes withdrawn, sometimes granted again;
    unsubscribing withdraws it. A few were never asked, and a few withdrew without having granted.
    """
    rng = world.rng("mailing/consents")
    world.make("signers", _SIGNERS)
    signers = world.database.execute("select happened, subscriber from signers order by signer")
    columns = signers.fetchnumpy()
    signed, subscriber = (
        np.asarray(columns[name], np.int64) for name in ("happened", "subscriber")
    )
    left = np.append(left_at, NEVER)[subscriber]  # -1, no subscriber, reads the last entry
    steps = [
        _Steps(np.flatnonzero(chosen), code, status, moment[chosen])
        for code in range(len(PURPOSES))
        for chosen, status, moment in _changes_of_mind(rng, world, code, signed, left)
    ]
    _write_consents(world, steps, delivery)
    world.drop("signers", "crm_cards", "mailing_cards")


@dataclass(frozen=True)
class _Steps:
    """Consent events of one purpose and status: who and when."""

    signer: Ints
    purpose: int
    status: int  # 0 granted, 1 withdrawn
    at: Ints


def _changes_of_mind(
    rng: np.random.Generator, world: World, purpose: int, signed: Ints, left: Ints
) -> tuple[tuple[Bools, int, Ints], ...]:
    """Granted, withdrawn, granted again: each as (which signers, status, moments of all)."""
    count = len(signed)
    asked = rng.random(count) < ASKED_SHARES[purpose]
    withdrawn = _later(rng, world, signed, asked & (rng.random(count) < 0.16))
    if PURPOSES[purpose] == "email_marketing":
        leaves = asked & (left < NEVER) & (rng.random(count) < 0.9)
        withdrawn = np.where(leaves, np.minimum(withdrawn, left + 1), withdrawn)
    changes = withdrawn < world.end
    again = _later(rng, world, withdrawn, changes & (rng.random(count) < 0.25))
    skips_grant = changes & (rng.random(count) < 0.03)
    return (
        (asked & ~skips_grant, 0, signed),
        (changes, 1, withdrawn),
        (again < world.end, 0, again),
    )


def _later(rng: np.random.Generator, world: World, after: Ints, chosen: Bools) -> Ints:
    """A random moment between `after` and the end for the chosen ones, NEVER for the others."""
    room = np.maximum(world.end - 60 - after, 0)
    moment = after + 60 + (rng.random(len(after)) * room).astype(np.int64)
    return np.where(chosen & (room > 0), moment, NEVER)


def _write_consents(world: World, steps: list[_Steps], delivery: Delivery) -> None:
    rng = world.rng("mailing/consents rows")
    sizes = [len(step.signer) for step in steps]
    signer = np.concatenate([step.signer for step in steps])
    purpose = np.repeat([step.purpose for step in steps], sizes)
    status = np.repeat([step.status for step in steps], sizes)
    at = np.concatenate([step.at for step in steps])
    in_order = np.lexsort((status, purpose, signer, at))
    count = len(in_order)
    world.show(
        "consent_steps",
        {
            "_row": np.arange(count),
            "signer": signer[in_order],
            "purpose": words(list(PURPOSES), purpose[in_order]),
            "status": words(["granted", "withdrawn"], status[in_order]),
            "legal_basis": words(
                ["consent", "legitimate_interest", "contract"],
                np.where(rng.random(count) < 0.95, pick(rng, [0.9, 0.08, 0.02], count), -1),
            ),
            "happened": at[in_order],
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 7),
        },
    )
    world.make("consent_rows", _CONSENTS)
    world.hide("consent_steps")
    delivery.deliver(world, "mailing/consents", "select * from consent_rows")
    world.drop("consent_rows")


_SUBSCRIBERS = f"""
    with rows_of_subscribers as (
        select *, row as _row, arrival(happened, late_die) as arrives
        from mailing_cards
        inner join mailing_extra using (row)
    )

    select
        's-' || (20001 + record) as subscriber_id,
        email, first_name, last_name,
        iso_utc(created) as subscribed_at,
        iso_utc(happened) as updated_at,
        person,
        _row,
        arrives as _from,
        {versions("record", "arrives")} as _until,
        _blank
    from rows_of_subscribers
    order by row
"""

_DELIVERIES = """
    select
        'd' || (60000001 + _row) as delivery_id,
        's-' || (20001 + subscriber) as subscriber_id,
        campaign, event_type,
        iso_utc(happened) as occurred_at,
        _row, arrival(happened, late_die) as _from, never() as _until, _blank
    from delivery_rows
"""

# Grain: one row per first version of a subscriber or a CRM contact with an address to sign with.
_SIGNERS = """
    with first_cards as (
        select 0 as origin, record, happened, email, null as phone, record as subscriber
        from mailing_cards
        qualify row_number() over (partition by record order by row) = 1
        union all
        select 1, record, happened, email, phone, -1
        from crm_cards
        where record % 2 = 0
        qualify row_number() over (partition by record order by row) = 1
    )

    select
        row_number() over (order by origin, record) - 1 as signer,
        happened, email, phone, subscriber
    from first_cards
    where email is not null or phone is not null
    order by signer
"""

_CONSENTS = """
    select
        'k' || (80000001 + _row) as consent_id,
        if(purpose = 'sms_marketing' and phone is not null and _row % 3 = 0, null, email) as email,
        phone, purpose, status, legal_basis,
        iso_local(consent_steps.happened, 1) as occurred_at,
        _row, arrival(consent_steps.happened, late_die) as _from, never() as _until, _blank
    from consent_steps
    inner join signers using (signer)
    order by _row
"""

_SUPPRESSIONS = """
    select
        'x' || (7001 + _row) as suppression_id,
        if(reason = 'invalid_number', null, email) as email,
        if(reason = 'hard_bounce', null, phone) as phone,
        reason,
        iso_utc(suppression_rows.happened) as occurred_at,
        _row, arrival(suppression_rows.happened, late_die) as _from, never() as _until, _blank
    from suppression_rows
    inner join signers using (signer)
    where reason <> 'invalid_number' or phone is not null
    order by _row
"""
