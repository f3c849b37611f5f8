"""Pages of `docs/` that are followed to the letter, each in a copy of the project.

A page is a list of fenced blocks. `sh` is run, all blocks of a page in one shell, in their order.
`text` after it is everything that it prints, where `…` stands for whatever differs from one
machine, day or run to the next, and for what a reader need not see. A block with the name of a file
is written to that file. Blocks of other languages, `console` among them, are only read.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from orchestration.settings import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"
ANYTHING = "…"
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "\x1e"
# The environment is that of the tests, and a browser opens nothing.
_BEFORE = 'set -euo pipefail; make() { command make --old-file=.venv/run "$@"; }'


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. kind: its language. file: the name behind that, or empty."""

    kind: str
    file: str
    text: str


def blocks_of(page: str) -> tuple[Block, ...]:
    """Return the blocks of `docs/<page>` in their order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return tuple(Block(*found) for found in _BLOCK.findall(text))


def copied_project(folder: Path) -> Path:
    """Copy the project as it is checked out, with the same environment; return where it is."""
    house = folder / "house"
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        source = PROJECT_ROOT / name
        if source.is_file() and not name.startswith("tests/"):
            (house / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, house / name)
    (house / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    return house


def follow(blocks: tuple[Block, ...], house: Path) -> dict[Block, str]:
    """Do in `house` what the blocks say; return what each `sh` block printed.

    Fails at the first command that ends with another exit code than 0.
    """
    script = [_BEFORE]
    for block in blocks:
        if block.kind == "sh":
            script += [f"printf '{_MARK}'", block.text]
        elif block.file:
            script += [
                f"mkdir -p '{Path(block.file).parent}'",
                f"cat > '{block.file}' <<'END OF BLOCK'\n{block.text}END OF BLOCK",
            ]
    # within `make test`, `make` would tell which folders it enters
    of_others = ("WAREHOUSE_", "MAKE", "MFLAGS")
    outside = {key: text for key, text in os.environ.items() if not key.startswith(of_others)}
    done = subprocess.run(
        ["bash"],
        cwd=house,
        env={**outside, "BROWSER": "true", "COLUMNS": "200", "PYTHONPATH": str(house)},
        input="\n".join(script),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    commands = [block for block in blocks if block.kind == "sh"]
    return dict(zip(commands, done.stdout.split(_MARK)[1:], strict=True))


def assert_printed_as_said(blocks: tuple[Block, ...], printed: dict[Block, str]) -> None:
    """Hold each `text` block against what the `sh` block before it printed, from end to end.

    Blanks and line breaks count as one blank: a console breaks long lines, the words stay.
    """
    for command, said in pairwise(blocks):
        if said.kind == "text" and command in printed:
            parts = (re.escape(" ".join(part.split())) for part in said.text.split(ANYTHING))
            output = " ".join(printed[command].split())
            assert re.fullmatch(r"\s*.*\s*".join(parts), output), (
                f"{command.text}\nsays:\n{said.text}\nprints:\n{printed[command]}"
            )
