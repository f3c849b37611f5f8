"""Each trouble is told once, again after a day, and once when it is over, by whoever notices it."""

import fcntl
import json
import logging
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from orchestration.alerts import channels as channels_module
from orchestration.alerts import telling
from orchestration.alerts.telling import tell
from orchestration.definitions import alerts_sensor
from orchestration.operations.ledger import Outcome, RunRecord
from orchestration.operations.run_log import log_path
from orchestration.run import Warehouse, only_one_run
from tests.alerts.servers import PATH, Answer, MailBox, WebServer
from tests.operations.conftest import House

NOW = datetime(2026, 6, 30, 4, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_module, "_PAUSES_SECONDS", ())


@pytest.fixture
def told(house: House, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> House:
    """An installation whose alerts go to the web server."""
    monkeypatch.setenv("WAREHOUSE_ALERT_WEBHOOK", web.url)
    return house


def ran(house: House, outcome: Outcome, at: datetime = NOW, **what: object) -> None:
    """Leave the record of a run that ended at a time."""
    record = RunRecord(run_id=f"run-{at:%d%H%M}", as_of="2026-06-30")
    changes = {"outcome": outcome, "began_at": at - HOUR / 4, "ended_at": at}
    record.model_copy(update=changes | what).save(house.settings)


def headings(web: WebServer) -> list[list[str]]:
    """Of each message."""
    return [
        [block["text"]["text"] for block in post["blocks"] if block["type"] == "header"]
        for post in web.posts
    ]


# --- once ---------------------------------------------------------------------------------------


def test_a_trouble_is_told_once_again_after_a_day_and_once_when_it_is_over(
    told: House, web: WebServer
) -> None:
    ran(told, Outcome.RELEASED, NOW - HOUR)
    assert tell(told.settings, NOW) == []
    ran(told, Outcome.CRASHED, reason="ValueError: x")
    (sent,) = tell(told.settings, NOW)
    assert sent.is_sent
    for later in (HOUR / 12, 23 * HOUR):
        assert tell(told.settings, NOW + later) == []
    ran(told, Outcome.CRASHED, NOW + 23 * HOUR, reason="ValueError: y")
    tell(told.settings, NOW + 24 * HOUR)
    assert tell(told.settings, NOW + 24 * HOUR) == []
    ran(told, Outcome.RELEASED, NOW + 25 * HOUR)
    tell(told.settings, NOW + 25 * HOUR)
    assert tell(told.settings, NOW + 50 * HOUR) == []
    assert headings(web) == [
        ["A run crashed in no stage"],
        ["Still: A run crashed in no stage, since 2026-06-30 04:30 UTC"],
        ["Recovered: A run crashed in no stage"],
    ]
    assert "since 2026-06-30 04:30 UTC" in web.texts[2]


def test_the_same_trouble_for_another_reason_is_told_at_once(told: House, web: WebServer) -> None:
    ran(told, Outcome.RELEASED, NOW - HOUR)
    ran(told, Outcome.CRASHED, reason="ValueError: x")
    tell(told.settings, NOW)
    ran(told, Outcome.CRASHED, NOW + HOUR, reason="KeyError: x", stage_under_way="marts")
    tell(told.settings, NOW + HOUR)
    assert "KeyError" in web.texts[1]
    ran(told, Outcome.RELEASED, NOW + 2 * HOUR)
    tell(told.settings, NOW + 2 * HOUR)
    assert headings(web) == [
        ["A run crashed in no stage"],
        ["A run crashed in marts"],
        ["Recovered: A run crashed in marts"],
    ]


def test_a_clock_that_was_set_back_does_not_silence_a_trouble(told: House, web: WebServer) -> None:
    ran(told, Outcome.RELEASED, NOW - HOUR)
    ran(told, Outcome.CRASHED)
    tell(told.settings, NOW + 1000 * HOUR)
    tell(told.settings, NOW + HOUR)
    assert len(web.posts) == 2


def test_what_was_told_is_kept_for_its_owner_alone(told: House) -> None:
    ran(told, Outcome.CRASHED)
    tell(told.settings, NOW)
    for name in ("alerts.json", "alerts.lock"):
        assert stat.S_IMODE((told.home / name).stat().st_mode) == 0o600
    kept = json.loads((told.home / "alerts.json").read_text())
    assert list(kept["channels"]["webhook"]["troubles"]) == ["run_failed"]
    assert PATH not in str(kept)


def test_what_was_told_may_be_damaged_and_then_all_that_stands_is_told_anew(
    told: House, web: WebServer
) -> None:
    ran(told, Outcome.CRASHED)
    tell(told.settings, NOW)
    (told.home / "alerts.json").write_text('{"channels": {"webhook"')
    assert "is not what was written" in told.warehouse("status").output
    assert "is not what was written" in told.warehouse("doctor").output
    assert told.warehouse("alerts").exit_code == 1
    tell(told.settings, NOW)
    assert len(web.posts) == 2
    assert tell(told.settings, NOW) == []


# --- channels that do not work ------------------------------------------------------------------


def test_what_could_not_be_sent_is_kept_shown_and_sent_by_the_next_one(
    told: House, web: WebServer, mail: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_ALERT_SMTP", f"smtp://localhost:{mail.port}")
    monkeypatch.setenv("WAREHOUSE_ALERT_TO", "ops@x.test")
    web.answer(Answer(500))
    ran(told, Outcome.CRASHED)
    by_way = {one.channel: one for one in tell(told.settings, NOW)}
    assert by_way["e-mail"].is_sent
    assert not by_way["webhook"].is_sent
    sentence = (
        "Alerts cannot be sent by webhook since 2026-06-30 04:30 UTC: the server answered 500"
    )
    for verb in ("status", "doctor", "alerts"):
        shown = told.warehouse(verb).output
        assert sentence in shown
        assert PATH not in shown
    (again,) = tell(told.settings, NOW + HOUR)
    assert (again.channel, again.is_sent) == ("webhook", False)
    web.answer(Answer(200))
    (sent,) = tell(told.settings, NOW + 2 * HOUR)
    assert sent.is_sent
    assert tell(told.settings, NOW + 2 * HOUR) == []
    assert sentence not in told.warehouse("status").output
    assert len(mail.mails) == 1
    assert mail.mails[0]["Subject"].endswith("A run crashed in no stage")


def test_a_trouble_that_passed_before_it_could_be_told_is_told_as_over(
    told: House, web: WebServer
) -> None:
    web.answer(Answer(500), Answer(500), Answer(200))
    ran(told, Outcome.CRASHED)
    tell(told.settings, NOW)
    ran(told, Outcome.RELEASED, NOW + HOUR)
    tell(told.settings, NOW + HOUR)
    tell(told.settings, NOW + 2 * HOUR)
    assert headings(web)[-1] == ["Recovered: A run crashed in no stage"]
    assert tell(told.settings, NOW + 3 * HOUR) == []


def test_a_server_that_asks_to_wait_is_left_alone_until_then(told: House, web: WebServer) -> None:
    web.answer(Answer(429, headers={"Retry-After": "1800"}), Answer(200))
    ran(told, Outcome.CRASHED)
    tell(told.settings, NOW)
    assert tell(told.settings, NOW + HOUR / 3) == []
    (sent,) = tell(told.settings, NOW + HOUR / 2)
    assert sent.is_sent
    assert len(web.posts) == 2


def test_two_who_tell_at_once_take_turns(told: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_LOCK_SECONDS", 0.1)
    ran(told, Outcome.CRASHED)
    with (told.home / "alerts.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(telling.AlertError, match="Another process is sending alerts"):
            tell(told.settings, NOW)
        assert told.warehouse("alerts", "--check").exit_code == 1
    assert told.warehouse("alerts", "--check").exit_code == 0


def test_a_copy_to_try_something_in_tells_nobody(told: House, web: WebServer) -> None:
    ran(told, Outcome.CRASHED)
    (told.home / ".scratch").touch()
    assert tell(told.settings, NOW) == []
    assert told.warehouse("alerts", "--check").exit_code == 1
    assert web.posts == []
    assert not (told.home / "alerts.json").exists()


# --- who tells ----------------------------------------------------------------------------------


def crash(warehouse: Warehouse) -> None:
    with warehouse.stage("staging"):
        raise ValueError("Eva Lind <eva@lind.example> of crm/contacts/eva_lind.csv\nBcc: x")


def work(warehouse: Warehouse) -> None:
    with warehouse.stage("staging"):
        pass


def test_a_run_tells_at_its_end_and_the_next_one_that_it_is_over(
    told: House, web: WebServer
) -> None:
    record = told.run(crash)
    (text,) = web.texts
    assert f"Run {record.run_id} as of" in text
    assert "crashed in staging: ValueError." in text
    assert not [word for word in ("Eva", "lind", "Bcc") if word in str(web.posts)]
    told.run(work)
    assert headings(web)[1] == ["Recovered: A run crashed in staging"]
    for run in (told.home / "runs").iterdir():
        assert PATH not in run.read_text() + log_path(told.settings, run.stem).read_text()


def test_a_run_whose_alert_cannot_be_sent_ends_as_it_would_and_says_so_in_its_log(
    told: House, web: WebServer
) -> None:
    web.answer(Answer(404))
    record = told.run(work)
    assert record.outcome is Outcome.BUILT
    assert web.posts == []
    record = told.run(crash)
    assert record.outcome is Outcome.CRASHED
    said = log_path(told.settings, record.run_id).read_text()
    assert "alerts could not be sent by webhook: the server answered 404" in said


def test_a_day_of_a_backfill_tells_nobody(told: House, web: WebServer) -> None:
    told.run(crash, **{"warehouse/started_by": "backfill"})
    assert web.posts == []


def test_a_killed_run_is_told_by_the_next_one_before_all_is_well_again(
    told: House, web: WebServer
) -> None:
    ran(told, Outcome.RUNNING, datetime.now(UTC) - HOUR, stage_under_way="identity", process=1)
    told.run(work)
    assert headings(web) == [
        ["A run was killed in identity"],
        ["Recovered: A run was killed in identity"],
    ]


@pytest.mark.parametrize("who", ["cron", "sensor"])
def test_killed_runs_and_a_late_release_are_told_without_a_run(
    told: House, web: WebServer, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the scheduler is dead; nobody else is in the installation then."""
    long_ago = datetime.now(UTC) - 27 * HOUR
    ran(told, Outcome.RELEASED, long_ago)
    ran(told, Outcome.RUNNING, long_ago + HOUR, stage_under_way="marts", process=1)
    monkeypatch.setenv("WAREHOUSE_HOME", str(told.home))

    def ask() -> str:
        if who == "cron":
            outcome = told.warehouse("alerts", "--check")
            assert outcome.exit_code == 0
            return outcome.output
        (sensor,) = alerts_sensor(told.settings)
        return str(sensor(dg.build_sensor_context()))

    assert "alerts went out by webhook: the server answered 200 ok" in ask()
    assert headings(web) == [["A run was killed in marts", "The release is late"]]
    assert "alerts went out" not in ask()


def test_without_a_channel_dagster_has_no_sensor_of_alerts(house: House) -> None:
    assert alerts_sensor(house.settings) == ()


def test_nobody_is_told_of_a_run_that_is_under_way(told: House, web: WebServer) -> None:
    ran(told, Outcome.RELEASED, datetime.now(UTC) - HOUR)
    with only_one_run(told.settings):
        ran(told, Outcome.RUNNING, datetime.now(UTC))
        assert told.warehouse("alerts", "--check").exit_code == 0
    assert web.posts == []


# --- the verb -----------------------------------------------------------------------------------


def test_a_test_goes_through_every_channel_and_says_what_each_server_answered(
    told: House, web: WebServer, mail: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_ALERT_SMTP", f"smtp://localhost:{mail.port}")
    monkeypatch.setenv("WAREHOUSE_ALERT_TO", "ops@x.test")
    tried = told.warehouse("alerts", "--test")
    assert tried.exit_code == 0
    assert "webhook: sent, the server answered 200 ok" in tried.output
    assert "e-mail: sent, the server took it for 1 of 1 recipients" in tried.output
    assert "Alerts of this installation will arrive here." in web.texts[0]
    web.answer(Answer(403, body=b"invalid_token"))
    tried = told.warehouse("alerts", "--test")
    assert tried.exit_code == 1
    assert "webhook: NOT sent, the server answered 403 invalid_token" in tried.output
    assert PATH not in tried.output
    assert not (told.home / "alerts.json").exists()


def test_without_a_channel_the_verb_lists_and_says_how_to_set_one_up(house: House) -> None:
    ran(house, Outcome.RELEASED, datetime.now(UTC))
    listed = house.warehouse("alerts")
    assert listed.exit_code == 0
    assert "Nothing needs an alert." in listed.output
    assert "neither WAREHOUSE_ALERT_WEBHOOK nor WAREHOUSE_ALERT_SMTP is set" in listed.output
    assert house.warehouse("alerts", "--check").exit_code == 1
    assert house.warehouse("alerts", "--test").exit_code == 1
    ran(house, Outcome.CRASHED, datetime.now(UTC) + HOUR)
    listed = house.warehouse("alerts")
    assert listed.exit_code == 1
    assert "A run crashed in no stage (run_failed)" in listed.output


def test_a_wrong_setting_is_refused_and_not_repeated(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_ALERT_WEBHOOK", f"http://hooks.slack.com{PATH}")
    refused = house.warehouse("doctor")
    assert refused.exit_code == 2
    assert "WAREHOUSE_ALERT_WEBHOOK=…" in refused.output
    assert PATH not in refused.output


def test_doctor_finds_a_secret_that_others_may_read(
    told: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "alerts: by webhook" in told.warehouse("doctor").output
    file = tmp_path / "webhook"
    file.write_text(os.environ["WAREHOUSE_ALERT_WEBHOOK"])
    file.chmod(0o644)
    monkeypatch.setenv("WAREHOUSE_ALERT_WEBHOOK", f"@{file}")
    found = told.warehouse("doctor")
    assert found.exit_code == 1
    assert "the file that WAREHOUSE_ALERT_WEBHOOK names may be read by others" in found.output


def test_what_is_told_is_in_no_log_of_a_library(
    told: House, caplog: pytest.LogCaptureFixture
) -> None:
    ran(told, Outcome.CRASHED)
    with caplog.at_level(logging.DEBUG):
        tell(told.settings, NOW)
    assert PATH not in caplog.text
