"""Runs killed in every stage, with readers in a loop: nothing is lost, nobody sees a half."""

import random

from benchmarks.faults import DAYS, STAGES, Found, Reference, reading, take_day
from tests.faults.conftest import NewLab


def test_runs_killed_in_every_stage_lose_nothing_and_no_reader_notices(
    second_day: NewLab, reference: Reference
) -> None:
    lab, found = second_day("killed"), Found()
    kills = len(STAGES)
    with reading(lab.home, 2, found):
        take_day(
            lab,
            DAYS[1],
            reference,
            found,
            dice=random.Random(20260301),
            kills=kills,
            kills_a_day=kills,
        )
    assert (found.differing, found.left_behind, found.stopped) == ([], [], [])
    assert found.reader_faults == []
    assert found.reads >= 10
    assert found.compared == 1
    # the last one is aimed at the release, which may be over before it is hit
    assert found.kills.total() >= kills - 1
    assert len(found.kills) >= 5
