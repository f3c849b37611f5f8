"""Who looked at whom: lines that name nobody, in a chain in which nothing can be changed."""

import json
import multiprocessing
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.privacy import access_log
from orchestration.privacy.access_log import (
    AccessLogError,
    account,
    hashes_of,
    mask_log,
    note,
    read_log,
)
from orchestration.privacy.scanning import Scanner
from orchestration.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, erasure_key=tmp_path / "erasure.key")


@pytest.fixture
def log(settings: Settings) -> Settings:
    """Five lines."""
    for number in range(1, 6):
        look(settings, f"crm:C{number}", why=f"case {number}")
    return settings


def look(settings: Settings, *names: str, by: str = "Eva Lind", why: str = "case 17") -> None:
    note(settings, verb="explain", by=by, why=why, names=names, outcome="shown")


def lines_of(settings: Settings) -> list[bytes]:
    return settings.access_log.read_bytes().splitlines(keepends=True)


def write(settings: Settings, lines: list[bytes]) -> None:
    settings.access_log.write_bytes(b"".join(lines))


def changed(line: bytes, **values: Any) -> bytes:
    return json.dumps(json.loads(line) | values, sort_keys=True, separators=(",", ":")).encode() + (
        b"\n"
    )


def head_of(settings: Settings) -> Path:
    return settings.home / "access.head.json"


def test_a_line_says_who_when_why_and_of_whom_without_naming_them(settings: Settings) -> None:
    look(settings, "crm:C1", "email:ann@x.test")
    (line,) = read_log(settings).lines
    assert (line.by, line.account, line.verb, line.why) == (
        "Eva Lind",
        account(),
        "explain",
        "case 17",
    )
    assert line.of == hashes_of(settings, ["crm:C1", "email:ann@x.test"])
    text = settings.access_log.read_text()
    assert "crm:C1" not in text
    assert "ann@x.test" not in text


def test_who_gives_no_name_is_noted_by_the_account(settings: Settings) -> None:
    look(settings, "crm:C1", by=" ")
    assert read_log(settings).lines[0].by == account()


def test_the_log_and_its_head_are_for_their_owner_only(log: Settings) -> None:
    for path in (log.access_log, head_of(log)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_as_it_was_written_is_proven_whole(log: Settings) -> None:
    read = read_log(log)
    assert [line.number for line in read.lines] == [1, 2, 3, 4, 5]
    assert read.problem == ""


def test_no_log_is_no_problem(settings: Settings) -> None:
    assert read_log(settings).lines == ()
    assert read_log(settings).problem == ""


TAMPERED: dict[str, Any] = {
    "number": 7,
    "at": "2020-01-01T00:00:00.000000Z",
    "by": "Nobody",
    "account": "nobody",
    "verb": "quarantine show",
    "why": "no reason",
    "of": [],
    "outcome": "refused",
    "previous": "0" * 64,
    "hash": "é" * 64,
    "by_hash": "0" * 32,
    "account_hash": "0" * 32,
    "why_hash": "0" * 32,
}


def test_every_field_is_tampered_with(log: Settings) -> None:
    assert set(TAMPERED) == set(json.loads(lines_of(log)[0]))


@pytest.mark.parametrize("field", TAMPERED)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_changed_field_is_noticed_at_its_line(log: Settings, field: str, number: int) -> None:
    lines = lines_of(log)
    old = lines[number - 1]
    lines[number - 1] = changed(old, **{field: TAMPERED[field]})
    if lines[number - 1] == old:  # the first line has no line before it
        lines[number - 1] = changed(old, **{field: "1" * 64})
    write(log, lines)
    read = read_log(log)
    assert f"access.jsonl:{number}:" in read.problem
    assert len(read.lines) == number - 1


def test_another_spelling_of_the_same_line_is_noticed(log: Settings) -> None:
    lines = lines_of(log)
    lines[1] = lines[1].replace(b",", b", ", 1)
    write(log, lines)
    assert "access.jsonl:2: this line is not as it was written" in read_log(log).problem


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_line_that_was_taken_out_is_missed_at_its_place(log: Settings, number: int) -> None:
    lines = lines_of(log)
    del lines[number - 1]
    write(log, lines)
    problem = read_log(log).problem
    assert f"access.jsonl:{number}: line {number} is missing here" in problem


def test_lines_that_changed_places_are_noticed_at_the_first(log: Settings) -> None:
    first, second, third, *rest = lines_of(log)
    write(log, [first, third, second, *rest])
    assert "access.jsonl:2: line 2 is missing here, or lines were moved" in read_log(log).problem


def test_a_line_that_stands_twice_is_noticed(log: Settings) -> None:
    lines = lines_of(log)
    write(log, [*lines, lines[-1]])
    assert "access.jsonl:6:" in read_log(log).problem


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_log_that_was_cut_at_its_end_is_noticed(log: Settings, left: int) -> None:
    write(log, lines_of(log)[:left])
    assert f"line {left + 1} of 5 is missing" in read_log(log).problem


def test_a_last_line_that_was_cut_off_is_noticed(log: Settings) -> None:
    log.access_log.write_bytes(log.access_log.read_bytes()[:-9])
    assert "access.jsonl:5: line 5 of 5 is cut off" in read_log(log).problem


def test_a_log_that_is_gone_is_noticed(log: Settings) -> None:
    log.access_log.unlink()
    assert "line 1 of 5 is missing" in read_log(log).problem


def test_a_head_that_is_gone_changed_or_of_an_earlier_state_is_noticed(log: Settings) -> None:
    head = head_of(log).read_bytes()
    head_of(log).unlink()
    assert "the head of the log is missing" in read_log(log).problem
    lines = lines_of(log)
    write(log, lines[:4])
    forged = json.loads(head) | {"count": 4, "hash": json.loads(lines[3])["hash"]}
    head_of(log).write_text(json.dumps(forged))
    assert "the head of the log is missing or not as it was written" in read_log(log).problem
    write(log, lines)
    head_of(log).write_bytes(head)
    for number in (6, 7):
        look(log, f"crm:C{number}")
    head_of(log).write_bytes(head)
    assert "of an earlier state" in read_log(log).problem


def test_nobody_looks_while_the_end_of_the_log_is_not_as_it_was_written(log: Settings) -> None:
    write(log, lines_of(log)[:4])
    with pytest.raises(AccessLogError, match="Nothing was shown"):
        look(log, "crm:C1")
    assert len(lines_of(log)) == 4


def test_what_a_killed_process_left_was_never_shown_and_is_no_problem(log: Settings) -> None:
    head, lines = head_of(log).read_bytes(), lines_of(log)
    log.access_log.write_bytes(b"".join(lines) + lines[-1][:40])
    assert read_log(log).problem == ""
    look(log, "crm:C6")
    # killed between the line and its head
    head_of(log).write_bytes(head)
    assert read_log(log).problem == ""
    look(log, "crm:C7")
    assert [line.number for line in read_log(log).lines] == [1, 2, 3, 4, 5, 6, 7]
    assert read_log(log).problem == ""


def test_nothing_is_shown_when_the_log_cannot_be_written(
    log: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(access_log, "write_at_end", full)
    with pytest.raises(AccessLogError, match=r"cannot be written \(No space left on device\)"):
        look(log, "crm:C1")
    assert read_log(log).problem == ""


def test_without_the_key_nothing_is_shown(log: Settings) -> None:
    log.erasure_key.unlink()
    with pytest.raises(AccessLogError, match="Bring it back"):
        look(log, "crm:C1")
    assert not log.erasure_key.exists()


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "x" * 1001, "\udcff", "[forgotten]"])
def test_a_reason_that_no_line_can_hold_is_refused(settings: Settings, text: str) -> None:
    with pytest.raises(AccessLogError, match="Nothing was shown"):
        look(settings, "crm:C1", why=text)
    assert not settings.access_log.exists()


def test_an_erasure_masks_who_is_named_in_a_reason_and_the_chain_holds(log: Settings) -> None:
    look(log, "crm:C6", why="asked for by ann@x.test")
    look(log, "crm:C7", by="Ann Bergström")
    scanner = Scanner(["ann@x.test", "ann bergström", "Ann Bergström"])
    assert mask_log(log, scanner) == 2
    assert mask_log(log, scanner) == 0
    read = read_log(log)
    assert read.problem == ""
    assert [line.why for line in read.lines[5:]] == ["[forgotten]", "case 17"]
    assert read.lines[6].by == "[forgotten]"
    assert not scanner.is_in(log.access_log.read_bytes())
    assert stat.S_IMODE(log.access_log.stat().st_mode) == 0o600
    look(log, "crm:C8")
    assert read_log(log).problem == ""


def test_a_reason_that_was_masked_by_hand_is_noticed(log: Settings) -> None:
    lines = lines_of(log)
    lines[2] = changed(lines[2], why="[forgotten]")
    write(log, lines)
    assert "1 lines have a text that is [forgotten]" in read_log(log).problem


def _look_often(home: str, name: str) -> None:
    settings = Settings(home=Path(home), erasure_key=Path(home) / "erasure.key")
    for number in range(25):
        look(settings, f"crm:{name}{number}", by=name)


def test_two_processes_that_look_at_once_leave_one_chain(settings: Settings) -> None:
    look(settings, "crm:C1")
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_look_often, args=(str(settings.home), name)) for name in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    read = read_log(settings)
    assert read.problem == ""
    assert sorted(line.by for line in read.lines[1:]) == ["a"] * 25 + ["b"] * 25


Change = Callable[[list[bytes]], list[bytes]]


@given(
    cut=st.integers(0, 4),
    other=st.integers(0, 4),
    at=st.integers(0, 200),
    what=st.sampled_from(["drop", "swap", "repeat", "flip", "end"]),
)
def test_whatever_is_done_to_the_lines_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, cut: int, other: int, at: int, what: str
) -> None:
    home = tmp_path_factory.mktemp("log")
    settings = Settings(home=home, erasure_key=home / "erasure.key")
    for number in range(5):
        look(settings, f"crm:C{number}")
    before = lines_of(settings)
    lines = list(before)
    if what == "drop":
        del lines[cut]
    elif what == "swap":
        lines[cut], lines[other] = lines[other], lines[cut]
    elif what == "repeat":
        lines.insert(other, lines[cut])
    elif what == "flip":
        byte = at % (len(lines[cut]) - 1)
        lines[cut] = lines[cut][:byte] + bytes([lines[cut][byte] ^ 1]) + lines[cut][byte + 1 :]
    else:
        lines = lines[:cut]
    write(settings, lines)
    read = read_log(settings)
    if lines == before:
        assert read.problem == ""
        return
    assert read.problem
    right = next((n for n, (a, b) in enumerate(zip(before, lines, strict=False)) if a != b), None)
    right = min(len(before), len(lines)) if right is None else right
    assert len(read.lines) == right
