"""A small installation of the warehouse in a temporary folder, run as a user runs it."""

import contextlib
import csv
import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import hypothesis
import pytest

from orchestration.cli import main
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import parse, target_folder

SAMPLE = PROJECT_ROOT / "seeds" / "landing"
SAMPLE_AS_OF = "2026-06-30"

# `make test` draws the same examples every time; `make explore` draws many others.
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, max_examples=60, deadline=None, database=None
)
hypothesis.settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run whole installations first: a file of minutes that begins last keeps one core waiting."""
    items.sort(key=lambda item: "whole" not in item.path.parts)


@dataclass(frozen=True)
class Outcome:
    """Exit code and printed text of a `warehouse` command."""

    exit_code: int
    output: str


@dataclass(frozen=True)
class Installation:
    """A landing and a home of their own."""

    landing: Path
    home: Path

    def warehouse(self, *arguments: str, as_of: str = SAMPLE_AS_OF) -> Outcome:
        """Run a verb of the `warehouse` command in this process: the libraries load only once."""
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setenv("WAREHOUSE_LANDING", str(self.landing))
            patch.setenv("WAREHOUSE_HOME", str(self.home))
            patch.setenv("WAREHOUSE_AS_OF", as_of)
            exit_code = main(arguments)
        return Outcome(exit_code, printed.getvalue())

    def run(self, *arguments: str, as_of: str = SAMPLE_AS_OF) -> Outcome:
        """`warehouse run`, which must release or find the release up to date."""
        outcome = self.warehouse("run", *arguments, as_of=as_of)
        assert outcome.exit_code == 0, outcome.output
        return outcome

    def write(self, feed: str, file: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Deliver a CSV file with the columns that the rows name."""
        path = self.landing / feed / file
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the current release, as a reader would."""
        database = self.home / "current" / "warehouse.duckdb"
        with duckdb.connect(str(database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def copy_to(self, folder: Path) -> "Installation":
        """A copy that a test may go on with; files keep their times, so none is read again."""
        shutil.copytree(self.home, folder / "home", symlinks=True)
        shutil.copytree(self.landing, folder / "landing")
        return Installation(folder / "landing", folder / "home")

    def customers(self) -> dict[str, str]:
        """The published crosswalk: source_record_id to customer_id."""
        return dict(self.query("select source_record_id, customer_id from marts.customer_sources"))

    @property
    def settings(self) -> Settings:
        return Settings(landing=self.landing, home=self.home)


@pytest.fixture(scope="session", autouse=True)
def nothing_from_outside() -> Iterator[None]:
    """No test touches decisions, a database or alerts of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WAREHOUSE_DECISIONS", raising=False)
        patch.delenv("WAREHOUSE_POSTGRES", raising=False)
        for setting in ("WEBHOOK", "TO", "FROM", "SMTP", "PASSWORD"):
            patch.delenv(f"WAREHOUSE_ALERT_{setting}", raising=False)
        yield


@pytest.fixture(scope="session")
def parsed_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's parse of the project, copied into every home: 5 s once instead of each time."""
    settings = Settings(home=tmp_path_factory.mktemp("parsed"))
    parse(settings)
    return target_folder(settings)


@pytest.fixture(scope="session")
def sample_run(
    parsed_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Installation, Outcome]:
    """A run of the embedded sample, and what it printed; copy its home, never write to it."""
    home = tmp_path_factory.mktemp("sample")
    shutil.copytree(parsed_project, home / "dbt")
    installation = Installation(SAMPLE, home)
    return installation, installation.run()


@pytest.fixture(scope="session")
def sample_release(sample_run: tuple[Installation, Outcome]) -> Path:
    """`warehouse.duckdb` of a release of the embedded sample; read it, never write to it."""
    return sample_run[0].home / "current" / "warehouse.duckdb"


@pytest.fixture(scope="module")
def new_installation(
    parsed_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Installation]:
    """Make installations with an empty landing."""

    def make() -> Installation:
        folder = tmp_path_factory.mktemp("installation")
        (folder / "landing").mkdir()
        shutil.copytree(parsed_project, folder / "home" / "dbt")
        return Installation(folder / "landing", folder / "home")

    return make


@pytest.fixture
def installation(new_installation: Callable[[], Installation]) -> Installation:
    """An installation with an empty landing."""
    return new_installation()
