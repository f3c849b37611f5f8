"""A dashboard of the embedded sample, started as a user starts it, and a browser to look at it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from orchestration.settings import PROJECT_ROOT
from tests.browser import running_browser

_LONGEST_START_SECONDS = 60


@pytest.fixture(scope="module")
def browser(sample_release: Path) -> Iterator[Browser]:
    """Started after every run of this process: while it is there, its event loop is running."""
    with running_browser() as browser:
        yield browser


@contextmanager
def running_dashboard(home: Path) -> Iterator[str]:
    """Start `warehouse dashboard` on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {"WAREHOUSE_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT)}
    command = [sys.executable, "-m", "orchestration", "dashboard", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(address, server)
            yield address
        finally:
            server.terminate()


def _wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + _LONGEST_START_SECONDS
    while time.monotonic() < ends:
        assert server.poll() is None, "the dashboard has ended"
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise TimeoutError(f"{address} did not answer in {_LONGEST_START_SECONDS} s")


@pytest.fixture(scope="session")
def dashboard(sample_release: Path) -> Iterator[str]:
    """The address of a dashboard of the sample."""
    with running_dashboard(sample_release.parent.parent) as address:
        yield address
