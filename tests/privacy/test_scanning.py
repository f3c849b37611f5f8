"""The proof of an erasure is only as good as the search: what it must find, and must not."""

import gzip
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.database import DatabaseFile
from orchestration.privacy.scanning import Findings, Scanner, _has_deleted

NEEDLE = "ann.b@x-mail.test"


def places(folder: Path, *needles: str, keys: tuple[int, ...] = ()) -> list[str]:
    return Scanner(needles or [NEEDLE], keys).folder(folder).places


@pytest.mark.parametrize(
    "content",
    [
        b"ann.b@x-mail.test",
        b'{"email": "ANN.B@X-Mail.test"}',
        b"https://s.test/?m=ann.b%40x-mail.test&q",
        b"\x00\xffann.b@x-mail.test\x00",
        b"x" * (16 << 20) + b" ann.b@x-mail.test",
        # over the border of two chunks
        b" " * ((16 << 20) - 5) + b"ann.b@x-mail.test ",
    ],
    ids=["plain", "json", "url", "binary", "second chunk", "over the border"],
)
def test_a_text_is_found_in_bytes_however_it_is_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert places(tmp_path) == ["file"]


def test_a_text_with_other_letters_is_found_as_json_writes_it(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"name": "Jürgen Groß"}), encoding="ascii")
    (tmp_path / "plain").write_text("Jürgen Groß", encoding="utf-8")
    assert places(tmp_path, "Jürgen Groß") == ["log.jsonl", "plain"]


@pytest.mark.parametrize(
    "content", [b"joann.b@x-mail.test", b"ann.b@x-mail.testing", b"ann.c@x-mail.test"]
)
def test_somebody_elses_text_is_not_taken_for_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert places(tmp_path) == []


def test_the_name_of_a_file_is_searched(tmp_path: Path) -> None:
    (tmp_path / f"report for {NEEDLE}.txt").touch()
    assert len(places(tmp_path)) == 1


def test_a_compressed_file_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(gzip.compress(b"x" * 1000 + b" ann.b@x-mail.test"))
    assert places(tmp_path) == ["file.gz"]


def _many_emails(path: Path) -> None:
    """A column that DuckDB compresses, in which bytes alone would not show the text."""
    with duckdb.connect() as connection:
        # The newest format: its text compression leaves no address as it is.
        connection.execute(f"attach '{path}' as d (storage_version 'latest')")
        connection.execute(
            "create table d.t as select case when range = 5000 then 'ann.b@x-mail.test'"
            " else 'user' || range || '@mail' || (range % 7) || '.test' end as email, range as n"
            " from range(20000)"
        )


def test_a_cell_of_a_database_is_found_though_it_is_compressed(tmp_path: Path) -> None:
    _many_emails(tmp_path / "d.duckdb")
    assert "d.duckdb: main.t.email" in places(tmp_path)
    assert places(tmp_path, "user99999@mail1.test") == []


def test_a_cell_of_a_parquet_file_is_found_though_it_is_compressed(tmp_path: Path) -> None:
    duckdb.sql(
        "select if(range = 5000, 'ann.b@x-mail.test', 'u' || range || '@m.test') as email"
        " from range(20000)"
    ).write_parquet(str(tmp_path / "t.parquet"), compression="zstd")
    assert "t.parquet.email" in places(tmp_path)


def test_texts_of_two_cells_side_by_side_are_not_one(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("create table t as select unnest(['ann.b@', 'x-mail.test']) as a")
    assert places(tmp_path) == []


def test_a_hash_that_identity_works_with_is_found(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("create table t as select 17::ubigint as record_key")
    assert places(tmp_path, keys=(17,)) == ["d.duckdb: main.t.record_key"]


def test_a_cell_of_sqlite_is_found(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("create table event (body text)")
        # longer than a page: the text is cut into pieces in the file
        connection.execute("insert into event values (?)", ("x" * 9000 + f" {NEEDLE}",))
    assert "runs.db: event" in places(tmp_path)


def test_what_a_database_deleted_is_found_until_its_file_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "d.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("set force_compression = 'uncompressed'")
        connection.execute(
            f"create table t as select '{NEEDLE}' || ' ' || range as email from range(5000)"
        )
        connection.execute("checkpoint")
        # behind it, or the file would simply become shorter
        connection.execute("create table other as select range as a from range(300000)")
        connection.execute("create view v as select a from d.main.other")
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from t")
    assert places(tmp_path) == ["d.duckdb: freed blocks"]
    DatabaseFile(path).rewrite()
    assert places(tmp_path) == []
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("select count(a) from v").fetchall() == [(300000,)]


def test_a_row_that_was_deleted_among_others_counts_as_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "d.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t as select range as n from range(300000)")
    assert not _has_deleted(DatabaseFile(path))
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from t where n = 77")
    assert _has_deleted(DatabaseFile(path))
    DatabaseFile(path).rewrite()
    assert not _has_deleted(DatabaseFile(path))


def test_freed_blocks_of_an_encrypted_database_are_found_until_its_file_is_written_anew(
    tmp_path: Path,
) -> None:
    file = DatabaseFile(tmp_path / "d.duckdb", bytes(range(32)))
    scanner = Scanner(["rosalind.wickham@x.test"], key_of=lambda _: file.key)
    with file.connect() as connection:
        connection.execute(
            "create table t as select 'rosalind.wickham@x.test' as a from range(300000)"
        )
    assert scanner.folder(tmp_path).places == ["d.duckdb: main.t.a"]
    with file.connect() as connection:
        connection.execute("delete from t")
    (place,) = scanner.folder(tmp_path).places
    assert place == "d.duckdb: freed blocks, which are encrypted and cannot be searched"
    file.rewrite()
    assert scanner.folder(tmp_path).places == []


def test_two_cells_side_by_side_are_no_street(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("set force_compression = 'uncompressed'")
        connection.execute(
            "create table t as select unnest(['dorpsplein 3', '1 windsor close', 'x']) as a"
        )
        connection.execute("checkpoint")
        connection.execute("delete from t where a = 'x'")
    assert places(tmp_path, "31 windsor close") == []


_WORD = st.text(alphabet="ab@. 1", max_size=8)


@given(
    cells=st.lists(st.one_of(st.none(), _WORD), max_size=30),
    needle=st.sampled_from(["a", "ab", "a@b", "1.a"]),
)
def test_a_search_of_cells_finds_what_a_plain_one_finds(
    cells: list[str | None], needle: str
) -> None:
    def is_in(text: str) -> bool:
        return any(
            text.startswith(needle, at)
            and not text[max(at - 1, 0) : at].isalnum()
            and not text[at + len(needle) : at + len(needle) + 1].isalnum()
            for at in range(len(text))
        )

    with duckdb.connect() as connection:
        connection.execute("create table t (n integer, a varchar)")
        if cells:
            connection.execute(
                "insert into t select unnest($numbers), unnest($cells::varchar[])",
                {"numbers": list(range(len(cells))), "cells": cells},
            )
        count, found = Scanner([needle]).texts_in(connection, "t", ["a"])["a"]
    assert count == sum(cell is not None for cell in cells)
    assert found == {cell for cell in cells if cell is not None and is_in(cell)}


def test_a_longer_word_in_a_cell_is_no_trace_of_a_person(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("create table t as select 'jo' || unnest(['ann.b@x-mail.test']) as a")
    assert places(tmp_path) == []


def test_masking_leaves_everything_else_as_it_was() -> None:
    scanner = Scanner(["ann@x.test", "x.test", "+44 20 7946 0018"])
    masked = scanner.masked(b"<ann@x.test> +44 20 7946 0018, joann@y.test", b"[forgotten]")
    assert masked == b"<[forgotten]> [forgotten], joann@y.test"


def test_a_column_in_which_texts_repeat_is_searched_text_by_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0
    cells_hit = Scanner._cells_hit

    def counted(scanner: Scanner, cells: pa.Array, explained: set[int] | None) -> set[str]:
        nonlocal looked_at
        looked_at += len(cells)
        return cells_hit(scanner, cells, explained)

    monkeypatch.setattr(Scanner, "_cells_hit", counted)
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute(
            "create table t as select case when range = 59999 then 'ann.b@x-mail.test'"
            " when range % 6 > 0 then 'status ' || range % 5 end as a, range as n from range(60000)"
        )
    findings = Scanner([NEEDLE]).folder(tmp_path)
    assert findings.places == ["d.duckdb: main.t.a"]
    assert findings.cell_count == 50_000
    assert looked_at == 6


@pytest.mark.parametrize("shift", range(17))
def test_a_hash_is_found_wherever_it_begins(tmp_path: Path, shift: int) -> None:
    digest = hashlib.sha256(NEEDLE.encode()).hexdigest()
    other = hashlib.sha256(b"somebody else").hexdigest()
    (tmp_path / "end").write_text("." * (8000 + shift) + digest)
    (tmp_path / "middle").write_text("." * shift + digest.upper() + "." * 8000)
    (tmp_path / "other").write_text("." * (8000 + shift) + other)
    assert places(tmp_path, digest) == ["end", "middle"]


_PIECE = st.sampled_from(["ab" * 16, "a" * 32, "b" * 33, "a" * 64, "ab" * 20, "a", "b", ".", "?ab"])


@given(
    pieces=st.lists(_PIECE, max_size=12),
    needles=st.lists(st.sampled_from(["ab" * 16, "a" * 32, "a" * 40, "ba" * 16]), min_size=1),
)
def test_a_search_for_hashes_finds_what_a_plain_one_finds(
    pieces: list[str], needles: list[str]
) -> None:
    # as long as what is searched word by word
    content = ("".join(pieces) + "-" * 5000).encode()
    scanner = Scanner(needles)
    found = sorted((begin, end) for _, begin, end in scanner._matches(content))
    assert found == sorted(
        (at, at + len(needle))
        for needle in {*needles}
        for at in range(len(content))
        if content.startswith(needle.encode(), at)
    )


def test_of_files_with_the_same_bytes_one_is_searched_and_all_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    content = Scanner._content

    def noted(scanner: Scanner, path: Path) -> Findings:
        searched.append(path.name)
        return content(scanner, path)

    monkeypatch.setattr(Scanner, "_content", noted)
    (tmp_path / "a").write_bytes(b"-" * (1 << 20) + NEEDLE.encode())
    shutil.copyfile(tmp_path / "a", tmp_path / "b")
    # as large, but another one
    (tmp_path / "c").write_bytes(b"-" * (1 << 20) + NEEDLE.upper().encode())
    (tmp_path / "d").write_bytes(b"-" * ((1 << 20) + len(NEEDLE)))
    findings = Scanner([NEEDLE]).folder(tmp_path)
    assert findings.places == ["a", "b", "c"]
    assert findings.byte_count == 4 * ((1 << 20) + len(NEEDLE))
    assert searched == ["a", "c", "d"]
