"""A hundred runs killed at random moments, with readers in a loop, and every other fault.

    make bench-faults N=100

Generates a small landing (once), delivers it in days, and runs two kinds of installations on it: a
reference that nothing disturbs, and others whose runs are killed (SIGKILL) in every stage, some
times a day, before one of them may finish. All the while readers open `current` again and again:
what they read must be one release, the one that its manifest describes. After each day the release
must have the content hash of the reference's. Then the tests of tests/faults are run, one for each
other fault. Prints a table; exit code 1 when anything is off.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import duckdb

from benchmarks.forking import Child, Limits, RunServer
from benchmarks.landings import generate
from orchestration.operations.ledger import RunRecord
from orchestration.release import Release, read_manifest
from orchestration.release.content import read_tables
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal, quoted

PEOPLE, SEED = 150, 20260630
DAYS = ("2026-05-31", "2026-06-14", "2026-06-21", "2026-06-30")
STAGES = (
    "landing",
    "landing gate",
    "staging",
    "staging gate",
    "identity",
    "identity gate",
    "marts",
    "marts gate",
    "release",
)
KILLS_A_DAY = 5
_READ_AGAIN_SECONDS = 0.2


def main() -> int:
    """Kill, read, compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--dice", type=int, default=1)
    parser.add_argument("--without-tests", action="store_true", help="kills only")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read_until(options.read, options.until)))
        return 0
    with scratch_folder() as folder:
        landing = generated_landing(folder)
        with RunServer(folder) as server:
            found = kill_runs(
                server,
                landing,
                folder,
                kills=options.kills,
                readers=options.readers,
                dice=random.Random(options.dice),  # noqa: S311 - not to keep a secret
            )
    others = [] if options.without_tests else other_faults()
    show(found, others)
    return 0 if found.is_fine and all(outcome == "passed" for _, outcome, _ in others) else 1


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in memory where there is one: a killed process loses nothing that it has written."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def generated_landing(folder: Path) -> Path:
    """The sample's kind of landing for few people, with bad lines, in files of several days."""
    return generate(
        folder / "generated",
        folder / "truth.csv",
        people=PEOPLE,
        seed=SEED,
        as_of=DAYS[-1],
        format="sample",
        bad_lines=8,
    )


# --- installations -------------------------------------------------------------------------------


@dataclass
class Lab:
    """An installation whose landing is delivered day by day and whose runs are children."""

    server: RunServer
    whole_landing: Path
    folder: Path
    day: str = DAYS[0]

    @property
    def landing(self) -> Path:
        """What was delivered so far."""
        return self.folder / "landing"

    @property
    def home(self) -> Path:
        """Databases and releases."""
        return self.folder / "home"

    @property
    def settings(self) -> Settings:
        """Settings of the installation, as of its day."""
        return Settings(landing=self.landing, home=self.home, as_of=self.day)  # type: ignore[arg-type]

    @classmethod
    def new(cls, server: RunServer, whole_landing: Path, folder: Path) -> "Lab":
        """An installation of the first day that has not run."""
        lab = cls(server, whole_landing, folder)
        shutil.copytree(server.parsed, lab.home / "dbt")
        lab.deliver(DAYS[0])
        return lab

    def copied_to(self, folder: Path) -> "Lab":
        """The same installation, at the same day, in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Lab(self.server, self.whole_landing, folder, self.day)

    def deliver(self, day: str) -> None:
        """Copy the files up to a day, with their time stamps, and speak of that day."""
        self.day = day
        for file in self.whole_landing.rglob("*"):
            copy = self.landing / file.relative_to(self.whole_landing)
            if file.is_file() and file.name[:10] <= day and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, copy)

    def start(self, *arguments: str, limits: Limits | None = None, **variables: str) -> Child:
        """Start a command of the installation."""
        environment = {
            "WAREHOUSE_LANDING": str(self.landing),
            "WAREHOUSE_HOME": str(self.home),
            "WAREHOUSE_AS_OF": self.day,
            "WAREHOUSE_THREADS": "2",
        }
        return self.server.start(arguments, environment | variables, limits)

    def run(self, *arguments: str) -> Child:
        """`warehouse run` to its end, which must be a good one."""
        child = self.start("run", *arguments)
        if child.wait() != 0:
            raise RuntimeError(f"a run that nothing disturbed has failed:\n{child.output}")
        return child

    @property
    def release(self) -> Release:
        """The release that readers see."""
        folder = (self.home / "current").resolve()
        return Release(folder.name, folder)

    @property
    def content_hash(self) -> str:
        """Of the current release."""
        return read_manifest(self.release).content_hash

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the current release."""
        with duckdb.connect(str(self.release.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def left_behind(self) -> list[str]:
        """What a killed run left and a finished one should have cleared."""
        known = {"work.duckdb", "release_candidate.duckdb"}
        names = [
            path.name
            for pattern in (".landing-*", "*.tmp", "*.wal", "*.new", ".current.next")
            for path in self.home.glob(pattern)
        ]
        names += [
            path.name
            for path in (self.home / "releases").iterdir()
            if path.name.startswith((".staging-", ".trash-"))
        ]
        for name in known:
            with duckdb.connect(str(self.home / name), read_only=True) as connection:
                found = connection.execute(
                    "select schema_name || '.' || table_name from duckdb_tables()"
                    " where contains(table_name, '__dbt_')"
                ).fetchall()
            names += [table for (table,) in found]
        return names


def undisturbed(
    server: RunServer, landing: Path, folder: Path, days: Sequence[str] = DAYS
) -> "Reference":
    """Take the days in peace; keep a copy of the installation after the first."""
    lab = Lab.new(server, landing, folder / "reference")
    reference = Reference(folder / "after-first-day")
    for day in days:
        lab.deliver(day)
        if day == DAYS[1]:
            decide(lab)
        child = lab.run()
        reference.hashes[day] = lab.content_hash
        newest = max((lab.home / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime)
        record = RunRecord.open(lab.settings, newest.stem)
        reference.seconds[day] = {stage.name: stage.seconds for stage in record.stages}
        print(f"reference, {day}: {child.output.splitlines()[-1].strip()}", flush=True)
        if day == DAYS[0]:
            lab.copied_to(reference.after_first_day)
    reference.decisions = lab.settings.decisions.read_bytes()
    ((reference.merged_count, reference.history_count),) = lab.query(
        "select (select count(*) from marts.customer_redirects),"
        " (select count(*) from marts.customer_history)"
    )
    return reference


@dataclass
class Reference:
    """What an undisturbed installation published each day, and how long its stages took."""

    after_first_day: Path
    hashes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    decisions: bytes = b""
    merged_count: object = 0
    history_count: object = 0


def decide(lab: Lab) -> None:
    """A steward says of two customers that they are one: an id is merged away for good."""
    (first, other) = lab.query(
        "select min(source_record_id) from marts.customer_sources"
        " where record_type <> 'visitor' group by customer_id order by 1 limit 2"
    )
    child = lab.start(
        *("decide", "same", str(first[0]), str(other[0]), "--by", "bench", "--why", "a fault test")
    )
    if child.wait() != 0:
        raise RuntimeError(child.output)


# --- kills ---------------------------------------------------------------------------------------


@dataclass
class Found:
    """What happened to killed runs and to readers."""

    kills: Counter[str] = field(default_factory=Counter)
    finished_before_kill: int = 0
    compared: int = 0
    differing: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    reads: int = 0
    releases_seen: int = 0
    reader_faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reference: Reference | None = None

    @property
    def is_fine(self) -> bool:
        """Whether nothing is off."""
        return (
            not (self.differing or self.left_behind or self.stopped or self.reader_faults)
            and self.compared > 0
        )


def kill_runs(
    server: RunServer, landing: Path, folder: Path, *, kills: int, readers: int, dice: random.Random
) -> Found:
    """Kill so many runs, stage by stage in turn, each at a random moment of its stage."""
    started = time.perf_counter()
    reference = undisturbed(server, landing, folder)
    found = Found(reference=reference)
    round_number = 0
    while found.kills.total() < kills:
        round_number += 1
        place = folder / f"round-{round_number}"
        days: Sequence[str]
        if round_number % 3 == 2:
            # every third from nothing, the others with ids, merges and history to lose
            lab, days = Lab.new(server, landing, place), tuple(DAYS)
        else:
            shutil.copytree(reference.after_first_day, place, symlinks=True)
            lab, days = Lab(server, landing, place), tuple(DAYS[1:])
        with reading(lab.home, readers, found):
            for day in days:
                take_day(lab, day, reference, found, dice=dice, kills=kills)
                if found.kills.total() >= kills:
                    break
        shutil.rmtree(place)
    found.seconds = time.perf_counter() - started
    return found


def take_day(
    lab: Lab,
    day: str,
    reference: Reference,
    found: Found,
    *,
    dice: random.Random,
    kills: int,
    kills_a_day: int = KILLS_A_DAY,
) -> None:
    """Kill some runs of a day, let one finish, and compare it with the reference."""
    lab.deliver(day)
    if day >= DAYS[1]:
        lab.settings.decisions.write_bytes(reference.decisions)
    for _ in range(min(kills_a_day, kills - found.kills.total())):
        aim = STAGES[found.kills.total() % len(STAGES)]
        child = lab.start("run")
        if child.wait_for(f" {aim} ...\n"):
            time.sleep(dice.uniform(0, reference.seconds[day].get(aim, 1.0)))
        child.kill()
        code = child.wait()
        if code == -9:
            found.kills[stage_reached(child.output)] += 1
        else:
            found.finished_before_kill += 1
            if code != 0:
                found.stopped.append(child.output)
            break
        print(f"kill {found.kills.total()}: {day}, {stage_reached(child.output)}", flush=True)
    child = lab.start("run")
    if child.wait() != 0:
        found.stopped.append(child.output)
        return
    found.compared += 1
    if lab.content_hash != reference.hashes[day]:
        found.differing.append(f"{day}: {lab.content_hash} instead of {reference.hashes[day]}")
    found.left_behind += [f"{day}: {name}" for name in lab.left_behind()]


def stage_reached(output: str) -> str:
    """The stage that a run told last to have begun."""
    begun = [line for line in output.splitlines() if line.endswith(" ...")]
    return begun[-1].partition(" s  ")[2].removesuffix(" ...") if begun else "start"


# --- readers -------------------------------------------------------------------------------------


@contextmanager
def reading(home: Path, count: int, found: Found) -> Iterator[None]:
    """Let readers, each a process of its own, read the home as long as the block lasts."""
    stop = home / "readers-stop"
    command = [sys.executable, "-m", "benchmarks.faults", "--read", str(home), "--until", str(stop)]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        stop.touch()
        for reader in readers:
            output, _ = reader.communicate(timeout=120)
            if reader.returncode != 0:
                found.reader_faults.append(f"a reader ended with {reader.returncode}")
                continue
            report = json.loads(output)
            found.reads += report["reads"]
            found.releases_seen += len(report["releases"])
            found.reader_faults += report["faults"]


def read_until(home: Path, stop: Path) -> dict[str, object]:
    """Read `current` until a file appears; what was read how often and what did not fit.

    Through the link as BI tools do, and in the folder that it pointed to as the README advises for
    those who open several files.
    """
    reads, faults, releases = 0, [], set[str]()
    dice = random.Random(0)  # noqa: S311 - not to keep a secret
    while not stop.exists():
        if (home / "current").is_symlink():
            try:
                if fault := read_once(home, dice, releases):
                    faults.append(fault)
            except Exception as error:
                faults.append(f"{type(error).__name__}: {error}")
            reads += 1
        time.sleep(_READ_AGAIN_SECONDS)
    return {"reads": reads, "faults": faults, "releases": sorted(releases)}


def read_once(home: Path, dice: random.Random, releases: set[str]) -> str:
    """Return what does not fit to the manifest of one release, or nothing."""
    before = (home / "current").resolve()
    with duckdb.connect(
        str(home / "current" / "warehouse.duckdb"), read_only=True, config={"threads": 1}
    ) as connection:
        seen = read_tables(connection, "warehouse")
    after = (home / "current").resolve()
    candidates = {folder: read_manifest(Release(folder.name, folder)) for folder in (before, after)}
    releases.add(after.name)
    if not any(manifest.tables == seen for manifest in candidates.values()):
        return f"what `current` showed is neither {before.name} nor {after.name}"
    name = dice.choice(sorted(seen))
    release, manifest = Release(before.name, before), candidates[before]
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("create schema marts")
        connection.execute(
            f"create table marts.{quoted(name)} as"
            f" from read_parquet({literal(release.parquet(name))})"
        )
        in_parquet = read_tables(connection, "memory")[name]
    if in_parquet != manifest.tables[name]:
        return f"{name}.parquet of {before.name} is not what its manifest says"
    return ""


# --- the other faults ----------------------------------------------------------------------------


def other_faults() -> list[tuple[str, str, float]]:
    """Run tests/faults; name, outcome and seconds of each."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "tests/faults", "-q", f"--junitxml={report}"]
        subprocess.run(command, cwd=PROJECT_ROOT, check=False)
        return [
            (
                case.get("name", ""),
                next((child.tag for child in case if child.tag != "properties"), "passed"),
                float(case.get("time", "0")),
            )
            for case in ET.parse(report).iter("testcase")  # noqa: S314 - pytest wrote it just now
        ]


def show(found: Found, others: list[tuple[str, str, float]]) -> None:
    """The table, as Markdown, and every thing that is off in full."""
    reference = found.reference
    print(f"\n| killed in | runs |\n|{'-' * 16}|-----:|")
    for stage in (*STAGES, *(found.kills.keys() - set(STAGES))):
        print(f"| {stage:<14} | {found.kills[stage]:4} |")
    print(f"| {'all':<14} | {found.kills.total():4} |\n")
    rows: dict[str, object] = {
        "runs that were over before the kill": found.finished_before_kill,
        "releases compared with the reference": found.compared,
        "differing content hashes": len(found.differing),
        "runs after kills that did not release": len(found.stopped),
        "things left behind": len(found.left_behind),
        "reads": found.reads,
        "releases seen by readers": found.releases_seen,
        "reader errors and mixed releases": len(found.reader_faults),
        "merged ids in the reference": reference.merged_count if reference else 0,
        "rows of history in the reference": reference.history_count if reference else 0,
        "minutes": round(found.seconds / 60, 1),
    }
    for name, value in rows.items():
        print(f"| {name:<40} | {value!s:>6} |")
    by_outcome: dict[str, list[str]] = defaultdict(list)
    for name, outcome, seconds in others:
        by_outcome[outcome].append(f"{name} ({seconds:.1f} s)")
    for outcome, names in by_outcome.items():
        print(f"\nother faults, {outcome}: {len(names)}")
        for name in names:
            print(f"  {name}")
    for trouble in (*found.differing, *found.left_behind, *found.reader_faults, *found.stopped):
        print(f"\n{trouble}")


if __name__ == "__main__":
    sys.exit(main())
