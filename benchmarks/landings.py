"""Landings of the generator that made the sample, made once for each wish."""

import shutil
import subprocess
import sys
from pathlib import Path

from orchestration.settings import PROJECT_ROOT


def generate(landing: Path, truth: Path, **wishes: object) -> Path:
    """Return the folder `landing`; made by `seeds/generate.py` unless it is there.

    truth: the file or folder that the generator writes the truth to. wishes: its other options by
    name, for example people=150, as_of=date(2026, 6, 30). Raises CalledProcessError when it fails.
    """
    if not landing.exists():
        # what an interrupted generator leaves is no landing
        unfinished = landing.with_name(f"{landing.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [sys.executable, str(PROJECT_ROOT / "seeds" / "generate.py")]
        command += ["--out", str(unfinished), "--truth", str(truth)]
        for name, value in wishes.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        subprocess.run(command, check=True)
        unfinished.rename(landing)
    return landing


def generate_records(records: int, out: Path) -> Path:
    """Return a landing of about so many records of people, without deliberate bad lines."""
    return generate(out / f"landing-{records}", out / f"truth-{records}", records=records, seed=7)
