"""Webhook and e-mail against servers of this machine: what arrives, and what goes wrong."""

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from orchestration.alerts import channels as module
from orchestration.alerts.addresses import parse_server
from orchestration.alerts.channels import Channel, DeliveryError, Mail, Webhook, channels
from orchestration.alerts.telling import deliver
from orchestration.alerts.troubles import Message
from orchestration.settings import Settings
from tests.alerts.servers import PASSWORD, PATH, USER, Answer, MailBox, WebServer, mail_server

MESSAGE = Message("[warehouse here] Späte <Lieferung>", (("shop/orders is late", ("5 < 6 & 7",)),))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSES_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)


@pytest.fixture(autouse=True)
def no_url_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    said = " ".join(record.getMessage() for record in caplog.get_records("call"))
    assert PATH not in said
    assert PASSWORD not in said


def why_not(channel: Channel) -> str:
    with pytest.raises(DeliveryError) as error:
        channel.send(MESSAGE)
    assert PATH not in str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return str(error.value)


# --- webhook ------------------------------------------------------------------------------------


def test_a_webhook_gets_what_slack_understands(web: WebServer) -> None:
    assert Webhook(web.url).send(MESSAGE) == "the server answered 200 ok"
    assert web.paths == [PATH]
    assert web.posts == [
        {
            "text": (
                "[warehouse here] Späte &lt;Lieferung&gt;\n\nshop/orders is late\n5 &lt; 6 &amp; 7"
            ),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "shop/orders is late"}},
                {"type": "section", "text": {"type": "mrkdwn", "text": "5 &lt; 6 &amp; 7"}},
            ],
        }
    ]


def test_too_many_requests_are_waited_for_as_long_as_the_server_asks(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answer(Answer(429, headers={"Retry-After": "1"}), Answer())
    Webhook(web.url).send(MESSAGE)
    assert len(web.posts) == 2
    assert web.times[1] - web.times[0] >= 1


def test_who_asks_to_wait_for_long_is_left_alone_until_then(web: WebServer) -> None:
    web.answer(Answer(429, headers={"Retry-After": "999999"}))
    with pytest.raises(DeliveryError, match="the server answered 429") as error:
        Webhook(web.url).send(MESSAGE)
    assert error.value.wait_seconds == 3600
    assert len(web.posts) == 1


def test_a_server_that_fails_for_a_moment_is_tried_again(web: WebServer) -> None:
    web.answer(Answer(500), Answer(503, body=b"<html>"), Answer())
    assert Webhook(web.url).send(MESSAGE) == "the server answered 200 ok"
    assert len(web.posts) == 3


def test_after_three_attempts_it_is_left_for_the_next_time(web: WebServer) -> None:
    web.answer(Answer(500, body=PATH.encode()))
    assert why_not(Webhook(web.url)) == "the server answered 500"
    assert len(web.posts) == 3


def test_what_is_wrong_for_good_is_not_tried_again(web: WebServer) -> None:
    web.answer(Answer(404, body=b"no_service"))
    assert why_not(Webhook(web.url)) == "the server answered 404 no_service"
    assert len(web.posts) == 1


def test_a_redirect_is_not_followed(web: WebServer) -> None:
    web.answer(Answer(302, headers={"Location": web.url}))
    assert "leads elsewhere (302 ok), which is not followed" in why_not(Webhook(web.url))
    assert len(web.paths) == 1


def test_a_server_that_takes_the_message_and_never_answers_is_not_told_twice(
    web: WebServer,
) -> None:
    web.answer(Answer(0, seconds=5))
    began = time.monotonic()
    assert "no answer" in why_not(Webhook(web.url))
    assert time.monotonic() - began < 2
    assert len(web.posts) == 1


def test_where_no_server_is_that_is_said_without_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert why_not(Webhook(f"http://127.0.0.1:{port}{PATH}")) == "the server cannot be reached"


def test_a_server_that_drips_bytes_is_given_up_all_the_same() -> None:
    class Endless:
        name = "endless"

        def send(self, message: Message) -> str:
            time.sleep(5)
            return "done"

    began = time.monotonic()
    answers = deliver({Endless(): MESSAGE}, seconds=0.2)
    assert str(answers["endless"]) == "it was not done within 0 s"
    assert time.monotonic() - began < 2


def test_an_error_that_nobody_foresaw_is_told_by_its_class_alone(web: WebServer) -> None:
    class Broken:
        name = "broken"

        def send(self, message: Message) -> str:
            raise KeyError(web.url)

    assert str(deliver({Broken(): MESSAGE})["broken"]) == "KeyError"


def test_a_url_in_a_file_is_read_when_only_its_owner_may(web: WebServer, tmp_path: Path) -> None:
    file = tmp_path / "webhook"
    assert "cannot be read" in why_not(Webhook(f"@{file}"))
    file.write_text(f"{web.url}\n")
    file.chmod(0o644)
    assert "may be read by others (mode 0644)" in why_not(Webhook(f"@{file}"))
    file.chmod(0o600)
    assert Webhook(f"@{file}").send(MESSAGE)
    file.write_text("http://example.test/services/x")
    assert "begins with https://" in why_not(Webhook(f"@{file}"))


# --- e-mail -------------------------------------------------------------------------------------


def through(box: MailBox, scheme: str = "smtp", user: str = "", password: str = "") -> Mail:
    at = f"{user}@" if user else ""
    server = parse_server(f"{scheme}://{at}localhost:{box.port}")
    return Mail(server, password, "warehouse@x.test", ("ops@x.test", "data@x.test"))


def test_an_e_mail_arrives_with_its_subject_in_any_script(mail: MailBox) -> None:
    said = through(mail).send(MESSAGE)
    assert said == "the server took it for 2 of 2 recipients"
    (arrived,) = mail.mails
    assert arrived["Subject"] == MESSAGE.subject
    assert arrived["From"] == "warehouse@x.test"
    assert arrived["Auto-Submitted"] == "auto-generated"
    assert arrived["Message-ID"].endswith("@x.test>")
    assert mail.recipients == ["ops@x.test", "data@x.test"]
    assert arrived.get_content().splitlines() == ["shop/orders is late", "5 < 6 & 7"]


def test_a_server_with_tls_and_users_gets_the_password_through_tls_alone(
    strict_mail: MailBox, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not trusted: self-signed certificate" in why_not(through(strict_mail, user=USER))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(PASSWORD)
    through(strict_mail, user=USER, password=f"@{password}").send(MESSAGE)
    assert strict_mail.was_encrypted
    assert strict_mail.user == USER
    wrong = through(strict_mail, user=USER, password="wrong")
    assert why_not(wrong) == "the server refuses user or password (535)"
    assert "ASCII" in why_not(through(strict_mail, user=USER, password="pässword"))
    assert "530" in why_not(through(strict_mail, "smtp+plain"))
    assert len(strict_mail.mails) == 1


def test_a_server_that_begins_with_tls_is_spoken_to_in_it(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with mail_server(MailBox(), ssl_context=context) as box:
        assert "not trusted" in why_not(through(box, "smtps"))
        assert "did not answer in time" in why_not(through(box, "smtp"))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        through(box, "smtps").send(MESSAGE)
    assert len(box.mails) == 1


def test_a_server_elsewhere_without_tls_gets_nothing(
    mail: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.alerts.addresses.is_loopback", lambda host: False)
    assert "offers no STARTTLS" in why_not(through(mail))
    through(mail, "smtp+plain").send(MESSAGE)
    assert len(mail.mails) == 1


def test_recipients_that_are_refused_are_counted_and_not_named(mail: MailBox) -> None:
    mail.refused = ("ops@x.test",)
    assert through(mail).send(MESSAGE) == "the server took it for 1 of 2 recipients"
    mail.refused = ("ops@x.test", "data@x.test")
    assert why_not(through(mail)) == "every recipient was refused (550)"


def test_a_mail_server_that_is_away_or_silent_is_told(mail: MailBox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        box = MailBox(port=silent.getsockname()[1])
        assert "did not answer in time" in why_not(through(box))
    assert "cannot be reached" in why_not(through(box))


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alert_webhook": f"http://hooks.slack.com{PATH}"}, "begins with https://"),
        ({"alert_webhook": PATH}, "expected a URL such as"),
        ({"alert_webhook": f"https://x.test{PATH}\nHost: y"}, "expected a URL such as"),
        ({"alert_webhook": "@relative/path"}, "the whole path of a file"),
        ({"alert_smtp": f"smtp://u:{PASSWORD}@h", "alert_to": "a@x.test"}, "does not belong"),
        ({"alert_smtp": "http://h", "alert_to": "a@x.test"}, "begins with smtp://"),
        ({"alert_smtp": "smtp://h:0", "alert_to": "a@x.test"}, "expected a URL such as"),
        ({"alert_smtp": "smtp://h/path", "alert_to": "a@x.test"}, "nothing after the host"),
        ({"alert_smtp": "smtp+plain://u@h", "alert_to": "a@x.test"}, "in the clear"),
        ({"alert_smtp": "smtp://h"}, "WAREHOUSE_ALERT_TO"),
        ({"alert_to": "a@x.test"}, "WAREHOUSE_ALERT_TO"),
        ({"alert_smtp": "smtp://u@h", "alert_to": "a@x.test"}, "the user in"),
        ({"alert_password": PASSWORD}, "the user in"),
        ({"alert_to": "a@x.test\nBcc: b@x.test", "alert_smtp": "smtp://h"}, "e-mail addresses"),
        ({"alert_from": "a@x.test, b@x.test"}, "one e-mail address"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_without_repeating_it(
    settings: dict[str, str], said: str
) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(settings)
    assert said in str(error.value)
    assert PATH not in str(error.value)
    assert PASSWORD not in str(error.value)


def test_settings_name_the_channels_and_show_no_secret() -> None:
    settings = Settings(
        alert_webhook=SecretStr(f"https://hooks.slack.com{PATH}"),
        alert_smtp="smtps://alerts%40x.test@mail.x.test",
        alert_to="ops@x.test, data@x.test",
        alert_password=SecretStr(PASSWORD),
    )
    webhook, mail = channels(settings)
    assert isinstance(webhook, Webhook)
    assert isinstance(mail, Mail)
    assert (mail.server.user, mail.server.port) == ("alerts@x.test", 465)
    assert mail.sender == "ops@x.test"
    shown = repr([settings, webhook, mail]) + str(settings.model_dump())
    assert PATH not in shown
    assert PASSWORD not in shown
    assert channels(Settings()) == ()
