"""Run the `warehouse` command in real processes that cost no start.

A server process imports Dagster, dbt, Great Expectations and the definitions once and then forks a
child for each command: a process of its own, with its own DuckDB, that can be killed, starved or
given other limits like one that a scheduler started. What is saved is 15 s of imports a run. The
server never opens a database and has no other thread, so a child begins with a clean slate.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self, cast

from orchestration.settings import PROJECT_ROOT

_LOOK_AGAIN_SECONDS = 0.005


@dataclass
class Child:
    """A `warehouse` command in a process of its own; `output` is what it has printed so far."""

    pid: int
    printed: Path
    server: "RunServer"
    exit_code: int | None = None

    @property
    def output(self) -> str:
        """What the command has printed until now, standard error included."""
        return self.printed.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float = 600) -> int:
        """Wait for the end; exit code, or minus the signal that killed it."""
        end = time.monotonic() + seconds
        while self.exit_code is None:
            self.server.collect()
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"no end after {seconds} s:\n{self.output}")
            time.sleep(_LOOK_AGAIN_SECONDS)
        return self.exit_code

    def wait_for(self, text: str, seconds: float = 600) -> bool:
        """Wait until the command has printed a text; False when it ended without."""
        end = time.monotonic() + seconds
        while text not in self.output:
            self.server.collect()
            if self.exit_code is not None:
                return text in self.output
            if time.monotonic() > end:
                raise TimeoutError(f"{text!r} was not printed in {seconds} s:\n{self.output}")
            time.sleep(_LOOK_AGAIN_SECONDS)
        return True

    def kill(self) -> None:
        """SIGKILL, as the kernel's killer of processes that take too much memory sends it."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Limits:
    """What a child may not have.

    file_bytes: no file may grow beyond it, as on a full disk (the write fails with EFBIG).
    memory_bytes: of address space, on top of what the server had. user_id: run as this user.
    clock_shift: what the clock shows, as far as this project reads it, minus the true time.
    """

    file_bytes: int | None = None
    memory_bytes: int | None = None
    user_id: int | None = None
    clock_shift: timedelta = field(default_factory=timedelta)


class RunServer:
    """The server, from the side of the one who wants commands run. Use it in a `with` block."""

    def __init__(self, folder: Path) -> None:
        """folder: for what the commands print, and for the parsed dbt project, `home/dbt`."""
        self.folder = folder
        self.parsed = folder / "home" / "dbt"
        self._children: dict[int, Child] = {}
        self._count = 0

    def __enter__(self) -> Self:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WAREHOUSE_")}
        environment["WAREHOUSE_HOME"] = str(self.folder / "home")
        environment["WAREHOUSE_LANDING"] = str(self.folder / "landing")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "server.txt").open("w"),
            text=True,
            cwd=PROJECT_ROOT,
            env=environment | {"PYTHONPATH": str(PROJECT_ROOT)},
        )
        # Popen has no type for pipes that are there.
        self._requests = cast("IO[str]", self._process.stdin)
        self._reports = cast("IO[str]", self._process.stdout)
        told = self._read()
        if told != {"threads": ["MainThread"]}:
            raise RuntimeError(f"the server of processes is not a clean slate: {told}")
        os.set_blocking(self._reports.fileno(), False)
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.kill()
        self._requests.close()
        self._process.wait(timeout=60)

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        limits: Limits | None = None,
    ) -> Child:
        """Start `warehouse <arguments>` with these variables beside those of the server."""
        self._count += 1
        printed = self.folder / f"printed-{self._count}.txt"
        printed.touch()
        limits = limits or Limits()
        request = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "printed": str(printed),
            "file_bytes": limits.file_bytes,
            "memory_bytes": limits.memory_bytes,
            "user_id": limits.user_id,
            "clock_shift": limits.clock_shift.total_seconds(),
        }
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        self._begun: int | None = None
        while self._begun is None:
            self.collect()
            time.sleep(_LOOK_AGAIN_SECONDS)
        child = Child(self._begun, printed, self)
        self._children[child.pid] = child
        return child

    def collect(self) -> None:
        """Take in what the server tells: which process it began, which one has ended."""
        while (told := self._read()) is not None:
            if "begun" in told:
                self._begun = told["begun"]
            else:
                child = self._children.pop(told["ended"])
                child.exit_code = told["exit_code"]

    def _read(self) -> Any:
        line = self._reports.readline()
        if not line and self._process.poll() is not None:
            raise RuntimeError(f"the server of processes ended with {self._process.returncode}")
        return json.loads(line) if line else None


# --- the server --------------------------------------------------------------------------------


def serve() -> None:
    """Load everything, say so, then fork a child per line of standard input until it ends."""
    from orchestration import definitions  # noqa: PLC0415
    from orchestration.cli import main  # noqa: PLC0415
    from orchestration.settings import Settings  # noqa: PLC0415
    from orchestration.transform import assets  # noqa: PLC0415
    from orchestration.transform.dbt import parse  # noqa: PLC0415

    # The protocol keeps standard output for itself; what the command prints goes where errors go.
    told = os.dup(1)
    os.dup2(2, 1)
    # Great Expectations' progress bars would leave a thread behind.
    importlib.import_module("tqdm").tqdm.monitor_interval = 0
    settings = Settings()
    _write_one_contact(settings.landing)
    # What a first run loads late (adapters, templates, scipy) is loaded now, and its files closed.
    if main(["run"]) != 0:
        raise SystemExit("the run that warms the server up has failed")
    # Neither hangs on the settings: the children need not parse and wire the project again.
    manifest, wired = parse(settings), definitions.build_definitions(settings)
    wired.resolve_job_def(definitions.JOB_NAME)
    vars(assets)["_manifest"] = lambda _: manifest
    vars(definitions)["build_definitions"] = lambda _: wired
    # A collection in a child would copy every page of what was loaded here.
    gc.collect()
    gc.freeze()
    _tell(told, {"threads": [thread.name for thread in threading.enumerate()]})
    os.set_blocking(0, False)
    waiting = ""
    while True:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                exit_code = os.waitstatus_to_exitcode(ended[1])
                _tell(told, {"ended": ended[0], "exit_code": exit_code})
        try:
            text = os.read(0, 65536).decode()
        except BlockingIOError:
            time.sleep(_LOOK_AGAIN_SECONDS)
            continue
        if not text:
            return
        waiting += text
        *requests, waiting = waiting.split("\n")
        for request in requests:
            pid = os.fork()
            if pid == 0:
                _become(json.loads(request), main)
            _tell(told, {"begun": pid})


def _write_one_contact(landing: Path) -> None:
    file = landing / "crm" / "contacts" / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text("contact_id,email\n1,a@x.test\n", encoding="utf-8")


def _become(request: dict[str, Any], main: Any) -> None:
    """Be the command: never returns to the server's loop."""
    code = 70
    try:
        output = os.open(request["printed"], os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(0)
        os.environ.update(request["environment"])
        with _clock(timedelta(seconds=request["clock_shift"])):
            _limit(request)
            code = main(request["arguments"])
    except BaseException:
        import traceback  # noqa: PLC0415

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(code)


def _limit(request: Mapping[str, Any]) -> None:
    if request["file_bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"],) * 2)
    if request["memory_bytes"] is not None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * os.sysconf("SC_PAGESIZE") + request["memory_bytes"]
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if request["user_id"] is not None:
        os.setgroups([])
        os.setgid(request["user_id"])
        os.setuid(request["user_id"])


@contextlib.contextmanager
def _clock(shift: timedelta) -> Iterator[None]:
    """Let every module of this project that asks for the time be told another one."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + shift

    if shift:
        for name, module in list(sys.modules.items()):
            if name.startswith("orchestration") and getattr(module, "datetime", None) is datetime:
                module.datetime = Shifted  # type: ignore[attr-defined]
    yield


def _tell(descriptor: int, message: Mapping[str, object]) -> None:
    os.write(descriptor, (json.dumps(message) + "\n").encode())


if __name__ == "__main__":
    serve()
