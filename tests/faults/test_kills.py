"""Runs killed in every stage, with readers in a loop: nothing is lost, nobody sees a half."""

import random
import time

from ahocorasick_rs import BytesAhoCorasick

from benchmarks.faults import DAYS, STAGES, Found, Reference, reading, take_day
from orchestration.database import is_encrypted
from orchestration.keys import make_key
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


def test_runs_killed_in_an_encrypted_home_leave_nothing_that_can_be_read(
    second_day: NewLab, reference: Reference
) -> None:
    lab = second_day("killed-encrypted")
    addresses = lab.query("select distinct email from marts.customers where email is not null")
    names = BytesAhoCorasick([str(address).encode() for (address,) in addresses])

    # releases have a key of their own, which is not there; exports are for who has no key of ours
    elsewhere = (lab.settings.releases, lab.settings.exports)

    def readable() -> list[str]:
        return [
            path.name
            for path in lab.home.rglob("*")
            if path.is_file() and not any(path.is_relative_to(folder) for folder in elsewhere)
            if names.find_matches_as_indexes(path.read_bytes())
        ]

    assert "work.duckdb" in readable()
    make_key(lab.settings, "working")
    began = time.monotonic()
    lab.run()
    seconds = time.monotonic() - began
    assert lab.content_hash == reference.hashes[DAYS[1]]
    dice = random.Random(20261127)
    for number in range(4):
        child = lab.start("run", "--rebuild")
        time.sleep(seconds * (number + dice.random()) / 4)
        child.kill()
        child.wait()
        assert readable() == []
    # once more while DuckDB keeps a log of what is not in its file yet: it comes and goes
    child = lab.start("run", "--rebuild")
    while not any(path.stat().st_size for path in lab.home.glob("*.wal")):
        child.server.collect()
        assert child.exit_code is None, f"no log was seen before the run ended:\n{child.output}"
        time.sleep(0.001)
    child.kill()
    child.wait()
    assert readable() == []
    lab.run("--rebuild")
    assert readable() == []
    assert lab.content_hash == reference.hashes[DAYS[1]]
    for database in lab.home.glob("*.duckdb"):
        assert is_encrypted(database)
