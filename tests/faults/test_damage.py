"""What is damaged is found by reading it and put away; what is whole is never touched."""

import random
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.faults import (
    fault_sentence,
    put_away_damaged,
    put_away_damaged_events,
    remove_database,
    told,
    write_whole,
)
from orchestration.landing import FEEDS, land, landing_state
from orchestration.landing.arrivals import (
    ArrivalsError,
    keep_arrivals,
    match_arrivals,
    read_arrivals,
)
from orchestration.landing.listing import list_landing
from orchestration.settings import Settings
from orchestration.transform.dbt import parse, target_folder

HEADER = "customer_id,email,updated_at\n"
MONDAY = datetime.fromisoformat("2026-03-02T06:00:00")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", landing=tmp_path / "landing")


@pytest.fixture
def databases(settings: Settings) -> Settings:
    settings.home.mkdir()
    for database in (settings.working_database, settings.candidate_database):
        with duckdb.connect(str(database)) as connection:
            connection.execute("create schema identity")
            connection.execute(
                "create table identity.records as select range as id, md5(range::varchar) as text"
                " from range(200_000)"
            )
    return settings


def flip(database: Path, at: int) -> None:
    data = bytearray(database.read_bytes())
    data[at] ^= 0xFF
    database.write_bytes(data)


def test_databases_that_are_whole_stay_where_they_are(databases: Settings) -> None:
    assert put_away_damaged(databases) == []
    assert databases.working_database.exists()
    assert databases.candidate_database.exists()


def test_a_flipped_byte_anywhere_in_the_data_is_found_and_the_file_kept_aside(
    databases: Settings,
) -> None:
    size = databases.working_database.stat().st_size
    whole = databases.working_database.read_bytes()
    dice = random.Random(20260301)
    found = 0
    for _ in range(12):
        # the last block may be a free one, in which nothing is written
        flip(databases.working_database, dice.randrange(0, size // 2))
        for sentence in put_away_damaged(databases):
            found += 1
            aside = databases.home / "work.duckdb.damaged"
            assert f"It was moved to {aside}" in sentence
            assert "made anew from the landing" in sentence
            assert len(aside.read_bytes()) == size
        databases.working_database.write_bytes(whole)
    assert found >= 10
    assert [path.name for path in databases.home.glob("*.damaged*")] == ["work.duckdb.damaged"]


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_a_file_that_is_no_database_is_damaged_too(databases: Settings, content: bytes) -> None:
    databases.working_database.write_bytes(content)
    databases.candidate_database.write_bytes(content)
    working, candidate = put_away_damaged(databases)
    assert "not a valid DuckDB database file" in working
    assert "the marts are built anew" in candidate
    assert not databases.working_database.exists()
    assert not databases.candidate_database.exists()


def test_a_database_cut_short_is_damaged(databases: Settings) -> None:
    with databases.working_database.open("r+b") as file:
        file.truncate(databases.working_database.stat().st_size // 2)
    (sentence,) = put_away_damaged(databases)
    assert "Could not read enough bytes" in sentence


def test_only_what_really_is_damaged_is_put_away_whatever_an_error_says(
    databases: Settings,
) -> None:
    with (
        pytest.raises(duckdb.IOException, match="of a file that came"),
        told(databases, RuntimeError),
    ):
        raise duckdb.IOException("Corrupt database file, said of a file that came from elsewhere")
    assert databases.working_database.exists()


def test_damage_met_in_the_middle_of_a_run_stops_it_with_a_sentence(databases: Settings) -> None:
    flip(databases.working_database, databases.working_database.stat().st_size // 3)
    with (
        pytest.raises(RuntimeError, match=r"The working database is damaged.*Run again"),
        told(databases, RuntimeError),
        duckdb.connect(str(databases.working_database)) as connection,
    ):
        connection.execute("select max(text) from identity.records").fetchall()
    assert not databases.working_database.exists()


def test_a_log_beside_a_deleted_database_is_not_replayed_into_the_next_one(
    settings: Settings,
) -> None:
    settings.home.mkdir()
    database = settings.candidate_database
    log = database.with_name(f"{database.name}.wal")
    with duckdb.connect(str(database)) as connection:
        connection.execute("set checkpoint_threshold = '1TB'")
        connection.execute("create table old (id integer)")
        copied = log.read_bytes()
    log.write_bytes(copied)
    remove_database(database)
    assert list(settings.home.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told_of"),
    [
        (OSError(28, "No space left on device"), "is full"),
        (OSError(27, "File too large"), "is full"),
        (OSError(30, "Read-only file system"), "cannot be written"),
        (PermissionError(13, "Permission denied"), "cannot be written"),
        (sqlite3.OperationalError("database or disk is full"), "is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "cannot be written"),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"), "memory"),
        (MemoryError(), "memory"),
        (duckdb.IOException('Could not set lock on file "work.duckdb"'), "Another program"),
    ],
)
def test_an_error_of_the_machine_is_told_in_a_sentence(
    settings: Settings, error: Exception, told_of: str
) -> None:
    outer = RuntimeError("dbt could not build staging")
    outer.__cause__ = error
    for one in (error, outer):
        assert told_of in str(fault_sentence(settings, one))


def test_a_bug_is_no_error_of_the_machine(settings: Settings) -> None:
    assert fault_sentence(settings, KeyError("customer_id")) is None
    assert fault_sentence(settings, duckdb.BinderException("no column x")) is None


def test_a_file_written_whole_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new, but \ud800")
    assert path.read_text() == "old"
    write_whole(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]
    assert path.read_text() == "new"


# --- dbt's memory -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"\xc1 no msgpack", None])
def test_what_dbt_remembers_of_the_project_may_be_damaged(
    settings: Settings, parsed_project: Path, content: bytes | None
) -> None:
    shutil.copytree(parsed_project, target_folder(settings))
    remembered = target_folder(settings) / "partial_parse.msgpack"
    half = remembered.read_bytes()[: remembered.stat().st_size // 2]
    remembered.write_bytes(half if content is None else content)
    assert len(parse(settings).nodes) > 100
    assert remembered.stat().st_size > len(half)


# --- Dagster's history ---------------------------------------------------------------------------


def test_a_damaged_history_of_dagster_is_put_away_and_a_whole_one_stays(tmp_path: Path) -> None:
    storage = tmp_path / "dagster"
    for name in ("runs.db", "schedules.db"):
        file = storage / name.partition(".")[0] / name
        file.parent.mkdir(parents=True)
        with sqlite3.connect(file) as connection:
            connection.execute("create table events (id integer, body text)")
            connection.executemany("insert into events values (?, ?)", [(1, "x" * 900)] * 200)
        connection.close()
    assert put_away_damaged_events(storage) == []
    damaged = storage / "runs" / "runs.db"
    data = bytearray(damaged.read_bytes())
    data[4096:12288] = bytes(8192)
    damaged.write_bytes(data)
    (sentence,) = put_away_damaged_events(storage)
    assert "runs.db" in sentence
    assert str(tmp_path / "dagster.damaged") in sentence
    assert list(storage.iterdir()) == []


def test_a_history_that_somebody_else_is_writing_is_not_damaged(tmp_path: Path) -> None:
    storage = tmp_path / "dagster"
    storage.mkdir()
    connection = sqlite3.connect(storage / "runs.db", isolation_level=None)
    connection.execute("create table runs (id integer)")
    connection.execute("begin exclusive")
    assert put_away_damaged_events(storage) == []
    connection.close()


# --- a working database that is made again -------------------------------------------------------


def put(settings: Settings, name: str, text: str) -> None:
    path = settings.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + text, encoding="utf-8")


def land_now(settings: Settings, at: datetime, **again: object) -> str:
    settings.home.mkdir(exist_ok=True)
    with duckdb.connect(str(settings.working_database)) as connection:
        land(
            connection,
            settings.landing,
            load_id="load",
            loaded_at=at,
            **again,  # type: ignore[arg-type]
        )
        keep_arrivals(connection, settings.arrivals)
        return landing_state(connection)


RAW = "select customer_id, email, _loaded_at, _source_file from raw.shop__customers order by all"


def raw(settings: Settings) -> list[tuple[object, ...]]:
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        return connection.execute(RAW).fetchall()


def test_files_land_anew_in_the_order_and_with_the_times_of_the_first_time(
    settings: Settings,
) -> None:
    put(settings, "shop/customers/z-came-first.csv", "1,old@x.test,\n2,b@x.test,\n")
    land_now(settings, MONDAY)
    put(settings, "shop/customers/a-came-second.csv", "1,new@x.test,\n2,b@x.test,\n")
    state = land_now(settings, MONDAY + timedelta(days=1))
    before = raw(settings)
    remove_database(settings.working_database)
    put(settings, "shop/customers/m-came-third.csv", "3,c@x.test,\n")
    arrived, missing = match_arrivals(
        read_arrivals(settings.arrivals), list_landing(settings.landing, FEEDS).files
    )
    assert missing == ()
    assert land_now(settings, MONDAY + timedelta(days=2), arrived=arrived) != state
    after = raw(settings)
    assert after[:-1] == before
    assert after[-1][2:] == (MONDAY + timedelta(days=2), "shop/customers/m-came-third.csv")


def test_a_file_that_is_gone_or_was_changed_is_missed_and_a_renamed_one_is_not(
    settings: Settings,
) -> None:
    for name in ("gone", "changed", "renamed", "stays"):
        put(settings, f"shop/customers/{name}.csv", f"{name},a@x.test,\n")
    land_now(settings, MONDAY)
    folder = settings.landing / "shop" / "customers"
    (folder / "gone.csv").unlink()
    (folder / "renamed.csv").rename(folder / "other.csv")
    put(settings, "shop/customers/changed.csv", "changed,b@x.test,\n")
    arrived, missing = match_arrivals(
        read_arrivals(settings.arrivals), list_landing(settings.landing, FEEDS).files
    )
    assert {arrival.file_path for arrival in missing} == {
        "shop/customers/gone.csv",
        "shop/customers/changed.csv",
    }
    assert arrived.keys() == {"shop/customers/other.csv", "shop/customers/stays.csv"}


@pytest.mark.parametrize("text", ["", "feed\n", "feed,content_hash,loaded_at,file_path\na,b,c\n"])
def test_a_list_of_arrivals_that_is_damaged_is_named(settings: Settings, text: str) -> None:
    settings.home.mkdir()
    assert read_arrivals(settings.arrivals) == ()
    settings.arrivals.write_text(text, encoding="utf-8")
    with pytest.raises(ArrivalsError, match=r"arrivals\.csv"):
        read_arrivals(settings.arrivals)
