"""Versions of an export on disk: who was handed on, from which release, and what changed since.

    <exports>/<export>/latest -> 20261127T040210Z-20261127T040205Z-1f9c2ab0
    <exports>/<export>/<time>-<release id>/
        members.<format>        everybody, one column, sorted
        added.<format>          of a delta: who is new since the version that `previous` names
        removed.<format>        of a delta: who is gone since then
        manifest.json           the contract: what is in the files and what to do with them

A version is written under a hidden name, flushed and renamed, then the link is replaced; so a
reader sees the one before or this one, whole, whenever the process is killed. It never changes
afterwards. The name begins with the time of the export: after a rollback the same release is
exported again, against what was exported last. Only the last few are kept.

Members come from the steward's file of a release, so from behind its gates, and from nowhere else.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.activation.declarations import Export, Format, read_exports
from orchestration.activation.identifiers import Identifier, Platform, identifier_sql
from orchestration.faults import write_whole
from orchestration.operations.retention import EXPORTS_KEPT
from orchestration.operations.run_log import without_personal_data
from orchestration.privacy.certificates import pending
from orchestration.privacy.scanning import Scanner
from orchestration.privacy.tombstones import PrivacyError
from orchestration.release.content import Column, ReleaseError
from orchestration.release.releases import (
    File,
    Release,
    current_release,
    flush,
    list_releases,
    read_file,
    read_manifest,
)
from orchestration.settings import Settings
from orchestration.sql import literal, quoted

# Of `manifest.json` and of the files. A field that is added keeps the number; whatever makes a
# reader of the older contract wrong raises it.
CONTRACT_VERSION = 1

Progress = Callable[[str], None]

_STAMP = "%Y%m%dT%H%M%SZ"
_VERSION = re.compile(r"\d{8}T\d{6}Z-\d{8}T\d{6}Z-[0-9a-f]{8}")
_STAGING = ".staging-"
_LATEST = "latest"
_MANIFEST = "manifest.json"


class ExportError(Exception):
    """An export cannot be made; the sentence says which, why and what to do."""


class ExportManifest(BaseModel):
    """`manifest.json`: the contract of a version.

    mode: `replace`, the platform's list becomes `members`; or `delta`, `removed` leave the list of
    version `previous` and `added` join it. because: why it is that. content_hash: SHA-256 of the
    identifiers, sorted by their bytes, joined by line feeds; the same in any format. row_counts:
    by file. left_out: members of the segment who are not in it, by reason, counts only.
    """

    model_config = ConfigDict(frozen=True)

    contract_version: int = CONTRACT_VERSION
    export: str
    version: str
    previous: str | None
    mode: Literal["replace", "delta"]
    because: str
    release_id: str
    as_of: date
    exported_at: datetime
    audience: str
    purpose: str
    channel: str
    owner: str
    identifier: Identifier
    platform: Platform | None
    format: Format
    columns: tuple[Column, ...]
    content_hash: str
    row_counts: dict[str, int]
    left_out: dict[str, int]
    files: dict[str, File]

    def names_members_as(self, declared: Export) -> bool:
        """Whether the same audience is in it under the same identifiers."""
        return (self.audience, self.identifier, self.platform) == (
            declared.audience,
            declared.identifier,
            declared.platform,
        )


@dataclass(frozen=True)
class Version:
    """A version on disk. is_new: it was written now, not found."""

    path: Path
    manifest: ExportManifest
    is_new: bool = False

    @property
    def members(self) -> Path:
        """The file with everybody."""
        return self.path / f"members.{self.manifest.format}"


def follow(
    settings: Settings, progress: Progress = lambda _: None
) -> tuple[list[Version], list[str]]:
    """Bring every declared export up to the current release, and delete those of no declaration.

    Only for who holds the lock of the home. Returns new versions, and a sentence for each export
    that is not made. Without a release, and in a copy to try something in, nothing is exported.
    Raises SegmentRuleError, ReleaseError, or OSError where one cannot be deleted.
    """
    if settings.is_scratch or (release := current_release(settings)) is None:
        return [], []
    declared = read_exports()
    for folder in _folders(settings.exports):
        if folder.name not in {one.name for one in declared}:
            delete_versions(folder, _versions(folder))
            progress(f"{folder.name} is no longer declared and was deleted")
    made, problems = export_each(settings, declared, release, progress)
    return [version for version in made if version.is_new], problems


def export_each(
    settings: Settings,
    declared: Sequence[Export],
    release: Release,
    progress: Progress = lambda _: None,
) -> tuple[list[Version], list[str]]:
    """Export what is declared; returns the versions, and a sentence for each that is not made."""
    made, problems = [], []
    for one in declared:
        try:
            made.append(export(settings, one, release, progress=progress))
        except (ExportError, ReleaseError) as error:
            problems.append(str(error))
    return made, problems


def export(
    settings: Settings,
    declared: Export,
    release: Release,
    *,
    now: datetime | None = None,
    progress: Progress = lambda _: None,
) -> Version:
    """Write the version of an export that a release makes; found when it is the last one already.

    Only for who holds the lock of the home. now: the time of the export, with a time zone. Raises
    ExportError or ReleaseError; what was exported before then stands.
    """
    _refuse_while_forgetting(settings, declared)
    with _told(settings, declared):
        folder = settings.exports / declared.name
        before = newest(folder)
        _refuse_older(settings, declared, release, before)
        if before and _is_up_to_date(before, declared, release):
            _link(before.path)
            return before
        _remember(settings)
        for made in (settings.exports, folder):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder)
        version = _next_name(folder, release, now or datetime.now(UTC))
        staging = folder / f"{_STAGING}{version}"
        staging.mkdir(mode=0o700)
        try:
            manifest = _write(settings, declared, release, before, staging)
            _put_in_place(staging, manifest)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        path = folder / version
        _link(path)
        surplus = _versions(folder)[:-EXPORTS_KEPT]
        for old in surplus:
            _delete(old)
    progress(f"exported {declared.name}: {told(manifest)}")
    return Version(path, manifest, is_new=True)


def told(manifest: ExportManifest) -> str:
    """What a version holds, in counts."""
    rows = manifest.row_counts
    if manifest.mode == "replace":
        return f"{rows['members']:,} members, as a whole list ({manifest.because})"
    return f"{rows['members']:,} members, {rows['added']:,} added, {rows['removed']:,} removed"


def newest(folder: Path) -> Version | None:
    """The last version of an export; None when there is none, or its manifest is unreadable."""
    versions = _versions(folder)
    if not versions:
        return None
    try:
        manifest = ExportManifest.model_validate_json((versions[-1] / _MANIFEST).read_bytes())
    except (OSError, ValidationError):
        # the next version is a whole list then, as if there were none
        return None
    return Version(versions[-1], manifest)


# --- an erasure ---------------------------------------------------------------------------------


def forget_in_exports(settings: Settings, scanner: Scanner) -> list[Path]:
    """Delete versions in which people may stand who are to be forgotten; returns which.

    Only the last one of each export is kept, when it is of the release that is current and the
    search finds nobody in it: it holds the addresses that the search knows, an older one may hold
    others. Without the version before, the next one is a whole list, which replaces the platform's:
    a list of who is gone would name them. Raises ReleaseError.
    """
    release = current_release(settings)
    deleted: list[Path] = []
    for root in export_folders(settings):
        for folder in _folders(root):
            _sweep(folder)
            versions = _versions(folder)
            last = newest(folder)
            if last and release and _is_of(last.manifest, release) and not _finds(scanner, last):
                versions.remove(last.path)
            delete_versions(folder, versions)
            deleted += versions
    return deleted


def export_folders(settings: Settings) -> list[Path]:
    """Every folder that audiences were ever exported to. Raises ExportError when one is away."""
    try:
        outside = settings.exported_to.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        outside = []
    folders = [Path(line) for line in outside]
    for folder in folders:
        if not folder.is_dir():
            raise ExportError(
                f"Audiences were exported to {folder}, which is not there now: who is to be"
                " forgotten may stand in it. Bring it back, or delete it where it is and take its"
                f" line out of {settings.exported_to}; then `warehouse forget --resume`."
            )
    return [*dict.fromkeys([settings.exports, settings.home / "exports", *folders])]


def delete_versions(folder: Path, versions: Sequence[Path]) -> None:
    """Delete versions of an export, the link where it points to one, and the folder if empty."""
    for path in versions:
        _delete(path)
    link = folder / _LATEST
    if link.is_symlink() and not link.exists():
        link.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _finds(scanner: Scanner, version: Version) -> bool:
    return bool(scanner.folder(version.path).places)


# --- writing ------------------------------------------------------------------------------------


def _write(
    settings: Settings,
    declared: Export,
    release: Release,
    before: Version | None,
    staging: Path,
) -> ExportManifest:
    """Write the files of a version into a hidden folder; returns what is in them."""
    version = staging.name.removeprefix(_STAGING)
    described = read_manifest(release)
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
        "temp_directory": f"{staging}.tmp",
    }
    with duckdb.connect(config=config) as connection:
        release.marts.attach(connection, "release")
        audience, left_out = _enter_members(settings, connection, declared, release)
        because = _why_whole(declared, before)
        queries = {"members": "from members"}
        if before and not because:
            _enter_previous(connection, before)
            queries["added"] = "from members anti join previous using (identifier)"
            queries["removed"] = "from previous anti join members using (identifier)"
        counts = {}
        for name, query in queries.items():
            counts[name] = _copy(connection, declared, query, staging / f"{name}.{declared.format}")
        ((content_hash,),) = connection.execute(
            "select sha256(coalesce(string_agg(identifier, chr(10) order by identifier), ''))"
            " from members"
        ).fetchall()
    return ExportManifest(
        export=declared.name,
        version=version,
        previous=before.path.name if before and not because else None,
        mode="replace" if because else "delta",
        because=because or "it is declared so, and the version before is whole",
        release_id=release.id,
        as_of=described.as_of,
        exported_at=datetime.strptime(version[:16], _STAMP).replace(tzinfo=UTC),
        audience=declared.audience,
        purpose=audience["purpose"],
        channel=audience["channel"],
        owner=declared.owner,
        identifier=declared.identifier,
        platform=declared.platform,
        format=declared.format,
        columns=(Column(name=declared.identifier, type="VARCHAR"),),
        content_hash=str(content_hash),
        row_counts=counts,
        left_out=left_out,
        files={path.name: _seal(path) for path in sorted(staging.iterdir())},
    )


def _why_whole(declared: Export, before: Version | None) -> str:
    """Why a version cannot say what changed; empty when it can."""
    if declared.mode == "full":
        return "it is declared so"
    if before is None:
        return "there is no version before it"
    if not before.manifest.names_members_as(declared):
        return "audience, identifier or platform are declared in another way than before"
    expected = before.manifest.files.get(before.members.name)
    if not before.members.is_file() or read_file(before.members) != expected:
        return "the version before is not as it was written"
    return ""


def _enter_members(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    declared: Export,
    release: Release,
) -> tuple[dict[str, str], dict[str, int]]:
    """Make table `members` (identifier), each once.

    Returns purpose and channel of the audience, and how many of its segment are not in it, by why.
    """
    name = literal(declared.audience)
    sizes = connection.execute(
        "select purpose, channel, no_consent_count, suppressed_count, no_address_count"
        f" from release.marts.audience_sizes where audience = {name}"
    ).fetchall()
    if not sizes:
        raise ExportError(
            f"Export {declared.name} was not made: release {release.id} holds no audience"
            f" {declared.audience!r}, for it was made before that was declared. `make run` makes a"
            " release with it."
        )
    purpose, channel, no_consent, suppressed, no_address = sizes[0]
    connection.execute(
        "create temp table candidates as select customer_id, address"
        f" from release.marts.audience_members where audience = {name}"
    )
    withdrawn = sum(
        _drop_withdrawn(connection, later, purpose, channel)
        for later in _later_releases(settings, release)
    )
    connection.execute(
        "create temp table identified as"
        f" select {identifier_sql(declared.identifier, declared.platform)} as identifier"
        " from candidates"
    )
    connection.execute(
        "create temp table members as"
        " select distinct identifier from identified where identifier is not null"
    )
    ((unusable, shared),) = connection.execute(
        "select count(*) filter (where identifier is null),"
        " count(identifier) - count(distinct identifier) from identified"
    ).fetchall()
    return {"purpose": purpose, "channel": channel}, {
        "no_consent": no_consent,
        "suppressed": suppressed,
        "no_address": no_address,
        "withdrawn_since": withdrawn,
        "unusable_address": unusable,
        "identifier_of_another_member": shared,
    }


def _later_releases(settings: Settings, release: Release) -> Iterator[Release]:
    """Yield kept releases that know more: made later, before a rollback, or as of a later day."""
    as_of = read_manifest(release).as_of
    for other in list_releases(settings):
        if other.id != release.id and (other.id > release.id or read_manifest(other).as_of > as_of):
            yield other


def _drop_withdrawn(
    connection: duckdb.DuckDBPyConnection, later: Release, purpose: str, channel: str
) -> int:
    """Take out of `candidates` whom a later release no longer lets be contacted; returns how many.

    Whom it does not know by the same customer id is taken out as well.
    """
    later.marts.attach(connection, "later")
    try:
        ((count,),) = connection.execute(
            f"""
            delete from candidates where customer_id not in (
                select customer_id from later.marts.customer_consent
                where purpose = {literal(purpose)} and is_current and is_granted
                except
                select customer_id from later.marts.customer_suppressions
                where channel = {literal(channel)}
            )
            """
        ).fetchall()
    finally:
        connection.execute("detach later")
    return int(count)


def _enter_previous(connection: duckdb.DuckDBPyConnection, before: Version) -> None:
    """Make table `previous` (identifier) of who was in the version before."""
    if before.manifest.format is Format.CSV:
        source = (
            f"read_csv({literal(before.members)}, header = true, auto_detect = false, delim = ',',"
            " quote = '\"', escape = '\"', columns = {'identifier': 'varchar'})"
        )
    else:
        column = quoted(before.manifest.identifier)
        source = f"(select {column} as identifier from read_parquet({literal(before.members)}))"
    connection.execute(f"create temp table previous as from {source}")


def _copy(connection: duckdb.DuckDBPyConnection, declared: Export, query: str, path: Path) -> int:
    """Write a file of the contract; returns how many rows."""
    how = (
        "format csv, header true"
        if declared.format is Format.CSV
        else "format parquet, compression zstd"
    )
    ((count,),) = connection.execute(
        f"copy (select identifier as {quoted(declared.identifier)} from ({query}) order by 1)"
        f" to {literal(path)} ({how})"
    ).fetchall()
    return int(count)


def _put_in_place(staging: Path, manifest: ExportManifest) -> None:
    path = staging / _MANIFEST
    path.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _seal(path)
    flush(staging)
    staging.rename(staging.with_name(manifest.version))
    flush(staging.parent)


def _seal(path: Path) -> File:
    """Close a file to others, flush it to disk and hash it."""
    path.chmod(0o600)
    flush(path)
    return read_file(path)


def _link(version: Path) -> None:
    """Let `latest` point to a version, in one step; relative, so that the folder can be moved."""
    link = version.parent / _LATEST
    if link.is_symlink() and str(link.readlink()) == version.name:
        return
    fresh = version.parent / f".{_LATEST}.next"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version.name)
    fresh.replace(link)
    flush(version.parent)


# --- what is there ------------------------------------------------------------------------------


def _is_up_to_date(version: Version, declared: Export, release: Release) -> bool:
    """Whether a version is what a release makes, by its manifest and the sizes of its files."""
    manifest = version.manifest
    return (
        manifest.release_id == release.id
        and manifest.format is declared.format
        and manifest.names_members_as(declared)
        and all(
            (version.path / name).is_file() and (version.path / name).stat().st_size == file.size
            for name, file in manifest.files.items()
        )
    )


def _is_of(manifest: ExportManifest, release: Release) -> bool:
    """Whether it was made of a release, by its time: an erasure gives it another content hash."""
    return manifest.release_id[:16] == release.id[:16]


def _refuse_while_forgetting(settings: Settings, declared: Export) -> None:
    if settings.is_scratch:
        raise ExportError(f"{settings.home} is a copy to try something in: nothing is exported.")
    try:
        waiting = [plan for plan in pending(settings) if not plan.is_begun]
    except PrivacyError as error:
        raise ExportError(f"Export {declared.name} was not made: {error}") from error
    if waiting:
        raise ExportError(
            f"Export {declared.name} was not made: somebody is to be forgotten who may be in it."
            " `warehouse forget --resume` completes that, then `warehouse export`."
        )


def _refuse_older(
    settings: Settings, declared: Export, release: Release, before: Version | None
) -> None:
    """Refuse to go back behind a release that is gone: nobody knows who withdrew since."""
    if before is None or before.manifest.release_id[:16] <= release.id[:16]:
        return
    if not any(_is_of(before.manifest, kept) for kept in list_releases(settings)):
        raise ExportError(
            f"Export {declared.name} was not made: release {release.id} is older than"
            f" {before.manifest.release_id}, which was exported last and is gone, so who withdrew"
            " since is unknown. `make run` makes a new release, and exports that."
        )


def _remember(settings: Settings) -> None:
    """Note a folder outside of the home before anybody stands in it: an erasure has to look."""
    if settings.exports.is_relative_to(settings.home):
        return
    path = settings.exported_to
    known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if str(settings.exports) not in known:
        write_whole(path, "".join(f"{line}\n" for line in [*known, settings.exports]), mode=0o600)


def _folders(root: Path) -> list[Path]:
    """Folders of exports: those that hold a version. Others below the root are not ours."""
    if not root.is_dir():
        return []
    return [path for path in sorted(root.iterdir()) if path.is_dir() and _is_ours(path)]


def _is_ours(folder: Path) -> bool:
    return any(_VERSION.fullmatch(path.name.removeprefix(_STAGING)) for path in folder.iterdir())


def _versions(folder: Path) -> list[Path]:
    """Versions of an export, oldest first; a version has its name only when it is whole."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()
    )


def _next_name(folder: Path, release: Release, now: datetime) -> str:
    """The second of the export, moved on if needed: versions sort in the order they were made."""
    moment = now.astimezone(UTC).replace(microsecond=0)
    if versions := _versions(folder):
        last = datetime.strptime(versions[-1].name[:16], _STAMP).replace(tzinfo=UTC)
        moment = max(moment, last + timedelta(seconds=1))
    return f"{moment.strftime(_STAMP)}-{release.id}"


def _delete(version: Path) -> None:
    """Hide first: no half version is ever seen."""
    hidden = version.with_name(f"{_STAGING}{version.name}")
    version.rename(hidden)
    shutil.rmtree(hidden)


def _sweep(folder: Path) -> None:
    """Delete what a killed export left."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(_STAGING):
            shutil.rmtree(path)


@contextmanager
def _told(settings: Settings, declared: Export) -> Iterator[None]:
    """Explain a failing disk or file."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        reason = without_personal_data(str(error)).rstrip(".")
        raise ExportError(
            f"Export {declared.name} could not be written to {settings.exports}: {reason}. What was"
            " exported before stands; `warehouse export` tries again."
        ) from error
