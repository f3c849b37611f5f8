"""Segments as people use them: rules proven before a run, sizes beforehand, stays remembered."""

from pathlib import Path

import pytest

from orchestration.landing import assets
from orchestration.transform import segments
from orchestration.transform.rule_files import SegmentRuleError
from orchestration.transform.segment_sizes import segment_sizes
from orchestration.transform.segments import check_segment_rules
from tests.conftest import Installation

HEADER = "segment,segment_group,priority,predicate,purpose,required_consent,owner,description\n"


def test_a_broken_rule_stops_a_run_before_anything_is_landed(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "rules.csv"
    rules.write_text(HEADER + "Young,age,,age < 30,analysis,,marketing,Below thirty.\n")
    monkeypatch.setattr(segments, "RULES_FILE", rules)
    sentence = f"{rules}, line 2, segment 'Young', predicate: there is no column 'age'"

    for verb in ("run", "segments"):
        outcome = installation.warehouse(verb)
        assert outcome.exit_code == 2
        assert sentence in outcome.output
    assert not installation.settings.working_database.exists()


def test_a_broken_rule_stops_the_job_of_dagster_too(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise SegmentRuleError(["rules.csv, line 2: no."])

    monkeypatch.setattr(assets, "check_segment_rules", refuse)
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert "rules.csv, line 2: no." in outcome.output
    assert not installation.settings.working_database.exists()


def test_sizes_beforehand_are_those_of_the_run_and_stays_go_from_release_to_release(
    installation: Installation, tmp_path: Path
) -> None:
    assert "sizes come after a run" in installation.warehouse("segments").output

    contacts = {"updated_at": "2026-05-01T10:00:00Z"}
    installation.write(
        "crm/contacts",
        "a.csv",
        [
            contacts
            | {
                "contact_id": "C1",
                "first_name": "Jane",
                "email": "jane@shop.test",
                "birth_date": "2008-02-29",
                "marketing_opt_in": "yes",
            },
            contacts | {"contact_id": "C2", "email": "ben@shop.test", "marketing_opt_in": "no"},
            contacts | {"contact_id": "C3", "email": "cyd@shop.test"},
        ],
    )
    order = {"currency_code": "EUR", "total_amount": "10.00", "ordered_at": "2026-06-20T08:00:00Z"}
    emails = ("jane@shop.test", "ben@shop.test")
    installation.write(
        "shop/orders",
        "a.csv",
        [order | {"order_id": str(n), "email": email} for n, email in enumerate(emails)],
    )
    installation.run(as_of="2026-06-30")
    stays = (
        "select segment, count(*), count(left_on) from marts.customer_segment_memberships"
        " where segment in ('New', 'Welcome', 'Age 18-24', 'Contactable By Mail', 'Prospects')"
        " group by 1 order by 1"
    )
    assert installation.query(stays) == [
        ("Age 18-24", 1, 0),
        ("Contactable By Mail", 1, 0),
        ("New", 2, 0),
        ("Prospects", 1, 0),
        ("Welcome", 1, 0),
    ]

    told = segment_sizes(installation.settings, check_segment_rules())
    assert told is not None
    assert (told.as_of, told.customer_count) == ("2026-06-30", 3)
    assert {size.segment: size.members for size in told.segments} == {
        size.segment: size.now for size in told.segments
    }
    assert dict(installation.query("select segment, match_count from marts.segments")) == {
        size.segment: size.matches for size in told.segments
    }
    rules = tmp_path / "rules.csv"
    rules.write_text(
        HEADER
        + "New,lifecycle,,purchase_count > 5,analysis,,marketing,Many.\n"
        + "First,g,1,has_email,newsletter,email_marketing,marketing,First.\n"
        + "Second,g,2,has_email,analysis,,marketing,Second.\n"
    )
    listed = installation.warehouse("segments", "--rules", str(rules)).output
    rows = {" ".join(line.split()) for line in listed.splitlines()}
    assert {
        "lifecycle New 0 0 2 -2",
        "g First 3 1 new email_marketing",
        "g Second 3 0 new",
        "lifecycle Prospects 1 rule removed",
    } <= rows

    installation.run(as_of="2026-07-21")
    assert installation.query(stays) == [
        ("Age 18-24", 1, 0),
        ("Contactable By Mail", 1, 0),
        ("New", 2, 2),
        ("Prospects", 1, 0),
        ("Welcome", 1, 1),
    ]
    assert installation.query(
        "select distinct entered_on::varchar, left_on::varchar, entered_reason, left_reason"
        " from marts.customer_segment_memberships where segment = 'New'"
    ) == [
        (
            "2026-06-30",
            "2026-07-21",
            "lifecycle_stage new, recency_days 10",
            "no longer matches: lifecycle_stage active, recency_days 31",
        )
    ]
