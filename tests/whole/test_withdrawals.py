"""A withdrawn file, in whole runs: what is released is what would be if it had never come."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Installation, Outcome

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo")
CONTACTS = [
    {
        "contact_id": f"C{number}",
        "first_name": name,
        "last_name": "Stone",
        "email": f"{name.lower()}@x.test",
        "updated_at": "2026-05-01T10:00:00Z",
    }
    for number, name in enumerate(NAMES)
]
# Most of these e-mail addresses are none, so the landing gate stops; the last row is right, and
# the file with the rest repeats it.
BAD_CONTACTS = [
    contact | {"email": "unknown", "updated_at": f"2026-06-01T{hour}:00:00Z"}
    for contact in CONTACTS[:7]
    for hour in (10, 11, 12, 13)
]
BAD_CONTACTS.append(CONTACTS[7])
EVENTS = [
    {
        "event_id": f"E{number}",
        "anonymous_id": f"V{number % 4}",
        "event_type": "page_view",
        "occurred_at": f"2026-06-{1 + number:02}T09:00:00Z",
    }
    for number in range(12)
]
BAD_EVENTS = [event | {"event_id": f"B{event['event_id']}"} for event in EVENTS[:5]]
ORDER = {"order_id": "1", "email": "ada@x.test", "currency_code": "EUR", "total_amount": "10.00"}
ORDERS = [ORDER | {"ordered_at": "2026-06-01T08:00:00Z", "status": "completed"}]
BAD_ORDERS = [ORDERS[0] | {"order_id": "2", "email": "nobody@x.test", "total_amount": "99.00"}]

BY = ("--by", "Eva Lind", "--why", "wrong export")


def deliver_good_files(installation: Installation) -> None:
    installation.write("crm/contacts", "2026-06-01.csv", CONTACTS[:4])
    installation.write("crm/contacts", "2026-06-03_rest.csv", CONTACTS[4:])
    installation.write("web/events", "2026-06-01.csv", EVENTS)
    installation.write("shop/orders", "2026-06-01.csv", ORDERS)


def manifest(installation: Installation) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (installation.home / "current" / "manifest.json").read_text()
    )
    return content


@pytest.fixture(scope="module")
def clean(new_installation: Callable[[], Installation]) -> dict[str, Any]:
    """The manifest of a release that never saw a bad file."""
    installation = new_installation()
    deliver_good_files(installation)
    installation.run()
    return manifest(installation)


@pytest.fixture(scope="module")
def stopped(new_installation: Callable[[], Installation]) -> Installation:
    """An installation whose landing gate has stopped the first run."""
    installation = new_installation()
    deliver_good_files(installation)
    installation.write("crm/contacts", "2026-06-03.csv", BAD_CONTACTS)
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert "2026-06-03.csv, email: 28 of 29 values" in outcome.output, outcome.output
    return installation


@pytest.fixture(scope="module")
def released(stopped: Installation) -> tuple[Installation, Outcome]:
    """The same installation after the file was withdrawn and another run."""
    outcome = stopped.warehouse("withdraw", "crm/contacts/2026-06-03.csv", *BY)
    assert outcome.exit_code == 0, outcome.output
    return stopped, stopped.run()


def test_after_a_withdrawal_the_release_is_that_of_a_run_that_never_saw_the_file(
    released: tuple[Installation, Outcome], clean: dict[str, Any]
) -> None:
    installation, outcome = released
    assert "2026-06-03.csv was withdrawn by Eva Lind on" in outcome.output
    assert "1 files (`warehouse withdrawals` says why)" in outcome.output
    assert manifest(installation)["tables"] == clean["tables"]
    assert manifest(installation)["content_hash"] == clean["content_hash"]


def test_a_file_withdrawn_after_its_release_goes_from_every_mart_also_by_increments(
    released: tuple[Installation, Outcome], tmp_path: Path
) -> None:
    installation = released[0].copy_to(tmp_path)
    before = manifest(installation)["tables"]
    installation.write("web/events", "2026-06-02.csv", BAD_EVENTS)
    installation.write("shop/orders", "2026-06-02.csv", BAD_ORDERS)
    installation.run()
    with_bad_files = manifest(installation)["tables"]
    assert installation.query("select count(*) from marts.orders") == [(2,)]
    for file in ("web/events/2026-06-02.csv", "shop/orders/2026-06-02.csv"):
        assert installation.warehouse("withdraw", file, *BY).exit_code == 0
    planned = installation.warehouse("plan").output
    assert "2 → 1 rows (-1)" in planned
    installation.run()
    after = manifest(installation)["tables"]
    # an id that was released is not forgotten; everything else is as it was
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"customer_id_history", "customer_redirects", "customer_source_history"}
    listed = installation.warehouse("withdrawals").output
    assert "3 versions of files are withdrawn" in listed
    # made again from the landing, where all three files still lie; one was right after all
    undone = installation.warehouse("withdraw", "shop/orders/2026-06-02.csv", *BY, "--undo")
    assert undone.exit_code == 0, undone.output
    installation.settings.working_database.unlink()
    rebuilt = installation.run()
    assert "2 files (`warehouse withdrawals` says why)" in rebuilt.output
    assert installation.query("select count(*) from marts.orders") == [(2,)]
    sessions = manifest(installation)["tables"]["sessions"]
    assert sessions == after["sessions"] != with_bad_files["sessions"]


def test_a_withdrawal_that_cannot_be_is_a_sentence_and_exit_code_1(stopped: Installation) -> None:
    outcome = stopped.warehouse("withdraw", "crm/contacts/nothing.csv", *BY)
    assert outcome.exit_code == 1
    assert "No file 'crm/contacts/nothing.csv' has landed" in outcome.output


def test_a_damaged_journal_of_withdrawals_stops_the_run_and_names_the_line(
    new_installation: Callable[[], Installation],
) -> None:
    installation = new_installation()
    deliver_good_files(installation)
    (installation.home / "withdrawals.csv").write_text("action,feed\n")
    for verb in (["run"], ["withdrawals"], ["withdraw", "crm/contacts/2026-06-01.csv", *BY]):
        outcome = installation.warehouse(*verb)
        assert outcome.exit_code == 1
        assert "withdrawals.csv:1: the first line must be action,feed,file_path" in outcome.output
        assert "Traceback" not in outcome.output
