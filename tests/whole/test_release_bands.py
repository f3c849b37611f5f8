"""A release that moves too far away from the last one is not published unless somebody answers."""

import json
from collections.abc import Callable

import pytest

from orchestration.operations.ledger import read_ledger
from orchestration.release import current_release, read_manifest
from tests.alerts.servers import web_server
from tests.conftest import Installation

FIRST = ("Ada", "Bram", "Cleo", "Dora", "Egon", "Fritz", "Greta", "Hugo")
LAST = ("Adler", "Brandt", "Conrad", "Dietz", "Ebert")
PEOPLE = [(first, last) for first in FIRST for last in LAST]


def contacts(email: str, updated_at: str) -> list[dict[str, object]]:
    return [
        {
            "contact_id": f"C{number}",
            "first_name": first,
            "last_name": last,
            "email": email.format(number=number),
            "updated_at": updated_at,
        }
        for number, (first, last) in enumerate(PEOPLE)
    ]


@pytest.fixture(scope="module")
def merged(new_installation: Callable[[], Installation]) -> Installation:
    """Forty people, known to two sources by other e-mails; then the CRM takes over the shop's."""
    installation = new_installation()
    installation.write(
        "crm/contacts", "1.csv", contacts("w{number}@work.test", "2026-06-01T00:00:00Z")
    )
    installation.write(
        "shop/customers",
        "1.csv",
        [
            {
                "customer_id": number,
                "email": f"h{number}@home.test",
                "updated_at": "2026-06-01T00:00:00Z",
            }
            for number in range(len(PEOPLE))
        ],
    )
    installation.run(as_of="2026-06-01")
    installation.write(
        "crm/contacts", "2.csv", contacts("h{number}@home.test", "2026-06-02T00:00:00Z")
    )
    return installation


def test_merges_of_half_the_customers_stop_the_run_and_name_their_cause(
    merged: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = merged.customers()

    with web_server() as web:
        monkeypatch.setenv("WAREHOUSE_ALERT_WEBHOOK", web.url)
        outcome = merged.warehouse("run", as_of="2026-06-02")

    assert outcome.exit_code == 1
    assert "merged_customers (released customers that were merged into others): 40 of 80" in (
        outcome.output
    )
    assert "Causes: an equal e-mail in 40 of the merges" in outcome.output
    assert "warehouse override identity.int_identity_judged/merged_customers" in outcome.output
    assert "@home.test" not in outcome.output
    assert merged.customers() == before
    record = read_ledger(merged.settings)[0][0]
    assert record.late == {}
    assert set(record.moved or {}) >= {"merged_customers", "moved_customers"}
    assert "Causes" not in str(record.moved)
    (alert,) = web.texts
    assert "The identity gate stopped a run" in alert
    assert "identity.int_identity_judged/merged_customers: 1 row. So many merges" in alert
    assert "Customers moved more than usual" in alert
    assert "merged_customers (released customers that were merged into others): 40 of 80" in alert
    words = {word for name in PEOPLE for word in name} | {"home.test", "work.test"}
    assert not {word for word in words if word in str(web.posts)}


def test_who_answers_for_it_lets_it_pass_and_is_published_with_it(merged: Installation) -> None:
    refused = merged.warehouse(
        "override", "marts.orders/row_floor", "--by", "Eva", "--why", "because", as_of="2026-06-02"
    )
    assert refused.exit_code == 1
    assert "did not fail in the last run" in refused.output
    for check in ("merged_customers", "moved_customers"):
        given = merged.warehouse(
            "override",
            f"identity.int_identity_judged/{check}",
            "--by",
            "Eva Lind",
            "--why",
            "the CRM took over the shop's addresses",
            as_of="2026-06-02",
        )
        assert given.exit_code == 0, given.output

    merged.run(as_of="2026-06-02")

    release = current_release(merged.settings)
    assert release is not None
    gates = json.dumps(read_manifest(release).gates)
    assert "merged_customers, by Eva Lind: the CRM took over the shop's addresses" in gates
    assert merged.query("select count(*) from marts.customers") == [(40,)]
    scores = merged.warehouse("quality")
    assert "int_identity_judged" in scores.output
    assert ".Xo" in scores.output
