"""Every fault of the machine ends with a sentence, and the run after it gives the same release.

Runs are processes of their own. What stops a run early is done one after the other to one
installation, and what a run heals by itself is healed in one run; a test asks for each.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from benchmarks.faults import DAYS, Lab, Reference
from benchmarks.forking import Child, Limits, RunServer
from orchestration.release import list_releases, read_manifest
from tests.faults.conftest import NewLab

UNTOUCHED = "Nothing was released; the last release is untouched."


def flip(file: Path, *places: float) -> None:
    """Flip bytes at these shares of a file."""
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    for place in places:
        data[int(len(data) * place)] ^= 0xFF
    file.write_bytes(data)


@contextmanager
def only_readable(folder: Path) -> Iterator[None]:
    """A disk that may only be read; rights alone do not stop root."""
    if os.geteuid() == 0:
        bind = subprocess.run(["mount", "--bind", folder, folder], check=False, capture_output=True)
        if bind.returncode:
            pytest.skip("root may not mount here")
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    paths = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


# Dagster's files grow by half of it before DuckDB's do.
SPARE_BYTES = 9 << 20


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A file system in memory of so many bytes; yields what gives it another size."""

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def enlarge(bytes_then: int) -> None:
        assert mount(f"remount,size={bytes_then}")

    if not mount(f"size={size}"):
        pytest.skip("only root may mount, and not everywhere")
    try:
        yield enlarge
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@dataclass
class Troubled:
    """An installation to which one thing after the other happened, and what was printed."""

    lab: Lab
    stopped: dict[str, Child] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)

    def stop(self, name: str, child: Child) -> None:
        child.wait()
        self.stopped[name] = child
        self.releases[name] = self.lab.release.id

    def output(self, name: str) -> str:
        """What was printed, after the checks that hold for all."""
        child = self.stopped[name]
        assert child.exit_code == 1, child.output
        assert "Traceback" not in child.output, child.output
        assert self.releases[name] == self.releases["before"]
        return child.output


@pytest.fixture(scope="module")
def troubled(second_day: NewLab) -> Troubled:
    lab = second_day("troubled")
    seen = Troubled(lab)
    seen.releases["before"] = lab.release.id
    # Dagster's files stay below the first limit, so DuckDB meets it; they meet the second.
    seen.stop("full for DuckDB", lab.start("run", limits=Limits(file_bytes=8_000_000)))
    seen.stop("full for Dagster", lab.start("run", limits=Limits(file_bytes=100_000)))
    seen.stop("little memory", lab.start("run", WAREHOUSE_MEMORY_LIMIT="1MB"))
    # A third of what such a run needs beside what its process has: DuckDB is refused first, in
    # landing. From 20 MiB on any line may be, or none.
    seen.stop("no more memory", lab.start("run", limits=Limits(memory_bytes=8 << 20)))
    first = lab.start("run")
    assert first.wait_for(" staging ...")
    seen.stop("second run", lab.start("run"))
    seen.stop("rollback during a run", lab.start("rollback"))
    seen.stopped["decide during a run"] = lab.start(
        *("decide", "same", "crm:none", "crm:nobody", "--by", "a", "--why", "b", "--unseen")
    )
    seen.stopped["decide during a run"].wait()
    first.kill()  # as the kernel does it when memory runs out
    seen.stop("killed", first)
    # undone, so that the evidence is that of the reference again
    lines = lab.settings.decisions.read_text(encoding="utf-8").splitlines()
    seen.stopped["revoke"] = lab.start(
        *("revoke", lines[-1].partition(",")[0], "--by", "a", "--why", "b")
    )
    seen.stopped["revoke"].wait()
    whole = lab.settings.decisions.read_bytes()
    lab.settings.decisions.write_bytes(whole + b"d-1234567890,same,crm:")
    seen.stop("half a decision", lab.start("run"))
    lab.settings.decisions.write_bytes(whole)
    return seen


@pytest.mark.parametrize("name", ["full for DuckDB", "full for Dagster"])
def test_a_full_disk_stops_the_run_with_a_sentence(troubled: Troubled, name: str) -> None:
    output = troubled.output(name)
    assert UNTOUCHED in output
    assert f"The disk that holds {troubled.lab.home} is full" in output
    assert "ree some" in output, "what to do"


def test_too_little_memory_stops_the_run_with_a_sentence(troubled: Troubled) -> None:
    output = troubled.output("little memory")
    assert UNTOUCHED in output
    assert "The memory did not suffice" in output
    assert "WAREHOUSE_MEMORY_LIMIT=1MB" in output


def test_a_process_that_gets_no_more_memory_stops_the_run_with_a_sentence(
    troubled: Troubled,
) -> None:
    output = troubled.output("no more memory")
    assert UNTOUCHED in output
    assert "The memory did not suffice" in output


def test_a_small_disk_that_runs_full_stops_the_run_and_with_more_room_it_goes_on(
    second_day: NewLab, reference: Reference, tmp_path: Path
) -> None:
    lab = second_day("small disk")
    files = (path for path in lab.folder.rglob("*") if not path.is_symlink())
    used = sum(path.stat().st_size for path in files)
    with small_disk(tmp_path, used + SPARE_BYTES) as enlarge:
        lab = lab.copied_to(tmp_path / "installation")
        before = lab.release.id
        stopped = lab.start("run")
        assert stopped.wait() == 1, stopped.output
        assert f"The disk that holds {lab.home} is full" in stopped.output
        assert "Traceback" not in stopped.output
        assert lab.release.id == before
        enlarge(used + 2**30)
        lab.run()
        assert lab.content_hash == reference.hashes[DAYS[1]]


def test_a_disk_that_may_only_be_read_stops_the_run_with_a_sentence(
    troubled: Troubled,
) -> None:
    with only_readable(troubled.lab.home):
        troubled.stop("read only", troubled.lab.start("run"))
    output = troubled.output("read only")
    assert UNTOUCHED in output
    assert f"{troubled.lab.home} cannot be written" in output
    assert "WAREHOUSE_HOME" in output


@pytest.mark.parametrize("name", ["second run", "rollback during a run"])
def test_a_second_run_and_a_rollback_during_a_run_are_refused(
    troubled: Troubled, name: str
) -> None:
    output = troubled.output(name)
    assert f"Another run (process {troubled.stopped['killed'].pid}) is writing" in output


def test_a_steward_may_decide_during_a_run(troubled: Troubled) -> None:
    for name in ("decide during a run", "revoke"):
        assert troubled.stopped[name].exit_code == 0, troubled.stopped[name].output


def test_a_run_that_the_kernel_killed_leaves_the_last_release(troubled: Troubled) -> None:
    assert troubled.stopped["killed"].exit_code == -signal.SIGKILL
    assert troubled.releases["killed"] == troubled.releases["before"]


def test_half_a_decision_stops_the_run_and_names_the_line(troubled: Troubled) -> None:
    output = troubled.output("half a decision")
    assert "its writing was cut off" in output
    assert "delete it and enter it anew" in output


@pytest.fixture(scope="module")
def recovered(troubled: Troubled) -> Lab:
    """The same installation after one run that nothing disturbed."""
    troubled.lab.run()
    return troubled.lab


def test_the_run_after_all_of_these_gives_the_release_of_an_undisturbed_one(
    recovered: Lab, reference: Reference
) -> None:
    assert recovered.content_hash == reference.hashes[DAYS[1]]
    assert recovered.left_behind() == []


def test_a_clock_that_went_backwards_is_told_and_the_new_release_follows_the_others(
    recovered: Lab,
) -> None:
    before = recovered.release.id
    child = recovered.start(
        "run", limits=Limits(clock_shift=timedelta(days=-30)), WAREHOUSE_AS_OF=DAYS[0]
    )
    assert child.wait() == 0, child.output
    assert f"of a later day, {DAYS[1]}: readers go back" in child.output
    assert child.output.count("it went backwards") == 2
    after = recovered.release.id
    assert after > before
    assert read_manifest(recovered.release).replaces == before
    assert recovered.start("rollback").wait() == 0
    assert recovered.release.id == before


# --- the current release -------------------------------------------------------------------------


def damage_database(lab: Lab) -> None:
    flip(lab.release.database, 0.00005)


def damage_manifest(lab: Lab) -> None:
    lab.release.manifest.chmod(0o644)
    lab.release.manifest.write_text('{"release_id": "20')


def remove_release(lab: Lab) -> None:
    lab.release.path.rename(lab.home / "elsewhere")


@pytest.mark.parametrize("damage", [damage_database, damage_manifest, remove_release])
def test_a_current_release_that_is_damaged_or_gone_stops_the_run_and_says_what_to_do(
    second_day: NewLab, damage: Callable[[Lab], None]
) -> None:
    lab = second_day(damage.__name__)
    release = lab.release.id
    damage(lab)
    child = lab.start("run")
    assert child.wait() == 1, child.output
    assert "Traceback" not in child.output
    assert UNTOUCHED in child.output
    assert release in child.output
    assert "oll" in child.output.split(release)[1], "it says to roll back"
    assert [r.id for r in list_releases(lab.settings)] in ([release], [])


# --- what a run heals by itself ------------------------------------------------------------------


@dataclass
class Healed:
    """An installation whose run found a lot to heal."""

    lab: Lab
    output: str = field(repr=False)


@pytest.fixture(scope="module")
def healed(second_day: NewLab) -> Healed:
    lab = second_day("healed")
    flip(lab.settings.candidate_database, 0.0001, 0.3, 0.5)
    runs = lab.home / "dagster" / "history" / "runs" / "index.db"
    data = bytearray(runs.read_bytes())
    data[4096:-4096] = bytes(len(data) - 8192)  # SQLite has no checksums: only a broken tree shows
    runs.write_bytes(data)
    with duckdb.connect(str(lab.settings.working_database)) as connection:
        connection.execute("create table identity.int_records_clustered__dbt_backup as select 1")
        connection.execute("create table staging.stg_crm__contacts__dbt_tmp as select 1")
    for leftover in ("releases/.staging-20260101T000000Z", "releases/.trash-1", ".landing-x"):
        (lab.home / leftover).mkdir()
        (lab.home / leftover / "half").write_text("half")
    (lab.home / "work.duckdb.tmp").mkdir()
    (lab.home / "work.duckdb.tmp" / "duckdb_temp_storage-0.tmp").write_text("spilled")
    (lab.home / "work.new.duckdb.tmp").write_bytes(b"half written anew")
    (lab.home / "gates" / "marts.json").write_text('[{"suite_name": "mar')
    return Healed(lab, lab.run().output)


def test_a_damaged_candidate_is_deleted_and_built_anew(
    healed: Healed, reference: Reference
) -> None:
    assert f"{healed.lab.settings.candidate_database} was damaged" in healed.output
    assert healed.lab.content_hash == reference.hashes[DAYS[1]]


def test_a_damaged_history_of_dagster_is_put_away_and_the_run_goes_on(healed: Healed) -> None:
    assert "Dagster's history is damaged" in healed.output
    assert (healed.lab.home / "dagster.damaged").is_dir()


def test_what_killed_runs_left_is_cleared(healed: Healed) -> None:
    assert healed.lab.left_behind() == []
    assert list(healed.lab.home.glob("*.duckdb.tmp")) == []


@pytest.mark.parametrize("places", [(0.00001,), tuple(share / 20 for share in range(1, 19))])
def test_a_damaged_working_database_is_put_away_and_made_anew_with_the_same_ids(
    second_day: NewLab, reference: Reference, server: RunServer, places: tuple[float, ...]
) -> None:
    """The first kind is seen when the file is opened, the second may be seen in any stage."""
    lab = second_day(f"rebuilt-{len(places)}")
    flip(lab.settings.working_database, *places)
    child = lab.start("run")
    child.wait()
    assert "Traceback" not in child.output
    assert "The working database is damaged" in child.output
    aside = lab.home / "work.duckdb.damaged"
    assert f"moved to {aside}" in child.output
    assert aside.exists()
    if child.exit_code != 0:
        assert UNTOUCHED in child.output
        child = lab.run()
    assert "land anew, in the order in which they came" in child.output
    assert lab.content_hash == reference.hashes[DAYS[1]]
    assert lab.left_behind() == []


def test_a_working_database_is_not_made_anew_from_a_landing_that_lost_files(
    second_day: NewLab,
) -> None:
    lab = second_day("lost")
    lab.settings.working_database.unlink()
    lost = lab.landing / "crm" / "contacts" / f"{DAYS[0]}.csv"
    lost.rename(lab.folder / "lost.csv")
    release = lab.release.id
    child = lab.start("run")
    assert child.wait() == 1
    assert "are no longer in" in child.output
    assert f"crm/contacts/{DAYS[0]}.csv" in child.output
    assert "REBUILD=1" in child.output
    assert lab.release.id == release
