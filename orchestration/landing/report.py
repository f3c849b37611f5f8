"""What a run of the landing says about itself."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a file in this run."""

    LOADED = "loaded"
    KNOWN = "known"  # unchanged since an earlier run, or the same content under another name
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"  # somebody decided that this content is wrong: nothing of it is in raw
    GONE = "gone"  # removed or changed between listing and reading
    UNSETTLED = "unsettled"  # incomplete and changed a moment ago: left for the next run


@dataclass(frozen=True)
class FileOutcome:
    """One file of the landing in this run.

    Counts are those of the file whenever it was read. is_read: whether this run read it.
    message: one sentence when it was refused, is withdrawn, gone or was left. seconds: wall time,
    shared out by size among files that were read together.
    """

    path: str
    feed: str
    outcome: Outcome
    is_read: bool
    size_bytes: int
    line_count: int = 0
    loaded_count: int = 0
    new_row_count: int = 0
    repeated_row_count: int = 0
    rejected_count: int = 0
    forgotten_count: int = 0
    expired_count: int = 0
    seconds: float = 0.0
    message: str | None = None


@dataclass(frozen=True)
class FeedTotals:
    """Sums over the files of one feed that this run read, and the rows that raw holds now.

    taken_out_row_count: rows that this run took out of raw before it read, see `withdrawals`.
    """

    files_seen: int
    files_read: int
    line_count: int
    loaded_count: int
    new_row_count: int
    repeated_row_count: int
    rejected_count: int
    forgotten_count: int
    raw_row_count: int
    taken_out_row_count: int
    seconds: float


@dataclass(frozen=True)
class LandingReport:
    """What one run of the landing did.

    refused: one sentence per file that cannot be loaded, also when it was refused in an earlier
    run and has not changed since. warnings: everything else that a person should look at. The
    counts are of the files that this run read. state_hash: see landing_state.
    """

    load_id: str
    files: tuple[FileOutcome, ...]
    feeds: dict[str, FeedTotals]
    warnings: tuple[str, ...]
    refused: tuple[str, ...]
    vanished_paths: tuple[str, ...]
    state_hash: str
    seconds: float

    @property
    def files_seen(self) -> int:
        """Files of feeds in the landing."""
        return len(self.files)

    @property
    def files_read(self) -> int:
        """Files that this run read."""
        return sum(file.is_read for file in self.files)

    @property
    def files_withdrawn(self) -> int:
        """Files of the landing that are left out because their content is withdrawn."""
        return sum(file.outcome is Outcome.WITHDRAWN for file in self.files)

    @property
    def line_count(self) -> int:
        """Data lines in the files that this run read."""
        return sum(file.line_count for file in self.files if file.is_read)

    @property
    def loaded_count(self) -> int:
        """Lines that are in raw now."""
        return sum(file.loaded_count for file in self.files if file.is_read)

    @property
    def new_row_count(self) -> int:
        """Rows that this run added to raw."""
        return sum(file.new_row_count for file in self.files if file.is_read)

    @property
    def repeated_row_count(self) -> int:
        """Lines that were in raw already."""
        return sum(file.repeated_row_count for file in self.files if file.is_read)

    @property
    def rejected_count(self) -> int:
        """Lines that went to raw.rejects."""
        return sum(file.rejected_count for file in self.files if file.is_read)

    @property
    def forgotten_count(self) -> int:
        """Lines that speak of people who were forgotten."""
        return sum(file.forgotten_count for file in self.files if file.is_read)
