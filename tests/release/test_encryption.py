"""Files of a release that are encrypted by the keys of their roles."""

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.database import is_encrypted, load_encryption
from orchestration.keys import make_key
from orchestration.privacy.scanning import Scanner
from orchestration.release import (
    Release,
    ReleaseError,
    current_release,
    list_releases,
    read_manifest,
    rewrite_releases,
    rollback,
    verify_release,
)
from orchestration.release.content import ReleaseFile
from orchestration.release.releases import key_of
from orchestration.settings import Settings
from tests.release.conftest import READER

Publish = Callable[..., Release]

PEOPLE = """
    create table marts.customers as
    select 'customer-' || range as customer_id, 'Wilhelmina ' || range as name from range(500)
"""


@pytest.fixture
def sealed(settings: Settings, release: Publish) -> Release:
    """A release whose files are all encrypted."""
    make_key(settings, "steward")
    make_key(settings, "reader")
    return release(PEOPLE)


def bytes_below(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.read_bytes()


def test_nothing_of_a_person_is_in_the_bytes_of_encrypted_files(
    settings: Settings, sealed: Release, release: Publish
) -> None:
    assert {path.name for path in sealed.path.rglob("*.*")} == {
        "manifest.json",
        "reader.duckdb",
        "warehouse.duckdb",
    }
    assert read_manifest(sealed).encrypted == ("steward", "reader")
    names = (b"Wilhelmina", b"customer-")
    assert not any(name in content for content in bytes_below(sealed.path) for name in names)
    settings.keys.joinpath("steward.key").unlink()
    settings.keys.joinpath("reader.key").unlink()
    plain = release(PEOPLE)
    assert read_manifest(plain).encrypted == ()
    assert any(names[0] in content for content in bytes_below(plain.path))


def test_who_has_the_key_reads_what_was_published_and_it_is_the_same(
    settings: Settings, sealed: Release
) -> None:
    verify_release(sealed)
    with duckdb.connect() as connection:
        sealed.marts.attach(connection, "steward")
        path = sealed.role_database("reader")
        ReleaseFile(path, key_of(settings, path)).attach(connection, "reader")
        for role in ("steward", "reader"):
            rows = connection.execute(f"select count(*), min(name) from {role}.marts.customers")
            assert rows.fetchall() == [(500, "Wilhelmina 0")]


@pytest.mark.parametrize("key", [None, bytes(32)])
@pytest.mark.parametrize("name", ["warehouse", "reader"])
def test_a_missing_or_wrong_key_is_refused_in_words_without_the_key(
    sealed: Release, name: str, key: bytes | None
) -> None:
    with duckdb.connect() as connection, pytest.raises(ReleaseError) as refused:
        ReleaseFile(sealed.path / f"{name}.duckdb", key).attach(connection, "opened")
    said = str(refused.value)
    assert f"{name}.duckdb" in said
    assert ("its key is not here" in said) is (key is None)
    assert "00" * 32 not in said


def test_one_role_does_not_open_the_file_of_another(settings: Settings, sealed: Release) -> None:
    key = key_of(settings, sealed.role_database("reader"))
    with duckdb.connect() as connection, pytest.raises(ReleaseError, match="another key"):
        ReleaseFile(sealed.database, key).attach(connection, "opened")


def test_keys_stand_in_no_file_of_the_home_but_their_own(
    settings: Settings, sealed: Release
) -> None:
    keys = [path.read_text().strip() for path in settings.keys.iterdir()]
    assert len(keys) == 2
    for path in settings.home.rglob("*"):
        if path.is_file() and not path.is_relative_to(settings.keys):
            content = path.read_bytes()
            assert not any(key.encode() in content for key in keys), path
            assert not any(bytes.fromhex(key) in content for key in keys), path
    assert not any(key in repr(sealed) for key in keys)


def test_a_key_in_the_environment_wins_and_one_that_is_none_stops_the_release(
    settings: Settings, sealed: Release, release: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_KEY_STEWARD", "ab" * 32)
    published = release(PEOPLE)
    assert published.key == bytes.fromhex("ab" * 32)
    verify_release(published)
    monkeypatch.setenv("WAREHOUSE_KEY_STEWARD", "abc")
    with pytest.raises(ReleaseError, match="WAREHOUSE_KEY_STEWARD holds no key") as refused:
        release(PEOPLE)
    assert "abc" not in str(refused.value)
    assert settings.current.resolve() == published.path.resolve()


def test_a_release_from_before_there_was_a_key_stays_readable(
    settings: Settings, release: Publish
) -> None:
    release(PEOPLE)
    make_key(settings, "steward")
    sealed = release(PEOPLE)
    assert is_encrypted(sealed.database)
    plain = rollback(settings)
    assert not is_encrypted(plain.database)
    verify_release(plain)
    assert current_release(settings) == plain


def test_a_release_that_is_written_anew_is_encrypted_and_nothing_that_went_is_in_it(
    settings: Settings, sealed: Release
) -> None:
    def edit(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("create schema release.marts")
        connection.execute(
            "create table release.marts.customers as"
            " select * replace (if(name = 'Wilhelmina 8', '[forgotten]', name) as name)"
            " from before.marts.customers where customer_id <> 'customer-7'"
        )

    rewrite_releases(settings, edit, erasure_id="e-1", roles=[READER])
    (written,) = list_releases(settings)
    verify_release(written)
    assert read_manifest(written).encrypted == ("steward", "reader")

    def found(needle: str) -> list[str]:
        scanner = Scanner([needle], key_of=lambda path: key_of(settings, path))
        return scanner.folder(settings.home, but=lambda path: "candidate" in path.name).places

    assert found("customer-7") == []
    assert found("Wilhelmina 8") == []
    assert len(found("Wilhelmina 9")) == 2


def test_what_is_spilled_to_disk_is_encrypted_too() -> None:
    with duckdb.connect() as connection:
        load_encryption(connection)
        assert connection.execute(
            "select current_setting('temp_file_encryption'),"
            " current_setting('force_mbedtls_unsafe')"
        ).fetchall() == [(True, False)]
