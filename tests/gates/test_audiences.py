"""The last gate on its own: whom nobody may contact stops a run, however they got into an audience.

The marts are made to agree with each other each time; only the statements, the suppressions and the
crosswalk tell the truth.
"""

import duckdb
import pytest

from orchestration.gates import run_gate
from orchestration.settings import Settings

NO_CONSENT = "Nobody is contacted for a purpose without the consent of all that they are known by."
SUPPRESSED = "Whoever must not be contacted is not contacted, whatever they agreed to."

CUSTOMER_OF = (
    "(select customer_id from identity.int_customer_sources_resolved where source_record_id = '{}')"
)
PETER, MIA = CUSTOMER_OF.format("crm:C2"), CUSTOMER_OF.format("shop:43")
STATEMENT = (
    "insert into identity.int_consent_events_unioned by name select 'late' as evidence_id,"
    " 'mailing' as source, 'consent' as legal_basis, 'email_marketing' as purpose,"
)


def let_in(customer: str) -> str:
    """Put a customer into an audience, with a grant that nobody stated."""
    return (
        "insert into release_candidate.marts.audience_members by name"
        " select audience, coalesce(customers.email, 'x@x.test') as address, as_of_date,"
        f" customers.customer_id from release_candidate.marts.audience_members"
        " cross join release_candidate.marts.customers as customers"
        f" where audience = 'Newsletter' and customers.customer_id = {customer} limit 1;"
        "update release_candidate.marts.customer_consent set is_granted = true,"
        " consent_status = 'granted', legal_basis = 'consent', decided_at = timestamp '2026-01-01'"
    )


def test_who_agreed_and_is_not_suppressed_passes(world: Settings) -> None:
    with duckdb.connect(str(world.candidate_database), read_only=True) as connection:
        members = connection.execute(
            "select audience, address from marts.audience_members order by all"
        ).fetchall()
    assert ("Newsletter", "anna@x.test") in members
    assert {address for _, address in members} == {"anna@x.test"}
    assert run_gate("marts", world).passed


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        pytest.param(let_in(PETER), NO_CONSENT, id="said no"),
        pytest.param(let_in(MIA), NO_CONSENT, id="said nothing"),
        pytest.param(
            f"{STATEMENT} 'email' as subject_type, 'anna@x.test' as subject, 'withdrawn' as status,"
            " timestamp '2026-02-28' as occurred_at",
            NO_CONSENT,
            id="withdrew at one address",
        ),
        pytest.param(
            f"{STATEMENT} 'record' as subject_type, 'crm:C1' as subject, null as status,"
            " null::timestamp as occurred_at",
            NO_CONSENT,
            id="a no without date or word",
        ),
        pytest.param(
            f"{STATEMENT} 'phone' as subject_type, '700900001' as subject, 'withdrawn' as status,"
            " timestamp '2020-01-01' as occurred_at",
            NO_CONSENT,
            id="withdrew by phone long ago",
        ),
        pytest.param(
            "update identity.int_consent_events_unioned set legal_basis = 'contract'",
            NO_CONSENT,
            id="on a basis that is not allowed",
        ),
        pytest.param(
            "update identity.int_consent_events_unioned set purpose = 'sms_marketing'",
            NO_CONSENT,
            id="agreed to something else",
        ),
        pytest.param(
            "update identity.int_consent_events_unioned set occurred_at = timestamp '2026-03-02'",
            NO_CONSENT,
            id="agreed after the day",
        ),
        pytest.param(
            "insert into identity.int_suppression_events_unioned by name select 'x' as evidence_id,"
            " 'email' as subject_type, 'anna@x.test' as subject, 'complaint' as reason,"
            " 'email' as channel",
            SUPPRESSED,
            id="complained",
        ),
    ],
)
def test_a_poisoned_audience_stops_the_run(world: Settings, fault: str, sentence: str) -> None:
    with duckdb.connect(str(world.working_database)) as connection:
        connection.execute(f"attach '{world.candidate_database}' as release_candidate")
        for statement in fault.split(";"):
            connection.execute(statement)
    result = run_gate("marts", world)
    assert not result.passed
    assert any(line.startswith("[critical]") and sentence in line for line in result.summary)
