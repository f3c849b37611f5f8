"""What a change of parameters, rules or decisions would do to the customers, without doing it.

The working database is copied into a temporary folder and the identity layer is made anew there,
in full, from the files as they are now. Customers are compared by their records, not by their ids.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from orchestration.database import working_file
from orchestration.identity.decisions import DecisionError
from orchestration.identity.explain import COMPARED, Outcome
from orchestration.identity.parameters import (
    FREQUENCIES_FILE,
    LEVELS_FILE,
    PRIORS_FILE,
    ParameterError,
    read_parameters,
)
from orchestration.identity.rectifications import RectificationError
from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
)
from orchestration.release import ReleaseError, current_release
from orchestration.scratch import ScratchError, scratch_copy
from orchestration.settings import Settings
from orchestration.sql import literal, rows
from orchestration.transform.dbt import TransformError, build, parse

_LINKED = "('matched', 'same_evidence', 'decided_same')"
_BITS = ("prior", *COMPARED, "frequency")


class PreviewError(Exception):
    """No preview can be made now; the message says why and what to do."""


@dataclass(frozen=True)
class PairState:
    """What identity makes of a pair of records. bits: by part of the weight."""

    outcome: Outcome
    weight: float
    reason: str | None
    bits: Mapping[str, float]
    levels: Mapping[str, str]


@dataclass(frozen=True)
class PairChange:
    """A pair of records that was linked and would not be, or the other way round.

    before, after: None when the pair is below the review threshold or was never compared.
    """

    source_record_id: str
    other_source_record_id: str
    before: PairState | None
    after: PairState | None

    def largest_changes(self, most: int = 2) -> tuple[tuple[str, float, float], ...]:
        """The parts of the weight that change most: name, bits before, bits after."""
        if self.before is None or self.after is None:
            return ()
        parts = [(name, self.before.bits[name], self.after.bits[name]) for name in _BITS]
        parts = [part for part in parts if abs(part[2] - part[1]) >= 0.05]
        return tuple(sorted(parts, key=lambda part: -abs(part[2] - part[1]))[:most])


@dataclass(frozen=True)
class CustomerChange:
    """Customers that would be one, or a customer that would be several.

    customer_id: the one that they would be, or that is split. parts: (customer id, records that
    the two have in common), most records first. because: the strongest link that comes or goes.
    """

    customer_id: str
    record_count: int
    parts: tuple[tuple[str, int], ...]
    because: PairChange | None


@dataclass(frozen=True)
class Preview:
    """The customers of the last run beside those that a run would make of the same landing.

    unchanged_count: customers with exactly the records they had. merged_count: customers that
    would be part of a larger one; split_count: customers that would be taken apart; a customer can
    be both. moved_count: records that would leave most of those they were with. outcomes: pairs by
    outcome, (before, after). merges, splits: the largest.
    """

    customers_before: int
    customers_after: int
    record_count: int
    new_record_count: int
    gone_record_count: int
    unchanged_count: int
    merged_count: int
    split_count: int
    moved_count: int
    outcomes: Mapping[Outcome, tuple[int, int]]
    new_decisions: tuple[str, ...]
    gone_decisions: tuple[str, ...]
    merges: tuple[CustomerChange, ...]
    splits: tuple[CustomerChange, ...]

    @property
    def changes_nothing(self) -> bool:
        """Every customer would keep its records."""
        return self.unchanged_count == self.customers_before == self.customers_after


def preview(settings: Settings, *, parameters: Path | None = None, limit: int = 10) -> Preview:
    """Make the identity layer anew in a copy, compare, and throw the copy away.

    parameters: folder with match_levels.csv, match_priors.csv and match_frequencies.csv to take
    instead of those in seeds/reference. limit: examples of merges, and of splits. Nothing in the
    home changes. Raises PreviewError when there is nothing to start from, a run is under way, the
    disk is too small or the files cannot be used.
    """
    try:
        if parameters is not None:
            read_parameters(parameters)
        with scratch_copy(settings) as copy:
            gone, new = _prepare(settings, copy)
            _rebuild(copy, parameters)
            with _connected(copy, read_only=True) as connection:
                return _compared(connection, new, gone, limit)
    except (
        ParameterError,
        DecisionError,
        RectificationError,
        ReleaseError,
        ScratchError,
        TransformError,
    ) as error:
        raise PreviewError(str(error)) from error
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise PreviewError(
            f"The identity layer in {settings.working_database} is not there, or an earlier "
            "version of the warehouse built it. `make run REBUILD=1` builds it anew."
        ) from error
    except duckdb.Error as error:
        raise PreviewError(f"The copy of {settings.working_database} failed: {error}") from error


# --- the copy ------------------------------------------------------------------------------------


@contextmanager
def _connected(copy: Settings, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    config: dict[str, str | int] = {"memory_limit": copy.memory_limit, "threads": copy.threads}
    with working_file(copy).connect(read_only=read_only, config=config) as connection:
        yield connection


def _prepare(settings: Settings, copy: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put aside what there was; load ids, decisions and rectifications as a run would.

    Returns the decisions that are no longer in force, and those that were not before.
    """
    release = current_release(settings)
    with _connected(copy) as connection:
        connection.execute("create schema before")
        connection.execute(
            "create table before.customers as select source_record_id, customer_id"
            " from identity.int_customer_sources_resolved where record_key is not null"
        )
        connection.execute("create table before.pairs as from identity.int_matches_explained")
        decided = set(_decision_ids(connection))
        load_released_ids(connection, release.marts if release else None)
        load_steward_decisions(connection, copy.decisions)
        load_rectifications(connection, copy.rectifications)
        deciding = set(_decision_ids(connection))
    return tuple(sorted(decided - deciding)), tuple(sorted(deciding - decided))


def _decision_ids(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute("select decision_id from state.steward_decisions").fetchall()
    return [decision_id for (decision_id,) in found]


def _rebuild(copy: Settings, parameters: Path | None) -> None:
    manifest = parse(copy)
    build(copy, manifest, "identity", ["resource_type:seed"])
    if parameters is not None:
        with _connected(copy) as connection:
            for file in (LEVELS_FILE, PRIORS_FILE, FREQUENCIES_FILE):
                table = f"reference.{Path(file).stem}"
                connection.execute(f"delete from {table}")
                connection.execute(
                    f"insert into {table} by name from read_csv("
                    f"{literal(parameters / file)}, header = true, all_varchar = true)"
                )
    build(copy, manifest, "identity")


# --- the comparison ------------------------------------------------------------------------------


def _compared(
    connection: duckdb.DuckDBPyConnection,
    new_decisions: tuple[str, ...],
    gone_decisions: tuple[str, ...],
    limit: int,
) -> Preview:
    connection.execute(
        """
        create temp table moves as
        select
            before.customer_id as before_id,
            after.customer_id as after_id,
            count(*) as record_count
        from before.customers as before
        full join (
            select source_record_id, customer_id from identity.int_customer_sources_resolved
            where record_key is not null
        ) as after on before.source_record_id = after.source_record_id
        group by all
        """
    )
    connection.execute("create temp table pairs_after as from identity.int_matches_explained")
    (counts,) = rows(connection, _COUNTS)
    return Preview(
        **counts,
        outcomes=_outcomes(connection),
        new_decisions=new_decisions,
        gone_decisions=gone_decisions,
        merges=_changes(connection, "after_id", "before_id", limit),
        splits=_changes(connection, "before_id", "after_id", limit),
    )


_COUNTS = """
with shares as (
    select
        *,
        count(before_id) over (partition by after_id) as before_count,
        count(after_id) over (partition by before_id) as after_count,
        bool_and(before_id is not null) over (partition by after_id) as has_known_only,
        bool_and(after_id is not null) over (partition by before_id) as keeps_all,
        row_number() over (partition by before_id order by record_count desc, after_id)
            as after_rank,
        row_number() over (partition by after_id order by record_count desc, before_id)
            as before_rank
    from moves
)

select
    count(distinct before_id) as customers_before,
    count(distinct after_id) as customers_after,
    coalesce(sum(record_count) filter (where after_id is not null), 0)::bigint as record_count,
    coalesce(sum(record_count) filter (where before_id is null), 0)::bigint as new_record_count,
    coalesce(sum(record_count) filter (where after_id is null), 0)::bigint as gone_record_count,
    count(*) filter (
        where before_id is not null and after_id is not null
            and before_count = 1 and after_count = 1 and has_known_only and keeps_all
    ) as unchanged_count,
    count(distinct before_id) filter (where before_count > 1 and after_id is not null)
        as merged_count,
    count(distinct before_id) filter (where after_count > 1) as split_count,
    coalesce(sum(record_count) filter (
        where before_id is not null and after_id is not null
            and (after_rank > 1 or before_rank > 1)
    ), 0)::bigint as moved_count
from shares
"""


def _outcomes(connection: duckdb.DuckDBPyConnection) -> dict[Outcome, tuple[int, int]]:
    found = [
        dict(
            connection.execute(f"select outcome, count(*) from {table} group by outcome").fetchall()
        )
        for table in ("before.pairs", "pairs_after")
    ]
    return {outcome: (found[0].get(outcome, 0), found[1].get(outcome, 0)) for outcome in Outcome}


def _changes(
    connection: duckdb.DuckDBPyConnection, whole: str, part: str, limit: int
) -> tuple[CustomerChange, ...]:
    """The largest customers of one side that are several on the other."""
    found = rows(
        connection,
        f"""
        select
            {whole} as customer_id,
            sum(record_count)::bigint as record_count,
            list({part} order by record_count desc, {part}) as part_ids,
            list(record_count order by record_count desc, {part}) as part_counts
        from moves
        where before_id is not null and after_id is not null
        group by {whole}
        having count(*) > 1
        order by 2 desc, 1
        limit {limit}
        """,
    )
    because = _because(connection, whole, [row["customer_id"] for row in found])
    return tuple(
        CustomerChange(
            customer_id=row["customer_id"],
            record_count=row["record_count"],
            parts=tuple(zip(row["part_ids"], row["part_counts"], strict=True)),
            because=because.get(row["customer_id"]),
        )
        for row in found
    )


def _because(
    connection: duckdb.DuckDBPyConnection, whole: str, customers: Sequence[str]
) -> dict[str, PairChange]:
    """The strongest link within each whole whose two records are apart on the other side."""
    if not customers:
        return {}
    # a merge is one customer after and two before; a split the other way round
    linking, apart = (
        ("pairs_after", "before.customers")
        if whole == "after_id"
        else ("before.pairs", "identity.int_customer_sources_resolved")
    )
    found = rows(
        connection,
        f"""
        select linking.customer_id, linking.source_record_id, linking.other_source_record_id
        from {linking} as linking
        inner join {apart} as one on linking.source_record_id = one.source_record_id
        inner join {apart} as other on linking.other_source_record_id = other.source_record_id
        where
            linking.customer_id in ({", ".join(literal(name) for name in customers)})
            and linking.outcome in {_LINKED}
            and one.customer_id <> other.customer_id
        qualify row_number() over (
            partition by linking.customer_id
            order by
                linking.outcome = 'decided_same' desc,
                linking.match_weight desc,
                linking.source_record_id,
                linking.other_source_record_id
        ) = 1
        """,
    )
    return {
        row["customer_id"]: PairChange(
            source_record_id=row["source_record_id"],
            other_source_record_id=row["other_source_record_id"],
            before=_pair_state(connection, "before.pairs", row),
            after=_pair_state(connection, "pairs_after", row),
        )
        for row in found
    }


def _pair_state(
    connection: duckdb.DuckDBPyConnection, table: str, pair: Mapping[str, Any]
) -> PairState | None:
    found = rows(
        connection,
        f"select * from {table} where source_record_id = {literal(pair['source_record_id'])}"
        f" and other_source_record_id = {literal(pair['other_source_record_id'])}",
    )
    if not found:
        return None
    (row,) = found
    return PairState(
        outcome=Outcome(row["outcome"]),
        weight=float(row["match_weight"]),
        reason=row["refused_reason"] or row["decision_reason"],
        bits={name: float(row[f"{name}_bits"]) for name in _BITS},
        levels={name: row[f"{name}_level"] for name in COMPARED},
    )
