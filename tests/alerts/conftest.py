"""Servers of this machine that alerts are sent to, and an installation that sends them."""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.alerts.servers import MailBox, WebServer, mail_server, web_server
from tests.conftest import Installation
from tests.operations.conftest import House


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server."""
    with web_server() as served:
        yield served


@pytest.fixture
def mail() -> Iterator[MailBox]:
    """A mail server without TLS and users."""
    with mail_server(MailBox()) as box:
        yield box


@pytest.fixture
def strict_mail(certificate: Path) -> Iterator[MailBox]:
    """A mail server that takes mail from its user alone, after STARTTLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    box = MailBox()
    with mail_server(
        box, tls_context=context, require_starttls=True, auth_required=True, authenticator=box.login
    ):
        yield box


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that only who has it trusts; its key is beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mail server")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "mail.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An installation with one file in its landing."""
    installation = Installation(tmp_path / "landing", tmp_path / "home")
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1", "email": "a@x.test"}])
    installation.home.mkdir()
    return House(installation)
