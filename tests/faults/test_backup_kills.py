"""Backups and restores killed at random moments: what is there is whole, the next one succeeds."""

import random
import signal
import time

import pytest

from benchmarks.faults import Lab
from orchestration.release import verify_release
from tests.faults.conftest import NewLab

BY = ("--by", "Eva Lind", "--why", "drill")
KILLS = 6


@pytest.fixture(scope="module")
def backed_up(second_day: NewLab) -> tuple[Lab, str]:
    """An installation with a backup of its first day that has released the second one."""
    lab = second_day("backup-kills")
    assert lab.start("make-key", "backup").wait() == 0
    child = lab.start("backup")
    assert child.wait() == 0, child.output
    before = lab.content_hash
    lab.run()
    assert lab.content_hash != before
    return lab, before


def killed(lab: Lab, arguments: tuple[str, ...], seconds: float) -> bool:
    """Start a command and kill it after a while; whether it was still at work."""
    child = lab.start(*arguments)
    time.sleep(seconds)
    child.kill()
    code = child.wait()
    assert code in {0, -signal.SIGKILL}, child.output
    return code != 0


def test_a_backup_that_was_killed_leaves_no_half_one(backed_up: tuple[Lab, str]) -> None:
    lab, _ = backed_up
    began = time.monotonic()
    assert lab.start("backup").wait() == 0
    seconds = time.monotonic() - began
    dice = random.Random(20261127)
    stopped = 0
    for _ in range(KILLS):
        if killed(lab, ("backup",), seconds * dice.random()):
            stopped += 1
        else:
            seconds *= 0.7  # the machine is faster now than when it was measured
    assert stopped > 0
    child = lab.start("backup")
    assert child.wait() == 0, child.output
    folder = lab.home / "backups"
    assert not [path for path in folder.iterdir() if path.suffix != ".whb"]
    child = lab.start("verify-backup", "--all")
    assert child.wait() == 0, child.output


def test_a_restore_that_was_killed_leaves_the_old_home_or_the_new_one(
    backed_up: tuple[Lab, str],
) -> None:
    lab, before = backed_up
    after = lab.content_hash
    (oldest, *_) = sorted((lab.home / "backups").glob("*.whb"))
    restore = ("restore", str(oldest), "--confirm", *BY)
    copy = lab.copied_to(lab.folder.with_name("restore-timed"))
    began = time.monotonic()
    assert copy.start(*restore).wait() == 0
    seconds = time.monotonic() - began
    dice = random.Random(20261128)
    stopped = 0
    for number in range(KILLS):
        copy = lab.copied_to(lab.folder.with_name(f"restore-killed-{number}"))
        if killed(copy, restore, seconds * (0.3 + 0.7 * dice.random())):
            stopped += 1
        else:
            seconds *= 0.7  # the machine is faster now than when it was measured
        # any command that takes the lock settles it
        copy.start("rollback", "--to", "none").wait()
        assert not (copy.home / ".restore").exists()
        assert copy.content_hash in {before, after}
        verify_release(copy.release)
        child = copy.start(*restore)
        assert child.wait() == 0, child.output
        assert copy.content_hash == before
        verify_release(copy.release)
    assert stopped > 0
