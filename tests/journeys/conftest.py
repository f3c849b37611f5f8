import shutil
from pathlib import Path

import pytest

from tests.journeys.lab import Lab, compiled

PLAIN = {
    "session_gap_minutes": 30,
    "session_cut_at_midnight": False,
    "session_time_zone": "UTC",
    "session_cut_at_campaign": False,
    "session_cut_at_account": False,
}
# Everything that can cut a session, with midnight in a zone that changes its clocks.
ALL_CUTS = {
    "session_gap_minutes": 30,
    "session_cut_at_midnight": True,
    "session_time_zone": "America/New_York",
    "session_cut_at_campaign": True,
    "session_cut_at_account": True,
}


def lab_with(
    variables: dict[str, object],
    parsed_project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    with_increment: bool = False,
) -> Lab:
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(parsed_project, home / "dbt")
    return Lab(compiled(home, variables, with_increment=with_increment))


@pytest.fixture(scope="package")
def plain(parsed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Sessions that only a pause ends."""
    return lab_with(dict(PLAIN), parsed_project, tmp_path_factory)


@pytest.fixture(scope="package")
def all_cuts(parsed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Sessions that a pause, midnight in New York, a campaign and another account end."""
    return lab_with(dict(ALL_CUTS), parsed_project, tmp_path_factory, with_increment=True)
