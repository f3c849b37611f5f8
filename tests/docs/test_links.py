"""What the texts of the project say of each other, and of its commands, is there."""

import argparse
import re
from pathlib import Path

import pytest

from orchestration.cli import build_parser
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.docs import anchor_of

TEXTS = (
    *(PROJECT_ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((PROJECT_ROOT / "docs").glob("*.md")),
    PROJECT_ROOT / "expectations" / "README.md",
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# In code, messages and data: `docs/<page>.md`, with an anchor or without.
_MENTION = re.compile(r"\bdocs/([\w-]+\.md)(?:#([\w-]+))?")


def anchors(text: Path) -> list[str]:
    """Anchors of the headings of a text, as code hosts and our pages name them."""
    plain = _FENCED.sub("", text.read_text(encoding="utf-8"))
    return [anchor_of(heading) for heading in re.findall(r"^#{1,6} (.+)$", plain, re.MULTILINE)]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(PROJECT_ROOT)))
def test_every_link_of_a_text_leads_to_a_file_and_a_heading(text: Path) -> None:
    plain = _FENCED.sub("", text.read_text(encoding="utf-8"))
    links = [link for link in _LINK.findall(plain) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (text.parent / name).resolve() if name else text
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(PROJECT_ROOT)))
def test_no_two_headings_of_a_text_have_one_anchor(text: Path) -> None:
    assert len(anchors(text)) == len({*anchors(text)})


def test_every_page_that_code_names_is_there() -> None:
    named = 0
    for folder in ("orchestration", "governance", "expectations", "seeds/reference", "benchmarks"):
        for file in (PROJECT_ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".yml", ".html", ".md"):
                for page, anchor in _MENTION.findall(file.read_text(encoding="utf-8")):
                    target = PROJECT_ROOT / "docs" / page
                    assert target.is_file(), (file, page)
                    assert not anchor or anchor in anchors(target), (file, page, anchor)
                    named += 1
    assert named > 10


def test_every_command_is_in_the_page_of_commands_and_no_other() -> None:
    page = (PROJECT_ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    (verbs,) = (
        action.choices
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    assert sorted(re.findall(r"^\| `warehouse ([\w-]+)` ", page, re.MULTILINE)) == sorted(verbs)


def test_every_target_of_make_that_a_text_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in TEXTS:
        plain = text.read_text(encoding="utf-8")
        called = set(re.findall(r"`make ([a-z-]+)", plain))
        called |= set(re.findall(r"^(?:\$ )?make ([a-z-]+)", plain, re.MULTILINE))
        assert called <= targets, text.name


def test_every_setting_is_in_the_page_of_settings_and_no_other() -> None:
    page = (PROJECT_ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(WAREHOUSE_\w+)` \|", page, re.MULTILINE)
    assert sorted(told) == sorted(f"WAREHOUSE_{name.upper()}" for name in Settings.model_fields)


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((PROJECT_ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
