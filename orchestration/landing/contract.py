"""The published intake contract, `docs/sources.md`, written from `FEEDS`.

`python -m orchestration.landing.contract` rewrites the file.
"""

from collections.abc import Iterable, Sequence

from orchestration.landing.column_types import expectation
from orchestration.landing.feeds import FEEDS, Column, ColumnType, Feed
from orchestration.landing.listing import SETTLED_SECONDS
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
| JSON | `.json`, `.json.gz` | UTF-8, one array of flat objects, or one object, RFC 8259 |
| Parquet | `.parquet` | flat columns of any type |

- A file is read when it is new or changed. The same file or the same row again adds nothing; a
  changed row is a new version; a file that is taken away leaves its rows in the warehouse.
- Column names are matched without regard to case. Only key columns are required. Other columns may
  be missing. Columns that are not listed here are not loaded; keep the files: as soon as the
  contract has such a column, the next run reads those that have it again.
- Unknown is empty (or `null`). Values are kept exactly as they come; those of the types below must
  look as described, or the row is rejected. A backslash is a character like any other.
- Numbers in JSON and Parquet are kept as DuckDB writes them: `1.50` becomes `1.5`. Send amounts as
  text where that matters.
- While a file is being written, name it `*.tmp`, `*.part` or `*.inprogress`, or begin its name with
  a dot, and rename it when it is complete. Without that, a file that changed less than
  {SETTLED_SECONDS} seconds ago and is not complete (no line break at the end, a Parquet file
  without its end, gzip or JSON that is cut off, nothing at all) is left for the next run, and so
  is one that changes while it is read. The sensor waits until every file is that old.

## What happens to bad input

Every data line is either loaded or listed in `raw.rejects` with file, line, column, value and
reason:

- too many or too few columns, another delimiter than the header's, a quote that is never closed or
  stands alone, a quoted value that goes over lines that look like records, a line that may be the
  rest of the line before;
- broken JSON, `NaN`, `Infinity`, a comma too many, JSON that is no object: it is valid JSON, but no
  record;
- bytes that are not UTF-8, NUL, a byte order mark inside, text that was encoded twice (`Ã¼`);
- an empty key, or one that names no record: `Total`, `NULL`, `n/a`, dashes, the name of the key
  column; a key of several words or a comment with nothing else in its line;
- a value that does not fit its type; `NULL` or `\\N` without quotes; a spreadsheet formula; a
  number with a point for thousands beside decimal commas;
- the header again, or one more line of it; a line longer than {LINE_LIMIT:,} bytes.

A file is refused as a whole, and stops the run, when its header lacks a key column (lines above
the header do that: the message says where the header seems to be) or has a name twice, when there
is another header further down, when most values are in quotation marks that CSV does not know
(`'a'`), when it is empty, in another encoding than UTF-8, damaged or cut off. A refused file stays
in `raw.files` with its message until it is replaced or removed, or the contract changes.

What no reader can tell is loaded: a file of text columns that was cut in its last value, the names
of two text columns swapped, an unknown second header without a blank line above it in a file of
nothing but text.

## When the columns change

One row a feed in `seeds/reference/feed_policies.csv` says what is done about a file whose columns
are not those that the feed had in the file read before:

- `on_added_column`: a column that the contract does not know. accept, warn or stop.
- `on_removed_column`: a column that the file before had and this one lacks; not in JSON, where an
  absent key is an empty value. accept, warn or stop.
- `on_renamed_column`: both at once, and the names are alike, or the new values look like those that
  raw has of the old column. warn or stop.
- `on_retyped_column`: most values of a column, and at least five, do not fit its type. warn or
  stop.

`accept` loads the file and notes the columns in `raw.files`; `warn` loads it and says what is
missing (lines with values of another type are rejected); `stop` refuses it. A changed policy is
applied to refused files by the next run. A word that is none of these, a feed that is misspelt,
twice or not there stops the run before anything is read.

The last column, `most_quarantined_share`, is about rows: those that were loaded but break a
critical rule of the gates are set aside while they are no larger share of a load (0.01: one in a
hundred), and the run goes on without them. With 0 the first one stops it. `warehouse quarantine
list` shows what is set aside.

## Personal data

`class` says how closely a value points at a person, `purpose` what it is kept for; both are
explained in [governance.md](governance.md). A column without a purpose is not loaded, as if the
file did not have it: it is empty in raw, and what landed before the purpose went is emptied by the
next run. A rejected line is shown whole, for whoever repairs it (`WAREHOUSE_KEEP_REJECTS_DAYS`).

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
        yield f"Key: {keys}. {newest} Raw table: `raw.{feed.table}`. Owner: {feed.owner}.\n\n"
        yield "| column | type | class | purpose | meaning |\n|---|---|---|---|---|\n"
        for column in feed.columns:
            yield _column_line(feed, column)


def _column_line(feed: Feed, column: Column) -> str:
    key = f" {_KEY_NOTE}." if column.name in feed.key else ""
    description = column.description.replace("|", "\\|")
    purposes = ", ".join(column.purposes) or "none: not loaded"
    return f"| `{column.name}` | {column.type} | {column.pii} | {purposes} | {description}{key} |\n"


def main() -> None:
    """Write `docs/sources.md`."""
    CONTRACT_PATH.parent.mkdir(exist_ok=True)
    CONTRACT_PATH.write_text(contract_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
