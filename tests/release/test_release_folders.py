"""Publishing, keeping, rolling back and checking releases, on real files."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pytest
from pyarrow import parquet

from orchestration.release import (
    Release,
    ReleaseError,
    current_release,
    list_releases,
    publish,
    read_manifest,
    rollback,
    verify_release,
)
from orchestration.settings import Settings

Build = Callable[..., None]
Publish = Callable[..., Release]

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def mart(value: int) -> str:
    return f"create table marts.customers as select {value} as customer_id, 'Ann' as name"


def read(database: Path, query: str = "from marts.customers") -> list[tuple[object, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def ids(settings: Settings) -> list[str]:
    return [release.id for release in list_releases(settings)]


def linked(settings: Settings) -> str:
    release = current_release(settings)
    assert release is not None
    return release.id


def hidden(settings: Settings) -> list[str]:
    names = [path.name for path in settings.releases.iterdir() if path.name.startswith(".")]
    return [name for name in names if name != ".lock"]


def tamper(path: Path) -> Path:
    """A published file is read-only; whoever insists can still break it."""
    path.chmod(0o644)
    return path


def test_a_release_holds_the_marts_as_a_database_as_parquet_and_in_the_manifest(
    settings: Settings, release: Publish
) -> None:
    published = release(
        mart(1), "create table marts.orders as select range as order_id from range(9)"
    )

    assert settings.current.readlink() == Path("releases") / published.id
    assert current_release(settings) == published
    database = settings.current / "warehouse.duckdb"
    assert read(database) == [(1, "Ann")]
    assert parquet.read_table(published.parquet("orders")).num_rows == 9
    manifest = read_manifest(published)
    assert manifest.as_of == date(2026, 3, 1)
    assert manifest.replaces is None
    assert {name: table.row_count for name, table in manifest.tables.items()} == {
        "customers": 1,
        "orders": 9,
    }
    assert [c.name for c in manifest.tables["customers"].columns] == ["customer_id", "name"]
    assert manifest.gates == [{"gate": "marts", "success": True}]
    assert manifest.provenance == {"code_version": "abc123"}
    assert published.id == f"20260302T070000Z-{manifest.content_hash[:8]}"
    assert hidden(settings) == []
    verify_release(published)


def test_the_same_marts_give_the_same_hashes_in_another_release(
    settings: Settings, release: Publish
) -> None:
    rows = "select range as id, 'x' || range as name from range(5000)"
    one = read_manifest(release(f"create table marts.t as {rows}"))
    again = read_manifest(release(f"create table marts.t as {rows} order by id desc"))
    other = read_manifest(release(f"create table marts.t as {rows} where id > 0"))

    assert one.content_hash == again.content_hash != other.content_hash
    assert one.tables == again.tables
    assert one.release_id < again.release_id < other.release_id


@pytest.mark.parametrize("storage_version", ["v1.0.0", "v1.2.0", "latest"])
def test_published_files_can_be_read_by_the_first_stable_duckdb(
    settings: Settings, build: Build, release: Publish, storage_version: str
) -> None:
    build(mart(1), storage_version=storage_version)
    published = release()

    header = published.database.read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    assert struct.unpack("<Q", header[12:20]) == (64,)  # what DuckDB 0.9 to 1.1 write and read
    assert read(published.database) == [(1, "Ann")]


def test_nothing_is_written_beside_the_marts_and_no_file_can_be_written_to(
    settings: Settings, release: Publish
) -> None:
    published = release(mart(1))
    files = {
        path.relative_to(published.path).as_posix(): path for path in published.path.rglob("*.*")
    }
    rights = {name: f"{path.stat().st_mode & 0o777:04o}" for name, path in files.items()}
    assert rights == {
        "manifest.json": "0444",
        "parquet/customers.parquet": "0400",
        "reader.duckdb": "0444",
        "warehouse.duckdb": "0400",
    }


def _read_as_nobody(database: str) -> None:
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    assert read(Path(database)) == [(1, "Ann")]


def test_a_reader_without_rights_reads_a_read_only_file_in_a_read_only_folder(
    settings: Settings, release: Publish, tmp_path: Path
) -> None:
    release(mart(1))
    for folder in [*settings.releases.rglob("*/"), settings.home]:
        folder.chmod(0o555)
    closed = [tmp_path, *(folder for folder in tmp_path.parents if not folder.stat().st_mode & 1)]
    modes = {folder: folder.stat().st_mode for folder in closed}
    try:
        for folder, mode in modes.items():
            folder.chmod(mode | 0o111)
        reader = get_context("forkserver").Process(
            target=_read_as_nobody, args=(str(settings.current / "reader.duckdb"),)
        )
        reader.start()
        reader.join()
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
        for folder in [settings.home, *settings.releases.rglob("*/")]:
            folder.chmod(0o755)
    assert reader.exitcode == 0


def test_empty_marts_and_odd_names_are_published_as_they_are(
    settings: Settings, release: Publish
) -> None:
    odd = 'a "b" c/../d\'e%*[1]; drop ü 😀'
    name, column = f'"{odd.replace(chr(34), chr(34) * 2)}"', '"sel""ect , \'from"'
    published = release(
        f'create table marts.{name} as select 1 as {column}, 2 as "*"',
        "create table marts.nothing (customer_id varchar, amount decimal(18, 2))",
        'create table marts."." as select 1 as "."',
        'create table marts."select" as select 1 as "group"',
    )
    tables = read_manifest(published).tables
    assert {name: table.row_count for name, table in tables.items()} == {
        odd: 1,
        "nothing": 0,
        ".": 1,
        "select": 1,
    }
    assert {path.parent for path in map(published.parquet, tables)} == {published.path / "parquet"}
    assert all(published.parquet(name).is_file() for name in tables)
    nothing = parquet.read_schema(published.parquet("nothing"))
    assert [str(kind) for kind in nothing.types] == ["string", "decimal128(18, 2)"]
    verify_release(published)


def test_what_is_not_a_closed_candidate_full_of_marts_is_not_published(
    settings: Settings, build: Build, release: Publish
) -> None:
    with pytest.raises(ReleaseError, match=r"There is no .*release_candidate\.duckdb"):
        release()
    settings.candidate_database.write_bytes(b"this is no database" * 999)
    with pytest.raises(ReleaseError, match="cannot be opened"):
        release()
    build()
    with pytest.raises(ReleaseError, match="no table in schema marts"):
        release()
    build(mart(1))
    with (
        duckdb.connect(str(settings.candidate_database)),
        pytest.raises(ReleaseError, match=r"cannot be opened.*Close whatever holds it"),
    ):
        release()
    assert current_release(settings) is None
    assert (ids(settings), hidden(settings)) == ([], [])


def test_rows_in_a_log_beside_the_candidate_are_published_too(
    settings: Settings, build: Build, release: Publish
) -> None:
    build(mart(1))
    with duckdb.connect(str(settings.candidate_database)) as writer:
        writer.execute("pragma disable_checkpoint_on_shutdown")
        writer.execute("insert into marts.customers values (2, 'Bea')")
    assert Path(f"{settings.candidate_database}.wal").is_file()
    assert read(release().database) == [(1, "Ann"), (2, "Bea")]


def test_gates_and_provenance_of_any_kind_reach_the_manifest_as_json(
    settings: Settings, build: Build
) -> None:
    build(mart(1))
    published = publish(
        settings,
        gates=[{"observed": float("nan"), "at": NOON}],
        provenance={"landing": settings.home, "files": ("a", "b"), "day": date(2026, 3, 1)},
        released_at=NOON,
        roles=[],
    )
    written = json.loads(published.manifest.read_text())
    assert written["gates"] == [{"observed": None, "at": "2026-03-01T12:00:00Z"}]
    assert written["provenance"]["files"] == ["a", "b"]
    assert read_manifest(published).provenance["day"] == "2026-03-01"


def test_ids_sort_by_time_also_when_the_clock_stands_still_or_goes_back(
    settings: Settings, release: Publish
) -> None:
    moments = [NOON, NOON, NOON - timedelta(days=400), NOON + timedelta(seconds=2)]
    published = [release(mart(number), at=moment).id for number, moment in enumerate(moments)]
    assert published == sorted(published)
    assert [release_id[:16] for release_id in published] == [
        "20260301T120000Z",
        "20260301T120001Z",
        "20260301T120002Z",
        "20260301T120003Z",
    ]
    eastern = release(at=datetime(2026, 3, 1, 14, 0, 9, tzinfo=timezone(timedelta(hours=2))))
    assert eastern.id.startswith("20260301T120009Z")
    with pytest.raises(ValueError, match="time zone"):
        release(at=datetime(2026, 3, 1))  # noqa: DTZ001


def test_only_the_last_releases_are_kept_and_open_readers_keep_theirs(
    settings: Settings, release: Publish
) -> None:
    first = release(mart(0))
    with duckdb.connect(str(settings.current / "warehouse.duckdb"), read_only=True) as reader:
        published = [release(mart(number)).id for number in range(1, 6)]
        assert not first.path.exists()
        assert reader.execute("from marts.customers").fetchall() == [(0, "Ann")]
    assert ids(settings) == published[-3:]
    assert linked(settings) == published[-1]


def test_a_release_that_was_rolled_back_is_dropped_before_one_that_a_rollback_needs(
    settings: Settings, release: Publish
) -> None:
    good, better, bad = (release(mart(number)) for number in range(3))
    assert rollback(settings) == better
    fixed = release(mart(3))

    assert read_manifest(fixed).replaces == better.id
    assert ids(settings) == [good.id, better.id, fixed.id]
    assert not bad.path.exists()
    assert rollback(settings) == better


def test_rolling_back_twice_goes_further_back_and_is_noted(
    settings: Settings, release: Publish
) -> None:
    one, two, three = (release(mart(number)) for number in range(3))

    assert rollback(settings) == two
    assert read(settings.current / "warehouse.duckdb") == [(1, "Ann")]
    assert rollback(settings) == one
    with pytest.raises(ReleaseError, match=f"{one.id} is the oldest one kept"):
        rollback(settings)
    assert rollback(settings, to=three.id) == three
    assert rollback(settings, to=three.id) == three
    notes = (settings.home / "rollbacks.jsonl").read_text().splitlines()
    assert [(note["from"], note["to"]) for note in map(json.loads, notes)] == [
        (three.id, two.id),
        (two.id, one.id),
        (one.id, three.id),
    ]
    newest = release(mart(4))
    assert linked(settings) == newest.id
    assert rollback(settings) == three


def test_a_rollback_without_a_target_says_what_exists(settings: Settings, release: Publish) -> None:
    with pytest.raises(ReleaseError, match=r"nothing to roll back\. No release exists"):
        rollback(settings)
    only = release(mart(1))
    with pytest.raises(ReleaseError, match=f"no release ../../etc. These exist: {only.id}"):
        rollback(settings, to="../../etc")
    settings.current.unlink()
    with pytest.raises(ReleaseError, match=f"nothing to roll back. These exist: {only.id}"):
        rollback(settings)
    assert rollback(settings, to=only.id) == only


def test_a_rollback_to_a_damaged_release_is_refused_and_changes_nothing(
    settings: Settings, release: Publish
) -> None:
    old = release(mart(1))
    new = release(mart(2))
    file = tamper(old.parquet("customers"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ReleaseError, match=r"parquet/customers\.parquet should be size="):
        rollback(settings)
    file.unlink()
    with pytest.raises(ReleaseError, match=r"parquet/customers\.parquet is missing"):
        rollback(settings)
    assert linked(settings) == new.id
    assert not (settings.home / "rollbacks.jsonl").exists()


def test_verifying_names_the_table_that_is_not_as_it_was_published(
    settings: Settings, release: Publish
) -> None:
    published = release(mart(1))
    with duckdb.connect(str(tamper(published.database))) as vandal:
        vandal.execute("update marts.customers set name = 'Eve'")
    with pytest.raises(
        ReleaseError, match=r"table marts\.customers should be 1 rows with hash \w+ but is 1 rows"
    ):
        verify_release(published)
    with duckdb.connect(str(published.database)) as vandal:
        vandal.execute("drop table marts.customers; create table marts.other as select 1 as a")
    with pytest.raises(ReleaseError, match=r"table marts\.customers should be .* but is absent"):
        verify_release(published)
    published.database.write_bytes(b"gone")
    with pytest.raises(ReleaseError, match=r"warehouse\.duckdb cannot be read"):
        verify_release(published)


def test_manifests_of_older_code_are_read_and_those_of_newer_code_are_refused(
    settings: Settings, release: Publish
) -> None:
    published = release(mart(1))
    content = json.loads(published.manifest.read_text())
    published.manifest.chmod(0o644)
    # what a manifest had before formats were numbered
    first = {
        *("release_id", "as_of", "released_at", "replaces", "content_hash"),
        *("tables", "files", "gates", "provenance"),
    }
    published.manifest.write_text(json.dumps({key: content[key] for key in first}))
    verify_release(published)
    published.manifest.write_text(json.dumps(content | {"format_version": 99, "of_tomorrow": 1}))
    with pytest.raises(ReleaseError, match="was written by newer code"):
        read_manifest(published)


def test_a_damaged_manifest_is_named_and_the_next_publish_goes_on(
    settings: Settings, release: Publish
) -> None:
    first = release(mart(1))
    published = release(mart(2))
    text = published.manifest.read_text()
    content_hash = read_manifest(published).content_hash
    tamper(published.manifest)
    for damage, complaint in [
        (text[:100], r"manifest\.json cannot be read"),
        ("{}", r"manifest\.json cannot be read"),
        (text.replace(published.id, first.id), f"is that of {first.id}"),
        (text.replace(content_hash, "0" * 64), "contradict each other"),
    ]:
        published.manifest.write_text(damage)
        with pytest.raises(ReleaseError, match=complaint):
            read_manifest(published)
    published.manifest.unlink()
    with pytest.raises(ReleaseError, match=f"Release {published.id} is damaged"):
        verify_release(published)

    healed = release(mart(3))
    verify_release(healed)
    assert linked(settings) == healed.id
    assert rollback(settings, to=first.id) == first


def test_a_link_to_a_deleted_release_is_explained_and_healed_by_the_next_publish(
    settings: Settings, release: Publish
) -> None:
    kept = release(mart(1))
    shutil.rmtree(release(mart(2)).path)
    with pytest.raises(
        ReleaseError, match=f"which is gone. Bring it back.* These exist: {kept.id}"
    ):
        current_release(settings)

    healed = release(mart(3))
    assert linked(settings) == healed.id
    assert read_manifest(healed).replaces == kept.id
    shutil.rmtree(healed.path)
    assert rollback(settings) == kept


def test_a_current_that_is_no_link_to_a_release_is_never_overwritten(
    settings: Settings, build: Build, release: Publish
) -> None:
    settings.current.mkdir()
    with pytest.raises(ReleaseError, match=r"is not a link\. Move it away"):
        release(mart(1))
    settings.current.rmdir()
    settings.current.symlink_to("/")
    with pytest.raises(ReleaseError, match=r"which is no release\. Remove the link"):
        release()
    settings.current.unlink()
    release()


def test_the_home_can_be_moved_to_another_place(settings: Settings, release: Publish) -> None:
    published = release(mart(1))
    home = settings.home.rename(settings.home.with_name("elsewhere"))
    moved = current_release(settings.model_copy(update={"home": home}))
    assert moved is not None
    assert moved.id == published.id
    verify_release(moved)
