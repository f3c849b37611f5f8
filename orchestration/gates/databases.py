"""Open the databases of a run for a gate, and always give them back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from orchestration.settings import Settings
from orchestration.sql import literal

# catalog name to (file, schema) of the files that are attached beside the working database
Attached = Mapping[str, tuple[str, str]]

# The catalog of the marts' file, named as in dbt; nobody needs to write it in a suite.
CANDIDATE = "release_candidate"


class GateError(RuntimeError):
    """The gate itself broke, so nothing is known about the data: says where and why."""


@contextmanager
def opened(
    database: Path, read_only: bool = False, attached: Attached | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the database for the block.

    Raises GateError when it is missing or somebody else holds it.
    """
    if not database.exists():
        raise GateError(f"{database}: there is no such database. Build the layer first.")
    try:
        connection = duckdb.connect(str(database), read_only=read_only)
    except duckdb.Error as error:
        raise GateError(
            f"{database}: cannot be opened ({error}). Close what holds it, then run again."
        ) from error
    try:
        for statement in attach_statements(database, attached or {}):
            connection.execute(statement)
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
    return {CANDIDATE: (str(settings.candidate_database), "marts")}


def attach_statements(database: Path, attached: Attached) -> list[str]:
    """SQL that attaches files read-only beside `database`.

    Afterwards `schema.table` finds a table in whichever file holds the schema.
    """
    if not attached:
        return []
    found_in = [f"{database.stem}.main"]
    found_in += [f"{catalog}.{schema}" for catalog, (_, schema) in attached.items()]
    return [
        *(
            f"attach {literal(file)} as {catalog} (read_only)"
            for catalog, (file, _) in attached.items()
        ),
        f"set search_path = {literal(','.join(found_in))}",
    ]
