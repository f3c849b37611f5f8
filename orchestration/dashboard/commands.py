"""The verb of the `warehouse` command that starts the dashboard."""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.console import console
from orchestration.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

ROOM = Path(__file__).parent


def add_verbs(verbs: "Verbs") -> None:
    """Register the verb of the dashboard beside the others."""
    dashboard = verbs.add_parser("dashboard", help="open the dashboard on http://127.0.0.1:8501")
    dashboard.add_argument("--port", type=int, default=8501)
    dashboard.set_defaults(action=_dashboard)


def _dashboard(settings: Settings, options: argparse.Namespace) -> int:  # noqa: ARG001
    """Become Streamlit, whose settings are in `.streamlit/config.toml` of this room."""
    if find_spec("streamlit") is None:
        console.print("The dashboard needs Streamlit; `make dashboard` installs it.")
        return 2
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
    os.chdir(ROOM)
    return os.execve(sys.executable, [*command, str(options.port)], environment)  # noqa: S606
