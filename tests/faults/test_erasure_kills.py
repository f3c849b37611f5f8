"""An erasure killed at random moments, again and again, ends as one that nobody disturbed."""

import random
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
        people = Registry(connection, two_days.release.database).people([str(customer)])
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
    undisturbed = two_days.copied_to(folder / "undisturbed-erasure")
    # the same key, or pseudonyms of orders would differ
    (undisturbed.home / "erasure.key").write_text("0f" * 32 + "\n", encoding="ascii")
    began = time.monotonic()
    child = undisturbed.start("forget", customer, *BY)
    assert child.wait() == 0, child.output
    seconds = time.monotonic() - began
    lab = two_days.copied_to(folder / "killed-erasure")
    (lab.home / "erasure.key").write_text("0f" * 32 + "\n", encoding="ascii")
    dice = random.Random(20261127)
    # Later and later: an attempt that ends leaves nothing to kill, and what was done is not redone.
    moments = [0.85 * seconds * (number + dice.random()) / KILLS for number in range(KILLS)]
    killed = 0
    arguments: tuple[str, ...] = ("forget", customer, *BY)
    for moment in moments:
        child = lab.start(*arguments)
        time.sleep(moment)
        child.kill()
        killed += child.wait() != 0
        if pending(lab.settings) or certificates(lab.settings):
            arguments = ("forget", "--resume")
    child = lab.start(*arguments)
    assert child.wait() == 0, child.output
    assert killed >= KILLS - 2
    assert pending(lab.settings) == []
    assert Scanner(people.needles, people.keys).folder(lab.home).places == []
    assert lab.left_behind() == []
    assert end_state(lab) == end_state(undisturbed)
    for release in list_releases(lab.settings):
        verify_release(release)
