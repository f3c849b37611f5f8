"""The report of the embedded sample, and a browser to look at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from orchestration.report.reports import Report, read_report
from tests.browser import running_browser


@pytest.fixture(scope="module")
def browser(sample_release: Path) -> Iterator[Browser]:
    """Started after every run of this process: while it is there, its event loop is running."""
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def sample_report(sample_release: Path) -> Report:
    report = read_report(sample_release.parent)
    assert report is not None
    return report
