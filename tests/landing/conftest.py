"""A landing folder to write into and a DuckDB to land in."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.landing import LandingReport, land
from orchestration.landing.withdrawals import Action, Withdrawal

LOADED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class World:
    """One landing and one working database."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.landing = folder / "landing"
        self.landing.mkdir()
        database = database or str(folder / "work.duckdb")
        self.connection = duckdb.connect(database, config={"threads": 2})
        self.runs = 0
        self.withdrawn: dict[tuple[str, str], Withdrawal] = {}

    def put(self, name: str, content: bytes | str) -> Path:
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        # Written an hour ago: what was written just now may still be on its way.
        settled = time.time_ns() - 3_600_000_000_000
        os.utime(path, ns=(settled, settled))
        return path

    def withdraw(self, name: str, content: bytes | str) -> tuple[str, str]:
        """Decide that a content of a file is wrong; returns path and content hash."""
        data = content.encode() if isinstance(content, str) else content
        version = name, hashlib.sha256(data).hexdigest()
        feed = name.rpartition("/")[0]
        self.withdrawn[version] = Withdrawal(
            Action.WITHDRAW, feed, *version, "Eva Lind", LOADED_AT, "wrong export"
        )
        return version

    def land(
        self,
        progress: Callable[[str], None] = lambda _: None,
        *,
        loaded_at: datetime = LOADED_AT,
        anyway: bool = False,
    ) -> LandingReport:
        self.runs += 1
        report = land(
            self.connection,
            self.landing,
            load_id=f"load-{self.runs}",
            loaded_at=loaded_at,
            withdrawn=self.withdrawn,
            anyway=anyway,
            progress=progress,
        )
        self.check_laws()
        return report

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def rejects(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "select line_number, column_name, value, reason from raw.rejects"
            " order by source_file, line_number"
        )

    def names(self) -> list[tuple[Any, ...]]:
        """Id and first name of every contact in raw."""
        return self.rows("select contact_id, first_name from raw.crm__contacts order by all")

    def check_laws(self) -> None:
        assert not self.rows(
            "from raw.files where loaded_count + rejected_count <> line_count"
            " or loaded_count <> new_row_count + repeated_row_count"
        )
        assert not self.rows(
            "select file_path, files.content_hash, any_value(rejected_count), count(reason)"
            " from raw.files left join raw.rejects"
            " on file_path = source_file and files.content_hash = rejects.content_hash"
            " group by all having any_value(rejected_count) <> count(reason)"
        )
        assert not self.rows(
            "select feed from raw.files group by feed, file_path"
            " having count(*) filter (is_present) > 1"
        )
        new = dict(self.rows("select feed, sum(new_row_count) from raw.files group by 1"))
        for (table,) in self.rows(
            "select table_name from duckdb_tables() where schema_name = 'raw'"
            " and contains(table_name, '__')"
        ):
            count, hashes = self.rows(
                f"select count(*), count(distinct _row_hash) from raw.{table}"
            )[0]
            assert count == hashes == new.get(table.replace("__", "/"), 0), table
        assert not list(self.landing.parent.glob(".landing-*")), "a clean copy stayed behind"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.connection.close()


@pytest.fixture
def quick_world(tmp_path: Path) -> Iterator[World]:
    """A world in memory, for many small runs."""
    world = World(tmp_path, ":memory:")
    yield world
    world.connection.close()
