"""Releases in a real Postgres server: what roles may read, the switch, and what is refused."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import errors

from orchestration.release import Release, ReleaseError, rollback
from orchestration.release.postgres import (
    PostgresError,
    described_targets,
    examine,
    follow,
    our_schemas,
    send_release,
    sent_release,
)
from orchestration.release.roles import Role
from orchestration.settings import Settings
from tests.postgres_server import PASSWORD, Server, running_server

Publish = Callable[..., Release]

PEOPLE = """
    create table marts.customers as
    select
        'cus_' || range as customer_id, 'ann' || range || '@x.test' as email,
        date '1980-05-17' + range::integer as birth_date,
        range % 2 = 0 as is_contactable_by_email, 30 + range as age_years
    from range(20)
"""
SIZES = "create table marts.sizes as select 'news' as audience, 20 as member_count"

MARKETING = Role.model_validate(
    {
        "name": "marketing",
        "description": "Writes to people who agreed.",
        "mode": "0640",
        "tables": {
            "customers": {
                "rows": "is_contactable_by_email",
                "columns": {"customer_id": "show", "email": "show"},
            },
            "sizes": {"columns": {"audience": "show"}},
        },
    }
)
ANALYST = Role.model_validate(
    {
        "name": "analyst",
        "description": "Counts.",
        "mode": "0640",
        "tables": "everything",
        "columns": {
            "customer_id": "pseudonym",
            "birth_date": "year",
            "age_years": "decade",
            "is_contactable_by_email": "show",
            "audience": "show",
        },
    }
)
ROLES = (MARKETING, ANALYST)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def house(
    server: Server, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An installation whose releases go to a database of its own; its password is in a file."""
    secrets = tmp_path / "pgpass"
    secrets.write_text(f"127.0.0.1:{server.port}:*:*:{PASSWORD}\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(secrets))
    name = f"house_{time.time_ns()}"
    return settings.model_copy(update={"postgres": server.new_database(name)})


def database(house: Settings) -> str:
    return house.postgres.split("dbname=")[1].split()[0]


def user(server: Server, house: Settings, role: str) -> str:
    """A user of the group of a role."""
    name = f"{role}_{time.time_ns()}"
    server.new_user(name, f"{database(house)}_{role}")
    return name


def ask(server: Server, house: Settings, who: str, query: str) -> list[tuple[Any, ...]]:
    with server.connect(who, database(house)) as session:
        return session.execute(query.encode()).fetchall()


def test_the_steward_reads_every_mart_as_the_release_has_it(
    server: Server, house: Settings, release: Publish
) -> None:
    published = release(PEOPLE, SIZES)
    sent = send_release(house, published, ROLES)
    assert sent.rows["marts"] == {"customers": 20, "sizes": 1}
    steward = user(server, house, "steward")
    with duckdb.connect(str(published.database), read_only=True) as connection:
        expected = connection.execute("select * from marts.customers order by all").fetchall()
    assert ask(server, house, steward, "select * from marts.customers order by 1, 2") == expected
    assert ask(server, house, steward, "select release_id from marts.release") == [(published.id,)]
    assert sent_release(house) == published.id


@pytest.mark.parametrize(
    "query",
    [
        "select email from marts.customers",
        "select * from marts.customers",
        "select customers from marts.customers",
        "select customer_id from marts.customers",
        "select count(*) from marts.customers where email like 'ann%'",
        "select * from marketing.customers",
        "copy (select email from marts.customers) to stdout",
        "create table marts.mine (a int)",
        "delete from analyst.customers",
        "update analyst.customers set age_years = 1",
        "drop view analyst.sizes",
        "alter table marts.customers disable row level security",
    ],
)
def test_an_analyst_is_denied_what_is_not_for_analysts(
    server: Server, house: Settings, release: Publish, query: str
) -> None:
    send_release(house, release(PEOPLE, SIZES), ROLES)
    analyst = user(server, house, "analyst")
    with pytest.raises(errors.InsufficientPrivilege, match=r"permission denied|must be owner"):
        ask(server, house, analyst, query)


def test_an_analyst_reads_the_cells_of_the_file_of_analysts(
    server: Server, house: Settings, release: Publish
) -> None:
    published = release(PEOPLE, SIZES, roles=ROLES)
    send_release(house, published, ROLES)
    with duckdb.connect(str(published.role_database("analyst")), read_only=True) as connection:
        expected = connection.execute("select * from marts.customers order by all").fetchall()
    analyst = user(server, house, "analyst")
    found = ask(server, house, analyst, "select * from analyst.customers order by 1, 2")
    assert found == expected
    assert {len(row[0]) for row in found} == {24}
    assert ask(server, house, analyst, "select * from analyst.sizes") == [("news",)]


def test_marketing_sees_only_rows_of_people_who_may_be_written_to(
    server: Server, house: Settings, release: Publish
) -> None:
    send_release(house, release(PEOPLE, SIZES), ROLES)
    marketing = user(server, house, "marketing")
    addresses = [(f"ann{number}@x.test",) for number in range(0, 20, 2)]
    for table in ("marketing.customers", "marts.customers"):
        found = ask(server, house, marketing, f"select email from {table}")
        assert sorted(found) == sorted(addresses), table
    assert ask(server, house, marketing, "select count(*) from marts.customers") == [(10,)]
    # a function that is called before a filter would see the other rows
    with server.connect(marketing, database(house)) as session:
        session.execute(
            "create function pg_temp.tell(text) returns boolean language plpgsql cost 0.0001"
            " as $$ begin raise notice '%', $1; return true; end $$"
        )
        told: list[str] = []
        session.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
        session.execute("select email from marketing.customers where pg_temp.tell(email)")
        assert sorted(told) == sorted(address for (address,) in addresses)


def test_who_is_in_no_group_sees_nothing(server: Server, house: Settings, release: Publish) -> None:
    send_release(house, release(PEOPLE, SIZES), ROLES)
    stranger = f"stranger_{time.time_ns()}"
    server.new_user(stranger, "pg_read_all_settings")
    for schema in ("marts", "analyst", "marketing"):
        with pytest.raises(errors.InsufficientPrivilege):
            ask(server, house, stranger, f"select * from {schema}.release")
    # a right that somebody gave by mistake opens no row
    with server.connect("postgres", database(house)) as session:
        session.execute(f"grant usage on schema marts to {stranger}".encode())
        session.execute(f"grant select on marts.customers to {stranger}".encode())
    assert ask(server, house, stranger, "select * from marts.customers") == []


def test_no_reader_sees_a_half_release_or_an_error_while_a_hundred_take_their_place(
    server: Server, house: Settings, release: Publish
) -> None:
    def marked(number: int) -> Release:
        return release(
            f"create table marts.one as select {number} as marker from range(50)",
            f"create table marts.two as select {number} as marker from range(50)",
        )

    sees_marker = Role.model_validate(
        {
            "name": "reader",
            "description": "Reads.",
            "mode": "0640",
            "tables": "everything",
            "columns": {"marker": "show"},
        }
    )
    send_release(house, marked(0), [sees_marker])
    reader = user(server, house, "reader")
    seen: list[set[int]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def one_statement(session: psycopg.Connection) -> set[int]:
        rows = session.execute(
            "select marker from reader.one union all select marker from marts.two"
        ).fetchall()
        assert len(rows) == 100
        return {marker for (marker,) in rows}

    def one_transaction(session: psycopg.Connection) -> set[int]:
        markers: set[int] = set()
        with session.transaction():
            for table in ("marts.one", "reader.two", "marts.two"):
                rows = session.execute(f"select marker from {table}".encode()).fetchall()
                assert len(rows) == 50
                markers |= {marker for (marker,) in rows}
        return markers

    def read(look: Callable[[psycopg.Connection], set[int]], isolation: str) -> None:
        try:
            with server.connect(reader, database(house)) as session:
                session.execute(f"set default_transaction_isolation = '{isolation}'".encode())
                while not stop.is_set():
                    seen.append(look(session))
                    time.sleep(0.002)
        except BaseException as error:
            failures.append(error)

    readers = [
        threading.Thread(target=read, args=arguments)
        for arguments in (
            (one_statement, "read committed"),
            (one_transaction, "read committed"),
            (one_transaction, "repeatable read"),
        )
    ]
    for thread in readers:
        thread.start()
    try:
        for number in range(1, 101):
            send_release(house, marked(number), [sees_marker])
    finally:
        stop.set()
        for thread in readers:
            thread.join()
    assert not failures, failures
    assert all(len(markers) == 1 for markers in seen)
    assert len({marker for markers in seen for marker in markers}) > 50


def test_a_reader_who_does_not_let_go_is_named_and_the_last_release_stays(
    server: Server, house: Settings, release: Publish
) -> None:
    first = release(PEOPLE, SIZES)
    send_release(house, first, ROLES)
    steward = user(server, house, "steward")
    second = release(PEOPLE)
    with server.connect(steward, database(house), autocommit=False) as session:
        session.execute("select count(*) from marts.customers").fetchall()
        with pytest.raises(PostgresError, match=rf"readers hold the last one: {steward} \(process"):
            send_release(house, second, ROLES, patience=0.1)
        assert session.execute("select release_id from marts.release").fetchone() == (first.id,)
    assert sent_release(house) == first.id
    send_release(house, second, ROLES)
    assert sent_release(house) == second.id


def test_a_reader_who_comes_while_another_one_is_waited_for_waits_no_longer_than_a_moment(
    server: Server, house: Settings, release: Publish
) -> None:
    send_release(house, release(PEOPLE, SIZES), ROLES)
    steward = user(server, house, "steward")
    waits: list[float] = []
    with server.connect(steward, database(house), autocommit=False) as session:
        session.execute("select count(*) from marts.customers").fetchall()
        second = release(PEOPLE)

        def send() -> None:
            with pytest.raises(PostgresError):
                send_release(house, second, ROLES, patience=4)

        sending = threading.Thread(target=send)
        sending.start()
        while sending.is_alive():
            began = time.monotonic()
            ask(server, house, steward, "select count(*) from marts.customers")
            waits.append(time.monotonic() - began)
        sending.join()
    assert max(waits) < 1.5
    assert len(waits) > 3


def test_views_of_others_over_a_release_go_with_it_and_are_named(
    server: Server, house: Settings, release: Publish
) -> None:
    send_release(house, release(PEOPLE, SIZES), ROLES)
    with server.connect("postgres", database(house)) as session:
        session.execute("create schema bob")
        session.execute("create view bob.mine as select email from marts.customers")
    assert send_release(house, release(PEOPLE, SIZES), ROLES).lost == ("bob.mine",)
    assert send_release(house, release(PEOPLE, SIZES), ROLES).lost == ()


def test_a_role_that_is_no_more_has_no_schema_any_more(
    server: Server, house: Settings, release: Publish
) -> None:
    send_release(house, release(PEOPLE, SIZES), ROLES)
    send_release(house, release(PEOPLE, SIZES), [ANALYST])
    assert our_schemas(house) == ["analyst", "marts"]


def test_what_a_killed_sender_left_is_swept_up_by_the_next_one(
    server: Server, house: Settings, release: Publish
) -> None:
    first = release(PEOPLE, SIZES)
    send_release(house, first, ROLES)
    child = os.fork()
    if child == 0:
        send_release(house, release(PEOPLE), ROLES, progress=lambda _: os._exit(9))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    second = release(PEOPLE)
    with server.connect("postgres", "postgres") as session:  # until it notices that its client died
        while session.execute(
            "select from pg_stat_activity where datname = %s", [database(house)]
        ).fetchall():
            time.sleep(0.05)
    send_release(house, second, ROLES)
    assert sent_release(house) == second.id
    assert our_schemas(house) == ["analyst", "marketing", "marts"]


def test_a_rollback_is_followed_and_nothing_is_sent_twice(
    house: Settings, release: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.release.postgres.read_roles", lambda: ROLES)
    first = release(PEOPLE, SIZES)
    assert follow(house) is not None
    release(PEOPLE)
    assert follow(house) is not None
    assert follow(house) is None
    rollback(house)
    assert follow(house) is not None
    assert sent_release(house) == first.id


def test_types_and_texts_arrive_as_they_are(
    server: Server, house: Settings, release: Publish
) -> None:
    send_release(
        house,
        release(
            r"""create table marts.kinds as select
                18446744073709551615::ubigint as large, 'infinity'::date as never,
                timestamp '2020-01-01 10:00:00.123456' as moment, 1.5::decimal(18, 4) as amount,
                '' as empty, null::varchar as missing, '\N' as backslash,
                'a' || chr(10) || '\.' || chr(10) as ending, 'x'::enum('x', 'y') as choice,
                'a' || chr(0) || 'b' as zero,
                uuid '2bd36e42-3d64-4d17-ae81-8aebdf0c7741' as id"""
        ),
        [],
    )
    found = ask(
        server,
        house,
        user(server, house, "steward"),
        "select large, never::text, moment, amount::text, empty, missing, backslash, ending,"
        " choice, zero, id::text from marts.kinds",
    )
    assert found == [
        (
            18446744073709551615,
            "infinity",
            datetime(2020, 1, 1, 10, 0, 0, 123456),  # noqa: DTZ001
            "1.5000",
            "",
            None,
            r"\N",
            "a\n\\.\n",
            "x",
            "a\ufffdb",
            "2bd36e42-3d64-4d17-ae81-8aebdf0c7741",
        )
    ]


def test_a_schema_that_others_made_is_left_alone(
    server: Server, house: Settings, release: Publish
) -> None:
    with server.connect("postgres", database(house)) as session:
        session.execute("create schema marts")
        session.execute("create table marts.precious (a int)")
    published = release(PEOPLE)
    with pytest.raises(PostgresError, match="There is a schema marts in this database"):
        send_release(house, published, ROLES)
    with server.connect("postgres", database(house)) as session:
        assert session.execute("select * from marts.precious").fetchall() == []


def test_another_installation_does_not_replace_what_this_one_sent(
    server: Server, house: Settings, release: Publish, tmp_path: Path
) -> None:
    published = release(PEOPLE)
    send_release(house, published, ROLES)
    elsewhere = house.model_copy(
        update={"home": tmp_path / "elsewhere", "erasure_key": tmp_path / "elsewhere.key"}
    )
    elsewhere.home.mkdir()
    with pytest.raises(PostgresError, match="that this warehouse did not make"):
        send_release(elsewhere, published, ROLES)
    assert sent_release(house) == published.id


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("host=127.0.0.1 password=hunter2", "holds a password"),
        ("postgresql://me:hunter2@127.0.0.1/db", "holds a password"),
        ("nonsense hunter2", "is no connection string"),
        ("host=127.0.0.1 port=1 dbname=x user=hunter2", "port 1 failed"),
        ("host=/nowhere dbname='a b' user=u", "/nowhere"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_sentence_without_secrets(
    settings: Settings, release: Publish, given: str, said: str
) -> None:
    published = release(PEOPLE)
    house = settings.model_copy(update={"postgres": given})
    with pytest.raises(PostgresError, match=said) as raised:
        send_release(house, published, ROLES)
    assert "hunter2" not in str(raised.value)
    ((is_well, what, _),) = examine(house)
    assert not is_well
    assert "hunter2" not in what


def test_an_account_that_may_make_no_groups_is_told_which_are_missing(
    server: Server, house: Settings, release: Publish
) -> None:
    publisher = f"{database(house)}_publisher"
    with server.connect("postgres", "postgres") as session:
        session.execute(f"alter role {publisher} nocreaterole".encode())
    published = release(PEOPLE)
    with pytest.raises(PostgresError, match=r"create role .*_marketing.* nologin"):
        send_release(house, published, ROLES)
    with server.connect("postgres", "postgres") as session:
        for role in ("marketing", "analyst", "steward"):
            session.execute(f"create role {database(house)}_{role} nologin".encode())
    send_release(house, published, ROLES)
    assert sent_release(house) == published.id


def test_whoever_only_looks_makes_no_group(
    server: Server, house: Settings, release: Publish
) -> None:
    published = release(PEOPLE)
    ((is_well, what, _),) = examine(house)
    assert (is_well, what) == (False, f"shows no release, not {published.id}")
    with server.connect("postgres", "postgres") as session:
        made = session.execute(
            "select rolname from pg_roles where rolname like %s", [f"{database(house)}_%"]
        ).fetchall()
    assert made == [(f"{database(house)}_publisher",)]


def test_a_condition_that_postgres_does_not_know_is_told_by_role_and_table(
    house: Settings, release: Publish
) -> None:
    strange = Role.model_validate(
        {
            "name": "strange",
            "description": "Uses what DuckDB alone knows.",
            "mode": "0640",
            "tables": {
                "customers": {
                    "rows": "list_contains(['cus_1'], customer_id)",
                    "columns": {"customer_id": "show"},
                }
            },
        }
    )
    published = release(PEOPLE)
    with pytest.raises(ReleaseError, match="Role strange, customers: Postgres does not understand"):
        send_release(house, published, [strange])


def test_it_is_known_where_releases_were_sent_to_and_no_user_stands_in_it(
    house: Settings, release: Publish
) -> None:
    send_release(house, release(PEOPLE), ROLES)
    send_release(house, release(PEOPLE), ROLES)
    port = house.postgres.split("port=")[1].split()[0]
    assert described_targets(house) == [f"127.0.0.1 {port} {database(house)}"]
    ((is_well, what, _),) = examine(house)
    assert is_well
    assert sent_release(house) in what.split()
