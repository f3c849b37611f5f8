"""The published intake contract, `docs/sources.md`, written from `FEEDS`.

`python -m orchestration.landing.contract` rewrites the file.
"""

from collections.abc import Iterable, Sequence

from orchestration.landing.column_types import expectation
from orchestration.landing.feeds import FEEDS, Column, ColumnType, Feed
from orchestration.landing.records import LINE_LIMIT
from orchestration.settings import PROJECT_ROOT

CONTRACT_PATH = PROJECT_ROOT / "docs" / "sources.md"

_INTRODUCTION = f"""\
# Sources

What the warehouse accepts. This page is generated from `orchestration/landing/feeds.py`
(`python -m orchestration.landing.contract`); a test keeps it current.

## How to deliver

Put files below `$WAREHOUSE_LANDING` as `<source>/<things>/<any name>`, for example
`crm/contacts/2026-01-31.csv`. Any feed, any number of files, any of these formats:

| format | file name | what it must be |
|---|---|---|
| CSV | `.csv`, `.tsv`, `.csv.gz` | UTF-8, header, delimiter `,` `;` tab or bar, RFC 4180 quotes |
| JSON lines | `.jsonl`, `.ndjson`, `.json`, `.jsonl.gz` | UTF-8, one flat object a line |
| Parquet | `.parquet` | flat columns of any type |

- A file is read when it is new or changed. The same file or the same row again adds nothing; a
  changed row is a new version; a file that is taken away leaves its rows in the warehouse.
- Column names are matched without regard to case. Only key columns are required. Other columns may
  be missing. Columns that are not listed here are not loaded, and a warning names them.
- Unknown is empty (or `null`). Values are kept exactly as they come; those of the types below must
  look as described, or the row is rejected.
- While a file is being written, name it `*.tmp`, `*.part` or `*.inprogress`, or begin its name with
  a dot, and rename it when it is complete.

## What happens to bad input

Every data line is either loaded or listed in `raw.rejects` with file, line, column, value and
reason: a line with too many or too few columns, a broken JSON line, a quote that is never closed,
bytes that are not UTF-8, an empty key, a value that does not fit its type, a line longer than
{LINE_LIMIT:,} bytes. A file is refused as a whole, and stops the run, when its header lacks a key
column or has a name twice, when it is empty, in another encoding than UTF-8, or damaged. A refused
file stays in `raw.files` with its message until it is replaced or removed.

## Types

| type | a value is |
|---|---|
"""

_KEY_NOTE = "Key"


def contract_text(feeds: Sequence[Feed] = FEEDS) -> str:
    """Return the intake contract as Markdown."""
    types = "".join(f"| {type_} | {expectation(type_)} |\n" for type_ in ColumnType)
    return _INTRODUCTION + types + "".join(_feed_lines(feeds))


def _feed_lines(feeds: Sequence[Feed]) -> Iterable[str]:
    for feed in feeds:
        yield f"\n## {feed.name}\n\n{feed.description}\n"
        keys = ", ".join(f"`{key}`" for key in feed.key)
        newest = (
            f"`{feed.cursor}` tells which version is newer."
            if feed.cursor
            else "Of two versions the one loaded later is newer."
        )
        yield f"Key: {keys}. {newest} Raw table: `raw.{feed.table}`.\n\n"
        yield "| column | type | personal data | meaning |\n|---|---|---|---|\n"
        for column in feed.columns:
            yield _column_line(feed, column)


def _column_line(feed: Feed, column: Column) -> str:
    key = f" {_KEY_NOTE}." if column.name in feed.key else ""
    description = column.description.replace("|", "\\|")
    return f"| `{column.name}` | {column.type} | {column.pii} | {description}{key} |\n"


def main() -> None:
    """Write `docs/sources.md`."""
    CONTRACT_PATH.parent.mkdir(exist_ok=True)
    CONTRACT_PATH.write_text(contract_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
