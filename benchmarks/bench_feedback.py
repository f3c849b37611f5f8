"""How often the published sentiment of a comment is what a person said of it.

    make bench-feedback COMMENTS=file.txt LAYOUT=lines
    make bench-feedback COMMENTS=file.csv MAP="comment=text label=stars" POSITIVE=4,5 NEGATIVE=1,2

The comments land as survey responses and go through the same dbt models as everything else; what is
counted is `sentiment` of the mart `surveys`. A comment is called positive when its sentiment is
`positive`, a compound score of at least the var `sentiment_cut`; whatever else it is, neutral,
negative or unknown, it is not. LAYOUT=lines: no header, a tab between comment (c1) and label (c2).
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import duckdb

from benchmarks.bench_identity import heading, row
from benchmarks.mapped import MappedFile, MappedFileError, build_marts, load_text, opened, parse_map
from orchestration.settings import PROJECT_ROOT
from orchestration.sql import literal, quoted

SENTIMENTS = ("positive", "neutral", "negative", "unknown")
POSITIVE = ("1", "true", "yes", "pos", "positive")
NEGATIVE = ("0", "-1", "false", "no", "neg", "negative")
# All responses are here whatever their day; none of them has one.
AS_OF = date(2000, 1, 1)


@dataclass(frozen=True)
class Counted:
    """Comments by what they are (labelled positive?) and the sentiment they were given.

    left_out: lines without comment or without a label that is asked for.
    """

    comments: Mapping[tuple[bool, str], int]
    left_out: int

    def of(self, *sentiments: str, label: bool | None = None) -> int:
        """Comments of these sentiments, of one label or of both."""
        return sum(
            count
            for (is_positive, sentiment), count in self.comments.items()
            if sentiment in sentiments and label in (None, is_positive)
        )

    @property
    def total(self) -> int:
        """All comments that count."""
        return self.of(*SENTIMENTS)

    @property
    def accuracy(self) -> float:
        """Share that is called positive and is, or is not called so and is not."""
        right = self.of("positive", label=True) + self.of(*SENTIMENTS[1:], label=False)
        return right / self.total

    @property
    def decided_accuracy(self) -> float | None:
        """Share of the right ones among those called positive or negative; None without any."""
        decided = self.of("positive", "negative")
        right = self.of("positive", label=True) + self.of("negative", label=False)
        return right / decided if decided else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Rate the file. Returns 0, or 2 for a file, map or label that cannot be used."""
    options = parsed(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="feedback-", dir=options.out))
    try:
        started = time.perf_counter()
        comments = work / "comments.parquet"
        read_comments(options, comments)
        counted = rate(comments, work)
        show(options.comments, counted, time.perf_counter() - started)
    except MappedFileError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--comments", type=Path, required=True, help="file with a label per comment"
    )
    parser.add_argument("--layout", choices=("csv", "lines"), default="csv")
    parser.add_argument("--map", default="", help="comment=theirs label=theirs")
    parser.add_argument("--positive", default="", help="labels that say positive, with commas")
    parser.add_argument("--negative", default="", help="labels that say not; others are left out")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    return parser.parse_args(arguments)


def read_comments(options: argparse.Namespace, target: Path) -> None:
    """Write comments and labels as Parquet (response_id, comment, is_positive), numbered.

    Raises MappedFileError for a file, a column or a label that cannot be used.
    """
    default = "comment=c1 label=c2" if options.layout == "lines" else "comment=comment label=label"
    mapping = parse_map(options.map or default)
    if set(mapping) != {"comment", "label"}:
        raise MappedFileError(
            f"The map fills {', '.join(sorted(mapping))}: say comment=<column> label=<column>."
        )
    path = options.comments
    with duckdb.connect() as connection:
        load_text(connection, MappedFile("surveys/responses", path, {}, layout=options.layout))
        theirs = [row[0] for row in connection.execute("describe file").fetchall()][:-1]
        for name in mapping.values():
            if name not in theirs:
                raise MappedFileError(f"{path} has no column {name!r}; it has {', '.join(theirs)}.")
        positive, negative = labels(options)
        label = f"lower(trim(cast({quoted(mapping['label'])} as varchar)))"
        comment = f"cast({quoted(mapping['comment'])} as varchar)"
        connection.execute(
            "create temp table labelled as select cast(_number as varchar) as response_id,"
            f" {comment} as comment, case when {label} in {listed(positive)} then true"
            f" when {label} in {listed(negative)} then false end as is_positive, {label} as label"
            " from file"
        )
        unread = connection.execute(
            "select response_id, label from labelled"
            " where is_positive is null and label <> ''"
            " order by cast(response_id as bigint) limit 1"
        ).fetchone()
        if unread and not (options.positive or options.negative):
            raise MappedFileError(
                f"{path}, row {unread[0]}: the label {unread[1]!r} is neither positive"
                f" ({', '.join(positive)}) nor negative ({', '.join(negative)}); say which labels"
                " are, for example POSITIVE=4,5 NEGATIVE=1,2."
            )
        usable = connection.execute("select count(is_positive) from labelled").fetchall()[0][0]
        if not usable:
            raise MappedFileError(f"{path} has no row with a label: there is nothing to measure.")
        connection.execute(
            "copy (select response_id, comment, is_positive from labelled)"
            f" to {literal(target)} (format parquet)"
        )


def labels(options: argparse.Namespace) -> tuple[Sequence[str], Sequence[str]]:
    """Return the labels that say positive and those that say negative, lower case."""
    positive, negative = (
        [label.strip().lower() for label in text.split(",") if label.strip()]
        for text in (options.positive, options.negative)
    )
    if bool(positive) != bool(negative):
        raise MappedFileError("Say both POSITIVE and NEGATIVE labels, or neither.")
    if twice := sorted(set(positive) & set(negative)):
        raise MappedFileError(f"The label {twice[0]!r} cannot be positive and negative.")
    return (positive, negative) if positive else (POSITIVE, NEGATIVE)


def listed(texts: Sequence[str]) -> str:
    """SQL of a list of texts."""
    return f"({', '.join(literal(text) for text in texts)})"


def rate(comments: Path, work: Path) -> Counted:
    """Land the comments as survey responses, build the mart, and hold it against the labels."""
    mapping = {"response_id": "response_id", "comment": "comment"}
    settings = build_marts(
        [MappedFile("surveys/responses", comments, mapping)], work, as_of=AS_OF, models=["surveys"]
    )
    with opened(settings) as connection:
        rows = connection.execute(
            "select labelled.is_positive, surveys.sentiment, count(*)"
            f" from read_parquet({literal(comments)}) as labelled"
            " inner join release_candidate.marts.surveys as surveys"
            " on surveys.response_key = 'surveys:' || labelled.response_id"
            " group by all order by all"
        ).fetchall()
    counts: dict[tuple[bool, str], int] = {}
    left_out = 0
    for is_positive, sentiment, count in rows:
        if is_positive is None or sentiment is None:
            left_out += count
        else:
            counts[is_positive, sentiment] = count
    counted = Counted(counts, left_out)
    if not counted.total:
        raise MappedFileError("No row has both a comment and a label: there is nothing to measure.")
    return counted


def show(path: Path, counted: Counted, seconds: float) -> None:
    """Print the table, as Markdown."""
    decided = counted.decided_accuracy
    unknown = counted.of("unknown") / counted.total
    print(f"\n{path.name}: {counted.total:,} comments, {counted.left_out:,} rows left out")
    versions = f"VADER {version('vaderSentiment')}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {versions}, {seconds:.1f} s\n")
    heading("labelled", *SENTIMENTS)
    for name, label in (("positive", True), ("not positive", False)):
        row(name, *(f"{counted.of(sentiment, label=label):,}" for sentiment in SENTIMENTS))
    print(f"\naccuracy, positive or not           {counted.accuracy:.4f}")
    if decided is not None:
        print(f"accuracy where it is one or other   {decided:.4f}")
    print(f"share that is unknown               {unknown:.4f}")


if __name__ == "__main__":
    sys.exit(main())
