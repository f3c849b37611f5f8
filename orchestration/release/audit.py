"""What made a release: policies, parameters, decisions and erasures, each by a digest.

The manifest keeps it, so what a release rested on can be told when its files have long changed; the
code, the landed data and the as-of day are in its `provenance`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestration.settings import PROJECT_ROOT, Settings

REFERENCE = PROJECT_ROOT / "seeds" / "reference"
_POLICIES = (
    "audiences.csv",
    "consent_purposes.csv",
    "feed_policies.csv",
    "release_bands.csv",
    "retention_policy.csv",
    "segment_purposes.csv",
    "suppression_reasons.csv",
)
PENDING = "pending"


class Journal(BaseModel):
    """A file of what people decided. line_count: without its header. sha256: of its bytes."""

    model_config = ConfigDict(frozen=True)

    line_count: int
    sha256: str


class Audit(BaseModel):
    """The audit trail of a release.

    policies, parameters: SHA-256 of each file, by its path in the project. decisions: by what was
    decided, as the files stood when the release was made; what was decided while its run was on may
    count from the next one on. erasures: hash of the certificate by the id of each one in force, or
    `pending`.
    """

    model_config = ConfigDict(frozen=True)

    policies: dict[str, str] = {}
    parameters: dict[str, str] = {}
    decisions: dict[str, Journal] = {}
    erasures: dict[str, str] = {}


def take_audit(settings: Settings) -> Audit:
    """Return what a release rests on that is made now."""
    governance = sorted((PROJECT_ROOT / "governance").glob("*.yml"))
    reference = sorted(REFERENCE.glob("*.csv"))
    return Audit(
        policies=_digests([*governance, *(path for path in reference if path.name in _POLICIES)]),
        parameters=_digests([path for path in reference if path.name not in _POLICIES]),
        decisions={
            what: _journal(path) for what, path in settings.journals.items() if path.exists()
        },
        erasures={
            path.parent.name: _certificate_hash(path.with_name("certificate.json"))
            for path in sorted(settings.erasures.glob("*/tombstones.json"))
        },
    )


def differences(before: Audit, after: Audit) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and what became of everything in which two audit trails differ."""
    for kind in Audit.model_fields:
        old: Mapping[str, object] = getattr(before, kind)
        new: Mapping[str, object] = getattr(after, kind)
        for name in sorted({*old, *new}):
            was, is_now = old.get(name), new.get(name)
            if was == is_now:
                continue
            if isinstance(was, Journal) and isinstance(is_now, Journal):
                yield kind, name, f"{was.line_count:,} lines, then {is_now.line_count:,}"
            else:
                yield kind, name, "changed" if was and is_now else "new" if is_now else "gone"


def _digests(paths: list[Path]) -> dict[str, str]:
    return {
        path.relative_to(PROJECT_ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def _journal(path: Path) -> Journal:
    content = path.read_bytes()
    lines = [line for line in content.splitlines() if line.strip()]
    return Journal(line_count=max(len(lines) - 1, 0), sha256=hashlib.sha256(content).hexdigest())


def _certificate_hash(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["certificate_hash"])
    except FileNotFoundError:
        return PENDING
