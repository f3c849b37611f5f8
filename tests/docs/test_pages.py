"""How-tos of `docs/`, each followed to the letter in a project of its own that has run."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Installation, Outcome
from tests.docs.pages import Block, assert_printed_as_said, blocks_of, copied_project, follow

START = blocks_of("start.md")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project; copy it, never write to it."""
    return copied_project(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def house(project: Path, sample_run: tuple[Installation, Outcome], tmp_path: Path) -> Path:
    """A copy of the project in which `make run` has ended well."""
    installation, _ = sample_run
    house = tmp_path / "house"
    shutil.copytree(project, house, symlinks=True)
    shutil.copytree(installation.home, house / ".warehouse", symlinks=True)
    return house


def test_the_first_run_ends_as_the_first_page_says(
    sample_run: tuple[Installation, Outcome],
) -> None:
    """The run of the sample that all tests share is this one: another costs 20 CPU s."""
    _, outcome = sample_run
    assert START[0].text == "make run\n"
    assert_printed_as_said(START[:2], {START[0]: outcome.output})
    _, table = blocks_of("../README.md")
    inner = table.text.replace(".warehouse/", "")
    assert_printed_as_said(
        (START[0], Block("text", "", f"…\n{inner}…\n")), {START[0]: outcome.output}
    )


def test_who_goes_on_from_the_first_run_sees_what_the_first_page_says(house: Path) -> None:
    assert_printed_as_said(START[1:], follow(START[1:], house))


@pytest.mark.parametrize("page", ["tune-matching.md", "define-a-segment.md", "operate.md"])
def test_every_command_of_a_how_to_prints_what_its_page_says(page: str, house: Path) -> None:
    assert_printed_as_said(blocks_of(page), follow(blocks_of(page), house))


def test_a_page_that_says_something_else_is_noticed() -> None:
    command = Block("sh", "", "make releases\n")
    printed = {command: " release  customers \n 2026-fc13  2,177 \n"}
    for said in ("release customers\n…-fc13 2,177\n", "…\n…-fc13 2,177\n", "release\n…\n", "…\n"):
        assert_printed_as_said((command, Block("text", "", said)), printed)
    for said in ("release customers\n…-fc13 2,178\n", "…-fc13\n", "release\n", "customers\n…\n"):
        with pytest.raises(AssertionError):
            assert_printed_as_said((command, Block("text", "", said)), printed)


def test_a_command_that_fails_fails_its_page(tmp_path: Path) -> None:
    blocks = (Block("sh", "", "echo one\n"), Block("sh", "", "false | cat\n"))
    with pytest.raises(AssertionError):
        follow(blocks, tmp_path)
    written = (Block("csv", "a/b.csv", "x,$y\n"), Block("sh", "", "cat a/b.csv\n"))
    assert follow(written, tmp_path) == {written[1]: "x,$y\n"}
