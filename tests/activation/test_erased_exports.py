"""Who is forgotten stands in no export, and the platform's list is replaced."""

import hashlib
from pathlib import Path

import pytest

from orchestration.activation.exporting import ExportError, export_folders, forget_in_exports
from orchestration.privacy.scanning import Scanner
from orchestration.settings import Settings
from tests.activation.conftest import World, declared, listed

ANN, BOB, CID = {"a": "ann@x.test"}, {"b": "bob@x.test"}, {"c": "cid@x.test"}
HASHED = declared(name="hashed", identifier="email_sha256", platform="meta", format="parquet")


def searching(*addresses: str) -> Scanner:
    """The search of an erasure: every address, plain and hashed."""
    hashes = [hashlib.sha256(address.encode()).hexdigest() for address in addresses]
    return Scanner([*addresses, *hashes])


def versions(world: World, name: str) -> list[Path]:
    return sorted((world.settings.exports / name).glob("2*"))


def test_no_version_that_holds_the_person_is_left_and_the_next_one_replaces_the_list(
    world: World,
) -> None:
    release = world.publish(ANN | BOB)
    for one in (declared(), HASHED):
        world.export(release, one)
    assert searching("ann@x.test").folder(world.settings.exports).places
    assert len(forget_in_exports(world.settings, searching("ann@x.test"))) == 2
    assert not list(world.settings.exports.rglob("*.*"))
    release = world.publish(BOB)
    for one in (declared(), HASHED):
        fresh = world.export(release, one)
        assert (fresh.manifest.mode, fresh.manifest.previous) == ("replace", None)
        assert len(listed(fresh)) == 1
    assert searching("ann@x.test").folder(world.settings.exports).places == []


def test_who_was_removed_by_the_last_delta_is_gone_from_it_too(world: World) -> None:
    world.export(world.publish(ANN | BOB))
    world.export(world.publish(BOB, withdrawn=["a"]))
    assert listed(world.last(), "removed") == {"ann@x.test"}
    forget_in_exports(world.settings, searching("ann@x.test"))
    assert versions(world, "letters") == []


def test_the_last_version_of_the_current_release_stays_when_they_are_not_in_it(
    world: World,
) -> None:
    for members in (ANN | BOB, BOB | CID, BOB | CID):
        last = world.export(world.publish(members))
    forget_in_exports(world.settings, searching("ann@x.test"))
    assert versions(world, "letters") == [last.path]
    assert (last.path.parent / "latest").resolve() == last.path.resolve()
    after = world.export(world.publish(CID))
    assert (after.manifest.mode, listed(after, "removed")) == ("delta", {"bob@x.test"})


def test_a_version_of_another_release_goes_for_it_may_hold_an_older_address(world: World) -> None:
    """What names the person now need not be what was exported of them then."""
    world.export(world.publish({"a": "ann.old@x.test"}))
    world.publish(ANN)
    forget_in_exports(world.settings, searching("ann@x.test"))
    assert versions(world, "letters") == []


def test_what_a_killed_export_left_goes_too(world: World) -> None:
    version = world.export(world.publish(BOB))
    left = version.path.with_name(f".staging-{version.path.name}")
    left.mkdir()
    (left / "members.csv").write_text("email\nann@x.test\n")
    forget_in_exports(world.settings, searching("ann@x.test"))
    assert not left.exists()
    assert version.path.exists()


def test_folders_outside_of_the_home_are_remembered_and_searched(
    world: World, tmp_path: Path
) -> None:
    first = world.settings.exports
    world.export(world.publish(ANN))
    for name in ("one", "other"):
        world.settings = world.settings.model_copy(update={"exports": tmp_path / name})
        world.export(world.publish(ANN))
    world.settings = world.settings.model_copy(update={"exports": first})
    found = {tmp_path / "one", tmp_path / "other", first}
    assert set(export_folders(world.settings)) == found
    assert len(forget_in_exports(world.settings, searching("ann@x.test"))) == 3
    assert searching("ann@x.test").folder(tmp_path / "one").places == []


def test_a_folder_that_is_away_keeps_the_erasure_pending(world: World, tmp_path: Path) -> None:
    away = tmp_path / "drive"
    world.settings = world.settings.model_copy(update={"exports": away})
    world.export(world.publish(ANN))
    away.rename(tmp_path / "unplugged")
    with pytest.raises(ExportError, match="who is to be forgotten may stand in it"):
        forget_in_exports(world.settings, searching("ann@x.test"))


def test_files_of_others_in_the_folder_are_left_alone(settings: Settings, world: World) -> None:
    world.export(world.publish(ANN))
    own = settings.exports / "letters" / "notes.txt"
    own.write_text("keep")
    forget_in_exports(settings, searching("ann@x.test"))
    assert own.read_text() == "keep"
