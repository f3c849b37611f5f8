"""The current release in a Postgres database, for teams that need users, rights and access logs.

    schema marts      every mart: the steward's
    schema <role>     what that role sees of them, table for table as in its file
    <schema>.release  one row: which release this is

For each role there is a group, `<database>_<role>`, which an administrator grants to users. A table
of a role in which no cell is changed is a view with the rights of whoever asks: grants on columns
of the mart and its row policies decide what comes of it. Where cells are changed, it is a table,
filled by the query that fills the file of the role, so no key stands in a definition.

Everything is loaded beside what readers see, into schemas that nobody else may use. Then one
transaction locks every old table, drops them and gives the new schemas their names. A statement
reads one release whole, for the locks are held until all names have moved; so does a transaction,
once it has read a mart.
"""

import hashlib
import hmac
import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestration.database import load_extension
from orchestration.faults import write_whole
from orchestration.keys import BadKeyError, erasure_key
from orchestration.release.content import SCHEMA, ReleaseError
from orchestration.release.releases import (
    STEWARD,
    Manifest,
    Progress,
    Release,
    current_release,
    read_manifest,
)
from orchestration.release.roles import Query, Role, fill_role, read_roles, tables_of_roles
from orchestration.settings import Settings
from orchestration.sql import literal, quoted

log = logging.getLogger("warehouse")

# Views with the rights of whoever asks came with it.
OLDEST_VERSION = 15
RELEASE_TABLE = "release"
# In no name of a role, so no role takes the schema that another one is loaded into.
_LOADING = "$loading"
_TABLE = "r"
_CONNECT_SECONDS = 10
# Postgres looks for deadlocks after a second of waiting and would end the reader: give up before.
_LOCK_MILLISECONDS = 500
_ATTEMPTS_WITHOUT_WAITING = 50
_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 600.0
_NAME_BYTES = 63


class PostgresError(ReleaseError):
    """The database cannot be used as it should; the sentence says why and what to do."""


@dataclass(frozen=True)
class Sent:
    """A release that readers of the database see now.

    rows: by schema and table. attempts: how often readers had to be waited for, and once more.
    lost: views of others over what was replaced, which went with it.
    """

    release_id: str
    rows: Mapping[str, Mapping[str, int]]
    attempts: int
    lost: tuple[str, ...]


def send_release(
    settings: Settings,
    release: Release,
    roles: Sequence[Role],
    progress: Progress = lambda _: None,
    *,
    patience: float = _PATIENCE_SECONDS,
) -> Sent:
    """Let readers of the database see a release, and the roles their part of it.

    patience: seconds to wait for readers who do not let go. Raises PostgresError, or ReleaseError
    when a policy does not fit the marts; readers then see what they saw before.
    """
    if settings.is_scratch:
        raise PostgresError(f"{settings.home} is a copy to try something in: nothing is sent.")
    manifest = read_manifest(release)
    if RELEASE_TABLE in manifest.tables:
        raise PostgresError(f"A mart cannot be named {RELEASE_TABLE}: that table says which it is.")
    with _session(settings) as session:
        _take_turn(session)
        groups = _groups(session, roles)
        mark = _mark(settings)
        _refuse_strangers(session, mark, [SCHEMA, *(role.name for role in roles)])
        _note_target(settings)
        _drop_leftovers(session, mark)
        loading = {name: f"{name}{_LOADING}" for name in (SCHEMA, *(role.name for role in roles))}
        for schema in loading.values():
            _run(session, "create schema {}", schema)
            session.execute(
                sql.SQL("comment on schema {} is {}").format(sql.Identifier(schema), mark)
            )
        rows, tables = _load(settings, release, roles, loading, progress)
        _write_release_table(session, manifest, loading[SCHEMA])
        for role in roles:
            _give_role(session, role, tables[role.name], groups[role.name], loading)
        _give_steward(session, groups[STEWARD], loading[SCHEMA])
        for schema, name, kind in _relations(session, [*loading.values()]):
            if kind == _TABLE:
                # Written once and thrown away whole: nothing is left to clean up after this.
                _run(session, "alter table {}.{} set (autovacuum_enabled = false)", schema, name)
                _run(session, "vacuum (freeze, analyze) {}.{}", schema, name)
        attempts, lost = _swap(session, mark, loading, patience, progress)
    progress(f"Postgres shows {release.id}")
    return Sent(release.id, rows, attempts, lost)


def sent_release(settings: Settings) -> str | None:
    """The id of the release that readers of the database see, None before the first one."""
    with _session(settings) as session:
        if SCHEMA not in _schemas(session, _mark(settings)):
            return None
        row = _run(session, "select release_id from {}.{}", SCHEMA, RELEASE_TABLE).fetchone()
        return str(row[0]) if row else None


def follow(settings: Settings, progress: Progress = lambda _: None) -> Sent | None:
    """Send the current release when the database shows another one; None when it need not be.

    Raises PostgresError, or ReleaseError.
    """
    if not settings.postgres or settings.is_scratch:
        return None
    with _session(settings) as session:
        _take_turn(session)
        _drop_leftovers(session, _mark(settings))
    release = current_release(settings)
    if release is None or sent_release(settings) == release.id:
        return None
    return send_release(settings, release, read_roles(), progress)


def examine(settings: Settings) -> Iterator[tuple[bool, str, str]]:
    """Say whether the database can be used and is up to date: whether it is well, what, remedy.

    Changes nothing there.
    """
    try:
        with _session(settings) as session:
            roles = read_roles()
            missing = _missing_groups(session, _group_names(session, roles).values())
            if missing and not _may_make_groups(session):
                raise _cannot_make(session, missing)
            _refuse_strangers(session, _mark(settings), [SCHEMA, *(role.name for role in roles)])
        shown, current = sent_release(settings), current_release(settings)
    except ReleaseError as error:
        yield False, str(error), "Mend that, then `warehouse send`."
        return
    if current is not None and shown != current.id:
        yield False, f"shows {shown or 'no release'}, not {current.id}", "`warehouse send`."
    else:
        yield True, f"{describe_target(settings)} shows {shown or 'no release'}", ""


def described_targets(settings: Settings) -> list[str]:
    """Databases that a release was ever sent to, as `describe_target` says them."""
    try:
        return [str(one) for one in json.loads(settings.postgres_targets.read_text("utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise PostgresError(
            f"{settings.postgres_targets} cannot be read ({type(error).__name__}): it lists the "
            "databases that releases were sent to. Bring it back, or write that list anew as JSON."
        ) from error


def describe_target(settings: Settings) -> str:
    """Where WAREHOUSE_POSTGRES points to, without the user and other options."""
    given = _options(settings)
    named = (given.get("service"), given.get("host"), given.get("port"), given.get("dbname"))
    return " ".join(str(part) for part in named if part) or "the default database"


@contextmanager
def attached(settings: Settings, alias: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection in which the database can be read."""
    with duckdb.connect(config={"threads": settings.threads}) as connection:
        _attach(connection, settings, alias, "type postgres, read_only")
        yield connection


def our_schemas(settings: Settings) -> list[str]:
    """Schemas of the database that this warehouse made, also those half loaded."""
    with _session(settings) as session:
        return _schemas(session, _mark(settings))


# --- the database -------------------------------------------------------------------------------


@contextmanager
def _session(settings: Settings) -> Iterator[psycopg.Connection]:
    try:
        with psycopg.connect(_conninfo(settings), autocommit=True) as session:
            version = session.info.server_version // 10000
            if version < OLDEST_VERSION:
                raise PostgresError(
                    f"The server of {describe_target(settings)} is Postgres {version}; "
                    f"{OLDEST_VERSION} or newer is needed."
                )
            yield session
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise PostgresError(f"Postgres, {describe_target(settings)}: {said}.") from error


def _options(settings: Settings) -> dict[str, str]:
    try:
        given = conninfo_to_dict(settings.postgres)
    except psycopg.ProgrammingError:
        # what libpq says of it would show parts of it
        raise PostgresError(
            "WAREHOUSE_POSTGRES is no connection string; write it like "
            "`host=db.example.org dbname=warehouse user=publisher`."
        ) from None
    if given.get("password"):
        raise PostgresError(
            "WAREHOUSE_POSTGRES holds a password, and settings are seen by many. Put it into "
            "~/.pgpass (mode 0600), or the environment variable PGPASSWORD."
        )
    return {name: str(value) for name, value in given.items() if value is not None}


def _conninfo(settings: Settings) -> str:
    preset = {"connect_timeout": str(_CONNECT_SECONDS), "application_name": "customer-warehouse"}
    return make_conninfo(**(preset | _options(settings)))


def _attach(
    connection: duckdb.DuckDBPyConnection, settings: Settings, alias: str, options: str
) -> None:
    load_extension(connection, "postgres_scanner")
    # The one character that Postgres cannot keep; read as what cannot be read.
    connection.execute("set pg_null_byte_replacement = '\ufffd'")
    try:
        connection.execute(f"attach {literal(_conninfo(settings))} as {quoted(alias)} ({options})")
    except duckdb.Error as error:
        raise PostgresError(f"Postgres, {describe_target(settings)}: cannot be reached.") from error


def _run(session: psycopg.Connection, statement: str, *names: str) -> psycopg.Cursor:
    """Execute a statement whose `{}` are names."""
    return session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _take_turn(session: psycopg.Connection) -> None:
    row = session.execute("select pg_try_advisory_lock(7240385112)").fetchone()
    if not row or not row[0]:
        raise PostgresError("Another release is being sent to this database. Wait for its end.")


def _mark(settings: Settings) -> str:
    """The comment on our schemas: whose they are, so that nobody's are dropped but our own."""
    try:
        key = erasure_key(settings)
    except BadKeyError as error:
        raise PostgresError(str(error)) from error
    own = hmac.digest(key, b"schemas in Postgres", hashlib.sha256).hex()[:16]
    return f"Made by the customer warehouse {own}; replaced as a whole with every release."


def _schemas(session: psycopg.Connection, mark: str) -> list[str]:
    found = session.execute(
        "select nspname from pg_namespace where obj_description(oid, 'pg_namespace') = %s"
        " order by nspname",
        [mark],
    ).fetchall()
    return [name for (name,) in found]


def _relations(session: psycopg.Connection, schemas: Sequence[str]) -> list[tuple[str, str, str]]:
    """Schema, name and kind (table or view, as `relkind` has it) of what stands in schemas."""
    return session.execute(
        "select nspname, relname, relkind from pg_class"
        " inner join pg_namespace on pg_namespace.oid = relnamespace"
        " where nspname = any(%s) and relkind in ('r', 'v') order by nspname, relname",
        [list(schemas)],
    ).fetchall()


def _refuse_strangers(session: psycopg.Connection, mark: str, names: Sequence[str]) -> None:
    ours = _schemas(session, mark)
    for (name,) in session.execute(
        "select nspname from pg_namespace where nspname = any(%s) order by nspname", [list(names)]
    ).fetchall():
        if name not in ours:
            raise PostgresError(
                f"There is a schema {name} in this database that this warehouse did not make. "
                "Name another database, or drop it there if nobody needs it."
            )


def _drop_leftovers(session: psycopg.Connection, mark: str) -> None:
    """What a sender that was killed had loaded."""
    for name in _schemas(session, mark):
        if name.endswith(_LOADING):
            _run(session, "drop schema {} cascade", name)


def _group_name(session: psycopg.Connection, role: str) -> str:
    """By database, for groups are known in all databases of a server."""
    name = f"{session.info.dbname}_{role}"
    if len(name.encode()) > _NAME_BYTES:
        raise PostgresError(
            f"The group {name} would have a name of more than {_NAME_BYTES} bytes, and Postgres "
            "cuts those off. Use a database with a shorter name."
        )
    return name


def _groups(session: psycopg.Connection, roles: Sequence[Role]) -> dict[str, str]:
    """Name of the group of every role and the steward; those that are missing are made."""
    groups = _group_names(session, roles)
    missing = _missing_groups(session, groups.values())
    try:
        for name in missing:
            _run(session, "create role {} nologin", name)
    except errors.InsufficientPrivilege as error:
        raise _cannot_make(session, missing) from error
    return groups


def _group_names(session: psycopg.Connection, roles: Sequence[Role]) -> dict[str, str]:
    """Group by role, that of the steward included."""
    return {name: _group_name(session, name) for name in (*(r.name for r in roles), STEWARD)}


def _missing_groups(session: psycopg.Connection, names: Iterable[str]) -> list[str]:
    known = session.execute(
        "select rolname from pg_roles where rolname = any(%s)", [list(names)]
    ).fetchall()
    return sorted({*names} - {name for (name,) in known})


def _may_make_groups(session: psycopg.Connection) -> bool:
    row = session.execute(
        "select rolcreaterole or rolsuper from pg_roles where rolname = current_user"
    ).fetchone()
    return bool(row and row[0])


def _cannot_make(session: psycopg.Connection, missing: Sequence[str]) -> PostgresError:
    statements = " ".join(f'create role "{name}" nologin;' for name in missing)
    return PostgresError(
        f"There is no role {', '.join(missing)} on the server, and {session.info.user} may make "
        f"none. Let an administrator run: {statements}"
    )


def _note_target(settings: Settings) -> None:
    """An erasure has to know where people may stand, also when the setting is gone."""
    target, known = describe_target(settings), described_targets(settings)
    if target not in known:
        write_whole(settings.postgres_targets, json.dumps([*known, target], indent=1) + "\n")


# --- loading ------------------------------------------------------------------------------------


def _load(
    settings: Settings,
    release: Release,
    roles: Sequence[Role],
    loading: Mapping[str, str],
    progress: Progress,
) -> tuple[dict[str, dict[str, int]], dict[str, tuple[Query, ...]]]:
    """Fill the tables of all schemas; returns rows by schema and table, and tables by role."""
    spilled = settings.releases / ".staging-postgres.tmp"
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
        "temp_directory": str(spilled),
    }
    rows: dict[str, dict[str, int]] = {SCHEMA: {}}
    try:
        with duckdb.connect(config=config) as connection:
            release.marts.attach(connection, "release")
            tables = tables_of_roles(connection, roles)
            _attach(connection, settings, "target", "type postgres")
            for name, column_list in _columns(connection).items():
                ((rows[SCHEMA][name],),) = connection.execute(
                    f"create table target.{quoted(loading[SCHEMA])}.{quoted(name)} as"
                    f" select {column_list} from release.{SCHEMA}.{quoted(name)}"
                ).fetchall()
                progress(f"sent {SCHEMA}.{name}, {rows[SCHEMA][name]:,} rows")
            for role in roles:
                changed = [one for one in tables[role.name] if not one.is_part_of_a_mart]
                schema = f"target.{quoted(loading[role.name])}"
                rows[role.name] = fill_role(
                    connection, role, changed, erasure_key(settings), schema
                )
                progress(f"sent {role.name}, {sum(rows[role.name].values()):,} rows of its own")
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise PostgresError(f"Postgres, {describe_target(settings)}: {said}") from error
    finally:
        shutil.rmtree(spilled, ignore_errors=True)
    return rows, tables


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """What is selected of each mart; a type of DuckDB's own becomes text."""
    selected: dict[str, list[str]] = {}
    for table, column, is_enum in connection.execute(
        "select table_name, column_name, starts_with(data_type, 'ENUM') from duckdb_columns()"
        f" where database_name = 'release' and schema_name = '{SCHEMA}'"
        " order by table_name, column_index"
    ).fetchall():
        cell = f"{quoted(column)}::varchar as {quoted(column)}" if is_enum else quoted(column)
        selected.setdefault(table, []).append(cell)
    return {table: ", ".join(cells) for table, cells in selected.items()}


def _write_release_table(session: psycopg.Connection, manifest: Manifest, schema: str) -> None:
    _run(
        session,
        "create table {}.{} (release_id text not null, as_of_date date not null,"
        " released_at timestamptz not null, content_hash text not null,"
        " sent_at timestamptz not null)",
        schema,
        RELEASE_TABLE,
    )
    session.execute(
        sql.SQL("insert into {}.{} values (%s, %s, %s, %s, %s)").format(
            sql.Identifier(schema), sql.Identifier(RELEASE_TABLE)
        ),
        [
            manifest.release_id,
            manifest.as_of,
            manifest.released_at,
            manifest.content_hash,
            datetime.now(UTC),
        ],
    )


# --- rights -------------------------------------------------------------------------------------


def _give_steward(session: psycopg.Connection, group: str, marts: str) -> None:
    """Everything to the steward's group; and no row of a mart to whom no policy speaks of."""
    _run(session, "grant usage on schema {} to {}", marts, group)
    for schema, name, _ in _relations(session, [marts]):
        _run(session, "alter table {}.{} enable row level security", schema, name)
        _run(session, "grant select on {}.{} to {}", schema, name, group)
        _run(
            session, "create policy steward on {}.{} for select to {} using (true)",
            schema, name, group,
        )  # fmt: skip


def _give_role(
    session: psycopg.Connection,
    role: Role,
    tables: Sequence[Query],
    group: str,
    loading: Mapping[str, str],
) -> None:
    marts, own = loading[SCHEMA], loading[role.name]
    for schema in (marts, own):
        _run(session, "grant usage on schema {} to {}", schema, group)
    which = Query(
        RELEASE_TABLE,
        ("release_id", "as_of_date", "released_at", "content_hash", "sent_at"),
        "",
        unchanged=("release_id", "as_of_date", "released_at", "content_hash", "sent_at"),
    )
    for query in (*tables, which):
        if query.unchanged:
            columns = sql.SQL(", ").join(map(sql.Identifier, query.unchanged))
            mart = sql.Identifier(marts, query.table)
            session.execute(
                sql.SQL("grant select ({}) on {} to {}").format(
                    columns, mart, sql.Identifier(group)
                )
            )
            _let_rows_be_seen(session, role, query, group, mart)
        if query.is_part_of_a_mart:
            session.execute(
                sql.SQL(
                    "create view {} with (security_invoker = true) as select {} from {}"
                ).format(sql.Identifier(own, query.table), columns, mart)
            )
        _run(session, "grant select on {}.{} to {}", own, query.table, group)


def _let_rows_be_seen(
    session: psycopg.Connection, role: Role, query: Query, group: str, mart: sql.Identifier
) -> None:
    condition = sql.SQL(query.rows or "true")
    try:
        session.execute(
            sql.SQL("create policy {} on {} for select to {} using ({})").format(
                sql.Identifier(role.name), mart, sql.Identifier(group), condition
            )
        )
    except (psycopg.ProgrammingError, psycopg.DataError) as error:
        raise PostgresError(
            f"Role {role.name}, {query.table}: Postgres does not understand the condition on rows "
            f"in governance/roles.yml, {query.rows!r}. {str(error).splitlines()[0]}"
        ) from error


# --- the switch ---------------------------------------------------------------------------------


def _swap(
    session: psycopg.Connection,
    mark: str,
    loading: Mapping[str, str],
    patience: float,
    progress: Progress,
) -> tuple[int, tuple[str, ...]]:
    """Put what was loaded in the place of what readers see; returns attempts and lost views.

    Mostly an instant at which nobody reads is looked for: whoever waits for some locks while it has
    others stands in the way of readers, who take theirs in any order. Where there is no such
    instant, readers are waited for now and then, half a second at a time, so that those who come
    meanwhile wait no longer than that.
    """
    began, attempts = time.monotonic(), 0
    old = [name for name in _schemas(session, mark) if not name.endswith(_LOADING)]
    found = sorted(_relations(session, old), key=lambda one: one[2] == _TABLE)
    held = sql.SQL(", ").join(sql.Identifier(schema, name) for schema, name, _ in found)
    lock = sql.SQL("lock table {} in access exclusive mode").format(held)
    while True:
        attempts += 1
        is_patient = attempts % _ATTEMPTS_WITHOUT_WAITING == 0
        try:
            with session.transaction():
                if old and is_patient:
                    session.execute(f"set local statement_timeout = {_LOCK_MILLISECONDS}")
                    session.execute(lock)
                    session.execute("set local statement_timeout = 0")
                elif old:
                    session.execute(lock + sql.SQL(" nowait"))
                lost = _views_over(session, old)
                for name in old:
                    _run(session, "drop schema {} cascade", name)
                for name, schema in loading.items():
                    _run(session, "alter schema {} rename to {}", schema, name)
        except (errors.QueryCanceled, errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if time.monotonic() - began > patience:
                readers = _readers(session, old)
                raise PostgresError(
                    f"The release could not take its place in {patience:.0f} s, for readers hold "
                    f"the last one: {readers or 'nobody who can be named'}. It is sent again with "
                    "the next run, or with `warehouse send`."
                ) from error
            if is_patient:
                progress(f"waiting for readers: {_readers(session, old) or 'they come and go'}")
            time.sleep(_PAUSE_SECONDS)
        else:
            for view in lost:
                log.warning(
                    "Postgres: the view %s read tables of the last release and went with it. "
                    "Views over marts belong into the BI tool, or are made after each release.",
                    view,
                )
            return attempts, lost


def _views_over(session: psycopg.Connection, schemas: Sequence[str]) -> tuple[str, ...]:
    """Views in schemas of others that read what stands in ours."""
    found = session.execute(
        "select distinct viewing.oid::regclass::text from pg_depend"
        " inner join pg_rewrite on pg_depend.objid = pg_rewrite.oid"
        " inner join pg_class as viewing on viewing.oid = pg_rewrite.ev_class"
        " inner join pg_namespace as theirs on theirs.oid = viewing.relnamespace"
        " inner join pg_class as viewed on viewed.oid = pg_depend.refobjid"
        " inner join pg_namespace as ours on ours.oid = viewed.relnamespace"
        " where pg_depend.classid = 'pg_rewrite'::regclass"
        " and pg_depend.refclassid = 'pg_class'::regclass"
        " and ours.nspname = any(%(ours)s) and theirs.nspname <> all(%(ours)s)"
        " order by 1",
        {"ours": list(schemas)},
    ).fetchall()
    return tuple(name for (name,) in found)


def _readers(session: psycopg.Connection, schemas: Sequence[str]) -> str:
    """Who holds what stands in schemas: user, process, since when."""
    found = session.execute(
        "select distinct usename, pid, to_char(xact_start, 'HH24:MI:SS')"
        " from pg_locks inner join pg_stat_activity using (pid)"
        " inner join pg_class on pg_class.oid = pg_locks.relation"
        " inner join pg_namespace on pg_namespace.oid = relnamespace"
        " where nspname = any(%s) and granted and pid <> pg_backend_pid() order by pid",
        [list(schemas)],
    ).fetchall()
    return ", ".join(f"{user} (process {pid}, since {since})" for user, pid, since in found)
