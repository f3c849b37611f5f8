"""How well the records that were put together agree with a truth that was never landed."""

from pathlib import Path
from typing import NamedTuple

import duckdb

from orchestration.sql import literal


class PairAccuracy(NamedTuple):
    """Agreement over pairs of records, all 0-1; 1 where there is no pair to be wrong about."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def count_pairs(connection: duckdb.DuckDBPyConnection, labelled: str) -> PairAccuracy:
    """Count pairs by group sizes, never by listing them.

    labelled: a relation with one row per record: cluster_id as claimed, person_id as is true. A
    pair is claimed when both records have one cluster_id and true when they have one person_id.
    """
    pairs = (
        "select coalesce(sum(n * (n - 1) / 2), 0)"
        " from (select count(*) as n from {labelled} group by {columns})"
    )
    claimed, true, both = (
        connection.execute(pairs.format(labelled=labelled, columns=columns)).fetchall()[0][0]
        for columns in ("cluster_id", "person_id", "cluster_id, person_id")
    )
    return PairAccuracy(
        float(both / claimed) if claimed else 1.0, float(both / true) if true else 1.0
    )


def pair_accuracy(warehouse: Path, truth: Path) -> PairAccuracy:
    """Precision and recall of the published customers.

    warehouse: a published `warehouse.duckdb`. truth: CSV with source_record_id and person_id. Web
    visitors are left out: they follow their account.
    """
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute(
            f"""
            create temp table labelled as
            select truth.person_id, sources.customer_id as cluster_id
            from read_csv({literal(truth)}, all_varchar = true) as truth
            inner join marts.customer_sources as sources using (source_record_id)
            where sources.record_type <> 'visitor'
            """
        )
        return count_pairs(connection, "labelled")
