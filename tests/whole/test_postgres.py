"""Runs whose releases also go to a Postgres server, and what people of each role read there."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import errors

from orchestration.privacy.certificates import certificates, pending
from orchestration.release import current_release
from orchestration.release.postgres import (
    attached,
    described_targets,
    our_schemas,
    send_release,
    sent_release,
)
from orchestration.release.roles import read_roles
from orchestration.settings import Settings
from tests.conftest import Installation
from tests.postgres_server import PASSWORD, Server, running_server

BY = ("--by", "Eva Lind", "--why", "case 17")
AT = {"updated_at": "2026-05-01T10:00:00Z", "birth_date": "1980-01-02"}
CONTACTS = [
    {"contact_id": "C1", "first_name": "Jane", "last_name": "Doe", "email": "jane.doe@x.test"},
    {"contact_id": "C2", "first_name": "Olaf", "last_name": "Lund", "email": "olaf@y.test"},
    {"contact_id": "C3", "first_name": "Maria", "last_name": "Rossi", "email": "maria@z.test"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server() as running, pytest.MonkeyPatch.context() as patch:
        passwords = tmp_path_factory.mktemp("passwords") / "pgpass"
        passwords.write_text(f"127.0.0.1:{running.port}:*:*:{PASSWORD}\n")
        passwords.chmod(0o600)
        patch.setenv("PGPASSFILE", str(passwords))
        yield running


# --- the sample, as roles read it ---------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(
    server: Server, sample_release: Path, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """The release of the sample, sent; and a user of every role."""
    home = tmp_path_factory.mktemp("sent")
    shutil.copytree(sample_release.parents[1] / "releases", home / "releases")
    shutil.copy(sample_release.parents[1] / "erasure.key", home)
    (home / "current").symlink_to((sample_release.parents[1] / "current").readlink())
    settings = Settings(home=home, postgres=server.new_database("sample"))
    release = current_release(settings)
    assert release is not None
    send_release(settings, release, read_roles())
    for role in ("steward", "analyst", "marketing", "dashboard"):
        server.new_user(f"{role}_user", f"sample_{role}")
    return settings


def ask(server: Server, role: str, query: str) -> list[tuple[Any, ...]]:
    with server.connect(f"{role}_user", "sample") as session:
        return session.execute(query.encode()).fetchall()


def in_file(settings: Settings, file: str, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(settings.current / f"{file}.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("role", ["analyst", "marketing", "dashboard"])
def test_a_role_reads_in_its_schema_what_its_file_holds_cell_for_cell(
    server: Server, sample: Settings, role: str
) -> None:
    names = "select table_name, column_name from information_schema.columns where table_schema"
    sent = {*ask(server, role, f"{names} = '{role}' and table_name <> 'release'")}
    assert sent == {*in_file(sample, role, f"{names} = 'marts'")}
    with attached(sample, "sent") as reading:
        reading.execute(f"attach '{sample.current / role}.duckdb' as role_file (read_only)")
        for table in sorted({table for table, _ in sent}):
            columns = ", ".join(f'"{name}"' for of, name in sorted(sent) if of == table)
            for one, other in (("sent", "role_file"), ("role_file", "sent")):
                schema = {"sent": f"sent.{role}", "role_file": "role_file.marts"}
                ((count,),) = reading.execute(
                    f'select count(*) from (select {columns} from {schema[one]}."{table}"'
                    f' except all select {columns} from {schema[other]}."{table}")'
                ).fetchall()
                assert count == 0, (table, one)


@pytest.mark.parametrize(
    ("role", "query"),
    [
        ("analyst", "select email from marts.customers"),
        ("analyst", "select customer_id from marts.customers"),
        ("analyst", "select * from marts.customers"),
        ("analyst", "select address from marts.audience_members"),
        ("analyst", "select * from marts.customer_history"),
        ("analyst", "select * from marketing.customers"),
        ("marketing", "select birth_date from marts.customers"),
        ("marketing", "select email from marts.customers"),
        ("marketing", "select * from marts.orders"),
        ("dashboard", "select * from marts.customers"),
        ("dashboard", "select cohort_size from marts.cohort_retention"),
    ],
)
def test_what_a_role_may_not_see_is_denied(
    server: Server, sample: Settings, role: str, query: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
        ask(server, role, query)


def test_marketing_sees_only_people_who_may_be_contacted(server: Server, sample: Settings) -> None:
    contactable = in_file(
        sample,
        "warehouse",
        "select customer_id from marts.customers"
        " where is_contactable_by_email or is_contactable_by_sms order by 1",
    )
    assert 0 < len(contactable) < 2000
    for table in ("marketing.customers", "marts.customers"):
        assert sorted(ask(server, "marketing", f"select customer_id from {table}")) == contactable
    assert ask(
        server,
        "marketing",
        "select count(*) from marketing.customers"
        " where email is not null and not is_contactable_by_email",
    ) == [(0,)]


# --- runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(new_installation: Callable[[], Installation]) -> Installation:
    """Released, but sent to nobody yet; tests go on with copies."""
    installation = new_installation()
    installation.write("crm/contacts", "a.csv", [contact | AT for contact in CONTACTS])
    installation.run()
    return installation


@pytest.fixture
def house(
    server: Server, released: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    monkeypatch.setenv("WAREHOUSE_POSTGRES", server.new_database(f"house_{time.time_ns()}"))
    return released.copy_to(tmp_path)


def emails(settings: Settings) -> set[str]:
    with attached(settings, "sent") as connection:
        rows = connection.execute("select email from sent.marts.customers").fetchall()
    return {email for (email,) in rows}


def test_an_erasure_leaves_nobody_in_postgres(house: Installation) -> None:
    house.warehouse("send")
    settings = house.settings
    release = current_release(settings)
    assert release is not None
    assert sent_release(settings) == release.id
    assert emails(settings) == {"jane.doe@x.test", "olaf@y.test", "maria@z.test"}
    # a sender that was killed left the person behind, where nobody but an erasure looks
    with psycopg.connect(settings.postgres, autocommit=True) as session:
        mark = session.execute("select obj_description('marts'::regnamespace)").fetchone()
        assert mark
        session.execute('create schema "marts$loading"')
        session.execute(f"comment on schema \"marts$loading\" is '{mark[0]}'".encode())
        session.execute('create table "marts$loading".customers as select * from marts.customers')
    outcome = house.warehouse("forget", "crm:C1", "--confirm", "--without-run", *BY)
    assert outcome.exit_code == 0, outcome.output
    assert emails(settings) == {"olaf@y.test", "maria@z.test"}
    assert our_schemas(settings) == ["analyst", "dashboard", "marketing", "marts"]
    (certificate,) = certificates(settings)
    assert "Postgres" in certificate.seconds


def test_who_is_still_found_in_postgres_is_not_certified_as_forgotten(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.warehouse("send")
    target = os.environ["WAREHOUSE_POSTGRES"]
    monkeypatch.delenv("WAREHOUSE_POSTGRES")
    outcome = house.warehouse("forget", "crm:C1", "--confirm", "--without-run", *BY)
    assert outcome.exit_code == 1
    assert "WAREHOUSE_POSTGRES does not name it" in " ".join(outcome.output.split())
    assert len(pending(house.settings)) == 1
    # the release is the one without her, and somebody put her into its schema all the same
    monkeypatch.setenv("WAREHOUSE_POSTGRES", target)
    house.warehouse("send")
    with psycopg.connect(target, autocommit=True) as session:
        session.execute("create table marts.kept as select 'jane.doe@x.test'::varchar as email")
    outcome = house.warehouse("forget", "--resume", "--without-run")
    assert outcome.exit_code == 1
    assert "Postgres: marts.kept.email" in " ".join(outcome.output.split())
    with psycopg.connect(target, autocommit=True) as session:
        session.execute("drop table marts.kept")
    outcome = house.warehouse("forget", "--resume", "--without-run")
    assert outcome.exit_code == 0, outcome.output
    assert pending(house.settings) == []
    assert "jane.doe@x.test" not in emails(house.settings)


def test_a_restore_sends_nothing_and_still_knows_where_releases_were_sent_to(
    house: Installation, tmp_path: Path
) -> None:
    house.warehouse("send")
    house.warehouse("make-key", "backup")
    assert house.warehouse("backup", "--to", str(tmp_path / "away")).exit_code == 0
    (made,) = (tmp_path / "away").glob("*.whb")
    copied = tmp_path / made.name
    shutil.copy(made, copied)
    outcome = house.warehouse("forget", "crm:C1", "--confirm", "--without-run", *BY)
    assert outcome.exit_code == 0, outcome.output
    before = sent_release(house.settings)
    outcome = house.warehouse("restore", str(copied), "--confirm", *BY)
    assert outcome.exit_code == 0, outcome.output
    assert sent_release(house.settings) == before
    assert emails(house.settings) == {"olaf@y.test", "maria@z.test"}
    assert len(described_targets(house.settings)) == 1


def test_a_server_that_is_away_fails_the_run_after_its_release_and_the_next_run_sends_it(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = os.environ["WAREHOUSE_POSTGRES"]
    monkeypatch.setenv("WAREHOUSE_POSTGRES", "host=127.0.0.1 port=1 dbname=gone user=nobody")
    outcome = house.warehouse("run", "--rebuild")
    assert outcome.exit_code == 1
    assert "Released" in outcome.output
    assert "port 1 failed" in " ".join(outcome.output.split())
    status = house.warehouse("status")
    assert status.exit_code == 1
    assert "Postgres does not show the release" in " ".join(status.output.split())
    assert house.warehouse("doctor").exit_code == 1
    monkeypatch.setenv("WAREHOUSE_POSTGRES", target)
    planned = house.warehouse("plan")
    assert planned.exit_code == 0, planned.output
    assert sent_release(house.settings) is None
    assert "unchanged" in house.run().output
    release = current_release(house.settings)
    assert release is not None
    assert sent_release(house.settings) == release.id
    assert house.warehouse("status").exit_code == 0


def test_a_run_a_rollback_and_the_verb_send_put_the_current_release_there(
    house: Installation,
) -> None:
    first = current_release(house.settings)
    new = {"contact_id": "C9", "first_name": "Tom", "last_name": "Hill", "email": "new@w.test"}
    house.write("crm/contacts", "b.csv", [new | AT])
    assert "Postgres shows" in house.run().output
    assert "new@w.test" in emails(house.settings)
    assert house.warehouse("rollback").exit_code == 0
    assert first is not None
    assert sent_release(house.settings) == first.id
    assert "new@w.test" not in emails(house.settings)
    assert house.warehouse("send").exit_code == 0
    assert sent_release(house.settings) == first.id


def test_without_a_database_send_says_what_to_set(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAREHOUSE_POSTGRES")
    outcome = house.warehouse("send")
    assert outcome.exit_code == 2
    assert "WAREHOUSE_POSTGRES names no database" in outcome.output
