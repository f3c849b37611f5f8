from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consent.lab import Lab, compiled


@pytest.fixture(scope="package")
def lab(parsed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(compiled(parsed_project, tmp_path_factory.mktemp("compiled")))
    yield lab
    lab.connection.close()
