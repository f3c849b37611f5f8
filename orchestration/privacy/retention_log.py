"""What has expired, and what people let expire though it is much of a feed.

Runs write `retention_log.csv`: by which rule, as of which day, how many rows. A line is there
before its rows go, so a run that is killed in between leaves one twice and never none. People write
`retention_confirmations.csv`. Both say up to which day rows of a feed may go by an action: what is
older is no surprise any more, whichever file brings it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from orchestration.journal import Journal, shown, time_problem, written_time
from orchestration.privacy.retention_policy import Action, Rule
from orchestration.privacy.tombstones import PrivacyError
from orchestration.settings import Settings

COLUMNS = (
    "feed",
    "action",
    "policy",
    "as_of",
    "rows_before",
    "row_count",
    "decided_by",
    "decided_at",
    "reason",
)


@dataclass(frozen=True)
class Accepted:
    """What was accepted so far. applied: latest day as of which a run let rows go, None for none.

    limits: by feed and action, the first day that stays.
    """

    applied: date | None
    limits: Mapping[tuple[str, str], date]


def read_accepted(settings: Settings) -> Accepted:
    """Read both files. Raises PrivacyError as `Journal.read` does."""
    applied: list[date] = []
    limits: dict[tuple[str, str], date] = {}

    def judge(line: Mapping[str, str], *, by_run: bool) -> str:
        problem = _problem(line)
        if not problem:
            key = line["feed"], line["action"]
            limit = date.fromisoformat(line["rows_before"])
            limits[key] = max(limit, limits.get(key, limit))
            if by_run:
                applied.append(date.fromisoformat(line["as_of"]))
        return problem

    _journal(settings.retention_log).read(lambda line: judge(line, by_run=True))
    _journal(settings.retention_confirmations).read(lambda line: judge(line, by_run=False))
    return Accepted(max(applied, default=None), limits)


def add_line(
    path: Path, rule: Rule, day: date, limit: date, row_count: int, *, by: str, why: str
) -> None:
    """Note what goes by a rule, in the file of runs or in that of people. Raises PrivacyError."""
    line = {
        "feed": rule.feed,
        "action": str(rule.action),
        "policy": rule.told,
        "as_of": day.isoformat(),
        "rows_before": limit.isoformat(),
        "row_count": str(row_count),
        "decided_by": by.strip(),
        "decided_at": written_time(datetime.now(UTC)),
        "reason": why.strip(),
    }
    _journal(path).append(line, _problem, lambda: _problem(line))


def _journal(path: Path) -> Journal:
    return Journal(path, COLUMNS, PrivacyError, "Nothing was noted")


def _problem(line: Mapping[str, str]) -> str:
    if line["action"] not in list(Action):
        return f"action {shown(line['action'])} is unknown; expected {', '.join(Action)}"
    for column in ("feed", "decided_by", "reason"):
        if not line[column]:
            return f"{column} is missing; every line says which feed, who and why"
    for column in ("as_of", "rows_before"):
        try:
            date.fromisoformat(line[column])
        except ValueError:
            return f"{column} {shown(line[column])} is no day; write it like 2026-06-30"
    return time_problem("decided_at", line["decided_at"])
