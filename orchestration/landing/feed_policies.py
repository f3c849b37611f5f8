"""What is done about a feed's files and rows that are not as expected: one row a feed.

An analyst edits the rows in `seeds/reference/feed_policies.csv`: an action for each kind of schema
drift (`schema_drift`), and how many rows the gates may set aside (`quarantine`).
"""

import csv
import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from orchestration.landing.feeds import Feed
from orchestration.landing.listing import LandingError
from orchestration.settings import PROJECT_ROOT

POLICIES_FILE = PROJECT_ROOT / "seeds" / "reference" / "feed_policies.csv"


class Action(StrEnum):
    """What is done about a file with one kind of drift."""

    ACCEPT = "accept"  # loaded, noted in raw.files, no warning
    WARN = "warn"  # loaded, and a sentence says what was not
    STOP = "stop"  # refused, so that the landing gate stops the run


ALLOWED: dict[str, tuple[Action, ...]] = {
    "on_added_column": (Action.ACCEPT, Action.WARN, Action.STOP),
    "on_removed_column": (Action.ACCEPT, Action.WARN, Action.STOP),
    # Values that are lost with nobody told are what this file is for.
    "on_renamed_column": (Action.WARN, Action.STOP),
    "on_retyped_column": (Action.WARN, Action.STOP),
}


SHARE = "most_quarantined_share"

_SHARE = re.compile(r"0(\.\d+)?|1(\.0+)?")


@dataclass(frozen=True)
class FeedPolicy:
    """One row of the policy file: the action for each kind of drift, and how many rows may go.

    most_quarantined_share: 0 to 1 of the rows of a load; when rows that break a critical rule are
    no more, they are set aside and the run goes on; with 0 the first one stops it.
    """

    on_added_column: Action = Action.WARN
    on_removed_column: Action = Action.WARN
    on_renamed_column: Action = Action.STOP
    on_retyped_column: Action = Action.STOP
    most_quarantined_share: float = 0.0


class FeedPolicyError(LandingError):
    """The policy file cannot be used; one sentence a problem with file, line, value, remedy."""


def read_policies(feeds: Sequence[Feed], path: Path = POLICIES_FILE) -> dict[str, FeedPolicy]:
    """Return the policy of each feed by its name. Raises FeedPolicyError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FeedPolicyError(
            f"The feed policies {path} cannot be read: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise FeedPolicyError(
            f"The feed policies {path} are not UTF-8; save them as UTF-8."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    expected = ["feed", *ALLOWED, SHARE]
    if sorted(header) != sorted(expected):
        raise FeedPolicyError(
            f"{path}, line 1: the columns are {', '.join(header) or 'none'};"
            f" expected {', '.join(expected)}."
        )
    names = [feed.name for feed in feeds]
    policies: dict[str, FeedPolicy] = {}
    problems: list[str] = []
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        place = f"{path}, line {reader.line_num}"
        if len(values) != len(header):
            problems.append(f"{place}: {len(values)} values, the header has {len(header)}.")
            continue
        row = {name: value.strip() for name, value in zip(header, values, strict=True)}
        name, share = row.pop("feed"), row.pop(SHARE)
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]}" if close else f"the feeds are {', '.join(names)}"
            problems.append(f"{place}, feed: {name!r} is no feed; {hint}?")
        elif name in policies:
            problems.append(f"{place}, feed: {name!r} has a row already; keep one of them.")
        else:
            problems += [
                f"{place}, {column}: {value!r} is no action; allowed are"
                f" {', '.join(ALLOWED[column])}."
                for column, value in row.items()
                if value not in ALLOWED[column]
            ]
            if not _SHARE.fullmatch(share):
                problems.append(
                    f"{place}, {SHARE}: {share!r} is no share; write a number from 0 to 1, for"
                    " example 0.01."
                )
                share = "0"
            policies[name] = FeedPolicy(
                most_quarantined_share=float(share),
                **{
                    column: Action(value) if value in ALLOWED[column] else Action.STOP
                    for column, value in row.items()
                },
            )
    problems += [
        f"{path}: the feed {name} has no row; add one, for example"
        f" {name},{','.join(str(getattr(FeedPolicy(), part.name)) for part in fields(FeedPolicy))}."
        for name in names
        if name not in policies and not any(f"{name!r}" in problem for problem in problems)
    ]
    if problems:
        raise FeedPolicyError("\n".join(problems))
    return policies


def remedy(feed: Feed, column: str) -> str:
    """Say which choice of a policy would load a file that was refused for a kind of drift."""
    choices = " or ".join(action for action in ALLOWED[column] if action is not Action.STOP)
    return f"set {column} of {feed.name} to {choices} in seeds/reference/feed_policies.csv"
