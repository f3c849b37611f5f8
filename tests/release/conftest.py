"""A small house in a temporary folder: marts in SQL, published on a clock of its own."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.release import Release, publish
from orchestration.release.roles import Role
from orchestration.settings import Settings

# Sees the columns of the small marts, as everybody may.
READER = Role(
    name="reader",
    description="Reads what tests publish.",
    mode="0644",
    tables="everything",
    columns={"customer_id": "show", "name": "show", "marker": "show"},
)
MONDAY = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # A name that breaks every path that is pasted into SQL or taken for a pattern.
    home = tmp_path / "it's [a] home"
    home.mkdir()
    return Settings(home=home, keep_releases=3, as_of=date(2026, 3, 1), memory_limit="1GiB")


@pytest.fixture
def build(settings: Settings) -> Callable[..., None]:
    """Write the candidate from empty by SQL, as a run does."""

    def build(*statements: str, storage_version: str = "v1.0.0") -> None:
        settings.candidate_database.unlink(missing_ok=True)
        with duckdb.connect() as connection:
            path = str(settings.candidate_database).replace("'", "''")
            connection.execute(
                f"attach '{path}' as candidate (storage_version '{storage_version}')"
            )
            connection.execute("use candidate")
            connection.execute("create schema marts")
            for statement in statements:
                connection.execute(statement)

    return build


@pytest.fixture
def release(settings: Settings, build: Callable[..., None]) -> Callable[..., Release]:
    """Build marts and publish them, an hour after the last time unless a moment is given."""
    clock = [MONDAY]

    def release(
        *statements: str, at: datetime | None = None, roles: Sequence[Role] = (READER,)
    ) -> Release:
        if statements:
            build(*statements)
        clock[0] += timedelta(hours=1)
        return publish(
            settings,
            gates=[{"gate": "marts", "success": True}],
            provenance={"code_version": "abc123"},
            released_at=at or clock[0],
            roles=roles,
        )

    return release
