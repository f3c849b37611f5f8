"""The run ledger: what every run did, a JSON file each in `$WAREHOUSE_HOME/runs/`.

A file is replaced in one step after every stage, so whoever reads it sees a whole record. A run
that is killed leaves a record that says it runs; the lock of the installation, which the kernel
frees, tells that it does not. Nothing here imports Dagster: `warehouse status` has to be quick.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.faults import write_whole
from orchestration.settings import Settings


class Outcome(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    RELEASED = "released"
    UNCHANGED = "unchanged"  # nothing new; the current release stands
    BUILT = "built"  # some stages only, as from the Dagster UI; nothing was to be released
    STOPPED = "stopped"  # by a gate, a timeout, a person or a finding, with its reason
    KILLED = "killed"  # the process ended without a word
    CRASHED = "crashed"  # an error that nobody foresaw


# Who started a run, when a backfill did.
BACKFILL = "backfill"

GOOD_OUTCOMES = frozenset({Outcome.RELEASED, Outcome.UNCHANGED, Outcome.BUILT})


class Stage(BaseModel):
    """What a stage of a run cost. seconds: wall; peak_mib: resident memory of this process.

    rows: what the stage left in its tables, where that means something.
    """

    name: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: int = 0
    rows: int | None = None


class FeedFreshness(BaseModel):
    """How new a feed is. newest_file: time of the file; newest_record: by the record's own time.

    Both in UTC; None where there is no file, or where records carry no time.
    """

    rows: int = 0
    newest_file: datetime | None = None
    newest_record: datetime | None = None


class RunRecord(BaseModel):
    """What a run did. Times are UTC; a record of an older version lacks what that did not keep.

    what: `the whole job`, or the assets that were asked for. started_by: `cli`, `backfill`,
    `schedule <name>`, `sensor <name>`, `ui`. disk: bytes in `$WAREHOUSE_HOME` by part at the end.
    retention: rows that expired by feed, and those that a hold or a missing date kept. erasures:
    those that it completed. unfinished: why one that is pending was not completed. behind: why
    Postgres does not show the release. exports: version by export; exports_behind: why some do not
    show the release. late: feeds that are late against their own rhythm; moved: measures by which
    customers moved further from the last release than usual; a sentence each, None when the gate
    that tells was not asked.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    run_id: str
    as_of: str
    outcome: Outcome = Outcome.RUNNING
    reason: str = ""
    what: str = ""
    started_by: str = ""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    process: int | None = None
    code_version: str = ""
    stage_under_way: str | None = None
    stages: list[Stage] = Field(default_factory=list)
    landing: dict[str, Any] = Field(default_factory=dict)
    feeds: dict[str, FeedFreshness] = Field(default_factory=dict)
    retention: dict[str, dict[str, int]] = Field(default_factory=dict)
    gates: list[dict[str, Any]] = Field(default_factory=list)
    release: dict[str, Any] = Field(default_factory=dict)
    disk: dict[str, int] = Field(default_factory=dict)
    erasures: list[str] = Field(default_factory=list)
    unfinished: str = ""
    behind: str = ""
    late: dict[str, str] | None = None
    moved: dict[str, str] | None = None
    exports: dict[str, str] = Field(default_factory=dict)
    exports_behind: str = ""

    @classmethod
    def open(cls, settings: Settings, run_id: str) -> "RunRecord":
        """The record of this run, continued if an earlier step has begun it.

        One that cannot be read is begun anew.
        """
        found = read_record(cls.path(settings, run_id))
        return found or cls(run_id=run_id, as_of=settings.as_of.isoformat())

    @staticmethod
    def path(settings: Settings, run_id: str) -> Path:
        """File of a run's record."""
        return runs_folder(settings) / f"{run_id}.json"

    def save(self, settings: Settings) -> None:
        """Replace the file in one step."""
        path = self.path(settings, self.run_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.model_dump_json(indent=1))

    @property
    def seconds(self) -> float | None:
        """Wall time from the lock to the end, or of the stages where that is not known."""
        if self.began_at and self.ended_at:
            return (self.ended_at - self.began_at).total_seconds()
        return sum(stage.seconds for stage in self.stages) if self.stages else None

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all stages."""
        return sum(stage.cpu_seconds for stage in self.stages)

    @property
    def peak_mib(self) -> int:
        """The most memory that a stage had."""
        return max((stage.peak_mib for stage in self.stages), default=0)

    @property
    def row_count(self) -> int | None:
        """Rows of the release that it made or kept."""
        rows = self.release.get("rows")
        return sum(rows.values()) if rows else None


def runs_folder(settings: Settings) -> Path:
    """Folder of the records."""
    return settings.home / "runs"


def read_record(path: Path) -> RunRecord | None:
    """Read one record; None when the file is missing, half-written or no record."""
    try:
        return RunRecord.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def read_ledger(settings: Settings) -> tuple[list[RunRecord], list[Path]]:
    """Return every record, the newest first, and the files that are none."""
    records: list[tuple[datetime, RunRecord]] = []
    broken: list[Path] = []
    for path in sorted(runs_folder(settings).glob("*.json")):
        try:
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            continue  # a run that ends drops the oldest records
        record = read_record(path)
        if record is None:
            broken.append(path)
        else:
            records.append((record.began_at or changed, record))
    records.sort(key=lambda entry: (entry[0], entry[1].run_id), reverse=True)
    return [record for _, record in records], broken


def close_killed(settings: Settings, but: str = "") -> list[RunRecord]:
    """Settle records of runs that were killed; returns them. Only for who holds the lock.

    but: id of the run that asks.
    """
    killed = []
    for record in read_ledger(settings)[0]:
        if record.outcome is Outcome.RUNNING and record.run_id != but:
            last_sign = RunRecord.path(settings, record.run_id).stat().st_mtime
            killed_in = record.stage_under_way or "none of its stages"
            record.outcome = Outcome.KILLED
            record.reason = f"process {record.process} ended without a word, in {killed_in}"
            record.ended_at = datetime.fromtimestamp(last_sign, UTC)
            record.save(settings)
            killed.append(record)
    return killed


def lock_path(settings: Settings) -> Path:
    """File that a run holds locked; it names the process."""
    return settings.home / "run.lock"


@contextmanager
def no_run_beside(settings: Settings) -> Iterator[int | None]:
    """Yield the process that holds the lock, or None and keep runs waiting during the block.

    The block should take milliseconds: a run that starts meanwhile waits for it, see
    `orchestration.run.only_one_run`. 0 stands for a process that did not leave its number.
    """
    try:
        file = lock_path(settings).open("r", encoding="utf-8")
    except OSError:
        yield None  # no run has ever been here, or it cannot be asked
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip()
            yield int(holder) if holder.isdigit() else 0
            return
        yield None
