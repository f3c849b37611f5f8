"""Promises of the repository itself."""

import re
import subprocess

import pytest

from orchestration.settings import PROJECT_ROOT
from tests.conftest import SAMPLE_AS_OF


def test_the_lock_files_pin_hashes_and_name_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (PROJECT_ROOT / name).read_text()
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9.-]+(\[[a-z,]+\])?==\S+", text, re.MULTILINE)
        assert len(pins) > 50
        assert text.count("--hash=sha256:") >= len(pins)


def test_what_a_run_installs_is_part_of_what_the_tests_install() -> None:
    pins = [
        set(re.findall(r"^\S+==\S+", (PROJECT_ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    ]
    assert pins[0] < pins[1]


def test_make_run_and_the_tests_speak_of_the_same_day_of_the_sample() -> None:
    assert f"SAMPLE_AS_OF := {SAMPLE_AS_OF}" in (PROJECT_ROOT / "Makefile").read_text()


def test_git_holds_no_database_and_no_large_file() -> None:
    if not (PROJECT_ROOT / ".git").exists():
        pytest.skip("this copy of the project is not a git checkout")
    # A checkout may belong to another user than the one who tests it.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(
        command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    assert "README.md" in listed
    for name in filter(None, listed):
        path = PROJECT_ROOT / name
        assert not name.endswith((".duckdb", ".wal", ".log")), name
        assert not path.exists() or path.stat().st_size < 5_000_000, name


def test_every_fault_in_the_operations_guide_is_a_test() -> None:
    guide = (PROJECT_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    named = re.findall(r"\| `(test_\w+)` \|$", guide, re.MULTILINE)
    rows = re.findall(r"^\| (?!fault|to know|-).*\|$", guide.split("## What can happen")[1], re.M)
    assert len(rows) == len(named) > 50
    assert set(named) <= _tests()


def test_every_threat_in_the_privacy_guide_is_countered_by_a_test() -> None:
    guide = (PROJECT_ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    threats = guide.split("## Threats")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (?!threat).*\|$", threats, re.MULTILINE)
    named = re.findall(r"`(test_\w+)`", threats)
    assert len(named) >= len(rows) > 5
    assert set(named) <= _tests()


def _tests() -> set[str]:
    return {
        name
        for file in (PROJECT_ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
