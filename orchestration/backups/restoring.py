"""A home made from a backup, without the people who were forgotten since.

All of it is built and proven in `<home>/.restore/new`, then noted in `switch.json`, then moved to
its place; what was there is set aside in `<home>/replaced.<time>`. Until the note is written the
old home stands; after it, whoever takes the lock of the home next completes the moving, so a kill
leaves the old home or the new one. Links are not followed and nothing is moved to another disk.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from orchestration.backups.archive import (
    About,
    BackupError,
    backup_key,
    mirrored,
    note_backup,
    read_backup,
)
from orchestration.database import working_file
from orchestration.faults import write_whole
from orchestration.journal import flush_folder
from orchestration.operations.migrations import MIGRATIONS
from orchestration.privacy.certificates import PLAN, Certificate, plan_erasure
from orchestration.privacy.erasing import finish_erasures
from orchestration.privacy.people import Registry
from orchestration.privacy.tombstones import read_tombstones
from orchestration.release import current_release, verify_release
from orchestration.settings import Settings

# Of the home, not of a point in time: what a restore leaves where it is.
_KEPT = frozenset(
    {
        *("keys", "backups", "backups.csv", "access.lock", "run.lock", ".restore"),
        *("exports", "exported_to.txt"),
    }
)
_ACCESS_LOG = ("access.jsonl", "access.head.json")
_MADE_AGAIN = ("release_candidate.duckdb", "release_candidate.duckdb.wal")


@dataclass(frozen=True)
class Restored:
    """What a restore did. replaced: where the old home is now, None when there was none."""

    about: About
    certificates: tuple[Certificate, ...]
    replaced: Path | None


def restore(
    settings: Settings, home: Path, path: Path, *, by: str, why: str, erasures: Path | None = None
) -> Restored:
    """Make a home from a backup. Only for who holds the lock of that home.

    settings: where the key is, and who was forgotten. home: what is made; its settings' own or
    another folder. erasures: a copy of a folder of erasures, of a home that is lost. Raises
    BackupError, PrivacyError or ReleaseError; the home is then as it was.
    """
    target = settings if home == settings.home else mirrored(settings, home)
    work = target.home / ".restore"
    staged = mirrored(settings, work / "new")
    try:
        staged.home.mkdir(mode=0o700, parents=True)
        about, _ = read_backup(path, backup_key(settings), staged.home)
        # readers of roles have to pass; each file has the rights that it had
        for folder in (staged.releases, *staged.releases.rglob("*/")):
            folder.chmod(0o755)
        _prove(staged, about)
        _bring_erasures(settings, target, staged, erasures)
        targets = _take_targets(target, staged)
        done = _forget_again(staged, about, by=by, why=why)
        if targets:
            write_whole(staged.postgres_targets, json.dumps(targets, indent=1) + "\n")
        kept = _keep_logs(target, staged)
        note_backup(staged, "restore", path, about, by=by, why=why)
        replaced = _commit(target, staged, kept)
        settle(target)
    except BaseException:
        if not (work / "switch.json").exists():
            shutil.rmtree(work, ignore_errors=True)
        raise
    return Restored(about, tuple(done), replaced if replaced.exists() else None)


def would_replace(settings: Settings, home: Path) -> list[str]:
    """Names in a home that a restore would set aside."""
    target = settings if home == settings.home else mirrored(settings, home)
    return _outgoing(target, set(_KEPT))


def _prove(staged: Settings, about: About) -> None:
    """Whether this code can go on with what was unpacked. Raises BackupError or ReleaseError."""
    newest = MIGRATIONS[-1].version
    if (about.schema_version or 0) > newest:
        raise BackupError(
            f"The backup was made by newer code: its working database has schema version "
            f"{about.schema_version}, this code knows up to {newest}. Run the newer code."
        )
    staged.current.symlink_to(Path(staged.releases.name) / about.release_id)
    if release := current_release(staged):
        verify_release(release)
    try:
        with working_file(staged).connect() as connection:
            connection.execute("checkpoint")
    except duckdb.Error as error:
        raise BackupError(f"The working database in the backup cannot be opened: {error}") from None


# --- who was forgotten since --------------------------------------------------------------------


def _bring_erasures(
    settings: Settings, target: Settings, staged: Settings, given: Path | None
) -> None:
    """Add the erasures that are known elsewhere to those of the backup, and their key."""
    if given is not None and not given.is_dir():
        raise BackupError(f"{given} is no folder of erasures.")
    for folder in dict.fromkeys((settings.erasures, target.erasures, given)):
        if folder is None or not folder.is_dir():
            continue
        for path in sorted(folder.glob("*/*.json")):
            copied = staged.erasures / path.parent.name / path.name
            copied.parent.mkdir(parents=True, exist_ok=True)
            if path.name != PLAN:
                shutil.copyfile(path, copied)
                continue
            # what it had done by then, it had done to the home that is replaced
            plan = json.loads(path.read_bytes()) | {"is_begun": False}
            write_whole(copied, json.dumps(plan), mode=0o600)
        _bring_lifts(folder / "lifted.csv", staged.erasures / "lifted.csv")
    # a backup from before the first erasure has none
    for key in (settings.erasure_key, target.erasure_key):
        if key.exists() and not staged.erasure_key.exists():
            shutil.copy(key, staged.erasure_key)


def _bring_lifts(path: Path, to: Path) -> None:
    if not path.exists():
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    known = to.read_text(encoding="utf-8").splitlines(keepends=True) if to.exists() else []
    more = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write_whole(to, "".join(dict.fromkeys([*known, *more])))


def _take_targets(target: Settings, staged: Settings) -> list[str]:
    """Databases that a release was ever sent to, out of reach of what is done to the backup.

    They show a later release than the backup holds, and without whoever was forgotten since.
    """
    if not (target.postgres_targets.exists() or staged.postgres_targets.exists()):
        return []
    from orchestration.release.postgres import described_targets  # noqa: PLC0415 - 0.2 s

    found = [*described_targets(staged), *described_targets(target)]
    staged.postgres_targets.unlink(missing_ok=True)
    return list(dict.fromkeys(found))


def _forget_again(staged: Settings, about: About, *, by: str, why: str) -> list[Certificate]:
    """Erase whoever meets a tombstone that the backup did not know, and whoever is pending."""
    tombstones = read_tombstones(staged)
    newer = sorted(
        {path.parent.name for path in staged.erasures.glob("*/tombstones.json")} - {*about.erasures}
    )
    if newer and tombstones:
        with working_file(staged).connect() as connection:
            release = current_release(staged)
            registry = Registry(connection, release.marts if release else None)
            people = registry.forgotten(tombstones)
        plan_erasure(
            staged,
            people,
            count=len(people.customers),
            by="restore",
            why=f"{', '.join(newer)} applied again to the backup of {about.made_at:%Y-%m-%d %H:%M},"
            f" restored by {by}: {why}",
            keyed_hashes=sorted(tombstones.keyed_hashes),
        )
    return finish_erasures(staged)


# --- in the place of the old home ---------------------------------------------------------------


def _keep_logs(target: Settings, staged: Settings) -> set[str]:
    """Who looked, and who backed up, is kept for good: the home's own log goes on.

    Returns the names that stay as they are in the home.
    """
    kept = set(_KEPT)
    journal = target.home / "backups.csv"
    if journal.exists():
        shutil.copyfile(journal, staged.home / "backups.csv")
    kept.discard("backups.csv")
    keys = [one.read_bytes() for one in (target.erasure_key, staged.erasure_key) if one.exists()]
    if target.access_log.exists() and len(keys) == 2 and keys[0] == keys[1]:
        kept.update(_ACCESS_LOG)
        for name in _ACCESS_LOG:
            (staged.home / name).unlink(missing_ok=True)
    return kept


def _outgoing(target: Settings, kept: set[str]) -> list[str]:
    """Names in the home that belong to its point in time."""
    patterns = ("*.csv", "*.json", "*.jsonl", "work.duckdb*", "quality_history.duckdb*")
    found = {path.name for pattern in patterns for path in target.home.glob(pattern)}
    others = {"erasures", "runs", "releases", "erasure.key", *_MADE_AGAIN}
    there = {name for name in others if (target.home / name).exists()}
    return sorted((found | there) - kept)


def _commit(target: Settings, staged: Settings, kept: set[str]) -> Path:
    """Note what is to be moved; from here on the restore is completed, whatever happens."""
    for folder in (target.releases, staged.releases):
        (folder / ".lock").unlink(missing_ok=True)
    incoming = sorted(path.name for path in staged.home.iterdir() if path.name not in kept)
    outside = {
        path.name: str(to)
        for path, to in (
            (staged.decisions, target.decisions),
            (staged.erasure_key, target.erasure_key),
        )
        if not to.is_relative_to(target.home)
    }
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    note = {
        "replaced": f"replaced.{stamp}",
        "outgoing": _outgoing(target, kept),
        "incoming": [name for name in incoming if name != "current"],
        "outside": outside,
        "release": staged.current.readlink().name,
    }
    for folder in [staged.home, *(path for path in staged.home.rglob("*") if path.is_dir())]:
        if not folder.is_symlink():
            flush_folder(folder)
    write_whole(target.home / ".restore" / "switch.json", json.dumps(note, indent=1))
    flush_folder(target.home / ".restore")
    return target.home / f"replaced.{stamp}"


def settle(settings: Settings) -> None:
    """Complete a restore that was noted, remove one that was not. Only for who holds the lock."""
    work = settings.home / ".restore"
    note_path = work / "switch.json"
    if not note_path.exists():
        shutil.rmtree(work, ignore_errors=True)
        return
    note = json.loads(note_path.read_bytes())
    new, old = work / "new", work / "old"
    old.mkdir(exist_ok=True)
    for name in note["outgoing"]:
        # once it was moved in, the name is that of the new one
        is_in = name in note["incoming"] and not (new / name).exists()
        if (settings.home / name).exists() and not is_in and name not in note["outside"]:
            (settings.home / name).rename(old / name)
    for name in note["incoming"]:
        if not (new / name).exists():
            continue
        if name in note["outside"]:
            _put_outside(new / name, Path(note["outside"][name]), old)
        else:
            (new / name).rename(settings.home / name)
    link = settings.home / ".current.next"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(settings.releases.name) / note["release"])
    link.replace(settings.current)
    flush_folder(settings.home)
    if any(old.iterdir()):
        old.rename(settings.home / note["replaced"])
    note_path.unlink()
    shutil.rmtree(work)


def _put_outside(path: Path, to: Path, old: Path) -> None:
    """Replace a file that lies outside of the home, maybe on another disk."""
    if to.exists():
        shutil.copy(to, old / path.name)
    to.parent.mkdir(parents=True, exist_ok=True)
    unfinished = to.with_name(f"{to.name}.tmp")
    shutil.copy(path, unfinished)
    unfinished.replace(to)
    path.unlink()
