"""Verbs of the `warehouse` command about backups, from make-key to restore."""

import argparse
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from orchestration.console import console
from orchestration.settings import Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_KEY_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of backups beside the others."""
    key = verbs.add_parser("make-key", help="make a key by which files are encrypted")
    key.add_argument("name", type=_key_name, metavar="NAME", help="backup, or the name of a role")
    key.set_defaults(action=_make_key)
    backup = verbs.add_parser("backup", help="back the home up, encrypted, into one file")
    backup.add_argument("--to", type=Path, metavar="FOLDER", help="default: WAREHOUSE_BACKUPS")
    _answer(backup)
    backup.set_defaults(action=_backup)
    backups = verbs.add_parser("backups", help="list the backups of this home")
    backups.set_defaults(action=_backups)
    verify = verbs.add_parser("verify-backup", help="read backups whole and prove what is in them")
    verify.add_argument("file", nargs="*", type=Path, metavar="FILE", help="or its name")
    verify.add_argument("--all", action="store_true", help="every backup of this home")
    verify.set_defaults(action=_verify)
    restore = verbs.add_parser(
        "restore", help="make the home from a backup; without --confirm it only says what would go"
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="a backup, or its name")
    restore.add_argument("--into", type=Path, metavar="HOME", help="another home than this one")
    restore.add_argument(
        "--erasures", type=Path, metavar="FOLDER", help="a copy of the erasures of a lost home"
    )
    restore.add_argument("--confirm", action="store_true", help="replace what is in the home")
    _answer(restore)
    restore.set_defaults(action=_restore)


def _answer(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--by", default="", metavar="NAME", help="who does it; default: the account")
    verb.add_argument("--why", default="", metavar="REASON", help="kept in the journal of backups")


def _key_name(text: str) -> str:
    if not _KEY_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a key: lower case letters, digits and _, at most 31"
        )
    return text


def _make_key(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.keys import BadKeyError, make_key  # noqa: PLC0415

    try:
        path = make_key(settings, options.name)
    except BadKeyError as error:
        return _refused(error)
    print(path)
    return 0


def _backup(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.backups import archive  # noqa: PLC0415 - DuckDB
    from orchestration.release import ReleaseError  # noqa: PLC0415

    started = time.perf_counter()
    folder = settings.backups if options.to is None else options.to.expanduser().resolve()
    try:
        by, why = _who(options)
        archive.backup_key(settings)
        with _alone(settings):
            _show_progress(started)
            archive.no_erasure_pending(settings)
            made = archive.write_backup(settings, folder, by=by, why=why)
            archive.note_backup(settings, "backup", made.path, made.about, by=by, why=why)
            gone = archive.prune_backups(settings, folder)
    except (archive.BackupError, ReleaseError) as error:
        return _refused(error)
    except _privacy_error() as error:
        return _refused(error)
    console.print(
        f"{made.path}: {made.size / 1e6:,.1f} MB, {time.perf_counter() - started:.1f} s"
        + (f"; {len(gone)} older ones deleted" if gone else ""),
        markup=False,
    )
    return 0


def _backups(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    from orchestration.backups.archive import (  # noqa: PLC0415 - DuckDB
        BackupError,
        backup_key,
        known_backups,
        read_about,
    )

    table = Table("backup", "made (UTC)", "by", "as of", "MB", "", box=None)
    problems = 0
    try:
        found = known_backups(settings)
        key = backup_key(settings) if found else b""
    except BackupError as error:
        return _refused(error)
    for path in found:
        size = f"{path.stat().st_size / 1e6:,.1f}"
        try:
            about = read_about(path, key)
        except BackupError as error:
            problems += 1
            table.add_row(escape(str(path)), "", "", "", size, escape(str(error)))
            continue
        made = f"{about.made_at:%Y-%m-%d %H:%M}"
        table.add_row(escape(str(path)), made, escape(about.made_by), about.as_of, size, "")
    console.print(table)
    console.print(f"{len(found)} backups")
    return 1 if problems else 0


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.backups.archive import (  # noqa: PLC0415 - DuckDB
        BackupError,
        backup_key,
        known_backups,
        read_backup,
    )

    problems = 0
    try:
        files = [_found(settings, path) for path in options.file]
        files += known_backups(settings) if options.all else []
        if not files:
            raise BackupError("There is no backup to verify: name a file, or give --all.")
        key = backup_key(settings)
    except BackupError as error:
        return _refused(error)
    for path in files:
        try:
            about, contents = read_backup(path, key)
        except BackupError as error:
            problems += _refused(error)
            continue
        size = sum(file.size for file in contents.values())
        console.print(
            f"{path}: {len(contents)} files, {size / 1e6:,.1f} MB, each as it was backed up; "
            f"release {about.release_id} as it was published",
            markup=False,
        )
    return 1 if problems else 0


def _restore(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.backups import archive, restoring  # noqa: PLC0415 - DuckDB
    from orchestration.release import ReleaseError  # noqa: PLC0415

    started = time.perf_counter()
    home = settings.home if options.into is None else options.into.expanduser().resolve()
    try:
        by, why = _who(options)
        path = _found(settings, options.file)
        about = archive.read_about(path, archive.backup_key(settings))
        if options.erasures is None and not any(settings.erasures.glob("*/tombstones.json")):
            console.print(
                f"{settings.erasures} knows of nobody who was forgotten: if the home was lost, give"
                " a copy of that folder with --erasures, or people come back.",
                style="yellow",
                markup=False,
            )
        if not options.confirm:
            there = restoring.would_replace(settings, home)
            console.print(
                f"{path} is of {about.made_at:%Y-%m-%d %H:%M} UTC, release {about.release_id}, "
                f"as of {about.as_of}. In {home} it would replace: {', '.join(there) or 'nothing'}."
                "\nNothing was changed; `--confirm` restores it.",
                markup=False,
            )
            return 0
        home.mkdir(parents=True, exist_ok=True)
        with _alone(settings.model_copy(update={"home": home})):
            _show_progress(started)
            done = restoring.restore(
                settings, home, path, by=by, why=why, erasures=options.erasures
            )
    except (archive.BackupError, ReleaseError) as error:
        return _refused(error)
    except _privacy_error() as error:
        return _refused(error)
    console.print(f"{home} is as it was at {about.made_at:%Y-%m-%d %H:%M} UTC.", markup=False)
    for one in done.certificates:
        console.print(f"{one.erasure_id}: {one.reason}, {one.found} found", markup=False)
    if done.replaced:
        console.print(
            f"What was there is in {done.replaced}: it holds personal data, delete it when you need"
            " nothing of it; the next erasure does.",
            markup=False,
        )
    console.print("The next run lands what came since.")
    return 0


def _found(settings: Settings, path: Path) -> Path:
    """A backup by its path, or by its name in the folder of backups. Raises BackupError."""
    from orchestration.backups.archive import BackupError  # noqa: PLC0415

    for one in (path, settings.backups / path.name):
        if one.is_file():
            return one
    raise BackupError(f"There is no backup {path}; `warehouse backups` lists those that there are.")


def _who(options: argparse.Namespace) -> tuple[str, str]:
    from orchestration.backups.archive import BackupError, line_problem  # noqa: PLC0415
    from orchestration.privacy.access_log import account  # noqa: PLC0415

    by, why = options.by.strip() or account(), options.why.strip()
    if problem := line_problem(by, why):
        raise BackupError(f"Nothing was done: {problem}.")
    return by, why


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    from orchestration.backups.archive import BackupError  # noqa: PLC0415
    from orchestration.run import WarehouseBusyError, only_one_run  # noqa: PLC0415 - Dagster

    try:
        with only_one_run(settings):
            yield
    except WarehouseBusyError as error:
        raise BackupError(str(error)) from error


def _show_progress(started: float) -> None:
    from orchestration.cli import show_progress  # noqa: PLC0415 - imports this module

    show_progress(started)


def _privacy_error() -> type[Exception]:
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    return PrivacyError


def _refused(error: Exception) -> int:
    console.print(str(error), style="red", markup=False)
    return 1
