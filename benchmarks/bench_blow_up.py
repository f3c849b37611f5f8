"""Inputs that make matching blow up, beside as many ordinary records.

    make bench-blow-up SIZE=100000

Three inputs are made from the people of a generated landing by changing some of their records:
one e-mail address on all of them, half of them called John Smith, and a chain of ten thousand
records in which each shares its e-mail with the one before and its phone with the one after.
Builds the identity models of each in a process of its own and prints the CPU and wall seconds, the
peaks, and the ratios to the unchanged people.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import duckdb

from benchmarks.bench_identity import STEPS, cost, generated_people, heading, row
from benchmarks.measuring import StepFailedError, run_step
from orchestration.settings import PROJECT_ROOT
from orchestration.sql import literal

CHAIN = 10_000
# Input -> what is replaced in a record; `place` numbers the records from 0.
INPUTS: Mapping[str, str] = {
    "ordinary records": "email as email",
    "one address on all": "'reach.us@blow-up.example' as email",
    "half are John Smith": (
        "if(place % 2 = 0, 'John', first_name) as first_name,"
        " if(place % 2 = 0, 'Smith', last_name) as last_name"
    ),
    f"a chain of {CHAIN:,} records": (
        f"if(place < {CHAIN}, 'Ann', first_name) as first_name,"
        f" if(place < {CHAIN}, 'Chain', last_name) as last_name,"
        f" if(place < {CHAIN}, 'link' || place // 2 || '@blow-up.example', email) as email,"
        f" if(place < {CHAIN}, '0170' || 1000000 + (place + 1) // 2, phone) as phone,"
        f" if(place < {CHAIN}, null, birth_date) as birth_date"
    ),
}


def main() -> int:
    """Build every input. Returns 0, or 1 when a step failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=100_000, help="size of the generated world")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="blow-up-", dir=options.out))
    try:
        compare(generated_people(options.records, options.out, work), work)
    except StepFailedError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def compare(people: Path, work: Path) -> None:
    """Print what each input costs; the first is what the others are held against."""
    columns = ("records", "customers", "largest", "CPU s", "wall s", "MiB")
    heading("input", *columns, "CPU ratio", "wall ratio")
    ordinary = None
    for number, (name, replaced) in enumerate(INPUTS.items()):
        home = work / str(number)
        changed = work / f"people-{number}.parquet"
        write_input(people, replaced, changed)
        told = {"home": home, "people": changed}
        records = run_step(STEPS, "prepare", told, work).result["records"]
        spent = run_step(STEPS, "build_identity", {"home": home}, work).phases["identity"]
        ordinary = ordinary or spent
        customers, largest = clusters(home)
        row(
            name,
            *(f"{records:,}", f"{customers:,}", f"{largest:,}"),
            *cost(spent),
            f"{spent.cpu_seconds / ordinary.cpu_seconds:.2f}",
            f"{spent.seconds / ordinary.seconds:.2f}",
        )
        shutil.rmtree(home)


def write_input(people: Path, replaced: str, changed: Path) -> None:
    """Write the people with what an input replaces in them, both Parquet."""
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * exclude (place) replace ({replaced}) from"
            " (select *, row_number() over (order by source_record_id) - 1 as place"
            f" from read_parquet({literal(people)}))) to {literal(changed)} (format parquet)"
        )


def clusters(home: Path) -> tuple[int, int]:
    """Count the customers of a home and the records of the largest."""
    with duckdb.connect(str(home / "work.duckdb"), read_only=True) as connection:
        customers, largest = connection.execute(
            "select count(*), max(size) from (select count(*) as size"
            " from identity.int_records_assigned group by customer_id)"
        ).fetchall()[0]
    return int(customers), int(largest)


if __name__ == "__main__":
    sys.exit(main())
