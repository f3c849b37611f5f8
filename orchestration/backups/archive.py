"""A backup: one encrypted file that holds a home as it was between two runs.

    <folder>/<time>-<release id>.whb     tar, Zstandard, then orchestration.backups.sealing

First in it is `about.json`, last `contents.json` with size and SHA-256 of every file between. In it
is what no landing makes again, and what a point in time needs: the current release, the working
database, what people decided, erasures, the access log, the ledger, the history of gates, the key
of the tombstones. Not in it: keys of encryption, the landing, older releases, what any run makes.
"""

import fcntl
import hashlib
import io
import json
import logging
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.database import working_file
from orchestration.journal import Journal, flush_folder, shown, time_problem, written_time
from orchestration.keys import BadKeyError, key_path, read_key, variable
from orchestration.operations.migrations import schema_version
from orchestration.privacy.access_log import locked as access_log_locked
from orchestration.privacy.certificates import PLAN, pending
from orchestration.release import Manifest, current_release
from orchestration.release.releases import File
from orchestration.settings import Settings

log = logging.getLogger("warehouse")

FORMAT = 1
KEY = "backup"
SUFFIX = ".whb"
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9TZ]+-[0-9a-f]+\.whb")
_ABOUT, _CONTENTS = "about.json", "contents.json"
_SMALL = ("*.csv", "*.json", "*.jsonl")
_PIECE = 1 << 20
_LARGEST_TEXT = 64 << 20
_COLUMNS = ("what", "file", "release_id", "decided_by", "decided_at", "reason")
_VERBS = ("backup", "restore")


class BackupError(Exception):
    """A backup cannot be made, read or restored; the message says which, why and what to do."""


class About(BaseModel):
    """`about.json`. schema_version: of the working database. erasures: ids of those that are in."""

    model_config = ConfigDict(frozen=True)

    format_version: int = FORMAT
    made_at: datetime
    made_by: str
    reason: str
    release_id: str
    as_of: str
    content_hash: str
    code_version: str
    schema_version: int | None
    erasures: tuple[str, ...]


@dataclass(frozen=True)
class Backup:
    """A backup on disk. size: bytes."""

    path: Path
    about: About
    size: int


def mirrored(settings: Settings, home: Path) -> Settings:
    """The settings of a home that has everything inside: as a backup holds it."""
    return settings.model_copy(
        update={
            "home": home,
            "decisions": home / "decisions.csv",
            "erasure_key": home / "erasure.key",
            # keys are in no backup
            "keys": settings.keys,
            "backups": home / "backups",
            # in no backup either: the next run makes them anew from the release
            "exports": home / "exports",
        }
    )


def backup_key(settings: Settings) -> bytes:
    """Return the key of backups. Raises BackupError when there is none or it cannot be used."""
    try:
        key = read_key(settings, KEY)
    except BadKeyError as error:
        raise BackupError(str(error)) from error
    if key is None:
        raise BackupError(
            f"There is no key for backups, neither {key_path(settings, KEY)} nor {variable(KEY)}: "
            f"`warehouse make-key {KEY}` makes one. Keep a copy of it elsewhere, for without it no "
            "backup can be read."
        )
    return key


# --- writing ------------------------------------------------------------------------------------


def write_backup(
    settings: Settings,
    folder: Path,
    *,
    by: str,
    why: str,
    extra: Mapping[str, bytes] | None = None,
) -> Backup:
    """Back the home up into a new file of a folder. Only for who holds the lock of the home.

    extra: files that are not in the home yet, by name. The file appears in one step, whole and
    flushed. Raises BackupError, ReleaseError or PrivacyError; nothing is left behind then.
    """
    key = backup_key(settings)
    about = _about(settings, by, why)
    files = _files(settings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder)
        path = _free_name(folder, about)
        part = folder / f".{path.name}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _write(settings, file, key, about, files=files, extra=extra or {})
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        flush_folder(folder)
    except OSError as error:
        raise BackupError(
            f"The backup could not be written to {folder}: {error.strerror or error}. Name another "
            "folder with --to or WAREHOUSE_BACKUPS, or free some space; backups that are there stay"
            " as they are."
        ) from error
    return Backup(path, about, path.stat().st_size)


def _about(settings: Settings, by: str, why: str) -> About:
    from orchestration.provenance import code_version  # noqa: PLC0415 - imports this room

    if settings.is_scratch:
        raise BackupError(f"{settings.home} is a copy to try something in: nothing is backed up.")
    release = current_release(settings)
    if release is None or not settings.working_database.exists():
        raise BackupError(
            f"Nothing is released in {settings.home} yet, so there is nothing to back up."
        )
    manifest = Manifest.model_validate_json(release.manifest.read_bytes())
    try:
        with working_file(settings).connect(read_only=True) as connection:
            version = schema_version(connection)
    except duckdb.Error as error:
        raise BackupError(
            f"{settings.working_database} cannot be opened ({error}), so it was not backed up. "
            "`warehouse doctor` says what to do."
        ) from error
    return About(
        made_at=datetime.now(UTC),
        made_by=by,
        reason=why,
        release_id=release.id,
        as_of=manifest.as_of.isoformat(),
        content_hash=manifest.content_hash,
        code_version=code_version(),
        schema_version=version,
        erasures=tuple(
            sorted(path.parent.name for path in settings.erasures.glob("*/tombstones.json"))
        ),
    )


def _files(settings: Settings) -> dict[str, Path]:
    """What is backed up: name in the backup to the file."""
    inside = mirrored(settings, settings.home)
    files = {inside.decisions: settings.decisions, inside.erasure_key: settings.erasure_key}
    files |= dict(zip(inside.journals.values(), settings.journals.values(), strict=True))
    # whatever journals there are: a list would forget the next one
    for pattern in _SMALL:
        for path in sorted(settings.home.glob(pattern)):
            files.setdefault(path, path)
    for database in (settings.working_database, settings.quality_history):
        files[database] = database
        log_of = database.with_name(f"{database.name}.wal")
        files[log_of] = log_of
    release = current_release(settings)
    for folder in (settings.erasures, settings.home / "runs", *([release.path] if release else [])):
        # A plan names who is to be forgotten; the backup after that erasure takes its place.
        files |= {
            path: path
            for path in sorted(folder.rglob("*"))
            if not path.name.startswith(PLAN) and path.suffix != ".tmp"
        }
    return {
        mirror.relative_to(settings.home).as_posix(): path
        for mirror, path in files.items()
        if path.is_file() and not path.is_symlink()
    }


def _write(
    settings: Settings,
    file: IO[bytes],
    key: bytes,
    about: About,
    *,
    files: Mapping[str, Path],
    extra: Mapping[str, bytes],
) -> None:
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s

    from orchestration.backups.sealing import SealingWriter  # noqa: PLC0415 - cryptography

    sealing = SealingWriter(file, key)
    contents: dict[str, File] = {}
    texts = _read_together(settings, files)
    total = sum(path.stat().st_size for path in files.values())
    progress = Progress("backed up", total)
    stream = pa.PythonFile(_Unclosed(sealing), mode="w")
    with (
        pa.CompressedOutputStream(stream, "zstd") as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, _ABOUT, about.model_dump_json(indent=1).encode())
        for name, content in {**texts, **extra}.items():
            contents[name] = _add(tar, name, content)
            progress.add(len(content))
        for name, path in files.items():
            if name not in contents:
                contents[name] = _add_file(tar, name, path, progress)
        prefix = f"releases/{about.release_id}/"
        _check_release(contents, prefix, files[f"{prefix}manifest.json"].read_bytes())
        listed = {name: one.model_dump() for name, one in sorted(contents.items())}
        _add(tar, _CONTENTS, json.dumps(listed, indent=1).encode())
    sealing.finish()


def _read_together(settings: Settings, files: Mapping[str, Path]) -> dict[str, bytes]:
    """Texts that people may add to during a backup, each as it is between two additions."""
    texts = {}
    with access_log_locked(settings):
        for name, path in files.items():
            if "/" not in name and path.suffix in {".csv", ".json", ".jsonl", ".key"}:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_SH)
                    texts[name] = file.read()
    return texts


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> File:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))
    return File(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _add_file(tar: tarfile.TarFile, name: str, path: Path, progress: "Progress") -> File:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mode = found.st_size, found.st_mode & 0o777
        member.mtime = int(found.st_mtime)
        reading = _Hashed(file, progress)
        try:
            tar.addfile(member, cast("IO[bytes]", reading))
        except OSError as error:
            if error.errno is not None:
                raise
            raise BackupError(f"{path} became shorter while it was backed up.") from error
        return File(size=found.st_size, sha256=reading.digest.hexdigest())


def _check_release(contents: Mapping[str, File], prefix: str, manifest: bytes) -> None:
    """Hold the files of the release against its own manifest. Raises BackupError."""
    for name, expected in Manifest.model_validate_json(manifest).files.items():
        if contents.get(prefix + name) != expected:
            raise BackupError(
                f"Release {prefix[9:-1]} is damaged: {name} is not as it was published. "
                "Roll back to another release first, `make rollback`."
            )


def _free_name(folder: Path, about: About) -> Path:
    moment = about.made_at
    while True:
        path = folder / f"{moment.strftime(_STAMP)}-{about.release_id}{SUFFIX}"
        if not path.exists():
            return path
        moment += timedelta(seconds=1)


def _sweep(folder: Path) -> None:
    """Remove what killed backups left; what somebody is writing is locked."""
    for path in folder.glob(f".*{SUFFIX}.part"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            path.unlink(missing_ok=True)


# --- reading ------------------------------------------------------------------------------------


def read_about(path: Path, key: bytes) -> About:
    """Read what a backup says of itself, from its beginning only. Raises BackupError."""
    with _unpacked(path, key) as (tar, _):
        return _read_about(path, tar)


def read_backup(path: Path, key: bytes, into: Path | None = None) -> tuple[About, dict[str, File]]:
    """Decrypt all of a backup and prove every file in it; returns what is in it.

    into: an empty folder to unpack it to. Nothing in it counts before this returns. Raises
    BackupError when anything is not as it was written, and OSError when it cannot be unpacked.
    """
    found: dict[str, File] = {}
    listed: dict[str, File] | None = None
    manifest = b""
    with _unpacked(path, key) as (tar, rest):
        about = _read_about(path, tar)
        progress = Progress("read", 0)
        # not by iteration, which would go back to the first member
        while member := tar.next():
            if listed is not None:
                raise _damaged(path, "something follows its list of contents")
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                raise _damaged(path, f"{shown(member.name)} is no file")
            if member.name == _CONTENTS:
                listed = _listed(path, content.read(_LARGEST_TEXT))
                continue
            if member.name in found or not _is_safe(member.name):
                raise _damaged(path, f"{shown(member.name)} may not be a name in a backup")
            is_manifest = member.name == f"releases/{about.release_id}/manifest.json"
            kept = io.BytesIO() if is_manifest else None
            found[member.name] = _read_member(member, content, into, kept, progress)
            manifest = kept.getvalue() if kept else manifest
        if rest().strip(b"\0"):
            raise _damaged(path, "something follows its end")
    if listed is None or listed != found:
        raise _damaged(path, "its files are not those of its list of contents")
    _check_release(found, f"releases/{about.release_id}/", manifest)
    return about, found


def _read_member(
    member: tarfile.TarInfo,
    content: IO[bytes],
    into: Path | None,
    kept: io.BytesIO | None,
    progress: "Progress",
) -> File:
    reading = _Hashed(content, progress)
    size = 0
    with _created(into / member.name) if into else io.BytesIO() as target:
        while piece := reading.read(_PIECE):
            size += len(piece)
            if into:
                target.write(piece)
            if kept:
                kept.write(piece)
        if into:
            target.flush()
            os.fchmod(target.fileno(), member.mode & 0o777)
            os.fsync(target.fileno())
    return File(size=size, sha256=reading.digest.hexdigest())


def _created(path: Path) -> IO[bytes]:
    """A new file for its owner; never one that is there, nor where a link leads."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, "wb")


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return (
        name == PurePosixPath(name).as_posix()
        and not name.startswith("/")
        and "\0" not in name
        and ".." not in parts
        and parts[0] not in {"keys", "backups", "current", ".restore"}
    )


@contextmanager
def _unpacked(path: Path, key: bytes) -> Iterator[tuple[tarfile.TarFile, Any]]:
    """Yield the archive in a backup, and what reads whatever is after it, to the very end."""
    import pyarrow as pa  # noqa: PLC0415

    from orchestration.backups.sealing import SealedReader, SealError  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            sealed = SealedReader(file, key)
            packed = pa.CompressedInputStream(pa.PythonFile(_Unclosed(sealed), mode="r"), "zstd")
            with tarfile.open(fileobj=packed, mode="r|") as tar:
                yield tar, lambda: packed.read() + sealed.read()
    except SealError as error:
        raise BackupError(f"{path} {error}.") from error
    except (tarfile.TarError, pa.ArrowException) as error:
        raise _damaged(path, f"its content cannot be read ({error})") from error
    except OSError as error:
        if error.filename != str(path) and error.errno is not None:
            raise
        raise BackupError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_about(path: Path, tar: tarfile.TarFile) -> About:
    member = tar.next()
    content = tar.extractfile(member) if member and member.name == _ABOUT else None
    if content is None:
        raise _damaged(path, "it does not say what it is")
    try:
        about = About.model_validate_json(content.read(_LARGEST_TEXT))
    except ValidationError as error:
        raise _damaged(path, f"{_ABOUT} cannot be read ({error.errors()[0]['msg']})") from error
    if about.format_version > FORMAT:
        raise BackupError(
            f"{path} was written by newer code: it has format {about.format_version}, this code "
            f"reads up to {FORMAT}. Run the newer code."
        )
    return about


def _listed(path: Path, content: bytes) -> dict[str, File]:
    try:
        return {name: File.model_validate(one) for name, one in json.loads(content).items()}
    except (ValueError, AttributeError) as error:
        raise _damaged(path, "its list of contents cannot be read") from error


def _damaged(path: Path, what: str) -> BackupError:
    return BackupError(f"{path} is damaged: {what}. Take another backup.")


class Progress:
    """Says how far something is, at each tenth of what there is to do, or each GB."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._step, self._total = what, max(total // 10, 100 << 20), total
        self._done = self._told = 0

    def add(self, count: int) -> None:
        """Count bytes."""
        self._done += count
        if self._done - self._told >= self._step:
            self._told = self._done
            of = f" of {self._total / 1e6:,.0f}" if self._total else ""
            log.info("%s %s%s MB", self._what, f"{self._done / 1e6:,.0f}", of)


class _Hashed(io.RawIOBase):
    """Reads a file on the way to somewhere else."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        super().__init__()
        self._file, self._progress, self.digest = file, progress, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        self._progress.add(len(piece))
        return piece


class _Unclosed(io.RawIOBase):
    """A stream that whoever is given it cannot close."""

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return self._stream.readable()

    def writable(self) -> bool:
        return self._stream.writable()

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size) or b""

    def write(self, content: bytes) -> int:  # type: ignore[override]
        return self._stream.write(bytes(content)) or 0


# --- which there are ----------------------------------------------------------------------------


def known_backups(settings: Settings, folder: Path | None = None) -> list[Path]:
    """Return the backups of this home in a folder, the oldest first; without one, in all of them.

    The folder of the settings is this home's alone, so every backup in it is meant; elsewhere those
    that the journal lists. Raises BackupError when the journal cannot be read.
    """
    found = {path for path in settings.backups.glob(f"*{SUFFIX}") if path.is_file()}
    for line in backup_journal(settings):
        path = Path(line["file"])
        if line["what"] == "backup" and _NAME.fullmatch(path.name) and path.is_file():
            found.add(path)
    wanted = [path for path in found if folder is None or path.parent == folder]
    return sorted(wanted, key=lambda path: (path.name, str(path)))


def prune_backups(settings: Settings, folder: Path) -> list[Path]:
    """Delete this home's backups of a folder beyond the last N; returns them."""
    surplus = known_backups(settings, folder)[: -settings.keep_backups]
    for path in surplus:
        path.unlink(missing_ok=True)
    return surplus


def renew_backups(
    settings: Settings, *, erasure_id: str, extra: Mapping[str, bytes]
) -> tuple[str, ...]:
    """Put a new backup in the place of all that were made before an erasure ended.

    A folder that has backups of this home gets the new one; then the others are deleted. extra:
    the certificate of the erasure. Returns the names of those that are gone. Raises BackupError
    when a new one cannot be made, or an older one cannot be deleted: the erasure then stays
    pending.
    """
    older = known_backups(settings)
    if not older:
        return ()
    try:
        for folder in sorted({path.parent for path in older}):
            fresh = write_backup(
                settings, folder, by="erasure", why=f"after {erasure_id}", extra=extra
            )
            note_backup(settings, "backup", fresh.path, fresh.about, by="erasure", why=erasure_id)
        for path in older:
            path.unlink(missing_ok=True)
    except (BackupError, OSError) as error:
        raise BackupError(
            f"Erasure {erasure_id} is not complete: the person is still in {len(older)} older "
            f"backups, and no new one could take their place. {error}"
        ) from error
    if left := [path for path in known_backups(settings) if path in older]:
        raise BackupError(f"Erasure {erasure_id} is not complete: {left[0]} is still there.")
    return tuple(path.name for path in older)


def no_erasure_pending(settings: Settings) -> None:
    """Raise BackupError while somebody is to be forgotten: a backup would keep them."""
    if pending(settings):
        raise BackupError(
            "An erasure is pending, and a backup would keep the person; complete it first, with"
            " `warehouse forget --resume`."
        )


def backup_journal(settings: Settings) -> list[dict[str, str]]:
    """Return who backed up and restored what. Raises BackupError."""
    lines: list[dict[str, str]] = []

    def judge(line: dict[str, str]) -> str:
        lines.append(line)
        return _line_problem(line)

    _journal(settings).read(judge)
    return lines


def note_backup(
    settings: Settings, what: str, path: Path, about: About, *, by: str, why: str
) -> None:
    """Note who made or restored a backup. Raises BackupError."""
    line = {
        "what": what,
        "file": str(path),
        "release_id": about.release_id,
        "decided_by": by,
        "decided_at": written_time(datetime.now(UTC)),
        "reason": why,
    }
    _journal(settings).append(line, _line_problem, lambda: _line_problem(line))


def line_problem(by: str, why: str) -> str:
    """Return why a name or a reason cannot be noted, or nothing."""
    journal = Journal(Path(), _COLUMNS, BackupError, "Nothing was done")
    return journal.problem({"--by": by, "--why": why})


def _journal(settings: Settings) -> Journal:
    return Journal(settings.home / "backups.csv", _COLUMNS, BackupError, "It was not noted")


def _line_problem(line: dict[str, str]) -> str:
    if line["what"] not in _VERBS:
        return f"what {shown(line['what'])} is none of {', '.join(_VERBS)}"
    return time_problem("decided_at", line["decided_at"])
