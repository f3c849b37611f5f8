"""What a change would do, shown without doing it."""

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.identity.explain import Outcome
from orchestration.identity.parameters import PRIORS_FILE, REFERENCE
from orchestration.identity.preview import PreviewError, preview
from orchestration.run import only_one_run
from tests.conftest import Installation

WHO = ("--by", "Eva Lind", "--why", "two people")


@pytest.fixture(scope="module")
def world(new_installation: Callable[[], Installation]) -> Installation:
    """Three records of Ann are one customer, by her e-mail, two of Bob by his; one says nothing."""
    world = new_installation()
    ann = {"first_name": "Ann", "last_name": "Berg", "email": "aberg77@x.test"}
    bob = {"first_name": "Bob", "last_name": "Stone", "email": "bstone1@x.test"}
    world.write(
        "crm/contacts",
        "a.csv",
        [
            {"contact_id": "A1", "updated_at": "2026-06-01T00:00:00Z"} | ann,
            {"contact_id": "A2", "phone": "020 7946 0018"} | ann,
            {"contact_id": "A3", "phone": "020 7946 0018", "birth_date": "1980-02-03"} | ann,
            {"contact_id": "B1", "city": "Ulm"} | bob,
            {"contact_id": "B2", "phone": "020 7946 0077"} | bob,
            {"contact_id": "C1", "company": "Peck"},
        ],
    )
    world.run()
    customers = world.customers()
    assert len(set(customers.values())) == 3
    return world


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder with its hash and the time it was written."""
    return {
        str(path.relative_to(folder)): (
            f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    """Parameters that believe in no one who merely shares an e-mail."""
    for file in REFERENCE.glob("match_*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (REFERENCE / PRIORS_FILE).open(newline="", encoding="utf-8") as stream:
        priors = list(csv.DictReader(stream))
    with (tmp_path / PRIORS_FILE).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(priors[0]))
        writer.writeheader()
        writer.writerows(
            row | {"prior": "0.0001"} if row["context"] == "1" else row for row in priors
        )
    return tmp_path


def test_without_a_change_nothing_would_change_and_nothing_does(world: Installation) -> None:
    before = contents(world.home)
    outcome = world.warehouse("preview")
    assert outcome.exit_code == 0, outcome.output
    assert "Nothing would change: all 3 customers keep their records." in outcome.output
    assert contents(world.home) == before


def test_other_parameters_part_customers_and_say_which_evidence_changed(
    world: Installation, parameters: Path
) -> None:
    before = contents(world.home)
    seen = preview(world.settings.model_copy(), parameters=parameters)
    assert contents(world.home) == before
    customers = world.customers()
    assert (seen.customers_before, seen.unchanged_count) == (3, 1)
    assert seen.split_count == 2
    assert seen.merged_count == 0
    assert seen.record_count == 6
    assert {split.customer_id for split in seen.splits} == {
        customers["crm:A1"],
        customers["crm:B1"],
    }
    (bob,) = (split for split in seen.splits if split.customer_id == customers["crm:B1"])
    assert [size for _, size in bob.parts] == [1, 1]
    because = bob.because
    assert because is not None
    assert because.before is not None
    assert because.before.outcome is Outcome.MATCHED
    if because.after is not None:
        assert because.largest_changes()[0][0] == "prior"
    output = world.warehouse("preview", "--parameters", str(parameters), "--limit", "1").output
    assert "Customers that would come apart (the 1 largest)" in output
    assert max(len(line) for line in output.splitlines()) <= 100
    assert "Nothing was changed." in output
    assert contents(world.home) == before


def test_a_decision_is_previewed_before_a_run_takes_it(
    world: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAREHOUSE_DECISIONS", str(tmp_path / "decisions.csv"))
    assert world.warehouse("decide", "not-same", "crm:B1", "crm:B2", *WHO).exit_code == 0
    assert world.warehouse("decide", "same", "crm:A1", "crm:C1", *WHO).exit_code == 0
    before = contents(world.home)
    seen = preview(world.settings)
    assert contents(world.home) == before
    assert len(seen.new_decisions) == 2
    assert seen.customers_after == 3
    assert (seen.merged_count, seen.split_count, seen.moved_count) == (2, 1, 2)
    (merge,) = seen.merges
    assert merge.because is not None
    assert merge.because.after is not None
    assert merge.because.after.outcome is Outcome.DECIDED_SAME
    (split,) = seen.splits
    assert split.customer_id == world.customers()["crm:B2"]
    assert split.because is not None
    assert split.because.after is not None
    assert split.because.after.reason == "two people"


def test_what_cannot_be_previewed_is_said_in_a_sentence(
    world: Installation, installation: Installation, tmp_path: Path
) -> None:
    with pytest.raises(PreviewError, match="Nothing has been built"):
        preview(installation.settings)
    with pytest.raises(PreviewError, match="cannot be read"):
        preview(world.settings, parameters=tmp_path)
    with only_one_run(world.settings), pytest.raises(PreviewError, match="A run is writing"):
        preview(world.settings)
    installation.settings.decisions.write_text("nonsense\n")
    outcome = installation.warehouse("preview")
    assert outcome.exit_code == 1
    assert "Traceback" not in outcome.output
