"""A steward corrects what a source holds of a person, and no later load brings it back."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from orchestration.identity.rectifications import read_rectifications
from orchestration.privacy.certificates import certificates
from orchestration.release import current_release, read_manifest
from tests.conftest import Installation

WHO_AND_WHY = ("--by", "Eva Lind", "--why", "case 4711")
JANE = {
    "contact_id": "C1",
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "jane@wrong.test",
    "birth_date": "1980-01-02",
    "updated_at": "2026-05-01T10:00:00Z",
}
OTHERS = [
    {"contact_id": f"C{n}", "first_name": first, "last_name": last, "email": f"{first}@y.test"}
    for n, (first, last) in enumerate(
        [("Ann", "Berg"), ("Olaf", "Lund"), ("Maria", "Rossi"), ("Tom", "Hill"), ("Lea", "Stone")],
        start=2,
    )
]
ACCOUNT = {
    "customer_id": "42",
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "jane.d77@right.test",
    "phone": "+44 20 7946 0018",
    "updated_at": "2026-06-01T10:00:00Z",
}
AGREED = {"email": "jane@wrong.test", "occurred_at": "2026-05-01T10:00:00Z"}
CONSENTS = [
    AGREED | {"consent_id": "1", "purpose": "email_marketing", "status": "granted"},
    AGREED | {"consent_id": "2", "purpose": "sms_marketing", "status": "withdrawn"},
]


@pytest.fixture(scope="module")
def released(new_installation: Callable[[], Installation]) -> Installation:
    """Jane of the CRM has a wrong address, and nothing joins her to her account."""
    installation = new_installation()
    installation.write("crm/contacts", "a.csv", [JANE, *OTHERS])
    installation.write("shop/customers", "a.csv", [ACCOUNT])
    consents = [one | {"legal_basis": "consent"} for one in CONSENTS]
    installation.write("mailing/consents", "a.csv", consents)
    installation.run()
    customers = installation.customers()
    assert customers["crm:C1"] != customers["shop:42"]
    assert golden(installation) == ("jane@wrong.test", "crm:C1", "only_value")
    assert consents_of(installation) == {("email_marketing", True), ("sms_marketing", False)}
    return installation


@pytest.fixture(scope="module")
def rectified(released: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The address was rectified, and a run has followed."""
    installation = released.copy_to(tmp_path_factory.mktemp("rectified"))
    rectify(installation, "crm:C1", "email", "Jane.D77@right.test")
    assert "identity: only what has changed" in installation.run().output
    return installation


@pytest.fixture
def going_on(rectified: Installation, tmp_path: Path) -> Installation:
    return rectified.copy_to(tmp_path)


def rectify(installation: Installation, *arguments: str) -> str:
    outcome = installation.warehouse("rectify", *arguments, *WHO_AND_WHY)
    assert outcome.exit_code == 0, outcome.output
    return read_rectifications(installation.settings.rectifications)[-1].rectification_id


def golden(installation: Installation, field: str = "email") -> tuple[str, ...]:
    """Value, record and rule of the customer that crm:C1 is."""
    ((found),) = installation.query(
        "select value, source_record_id, decided_by from marts.customer_golden_values"
        f" where is_survivor and field_group = '{field}' and customer_id ="
        f" '{installation.customers()['crm:C1']}'"
    )
    return found


def consents_of(installation: Installation) -> set[tuple[str, bool]]:
    customer = installation.customers()["crm:C1"]
    return set(
        installation.query(
            "select purpose, is_granted from marts.customer_consent"
            f" where is_current and customer_id = '{customer}'"
        )
    )


def content_hash(installation: Installation) -> str:
    release = current_release(installation.settings)
    assert release is not None
    return read_manifest(release).content_hash


def test_a_rectified_address_is_the_customer_s_and_joins_what_it_is_shared_by(
    rectified: Installation,
) -> None:
    assert rectified.customers()["crm:C1"] == rectified.customers()["shop:42"]
    assert golden(rectified) == ("jane.d77@right.test", "crm:C1", "rectified")
    assert rectified.query("select email from marts.customers where last_name = 'Doe'") == [
        ("jane.d77@right.test",)
    ]
    assert "jane.d77@right.test" in rectified.warehouse("explain", "crm:C1").output
    with duckdb.connect(str(rectified.settings.working_database), read_only=True) as connection:
        raw = connection.execute("select email from raw.crm__contacts where contact_id = 'C1'")
        assert raw.fetchall() == [("jane@wrong.test",)]


def test_a_no_to_the_wrong_address_stays_and_a_yes_is_none_to_the_right_one(
    rectified: Installation,
) -> None:
    assert consents_of(rectified) == {("sms_marketing", False)}


def test_increment_rebuild_rollback_and_a_lost_database_give_the_same_customers(
    going_on: Installation,
) -> None:
    stepwise = content_hash(going_on)
    assert going_on.warehouse("rollback").exit_code == 0
    assert golden(going_on) == ("jane@wrong.test", "crm:C1", "only_value")
    going_on.run()
    assert content_hash(going_on) == stepwise
    going_on.settings.working_database.unlink()
    going_on.run("--rebuild")
    assert content_hash(going_on) == stepwise


def test_what_the_source_says_later_is_told_and_changes_nothing(going_on: Installation) -> None:
    newer = JANE | {"email": "jane@third.test", "updated_at": "2026-06-20T10:00:00Z"}
    going_on.write("crm/contacts", "b.csv", [newer])
    going_on.run()
    assert golden(going_on) == ("jane.d77@right.test", "crm:C1", "rectified")
    listed = going_on.warehouse("rectifications").output
    assert "says meanwhile jane@third.test, jane@wrong.test before" in listed
    newest = newer | {"email": "JANE.D77@right.test", "updated_at": "2026-06-25T10:00:00Z"}
    going_on.write("crm/contacts", "c.csv", [newest])
    going_on.run()
    assert "agrees now, so this is no longer needed" in going_on.warehouse("rectifications").output


def test_a_revoke_brings_back_what_the_source_says(
    released: Installation, going_on: Installation
) -> None:
    (line,) = read_rectifications(going_on.settings.rectifications)
    birth = rectify(going_on, "crm:C1", "birth_date", "--clear")
    rectify(going_on, "shop:42", "last_name", "Roe")
    going_on.run()
    assert golden(going_on, "name") == ("Jane Roe", "shop:42", "rectified")
    assert going_on.query("select birth_date from marts.customers where last_name = 'Roe'") == [
        (None,)
    ]
    last = read_rectifications(going_on.settings.rectifications)[-1].rectification_id
    for name in (birth, last, line.rectification_id):
        assert going_on.warehouse("revoke", name, *WHO_AND_WHY).exit_code == 0
    going_on.run()
    assert going_on.customers()["crm:C1"] != going_on.customers()["shop:42"]
    assert golden(going_on) == golden(released)
    assert consents_of(going_on) == consents_of(released)


def test_nothing_of_a_rectification_is_left_of_who_is_forgotten(going_on: Installation) -> None:
    rectify(going_on, "crm:C1", "last_name", "Featherstone")
    birth = rectify(going_on, "crm:C1", "birth_date", "1981-03-04")
    going_on.warehouse("revoke", birth, *WHO_AND_WHY)
    rectify(going_on, "crm:C2", "city", "York")
    # by the address that only the steward's word joins to her
    outcome = going_on.warehouse("forget", "jane.d77@right.test", "--confirm", *WHO_AND_WHY)
    assert outcome.exit_code == 0, outcome.output
    (certificate,) = certificates(going_on.settings)
    assert certificate.decisions_removed == 4
    (left,) = read_rectifications(going_on.settings.rectifications)
    assert left.source_record_id == "crm:C2"
    assert "crm:C1" not in going_on.customers()
    assert going_on.query("select city from marts.customers where last_name = 'Berg'") == [
        ("York",)
    ]
    for path in going_on.home.rglob("*"):
        if path.is_file():
            assert b"jane.d77@right.test" not in path.read_bytes().lower(), path
    back = JANE | {"contact_id": "C77", "email": "jane.d77@right.test"}
    going_on.write("crm/contacts", "b.csv", [back])
    going_on.run()
    assert "crm:C77" not in going_on.customers()
