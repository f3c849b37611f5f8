"""The verbs of stewards, typed as a steward types them."""

import re

import duckdb
import pytest

from orchestration.identity.decisions import read_decisions
from orchestration.identity.state import load_steward_decisions
from tests.conftest import Installation, Outcome

WHO_AND_WHY = ("--by", "Eva Lind", "--why", "one phone, two spellings")


def decide(installation: Installation, verdict: str, first: str, other: str) -> Outcome:
    return installation.warehouse("decide", verdict, first, other, *WHO_AND_WHY)


def newest(installation: Installation) -> str:
    return read_decisions(installation.settings.decisions)[-1].decision_id


@pytest.fixture
def known(installation: Installation) -> Installation:
    """An installation in which a run has seen crm:A, crm:B and crm:C."""
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        connection.execute("create schema identity")
        connection.execute(
            "create table identity.int_records_normalised as"
            " select unnest(['crm:A', 'crm:B', 'crm:C']) as source_record_id"
        )
    return installation


def test_a_decision_is_kept_with_who_and_why_and_says_what_comes_next(known: Installation) -> None:
    outcome = decide(known, "same", "crm:B", "crm:A")
    assert outcome.exit_code == 0
    assert "crm:B is crm:A" in outcome.output
    assert "make run" in outcome.output
    (decision,) = read_decisions(known.settings.decisions)
    assert known.settings.decisions == known.home / "decisions.csv"
    assert decision.decided_by == "Eva Lind"
    assert decision.reason == "one phone, two spellings"
    assert re.fullmatch("d-[0-9a-f]{10}", decision.decision_id)


def test_a_repeated_decision_adds_no_line_and_the_opposite_takes_its_place(
    known: Installation,
) -> None:
    decide(known, "same", "crm:A", "crm:B")
    first = newest(known)
    again = decide(known, "same", "crm:B", "crm:A")
    assert again.exit_code == 0
    assert f"Nothing to add: {first}" in again.output
    opposite = decide(known, "not-same", "crm:A", "crm:B")
    assert "crm:A is not crm:B" in opposite.output
    assert f"takes the place of {first}" in opposite.output
    assert len(read_decisions(known.settings.decisions)) == 2


def test_a_pair_that_somebody_is_unsure_of_is_left_to_the_evidence(known: Installation) -> None:
    decide(known, "same", "crm:A", "crm:B")
    decide(known, "not-same", "crm:B", "crm:C")
    unsure = decide(known, "unsure", "crm:A", "crm:B")
    assert "crm:A may be crm:B" in unsure.output
    assert "takes the place of" in unsure.output
    with duckdb.connect() as connection:
        load_steward_decisions(connection, known.settings.decisions)
        assert connection.execute(
            "select source_record_id, other_source_record_id, verdict from state.steward_decisions"
        ).fetchall() == [("crm:B", "crm:C", "not_same")]


def test_a_record_that_no_run_has_seen_is_decided_on_only_when_asked_to(
    known: Installation,
) -> None:
    refused = decide(known, "same", "crm:A", "CRM:b")
    assert refused.exit_code == 1
    assert "'CRM:b' is no record" in refused.output
    refused = decide(known, "same", "crm:A", "crm:b")
    assert refused.exit_code == 1
    assert "no record crm:b was in the last run; did you mean crm:B?" in refused.output
    assert read_decisions(known.settings.decisions) == ()
    asked = known.warehouse("decide", "same", "crm:A", "crm:O'x", "--unseen", *WHO_AND_WHY)
    assert asked.exit_code == 0


def test_before_the_first_run_any_record_can_be_decided_on(installation: Installation) -> None:
    assert decide(installation, "same", "crm:A", "crm:B").exit_code == 0


def test_a_database_that_cannot_be_read_now_blocks_no_decision(installation: Installation) -> None:
    installation.settings.working_database.write_bytes(b"not a database" * 1000)
    outcome = decide(installation, "same", "crm:A", "crm:B")
    assert outcome.exit_code == 0
    assert "Not looked up" in outcome.output


def test_a_decision_against_a_chain_is_refused_with_the_decisions_that_make_it(
    known: Installation,
) -> None:
    decide(known, "same", "crm:A", "crm:B")
    decide(known, "same", "crm:B", "crm:C")
    outcome = decide(known, "not-same", "crm:A", "crm:C")
    assert outcome.exit_code == 1
    assert newest(known) in outcome.output
    assert len(read_decisions(known.settings.decisions)) == 2


def test_a_revoke_says_what_holds_now(known: Installation) -> None:
    decide(known, "same", "crm:A", "crm:B")
    first = newest(known)
    decide(known, "not-same", "crm:A", "crm:B")
    outcome = known.warehouse("revoke", newest(known), *WHO_AND_WHY)
    assert outcome.exit_code == 0
    assert f"In force on the two is now {first}: crm:A is crm:B" in outcome.output
    outcome = known.warehouse("revoke", first, *WHO_AND_WHY)
    assert "On crm:A and crm:B only the evidence speaks now." in outcome.output
    outcome = known.warehouse("revoke", first, *WHO_AND_WHY)
    assert outcome.exit_code == 1
    assert "was revoked before" in outcome.output


def test_the_list_shows_what_is_in_force_or_what_became_of_everything(known: Installation) -> None:
    decide(known, "same", "crm:A", "crm:B")
    first = newest(known)
    decide(known, "not-same", "crm:A", "crm:B")
    second = newest(known)
    decide(known, "same", "crm:A", "crm:C")
    third = newest(known)
    known.warehouse("revoke", third, "--by", "[bold]Ida", "--why", "wrong [/] click")
    in_force = known.warehouse("decisions").output
    assert second in in_force
    assert first not in in_force
    assert third not in in_force
    assert "In force: 1 of 4 lines" in in_force
    everything = known.warehouse("decisions", "--all").output
    assert re.search(rf"{first} .* replaced by {second}", everything)
    assert re.search(rf"{second} .* in force", everything)
    assert re.search(rf"{third} .* revoked by {newest(known)}", everything)
    assert re.search(rf"revokes {third} .*\[bold\]Ida .*wrong \[/\] click", everything)


def test_a_broken_file_is_named_by_every_verb(known: Installation) -> None:
    known.settings.decisions.write_text("nonsense\n")
    for outcome in (
        known.warehouse("decisions"),
        decide(known, "same", "crm:A", "crm:B"),
        known.warehouse("revoke", "d-1", *WHO_AND_WHY),
    ):
        assert outcome.exit_code == 1
        assert f"{known.settings.decisions}:1: the first line must be" in outcome.output


def test_nobody_decides_without_a_name_or_a_reason(
    known: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        known.warehouse("decide", "same", "crm:A", "crm:B", "--why", "because")
    assert "--by" in capsys.readouterr().err
    outcome = known.warehouse("decide", "same", "crm:A", "crm:B", "--by", "Eva", "--why", " ")
    assert outcome.exit_code == 1
    assert "reason is missing" in outcome.output


def test_the_file_can_lie_elsewhere(known: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = known.home.parent / "elsewhere.csv"
    monkeypatch.setenv("WAREHOUSE_DECISIONS", str(elsewhere))
    decide(known, "same", "crm:A", "crm:B")
    assert len(read_decisions(elsewhere)) == 1


def test_a_run_takes_the_decisions_along_and_stops_when_it_cannot(
    installation: Installation,
) -> None:
    installation.write("crm/contacts", "a.csv", [{"contact_id": "A"}, {"contact_id": "B"}])
    assert decide(installation, "not-same", "crm:B", "crm:A").exit_code == 0
    installation.run()
    with duckdb.connect(str(installation.settings.working_database), read_only=True) as database:
        taken = database.execute(
            "select decision_id, verdict, source_record_id, other_source_record_id"
            " from state.steward_decisions"
        ).fetchall()
    assert taken == [(newest(installation), "not_same", "crm:A", "crm:B")]

    decisions = installation.settings.decisions
    content = decisions.read_bytes()
    decisions.write_bytes(content + b"d-2,same,crm:A")
    stopped = installation.warehouse("run")
    assert stopped.exit_code == 1
    assert f"{decisions}:3: 3 fields in" in stopped.output
    assert "Traceback" not in stopped.output

    decisions.write_bytes(content)
    assert "nothing new since release" in installation.run().output
