"""Labelled comments through the warehouse's own models, and sentences for what is no use."""

from pathlib import Path

import duckdb
import pytest

from benchmarks.bench_feedback import Counted, main, parsed, read_comments
from benchmarks.mapped import MappedFile, load_text

LINES = [
    "Great phone, I love it!\t1",
    "The \"best\" one; it's 5, 000 times better, isn't it?\t1",
    "Terrible.\tIt broke, I hate it\t0",
    'It is fine\\, really "\t0',
    "It took three weeks.\t0",
    "It took three weeks.\t0",
    "",
    "Läuft super, die Qualität stimmt und passt\t1",
    "\t1",
    "Nobody said what this is",
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the command prints for LINES."""
    folder = tmp_path_factory.mktemp("bench")
    path = folder / "said.of us.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda *texts, **_: printed.append(" ".join(texts)))
        assert main(["--comments", str(path), "--layout", "lines", "--out", str(folder)]) == 0
    assert [left.name for left in folder.iterdir()] == [path.name]
    return "\n".join(printed)


def test_labelled_comments_are_rated_by_the_models_of_the_warehouse(told: str) -> None:
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines()]
    assert ["positive", "2", "0", "0", "1"] in cells
    assert ["not positive", "1", "0", "1", "2"] in cells
    assert "7 comments, 2 rows left out" in told


def test_a_comment_is_called_positive_or_not_and_the_unknown_ones_are_not(told: str) -> None:
    lines = dict(line.rsplit(maxsplit=1) for line in told.splitlines() if line.startswith("acc"))
    assert lines == {
        "accuracy, positive or not": f"{5 / 7:.4f}",
        "accuracy where it is one or other": "0.7500",
    }


def test_an_accuracy_where_nothing_was_decided_is_none() -> None:
    counted = Counted({(True, "unknown"): 3, (False, "neutral"): 1}, left_out=0)
    assert counted.accuracy == 0.25
    assert counted.decided_accuracy is None


def test_a_line_is_split_at_its_last_tab_and_nothing_else_is_special(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text('a\tb"\tc\n"quoted, still\t1\nno tab\n\t\n"",\\\t\n', encoding="utf-8")
    with duckdb.connect() as connection:
        load_text(connection, MappedFile("surveys/responses", path, {}, layout="lines"))
        rows = connection.execute("select c1, c2 from file order by _number").fetchall()
    assert rows == [
        ('a\tb"', "c"),
        ('"quoted, still', "1"),
        ("no tab", None),
        ("", ""),
        ('"",\\', ""),
    ]


def test_other_names_delimiters_and_labels_are_read_and_labels_not_asked_for_left_out(
    tmp_path: Path,
) -> None:
    path, target = tmp_path / "reviews.csv", tmp_path / "comments.parquet"
    options = ["--map", "comment=said label=stars", "--positive", "4, 5", "--negative", "1,2"]
    path.write_text('stars;said\n5;"so; so"\n3;fine\n1;"a ""b"""\n ;x\n')
    read_comments(parsed(["--comments", str(path), *options]), target)
    rows = duckdb.sql(
        f"select comment, is_positive from '{target}' order by response_id"
    ).fetchall()
    assert rows == [("so; so", True), ("fine", None), ('a "b"', False), ("x", None)]


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (None, [], "There is no file"),
        ("", [], "said.csv is empty."),
        ("comment,label\n", [], "has no row with a label"),
        ("comment,label\nx,\n", [], "has no row with a label"),
        ("said,label\nx,1\n", [], "has no column 'comment'; it has said, label."),
        ("comment,label\nx,1\ny,maybe\n", [], "row 2: the label 'maybe' is neither positive"),
        ("comment,label\nx,1\n", ["--map", "comment"], "The map says 'comment'"),
        ("comment,label\nx,1\n", ["--map", "label=label"], "The map fills label: say comment="),
        ("comment,label\nx,1\n", ["--positive", "1"], "Say both POSITIVE and NEGATIVE"),
        (
            "comment,label\nx,1\n",
            ["--positive", "1,A", "--negative", "a"],
            "The label 'a' cannot be positive and negative.",
        ),
        ("comment,label\nx,1\n", ["--positive", "7", "--negative", "8"], "has no row with a label"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    options: list[str],
    sentence: str,
) -> None:
    path = tmp_path / "said.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert main(["--comments", str(path), "--out", str(tmp_path / "out"), *options]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.splitlines()) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_binary_file_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "said.txt"
    path.write_bytes(b"\xff\xfe\x00caf\xe9\t1\n")
    options = ["--layout", "lines", "--out", str(tmp_path / "out")]
    assert main(["--comments", str(path), *options]) == 2
    assert "cannot be read" in capsys.readouterr().err
