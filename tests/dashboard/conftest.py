"""A dashboard of the embedded sample, started as a user starts it, and a browser to look at it."""

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
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
def running_dashboard(home: Path, *arguments: str) -> Iterator[str]:
    """Start `warehouse dashboard` on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {"WAREHOUSE_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT)}
    command = [sys.executable, "-m", "orchestration", "dashboard", "--port", str(port), *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(address, server)
            yield address
        finally:
            server.terminate()


@contextmanager
def running_proxy(address: str, *headers: str) -> Iterator[str]:
    """Stand before a server and add headers to what is asked; yields the address to ask.

    To the first request of each connection only, which is the one of a WebSocket.
    """
    target = ("127.0.0.1", int(address.rpartition(":")[2]))
    added = "".join(f"{header}\r\n" for header in headers).encode()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(target) as server:
                request, ends, rest = self.request.recv(65536).partition(b"\r\n")
                server.sendall(request + ends + added + rest)
                answers = threading.Thread(target=_hand_on, args=(server, self.request))
                answers.start()
                _hand_on(self.request, server)
                answers.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        proxy.shutdown()


def _hand_on(one: socket.socket, other: socket.socket) -> None:
    """Hand on what one side says until it ends, as sockets do when a page is closed."""
    with contextlib.suppress(OSError):
        while said := one.recv(65536):
            other.sendall(said)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


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
