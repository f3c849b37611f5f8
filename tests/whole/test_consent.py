"""Consent from landing to export: who withdraws is out of every audience with the next run."""

from tests.conftest import Installation

MEMBERS = "select address from marts.audience_members where audience = 'Newsletter' order by 1"
STATES = (
    "select valid_from::varchar, valid_until::varchar, consent_status, source"
    " from marts.customer_consent inner join marts.customers using (customer_id)"
    " where email = 'ann@shop.test' and purpose = 'email_marketing' order by 1"
)


def contact(number: int, name: str, updated_at: str, opt_in: str = "yes") -> dict[str, str]:
    return {
        "contact_id": f"C{number}",
        "first_name": name,
        "email": f"{name.lower()}@shop.test",
        "birth_date": f"198{number}-02-03",
        "marketing_opt_in": opt_in,
        "updated_at": updated_at,
    }


def test_a_withdrawal_a_complaint_and_a_no_take_effect_with_the_next_run(
    installation: Installation,
) -> None:
    people = ("Ann", "Ben", "Cyd", "Dan", "Eve")
    installation.write(
        "crm/contacts",
        "1.csv",
        [contact(n, name, "2026-05-01T10:00:00Z") for n, name in enumerate(people)],
    )
    installation.write(
        "mailing/subscribers",
        "1.csv",
        [{"subscriber_id": "S1", "email": "ben@shop.test", "updated_at": "2026-05-01T10:00:00Z"}],
    )
    installation.run(as_of="2026-06-29")
    everybody = [(f"{name.lower()}@shop.test",) for name in people]
    assert installation.query(MEMBERS) == everybody

    # an increment: one withdraws, one unsubscribes, one complains, one tells the shop, one stays
    installation.write(
        "mailing/consents",
        "2.csv",
        [
            {
                "consent_id": "K1",
                "email": " ANN@shop.test",
                "purpose": "email_marketing",
                "status": "withdrawn",
                "occurred_at": "2026-06-30T09:00:00Z",
            }
        ],
    )
    installation.write(
        "mailing/deliveries",
        "2.csv",
        [
            {
                "delivery_id": "D1",
                "subscriber_id": "S1",
                "event_type": "unsubscribe",
                "occurred_at": "2026-06-30T09:00:00Z",
            }
        ],
    )
    installation.write(
        "mailing/suppressions",
        "2.csv",
        [
            {
                "suppression_id": "X1",
                "email": "cyd@shop.test",
                "reason": "complaint",
                "occurred_at": "2026-06-30T09:00:00Z",
            }
        ],
    )
    installation.write(
        "crm/contacts", "2.csv", [contact(3, "Dan", "2026-06-30T09:00:00Z", opt_in="no")]
    )
    installation.run(as_of="2026-06-30")
    assert installation.query(MEMBERS) == [("eve@shop.test",)]
    assert installation.query(
        "select reason, count(*) from marts.customer_suppressions group by 1"
    ) == [("complaint", 2)]
    assert installation.query(STATES) == [
        ("2026-05-01", "2026-06-30", "granted", "crm"),
        ("2026-06-30", None, "withdrawn", "mailing"),
    ]
    assert installation.query(
        "select segment_member_count, suppressed_count, member_count from marts.audience_sizes"
        " where audience = 'Newsletter'"
    ) == [(2, 1, 1)]

    # the CRM writes its contacts again, dated today: an edit is no consent
    installation.write(
        "crm/contacts",
        "3.csv",
        [contact(n, people[n], "2026-07-01T10:00:00Z") for n in (0, 1, 2)],
    )
    installation.run(as_of="2026-07-01")
    assert installation.query(MEMBERS) == [("eve@shop.test",)]
    assert len(installation.query(STATES)) == 2
