"""The verb of the `warehouse` command that adds a source: new-source."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.console import console
from orchestration.settings import Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: "Verbs") -> None:
    """Register the verb beside the others."""
    new = verbs.add_parser("new-source", help="draft the sheet of a source, then place it answered")
    new.add_argument("name", metavar="SOURCE/THINGS", help="for example loyalty/members")
    new.add_argument(
        "--from",
        dest="sample",
        metavar="FILE",
        help="draft the sheet from this file; without it, the answered sheet is placed",
    )
    new.set_defaults(action=_new_source)


def _new_source(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    from orchestration.new_source.answers import read_sheet  # noqa: PLC0415 - DuckDB
    from orchestration.new_source.draft import (  # noqa: PLC0415
        TODO,
        NewSourceError,
        draft,
        sheet_path,
        split_name,
    )
    from orchestration.new_source.placing import place  # noqa: PLC0415

    try:
        if options.sample is not None:
            path = draft(options.name, Path(options.sample))
            console.print(
                f"{path}: answer every {TODO} in it, then give the command again without --from.",
                markup=False,
            )
            return 0
        split_name(options.name)
        path = sheet_path(options.name)
        for written in place(read_sheet(path, options.name)):
            console.print(f"  {written}", markup=False)
        path.unlink()
    except NewSourceError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(
        f"{options.name} is placed and its sheet removed; `git diff` shows what was written."
        " `make sources governance lint` writes the pages anew and checks the rest.",
        markup=False,
    )
    return 0
