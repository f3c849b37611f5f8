"""Versioned folders of published marts and the link `current` that readers follow.

    <home>/current -> releases/20261122T101500Z-1f9c2ab0
    <home>/releases/20261122T101500Z-1f9c2ab0/
        warehouse.duckdb        every mart, in schema marts: the steward's, readable by its owner
        parquet/<table>.parquet the same marts as files, with the same rights
        <role>.duckdb           what a role may see of them (`governance/roles.yml`)
        report.html             what they say, to look at; its numbers are in `report.json`
        manifest.json           what it holds and why it may be trusted

A release is written under a hidden name, flushed to disk and renamed; then the link is replaced.
Both are single system calls, so a reader sees the old release or the new one, whole, whenever the
run is killed. A folder never changes once it has its name: an erasure writes another one, with the
same time and another hash, in its place. Because the link may move between two
opens, a reader of several files resolves it once and stays in that folder.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.database import PUBLISHED_FORMAT, WORKING_KEY, candidate_file, is_encrypted
from orchestration.keys import BadKeyError, erasure_key, read_key
from orchestration.release.audit import Audit, take_audit
from orchestration.release.content import (
    SCHEMA,
    ReleaseError,
    ReleaseFile,
    Table,
    hash_tables,
    read_tables,
)
from orchestration.settings import Settings
from orchestration.sql import literal, quoted

# Of `manifest.json`. A field that is added gets a default, so that older manifests stay readable; a
# change that older code must not read gets a new number.
MANIFEST_FORMAT = 1

if TYPE_CHECKING:
    from orchestration.release.roles import Role

Progress = Callable[[str], None]
# Fills schema `marts` of the attached database `release` from that of the one attached as `before`,
# each table at once: what is changed or deleted afterwards stays in the file.
Edit = Callable[[duckdb.DuckDBPyConnection], None]

# Writes what people read of the marts into the folder of a release that is being made; the database
# `release` is attached, the manifest complete but for its files.
WriteReport = Callable[[duckdb.DuckDBPyConnection, "Manifest", Path], object]

_STAMP = "%Y%m%dT%H%M%SZ"
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
# Hidden names: what a killed publish or prune may leave behind, for the next one to sweep up.
_STAGING = ".staging-"
_TRASH = ".trash-"

STEWARD = "steward"
_FOLDER_FOR_ALL = 0o755
_FOR_ALL = 0o644
_STEWARD_ONLY = 0o600

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class File(BaseModel):
    """A file of a release, to tell whether it is still as it was written."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """`manifest.json`: what a release holds, what it replaced and why it may be trusted.

    `content_hash` and the tables' own depend on nothing but the marts: the same inputs give the
    same hashes. The hashes of files also depend on how the rows were laid out.
    """

    model_config = ConfigDict(frozen=True)

    format_version: int = MANIFEST_FORMAT
    release_id: str
    as_of: date
    released_at: datetime
    replaces: str | None  # what `current` pointed to before; a rollback returns to it
    content_hash: str
    tables: dict[str, Table]
    files: dict[str, File]
    gates: list[dict[str, object]]
    provenance: dict[str, object]
    measures: dict[str, float] = {}  # what the next release is compared with
    erasures: tuple[str, ...] = ()  # after which this release was written anew
    roles: dict[str, dict[str, int]] = {}  # rows by role and table
    encrypted: tuple[str, ...] = ()  # roles whose file is
    audit: Audit = Audit()


@dataclass(frozen=True)
class Release:
    """A release folder on disk; `read_manifest` tells what is in it.

    key: of the steward, by which `database` is encrypted, if it is.
    """

    id: str
    path: Path
    key: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def database(self) -> Path:
        """The steward's file. Open it read-only: to change it is to damage the release."""
        return self.path / "warehouse.duckdb"

    @property
    def marts(self) -> ReleaseFile:
        """The steward's file with what opens it."""
        return ReleaseFile(self.database, self.key)

    def role_database(self, role: str) -> Path:
        """What a role sees."""
        return self.path / f"{role}.duckdb"

    @property
    def manifest(self) -> Path:
        """Written last, so a folder without it is no release."""
        return self.path / "manifest.json"

    def parquet(self, table: str) -> Path:
        """The Parquet file of a mart; characters that a path cannot hold are percent-encoded."""
        return self.path / "parquet" / f"{quote(table, safe=' ')}.parquet"


def publish(
    settings: Settings,
    *,
    gates: Sequence[Mapping[str, object]],
    provenance: Mapping[str, object],
    released_at: datetime,
    roles: "Sequence[Role]",
    measures: Mapping[str, float] | None = None,
    report: WriteReport | None = None,
    progress: Progress = lambda _: None,
) -> Release:
    """Make the candidate database the current release, and delete releases beyond the last N.

    gates: the outcome of every gate, provenance: code version, inputs and whatever else explains
    the content; both go into the manifest as they are. released_at: with a time zone. measures:
    what the next release is compared with. roles: who gets a file of what they may see. report:
    writes the pages of it.
    Raises ReleaseError when the candidate cannot be published or the disk cannot take it; the
    current release is then untouched and nothing is left behind.
    """
    if released_at.tzinfo is None:
        raise ValueError(f"released_at needs a time zone: {released_at.isoformat()}")
    with _alone(settings):
        _sweep(settings)
        stamp = _next_stamp(settings, released_at)
        staging = _staging(settings, stamp)
        release = None
        try:
            replaces = _replaced_by_next(settings)
            tables = _write_marts(settings, staging, progress)
            rows_by_role = _write_roles(settings, staging, roles, progress)
            content_hash = hash_tables(tables)
            release_id = f"{stamp}-{content_hash[:8]}"
            draft = Manifest(
                release_id=release_id,
                as_of=settings.as_of,
                released_at=released_at.astimezone(UTC),
                replaces=replaces,
                content_hash=content_hash,
                tables=tables,
                files={},
                gates=[dict(gate) for gate in gates],
                provenance=dict(provenance),
                measures=dict(measures or {}),
                roles=rows_by_role,
                encrypted=_encrypted(staging, rows_by_role),
                audit=take_audit(settings),
            )
            if report:
                _write_report(settings, staging, draft, report)
                progress("wrote report.html")
            manifest = draft.model_copy(update={"files": _seal_files(staging.path)})
            release = _put_in_place(settings, staging, manifest)
            _switch(settings, release)
        except BaseException:
            shutil.rmtree(staging.path, ignore_errors=True)
            if release and _linked_id(settings) != release.id:
                _delete(release.path)
            raise
        progress(f"published {release.id}")
        _prune(settings, release, progress)
        return release


def rewrite_releases(
    settings: Settings,
    edit: Edit,
    *,
    erasure_id: str,
    roles: "Sequence[Role]",
    progress: Progress = lambda _: None,
) -> dict[str, str]:
    """Write every release on disk anew, as an erasure wants it; returns old and new ids.

    A release that the edit leaves as it is stays. Another one keeps its time, gets another content
    hash and so another id, and notes the erasure; `current` follows. What roles see of it is made
    anew by the policy of today. Safe to repeat when it was
    killed. Raises ReleaseError when a release cannot be read or the disk cannot take it; what was
    rewritten by then is done.
    """
    renamed: dict[str, str] = {}
    with _alone(settings):
        _sweep(settings)
        for release in list_releases(settings):
            written = _rewrite(
                settings, release, edit, erasure_id=erasure_id, roles=roles, progress=progress
            )
            if written.id != release.id:
                if _linked_id(settings) == release.id:
                    _switch(settings, written)
                _delete(release.path)
                renamed[release.id] = written.id
                progress(f"{release.id} is {written.id} now")
    return renamed


def rollback(settings: Settings, to: str | None = None) -> Release:
    """Point `current` at the release that it replaced, or at the named one, if that is whole.

    Going back twice goes further back. Each rollback is noted in `rollbacks.jsonl` (at, from, to).
    Raises ReleaseError when there is nothing to go back to, or the target is damaged.
    """
    with _alone(settings):
        origin = _linked_id(settings)
        if to is None:
            if origin is None:
                raise ReleaseError(
                    f"Nothing is published in {settings.home}, so there is nothing to roll back. "
                    + _known(settings)
                )
            target_id = _predecessor(settings, origin)
            if target_id is None:
                raise ReleaseError(
                    f"Release {origin} is the oldest one kept, so there is nothing to roll back to."
                )
        elif to not in _ids(settings):
            raise ReleaseError(f"There is no release {to}. {_known(settings)}")
        else:
            target_id = to
        target = _release(settings, target_id)
        _check_files(target, read_manifest(target))
        if target_id == origin:
            return target
        _note_rollback(settings, origin, target_id)
        _switch(settings, target)
        return target


def current_release(settings: Settings) -> Release | None:
    """The release that readers see, or None before the first one.

    Raises ReleaseError when `current` points to a folder that is gone.
    """
    linked = _linked_id(settings)
    if linked is None:
        return None
    if linked not in _ids(settings):
        remedy = (
            f"Bring it back, or roll back to another one. {_known(settings)}"
            if _ids(settings)
            else "Bring it back from a backup: there is no other release to roll back to, and "
            "without any every customer gets a new id. To accept that, remove the link."
        )
        raise ReleaseError(
            f"{settings.current} points to release {linked}, which is gone. {remedy}"
        )
    return _release(settings, linked)


def list_releases(settings: Settings) -> list[Release]:
    """Every release on disk, oldest first."""
    return [_release(settings, release_id) for release_id in _ids(settings)]


def released_as(settings: Settings, database: Path) -> Release | None:
    """The release whose steward's file has the bytes of a database; None when none has.

    Raises ReleaseError when a manifest cannot be read.
    """
    if not database.is_file() or database.with_name(f"{database.name}.wal").exists():
        return None
    found = read_file(database)
    for release in list_releases(settings):
        if read_manifest(release).files.get(release.database.name) == found:
            return release
    return None


def role_key(settings: Settings, role: str) -> bytes | None:
    """Return the key by which the files of a role are encrypted, None when they are not."""
    try:
        return read_key(settings, role)
    except BadKeyError as error:
        raise ReleaseError(str(error)) from error


def key_of(settings: Settings, path: Path) -> bytes | None:
    """Return the key that opens a file of the home. Raises ReleaseError when it cannot be read."""
    if path.suffix != ".duckdb":
        return None
    if path.is_relative_to(settings.releases):
        return role_key(settings, STEWARD if path.stem == "warehouse" else path.stem)
    return role_key(settings, WORKING_KEY)


def _release(settings: Settings, release_id: str) -> Release:
    return Release(release_id, settings.releases / release_id, role_key(settings, STEWARD))


def read_manifest(release: Release) -> Manifest:
    """Read `manifest.json`; raises ReleaseError when it is missing or damaged."""
    try:
        manifest = Manifest.model_validate_json(release.manifest.read_bytes())
    except OSError as error:
        raise _damaged(release, f"its manifest.json cannot be read ({error})") from error
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise _damaged(release, f"its manifest.json cannot be read ({reason})") from error
    if manifest.format_version > MANIFEST_FORMAT:
        raise ReleaseError(
            f"Release {release.id} was written by newer code: its manifest has format "
            f"{manifest.format_version}, this code reads up to {MANIFEST_FORMAT}. Run the newer "
            "code, or roll back to an older release."
        )
    if manifest.release_id != release.id:
        raise _damaged(release, f"its manifest.json is that of {manifest.release_id}")
    if manifest.content_hash != hash_tables(manifest.tables):
        raise _damaged(release, "the hashes in its manifest.json contradict each other")
    return manifest


def verify_release(release: Release) -> None:
    """Read all of a release again; raises ReleaseError naming what is not as it was published."""
    manifest = read_manifest(release)
    try:
        with duckdb.connect() as connection:
            release.marts.attach(connection, "release")
            found = read_tables(connection, "release")
    except duckdb.Error as error:
        raise _damaged(release, f"warehouse.duckdb cannot be read ({error})") from error
    for name in sorted(manifest.tables.keys() | found.keys()):
        if manifest.tables.get(name) != found.get(name):
            raise _damaged(
                release,
                f"table {SCHEMA}.{name} should be {_summary(manifest.tables.get(name))} "
                f"but is {_summary(found.get(name))}",
            )
    _check_files(release, manifest)


def _rewrite(
    settings: Settings,
    release: Release,
    edit: Edit,
    *,
    erasure_id: str,
    roles: "Sequence[Role]",
    progress: Progress,
) -> Release:
    manifest = read_manifest(release)
    stamp = release.id[: len(release.id) - 9]
    staging = _staging(settings, stamp)
    _open_staging(staging)
    try:
        with _connect(settings, staging) as connection:
            release.marts.attach(connection, "before")
            staging.marts.attach_for_writing(connection, "release")
            edit(connection)
        tables = _write_parquet(settings, staging, progress)
        content_hash = hash_tables(tables)
        if content_hash == manifest.content_hash:
            shutil.rmtree(staging.path)
            return release
        rows_by_role = _write_roles(settings, staging, roles, progress)
        draft = manifest.model_copy(
            update={
                "roles": rows_by_role,
                "encrypted": _encrypted(staging, rows_by_role),
                "release_id": f"{stamp}-{content_hash[:8]}",
                "content_hash": content_hash,
                "tables": tables,
                "erasures": (*manifest.erasures, erasure_id),
            }
        )
        _write_report(settings, staging, draft, _report_anew(release))
        written = draft.model_copy(update={"files": _seal_files(staging.path)})
        return _put_in_place(settings, staging, written)
    except BaseException:
        shutil.rmtree(staging.path, ignore_errors=True)
        raise


def _put_in_place(settings: Settings, staging: Release, manifest: Manifest) -> Release:
    """Write the manifest, flush everything, and give the folder its name in one step."""
    staging.manifest.write_text(manifest.model_dump_json(indent=2, fallback=str) + "\n", "utf-8")
    staging.manifest.chmod(_FOR_ALL)
    _seal(staging.manifest)
    flush(staging.path / "parquet")
    staging.path.chmod(_FOLDER_FOR_ALL)
    (staging.path / "parquet").chmod(_FOLDER_FOR_ALL)
    flush(staging.path)
    release = _release(settings, manifest.release_id)
    if release.path.exists():
        # written before, by a rewriting that was killed before it was through
        shutil.rmtree(staging.path)
        return release
    staging.path.rename(release.path)
    try:
        flush(settings.releases)
    except BaseException:
        _delete(release.path)
        raise
    return release


def _write_marts(settings: Settings, staging: Release, progress: Progress) -> dict[str, Table]:
    """Write the database and the Parquet files; what is described is what was copied."""
    _open_staging(staging)
    version = _close_candidate(settings, staging)
    if staging.key is None and version.startswith(PUBLISHED_FORMAT):
        shutil.copyfile(settings.candidate_database, staging.database)
    else:
        _convert_candidate(settings, staging)
    progress(f"copied {staging.database.stat().st_size / 1e6:,.1f} MB")
    return _write_parquet(settings, staging, progress)


def _encrypted(staging: Release, roles: Iterable[str]) -> tuple[str, ...]:
    files = {STEWARD: staging.database} | {role: staging.role_database(role) for role in roles}
    return tuple(role for role, path in files.items() if is_encrypted(path))


def _staging(settings: Settings, stamp: str) -> Release:
    path = settings.releases / f"{_STAGING}{stamp}"
    return Release(stamp, path, role_key(settings, STEWARD))


def _open_staging(staging: Release) -> None:
    """Make the hidden folder, closed to others until every file in it has its rights."""
    staging.path.mkdir(mode=0o700, parents=True)
    (staging.path / "parquet").mkdir()


def _write_roles(
    settings: Settings, staging: Release, roles: "Sequence[Role]", progress: Progress
) -> dict[str, dict[str, int]]:
    """Write what each role sees; the steward's files are closed to everybody else."""
    # here, for it knows the feeds, and whoever only asks for a release need not load them
    from orchestration.release.roles import write_roles  # noqa: PLC0415

    for path in (staging.database, *(staging.path / "parquet").iterdir()):
        path.chmod(_STEWARD_ONLY)
    try:
        secret = erasure_key(settings)
    except BadKeyError as error:
        raise ReleaseError(str(error)) from error
    keys = {role.name: role_key(settings, role.name) for role in roles}
    with _connect(settings, staging) as connection:
        staging.marts.attach(connection, "release")
        written = write_roles(connection, roles, staging.path, secret, keys)
    for role, rows in written.items():
        progress(f"wrote {role}.duckdb, {sum(rows.values()):,} rows")
    return written


def _write_report(
    settings: Settings, staging: Release, draft: Manifest, report: WriteReport
) -> None:
    with _connect(settings, staging) as connection:
        staging.marts.attach(connection, "release")
        report(connection, draft, staging.path)


def _report_anew(release: Release) -> WriteReport:
    """Of a release that is written anew, with what its run knew."""
    # here, for it knows releases
    from orchestration.report.reports import rewrite_report  # noqa: PLC0415

    return lambda connection, draft, folder: rewrite_report(connection, draft, folder, release.path)


def _write_parquet(settings: Settings, staging: Release, progress: Progress) -> dict[str, Table]:
    """Write the Parquet files, which nothing encrypts: with a key of the steward there are none."""
    with _connect(settings, staging) as connection:
        staging.marts.attach(connection, "release")
        tables = read_tables(connection, "release", progress)
        for name in tables if staging.key is None else ():
            connection.execute(
                f"copy release.{SCHEMA}.{quoted(name)} to {literal(staging.parquet(name))} "
                "(format parquet, compression zstd)"
            )
            progress(f"wrote {staging.parquet(name).name}")
    return tables


def _close_candidate(settings: Settings, staging: Release) -> str:
    """Make the candidate a single file that nobody writes to; returns its storage version.

    That of an encrypted one is empty, for readers have other keys.

    Opening it for writing replays a log that was left beside it, and fails while somebody else,
    even this process, still holds it: a copy would then miss rows.
    """
    path = settings.candidate_database
    if not path.is_file():
        raise ReleaseError(f"There is no {path} to publish. Build the marts first.")
    try:
        with candidate_file(settings).connect(config=_config(settings, staging)) as connection:
            row = connection.execute(
                "select tags['storage_version'] from duckdb_databases() "
                "where database_name = current_database() and not encrypted"
            ).fetchone()
    except duckdb.Error as error:
        raise ReleaseError(
            f"{path} cannot be opened: {error} Close whatever holds it, or build the marts "
            "again if it is damaged."
        ) from error
    return str(row[0]) if row else ""


def _convert_candidate(settings: Settings, staging: Release) -> None:
    """Write the rows again in the older format: 1.6 CPU s per million, a copy takes 0.02."""
    with _connect(settings, staging) as connection:
        candidate_file(settings).attach(connection, "candidate")
        staging.marts.attach_for_writing(connection, "release")
        connection.execute("copy from database candidate to release")


def _connect(settings: Settings, staging: Release) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config=dict(_config(settings, staging)))


def _config(settings: Settings, staging: Release) -> Mapping[str, str | int]:
    return {
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
        # Swept up with the folder if this process dies.
        "temp_directory": f"{staging.path}.tmp",
    }


def _seal_files(folder: Path) -> dict[str, File]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _seal(path) for path in files}


def _seal(path: Path) -> File:
    """Take every right to write, flush to disk, and hash: 0.1 s per 100 MB."""
    path.chmod(path.stat().st_mode & 0o444)
    flush(path)
    return read_file(path)


def read_file(path: Path) -> File:
    """Return the size of a file and the hash of its bytes."""
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        return File(size=content.tell(), sha256=digest)


def _check_files(release: Release, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        path = release.path / name
        if not path.is_file():
            raise _damaged(release, f"{name} is missing")
        found = read_file(path)
        if found != expected:
            raise _damaged(release, f"{name} should be {expected} but is {found}")


def flush(path: Path) -> None:
    """Wait until a file, or what a folder names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _switch(settings: Settings, release: Release) -> None:
    """Replace `current` in one step; the target is relative so that the home can be moved."""
    link = settings.home / ".current.next"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(settings.releases.name) / release.id)
    link.replace(settings.current)
    flush(settings.home)


def _note_rollback(settings: Settings, origin: str | None, target: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with (settings.home / "rollbacks.jsonl").open("a") as notes:
        notes.write(json.dumps({"at": at, "from": origin, "to": target}) + "\n")
        notes.flush()
        os.fsync(notes.fileno())


def _next_stamp(settings: Settings, released_at: datetime) -> str:
    """The second of the release, moved on if needed: ids sort after all others in any clock."""
    taken = max([*_ids(settings), _linked_id(settings) or ""])[:16]
    moment = released_at.astimezone(UTC)
    if taken:
        newest = datetime.strptime(taken, _STAMP).replace(tzinfo=UTC)
        moment = max(moment, newest + timedelta(seconds=1))
    return moment.strftime(_STAMP)


def _ids(settings: Settings) -> list[str]:
    if not settings.releases.is_dir():
        return []
    return sorted(
        path.name
        for path in settings.releases.iterdir()
        if _ID.fullmatch(path.name) and path.is_dir()
    )


def _linked_id(settings: Settings) -> str | None:
    try:
        target = settings.current.readlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError(
            f"{settings.current} must be a link to a release, but it is not a link. Move it away."
        ) from error
    if target.parent != Path(settings.releases.name) or not _ID.fullmatch(target.name):
        raise ReleaseError(
            f"{settings.current} points to {target}, which is no release. Remove the link."
        )
    return target.name


def _replaced_by_next(settings: Settings) -> str | None:
    linked = _linked_id(settings)
    if linked is None or linked in _ids(settings):
        return linked
    return _predecessor(settings, linked)


def _predecessor(settings: Settings, release_id: str) -> str | None:
    """The release that was current before this one: not one that was rolled back meanwhile."""
    older = [other for other in _ids(settings) if other < release_id]
    try:
        replaced = read_manifest(Release(release_id, settings.releases / release_id)).replaces
    except ReleaseError:
        replaced = None
    # by its time: an erasure gives a release another content hash
    same = [other for other in older if replaced and other[:16] == replaced[:16]]
    found = same or older
    return found[-1] if found else None


def _prune(settings: Settings, release: Release, progress: Progress) -> None:
    """Keep the last N: first what rollbacks lead to, then what was rolled back, newest first."""
    ids = _ids(settings)
    kept: list[str] = []
    link: str | None = release.id
    while link is not None:
        kept.append(link)
        link = _predecessor(settings, link)
    kept += [other for other in reversed(ids) if other not in kept]
    for surplus in kept[settings.keep_releases :]:
        try:
            _delete(settings.releases / surplus)
            progress(f"deleted {surplus}")
        except OSError as error:
            progress(f"could not delete {surplus}: {error}")


def _delete(path: Path) -> None:
    """Hide first: no half release is ever seen. Readers keep the files that they have open."""
    hidden = path.with_name(f"{_TRASH}{path.name}")
    path.rename(hidden)
    shutil.rmtree(hidden)


def _sweep(settings: Settings) -> None:
    for path in settings.releases.iterdir():
        if path.name.startswith((_STAGING, _TRASH)):
            shutil.rmtree(path)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the one lock on the releases, which ends with the process; explain a failing disk."""
    if settings.is_scratch:
        raise ReleaseError(f"{settings.home} is a copy to try something in: nothing is released.")
    try:
        if not settings.releases.exists():
            settings.releases.mkdir(parents=True)
            settings.releases.chmod(_FOLDER_FOR_ALL)
        with (settings.releases / ".lock").open("w") as lock:
            _lock(settings, lock)
            yield
    except (OSError, duckdb.Error) as error:
        full = getattr(error, "errno", None) in _DISK_FULL or "No space left" in str(error)
        hint = "Free some disk space or lower WAREHOUSE_KEEP_RELEASES. " if full else ""
        raise ReleaseError(
            f"The releases in {settings.home} could not be changed: {error}. "
            f"{hint}{_standing(settings)}"
        ) from error


def _lock(settings: Settings, lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ReleaseError(
            f"Another publish or rollback is under way in {settings.home}. Wait for its end."
        ) from error


def _standing(settings: Settings) -> str:
    linked = _linked_id(settings)
    return f"Release {linked} is still current." if linked else "Nothing is published yet."


def _known(settings: Settings) -> str:
    ids = _ids(settings)
    return f"These exist: {', '.join(ids)}." if ids else "No release exists."


def _damaged(release: Release, what: str) -> ReleaseError:
    return ReleaseError(
        f"Release {release.id} is damaged: {what}. Roll back to another release, or bring its "
        "folder back from a backup."
    )


def _summary(table: Table | None) -> str:
    if table is None:
        return "absent"
    return f"{table.row_count:,} rows with hash {table.content_hash}"
