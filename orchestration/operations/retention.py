"""Every rule about what may stay on disk, in one place, and what the disk is used for.

Rules that Dagster's storage needs are in `dagster_storage`, which imports Dagster. The releases
themselves are pruned by the release room when it publishes, by the rule that is named here.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from orchestration.faults import remove_unfinished
from orchestration.operations.ledger import runs_folder
from orchestration.operations.run_log import logs_folder
from orchestration.settings import Settings

# Databases that were set aside because they could not be used, as large as the one in use.
SET_ASIDE_KEPT = 1
# dbt's own log: it grows by every invocation, and nothing reads it after the run.
DBT_LOG_BYTES = 10 << 20
# What a person was told is held of them: personal data of every layer in one file.
REPORTS_KEPT_DAYS = 30
# A reader that missed one has the one before, and takes the whole list when it missed more.
EXPORTS_KEPT = 3
# The reason of a rejected line whose text is no longer kept.
FORGOTTEN = "what stood in this line is no longer kept"

_SET_ASIDE = re.compile(
    r"(work|release_candidate)\.duckdb\.(?!wal$|tmp$).+|dagster\.damaged.*|replaced\.\d{8}T\d{6}Z"
)


@dataclass(frozen=True)
class Rule:
    """What is kept of something that every run adds to. setting: its variable, or none."""

    what: str
    where: str
    kept: str
    setting: str | None


RULES = (
    Rule("releases", "releases/", "the last {keep_releases}", "WAREHOUSE_KEEP_RELEASES"),
    Rule("backups", "backups/", "the last {keep_backups} of a folder", "WAREHOUSE_KEEP_BACKUPS"),
    Rule("homes that a restore replaced", "replaced.*", "the newest", None),
    Rule("run ledger", "runs/", "the last {keep_runs} runs", "WAREHOUSE_KEEP_RUNS"),
    Rule("logs of runs", "logs/", "the last {keep_runs} runs", "WAREHOUSE_KEEP_RUNS"),
    Rule("Dagster's runs", "dagster/", "the last {keep_runs} runs", "WAREHOUSE_KEEP_RUNS"),
    Rule(
        "text of rejected lines",
        "work.duckdb, raw.rejects",
        "while their file is in the landing, and {keep_rejects_days} days from when it was read",
        "WAREHOUSE_KEEP_REJECTS_DAYS",
    ),
    Rule("tombstones and certificates of erasures", "erasures/", "for good", None),
    Rule("log of who looked at whom, by keyed hash", "access.jsonl", "for good", None),
    Rule(
        "reports to people about themselves",
        "reports/",
        f"{REPORTS_KEPT_DAYS} days, and no longer than the person",
        None,
    ),
    Rule(
        "exports of audiences",
        "exports/",
        f"the last {EXPORTS_KEPT} versions of each, and none of one that is not declared",
        None,
    ),
    Rule("databases set aside", "*.duckdb.*, dagster.damaged", "the newest of each", None),
    Rule("dbt's log", "dbt/dbt.log", "10 MiB", None),
    Rule("temporary files of DuckDB", "*.duckdb.tmp", "none after a run", None),
)

PARTS = {
    "working database": ("work.duckdb", "work.duckdb.wal", "work.duckdb.tmp"),
    "marts under way": ("release_candidate.duckdb", "release_candidate.duckdb.wal"),
    "releases": ("releases",),
    "Dagster": ("dagster",),
    "dbt": ("dbt",),
    "gate reports": ("data_docs", "gates"),
    "documentation": ("docs",),
    "ledger and logs": ("runs", "logs"),
    "reports to people": ("reports",),
    "backups": ("backups",),
    "exports": ("exports",),
}
_ELSE = "anything else"


def tidy(settings: Settings) -> list[str]:
    """Apply the rules about files, after a run and with its lock held; returns what was deleted.

    Raises OSError when something cannot be deleted.
    """
    deleted = [
        *_keep_newest(runs_folder(settings), "*.json", settings.keep_runs),
        *_keep_newest(logs_folder(settings), "*.jsonl", settings.keep_runs),
        *_keep_newest(runs_folder(settings), "*.tmp", 0),
        *_keep_set_aside(settings),
        *_keep_younger(settings.reports, timedelta(days=REPORTS_KEPT_DAYS)),
    ]
    log = settings.home / "dbt" / "dbt.log"
    if log.exists() and log.stat().st_size > DBT_LOG_BYTES:
        log.unlink()
        deleted.append(log)
    deleted += remove_unfinished(settings)
    return [str(path.relative_to(settings.home)) for path in deleted]


def forget_rejects(connection: duckdb.DuckDBPyConnection, days: int, now: datetime) -> int:
    """Forget what stood in rejected lines that were read over `days` ago from files that are gone.

    Returns of how many. File and line number stay, so what was read still adds up.
    """
    limit = now.astimezone(UTC).replace(tzinfo=None) - timedelta(days=days)
    row = connection.execute(
        """
        update raw.rejects set
            line_text = '',
            column_name = null,
            value = null,
            reason = $forgotten
        from raw.files
        where
            rejects.source_file = files.file_path
            and rejects.content_hash = files.content_hash
            and not files.is_present
            and files.loaded_at < $limit
            and rejects.reason <> $forgotten
        """,
        {"limit": limit, "forgotten": FORGOTTEN},
    ).fetchone()
    return int(row[0]) if row else 0


def disk_use(settings: Settings) -> dict[str, int]:
    """Bytes below `$WAREHOUSE_HOME` by part; the link `current` counts for nothing."""
    part_of = {name: part for part, names in PARTS.items() for name in names}
    used = dict.fromkeys([*PARTS, _ELSE], 0)
    for entry in settings.home.iterdir():
        if not entry.is_symlink():
            used[part_of.get(entry.name, _ELSE)] += _bytes(entry)
    return used


def set_aside(settings: Settings) -> list[Path]:
    """Databases that were set aside, the newest first."""
    found = [path for path in settings.home.iterdir() if _SET_ASIDE.fullmatch(path.name)]
    return sorted(found, key=_age, reverse=True)


def _keep_set_aside(settings: Settings) -> Iterator[Path]:
    kept: dict[str, int] = {}
    for path in set_aside(settings):
        database = path.name.partition(".")[0]
        kept[database] = kept.get(database, 0) + 1
        if kept[database] > SET_ASIDE_KEPT:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            yield path


def _keep_newest(folder: Path, pattern: str, kept: int) -> Iterator[Path]:
    for path in sorted(folder.glob(pattern), key=_age, reverse=True)[kept:]:
        path.unlink(missing_ok=True)
        yield path


def _keep_younger(folder: Path, age: timedelta) -> Iterator[Path]:
    limit = (datetime.now(UTC) - age).timestamp()
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
            yield path


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except FileNotFoundError:
        return 0.0, path.name


def _bytes(path: Path) -> int:
    try:
        if not path.is_dir():
            return path.lstat().st_size
        return sum(_bytes(entry) for entry in path.iterdir() if not entry.is_symlink())
    except FileNotFoundError:
        return 0  # a run may remove it meanwhile
