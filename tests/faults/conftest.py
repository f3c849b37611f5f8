"""Installations on a small landing of several days, whose runs are processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults import DAYS, Lab, Reference, generated_landing, scratch_folder, undisturbed
from benchmarks.forking import RunServer


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with scratch_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def landing(folder: Path) -> Path:
    return generated_landing(folder)


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[RunServer]:
    with RunServer(folder) as server:
        yield server


@pytest.fixture(scope="session")
def reference(server: RunServer, landing: Path, folder: Path) -> Reference:
    """What two days give when nothing disturbs them."""
    return undisturbed(server, landing, folder, DAYS[:2])


@pytest.fixture(scope="session")
def second_day(server: RunServer, landing: Path, folder: Path, reference: Reference) -> "NewLab":
    return NewLab(server, landing, folder, reference)


class NewLab:
    """Makes installations that have released the first day and got the files of the second."""

    def __init__(
        self, server: RunServer, landing: Path, folder: Path, reference: Reference
    ) -> None:
        self._parts = server, landing, folder, reference

    def __call__(self, name: str) -> Lab:
        server, landing, folder, reference = self._parts
        first = Lab(server, landing, reference.after_first_day)
        lab = first.copied_to(folder / name)
        lab.deliver(DAYS[1])
        lab.settings.decisions.write_bytes(reference.decisions)
        return lab
