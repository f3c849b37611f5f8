"""The verb of the `warehouse` command about exports: export."""

import argparse
from typing import TYPE_CHECKING

from rich.table import Table

from orchestration.console import console
from orchestration.settings import Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verb of exports beside the others."""
    export = verbs.add_parser("export", help="export audiences of the current release anew")
    export.add_argument("name", nargs="*", metavar="NAME", help="which; default: all declared ones")
    export.set_defaults(action=_export)


def _export(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.activation.declarations import read_exports  # noqa: PLC0415 - DuckDB
    from orchestration.activation.exporting import export_each, told  # noqa: PLC0415
    from orchestration.release import ReleaseError, current_release  # noqa: PLC0415
    from orchestration.run import WarehouseBusyError, only_one_run  # noqa: PLC0415 - Dagster
    from orchestration.transform.rule_files import SegmentRuleError, nearest  # noqa: PLC0415

    try:
        declared = {one.name: one for one in read_exports()}
    except SegmentRuleError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    for name in options.name:
        if name not in declared:
            console.print(
                f"There is no export {name!r}{nearest(name, declared)}; governance/exports.yml"
                f" declares {', '.join(declared) or 'none'}.",
                style="red",
                markup=False,
            )
            return 2
    chosen = [declared[name] for name in dict.fromkeys(options.name)] or [*declared.values()]
    try:
        with only_one_run(settings):
            release = current_release(settings)
            if release is None:
                console.print(f"Nothing is released in {settings.home} yet.", markup=False)
                return 1
            made, problems = export_each(settings, chosen, release)
    except (ReleaseError, WarehouseBusyError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    table = Table("export", "as of", "what is in it", "", box=None)
    for version in made:
        manifest = version.manifest
        state = "new" if version.is_new else "was exported before, unchanged"
        table.add_row(manifest.export, manifest.as_of.isoformat(), told(manifest), state)
    if made:
        console.print(table)
    for version in made:
        console.print(str(version.path), markup=False)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    return 1 if problems else 0
