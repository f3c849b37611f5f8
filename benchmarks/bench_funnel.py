"""A funnel over a file of events, counted by the mart `purchase_funnel`.

    make bench-funnel EVENTS=orders.csv STEPS="placed completed returned" \
        MAP="anonymous_id=customer_id occurred_at=order_date event_type=status"

A step counts for whoever took the step before at the same instant or earlier. Steps with blanks in
them are written with commas: STEPS="Page Loaded, Order Placed".
"""

import argparse
import sys

import duckdb

from benchmarks.bench_identity import heading, row
from benchmarks.event_files import built, parser_of, show_where
from benchmarks.mapped import MappedFileError
from orchestration.transform.dbt import TransformError


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for. Returns 0, 1 when a model failed, 2 for what cannot be used."""
    parser = parser_of(__doc__)
    parser.add_argument("--steps", default="", help="event types in the order of the funnel")
    options = parser.parse_args(arguments)
    try:
        variables = {"funnel_steps": steps_of(options.steps)}
        with built(options, ["purchase_funnel"], variables) as connection:
            show(options, connection)
    except MappedFileError as error:
        print(error, file=sys.stderr)
        return 2
    except TransformError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def steps_of(text: str) -> list[str]:
    """Read the steps, between commas or else between blanks. Raises MappedFileError without any."""
    steps = [step.strip() for step in (text.split(",") if "," in text else text.split())]
    if not steps or not all(steps):
        raise MappedFileError(
            f"STEPS is {text!r}; say event types in the order of the funnel: 'view cart order'."
        )
    return steps


def show(options: argparse.Namespace, connection: duckdb.DuckDBPyConnection) -> None:
    """Print the steps; of a step that no event is, say which types there are."""
    show_where(options)
    counted = connection.execute(
        "select event_type, unique_count, conversion_ratio, step_ratio"
        " from release_candidate.marts.purchase_funnel order by step_number"
    ).fetchall()
    heading("event_type", "unique_users", "pct_conversion", "pct_of_previous")
    for event_type, count, *ratios in counted:
        row(
            event_type, f"{count:,}", *("" if ratio is None else f"{ratio:.4f}" for ratio in ratios)
        )
    found = [
        name
        for (name,) in connection.execute(
            "select event_type from staging.stg_web__events where event_type is not null"
            " group by event_type order by count(*) desc, event_type limit 30"
        ).fetchall()
    ]
    missing = [event_type for event_type, *_ in counted if event_type not in found]
    if missing and len(found) < 30:
        print(f"\nNo event is {', '.join(missing)}; there are {', '.join(found) or 'none at all'}.")


if __name__ == "__main__":
    sys.exit(main())
