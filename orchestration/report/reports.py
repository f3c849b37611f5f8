"""The report of a release: `report.json`, its numbers, and `report.html`, its page.

Both lie in the folder of the release, are sealed with it and are replaced with it when an erasure
writes the release anew. What only the run knew (gates, rejects, how fresh the feeds were) is taken
from the file before then; every figure of customers is asked of the marts again.
"""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.operations.ledger import FeedFreshness, RunRecord, read_ledger
from orchestration.release import Manifest, Release, ReleaseError
from orchestration.report.figures import Row, collect
from orchestration.settings import Settings
from orchestration.sql import rows

DATA = "report.json"
PAGE = "report.html"
# As the files of roles: figures for everybody who is in the group of the account.
_MODE = 0o640

# What the landing says of a line, without the value that it says it of. A text that a value brings
# with it can at most pick another of these sentences.
_REASONS = (
    (r"^the line has \d+ columns", "the line has other columns than the header"),
    ("^the line is not valid JSON", "the line is not valid JSON"),
    ("^the line is JSON but no object", "the line is JSON, but no object"),
    ("NUL character", "the value has a NUL character"),
    ("is empty; every row needs it$", "the key is empty"),
    ("may mean thousands", "the number may mean thousands or decimals"),
    ("names no record", "the line is a total, a header or a note"),
    (r"is no \w+ for \w+: expected", "the value is not of the type of the column"),
)
_OTHER_REASON = "another reason"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class Finding(_Facts):
    """A check that failed and stopped nothing. place: its table and column."""

    layer: str
    place: str
    severity: str
    row_count: int | None
    because: str
    fix: str | None
    is_overridden: bool


class Reject(_Facts):
    """How many lines of a feed were rejected for a reason, in all files that were ever landed."""

    feed: str
    column: str | None
    reason: str
    line_count: int


class Measure(_Facts):
    """How many customers of the release before matching moved, merged, split or withdrew."""

    measure: str
    counted: int
    out_of: int
    share: float


class Feed(_Facts):
    """How much of a feed has landed, and how new it is (UTC)."""

    feed: str
    row_count: int
    line_count: int
    rejected_count: int
    newest_file: datetime | None
    newest_record: datetime | None


class RunFacts(_Facts):
    """What the run that made a release knew, and no mart tells."""

    feeds: tuple[Feed, ...] = ()
    rejects: tuple[Reject, ...] = ()
    findings: tuple[Finding, ...] = ()
    identity: tuple[Measure, ...] = ()

    @property
    def line_count(self) -> int:
        """Lines of all files landed."""
        return sum(feed.line_count for feed in self.feeds)

    @property
    def rejected_count(self) -> int:
        """Lines that did not become rows."""
        return sum(reject.line_count for reject in self.rejects)


class Before(_Facts):
    """The release that was current before: its headline numbers."""

    release_id: str
    as_of: date
    headline: dict[str, Any]


class Report(_Facts):
    """Everything that the page shows. figures: rows by the key of their figure."""

    format_version: int = 1
    release_id: str
    as_of: date
    released_at: datetime
    content_hash: str
    rewritten: bool
    before: Before | None
    figures: dict[str, list[Row]]
    gates: tuple[dict[str, Any], ...]
    run: RunFacts


def read_report(folder: Path) -> Report | None:
    """Return the report in the folder of a release, or None when it was released without one.

    Raises ReleaseError when the file is no report.
    """
    path = folder / DATA
    try:
        return Report.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ReleaseError(f"{path} is no report of a release: {error}") from error


def write_report(
    connection: duckdb.DuckDBPyConnection,
    manifest: Manifest,
    folder: Path,
    *,
    run: RunFacts,
    before: Before | None,
) -> Report:
    """Ask the marts for every figure and write numbers and page into the folder of a release.

    connection: with the marts attached as `release`. Raises duckdb.Error when the marts are not
    those that the figures ask for.
    """
    from orchestration.report.page import page  # noqa: PLC0415 - 0.2 s for Altair

    connection.execute("use release")
    report = Report(
        release_id=manifest.release_id,
        as_of=manifest.as_of,
        released_at=manifest.released_at,
        content_hash=manifest.content_hash,
        rewritten=bool(manifest.erasures),
        before=before,
        figures=collect(connection, manifest.as_of),
        gates=tuple(_gate(gate) for gate in manifest.gates),
        run=run,
    )
    for name, text in ((DATA, report.model_dump_json(indent=1) + "\n"), (PAGE, page(report))):
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(_MODE)
    return report


def rewrite_report(
    connection: duckdb.DuckDBPyConnection, manifest: Manifest, folder: Path, before: Path
) -> bool:
    """Write the report of a release anew from its changed marts, if it had one.

    before: folder of the release as it was. Returns whether there is a report; one that the marts
    of older code cannot answer any more is left out rather than kept with who was forgotten in it.
    """
    was = read_report(before)
    if was is None:
        return False
    try:
        write_report(connection, manifest, folder, run=was.run, before=was.before)
    except (duckdb.BinderException, duckdb.CatalogException):
        return False
    return True


def headline_of(release: Release | None) -> Before | None:
    """Return the headline numbers of a release to compare the next one with."""
    report = read_report(release.path) if release else None
    if report is None:
        return None
    return Before(
        release_id=report.release_id,
        as_of=report.as_of,
        headline=next(iter(report.figures["headline"]), {}),
    )


def run_facts(
    connection: duckdb.DuckDBPyConnection, settings: Settings, record: RunRecord
) -> RunFacts:
    """Return what the run knows. connection: the working database; record: of the run."""
    feeds = record.feeds or next((run.feeds for run in read_ledger(settings)[0] if run.feeds), {})
    return RunFacts(
        feeds=tuple(_feeds(connection, feeds)),
        rejects=tuple(_rejects(connection)),
        findings=tuple(_findings(connection)),
        identity=tuple(
            Measure(
                measure=row["measure"],
                counted=row["counted"],
                out_of=row["out_of"],
                share=row["value"],
            )
            for row in rows(
                connection,
                "select measure, counted, out_of, value from identity.int_identity_measured"
                " where measure like '%_customers' and out_of > 0",
            )
        ),
    )


def _feeds(
    connection: duckdb.DuckDBPyConnection, feeds: dict[str, FeedFreshness]
) -> Iterator[Feed]:
    counts = {
        row["feed"]: row
        for row in rows(
            connection,
            "select feed, sum(line_count)::bigint as lines, sum(rejected_count)::bigint as rejected"
            " from raw.files where status = 'loaded' group by feed",
        )
    }
    for name, freshness in feeds.items():
        counted = counts.get(name, {"lines": 0, "rejected": 0})
        yield Feed(
            feed=name,
            row_count=freshness.rows,
            line_count=counted["lines"],
            rejected_count=counted["rejected"],
            newest_file=freshness.newest_file,
            newest_record=freshness.newest_record,
        )


def _rejects(connection: duckdb.DuckDBPyConnection) -> Iterator[Reject]:
    case = " ".join(
        f"when regexp_matches(reason, '{pattern}') then '{told}'" for pattern, told in _REASONS
    )
    for row in rows(
        connection,
        f"""
        select
            feed,
            column_name,
            case {case} else '{_OTHER_REASON}' end as told,
            count(*) as line_count
        from raw.rejects
        group by all
        order by line_count desc, feed, column_name nulls first, told
        """,
    ):
        yield Reject(
            feed=row["feed"],
            column=row["column_name"],
            reason=row["told"],
            line_count=row["line_count"],
        )


def _findings(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    for row in rows(
        connection,
        """
        select
            layer,
            table_name || coalesce('.' || column_name, '') as place,
            severity,
            unexpected_count,
            because,
            fix,
            overridden_by is not null as is_overridden
        from quality.gate_results
        where not is_success
        order by severity, array_position(['landing', 'staging', 'identity', 'marts'], layer), place
        """,
    ):
        yield Finding(
            layer=row["layer"],
            place=row["place"],
            severity=row["severity"],
            row_count=row["unexpected_count"],
            because=row["because"] or "",
            fix=row["fix"],
            is_overridden=row["is_overridden"],
        )


def _gate(gate: dict[str, object]) -> dict[str, Any]:
    """A gate without who overrode what: names of people who work here are not the report's."""
    overrides = gate.get("overrides")
    return {name: value for name, value in gate.items() if name != "overrides"} | {
        "overridden_count": len(overrides) if isinstance(overrides, list | tuple) else 0
    }
