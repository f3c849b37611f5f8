"""Landing again adds nothing, in whatever files the rows come, and a killed run leaves no half."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import jinja2
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orchestration.landing import FEEDS, Outcome, create_raw_tables, landing_state
from orchestration.landing.column_types import expectation, fits_sql
from orchestration.landing.contract import CONTRACT_PATH, contract_text
from orchestration.landing.feeds import ColumnType
from orchestration.settings import PROJECT_ROOT
from tests.landing.conftest import World

HEADER = "contact_id,first_name\n"


def test_the_second_run_reads_nothing_and_changes_nothing(world: World) -> None:
    world.put("crm/contacts/a.csv", HEADER + "C1,Anna\nC2\n")
    world.put("web/events/a.jsonl", '{"event_id": "E1"}\n')
    first = world.land()
    second = world.land()
    assert (first.files_read, second.files_read) == (2, 0)
    assert second.state_hash == first.state_hash == landing_state(world.connection)
    assert {file.outcome for file in second.files} == {Outcome.KNOWN}
    assert second.files[0].rejected_count == 1, "the counts of a known file stay visible"


def test_a_touched_or_copied_file_loads_nothing_again(world: World) -> None:
    path = world.put("crm/contacts/a.csv", HEADER + "C1,Anna\nC2\n")
    before = world.land().state_hash
    os.utime(path, (1, 1))
    assert world.land().new_row_count == 0
    assert world.land().files_read == 0, "the new time is remembered"
    world.put("crm/contacts/b.csv", path.read_bytes())
    report = world.land()
    assert (report.files_read, report.repeated_row_count, report.rejected_count) == (1, 1, 1)
    assert world.rows("select count(*) from raw.rejects") == [(2,)]
    assert before != report.state_hash, "one more rejected line is told to the gates"


def test_a_changed_row_is_a_new_version_and_the_old_one_stays(world: World) -> None:
    world.put("crm/contacts/a.csv", HEADER + "C1,Anna\nC2,Ben\n")
    world.land()
    world.put("crm/contacts/a.csv", HEADER + "C1,Anne!\nC2,Ben\n")
    report = world.land()
    assert (report.new_row_count, report.repeated_row_count) == (1, 1)
    assert world.names() == [("C1", "Anna"), ("C1", "Anne!"), ("C2", "Ben")]
    assert world.rows("select is_present from raw.files order by new_row_count desc") == [
        (False,),
        (True,),
    ]


def test_a_file_that_goes_leaves_its_rows_and_may_come_back(world: World) -> None:
    world.put("crm/contacts/a.csv", HEADER + "C1,Anna\n")
    path = world.put("crm/contacts/b.csv", HEADER + "C2,Ben\n")
    world.land()
    parked = path.rename(world.landing.parent / "parked")
    report = world.land()
    assert report.vanished_paths == ("crm/contacts/b.csv",)
    assert len(world.names()) == 2
    assert world.rows("select is_present from raw.files order by file_path") == [(True,), (False,)]
    parked.rename(path)
    assert world.land().files_read == 0
    assert world.rows("select bool_and(is_present) from raw.files") == [(True,)]


def test_repeated_rows_keep_the_first_file_in_name_order(world: World) -> None:
    for number in range(9, 0, -1):
        world.put(f"crm/contacts/{number}.csv", HEADER + "C1,Anna\nC1,Anna\n" + f"D{number},x\n")
    report = world.land()
    assert (report.loaded_count, report.new_row_count) == (27, 10)
    assert world.rows("select _source_file from raw.crm__contacts where contact_id = 'C1'") == [
        ("crm/contacts/1.csv",)
    ]


def test_every_feed_has_its_table_and_load_columns_even_when_absent(world: World) -> None:
    world.put("crm/contacts/a.csv", HEADER)
    world.land()
    for feed in FEEDS:
        columns = world.rows(f"select column_name, column_type from (describe raw.{feed.table})")
        assert columns == [(column.name, "VARCHAR") for column in feed.columns] + [
            ("_load_id", "VARCHAR"),
            ("_loaded_at", "TIMESTAMP"),
            ("_source_file", "VARCHAR"),
            ("_row_hash", "UHUGEINT"),
        ]


def test_a_column_that_the_contract_gains_is_added(world: World) -> None:
    create_raw_tables(world.connection)
    world.connection.execute("alter table raw.crm__contacts drop column email")
    world.put("crm/contacts/a.csv", "contact_id,email\nC1,a@b.c\n")
    world.land()
    assert world.rows("select email from raw.crm__contacts") == [("a@b.c",)]


def test_line_numbers_hold_in_large_files_read_by_several_threads(world: World) -> None:
    for part in (1, 2):
        lines = [f'E{part}-{i},"x\ny",' for i in range(200_000)]
        for bad in (7, 150_000, 199_999):
            lines[bad] += "soon"
        world.put(
            f"web/events/{part}.csv", "event_id,page_url,occurred_at\n" + "\n".join(lines) + "\n"
        )
    report = world.land()
    assert report.line_count == 400_000
    expected = [(2 + 2 * bad) for bad in (7, 150_000, 199_999)]
    assert [row[0] for row in world.rejects()] == expected * 2
    assert world.rows("select distinct line_text[:4] from raw.rejects order by 1") == [
        ("E1-1",),
        ("E1-7",),
        ("E2-1",),
        ("E2-7",),
    ]


def test_a_run_that_is_killed_leaves_all_or_nothing_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "landing/web/events"
    folder.mkdir(parents=True)
    for part in range(6):
        text = "".join(f'{{"event_id":"E{part}-{i}"}}\n' for i in range(30_000)) + "bad\n" * part
        (folder / f"{part}.jsonl").write_text(text)
    database = tmp_path / "work.duckdb"
    script = (
        "import sys, duckdb; from datetime import datetime; from pathlib import Path;"
        "import orchestration.landing.load as load; load._BATCH_FILES = 1;"
        "connection = duckdb.connect(sys.argv[1]);"
        "load.land(connection, Path(sys.argv[2]), load_id='x', loaded_at=datetime(2026, 1, 1),"
        " progress=lambda text: print(text, flush=True))"
    )
    command = [sys.executable, "-c", script, str(database), str(tmp_path / "landing")]
    counts = []
    for lines, pause in ((1, 0.0), (1, 0.03), (1, 0.07), (9, 0.0)):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(lines):
                process.stdout.readline()
            time.sleep(pause)
            if lines == 1:
                process.send_signal(signal.SIGKILL)
        with duckdb.connect(str(database)) as connection:
            row = connection.execute(
                "select (select count(*) from raw.web__events),"
                " (select sum(new_row_count) from raw.files),"
                " (select count(*) from raw.rejects), (select sum(rejected_count) from raw.files)"
            ).fetchone()
        assert row is not None
        assert row[0] == row[1]
        assert row[2] == row[3]
        counts.append(row[0])
    assert counts[0] >= 30_000
    assert counts[-1] == 180_000
    assert not list(tmp_path.glob(".landing-*"))


# --- properties --------------------------------------------------------------------------------

VALUES = st.text(
    st.one_of(
        st.sampled_from(list(" ,;\t|\"'\r\n\\{}[]:äß☃\u2028\x85\x1f\x7f")),
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    ),
    max_size=12,
)
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=12)
JUNK_CSV = st.sampled_from([b"a,b", b"a,b,c,d", b'x,"open,y', b'x,"q"z,y', b"\x00,,", b",key,gone"])
JUNK_JSON = st.sampled_from([b"{", b"[]", b"7", b'{"event_id":""}', b"\x00", b'{"a":1}'])
QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def _fresh(world: World) -> None:
    for path in world.landing.rglob("*"):
        if path.is_file():
            path.unlink()
    world.connection.execute("drop schema if exists raw cascade")


@QUICK
@given(
    ROWS, st.lists(JUNK_CSV, max_size=3), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"])
)
def test_csv_values_land_as_written_and_junk_is_rejected(
    quick_world: World, rows: list[tuple[str, str]], junk: list[bytes], delimiter: str, newline: str
) -> None:
    # Python leaves a CR at the end of an LF line unquoted, and then it is part of the line's end.
    assume(newline == "\r\n" or not any(last.endswith("\r") for _, last in rows))
    _fresh(quick_world)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline)
    writer.writerow(["contact_id", "first_name", "last_name"])
    writer.writerows((f"C{i}", *row) for i, row in enumerate(rows))
    lines = b"".join(line.replace(b",", delimiter.encode()) + newline.encode() for line in junk)
    quick_world.put("crm/contacts/a.csv", out.getvalue().encode() + lines)
    report = quick_world.land()
    assert report.refused == ()
    assert report.line_count == len(rows) + len(junk)
    assert report.rejected_count == len(junk)
    landed = quick_world.rows("select contact_id, first_name, last_name from raw.crm__contacts")
    assert sorted(landed, key=lambda row: int(row[0][1:])) == [
        (f"C{i}", first or None, last or None) for i, (first, last) in enumerate(rows)
    ]


@QUICK
@given(ROWS, st.lists(JUNK_JSON, max_size=3), st.booleans())
def test_json_values_land_as_written_and_junk_is_rejected(
    quick_world: World, rows: list[tuple[str, str]], junk: list[bytes], ascii_only: bool
) -> None:
    _fresh(quick_world)
    lines = [
        json.dumps(
            {"event_id": f"E{i}", "page_url": url, "referrer": referrer}, ensure_ascii=ascii_only
        ).encode()
        for i, (url, referrer) in enumerate(rows)
    ]
    lines = [b'{"event_id": "first"}', *lines, *junk]
    quick_world.put("web/events/a.jsonl", b"\n".join(lines))
    report = quick_world.land()
    assert report.refused == ()
    assert (report.line_count, report.rejected_count) == (len(lines), len(junk))
    landed = quick_world.rows(
        "select event_id, page_url, referrer from raw.web__events where event_id <> 'first'"
    )
    assert sorted(landed, key=lambda row: int(row[0][1:])) == [
        (f"E{i}", url or None, referrer or None) for i, (url, referrer) in enumerate(rows)
    ]


@QUICK
@given(st.lists(st.tuples(st.integers(0, 5), VALUES), min_size=1, max_size=20), st.data())
def test_any_split_into_files_and_runs_lands_the_same_rows(
    quick_world: World, rows: list[tuple[int, str]], data: st.DataObject
) -> None:
    def write(name: str, part: list[tuple[int, str]]) -> None:
        if data.draw(st.booleans()):
            out = io.StringIO(newline="")
            csv.writer(out).writerows([("contact_id", "first_name"), *part])
            quick_world.put(f"crm/contacts/{name}.csv", out.getvalue())
        else:
            lines = [json.dumps({"contact_id": key, "first_name": value}) for key, value in part]
            quick_world.put(f"crm/contacts/{name}.jsonl", "\n".join(lines))

    _fresh(quick_world)
    write("all", rows)
    whole = quick_world.land().state_hash
    _fresh(quick_world)
    for number, cut in enumerate(data.draw(st.permutations(range(len(rows))))):
        write(str(number), rows[cut : cut + data.draw(st.integers(1, 3))])
        if data.draw(st.booleans()):
            quick_world.land()
    assert quick_world.land().state_hash == whole


# --- types and contract ------------------------------------------------------------------------


def test_a_value_fits_exactly_when_staging_can_cast_it_without_loss() -> None:
    cases: dict[ColumnType, dict[str, str | None]] = {
        ColumnType.TIMESTAMP: {
            "2026-01-31T10:00:00Z": "2026-01-31 10:00:00",
            "2026-01-31T10:00:00+01:00": "2026-01-31 09:00:00",
            "2026-01-31 10:00:00.123456-0530": "2026-01-31 15:30:00.123456",
            "2026-01-31T10:00Z": "2026-01-31 10:00:00",
            "2026-01-31T10:00+02:00": "2026-01-31 08:00:00",
            "2026-01-31T10:00:00": "2026-01-31 10:00:00",
            "2026-01-31": "2026-01-31 00:00:00",
            "2026-02-30T10:00:00Z": None,
            "31.01.2026": None,
            "2026/01/31": None,
            "infinity": None,
            "epoch": None,
            "2026-01-01 (BC)": None,
            "1767225600": None,
        },
        ColumnType.DATE: {
            "2024-02-29": "2024-02-29",
            "2023-02-29": None,
            "2024-2-1": None,
            "2024/02/01": None,
            "01.02.2024": None,
            "infinity": None,
            "0000-01-01": None,
        },
        ColumnType.INTEGER: {
            "5": "5",
            "-5": "-5",
            "5.0": "5",
            "5.5": None,
            "1_000": None,
            "0x10": None,
            "1,000": None,
            "9223372036854775808": None,
            "five": None,
        },
        ColumnType.DECIMAL: {
            "1234.5": "1234.5000",
            "-0.01": "-0.0100",
            ".5": "0.5000",
            "1,234.50": None,
            "12,50": None,
            "1_000": None,
            "nan": None,
            "inf": None,
            "100000000000000": None,
            "€5": None,
        },
        ColumnType.BOOLEAN: {
            "TRUE": "true",
            "Yes": "true",
            "1": "true",
            "n": "false",
            "F": "false",
            "2": None,
            "maybe": None,
        },
    }
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for type_, values in cases.items():
            assert expectation(type_)
            for text, expected in values.items():
                connection.execute(
                    "create or replace table cell as select ?::varchar as text", [text]
                )
                fits = connection.execute(f"select {fits_sql(type_, 'text')} from cell").fetchone()
                assert fits is not None
                assert (fits[0] is True) == (expected is not None), (type_, text)
                if expected is not None:
                    cast = connection.execute(
                        f"select ({staging_cast(type_, 'text')})::varchar from cell"
                    ).fetchone()
                    assert cast == (expected,), (type_, text)


def staging_cast(type_: ColumnType, column: str) -> str:
    """The SQL that the staging models' own macros give for a column of this type."""
    macros = "".join(
        (PROJECT_ROOT / "dbt_project" / "macros" / name).read_text(encoding="utf-8")
        for name in ("staging.sql", "time.sql")
    )
    name = {
        ColumnType.INTEGER: "whole_number",
        ColumnType.DECIMAL: "amount",
        ColumnType.BOOLEAN: "yes_no",
        ColumnType.DATE: "calendar_date",
        ColumnType.TIMESTAMP: "utc",
    }[type_]
    return str(getattr(jinja2.Environment().from_string(macros).module, name)(column))


def test_the_published_contract_is_current() -> None:
    assert CONTRACT_PATH.read_text(encoding="utf-8") == contract_text(), (
        "run python -m orchestration.landing.contract"
    )
