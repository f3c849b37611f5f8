"""What dbt compiled, run by one bare DuckDB connection: the least that the models can cost here.

The same SQL in the same order with the settings of profiles.yml, without dbt: no contracts, no
renaming of tables, no catalogue queries.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal


@dataclass(frozen=True)
class BareModel:
    """A model that was made bare. cpu_seconds: of all threads."""

    schema: str
    name: str
    seconds: float
    cpu_seconds: float


def connect_bare(settings: Settings, folder: Path) -> duckdb.DuckDBPyConnection:
    """Open the two databases of an installation as profiles.yml does, but in this folder."""
    # The compiled SQL names its databases, so the files must bear the same names.
    connection = duckdb.connect(
        str(folder / settings.working_database.name),
        config={"storage_compatibility_version": "latest"},
    )
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"set memory_limit = '{settings.memory_limit}'")
    connection.execute(f"set threads = {settings.threads}")
    connection.execute("set preserve_insertion_order = false")
    connection.execute("set checkpoint_threshold = '4GB'")
    candidate = settings.candidate_database
    connection.execute(
        f"attach {literal(folder / candidate.name)} as {candidate.stem} (storage_version 'v1.0.0')"
    )
    return connection


def make_bare(
    connection: duckdb.DuckDBPyConnection, settings: Settings, folders: tuple[str, ...] = ()
) -> Iterator[BareModel]:
    """Make the seeds and models as tables and views, in the order of dependencies.

    settings: the installation whose last build compiled them. folders: those of `models/` to make;
    without any, everything and the seeds.
    """
    target = settings.home / "dbt"
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    compiled = target / "compiled" / manifest["metadata"]["project_name"]
    nodes = {
        name: node
        for name, node in manifest["nodes"].items()
        if (node["resource_type"] == "seed" and not folders)
        or (node["resource_type"] == "model" and (not folders or node["fqn"][1] in folders))
    }
    order = TopologicalSorter(
        {
            name: [other for other in node["depends_on"].get("nodes", []) if other in nodes]
            for name, node in nodes.items()
        }
    )
    for database, schema in sorted({(n["database"], n["schema"]) for n in nodes.values()}):
        connection.execute(f'create schema if not exists "{database}"."{schema}"')
    for name in order.static_order():
        node = nodes[name]
        wall, cpu = time.perf_counter(), time.process_time()
        _make(connection, node, compiled / node["original_file_path"])
        yield BareModel(
            node["schema"],
            node["name"],
            time.perf_counter() - wall,
            time.process_time() - cpu,
        )


def _make(connection: duckdb.DuckDBPyConnection, node: dict[str, Any], compiled: Path) -> None:
    relation = node["relation_name"]
    if node["resource_type"] == "seed":
        connection.execute(f"create table {relation} as {_seed_query(node)}")
    elif compiled.suffix == ".py":
        made = _run_python(connection, compiled)  # noqa: F841 - read by its name
        connection.execute(f"create table {relation} as from made")
    else:
        kind = "view" if node["config"]["materialized"] == "view" else "table"
        connection.execute(f"create {kind} {relation} as {compiled.read_text(encoding='utf-8')}")


def _run_python(connection: duckdb.DuckDBPyConnection, compiled: Path) -> Any:
    """Return what a Python model returns; its code costs the same with and without dbt."""

    def load(table: str) -> duckdb.DuckDBPyRelation:
        return connection.query(f"select * from {table}")

    names: dict[str, Any] = {"__name__": compiled.stem, "__file__": str(compiled)}
    exec(compile(compiled.read_text(encoding="utf-8"), str(compiled), "exec"), names)  # noqa: S102
    return names["model"](names["dbtObj"](load), connection)


def _seed_query(node: dict[str, Any]) -> str:
    """A seed read as dbt reads it, with the column types that its board declares."""
    types = node["config"].get("column_types") or {}
    declared = ", ".join(f"'{column}': '{type_}'" for column, type_ in types.items())
    path = (PROJECT_ROOT / "dbt_project" / node["original_file_path"]).resolve()
    types_option = f", types = {{{declared}}}" if declared else ""
    return f"select * from read_csv({literal(path)}, header = true{types_option})"
