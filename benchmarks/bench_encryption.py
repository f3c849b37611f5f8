"""What it costs to encrypt everything: whole runs with keys beside runs without.

    make bench-encryption SIZE=300000

Generates a landing of that many records of people (once per size). Then pairs of first runs, each
in a new home: one without keys, one with a key for the databases of the home and for every role.
Both must publish the same. Prints wall and CPU seconds, the size of the home, and the ratios.
"""

import argparse
import os
import platform
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from benchmarks.bench_run import SAMPLE_AS_OF, run_warehouse
from benchmarks.landings import generate_records
from orchestration.database import WORKING_KEY, is_encrypted
from orchestration.keys import make_key
from orchestration.release.releases import STEWARD, current_release, read_manifest
from orchestration.release.roles import read_roles
from orchestration.settings import PROJECT_ROOT, Settings


def main() -> None:
    """Run in pairs; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=300_000, help="records of people")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    options = parser.parse_args()
    generate_records(options.records, options.out)
    pairs = []
    for number in range(options.pairs):
        # the second of a pair finds the landing in memory, so each is the second once
        kinds = (False, True) if number % 2 == 0 else (True, False)
        measured = {is_sealed: _measure(options, is_sealed) for is_sealed in kinds}
        hashes = {content_hash for *_, content_hash in measured.values()}
        if len(hashes) != 1:
            raise SystemExit(f"an encrypted run published something else: {sorted(hashes)}")
        pairs.append((measured[False][:3], measured[True][:3]))
    print(f"\n{options.records:,} records of people, first runs in new homes")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, DuckDB {duckdb.__version__}, "
        f"Python {platform.python_version()}\n"
    )
    print(f"| {'':<24} | {'seconds':>8} | {'CPU s':>8} | {'home, MB':>8} |")
    print(f"|{'-' * 26}|{'-' * 9}:|{'-' * 9}:|{'-' * 9}:|")
    for plain, sealed in pairs:
        _line("without keys", [f"{value:,.1f}" for value in plain])
        _line("everything encrypted", [f"{value:,.1f}" for value in sealed])
        ratios = [f"{two / one:.3f}" for one, two in zip(plain, sealed, strict=True)]
        _line("encrypted by plain", ratios)


def _measure(options: argparse.Namespace, is_sealed: bool) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, megabytes and content hash of a first run."""
    home = options.out / f"encryption-{options.records}"
    shutil.rmtree(home, ignore_errors=True)
    settings = Settings(
        landing=options.out / f"landing-{options.records}",
        home=home,
        keys=home / "keys",
        as_of=SAMPLE_AS_OF,
    )
    os.environ["WAREHOUSE_KEYS"] = str(settings.keys)
    if is_sealed:
        for name in (WORKING_KEY, STEWARD, *(role.name for role in read_roles())):
            make_key(settings, name)
    run = run_warehouse(settings)
    release = current_release(settings)
    if release is None or is_encrypted(release.database) != is_sealed:
        raise SystemExit(f"the run in {home} has not released what it should")
    megabytes = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6
    content_hash = read_manifest(release).content_hash
    shutil.rmtree(home)
    return run["seconds"], run["cpu_seconds"], megabytes, content_hash


def _line(name: str, cells: Sequence[str]) -> None:
    print(f"| {name:<24} | {' | '.join(f'{cell:>8}' for cell in cells)} |")


if __name__ == "__main__":
    main()
