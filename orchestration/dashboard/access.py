"""Who may open the dashboard, and what they see.

There are three doors. On this machine alone, where nobody was given a name, whoever reaches the
port is let in. Where `<home>/dashboard_users.csv` is there, people sign in by name and password.
Behind a proxy that has signed them in, a header says who they are. No door opens to more than it
did at the start: an error, a file that names nobody, a name that is not in it let nobody in.

A password is kept as `scrypt$<n>$<r>$<p>$<salt>$<hash>`, in hexadecimal; its own salt and the costs
(RFC 7914) stand beside it. What is wrong with the installation is an AccessError, for whoever runs
it; what is said to a visitor is a RefusedError.
"""

import argparse
import csv
import fcntl
import hashlib
import hmac
import io
import ipaddress
import math
import os
import re
import secrets
import ssl
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from orchestration.faults import write_whole
from orchestration.journal import Journal, Line, shown, time_problem, written_time
from orchestration.privacy.access_log import account, note
from orchestration.privacy.tombstones import FORGOTTEN
from orchestration.settings import Settings

COLUMNS = ("name", "role", "password_hash", "changed_at")
SHORTEST_PASSWORD = 12
UNKNOWN = "unknown name"
"""Stands in the access log for a name that is nobody's: it may be a password in the wrong field."""

_LONGEST_NAME, _LONGEST_PASSWORD = 100, 1000
# 32 MiB and 0.2 s for each password, what OWASP asks for: guesses cost that much, too.
_N, _R, _P = 2**15, 8, 3
_SALT_BYTES, _HASH_BYTES = 16, 32
_HASH = re.compile(
    r"scrypt\$(?P<n>[1-9][0-9]{0,7})\$(?P<r>[1-9][0-9]?)\$(?P<p>[1-9][0-9]?)"
    rf"\$(?P<salt>[0-9a-f]{{{2 * _SALT_BYTES}}})\$(?P<hash>[0-9a-f]{{{2 * _HASH_BYTES}}})"
)
_MOST_MEMORY = 256 * 1024**2
# Nobody's password: a name that is not known is to take as long as one that is.
_NOBODYS = f"scrypt${_N}${_R}${_P}${'0' * 2 * _SALT_BYTES}${'0' * 2 * _HASH_BYTES}"

_FREE_ATTEMPTS = 5
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 10, 300
_MOST_NAMES = 10_000

# What a proxy adds to what it hands on.
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")


class AccessError(Exception):
    """The dashboard cannot be opened to people as it is; what, where and what to do."""


class RefusedError(Exception):
    """A visitor is not let in; the sentence is for them."""


class Role(StrEnum):
    """What a visitor sees, from least to most."""

    VIEWER = "viewer"
    """Figures, none of few people."""
    MASKED = "masked"
    """Figures, and customers one by one with what identifies them masked."""
    STEWARD = "steward"
    """Everything, and the desk at which is decided who is who."""


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page. name: never empty; where nobody signs in that of the account."""

    name: str
    role: Role

    @property
    def sees_people(self) -> bool:
        """Whether customers are shown one by one, masked or not."""
        return self.role in (Role.MASKED, Role.STEWARD)

    @property
    def decides(self) -> bool:
        """Whether the steward's desk is theirs."""
        return self.role is Role.STEWARD


@dataclass(frozen=True)
class User:
    """A line of the file of users. password_hash: empty for whom only a proxy signs in."""

    name: str
    role: Role
    password_hash: str = field(repr=False)
    changed_at: str

    @property
    def visitor(self) -> Visitor:
        """The user, as pages see them."""
        return Visitor(self.name, self.role)


# --- the file of users --------------------------------------------------------------------------


def read_users(settings: Settings) -> Mapping[str, User] | None:
    """Return the users by name; None when there is no file, so that nobody signs in.

    Reads the file again only when it has changed. Raises AccessError when it cannot be used or
    may be read or written by others.
    """
    path = settings.dashboard_users
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccessError(f"{path} cannot be read: {error.strerror}.") from error
    if found.st_mode & 0o077:
        raise AccessError(
            f"{path} is open to others (mode {found.st_mode & 0o777:04o}), who could let themselves"
            f" in: `chmod 600 {path}`, and look through what it says."
        )
    return _users(path, (found.st_mtime_ns, found.st_size, found.st_ino))


def set_user(settings: Settings, name: str, role: Role, password: str | None) -> bool:
    """Add a user, or put the line in the place of theirs; returns whether the name is new.

    password: None for whom only a proxy signs in. Is noted in the access log first. Raises
    AccessError, or PrivacyError when it cannot be noted.
    """
    name = as_name(name)
    if problem := _name_problem(name):
        raise AccessError(f"Nobody was added: {problem}.")
    if password is not None and (problem := password_problem(password)):
        raise AccessError(f"{name} was not changed: {problem}.")
    hashed = "" if password is None else hash_password(password)
    with _taking_turns(settings):
        users = dict(read_users(settings) or {})
        is_new = name not in users
        users[name] = User(name, role, hashed, written_time(datetime.now(UTC)))
        _write(settings, users, why=f"{name}: {role}", outcome="user set")
    return is_new


def remove_user(settings: Settings, name: str) -> int:
    """Take a user out; returns how many are left. Raises as `set_user` does."""
    name = as_name(name)
    with _taking_turns(settings):
        users = dict(read_users(settings) or {})
        if users.pop(name, None) is None:
            raise AccessError(f"{shown(name)} is no user; `warehouse dashboard-users` lists them.")
        _write(settings, users, why=name, outcome="user removed")
    return len(users)


def as_name(text: str) -> str:
    """Return a name as it is compared: the same letters are the same, however they were typed."""
    return unicodedata.normalize("NFC", text.strip())


def password_problem(password: str) -> str:
    """Return why nobody may have this password, as a part of a sentence, or nothing."""
    if len(password) < SHORTEST_PASSWORD:
        return f"a password has at least {SHORTEST_PASSWORD} characters"
    if len(password) > _LONGEST_PASSWORD:
        return f"a password has at most {_LONGEST_PASSWORD:,} characters"
    return ""


def _write(settings: Settings, users: Mapping[str, User], *, why: str, outcome: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for user in sorted(users.values(), key=lambda user: user.name):
        writer.writerow([user.name, user.role, user.password_hash, user.changed_at])
    note(settings, verb="dashboard-users", by="", why=why, names=(), outcome=outcome)
    try:
        write_whole(settings.dashboard_users, text.getvalue(), mode=0o600)
    except OSError as error:
        raise AccessError(
            f"{settings.dashboard_users} cannot be written ({error.strerror}); nothing was changed."
        ) from error


@contextmanager
def _taking_turns(settings: Settings) -> Iterator[None]:
    """Let one process change the file at a time; the lock lies beside it, for it is replaced."""
    path = settings.dashboard_users.with_suffix(".lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise AccessError(f"{path} cannot be written ({error.strerror}).") from error
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@lru_cache(maxsize=1)
def _users(path: Path, version: tuple[int, ...]) -> Mapping[str, User]:  # noqa: ARG001
    found: dict[str, User] = {}

    def judge(line: Line) -> str:
        if FORGOTTEN in line["name"]:
            return ""  # whom an erasure masked signs in no more
        if problem := _line_problem(line):
            return problem
        name = as_name(line["name"])
        if name in found:
            return f"{shown(name)} is there twice; keep one line"
        found[name] = User(name, Role(line["role"]), line["password_hash"], line["changed_at"])
        return ""

    Journal(path, COLUMNS, AccessError, "Not changed").read(judge)
    return found


def _line_problem(line: Line) -> str:
    if problem := _name_problem(line["name"]):
        return problem
    if line["role"] not in list(Role):
        return f"role {shown(line['role'])} is none; the roles are {', '.join(Role)}"
    if line["password_hash"] and _costs(line["password_hash"]) is None:
        return (
            "password_hash is not as it was written; set a new password with"
            f" `warehouse dashboard-users set {line['name']} --role {line['role']}`"
        )
    return time_problem("changed_at", line["changed_at"])


def _name_problem(name: str) -> str:
    if not name:
        return "the name is empty"
    if len(name) > _LONGEST_NAME:
        return f"the name has {len(name):,} characters; at most {_LONGEST_NAME} fit"
    if not name.isprintable():
        return f"the name {shown(name)} has a character that cannot be printed"
    if FORGOTTEN in name:
        return f"{FORGOTTEN} is what an erasure leaves, and no name"
    return ""


# --- passwords ----------------------------------------------------------------------------------


def hash_password(password: str, *, n: int = _N) -> str:
    """Return a password as it is kept. n: cost in memory and time, a power of two."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${n}${_R}${_P}${salt.hex()}${_scrypt(password, salt, n, _R, _P).hex()}"


def is_password(password: str, password_hash: str) -> bool:
    """Whether a password is the one that was hashed; takes as long whether it is or not."""
    found = _costs(password_hash or _NOBODYS)
    if found is None:
        return False
    n, r, p, salt, expected = found
    # What is longer is nobody's; hashing it would only take memory.
    given = password if len(password) <= _LONGEST_PASSWORD else ""
    is_equal = hmac.compare_digest(_scrypt(given, salt, n, r, p), expected)
    return is_equal and bool(password) and given == password


def _costs(password_hash: str) -> tuple[int, int, int, bytes, bytes] | None:
    """Return n, r, p, salt and hash; None when the text is none or asks for too much memory."""
    match = _HASH.fullmatch(password_hash)
    if match is None:
        return None
    n, r, p = (int(match[name]) for name in ("n", "r", "p"))
    if n < 2 or n & (n - 1) or 128 * n * r > _MOST_MEMORY:
        return None
    return n, r, p, bytes.fromhex(match["salt"]), bytes.fromhex(match["hash"])


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    # One letter can be typed as one character or as two.
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    memory = 128 * r * (n + p + 2) + 1024**2
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=_HASH_BYTES)


# --- doors --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Door:
    """How visitors come in; with neither they sign in.

    role: of whoever comes, where nobody signs in. user_header: in which a proxy says who they are.
    """

    role: Role | None = None
    user_header: str = ""

    @property
    def arguments(self) -> list[str]:
        """What `read_door` makes the same door of."""
        if self.role:
            return ["--role", self.role]
        return ["--user-header", self.user_header] if self.user_header else []


def read_door(arguments: Sequence[str]) -> Door:
    """Return the door that the dashboard was started with; without arguments people sign in."""
    parser = argparse.ArgumentParser(prog="app.py")
    parser.add_argument("--role", type=Role)
    parser.add_argument("--user-header", default="")
    given = parser.parse_args(arguments)
    return Door(given.role, given.user_header)


def choose_door(
    settings: Settings,
    *,
    address: str = "127.0.0.1",
    role: Role | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    user_header: str = "",
) -> Door:
    """Return how visitors of an address come in. Raises AccessError when nobody should.

    certificate, key: with which the dashboard itself speaks TLS; both or none.
    """
    is_loopback = _is_loopback(address)
    users = read_users(settings)
    _check_certificate(certificate, key)
    if users is not None and not users:
        raise AccessError(
            f"{settings.dashboard_users} names nobody, so nobody could come in: `warehouse"
            " dashboard-users set NAME --role ROLE` adds somebody. Without the file whoever has an"
            " account on this machine comes in."
        )
    if users and role:
        raise AccessError(
            f"--role {role} is for a dashboard in which nobody signs in; here the role of each is"
            f" in {settings.dashboard_users}. Leave it out, or change a user's."
        )
    if user_header:
        if role:
            raise AccessError("--role and --user-header exclude each other: leave one out.")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", user_header):
            raise AccessError(
                f"--user-header {shown(user_header)} is no name of a header; give one like"
                " X-Forwarded-User."
            )
        if not is_loopback:
            raise AccessError(
                f"--user-header with --address {address} would let in whoever writes that header:"
                " let the proxy run on this machine, and leave --address out."
            )
        if not users:
            raise AccessError(
                f"There is no {settings.dashboard_users}, so nobody whom the proxy names has a"
                " role: `warehouse dashboard-users set NAME --role ROLE --no-password` adds one."
            )
        return Door(user_header=user_header)
    if not is_loopback:
        if not any(user.password_hash for user in (users or {}).values()):
            raise AccessError(
                f"--address {address} is reached from other machines, and nobody can sign in:"
                " `warehouse dashboard-users set NAME --role ROLE` adds somebody with a password."
            )
        if certificate is None:
            raise AccessError(
                f"--address {address} is reached from other machines, and passwords would go there"
                " in plain text: add --certificate FILE and --key FILE, or leave --address out and"
                " let a proxy on this machine speak TLS."
            )
    return Door() if users else Door(role or Role.STEWARD)


def is_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a request was made to this machine by one of its own names, and through no proxy.

    Else a page of somebody's web site could ask in the name of the browser that shows it, once its
    name leads to this machine (DNS rebinding), and a proxy could show everything to everybody.
    """
    try:
        host = urlsplit(f"//{headers.get('Host', '')}").hostname or ""
        is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return is_here and not any(name in headers for name in _PROXY_HEADERS)


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise AccessError(
            f"--address {shown(address)} is no address; give one of this machine, 127.0.0.1 or"
            " 0.0.0.0 for all of them."
        ) from error


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise AccessError("--certificate and --key need each other: give both.")
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise AccessError(f"{path} cannot be read: {reason}.") from error
    try:
        # A key with a password of its own would be asked for at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise AccessError(
            f"{certificate} with {key} is no certificate with its key, in PEM and without a"
            " password."
        ) from error


# --- visitors -----------------------------------------------------------------------------------


class Attempts:
    """Wrong passwords, by name, since this process started: after five each wait is twice as long.

    clock: seconds that only grow. A name that is nobody's waits like one that is, or the wait
    would tell which are known.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.one_at_a_time = threading.Lock()
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}
        self._told: set[str] = set()

    def wait(self, name: str) -> int:
        """Seconds until a password of this name is looked at again; 0 for now."""
        return max(0, math.ceil(self._wrong.get(name, (0, 0.0))[1] - self._clock()))

    def wrong(self, name: str) -> None:
        """Count a wrong password."""
        count = self._wrong.pop(name, (0, 0.0))[0] + 1
        # 2**20 waits of the longest kind are longer than a process lives
        doubled = _FIRST_WAIT_SECONDS * 2 ** min(count - _FREE_ATTEMPTS, 20)
        wait = min(doubled, _LONGEST_WAIT_SECONDS) if count >= _FREE_ATTEMPTS else 0
        self._wrong[name] = (count, self._clock() + wait)
        self._told.discard(name)
        while len(self._wrong) > _MOST_NAMES:
            forgotten = next(iter(self._wrong))
            del self._wrong[forgotten]
            self._told.discard(forgotten)

    def right(self, name: str) -> None:
        """Begin anew after a right password."""
        self._wrong.pop(name, None)
        self._told.discard(name)

    def is_first_refusal(self, name: str) -> bool:
        """Whether nobody was refused in this wait yet: one line in the log tells of all."""
        is_first = name not in self._told
        self._told.add(name)
        return is_first


def sign_in(settings: Settings, attempts: Attempts, name: str, password: str) -> User:
    """Return the user who signs in, once it is noted in the access log.

    One attempt at a time, so guessing takes one core at most. Raises RefusedError with a sentence
    that does not say which of both was wrong, AccessError, or PrivacyError when it cannot be noted.
    """
    name = as_name(name)
    with attempts.one_at_a_time:
        user = (read_users(settings) or {}).get(name)
        if wait := attempts.wait(name):
            if attempts.is_first_refusal(name):
                _note_sign_in(settings, user, "refused: too many wrong passwords")
            raise RefusedError(f"Too many wrong passwords for this name. Wait {_lasting(wait)}.")
        is_right = is_password(password, user.password_hash if user else "")
        if user is None or not is_right or not user.password_hash:
            attempts.wrong(name)
            _note_sign_in(settings, user, "refused: wrong name or password")
            raise RefusedError("The name or the password is wrong.")
        attempts.right(name)
        _note_sign_in(settings, user, f"signed in as {user.role}")
        return user


def user_named(settings: Settings, header: str, values: Sequence[str]) -> User:
    """Return whom a proxy names. values: of its header, all of them.

    Raises RefusedError when it names nobody, two, or nobody we know; AccessError.
    """
    if len(values) != 1 or not values[0].strip():
        raise RefusedError(
            f"The proxy has to say in {header} who you are, once, and did not. Open the dashboard"
            " by the proxy's address."
        )
    name = as_name(values[0])
    user = (read_users(settings) or {}).get(name)
    if user is None:
        known_as = f"as {name} " if not _name_problem(name) else ""
        raise RefusedError(
            f"You are signed in {known_as}and have no role in this dashboard. Whoever runs the"
            " warehouse can give you one."
        )
    return user


def visitor_from_here(door: Door, headers: Mapping[str, str]) -> Visitor:
    """Return who comes in where nobody signs in: the account that started it. Raises RefusedError.

    headers: of the request.
    """
    if door.role is None or not is_from_here(headers):
        raise RefusedError(
            "This dashboard is for the machine that it runs on: open http://127.0.0.1 there, with"
            " its port. Whoever runs the warehouse can let people sign in from elsewhere."
        )
    return Visitor(account(), door.role)


def note_visit(settings: Settings, user: User | None, header: str) -> None:
    """Note in the access log whom a proxy brought, or refused. Raises PrivacyError."""
    outcome = f"signed in as {user.role} by {header}" if user else f"refused by {header}"
    _note_sign_in(settings, user, outcome)


def _note_sign_in(settings: Settings, user: User | None, outcome: str) -> None:
    name = user.name if user else UNKNOWN
    note(settings, verb="sign-in", by=name, why="", names=(), outcome=outcome)


def _lasting(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
