"""The committed sample's world without its bad lines, generated once and read as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from orchestration.landing.feeds import FEEDS, Feed
from orchestration.settings import PROJECT_ROOT
from seeds.generate import generate

# Feeds that the generator knows: who adds one (docs/add-a-source.md) need not generate it.
GENERATED = tuple(
    feed for feed in FEEDS if (PROJECT_ROOT / "seeds" / "landing" / feed.name).is_dir()
)
SAMPLE_PEOPLE, SAMPLE_SEED, SAMPLE_BAD_LINES = 2000, 20260630, 8


@dataclass(frozen=True)
class Sample:
    """A landing on disk and the same rows as text tables `crm__contacts`, ... and `truth`."""

    landing: Path
    truth: Path
    database: duckdb.DuckDBPyConnection

    def count(self, query: str) -> int:
        row = self.database.execute(query).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    home = tmp_path_factory.mktemp("sample")
    landing, truth = home / "landing", home / "truth.csv"
    generate(landing, truth, people=SAMPLE_PEOPLE, seed=SAMPLE_SEED, format="sample")
    database = duckdb.connect()
    database.execute("set timezone = 'UTC'")
    for feed in GENERATED:
        read_feed(database, landing, feed)
    database.execute(
        f"create table truth as from read_csv('{truth}', header = true, all_varchar = true)"
    )
    yield Sample(landing, truth, database)
    database.close()


def read_feed(database: duckdb.DuckDBPyConnection, landing: Path, feed: Feed) -> None:
    """Create the feed's table: every column of the contract as text, plus `_file`."""
    columns = ", ".join(
        f"cast({column.name} as varchar) as {column.name}" for column in feed.columns
    )
    types = ", ".join(f"'{column.name}': 'varchar'" for column in feed.columns)
    database.execute(f"create table {feed.table} as select * from ({_empty(feed)}) where false")
    for path in sorted((landing / feed.name).iterdir()):
        reader = {
            "csv": f"read_csv('{path}', header = true, all_varchar = true)",
            "jsonl": f"read_json('{path}', format = 'newline_delimited', columns = {{{types}}})",
            "parquet": f"read_parquet('{path}')",
        }[path.name.split(".")[1]]
        database.execute(
            f"insert into {feed.table} select {columns}, '{path.name}' as _file from {reader}"
        )


def _empty(feed: Feed) -> str:
    return "select " + ", ".join(
        f"cast(null as varchar) as {name}" for name in (*(c.name for c in feed.columns), "_file")
    )
