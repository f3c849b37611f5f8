"""A laboratory of the identity layer: dbt compiles the models once, DuckDB runs them in memory.

A build of 30 records takes about 0.2 s here and 20 s through dbt, so a test can build thousands.
`test_lab.py` holds the laboratory and dbt together. What dbt does around a model is done here by
hand: a table is emptied and filled, an incremental one loses the rows whose keys are in its table
of changes (macros/increment.sql). Statements are prepared once, as planning costs half of a build.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.identity.decisions import (
    Action,
    Decision,
    check_consistent,
    decisions_in_force,
    new_decision,
)
from orchestration.identity.rectifications import Action as Rectifying
from orchestration.identity.rectifications import (
    Rectification,
    new_rectification,
    rectifications_in_force,
)
from orchestration.identity.state import (
    _DECISION_COLUMNS,
    _RECTIFICATION_COLUMNS,
    _rectification_row,
    _row,
    close_build,
    load_released_ids,
    open_build,
)
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import DBT_PROJECT, _invoke, _variables, parse

# Laid into the laboratory by hand: they only translate staging, which it does not have.
INPUTS = (
    "int_records_unioned",
    "int_visitors_linked",
    "int_emails_verified",
    "int_consent_events_unioned",
    "int_suppression_events_unioned",
)
# Full of what the last increment looked at, so nothing that lasts.
PASSING = re.compile(r"_(changed|touched|rescored|retired|contested)$")
COMPILED_AS_OF = date(2001, 2, 3)
AS_OF = date(2026, 6, 30)

RECORD = pa.schema(
    [
        *(
            pa.field(name, pa.string())
            for name in ("source_record_id", "source", "record_type", "first_name", "last_name")
        ),
        pa.field("email", pa.string()),
        pa.field("phone", pa.string()),
        pa.field("birth_date", pa.date32()),
        *(
            pa.field(name, pa.string())
            for name in ("gender", "national_id", "street", "city", "postcode", "country")
        ),
        pa.field("company", pa.string()),
        *(
            pa.field(name, pa.timestamp("us"))
            for name in ("first_seen_at", "last_seen_at", "updated_at")
        ),
    ]
)
VISITOR = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("source_record_id", "linked_record_id")),
        pa.field("link_type", pa.string()),
        *(
            pa.field(name, pa.timestamp("us"))
            for name in ("linked_at", "first_seen_at", "last_seen_at")
        ),
    ]
)
VERIFIED = pa.schema([pa.field("email", pa.string()), pa.field("verified_at", pa.timestamp("us"))])

RECORD_TYPES = {
    "crm": "contact",
    "shop": "account",
    "pos": "member",
    "mailing": "subscriber",
    "support": "requester",
    "surveys": "respondent",
}

Record = Mapping[str, Any]
Rows = Counter[tuple[Any, ...]]


def record(source_record_id: str, **values: Any) -> dict[str, Any]:
    """A record with its source and type told from its id; a birth date may be ISO text."""
    source = source_record_id.split(":", maxsplit=1)[0]
    is_guest = source_record_id.startswith("shop:order:")
    born = values.pop("birth_date", None)
    return {
        "source_record_id": source_record_id,
        "source": source,
        "record_type": "guest_order" if is_guest else RECORD_TYPES[source],
        "birth_date": date.fromisoformat(born) if isinstance(born, str) else born,
    } | values


def decision(verdict: str, one: str, other: str) -> Decision:
    """A steward's decision ("same" or "not_same") that looks alike each time it is made."""
    return new_decision(
        Action.SAME if verdict == "same" else Action.NOT_SAME,
        source_record_id=one,
        other_source_record_id=other,
        decided_by="eva",
        reason="they said so",
        decided_at=datetime(2026, 6, 1, tzinfo=UTC),
    )


def rectification(source_record_id: str, field: str, value: str = "") -> Rectification:
    """A steward's rectification that looks alike each time it is made; no value clears."""
    return new_rectification(
        Rectifying.SET if value else Rectifying.CLEAR,
        source_record_id=source_record_id,
        field=field,
        value=value,
        decided_by="eva",
        reason="they asked for it",
        decided_at=datetime(2026, 6, 1, tzinfo=UTC),
    )


@dataclass(frozen=True)
class Model:
    """A compiled model. full, increment: SQL, None for the Python model."""

    name: str
    materialized: str
    replaces: Mapping[str, Any] | None
    parents: tuple[str, ...]
    full: str | None
    increment: str | None

    @property
    def table(self) -> str:
        return f'"work"."identity"."{self.name}"'


@dataclass(frozen=True)
class Partition:
    """Record to customer; what the customers are when their ids do not matter."""

    customers: Mapping[str, str]

    @property
    def groups(self) -> frozenset[frozenset[str]]:
        groups: dict[str, set[str]] = {}
        for record_id, customer in self.customers.items():
            groups.setdefault(customer, set()).add(record_id)
        return frozenset(frozenset(group) for group in groups.values())

    def together(self, one: str, other: str) -> bool:
        return self.customers[one] == self.customers[other]


def compile_models(home: Path, variables: Mapping[str, object] | None = None) -> list[Model]:
    """Compile the models of the identity layer, in the order in which they are built.

    home: a folder for dbt; one with a parse of the project saves 5 s. variables: dbt vars to
    compile with in place of the shipped ones.
    """
    settings = Settings(home=home, as_of=COMPILED_AS_OF)
    # dbt's types for a node are a dozen classes, of which this meets one
    manifest: Any = parse(settings)
    nodes = {
        node.name: node
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.fqn[1] == "identity" and node.name not in INPUTS
    }
    compiled: dict[bool, dict[str, str]] = {}
    for increment in (False, True):
        command = ["compile", "--no-introspect", "--no-populate-cache", "--select", *nodes]
        # dbt cannot compile a Python model without a connection to run it on
        command += ["--exclude", "int_merges_decided"]
        command += ["--vars", str(dict(variables or {}))]
        if not increment:
            command.append("--full-refresh")
        environment = _variables(settings) | {"WAREHOUSE_INCREMENT": "yes" if increment else "no"}
        result: Any = _invoke(settings, command, manifest, environment)
        assert result.success, result.exception
        # read at once: the next compile writes into the same nodes
        compiled[increment] = {
            outcome.node.name: _in_laboratory(outcome.node.name, outcome.node.compiled_code)
            for outcome in result.result.results
            if outcome.node.resource_type == "model"
        }
    assert compiled[False].keys() == compiled[True].keys() == nodes.keys() - {"int_merges_decided"}
    models = {
        name: Model(
            name,
            node.config.materialized,
            node.config.meta.get("replaces"),
            tuple(parent.split(".")[-1] for parent in node.depends_on.nodes if "model." in parent),
            compiled[False].get(name),
            compiled[True].get(name),
        )
        for name, node in nodes.items()
    }
    for model in models.values():
        # then it is all one whether rows go out before or after the new ones are found
        assert model.table not in (model.full or "") + (model.increment or "")
    return _in_order(models)


def _in_laboratory(name: str, sql: str) -> str:
    """What the build is told from outside, it reads from tables of the laboratory."""
    today = '(select day from "work"."lab"."as_of")'
    if name == "int_priors_scaled":
        sql = sql.replace('"work"."identity"."int_records_unioned"', '"work"."lab"."landing"')
    return sql.strip().replace(f"cast('{COMPILED_AS_OF}' as date)", today)


def _in_order(models: Mapping[str, Model]) -> list[Model]:
    ordered: dict[str, Model] = {}

    def add(name: str) -> None:
        if name in models and name not in ordered:
            for parent in models[name].parents:
                add(parent)
            ordered[name] = models[name]

    for name in sorted(models):
        add(name)
    return list(ordered.values())


class KilledError(Exception):
    """The build was stopped on purpose."""


@dataclass
class _Reference:
    """What `dbt.ref` gives a Python model."""

    connection: duckdb.DuckDBPyConnection
    tables: Mapping[str, str]

    def ref(self, name: str) -> duckdb.DuckDBPyRelation:
        return self.connection.sql(f"from {self.tables.get(name, f'work.reference.{name}')}")


@dataclass
class Lab:
    """An identity layer in memory. models: as compiled.

    nicknames: only short forms of these are known; a third of a build of few records goes into
    reading the seed. block_cap: largest block that is compared, in place of the shipped ones.
    size: how many records the priors believe in; three records in a landing of three would be
    one person on less evidence than three in a hundred thousand.
    """

    models: Sequence[Model]
    nicknames: Collection[str] | None = None
    block_cap: int | None = None
    size: int = 100_000
    was_increment: bool = field(default=False, init=False)
    _releases: list[tuple[pa.Table, ...]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self._do("attach ':memory:' as work; use work; set timezone = 'UTC'")
        for schema in ("identity", "state", "reference", "lab"):
            self._do(f"create schema {schema}")
        for seed in (PROJECT_ROOT / "seeds" / "reference").glob("*.csv"):
            self._do(
                f"create table reference.{seed.stem} as from read_csv('{seed}', header = true)"
            )
        if self.nicknames is not None:
            self._do(
                "delete from reference.nicknames where formal_name not in"
                f" ({', '.join(map(repr, sorted(self.nicknames)))})"
            )
        self._do(f"create table lab.landing as from range({self.size})")
        self._do("create table lab.as_of as select date '2026-06-30' as day")
        load_released_ids(self.connection, None)
        self._do(f"create table state.steward_decisions ({_DECISION_COLUMNS})")
        self._do(f"create table state.rectifications ({_RECTIFICATION_COLUMNS})")
        for name, schema in (
            ("int_records_unioned", RECORD),
            ("int_visitors_linked", VISITOR),
            ("int_emails_verified", VERIFIED),
        ):
            self._lay(f"create table identity.{name} as", schema.empty_table())
        if self.block_cap is not None:
            self.models = [self._with_cap(model) for model in self.models]
        # A prepared plan may be built on what the tables held when it was made: DuckDB 1.5 packs
        # strings into the bytes that the longest one needed then, and cuts off longer ones later.
        self._do("set disabled_optimizers = 'compressed_materialization,statistics_propagation'")
        # makes its table now: a table made later would cost every prepared plan
        open_build(self.connection, "laboratory")
        self._lay_out()
        self.reset()

    # --- building --------------------------------------------------------------------------------

    def build(
        self,
        records: Iterable[Record],
        decisions: Iterable[Decision] = (),
        *,
        rectifications: Iterable[Rectification] = (),
        visitors: Iterable[Record] = (),
        verified: Iterable[str] = (),
        increment: bool = True,
        as_of: date = AS_OF,
        killed_after: str | None = None,
    ) -> Partition:
        """Build on this landing: an increment if one is allowed and wanted, else all anew.

        decisions, rectifications: those in force.
        killed_after: raises KilledError after the model of this name.
        """
        self._fill("int_records_unioned", RECORD, [dict(r) for r in records], opening=True)
        self._decide(decisions)
        self._rectify(rectifications)
        self._fill("int_visitors_linked", VISITOR, [dict(v) for v in visitors])
        self._fill("int_emails_verified", VERIFIED, [{"email": e} for e in verified])
        self._do("update lab.as_of set day = ?", [as_of])
        self.was_increment = self._is_allowed and increment
        for model in self.models:
            self._run(model, self.was_increment)
            if model.name == killed_after:
                raise KilledError(model.name)
        close_build(self.connection)
        return self.partition()

    def release(self) -> None:
        """Publish ids, redirects and history of the last build, as the marts do."""
        self._releases.append(
            tuple(
                self.connection.execute(query).to_arrow_table()
                for query in (
                    "select source_record_id, customer_id, record_key"
                    " from identity.int_customer_sources_resolved where record_key is not null",
                    "from identity.int_customer_redirects_resolved",
                    "from identity.int_customer_ids_recorded",
                )
            )
        )
        self._load_release()

    def roll_back(self) -> None:
        """Make the release before the current one the current one."""
        self._releases.pop()
        self._load_release()

    def reset(self) -> None:
        """Forget everything: nothing built, nothing released, nothing decided."""
        self._releases.clear()
        self._load_release()
        self._do("delete from state.builds")
        for model in self.models:
            if model.materialized != "view" and model.name not in self._constant:
                self._do(f"delete from {model.table}")

    @contextmanager
    def one_per_person(self, kinds: Iterable[tuple[str, str]]) -> Iterator[None]:
        """Kinds (source, record_type) of which a person has one, for a while."""
        for source, record_type in kinds:
            self._do(
                "insert into reference.one_per_person values (?, ?, 'for this case')",
                [source, record_type],
            )
        try:
            yield
        finally:
            self._do("delete from reference.one_per_person where reason = 'for this case'")

    # --- looking ---------------------------------------------------------------------------------

    def partition(self) -> Partition:
        return Partition(
            dict(
                self.query(
                    "select source_record_id, customer_id"
                    " from identity.int_customer_sources_resolved"
                )
            )
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def lasting(self) -> list[str]:
        """Names of the tables and views that a later build or a mart reads."""
        return [m.name for m in self.models if m.name in self._lasting]

    def tables(self, *names: str) -> dict[str, Rows]:
        """Rows of these tables, or of all that last, each with how often it occurs."""
        return {
            name: Counter(self.connection.execute(f"execute read_{name}").fetchall())
            for name in names or self.lasting()
        }

    def redirects(self) -> dict[str, str | None]:
        return dict(
            self.query(
                "select customer_id, current_customer_id"
                " from identity.int_customer_redirects_resolved"
            )
        )

    def history(self) -> list[tuple[str, str, str | None, int]]:
        """(customer_id, event, other_customer_id, release_number)."""
        return self.query(
            "select customer_id, event, other_customer_id, release_number"
            " from identity.int_customer_ids_recorded order by release_number, customer_id"
        )

    def refusals(self) -> set[tuple[frozenset[str], str]]:
        """Pairs of records between which a merge was refused, with the reason."""
        rows = self.query(
            "select one.source_record_id, other.source_record_id, refused.reason"
            " from identity.int_merges_refused as refused"
            " join identity.int_records_normalised as one using (profile_key)"
            " join identity.int_records_normalised as other"
            " on refused.other_profile_key = other.profile_key"
        )
        return {(frozenset((one, other)), reason) for one, other, reason in rows}

    # --- machinery -------------------------------------------------------------------------------

    def _do(self, sql: str, values: Sequence[object] | None = None) -> None:
        self.connection.execute(sql, values)

    def _lay(self, statement: str, rows: pa.Table) -> None:
        """Run `<statement> from rows`; DuckDB finds the rows by the name that they have here."""
        self.connection.execute(f"{statement} from rows")

    def _lay_out(self) -> None:
        """Make every table once, from nothing, and prepare what fills it."""
        tables = {model.name: model.table for model in self.models} | {
            name: f'"work"."identity"."{name}"' for name in INPUTS
        }
        spec = importlib.util.spec_from_file_location(
            "int_merges_decided", DBT_PROJECT / "models" / "identity" / "int_merges_decided.py"
        )
        assert spec is not None
        assert spec.loader is not None
        self.merges = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.merges)
        self._reference = _Reference(self.connection, tables)
        # what hangs on seeds alone is filled here for good
        self._constant: set[str] = set()
        for model in self.models:
            sources = re.findall(r'"work"\."(identity|state)"\."(\w+)"', model.full or "state")
            if model.full and all(name in self._constant for _, name in sources):
                self._constant.add(model.name)
            kind = "view" if model.materialized == "view" else "table"
            if model.full:
                self._do(f"create {kind} {model.table} as {model.full}")
            else:
                self._lay(f"create table {model.table} as", self._merged())
        self._lasting = {
            m.name
            for m in self.models
            if m.name not in self._constant
            and not PASSING.search(m.name)
            and m.name not in ("int_blocking_keys_reported", "int_matches_explained")
        }
        for model in self.models:
            if model.materialized != "view" and model.full and model.name not in self._constant:
                self._do(f"prepare full_{model.name} as insert into {model.table} {model.full}")
                self._do(
                    f"prepare part_{model.name} as insert into {model.table} {model.increment}"
                )
            self._do(f"prepare read_{model.name} as from {model.table}")

    def _merged(self) -> pa.Table:
        return self.merges.model(self._reference, self.connection)

    def _run(self, model: Model, increment: bool) -> None:
        if model.materialized == "view" or model.name in self._constant:
            return
        replaces = model.replaces if increment and model.materialized == "incremental" else None
        merged = None if model.full else self._merged()
        if replaces is None:
            self._do(f"delete from {model.table}")
        else:
            keys = [replaces["key"]] if isinstance(replaces["key"], str) else replaces["key"]
            for key in keys:
                self._do(
                    f"delete from {model.table} where {key} in (select"
                    f" {replaces.get('changed_key', key)} from identity.{replaces['changed']})"
                )
        if merged is not None:
            self._lay(f"insert into {model.table}", merged)
        else:
            self._do(f"execute {'part' if increment else 'full'}_{model.name}")

    def _fill(
        self, table: str, schema: pa.Schema, rows: list[dict[str, Any]], opening: bool = False
    ) -> None:
        self._do(f"delete from identity.{table}")
        if opening:
            # while there are no records: their number must not stop an increment
            self._is_allowed = open_build(self.connection, "laboratory")
        for row in rows:
            unknown = row.keys() - set(schema.names)
            assert not unknown, unknown
        if rows:
            self._lay(f"insert into identity.{table}", pa.Table.from_pylist(rows, schema))

    def _decide(self, decisions: Iterable[Decision]) -> None:
        """As `load_steward_decisions` does, but without a table made anew: plans would be lost."""
        in_force = decisions_in_force(list(decisions))
        check_consistent(in_force)
        self._do("delete from state.steward_decisions")
        if in_force:
            self._do(f"insert into state.steward_decisions values {', '.join(map(_row, in_force))}")

    def _rectify(self, rectifications: Iterable[Rectification]) -> None:
        in_force = rectifications_in_force(rectifications)
        self._do("delete from state.rectifications")
        if in_force:
            rows = ", ".join(map(_rectification_row, in_force))
            self._do(f"insert into state.rectifications values {rows}")

    def _load_release(self) -> None:
        tables = ("customer_sources", "customer_redirects", "customer_id_history")
        for position, table in enumerate(tables):
            self._do(f"delete from state.{table}")
            if self._releases:
                self._lay(f"insert into state.{table}", self._releases[-1][position])

    def _with_cap(self, model: Model) -> Model:
        def capped(sql: str | None) -> str | None:
            return sql and re.sub(r"( when \d+ then )\d+", rf"\g<1>{self.block_cap}", sql)

        return Model(
            model.name,
            model.materialized,
            model.replaces,
            model.parents,
            capped(model.full),
            capped(model.increment),
        )


def differences(one: Mapping[str, Rows], other: Mapping[str, Rows]) -> dict[str, object]:
    """Tables that differ, with the rows that only the one or only the other has."""
    return {
        name: {
            "only here": dict(one[name] - other[name]),
            "only there": dict(other[name] - one[name]),
        }
        for name in one
        if one[name] != other[name]
    }
