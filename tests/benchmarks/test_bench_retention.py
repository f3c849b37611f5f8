"""The retention benchmark on small files, and its sentences for what it cannot use."""

from pathlib import Path

import pytest

from benchmarks.bench_retention import main

ORDERS = """who;when;paid;state
a;01.02.2018;10.00;placed
a;01.02.2018;10.00;placed
a;08.02.2018;-3.50;completed
b;02.02.2018;5;completed
c;28.02.2018;;placed
d;01.03.2018;1;completed
;15.02.2018;9;completed
b;20.04.2018;8;placed
"""
MAP = "customer_id=who ordered_at=when total_amount=paid status=state"
USABLE = ["--orders", "x.csv", "--map", MAP]


def asked(tmp_path: Path, *arguments: str) -> list[str]:
    return ["--out", str(tmp_path), *arguments]


def test_a_small_file_is_predicted_by_recency_and_returns_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    arguments = ["--orders", str(path), "--map", MAP, "--calibration-end", "2018-02-28"]
    arguments += ["--holdout-end", "2018-04-30", "--window-start", "2018-02-01"]
    arguments += ["--window-end", "2018-03-01", "--return-days", "0,7,14"]
    assert main(asked(tmp_path, *arguments, "--return-statuses", "Completed")) == 0
    cells = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in capsys.readouterr().out.splitlines()
    ]
    assert ["1 lines of orders.csv without customer_id are left out."] in cells
    # two orders of one day are one purchase day; the one of March is not known yet
    assert ["2018-02-28", "3", "1", "2"] in cells
    assert any(line[0].startswith("Published by recency: MBG/NBD is not fitted") for line in cells)
    (holdout,) = [line for line in cells if line[0] == "2018-04-30"]
    assert holdout[1] == "1"
    assert ["0", "3", "2", "0.666667", "3", "0.666667"] in cells
    assert ["7", "3", "1", "0.333333", "2", "0.500000"] in cells
    assert ["14", "3", "0", "0.000000", "2", "0.000000"] in cells
    assert [entry.name for entry in tmp_path.iterdir()] == ["orders.csv"]


def test_a_file_without_a_purchase_that_is_known_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("who;when;paid;state\n")
    arguments = ["--orders", str(path), "--map", MAP, "--calibration-end", "2018-02-28"]
    assert main(asked(tmp_path, *arguments)) == 2
    told = capsys.readouterr().err
    assert told == f"{path} holds no purchase of a customer up to 2018-02-28.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say with ORDERS which file holds the orders."),
        (["--orders", "x.csv"], "The map is empty"),
        (["--orders", "x.csv", "--map", "customer_id"], "'customer_id', which is not ours=theirs"),
        (["--orders", "x.csv", "--map", "customer_id=a"], "The map fills no ordered_at"),
        (["--orders", "x.csv", "--layout", "json"], "LAYOUT is 'json'"),
        (USABLE, "Say CALIBRATION_END"),
        ([*USABLE, "--window-end", "2018-01-01"], "both WINDOW_START"),
        (
            [*USABLE, "--calibration-end", "30.9.1997"],
            "CALIBRATION_END is '30.9.1997', which is no date like",
        ),
        (
            [*USABLE, "--calibration-end", "2018-01-01", "--holdout-end", "2018-01-01"],
            "HOLDOUT_END 2018-01-01 is not after CALIBRATION_END 2018-01-01",
        ),
        (
            [*USABLE, "--window-start", "2018-01-02", "--window-end", "2018-01-02"],
            "WINDOW_END 2018-01-02 is not after WINDOW_START 2018-01-02",
        ),
        (
            [
                *(*USABLE, "--window-start", "2018-01-01", "--window-end", "2018-01-02"),
                *("--return-days", "7,soon"),
            ],
            "RETURN_DAYS has 'soon'",
        ),
        (
            [*USABLE, "--calibration-end", "2018-01-01"],
            "There is no file x.csv",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(tmp_path, *arguments)) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
