"""Retention of a foreign file's customers, told by the same models as everybody's.

    make bench-retention ORDERS=file.csv MAP="customer_id=user ordered_at=day total_amount=paid" \\
        CALIBRATION_END=1997-09-30 HOLDOUT_END=1998-06-30
    make bench-retention ORDERS=file.csv MAP="customer_id=user ordered_at=day status=state" \\
        WINDOW_START=2018-01-01 WINDOW_END=2018-02-01 RETURN_DAYS=0,1,7,14 RETURN_STATUSES=completed

The first lands the file and builds the marts as of CALIBRATION_END, with the holdout for horizon of
the churn probability; what came after that day is landed too, and unknown to the models. Prints the
customers, the fits, and predictions beside what came. The second prints who came back within a
window. Lines without customer or time are left out. LAYOUT=whitespace reads a file without header,
whose columns are then c1, c2, ...
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.mapped import MappedFile, MappedFileError, build_marts, opened, parse_map
from orchestration.settings import PROJECT_ROOT
from orchestration.transform.dbt import TransformError

MODELS = ("customer_retention", "customer_value", "retention_model_fits")
PARAMETERS: Mapping[str, Sequence[str]] = {
    "bg_nbd": ("r", "alpha", "a", "b"),
    "mbg_nbd": ("r", "alpha", "a", "b"),
    "gamma_gamma": ("p", "q", "v"),
}
MARTS = "release_candidate.marts"


@dataclass(frozen=True)
class Question:
    """What is asked of a file: predictions, returns within a window, or both."""

    file: MappedFile
    as_of: date
    holdout_end: date | None
    window: tuple[date, date] | None
    return_days: tuple[int, ...]
    return_statuses: tuple[str, ...]

    @property
    def variables(self) -> dict[str, object]:
        """Variables of dbt, instead of those in dbt_project.yml."""
        told: dict[str, object] = {}
        if self.holdout_end is not None:
            told["churn_horizon_days"] = (self.holdout_end - self.as_of).days
        if self.window is not None:
            start, end = self.window
            told |= {
                "return_window_start": start.isoformat(),
                "return_window_end": end.isoformat(),
                "return_statuses": list(self.return_statuses),
            }
            if self.return_days:
                told["return_days"] = list(self.return_days)
        return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer what was asked. Returns 0, 1 when a model failed, 2 for what cannot be used."""
    options = parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="retention-", dir=options.out))
    try:
        question = question_of(options)
        models = [*MODELS] if options.calibration_end else []
        models += ["purchase_retention"] if question.window else []
        settings = build_marts(
            [question.file],
            work,
            as_of=question.as_of,
            models=models,
            variables=question.variables,
        )
        with opened(settings) as connection:
            require_purchases(connection, question)
            print(
                f"{question.file.path.name}, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores"
            )
            if options.calibration_end:
                print_predictions(connection, question)
            if question.window:
                print_returns(connection)
    except MappedFileError as error:
        print(error, file=sys.stderr)
        return 2
    except TransformError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--orders", default="", help="CSV, Parquet or text of orders")
    command.add_argument("--map", default="", help="ours=theirs, columns of the feed shop/orders")
    command.add_argument("--layout", default="csv", help="csv, or whitespace")
    command.add_argument("--time-format", help="of ordered_at, for example %%d/%%m/%%Y")
    command.add_argument("--calibration-end", help="last day that the models know")
    command.add_argument("--holdout-end", help="last day that is predicted")
    command.add_argument("--window-start", help="first day of a window of returns")
    command.add_argument("--window-end", help="first day after it")
    command.add_argument("--return-days", default="", help="0,1,7,14")
    command.add_argument("--return-statuses", default="", help="statuses that count as a return")
    command.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    return command


def question_of(options: argparse.Namespace) -> Question:
    """Check the command line. Raises MappedFileError with a sentence for what does not fit."""
    if not options.orders:
        raise MappedFileError("Say with ORDERS which file holds the orders.")
    if options.layout not in ("csv", "whitespace"):
        raise MappedFileError(f"LAYOUT is {options.layout!r}; it can be csv or whitespace.")
    mapping = parse_map(options.map)
    for column in ("customer_id", "ordered_at"):
        if column not in mapping:
            raise MappedFileError(f"The map fills no {column}: say {column}=<column of the file>.")
    window = window_of(options)
    as_of, holdout_end = days_of(options, window)
    if window and window[0] > as_of:
        raise MappedFileError(f"WINDOW_START {window[0]} is after CALIBRATION_END {as_of}.")
    return Question(
        MappedFile(
            "shop/orders",
            Path(options.orders),
            mapping,
            layout=options.layout,
            time_format=options.time_format,
            required=("customer_id", "ordered_at"),
        ),
        as_of,
        holdout_end,
        window,
        tuple(whole_days(part) for part in options.return_days.split(",") if part.strip()),
        tuple(part.strip() for part in options.return_statuses.lower().split(",") if part.strip()),
    )


def window_of(options: argparse.Namespace) -> tuple[date, date] | None:
    """Return first day and end of the window, None when none is asked for."""
    if not (options.window_start or options.window_end):
        return None
    if not (options.window_start and options.window_end):
        raise MappedFileError("A window needs both WINDOW_START and WINDOW_END.")
    start, end = day(options.window_start, "WINDOW_START"), day(options.window_end, "WINDOW_END")
    if start >= end:
        raise MappedFileError(f"WINDOW_END {end} is not after WINDOW_START {start}.")
    return start, end


def days_of(
    options: argparse.Namespace, window: tuple[date, date] | None
) -> tuple[date, date | None]:
    """Return the last day that is known, and the last that is predicted, if any."""
    if not options.calibration_end:
        if window is None:
            raise MappedFileError(
                "Say CALIBRATION_END, the last day that the models know, or a window of returns"
                " with WINDOW_START and WINDOW_END."
            )
        if options.holdout_end:
            raise MappedFileError("HOLDOUT_END says what to predict, CALIBRATION_END from when.")
        return window[1] - timedelta(days=1), None
    as_of = day(options.calibration_end, "CALIBRATION_END")
    if not options.holdout_end:
        return as_of, None
    holdout_end = day(options.holdout_end, "HOLDOUT_END")
    if holdout_end <= as_of:
        raise MappedFileError(f"HOLDOUT_END {holdout_end} is not after CALIBRATION_END {as_of}.")
    return as_of, holdout_end


def day(text: str, name: str) -> date:
    """Read an ISO date. Raises MappedFileError."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise MappedFileError(f"{name} is {text!r}, which is no date like 2026-06-30.") from error


def whole_days(text: str) -> int:
    """Read a number of days, 0 or more. Raises MappedFileError."""
    if not text.strip().isdecimal():
        raise MappedFileError(f"RETURN_DAYS has {text.strip()!r}, which is no number of days.")
    return int(text)


def require_purchases(connection: duckdb.DuckDBPyConnection, question: Question) -> None:
    """Raise MappedFileError when the models had nothing to look at."""
    (found,) = connection.execute(
        f"select count(*) from {MARTS}.orders where is_purchase and customer_id is not null"
        f" and ordered_at < date '{question.as_of}' + 1"
    ).fetchall()[0]
    if not found:
        raise MappedFileError(
            f"{question.file.path} holds no purchase of a customer up to {question.as_of}."
        )


def print_predictions(connection: duckdb.DuckDBPyConnection, question: Question) -> None:
    """Print customers, fits, and predictions beside the holdout."""
    customers, repeats, single = one_row(
        connection,
        "select count(*), sum(repeat_count), count(*) filter (where repeat_count = 0)"
        " from intermediate.int_purchase_histories_summarised",
    )
    table(
        ("known on", "customers", "repeat purchases", "customers without repeat"),
        [(f"{question.as_of}", f"{customers:,}", f"{repeats:,}", f"{single:,}")],
    )
    fits = {
        (model, name): (value, status)
        for model, name, value, status in connection.execute(
            f"select model, name, value, status from {MARTS}.retention_model_fits"
            f" where fitted_on = date '{question.as_of}'"
        ).fetchall()
    }
    print_fits(fits)
    (method, reason) = (fits["published", name][1] for name in ("method", "reason"))
    print(f"\nPublished by {method}: {reason}.")
    print_backtest(fits)
    if question.holdout_end is not None:
        print_holdout(connection, question)


def print_fits(fits: Mapping[tuple[str, str], tuple[float | None, str | None]]) -> None:
    """Print the parameters of each model, or why it has none."""
    rows = []
    for model, names in PARAMETERS.items():
        status = fits.get((model, "converged"), (None, "nothing to fit"))[1]
        values = [fits.get((model, name), (None, None))[0] for name in names]
        told = ", ".join(
            f"{name} {value:.3f}"
            for name, value in zip(names, values, strict=True)
            if value is not None
        )
        likelihood = fits.get((model, "log_likelihood"), (None, None))[0]
        fitted = fits.get((model, "customers"), (None, None))[0]
        rows.append((
            model,
            told or "none",
            "" if likelihood is None else f"{likelihood:.2f}",
            "" if fitted is None else f"{fitted:,.0f}",
            str(status),
        ))  # fmt: skip
    table(("model", "parameters (weeks)", "log-likelihood", "customers", "status"), rows)


def print_backtest(fits: Mapping[tuple[str, str], tuple[float | None, str | None]]) -> None:
    """Print how the past was predicted from earlier days, each with what the others taught."""
    rows = []
    for model in ("mbg_nbd", "mbg_nbd_calibrated"):
        if (model, "backtest_auc") in fits:
            values = [
                fits[model, f"backtest_{name}"][0]
                for name in ("auc", "brier", "expected_purchases", "actual_purchases")
            ]
            auc, error, expected, actual = (value or 0.0 for value in values)
            rows.append((
                model, f"{auc:.4f}", f"{error:.4f}", f"{expected:,.0f}", f"{actual:,.0f}",
            ))  # fmt: skip
    if rows:
        table(("backtest", "AUC", "Brier", "expected purchases", "actual"), rows)


def print_holdout(connection: duckdb.DuckDBPyConnection, question: Question) -> None:
    """Print the published predictions beside what customers did up to the end of the holdout."""
    connection.execute(
        f"""
        create or replace temp table outcomes as
        with later as (
            select
                customer_id,
                count(distinct cast(ordered_at as date)) as purchases,
                sum(reporting_net_amount) as net_amount
            from {MARTS}.orders
            where
                is_purchase
                and ordered_at >= date '{question.as_of}' + 1
                and ordered_at < date '{question.holdout_end}' + 1
            group by customer_id
        )

        select
            retention.churn_probability,
            cast(retention.days_since_last_purchase as double) as days_since_last_purchase,
            expected.expected_purchases_horizon as expected,
            expected.expected_purchases_horizon * value.expected_day_amount as expected_amount,
            coalesce(later.purchases, 0) as purchases,
            coalesce(later.net_amount, 0) as net_amount,
            coalesce(later.purchases, 0) = 0 as is_gone
        from {MARTS}.customer_retention as retention
        inner join intermediate.int_purchases_expected as expected using (customer_id)
        inner join {MARTS}.customer_value as value using (customer_id)
        left join later using (customer_id)
        """
    )
    purchases, expected, paid, expected_paid, share, brier = one_row(
        connection,
        """
        select
            sum(purchases), sum(expected), sum(net_amount), sum(expected_amount),
            avg(cast(is_gone as double)), avg((churn_probability - cast(is_gone as double)) ** 2)
        from outcomes
        """,
    )
    table(
        ("holdout to", "purchases", "expected", "of actual", "net amount", "expected", "of actual"),
        [
            (
                f"{question.holdout_end}",
                *(f"{purchases:,}", f"{expected:,.0f}", ratio(expected, purchases)),
                *(f"{paid:,.0f}", f"{expected_paid or 0:,.0f}", ratio(expected_paid, paid)),
            )
        ],
    )
    table(
        ("no purchase in the holdout", "share", "AUC", "Brier", "AUC of recency alone"),
        [
            (
                "churn probability",
                f"{share:.4f}",
                area(connection, "churn_probability"),
                f"{brier:.4f}",
                area(connection, "days_since_last_purchase"),
            )
        ],
    )


def area(connection: duckdb.DuckDBPyConnection, score: str) -> str:
    """Area under the curve of a score for being gone; a tie counts half."""
    (value,) = one_row(
        connection,
        f"""
        with ranked as (
            select
                is_gone,
                rank() over (order by {score}) + (count(*) over (partition by {score}) - 1) / 2
                    as place
            from outcomes
        ),

        counted as (
            select
                sum(place) filter (where is_gone) as places,
                count(*) filter (where is_gone) as gone,
                count(*) filter (where not is_gone) as stayed
            from ranked
        )

        select (places - gone * (gone + 1) / 2) / nullif(cast(gone as double) * stayed, 0)
        from counted
        """,
    )
    return "not measurable" if value is None else f"{value:.4f}"


def ratio(part: Any, whole: Any) -> str:
    """A share with three digits, empty when there is nothing to hold it against."""
    return f"{float(part) / float(whole):.3f}" if part is not None and whole else ""


def print_returns(connection: duckdb.DuckDBPyConnection) -> None:
    """Print who came back within the window."""
    table(
        ("days", "customers", "came back", "share", "could have", "share"),
        [
            (
                *(f"{days}", f"{customers:,}", f"{returned:,}", f"{share or 0:.6f}"),
                *(f"{observed:,}", "" if of_observed is None else f"{of_observed:.6f}"),
            )
            for days, customers, returned, share, observed, of_observed in connection.execute(
                "select return_days, customer_count, returned_count, returned_ratio,"
                " observed_count, observed_returned_ratio"
                f" from {MARTS}.purchase_retention order by return_days"
            ).fetchall()
        ],
    )


def one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The only row of a query."""
    return tuple(connection.execute(query).fetchall()[0])


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    widths = [max(len(row[place]) for row in (names, *rows)) for place in range(len(names))]
    print()
    for row in (names, ["-" * width for width in widths], *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
