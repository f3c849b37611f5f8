"""What a certificate tells of the time that an erasure took."""

import time
from datetime import UTC, datetime

from orchestration.privacy.certificates import Plan, timed
from orchestration.privacy.people import People


def test_the_time_of_a_step_is_told_without_the_steps_within_it() -> None:
    plan = Plan(
        erasure_id="e-1",
        requested_at=datetime(2026, 6, 30, tzinfo=UTC),
        requested_by="Eva Lind",
        reason="case 17",
        customer_count=1,
        people=People((), (), (), (), (), (), 0),
    )
    with timed(plan, "releases"):
        for _ in range(2):
            with timed(plan, "search"):
                time.sleep(0.1)
    assert 0.2 <= plan.seconds["search"] < 0.3
    assert plan.seconds["releases"] < 0.1
    assert plan.cpu_seconds.keys() == plan.seconds.keys()
    assert plan.cpu_seconds["search"] < 0.1
