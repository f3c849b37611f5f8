"""What is worth an alert, on the borders of every rule, and that no message tells of a person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestration.alerts.channels import payload
from orchestration.alerts.troubles import Kind, Trouble, compose, standing
from orchestration.operations.ledger import Outcome, RunRecord, Stage

NOW = datetime(2026, 6, 30, 4, 30, tzinfo=UTC)
TIMEOUT = timedelta(hours=6)
MINUTE = timedelta(minutes=1)
PERSON = ("Eva Lind", "Lind", "eva@lind.example", "+46 70 123 45 67", "eva_lind")


def record(outcome: Outcome, *, hours_ago: float = 0.1, **what: Any) -> RunRecord:
    ended = NOW - timedelta(hours=hours_ago)
    return RunRecord.model_validate(
        {
            "run_id": "0f6c0a5e-0000-4000-8000-000000000001",
            "as_of": "2026-06-30",
            "outcome": outcome,
            "began_at": ended - MINUTE,
            "ended_at": None if outcome is Outcome.RUNNING else ended,
            "stages": [Stage(name="landing")],
            "process": 4711,
        }
        | what
    )


def found(*records: RunRecord, is_running: bool = False) -> list[Trouble]:
    """records: newest first."""
    return list(standing(records, is_running=is_running, now=NOW, run_timeout=TIMEOUT))


def keys(*records: RunRecord, is_running: bool = False) -> list[str]:
    return [trouble.key for trouble in found(*records, is_running=is_running)]


def gate(layer: str, failing: dict[str, int | None], **more: Any) -> dict[str, Any]:
    told = {check: {"rows": n, "because": "Rows have keys."} for check, n in failing.items()}
    return {"layer": layer, "passed": not failing, "failing": told} | more


@pytest.mark.parametrize("outcome", [Outcome.RELEASED, Outcome.UNCHANGED])
def test_a_home_without_runs_or_with_a_good_one_has_no_trouble(outcome: Outcome) -> None:
    assert found() == []
    assert found(record(outcome)) == []


@pytest.mark.parametrize(
    ("outcome", "reason", "said"),
    [
        (Outcome.CRASHED, "ValueError: Eva", "crashed in landing: ValueError"),
        (Outcome.CRASHED, "duckdb.IOException: Eva", "crashed in landing: duckdb.IOException"),
        (Outcome.CRASHED, "Eva Lind: is an Error", "crashed in landing: an error that nobody"),
        (Outcome.CRASHED, "EvaLindError of mine", "crashed in landing: an error that nobody"),
        (Outcome.KILLED, "process 1 ended", "was killed in landing: its process ended"),
        (Outcome.STOPPED, "interrupted", "was stopped in landing: it was interrupted"),
        (Outcome.STOPPED, "timeout: the run …", "was stopped in landing: it took longer than"),
        (Outcome.STOPPED, "The disk that holds /h is full", "the disk is full or broken"),
        (Outcome.STOPPED, "Eva said no", "was stopped in landing: it found something wrong"),
    ],
)
def test_a_run_that_failed_is_told_with_stage_and_kind_of_reason(
    outcome: Outcome, reason: str, said: str
) -> None:
    (trouble,) = found(record(outcome, reason=reason), record(Outcome.RELEASED, hours_ago=24))
    assert trouble.kind is Kind.RUN_FAILED
    assert said in trouble.facts[0]
    assert "0f6c0a5e-0000-4000-8000-000000000001" in trouble.facts[0]
    assert "Eva" not in str(trouble)


def test_feeds_that_a_reason_names_are_told_without_the_names_of_their_files() -> None:
    reason = "crm/contacts/eva_lind.csv was refused: no key column."
    (trouble,) = found(record(Outcome.STOPPED, reason=reason), record(Outcome.RELEASED))
    assert "Its reason names crm/contacts." in trouble.facts
    assert "eva" not in str(trouble)


def test_a_run_that_says_it_runs_while_nobody_does_was_killed() -> None:
    under_way = record(Outcome.RUNNING, stage_under_way="identity")
    released = record(Outcome.RELEASED, hours_ago=1)
    (trouble,) = found(under_way, released)
    assert trouble.title == "A run was killed in identity"
    assert found(under_way, released, is_running=True) == []


def test_a_run_that_does_not_end_is_told_five_minutes_after_its_time() -> None:
    def since(began_at: datetime) -> list[str]:
        under_way = record(Outcome.RUNNING, began_at=began_at)
        return keys(under_way, record(Outcome.RELEASED), is_running=True)

    late = TIMEOUT + timedelta(minutes=5)
    assert since(NOW - late) == []
    assert since(NOW - late - MINUTE) == ["run_failed"]


def test_a_gate_that_stopped_a_run_is_told_with_its_checks_and_not_as_a_failed_run_too() -> None:
    failing = {"raw.crm__contacts/unique": 1234, "raw.files/any": None}
    stopped = record(
        Outcome.STOPPED,
        reason="[critical] Eva Lind",
        gates=[gate("landing", failing, failures=["crm/contacts/eva_lind.csv is wrong"])],
    )
    (trouble,) = found(stopped, record(Outcome.RELEASED, hours_ago=24))
    assert trouble.key == "gate_failed landing"
    assert "raw.crm__contacts/unique: 1,234 rows. Rows have keys." in trouble.facts
    assert "raw.files/any: not as expected. Rows have keys." in trouble.facts
    assert trouble.facts[-1] == "Its reason names crm/contacts."
    assert "`make quality CHECK=raw.crm__contacts/unique`" in trouble.remedy
    assert "eva" not in str(trouble).lower()


def test_a_record_of_older_code_names_no_checks_and_is_told_all_the_same() -> None:
    old = {"layer": "marts", "passed": False, "failures": ["Eva Lind"], "check_count": 3}
    (trouble,) = found(record(Outcome.STOPPED, gates=[old]), record(Outcome.RELEASED))
    assert trouble.title == "The marts gate stopped a run"


def test_of_many_checks_ten_are_listed_and_any_other_set_of_them_is_told_anew() -> None:
    def failed(count: int) -> Trouble:
        failing: dict[str, int | None] = {f"t/{n:02}": n for n in range(count)}
        stopped = record(Outcome.STOPPED, gates=[gate("marts", failing)])
        return found(stopped, record(Outcome.RELEASED))[0]

    assert "and 30 more" in failed(40).facts
    assert len(failed(40).facts) == 12
    assert "more" not in failed(10).facts[-1]
    assert failed(40).key == failed(39).key
    assert failed(40).version != failed(39).version


def test_the_release_is_late_after_26_hours_without_a_run_that_released_or_found_it_so() -> None:
    assert keys(record(Outcome.RELEASED, hours_ago=26)) == []
    assert keys(record(Outcome.RELEASED, hours_ago=26.1)) == ["freshness_late release"]
    assert keys(record(Outcome.UNCHANGED), record(Outcome.RELEASED, hours_ago=48)) == []
    built = record(Outcome.BUILT)
    assert keys(built, record(Outcome.RELEASED, hours_ago=48)) == ["freshness_late release"]


def test_before_the_first_release_it_is_late_a_day_after_the_first_run() -> None:
    assert keys(record(Outcome.BUILT), record(Outcome.BUILT, hours_ago=25)) == []
    late = keys(record(Outcome.BUILT), record(Outcome.BUILT, hours_ago=27))
    assert late == ["freshness_late release"]


def test_feeds_are_late_until_a_gate_of_the_landing_has_said_otherwise() -> None:
    said = {"shop/orders": "shop/orders: nothing since 2026-06-20, 9 days before 2026-06-29"}
    late = record(Outcome.RELEASED, hours_ago=24, late=said)
    stopped_before_the_gate = record(Outcome.STOPPED, late=None)
    assert keys(late) == ["freshness_late shop/orders"]
    assert keys(stopped_before_the_gate, late) == ["run_failed", "freshness_late shop/orders"]
    assert keys(record(Outcome.RELEASED, late={}), late) == []


def test_customers_who_moved_more_than_the_bands_allow_are_told_by_measure() -> None:
    moved = {"merged_customers": "merged_customers (…): 40 of 80, 50.0 %"}
    (trouble,) = found(record(Outcome.RELEASED, moved=moved, gates=[gate("identity", {})]))
    assert trouble.key == "identity_churn"
    assert "merged_customers (…): 40 of 80, 50.0 %." in trouble.facts
    assert "let pass" in trouble.facts[0]
    check: dict[str, int | None] = {"identity.int_identity_judged/merged_customers": 1}
    stopped = record(Outcome.STOPPED, moved=moved, gates=[gate("identity", check)])
    assert keys(stopped, record(Outcome.RELEASED)) == ["gate_failed identity", "identity_churn"]
    assert found(record(Outcome.RELEASED, moved={})) == []


def test_what_the_last_run_could_not_send_or_erase_is_told_without_its_reason() -> None:
    undone = record(
        Outcome.RELEASED,
        behind="Eva Lind holds a lock",
        exports_behind="Eva Lind's folder is away",
        unfinished="of Eva Lind",
    )
    troubles = found(undone)
    assert [trouble.kind for trouble in troubles] == [
        Kind.ERASURE_UNFINISHED,
        Kind.POSTGRES_BEHIND,
        Kind.EXPORTS_BEHIND,
    ]
    assert "Eva" not in str(troubles)
    assert found(record(Outcome.RELEASED), undone) == []


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.STOPPED])
def test_a_reason_full_of_a_person_a_newline_and_a_megabyte_gives_a_short_clean_message(
    outcome: Outcome,
) -> None:
    reason = f"{' '.join(PERSON)}\r\nBcc: all@x.test\n\n<!channel> \u202e{'x' * 1_000_000}"
    bad = record(
        outcome,
        reason=reason,
        behind=reason,
        unfinished=reason,
        landing={"message": reason},
        stages=[Stage(name="landing")],
    )
    message = compose("here", new=found(bad, record(Outcome.RELEASED)))
    sent = f"{message.subject} {message.text} {payload(message)}"
    assert not [word for word in (*PERSON, "Bcc", "channel") if word in sent]
    assert "\n" not in message.subject
    assert len(sent) < 5_000


def test_texts_of_any_length_and_kind_become_short_lines_that_slack_takes() -> None:
    text = f"naïve — 名前 <!channel> & \r\nSubject: \x07\u202ex {'é' * 5000}"
    trouble = Trouble(Kind.FRESHNESS_LATE, "release", "", text, (text,) * 12, text)
    troubles = [Trouble(Kind.FRESHNESS_LATE, str(n), "", text, (text,), text) for n in range(30)]
    message = compose(f"here\n{'h' * 80}", new=[trouble, *troubles])
    assert message.subject.isprintable()
    assert len(message.subject) < 160
    assert "名前" in message.subject
    assert message.text.replace("\n", "").isprintable()
    assert message.subject.endswith("(and 30 more)")
    assert message.text.endswith("`warehouse alerts` lists all of them.")
    sent = payload(message)
    assert len(sent["blocks"]) <= 50
    for block in sent["blocks"]:
        assert len(block["text"]["text"]) <= (150 if block["type"] == "header" else 3000)
    assert all(
        "<!channel>" not in b["text"]["text"] for b in sent["blocks"] if b["type"] != "header"
    )
    assert "<!channel>" not in sent["text"]


def test_one_message_tells_what_is_new_what_still_stands_and_what_is_over() -> None:
    late = Trouble(Kind.FRESHNESS_LATE, "release", "", "The release is late", ("Since.",), "Look.")
    since = datetime(2026, 6, 29, 4, tzinfo=UTC)
    message = compose(
        "srv1:.warehouse", new=[late], again=[(late, since)], over=[("A run crashed", since)]
    )
    assert message.subject == "[warehouse srv1:.warehouse] The release is late (and 2 more)"
    assert message.text == (
        "The release is late\nSince.\nTo do: Look.\nKind: freshness_late release\n\n"
        "Still: The release is late, since 2026-06-29 04:00 UTC\nSince.\nTo do: Look.\n"
        "Kind: freshness_late release\n\n"
        "Recovered: A run crashed\nIt stood since 2026-06-29 04:00 UTC."
    )
