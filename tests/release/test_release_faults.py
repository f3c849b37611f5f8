"""Whatever happens to a publish, a reader sees one whole release; real processes, real disks."""

import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import duckdb
import pytest

from orchestration.release import (
    Release,
    ReleaseError,
    current_release,
    list_releases,
    publish,
    rollback,
    verify_release,
)
from orchestration.settings import Settings
from tests.release.conftest import READER

# Children start from a clean server that has the imports done: 10 ms each.
processes = get_context("forkserver")
processes.set_forkserver_preload(["orchestration.release", "pytest"])

MARTS = ("customers", "orders", "segments")


def build_marts(settings: Settings, marker: int, rows: int = 100) -> None:
    """Every mart carries the marker of its release in every row."""
    settings.candidate_database.unlink(missing_ok=True)
    with duckdb.connect(config={"threads": 1}) as connection:
        path = str(settings.candidate_database).replace("'", "''")
        connection.execute(f"attach '{path}' as candidate (storage_version 'v1.0.0')")
        connection.execute("create schema candidate.marts")
        for mart in MARTS:
            connection.execute(
                f"create table candidate.marts.{mart} as "
                f"select {marker} as marker, md5(range::varchar) as text from range({rows})"
            )


def publish_now(settings: Settings) -> Release:
    now = datetime.now(UTC)
    return publish(settings, gates=[], provenance={}, released_at=now, roles=[READER])


def marker_in(source: str, connection: duckdb.DuckDBPyConnection) -> set[tuple[int, int]]:
    query = " union all ".join(
        f"select distinct marker from {source.format(mart=mart)}" for mart in MARTS
    )
    return set(
        connection.execute(f"select marker, count(*) from ({query}) group by all").fetchall()
    )


def assert_whole(settings: Settings, *, markers: set[int]) -> None:
    current = current_release(settings)
    assert current is not None
    verify_release(current)
    with duckdb.connect(str(current.database), read_only=True) as connection:
        ((marker, marts),) = marker_in("marts.{mart}", connection)
    assert (marts, marker in markers) == (len(MARTS), True), f"{marker} is none of {markers}"


def left_behind(settings: Settings) -> set[str]:
    known = {".lock", *(release.id for release in list_releases(settings))}
    return {path.name for path in settings.releases.iterdir()} - known


def read_until(stop: Event, home: Path, report: Connection) -> None:
    """Open the database and the Parquet files of `current` again and again."""
    reads, faults = 0, []
    while not stop.is_set():
        try:
            database = str(home / "current" / "warehouse.duckdb")
            with duckdb.connect(database, read_only=True, config={"threads": 1}) as connection:
                seen = marker_in("marts.{mart}", connection)
                folder = (home / "current" / "parquet").resolve()
                os.chdir(folder)
                also_seen = marker_in("read_parquet('{mart}.parquet')", connection)
                connection.execute("attach '../reader.duckdb' as reader (read_only)")
                role_seen = marker_in("reader.marts.{mart}", connection)
            counted = [marts for markers in (seen, also_seen, role_seen) for _, marts in markers]
            if counted != [len(MARTS)] * 3:
                faults.append(f"mixed: {seen} {also_seen} {role_seen}")
        except Exception as error:
            faults.append(repr(error))
        reads += 1
        time.sleep(0.02)
    report.send((reads, faults))


def test_readers_in_a_loop_see_whole_releases_only_while_fifty_are_made(settings: Settings) -> None:
    settings = settings.model_copy(update={"keep_releases": 7})
    build_marts(settings, 0)
    publish_now(settings)
    stop = processes.Event()
    readers = []
    for _ in range(3):
        ours, theirs = processes.Pipe()
        reader = processes.Process(target=read_until, args=(stop, settings.home, theirs))
        reader.start()
        theirs.close()  # a process that could not begin ends the pipe, and nobody waits for it
        readers.append((reader, ours))
    for number in range(1, 51):
        build_marts(settings, number)
        publish_now(settings)
        if number % 5 == 0:
            rollback(settings)
    stop.set()
    reports = [report.recv() for _, report in readers]
    for reader, _ in readers:
        reader.join()
    assert [faults for _, faults in reports] == [[], [], []]
    assert min(reads for reads, _ in reports) >= 10


def publish_until_killed(settings: Settings, ready: Connection) -> None:
    ready.send("now")
    while True:
        publish_now(settings)


def test_a_publish_killed_at_any_moment_leaves_current_whole(settings: Settings) -> None:
    build_marts(settings, 0, rows=10_000)
    started = time.perf_counter()
    publish_now(settings)
    duration = time.perf_counter() - started
    dice = random.Random(20260301)
    caught_halfway = 0
    for number in range(1, 17):
        build_marts(settings, number, rows=10_000)
        ours, theirs = processes.Pipe()
        victim = processes.Process(target=publish_until_killed, args=(settings, theirs))
        victim.start()
        theirs.close()
        ours.recv()
        time.sleep(dice.uniform(0, 2 * duration))
        victim.kill()
        victim.join()
        caught_halfway += bool(left_behind(settings))
        assert_whole(settings, markers={number - 1, number})
        published = publish_now(settings)
        assert current_release(settings) == published
        assert left_behind(settings) == set()
        assert len(list_releases(settings)) <= settings.keep_releases
        assert_whole(settings, markers={number})
    assert caught_halfway >= 5


def publish_and_die_at(step: int, settings: Settings) -> None:
    """Kill this process right before its n-th change to the disk under the home."""
    changes = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.symlink", "os.chmod"}
    home, taken = str(settings.home), 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal taken
        if event == "open":
            path, _, flags = arguments
            writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            change = str(path).startswith(home) and writing
        else:
            change = event in changes
        taken += bool(change)
        if change and taken == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    publish_now(settings)


def test_a_publish_killed_before_each_of_its_changes_to_the_disk_leaves_current_whole(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"keep_releases": 2})
    for number in range(2):
        build_marts(settings, number)
        publish_now(settings)
    step, exit_code, markers = 0, None, {1}
    while exit_code != 0:
        step += 1
        build_marts(settings, step + 1)
        victim = processes.Process(target=publish_and_die_at, args=(step, settings))
        victim.start()
        victim.join()
        exit_code = victim.exitcode
        assert exit_code in (0, -signal.SIGKILL)
        markers |= {step + 1}
        assert_whole(settings, markers=markers)
    assert_whole(settings, markers={step + 1})
    assert left_behind(settings) == set()
    assert step > 20


def test_two_publishes_at_once_do_not_meet(settings: Settings) -> None:
    build_marts(settings, 1)
    published = publish_now(settings)
    with (settings.releases / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for attempt in (publish_now, rollback):
            with pytest.raises(ReleaseError, match="Another publish or rollback is under way"):
                attempt(settings)
    assert current_release(settings) == published


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_the_publish_at_any_step_and_spares_the_last_release(
    settings: Settings, small_disk: Path
) -> None:
    settings = settings.model_copy(update={"home": small_disk})
    build_marts(settings, 1, rows=10_000)
    last = publish_now(settings)
    build_marts(settings, 2, rows=10_000)
    ballast = small_disk / "ballast"
    size = sum(path.stat().st_size for path in last.path.rglob("*.*"))
    refusals: list[str] = []
    for left in range(0, size + 65536, 65536):
        free = os.statvfs(small_disk).f_bavail * 4096
        ballast.write_bytes(bytes(max(0, free - left)))
        try:
            publish_now(settings)
            break
        except ReleaseError as error:
            refusals.append(str(error))
        assert current_release(settings) == last
        assert left_behind(settings) == set()
        ballast.unlink()
    verify_release(last)
    assert len(refusals) >= 10
    advice = f"Free some disk space or lower WAREHOUSE_KEEP_RELEASES. Release {last.id} is still"
    for refusal in refusals:
        assert "No space left" in refusal
        assert advice in refusal
    ballast.unlink(missing_ok=True)
    published = publish_now(settings)
    assert_whole(settings, markers={2})
    assert rollback(settings).id < published.id


def test_a_disk_that_may_only_be_read_is_named(settings: Settings, small_disk: Path) -> None:
    settings = settings.model_copy(update={"home": small_disk})
    build_marts(settings, 1)
    last = publish_now(settings)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for attempt in (publish_now, rollback):
        with pytest.raises(ReleaseError, match=f"Read-only.*Release {last.id} is still current"):
            attempt(settings)
    verify_release(last)


def publish_with_small_files(settings: Settings, limit: int, report: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        publish_now(settings)
    except ReleaseError as error:
        report.send(str(error))
    else:
        report.send("published")


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_file_that_may_not_grow_stops_the_publish_and_spares_the_last_release(
    settings: Settings, share: float
) -> None:
    build_marts(settings, 1, rows=10_000)
    last = publish_now(settings)
    limit = int(last.database.stat().st_size * share)
    ours, theirs = processes.Pipe()
    victim = processes.Process(target=publish_with_small_files, args=(settings, limit, theirs))
    victim.start()
    message = ours.recv()
    victim.join()
    assert "File too large" in message
    assert f"Release {last.id} is still current" in message
    assert left_behind(settings) == set()
    assert_whole(settings, markers={1})
