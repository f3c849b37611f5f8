"""The ways a message goes out: a webhook that understands Slack's JSON, and e-mail.

What a server says may repeat an address or the URL, and errors of the libraries do; so only codes
and sentences of ours come out of here.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from orchestration.alerts.addresses import (
    MailServer,
    SecretError,
    check_webhook,
    is_loopback,
    parse_addresses,
    parse_server,
    revealed,
)
from orchestration.alerts.troubles import Message
from orchestration.settings import Settings

if TYPE_CHECKING:
    import requests

# A server that answers at all answers in a fraction of that.
TIMEOUT_SECONDS = 10.0
_PAUSES_SECONDS = (1.0, 3.0)
# Longer waits are left to the next run or tick, and no server can ask for more than an hour.
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 3600.0
# What Slack allows: a header of 150 characters, a section of 3,000.
_SECTION_CHARACTERS = 3000
# Slack's codes, such as invalid_token; any other text of a server is not repeated.
_CODE = re.compile(rb"[a-z_]{2,40}")


class DeliveryError(Exception):
    """A message could not be delivered; the sentence names no address and no secret.

    wait_seconds: for how long the server asks to be left alone.
    """

    def __init__(self, sentence: str, wait_seconds: float = 0.0) -> None:
        super().__init__(sentence)
        self.wait_seconds = min(wait_seconds, _LONGEST_WAIT_SECONDS)


class Channel(Protocol):
    """A way for messages. name: as people read it, and as `alerts.json` keeps it."""

    @property
    def name(self) -> str:
        """`webhook` or `e-mail`."""

    def send(self, message: Message) -> str:
        """Deliver a message and return what the server answered. Raises DeliveryError."""


def channels(settings: Settings) -> tuple[Channel, ...]:
    """Return the channels that are set up."""
    found: list[Channel] = []
    if url := settings.alert_webhook.get_secret_value():
        found.append(Webhook(url))
    if settings.alert_smtp:
        to = parse_addresses(settings.alert_to)
        found.append(
            Mail(
                server=parse_server(settings.alert_smtp),
                password=settings.alert_password.get_secret_value(),
                sender=settings.alert_from or to[0],
                to=to,
            )
        )
    return tuple(found)


# --- webhook ------------------------------------------------------------------------------------


class Webhook:
    """A URL that takes a POST of JSON as Slack, Mattermost and others do; whoever has it may post.

    given: the URL, or `@` and the file that holds it.
    """

    name = "webhook"

    def __init__(self, given: str) -> None:
        self._given = given

    def send(self, message: Message) -> str:
        """Deliver a message; too many requests, a failing server and no answer are tried thrice."""
        url = self._url()
        for pause in (*_PAUSES_SECONDS, None):
            answer, retry_after = self._post(url, payload(message))
            if answer is None:
                problem = "the server cannot be reached"
            elif answer.startswith("200") or answer[:3] in {"201", "202", "204"}:
                return f"the server answered {answer}"
            elif answer[:1] == "3":
                raise DeliveryError(f"the server leads elsewhere ({answer}), which is not followed")
            elif answer[:3] != "429" and answer[:1] != "5":
                raise DeliveryError(f"the server answered {answer}")
            else:
                problem = f"the server answered {answer}"
            wait = max(pause or 0.0, retry_after)
            if pause is None or wait > _LONGEST_PAUSE_SECONDS:
                raise DeliveryError(problem, retry_after)
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _url(self) -> str:
        try:
            return check_webhook(revealed(self._given, "WAREHOUSE_ALERT_WEBHOOK"))
        except SecretError as error:
            raise DeliveryError(str(error)) from None
        except ValueError as error:
            raise DeliveryError(f"the file of WAREHOUSE_ALERT_WEBHOOK: {error}") from None

    def _post(self, url: str, content: Mapping[str, Any]) -> tuple[str | None, float]:
        """Return the status with Slack's code, None when there is no server; and Retry-After."""
        import requests  # noqa: PLC0415 - 0.1 s

        with requests.Session() as session, _without_log_of_urls():
            # a proxy of the network knows nothing of this machine
            session.trust_env = not is_loopback(urlsplit(url).hostname or "")
            try:
                with session.post(
                    url,
                    json=content,
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,
                    stream=True,
                    auth=_no_password_from_netrc,
                ) as response:
                    beginning = next(response.iter_content(64), b"")
                    code = beginning.strip().decode() if _CODE.fullmatch(beginning.strip()) else ""
                    return f"{response.status_code} {code}".strip(), _retry_after(response)
            except requests.exceptions.SSLError:
                raise DeliveryError("the certificate of the server is not trusted") from None
            except requests.exceptions.ReadTimeout:
                # it may have been delivered: not again before the next run or tick
                raise DeliveryError(f"no answer within {TIMEOUT_SECONDS:.0f} s") from None
            except requests.exceptions.RequestException:
                return None, 0.0


def payload(message: Message) -> dict[str, Any]:
    """Return a message as Slack takes it: blocks, and a text for who does not show these."""
    blocks: list[dict[str, Any]] = []
    for heading, lines in message.sections:
        blocks.append({"type": "header", "text": {"type": "plain_text", "text": heading}})
        said = _escaped("\n".join(lines))[:_SECTION_CHARACTERS]
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": said}})
    return {"text": _escaped(f"{message.subject}\n\n{message.text}"), "blocks": blocks}


def _escaped(text: str) -> str:
    """Slack reads <!channel>, <@U1> and <https://…|a link> in texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _retry_after(response: "requests.Response") -> float:
    """Seconds that a server asks to wait; a date is not worth a parser."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if re.fullmatch(r"[0-9]{1,6}", asked) else 0.0


def _no_password_from_netrc(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
    return request


@contextmanager
def _without_log_of_urls() -> Iterator[None]:
    """urllib3 logs the path of each request, and of each that failed; here the path is a secret."""
    loggers = [logging.getLogger(f"urllib3.{name}") for name in ("connectionpool", "util.retry")]

    def drop(record: logging.LogRecord) -> bool:  # noqa: ARG001
        return False

    for logger in loggers:
        logger.addFilter(drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(drop)


# --- e-mail -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mail:
    """A mail server and whom it writes to. password: itself, or `@` and the file that holds it."""

    server: MailServer
    password: str
    sender: str
    to: tuple[str, ...]
    name = "e-mail"

    def __repr__(self) -> str:
        return f"Mail({len(self.to)} recipients)"

    def send(self, message: Message) -> str:
        """Deliver a message once; a mail server queues, so nothing is tried twice."""
        import smtplib  # noqa: PLC0415 - with ssl 0.05 s
        import ssl  # noqa: PLC0415

        context = ssl.create_default_context()
        try:
            password = revealed(self.password, "WAREHOUSE_ALERT_PASSWORD")
            where = (self.server.host, self.server.port)
            with (
                smtplib.SMTP_SSL(*where, timeout=TIMEOUT_SECONDS, context=context)
                if self.server.scheme == "smtps"
                else smtplib.SMTP(*where, timeout=TIMEOUT_SECONDS)
            ) as session:
                session.ehlo()
                if self.server.scheme == "smtp":
                    self._start_tls(session, context)
                if self.server.user:
                    session.login(self.server.user, password)
                refused = session.send_message(self._written(message))
        except SecretError as error:
            raise DeliveryError(str(error)) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or "no TLS could be agreed on"
            raise DeliveryError(f"the server is not trusted: {reason}") from None
        except smtplib.SMTPAuthenticationError as error:
            raise DeliveryError(
                f"the server refuses user or password ({error.smtp_code})"
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({str(code) for code, _ in error.recipients.values()})
            raise DeliveryError(f"every recipient was refused ({', '.join(codes)})") from None
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(f"the server answered {error.smtp_code}") from None
        except smtplib.SMTPServerDisconnected:
            raise DeliveryError("the server hung up, or did not answer in time") from None
        except smtplib.SMTPException as error:
            raise DeliveryError(f"the server does not go on ({type(error).__name__})") from None
        except UnicodeEncodeError:
            raise DeliveryError("user or password are not ASCII, which SMTP cannot send") from None
        except TimeoutError:
            raise DeliveryError(f"no answer within {TIMEOUT_SECONDS:.0f} s") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DeliveryError(f"the server cannot be reached ({reason})") from None
        taken = len(self.to) - len(refused)
        return f"the server took it for {taken} of {len(self.to)} recipients"

    def _start_tls(self, session: Any, context: Any) -> None:
        if session.has_extn("starttls"):
            session.starttls(context=context)
            session.ehlo()
        elif not self.server.is_here:
            raise DeliveryError(
                "the server offers no STARTTLS; write smtps:// for one that begins with TLS, or "
                "smtp+plain:// to send in the clear"
            )

    def _written(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=self.sender.partition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"  # so that nobody's absence is answered to us
        mail.set_content(message.text + "\n")
        return mail
