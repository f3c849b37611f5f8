"""Audiences, proven before a run: a segment each, for a purpose, by a channel that fits."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from orchestration.transform.purposes import CHANNELS, CONSENTS_FILE, Purposes
from orchestration.transform.rule_files import REFERENCE, SegmentRuleError, csv_rows, nearest

AUDIENCES_FILE = REFERENCE / "audiences.csv"

COLUMNS = ("audience", "segment", "purpose", "channel", "owner", "description")


def check_audiences(
    segments: Mapping[str, str | None], purposes: Purposes, path: Path | None = None
) -> None:
    """Prove the audiences of a file, by default those of the seed.

    segments: name to the consent that its members have granted. Raises SegmentRuleError naming
    every problem with file, line, audience and column.
    """
    path = path or AUDIENCES_FILE
    problems: list[str] = []
    lines: dict[str, int] = {}
    for line, row in csv_rows(path, COLUMNS):
        place = f"{path}, line {line}, audience {row['audience'] or '(without name)'!r}"
        found = [*_cell_problems(row), *_contradictions(row, segments, purposes)]
        if row["audience"] in lines:
            found.append(
                f"column audience: line {lines[row['audience']]} has this name, too; an audience"
                " is declared once."
            )
        lines.setdefault(row["audience"], line)
        problems += [f"{place}, {problem}" for problem in found]
    if problems:
        raise SegmentRuleError(problems)


def _cell_problems(row: Mapping[str, str]) -> Iterator[str]:
    for name in COLUMNS:
        if not row[name]:
            yield f"column {name}: it is blank; every audience has one."
    extra = [name for name in row if name not in COLUMNS]
    if extra:
        yield f"column {extra[0]}: unknown; the columns are {', '.join(COLUMNS)}."


def _contradictions(
    row: Mapping[str, str], segments: Mapping[str, str | None], purposes: Purposes
) -> Iterator[str]:
    segment, purpose, channel = row["segment"], row["purpose"], row["channel"]
    if segment and segment not in segments:
        yield (
            f"column segment: there is no segment {segment!r}{nearest(segment, segments)};"
            " segment_rules.csv lists them."
        )
    if purpose and purpose not in purposes.consents:
        yield (
            f"column purpose: {purpose!r} is no purpose of consent"
            f"{nearest(purpose, purposes.consents)}; {CONSENTS_FILE.name} lists them."
        )
        return
    asked = segments.get(segment)
    if purpose and asked and asked != purpose:
        yield (
            f"column purpose: members of segment {segment!r} agreed to {asked}, which is no consent"
            f" to {purpose}; take a segment that asks for {purpose}, or for none."
        )
    if channel:
        yield from _channel_problems(channel, purpose, purposes.consents.get(purpose))


def _channel_problems(channel: str, purpose: str, fitting: Collection[str] | None) -> Iterator[str]:
    if channel not in CHANNELS:
        yield (
            f"column channel: {channel!r} is unknown{nearest(channel, CHANNELS)}; it may be"
            f" {' or '.join(CHANNELS)}."
        )
    elif fitting is not None and channel not in fitting:
        may = f"only {' or '.join(fitting)}" if fitting else "nobody is contacted for it"
        yield (
            f"column channel: {channel} does not fit purpose {purpose}: {may}"
            f" ({CONSENTS_FILE.name}, column channels)."
        )
