"""The state of an installation at one glance, gathered in a fraction of a second.

Works beside a run that is writing: what only the working database knows is asked while nobody runs,
and everything else comes from the ledger, the release and the landing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from orchestration.alerts.telling import AlertError, undelivered
from orchestration.backups.archive import BackupError, known_backups
from orchestration.database import working_file
from orchestration.keys import BadKeyError
from orchestration.landing.feeds import FEEDS
from orchestration.landing.listing import LandedFile, LandingError, list_landing
from orchestration.operations.ledger import (
    GOOD_OUTCOMES,
    FeedFreshness,
    Outcome,
    RunRecord,
    no_run_beside,
    read_ledger,
)
from orchestration.operations.retention import disk_use
from orchestration.release import (
    Manifest,
    ReleaseError,
    current_release,
    list_releases,
    read_manifest,
)
from orchestration.settings import Settings

RUNS_SHOWN = 5


@dataclass(frozen=True)
class Waiting:
    """What the landing holds that no run has read. is_known: whether that could be found out."""

    files: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    is_known: bool = True


@dataclass
class Status:
    """All that `warehouse status` shows. attention: a sentence for each thing that needs a person.

    running: the record of the run under way, if there is one; process: who holds the lock.
    """

    settings: Settings
    asked_at: datetime
    release: Manifest | None = None
    releases: int = 0
    runs: list[RunRecord] = field(default_factory=list)
    process: int | None = None
    running: RunRecord | None = None
    feeds: dict[str, FeedFreshness] = field(default_factory=dict)
    gates: list[dict[str, Any]] = field(default_factory=list)
    gates_of: str = ""
    disk: dict[str, int] = field(default_factory=dict)
    waiting: Waiting = field(default_factory=Waiting)
    next_run: str = ""
    backups: list[Path] = field(default_factory=list)
    attention: list[str] = field(default_factory=list)

    @property
    def is_healthy(self) -> bool:
        """Nothing needs a person."""
        return not self.attention

    def as_json(self) -> dict[str, Any]:
        """For machines; times in ISO 8601, UTC."""
        release = self.release
        return {
            "is_healthy": self.is_healthy,
            "attention": self.attention,
            "asked_at": self.asked_at.isoformat(timespec="seconds"),
            "as_of": self.settings.as_of.isoformat(),
            "home": str(self.settings.home),
            "landing": str(self.settings.landing),
            "release": release
            and {
                "id": release.release_id,
                "as_of": release.as_of.isoformat(),
                "released_at": release.released_at.isoformat(),
                "age_seconds": int((self.asked_at - release.released_at).total_seconds()),
                "content_hash": release.content_hash,
                "customers": customers_of(release),
                "code_version": release.provenance.get("code_version"),
            },
            "releases_kept": self.releases,
            "running": self.running and _run(self.running),
            "process": self.process,
            "runs": [_run(run) for run in self.runs],
            "feeds": {n: feed.model_dump(mode="json") for n, feed in self.feeds.items()},
            "gates": self.gates,
            "gates_of_run": self.gates_of or None,
            "disk_bytes": self.disk,
            "waiting": {
                "is_known": self.waiting.is_known,
                "files": list(self.waiting.files),
                "gone": list(self.waiting.gone),
            },
            "next_run": self.next_run,
            "backups": [str(path) for path in self.backups],
        }


def read_status(settings: Settings, now: datetime | None = None) -> Status:
    """Gather it all; never raises for what is broken, but says so in `attention`."""
    status = Status(settings, now or datetime.now(UTC))
    status.runs, broken = read_ledger(settings)
    with no_run_beside(settings) as process:
        status.process = process
        status.waiting = _waiting(settings, status)
    _tell_runs(status)
    _tell_release(status)
    _tell_next(status)
    try:
        status.backups = known_backups(settings)
    except BackupError as error:
        status.attention.append(str(error))
    try:
        status.attention += undelivered(settings)
    except AlertError as error:
        status.attention.append(str(error))
    if broken:
        status.attention.append(
            f"{len(broken)} files in {broken[0].parent} are no records of runs, among them "
            f"{broken[0].name}; they are left alone and can be deleted."
        )
    status.disk = disk_use(settings)
    return status


def customers_of(release: Manifest) -> int | None:
    """Rows of the mart of customers."""
    table = release.tables.get("customers")
    return table.row_count if table else None


def _tell_runs(status: Status) -> None:
    settings, records = status.settings, status.runs
    for record in records:
        if record.outcome is not Outcome.RUNNING:
            continue
        if status.process is not None and record is records[0]:
            status.running = record
        else:
            record.outcome = Outcome.KILLED
            record.reason = (
                f"process {record.process} ended without a word, in "
                f"{record.stage_under_way or 'none of its stages'}"
            )
    status.feeds = next((record.feeds for record in records if record.feeds), {})
    judged = next((record for record in records if record.gates), None)
    if judged:
        status.gates, status.gates_of = judged.gates, judged.run_id
    if status.running and status.running.began_at:
        taken = status.asked_at - status.running.began_at
        if taken > settings.run_timeout + timedelta(minutes=5):
            status.attention.append(
                f"The run of process {status.process} has been at work for {taken}, longer than "
                f"WAREHOUSE_RUN_TIMEOUT allows ({settings.run_timeout}). End that process; the "
                "next run takes it from there."
            )
    last = next((record for record in records if record is not status.running), None)
    if last is not None and last.outcome not in GOOD_OUTCOMES:
        status.attention.append(f"The last run was {last.outcome}: {last.reason or 'no reason'}")
    if last is not None and last.behind:
        status.attention.append(f"Postgres does not show the release. {last.behind}")
    if last is not None and last.exports_behind:
        status.attention.append(f"Exports do not show the release. {last.exports_behind}")


def _tell_release(status: Status) -> None:
    settings = status.settings
    try:
        current = current_release(settings)
        status.releases = len(list_releases(settings))
        if current is None:
            status.attention.append("Nothing is released yet: `make run`.")
            return
        status.release = read_manifest(current)
    except ReleaseError as error:
        status.attention.append(str(error))
        return
    behind = (settings.as_of - status.release.as_of).days
    if behind > 1:
        status.attention.append(
            f"The release speaks of {status.release.as_of}, {behind} days before "
            f"{settings.as_of}: no run has released since. `make run`, or look at the schedule."
        )


def _waiting(settings: Settings, status: Status) -> Waiting:
    """Compare the landing with what has been read; while a run writes, with when it began."""
    try:
        files = list_landing(settings.landing, FEEDS).files
    except LandingError as error:
        status.attention.append(str(error))
        return Waiting(is_known=False)
    if status.process is not None:
        newest = status.runs[0] if status.runs else None
        began = newest.began_at if newest else None
        if began is None:
            return Waiting(is_known=False)
        late = [file.name for file in files if file.modified_ns / 1e9 > began.timestamp()]
        return Waiting(tuple(late))
    try:
        read = _files_read(settings)
    except (duckdb.Error, BadKeyError) as error:
        status.attention.append(
            f"The working database {settings.working_database} cannot be read: {error}"
        )
        return Waiting(is_known=False)
    return Waiting(
        tuple(file.name for file in files if _version(file) != read.get(file.name)),
        tuple(sorted(read.keys() - {file.name for file in files})),
    )


def _files_read(settings: Settings) -> dict[str, tuple[int, int]]:
    """Size and time of each file of the last listing, by name; refused files count as read."""
    if not settings.working_database.exists():
        return {}
    with working_file(settings).connect(read_only=True) as connection:
        try:
            found = connection.execute(
                "select file_path, size_bytes, modified_ns from raw.files where is_present"
            ).fetchall()
        except duckdb.CatalogException:
            return {}  # nothing has been landed yet
    return {path: (size, modified) for path, size, modified in found}


def _version(file: LandedFile) -> tuple[int, int]:
    return file.size_bytes, file.modified_ns


def _tell_next(status: Status) -> None:
    waiting, release, settings = status.waiting, status.release, status.settings
    if status.process is not None:
        status.next_run = (
            f"{len(waiting.files):,} files came after the run under way began"
            if waiting.files
            else "nothing came since the run under way began"
        )
        return
    if not waiting.is_known:
        status.next_run = "not known"
        return
    reasons = []
    if waiting.files:
        reasons.append(f"{len(waiting.files):,} new or changed files")
    if release is None:
        reasons.append("the first release")
    elif release.as_of != settings.as_of:
        reasons.append(f"as of {settings.as_of}, the release is as of {release.as_of}")
    if any(settings.erasures.glob("*/plan.json")):
        reasons.append("people to be forgotten")
    if release is not None:
        followed = _followed_until(status.runs, release.released_at)
        reasons += [
            what
            for what, journal in settings.journals.items()
            if journal.exists() and datetime.fromtimestamp(journal.stat().st_mtime, UTC) > followed
        ]
    status.next_run = (
        f"a run would build and judge: {'; '.join(reasons)}"
        if reasons
        else "a run would find nothing new, unless code or reference data has changed"
    )


def _followed_until(runs: Sequence[RunRecord], released_at: datetime) -> datetime:
    """Until when what people decided has been followed: the start of the last run that ended well.

    It may have found that the release stands as it is. runs: the newest first.
    """
    ended_well = (Outcome.RELEASED, Outcome.UNCHANGED)
    began = (run.began_at for run in runs if run.outcome in ended_well)
    return next((moment for moment in began if moment is not None), released_at)


def _run(record: RunRecord) -> dict[str, Any]:
    return {
        "run_id": record.run_id,
        "outcome": record.outcome,
        "reason": record.reason,
        "what": record.what,
        "started_by": record.started_by,
        "as_of": record.as_of,
        "began_at": record.began_at and record.began_at.isoformat(timespec="seconds"),
        "ended_at": record.ended_at and record.ended_at.isoformat(timespec="seconds"),
        "seconds": record.seconds,
        "cpu_seconds": round(record.cpu_seconds, 3),
        "peak_mib": record.peak_mib,
        "rows": record.row_count,
        "stage": record.stage_under_way,
        "process": record.process,
        "code_version": record.code_version,
        "release": record.release.get("id"),
    }
