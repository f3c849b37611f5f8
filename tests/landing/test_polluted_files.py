"""Whatever is wrong with a file, it loads exactly or somebody is told; the bench judges both."""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.bench_files import Bench, Outcome, judge_folder, judge_json_suite, judge_pollutions
from benchmarks.pollution import EXAMPLE, Table, pollutions
from tests.landing.conftest import World

SMALL = Table(
    ("item_id", "price", "day", "note"),
    (
        ("A-1", "12.50", "2026-01-31", "Größe, rot"),
        ("A-2", "1234.00", "2026-02-01", ""),
        ("A-3", "7.25", "2026-02-02", "He said hello"),
    ),
)
EVERY = 3
"""Every third variant: a hundred of them; `make bench-files POLLUTE=1` judges all."""


def test_no_polluted_file_is_loaded_wrong_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list(pollutions(SMALL))
    assert len({pollution.name for pollution in made}) == len(made) > 250
    monkeypatch.setattr("benchmarks.bench_files.pollutions", lambda _: made[::EVERY])
    verdicts = list(judge_pollutions(SMALL))
    bad = [v for v in verdicts if v.outcome in (Outcome.WRONG, Outcome.CRASHED, Outcome.UNLIKE)]
    assert bad == []
    counts = Counter(verdict.outcome for verdict in verdicts)
    assert counts[Outcome.EXACT] >= 10
    assert all(v.detail for v in verdicts if v.outcome is not Outcome.EXACT)


def test_a_clean_table_is_loaded_exactly_in_every_honest_dress() -> None:
    names = {
        *("delimiter_semicolon.csv", "delimiter_comma_blank.csv", "quotes_everywhere.csv"),
        *("encoding_utf8_bom.csv", "between_blank.csv", "ends_cr.csv", "ends_crcrlf.csv"),
        *("header_upper.csv", "header_other_order.csv", "file_good.csv.gz", "file_array.json"),
        *("file_pretty_array.json", "file_lines.jsonl", "multi_line_quoted_column2.csv"),
    }
    with Bench() as bench:
        verdicts = {
            made.name: bench.judge(made.name, made.content, made.twin)
            for made in pollutions(EXAMPLE)
            if made.name in names
        }
    assert set(verdicts) == names
    assert {v.name: v for v in verdicts.values() if v.outcome is not Outcome.EXACT} == {}


def test_the_bench_calls_a_wrong_row_wrong_and_a_lost_row_lost(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "clean").mkdir()
    clean = "id,name\n1,Anna\n2,Ben\n"
    cases = {
        "exact": clean,
        "changed": clean.replace("Ben", "Ban"),
        "lost": "id,name\n1,Anna\n",
        "more": clean + "3,Cleo\n",
        "ragged": "id,name\n1,Anna\n2,Ben,x\n",
        "refused": clean.replace("name", "first"),
    }
    for name, content in cases.items():
        (tmp_path / "bad" / f"{name}.csv").write_text(content)
        (tmp_path / "clean" / f"{name}.csv").write_text(clean)
    (tmp_path / "bad" / "unlike.csv").write_text(clean.replace("Ben", "Zoe"))
    (tmp_path / "clean" / "unlike.json").write_text(
        json.dumps([{"id": "1", "name": "Anna"}, {"id": "2", "name": "Ben"}])
    )
    found = {v.name: v.outcome for v in judge_folder(tmp_path / "bad", tmp_path / "clean")}
    assert found == {
        "exact.csv": Outcome.EXACT,
        "changed.csv": Outcome.UNLIKE,
        "lost.csv": Outcome.WRONG,
        "more.csv": Outcome.WRONG,
        "ragged.csv": Outcome.REJECTED,
        "refused.csv": Outcome.REFUSED,
        "unlike.csv": Outcome.UNLIKE,
    }


def test_json_values_that_are_valid_land_and_others_do_not(tmp_path: Path) -> None:
    cases = {
        "y_string.json": '"text"',
        "y_nul.json": '["\\u0000"]',
        "y_lines.json": '{"a":\n[1, {"b": null}]\n}',
        "y_twice.json": '{"a": 1, "a": 2}',
        "n_nan.json": "[NaN]",
        "n_comma.json": "[1,]",
        "n_infinity.json": "-Infinity",
        "n_nothing.json": "",
        "n_deep.json": "[" * 100_000,
        "n_second.json": "{}}",
        "n_bytes.json": '["\udcff"]',
        "i_surrogate.json": '{"\\uDC00": 0}',
        "i_latin.json": '["\udce9"]',
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    verdicts = list(judge_json_suite(tmp_path))
    assert len(verdicts) == len(cases)
    assert [v for v in verdicts if v.outcome in (Outcome.WRONG, Outcome.CRASHED)] == []
    assert {v.outcome for v in verdicts if v.name.startswith("y_")} == {Outcome.EXACT}


@pytest.mark.parametrize(
    ("content", "events", "rejected"),
    [
        ('[{"event_id": "E1"}, {"event_id": "E2", "page_url": {"a": [1]}}]', ["E1", "E2"], []),
        ('[\n  {\n    "event_id": 1\n  },\n  {"event_id": 2}\n]\n', ["1", "2"], []),
        ('{\n  "event_id": "E1"\n}', ["E1"], []),
        ('[\n{"event_id": "E1"},\n5,\n{"event_id": ""}\n]', ["E1"], [3, 4]),
        ('[{"event_id": "E1"},\n{"event_id": "E2", "occurred_at": "soon"}]', ["E1"], [2]),
        ("[]", [], []),
    ],
)
def test_a_json_array_is_read_element_by_element(
    world: World, content: str, events: list[str], rejected: list[int]
) -> None:
    world.put("web/events/a.json", content)
    report = world.land()
    assert report.refused == ()
    assert [row[0] for row in world.rows("select event_id from raw.web__events order by 1")] == (
        events
    )
    assert [row[0] for row in world.rejects()] == rejected


@pytest.mark.parametrize(
    "line", ['{"event_id": "E2", "x": NaN}', '{"event_id": "E2",}', '{"event_id": "E2", "x": [1,]}']
)
def test_json_lines_are_read_as_strictly_as_the_standard_says(world: World, line: str) -> None:
    world.put("web/events/a.jsonl", f'{{"event_id": "E1"}}\n{line}\n{{"event_id": "E3"}}\n')
    world.land()
    assert world.rows("select event_id from raw.web__events order by 1") == [("E1",), ("E3",)]
    assert [row[0] for row in world.rejects()] == [2]
