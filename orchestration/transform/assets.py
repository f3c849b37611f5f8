"""The dbt models as Dagster assets, one step per layer, so that a gate can stand between two."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtProject,
    dbt_assets,
)

from orchestration.database import DatabaseFile, candidate_file, working_file
from orchestration.gates import GateError, check_layers_before, close_layer, open_layer
from orchestration.landing import Feed
from orchestration.provenance import provenance
from orchestration.run import Warehouse
from orchestration.settings import Settings
from orchestration.transform.dbt import LAYERS, BuiltNode, TransformError, parse, target_folder
from orchestration.transform.layers import build_layer

# dbt sources with this name at the front are tables of the same layer, before an increment brings
# them up to date.
LAST_BUILD = "last_build"


class Translator(DagsterDbtTranslator):
    """Asset keys are `<schema>/<model>`; a source table is `raw/<source>/<things>`."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Key of a model, seed or source table."""
        properties = dbt_resource_props
        if properties["resource_type"] != "source":
            return dg.AssetKey([properties["schema"], properties["name"]])
        if properties["source_name"] == properties["schema"]:
            return dg.AssetKey([properties["schema"], properties["name"]])
        return dg.AssetKey([properties["schema"], properties["source_name"], properties["name"]])

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """The spec of a model or seed; tables as the last build left them are nothing to wait for.

        Dagster knows them by the name of their table as what this build makes of them, and a graph
        with such a circle is not drawn.
        """
        spec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(
            deps=[dep for dep in spec.deps if not dep.asset_key.path[1].startswith(LAST_BUILD)]
        )

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """The owner that the model's board names; seeds and sources are the data platform's."""
        meta = dbt_resource_props.get("config", {}).get("meta", {})
        return [f"team:{meta.get('owner', 'data-platform')}"]


# dbt's tests judge the code in CI; a run is judged by the gates, which are checks of their own.
TRANSLATOR = Translator(DagsterDbtTranslatorSettings(enable_asset_checks=False))


@lru_cache(maxsize=1)
def _manifest(home: Path) -> Any:
    """What dbt parses says nothing of the as-of day: once a process for each installation."""
    return parse(Settings(home=home))


def transform_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """One definition per layer, from the manifest that is parsed here and reused by the run."""
    _manifest(settings.home)
    written = target_folder(settings) / "manifest.json"
    return [_layer_assets(layer, written) for layer in LAYERS]


def restage(settings: Settings, feeds: Sequence[Feed]) -> None:
    """Build the staging tables of some feeds anew, within a run. Raises TransformError."""
    build_layer(settings, _manifest(settings.home), "staging", [f"stg_{f.table}" for f in feeds])


def _layer_assets(layer: str, manifest: Path) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=manifest,
        select=LAYERS[layer],
        name=layer,
        dagster_dbt_translator=TRANSLATOR,
    )
    def assets(
        context: dg.AssetExecutionContext, warehouse: Warehouse
    ) -> Iterator[dg.MaterializeResult[None]]:
        settings = warehouse.settings
        selected = context.selected_asset_keys
        only = [key.path[-1] for key in sorted(selected)] if context.is_subset else []
        with warehouse.stage(layer) as stage:
            with working_file(settings).connect() as connection:
                try:
                    check_layers_before(connection, layer)
                except GateError as error:
                    raise dg.Failure(description=str(error), allow_retries=False) from error
                inputs = str(provenance(settings, connection)["inputs"])
                before = open_layer(connection, layer)
            try:
                nodes = build_layer(
                    settings, _manifest(settings.home), layer, only, anew=warehouse.rebuild
                )
            except TransformError as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            # some tables alone: the layer is whole if the others were made from the same inputs
            if not only or before == inputs:
                with working_file(settings).connect() as connection:
                    close_layer(connection, layer, inputs)
            rows = _row_counts(working_file(settings), candidate_file(settings))
            stage.rows = sum(rows.get((node.schema, node.name), 0) for node in nodes)
        for node in nodes:
            yield _materialized(node, rows)

    return assets


def _materialized(
    node: BuiltNode, rows: Mapping[tuple[str, str], int]
) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(
        asset_key=dg.AssetKey([node.schema, node.name]),
        metadata={
            "dagster/row_count": rows.get((node.schema, node.name), 0),
            "seconds": dg.MetadataValue.float(round(node.seconds, 3)),
        },
    )


def _row_counts(*databases: DatabaseFile) -> dict[tuple[str, str], int]:
    """Rows per (schema, table) from the catalogue: exact after a checkpoint, and free."""
    counts: dict[tuple[str, str], int] = {}
    for database in databases:
        if database.path.exists():
            with database.connect(read_only=True) as connection:
                rows = connection.execute(
                    "select schema_name, table_name, estimated_size from duckdb_tables()"
                ).fetchall()
            counts |= {(schema, table): size for schema, table, size in rows}
    return counts
