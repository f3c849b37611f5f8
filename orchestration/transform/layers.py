"""A layer built as a run builds it: anew, or only what has changed since its last build."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.database import DatabaseFile, candidate_file, working_file
from orchestration.identity import state
from orchestration.provenance import code_hash
from orchestration.settings import Settings
from orchestration.sql import quoted
from orchestration.transform import builds
from orchestration.transform.dbt import BuiltNode, build, lasting_models, topological_order

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

log = logging.getLogger("warehouse")


def build_layer(
    settings: Settings,
    manifest: "Manifest",
    layer: str,
    only: Sequence[str] = (),
    *,
    anew: bool = False,
) -> list[BuiltNode]:
    """Build a layer, or only the models named, each after what it reads.

    anew: everything, also where an increment is allowed. Models built by themselves void the build
    of their layer, because they may speak of other rows than the rest. Raises TransformError.
    """
    if layer not in _BUILDS:
        return build(settings, manifest, layer, only)
    if only:
        with working_file(settings).connect() as connection:
            builds.void_build(connection, layer)
        return build(settings, manifest, layer, only)
    return _BUILDS[layer](settings, manifest, anew)


def _build_identity(settings: Settings, manifest: "Manifest", anew: bool) -> list[BuiltNode]:
    # The records first: how many there are is part of what allows an increment.
    nodes = build(settings, manifest, "identity", ["int_records_unioned"])
    with working_file(settings).connect() as connection:
        increment = state.open_build(connection, code_hash()) and not anew
    log.info("identity: %s", "only what has changed" if increment else "all records")
    lasting = lasting_models(manifest, "identity") if increment else []
    left = ["int_records_unioned", *(node.name for node in lasting)]
    nodes += [*lasting, *build(settings, manifest, "identity", excluding=left, increment=increment)]
    # Dagster takes the assets of a step only in the order of their dependencies
    order = {name: place for place, name in enumerate(topological_order(manifest))}
    nodes.sort(key=lambda node: order[node.unique_id])
    with working_file(settings).connect() as connection:
        builds.drop_leftovers(connection)
        state.close_build(connection)
    return nodes


def _build_marts(settings: Settings, manifest: "Manifest", anew: bool) -> list[BuiltNode]:
    """Build the models of `intermediate` and the marts; those that can, add to the last build.

    The marts that the last build left must be there as it left them, so their file is part of what
    allows an increment.
    """
    left = builds.version_of(settings.candidate_database)
    with working_file(settings).connect() as connection:
        increment = builds.open_build(connection, "marts", code_hash(), left) and not anew
    log.info("marts: %s", "only what has changed" if increment else "everything anew")
    if increment:
        _make_room(candidate_file(settings), manifest)
    nodes = build(settings, manifest, "marts", increment=increment)
    with working_file(settings).connect() as connection:
        builds.close_build(connection, "marts", builds.version_of(settings.candidate_database))
    return nodes


def _make_room(database: DatabaseFile, manifest: "Manifest") -> None:
    """Drop the marts that are made anew, so that they are written where their last rows were.

    Beside their last rows they would leave those as freed blocks, and a release that copies the
    file would be nearly twice as large.
    """
    lasting = {
        (node.schema, node.alias)
        for node in manifest.nodes.values()
        if node.config.materialized == "incremental"
    }
    with database.connect() as connection:
        tables = connection.execute("select schema_name, table_name from duckdb_tables()")
        for schema, table in tables.fetchall():
            if (schema, table) not in lasting:
                connection.execute(f"drop table {quoted(schema)}.{quoted(table)}")
        connection.execute("checkpoint")


_BUILDS = {"identity": _build_identity, "marts": _build_marts}
