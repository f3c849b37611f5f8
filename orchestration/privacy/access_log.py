"""Who looked at whom: `<home>/access.jsonl`, one line for each reading of a person by our tools.

A line names nobody who was looked at: `of` holds keyed hashes (key of the tombstones) of the
customer ids, records and values that were shown. `hash` is HMAC-SHA256, by the same key, over the
line as canonical JSON, which carries the hash of the line before. `access.head.json` keeps how
many lines there are and the last hash, under a hash of its own.

What `read_log` notices: a line that was changed, added, taken out or moved, anywhere; a log that
was cut off at its end, or is missing as a whole; a head that was changed. What it cannot notice:
both files put back to an earlier state together, both files gone, and whatever somebody does who
has the key; so keep copies of the head, or the key, elsewhere. And somebody who opens the files of
the warehouse without our tools leaves no line at all: that is for the rights of the folder.

By whom and why are free texts, in which a person who is forgotten later may be named. They are in
the chain by keyed hash only, so an erasure may put `[forgotten]` in their place; the head counts
such lines.
"""

import fcntl
import hashlib
import hmac
import json
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.faults import write_whole
from orchestration.journal import Journal, flush_folder, write_at_end, written_time
from orchestration.privacy.scanning import Scanner
from orchestration.privacy.tombstones import FORGOTTEN, PrivacyError, erasure_key, keyed
from orchestration.settings import Settings

_TEXTS = ("by", "account", "why")
_FIELDS = frozenset(
    (
        *("number", "at", "verb", "of", "outcome", "previous", "hash"),
        *(name for text in _TEXTS for name in (text, f"{text}_hash")),
    )
)
_NO_LINE = "0" * 64
_OWNER_ONLY = 0o600


class AccessLogError(PrivacyError):
    """The log cannot be written or is not as it was written; then nothing is shown."""


@dataclass(frozen=True)
class Access:
    """One line. of: keyed hashes of who was shown. account: of the operating system."""

    number: int
    at: datetime
    by: str
    account: str
    verb: str
    why: str
    of: frozenset[str]
    outcome: str


@dataclass(frozen=True)
class AccessLog:
    """The lines up to the first that is not as it was written; problem: a sentence about that."""

    lines: tuple[Access, ...]
    problem: str = ""


def account() -> str:
    """Name of the account that runs this process, whatever its environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def note(
    settings: Settings, *, verb: str, by: str, why: str, names: Iterable[str], outcome: str
) -> None:
    """Add a line, and wait until it is on disk; only then may anything be shown.

    by: empty for the account. names: what names who is shown, as identifiers are written
    (`cus_...`, `crm:C1`, `email:ann@x.test`). Processes take turns. Raises PrivacyError when the
    line cannot be kept.
    """
    given = {"by": by.strip() or account(), "account": account(), "why": why.strip()}
    journal = Journal(settings.access_log, (), AccessLogError, "Nothing was shown")
    problem = journal.problem({"--by": given["by"], "--why": given["why"]})
    if problem or FORGOTTEN in given.values():
        problem = problem or f"{FORGOTTEN} is what an erasure leaves, and no name or reason"
        raise AccessLogError(f"Nothing was shown: {problem}.")
    try:
        with locked(settings):
            key = _key(settings)
            count, previous, masked = _end(settings, key)
            line: dict[str, Any] = {
                "number": count + 1,
                "at": written_time(datetime.now(UTC)),
                "verb": verb,
                "of": sorted({_keyed(key, name) for name in names}),
                "outcome": outcome,
                "previous": previous,
                **given,
            }
            line |= {f"{text}_hash": _keyed(key, given[text]) for text in _TEXTS}
            line["hash"] = _hash(key, line)
            _append(settings.access_log, _canonical(line))
            _write_head(settings, key, count + 1, line["hash"], masked)
    except OSError as error:
        raise AccessLogError(
            f"Nothing was shown: {settings.access_log} cannot be written ({error.strerror}), and"
            " whoever looks at a person is noted there."
        ) from error


def read_log(settings: Settings) -> AccessLog:
    """Return the log, proven line by line. Raises PrivacyError when it cannot be read at all."""
    try:
        with locked(settings):
            return _read(settings)
    except OSError as error:
        raise AccessLogError(f"{settings.access_log} cannot be read ({error.strerror}).") from error


def hashes_of(settings: Settings, names: Iterable[str]) -> frozenset[str]:
    """Return by which hashes the log would know these names. Raises PrivacyError."""
    key = _key(settings)
    return frozenset(_keyed(key, name) for name in names)


def is_log(settings: Settings, path: Path) -> bool:
    """Whether a file is the log or belongs to it; an erasure masks it by `mask_log` only."""
    return path in {settings.access_log, _head_path(settings), _lock_path(settings)}


def mask_log(settings: Settings, scanner: Scanner) -> int:
    """Put `[forgotten]` in the place of texts that name a person; returns of how many lines.

    The chain holds. Safe to repeat after a kill: the head, which counts such lines, comes first.
    """
    if not settings.access_log.exists():
        return 0
    with locked(settings):
        lines = settings.access_log.read_bytes().splitlines(keepends=True)
        masked = [_masked(line, scanner) for line in lines]
        changed = sum(old != new for old, new in zip(lines, masked, strict=True))
        if changed:
            key = _key(settings)
            if head := _read_head(settings, key):
                count = sum(_is_masked(_parsed(line) or {}) for line in masked)
                _write_head(settings, key, head["count"], head["hash"], count)
            write_whole(settings.access_log, b"".join(masked).decode(), mode=_OWNER_ONLY)
    return changed


# --- the chain ----------------------------------------------------------------------------------


def _read(settings: Settings) -> AccessLog:
    path = settings.access_log
    content = path.read_bytes() if path.exists() else b""
    if not content and not _head_path(settings).exists():
        return AccessLog(())
    key = _key(settings)
    *ended, rest = content.split(b"\n")
    found: list[Access] = []
    previous, masked = _NO_LINE, 0
    hashes = [_NO_LINE]
    for number, text in enumerate(ended, start=1):
        line = _parsed(text)
        problem = _problem(key, number, previous, line)
        if problem or line is None:
            return AccessLog(tuple(found), f"{path}:{number}: {problem}.")
        found.append(_access(line))
        previous = line["hash"]
        hashes.append(previous)
        masked += _is_masked(line)
    head = _read_head(settings, key)
    return AccessLog(tuple(found), _end_problem(path, head, hashes, masked, rest))


def _problem(key: bytes, number: int, previous: str, line: Mapping[str, Any] | None) -> str:
    """Return what is wrong with a line, or nothing."""
    if line is None:
        return "this line is not as it was written: it is no line of the log"
    if line["number"] != number and line["hash"] == _hash(key, line):
        return f"line {number} is missing here, or lines were moved: this is line {line['number']}"
    if line["hash"] != _hash(key, line):
        return "this line is not as it was written: its hash differs"
    if line["previous"] != previous:
        return "the line before is missing, or is another one"
    for text in _TEXTS:
        if line[text] != FORGOTTEN and line[f"{text}_hash"] != _keyed(key, line[text]):
            return f"this line is not as it was written: `{text}` differs"
    return ""


def _end_problem(
    path: Path, head: Mapping[str, Any] | None, hashes: list[str], masked: int, rest: bytes
) -> str:
    """Return what the head tells of the end of a log whose lines are right, or nothing.

    A line that the head does not count yet, or the beginning of one, is what a killed process
    leaves; it had shown nothing.
    """
    count = len(hashes) - 1
    if head is None:
        return f"{path}:{count}: the head of the log is missing or not as it was written."
    if count < head["count"]:
        what = "is cut off" if rest else "is missing"
        return f"{path}:{count + 1}: line {count + 1} of {head['count']} {what}."
    if count > head["count"] + 1 or hashes[head["count"]] != head["hash"]:
        return f"{path}:{count}: the head of the log is of another log, or of an earlier state."
    if masked != head["masked"]:
        return (
            f"{path}: {masked} lines have a text that is {FORGOTTEN}, and erasures made"
            f" {head['masked']} of them."
        )
    return ""


def _end(settings: Settings, key: bytes) -> tuple[int, str, int]:
    """Return count of lines, last hash and masked lines; cuts off what was never confirmed.

    Raises AccessLogError when the end is not as it was written: what follows it would prove
    nothing. The lines before it are `read_log`'s to prove.
    """
    path = settings.access_log
    content = path.read_bytes() if path.exists() else b""
    if not content and not _head_path(settings).exists():
        return 0, _NO_LINE, 0
    head = _read_head(settings, key)
    *ended, rest = content.split(b"\n")
    last = _parsed(ended[-1]) if ended else None
    count = len(ended)
    is_right = head is not None and (
        (count == head["count"] == 0)
        or (
            last is not None
            and last["number"] == count
            and last["hash"] == _hash(key, last)
            and (head["count"], head["hash"])
            in {(count, last["hash"]), (count - 1, last["previous"])}
        )
    )
    if not is_right or head is None:
        raise AccessLogError(
            f"Nothing was shown: the end of {path} is not as it was written, so whoever looks could"
            " not be noted. `warehouse access-log` says where; bring the log and its head back from"
            " a backup, or put both aside, for whoever looks into it, and a new log begins."
        )
    if rest:
        with path.open("r+b") as file:
            file.truncate(len(content) - len(rest))
    return count, str(last["hash"]) if last else _NO_LINE, int(head["masked"])


def _append(path: Path, line: bytes) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        write_at_end(file, line)
    if is_new:
        flush_folder(path.parent)


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return a line, when it is one to the letter."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or line.keys() != _FIELDS:
        return None
    is_typed = (
        isinstance(line["number"], int)
        and isinstance(line["of"], list)
        and all(isinstance(line[name], str) for name in _FIELDS - {"number", "of"})
    )
    return line if is_typed and _canonical(line) == text.rstrip(b"\n") + b"\n" else None


def _access(line: Mapping[str, Any]) -> Access:
    return Access(
        number=line["number"],
        at=datetime.fromisoformat(line["at"]),
        by=line["by"],
        account=line["account"],
        verb=line["verb"],
        why=line["why"],
        of=frozenset(line["of"]),
        outcome=line["outcome"],
    )


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _hash(key: bytes, line: Mapping[str, Any]) -> str:
    """Hash of a line without itself, and without the texts that an erasure may mask."""
    said = {name: value for name, value in line.items() if name not in {"hash", *_TEXTS}}
    return hmac.new(key, _canonical(said), hashlib.sha256).hexdigest()


def _keyed(key: bytes, text: str) -> str:
    # what a shell hands over may not be UTF-8
    return keyed(key, text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _is_masked(line: Mapping[str, Any]) -> bool:
    return any(line.get(text) == FORGOTTEN for text in _TEXTS)


def _masked(text: bytes, scanner: Scanner) -> bytes:
    line = _parsed(text)
    if line is not None:
        hit = {name: FORGOTTEN for name in _TEXTS if scanner.is_in(line[name])}
        text = _canonical(line | hit) if hit else text
    return scanner.masked(text, FORGOTTEN.encode())


# --- files --------------------------------------------------------------------------------------


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the lock of the log; it is a file of its own, for an erasure replaces the log."""
    descriptor = os.open(_lock_path(settings), os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(settings: Settings) -> bytes:
    if settings.access_log.exists() and not settings.erasure_key.exists():
        raise AccessLogError(
            f"The key of {settings.access_log}, {settings.erasure_key}, is missing, so whoever"
            " looks could not be noted. Bring it back, or let WAREHOUSE_ERASURE_KEY name it."
        )
    return erasure_key(settings)


def _write_head(settings: Settings, key: bytes, count: int, last: str, masked: int) -> None:
    head: dict[str, Any] = {"count": count, "hash": last, "masked": masked}
    head["seal"] = _hash(key, {"seal of": head})
    write_whole(_head_path(settings), _canonical(head).decode(), mode=_OWNER_ONLY)


def _read_head(settings: Settings, key: bytes) -> dict[str, Any] | None:
    """Return the head; None when it is missing or not as it was written."""
    try:
        head = json.loads(_head_path(settings).read_bytes())
        seal = head.pop("seal")
    except (FileNotFoundError, ValueError, AttributeError, KeyError):
        return None
    return head if seal == _hash(key, {"seal of": head}) else None


def _head_path(settings: Settings) -> Path:
    return settings.home / "access.head.json"


def _lock_path(settings: Settings) -> Path:
    return settings.home / "access.lock"
