"""The declared exports as Dagster assets, of the release that the run has just made."""

from collections.abc import Iterator

import dagster as dg

from orchestration.activation.declarations import Export, read_exports
from orchestration.activation.exporting import Version, export_each
from orchestration.operations.ledger import BACKFILL
from orchestration.release import ReleaseError, current_release
from orchestration.release.assets import RELEASE_KEY
from orchestration.run import Warehouse, log
from orchestration.transform.rule_files import SegmentRuleError

# The first part of the keys of all exports.
EXPORTS = "exports"


def export_assets() -> list[dg.AssetsDefinition]:
    """One asset for each declared export; none while the declarations cannot be used.

    The landing then stops the run with what is wrong in them, before anything is landed.
    """
    try:
        declared = read_exports()
    except SegmentRuleError:
        return []
    return [_exports(declared)] if declared else []


def _exports(declared: tuple[Export, ...]) -> dg.AssetsDefinition:
    # One step for all of them: a step of its own costs a run 0.1 s of bookkeeping.
    @dg.multi_asset(
        name="exports",
        can_subset=True,
        specs=[
            dg.AssetSpec(
                key=[EXPORTS, one.name],
                deps=[RELEASE_KEY],
                description=one.description,
                group_name="activation",
                owners=[f"team:{one.owner}"],
                kinds={one.format.value},
                skippable=True,
                metadata={
                    "audience": one.audience,
                    "identifier": one.identifier.value,
                    "platform": one.platform.value if one.platform else "none",
                    "mode": one.mode.value,
                },
            )
            for one in declared
        ],
    )
    def exports(
        context: dg.AssetExecutionContext, warehouse: Warehouse
    ) -> Iterator[dg.MaterializeResult[None]]:
        """Hand on who may be contacted; what fails does not hide that the release was made."""
        record = warehouse.record
        if record.started_by == BACKFILL:
            log.info("a backfill exports nothing: `warehouse export` does when it is through")
            return
        settings = warehouse.settings
        chosen = {key.path[-1] for key in context.selected_asset_keys}
        with warehouse.stage("exports") as stage:
            try:
                release = current_release(settings)
                if release is None:
                    raise ReleaseError(f"Nothing is released in {settings.home} yet.")
            except ReleaseError as error:
                raise dg.Failure(description=str(error), allow_retries=False) from error
            made, problems = export_each(
                settings, [one for one in declared if one.name in chosen], release, log.info
            )
            stage.rows = sum(version.manifest.row_counts["members"] for version in made)
            for version in made:
                record.exports[version.manifest.export] = version.path.name
                yield _result(version)
            if problems:
                record.exports_behind = " ".join(problems)
                raise dg.Failure(description=record.exports_behind, allow_retries=False)

    return exports


def _result(version: Version) -> dg.MaterializeResult[None]:
    manifest = version.manifest
    return dg.MaterializeResult(
        asset_key=[EXPORTS, manifest.export],
        metadata={
            "release": manifest.release_id,
            "path": dg.MetadataValue.path(str(version.path)),
            "dagster/row_count": manifest.row_counts["members"],
            "mode": manifest.mode,
            "added": manifest.row_counts.get("added", 0),
            "removed": manifest.row_counts.get("removed", 0),
            "left out": sum(manifest.left_out.values()),
            "content hash": manifest.content_hash,
        },
    )
