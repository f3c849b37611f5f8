"""Open the databases of a run for a gate, and always give them back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb

from orchestration.database import DatabaseFile, candidate_file
from orchestration.settings import Settings
from orchestration.sql import literal

# catalog name to (file, schema) of the files that are attached beside the working database
Attached = Mapping[str, tuple[DatabaseFile, str]]

# The catalog of the marts' file, named as in dbt; nobody needs to write it in a suite.
CANDIDATE = "release_candidate"


class GateError(RuntimeError):
    """The gate itself broke, so nothing is known about the data: says where and why."""


@contextmanager
def opened(
    database: DatabaseFile,
    read_only: bool = False,
    attached: Attached | None = None,
    config: Mapping[str, str | int] | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the database for the block, with other files attached read-only beside it.

    config: DuckDB settings. Raises GateError when it is missing or somebody else holds it.
    """
    if not database.path.exists():
        raise GateError(f"{database.path}: there is no such database. Build the layer first.")
    try:
        connection = database.connect(read_only=read_only, config=config)
    except duckdb.Error as error:
        raise GateError(
            f"{database.path}: cannot be opened ({error}). Close what holds it, then run again."
        ) from error
    try:
        for catalog, (file, _) in (attached or {}).items():
            file.attach(connection, catalog)
        if attached:
            connection.execute(search_path(database, attached))
        yield connection
    finally:
        connection.close()


def attached_for(layer: str, settings: Settings) -> Attached:
    """Return the files that the layer's gate reads beside the working database: the marts' own."""
    if layer != "marts":
        return {}
    if not settings.candidate_database.exists():
        raise GateError(
            f"{settings.candidate_database}: there is no such database. Build the marts first."
        )
    return {CANDIDATE: (candidate_file(settings), "marts")}


def search_path(database: DatabaseFile, attached: Attached) -> str:
    """SQL after which `schema.table` finds a table in whichever file holds the schema."""
    found_in = [f"{database.path.stem}.main"]
    found_in += [f"{catalog}.{schema}" for catalog, (_, schema) in attached.items()]
    return f"set search_path = {literal(','.join(found_in))}"
