"""An installation whose releases are encrypted does everything that another one does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.database import is_encrypted
from orchestration.privacy.certificates import certificates
from orchestration.privacy.scanning import Scanner
from orchestration.release import list_releases, read_manifest, verify_release
from orchestration.release.releases import key_of
from tests.conftest import Installation

BY = ("--by", "Eva Lind", "--why", "case 4711")
AT = {"updated_at": "2026-05-01T10:00:00Z"}
ROLES = ("steward", "analyst", "marketing", "dashboard")


def contact(number: int, first: str, last: str) -> dict[str, str]:
    address = f"{first}.{last}@x.test".lower()
    return {"contact_id": f"C{number}", "first_name": first, "last_name": last, "email": address}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(autouse=True)
def keys_elsewhere(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_KEYS", str(keys))


@pytest.fixture(scope="module")
def sealed(new_installation: Callable[[], Installation], keys: Path) -> Installation:
    """Two releases of an installation with a key for each role; somebody came with the second."""
    installation = new_installation()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAREHOUSE_KEYS", str(keys))
        for name in (*ROLES, "working", "backup"):
            made = installation.warehouse("make-key", name)
            assert made.exit_code == 0, made.output
        people = [contact(1, "Wilhelmina", "Oosterhout"), contact(2, "Zacharias", "Quittenbaum")]
        installation.write("crm/contacts", "a.csv", [person | AT for person in people])
        installation.run()
        more = [contact(3, "Philippa", "Xanthopoulos") | AT]
        installation.write("crm/contacts", "b.csv", more)
        installation.run()
    return installation


def test_no_name_stands_in_any_byte_of_the_home(sealed: Installation) -> None:
    files = [path for path in sealed.home.rglob("*") if path.is_file()]
    assert {path.name for path in files if path.suffix == ".duckdb"} == {
        *(f"{role}.duckdb" for role in ROLES[1:]),
        *("warehouse.duckdb", "work.duckdb", "release_candidate.duckdb", "quality_history.duckdb"),
    }
    for path in files:
        content = path.read_bytes().lower()
        assert b"oosterhout" not in content, path
        assert b"quittenbaum" not in content, path


def test_no_key_stands_in_any_byte_of_the_home(sealed: Installation, keys: Path) -> None:
    secrets = [path.read_text().strip() for path in keys.iterdir()]
    assert len(secrets) == len(ROLES) + 2
    for path in sealed.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, path
                assert bytes.fromhex(secret) not in content, path


def test_releases_are_as_they_were_published_and_ids_go_on(sealed: Installation) -> None:
    first, second = list_releases(sealed.settings)
    for release in (first, second):
        verify_release(release)
        assert read_manifest(release).encrypted == ROLES
    history = sealed.warehouse("explain", "crm:C1", *BY[2:])
    assert history.exit_code == 0, history.output
    assert read_manifest(first).tables["customer_sources"].row_count == 2
    assert read_manifest(second).tables["customer_sources"].row_count == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("metrics", "customers"),
        ("segments",),
        ("status",),
        ("releases",),
        ("subject-report", "crm:C1", *BY),
        ("forget", "crm:C1", *BY),
        ("retention",),
        ("explain", "crm:C1", *BY[2:]),
        ("quality",),
        ("quarantine", "list"),
        ("rejects",),
        ("plan",),
        ("preview",),
        ("doctor",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_whoever_has_the_key_is_served_and_whoever_has_not_is_told(
    sealed: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    served = sealed.warehouse(*arguments)
    assert served.exit_code == 0, served.output
    if arguments[0] == "releases":
        return
    monkeypatch.setenv("WAREHOUSE_KEYS", str(tmp_path))
    told = sealed.warehouse(*arguments)
    assert told.exit_code != 0
    assert "is encrypted, and its key is not here" in " ".join(told.output.split())


@pytest.mark.parametrize(
    "wrong",
    [
        ("steward", None, "its key is not here"),
        ("steward", "ab" * 32, "another key"),
        ("working", None, "its key is not here"),
        ("working", "ab" * 32, "another key"),
    ],
    ids=str,
)
def test_a_run_without_the_key_releases_nothing_and_says_why(
    sealed: Installation,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: tuple[str, str | None, str],
) -> None:
    name, key, sentence = wrong
    copy = sealed.copy_to(tmp_path / "copy")
    before = (copy.home / "current").readlink()
    copy.write("crm/contacts", "c.csv", [contact(4, "Ottilie", "Zwetschkenbaum") | AT])
    given = tmp_path / "keys"
    shutil.copytree(keys, given)
    (given / f"{name}.key").unlink()
    monkeypatch.setenv("WAREHOUSE_KEYS", str(given))
    if key:
        monkeypatch.setenv(f"WAREHOUSE_KEY_{name.upper()}", key)
    refused = copy.warehouse("run")
    assert refused.exit_code != 0
    assert sentence in " ".join(refused.output.split())
    assert "ab" * 32 not in refused.output
    assert (copy.home / "current").readlink() == before
    if wrong[:2] != ("working", None):
        return
    monkeypatch.setenv("WAREHOUSE_KEYS", str(keys))
    copy.run()
    assert (copy.home / "current").readlink() != before


def test_an_erasure_reaches_into_everything_that_is_encrypted(
    sealed: Installation, tmp_path: Path
) -> None:
    copy = sealed.copy_to(tmp_path / "copy")
    settings = copy.settings
    scanner = Scanner(
        ["wilhelmina.oosterhout@x.test", "crm:C1"], key_of=lambda path: key_of(settings, path)
    )
    places = scanner.folder(copy.home).places
    for database in ("releases/", "work.duckdb", "release_candidate.duckdb"):
        assert any(place.startswith(database) for place in places)
    forgotten = copy.warehouse("forget", "crm:C1", "--confirm", *BY)
    assert forgotten.exit_code == 0, forgotten.output
    assert scanner.folder(copy.home).places == []
    assert len(certificates(settings)) == 1
    for release in list_releases(settings):
        verify_release(release)
        assert read_manifest(release).encrypted == ROLES


def test_a_backup_of_an_encrypted_home_is_restored_with_its_keys(
    sealed: Installation, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = sealed.copy_to(tmp_path / "copy")
    made = copy.warehouse("backup", *BY)
    assert made.exit_code == 0, made.output
    (backup,) = (copy.home / "backups").glob("*.whb")
    shutil.rmtree(copy.home / "releases")
    (copy.home / "work.duckdb").unlink()
    given = tmp_path / "keys"
    given.mkdir()
    shutil.copy(keys / "backup.key", given)
    monkeypatch.setenv("WAREHOUSE_KEYS", str(given))
    refused = copy.warehouse("restore", str(backup), "--confirm", *BY)
    assert refused.exit_code != 0
    assert "is encrypted, and its key is not here" in " ".join(refused.output.split())
    monkeypatch.setenv("WAREHOUSE_KEYS", str(keys))
    restored = copy.warehouse("restore", str(backup), "--confirm", *BY)
    assert restored.exit_code == 0, restored.output
    assert is_encrypted(copy.home / "work.duckdb")
    assert "stays, identical hashes" in copy.run().output


def test_a_home_that_gets_a_key_is_encrypted_by_its_next_run_and_nothing_else_changes(
    new_installation: Callable[[], Installation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_KEYS", str(tmp_path / "keys"))
    installation = new_installation()
    installation.write("crm/contacts", "a.csv", [contact(1, "Wilhelmina", "Oosterhout") | AT])
    installation.run()
    work = installation.home / "work.duckdb"
    assert b"oosterhout" in work.read_bytes().lower()
    made = installation.warehouse("make-key", "working")
    assert made.exit_code == 0, made.output
    doctor = " ".join(installation.warehouse("doctor").output.split())
    assert "work.duckdb is not encrypted yet" in doctor
    assert installation.warehouse("preview").exit_code == 0
    again = installation.run().output
    assert "work.duckdb is encrypted from here on" in again
    assert "stays, identical hashes" in again
    for path in installation.home.glob("*.duckdb*"):
        assert b"oosterhout" not in path.read_bytes().lower(), path
    assert "encrypted from here on" not in installation.run("--rebuild").output


def test_the_doctor_says_what_is_encrypted(sealed: Installation) -> None:
    told = sealed.warehouse("doctor")
    said = " ".join(told.output.split())
    assert "releases are encrypted for steward, analyst, marketing, dashboard" in said
    assert "work.duckdb is encrypted" in said
