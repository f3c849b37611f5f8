"""The log of a run for machines: `$WAREHOUSE_HOME/logs/<run_id>.jsonl`, a JSON object a line.

Each line has `at` (UTC), `level`, `run_id`, `stage`, `message`, and `fields` where a number is
worth more than a sentence. Messages of the rooms speak of counts, files and rules. Errors of
libraries may quote the value that they stumbled over, so quoted values and addresses are left out.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.settings import Settings

log = logging.getLogger("warehouse")

_HIDDEN = "<hidden>"
_PERSONAL = (
    # DuckDB: Could not convert string 'Eva' to INT32; invalid date field format: "Eva"
    re.compile(
        r"(?P<before>\b(?:strings?|values?|text|input|line|format|key):? )(?P<q>['\"]).*?(?P=q)",
        re.DOTALL | re.IGNORECASE,
    ),
    re.compile(r"(?P<before>)[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"),
    re.compile(r"(?P<before>)\+\d[\d ()/-]{6,}\d"),
)


def without_personal_data(text: str) -> str:
    """Return the text without e-mails, phone numbers and values that an error message quotes."""
    for pattern in _PERSONAL:
        text = pattern.sub(rf"\g<before>{_HIDDEN}", text)
    return text


def logs_folder(settings: Settings) -> Path:
    """Folder of the logs."""
    return settings.home / "logs"


def log_path(settings: Settings, run_id: str) -> Path:
    """Log of a run."""
    return logs_folder(settings) / f"{run_id}.jsonl"


class RunLog(logging.Handler):
    """Writes what the rooms say during a run; `stage` is the one under way."""

    def __init__(self, path: Path, run_id: str) -> None:
        super().__init__(logging.INFO)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._run_id = run_id
        self.stage: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message of the logger."""
        self.write(record.levelname, record.getMessage())

    def write(self, level: str, message: str, **fields: Any) -> None:
        """Write one line; fields: numbers and names, never a cell of a row."""
        line: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level.lower(),
            "run_id": self._run_id,
            "stage": self.stage,
            "message": without_personal_data(message),
        }
        if fields:
            line["fields"] = fields
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextmanager
def run_log_of(settings: Settings, run_id: str) -> Iterator[RunLog]:
    """Keep the log of a run during the block."""
    run_log = RunLog(log_path(settings, run_id), run_id)
    level = log.level
    if not log.isEnabledFor(logging.INFO):
        log.setLevel(logging.INFO)
    log.addHandler(run_log)
    try:
        yield run_log
    finally:
        log.removeHandler(run_log)
        log.setLevel(level)
        run_log.close()
