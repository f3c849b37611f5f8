"""Who may open the dashboard: users and their passwords, doors, waits, and what the log keeps."""

import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestration.backups import archive
from orchestration.dashboard import access
from orchestration.dashboard.access import (
    COLUMNS,
    UNKNOWN,
    AccessError,
    Attempts,
    Door,
    RefusedError,
    Role,
    User,
    Visitor,
    as_name,
    choose_door,
    hash_password,
    is_from_here,
    is_password,
    read_door,
    read_users,
    sign_in,
    user_named,
    visitor_from_here,
)
from orchestration.privacy.access_log import account, read_log
from orchestration.privacy.scanning import Scanner
from orchestration.privacy.tombstones import FORGOTTEN, PrivacyError
from orchestration.settings import Settings
from tests.conftest import Installation, Outcome

PASSWORD = "correct horse battery"
CHANGED = "2026-06-30T09:15:00.000000Z"


class Typed(io.StringIO):
    """What is typed, or piped."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, landing=tmp_path / "landing")


@dataclass
class Warehouse:
    """A `warehouse` command that is given what is typed. started: what it would have become."""

    settings: Settings
    patch: pytest.MonkeyPatch
    tls: Mapping[str, str]
    started: list[tuple[list[str], Mapping[str, str]]] = field(default_factory=list)

    def __call__(self, *arguments: str, typed: str = "") -> Outcome:
        self.patch.setattr(sys, "stdin", Typed(typed))
        named = [self.tls.get(given, given) for given in arguments]
        return Installation(self.settings.landing, self.settings.home).warehouse(*named)

    def start(self, program: str, command: list[str], environment: Mapping[str, str]) -> int:
        self.started.append((command, environment))
        return 0


@pytest.fixture
def warehouse(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tls: Mapping[str, str]
) -> Warehouse:
    given = Warehouse(settings, monkeypatch, tls)
    monkeypatch.setattr(os, "execve", given.start)
    monkeypatch.setattr(os, "chdir", lambda folder: None)
    monkeypatch.setattr(os, "umask", lambda mask: None)
    return given


def write_users(settings: Settings, *lines: Sequence[str]) -> None:
    """Write the file of users. lines: name, role, password; the hashes cost next to nothing."""
    with settings.dashboard_users.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, role, password in lines:
            hashed = hash_password(password, n=2) if password else ""
            writer.writerow([name, role, hashed, CHANGED])
    settings.dashboard_users.chmod(0o600)


# --- roles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "sees_people", "decides"),
    [(Role.VIEWER, False, False), (Role.MASKED, True, False), (Role.STEWARD, True, True)],
)
def test_a_role_sees_what_it_is_for(role: Role, sees_people: bool, decides: bool) -> None:
    visitor = Visitor("Eva", role)
    assert (visitor.sees_people, visitor.decides) == (sees_people, decides)


# --- passwords ----------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORD, "pässwörter, viele", "💥" * 12, " blanks count "])
def test_a_password_is_known_by_its_hash_and_no_other_is(password: str) -> None:
    hashed = hash_password(password, n=2)
    assert password not in hashed
    assert is_password(password, hashed)
    for other in ("", password + " ", password[:-1], password.swapcase() + "x"):
        assert not is_password(other, hashed)


def test_equal_passwords_have_unequal_hashes() -> None:
    assert hash_password(PASSWORD, n=2) != hash_password(PASSWORD, n=2)


def test_a_letter_that_was_typed_in_two_parts_is_the_same_letter() -> None:
    assert is_password("cafe\u0301 au lait ..", hash_password("caf\u00e9 au lait ..", n=2))
    assert as_name(" Zoe\u0308 ") == "Zo\u00eb"


def test_a_password_longer_than_any_is_not_hashed_and_wrong() -> None:
    assert not is_password("x" * 100_000, hash_password("x" * 100_000, n=2))
    assert not is_password("x" * 100_000, hash_password("", n=2))


@pytest.mark.parametrize("text", ["", "scrypt$2$8$3$00$00", "md5$x", "scrypt$3$8$3${salt}${hash}"])
def test_a_text_that_is_no_hash_is_nobodys_password(text: str) -> None:
    given = text.format(salt="0" * 32, hash="0" * 64)
    assert not is_password(PASSWORD, given)
    assert not is_password("", given)


# --- the file of users --------------------------------------------------------------------------


def test_what_is_set_is_read_and_only_the_owner_may_read_it(
    settings: Settings, warehouse: Warehouse
) -> None:
    typed = f"{PASSWORD}\n"
    added = warehouse("dashboard-users", "set", " Eva Lind ", "--role", "steward", typed=typed)
    proxied = warehouse("dashboard-users", "set", "ann@x.test", "--role=viewer", "--no-password")
    assert (added.exit_code, proxied.exit_code) == (0, 0)
    assert settings.dashboard_users.stat().st_mode & 0o777 == 0o600
    users = read_users(settings)
    assert users is not None
    assert {user.visitor for user in users.values()} == {
        Visitor("Eva Lind", Role.STEWARD),
        Visitor("ann@x.test", Role.VIEWER),
    }
    assert is_password(PASSWORD, users["Eva Lind"].password_hash)
    listed = warehouse("dashboard-users").output
    for user in users.values():
        assert user.name in listed
        assert user.role in listed
    assert "scrypt" not in listed + added.output + repr(users)
    assert PASSWORD not in listed + added.output


def test_a_change_takes_the_place_of_the_line_and_a_removal_takes_it_away(
    settings: Settings, warehouse: Warehouse
) -> None:
    write_users(settings, ("Eva", "steward", PASSWORD), ("Ann", "viewer", PASSWORD))
    before = (read_users(settings) or {})["Eva"]
    warehouse("dashboard-users", "set", "Eva", "--role", "masked", "--no-password")
    after = (read_users(settings) or {})["Eva"]
    assert after.role is Role.MASKED
    assert after != before
    assert before.password_hash not in settings.dashboard_users.read_text()
    assert warehouse("dashboard-users", "remove", "Eva").exit_code == 0
    assert set(read_users(settings) or {}) == {"Ann"}
    assert warehouse("dashboard-users", "remove", "Eva").exit_code == 1
    last = warehouse("dashboard-users", "remove", "Ann")
    assert "Nobody can open the dashboard now" in last.output
    assert read_users(settings) == {}


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("Eva", "elevenchars\n", "at least 12 characters"),
        ("Eva", "", "at least 12 characters"),
        ("Eva", "x" * 1001 + "\n", "at most 1,000 characters"),
        (" ", f"{PASSWORD}\n", "the name is empty"),
        ("E" * 101, f"{PASSWORD}\n", "at most 100 fit"),
        ("Eva\x1b[31m", f"{PASSWORD}\n", "cannot be printed"),
        (FORGOTTEN, f"{PASSWORD}\n", "what an erasure leaves"),
    ],
)
def test_a_user_who_cannot_be_added_is_told_why(
    settings: Settings, warehouse: Warehouse, name: str, typed: str, said: str
) -> None:
    outcome = warehouse("dashboard-users", "set", name, "--role", "viewer", typed=typed)
    assert outcome.exit_code == 1
    assert said in outcome.output
    assert read_users(settings) is None


def test_a_terminal_is_asked_twice(
    settings: Settings, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Typed, "isatty", lambda self: True)
    answers = iter([PASSWORD, "another one, wrong", PASSWORD, PASSWORD])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    differing = warehouse("dashboard-users", "set", "Eva", "--role", "viewer")
    assert "the two passwords differ" in differing.output
    assert read_users(settings) is None
    assert warehouse("dashboard-users", "set", "Eva", "--role", "viewer").exit_code == 0
    assert is_password(PASSWORD, (read_users(settings) or {})["Eva"].password_hash)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Eva,admin,,{at}", "role 'admin' is none; the roles are viewer, masked, steward"),
        ("Eva,viewer,scrypt$2$8$3$00,{at}", "password_hash is not as it was written"),
        ("Eva,viewer,scrypt$1048576$99$3${salt}${hash},{at}", "password_hash is not"),
        ("Eva,viewer,,yesterday", "changed_at 'yesterday' is no time"),
        (",viewer,,{at}", "the name is empty"),
        ("Eva,viewer", "2 fields"),
        ("Eva,viewer,,{at}\nEva,steward,,{at}", "'Eva' is there twice"),
    ],
)
def test_a_line_that_was_tampered_with_lets_nobody_in_and_is_named(
    settings: Settings, warehouse: Warehouse, line: str, said: str
) -> None:
    text = line.format(at=CHANGED, salt="0" * 32, hash="0" * 64)
    write_users(settings, ("Ann", "steward", PASSWORD))
    with settings.dashboard_users.open("a") as file:
        file.write(f"{text}\n")
    number = 3 + text.count("\n")
    with pytest.raises(AccessError, match=f"dashboard_users.csv:{number}: "):
        read_users(settings)
    with pytest.raises(AccessError):
        sign_in(settings, Attempts(), "Ann", PASSWORD)
    for verb in (["dashboard-users"], ["dashboard"], ["dashboard-users", "remove", "Ann"]):
        outcome = warehouse(*verb)
        assert outcome.exit_code == 1
        assert said in outcome.output


@pytest.mark.parametrize("mode", [0o640, 0o602, 0o644])
def test_a_file_that_is_open_to_others_lets_nobody_in(settings: Settings, mode: int) -> None:
    write_users(settings, ("Eva", "steward", PASSWORD))
    settings.dashboard_users.chmod(mode)
    with pytest.raises(AccessError, match="chmod 600"):
        sign_in(settings, Attempts(), "Eva", PASSWORD)


def test_a_user_whom_an_erasure_masked_is_out_and_the_others_stay(settings: Settings) -> None:
    lines = [(name, "viewer", PASSWORD) for name in ("ann@x.test", "bob@x.test", "Eva")]
    write_users(settings, *lines)
    scanner = Scanner(["ann@x.test", "bob@x.test"])
    masked = scanner.masked(settings.dashboard_users.read_bytes(), FORGOTTEN.encode())
    settings.dashboard_users.write_bytes(masked)
    assert set(read_users(settings) or {}) == {"Eva"}
    with pytest.raises(RefusedError):
        user_named(settings, "X-Forwarded-User", [FORGOTTEN])


def test_a_backup_holds_the_users(settings: Settings) -> None:
    write_users(settings, ("Eva", "viewer", PASSWORD))
    assert archive._files(settings)["dashboard_users.csv"] == settings.dashboard_users


# --- signing in ---------------------------------------------------------------------------------


def refusal(settings: Settings, attempts: Attempts, name: str, password: str) -> str:
    with pytest.raises(RefusedError) as refused:
        sign_in(settings, attempts, name, password)
    return str(refused.value)


def test_who_signs_in_or_is_refused_is_noted_and_an_unknown_name_is_not_written_down(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_NOBODYS", hash_password("nobody's password", n=2))
    write_users(settings, ("Eva", "steward", PASSWORD), ("Ann", "viewer", ""))
    attempts = Attempts()
    said = {
        refusal(settings, attempts, "Eva", "wrong password"),
        refusal(settings, attempts, PASSWORD, "Eva"),
        refusal(settings, attempts, "Ann", ""),
        refusal(settings, attempts, "Ann", "wrong password"),
    }
    assert said == {"The name or the password is wrong."}
    assert sign_in(settings, attempts, " Eva ", PASSWORD).visitor == Visitor("Eva", Role.STEWARD)
    log = read_log(settings)
    assert not log.problem
    refused = "refused: wrong name or password"
    assert [(line.by, line.outcome) for line in log.lines] == [
        ("Eva", refused),
        (UNKNOWN, refused),
        ("Ann", refused),
        ("Ann", refused),
        ("Eva", "signed in as steward"),
    ]
    assert PASSWORD not in settings.access_log.read_text()


def test_nobody_is_let_in_whose_visit_cannot_be_noted(settings: Settings) -> None:
    write_users(settings, ("Eva", "steward", PASSWORD))
    settings.access_log.mkdir()
    with pytest.raises(PrivacyError, match="could not be noted"):
        sign_in(settings, Attempts(), "Eva", PASSWORD)


def test_a_name_that_is_nobodys_takes_as_long_as_one_that_is_somebodys() -> None:
    costs = [access._costs(text) for text in (access._NOBODYS, hash_password(PASSWORD))]
    assert costs[0]
    assert costs[1]
    assert costs[0][:3] == costs[1][:3]


@pytest.mark.parametrize("name", ["Eva", "nobody of that name"])
def test_after_five_wrong_passwords_each_wait_is_twice_as_long(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_NOBODYS", hash_password(PASSWORD, n=2))
    write_users(settings, ("Eva", "steward", PASSWORD))
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(5):
        assert "is wrong" in refusal(settings, attempts, name, "wrong password")
    waits = []
    for _ in range(8):
        waits.append(attempts.wait(name))
        for _ in range(3):  # not even the right one is looked at
            assert "Too many" in refusal(settings, attempts, name, PASSWORD)
        now[0] += attempts.wait(name)
        assert "is wrong" in refusal(settings, attempts, name, "wrong password")
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    outcomes = [line.outcome for line in read_log(settings).lines]
    assert outcomes.count("refused: too many wrong passwords") == len(waits)


def test_a_wait_is_of_one_name_and_ends_with_the_right_password(settings: Settings) -> None:
    write_users(settings, ("Eva", "steward", PASSWORD), ("Ann", "viewer", PASSWORD))
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(5):
        refusal(settings, attempts, "Eva", "wrong password")
    assert sign_in(settings, attempts, "Ann", PASSWORD)
    now[0] += attempts.wait("Eva")
    assert sign_in(settings, attempts, "Eva", PASSWORD)
    refusal(settings, attempts, "Eva", "wrong password")
    assert attempts.wait("Eva") == 0


def test_names_without_end_do_not_fill_the_memory() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(10_050):
        attempts.wrong(str(number))
    assert len(attempts._wrong) == 10_000


# --- doors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", [Door(), Door(Role.MASKED), Door(user_header="X-User")])
def test_a_door_goes_through_the_command_line_as_it_is(door: Door) -> None:
    assert read_door(door.arguments) == door


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1:8501", True),
        ("localhost:8501", True),
        ("LOCALHOST", True),
        ("[::1]:8501", True),
        ("evil.test:8501", False),
        ("127.0.0.1.evil.test:8501", False),
        ("10.0.0.4:8501", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_where_nobody_signs_in_the_page_is_asked_for_by_a_name_of_this_machine(
    host: str, is_here: bool
) -> None:
    assert is_from_here({"Host": host}) is is_here
    assert not is_from_here({"Host": host, "X-Forwarded-For": "10.0.0.4"})
    if is_here:
        assert visitor_from_here(Door(Role.VIEWER), {"Host": host}).name == account()
    else:
        with pytest.raises(RefusedError):
            visitor_from_here(Door(Role.VIEWER), {"Host": host})


def test_started_by_hand_without_a_door_nobody_comes_in() -> None:
    with pytest.raises(RefusedError):
        visitor_from_here(read_door([]), {"Host": "127.0.0.1"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "has to say"),
        ([""], "has to say"),
        (["Eva", "Eva"], "has to say"),
        (["Eva, Eva"], "You are signed in as Eva, Eva and have no role"),
        (["eva"], "You are signed in as eva and have no role"),
        (["x" * 5000], "You are signed in and have no role"),
    ],
)
def test_whom_a_proxy_does_not_name_as_we_know_them_is_refused(
    settings: Settings, values: list[str], said: str
) -> None:
    write_users(settings, ("Eva", "steward", ""))
    assert user_named(settings, "X-User", ["Eva"]).role is Role.STEWARD
    with pytest.raises(RefusedError, match=said):
        user_named(settings, "X-User", values)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Files of a certificate of this machine and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    written = folder / "certificate.pem", folder / "key.pem"
    written[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    written[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return {"CERTIFICATE": str(written[0]), "KEY": str(written[1])}


USERS: Mapping[str, Sequence[Sequence[str]] | None] = {
    "no file": None,
    "nobody": [],
    "without a password": [("Eva", "steward", "")],
    "with a password": [("Eva", "steward", PASSWORD)],
}
TLS = ["--certificate", "CERTIFICATE", "--key", "KEY"]


@pytest.mark.parametrize(
    ("users", "arguments", "said"),
    [
        ("no file", ["--address", "0.0.0.0"], "nobody can sign in"),
        ("no file", ["--address", "0.0.0.0", *TLS], "nobody can sign in"),
        ("no file", ["--address", "::", "--role", "viewer", *TLS], "nobody can sign in"),
        ("no file", ["--address", "::ffff:127.0.0.1"], "nobody can sign in"),
        ("without a password", ["--address", "10.0.0.4", *TLS], "nobody can sign in"),
        ("with a password", ["--address", "0.0.0.0"], "in plain text"),
        ("with a password", ["--address", "evil.test", *TLS], "is no address"),
        ("with a password", ["--address", "", *TLS], "is no address"),
        ("nobody", [], "names nobody"),
        ("with a password", ["--role", "steward"], "the role of each is"),
        ("with a password", ["--role", "viewer", "--user-header", "X-User"], "the role of each is"),
        ("no file", ["--role", "viewer", "--user-header", "X-User"], "exclude each other"),
        ("no file", ["--user-header", "X-User"], "has a role"),
        ("with a password", ["--user-header", "X User: Eva"], "no name of a header"),
        ("with a password", ["--user-header", "X", "--address", "::", *TLS], "let in whoever"),
        ("no file", TLS[:2], "need each other"),
        ("no file", TLS[2:], "need each other"),
        ("no file", ["--certificate", "no.pem", "--key", "KEY"], "no.pem cannot be read"),
        ("no file", ["--certificate", "KEY", "--key", "KEY"], "is no certificate with its key"),
    ],
)
def test_a_door_that_would_let_in_whom_nobody_knows_is_refused_in_a_sentence(
    warehouse: Warehouse, users: str, arguments: list[str], said: str
) -> None:
    if (lines := USERS[users]) is not None:
        write_users(warehouse.settings, *lines)
    outcome = warehouse("dashboard", *arguments)
    assert outcome.exit_code == 1
    assert said in outcome.output
    assert outcome.output.count("\n") == 1
    assert not warehouse.started


@pytest.mark.parametrize(
    ("users", "arguments", "door", "said"),
    [
        ("no file", [], Door(Role.STEWARD), "can open it as steward"),
        ("no file", ["--role", "viewer"], Door(Role.VIEWER), "can open it as viewer"),
        ("no file", ["--address", "::1"], Door(Role.STEWARD), "can open it as steward"),
        ("with a password", [], Door(), "names 1 user; everybody signs in"),
        ("with a password", ["--address", "0.0.0.0", *TLS], Door(), "everybody signs in"),
        ("without a password", ["--user-header", "X-User"], Door(None, "X-User"), "in X-User"),
    ],
)
def test_the_dashboard_starts_with_the_door_that_it_was_told_and_says_who_comes_in(
    warehouse: Warehouse, users: str, arguments: list[str], door: Door, said: str
) -> None:
    if (lines := USERS[users]) is not None:
        write_users(warehouse.settings, *lines)
    outcome = warehouse("dashboard", *arguments)
    assert said in outcome.output
    ((command, environment),) = warehouse.started
    own = command.index("--")
    assert read_door(command[own + 1 :]) == door
    address = arguments[arguments.index("--address") + 1] if "--address" in arguments else ""
    assert command[command.index("--server.address") + 1] == (address or "127.0.0.1")
    assert ("--server.sslKeyFile" in command[:own]) is ("--key" in arguments)
    assert environment["WAREHOUSE_HOME"] == str(warehouse.settings.home)


def test_users_who_appear_while_it_runs_have_to_sign_in(settings: Settings) -> None:
    assert choose_door(settings) == Door(Role.STEWARD)
    assert read_users(settings) is None
    write_users(settings, ("Eva", "viewer", PASSWORD))
    assert read_users(settings) == {
        "Eva": User("Eva", Role.VIEWER, (read_users(settings) or {})["Eva"].password_hash, CHANGED)
    }
