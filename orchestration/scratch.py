"""A copy of an installation to try something in, thrown away afterwards."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.database import encrypt_home
from orchestration.settings import Settings
from orchestration.transform.dbt import target_folder


class ScratchError(Exception):
    """There is nothing to copy, or no way to; the message says why and what to do."""


@contextmanager
def scratch_copy(settings: Settings) -> Iterator[Settings]:
    """Copy what a run reads and writes, while no run can write to it; yields the copy's settings.

    The releases are not copied but linked: nothing in the copy may publish. Decisions are read
    where they are. Raises ScratchError when nothing is built yet, a run is under way or the disk
    is too small.
    """
    with tempfile.TemporaryDirectory(prefix="warehouse-scratch-") as folder:
        copy = settings.model_copy(update={"home": Path(folder)})
        _check_room(settings, copy)
        (copy.home / ".scratch").touch()
        with _no_run(settings):
            for file in (
                settings.working_database,
                settings.candidate_database,
                settings.quality_history,
            ):
                for part in (file, file.with_name(f"{file.name}.wal")):
                    _copy_if_there(part, copy.home / part.name)
            _copy_tombstones(settings, copy)
            for journal, copied in zip(
                settings.journals.values(), copy.journals.values(), strict=True
            ):
                if copied != journal:
                    _copy_if_there(journal, copied)
            _copy_if_there(settings.retention_log, copy.retention_log)
            target_folder(copy).mkdir(exist_ok=True)
            for name in ("manifest.json", "partial_parse.msgpack"):
                _copy_if_there(target_folder(settings) / name, target_folder(copy) / name)
            if settings.current.is_symlink():
                copy.releases.symlink_to(settings.releases, target_is_directory=True)
                copy.current.symlink_to(settings.current.readlink())
        encrypt_home(copy)
        yield copy


def _copy_tombstones(settings: Settings, copy: Settings) -> None:
    """Who was forgotten stays so in the copy; an erasure under way would rewrite the releases."""
    if any(settings.erasures.glob("*/plan.json")):
        raise ScratchError(
            "An erasure is pending; complete it first, with `warehouse forget --resume`."
        )
    for file in settings.erasures.glob("*/tombstones.json"):
        copied = copy.erasures / file.parent.name / file.name
        copied.parent.mkdir(parents=True)
        shutil.copyfile(file, copied)
    if (settings.erasures / "lifted.csv").exists():
        shutil.copyfile(settings.erasures / "lifted.csv", copy.erasures / "lifted.csv")


def _check_room(settings: Settings, copy: Settings) -> None:
    database = settings.working_database
    if not database.exists():
        raise ScratchError(
            f"Nothing has been built in {settings.home} yet, so there is nothing to compare with. "
            "`make run` builds it."
        )
    needed, free = 3 * database.stat().st_size, shutil.disk_usage(copy.home).free
    if free < needed:
        raise ScratchError(
            f"The copy is made in {copy.home.parent} and needs about {needed // 2**20:,} MiB; "
            f"{free // 2**20:,} MiB are free. TMPDIR names another folder."
        )


@contextmanager
def _no_run(settings: Settings) -> Iterator[None]:
    """Keep runs out without a trace: a run writes its number into the lock, a copy does not."""
    path = settings.home / "run.lock"
    if not path.exists():
        yield
        return
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ScratchError(
                f"A run is writing to {settings.home}; ask again when it has finished."
            ) from None
        yield


def _copy_if_there(file: Path, to: Path) -> None:
    if file.exists():
        shutil.copyfile(file, to)
