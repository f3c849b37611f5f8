"""Verbs of the `warehouse` command that start the dashboard and say who may open it."""

import argparse
import getpass
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from orchestration.console import console
from orchestration.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from orchestration.dashboard.access import Door

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

ROOM = Path(__file__).parent
# Those of access.Role, which takes 0.2 s to import.
_ROLES = ("viewer", "masked", "steward")


def add_verbs(verbs: "Verbs") -> None:
    """Register the verbs of the dashboard beside the others."""
    dashboard = verbs.add_parser("dashboard", help="open the dashboard on http://127.0.0.1:8501")
    dashboard.add_argument("--port", type=int, default=8501)
    dashboard.add_argument(
        "--role", choices=_ROLES, help="what people see where nobody signs in; default: steward"
    )
    dashboard.add_argument(
        "--address", default="127.0.0.1", metavar="IP", help="where it listens; default: 127.0.0.1"
    )
    dashboard.add_argument("--certificate", type=Path, metavar="FILE", help="speak TLS with it")
    dashboard.add_argument("--key", type=Path, metavar="FILE", help="of the certificate")
    dashboard.add_argument(
        "--user-header",
        default="",
        metavar="HEADER",
        help="in which a proxy on this machine says whom it has signed in",
    )
    dashboard.set_defaults(action=_dashboard)
    users = verbs.add_parser("dashboard-users", help="list who may sign in to the dashboard")
    users.set_defaults(action=_list)
    actions = users.add_subparsers(dest="change")
    change = actions.add_parser("set", help="add a user, or change role and password of one")
    change.add_argument("name", metavar="NAME")
    change.add_argument("--role", choices=_ROLES, required=True, help="what the user sees")
    change.add_argument(
        "--no-password", action="store_true", help="for whom a proxy has signed in; asks for none"
    )
    change.set_defaults(action=_set)
    remove = actions.add_parser("remove", help="take a user out")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(action=_remove)


def _dashboard(settings: Settings, options: argparse.Namespace) -> int:
    """Become Streamlit, whose settings are in `.streamlit/config.toml` of this room."""
    from orchestration.dashboard.access import AccessError, Role, choose_door  # noqa: PLC0415

    if find_spec("streamlit") is None:
        console.print("The dashboard needs Streamlit; `make dashboard` installs it.")
        return 2
    try:
        door = choose_door(
            settings,
            address=options.address,
            role=options.role and Role(options.role),
            certificate=options.certificate,
            key=options.key,
            user_header=options.user_header,
        )
    except AccessError as error:
        return _complain(error)
    console.print(_who_comes_in(settings, door), markup=False)
    command = [sys.executable, "-m", "streamlit", "run", "app.py"]
    command += ["--server.port", str(options.port), "--server.address", options.address]
    if options.certificate:
        command += ["--server.sslCertFile", str(options.certificate.resolve())]
        command += ["--server.sslKeyFile", str(options.key.resolve())]
    # Streamlit starts in another folder, in which a relative path would lead elsewhere.
    places = {
        f"WAREHOUSE_{name.upper()}": str(value)
        for name, value in settings
        if isinstance(value, Path)
    }
    environment = os.environ | places | {"PYTHONPATH": str(PROJECT_ROOT)}
    os.umask(0o077)
    os.chdir(ROOM)
    sys.stdout.flush()
    return os.execve(sys.executable, [*command, "--", *door.arguments], environment)  # noqa: S606


def _who_comes_in(settings: Settings, door: "Door") -> str:
    from orchestration.dashboard.access import read_users  # noqa: PLC0415

    if door.role:
        return (
            f"Whoever has an account on this machine can open it as {door.role};"
            " `warehouse dashboard-users` lets people sign in."
        )
    count = len(read_users(settings) or {})
    who = f"{settings.dashboard_users} names {count} {'user' if count == 1 else 'users'}"
    if door.user_header:
        return f"{who}; the proxy says in {door.user_header} who comes."
    return f"{who}; everybody signs in."


def _list(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    from orchestration.dashboard.access import AccessError, read_users  # noqa: PLC0415

    try:
        users = read_users(settings)
    except AccessError as error:
        return _complain(error)
    if users is None:
        console.print(
            "Nobody signs in: whoever has an account on this machine can open the dashboard that"
            " runs on it. `warehouse dashboard-users set NAME --role ROLE` adds the first user."
        )
        return 0
    table = Table("name", "role", "password", "changed", box=None)
    for user in users.values():
        by = "yes" if user.password_hash else "no, a proxy's"
        table.add_row(escape(user.name), user.role, by, user.changed_at[:10])
    console.print(table)
    return 0


def _set(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.dashboard.access import AccessError, Role, set_user  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        password = None if options.no_password else _new_password(options.name)
        is_new = set_user(settings, options.name, Role(options.role), password)
    except (AccessError, PrivacyError) as error:
        return _complain(error)
    if is_new:
        console.print(f"{options.name} can open the dashboard as {options.role}.", markup=False)
    else:
        console.print(
            f"{options.name} is {options.role} now, and has to sign in anew.", markup=False
        )
    return 0


def _new_password(name: str) -> str:
    """Ask twice at a terminal; else read a line."""
    from orchestration.dashboard.access import AccessError, password_problem  # noqa: PLC0415

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password of {name}: ")
    if problem := password_problem(password):
        raise AccessError(f"{name} was not changed: {problem}.")
    if getpass.getpass("Once more: ") != password:
        raise AccessError(f"{name} was not changed: the two passwords differ.")
    return password


def _remove(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.dashboard.access import AccessError, remove_user  # noqa: PLC0415
    from orchestration.privacy.tombstones import PrivacyError  # noqa: PLC0415

    try:
        left = remove_user(settings, options.name)
    except (AccessError, PrivacyError) as error:
        return _complain(error)
    console.print(f"{options.name} is out.", markup=False)
    if not left:
        console.print(
            f"Nobody can open the dashboard now. Add somebody, or delete {settings.dashboard_users}"
            " to let in whoever has an account on this machine.",
            markup=False,
        )
    return 0


def _complain(error: Exception) -> int:
    console.print(str(error), style="red", markup=False)
    return 1
