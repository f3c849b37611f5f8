"""The version of what is stored in the working database, and how an older one is brought up.

Which tables have a version: those that a run finds and adds to, in schemas `raw`, `state` and
`quality`. Tables of dbt need none, for they are made anew when code has changed. Nor do the columns
of a feed: its contract says them, and `landing.raw_tables` adds those that it gained.

To change such a table, change the statement that creates it, and append a `Migration` here that
does the same to a table that exists:

    Migration(3, "the encoding of a file", "alter table raw.files add column encoding varchar"),

A new database is made by the newest statements and only notes the version. Each migration meets
the tables of exactly the version before it, once. A table may still be missing because no run has
needed it yet, so say `alter table if exists`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from orchestration.sql import literal, transaction

log = logging.getLogger("warehouse")

FIRST_VERSION = 1  # what was stored before versions were noted


class SchemaVersionError(Exception):
    """The working database was written by newer code than this."""


@dataclass(frozen=True)
class Migration:
    """A step from the version before to `version`. what: for the log, after "brought up to"."""

    version: int
    what: str
    statements: str


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        2,
        "which inputs each layer was built from",
        # Empty: nobody knows what the layers of an older version were built from, so a release of
        # them is refused until the whole job has built them.
        """
        create schema if not exists state;
        create table if not exists state.layers (layer varchar not null, inputs varchar not null);
        """,
    ),
    Migration(
        3,
        "verdicts with the id of their check and who answers for it; columns of landed files",
        # Verdicts are those of the last run: its gates have to be asked again.
        """
        drop table if exists quality.gate_results;
        alter table if exists raw.files add column if not exists read_columns varchar;
        alter table if exists raw.files add column if not exists accepted_columns varchar;
        alter table if exists raw.files add column if not exists drift varchar;
        alter table if exists raw.files add column if not exists contract varchar;
        """,
    ),
    Migration(
        4,
        "lines of files that speak of forgotten people",
        "alter table if exists raw.files"
        " add column if not exists forgotten_count bigint default 0;",
    ),
    Migration(
        5,
        "lines of files that are older than the retention policy keeps",
        "alter table if exists raw.files add column if not exists expired_count bigint default 0;",
    ),
    Migration(
        6,
        "why each check is asked and what to do when it fails",
        """
        alter table if exists quality.gate_results add column if not exists because varchar;
        alter table if exists quality.gate_results add column if not exists fix varchar;
        """,
    ),
)


def schema_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """Return the version of what is stored, or None when nothing is."""
    tables = {
        (schema, table)
        for schema, table in connection.execute(
            "select schema_name, table_name from duckdb_tables()"
            " where database_name = current_database() and not temporary"
        ).fetchall()
    }
    if ("state", "schema_version") in tables:
        row = connection.execute("select max(version) from state.schema_version").fetchone()
        if row and row[0] is not None:
            return int(row[0])
    return FIRST_VERSION if tables else None


def migrate(
    connection: duckdb.DuckDBPyConnection, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Bring what is stored up to this code, a transaction per version; note it in a new database.

    connection: the working database, for writing. Raises SchemaVersionError when it is newer than
    the code, and duckdb.Error when a step fails, which leaves the version before that step.
    """
    newest = migrations[-1].version if migrations else FIRST_VERSION
    found = schema_version(connection)
    if found is not None and found > newest:
        raise SchemaVersionError(
            f"The working database has schema version {found}, and this code knows versions up to "
            f"{newest}: a newer version of the code has written it. Run that one, or set the "
            "database aside: the next run makes it again from the landing, and customers keep "
            "their ids."
        )
    if found is None:
        _note(connection, newest)
        return
    for step in migrations:
        if step.version > found:
            with transaction(connection):
                connection.execute(step.statements)
                _note(connection, step.version)
            log.info("brought up to schema version %d: %s", step.version, step.what)


def _note(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    connection.execute("create schema if not exists state")
    connection.execute(
        "create table if not exists state.schema_version"
        " (version integer not null, reached_at timestamp not null)"
    )
    connection.execute(
        f"insert into state.schema_version values ({version}, now() at time zone {literal('UTC')})"
    )
