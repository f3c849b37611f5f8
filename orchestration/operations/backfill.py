"""Releases of a range of days, in order, each as of its day.

On which day a landing file was delivered is not known in general, so each day is built from the
landing as it is: the as-of day moves, the evidence does not. The marts that remember
(`customer_history`, `customer_segment_memberships`) take each day up and forget nothing.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from orchestration.database import working_file
from orchestration.operations.ledger import Outcome, read_ledger
from orchestration.operations.status import read_status
from orchestration.provenance import provenance
from orchestration.release import current_release, read_manifest
from orchestration.settings import Settings


class BackfillError(Exception):
    """The range of days cannot be used; the message says why."""


@dataclass(frozen=True)
class Day:
    """A day of the range. is_done: it was released from the same inputs, and is not run again."""

    as_of: date
    is_done: bool


def plan(settings: Settings, first: date, last: date) -> list[Day]:
    """Return the days to release, in order; the last one is what readers see afterwards.

    When they see a later day than the last of the range now, that day comes again at the end. The
    last day always runs. Raises BackfillError for a range that is none, and ReleaseError when the
    current release cannot be read.
    """
    if last < first:
        raise BackfillError(f"--to {last} is before --from {first}.")
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    current = current_release(settings)
    if current is not None and (seen := read_manifest(current).as_of) > last:
        days.append(seen)
    done = _days_done(settings, set(days[:-1]))
    return [Day(day, day in done) for day in days]


def _days_done(settings: Settings, days: set[date]) -> set[date]:
    """Days that were released from what is there now: code, landed files, word of stewards.

    As far as the ledger remembers. None while the landing holds files that no run has read.
    """
    waiting = read_status(settings).waiting
    if not waiting.is_known or waiting.files or waiting.gone:
        return set()
    if not settings.working_database.exists():
        return set()
    decided = datetime.min.replace(tzinfo=UTC)
    for journal in (settings.decisions, settings.rectifications):
        if journal.exists():
            decided = max(decided, datetime.fromtimestamp(journal.stat().st_mtime, UTC))
    released = {
        (record.as_of, record.release.get("inputs"))
        for record in read_ledger(settings)[0]
        if record.outcome in (Outcome.RELEASED, Outcome.UNCHANGED)
        and record.began_at
        and record.began_at > decided
    }
    with working_file(settings).connect(read_only=True) as connection:
        return {
            day
            for day in days
            if any(as_of == day.isoformat() for as_of, _ in released)
            and (
                day.isoformat(),
                provenance(settings.model_copy(update={"as_of": day}), connection)["inputs"],
            )
            in released
        }
