"""A run that hangs ends: first by an exception where it stands, then with its process.

The exception is a KeyboardInterrupt, because that is what DuckDB, dbt and Dagster stop a query for;
`except Exception` does not hold it up. What does not listen to it (a native loop in a thread of a
Python model) is ended with the process: every stage may be killed at any instant without harm.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

import duckdb

GRACE = timedelta(seconds=60)
# Time for dbt to cancel its queries and join its threads before it is interrupted once more.
_AGAIN_SECONDS = 5.0


class RunTimeoutError(KeyboardInterrupt):
    """The run has taken longer than it may."""


class Deadline:
    """Watches over a run during a `with` block.

    after: how long the run may take. on_hang: called before the process is ended, in a thread of
    its own. The exception is raised only while `interruptible` is set, so that it meets a stage and
    not the bookkeeping between two.
    """

    def __init__(
        self, after: timedelta, on_hang: Callable[[], None], grace: timedelta = GRACE
    ) -> None:
        self.after = after
        self.passed = False
        self.interruptible = False
        self._on_hang = on_hang
        self._grace = grace
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
        self._handler: Any = None
        self._is_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "Deadline":
        if self._is_main:
            self._handler = signal.signal(signal.SIGALRM, self._interrupt)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._is_main:
            signal.signal(signal.SIGALRM, self._handler)

    def _watch(self) -> None:
        if self._over.wait(self.after.total_seconds()):
            return
        self.passed = True
        ends = time.monotonic() + self._grace.total_seconds()
        while time.monotonic() < ends:
            # again and again: a signal may come just before a stage begins
            main = threading.main_thread().ident
            if self._is_main and main is not None:
                signal.pthread_kill(main, signal.SIGALRM)
            if self._over.wait(_AGAIN_SECONDS):
                return
        self._on_hang()
        os._exit(1)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.passed and self.interruptible:
            _interrupt_queries(frame)
            raise RunTimeoutError


def _interrupt_queries(frame: FrameType | None) -> None:
    """Tell the connections that the code under way knows of.

    An exception alone makes DuckDB 1.5 give up the query, and then wait for its threads to end it.
    """
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if isinstance(value, duckdb.DuckDBPyConnection):
                with contextlib.suppress(duckdb.Error):  # one that is closed already
                    value.interrupt()
        frame = frame.f_back
