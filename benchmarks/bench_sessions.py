"""Sessions of a file of events, cut by the models of the warehouse.

    make bench-sessions EVENTS=events.csv.gz \
        MAP="anonymous_id=user_id occurred_at=timestamp event_type=event" [GAP_MINUTES=30]
    ... MIDNIGHT=1 ZONE=Europe/Berlin     cut at midnight as well
    ... CAMPAIGN=1 ACCOUNT=1              cut at another campaign, at another account

A pause strictly longer than GAP_MINUTES ends a session. Lands the file, builds staging, identity
and the mart `sessions`, and prints how many events, visitors and sessions there are.
"""

import argparse
import sys
from zoneinfo import available_timezones

import duckdb

from benchmarks.bench_identity import heading, row
from benchmarks.event_files import built, parser_of, show_where
from benchmarks.mapped import MappedFileError
from benchmarks.measuring import Meter
from orchestration.transform.dbt import TransformError

MODELS = ("sessions", "int_events_left_out")


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for. Returns 0, 1 when a model failed, 2 for what cannot be used."""
    options = read(arguments)
    meter = Meter()
    try:
        variables = {
            "session_gap_minutes": gap(options.gap_minutes),
            "session_cut_at_midnight": options.midnight,
            "session_time_zone": zone(options.zone),
            "session_cut_at_campaign": options.campaign,
            "session_cut_at_account": options.account,
        }
        with meter.phase("all"), built(options, MODELS, variables) as connection:
            show(options, connection)
    except MappedFileError as error:
        print(error, file=sys.stderr)
        return 2
    except TransformError as error:
        print(error, file=sys.stderr)
        return 1
    spent = meter.phases["all"]
    print(f"\n{spent.cpu_seconds:.1f} CPU s, {spent.seconds:.1f} wall s, {spent.peak_mib:,} MiB")
    return 0


def read(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("--gap-minutes", default="30", help="longest pause within a session")
    parser.add_argument("--midnight", action="store_true", help="cut at midnight")
    parser.add_argument("--zone", default="UTC", help="where midnight is, e.g. Europe/Berlin")
    parser.add_argument("--campaign", action="store_true", help="cut at another campaign")
    parser.add_argument("--account", action="store_true", help="cut at another account")
    return parser.parse_args(arguments)


def gap(text: str) -> float:
    """Read a number of minutes above 0. Raises MappedFileError for anything else."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < 1_000_000:
        raise MappedFileError(f"GAP_MINUTES is {text!r}; say a number of minutes above 0.")
    return minutes


def zone(name: str) -> str:
    """Return the name of a time zone. Raises MappedFileError when there is none of this name."""
    if name not in available_timezones():
        raise MappedFileError(f"ZONE is {name!r}, which is no time zone; say Europe/Berlin or UTC.")
    return name


def show(options: argparse.Namespace, connection: duckdb.DuckDBPyConnection) -> None:
    """Print what there is, and the sessions per visitor, events and seconds per session."""
    show_where(options)
    visitors = "coalesce(anonymous_id, source_record_id)"
    landed, cut, whose, bounces = connection.execute(
        "select (select count(*) from staging.stg_web__events), count(*),"
        f" count(distinct {visitors}), count(*) filter (where is_bounce)"
        " from release_candidate.marts.sessions"
    ).fetchall()[0]
    heading("what", "count")
    row("events", f"{landed:,}")
    for reason, count in connection.execute(
        "select reason, event_count from intermediate.int_events_left_out order by reason"
    ).fetchall():
        row(f"left out: {reason}", f"{count:,}")
    row("visitors", f"{whose:,}")
    row("sessions", f"{cut:,}")
    row("of one event", f"{bounces:,}")
    if not cut:
        return
    print()
    heading("", "mean", "median", "most")
    per_visitor = (
        f"(select count(*) as n from release_candidate.marts.sessions group by {visitors})"
    )
    for name, column, table in (
        ("sessions per visitor", "n", per_visitor),
        ("events per session", "event_count", "release_candidate.marts.sessions"),
        ("seconds per session", "duration_seconds", "release_candidate.marts.sessions"),
    ):
        mean, median, most = connection.execute(
            f"select avg({column}), median({column}), max({column}) from {table}"
        ).fetchall()[0]
        row(name, f"{mean:,.2f}", f"{median:,.1f}", f"{most:,}")


if __name__ == "__main__":
    sys.exit(main())
