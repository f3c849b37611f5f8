"""The data dictionary, `docs/dictionary.md`, written from the boards of the marts.

`python -m orchestration.transform.dictionary` rewrites the file.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.governance.models import Model, read_models
from orchestration.governance.register import Register, read_register
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import parse

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

DICTIONARY_PATH = PROJECT_ROOT / "docs" / "dictionary.md"

_INTRODUCTION = """\
# Data dictionary

Every published table, column and metric. This page is generated from the boards in
`dbt_project/models/marts/` (`make dictionary`); a test keeps it current. Times are UTC, amounts are
decimal(18, 4), probabilities and ratios are between 0 and 1, and everything is as of one day.
`class` says how closely a value points at a person; classes and purposes are explained in
[governance.md](governance.md).

"""


def dictionary_text(manifest: "Manifest", register: Register | None = None) -> str:
    """Return the dictionary as Markdown; in the order of rooms and boards."""
    return _INTRODUCTION + "".join(_lines(manifest, register or read_register()))


def _lines(manifest: "Manifest", register: Register) -> Iterator[str]:
    models = read_models(manifest)
    marts = [
        node
        for name, node in sorted(manifest.nodes.items())
        if name.startswith("model.") and node.fqn[1] == "marts"
    ]
    marts.sort(key=lambda node: (node.fqn[2], node.name))
    for room, nodes in groupby(marts, key=lambda node: node.fqn[2]):
        tables = list(nodes)
        links = ", ".join(f"[{node.name}](#{node.name})" for node in tables)
        yield f"- **{room}**: {links}\n"
    yield "- [metrics](#metrics), [who reads what](#who-reads-what)\n"
    for node in marts:
        yield from _table(node, models[node.unique_id], register)
    yield from _metrics(manifest)
    yield from _exposures(manifest)


def _table(node: Any, model: Model, register: Register) -> Iterator[str]:
    meta: Mapping[str, Any] = node.config.meta
    grain = meta["grain"] if isinstance(meta["grain"], list) else [meta["grain"]]
    yield f"\n## {node.name}\n\n{_line(node.description)}\n\n"
    purposes = {column.name: column.purposes for column in model.columns}
    differs = any(own != model.purposes for own in purposes.values())
    yield f"One row per {', '.join(f'`{column}`' for column in grain)}. Owner: {meta['owner']}."
    yield f" Purpose: {', '.join(model.purposes)}{', where no other is named' * differs}.\n\n"
    yield f"| column | type | class |{' purpose |' * differs} meaning |\n"
    yield f"|---|---|---|{'---|' * differs}---|\n"
    for column in node.columns.values():
        own = purposes[column.name]
        other = ", ".join(own) if own != model.purposes else ""
        yield (
            f"| `{column.name}` | {column.data_type} | {register.pii(model.name, column.name)} |"
            f"{f' {other} |' * differs} {_line(column.description)} |\n"
        )


def _metrics(manifest: "Manifest") -> Iterator[str]:
    yield "\n## metrics\n\n`warehouse metrics <name> --by <dimension>` answers them.\n\n"
    yield "| metric | kind | meaning |\n|---|---|---|\n"
    for metric in _by_name(manifest.metrics.values()):
        yield f"| `{metric.name}` | {metric.type.value} | {_line(metric.description)} |\n"


def _exposures(manifest: "Manifest") -> Iterator[str]:
    yield "\n## who reads what\n\n| reader | kind | owner | tables | meaning |\n"
    yield "|---|---|---|---|---|\n"
    for exposure in _by_name(manifest.exposures.values()):
        tables = ", ".join(sorted(f"`{ref.name}`" for ref in exposure.refs))
        yield (
            f"| {exposure.label or exposure.name} | {exposure.type.value} | {exposure.owner.name} |"
            f" {tables} | {_line(exposure.description)} |\n"
        )


def _by_name(nodes: Iterable[Any]) -> list[Any]:
    return sorted(nodes, key=lambda node: node.name)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write `docs/dictionary.md`."""
    with tempfile.TemporaryDirectory() as home:
        text = dictionary_text(parse(Settings(home=Path(home))))
    DICTIONARY_PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
