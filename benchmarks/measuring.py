"""What work costs in a process of its own: CPU seconds, wall seconds, peak memory."""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.settings import PROJECT_ROOT


@dataclass(frozen=True)
class Spent:
    """CPU seconds over all threads, wall seconds, peak of resident memory in MiB."""

    cpu_seconds: float = 0.0
    seconds: float = 0.0
    peak_mib: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        """One after the other: seconds add up, of the peaks the higher one counts."""
        return Spent(
            self.cpu_seconds + other.cpu_seconds,
            self.seconds + other.seconds,
            max(self.peak_mib, other.peak_mib),
        )


class Meter:
    """Measures the phases of this process, one after the other."""

    def __init__(self) -> None:
        self.phases: dict[str, Spent] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what happens inside; a phase that comes twice adds up."""
        _forget_peak()
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            spent = Spent(
                time.process_time() - cpu, time.perf_counter() - wall, _peak_kib() // 1024
            )
            self.phases[name] = self.phases.get(name, Spent()) + spent


@dataclass(frozen=True)
class Measured:
    """What a child process returned and cost. whole: the process with start and imports."""

    result: Any
    phases: Mapping[str, Spent]
    whole: Spent

    def outside(self, *counted: str) -> Spent:
        """Return what the process cost outside these phases: imports, reading the project."""
        inside = sum((self.phases[name] for name in counted if name in self.phases), Spent())
        return Spent(
            self.whole.cpu_seconds - inside.cpu_seconds,
            self.whole.seconds - inside.seconds,
            self.whole.peak_mib,
        )


class StepFailedError(Exception):
    """A child process failed; the message names the step, its last words and its log."""


def run_step(module: str, step: str, arguments: Mapping[str, Any], logs: Path) -> Measured:
    """Run one step of a module in a process of its own and measure that process alone.

    module: a module whose `__main__` calls `answer`. Raises StepFailedError.
    """
    log = logs / f"{step}.log"
    with tempfile.TemporaryDirectory() as folder, log.open("w") as said:
        answer_file = Path(folder) / "answer.json"
        question = json.dumps({"step": step, "arguments": dict(arguments)}, default=str)
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", module, question, str(answer_file)],
            cwd=PROJECT_ROOT,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        # wait4 tells the CPU of this one child; its peak would count the parent's before exec.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if not answer_file.exists():
            reason = f"exit code {process.returncode}"
            raise StepFailedError(f"{step} failed: {reason} (all it said: {log})")
        answer = json.loads(answer_file.read_text(encoding="utf-8"))
    if "error" in answer:
        raise StepFailedError(f"{step} failed: {answer['error']} (all it said: {log})")
    phases = {name: Spent(**spent) for name, spent in answer["phases"].items()}
    peak = max([answer["peak_mib"], *(spent.peak_mib for spent in phases.values())])
    whole = Spent(usage.ru_utime + usage.ru_stime, seconds, peak)
    return Measured(answer["result"], phases, whole)


def answer(steps: Mapping[str, Any]) -> None:
    """Be the child of `run_step`: run the function of that name with a Meter and its arguments."""
    question = json.loads(sys.argv[1])
    meter = Meter()
    try:
        result = steps[question["step"]](meter, **question["arguments"])
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        Path(sys.argv[2]).write_text(json.dumps({"error": reason}), encoding="utf-8")
        raise
    answered = {
        "result": result,
        "phases": {name: asdict(spent) for name, spent in meter.phases.items()},
        "peak_mib": _peak_kib() // 1024,
    }
    Path(sys.argv[2]).write_text(json.dumps(answered), encoding="utf-8")


def _forget_peak() -> None:
    """Let the peak start anew from what is resident now; only Linux can (proc(5), clear_refs)."""
    if _CLEAR_REFS.exists():
        _CLEAR_REFS.write_text("5")


def _peak_kib() -> int:
    if _STATUS.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        if found:
            return int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
