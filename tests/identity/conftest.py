"""Laboratories of the identity layer: compiled once, one in memory for each kind of parameters."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.identity.lab import Lab, Model, compile_models

# Everything that stops somewhere stops early: some ten records cross every cap and back.
LOW_CAPS = {"component_cap": 5, "max_names_per_value": 2}
LOW_BLOCK_CAP = 4
KNOWN_NICKNAMES = ("william", "robert", "elizabeth")


@pytest.fixture(scope="session")
def compiled_models(parsed_project: Path) -> list[Model]:
    """The models with the shipped parameters."""
    return compile_models(parsed_project.parent)


@pytest.fixture(scope="session")
def lab_of_session(compiled_models: list[Model]) -> Iterator[Lab]:
    lab = Lab(compiled_models)
    yield lab
    lab.connection.close()


@pytest.fixture
def lab(lab_of_session: Lab) -> Lab:
    """An empty laboratory with the shipped parameters."""
    lab_of_session.reset()
    return lab_of_session


@pytest.fixture(scope="session")
def low_lab(parsed_project: Path) -> Iterator[Lab]:
    """A laboratory in which every cap is low; reset it before use."""
    models = compile_models(parsed_project.parent, LOW_CAPS)
    lab = Lab(models, nicknames=KNOWN_NICKNAMES, block_cap=LOW_BLOCK_CAP)
    yield lab
    lab.connection.close()
