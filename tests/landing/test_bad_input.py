"""Every bad file loads, is rejected line by line, or is refused in a sentence; no traceback."""

import gzip
import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing import LandingError, Outcome, land
from tests.landing.conftest import LOADED_AT, World

CSV = "crm/contacts/a.csv"
JSONL = "web/events/a.jsonl"
HEADER = "contact_id,first_name,updated_at\n"
GOOD = "C1,Anna,2026-01-01T00:00:00Z\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(HEADER + GOOD + "C2,Ben\n", [(3, None, None)], id="too_few_columns"),
        pytest.param(HEADER + GOOD + "C2,Ben,,\n", [(3, None, None)], id="trailing_delimiter"),
        pytest.param(HEADER + "C2,B,e,n,\n" + GOOD, [(2, None, None)], id="too_many_columns"),
        pytest.param(
            HEADER + 'C2,"Ben,\n' + GOOD, [(2, "first_name", None)], id="unterminated_quote"
        ),
        pytest.param(
            HEADER + 'C2,"Ben,\n' + GOOD + 'C3,"Cleo",\n',
            [(2, "first_name", None)],
            id="unterminated_quote_before_another_quote",
        ),
        pytest.param(
            HEADER + 'C2,"Ben"x,\n' + GOOD, [(2, "first_name", None)], id="text_after_quote"
        ),
        pytest.param(HEADER + ",Ben,\n" + GOOD, [(2, "contact_id", None)], id="empty_key"),
        pytest.param(HEADER + "  ,Ben,\n" + GOOD, [(2, "contact_id", "  ")], id="blank_key"),
        pytest.param(
            HEADER + GOOD + "C2,Ben,yesterday\n",
            [(3, "updated_at", "yesterday")],
            id="no_timestamp",
        ),
        pytest.param(
            HEADER + '"C0","two\nlines",\n\n' + "C2,Ben,2026-02-30T00:00:00Z\n" + GOOD,
            [(5, "updated_at", "2026-02-30T00:00:00Z")],
            id="no_calendar_day_after_a_record_of_two_lines",
        ),
        pytest.param(
            HEADER + 'C2,"a\nb",never\n' + 'C3,"x\n' + "C4,Dan,never\n" + GOOD,
            [(2, "updated_at", "never"), (4, "first_name", None), (5, "updated_at", "never")],
            id="broken_lines_and_wrong_values_together",
        ),
        pytest.param(HEADER + "C2,B\0n,\n" + GOOD, [(2, None, None)], id="nul_byte"),
        pytest.param(
            (HEADER + GOOD + "C2,Ärger,\nC3,Öl,\n").encode() + b"C4,M\xfcller,\n",
            [(5, None, None)],
            id="one_line_that_is_not_utf8",
        ),
    ],
)
def test_a_bad_csv_line_is_rejected_and_the_others_load(
    world: World, content: bytes | str, expected: list[tuple[int, str | None, str | None]]
) -> None:
    world.put(CSV, content)
    report = world.land()
    assert report.refused == ()
    assert [row[:3] for row in world.rejects()] == expected
    assert ("C1", "Anna") in world.names()
    assert report.rejected_count == len(expected)
    assert all(row[3] for row in world.rejects())


@pytest.mark.parametrize(
    "line",
    [
        '{"event_id": "E2"',
        "[1, 2]",
        "5",
        "null",
        '"text"',
        "garbage",
        '{"event_id": "E2"} x',
        '{"event_id": "E2", "event_id": "E3"}',
        '{"event_id": "E\0"}',
        '{"event_id": "E2", "page_url": "a\\u0000b"}',
        '{"event_id": "\\ud800"}',
        '{"event_id": ""}',
        '{"page_url": "x"}',
        '{"event_id": "E2", "occurred_at": "soon"}',
        '{"event_id": "E2", "occurred_at": 5}',
    ],
)
def test_a_bad_json_line_is_rejected_and_the_others_load(world: World, line: str) -> None:
    world.put(JSONL, f'{{"event_id": "E1"}}\n\n{line}\n{{"event_id": "E9"}}')
    report = world.land()
    assert report.refused == ()
    assert [row[0] for row in world.rejects()] == [3]
    assert world.rows("select event_id from raw.web__events order by 1") == [("E1",), ("E9",)]
    assert report.line_count == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param(CSV, (HEADER + GOOD).encode("utf-16"), "UTF-16", id="utf16"),
        pytest.param(CSV, (HEADER + GOOD).encode("utf-16-le"), "UTF-16", id="utf16_without_bom"),
        pytest.param(CSV, (HEADER + GOOD).encode("utf-32"), "UTF-32", id="utf32"),
        pytest.param(
            CSV, (HEADER + GOOD + "C2,Jürgen,\n").encode("latin-1"), "line 3 .*0xFC", id="latin1"
        ),
        pytest.param(
            CSV, "contact_id,größe\n".encode("latin-1"), "header is not UTF-8", id="latin1_header"
        ),
        pytest.param(CSV, b"", "is empty", id="empty"),
        pytest.param(CSV, b"\n\n", "is empty", id="blank_lines_only"),
        pytest.param(CSV, "first_name,email\nA,b\n", "contact_id .*first_name, email", id="no_key"),
        pytest.param(CSV, "contact_id,Email,email \n", "email occurs twice", id="twice"),
        pytest.param(CSV, '"contact_id,first_name\nC1,x\n', "line 1 .*never closed", id="header"),
        pytest.param("crm/contacts/a.csv.gz", b"contact_id\nC1\n", "gzip", id="no_gzip"),
        pytest.param(
            "crm/contacts/a.csv.gz", gzip.compress(b"contact_id\nC1\n")[:-9], "gzip", id="cut_gzip"
        ),
        pytest.param("crm/contacts/a.parquet", b"", "Parquet", id="empty_parquet"),
        pytest.param("crm/contacts/a.parquet", b"contact_id\n", "Parquet", id="no_parquet"),
        pytest.param("crm/contacts/a.parquet", b"PAR1xxxxxxxxPAR1", "Parquet", id="no_footer"),
        pytest.param(JSONL, '{"id": "E1"}\n', "event_id .*id", id="json_without_key"),
        pytest.param(JSONL, '{"event_id": "E1"}'.encode("utf-16"), "UTF-16", id="json_utf16"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_and_the_others_load(
    world: World, name: str, content: bytes | str, words: str
) -> None:
    world.put(name, content)
    world.put("crm/contacts/z.csv", HEADER + GOOD)
    report = world.land()
    (sentence,) = report.refused
    assert sentence.startswith(f"{name} was refused: ")
    assert "\n" not in sentence
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(sentence)
    assert world.names() == [("C1", "Anna")]
    assert world.rejects() == []

    again = world.land()
    assert again.refused == report.refused, "a refused file is told in every run"
    assert again.files_read == 0

    (world.landing / name).unlink()
    assert world.land().refused == ()


@pytest.mark.parametrize("damaged", [slice(200, 400), slice(-300, -200), slice(-100, -20)])
def test_a_damaged_parquet_file_is_refused(world: World, damaged: slice) -> None:
    path = world.put("crm/contacts/a.parquet", "")
    pq.write_table(pa.table({"contact_id": [str(i) for i in range(1000)]}), path)
    content = bytearray(path.read_bytes())
    content[damaged] = b"\xff" * len(content[damaged])
    path.write_bytes(content)
    (sentence,) = world.land().refused
    assert "cannot be read as Parquet" in sentence
    assert ".landing-" not in sentence


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("\ufeff" + HEADER + GOOD, id="utf8_bom"),
        pytest.param("\ufeff" + '"contact_id","first_name"\n"C1","Anna"\n', id="bom_then_quote"),
        pytest.param((HEADER + GOOD).replace("\n", "\r\n"), id="crlf"),
        pytest.param((HEADER + GOOD).replace("\n", "\r"), id="cr"),
        pytest.param(HEADER.replace("\n", "\r\n") + GOOD, id="mixed_line_breaks"),
        pytest.param((HEADER + GOOD).replace(",", ";"), id="semicolon"),
        pytest.param((HEADER + GOOD).replace(",", "\t"), id="tab"),
        pytest.param((HEADER + GOOD).replace(",", "|"), id="bar"),
        pytest.param(" Contact_ID , FIRST_NAME\nC1,Anna\n", id="header_case_and_blanks"),
        pytest.param("\n\n" + HEADER + "\n" + GOOD + "\n   \n", id="blank_lines"),
        pytest.param('contact_id, first_name\nC1, "Anna" \n', id="blanks_around_quotes"),
        pytest.param((HEADER + GOOD).rstrip("\n"), id="no_last_line_break"),
    ],
)
def test_what_other_tools_write_is_read(world: World, content: str) -> None:
    world.put(CSV, content)
    report = world.land()
    assert (report.refused, world.rejects()) == ((), [])
    assert world.names() == [("C1", "Anna")]


def test_a_json_file_with_a_bom_is_read(world: World) -> None:
    world.put(JSONL, '\ufeff{"event_id": "E1"}\r\n{"Event_ID": "E2"}\r\n')
    world.land()
    assert world.rows("select event_id from raw.web__events") == [("E1",)]


def test_a_header_only_file_and_an_empty_json_file_load_with_zero_lines(world: World) -> None:
    world.put(CSV, HEADER)
    world.put(JSONL, "")
    report = world.land()
    assert (report.line_count, report.refused) == (0, ())
    assert [file.outcome for file in report.files] == [Outcome.LOADED, Outcome.LOADED]
    assert any("a.jsonl is empty" in warning for warning in report.warnings)


def test_extra_columns_are_named_and_missing_ones_noted(world: World) -> None:
    world.put(CSV, "shoe_size,contact_id,first_name,\n43,C1,Anna,\n")
    world.put(JSONL, '{"event_id": "E1", "colour": "red"}\n')
    report = world.land()
    assert world.names() == [("C1", "Anna")]
    assert world.rows(
        "select extra_columns, missing_columns from raw.files where feed like 'crm%'"
    )[0][0].startswith("shoe_size, (column 4 has no name)")
    assert "email" in str(world.rows("select missing_columns from raw.files"))
    assert any("shoe_size" in warning for warning in report.warnings)
    assert any("colour" in warning for warning in report.warnings)


def test_a_line_of_3_mb_loads_and_one_of_50_mb_is_rejected(world: World) -> None:
    long, longer = "x" * 3_000_000, "y" * 50_000_000
    world.put(CSV, f'{HEADER}C1,{long},\nC2,{longer},\nC3,"{longer}",\n{GOOD}')
    world.put(
        JSONL,
        f'{{"event_id": "E1", "page_url": "{long}"}}\n{{"event_id": "{longer}"}}\n'
        '{"event_id": "E3"}\n',
    )
    report = world.land()
    assert report.refused == ()
    assert world.rows(
        "select contact_id, strlen(first_name) from raw.crm__contacts order by all"
    ) == [
        ("C1", 4),
        ("C1", 3_000_000),
    ]
    assert world.rows("select event_id from raw.web__events order by 1") == [("E1",), ("E3",)]
    texts = world.rows("select reason, line_text from raw.rejects")
    assert len(texts) == 3
    for reason, text in texts:
        assert "50,0" in reason
        assert len(text) < 11_000
        assert "bytes in all" in text


def test_numbers_and_nested_values_become_their_json_text(world: World) -> None:
    world.put(
        "support/tickets/a.jsonl",
        '{"ticket_id": 7, "csat_score": 5, "subject": {"a": [1, null]}, "body": null,'
        ' "channel": true, "status": ""}\n',
    )
    world.land()
    assert world.rows(
        "select ticket_id, csat_score, subject, body, channel, status from raw.support__tickets"
    ) == [("7", "5", '{"a":[1,null]}', None, "true", None)]


def test_parquet_values_become_iso_text_and_a_bad_row_has_its_number(world: World) -> None:
    path = world.put("crm/contacts/a.parquet", "")
    pq.write_table(
        pa.table(
            {
                "Contact_ID": pa.array([1, None, 3], pa.int64()),
                "updated_at": pa.array([LOADED_AT] * 3, pa.timestamp("us", "Europe/Berlin")),
                "is_deleted": [True, False, None],
            }
        ),
        path,
    )
    world.land()
    assert world.rows("select contact_id, updated_at, is_deleted from raw.crm__contacts") == [
        ("1", "2026-03-01 12:00:00+00", "true"),
        ("3", "2026-03-01 12:00:00+00", None),
    ]
    assert [row[:2] for row in world.rejects()] == [(2, "contact_id")]


def test_the_same_row_in_csv_json_and_parquet_is_one_row(world: World) -> None:
    world.put("crm/contacts/a.csv", HEADER + GOOD)
    world.put(
        "crm/contacts/b.jsonl",
        '{"first_name":"Anna","contact_id":"C1","updated_at":"2026-01-01T00:00:00Z"}\n',
    )
    table = pa.table(
        {"contact_id": ["C1"], "first_name": ["Anna"], "updated_at": ["2026-01-01T00:00:00Z"]}
    )
    pq.write_table(table, world.put("crm/contacts/c.parquet", ""))
    with gzip.open(world.landing / "crm/contacts/d.csv.gz", "wt") as out:
        out.write(HEADER + GOOD)
    report = world.land()
    assert (report.loaded_count, report.new_row_count) == (4, 1)
    assert world.rows("select _source_file from raw.crm__contacts") == [("crm/contacts/a.csv",)]


@pytest.mark.parametrize(
    "name",
    ["a[1]*?.csv", 'it\'s "quoted".csv', "new\nline.csv", "ünï☃.csv", "{a,b}$x;.csv", "%20 .csv"],
)
def test_any_file_name_is_only_a_name(world: World, name: str) -> None:
    world.put(f"crm/contacts/{name}", HEADER + GOOD)
    world.put("crm/contacts/a1.csv", HEADER + GOOD.replace("C1", "C2"))
    world.land()
    assert (f"crm/contacts/{name}", 1) in world.rows(
        "select _source_file, count(*) from raw.crm__contacts group by 1"
    )


def test_a_file_name_that_is_not_utf8_is_written_out(world: World) -> None:
    folder = os.fsencode(world.put("crm/contacts/ok.csv", HEADER).parent)
    Path(os.fsdecode(folder + b"/\xff.csv")).write_text(HEADER + GOOD)
    world.land()
    assert world.rows("select _source_file from raw.crm__contacts") == [
        ("crm/contacts/\\udcff.csv",)
    ]


def test_a_file_removed_or_replaced_while_landing_is_told_and_not_loaded(world: World) -> None:
    world.put("crm/contacts/a.csv", HEADER + GOOD)
    gone = world.put("web/events/gone.jsonl", '{"event_id": "E1"}\n')
    changed = world.put("web/events/changed.jsonl", '{"event_id": "E2"}\n')
    world.put("web/events/stays.jsonl", '{"event_id": "E3"}\n')

    def interfere(message: str) -> None:
        if message.startswith("crm/contacts"):
            gone.unlink()
            changed.write_text('{"event_id": "E4", "page_url": "longer"}\n')

    report = world.land(progress=interfere)
    assert world.rows("select event_id from raw.web__events") == [("E3",)]
    assert sum("nothing of it was loaded" in warning for warning in report.warnings) == 2
    assert world.land().new_row_count == 1
    assert world.rows("select event_id from raw.web__events order by 1") == [("E3",), ("E4",)]


def test_what_is_no_feed_is_told_with_a_hint(world: World) -> None:
    world.put(CSV, HEADER + GOOD)
    for name in ("crn/contacts/a.csv", "crm/contact/a.csv", "readme.txt", "crm/contacts/a.xlsx"):
        world.put(name, "x")
    for name in (".gitkeep", "crm/contacts/.DS_Store", "crm/contacts/b.csv.part", "crm/c.tmp"):
        world.put(name, "x")
    (world.landing / "crm/contacts/dangling.csv").symlink_to("/nowhere")
    os.mkfifo(world.landing / "crm/contacts/pipe.csv")
    warnings = "\n".join(world.land().warnings)
    assert warnings.count("\n") == 5
    assert "crn/contacts is no feed; did you mean crm/contacts?" in warnings
    assert "crm/contact is no feed; did you mean crm/contacts?" in warnings
    assert all(
        part in warnings for part in ("readme.txt", "a.xlsx", "link to nothing", "regular file")
    )


def test_a_link_to_a_folder_above_does_not_go_in_circles(world: World) -> None:
    world.put("crm/contacts/deep/er/a.csv", HEADER + GOOD)
    (world.landing / "crm/contacts/deep/loop").symlink_to(world.landing / "crm/contacts")
    assert world.land().files_seen == 1


def test_a_landing_that_cannot_be_read_names_the_variable_to_set(world: World) -> None:
    file = world.put("file", "x")
    for landing in (world.landing / "missing", file, world.landing):
        with pytest.raises(LandingError, match=r"WAREHOUSE_LANDING") as error:
            land(world.connection, landing, load_id="x", loaded_at=LOADED_AT)
        assert str(landing) in str(error.value)


def test_a_full_disk_is_not_blamed_on_the_file(world: World) -> None:
    world.put(CSV, HEADER + "".join(f"C{i},{'x' * 1000},\n" for i in range(20_000)))
    world.connection.execute("set memory_limit = '5MB'; set max_temp_directory_size = '0MB'")
    with pytest.raises(duckdb.OutOfMemoryException):
        world.land()
