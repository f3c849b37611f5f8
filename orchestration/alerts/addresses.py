"""Where alerts go: a webhook, a mail server and its recipients, as settings name them.

Settings checks them when it is made, so nothing is imported here that costs time. A ValueError says
what was expected and never repeats what was given: a webhook's URL is a secret.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

_ADDRESS = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
)
_PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


class SecretError(Exception):
    """A secret cannot be read; the sentence says where it should be and what to do."""


@dataclass(frozen=True)
class MailServer:
    """A mail server, and the user who logs in; nobody does when it is empty.

    scheme: `smtps` is TLS from the first byte, `smtp` STARTTLS, `smtp+plain` neither.
    """

    scheme: str
    host: str
    port: int
    user: str

    @property
    def is_here(self) -> bool:
        """Whether no network lies between."""
        return is_loopback(self.host)


def check_webhook(text: str) -> str:
    """Return the URL of a webhook, or the `@/path` of the file that holds it, as it was given."""
    if text.startswith("@"):
        _check_path(text)
        return text
    url = _split(text, "https://hooks.slack.com/services/…, or @/path/of/a/file that holds the URL")
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
        raise ValueError("expected a URL that begins with https://; http:// leads to this machine")
    return text


def check_password(text: str) -> str:
    """Return a password, or the `@/path` of the file that holds it, as it was given."""
    if text.startswith("@"):
        _check_path(text)
    return text


def parse_server(text: str) -> MailServer:
    """Return the server that `smtp://user@host:587` names."""
    url = _split(text, "smtp://user@host:587, smtps://user@host:465 or smtp+plain://host:25")
    if url.scheme not in _PORTS:
        raise ValueError("expected a URL that begins with smtp://, smtps:// or smtp+plain://")
    if url.password is not None:
        raise ValueError("the password does not belong into it: set WAREHOUSE_ALERT_PASSWORD")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("expected nothing after the host and its port")
    server = MailServer(
        scheme=url.scheme,
        host=url.hostname or "",
        port=url.port or _PORTS[url.scheme],
        user=unquote(url.username or ""),
    )
    if server.scheme == "smtp+plain" and server.user and not server.is_here:
        raise ValueError("a password is not sent in the clear: write smtp:// or smtps://")
    return server


def parse_addresses(text: str) -> tuple[str, ...]:
    """Return the e-mail addresses of a list with commas."""
    addresses = tuple(part.strip() for part in text.split(",") if part.strip())
    if not addresses or not all(_ADDRESS.fullmatch(address) for address in addresses):
        raise ValueError("expected e-mail addresses with commas between them")
    return addresses


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def revealed(given: str, variable: str) -> str:
    """Return the secret that a setting holds, read from its file when it names one.

    Raises SecretError when the file cannot be read, is open to others or is empty.
    """
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise SecretError(f"the file that {variable} names cannot be read ({reason})") from None
    if mode & 0o077:
        raise SecretError(
            f"the file that {variable} names may be read by others (mode {mode & 0o777:04o}); "
            "close it with chmod 600"
        )
    if not text:
        raise SecretError(f"the file that {variable} names is empty")
    return text


def _check_path(text: str) -> None:
    if not Path(text[1:]).is_absolute() or not text.isprintable():
        raise ValueError("expected the whole path of a file after @")


def _split(text: str, expected: str) -> SplitResult:
    try:
        url = urlsplit(text)
        has_host = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        has_host = False
    if not has_host or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"expected a URL such as {expected}")
    return url
