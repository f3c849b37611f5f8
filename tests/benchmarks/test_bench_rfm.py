"""`make bench-rfm`: foreign orders through the models, and what it says of files it cannot use."""

from pathlib import Path

import pytest

from benchmarks import bench_rfm
from benchmarks.bench_rfm import COLUMNS, RangesError, read_ranges

MAP = "customer_id=who ordered_at=when total_amount=paid"
HEADER = ",".join(COLUMNS) + "\n"

# Five customers; the sixth bought only after the day.
ORDERS = """\
who;when;paid
ann;31.01.2026;100
ann;01.02.2026;100
ann;01.03.2026;100
ben;01.02.2026;50
ben;01.02.2026;50
cyd;01.01.2026;20
dan;01.12.2025;10
eve;01.11.2025;-5
fay;02.03.2026;999
"""


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = bench_rfm.main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS, encoding="utf-8")
    return path


def test_foreign_orders_are_scored_by_quintile_and_fall_into_the_given_ranges(
    capsys: pytest.CaptureFixture[str], orders: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "ranges.csv"
    rules.write_text(HEADER + "2,Rest,1,5,1,2,1,5\n1,Best,5,5,4,5,5,5\n7,None,1,1,5,5,5,5\n")
    code, out, err = bench(
        capsys,
        *("--orders", str(orders), "--map", MAP, "--as-of", "2026-03-01", "--rules", str(rules)),
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[3:] == [
        "| segment | customers | orders | revenue |",
        "|---|---:|---:|---:|",
        "| Best | 1 | 3 | 300.00 |",
        "| Rest | 3 | 3 | 25.00 |",
        "| None | 0 | 0 | 0.00 |",
        "| Other | 1 | 2 | 100.00 |",
        "| all | 5 | 8 | 425.00 |",
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--orders": "none.csv"}, "There is no file none.csv"),
        ({"--orders": ""}, "Say with ORDERS=file.csv"),
        ({"--map": ""}, "The map is empty"),
        ({"--map": "customer_id"}, "'customer_id', which is not ours=theirs"),
        ({"--map": "customer_id=who ordered_at=when"}, "The map does not fill 'total_amount'"),
        ({"--map": MAP.replace("who", "whom")}, "has no column 'whom'; it has who, when, paid"),
        ({"--as-of": "1.3.2026"}, "AS_OF='1.3.2026' is no day"),
        ({"--as-of": "2026-02-30"}, "AS_OF='2026-02-30' is no day"),
        ({"--segment": "Champion"}, "No rule makes the segment 'Champion'; there are Champions,"),
        ({"--rules": "none.csv"}, "none.csv cannot be read"),
        ({"--time-format": "%Y"}, "is no time that %Y reads"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], orders: Path, changes: dict[str, str], sentence: str
) -> None:
    asked = {"--orders": str(orders), "--map": MAP} | changes
    code, out, err = bench(capsys, *(word for pair in asked.items() for word in pair))
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("who;when;paid\n", "no order with a time"),
        ("", "orders.csv is empty."),
        ("who;when;paid\nann;soon;1\n", "'soon' is no time"),
        ("who;when;paid\nann;2026-01-01;much\n", "Not every line landed"),
    ],
)
def test_orders_that_cannot_be_used_are_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(text)
    code, _, err = bench(capsys, "--orders", str(path), "--map", MAP)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: no column 'priority'"),
        (HEADER, "has no rule"),
        (HEADER.replace("segment", "name"), "line 1: no column 'segment'"),
        (HEADER.strip() + ",more\n", "line 1: unknown column 'more'"),
        (HEADER + "1,Best,5,5,5,5,5\n", "line 2: not 8 cells"),
        (HEADER + "1,Best,5,5,5,5,5,5,5\n", "line 2: not 8 cells"),
        (HEADER + "1,Best,5,5,5,5,5,6\n", "line 2, column max_monetary: 6 is no score from 1 to 5"),
        (HEADER + "1,Best,5,4,5,5,5,5\n", "line 2, column min_recency: 5 is above max_recency"),
        (HEADER + "first,Best,5,5,5,5,5,5\n", "line 2, column priority: 'first' is no whole"),
        (HEADER + "1,,5,5,5,5,5,5\n", "line 2, column segment: it is blank"),
        (HEADER + "1,A,5,5,5,5,5,5\n1,B,5,5,5,5,5,5\n", "line 3, column priority: 1 is taken"),
    ],
)
def test_ranges_that_cannot_be_used_are_named_with_line_and_column(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "ranges.csv"
    path.write_text(text)
    with pytest.raises(RangesError) as raised:
        read_ranges(path)
    assert sentence in str(raised.value)


def test_ranges_are_asked_by_priority_and_a_name_may_come_twice(tmp_path: Path) -> None:
    path = tmp_path / "ranges.csv"
    path.write_text(HEADER + "9,B,1,5,1,5,1,5\n1,A,5,5,5,5,5,5\n5,A,4,4,4,4,4,4\n")
    assert read_ranges(path) == ["A", "B"]
