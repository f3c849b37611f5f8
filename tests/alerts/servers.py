"""A web server and a mail server on this machine, which answer as a test tells them to."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PATH = "/services/T0/B0/a-secret"
USER, PASSWORD = "alerts", "pass-word-of-the-server"


@dataclass
class Answer:
    """status 0: none within `seconds`."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class WebServer:
    """answers: in order, the last one again and again. posts: what came, with the time."""

    url: str = ""
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    posts: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def answer(self, *answers: Answer) -> None:
        self.answers = list(answers)

    @property
    def texts(self) -> list[str]:
        return [post["text"] for post in self.posts]


@contextmanager
def web_server() -> Iterator[WebServer]:
    """A server on a free port, which answers 200 unless it is told something else."""
    served = WebServer()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            served.posts.append(json.loads(content))
            served.paths.append(self.path)
            served.times.append(time.monotonic())
            answer = served.answers.pop(0) if len(served.answers) > 1 else served.answers[0]
            over.wait(answer.seconds)
            if answer.status:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        def do_GET(self) -> None:
            served.paths.append(self.path)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}{PATH}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class MailBox:
    """mails: what came; refused: recipients that the server does not take."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    was_encrypted: bool = False
    user: str = ""

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return f"550 no mailbox {address} here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        self.was_encrypted = session.ssl is not None
        return "250 taken"

    def login(self, server: SMTP, session: Session, envelope: Envelope, how: str, data: Any) -> Any:
        self.user = data.login.decode() if isinstance(data, LoginPassword) else ""
        is_right = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
        return AuthResult(success=is_right, handled=False)


class _AnyPort(Controller):
    """On a port that is free; its base asks the server whether it is there, and has to know it."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(box: MailBox, **how: Any) -> Iterator[MailBox]:
    """A server on a free port; how: what aiosmtpd takes."""
    controller = _AnyPort(box, hostname="127.0.0.1", port=0, **how)
    controller.start()
    box.port = controller.port
    yield box
    controller.stop(no_assert=True)
