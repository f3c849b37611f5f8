"""A home is lost, damaged or taken back to a point in time, and goes on as if it never had been."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from orchestration.operations import doctor
from orchestration.privacy.certificates import certificates, pending
from orchestration.privacy.people import Registry
from orchestration.privacy.scanning import Scanner
from orchestration.release import list_releases, read_manifest, verify_release
from tests.conftest import Installation

BY = ("--by", "Eva Lind", "--why", "drill")
AT = {"updated_at": "2026-05-01T10:00:00Z", "birth_date": "1980-01-02"}
CONTACTS = [
    {"contact_id": "C1", "first_name": "Jane", "last_name": "Doe", "email": "jane.doe@x.test"},
    {"contact_id": "C2", "first_name": "Peter", "last_name": "Berg", "email": "peter.b@x.test"},
    {"contact_id": "C3", "first_name": "Olaf", "last_name": "Lund", "email": "olaf@y.test"},
]
LATER = [
    {"contact_id": "C4", "first_name": "Maria", "last_name": "Rossi", "email": "maria@z.test"},
]


def content_hash(installation: Installation) -> str:
    return read_manifest(list_releases(installation.settings)[-1]).content_hash


def newest_backup(installation: Installation) -> Path:
    return max((installation.home / "backups").glob("*.whb"))


def backed_up(installation: Installation, *arguments: str) -> None:
    outcome = installation.warehouse("backup", *arguments)
    assert outcome.exit_code == 0, outcome.output


def restored(installation: Installation, path: Path, *arguments: str) -> None:
    outcome = installation.warehouse("restore", str(path), "--confirm", *BY, *arguments)
    assert outcome.exit_code == 0, outcome.output
    (release,) = list_releases(installation.settings)
    verify_release(release)


@pytest.fixture(scope="module")
def first(new_installation: Callable[[], Installation]) -> Installation:
    """A release, a decision and a backup of both."""
    installation = new_installation()
    installation.write("crm/contacts", "a.csv", [contact | AT for contact in CONTACTS])
    installation.run()
    decided = installation.warehouse("decide", "not-same", "crm:C1", "crm:C2", *BY)
    assert decided.exit_code == 0, decided.output
    installation.warehouse("make-key", "backup")
    backed_up(installation)
    return installation


@pytest.fixture(scope="module")
def second(first: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """More landed and was released after the backup."""
    installation = first.copy_to(tmp_path_factory.mktemp("second"))
    installation.write("crm/contacts", "b.csv", [contact | AT for contact in LATER])
    installation.run()
    return installation


def test_a_backup_is_for_its_owner_only_and_nothing_can_be_read_in_it(first: Installation) -> None:
    path = newest_backup(first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    content = path.read_bytes()
    for text in (
        b"jane.doe",
        b"crm:C1",
        b"work.duckdb",
        (first.home / "keys/backup.key").read_bytes(),
    ):
        assert text not in content
    assert first.warehouse("verify-backup", "--all").exit_code == 0
    assert path.name in first.warehouse("status").output


def test_a_dry_run_of_a_restore_says_what_would_be_replaced_and_changes_nothing(
    second: Installation,
) -> None:
    before = content_hash(second), second.customers()
    outcome = second.warehouse("restore", str(newest_backup(second)))
    assert outcome.exit_code == 0
    assert "work.duckdb" in outcome.output
    assert (content_hash(second), second.customers()) == before
    assert not list(second.home.glob("replaced.*"))


def test_after_a_restore_the_next_run_gives_the_release_that_it_gave_before(
    second: Installation, first: Installation, tmp_path: Path
) -> None:
    installation = second.copy_to(tmp_path)
    restored(installation, newest_backup(installation))
    assert content_hash(installation) == content_hash(first)
    assert set(installation.customers()) == {"crm:C1", "crm:C2", "crm:C3"}
    assert (installation.home / "decisions.csv").read_bytes() == (
        first.home / "decisions.csv"
    ).read_bytes()
    installation.run()
    assert content_hash(installation) == content_hash(second)
    assert not (installation.home / ".restore").exists()


def test_a_lost_home_is_made_again_from_a_backup_and_its_key(
    second: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = second.copy_to(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(installation.home / "keys", elsewhere / "keys")
    monkeypatch.setenv("WAREHOUSE_KEYS", str(elsewhere / "keys"))
    backed_up(installation, "--to", str(elsewhere))
    (path,) = elsewhere.glob("*.whb")
    customers, access = installation.customers(), (installation.home / "access.jsonl").exists()
    shutil.rmtree(installation.home)
    restored(installation, path)
    assert installation.customers() == customers
    assert (installation.home / "access.jsonl").exists() == access
    installation.run()
    assert content_hash(installation) == content_hash(second)


def test_a_backup_that_was_damaged_or_is_of_another_key_leaves_the_home_as_it_was(
    second: Installation, tmp_path: Path
) -> None:
    installation = second.copy_to(tmp_path)
    path = newest_backup(installation)
    content = path.read_bytes()
    before = content_hash(installation)
    bad = tmp_path / "bad.whb"
    for broken, told in (
        (content[:-1], "damaged, or cut off"),
        (content[: len(content) // 2], "damaged, or cut off"),
        (content[:-100] + b"x" + content[-99:], "damaged"),
    ):
        bad.write_bytes(broken)
        for verb in (("verify-backup",), ("restore", "--confirm", *BY)):
            outcome = installation.warehouse(*verb, str(bad))
            assert outcome.exit_code == 1
            assert told in " ".join(outcome.output.split())
    (installation.home / "keys" / "backup.key").write_text("ab" * 32)
    outcome = installation.warehouse("restore", "--confirm", *BY, str(path))
    assert outcome.exit_code == 1
    assert "another key" in outcome.output
    assert installation.warehouse("doctor").exit_code == 1
    assert content_hash(installation) == before
    assert not (installation.home / ".restore").exists()


def test_a_damaged_release_is_not_backed_up(first: Installation, tmp_path: Path) -> None:
    installation = first.copy_to(tmp_path)
    parquet = installation.home.resolve() / "current" / "parquet" / "customers.parquet"
    parquet.chmod(0o644)
    parquet.write_bytes(b"x" + parquet.read_bytes()[1:])
    outcome = installation.warehouse("backup")
    assert outcome.exit_code == 1
    assert "customers.parquet is not as it was published" in " ".join(outcome.output.split())
    assert len(list((installation.home / "backups").iterdir())) == 1


def test_the_oldest_backups_go_and_one_that_is_old_is_told(
    first: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = first.copy_to(tmp_path)
    monkeypatch.setenv("WAREHOUSE_KEEP_BACKUPS", "2")
    oldest = newest_backup(installation)
    for _ in range(2):
        backed_up(installation)
    assert len(list((installation.home / "backups").iterdir())) == 2
    assert not oldest.exists()
    monkeypatch.setattr(doctor, "BACKUP_DAYS", -1)
    assert "days ago" in installation.warehouse("doctor").output


def test_who_was_forgotten_after_a_backup_is_not_brought_back_by_it(
    second: Installation, tmp_path: Path
) -> None:
    """Neither into this home, nor into an empty one that gets a copy of the erasures."""
    installation = second.copy_to(tmp_path / "a")
    kept = tmp_path / "kept.whb"
    shutil.copyfile(newest_backup(installation), kept)
    with duckdb.connect(str(installation.home / "work.duckdb"), read_only=True) as connection:
        released = list_releases(installation.settings)[-1].marts
        registry = Registry(connection, released)
        people = registry.people(registry.find("crm:C1"))
    forget = ("forget", "crm:C1", "--confirm", "--without-run", *BY)
    outcome = installation.warehouse(*forget)
    assert outcome.exit_code == 0, outcome.output
    restored(installation, kept)
    erasures = tmp_path / "erasures"
    shutil.copytree(installation.home / "erasures", erasures)
    lost = Installation(installation.landing, tmp_path / "b" / "home")
    shutil.copytree(installation.home / "keys", lost.home / "keys")
    (lost.home / "erasure.key").write_bytes((installation.home / "erasure.key").read_bytes())
    restored(lost, kept, "--erasures", str(erasures))
    for home in (installation, lost):
        assert set(home.customers()) == {"crm:C2", "crm:C3"}
        assert not [
            place
            for place in Scanner(people.needles, people.keys).folder(home.home).places
            if not place.startswith("replaced.")
        ]
        assert [one.requested_by for one in certificates(home.settings)][1] == "restore"
        home.run()
        assert set(home.customers()) == {"crm:C2", "crm:C3", "crm:C4"}


def test_who_was_let_in_again_stays_when_an_older_backup_is_restored(
    second: Installation, tmp_path: Path
) -> None:
    installation = second.copy_to(tmp_path)
    kept = tmp_path / "kept.whb"
    shutil.copyfile(newest_backup(installation), kept)
    installation.warehouse("forget", "crm:C1", "--confirm", "--without-run", *BY)
    for identifier in ("crm:C1", "jane.doe@x.test"):
        lifted = installation.warehouse("forget", identifier, "--lift", *BY)
        assert lifted.exit_code == 0, lifted.output
    restored(installation, kept)
    assert set(installation.customers()) == {"crm:C1", "crm:C2", "crm:C3"}


def test_an_erasure_stays_pending_while_no_new_backup_can_take_the_place_of_older_ones(
    second: Installation, tmp_path: Path
) -> None:
    installation = second.copy_to(tmp_path)
    key = installation.home / "keys" / "backup.key"
    key.rename(tmp_path / "backup.key")
    forget = ("forget", "crm:C2", "--confirm", "--without-run", *BY)
    outcome = installation.warehouse(*forget)
    assert outcome.exit_code == 1
    assert "the person is still in 1 older backups" in " ".join(outcome.output.split())
    assert len(pending(installation.settings)) == 1
    (tmp_path / "backup.key").rename(key)
    refused = installation.warehouse("backup")
    assert "An erasure is pending" in refused.output
    assert installation.warehouse("forget", "--resume", "--without-run").exit_code == 0
    assert pending(installation.settings) == []
    (certificate,) = certificates(installation.settings)
    assert len(certificate.backups_deleted) == 1
    assert len(list((installation.home / "backups").iterdir())) == 1
