"""Sessions equal those of a plain loop over the events, however they were built."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journeys.lab import Lab, at

Event = dict[str, Any]
GAP = timedelta(minutes=30)
NEW_YORK = ZoneInfo("America/New_York")
# The hour before a day ends in UTC, in New York, and in New York while its clocks change.
DAYS = [
    at("2026-02-27 23:30"),
    at("2026-03-01 04:30"),
    at("2026-03-08 06:30"),
    at("2024-02-29 23:00"),
]


def by_hand(events: Sequence[Event], *, all_cuts: bool) -> list[tuple[Any, ...]]:
    """What the models must say: visitor, start, end, events and account of each session."""
    known = [e | {"who": who(e)} for e in events if e["occurred_at"] and who(e)]
    known.sort(key=itemgetter("who", "occurred_at", "event_id"))
    found = []
    for visitor, theirs in groupby(known, key=itemgetter("who")):
        session: list[Event] = []
        account = campaign = None
        for event in theirs:
            now, before = event["occurred_at"], session[-1]["occurred_at"] if session else None
            pause = before is None or now - before > GAP
            if all_cuts and before is not None:
                pause = pause or day(now) != day(before)
            if pause:
                account = campaign = None
            cut = pause
            if all_cuts:
                cut = cut or (event["account_id"] and account not in (None, event["account_id"]))
                cut = cut or (event["utm_source"] and campaign != event["utm_source"])
            account, campaign = event["account_id"] or account, event["utm_source"] or campaign
            if cut and session:
                found.append(told(visitor, session))
                session = []
            session.append(event)
        found.append(told(visitor, session))
    return sorted(found, key=repr)


def who(event: Event) -> str | None:
    if event["anonymous_id"]:
        return f"web:{event['anonymous_id']}"
    return f"shop:{event['account_id']}" if event["account_id"] else None


def day(moment: datetime) -> Any:
    return moment.replace(tzinfo=UTC).astimezone(NEW_YORK).date()


def told(visitor: str, session: Sequence[Event]) -> tuple[Any, ...]:
    accounts = [event["account_id"] for event in session if event["account_id"]]
    times = [event["occurred_at"] for event in session]
    return visitor, times[0], times[-1], len(session), accounts[-1] if accounts else None


# Pauses around the gap, so that boundaries are met often; 0 makes ties.
pauses = st.sampled_from([0, 0, 1, 600, 1799, 1800, 1800, 1801, 86400]).map(
    lambda seconds: timedelta(seconds=seconds)
)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for visitor in draw(st.lists(st.sampled_from(["v", "w", None]), min_size=1, max_size=3)):
        moment = draw(st.sampled_from(DAYS))
        for _ in range(draw(st.integers(1, 8))):
            moment += draw(pauses) + timedelta(microseconds=draw(st.sampled_from([0, 0, 0, 1])))
            events.append(
                {
                    "event_id": f"e{draw(st.integers(0, 9))}{len(events):03}",
                    "anonymous_id": visitor,
                    "account_id": draw(st.sampled_from([None, None, "A", "B"])),
                    "utm_source": draw(st.sampled_from([None, None, "x", "y"])),
                    "occurred_at": draw(st.sampled_from([moment] * 9 + [None])),
                }
            )
    return events


@given(events=histories())
def test_sessions_are_those_of_a_plain_loop(plain: Lab, events: list[Event]) -> None:
    plain.build(events)
    assert sorted(plain.sessions(), key=repr) == by_hand(events, all_cuts=False)


@given(events=histories())
def test_so_they_are_with_every_cut(all_cuts: Lab, events: list[Event]) -> None:
    all_cuts.build(events)
    assert sorted(all_cuts.sessions(), key=repr) == by_hand(events, all_cuts=True)


# three builds an example
@settings(max_examples=settings().max_examples // 3)
@given(events=histories(), data=st.data())
def test_an_increment_equals_a_full_build(
    all_cuts: Lab, events: list[Event], data: st.DataObject
) -> None:
    """Events come late, change and go away, among them whole days."""
    known = data.draw(st.lists(st.sampled_from(events), unique_by=itemgetter("event_id")))
    changed = [
        event | {"utm_source": "z"} if data.draw(st.booleans()) else event for event in events
    ]
    models = ("int_event_days_fingerprinted", "int_session_fragments_cut", "int_sessions_joined")
    all_cuts.build(changed)
    full = [all_cuts.all_of(model) for model in models]
    all_cuts.build(known)
    all_cuts.build(changed, increment=True)
    assert [all_cuts.all_of(model) for model in models] == full


def test_a_visitor_of_thousands_of_events_is_cut_where_pauses_are(plain: Lab) -> None:
    start = at("2026-01-01 00:00")
    events = [
        {
            "event_id": f"e{i:05}",
            "anonymous_id": "busy",
            "occurred_at": start + i * timedelta(minutes=5) + (i // 100) * timedelta(minutes=26),
        }
        for i in range(5000)
    ]
    plain.build(events)
    assert [row[3] for row in plain.sessions()] == [100] * 50


def test_no_event_at_all_is_no_session(plain: Lab) -> None:
    plain.build([])
    assert plain.sessions() == []
