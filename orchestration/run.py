"""One run of the warehouse: its settings, its lock and its record."""

import fcntl
import json
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from orchestration.faults import told, write_whole
from orchestration.settings import Settings

log = logging.getLogger("warehouse")

_RECORDS_KEPT = 100


class WarehouseBusyError(Exception):
    """Another process is writing to this installation."""


@dataclass
class Stage:
    """What a stage of a run cost. seconds: wall; peak_mib: resident memory of this process."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_mib: int


@dataclass
class RunRecord:
    """What a run did, kept in `$WAREHOUSE_HOME/runs/<run_id>.json` and saved after every stage.

    outcome: `released`, `unchanged` (nothing new; the current release stands) or `stopped`.
    """

    run_id: str
    as_of: str
    outcome: str = "stopped"
    stages: list[Stage] = field(default_factory=list)
    landing: dict[str, Any] = field(default_factory=dict)
    gates: list[dict[str, Any]] = field(default_factory=list)
    release: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, settings: Settings, run_id: str) -> "RunRecord":
        """The record of this run, continued if an earlier step has begun it."""
        path = cls.path(settings, run_id)
        if not path.exists():
            return cls(run_id=run_id, as_of=settings.as_of.isoformat())
        content = json.loads(path.read_text(encoding="utf-8"))
        content["stages"] = [Stage(**stage) for stage in content["stages"]]
        return cls(**content)

    @staticmethod
    def path(settings: Settings, run_id: str) -> Path:
        """File of a run's record."""
        return settings.home / "runs" / f"{run_id}.json"

    def save(self, settings: Settings) -> None:
        """Replace the file in one step and drop the oldest records beyond the last hundred."""
        path = self.path(settings, self.run_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(self), indent=1))
        records = sorted(path.parent.glob("*.json"), key=lambda p: p.stat().st_mtime)
        for old in records[:-_RECORDS_KEPT]:
            old.unlink(missing_ok=True)


class Warehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The installation that a run works on; held by one run at a time.

    rebuild: build everything anew and release it, even when nothing has changed.
    """

    rebuild: bool = False

    _settings: Settings = PrivateAttr()
    _record: RunRecord = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Warehouse"]:
        """Take the lock; speak of one as-of day even when the run crosses midnight."""
        settings = Settings()
        with only_one_run(settings):
            self._record = RunRecord.open(settings, context.run.run_id if context.run else "manual")
            as_of = date.fromisoformat(self._record.as_of)
            self._settings = settings.model_copy(update={"as_of": as_of})
            yield self

    @property
    def settings(self) -> Settings:
        """Settings with the as-of day of this run."""
        return self._settings

    @property
    def record(self) -> RunRecord:
        """The record of this run."""
        return self._record

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage, tell that it began and what it cost, and save the record."""
        log.info("%s ...", name)
        _forget_peak_memory()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            with told(self._settings, _stop):
                yield
        finally:
            stage = Stage(
                name=name,
                seconds=round(time.perf_counter() - wall, 3),
                cpu_seconds=round(time.process_time() - cpu, 3),
                peak_mib=_peak_memory_mib(),
            )
            self._record.stages.append(stage)
            with told(self._settings, _stop):
                self._record.save(self._settings)


def _stop(sentence: str) -> dg.Failure:
    return dg.Failure(description=sentence, allow_retries=False)


@contextmanager
def only_one_run(settings: Settings) -> Iterator[None]:
    """Hold the lock of the installation; the kernel frees it when the process dies.

    Raises WarehouseBusyError naming the process that holds it.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    path = settings.home / "run.lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise WarehouseBusyError(
                f"Another run (process {holder}) is writing to {settings.home}. "
                "Wait until it has finished, or set WAREHOUSE_HOME to another folder."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _forget_peak_memory() -> None:
    """Reset the kernel's high-water mark (Linux), so that each stage shows its own peak."""
    clear_refs = Path("/proc/self/clear_refs")
    if clear_refs.exists():
        clear_refs.write_text("5", encoding="ascii")


def _peak_memory_mib() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
