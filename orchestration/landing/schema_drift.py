"""Schema drift: a file whose columns are not those that its feed had, and what is done about it.

What is done is an analyst's choice (`feed_policies`). Four kinds of drift are told apart, each
against the contract and the file of the feed that was read before: a column that the contract does
not know (added); one that the file before had and this one lacks (removed); both at once, and the
new one has a similar name or values that look like those that raw has of the old one (renamed); a
column most of whose values do not fit its type (retyped).
"""

import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, cast

from orchestration.landing.feed_policies import Action, FeedPolicy, remedy
from orchestration.landing.feeds import Feed
from orchestration.landing.listing import Format, LandedFile
from orchestration.landing.readers import (
    Columns,
    CrAsLf,
    RefusedError,
    Scan,
    decompressed,
    opened,
    skip_bom,
)
from orchestration.landing.records import csv_records, numbered_lines

_SAMPLE = 200
"""Records of a file that are looked at to recognise a column by its values."""

_FEWEST_VALUES = 5
"""With fewer values nothing is said about a column: three wrong dates are typing errors."""

_GENERAL_WORDS = frozenset(
    ("address", "code", "date", "id", "name", "nr", "no", "number", "text", "time", "value")
)
"""Words that a source puts behind a name without meaning anything else by it."""


@dataclass
class Drift:
    """What is to be said about a file that is loaded in spite of it.

    columns: sentences about its columns. retyped: about their types, known when it is staged.
    accepted: columns that the contract does not know and that nobody is told of.
    """

    columns: list[str] = field(default_factory=list)
    retyped: list[str] = field(default_factory=list)
    accepted: tuple[str, ...] = ()

    @property
    def told(self) -> list[str]:
        """All sentences."""
        return [*self.columns, *self.retyped]


def judge_columns(
    file: LandedFile,
    found: Scan,
    columns: Columns,
    policy: FeedPolicy,
    *,
    before: frozenset[str] | None,
    known_values: Callable[[str], list[str]],
) -> Drift:
    """Compare the columns of a file with those of the file before it.

    before: contract columns that the file before had; None when there is none. known_values: some
    values that raw has of a contract column. Raises RefusedError when the policy says stop.
    """
    drift = Drift()
    gone = [name for name in columns.missing if before is None or name in before]
    # A repeated spelling is an extra column too, but a name that is known is no new one.
    new = [name for name in columns.extra if name in found.names]
    for old, fresh, why in _renamed(file, found, gone, new, known_values):
        gone.remove(old)
        new.remove(fresh)
        told = f"`{old}` is gone and `{fresh}` is new; {why}, so it looks like another name of it"
        if policy.on_renamed_column is Action.STOP:
            raise RefusedError(
                f"{told}; ask the source for the old name, take the new one into the contract"
                f" (orchestration/landing/feeds.py), or {remedy(file.feed, 'on_renamed_column')}"
            )
        drift.columns.append(f"{file.name}: {told}; `{old}` is empty in what was loaded.")
    # In JSON lines a key that is not there is how nothing is written.
    if before is not None and gone and file.format is not Format.JSONL:
        told = f"{_listed(gone)} {_is_are(gone)} gone, which the file before had"
        if policy.on_removed_column is Action.STOP:
            raise RefusedError(
                f"{told}; ask the source for {'it' if len(gone) == 1 else 'them'},"
                f" or {remedy(file.feed, 'on_removed_column')}"
            )
        if policy.on_removed_column is Action.WARN:
            drift.columns.append(f"{file.name}: {told}; what was loaded is empty there.")
    unknown = [name for name in columns.extra if name in new or name not in found.names]
    if unknown:
        told = (
            f"the column{'s' if len(unknown) > 1 else ''} {', '.join(unknown)},"
            " which the contract does not know"
        )
        if policy.on_added_column is Action.STOP:
            raise RefusedError(
                f"it has {told}; add it to the feed in orchestration/landing/feeds.py,"
                f" or {remedy(file.feed, 'on_added_column')}"
            )
        if policy.on_added_column is Action.WARN:
            drift.columns.append(
                f"{file.name} has {told} and which was not loaded; add it to the feed, and the"
                " file is read again, or stop sending it"
            )
        else:
            drift.accepted = tuple(unknown)
    return drift


def retyped_reason(feed: Feed, column: str, misfit_count: int, value_count: int) -> str:
    """Say that a column has another type than the contract says; continues a file's name."""
    kind = next(known.type for known in feed.columns if known.name == column)
    return (
        f"{misfit_count:,} of {value_count:,} values of `{column}` are no {kind}, so the column"
        " has another type now"
    )


def retyped_remedy(feed: Feed) -> str:
    """Say what to do about a file that was refused for a retyped column."""
    return (
        "ask the source for the old type, or"
        f" {remedy(feed, 'on_retyped_column')}, which rejects the lines one by one"
    )


def is_retyped(misfit_count: int, value_count: int) -> bool:
    """Tell whether so many misfits among the values of a column are a change of its type."""
    return misfit_count >= _FEWEST_VALUES and misfit_count * 2 > value_count


def similar_name(name: str, others: Iterable[str]) -> str | None:
    """Return the one that may be another spelling of a name.

    For `email` these are `e_mail`, `mail`, `customer_email`, `email_address`, not `email_opt_in`.
    """
    parts = re.findall(r"[a-z0-9]+", name.lower())
    plain = "".join(parts)
    best, best_ratio = None, 0.8
    for other in others:
        words = re.findall(r"[a-z0-9]+", other.lower())
        joined = "".join(words)
        if not joined or not plain:
            continue
        ratio = difflib.SequenceMatcher(None, plain, joined).ratio()
        shorter = words[:-1] if words[-1] in _GENERAL_WORDS else words
        if shorter[-len(parts) :] == parts:
            ratio = max(ratio, 0.99)
        if ratio > best_ratio:
            best, best_ratio = other, ratio
    return best


# --- renamed -----------------------------------------------------------------------------------


def _renamed(
    file: LandedFile,
    found: Scan,
    gone: Sequence[str],
    new: Sequence[str],
    known_values: Callable[[str], list[str]],
) -> list[tuple[str, str, str]]:
    """Return (old name, new name, why), each name once; names say more than values."""
    pairs: list[tuple[str, str, str]] = []
    left_old, left_new = list(gone), list(new)
    for old in gone:
        if fresh := similar_name(old, left_new):
            pairs.append((old, fresh, "the names are alike"))
            left_old.remove(old)
            left_new.remove(fresh)
    if not left_old or not left_new:
        return pairs
    sampled: Mapping[str, list[str]] | None = None
    for old in left_old:
        known = known_values(old)
        if len(known) < _FEWEST_VALUES:
            continue
        if sampled is None:
            sampled = _sample(file, found, left_new)
        scores = {fresh: _likeness(sampled[fresh], known) for fresh in left_new}
        fresh = max(left_new, key=lambda name: scores[name], default=None)
        if fresh is not None and scores[fresh] > 0:
            pairs.append((old, fresh, "its values look like those it had"))
            left_new.remove(fresh)
    return pairs


def _likeness(values: Sequence[str], known: Sequence[str]) -> float:
    """Return how much values look like known ones, 0 when not enough to say so.

    Either a third of them occur among the known ones, or they are written alike, as e-mail
    addresses or dates are; plain words and plain numbers are written like any others.
    """
    if len(values) < _FEWEST_VALUES:
        return 0.0
    same = sum(value in set(known) for value in set(values)) / len(set(values))
    if same >= 1 / 3:
        return 1 + same
    shapes, known_shapes = _shapes(values), _shapes(known)
    alike = sum(
        min(share, known_shapes[shape])
        for shape, share in shapes.items()
        if not re.fullmatch(r"[a ]*|0", shape)
    )
    return alike if alike >= 0.7 else 0.0


def _shapes(values: Sequence[str]) -> Counter[str]:
    shapes: Counter[str] = Counter()
    for value in values:
        text = re.sub(r"[^\W\d_]+", "a", value.strip()[:200])
        shape = re.sub(r"\d+", "0", text)
        # first.last@host and first@host are both addresses
        shape = re.sub(r"[a0]([._+-][a0]|[a0])*(?=@)", "a", shape)
        shapes[re.sub(r"@[a0]([.-]?[a0])*$", "@a", shape)] += 1 / len(values)  # type: ignore[assignment]
    return shapes


def _sample(file: LandedFile, found: Scan, names: Sequence[str]) -> dict[str, list[str]]:
    """Return values of some columns in the first records of a file, without empty ones."""
    values: dict[str, list[str]] = {name: [] for name in names}
    for record in islice(records_of(file, found), _SAMPLE):
        for name in names:
            value = record.get(name)
            if value is not None and str(value).strip():
                values[name].append(str(value))
    return values


def records_of(file: LandedFile, found: Scan) -> Iterator[Mapping[str, object]]:
    """Yield the records of a file by the names in it; what is no record is passed over."""
    if file.format is Format.PARQUET:
        import pyarrow.parquet as pq  # noqa: PLC0415 - 0.2 s, and hardly ever asked for

        for batch in pq.ParquetFile(file.path).iter_batches(_SAMPLE):
            yield from batch.to_pylist()
        return
    with opened(file) as raw:
        stream = decompressed(raw) if file.is_gzipped else raw
        if found.is_cr_only:
            stream = cast(BinaryIO, io.BufferedReader(CrAsLf(stream)))
        skip_bom(stream)
        if file.format is Format.JSONL:
            for _, line, _ in numbered_lines(stream):
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(value, dict):
                    yield value
            return
        records = csv_records(stream, found.delimiter, len(found.names))
        next(records, None)
        for record in records:
            if not record.problem:
                texts = [text.decode("utf-8", "replace") for text in record.fields(found.delimiter)]
                yield dict(zip(found.names, texts, strict=False))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _is_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
