"""One run of the warehouse: its settings, its lock, its stages and its record."""

import errno
import fcntl
import logging
import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import duckdb
import sqlalchemy as sa
from pydantic import PrivateAttr

from orchestration.activation.exporting import follow
from orchestration.database import encrypt_home, working_file
from orchestration.faults import told
from orchestration.operations import retention
from orchestration.operations.dagster_storage import prune_dagster, settle_dead_runs, started_by
from orchestration.operations.deadline import Deadline
from orchestration.operations.ledger import (
    BACKFILL,
    GOOD_OUTCOMES,
    Outcome,
    RunRecord,
    Stage,
    close_killed,
    lock_path,
)
from orchestration.operations.migrations import SchemaVersionError, migrate
from orchestration.operations.run_log import RunLog, run_log_of, without_personal_data
from orchestration.privacy.erasing import finish_erasures
from orchestration.privacy.tombstones import PrivacyError
from orchestration.provenance import code_version
from orchestration.release import ReleaseError
from orchestration.settings import Settings
from orchestration.transform.rule_files import SegmentRuleError

log = logging.getLogger("warehouse")

# A person who asks for the status holds the lock for some milliseconds.
_LOCK_SECONDS = 2.0
# A stage that may be retried is tried this often, with pauses that add up to half a minute.
_ATTEMPTS = 3
_PAUSE_SECONDS = 10.0
# What passes by itself: a network drive that is away, a file that somebody else holds.
_PASSING = (
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
)


class WarehouseBusyError(Exception):
    """Another process is writing to this installation."""


class Warehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The installation that a run works on; held by one run at a time.

    rebuild: build everything anew and release it, even when nothing has changed. as_of: the day
    that this run speaks of, `YYYY-MM-DD`; empty for that of the settings.
    """

    rebuild: bool = False
    as_of: str = ""

    _settings: Settings = PrivateAttr()
    _record: RunRecord = PrivateAttr()
    _run_log: RunLog = PrivateAttr()
    _deadline: Deadline = PrivateAttr()
    _is_migrated: bool = PrivateAttr(default=False)
    # what went wrong in a stage, by its name; a retry that succeeds takes it away
    _failures: dict[str, tuple[Outcome, str]] = PrivateAttr(default_factory=dict)
    _attempts: dict[str, int] = PrivateAttr(default_factory=dict)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Warehouse"]:
        """Take the lock; speak of one as-of day even when the run crosses midnight."""
        settings = _settings_as_of(self.as_of)
        run_id = context.run.run_id if context.run else "manual"
        with only_one_run(settings), run_log_of(settings, run_id) as self._run_log:
            if settled := close_killed(settings, but=run_id):
                for killed in settled:
                    log.warning("run %s was killed: %s", killed.run_id, killed.reason)
                # before this run takes over: at its end all may be well
                _tell_alerts(settings)
            if context.instance is not None:
                settle_dead_runs(context.instance, settings)
            self._record = _begin(RunRecord.open(settings, run_id), context)
            as_of = date.fromisoformat(self._record.as_of)
            self._settings = settings.model_copy(update={"as_of": as_of})
            self._is_migrated, self._failures, self._attempts = False, {}, {}
            self._record.save(settings)
            self._run_log.write("info", "run began", as_of=as_of, what=self._record.what)
            with Deadline(settings.run_timeout, lambda: self._end_hanging(context)) as deadline:
                self._deadline = deadline
                try:
                    yield self
                finally:
                    deadline.interruptible = False
                    self._end(context)

    @property
    def settings(self) -> Settings:
        """Settings with the as-of day of this run."""
        return self._settings

    @property
    def record(self) -> RunRecord:
        """The record of this run."""
        return self._record

    @contextmanager
    def stage(self, name: str, *, may_retry: bool = False) -> Iterator[Stage]:
        """Measure a stage, tell that it began and what it cost, and save the record.

        may_retry: the stage leaves nothing half-done, so a trouble that passes by itself (somebody
        holds the database, a network drive is away) is waited for. Raises dg.Failure with a
        sentence when the run has taken too long or the database is of another version.
        """
        if self._deadline.passed:
            raise self._timed_out(name)
        log.info("%s ...", name)
        self._run_log.stage = self._record.stage_under_way = name
        self._record.save(self._settings)
        stage = Stage(name=name)
        _forget_peak_memory()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            self._deadline.interruptible = True
            with told(self._settings, _stop):
                self._bring_up_database()
                yield stage
            self._deadline.interruptible = False
            if self._deadline.passed:
                raise self._timed_out(name)
            self._failures.pop(name, None)
        except BaseException as error:
            self._deadline.interruptible = False
            if self._deadline.passed and not isinstance(error, dg.Failure):
                raise self._timed_out(name) from error
            if may_retry and _passes(error) and self._try_again(name, error):
                raise dg.RetryRequested(
                    max_retries=_ATTEMPTS - 1, seconds_to_wait=_PAUSE_SECONDS
                ) from error
            self._failures[name] = _what_went_wrong(error)
            raise
        finally:
            stage.seconds = round(time.perf_counter() - wall, 3)
            stage.cpu_seconds = round(time.process_time() - cpu, 3)
            stage.peak_mib = _peak_memory_mib()
            self._record.stages.append(stage)
            self._record.stage_under_way = None
            with told(self._settings, _stop):
                self._record.save(self._settings)
                self._run_log.write("info", f"{name} ended", **stage.model_dump(exclude={"name"}))
            self._run_log.stage = None

    def _bring_up_database(self) -> None:
        """Once a run; a database that cannot be opened is for the stage itself to explain."""
        if self._is_migrated or not self._settings.working_database.exists():
            return
        self._is_migrated = True
        try:
            for path in encrypt_home(self._settings):
                log.info("%s is encrypted from here on", path.name)
            connection = working_file(self._settings).connect()
        except duckdb.Error:
            return
        try:
            migrate(connection)
        except SchemaVersionError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        finally:
            connection.close()

    def _try_again(self, name: str, error: BaseException) -> bool:
        attempts = self._attempts[name] = self._attempts.get(name, 0) + 1
        if attempts >= _ATTEMPTS:
            return False
        log.warning(
            "%s: %s; tried again in %.0f s", name, without_personal_data(str(error)), _PAUSE_SECONDS
        )
        return True

    def _timed_out(self, stage: str) -> dg.Failure:
        failure = dg.Failure(description=self._timeout_sentence(stage), allow_retries=False)
        self._failures[stage] = (Outcome.STOPPED, str(failure.description))
        return failure

    def _timeout_sentence(self, stage: str) -> str:
        return (
            f"timeout: the run was stopped in {stage} because it took longer than "
            f"{self._settings.run_timeout} (WAREHOUSE_RUN_TIMEOUT)."
        )

    def _end(self, context: dg.InitResourceContext) -> None:
        """Say how the run ended, and keep the disk within its rules."""
        record, settings = self._record, self._settings
        if record.outcome is Outcome.RUNNING:
            record.outcome, record.reason = self._outcome(context)
        record.ended_at = datetime.now(UTC)
        record.save(settings)
        self._finish_erasures()
        self._bring_postgres_up_to_date()
        self._bring_exports_up_to_date()
        try:
            deleted = retention.tidy(settings)
            if context.instance is not None:
                pruned = prune_dagster(context.instance, settings, record.run_id)
                if pruned:
                    deleted.append(f"{pruned} runs of Dagster")
            record.disk = retention.disk_use(settings)
        except (OSError, sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            log.warning("what is too old was not deleted: %s", error)
        else:
            if deleted:
                self._run_log.write("info", "deleted what is too old", deleted=deleted)
        record.ended_at = datetime.now(UTC)
        record.save(settings)
        self._run_log.write(
            "info",
            "run ended",
            outcome=record.outcome,
            reason=record.reason,
            seconds=record.seconds,
            release=record.release.get("id"),
        )
        if record.started_by != BACKFILL:  # which tells once, of its last day
            _tell_alerts(settings)

    def _finish_erasures(self) -> None:
        """Complete what people are to be forgotten, whatever became of the run."""
        try:
            certificates = finish_erasures(self._settings)
        except (PrivacyError, ReleaseError, OSError, duckdb.Error, sqlite3.Error) as error:
            reason = without_personal_data(str(error))
            self._record.unfinished = reason
            log.error("%s", reason)
            self._run_log.write("error", reason)
        else:
            self._record.erasures = [one.erasure_id for one in certificates]

    def _bring_postgres_up_to_date(self) -> None:
        """Send what a run before could not send, and what an erasure has written anew."""
        if not self._settings.postgres or self._record.behind:
            return
        from orchestration.release.postgres import follow  # noqa: PLC0415 - 0.2 s for psycopg

        try:
            follow(self._settings, log.info)
        except ReleaseError as error:
            self._record.behind = without_personal_data(str(error))
            log.error("%s", self._record.behind)
            self._run_log.write("error", self._record.behind)

    def _bring_exports_up_to_date(self) -> None:
        """Export what a run before could not, and anew what an erasure has deleted."""
        record = self._record
        has_new = record.outcome in GOOD_OUTCOMES or record.erasures
        if record.exports_behind or record.started_by == BACKFILL or not has_new:
            return
        try:
            made, problems = follow(self._settings, log.info)
        except (ReleaseError, SegmentRuleError, OSError) as error:
            made, problems = [], [without_personal_data(str(error))]
        record.exports |= {version.manifest.export: version.path.name for version in made}
        if problems:
            record.exports_behind = " ".join(problems)
            log.error("%s", record.exports_behind)
            self._run_log.write("error", record.exports_behind)

    def _outcome(self, context: dg.InitResourceContext) -> tuple[Outcome, str]:
        """What the stages left; Dagster's events tell of failures outside of them."""
        stopped = [s for gate in self._record.gates for s in gate["failures"]]
        if self._failures:
            return next(reversed(self._failures.values()))
        if stopped:
            return Outcome.STOPPED, without_personal_data(" ".join(stopped))
        if context.instance is not None and context.run is not None:
            events = context.instance.all_logs(
                context.run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE
            )
            for entry in events:
                failure = entry.get_dagster_event().step_failure_data
                error = failure.error.cause or failure.error if failure.error else None
                said = error.message if error else "a step failed"
                return Outcome.CRASHED, without_personal_data(said.strip())
        return Outcome.BUILT, ""

    def _end_hanging(self, context: dg.InitResourceContext) -> None:
        """Last words of a run that does not stop by itself, from another thread."""
        record = self._record
        record.outcome = Outcome.STOPPED
        record.reason = self._timeout_sentence(record.stage_under_way or "no stage") + (
            " It did not stop by itself, so its process was ended."
        )
        record.ended_at = datetime.now(UTC)
        record.save(self._settings)
        self._run_log.write("error", record.reason)
        if context.instance is not None and context.run is not None:
            context.instance.report_run_failed(context.run, record.reason)
        _tell_alerts(self._settings)


def _tell_alerts(settings: Settings) -> None:
    if settings.sends_alerts:
        from orchestration.alerts.telling import tell_and_log  # noqa: PLC0415 - hardly ever

        tell_and_log(settings)


def _stop(sentence: str) -> dg.Failure:
    return dg.Failure(description=sentence, allow_retries=False)


@contextmanager
def only_one_run(settings: Settings) -> Iterator[None]:
    """Hold the lock of the installation; the kernel frees it when the process dies.

    What is written meanwhile is for the account of the run alone, unless it is given other rights.
    Raises WarehouseBusyError naming the process that holds it.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with lock_path(settings).open("a+", encoding="utf-8") as file:
        waited_until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < waited_until:
                    time.sleep(0.1)
                    continue
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise WarehouseBusyError(
                    f"Another run (process {holder}) is writing to {settings.home}. "
                    "Wait until it has finished, or set WAREHOUSE_HOME to another folder."
                ) from None
            break
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        if (settings.home / ".restore").exists():
            from orchestration.backups.restoring import settle  # noqa: PLC0415 - hardly ever

            settle(settings)
        for database in (settings.working_database, settings.candidate_database):
            if database.exists():
                database.chmod(0o600)
        mask = os.umask(0o077)
        try:
            yield
        finally:
            os.umask(mask)


def _settings_as_of(day: str) -> Settings:
    settings = Settings()
    if not day:
        return settings
    try:
        return settings.model_copy(update={"as_of": date.fromisoformat(day)})
    except ValueError:
        raise ValueError(f"as_of={day!r} is no day: expected YYYY-MM-DD") from None


def _begin(record: RunRecord, context: dg.InitResourceContext) -> RunRecord:
    record.outcome, record.reason = Outcome.RUNNING, ""
    record.began_at = record.began_at or datetime.now(UTC)
    record.process = os.getpid()
    record.code_version = code_version()
    if context.run is not None:
        run = context.run
        chosen = [key.to_user_string() for key in sorted(run.asset_selection or ())]
        record.what = ", ".join(chosen) or "the whole job"
        record.started_by = started_by(dict(run.tags))
    return record


def _what_went_wrong(error: BaseException) -> tuple[Outcome, str]:
    if isinstance(error, dg.Failure):
        return Outcome.STOPPED, without_personal_data(error.description or "")
    if isinstance(error, KeyboardInterrupt | dg.DagsterExecutionInterruptedError):
        return Outcome.STOPPED, "interrupted"
    said = without_personal_data(str(error)).strip()
    return Outcome.CRASHED, f"{type(error).__name__}: {said}" if said else type(error).__name__


def _passes(error: BaseException) -> bool:
    """Whether an error, or what it was made from, is a trouble that passes by itself."""
    for one in (error, error.__cause__):
        if isinstance(one, OSError) and one.errno in _PASSING:
            return True
        if isinstance(one, duckdb.IOException) and "Could not set lock" in str(one):
            return True
    return False


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
