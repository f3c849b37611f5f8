"""A person who is older than the policy keeps leaves every mart, and one who is held does not."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.identity.rectifications import read_rectifications
from orchestration.release import current_release, read_manifest
from tests.conftest import Installation

BEFORE, AFTER = "2024-01-01", "2024-06-30"
BY = ("--by", "Eva Lind", "--why", "case 17")


def contact(number: int, updated_at: str) -> dict[str, str]:
    names = ("Ottilie", "Wilhelmina", "Ferdinand", "Balthasar")
    return {
        "contact_id": f"C{number}",
        "first_name": names[number],
        "last_name": f"{names[number]}sen",
        "email": f"{names[number].lower()}@x.test",
        "created_at": "2013-01-01T00:00:00Z",
        "updated_at": updated_at,
    }


def content_hash(installation: Installation) -> str:
    release = current_release(installation.settings)
    assert release is not None
    return read_manifest(release).content_hash


@pytest.fixture(scope="module")
def aged(new_installation: Callable[[], Installation]) -> Mapping[str, Any]:
    """Two old contacts, one of them held, and two fresh ones; run before and after their time."""
    installation = new_installation()
    installation.write(
        "crm/contacts",
        "2024-01-01.csv",
        [
            contact(0, "2014-03-01T10:00:00Z"),
            contact(1, "2014-03-01T10:00:00Z"),
            contact(2, "2023-12-01T10:00:00Z"),
            contact(3, "2023-12-01T10:00:00Z"),
        ],
    )
    installation.run(as_of=BEFORE)
    for record in ("crm:C0", "crm:C2"):
        rectified = installation.warehouse("rectify", record, "city", "York", *BY, as_of=BEFORE)
        assert rectified.exit_code == 0, rectified.output
    held = installation.warehouse("hold", "crm:C1", *BY, as_of=BEFORE)
    forget = installation.warehouse("forget", "crm:C1", "--confirm", *BY, as_of=BEFORE)
    dry = installation.warehouse("retention", "--json", as_of=AFTER)
    outcome = installation.run(as_of=AFTER)
    return {
        "installation": installation,
        "held": held,
        "forget": forget,
        "dry": dry,
        "outcome": outcome,
        "names": installation.query("select first_name from marts.customers order by 1"),
        "history": installation.query("select value from marts.customer_history"),
        "hash": content_hash(installation),
    }


def test_a_dry_run_says_what_the_run_then_does(aged: Mapping[str, Any]) -> None:
    (contacts,) = [one for one in json.loads(aged["dry"].output) if one["feed"] == "crm/contacts"]
    assert (contacts["row_count"], contacts["expiring"], contacts["held"]) == (4, 1, 1)
    assert contacts["oldest"] == "2014-03-01"
    assert "expired" in aged["outcome"].output
    assert "1 rows (`warehouse retention`" in aged["outcome"].output


def test_who_is_too_old_leaves_every_mart_and_who_is_held_stays(aged: Mapping[str, Any]) -> None:
    assert aged["held"].exit_code == 0, aged["held"].output
    assert aged["names"] == [("Balthasar",), ("Ferdinand",), ("Wilhelmina",)]
    assert not [value for (value,) in aged["history"] if "ottilie" in value.lower()]


def test_what_was_rectified_of_who_is_too_old_leaves_the_journal_too(
    aged: Mapping[str, Any],
) -> None:
    (left,) = read_rectifications(aged["installation"].settings.rectifications)
    assert left.source_record_id == "crm:C2"
    assert "1 rectifications of records that have expired" in aged["outcome"].output


def test_an_erasure_of_who_is_held_is_refused_until_it_is_released(
    aged: Mapping[str, Any],
) -> None:
    assert aged["forget"].exit_code == 1
    assert "article 17(3)(e)" in aged["forget"].output
    assert "Nobody was erased" in " ".join(aged["forget"].output.split())


def test_a_rebuild_and_an_earlier_day_do_not_bring_back_what_has_expired(
    aged: Mapping[str, Any], tmp_path: Path
) -> None:
    copy = aged["installation"].copy_to(tmp_path)
    (copy.home / "work.duckdb").unlink()
    copy.run(as_of=AFTER)
    assert content_hash(copy) == aged["hash"]
    (copy.home / "work.duckdb").unlink()
    copy.run(as_of=BEFORE)
    assert copy.query("select count(*) from marts.customers") == [(3,)]
    with duckdb.connect(str(copy.home / "work.duckdb"), read_only=True) as connection:
        counts = connection.execute(
            "select line_count, loaded_count, expired_count from raw.files"
        ).fetchall()
    assert counts == [(4, 3, 1)]
