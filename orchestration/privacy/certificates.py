"""What is kept of erasures: who is still to be forgotten, and certificates of those who were.

<home>/erasures/<erasure id>/plan.json         who, with everything that names them: only while
                                               it is under way, for its owner's eyes only
<home>/erasures/<erasure id>/tombstones.json   keyed hashes; stay
<home>/erasures/<erasure id>/certificate.json  what went where, when, and that a search found
                                               nothing; without personal data; stays
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.faults import write_whole
from orchestration.privacy.people import People
from orchestration.privacy.scanning import Scanner
from orchestration.privacy.tombstones import PrivacyError
from orchestration.settings import Settings

PLAN = "plan.json"


class Plan(BaseModel):
    """`plan.json`. The only file that names who is to be forgotten; gone when it is done."""

    erasure_id: str
    requested_at: datetime
    requested_by: str
    reason: str
    customer_count: int
    people: People
    requests: tuple[str, ...] = ()
    keyed_hashes: tuple[str, ...] = ()  # of people whom a restore knows by their tombstones only
    is_begun: bool = False
    rows: dict[str, dict[str, int]] = Field(default_factory=dict)
    releases: dict[str, str] = Field(default_factory=dict)
    decisions: int = 0
    exports: int = 0
    backups: tuple[str, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
    cpu_seconds: dict[str, float] = Field(default_factory=dict)


class Certificate(BaseModel):
    """`certificate.json`: proof of an erasure, without personal data.

    rows: what became of rows of `raw`, by feed. releases: old and new ids of releases that were
    written anew. scanned: what was searched after everything. seconds, cpu_seconds: of each step.
    tombstones_hash: of the sorted keyed hashes. backups_deleted: names of backups in whose place
    one without the person has come. previous: hash of the certificate before this one.
    certificate_hash: of all the others.
    """

    model_config = ConfigDict(frozen=True)

    erasure_id: str
    requested_at: datetime
    completed_at: datetime
    requested_by: str
    reason: str
    customer_count: int
    records_by_source: dict[str, int]
    values_shared_with_others: int
    rows: dict[str, dict[str, int]]
    releases: dict[str, str]
    rows_of_models: int
    decisions_removed: int
    files_masked: int
    files_removed: int
    backups_deleted: tuple[str, ...] = ()
    scanned: dict[str, int]
    found: int
    seconds: dict[str, float] = {}
    cpu_seconds: dict[str, float] = {}
    tombstone_count: int
    tombstones_hash: str
    previous: str | None
    certificate_hash: str = ""

    def sealed(self) -> "Certificate":
        """The certificate with its hash."""
        return self.model_copy(update={"certificate_hash": _digest(self.model_dump(mode="json"))})


def _digest(content: Mapping[str, Any]) -> str:
    """Hash of everything that a certificate says, whichever version of the code wrote it."""
    said = {name: value for name, value in content.items() if name != "certificate_hash"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def plan_erasure(
    settings: Settings,
    people: People,
    *,
    count: int,
    by: str,
    why: str,
    requests: Iterable[str] = (),
    keyed_hashes: Iterable[str] = (),
) -> Plan:
    """Decide that people are forgotten; the next run does it. Only for who holds the lock.

    count: how many customers they are. requests: keyed hashes of what it answers. keyed_hashes:
    tombstones by which rows are met beside what names the people. Raises PrivacyError when name or
    reason would keep them in the certificate.
    """
    scanner = Scanner(people.needles)
    for what, text in (("--by", by), ("--why", why)):
        if not text.strip():
            raise PrivacyError(f"{what} is empty; a certificate says who decided and why.")
        if scanner.is_in(text):
            raise PrivacyError(
                f"{what} names the person who is to be forgotten, and it is kept in the"
                " certificate; use the number of a case."
            )
    now = datetime.now(UTC)
    plan = Plan(
        erasure_id=f"e-{now:%Y%m%d}-{secrets.token_hex(4)}",
        requested_at=now,
        requested_by=by.strip(),
        reason=why.strip(),
        customer_count=count,
        requests=tuple(requests),
        keyed_hashes=tuple(keyed_hashes),
        people=people,
    )
    save_plan(settings, plan)
    return plan


def pending(settings: Settings) -> list[Plan]:
    """Return erasures that are not complete, the oldest first. Raises PrivacyError."""
    plans = []
    for path in sorted(settings.erasures.glob(f"*/{PLAN}")):
        try:
            plans.append(Plan.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise PrivacyError(
                f"{path} cannot be read ({type(error).__name__}): it is unknown who is to be "
                "forgotten. Ask for the erasure again, then remove this folder."
            ) from error
    return sorted(plans, key=lambda plan: plan.requested_at)


def certificates(settings: Settings) -> list[Certificate]:
    """Return the certificates, the oldest first. Raises PrivacyError when one is not as written."""
    found = []
    for path in sorted(settings.erasures.glob("*/certificate.json")):
        try:
            content = json.loads(path.read_bytes())
            certificate = Certificate.model_validate(content)
        except (OSError, ValueError) as error:
            raise PrivacyError(f"{path} cannot be read ({type(error).__name__}).") from error
        if _digest(content) != certificate.certificate_hash:
            raise PrivacyError(f"{path} is not as it was written: its hash differs.")
        found.append(certificate)
    found.sort(key=lambda certificate: certificate.completed_at)
    for before, after in zip([None, *found], found, strict=False):
        if after.previous != (before.certificate_hash if before else None):
            raise PrivacyError(
                f"The certificate before {after.erasure_id} is missing, or is another one."
            )
    return found


def hash_before(settings: Settings, plan: Plan) -> str | None:
    """Hash of the last certificate of another erasure, whether or not those before it are whole.

    That one was changed or lost is no reason not to forget somebody; `certificates` tells it.
    """
    found: list[tuple[str, str]] = []
    for path in settings.erasures.glob("*/certificate.json"):
        if path.parent.name != plan.erasure_id:
            try:
                content = json.loads(path.read_bytes())
                found.append((str(content["completed_at"]), str(content["certificate_hash"])))
            except (OSError, ValueError, KeyError):
                continue
    return max(found)[1] if found else None


@contextmanager
def timed(plan: Plan, step: str) -> Iterator[None]:
    """Add the wall and CPU time of a step to what the plan tells, without the steps within it.

    A step that was killed tells nothing.
    """
    began = time.perf_counter(), time.process_time()
    inner = sum(plan.seconds.values()), sum(plan.cpu_seconds.values())
    yield
    for told, clock, start, before in zip(
        (plan.seconds, plan.cpu_seconds),
        (time.perf_counter, time.process_time),
        began,
        inner,
        strict=True,
    ):
        within = sum(told.values()) - before
        told[step] = round(told.get(step, 0.0) + clock() - start - within, 3)


def certificate_path(settings: Settings, plan: Plan | Certificate) -> Path:
    """Where the certificate of an erasure is."""
    return settings.erasures / plan.erasure_id / "certificate.json"


def save_plan(settings: Settings, plan: Plan) -> None:
    """Write the plan for its owner's eyes only, in one step."""
    folder = settings.erasures / plan.erasure_id
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{PLAN}.tmp"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(plan.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / PLAN)


def as_written(certificate: Certificate) -> bytes:
    """The content of `certificate.json`."""
    return (certificate.model_dump_json(indent=1) + "\n").encode()


def keep_certificate(settings: Settings, plan: Plan, certificate: Certificate) -> None:
    """Write the certificate; then nothing names the person any more."""
    write_whole(certificate_path(settings, plan), as_written(certificate).decode())
    _shred(settings.erasures / plan.erasure_id / PLAN)


def _shred(path: Path) -> None:
    """Overwrite a file, then remove it: its blocks are the only ones that named the person last."""
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
