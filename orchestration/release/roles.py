"""One file of a release for each role, made from the steward's as `governance/roles.yml` says.

What a role may not see is not in its file, so no reader has to be trusted to look away.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from orchestration.database import DatabaseFile
from orchestration.governance.register import Register, RegisterError, read_register
from orchestration.landing.feeds import Pii
from orchestration.release.content import SCHEMA, ReleaseError
from orchestration.settings import PROJECT_ROOT
from orchestration.sql import literal, quoted

ROLES_PATH = PROJECT_ROOT / "governance" / "roles.yml"

_RULES = {
    "show": "{cell}",
    "pseudonym": "left(sha256(getvariable('pseudonym_key') || encode({cell}::varchar)), 24)",
    "year": "date_trunc('year', {cell})::date",
    "decade": "({cell} // 10 * 10)::bigint",
    "area": "left({cell}, 2)",
    "hide": "",
}
_SHOW_WHEN = "show when "
_TAKEN = ("steward", "warehouse", "working", "backup", SCHEMA, "public", "information_schema")
_NAME = re.compile(r"[a-z][a-z_]{0,30}")


def _known_rule(text: Any) -> str:
    rule = str(text)
    if rule not in _RULES and not rule.startswith(_SHOW_WHEN):
        raise ValueError(
            f"{rule!r} is no rule; the rules are {', '.join(_RULES)} and {_SHOW_WHEN}<condition>"
        )
    return rule


Rule = Annotated[str, BeforeValidator(_known_rule)]


class CountPolicy(BaseModel):
    """A count of people. beside: figures it could be computed from. of: what it is a part of."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    beside: tuple[str, ...] = Field(default=(), alias="with")
    of: str = ""


class TablePolicy(BaseModel):
    """What a role sees of a mart, or a table that is made for it; see `governance/roles.yml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    classes: Mapping[Pii, Rule] = {}
    columns: Mapping[str, Rule] = {}
    rows: str = ""
    counts: Mapping[str, CountPolicy] = {}
    made_from: str = Field(default="", alias="from")
    by: Mapping[str, str] = {}
    measures: Mapping[str, str] = {}


class Role(BaseModel):
    """Who reads what of a release. mode: rights of the file. floor: fewest people of a figure."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    description: str
    mode: Literal["0600", "0640", "0644"]
    tables: Literal["everything"] | Mapping[str, TablePolicy]
    without: tuple[str, ...] = Field(default=(), alias="except")
    classes: Mapping[Pii, Rule] = {}
    columns: Mapping[str, Rule] = {}
    floor: int = Field(default=0, ge=0)

    def policy(self, table: str) -> TablePolicy | None:
        """What the role sees of a table; None when nothing."""
        if self.tables == "everything":
            if table in self.without:
                return None
            return TablePolicy(classes=self.classes, columns=self.columns)
        return self.tables.get(table)


@dataclass(frozen=True)
class Query:
    """A table of a role: name, columns in order, and the query over the marts that fills it.

    unchanged: those of its columns that show the cells of the mart of that name as they are. rows:
    condition, in SQL, on the rows of that mart.
    """

    table: str
    columns: tuple[str, ...]
    sql: str
    unchanged: tuple[str, ...] = ()
    rows: str = ""

    @property
    def is_part_of_a_mart(self) -> bool:
        """Whether it is columns and rows of a mart, with no cell changed."""
        return self.columns == self.unchanged


def read_roles(path: Path = ROLES_PATH) -> tuple[Role, ...]:
    """Read the roles. Raises ReleaseError with all that is wrong, by role and entry."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = content["roles"]
        return tuple(_role(path, str(name), entry) for name, entry in entries.items())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReleaseError(f"{path} cannot be read: {error}") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise ReleaseError(f"{path} has no mapping `roles`; its first comment says how.") from error


def _role(path: Path, name: str, entry: Any) -> Role:
    if not _NAME.fullmatch(name) or name in _TAKEN or name.startswith("pg_"):
        raise ReleaseError(
            f"{path}: {name!r} cannot name a role, for it names a file, a key and a schema. Use"
            f" small letters, and none of {', '.join(_TAKEN)}: the steward sees everything and is"
            " not declared."
        )
    try:
        role = Role.model_validate({**entry, "name": name})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
        )
        raise ReleaseError(f"{path}, role {name}: {problems}.") from error
    for problem in _contradictions(role):
        raise ReleaseError(f"{path}, role {name}: {problem}")
    return role


def _contradictions(role: Role) -> Iterator[str]:
    if role.tables == "everything":
        return
    for table, policy in role.tables.items():
        is_made = bool(policy.made_from)
        if is_made != bool(policy.by):
            yield f"{table} needs both `from` and `by`, or neither."
        if is_made and (policy.classes or policy.columns or policy.counts):
            yield f"{table} is made for the role; it has no classes, columns or counts."
        if policy.measures and not is_made:
            yield f"{table} has measures; say `from` which mart, and `by` what."
        if (is_made or policy.counts) and not role.floor:
            yield f"{table} counts people; the role needs a `floor`."


def queries(
    role: Role, marts: Mapping[str, Sequence[str]], register: Register
) -> tuple[Query, ...]:
    """Return the tables of a role over marts, given as columns by table.

    Raises ReleaseError when the policy names a column that a mart does not have. A mart that is not
    there is left out, and so is a table of which the role may see no column.
    """
    names = marts if role.tables == "everything" else role.tables
    found = []
    for table in sorted(names):
        policy = role.policy(table)
        source = (policy.made_from or table) if policy else table
        if policy is None or source not in marts:
            continue
        if policy.made_from:
            found.append(_made(role, table, policy))
        elif query := _seen(role, table, policy, marts[table], register):
            found.append(query)
    return tuple(found)


def unknown_names(role: Role, marts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a sentence for each table and column that a policy names and no mart has."""
    columns = {column for listed in marts.values() for column in listed}
    for name in sorted({*role.without} - {*marts}):
        yield f"role {role.name} leaves out {name}, which is no mart."
    for name in sorted({*role.columns} - columns):
        yield f"role {role.name} has a rule for {name}, which is a column of no mart."
    if role.tables == "everything":
        return
    for table, policy in role.tables.items():
        source = policy.made_from or table
        if source not in marts:
            yield f"role {role.name}, {table}: there is no mart {source}."
            continue
        named = {*policy.columns, *policy.counts}
        for told in policy.counts.values():
            named |= {*told.beside, told.of} - {""}
        for name in sorted(named - {*marts[source]}):
            yield f"role {role.name}, {table}: {source} has no column {name}."


def write_roles(
    connection: duckdb.DuckDBPyConnection,
    roles: Sequence[Role],
    folder: Path,
    secret: bytes,
    keys: Mapping[str, bytes | None],
) -> dict[str, dict[str, int]]:
    """Write the file of every role into a folder, from schema marts of the database `release`.

    secret: of the installation; the keys of pseudonyms come from it. keys: by role, those that
    encrypt their files. Returns rows by role and table. Raises ReleaseError when a policy does not
    fit the marts.
    """
    tables = tables_of_roles(connection, roles)
    written = {}
    for role in roles:
        file = DatabaseFile(folder / f"{role.name}.duckdb", keys.get(role.name))
        file.attach_for_writing(connection, "role_file")
        try:
            connection.execute(f"create schema if not exists role_file.{SCHEMA}")
            written[role.name] = fill_role(
                connection, role, tables[role.name], secret, f"role_file.{SCHEMA}"
            )
        finally:
            connection.execute("detach role_file")
        file.path.chmod(int(role.mode, 8))
    return written


def tables_of_roles(
    connection: duckdb.DuckDBPyConnection, roles: Sequence[Role]
) -> dict[str, tuple[Query, ...]]:
    """Return by role what it sees of the marts of the attached database `release`.

    Raises ReleaseError when a policy does not fit the marts, or the register cannot be read.
    """
    try:
        register = read_register()
    except RegisterError as error:
        raise ReleaseError(str(error)) from error
    marts: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "select table_name, column_name from duckdb_columns() where database_name = 'release'"
        f" and schema_name = '{SCHEMA}' order by table_name, column_index"
    ).fetchall():
        marts.setdefault(table, []).append(column)
    return {role.name: queries(role, marts, register) for role in roles}


def fill_role(
    connection: duckdb.DuckDBPyConnection,
    role: Role,
    tables: Sequence[Query],
    secret: bytes,
    schema: str,
) -> dict[str, int]:
    """Make tables of a role from the database `release`, in a schema; returns rows by table.

    Raises ReleaseError when a query does not fit the marts.
    """
    key = hmac.digest(secret, f"pseudonyms of {role.name}".encode(), hashlib.sha256)
    connection.execute(f"set variable pseudonym_key = unhex({literal(key.hex())})")
    counts: dict[str, int] = {}
    for query in tables:
        try:
            ((counts[query.table],),) = connection.execute(
                f"create table {schema}.{quoted(query.table)} as {query.sql}"
            ).fetchall()
        except (
            duckdb.BinderException,
            duckdb.CatalogException,
            duckdb.ParserException,
        ) as error:
            raise ReleaseError(
                f"Role {role.name}, {query.table}: what governance/roles.yml says does not fit"
                f" the marts. {str(error).splitlines()[0]}"
            ) from error
    return counts


def _seen(
    role: Role, table: str, policy: TablePolicy, columns: Sequence[str], register: Register
) -> Query | None:
    shown = {}
    unchanged = set()
    for column in columns:
        pii = register.pii(table, column)
        rule = policy.columns.get(column) or (policy.classes.get(pii) if pii else None) or "hide"
        if rule != "hide":
            shown[column] = _cell(rule, quoted(column))
        if rule == "show":
            unchanged.add(column)
    for count, told in policy.counts.items():
        few = f"between 1 and {role.floor - 1}"
        is_few = f"{quoted(count)} {few}"
        if told.of:
            is_few += f" or {quoted(told.of)} - {quoted(count)} {few}"
        unchanged -= {count, *told.beside}
        for name in (count, *told.beside):
            if name in shown:
                shown[name] = f"case when not coalesce({is_few}, false) then {shown[name]} end"
    if not shown:
        return None
    selected = ", ".join(f"{text} as {quoted(name)}" for name, text in shown.items())
    where = f" where {policy.rows}" if policy.rows else ""
    return Query(
        table,
        tuple(shown),
        f"select {selected} from release.{SCHEMA}.{quoted(table)}{where}",
        tuple(name for name in shown if name in unchanged),
        policy.rows,
    )


def _made(role: Role, table: str, policy: TablePolicy) -> Query:
    people = "count(distinct customer_id)"
    keys = ", ".join(f"{text} as {quoted(name)}" for name, text in policy.by.items())
    measures = "".join(f", {text} as {quoted(name)}" for name, text in policy.measures.items())
    where = f" where {policy.rows}" if policy.rows else ""
    positions = ", ".join(str(number + 1) for number in range(len(policy.by)))
    return Query(
        table,
        (*policy.by, "customer_count", *policy.measures),
        f"select {keys}, {people} as customer_count{measures}"
        f" from release.{SCHEMA}.{quoted(policy.made_from)}{where}"
        f" group by {positions} having {people} >= {role.floor} order by {positions}",
    )


def _cell(rule: str, cell: str) -> str:
    if rule.startswith(_SHOW_WHEN):
        return f"case when {rule.removeprefix(_SHOW_WHEN)} then {cell} end"
    return _RULES[rule].format(cell=cell)
