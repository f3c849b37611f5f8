"""Tombstones: by which a forgotten person is known again, and nothing else of them is.

A tombstone is a keyed hash of an identifier. What lands is hashed the same way, and a row that
meets a tombstone does not land; a fact worth keeping lands without its person. The key is made with
the first erasure. Without it the hashes say nothing, not even to somebody who tries every phone
number there is; who loses it must expect that files which land anew bring people back, so a run
without it is refused.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration import keys
from orchestration.faults import write_whole
from orchestration.journal import Journal, shown, time_problem, written_time
from orchestration.keys import BadKeyError
from orchestration.landing.feeds import Feed
from orchestration.privacy.identifiers import RULES, VALUES, identifier_sql, kept_sql, keyed_sql
from orchestration.settings import Settings
from orchestration.sql import literal, quoted

FORGOTTEN = "[forgotten]"
"""What stands in a text where an address of a forgotten person stood."""

_LIFTED_COLUMNS = ("keyed_hash", "decided_by", "decided_at", "reason")
# What may be an e-mail or a phone number within a text or an address of a page.
_MENTION = r"[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+|[+(]?[0-9][0-9 ()/.-]{6,}[0-9]"


class PrivacyError(Exception):
    """A request, a key or a file of an erasure cannot be used; what, where and what to do."""


class Stones(BaseModel):
    """`tombstones.json` of an erasure.

    key_check: tells whether a key is the one that made them. requests: keyed hashes of the ids of
    the requests that it answered.
    """

    model_config = ConfigDict(frozen=True)

    erasure_id: str
    made_at: datetime
    key_check: str
    keyed_hashes: tuple[str, ...]
    requests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tombstones:
    """The tombstones in force, and the key that makes more; empty before the first erasure."""

    key: bytes
    keyed_hashes: frozenset[str]

    def __bool__(self) -> bool:
        """Whether anybody has been forgotten."""
        return bool(self.keyed_hashes)

    def enter(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make them known to a connection, for `meets_sql` and `kept_sql`; in its memory only."""
        connection.execute(f"set variable erasure_key = unhex({literal(self.key.hex())})")
        connection.execute("create or replace temp table tombstones (keyed_hash varchar)")
        if self.keyed_hashes:
            connection.execute(
                "insert into temp.tombstones select unnest($hashes)",
                {"hashes": sorted(self.keyed_hashes)},
            )


def read_tombstones(settings: Settings) -> Tombstones:
    """Return the tombstones of every erasure, without those that were lifted.

    Raises PrivacyError when a file cannot be read, or the key is missing or another one.
    """
    stones = [_read_stones(path) for path in sorted(settings.erasures.glob("*/tombstones.json"))]
    if not stones:
        return Tombstones(b"", frozenset())
    key = _read_key(settings)
    for one in stones:
        if one.key_check != _check_of(key):
            raise PrivacyError(
                f"{settings.erasure_key} is not the key by which {one.erasure_id} was made: people "
                "who were forgotten could come back. Bring the right key back."
            )
    made_at = {
        keyed_hash: one.made_at
        for one in sorted(stones, key=lambda one: one.made_at)
        for keyed_hash in one.keyed_hashes
    }
    lifted_at = _lifted(settings)
    in_force = (
        keyed_hash
        for keyed_hash, made in made_at.items()
        if keyed_hash not in lifted_at or lifted_at[keyed_hash] < made
    )
    return Tombstones(key, frozenset(in_force))


def erasure_key(settings: Settings) -> bytes:
    """Return the key; makes one, readable by its owner only, when nobody was ever forgotten."""
    try:
        return keys.erasure_key(settings)
    except BadKeyError as error:
        raise PrivacyError(str(error)) from error


def requests_done(settings: Settings) -> set[str]:
    """Return the keyed hashes of the requests that were answered. Raises PrivacyError."""
    return {
        request
        for path in settings.erasures.glob("*/tombstones.json")
        for request in _read_stones(path).requests
    }


def keep_stones(
    settings: Settings,
    erasure_id: str,
    made_at: datetime,
    key: bytes,
    *,
    identifiers: Iterable[str],
    requests: Iterable[str] = (),
) -> None:
    """Write the tombstones of an erasure, at once and for good."""
    stones = Stones(
        erasure_id=erasure_id,
        made_at=made_at,
        key_check=_check_of(key),
        keyed_hashes=tuple(sorted({keyed(key, identifier) for identifier in identifiers})),
        requests=tuple(requests),
    )
    write_whole(
        settings.erasures / erasure_id / "tombstones.json", stones.model_dump_json(indent=1) + "\n"
    )


def keyed(key: bytes, identifier: str) -> str:
    """The keyed hash of an identifier, as `keyed_sql` makes it."""
    return hashlib.sha256(key + identifier.encode()).hexdigest()[:32]


def lift(settings: Settings, keyed_hashes: Iterable[str], *, by: str, why: str) -> None:
    """Let somebody be known again, from the next landing on. Raises PrivacyError."""
    journal = _lifted_journal(settings)
    for keyed_hash in keyed_hashes:
        line = {
            "keyed_hash": keyed_hash,
            "decided_by": by.strip(),
            "decided_at": written_time(datetime.now(UTC)),
            "reason": why.strip(),
        }
        journal.append(line, _lifted_problem, lambda line=line: _lifted_problem(line))  # type: ignore[misc]


# --- what meets a tombstone ---------------------------------------------------------------------


def meets_sql(feed: Feed, text_of: Callable[[str], str] = quoted) -> str:
    """SQL of whether a row of the feed names somebody who was forgotten; never NULL.

    text_of: how to read a column. The connection must know the tombstones.
    """
    asked = [
        f"{keyed_sql(identifier_sql(kind, text_of(column)))}"
        " in (select keyed_hash from temp.tombstones)"
        for column, kind in RULES[feed.name].identifiers.items()
    ]
    return f"coalesce({' or '.join(f'coalesce({one}, false)' for one in asked)}, false)"


def mask_mentions(
    connection: duckdb.DuckDBPyConnection, feed: Feed, table: str, where: str = "true"
) -> dict[str, dict[int, str]]:
    """Find free texts of a table in which a tombstoned address stands; returns them masked.

    table: with the columns of the feed. Returns by column: rowid to the text without the address.
    """
    found: dict[str, dict[int, str]] = {}
    for column in RULES[feed.name].mentions:
        name = quoted(column)
        mentioned = connection.execute(
            f"""
            with mentions as (
                select
                    rowid as row_id,
                    {name} as text,
                    unnest(regexp_extract_all({name}, {literal(_MENTION)})) as mention
                from {table}
                where {where} and regexp_matches({name}, {literal(_MENTION)})
            )
            select row_id, text, list(distinct mention) from mentions
            where {_is_tombstoned("replace(mention, '%40', '@')")}
            group by row_id, text
            """
        ).fetchall()
        for row_id, text, mentions in mentioned:
            for mention in sorted(mentions, key=len, reverse=True):
                text = text.replace(mention, FORGOTTEN)  # noqa: PLW2901
            found.setdefault(column, {})[row_id] = text
    return found


def names_forgotten(
    connection: duckdb.DuckDBPyConnection, feed: Feed, texts: list[str]
) -> set[int]:
    """Tell which of some lines of a feed's files name somebody who was forgotten, by position.

    Any word of a line may be any identifier of its feed: nobody knows which column it was.
    """
    kinds = dict.fromkeys([*RULES[feed.name].identifiers.values(), *VALUES])
    asked = " or ".join(_is_tombstoned("word", kind) for kind in kinds)
    rows = connection.execute(
        f"""
        with words as (
            select position, unnest(list_distinct(
                string_split_regex(text, '[,;|\\t\\s"{{}}\\[\\]]+|":') || regexp_extract_all(
                    text, {literal(_MENTION)}
                )
            )) as word
            from (select unnest($positions) as position, unnest($texts::varchar[]) as text)
        )
        select distinct position from words where {asked}
        """,
        {"positions": list(range(len(texts))), "texts": texts},
    ).fetchall()
    return {position for (position,) in rows}


def _is_tombstoned(text: str, kind: str = "") -> str:
    if not kind:
        return " or ".join(_is_tombstoned(text, one) for one in VALUES[:2])
    return (
        f"coalesce({keyed_sql(identifier_sql(kind, text))}"
        " in (select keyed_hash from temp.tombstones), false)"
    )


def anonymised_sql(feed: Feed) -> str | None:
    """SQL list of the columns of a row without its person; None when such a row goes."""
    if RULES[feed.name].keeps is None:
        return None
    return ", ".join(f"{text} as {quoted(column)}" for column, text in kept_sql(feed).items())


# --- files --------------------------------------------------------------------------------------


def _read_stones(path: Path) -> Stones:
    try:
        return Stones.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise PrivacyError(
            f"{path} cannot be read ({_first_line(error)}): people who were forgotten could come "
            "back. Bring it back from a backup."
        ) from error


def _read_key(settings: Settings) -> bytes:
    try:
        return keys.read_erasure_key(settings)
    except BadKeyError as error:
        raise PrivacyError(str(error)) from error


def _check_of(key: bytes) -> str:
    return keyed(key, "key check")[:16]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _lifted(settings: Settings) -> dict[str, datetime]:
    found: dict[str, datetime] = {}

    def judge(line: dict[str, str]) -> str:
        problem = _lifted_problem(line)
        if not problem:
            found[line["keyed_hash"]] = datetime.fromisoformat(line["decided_at"])
        return problem

    _lifted_journal(settings).read(judge)
    return found


def _lifted_journal(settings: Settings) -> Journal:
    return Journal(
        settings.erasures / "lifted.csv", _LIFTED_COLUMNS, PrivacyError, "Nothing was lifted"
    )


def _lifted_problem(line: dict[str, str]) -> str:
    if len(line["keyed_hash"]) != 32:
        return f"keyed_hash {shown(line['keyed_hash'])} is none: expected 32 hex digits"
    for column in ("decided_by", "reason"):
        if not line[column]:
            return f"{column} is missing; every line says who and why"
    return time_problem("decided_at", line["decided_at"])
