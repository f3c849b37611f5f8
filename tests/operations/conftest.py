"""Small runs: the real resource, lock, ledger, log and Dagster storage around a stage of a test."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from orchestration.cli import prepare_dagster
from orchestration.operations.ledger import RunRecord, read_ledger
from orchestration.run import Warehouse
from orchestration.settings import PROJECT_ROOT, Settings
from tests.conftest import Installation, Outcome

Body = Callable[[Warehouse], None]


@dataclass(frozen=True)
class House:
    """An installation on which small runs are made; nothing is parsed, built or released."""

    installation: Installation

    @property
    def settings(self) -> Settings:
        return self.installation.settings

    @property
    def home(self) -> Path:
        return self.installation.home

    def run(self, body: Body, **tags: str) -> RunRecord:
        """Run a job of one step, in Dagster's storage of this installation; returns its record."""

        @dg.asset(name="only")
        def only(warehouse: Warehouse) -> None:
            body(warehouse)

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WAREHOUSE_HOME", str(self.home))
            patch.setenv("WAREHOUSE_LANDING", str(self.installation.landing))
            prepare_dagster(self.settings)
            with dg.DagsterInstance.get() as instance:
                dg.materialize(
                    [only],
                    resources={"warehouse": Warehouse()},
                    instance=instance,
                    raise_on_error=False,
                    tags={"warehouse/started_by": "test", **tags},
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
        return read_ledger(self.settings)[0][0]

    def process(self, body: str, **environment: str) -> subprocess.Popen[str]:
        """Start such a run in a process of its own; body: statements that know `warehouse`."""
        program = textwrap.dedent(
            """
            import dagster as dg, duckdb, os, signal, time
            from datetime import timedelta
            from orchestration.cli import prepare_dagster
            from orchestration.run import Warehouse
            from orchestration.settings import Settings

            @dg.asset(name="only")
            def only(warehouse: Warehouse) -> None:
            {body}

            prepare_dagster(Settings())
            with dg.DagsterInstance.get() as instance:
                dg.materialize([only], resources={{"warehouse": Warehouse()}}, instance=instance,
                    raise_on_error=False, tags={{"warehouse/started_by": "test"}})
            """
        ).format(body=textwrap.indent(textwrap.dedent(body), "    "))
        return subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=PROJECT_ROOT,
            env=os.environ
            | {
                "WAREHOUSE_HOME": str(self.home),
                "WAREHOUSE_LANDING": str(self.installation.landing),
                "WAREHOUSE_AS_OF": "2026-06-30",
                "PYTHONPATH": str(PROJECT_ROOT),
            }
            | environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def warehouse(self, *arguments: str) -> Outcome:
        """A verb of the command."""
        return self.installation.warehouse(*arguments)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An installation with one file in its landing."""
    installation = Installation(tmp_path / "landing", tmp_path / "home")
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1", "email": "a@x.test"}])
    installation.home.mkdir()
    return House(installation)
