"""Who may be forgotten and how it is asked, told on one small installation."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from orchestration.privacy.certificates import Certificate, certificates, pending, plan_erasure
from orchestration.privacy.people import Registry
from orchestration.release import list_releases
from tests.conftest import Installation

BY = ("--by", "Eva Lind", "--why", "case 17")
# Two people of one household, and some who have nothing to do with them.
CONTACTS = [
    {"contact_id": "C1", "first_name": "Jane", "last_name": "Doe", "email": "home@x.test"},
    {"contact_id": "C2", "first_name": "Peter", "last_name": "Doe", "email": "home@x.test"},
    {"contact_id": "C3", "first_name": "Ann", "last_name": "Berg", "email": "ann.berg@x.test"},
    {"contact_id": "C4", "first_name": "Olaf", "last_name": "Lund", "email": "olaf@y.test"},
    {"contact_id": "C5", "first_name": "Maria", "last_name": "Rossi", "email": "maria@z.test"},
    {"contact_id": "C6", "first_name": "Tom", "last_name": "Hill", "email": "tom@q.test"},
]
AT = {
    "updated_at": "2026-05-01T10:00:00Z",
    "birth_date": "1980-01-02",
    "marketing_opt_in": "Y",
}


@pytest.fixture(scope="module")
def before(new_installation: Callable[[], Installation]) -> Installation:
    installation = new_installation()
    installation.write("crm/contacts", "a.csv", [contact | AT for contact in CONTACTS])
    installation.run()
    return installation


def decide(installation: Installation, identifier: str) -> str:
    """Plan an erasure without carrying it out, as a process would that was killed then."""
    settings = installation.settings
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        release = list_releases(settings)[-1]
        registry = Registry(connection, release.marts)
        people = registry.people(registry.find(identifier))
    return plan_erasure(settings, people, count=1, by="Eva Lind", why="case 3").erasure_id


def records(installation: Installation) -> set[str]:
    return set(installation.customers())


def wait_settled(installation: Installation) -> list[Certificate]:
    assert pending(installation.settings) == []
    return certificates(installation.settings)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("home@x.test",), "2 customers share it"),
        (("nobody@x.test",), "nobody is known by it"),
        (("crm:C99",), "nobody is known by it"),
        (("Ann Berg",), "what was given is none of them"),
        ((), "Nobody is named"),
        (("crm:C3", "--confirm"), "--by is missing"),
        (("crm:C3", "--confirm", "--by", "Eva", "--why", " "), "--why is missing"),
        (("crm:C3", "--confirm", "--by", "Eva", "--why", "ann.berg@x.test asked"), "--why names"),
        (("--file", "/no/such/file"), "cannot be read"),
        (("x@y.test", "--lift", *BY), "there is no tombstone of it"),
    ],
)
def test_who_is_not_clear_or_not_answered_for_is_not_erased(
    before: Installation, arguments: tuple[str, ...], told: str
) -> None:
    outcome = before.warehouse("forget", *arguments)
    assert outcome.exit_code == 1
    assert told in outcome.output
    assert pending(before.settings) == []
    assert "ann.berg@x.test" not in outcome.output


def test_of_many_identifiers_each_that_is_not_clear_is_told_in_their_order(
    before: Installation,
) -> None:
    outcome = before.warehouse("forget", "Ann Berg", "crm:C3", "home@x.test", "crm:C99", "Olaf")
    assert outcome.exit_code == 1
    told = [line[:13] for line in outcome.output.splitlines() if line.startswith("Identifier")]
    assert told == [f"Identifier {number}:" for number in (1, 3, 4, 5)]


def test_many_identifiers_mean_whom_each_means_alone(before: Installation) -> None:
    settings = before.settings
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        registry = Registry(connection, list_releases(settings)[-1].marts)
        customers = before.customers()
        asked = ["crm:C1", "home@x.test", customers["crm:C3"], "crm:C99", "OLAF@y.test", "crm:C1"]
        found = registry.find_each(asked)
        assert found == [registry.find(one) for one in asked]
    one, household, three, nobody, four, again = found
    assert one == again == [customers["crm:C1"]]
    assert sorted(household) == sorted([customers["crm:C1"], customers["crm:C2"]])
    assert (three, nobody, four) == ([customers["crm:C3"]], [], [customers["crm:C4"]])


def test_nothing_is_forgotten_before_anything_has_landed(installation: Installation) -> None:
    outcome = installation.warehouse("forget", "crm:C1")
    assert outcome.exit_code == 1
    assert "Nothing has been landed" in outcome.output


@pytest.fixture(scope="module")
def answered(before: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Requests came with the landing, good and bad ones, and a run has followed them."""
    installation = before.copy_to(tmp_path_factory.mktemp("answered"))
    requests = installation.landing / "privacy" / "erasures"
    requests.mkdir(parents=True)
    (requests / "2026-06-01.csv").write_text(
        "request_id,identifier,channel\n"
        "r1,ANN.Berg@x.test,portal\n"
        "r2,later@x.test,portal\n"
        "r3,home@x.test,portal\n"
        "r4,,portal\n"
        "r5,what is this,portal\n",
        encoding="utf-8",
    )
    (requests / "wrong.csv").write_text("id,who\n1,tom@q.test\n", encoding="utf-8")
    outcome = installation.run()
    (installation.home / "said.txt").write_text(outcome.output, encoding="utf-8")
    return installation


def test_a_request_in_the_landing_is_followed_by_the_next_run(answered: Installation) -> None:
    assert records(answered) == {"crm:C1", "crm:C2", "crm:C4", "crm:C5", "crm:C6"}
    (certificate,) = wait_settled(answered)
    assert certificate.customer_count == 1
    assert certificate.reason == "2 requests"


def newsletter(installation: Installation) -> set[str]:
    members = installation.home / "exports" / "newsletter" / "latest" / "members.csv"
    return set(members.read_text(encoding="utf-8").splitlines()[1:])


def test_what_was_exported_of_the_person_is_gone_and_the_next_list_is_without_them(
    before: Installation, answered: Installation
) -> None:
    assert newsletter(before) - newsletter(answered) == {"ann.berg@x.test"}
    assert "olaf@y.test" in newsletter(answered)
    exports = answered.home / "exports"
    assert all(len(list(folder.glob("2*"))) == 1 for folder in exports.iterdir())
    files = [path for path in exports.rglob("*.*") if path.is_file()]
    assert len(files) >= 8
    assert not any(b"ann.berg" in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "told",
    [
        "privacy/erasures/2026-06-01.csv:4: 2 customers share the identifier of request r3",
        "privacy/erasures/2026-06-01.csv:5: identifier is empty",
        "privacy/erasures/2026-06-01.csv:6: An identifier is a customer id",
        "privacy/erasures/wrong.csv:1: column request_id and identifier is missing",
    ],
)
def test_a_request_that_cannot_be_followed_is_told_by_its_line(
    answered: Installation, told: str
) -> None:
    assert told in (answered.home / "said.txt").read_text(encoding="utf-8")


def test_a_request_is_followed_once_and_somebody_unknown_does_not_land_later(
    answered: Installation, tmp_path: Path
) -> None:
    installation = answered.copy_to(tmp_path)
    later = {"contact_id": "C7", "first_name": "Lea", "last_name": "Ter", "email": "later@x.test"}
    installation.write("crm/contacts", "b.csv", [later | AT])
    installation.run()
    assert len(wait_settled(installation)) == 1
    assert "crm:C7" not in records(installation)
    # and a person who came back by their own will is let in again
    lifted = installation.warehouse("forget", "later@x.test", "--lift", *BY)
    assert lifted.exit_code == 0, lifted.output
    installation.write("crm/contacts", "c.csv", [later | AT | {"first_name": "Leah"}])
    installation.run()
    assert "crm:C7" in records(installation)


@pytest.fixture(scope="module")
def stopped(before: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An erasure was decided, and the run that should carry it out is stopped by its landing."""
    installation = before.copy_to(tmp_path_factory.mktemp("stopped"))
    decide(installation, "crm:C4")
    return installation


def test_an_erasure_that_is_pending_is_told_and_nothing_is_tried_beside_it(
    stopped: Installation,
) -> None:
    assert "people to be forgotten" in stopped.warehouse("status").output
    doctor = stopped.warehouse("doctor")
    assert doctor.exit_code == 1
    assert "is pending" in doctor.output
    planned = stopped.warehouse("plan")
    assert planned.exit_code == 1
    assert "An erasure is pending" in planned.output
    assert "PENDING" in stopped.warehouse("erasures").output


def test_a_run_that_is_stopped_forgets_all_the_same_and_the_next_one_is_right(
    stopped: Installation, tmp_path: Path
) -> None:
    installation = stopped.copy_to(tmp_path)
    broken = installation.landing / "crm" / "contacts" / "b.csv"
    broken.write_text("no,such\n1,2\n", encoding="utf-8")
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert "the last one stands, without who was forgotten" in outcome.output
    (certificate,) = wait_settled(installation)
    assert certificate.found == 0
    assert records(installation) == {"crm:C1", "crm:C2", "crm:C3", "crm:C5", "crm:C6"}
    broken.unlink()
    installation.run()
    assert records(installation) == {"crm:C1", "crm:C2", "crm:C3", "crm:C5", "crm:C6"}


def test_a_run_without_the_key_of_the_tombstones_is_refused(
    answered: Installation, tmp_path: Path
) -> None:
    installation = answered.copy_to(tmp_path)
    key = installation.home / "erasure.key"
    key.unlink()
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert "people who were forgotten could come back" in outcome.output
    key.write_text("ab" * 32, encoding="ascii")
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert "is not the key" in outcome.output


def test_two_erasures_at_once_have_a_certificate_each_that_counts_its_own(
    before: Installation, tmp_path: Path
) -> None:
    installation = before.copy_to(tmp_path)
    decide(installation, "crm:C5")
    decide(installation, "crm:C6")
    outcome = installation.warehouse("forget", "--resume", "--without-run")
    assert outcome.exit_code == 0, outcome.output
    first, second = wait_settled(installation)
    assert [one.rows["crm/contacts"]["deleted"] for one in (first, second)] == [1, 1]
    assert second.previous == first.certificate_hash
    assert records(installation) == {"crm:C1", "crm:C2", "crm:C3", "crm:C4"}
    # a later erasure does not wait until somebody finds the certificate that was lost
    (installation.home / "erasures" / first.erasure_id / "certificate.json").unlink()
    assert installation.warehouse("erasures").exit_code == 1
    again = ("forget", "crm:C4", "--confirm", "--without-run", *BY)
    outcome = installation.warehouse(*again)
    assert pending(installation.settings) == []
    assert records(installation) == {"crm:C1", "crm:C2", "crm:C3"}


def test_a_build_that_was_released_is_the_release_that_was_written_anew(
    before: Installation, tmp_path: Path
) -> None:
    installation = before.copy_to(tmp_path)
    candidate = installation.settings.candidate_database
    forget = ("forget", "crm:C5", "--confirm", "--without-run", *BY)
    assert installation.warehouse(*forget).exit_code == 0
    released = installation.home / "current" / "warehouse.duckdb"
    assert candidate.read_bytes() == released.read_bytes()
    assert candidate.stat().st_mode & 0o600 == 0o600
    installation.run()
    assert records(installation) == {"crm:C1", "crm:C2", "crm:C3", "crm:C4", "crm:C6"}


def test_a_build_that_was_not_released_is_edited_itself(
    before: Installation, tmp_path: Path
) -> None:
    installation = before.copy_to(tmp_path)
    candidate = installation.settings.candidate_database
    with duckdb.connect(str(candidate)) as connection:
        connection.execute("create table marts.notes as select 'of maria@z.test' as note")
    forget = ("forget", "crm:C5", "--confirm", "--without-run", *BY)
    outcome = installation.warehouse(*forget)
    assert outcome.exit_code == 0, outcome.output
    with duckdb.connect(str(candidate), read_only=True) as connection:
        assert connection.execute("from marts.notes").fetchall() == [("of [forgotten]",)]
        ((count,),) = connection.execute("select count(*) from marts.customers").fetchall()
    assert count == len(records(installation)) == 5
