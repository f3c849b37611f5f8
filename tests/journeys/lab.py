"""The models of sessions and attribution, compiled by dbt once and run by DuckDB in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import _invoke, _variables, parse

AS_OF = date(2026, 6, 30)
# In the order in which they are built; of those that an increment only adds to, the key and the
# table of changes.
MODELS: Mapping[str, tuple[str, str] | None] = {
    "int_event_days_changed": None,
    "int_event_days_fingerprinted": ("event_date", "int_event_days_changed"),
    "int_visitors_changed": None,
    "int_session_fragments_cut": ("event_date", "int_event_days_changed"),
    "int_sessions_joined": ("visitor_id", "int_visitors_changed"),
    "channel_attribution": None,
}
ATTRIBUTION_MODELS = ("first_touch", "last_touch", "linear", "position_based", "time_decay")
EVENT = pa.schema(
    [
        *(
            pa.field(name, pa.string())
            for name in ("event_id", "anonymous_id", "account_id", "event_type", "page_url")
        ),
        *(
            pa.field(name, pa.string())
            for name in ("referrer", "utm_source", "utm_medium", "utm_campaign", "order_id")
        ),
        pa.field("occurred_at", pa.timestamp("us")),
        pa.field("_row_hash", pa.string()),
    ]
)


@dataclass(frozen=True)
class Compiled:
    """SQL of each model, of a build of everything and, if asked for, of an increment."""

    full: Mapping[str, str]
    increment: Mapping[str, str]


def compiled(
    home: Path, variables: Mapping[str, object], *, with_increment: bool = False
) -> Compiled:
    """Compile the models with these variables. home: a folder for dbt, best with a parse in it."""
    settings = Settings(home=home, as_of=AS_OF)
    manifest: Any = parse(settings)
    by_mode: dict[bool, dict[str, str]] = {}
    for increment in (False, True)[: 1 + with_increment]:
        command = ["compile", "--no-introspect", "--no-populate-cache", "--select", *MODELS]
        command += ["--vars", str(dict(variables))]
        if not increment:
            command.append("--full-refresh")
        environment = _variables(settings) | {"WAREHOUSE_INCREMENT": "yes" if increment else "no"}
        result: Any = _invoke(settings, command, manifest, environment)
        assert result.success, result.exception
        by_mode[increment] = {
            outcome.node.name: outcome.node.compiled_code.strip()
            for outcome in result.result.results
            if outcome.node.resource_type == "model"
        }
        assert by_mode[increment].keys() == MODELS.keys()
    return Compiled(by_mode[False], by_mode.get(True, {}))


class Lab:
    """A warehouse of events alone, in memory."""

    def __init__(self, models: Compiled) -> None:
        self.models = models
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("attach ':memory:' as work; use work; set timezone = 'UTC'")
        for schema in ("staging", "intermediate", "reference"):
            self.connection.execute(f"create schema {schema}")
        kinds = PROJECT_ROOT / "seeds" / "reference" / "event_kinds.csv"
        self.connection.execute(f"create table reference.event_kinds as from read_csv('{kinds}')")

    def build(self, events: Sequence[Mapping[str, object]], *, increment: bool = False) -> None:
        """Build fragments and sessions of these events, anew or on what the last build left."""
        rows = [
            dict.fromkeys(EVENT.names) | dict(event) | {"_row_hash": repr(sorted(event.items()))}
            for event in events
        ]
        landed = pa.Table.from_pylist(rows, EVENT)
        self.connection.register("landed", landed)
        self.connection.execute(
            "create or replace table staging.stg_web__events as from landed order by random()"
        )
        for name, replaces in list(MODELS.items())[:5]:
            table = f"intermediate.{name}"
            sql = (self.models.increment if increment else self.models.full)[name]
            if increment and replaces:
                key, changed = replaces
                self.connection.execute(f"create or replace temp table added as {sql}")
                self.connection.execute(
                    f"delete from {table} where {key} in (select {key} from intermediate.{changed})"
                )
                self.connection.execute(f"insert into {table} by name from added")
            else:
                self.connection.execute(f"create or replace table {table} as {sql}")

    def sessions(self) -> list[tuple[Any, ...]]:
        """Visitor, start, end, events and account of each session."""
        return self.connection.execute(
            "select visitor_id, started_at, ended_at, event_count, account_id"
            " from intermediate.int_sessions_joined order by all"
        ).fetchall()

    def all_of(self, model: str) -> list[tuple[Any, ...]]:
        """Every row of a model, in an order of its own."""
        return self.connection.execute(f"from intermediate.{model} order by all").fetchall()

    def credits(self, touches: pa.Table) -> list[tuple[Any, ...]]:
        """Order, model, position and both credits, of rows of int_touches_weighed."""
        self.connection.register("weighed", touches)
        self.connection.execute(
            "create or replace table intermediate.int_touches_weighed as from weighed"
        )
        by_model = " union all ".join(
            f"select order_key, '{name}', touch_position, {name}_ratio, {name}_amount from credited"
            for name in ATTRIBUTION_MODELS
        )
        credited = self.models.full["channel_attribution"]
        return self.connection.execute(
            f"with credited as materialized ({credited}) {by_model} order by all"
        ).fetchall()


def at(text: str) -> datetime:
    """A time, UTC."""
    return datetime.fromisoformat(text)
