"""Keys: 32 random bytes each, as 64 hex digits.

One belongs to the installation: tombstones, the access log and the pseudonyms of roles are hashed
with it, so without it forgotten people could come back. It is made when first needed.

The others encrypt files, and people make them. Such a key stands in a file that only its owner may
read, `<keys>/<name>.key`, or in the environment as `WAREHOUSE_KEY_<NAME>`, which wins. It goes into
no log, no manifest and no command line.
"""

import os
import secrets
from pathlib import Path

from orchestration.settings import Settings

KEY_BYTES = 32


class BadKeyError(Exception):
    """A key that cannot be used; the sentence says which, where it is and what to do."""


def erasure_key(settings: Settings) -> bytes:
    """Return the key of the installation; makes one when nobody was ever forgotten.

    Raises BadKeyError when it is gone or no key.
    """
    path = settings.erasure_key
    if not path.exists() and not any(settings.erasures.glob("*/tombstones.json")):
        _write(path)
    return read_erasure_key(settings)


def read_erasure_key(settings: Settings) -> bytes:
    """Return the key of the installation, which must be there. Raises BadKeyError."""
    path = settings.erasure_key
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise BadKeyError(
            f"The key of the tombstones, {path}, cannot be read ({error.strerror}): people who "
            "were forgotten could come back. Bring it back, or let WAREHOUSE_ERASURE_KEY name it."
        ) from error
    return parse_key(text, str(path))


def variable(name: str) -> str:
    """The environment variable that may hold a key: `WAREHOUSE_KEY_STEWARD`."""
    return f"WAREHOUSE_KEY_{name.upper()}"


def key_path(settings: Settings, name: str) -> Path:
    """The file that holds a key when the environment does not."""
    return settings.keys / f"{name}.key"


def read_key(settings: Settings, name: str) -> bytes | None:
    """Return a key, or None when nobody made one.

    Raises BadKeyError when it cannot be read, is no key, or its file is open to others.
    """
    path = key_path(settings, name)
    if given := os.environ.get(variable(name)):
        return parse_key(given, variable(name))
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadKeyError(f"The key {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise BadKeyError(
            f"The key {path} may be read by others (mode {mode & 0o777:04o}). Close it with "
            f"`chmod 600 {path}`; if somebody may have read it, make another one."
        )
    return parse_key(text, str(path))


def make_key(settings: Settings, name: str) -> Path:
    """Make a key in a file that only its owner may read. Raises BadKeyError when there is one."""
    path = key_path(settings, name)
    try:
        _write(path)
    except FileExistsError as error:
        raise BadKeyError(
            f"There is a key already, {path}. What it encrypted can be read with nothing else: "
            "move it away, to a safe place, before you make another one."
        ) from error
    except OSError as error:
        raise BadKeyError(f"The key {path} cannot be written: {error.strerror}.") from error
    return path


def parse_key(text: str, where: str) -> bytes:
    """Return the bytes of 64 hex digits. Raises BadKeyError, which does not show the text."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKeyError(f"{where} holds no key: expected {2 * KEY_BYTES} hex digits.")
    return key


def _write(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
