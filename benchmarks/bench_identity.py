"""Our identity models beside Splink 5, on the same people, in one sitting.

    make bench-identity SIZE=1000000
    make bench-identity PEOPLE=file.csv TRUTH=cluster MAP="first_name=first_name last_name=surname"
    make bench-identity SIZE=5000000 COPIES=2 OURS_ONLY=1

Without a file the people are those of a generated landing (generated, landed and staged once per
size, then kept in benchmarks/out). TRUTH is a column of the file; TRUTH_PATTERN='(rec-\\d+)' takes
the person out of it. In processes of their own, one after the other:
1. our parameters are trained on these people, and the identity models built;
2. Splink is trained on them, scores and clusters (benchmarks/rival_splink.py);
3. two bare limits: reading the people, and joining our candidate pairs to both their records;
4. with INCREMENT=0.01: the same build from 99 %, then from the other 1 % as an increment.
Prints accuracy over pairs of records, CPU and wall seconds and peaks, and the ratios. The linkage
is blocking, scoring and clustering, with parameters already trained and records already clean.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import duckdb

from benchmarks.accuracy import PairAccuracy, count_pairs
from benchmarks.identity_steps import (
    LINKAGE,
    deliver,
    hold_back,
    missing_of_linkage,
    release_ids,
    settings_of,
    use_parameters,
    write_clusters,
)
from benchmarks.landings import generate_records
from benchmarks.measuring import Measured, Spent, StepFailedError, run_step
from benchmarks.people import PeopleError, parse_map, read_people
from benchmarks.rival_splink import AT
from orchestration.settings import PROJECT_ROOT
from orchestration.sql import literal

STEPS = "benchmarks.identity_steps"
RIVAL = "benchmarks.rival_splink"
BUILDS = ("before", "linkage", "after")


def main() -> int:
    """Run what was asked for. Returns 0, or 1 when a step failed, or 2 for what cannot be used."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="identity-", dir=options.out))
    try:
        people = people_of(options, work)
        compare(options, people, work)
        if options.increment:
            increment(options.increment, work)
    except PeopleError as error:
        print(error, file=sys.stderr)
        return 2
    except StepFailedError as error:
        print(error, file=sys.stderr)
        print(f"What there is so far is in {work}.", file=sys.stderr)
        options.keep = True
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--records", type=int, default=1_000_000, help="size of the generated world"
    )
    parser.add_argument(
        "--copies", type=int, default=1, help="take the world so many times, in other letters"
    )
    parser.add_argument("--people", type=Path, help="CSV or Parquet of people instead")
    parser.add_argument("--truth", help="the file's column that says who is who")
    parser.add_argument("--truth-pattern", help="expression with one group: the person in it")
    parser.add_argument("--map", default="", help="ours=theirs ours=this+that ...")
    parser.add_argument("--ours-only", action="store_true", help="without Splink")
    parser.add_argument("--increment", type=share, default=0.0, help="share that comes later, 0-1")
    parser.add_argument("--keep", action="store_true", help="keep the databases")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    return parser.parse_args()


def share(text: str) -> float:
    """Read a share between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def people_of(options: argparse.Namespace, work: Path) -> Path:
    """Return the Parquet of the people, from the file that was named or from a generated world."""
    if options.people is None:
        people = generated_people(options.records, options.out, work)
        return (
            people
            if options.copies == 1
            else copies_of(people, options.copies, work / "people.parquet")
        )
    if not options.truth:
        raise PeopleError("Say with TRUTH which column of the file tells who is who.")
    people = work / "people.parquet"
    mapping = parse_map(options.map)
    for remark in read_people(
        options.people, mapping, options.truth, options.truth_pattern, people
    ):
        print(remark)
    return people


def generated_people(records: int, out: Path, work: Path) -> Path:
    """Return the people of a generated landing, made once per size."""
    people = out / f"people-{records}.parquet"
    if not people.exists():
        landing = generate_records(records, out)
        unfinished = work / people.name
        told = {
            "landing": landing,
            "home": work / "world",
            "truth": out / f"truth-{records}" / "truth.csv",
            "people": unfinished,
        }
        run_step(STEPS, "world", told, work)
        shutil.rmtree(work / "world")
        unfinished.rename(people)
    return people


def copies_of(people: Path, copies: int, copied: Path) -> Path:
    """Write a Parquet that has the people so many times, each copy other people; return it.

    For sizes of which the generator cannot keep a world in memory. Names are written with the
    letters of an alphabet that is turned by a few places, digits likewise. No nickname and no role
    address of a copy is known as one: it is there for what it costs.
    """
    alphabets = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789")

    def turned(text: str, by: int) -> str:
        places = "".join(alphabet[by:] + alphabet[:by] for alphabet in alphabets)
        return f"translate({text}, '{''.join(alphabets)}', '{places}')"

    selects = []
    for copy in range(copies):
        changed = {
            column: turned(column, copy)
            for column in (
                *("first_name", "last_name", "phone", "national_id"),
                *("street", "city", "postcode"),
            )
        }
        # providers stay providers
        changed["email"] = (
            turned("split_part(email, '@', 1)", copy) + " || '@' || split_part(email, '@', 2)"
        )
        changed["birth_date"] = f"birth_date + {copy}"
        for column in ("source_record_id", "person_id"):
            changed[column] = f"{column} || '#{copy}'"
        replaced = ", ".join(f"{value} as {column}" for column, value in changed.items())
        selects.append(f"select * replace ({replaced}) from read_parquet({literal(people)})")
    with duckdb.connect() as connection:
        connection.execute(
            f"copy ({' union all '.join(selects)}) to {literal(copied)} (format parquet)"
        )
    return copied


def compare(options: argparse.Namespace, people: Path, work: Path) -> None:
    """Train, build, let Splink do the same, measure the limits, print the table."""
    home = work / "home"
    records = run_step(STEPS, "prepare", {"home": home, "people": people}, work).result["records"]
    shutil.copytree(home, work / "training")
    training = run_step(STEPS, "trained", {"home": work / "training"}, work)
    use_parameters(home, work / "training" / "parameters")
    if options.increment:
        # The same records and parameters, before anything was built from all of them.
        shutil.copytree(home, work / "increment")
    ours = run_step(STEPS, "build_identity", {"home": home, "split": True}, work)
    write_clusters(home, work / "ours.parquet")
    limits = run_step(STEPS, "limits", {"home": home, "people": people}, work)
    rival = None if options.ours_only else run_rival(people, work)

    versions = [f"DuckDB {duckdb.__version__}", f"Python {platform.python_version()}"]
    versions += [f"Splink {version('splink')}"] * (rival is not None)
    print(f"\n{records:,} records from {options.people or 'a generated world'}")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {', '.join(versions)}\n")
    if training.result:
        print(f"{training.result}\n")
    show_accuracy(people, work, rival)
    show_costs(training, ours, rival)
    show_models(ours)
    show_limits(ours, limits)


def run_rival(people: Path, work: Path) -> Measured:
    """Run Splink with the threads and the memory that ours has."""
    settings = settings_of(work)
    told = {
        "people": people,
        "clusters": work / "splink.parquet",
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
    }
    return run_step(RIVAL, "link", told, work)


def accuracy(people: Path, clusters: Path, condition: str = "true") -> PairAccuracy:
    """Return the accuracy over pairs of the clusters of a Parquet file."""
    with duckdb.connect() as connection:
        connection.execute(
            "create temp table labelled as select clusters.cluster_id, people.person_id"
            f" from read_parquet({literal(clusters)}) as clusters"
            f" inner join read_parquet({literal(people)}) as people using (source_record_id)"
            f" where {condition}"
        )
        return count_pairs(connection, "labelled")


def show_accuracy(people: Path, work: Path, rival: Measured | None) -> None:
    """Print precision, recall and F1 over pairs of records."""
    heading("pairs of records", "precision", "recall", "F1")
    row("ours", *figures(accuracy(people, work / "ours.parquet")))
    if rival is None:
        return
    by_threshold = {
        at: accuracy(people, work / "splink.parquet", f"clusters.threshold = {at}")
        for at in rival.result["thresholds"]
    }
    best = max(by_threshold, key=lambda at: by_threshold[at].f1)
    row(f"Splink at {AT}", *figures(by_threshold[AT]))
    if len(by_threshold) > 1:
        row(f"Splink at its best, {best}", *figures(by_threshold[best]))
    print(f"\nSplink compares {', '.join(rival.result['comparisons'])};")
    print(f"it blocks on {'; '.join(' and '.join(rule) for rule in rival.result['rules'])}.")


def figures(found: PairAccuracy) -> tuple[str, str, str]:
    """Four decimals of each."""
    return f"{found.precision:.4f}", f"{found.recall:.4f}", f"{found.f1:.4f}"


def show_costs(training: Measured, ours: Measured, rival: Measured | None) -> None:
    """Print CPU, wall and peak of both, and what ours costs of Splink's CPU."""
    nothing = Spent()
    theirs: Mapping[str, Spent] = rival.phases if rival else {}
    in_all = total(ours, *BUILDS)
    rows = [
        ("training", training.phases.get("training"), theirs.get("training")),
        ("cleaning", ours.phases["before"], theirs.get("clean")),
        ("linkage", ours.phases["linkage"], theirs.get("linkage")),
        ("ids, golden records", ours.phases["after"], None),
        ("identity in all", in_all, theirs.get("clean", nothing) + theirs.get("linkage", nothing)),
        ("start of the process", ours.outside(*BUILDS), None),
    ]
    print()
    heading("", "ours CPU s", "wall s", "MiB", "Splink CPU s", "wall s", "MiB", "ratio of CPU")
    for name, one, other in rows:
        ratio = (
            f"{one.cpu_seconds / other.cpu_seconds:.2f}"
            if one and other and other.cpu_seconds
            else ""
        )
        row(name, *cost(one), *cost(other if rival else None), ratio)


def total(measured: Measured, *phases: str) -> Spent:
    """Return what these phases cost together."""
    return sum((measured.phases[name] for name in phases), Spent())


def cost(spent: Spent | None) -> tuple[str, str, str]:
    """Return CPU seconds, wall seconds, peak MiB as cells; blanks for what was not measured."""
    if spent is None:
        return "", "", ""
    return f"{spent.cpu_seconds:.2f}", f"{spent.seconds:.2f}", f"{spent.peak_mib:,}"


def show_models(ours: Measured) -> None:
    """Print the seconds of every model, those of the linkage marked."""
    print()
    heading("model", "CPU s", "wall s", "linkage")
    for name, seconds, cpu_seconds in ours.result:
        row(name, f"{cpu_seconds:.2f}", f"{seconds:.2f}", "yes" if name in LINKAGE else "")
    missing = missing_of_linkage([name for name, *_ in ours.result])
    if missing:
        print(f"\nNot built, though counted as linkage: {', '.join(missing)}.")


def show_limits(ours: Measured, limits: Measured) -> None:
    """Print the bare limits and how many times the linkage costs them."""
    linkage = ours.phases["linkage"].cpu_seconds
    print()
    heading("bare limit", "CPU s", "wall s", "MiB", "linkage / limit")
    for name, what in (("scan", "people read"), ("join", "pairs joined to both records")):
        spent = limits.phases.get(name)
        if spent:
            times = f"{linkage / spent.cpu_seconds:.1f}" if spent.cpu_seconds else ""
            row(what, *cost(spent), times)
    if limits.result["pairs"] is None:
        print(f"\nThe pairs could not be joined: {limits.result['missing']}")
    else:
        print(f"\n{limits.result['pairs']:,} candidate pairs")


def increment(share_later: float, work: Path) -> None:
    """Build most of the people, then the rest as an increment; hold it against one full build."""
    home = work / "increment"
    later = hold_back(home, share_later)
    full = run_step(STEPS, "build_identity", {"home": home}, work)
    release_ids(home)
    more = {"home": home, "increment": True}
    empty = run_step(STEPS, "build_identity", more, work)
    deliver(home)
    grown = run_step(STEPS, "build_identity", more, work)
    write_clusters(home, work / "grown.parquet")

    print(f"\n{later:,} records ({share_later:.1%}) came later\n")
    heading("build", "CPU s", "wall s", "MiB", "CPU / full")
    whole = full.phases["identity"].cpu_seconds
    for name, measured in (("full", full), ("nothing new", empty), ("increment", grown)):
        spent = measured.phases["identity"]
        row(name, *cost(spent), f"{spent.cpu_seconds / whole:.3f}")
    print()
    heading("model", "full", "nothing new", "increment")
    cpu_seconds = [{name: cpu for name, _, cpu in step.result} for step in (full, empty, grown)]
    for name, *_ in full.result:
        row(name, *(f"{of.get(name, 0.0):.2f}" for of in cpu_seconds))
    with duckdb.connect() as connection:
        one, other = (
            f"read_parquet({literal(work / name)})" for name in ("ours.parquet", "grown.parquet")
        )
        differing, records = differences(connection, one, other)
    print(f"\nrecords with other companions than in one full build: {differing:,} of {records:,}")


def differences(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> tuple[int, int]:
    """Count the records whose cluster is not the same set of records in both, and all of them.

    one, other: relations of source_record_id and cluster_id. What the clusters are called does not
    matter. A record that is in one of them only differs.
    """
    differing, records = connection.execute(
        f"""
        with paired as (
            select one.cluster_id as one_id, other.cluster_id as other_id
            from {one} as one
            full outer join {other} as other using (source_record_id)
        ),

        counted as (
            select one_id, other_id, count(*) as together from paired group by all
        ),

        sized as (
            select
                *,
                sum(together) over (partition by one_id) as one_size,
                sum(together) over (partition by other_id) as other_size
            from counted
        )

        select
            coalesce(sum(together) filter (
                one_id is null or other_id is null
                or one_size <> together or other_size <> together
            ), 0),
            coalesce(sum(together), 0)
        from sized
        """
    ).fetchall()[0]
    return int(differing), int(records)


def heading(first: str, *others: str) -> None:
    """Print the head of a Markdown table."""
    row(first, *others)
    print(
        f"|{'-' * 34}|" + "|".join(f"{'-' * (max(len(other), 9) + 1)}:" for other in others) + "|"
    )


def row(first: str, *others: str) -> None:
    """Print a line of a Markdown table."""
    print(f"| {first:<32} | " + " | ".join(f"{other:>9}" for other in others) + " |")


if __name__ == "__main__":
    sys.exit(main())
