"""What the dashboard reads: the current release, opened for each question and closed again.

So a page shows one release, whole, and the next question sees the next one. The connection can
read that file and nothing else: no other file, no network, no setting can be changed by a query.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date

import duckdb

from orchestration.release import Release, ReleaseError, current_release, read_manifest
from orchestration.report.figures import Figure, Row, ask
from orchestration.settings import Settings
from orchestration.sql import quoted


@dataclass(frozen=True)
class Filters:
    """Whom figures speak of, by columns of mart `customer_segments`; empty for everybody."""

    country: str = ""
    age_band: str = ""
    lifecycle_stage: str = ""
    rfm_segment: str = ""
    value_tier: str = ""

    def __bool__(self) -> bool:
        return bool(self.chosen)

    @property
    def chosen(self) -> dict[str, str]:
        """What is filtered by, and the value."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class Opened:
    """A release that is being read. marts: columns of each."""

    release: Release
    as_of: date
    connection: duckdb.DuckDBPyConnection
    marts: Mapping[str, Sequence[str]]

    def can_filter(self, figure: Figure) -> bool:
        """Whether everything that a figure is made of is told by customer."""
        return all("customer_id" in self.marts.get(mart, ()) for mart in figure.marts)

    def figure(self, figure: Figure) -> list[Row]:
        """The rows of a figure, of whom the filters name."""
        return ask(self.connection, figure, self.as_of)


def find_release(settings: Settings) -> Release:
    """Return the current release. Raises ReleaseError when nothing is released yet."""
    release = current_release(settings)
    if release is None:
        raise ReleaseError(
            f"Nothing is released in {settings.home} yet. `make run` makes a release."
        )
    return release


@contextmanager
def open_release(
    settings: Settings, release: Release, filters: Filters = Filters()
) -> Iterator[Opened]:
    """Open a release for reading, as if it held nobody but whom the filters name.

    Every mart with a customer is a view of those customers; the others are as they are. Raises
    ReleaseError when the file cannot be read.
    """
    as_of = read_manifest(release).as_of
    config: dict[str, str | int] = {
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
        # what does not fit into memory is an error: nothing of people is spilled
        "temp_directory": "",
    }
    with duckdb.connect(config=dict(config)) as connection:
        try:
            release.marts.attach(connection, "release")
        except duckdb.Error as error:
            raise ReleaseError(f"Release {release.id} cannot be read: {error}") from error
        marts: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "select table_name, column_name from duckdb_columns()"
            " where database_name = 'release' and schema_name = 'marts'"
            " order by table_name, column_index"
        ).fetchall():
            marts.setdefault(table, []).append(column)
        if filters:
            _narrow(connection, marts, filters)
        else:
            connection.execute("use release")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield Opened(release, as_of, connection, marts)


def _narrow(
    connection: duckdb.DuckDBPyConnection, marts: Mapping[str, Sequence[str]], filters: Filters
) -> None:
    connection.execute("create schema marts")
    condition = " and ".join(f"{quoted(name)} = ?" for name in filters.chosen)
    connection.execute(
        "create temp table chosen as select customer_id from release.marts.customer_segments"
        f" where {condition}",
        [*filters.chosen.values()],
    )
    for mart, columns in marts.items():
        source = f"release.marts.{quoted(mart)}"
        if "customer_id" in columns:
            source += " where customer_id in (from temp.chosen)"
        connection.execute(f"create view marts.{quoted(mart)} as from {source}")


def choices(opened: Opened) -> dict[str, list[str]]:
    """What each filter can be set to: values that ten customers or more have."""
    return {
        field.name: [
            str(value)
            for (value,) in opened.connection.execute(
                f"select {field.name} from marts.customer_segments where {field.name} is not null"
                f" group by 1 having count(*) >= 10 order by count(*) desc, 1"
            ).fetchall()
        ]
        for field in fields(Filters)
    }
