"""Opening DuckDB files, encrypted and plain ones."""

import ast
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from orchestration.database import DatabaseFile, encrypt_home, is_encrypted, working_file
from orchestration.faults import fault_sentence, put_away_damaged
from orchestration.keys import BadKeyError, make_key
from orchestration.settings import PROJECT_ROOT, Settings

KEY = bytes.fromhex("ab" * 32)
NAME = "Wilhelmina Oosterhout"

FILL = (
    "create schema raw; create table raw.people as"
    f" select range as n, '{NAME} ' || range as name from range(5000);"
    "create view raw.names as select name from raw.people"
)


@pytest.fixture
def sealed(tmp_path: Path) -> DatabaseFile:
    """An encrypted database with a table and a view."""
    file = DatabaseFile(tmp_path / "work.duckdb", KEY)
    with file.connect() as connection:
        connection.execute(FILL)
    return file


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a plain working database, and a key that came later."""
    settings = Settings(home=tmp_path / "home", landing=tmp_path / "landing")
    settings.home.mkdir()
    with working_file(settings).connect() as connection:
        connection.execute(FILL)
    make_key(settings, "working")
    return settings


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def count(file: DatabaseFile, *, read_only: bool = True) -> int:
    with file.connect(read_only=read_only) as connection:
        ((found,),) = connection.execute("select count(*) from raw.names").fetchall()
    return int(found)


def test_nothing_stands_in_the_bytes_of_an_encrypted_database_nor_of_its_log(
    sealed: DatabaseFile, tmp_path: Path
) -> None:
    with sealed.connect() as connection:
        connection.execute(f"insert into raw.people values (-1, '{NAME} in the log')")
        log = sealed.path.with_name("work.duckdb.wal")
        assert log.stat().st_size > 0
        assert NAME.encode() not in everything_below(tmp_path)
    assert count(sealed) == 5001
    plain = DatabaseFile(tmp_path / "plain.duckdb")
    with plain.connect() as connection:
        connection.execute(f"create table people as select '{NAME}' as name")
    assert NAME.encode() in plain.path.read_bytes()


def test_what_a_query_has_no_memory_for_is_encrypted_on_disk(sealed: DatabaseFile) -> None:
    spilled = sealed.path.with_name("work.duckdb.tmp")
    with sealed.connect(config={"memory_limit": "40MB", "threads": 1}) as connection:
        rows = connection.execute(
            f"select '{NAME} ' || md5(range::varchar) as name from range(3000000) order by name"
        )
        assert rows.fetchone() is not None
        content = everything_below(spilled)
        assert len(content) > 10_000_000
        assert NAME.encode() not in content


def test_two_connections_of_a_process_see_the_same(sealed: DatabaseFile) -> None:
    with sealed.connect() as first, sealed.connect() as second:
        first.execute("delete from raw.people where n < 1000")
        assert second.execute("select count(*) from raw.people").fetchall() == [(4000,)]


def test_a_name_that_is_taken_does_not_stand_for_another_file(
    sealed: DatabaseFile, tmp_path: Path
) -> None:
    other = DatabaseFile(tmp_path / "other.duckdb", KEY)
    with other.connect() as connection:
        connection.execute("create table t as select 1 as a")
    with duckdb.connect() as connection:
        sealed.attach(connection, "before")
        with pytest.raises(duckdb.BinderException, match="already exists"):
            other.attach(connection, "before")


def test_another_process_cannot_write_to_what_this_one_has_open(sealed: DatabaseFile) -> None:
    program = (
        "import duckdb, sys; from pathlib import Path;"
        "from orchestration.database import DatabaseFile\n"
        f"try: DatabaseFile(Path(sys.argv[1]), {KEY!r}).connect()\n"
        "except duckdb.IOException as error: print(error)"
    )
    with sealed.connect(), sealed.connect(read_only=False):
        told = subprocess.run(
            [sys.executable, "-c", program, str(sealed.path)],
            capture_output=True,
            text=True,
            cwd=PROJECT_ROOT,
            check=True,
        )
    assert "Could not set lock on file" in told.stdout


@pytest.mark.parametrize("key", [None, bytes(32)])
@pytest.mark.parametrize("read_only", [True, False])
def test_without_the_key_nothing_opens_and_the_sentence_does_not_show_one(
    sealed: DatabaseFile, key: bytes | None, read_only: bool
) -> None:
    file = DatabaseFile(sealed.path, key)
    with pytest.raises(BadKeyError) as refused:
        file.connect(read_only=read_only)
    with duckdb.connect() as connection, pytest.raises(BadKeyError):
        file.attach(connection, "opened")
    said = str(refused.value)
    assert str(sealed.path) in said
    assert ("its key is not here" in said) is (key is None)
    assert "00" * 32 not in said
    assert fault_sentence(Settings(), refused.value) == said
    assert count(sealed) == 5000


def test_no_message_of_duckdb_shows_the_key(sealed: DatabaseFile, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "work.duckdb"):
        with pytest.raises(duckdb.Error) as refused:
            DatabaseFile(path, KEY).connect()
        assert KEY.hex() not in str(refused.value)
    assert KEY.hex() not in repr(sealed)


def test_what_was_written_before_there_was_a_key_is_read_and_then_encrypted(
    settings: Settings,
) -> None:
    file = working_file(settings)
    assert file.key is not None
    assert count(file) == 5000
    assert not is_encrypted(file.path)
    assert encrypt_home(settings) == [file.path]
    assert is_encrypted(file.path)
    assert count(file) == 5000
    assert NAME.encode() not in everything_below(settings.home)
    assert encrypt_home(settings) == []


def test_a_file_that_is_written_anew_keeps_its_key_and_loses_what_was_deleted(
    sealed: DatabaseFile,
) -> None:
    with sealed.connect() as connection:
        connection.execute("create table gone as select md5(range::varchar) from range(100000)")
        connection.execute("checkpoint; create table kept as from gone; checkpoint")
        connection.execute("drop table gone; delete from raw.people where n >= 10")
    # what processes leave that are killed while they spill, or while they write a file anew
    (sealed.path.parent / "work.duckdb.tmp").mkdir()
    (sealed.path.parent / "work.new.duckdb.tmp").write_bytes(b"half")
    before = sealed.path.stat().st_size
    sealed.rewrite()
    assert not (sealed.path.parent / "work.new.duckdb.tmp").exists()
    assert is_encrypted(sealed.path)
    assert count(sealed, read_only=False) == 10
    assert sealed.path.stat().st_size < before


def test_a_damaged_encrypted_database_is_put_away_and_one_of_another_key_is_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings.working_database
    encrypt_home(settings)
    with monkeypatch.context() as patch:
        patch.setenv("WAREHOUSE_KEY_WORKING", "cd" * 32)
        with pytest.raises(BadKeyError, match="another key"):
            put_away_damaged(settings)
    assert put_away_damaged(settings) == []
    content = bytearray(path.read_bytes())
    for place in range(20_000, len(content), 1000):
        content[place] ^= 0x55
    path.write_bytes(content)
    (sentence,) = put_away_damaged(settings)
    assert "Computed AES tag differs" in sentence
    assert not path.exists()


def test_no_room_opens_a_file_past_the_door() -> None:
    # what `opened` has opened is joined by name
    doors = {"orchestration/database.py", "orchestration/gates/duckdb_datasource.py"}
    found = {
        path.relative_to(PROJECT_ROOT).as_posix()
        for path in (PROJECT_ROOT / "orchestration").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "duckdb.connect"
        and (call.args or any(keyword.arg == "database" for keyword in call.keywords))
    }
    assert found == doors
