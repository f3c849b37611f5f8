"""What data of people is used for: purposes of consent, and purposes that segments serve."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.transform.rule_files import REFERENCE, SegmentRuleError, csv_rows, nearest

CONSENTS_FILE = REFERENCE / "consent_purposes.csv"
SERVED_FILE = REFERENCE / "segment_purposes.csv"

CHANNELS = ("email", "sms")
# Article 6 (1) of the GDPR, a to f.
LEGAL_BASES = (
    "consent",
    "contract",
    "legal_obligation",
    "vital_interests",
    "public_task",
    "legitimate_interest",
)

_CONSENT_COLUMNS = ("purpose", "meaning", "allowed_bases", "channels")
_SERVED_COLUMNS = ("purpose", "required_consent", "meaning")


@dataclass(frozen=True)
class Purposes:
    """consents: purpose of consent to the channels it may use; served: to the consent it needs."""

    consents: Mapping[str, tuple[str, ...]]
    served: Mapping[str, str | None] = field(default_factory=dict)


def declared_purposes(consents: Path | None = None, served: Path | None = None) -> Purposes:
    """Return the purposes of both files, by default the seeds.

    Raises SegmentRuleError naming every problem with file, line, purpose and column.
    """
    consents, served = consents or CONSENTS_FILE, served or SERVED_FILE
    by_consent: dict[str, tuple[str, ...]] = {}
    by_served: dict[str, str | None] = {}
    problems: list[str] = []
    for line, row in csv_rows(consents, _CONSENT_COLUMNS):
        place = f"{consents}, line {line}, purpose {row['purpose'] or '(without name)'!r}"
        problems += [f"{place}, {problem}" for problem in _consent_problems(row, by_consent)]
        by_consent[row["purpose"]] = _listed(row["channels"])
    for line, row in csv_rows(served, _SERVED_COLUMNS):
        place = f"{served}, line {line}, purpose {row['purpose'] or '(without name)'!r}"
        problems += [
            f"{place}, {problem}" for problem in _served_problems(row, by_consent, by_served)
        ]
        by_served[row["purpose"]] = row["required_consent"] or None
    if problems:
        raise SegmentRuleError(problems)
    return Purposes(by_consent, by_served)


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(cell.split("|")) if cell else ()


def _consent_problems(row: Mapping[str, str], before: Iterable[str]) -> Iterator[str]:
    yield from _name_problems(row["purpose"], before)
    if not row["allowed_bases"]:
        yield (
            "column allowed_bases: it is blank, so nobody could ever agree; write"
            f" {', '.join(LEGAL_BASES)}, with bars between."
        )
    yield from _unknown("allowed_bases", row["allowed_bases"], LEGAL_BASES)
    yield from _unknown("channels", row["channels"], CHANNELS)


def _served_problems(
    row: Mapping[str, str], consents: Iterable[str], before: Iterable[str]
) -> Iterator[str]:
    yield from _name_problems(row["purpose"], before)
    needed = row["required_consent"]
    if needed and needed not in consents:
        yield (
            f"column required_consent: {needed!r} is no purpose of consent"
            f"{nearest(needed, consents)}; {CONSENTS_FILE.name} lists them."
        )


def _name_problems(purpose: str, before: Iterable[str]) -> Iterator[str]:
    if not purpose:
        yield "column purpose: it is blank; every purpose has a name."
    elif purpose in before:
        yield "column purpose: it is there twice; write it once."


def _unknown(column: str, cell: str, known: tuple[str, ...]) -> Iterator[str]:
    for word in _listed(cell):
        if word not in known:
            yield (
                f"column {column}: {word!r} is unknown{nearest(word, known)}; it may be"
                f" {', '.join(known)}, with bars between several."
            )
