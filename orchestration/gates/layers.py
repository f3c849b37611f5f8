"""Which layer may be built on which: only on what is whole, judged, and made from the same inputs.

Inside the job Dagster keeps the order. This is for every other way to start a stage: one asset or
one layer from the UI, a run without its checks, a landing that was killed half-way. Each layer
notes in `state.layers` what it was built from, see `orchestration.provenance`.
"""

import duckdb

from orchestration.gates.databases import GateError
from orchestration.gates.results import LAYERS, passed_gates, position_of_layer, void_gates
from orchestration.sql import literal, transaction

_WHOLE_JOB = "Run the whole job: `make run`, or the job `warehouse` in Dagster."


def check_layers_before(connection: duckdb.DuckDBPyConnection, layer: str) -> None:
    """Raise GateError unless every layer before this one is whole and its gate has passed since."""
    before = LAYERS[: position_of_layer(layer)]
    noted, passed = noted_layers(connection), passed_gates(connection)
    for other in before:
        if other not in noted:
            raise GateError(
                f"The {layer} layer was not built: the {other} layer is not whole, its last build "
                f"did not finish or there was none. {_WHOLE_JOB}"
            )
        if other not in passed:
            raise GateError(
                f"The {layer} layer was not built: the {other} gate has not passed since its layer "
                f"was built. {_WHOLE_JOB}"
            )


def open_layer(connection: duckdb.DuckDBPyConnection, layer: str) -> str | None:
    """Void the verdicts and the notes of a layer that is about to be built, and of those after it.

    Returns what the layer was built from before, for `close_layer`.
    """
    void = LAYERS[position_of_layer(layer) :]
    before = noted_layers(connection).get(layer)
    with transaction(connection):
        void_gates(connection, layer)
        for other in void:
            _forget(connection, other)
    return before


def open_landing(connection: duckdb.DuckDBPyConnection) -> None:
    """Note that the landing is being read: a kill from here on leaves rows that nobody judged."""
    _forget(connection, "landing")


def close_layer(connection: duckdb.DuckDBPyConnection, layer: str, inputs: str) -> None:
    """Note that a layer is whole. inputs: what all of its tables were built from."""
    with transaction(connection):
        _forget(connection, layer)
        connection.execute(f"insert into state.layers values ({literal(layer)}, {literal(inputs)})")


def why_not_released(connection: duckdb.DuckDBPyConnection, inputs: str) -> str | None:
    """Return why the marts may not be published, or nothing. inputs: those of this run."""
    passed = passed_gates(connection)
    missing = [layer for layer in LAYERS if layer not in passed]
    if missing:
        return (
            f"Not released: the {' and the '.join(missing)} gate has not passed since its layer "
            f"was built. {_WHOLE_JOB}"
        )
    noted = noted_layers(connection)
    other = [layer for layer in LAYERS if noted.get(layer) != inputs]
    if other:
        return (
            f"Not released: the {' and the '.join(other)} layer was built from other inputs than "
            "this run has (as-of day, code, reference data, landed files, decisions or "
            f"rectifications of stewards). {_WHOLE_JOB}"
        )
    return None


def noted_layers(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return what each whole layer was built from."""
    if not _is_known(connection):
        return {}
    return dict(connection.execute("select layer, inputs from state.layers").fetchall())


def _forget(connection: duckdb.DuckDBPyConnection, layer: str) -> None:
    connection.execute("create schema if not exists state")
    connection.execute(
        "create table if not exists state.layers (layer varchar not null, inputs varchar not null)"
    )
    connection.execute(f"delete from state.layers where layer = {literal(layer)}")


def _is_known(connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(
        connection.execute(
            "select 1 from duckdb_tables() where database_name = current_database()"
            " and schema_name = 'state' and table_name = 'layers'"
        ).fetchone()
    )
