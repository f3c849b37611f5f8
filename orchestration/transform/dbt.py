"""dbt inside this process: one manifest, parsed once and handed over to every stage.

Measured on 2 cores with 60 models: dbt as a subprocess per stage cost 45 CPU seconds a run, in
process with a prepared manifest 30.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestration.database import candidate_file, working_file
from orchestration.faults import remove_database
from orchestration.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

DBT_PROJECT = PROJECT_ROOT / "dbt_project"

# Layer -> dbt selection. Seeds are read by identity and marts only, but are cheap and come first.
LAYERS: Mapping[str, str] = {
    "staging": "resource_type:seed fqn:customer_warehouse.staging",
    "identity": "fqn:customer_warehouse.identity",
    "marts": "fqn:customer_warehouse.intermediate fqn:customer_warehouse.marts",
}


class TransformError(Exception):
    """A model could not be parsed or built; the message names the model and DuckDB's reason."""


@dataclass(frozen=True)
class BuiltNode:
    """A seed or model that was built. seconds: wall time; cpu_seconds: of all threads."""

    unique_id: str
    schema: str
    name: str
    seconds: float
    cpu_seconds: float


def target_folder(settings: Settings) -> Path:
    """Where dbt leaves manifest and compiled SQL of this installation."""
    return settings.home / "dbt"


def parse(settings: Settings) -> "Manifest":
    """Parse the project; 5 s the first time, 0.4 s while nothing changed (dbt's partial parse).

    Without dbt's own tests: a run asks none of them, and each stage would link all of them anew,
    which was half of what one model alone costs (0.4 CPU s).

    The environment is a constant one: dbt would parse everything anew on another as-of day or in
    another home, though what it parses says nothing of either.
    """
    result = _invoke(settings, ["parse"], None, {"WAREHOUSE_AS_OF": "2000-01-01"})
    remembered = target_folder(settings) / "partial_parse.msgpack"
    if not result.success and remembered.exists():
        # What dbt remembers of an older project may name models and tests that are gone by now.
        remembered.unlink()
        result = _invoke(settings, ["parse"], None, {"WAREHOUSE_AS_OF": "2000-01-01"})
    if not result.success:
        raise TransformError(f"dbt cannot parse {DBT_PROJECT}: {result.exception}")
    manifest = cast("Manifest", result.result)
    manifest.nodes = {
        name: node for name, node in manifest.nodes.items() if not name.startswith("test.")
    }
    manifest.unit_tests = {}
    manifest.build_parent_and_child_maps()  # type: ignore[no-untyped-call]
    return manifest


def build(
    settings: Settings,
    manifest: "Manifest",
    layer: str,
    only: Sequence[str] = (),
    *,
    excluding: Sequence[str] = (),
    increment: bool = False,
    variables: Mapping[str, object] | None = None,
) -> list[BuiltNode]:
    """Build the seeds and models of a layer, or only those named, without dbt's own tests.

    excluding: names of models that are left as they are. increment: models that know how add to
    the tables of the last build instead of making them anew; only when `layers.build_layer` has
    found that they may. variables: of dbt, instead of those in dbt_project.yml.

    The gates judge the data of a run; dbt's data and unit tests judge the code (`dbt build`, CI).
    Raises TransformError naming each node that failed.
    """
    if layer == "marts" and not only and not increment:
        # Written from empty: a file that is copied as it stands holds no freed blocks.
        remove_database(settings.candidate_database)
    selection = list(only) or LAYERS[layer].split()
    command = ["build", "--no-write-json", "--select", *selection]
    if excluding:
        command += ["--exclude", *excluding]
    if not increment:
        command.append("--full-refresh")
    if variables:
        command += ["--vars", json.dumps(dict(variables))]
    environment = _variables(settings) | {"WAREHOUSE_INCREMENT": "yes" if increment else "no"}
    cpu = _CpuOfNodes()
    with _opened(settings):
        result = _invoke(settings, command, manifest, environment, [cpu])
    outcomes = getattr(result.result, "results", [])
    failed = [o for o in outcomes if o.status in ("error", "fail", "runtime error")]
    if failed:
        reasons = "; ".join(f"{o.node.name}: {' '.join(str(o.message).split())}" for o in failed)
        raise TransformError(f"dbt could not build {layer}: {reasons}")
    if not result.success:
        raise TransformError(f"dbt could not build {layer}: {result.exception}")
    return [
        BuiltNode(
            o.node.unique_id,
            o.node.schema,
            o.node.name,
            o.execution_time,
            cpu.seconds.get(o.node.unique_id, 0.0),
        )
        for o in outcomes
        if o.node.resource_type in ("model", "seed")
    ]


class _CpuOfNodes:
    """Listens to dbt's events; CPU seconds of this process between start and end of each node.

    Nodes are built one at a time (profiles.yml), so what is spent in between is the node's.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = 0.0

    def __call__(self, event: "EventMsg") -> None:
        """Take note of one event."""
        if event.info.name == "NodeStart":
            self._started = time.process_time()
        elif event.info.name == "NodeFinished":
            self.seconds[event.data.node_info.unique_id] = time.process_time() - self._started


def lasting_models(manifest: "Manifest", layer: str) -> list[BuiltNode]:
    """Return the models of a layer that an increment leaves as they are.

    Views, and those that their board calls `lasting`: they hang on what an increment is never
    allowed to change.
    """
    return [
        BuiltNode(name, node.schema, node.name, 0.0, 0.0)
        for name, node in manifest.nodes.items()
        if name.startswith("model.")
        and node.fqn[1] == layer
        and (node.config.materialized == "view" or node.config.meta.get("lasting"))
    ]


def topological_order(manifest: "Manifest") -> list[str]:
    """Unique ids of all seeds and models, each after what it reads."""
    depends_on = {name: node.depends_on_nodes for name, node in manifest.nodes.items()}
    return list(TopologicalSorter(depends_on).static_order())


def compile_inline(settings: Settings, manifest: "Manifest", jinja: str) -> str:
    """Return the SQL that the project's macros and references make of a piece of Jinja.

    Nothing is built. Raises TransformError when the Jinja cannot be compiled.
    """
    command = ["compile", "--inline", jinja, "--no-introspect", "--no-populate-cache"]
    result = _invoke(settings, command, manifest, _variables(settings))
    outcomes = getattr(result.result, "results", [])
    if not result.success or not outcomes:
        raise TransformError(f"dbt cannot compile a query: {result.exception}")
    return str(outcomes[0].node.compiled_code)


def _variables(settings: Settings) -> dict[str, str]:
    return {
        "WAREHOUSE_HOME": str(settings.home),
        "WAREHOUSE_DATABASE": working_file(settings).instance,
        "WAREHOUSE_AS_OF": settings.as_of.isoformat(),
        "WAREHOUSE_MEMORY_LIMIT": settings.memory_limit,
        "WAREHOUSE_THREADS": str(settings.threads),
    }


def _invoke(
    settings: Settings,
    command: list[str],
    manifest: "Manifest | None",
    environment: Mapping[str, str],
    callbacks: "Sequence[Callable[[EventMsg], None]]" = (),
) -> "dbtRunnerResult":
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415 - 0.5 s
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    settings.home.mkdir(parents=True, exist_ok=True)
    arguments = [
        *("--log-level", "none"),
        *("--log-path", str(target_folder(settings))),
        *command,
        *("--project-dir", str(DBT_PROJECT)),
        *("--profiles-dir", str(DBT_PROJECT)),
        *("--target-path", str(target_folder(settings))),
    ]
    with _environment(environment):
        try:
            return dbtRunner(manifest=manifest, callbacks=list(callbacks)).invoke(arguments)
        finally:
            # Otherwise the process keeps DuckDB's lock on the file after dbt has finished.
            DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


@contextmanager
def _opened(settings: Settings) -> Iterator[None]:
    """Have encrypted databases open for a while: dbt comes in by their instance, without a key."""
    working, marts = working_file(settings), candidate_file(settings)
    if working.key is None:
        yield
        return
    with working.connect() as connection:
        marts.attach_for_writing(connection, marts.path.stem)
        yield


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Only these WAREHOUSE_ variables, which profiles.yml and the as-of macro read, for a while."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("WAREHOUSE_"):
            del os.environ[name]
    os.environ.update(environment, DBT_SEND_ANONYMOUS_USAGE_STATS="false")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
