"""An installation whose releases are encrypted does everything that another one does."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
        for role in ROLES:
            made = installation.warehouse("make-key", role)
            assert made.exit_code == 0, made.output
        people = [contact(1, "Wilhelmina", "Oosterhout"), contact(2, "Zacharias", "Quittenbaum")]
        installation.write("crm/contacts", "a.csv", [person | AT for person in people])
        installation.run()
        more = [contact(3, "Philippa", "Xanthopoulos") | AT]
        installation.write("crm/contacts", "b.csv", more)
        installation.run()
    return installation


def test_no_name_stands_in_the_bytes_of_a_release_and_ids_go_on(sealed: Installation) -> None:
    first, second = list_releases(sealed.settings)
    for release in (first, second):
        verify_release(release)
        assert read_manifest(release).encrypted == ROLES
        for path in release.path.rglob("*"):
            if path.is_file():
                assert b"oosterhout" not in path.read_bytes().lower()
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
    if arguments[0] in ("status", "releases", "retention"):
        return
    monkeypatch.setenv("WAREHOUSE_KEYS", str(tmp_path))
    told = sealed.warehouse(*arguments)
    assert told.exit_code != 0
    assert "is encrypted, and its key is not here" in " ".join(told.output.split())


def test_a_run_without_the_key_releases_nothing_and_says_why(
    sealed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = sealed.copy_to(tmp_path / "copy")
    before = (copy.home / "current").readlink()
    copy.write("crm/contacts", "c.csv", [contact(4, "Ottilie", "Zwetschkenbaum") | AT])
    for key, sentence in (("", "its key is not here"), ("ab" * 32, "another key")):
        monkeypatch.setenv("WAREHOUSE_KEYS", str(tmp_path / "nowhere"))
        monkeypatch.setenv("WAREHOUSE_KEY_STEWARD", key)
        refused = copy.warehouse("run")
        assert refused.exit_code != 0
        assert sentence in " ".join(refused.output.split())
        assert "ab" * 32 not in refused.output
        assert (copy.home / "current").readlink() == before


def test_an_erasure_reaches_into_encrypted_releases(sealed: Installation, tmp_path: Path) -> None:
    copy = sealed.copy_to(tmp_path / "copy")
    settings = copy.settings
    scanner = Scanner(
        ["wilhelmina.oosterhout@x.test", "crm:C1"], key_of=lambda path: key_of(settings, path)
    )
    places = scanner.folder(copy.home).places
    assert any(place.startswith("releases/") for place in places)
    forgotten = copy.warehouse("forget", "crm:C1", "--confirm", *BY)
    assert forgotten.exit_code == 0, forgotten.output
    assert scanner.folder(copy.home).places == []
    assert len(certificates(settings)) == 1
    for release in list_releases(settings):
        verify_release(release)
        assert read_manifest(release).encrypted == ROLES


def test_the_doctor_says_what_is_encrypted(sealed: Installation) -> None:
    told = sealed.warehouse("doctor")
    assert "releases are encrypted for steward, analyst, marketing, dashboard" in " ".join(
        told.output.split()
    )
