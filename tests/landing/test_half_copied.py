"""A file that is still being written is left for the next run; one that never got whole is told."""

import gzip
import io
import os
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing import FEEDS, Outcome
from orchestration.landing.listing import SETTLED_SECONDS, is_fresh, list_landing
from orchestration.settings import PROJECT_ROOT
from tests.landing.conftest import World

CSV = b"contact_id,first_name\n" + b"".join(b"C%d,Anna %d\n" % (i, i) for i in range(50))
JSON = b"[\n" + b",\n".join(b'{"contact_id": "C%d"}' % i for i in range(50)) + b"\n]\n"


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"contact_id": [f"C{i}" for i in range(50)]}), out)
    return out.getvalue()


WHOLE = {
    "a.csv": CSV,
    "a.csv.gz": gzip.compress(CSV),
    "a.jsonl": b"".join(b'{"contact_id": "C%d"}\n' % i for i in range(50)),
    "a.json": JSON,
    "a.parquet": parquet(),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_half_copied_file_is_left_until_it_is_whole(world: World, name: str) -> None:
    content = WHOLE[name]
    path = world.put(f"crm/contacts/{name}", content[: len(content) // 2])
    os.utime(path)
    report = world.land()
    assert [file.outcome for file in report.files] == [Outcome.UNSETTLED]
    (warning,) = report.warnings
    assert f"crm/contacts/{name} is still being written" in warning
    assert "left for the next run" in warning
    assert report.refused == ()
    assert world.names() == []

    path.write_bytes(content)
    report = world.land()
    assert (report.new_row_count, report.warnings, report.refused) == (50, (), ())


@pytest.mark.parametrize("name", WHOLE)
def test_a_half_file_that_nobody_writes_is_refused_or_costs_its_last_line(
    world: World, name: str
) -> None:
    content = WHOLE[name]
    world.put(f"crm/contacts/{name}", content[: len(content) // 2 + 3])
    report = world.land()
    if name in ("a.csv", "a.jsonl"):
        assert report.refused == ()
        assert 20 < len(world.names()) < 30
    else:
        (sentence,) = report.refused
        assert sentence.startswith(f"crm/contacts/{name} was refused: ")
        assert world.names() == []


def test_a_file_cut_inside_a_quoted_value_loses_that_line_and_says_so(world: World) -> None:
    world.put("crm/contacts/a.csv", CSV + b'C99,"half a na')
    world.land()
    assert len(world.names()) == 50
    assert [row[:2] for row in world.rejects()] == [(52, "first_name")]
    assert "never closed" in world.rejects()[0][3]


def test_whole_files_of_this_moment_are_read_without_waiting(world: World) -> None:
    for name, content in WHOLE.items():
        os.utime(world.put(f"crm/contacts/{name}", content))
    report = world.land()
    assert report.files_read == len(WHOLE)
    assert (report.warnings, report.refused) == ((), ())


def test_no_file_of_the_sample_looks_incomplete_in_a_fresh_clone() -> None:
    for path in (PROJECT_ROOT / "seeds" / "landing").rglob("*.*"):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        assert content.endswith(b"PAR1" if path.suffix == ".parquet" else b"\n"), path


def test_only_a_file_of_the_last_minute_is_fresh_whatever_the_clock_did(world: World) -> None:
    path = world.put("crm/contacts/a.csv", CSV)
    for age, expected in ((0, True), (SETTLED_SECONDS - 5, True), (SETTLED_SECONDS + 5, False)):
        for sign in (1, -1):
            moment = time.time() - sign * age
            os.utime(path, (moment, moment))
            (file,) = list_landing(world.landing, FEEDS).files
            assert is_fresh(file) is expected, (age, sign)
