"""Rows of forgotten people: taken out of schema `raw`, and kept out of what lands.

Both ask the same question of a row, `tombstones.meets_sql`, so a landing after an erasure leaves
the same rows as an erasure after a landing. `raw.files` counts them: lines are loaded, rejected or
forgotten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import duckdb

from orchestration.landing.feeds import Feed
from orchestration.landing.quarantine import row_hash_sql
from orchestration.landing.sieve import Reject
from orchestration.operations.retention import FORGOTTEN as NO_LONGER_KEPT
from orchestration.privacy.tombstones import (
    Tombstones,
    anonymised_sql,
    mask_mentions,
    meets_sql,
    names_forgotten,
)
from orchestration.sql import literal, quoted

_PAGE = 5_000
_STAGE = "landing_stage"
_LISTED = "(select unnest($row_ids) as row_id, unnest($texts) as text)"


@dataclass(frozen=True)
class Erased:
    """What became of the rows of a feed: gone, without their person, only an address masked."""

    deleted: int = 0
    anonymised: int = 0
    masked: int = 0


def erase_raw(connection: duckdb.DuckDBPyConnection, feeds: Sequence[Feed]) -> dict[str, Erased]:
    """Take forgotten people out of `raw`: rows of every version, set-aside rows, rejected lines.

    Within the caller's transaction; the connection knows the tombstones. Safe to repeat. Returns by
    feed name, and for `rejects`, only what there was.
    """
    found: dict[str, Erased] = {}
    for feed in feeds:
        deleted = take_out(connection, "raw.quarantine", meets_in_quarantine(feed))
        anonymised = 0
        table = f"raw.{quoted(feed.table)}"
        if kept := anonymised_sql(feed):
            changed = f"select rowid as row_id, {kept} from {table} where {meets_sql(feed)}"
            anonymised, dropped = rewrite(connection, feed, table, changed)
            deleted += dropped
        else:
            deleted += take_out(connection, table, meets_sql(feed))
        masked = _mask_raw(connection, feed, table)
        erased = Erased(deleted, anonymised, masked)
        if erased != Erased():
            found[feed.name] = erased
    if rejects := _erase_rejects(connection, feeds):
        found["rejects"] = Erased(masked=rejects)
    return found


@dataclass(frozen=True)
class Forgetter:
    """What a landing asks to keep forgotten people out; see `orchestration.landing.load`."""

    tombstones: Tombstones

    def forget_staged(self, connection: duckdb.DuckDBPyConnection, feed: Feed) -> dict[int, int]:
        """Take them out of the staged rows; returns how many rows went, by file number.

        Facts that lose their person stay, and land as any row.
        """
        self.tombstones.enter(connection)
        for column, texts in mask_mentions(connection, feed, _STAGE, "misfit is null").items():
            connection.execute(
                f"update {_STAGE} set {quoted(column)} = masked.text from {_LISTED} as masked"
                f" where {_STAGE}.rowid = masked.row_id",
                {"row_ids": list(texts), "texts": list(texts.values())},
            )
            _hash_anew(connection, feed, list(texts))
        condition = f"misfit is null and {meets_sql(feed)}"
        if kept := anonymised_sql(feed):
            _anonymise_staged(connection, feed, kept, condition)
            return {}
        counted = connection.execute(
            f"select file_number, count(*) from {_STAGE} where {condition} group by file_number"
        ).fetchall()
        if counted:
            connection.execute(f"delete from {_STAGE} where {condition}")
        return dict(counted)

    def blank_rejects(
        self, connection: duckdb.DuckDBPyConnection, feed: Feed, rejects: Iterable[Reject]
    ) -> Iterable[Reject]:
        """Yield rejected lines, those that name one of them without what they say."""
        self.tombstones.enter(connection)
        remaining = iter(rejects)
        while page := list(islice(remaining, _PAGE)):
            yield from _blanked(connection, feed, page)


def _anonymise_staged(
    connection: duckdb.DuckDBPyConnection, feed: Feed, kept: str, condition: str
) -> None:
    connection.execute(
        "create or replace temp table landing_forgotten as"
        f" select rowid as row_id, {kept} from {_STAGE} where {condition}"
    )
    row_ids = connection.execute("select row_id from temp.landing_forgotten").fetchall()
    if row_ids:
        assigned = ", ".join(
            f"{quoted(column.name)} = forgotten.{quoted(column.name)}" for column in feed.columns
        )
        connection.execute(
            f"update {_STAGE} set {assigned} from temp.landing_forgotten as forgotten"
            f" where {_STAGE}.rowid = forgotten.row_id"
        )
        _hash_anew(connection, feed, [row_id for (row_id,) in row_ids])
    connection.execute("drop table temp.landing_forgotten")


def _blanked(
    connection: duckdb.DuckDBPyConnection, feed: Feed, page: Sequence[Reject]
) -> Iterable[Reject]:
    named = names_forgotten(connection, feed, [_said(one.line_text, one.value) for one in page])
    for position, reject in enumerate(page):
        if position in named:
            yield replace(reject, line_text="", column_name=None, value=None, reason=NO_LONGER_KEPT)
        else:
            yield reject


def _said(line_text: str, value: str | None) -> str:
    return f"{line_text} {value or ''}"


# --- raw ----------------------------------------------------------------------------------------


def meets_in_quarantine(feed: Feed) -> str:
    """SQL of whether a row of `raw.quarantine` is of the feed and meets a tombstone."""

    def text_of(column: str) -> str:
        return f"(row_values ->> {literal(column)})"

    return f"feed = {literal(feed.name)} and {meets_sql(feed, text_of)}"


def take_out(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    condition: str,
    counted_as: str = "forgotten_count",
) -> int:
    """Delete rows, and count them where the files of the manifest count theirs; returns how many.

    counted_as: column of `raw.files` to which they go from the loaded ones.
    """
    connection.execute(
        "create or replace temp table erased as"
        f" select rowid as row_id, _source_file, _load_id from {table} where {condition}"
    )
    count = _count_gone(connection, counted_as)
    if count:
        connection.execute(f"delete from {table} where rowid in (select row_id from temp.erased)")
    connection.execute("drop table temp.erased")
    return count


def _count_gone(connection: duckdb.DuckDBPyConnection, counted_as: str) -> int:
    connection.execute(
        f"""
        update raw.files
        set
            new_row_count = new_row_count - gone.row_count,
            loaded_count = loaded_count - gone.row_count,
            {counted_as} = {counted_as} + gone.row_count
        from (
            select _source_file, _load_id, count(*) as row_count from temp.erased group by all
        ) as gone
        where files.file_path = gone._source_file and files.load_id = gone._load_id
        """
    )
    row = connection.execute("select count(*) from temp.erased").fetchone()
    return int(row[0]) if row else 0


def rewrite(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    table: str,
    changed: str,
    counted_as: str = "forgotten_count",
) -> tuple[int, int]:
    """Replace rows by others with a hash of their own; returns how many, and how many were twice.

    changed: query of row_id and the columns of the feed. Versions of a fact that differed only in
    what is gone are one row now, for hashes in raw are unique. counted_as: as in `take_out`.
    """
    names = ", ".join(quoted(column.name) for column in feed.columns)
    connection.execute(
        f"""
        create or replace temp table rewritten as
        select
            changed.*, {row_hash_sql(feed)} as _row_hash,
            before._load_id, before._loaded_at, before._source_file
        from ({changed}) as changed
        inner join (select rowid as row_id, _load_id, _loaded_at, _source_file from {table})
            as before using (row_id)
        """
    )
    connection.execute(f"delete from {table} where rowid in (select row_id from temp.rewritten)")
    connection.execute(
        f"""
        create or replace temp table erased as
        select row_id, _source_file, _load_id from temp.rewritten
        where _row_hash in (select _row_hash from {table})
        union all
        select row_id, _source_file, _load_id from temp.rewritten
        where _row_hash not in (select _row_hash from {table})
        qualify row_number() over (
            partition by _row_hash order by _loaded_at, _source_file, row_id
        ) > 1
        """
    )
    dropped = _count_gone(connection, counted_as)
    row = connection.execute(
        f"insert into {table} ({names}, _load_id, _loaded_at, _source_file, _row_hash)"
        f" select {names}, _load_id, _loaded_at, _source_file, _row_hash from temp.rewritten"
        " where row_id not in (select row_id from temp.erased)"
    ).fetchone()
    connection.execute("drop table temp.rewritten; drop table temp.erased")
    return (int(row[0]) if row else 0), dropped


def _mask_raw(connection: duckdb.DuckDBPyConnection, feed: Feed, table: str) -> int:
    count = 0
    for column, texts in mask_mentions(connection, feed, table).items():
        others = ", ".join(quoted(other.name) for other in feed.columns if other.name != column)
        connection.execute(
            f"create or replace temp table masked as select * from {_LISTED}",
            {"row_ids": list(texts), "texts": list(texts.values())},
        )
        changed = (
            f"select masked.row_id, {others}, masked.text as {quoted(column)}"
            f" from {table} as landed inner join temp.masked on landed.rowid = masked.row_id"
        )
        masked, _ = rewrite(connection, feed, table, changed)
        connection.execute("drop table temp.masked")
        count += masked
    return count


def _erase_rejects(connection: duckdb.DuckDBPyConnection, feeds: Sequence[Feed]) -> int:
    count = 0
    for feed in feeds:
        lines = connection.execute(
            "select rowid, line_text, value from raw.rejects where feed = $feed order by rowid",
            {"feed": feed.name},
        ).fetchall()
        for start in range(0, len(lines), _PAGE):
            page = lines[start : start + _PAGE]
            texts = [_said(line_text, value) for _, line_text, value in page]
            named = names_forgotten(connection, feed, texts)
            if named:
                connection.execute(
                    "update raw.rejects set line_text = '', column_name = null, value = null,"
                    " reason = $reason where rowid in (select unnest($row_ids))",
                    {
                        "reason": NO_LONGER_KEPT,
                        "row_ids": [page[position][0] for position in sorted(named)],
                    },
                )
                count += len(named)
    return count


def _hash_anew(connection: duckdb.DuckDBPyConnection, feed: Feed, row_ids: Sequence[int]) -> None:
    connection.execute(
        f"update {_STAGE} set row_hash = {row_hash_sql(feed)}"
        " where rowid in (select unnest($row_ids))",
        {"row_ids": list(row_ids)},
    )
