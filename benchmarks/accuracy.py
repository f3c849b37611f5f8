"""How well the published customers agree with a truth that was never landed."""

from pathlib import Path

import duckdb


def pair_accuracy(warehouse: Path, truth: Path) -> tuple[float, float]:
    """Precision and recall over pairs of records, both 0-1.

    warehouse: a published `warehouse.duckdb`. truth: CSV with source_record_id and person_id. A
    pair is claimed when both records are in one customer and true when both are one person. Web
    visitors are left out: they follow their account.
    """
    pairs = "select sum(n * (n - 1) / 2) from (select count(*) as n from joined group by {columns})"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute(
            f"""
            create temp table joined as
            select truth.person_id, sources.customer_id
            from read_csv('{truth}', all_varchar = true) as truth
            inner join marts.customer_sources as sources using (source_record_id)
            where sources.record_type <> 'visitor'
            """
        )
        claimed, true, both = (
            connection.execute(pairs.format(columns=columns)).fetchall()[0][0]
            for columns in ("customer_id", "person_id", "customer_id, person_id")
        )
    return float(both / claimed), float(both / true)
