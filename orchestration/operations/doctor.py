"""Checks of an installation: is everything there that a run needs, and what to do if not.

Each check is a small function that gives findings. Nothing is changed, and a run may go on beside.
"""

import contextlib
import csv
import importlib.metadata
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import duckdb
import yaml

from orchestration.activation.declarations import read_exports
from orchestration.alerts.addresses import SecretError, revealed
from orchestration.alerts.channels import channels
from orchestration.alerts.telling import AlertError, undelivered
from orchestration.backups.archive import (
    BackupError,
    backup_key,
    known_backups,
    read_about,
)
from orchestration.database import WORKING_KEY, is_encrypted, working_file
from orchestration.identity.decisions import (
    DecisionError,
    check_consistent,
    decisions_in_force,
    read_decisions,
)
from orchestration.identity.parameters import REFERENCE, ParameterError, read_parameters
from orchestration.identity.rectifications import RectificationError, read_rectifications
from orchestration.keys import BadKeyError, variable
from orchestration.landing.feeds import FEEDS
from orchestration.landing.listing import LandingError, list_landing
from orchestration.landing.withdrawals import (
    WithdrawalError,
    in_force,
    read_withdrawals,
)
from orchestration.operations import retention
from orchestration.operations.ledger import Outcome, no_run_beside, read_ledger
from orchestration.operations.migrations import MIGRATIONS, schema_version
from orchestration.privacy.access_log import read_log
from orchestration.privacy.certificates import certificates, pending
from orchestration.privacy.holds import holds_in_force
from orchestration.privacy.retention_log import read_accepted
from orchestration.privacy.retention_policy import RetentionPolicyError, read_policy
from orchestration.privacy.tombstones import PrivacyError, read_tombstones
from orchestration.release import (
    ReleaseError,
    current_release,
    list_releases,
    read_manifest,
    verify_release,
)
from orchestration.release.releases import STEWARD, role_key
from orchestration.release.roles import read_roles
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.rule_files import SegmentRuleError
from orchestration.transform.segments import check_segment_rules

LOCK = PROJECT_ROOT / "requirements.lock"
SUITES = PROJECT_ROOT / "expectations"

# Beside the working database: a release and its copy, the marts under way, what DuckDB spills.
FREE_PER_DATABASE = 3
# A night without a backup may happen, a weekend too.
BACKUP_DAYS = 3
_LEAST_FREE_BYTES = 1 << 30
_EXTENSIONS = ("core_functions", "icu", "json", "parquet")
# DuckDB locks its files, and readers follow a link that is renamed: network drives do neither well.
_NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "afpfs",
    "ceph",
    "glusterfs",
)


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"  # a run would fail, or would not be safe


@dataclass(frozen=True)
class Finding:
    """What a check found. remedy: one sentence, empty when there is nothing to do."""

    check: str
    level: Level
    found: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Run every check, in the order in which a person would look."""
    findings = []
    with no_run_beside(settings) as process:
        for name, check in _CHECKS.items():
            if process is not None and check in _NEED_THE_DATABASE:
                findings.append(
                    Finding(name, Level.OK, f"not looked at: process {process} is writing")
                )
                continue
            found = list(check(settings))
            findings += [
                Finding(name, level, sentence, remedy) for level, sentence, remedy in found
            ]
    return findings


_Found = Iterator[tuple[Level, str, str]]


def _python(settings: Settings) -> _Found:  # noqa: ARG001
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] == (3, 11):
        yield Level.OK, found, ""
    else:
        yield Level.ERROR, f"{found} is not 3.11", "Make the environment anew: `make clean run`."


def _packages(settings: Settings) -> _Found:  # noqa: ARG001
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", LOCK.read_text(), re.M))
    installed = {
        _normal(distribution.metadata["Name"]): distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"]
    }
    missing = sorted(name for name in pinned if _normal(name) not in installed)
    other = sorted(
        f"{name} {installed[_normal(name)]} instead of {version}"
        for name, version in pinned.items()
        if _normal(name) in installed and installed[_normal(name)] != version
    )
    remedy = "Remove .venv and run `make run`: it installs what requirements.lock says."
    if missing:
        yield Level.ERROR, f"missing: {', '.join(missing)}", remedy
    if other:
        yield Level.ERROR, f"not as in requirements.lock: {', '.join(other)}", remedy
    if not missing and not other:
        yield Level.OK, f"{len(pinned)} as in requirements.lock", ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _extensions(settings: Settings) -> _Found:  # noqa: ARG001
    with duckdb.connect() as connection:
        there = {
            name
            for (name,) in connection.execute(
                "select extension_name from duckdb_extensions() where loaded or installed"
            ).fetchall()
        }
    missing = [name for name in _EXTENSIONS if name not in there]
    if missing:
        yield (
            Level.ERROR,
            f"DuckDB {duckdb.__version__} comes without {', '.join(missing)}",
            "Install the duckdb package of requirements.lock, which has them built in.",
        )
    else:
        yield Level.OK, f"DuckDB {duckdb.__version__} with {', '.join(_EXTENSIONS)}", ""


def _landing(settings: Settings) -> _Found:
    try:
        listing = list_landing(settings.landing, FEEDS)
    except LandingError as error:
        yield Level.ERROR, str(error), "Correct WAREHOUSE_LANDING or the folder."
        return
    unreadable = [file.name for file in listing.files if not os.access(file.path, os.R_OK)]
    if unreadable:
        yield (
            Level.ERROR,
            f"{len(unreadable)} files cannot be read, among them {unreadable[0]}",
            "Give the user of the run the right to read them.",
        )
    if not listing.files:
        yield Level.WARNING, f"{settings.landing} has no file", "Deliver extracts."
    for sentence in listing.warnings:
        yield Level.WARNING, sentence, "Move or rename it, or leave it: it is not read."
    feeds = {file.feed.name for file in listing.files}
    if listing.files and not unreadable:
        yield Level.OK, f"{len(listing.files):,} files of {len(feeds)} feeds", ""


def _home(settings: Settings) -> _Found:
    try:
        with tempfile.TemporaryFile(dir=settings.home) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield (
            Level.ERROR,
            f"{settings.home} cannot be written ({error.strerror})",
            "Give the user of the run the right to write, or name another WAREHOUSE_HOME.",
        )
        return
    kind = _file_system(settings.home)
    if kind in _NETWORK:
        yield (
            Level.ERROR,
            f"{settings.home} is on a network drive ({kind})",
            "Name a folder of a local disk in WAREHOUSE_HOME: locks are not safe there.",
        )
    else:
        yield Level.OK, f"{settings.home} can be written{f', {kind}' if kind else ''}", ""


def _file_system(path: Path) -> str:
    """Kind of the file system that holds the path (Linux), or nothing."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    best, kind = "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, found, *_ = line.split(" ")
        place = point.replace("\\040", " ")
        if path.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, found
    return kind


def _disk(settings: Settings) -> _Found:
    free = shutil.disk_usage(settings.home).free
    database = settings.working_database
    size = database.stat().st_size if database.exists() else 0
    needed = max(FREE_PER_DATABASE * size, _LEAST_FREE_BYTES)
    said = f"{free / 1e9:,.1f} GB free"
    if free < needed:
        yield (
            Level.ERROR if free < size or free < _LEAST_FREE_BYTES / 10 else Level.WARNING,
            f"{said}, a run may need {needed / 1e9:,.1f} GB",
            "Free disk space, or lower WAREHOUSE_KEEP_RELEASES.",
        )
    else:
        yield Level.OK, f"{said}, a run may need {needed / 1e9:,.1f} GB", ""


def _memory(settings: Settings) -> _Found:
    match = re.fullmatch(r"([0-9.]+)\s?([KMGT])(i?)B", settings.memory_limit)
    if match is None:  # Settings takes nothing else
        raise ValueError(settings.memory_limit)
    limit = float(match[1]) * (1024 if match[3] else 1000) ** ("KMGT".index(match[2]) + 1)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        allowed = Path(name)
        if allowed.exists() and allowed.read_text().strip().isdigit():
            machine = min(machine, int(allowed.read_text()))
    said = f"DuckDB may take {settings.memory_limit} of {machine / (1 << 30):,.1f} GiB"
    if limit > 0.8 * machine:
        yield (
            Level.WARNING,
            said,
            "Set WAREHOUSE_MEMORY_LIMIT to half of the machine's memory: Python, dbt and Great "
            "Expectations need some, too.",
        )
    elif limit < 256 << 20:
        yield Level.WARNING, said, "Set WAREHOUSE_MEMORY_LIMIT to 256MiB or more."
    else:
        yield Level.OK, said, ""


def _settings(settings: Settings) -> _Found:
    fine = True
    if settings.home.is_relative_to(settings.landing):
        fine = False
        yield (
            Level.ERROR,
            f"the home {settings.home} is inside the landing",
            "Name another WAREHOUSE_HOME: a run would read what it writes.",
        )
    if settings.landing.is_relative_to(settings.home):
        fine = False
        yield (
            Level.WARNING,
            f"the landing {settings.landing} is inside the home",
            "Keep extracts outside of WAREHOUSE_HOME, so that removing that loses none.",
        )
    cores = os.cpu_count() or 1
    if settings.threads > 2 * cores:
        fine = False
        yield (
            Level.WARNING,
            f"{settings.threads} threads on {cores} cores",
            "Lower WAREHOUSE_THREADS: more threads than cores cost memory and win no time.",
        )
    known = {f"WAREHOUSE_{name.upper()}" for name in Settings.model_fields}
    known.add("WAREHOUSE_DAGSTER_STORAGE")
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith("WAREHOUSE_") and name not in known and not name.startswith(variable(""))
    )
    if unknown:
        fine = False
        yield (
            Level.WARNING,
            f"{', '.join(unknown)} means nothing",
            "Correct the name; docs/settings.md lists the settings.",
        )
    if fine:
        yield Level.OK, "no two contradict each other", ""


def _as_of(settings: Settings) -> _Found:
    today = datetime.now(UTC).date()
    if settings.as_of > today + timedelta(days=1):
        yield (
            Level.WARNING,
            f"{settings.as_of} is a day to come",
            "Unset WAREHOUSE_AS_OF, unless you want marts of that day.",
        )
        return
    try:
        current = current_release(settings)
        released: date | None = read_manifest(current).as_of if current else None
    except ReleaseError:
        released = None  # has a check of its own
    if released and settings.as_of < released:
        yield (
            Level.WARNING,
            f"{settings.as_of} is before the release's {released}",
            "Readers would go back in time: unset WAREHOUSE_AS_OF, unless that is what you want.",
        )
    else:
        yield Level.OK, str(settings.as_of), ""


def _clock(settings: Settings) -> _Found:
    now = datetime.now(UTC)
    last: list[datetime] = [r.ended_at for r in read_ledger(settings)[0] if r.ended_at]
    with contextlib.suppress(ReleaseError):  # has a check of its own
        last += [read_manifest(release).released_at for release in list_releases(settings)[-1:]]
    newest = max(last, default=None)
    if newest and newest > now + timedelta(minutes=5):
        yield (
            Level.WARNING,
            f"it says {now:%Y-%m-%d %H:%M} UTC, and the last run ended {newest:%Y-%m-%d %H:%M}",
            "Set the clock. Releases keep their order in any clock, days and ages do not.",
        )
    else:
        yield Level.OK, f"{now:%Y-%m-%d %H:%M} UTC", ""


def _reference(settings: Settings) -> _Found:  # noqa: ARG001
    fine = True
    for path in sorted(REFERENCE.glob("*.csv")):
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = list(csv.reader(file, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            fine = False
            yield Level.ERROR, f"{path.name} cannot be read ({error})", "Restore it."
            continue
        wrong = [i for i, line in enumerate(lines, 1) if line and len(line) != len(lines[0])]
        if not lines or wrong:
            fine = False
            where = f":{wrong[0]} has another number of fields" if wrong else " has no header"
            yield Level.ERROR, f"{path.name}{where}", "Correct it, or restore it."
    try:
        read_parameters(REFERENCE)
        check_segment_rules()
        read_exports()
        read_policy(FEEDS)
    except (ParameterError, SegmentRuleError, RetentionPolicyError, OSError) as error:
        fine = False
        yield Level.ERROR, str(error), "Correct it; a run would stop before anything is landed."
    if fine:
        yield Level.OK, f"{len(list(REFERENCE.glob('*.csv')))} files of {REFERENCE.name}", ""


def _suites(settings: Settings) -> _Found:  # noqa: ARG001
    count = 0
    for path in sorted(SUITES.rglob("*.yml")):
        try:
            suites = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            yield Level.ERROR, f"{path.name} is not YAML ({error})", "Correct it, or restore it."
            continue
        if not isinstance(suites, list) or not all(isinstance(s, dict) for s in suites):
            yield Level.ERROR, f"{path.name} is no list of suites", "Correct it, or restore it."
            continue
        count += len(suites)
    if count:
        yield Level.OK, f"{count} suites", ""
    else:
        yield Level.ERROR, f"there is no suite in {SUITES}", "Restore the folder."


def _decisions(settings: Settings) -> _Found:
    try:
        decisions = read_decisions(settings.decisions)
        check_consistent(decisions_in_force(decisions))
        rectified = read_rectifications(settings.rectifications)
        withdrawn = in_force(read_withdrawals(settings.withdrawals))
    except (DecisionError, RectificationError, WithdrawalError) as error:
        yield Level.ERROR, str(error), "Correct the line; a run would stop."
        return
    counts = f"{len(decisions)} decisions, {len(rectified)} rectifications"
    yield Level.OK, f"{counts}, {len(withdrawn)} withdrawn files", ""


def _erasures(settings: Settings) -> _Found:
    try:
        done, waiting = certificates(settings), pending(settings)
        tombstones = read_tombstones(settings)
        holds_in_force(settings, settings.as_of)
        read_accepted(settings)
    except PrivacyError as error:
        yield Level.ERROR, str(error), "Until then every run is refused, or its proof is worthless."
        return
    for plan in waiting:
        yield (
            Level.ERROR,
            f"erasure {plan.erasure_id} of {plan.requested_at:%Y-%m-%d %H:%M} is pending",
            "`warehouse forget --resume` completes it, and so does any run.",
        )
    yield (
        Level.OK,
        f"{len(done)} certificates as they were written, {len(tombstones.keyed_hashes)} tombstones",
        "",
    )


def _access_log(settings: Settings) -> _Found:
    try:
        log = read_log(settings)
    except PrivacyError as error:
        yield Level.ERROR, str(error), "Until then nobody may look at a person with our tools."
        return
    if log.problem:
        yield (
            Level.ERROR,
            log.problem,
            "Find out who changed it; `warehouse access-log` shows the lines before.",
        )
        return
    yield Level.OK, f"{len(log.lines)} lines as they were written", ""


def _keys(settings: Settings) -> _Found:
    try:
        roles = [STEWARD, *(role.name for role in read_roles())]
        sealed = [role for role in roles if role_key(settings, role)]
        working_key = role_key(settings, WORKING_KEY)
    except ReleaseError as error:
        yield Level.ERROR, str(error), "Until then nothing can be released."
        return
    if not sealed and not working_key:
        yield Level.OK, "none, so releases and the working database are not encrypted", ""
        return
    yield Level.OK, f"releases are encrypted for {', '.join(sealed) or 'nobody'}", ""
    path = settings.working_database
    if working_key is None:
        yield (
            Level.WARNING,
            f"{path.name}, of which releases are made, is not encrypted",
            f"`warehouse make-key {WORKING_KEY}`; the next run encrypts it.",
        )
    elif path.exists() and not is_encrypted(path):
        yield Level.WARNING, f"{path.name} is not encrypted yet", "The next run encrypts it."
    else:
        yield Level.OK, f"{path.name} is encrypted", ""
    if settings.exports.is_dir() and any(settings.exports.iterdir()):
        yield (
            Level.WARNING,
            f"the exports in {settings.exports} are not encrypted: other tools read them",
            "Let WAREHOUSE_EXPORTS name a folder on an encrypted disk, or export hashes only.",
        )
    if settings.keys.is_relative_to(settings.home):
        yield (
            Level.WARNING,
            f"the keys lie in {settings.keys}, beside what they encrypt",
            "Move them elsewhere, and let WAREHOUSE_KEYS name the folder.",
        )


def _backups(settings: Settings) -> _Found:
    try:
        found = known_backups(settings)
        if not found:
            yield Level.OK, "none; `warehouse backup` makes one", ""
            return
        newest = read_about(found[-1], backup_key(settings))
    except BackupError as error:
        yield Level.ERROR, str(error), "Until then nothing can be restored, nor an erasure ended."
        return
    age = datetime.now(UTC) - newest.made_at
    said = f"{len(found)}, the newest of {newest.made_at:%Y-%m-%d %H:%M} UTC"
    if age > timedelta(days=BACKUP_DAYS):
        yield (
            Level.WARNING,
            f"{said}, {age.days} days ago",
            "`warehouse backup`, or look at what should make one each night.",
        )
    elif found[-1].is_relative_to(settings.home):
        yield (
            Level.WARNING,
            f"{said}, inside the home",
            "Name a folder of another disk in WAREHOUSE_BACKUPS: a lost home loses these.",
        )
    else:
        yield Level.OK, said, ""


def _database(settings: Settings) -> _Found:
    path = settings.working_database
    if not path.exists():
        yield Level.OK, "none yet; the first run makes it", ""
        return
    newest = MIGRATIONS[-1].version
    try:
        with working_file(settings).connect(read_only=True) as connection:
            version = schema_version(connection)
            tables = connection.execute("select count(*) from duckdb_tables()").fetchone()
    except BadKeyError as error:
        yield Level.ERROR, str(error), "Nothing can be read or run without it."
        return
    except duckdb.Error as error:
        yield (
            Level.ERROR,
            f"{path} cannot be opened ({error})",
            "Close what holds it. If it is damaged, move it away: the next run makes it again from "
            "the landing, and customers keep their ids.",
        )
        return
    if version is not None and version > newest:
        yield (
            Level.ERROR,
            f"schema version {version}, this code knows up to {newest}",
            "Run the newer code, or move the database away: the next run makes it again.",
        )
    elif version is not None and version < newest:
        yield (
            Level.OK,
            f"schema version {version}; the next run brings it up to {newest}",
            "",
        )
    else:
        count = tables[0] if tables else 0
        yield Level.OK, f"{count} tables, schema version {version}", ""


def _release(settings: Settings) -> _Found:
    try:
        current = current_release(settings)
        if current is None:
            yield Level.WARNING, "nothing is released yet", "`make run`."
            return
        verify_release(current)
    except ReleaseError as error:
        yield Level.ERROR, str(error), "`make rollback`, or `make run REBUILD=1`."
        return
    for release in list_releases(settings):
        try:
            read_manifest(release)
        except ReleaseError as error:
            yield Level.WARNING, str(error), f"Delete {release.path}, it is not the current one."
    yield Level.OK, f"{current.id} is as it was published", ""


def _postgres(settings: Settings) -> _Found:
    if not settings.postgres:
        yield Level.OK, "releases are sent to no database", ""
        return
    from orchestration.release import postgres  # noqa: PLC0415 - 0.2 s for psycopg

    for is_well, found, remedy in postgres.examine(settings):
        yield Level.OK if is_well else Level.ERROR, found, remedy


def _alerts(settings: Settings) -> _Found:
    if not settings.sends_alerts:
        yield Level.OK, "none are sent; docs/operations.md says how to", ""
        return
    remedy = "`warehouse alerts --test` tries it; until then nobody is told by it."
    fine = True
    for name in ("alert_webhook", "alert_password"):
        try:
            revealed(getattr(settings, name).get_secret_value(), f"WAREHOUSE_{name.upper()}")
        except SecretError as error:
            fine = False
            yield Level.ERROR, str(error), remedy
    try:
        for sentence in undelivered(settings):
            fine = False
            yield Level.WARNING, sentence, "Correct the setting, or see to the server."
    except AlertError as error:
        fine = False
        yield Level.WARNING, str(error), ""
    if fine:
        yield Level.OK, f"by {' and '.join(one.name for one in channels(settings))}", ""


def _left_behind(settings: Settings) -> _Found:
    """What killed runs left; the next run sweeps it up by itself."""
    killed = [r for r in read_ledger(settings)[0] if r.outcome is Outcome.RUNNING]
    left = [
        *settings.home.glob(".landing-*"),
        *settings.home.glob(".restore"),
        *settings.home.glob("*.duckdb.tmp"),
        *(settings.releases.glob(".staging-*") if settings.releases.is_dir() else ()),
        *(settings.releases.glob(".trash-*") if settings.releases.is_dir() else ()),
    ]
    aside = retention.set_aside(settings)
    if killed:
        yield (
            Level.WARNING,
            f"run {killed[0].run_id} was killed in {killed[0].stage_under_way or 'no stage'}",
            "`make run`: it takes up from there.",
        )
    if left:
        yield (
            Level.WARNING,
            f"{len(left)} folders of killed runs, among them {left[0].name}",
            "`make run` sweeps them up.",
        )
    if aside:
        yield (
            Level.WARNING,
            f"{aside[0].name} was set aside, because it could not be used or was replaced",
            "Look into it, or delete it: nothing needs it.",
        )
    if not (killed or left or aside):
        yield Level.OK, "nothing", ""


def _dagster(settings: Settings) -> _Found:
    storage = settings.home / "dagster"
    if not storage.exists():
        yield Level.OK, "none yet; the first run makes it", ""
        return
    files = [
        storage / "history" / "runs.db",
        storage / "history" / "runs" / "index.db",
        storage / "schedules" / "schedules.db",
    ]
    runs = 0
    for path in files:
        if not path.exists():
            continue
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)
            ) as database:
                verdict = database.execute("pragma quick_check(1)").fetchone()[0]
                if path.name == "runs.db":
                    runs = database.execute("select count(*) from runs").fetchone()[0]
        except sqlite3.Error as error:
            verdict = str(error)
        if verdict != "ok":
            yield (
                Level.ERROR,
                f"{path} is damaged ({verdict})",
                f"Move {storage} away: only the history of runs in the UI is lost.",
            )
            return
    yield Level.OK, f"{runs} runs in its storage", ""


def _telemetry(settings: Settings) -> _Found:  # noqa: ARG001
    instance = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    if (instance.get("telemetry") or {}).get("enabled") is not False:
        yield (
            Level.ERROR,
            "dagster.yaml lets Dagster tell its maker what is done here",
            "Set `telemetry: {enabled: false}` in it.",
        )
    else:
        yield Level.OK, "off for Dagster, dbt and Great Expectations", ""


_CHECKS: dict[str, Callable[[Settings], _Found]] = {
    "Python": _python,
    "packages": _packages,
    "DuckDB": _extensions,
    "settings": _settings,
    "as-of day": _as_of,
    "clock": _clock,
    "memory": _memory,
    "home": _home,
    "disk": _disk,
    "landing": _landing,
    "reference data": _reference,
    "suites": _suites,
    "decisions": _decisions,
    "erasures": _erasures,
    "access log": _access_log,
    "keys": _keys,
    "backups": _backups,
    "working database": _database,
    "release": _release,
    "Postgres": _postgres,
    "alerts": _alerts,
    "left behind": _left_behind,
    "Dagster's storage": _dagster,
    "telemetry": _telemetry,
}
_NEED_THE_DATABASE = (_database, _left_behind)
