"""An erasure killed at random moments, again and again, ends as one that nobody disturbed."""

import random
import shutil
import signal
import time
from pathlib import Path

import duckdb
import pytest

from benchmarks.faults import DAYS, Lab, Reference
from benchmarks.forking import RunServer
from orchestration.privacy.certificates import certificates, pending
from orchestration.privacy.people import People, Registry
from orchestration.privacy.scanning import Scanner
from orchestration.release import list_releases, read_manifest, verify_release

BY = ("--confirm", "--by", "Eva Lind", "--why", "case 17")
KILLS = 10


@pytest.fixture(scope="module")
def two_days(server: RunServer, landing: Path, folder: Path, reference: Reference) -> Lab:
    """An installation with two releases."""
    first = Lab(server, landing, reference.after_first_day)
    lab = first.copied_to(folder / "before-erasure")
    lab.deliver(DAYS[1])
    lab.run()
    return lab


@pytest.fixture(scope="module")
def person(two_days: Lab) -> tuple[str, People]:
    """A customer of many sources, and everything that names them."""
    ((customer,),) = two_days.query(
        "select customer_id from marts.customer_sources group by customer_id"
        " order by count(distinct source) desc, count(*) desc, customer_id limit 1"
    )
    database = str(two_days.home / "work.duckdb")
    with duckdb.connect(database, read_only=True) as connection:
        people = Registry(connection, two_days.release.marts).people([str(customer)])
    return str(customer), people


def end_state(lab: Lab) -> tuple[object, ...]:
    """What must be the same: raw, every release, and what the certificate counts."""
    with duckdb.connect(str(lab.home / "work.duckdb"), read_only=True) as connection:
        raw = connection.execute(
            "select file_path, loaded_count, forgotten_count from raw.files order by file_path"
        ).fetchall()
        orders = connection.execute(
            "select order_id, total_amount, _row_hash from raw.shop__orders order by all"
        ).fetchall()
    hashes = [read_manifest(release).content_hash for release in list_releases(lab.settings)]
    (certificate,) = certificates(lab.settings)
    # runs that were killed after they had released left releases of the same content
    counted = certificate.customer_count, certificate.records_by_source, certificate.found
    return raw, len(orders), set(hashes), hashes[-1], counted


def test_an_erasure_killed_ten_times_is_resumed_to_the_same_end(
    two_days: Lab, person: tuple[str, People], folder: Path
) -> None:
    customer, people = person

    def begin(name: str) -> Lab:
        lab = two_days.copied_to(folder / name)
        # the same key, or pseudonyms of orders would differ
        (lab.home / "erasure.key").write_text("0f" * 32 + "\n", encoding="ascii")
        return lab

    undisturbed = begin("undisturbed-erasure")
    began = time.monotonic()
    child = undisturbed.start("forget", customer, *BY)
    assert child.wait() == 0, child.output
    seconds = time.monotonic() - began
    expected = end_state(undisturbed)
    dice = random.Random(20261127)
    killed = 0
    rounds = 0
    # An attempt may end before its kill, then the next kills meet another erasure from its start.
    while killed < KILLS:
        lab = begin(f"killed-erasure-{rounds}")
        rounds += 1
        arguments: tuple[str, ...] = ("forget", customer, *BY)
        while True:
            child = lab.start(*arguments)
            is_aimed_at = killed < KILLS
            if is_aimed_at:
                # later and later, for what was done is not redone
                time.sleep(seconds * (killed + dice.random()) / KILLS)
                child.kill()
            if child.wait() == 0:
                if is_aimed_at:
                    seconds *= 0.8  # the machine is faster now than when it was measured
                break
            assert child.exit_code == -signal.SIGKILL, child.output
            killed += 1
            if pending(lab.settings) or certificates(lab.settings):
                arguments = ("forget", "--resume")
        assert pending(lab.settings) == []
        assert Scanner(people.needles, people.keys).folder(lab.home).places == []
        assert lab.left_behind() == []
        assert end_state(lab) == expected
        for release in list_releases(lab.settings):
            verify_release(release)
        shutil.rmtree(lab.folder)
