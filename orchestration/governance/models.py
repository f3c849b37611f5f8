"""The models of the project with what their boards say, and the feeds that they are made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestration.landing.feeds import Feed

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

LAYERS = ("staging", "identity", "intermediate", "marts")


@dataclass(frozen=True)
class ModelColumn:
    """purposes: of its own, else those of the model. own_class: words of a class on the board."""

    name: str
    purposes: tuple[str, ...]
    own_class: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """One dbt model.

    board: its file from the project on. reads: unique ids of its parents. changed: name of the one
    that only says which of its rows an increment replaces; nothing of it is in the model.
    """

    unique_id: str
    name: str
    layer: str
    room: str
    board: str
    owner: str
    purposes: tuple[str, ...]
    columns: tuple[ModelColumn, ...]
    reads: tuple[str, ...]
    changed: str = ""


def read_models(manifest: "Manifest") -> dict[str, Model]:
    """Return the models by unique id, in the order of layers, rooms and names."""
    models = [
        _model(unique_id, node)
        for unique_id, node in manifest.nodes.items()
        if unique_id.startswith("model.") and node.fqn[1] in LAYERS
    ]
    models.sort(key=lambda model: (LAYERS.index(model.layer), model.room, model.name))
    return {model.unique_id: model for model in models}


def _model(unique_id: str, node: Any) -> Model:
    meta: Mapping[str, Any] = node.config.meta
    purposes = _words(meta.get("purpose"))
    columns = tuple(
        ModelColumn(
            column.name,
            _words(column.config.meta.get("purpose")) or purposes,
            (
                *_words(column.config.meta.get("pii")),
                *(tag for tag in column.config.tags if tag.startswith("pii")),
            ),
        )
        for column in node.columns.values()
    )
    return Model(
        unique_id=unique_id,
        name=node.name,
        layer=node.fqn[1],
        room=node.fqn[2] if len(node.fqn) > 3 else node.fqn[1],
        board=str(node.patch_path or node.original_file_path).split("://")[-1],
        owner=str(meta.get("owner") or ""),
        purposes=purposes,
        columns=columns,
        reads=tuple(node.depends_on_nodes),
        changed=str((meta.get("replaces") or {}).get("changed", "")),
    )


def source_feeds(manifest: "Manifest", feeds: Sequence[Feed]) -> dict[str, Feed]:
    """Return the feed behind each dbt source, by unique id."""
    by_table = {feed.table: feed for feed in feeds}
    return {
        unique_id: by_table[source.identifier]
        for unique_id, source in manifest.sources.items()
        if source.schema == "raw" and source.identifier in by_table
    }


def ancestors(
    models: Mapping[str, Model], start: str, *, past: Sequence[str] = LAYERS
) -> Iterator[str]:
    """Yield what a model is made from, models and sources, without what lies behind other layers.

    past: the layers whose models are looked through; a model of another layer is yielded, and
    nothing that it reads. Models that only say what has changed are left out.
    """
    changes = {model.changed for model in models.values()}
    seen: set[str] = set()
    waiting = list(models[start].reads)
    while waiting:
        name = waiting.pop()
        if name in seen or name.rpartition(".")[2] in changes:
            continue
        seen.add(name)
        yield name
        model = models.get(name)
        if model and model.layer in past:
            waiting.extend(model.reads)


def _words(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)
