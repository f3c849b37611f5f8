"""The format of backups: whatever is done to one is noticed, and nothing in it can be read."""

import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.backups import archive, restoring
from orchestration.backups.archive import (
    About,
    BackupError,
    mirrored,
    read_about,
    read_backup,
)
from orchestration.backups.sealing import (
    CHUNK,
    HEADER,
    TAG,
    SealedReader,
    SealError,
    SealingWriter,
)
from orchestration.run import only_one_run
from orchestration.settings import Settings
from tests.operations.conftest import House

KEY, OTHER = b"k" * 32, b"o" * 32
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5)
TEXT = b"ann.berg@x.test,+44 20 7946 0018;"


def sealed(content: bytes, key: bytes = KEY) -> bytes:
    file = io.BytesIO()
    writer = SealingWriter(file, key)
    for start in range(0, len(content), 70_001):
        writer.write(content[start : start + 70_001])
    writer.finish()
    return file.getvalue()


def opened(content: bytes, key: bytes = KEY) -> bytes:
    return SealedReader(io.BytesIO(content), key).read()


THREE_CHUNKS = (TEXT * (3 * CHUNK // len(TEXT)))[: 2 * CHUNK + 1000]
SEALED = sealed(THREE_CHUNKS)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens_as_it_was_at_every_border_of_chunks(size: int) -> None:
    content = (TEXT * (size // len(TEXT) + 1))[:size]
    file = sealed(content)
    assert opened(file) == content
    assert len(file) == HEADER + size + TAG * max(1, -(-size // CHUNK))


def test_nothing_can_be_read_in_the_bytes_and_no_two_are_alike() -> None:
    assert TEXT[:8] not in SEALED
    assert sealed(THREE_CHUNKS)[HEADER:] != SEALED[HEADER:]


def test_another_key_opens_nothing_and_is_told_from_damage() -> None:
    with pytest.raises(SealError, match="another key"):
        opened(SEALED, OTHER)


@given(st.integers(0, 8 * len(SEALED) - 1))
def test_a_flipped_bit_is_noticed_wherever_it_is(bit: int) -> None:
    content = bytearray(SEALED)
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        opened(bytes(content))


@given(st.integers(0, len(SEALED) - 1))
def test_a_backup_that_is_cut_off_anywhere_is_refused(end: int) -> None:
    with pytest.raises(SealError):
        opened(SEALED[:end])


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_cut_between_two_chunks_is_told_as_one(chunks: int) -> None:
    with pytest.raises(SealError, match="cut off"):
        opened(SEALED[: HEADER + chunks * (CHUNK + TAG)])


@given(st.binary(min_size=1, max_size=200))
def test_whatever_is_added_at_the_end_is_noticed(more: bytes) -> None:
    with pytest.raises(SealError):
        opened(SEALED + more)


@given(st.lists(st.sampled_from(range(3)), max_size=5).filter(lambda order: order != [0, 1, 2]))
def test_chunks_that_were_moved_left_out_or_repeated_are_noticed(order: Sequence[int]) -> None:
    step = CHUNK + TAG
    chunks = [SEALED[HEADER + at * step : HEADER + (at + 1) * step] for at in range(3)]
    with pytest.raises(SealError):
        opened(SEALED[:HEADER] + b"".join(chunks[at] for at in order))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_chunk_of_another_backup_by_the_same_key_is_noticed(at: int) -> None:
    other, start = sealed(THREE_CHUNKS), HEADER + at * (CHUNK + TAG)
    end = min(start + CHUNK + TAG, len(SEALED))
    with pytest.raises(SealError):
        opened(SEALED[:start] + other[start:end] + SEALED[end:])


def test_a_stream_that_was_never_finished_opens_nowhere() -> None:
    file = io.BytesIO()
    SealingWriter(file, KEY).write(THREE_CHUNKS)
    with pytest.raises(SealError, match="cut off"):
        opened(file.getvalue())


# --- the archive in it ----------------------------------------------------------------------------

ABOUT = About(
    made_at=datetime(2026, 7, 1, tzinfo=UTC),
    made_by="Eva Lind",
    reason="",
    release_id="20260630T000000Z-00000000",
    as_of="2026-06-30",
    content_hash="0" * 64,
    code_version="1",
    schema_version=4,
    erasures=(),
)


def packed(path: Path, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """A backup with the right key and anything in it."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    compressed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(compressed, "zstd") as stream:
        stream.write(text.getvalue())
    path.write_bytes(sealed(compressed.getvalue().to_pybytes()))
    return path


def member(name: str, type_: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = type_, "/etc/passwd"
    return found


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "keys/backup.key", "current", "./a", "a//b"],
)
def test_a_name_that_leads_out_of_the_home_is_refused(tmp_path: Path, name: str) -> None:
    about = ABOUT.model_dump_json().encode()
    listed = json.dumps({name: {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}}).encode()
    path = packed(
        tmp_path / "a.whb",
        [(member("about.json"), about), (member(name), b"x"), (member("contents.json"), listed)],
    )
    into = tmp_path / "deep" / "home"
    into.mkdir(parents=True)
    with pytest.raises(BackupError, match="may not be a name"):
        read_backup(path, KEY, into)
    assert [*tmp_path.rglob("out.txt"), *into.iterdir()] == []


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_is_refused(tmp_path: Path, type_: bytes) -> None:
    path = packed(
        tmp_path / "a.whb",
        [(member("about.json"), ABOUT.model_dump_json().encode()), (member("a", type_), b"")],
    )
    with pytest.raises(BackupError, match="is no file"):
        read_backup(path, KEY)


def test_files_that_are_not_those_of_the_list_are_refused(tmp_path: Path) -> None:
    about = (member("about.json"), ABOUT.model_dump_json().encode())
    listed = (member("contents.json"), b"{}")
    for members in ([about, (member("a"), b"x"), listed], [about]):
        with pytest.raises(BackupError, match="not those of its list"):
            read_backup(packed(tmp_path / "a.whb", members), KEY)


def test_a_backup_of_newer_code_is_told(tmp_path: Path) -> None:
    newer = ABOUT.model_copy(update={"format_version": archive.FORMAT + 1})
    path = packed(tmp_path / "a.whb", [(member("about.json"), newer.model_dump_json().encode())])
    with pytest.raises(BackupError, match="newer code"):
        read_about(path, KEY)


# --- the commands ---------------------------------------------------------------------------------


def test_without_a_key_nothing_is_backed_up_and_the_way_to_one_is_told(house: House) -> None:
    outcome = house.warehouse("backup")
    assert outcome.exit_code == 1
    assert "warehouse make-key backup" in " ".join(outcome.output.split())
    assert not (house.home / "backups").exists()


def test_a_key_is_made_once_and_only_its_path_is_shown(house: House) -> None:
    made = house.warehouse("make-key", "backup")
    path = house.home / "keys" / "backup.key"
    assert (made.exit_code, made.output.strip()) == (0, str(path))
    key = path.read_text()
    again = house.warehouse("make-key", "backup")
    assert again.exit_code == 1
    assert key.strip() not in again.output
    assert path.read_text() == key


def test_before_the_first_release_there_is_nothing_to_back_up(house: House) -> None:
    house.warehouse("make-key", "backup")
    outcome = house.warehouse("backup")
    assert outcome.exit_code == 1
    assert "Nothing is released" in outcome.output


def test_a_file_that_is_no_backup_is_refused_in_one_sentence(house: House) -> None:
    house.warehouse("make-key", "backup")
    path = house.home / "no.whb"
    for content in (b"", b"what is this", b"WHBACKUP"):
        path.write_bytes(content)
        for verb in (("verify-backup",), ("restore", "--confirm")):
            outcome = house.warehouse(*verb, str(path))
            assert outcome.exit_code == 1
            assert "is no backup" in outcome.output or "cut off" in outcome.output
    assert house.warehouse("verify-backup", "none.whb").exit_code == 1


# --- the moving in of a restored home ------------------------------------------------------------

OLD = {
    "work.duckdb": "old",
    "work.duckdb.wal": "old",
    "release_candidate.duckdb": "old",
    "overrides.csv": "old",
    "erasures/e-1/tombstones.json": "old",
    "releases/20260101T000000Z-00000000/manifest.json": "old",
    "releases/20260101T000000Z-00000001/manifest.json": "old",
    "keys/backup.key": "kept",
    "backups/a.whb": "kept",
    "logs/a.jsonl": "kept",
}
NEW = {
    "work.duckdb": "new",
    "decisions.csv": "new",
    "backups.csv": "new",
    "erasures/e-1/tombstones.json": "new",
    "erasures/e-2/tombstones.json": "new",
    "releases/20260101T000000Z-00000000/manifest.json": "new",
}


def write_all(home: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    (home / "current").symlink_to("releases/20260101T000000Z-00000000")


def read_all(home: Path) -> dict[str, str]:
    return {
        path.relative_to(home).as_posix(): path.read_text()
        for path in sorted(home.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


class KilledError(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize("steps", range(14))
def test_a_restore_killed_at_any_step_of_the_moving_is_completed_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    elsewhere = tmp_path / "elsewhere" / "decisions.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_text("old")
    settings = Settings(home=tmp_path / "home", decisions=elsewhere)
    write_all(settings.home, OLD)
    staged = mirrored(settings, settings.home / ".restore" / "new")
    write_all(staged.home, NEW)
    replaced = restoring._commit(settings, staged, {"keys", "backups", ".restore"})
    left = steps

    def rename(path: Path, to: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError
        return path.replace(to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with contextlib.suppress(KilledError):
            restoring.settle(settings)
    restoring.settle(settings)
    restoring.settle(settings)
    assert elsewhere.read_text() == "new"
    assert settings.current.readlink() == Path("releases/20260101T000000Z-00000000")
    found = read_all(settings.home)
    aside = {n: c for n, c in found.items() if n.startswith("replaced.")}
    assert {n: c for n, c in found.items() if n not in aside} == {
        **{name: content for name, content in NEW.items() if name != "decisions.csv"},
        **{name: content for name, content in OLD.items() if content == "kept"},
    }
    assert set(aside.values()) == {"old"}
    assert len(aside) == 1 + sum(content == "old" for content in OLD.values())
    assert all(name.startswith(f"{replaced.name}/") for name in aside)


def test_a_restore_killed_before_the_moving_leaves_the_old_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    write_all(settings.home, OLD)
    write_all(settings.home / ".restore" / "new", NEW)
    with only_one_run(settings):
        pass
    assert {n: c for n, c in read_all(settings.home).items() if n != "run.lock"} == OLD
