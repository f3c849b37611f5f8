"""The laws of consent: on any day the strictest word counts, and no audience ever breaks it."""

from dataclasses import replace
from datetime import date, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.consent.lab import Lab
from tests.consent.world import (
    AUDIENCES,
    FIRST_DAY,
    PURPOSES,
    RECORDS,
    Mail,
    Statement,
    Suppression,
    Version,
    World,
    moment,
)

LAST_DAY = 5
CLOCKS = (time(0), time(12), time(23, 59, 59))

moments = st.builds(moment, st.integers(0, LAST_DAY), st.sampled_from(CLOCKS))
# one in ten is undated: one undated no silences an address for good
whens = st.integers(0, 9).flatmap(lambda die: st.none() if die == 0 else moments)
emails = st.sampled_from((None, "a@x.test", "b@x.test", "c@x.test", "nobody@x.test"))
phones = st.sampled_from((None, None, "700900001", "700900002"))
statements = st.builds(
    Statement,
    emails,
    phones,
    st.sampled_from((*PURPOSES[:2] * 3, *PURPOSES, None, "letters")),
    st.sampled_from((*("granted",) * 6, "withdrawn", "withdrawn", "perhaps", None)),
    st.sampled_from((*("consent",) * 6, "legitimate_interest", "contract", None)),
    whens,
)
# one version of a contact an instant: of more the one that was loaded last would count
versions = st.dictionaries(
    st.tuples(st.sampled_from("12"), whens), st.sampled_from(("yes", "yes", "no", None)), max_size=5
).map(lambda answers: tuple(Version(c, answer, at) for (c, at), answer in answers.items()))
mails = st.builds(
    Mail,
    st.sampled_from(("s1", "s2", "s3", "s4")),
    st.sampled_from(("sent", "sent", "open", "click", "bounce", "unsubscribe", "complaint")),
    whens,
)
suppressions = st.builds(
    Suppression,
    emails,
    phones,
    st.sampled_from(("hard_bounce", "invalid_number", "complaint", "do_not_contact", "?", None)),
    whens,
)
worlds = st.builds(
    World,
    st.integers(0, LAST_DAY),
    st.fixed_dictionaries({record: st.sampled_from("xyz") for record in RECORDS}),
    st.lists(statements, max_size=10).map(tuple),
    versions,
    st.lists(mails, max_size=3).map(tuple),
    st.lists(suppressions, max_size=1).map(tuple),
    st.frozensets(st.sampled_from("12"), max_size=1),
)
# Chance alone fills few audiences: here everybody has agreed to everything before the first day.
AGREED = tuple(
    Statement(email, phone, purpose, "granted", "consent", moment(-1, time(12)))
    for purpose in PURPOSES
    for email, phone in {(email, phone) for email, phone in RECORDS.values() if email or phone}
)
agreed_worlds = st.builds(
    lambda world, said, answers, suppressed: replace(
        world, statements=AGREED + tuple(said), versions=answers, suppressions=tuple(suppressed)
    ),
    worlds,
    st.lists(statements, max_size=2),
    st.just(()) | versions,
    st.lists(suppressions, max_size=2),
)


def told(lab: Lab) -> dict[tuple[str, str], list[tuple[date, date | None, bool]]]:
    """Periods of each customer and purpose."""
    periods: dict[tuple[str, str], list[tuple[date, date | None, bool]]] = {}
    for customer, purpose, *period in lab.query(
        "select customer_id, purpose, valid_from, valid_until, is_granted"
        " from release_candidate.marts.customer_consent order by all"
    ):
        periods.setdefault((customer, purpose), []).append((period[0], period[1], period[2]))
    return periods


def state(periods: list[tuple[date, date | None, bool]], day: date) -> bool | None:
    holding = [yes for begins, ends, yes in periods if begins <= day and (not ends or ends > day)]
    assert len(holding) <= 1
    return holding[0] if holding else None


def members(lab: Lab) -> set[tuple[str, str, str]]:
    rows = lab.query(
        "select audience, customer_id, address from release_candidate.marts.audience_members"
    )
    return {(audience, customer, address) for audience, customer, address in rows}


@given(worlds)
def test_the_state_of_any_day_is_what_all_that_a_customer_is_known_by_had_said(
    lab: Lab, world: World
) -> None:
    lab.build(world.today, world.inputs())
    periods = told(lab)
    days = [date(1950, 1, 1), *(FIRST_DAY + timedelta(days=d) for d in range(-1, world.as_of + 1))]
    for customer in world.people():
        for purpose in PURPOSES:
            for day in days:
                assert state(periods.get((customer, purpose), []), day) is world.may_contact(
                    customer, purpose, day
                ), (customer, purpose, day)


@given(worlds | agreed_worlds)
def test_an_audience_holds_exactly_those_who_said_yes_and_may_be_contacted(
    lab: Lab, world: World
) -> None:
    lab.build(world.today, world.inputs())
    assert members(lab) == world.members()


@given(agreed_worlds, st.sampled_from(("a@x.test", "b@x.test", "c@x.test")))
def test_a_withdrawal_takes_its_people_out_of_every_audience_whatever_else_was_said(
    lab: Lab, world: World, email: str
) -> None:
    no = Statement(email, None, None, "withdrawn", None, moment(world.as_of, time(23, 59, 59)))
    after = replace(world, statements=(*world.statements, no))
    lab.build(after.today, after.inputs())
    people = after.people().items()
    left = {c for c, records in people if email in {RECORDS[r][0] for r in records}}
    assert not {customer for _, customer, _ in members(lab)} & left


@given(agreed_worlds)
def test_no_audience_holds_anybody_who_must_not_be_contacted(lab: Lab, world: World) -> None:
    lab.build(world.today, world.inputs())
    for audience, customer, _ in members(lab):
        assert not world.is_suppressed(customer, AUDIENCES[audience][1])


@given(worlds | agreed_worlds, st.sampled_from("xyz"), st.sampled_from("xyz"))
def test_a_merge_grants_nothing_that_one_of_the_two_had_refused(
    lab: Lab, world: World, one: str, other: str
) -> None:
    merged = replace(
        world, customers={r: one if c == other else c for r, c in world.customers.items()}
    )
    lab.build(merged.today, merged.inputs())
    periods = told(lab)
    for purpose in PURPOSES:
        for d in range(world.as_of + 1):
            day = FIRST_DAY + timedelta(days=d)
            before = [
                world.may_contact(c, purpose, day) for c in {one, other} if c in world.people()
            ]
            if False in before:
                assert state(periods.get((one, purpose), []), day) is False


@given(worlds)
def test_an_edit_of_a_contact_changes_no_answer(lab: Lab, world: World) -> None:
    """A CRM writes the newest answer again, dated today: nobody comes to consent by that."""
    newest: dict[str, Version] = {}
    for version in world.versions:
        if version.at is not None and version.at.date() <= world.today:
            known = newest.get(version.contact)
            if known is None or known.at is None or version.at > known.at:
                newest[version.contact] = version
    edits = tuple(
        replace(version, at=moment(world.as_of, time(23, 59, 59, 999)))
        for version in newest.values()
    )
    lab.build(world.today, world.inputs())
    before = (told(lab), members(lab))
    edited = replace(world, versions=(*world.versions, *edits))
    lab.build(edited.today, edited.inputs())
    assert (told(lab), members(lab)) == before
