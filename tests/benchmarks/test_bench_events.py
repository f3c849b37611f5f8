import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import bench_funnel, bench_sessions, mapped
from orchestration.settings import Settings
from orchestration.transform.dbt import parse, target_folder

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# Seconds and milliseconds since 1970, in another order, a line twice, a value with the delimiter.
SESSIONS = """\
when;visitor;what;src
1767225600000;ann;page_view;"news;letter"
1767227400000;ann;page_view;
1767227400000;ann;page_view;
1767229200001;ann;order;
1767225600000;bob;page_view;
;bob;page_view;
1767225600000;;page_view;
"""
MAP = "anonymous_id=visitor occurred_at=when event_type=what utm_source=src"
ORDERS = """\
id,customer_id,order_date,status
1,1,2018-01-01,placed
2,1,2018-01-01,Completed
3,2,2018-01-02,placed
4,3,2018-01-01,completed
5,3,2018-01-02,placed
"""


@pytest.fixture
def parsed_before(parsed_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every build starts from one parse of the project: 6 CPU seconds less each."""

    def parse_again(settings: Settings) -> "Manifest":
        shutil.copytree(parsed_project, target_folder(settings))
        return parse(settings)

    monkeypatch.setattr(mapped, "parse", parse_again)


@pytest.mark.usefixtures("parsed_before")
def test_sessions_of_a_foreign_file_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(SESSIONS.encode()))
    assert bench_sessions.main(["--events", str(path), "--map", MAP, "--out", str(tmp_path)]) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "| events | 7 |",
        "| left out: no_time | 1 |",
        "| left out: no_visitor | 1 |",
        "| visitors | 2 |",
        "| sessions | 3 |",
    ):
        assert line in printed


@pytest.mark.usefixtures("parsed_before")
def test_a_funnel_of_a_foreign_file_is_counted_and_an_unknown_step_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    mapping = "user_id=customer_id occurred_at=order_date event_type=status event_id=id"
    steps = "placed, completed, returned"
    told = ["--events", str(path), "--map", mapping, "--steps", steps, "--out", str(tmp_path)]
    assert bench_funnel.main(told) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "| placed | 3 | 1.0000 | |" in printed
    assert "| completed | 1 | 0.3333 | 0.3333 |" in printed
    assert "| returned | 0 | 0.0000 | 0.0000 |" in printed
    assert "No event is returned; there are placed, completed." in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"events": None}, "Say with EVENTS which file holds the events."),
        ({"events": "gone.csv"}, "There is no file"),
        ({"map": ""}, "The map is empty"),
        ({"map": "occurred_at=when event_type=what"}, "does not say whose an event is"),
        ({"map": "anonymous_id=visitor event_type=what"}, "does not fill occurred_at"),
        ({"map": MAP.replace("=src", "=source")}, "has no column 'source'; it has when, visitor"),
        ({"map": MAP.replace("utm_source", "utm")}, "The map fills 'utm', but the columns of"),
        ({"map": MAP.replace("=when", "=visitor")}, "'ann' is no time that"),
        ({"time-format": "%Q"}, "TIME_FORMAT is '%Q', which is no format"),
        ({"as-of": "yesterday"}, "AS_OF is 'yesterday', which is no day"),
        ({"gap-minutes": "half an hour"}, "GAP_MINUTES is 'half an hour'"),
        ({"gap-minutes": "0"}, "GAP_MINUTES is '0'"),
        ({"gap-minutes": "nan"}, "GAP_MINUTES is 'nan'"),
        ({"zone": "Berlin"}, "ZONE is 'Berlin', which is no time zone"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(
    options: dict[str, str | None],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(SESSIONS)
    told = {"events": str(path), "map": MAP, "out": str(tmp_path)} | options
    given = [part for name, value in told.items() if value for part in (f"--{name}", value)]
    assert bench_sessions.main(given) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("steps", ["", " ", "view,,order", ","])
def test_steps_that_are_none_are_refused(
    steps: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_funnel.main(["--events", "any.csv", "--map", MAP, "--steps", steps]) == 2
    assert "say event types in the order of the funnel" in capsys.readouterr().err
