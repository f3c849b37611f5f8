"""The steward's desk: what waits there, what a word would do, and what becomes of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration.dashboard.desk import (
    MOST_PAIRS,
    Pair,
    Queue,
    decide,
    decided,
    effect,
    find_pair,
    queue,
    undo,
)
from orchestration.dashboard.reading import Opened, find_release, open_release
from orchestration.identity.decisions import Action, DecisionError
from orchestration.settings import Settings


@pytest.fixture
def opened(sample_release: Path) -> Iterator[Opened]:
    settings = Settings(home=sample_release.parent.parent)
    with open_release(settings, find_release(settings)) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Decisions of their own."""
    return Settings(home=tmp_path)


def ask(opened: Opened, query: str) -> list[tuple[Any, ...]]:
    return opened.connection.execute(query).fetchall()


def linked(opened: Opened) -> Pair:
    """A link without which a customer would come apart."""
    pairs = ask(
        opened,
        "select source_record_id, other_source_record_id from marts.customer_matches"
        " where outcome = 'matched' and customer_id in ("
        "   select customer_id from marts.customer_records group by 1 having count(*) = 2)"
        " order by match_weight desc limit 1",
    )
    found = find_pair(opened, pairs[0], ())
    assert found
    return found


def test_pairs_wait_the_likeliest_first_until_somebody_has_spoken(
    opened: Opened, settings: Settings
) -> None:
    for kind in (Queue.REVIEW, Queue.REFUSED):
        pairs, count = queue(opened, kind, ())
        outcomes = f"select count(*) from marts.customer_matches where outcome = '{kind}'"
        assert ask(opened, outcomes) == [(count,)]
        assert len(pairs) == min(count, MOST_PAIRS) > 1
        weights = [pair.link.weight for pair in pairs]
        assert weights == sorted(weights, reverse=True)
        decide(settings, pairs[0], Action.NOT_SAME, by="Eva", why="brothers")
        after, fewer = queue(opened, kind, decided(settings))
        assert fewer == count - 1
        assert after[0].link.pair == pairs[1].link.pair


def test_whoever_is_unsure_finds_the_pair_again_and_an_undo_brings_it_back(
    opened: Opened, settings: Settings
) -> None:
    (pair, *_), count = queue(opened, Queue.REVIEW, ())
    decision = decide(settings, pair, Action.UNSURE, by="Eva", why="ask the shop")
    (unsure,), one = queue(opened, Queue.UNSURE, decided(settings))
    assert (unsure.link, unsure.decision, one) == (pair.link, decision, 1)
    assert queue(opened, Queue.REVIEW, decided(settings))[1] == count - 1
    undo(settings, decision, by="Eva")
    assert decided(settings) == ()
    assert queue(opened, Queue.REVIEW, decided(settings))[1] == count


def test_one_person_makes_one_customer_of_two(opened: Opened) -> None:
    (pair, *_), _ = queue(opened, Queue.REVIEW, ())
    would = effect(opened, pair, Action.SAME, ())
    ids = f"('{pair.link.customer_id}', '{pair.link.other_customer_id}')"
    records = ask(
        opened,
        "select source_record_id from marts.customer_records"
        f" where customer_id in {ids} order by source_record_id",
    )
    assert would.told.startswith(f"Two customers become one, of {len(records)} records")
    assert would.groups == [[record for (record,) in records]]
    for action in (Action.NOT_SAME, Action.UNSURE):
        assert len(effect(opened, pair, action, ()).groups) == 2


def test_two_people_of_a_customer_come_apart_with_what_hangs_on_each(opened: Opened) -> None:
    pair = linked(opened)
    would = effect(opened, pair, Action.NOT_SAME, ())
    assert [[record] for record in sorted(pair.link.pair)] == sorted(
        [*part] for part in would.groups
    )
    assert "becomes 2, of 1 and 1" in would.told
    assert effect(opened, pair, Action.SAME, ()).groups == [sorted(pair.link.pair)]


def test_a_word_against_an_earlier_one_is_refused_before_it_is_said(
    opened: Opened, settings: Settings
) -> None:
    (pair, *_), _ = queue(opened, Queue.REVIEW, ())
    for record in pair.link.pair:
        one, other = sorted((record, "zoo:1"))
        link = replace(pair.link, source_record_id=one, other_source_record_id=other)
        decide(settings, replace(pair, link=link), Action.SAME, by="Eva", why="one keeper")
    would = effect(opened, pair, Action.NOT_SAME, decided(settings))
    assert not would.is_possible
    assert "by this decision" in would.told
    with pytest.raises(DecisionError, match="different people"):
        decide(settings, pair, Action.NOT_SAME, by="Eva", why="brothers")
    assert effect(opened, pair, Action.SAME, decided(settings)).is_possible


def test_an_undo_of_what_was_undone_says_so(opened: Opened, settings: Settings) -> None:
    pairs, _ = queue(opened, Queue.REFUSED, ())
    decision = decide(settings, pairs[0], Action.SAME, by="Eva", why="a slip")
    undo(settings, decision, by="Eva")
    with pytest.raises(DecisionError, match="was revoked before"):
        undo(settings, decision, by="Eva")
