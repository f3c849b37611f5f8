"""A small house whose releases hold audiences only, and exports made of them."""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.activation.declarations import Export
from orchestration.activation.exporting import Version, export, newest
from orchestration.database import candidate_file
from orchestration.release import Release, publish
from orchestration.settings import Settings
from orchestration.sql import literal

AUDIENCE = "It's our [newsletter]"
MONDAY = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def declared(**entries: Any) -> Export:
    """An export of the only audience; as the mailing tool takes it unless told otherwise."""
    usual = {
        "name": "letters",
        "audience": AUDIENCE,
        "identifier": "email",
        "format": "csv",
        "mode": "delta",
        "owner": "marketing",
        "description": "Letters.",
    }
    return Export.model_validate(usual | entries)


@dataclass
class World:
    """Publishes who is in the audience, an hour after the last time; exports it."""

    settings: Settings
    hours: int = 0

    def publish(
        self,
        members: Mapping[str, str],
        *,
        withdrawn: Collection[str] = (),
        suppressed: Collection[str] = (),
        audience: str = AUDIENCE,
        as_of: date | None = None,
    ) -> Release:
        """members: customer id to address. withdrawn, suppressed: customers who are not in it."""
        self.hours += 1
        self.settings.candidate_database.unlink(missing_ok=True)
        with candidate_file(self.settings).connect() as connection:
            connection.execute("create schema marts")
            connection.execute(
                "create table marts.audience_members"
                " (audience varchar, customer_id varchar, address varchar)"
            )
            connection.execute(
                "create table marts.customer_consent as select customer_id, 'letters' as purpose,"
                " true as is_current, is_granted from (values"
                f" {_rows([(c, True) for c in members] + [(c, False) for c in withdrawn])}"
                ") as consents (customer_id, is_granted)"
            )
            connection.execute(
                "create table marts.customer_suppressions as select customer_id, 'email' as channel"
                f" from (values {_rows([(c, True) for c in suppressed])})"
                " as gone (customer_id, is_so) where is_so"
            )
            connection.execute(
                f"create table marts.audience_sizes as select {literal(audience)} as audience,"
                " 'letters' as purpose, 'email' as channel,"
                f" {len(members) + len(withdrawn) + len(suppressed)} as segment_member_count,"
                f" {len(withdrawn)} as no_consent_count, {len(suppressed)} as suppressed_count,"
                " 0 as no_address_count"
            )
            for customer, address in members.items():
                connection.execute(
                    "insert into marts.audience_members values"
                    f" ({literal(audience)}, {literal(customer)}, {literal(address)}),"
                    f" ('another one', {literal(customer)}, 'elsewhere@x.test')"
                )
        at = self.settings.model_copy(update={"as_of": as_of or self.settings.as_of})
        moment = MONDAY + timedelta(hours=self.hours)
        return publish(at, gates=[], provenance={}, released_at=moment, roles=())

    def export(self, release: Release, one: Export | None = None) -> Version:
        return export(
            self.settings, one or declared(), release, now=MONDAY + timedelta(hours=self.hours)
        )

    def last(self, name: str = "letters") -> Version:
        found = newest(self.settings.exports / name)
        assert found is not None
        return found


def _rows(rows: Collection[tuple[str, bool]]) -> str:
    """SQL of customers and what is true of them, and of one row more: `values` needs one."""
    return ", ".join(
        f"({literal(customer)}, {is_so})" for customer, is_so in [*rows, ("nobody", False)]
    )


def listed(version: Version, name: str = "members") -> set[str]:
    """The identifiers in a file of a version, read as anybody would read it."""
    path = version.path / f"{name}.{version.manifest.format}"
    rows: Sequence[Sequence[str]]
    if path.suffix == ".parquet":
        rows = duckdb.execute(f"select * from read_parquet({literal(path)})").fetchall()
    else:
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file, strict=True)
        assert head == [version.manifest.identifier]
    found = [cell for (cell,) in rows]
    assert found == sorted(set(found))
    return set(found)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # A name that breaks every path that is pasted into SQL or taken for a pattern.
    home = tmp_path / "it's [a] home"
    home.mkdir()
    return Settings(home=home, as_of=date(2026, 3, 1), memory_limit="1GiB", threads=1)


@pytest.fixture
def world(settings: Settings) -> World:
    return World(settings)
