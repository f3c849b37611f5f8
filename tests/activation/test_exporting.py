"""What is exported is who may be contacted, whole or as a delta, whatever happens in between."""

import hashlib
import json
import os
import stat
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orchestration.activation import exporting
from orchestration.activation.exporting import (
    ExportError,
    ExportManifest,
    Version,
    export_each,
    follow,
)
from orchestration.keys import make_key
from orchestration.operations.retention import EXPORTS_KEPT
from orchestration.privacy.certificates import plan_erasure
from orchestration.privacy.people import People
from orchestration.release import Release, ReleaseError, current_release, rollback
from orchestration.release.releases import flush
from orchestration.settings import Settings
from tests.activation.conftest import AUDIENCE, World, declared, listed

ANN, BOB, CID = {"a": "ann@x.test"}, {"b": "bob@x.test"}, {"c": "cid@x.test"}
WHOLE = declared(mode="full")


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Every path below a folder with its time of change and what a link points to."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            str(path.readlink()) if path.is_symlink() else "",
        )
        for path in folder.rglob("*")
    }


def test_a_version_is_what_its_contract_says(world: World) -> None:
    release = world.publish(ANN | BOB, withdrawn=["c", "d"], suppressed=["e"])
    version = world.export(release)
    manifest = json.loads((version.path / "manifest.json").read_text(encoding="utf-8"))
    assert version.is_new
    assert version.path.name == f"20260302T070000Z-{release.id}" == manifest["version"]
    assert (manifest["contract_version"], manifest["mode"]) == (1, "replace")
    assert (manifest["release_id"], manifest["as_of"]) == (release.id, "2026-03-01")
    assert (manifest["purpose"], manifest["channel"]) == ("letters", "email")
    assert manifest["columns"] == [{"name": "email", "type": "VARCHAR"}]
    assert manifest["row_counts"] == {"members": 2}
    assert manifest["left_out"] | {"no_consent": 2, "suppressed": 1} == manifest["left_out"]
    assert manifest["content_hash"] == hashlib.sha256(b"ann@x.test\nbob@x.test").hexdigest()
    content = (version.path / "members.csv").read_bytes()
    assert content == b"email\nann@x.test\nbob@x.test\n"
    assert manifest["files"] == {
        "members.csv": {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    }
    assert ExportManifest.model_validate(manifest) == version.manifest
    assert (world.settings.exports / "letters" / "latest").readlink() == Path(version.path.name)


def test_nobody_but_the_account_of_the_run_can_read_it(world: World) -> None:
    mask = os.umask(0)
    try:
        version = world.export(world.publish(ANN))
    finally:
        os.umask(mask)
    folders = (version.path, version.path.parent, world.settings.exports)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in version.path.iterdir()} == {0o600}


def test_csv_and_parquet_hold_the_same_and_have_the_same_content_hash(world: World) -> None:
    release = world.publish(ANN | BOB)
    lines = world.export(release)
    columns = world.export(release, declared(name="other", format="parquet"))
    assert listed(columns) == listed(lines) == {"ann@x.test", "bob@x.test"}
    assert columns.manifest.content_hash == lines.manifest.content_hash
    described = duckdb.execute(
        f"describe from read_parquet('{str(columns.members).replace(chr(39), chr(39) * 2)}')"
    ).fetchall()
    assert [(name, type_) for name, type_, *_ in described] == [("email", "VARCHAR")]


def test_the_same_release_again_changes_nothing(world: World) -> None:
    release = world.publish(ANN)
    first = world.export(release)
    before = tree(world.settings.exports)
    again = world.export(release)
    assert (again.path, again.is_new) == (first.path, False)
    assert tree(world.settings.exports) == before


def test_a_withdrawal_is_removed_in_the_next_delta(world: World) -> None:
    first = world.export(world.publish(ANN | BOB))
    second = world.export(world.publish(ANN | CID, withdrawn=["b"]))
    assert (second.manifest.mode, second.manifest.previous) == ("delta", first.path.name)
    assert listed(second) == {"ann@x.test", "cid@x.test"}
    assert listed(second, "added") == {"cid@x.test"}
    assert listed(second, "removed") == {"bob@x.test"}
    assert second.manifest.row_counts == {"members": 2, "added": 1, "removed": 1}


def test_a_delta_is_against_what_was_exported_last_and_not_against_the_last_release(
    world: World,
) -> None:
    world.export(world.publish(ANN))
    world.publish(ANN | BOB)
    world.publish(BOB)
    late = world.export(world.publish(BOB | CID))
    assert listed(late, "added") == {"bob@x.test", "cid@x.test"}
    assert listed(late, "removed") == {"ann@x.test"}


def test_a_release_that_is_exported_again_after_a_rollback_is_a_delta_to_the_last_export(
    world: World,
) -> None:
    world.export(world.publish(ANN | BOB))
    second = world.export(world.publish(ANN | BOB | CID))
    back = world.export(rollback(world.settings))
    assert back.path != second.path
    assert (back.manifest.previous, listed(back, "removed")) == (second.path.name, {"cid@x.test"})
    assert listed(back) == {"ann@x.test", "bob@x.test"}


def test_a_rollback_brings_nobody_back_who_withdrew_or_was_suppressed_since(world: World) -> None:
    """The release before says that they agreed; a later one that is kept knows better."""
    dee = {"d": "dee@x.test"}
    world.export(world.publish(ANN | BOB | CID | dee))
    world.export(world.publish(ANN | CID, withdrawn=["b"], suppressed=["d"]))
    back = world.export(rollback(world.settings))
    assert listed(back) == {"ann@x.test", "cid@x.test"}
    assert back.manifest.left_out["withdrawn_since"] == 2


def test_a_release_of_an_earlier_day_does_not_undo_a_no_of_a_later_one(world: World) -> None:
    world.export(world.publish(ANN, withdrawn=["b"], as_of=date(2026, 3, 1)))
    earlier = world.export(world.publish(ANN | BOB, as_of=date(2026, 2, 1)))
    assert listed(earlier) == {"ann@x.test"}


def test_nothing_older_is_exported_when_the_later_release_is_gone(world: World) -> None:
    first = world.publish(ANN | BOB)
    later = world.publish(ANN, withdrawn=["b"])
    world.export(later)
    rollback(world.settings)
    later.path.rename(world.settings.home / "elsewhere")
    with pytest.raises(ExportError, match="who withdrew since is unknown"):
        world.export(first)
    assert listed(world.last()) == {"ann@x.test"}


def test_an_empty_audience_empties_the_list_of_the_platform(world: World) -> None:
    world.export(world.publish(ANN))
    empty = world.export(world.publish({}, withdrawn=["a"]))
    assert (empty.path / "members.csv").read_bytes() == b"email\n"
    assert listed(empty, "removed") == {"ann@x.test"}
    assert empty.manifest.content_hash == hashlib.sha256(b"").hexdigest()


def test_a_release_without_the_audience_is_told_and_the_last_export_stands(world: World) -> None:
    world.export(world.publish(ANN))
    before = tree(world.settings.exports)
    with pytest.raises(ExportError, match=r"holds no audience .* `make run` makes"):
        world.export(world.publish(ANN, audience="Another"))
    assert tree(world.settings.exports).keys() == before.keys()


def test_two_customers_with_one_address_are_one_line_and_are_counted(world: World) -> None:
    version = world.export(world.publish({"a": "Ann@x.test", "b": "ann@x.test ", "c": "=1@x.test"}))
    assert listed(version) == {"ann@x.test"}
    left_out = version.manifest.left_out
    assert (left_out["identifier_of_another_member"], left_out["unusable_address"]) == (1, 1)


@given(
    st.lists(
        st.sets(st.sampled_from([f"p{number}@x.test" for number in range(6)])),
        min_size=2,
        max_size=5,
    )
)
@hypothesis_settings(max_examples=6)
def test_the_deltas_in_order_make_of_the_first_list_the_last_one(
    tmp_path_factory: pytest.TempPathFactory, lists: list[set[str]]
) -> None:
    world = World(Settings(home=tmp_path_factory.mktemp("home"), threads=1, as_of=date(2026, 3, 1)))
    platform: set[str] = set()
    for members in lists:
        version = world.export(world.publish({address[:2]: address for address in members}))
        if version.manifest.mode == "replace":
            platform = listed(version)
        else:
            added, removed = listed(version, "added"), listed(version, "removed")
            assert (added & platform, removed - platform) == (set(), set())
            platform = (platform - removed) | added
        assert platform == listed(version) == members


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"mode": "full"}, "it is declared so"),
        ({"identifier": "customer_id"}, "declared in another way"),
    ],
)
def test_what_is_declared_in_another_way_is_a_whole_list(
    world: World, changed: dict[str, str], because: str
) -> None:
    world.export(world.publish(ANN))
    version = world.export(world.publish(ANN | BOB), declared(**changed))
    assert (version.manifest.mode, version.manifest.previous) == ("replace", None)
    assert because in version.manifest.because
    assert sorted(version.manifest.row_counts) == ["members"]


def test_another_format_goes_on_with_the_delta(world: World) -> None:
    release = world.publish(ANN)
    world.export(release)
    columns = world.export(release, declared(format="parquet"))
    assert columns.is_new
    back = world.export(world.publish(BOB))
    for version in (columns, back):
        assert version.manifest.mode == "delta"
    assert (listed(back, "added"), listed(back, "removed")) == ({"bob@x.test"}, {"ann@x.test"})


@pytest.mark.parametrize("file", ["members.csv", "manifest.json"])
def test_after_a_version_that_was_changed_by_hand_comes_a_whole_list(
    world: World, file: str
) -> None:
    first = world.export(world.publish(ANN | BOB))
    (first.path / file).write_text("email\neve@x.test\n", encoding="utf-8")
    second = world.export(world.publish(ANN))
    assert second.manifest.mode == "replace"
    assert listed(second) == {"ann@x.test"}


def test_a_file_that_somebody_has_deleted_is_made_anew_of_the_same_release(world: World) -> None:
    release = world.publish(ANN)
    world.export(release).members.unlink()
    again = world.export(release)
    assert again.is_new
    assert (again.manifest.mode, listed(again)) == ("replace", {"ann@x.test"})


def test_only_the_last_few_versions_are_kept(world: World) -> None:
    for number in range(5):
        world.export(world.publish({"a": f"p{number}@x.test"}))
    folder = world.settings.exports / "letters"
    assert len(list(folder.glob("2*"))) == EXPORTS_KEPT
    assert listed(world.last()) == {"p4@x.test"}
    assert {path.name for path in folder.iterdir()} - {"latest"} == {
        path.name for path in folder.glob("2*")
    }


def _killed(settings: Settings, release: Release, flushes: int) -> None:
    """Export in a process that dies without a word at one of the times it flushes to disk."""
    left = [flushes]

    def dying(path: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
        flush(path)

    vars(exporting)["flush"] = dying
    exporting.export(settings, declared(), release)


def test_an_export_killed_at_any_flush_leaves_the_last_one_whole_and_the_next_one_is_right(
    world: World,
) -> None:
    first = world.export(world.publish(ANN | BOB))
    release = world.publish(ANN | CID, withdrawn=["b"])
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["orchestration.activation.exporting", "pytest"])
    codes = []
    for flushes in range(8):
        process = processes.Process(target=_killed, args=(world.settings, release, flushes))
        process.start()
        process.join(60)
        codes.append(process.exitcode)
        linked = (world.settings.exports / "letters" / "latest").resolve()
        seen = Version(linked, ExportManifest.model_validate_json(
            (linked / "manifest.json").read_bytes()
        ))  # fmt: skip
        assert listed(seen) in ({"ann@x.test", "bob@x.test"}, {"ann@x.test", "cid@x.test"})
    assert codes[0] == 9
    assert codes[-1] == 0
    last = world.export(release)
    assert (listed(last, "added"), listed(last, "removed")) == ({"cid@x.test"}, {"bob@x.test"})
    assert last.manifest.previous == first.path.name
    assert not list(last.path.parent.glob(".*"))


def test_a_disk_that_cannot_be_written_is_told_and_nothing_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.export(world.publish(ANN))
    before = tree(world.settings.exports)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    release = world.publish(BOB)
    monkeypatch.setattr(exporting, "flush", full)
    with pytest.raises(ExportError, match=r"letters could not be written .*No space left"):
        world.export(release)
    assert tree(world.settings.exports).keys() == before.keys()


def test_one_export_that_fails_keeps_no_other_from_being_made(world: World) -> None:
    release = world.publish(ANN)
    made, problems = export_each(
        world.settings, [declared(audience="Nobody's"), declared(name="other")], release
    )
    assert [version.manifest.export for version in made] == ["other"]
    assert len(problems) == 1


def test_an_encrypted_release_is_exported_like_a_plain_one_but_not_without_its_key(
    world: World,
) -> None:
    for key in ("steward", "working"):
        make_key(world.settings, key)
    version = world.export(world.publish(ANN))
    assert listed(version) == {"ann@x.test"}
    (world.settings.keys / "steward.key").unlink()
    sealed = current_release(world.settings)
    assert sealed is not None
    with pytest.raises(ReleaseError, match="its key is not here"):
        world.export(sealed, declared(name="other"))
    assert not list((world.settings.exports / "other").iterdir())


def test_a_copy_to_try_something_in_exports_nothing(world: World) -> None:
    release = world.publish(ANN)
    (world.settings.home / ".scratch").touch()
    assert follow(world.settings) == ([], [])
    with pytest.raises(ExportError, match="a copy to try something in"):
        world.export(release)
    assert not world.settings.exports.exists()


def test_nobody_is_exported_while_somebody_waits_to_be_forgotten(world: World) -> None:
    release = world.publish(ANN)
    people = People(("a",), (), (), (), ("ann@x.test",), (), 0)
    plan_erasure(world.settings, people, count=1, by="Eva Lind", why="case 1")
    with pytest.raises(ExportError, match="`warehouse forget --resume`"):
        world.export(release)
    assert not world.settings.exports.exists()


def test_what_is_declared_is_brought_up_to_the_release_and_what_is_not_any_more_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = world.settings.exports / "notes"
    foreign.mkdir(parents=True)
    (foreign / "latest").write_text("somebody else's")
    names = ["letters", "cards"]
    monkeypatch.setattr(
        exporting, "read_exports", lambda: tuple(declared(name=name) for name in names)
    )
    assert follow(world.settings) == ([], [])
    world.publish(ANN)
    made, problems = follow(world.settings)
    assert sorted(version.manifest.export for version in made) == sorted(names)
    assert problems == []
    before = tree(world.settings.exports)
    assert follow(world.settings) == ([], [])
    assert tree(world.settings.exports) == before
    names.remove("cards")
    assert follow(world.settings) == ([], [])
    assert {path.name for path in world.settings.exports.iterdir()} == {"letters", "notes"}
    assert (foreign / "latest").read_text() == "somebody else's"


def test_only_the_audience_that_is_declared_is_exported(world: World) -> None:
    release = world.publish(ANN)
    assert current_release(world.settings) == release
    version = world.export(release, WHOLE)
    assert version.manifest.audience == AUDIENCE
    assert b"elsewhere@x.test" not in version.members.read_bytes()
