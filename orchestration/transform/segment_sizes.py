"""The sizes that the rules of segments would give, beside those of the current release.

Nothing is changed: the rules are put to the attributes of the last run, read-only.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from orchestration.console import console
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.transform.segments import Rule

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_ATTRIBUTES = "intermediate.int_customer_attributes_gathered"


class SizesError(Exception):
    """No sizes can be told now; the message says why and what to do."""


@dataclass(frozen=True)
class SegmentSize:
    """Customers of a segment now and under the rules.

    matches: of the predicate alone; members: after competition and consent. Both None for a
    segment whose rule is gone, now: None for one that the current release does not have.
    """

    segment: str
    segment_group: str
    matches: int | None
    members: int | None
    now: int | None
    required_consent: str | None


@dataclass(frozen=True)
class Sizes:
    """Sizes of all segments, of customer_count customers as of a day (ISO), by group and name."""

    as_of: str
    customer_count: int
    segments: tuple[SegmentSize, ...]


def segment_sizes(settings: Settings, rules: "Sequence[Rule]") -> Sizes | None:
    """Put the rules to the customers of the last run; None when there was none.

    rules: proven ones. Raises SizesError when the last run cannot be read.
    """
    import duckdb  # noqa: PLC0415 - 0.1 s that the other verbs need not pay

    from orchestration.database import working_file  # noqa: PLC0415
    from orchestration.release import ReleaseError, current_release  # noqa: PLC0415

    try:
        release = current_release(settings)
    except ReleaseError as error:
        raise SizesError(str(error)) from error
    if release is None or not settings.working_database.exists():
        return None
    try:
        with working_file(settings).connect(read_only=True) as connection:
            release.marts.attach(connection, "current_release")
            # whatever a rule says, nothing else can be read
            connection.execute("set enable_external_access = false")
            as_of, customer_count = connection.execute(
                f"select coalesce(max(as_of_date)::varchar, ''), count(*) from {_ATTRIBUTES}"
            ).fetchall()[0]
            would_be = {
                segment: (matches, members)
                for segment, matches, members in connection.execute(_question(rules)).fetchall()
            }
            released = connection.execute(
                "select table_name from duckdb_tables()"
                " where database_name = 'current_release' and table_name = 'segments'"
            ).fetchone()
            now = (
                connection.execute(
                    "select segment, segment_group, member_count, required_consent"
                    " from current_release.marts.segments"
                ).fetchall()
                if released
                else []
            )
    except ReleaseError as error:
        raise SizesError(str(error)) from error
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise SizesError(
            f"What rules speak of is not in {settings.working_database}, or an earlier version of"
            f" the warehouse built it ({_first_line(error)}). `make run REBUILD=1` builds it anew."
        ) from error
    except duckdb.IOException as error:
        raise SizesError(
            f"{settings.working_database} cannot be read now: {_first_line(error)}. When a run is"
            " under way, ask again after it."
        ) from error
    except duckdb.Error as error:
        raise SizesError(
            f"The rules cannot be put to the customers: {_first_line(error)}."
        ) from error
    members_now = {segment: count for segment, _, count, _ in now}
    found = [
        SegmentSize(
            rule.segment,
            rule.segment_group,
            *would_be.get(rule.segment, (0, 0)),
            members_now.get(rule.segment),
            rule.required_consent,
        )
        for rule in rules
    ]
    ruled = {rule.segment for rule in rules}
    found += [
        SegmentSize(segment, group, None, None, count, consent)
        for segment, group, count, consent in now
        if segment not in ruled
    ]
    found.sort(key=lambda size: (size.segment_group, size.segment))
    return Sizes(as_of, customer_count, tuple(found))


def _question(rules: "Sequence[Rule]") -> str:
    """Query of (segment, matches, members), as the models int_segment_candidates_* judge."""
    from orchestration.sql import literal  # noqa: PLC0415

    if not rules:
        return "select '' as segment, 0 as matches, 0 as members where false"
    listed = ", ".join(
        f"({place}, {literal(rule.segment)}, {literal(rule.segment_group)},"
        f" {'null' if rule.priority is None else rule.priority}::bigint,"
        f" {'null' if rule.required_consent is None else literal(rule.required_consent)}::varchar)"
        for place, rule in enumerate(rules)
    )
    matched = " union all ".join(
        f"select customer_id, {place} as place from {_ATTRIBUTES} where (\n{rule.predicate}\n)"
        for place, rule in enumerate(rules)
    )
    return f"""
        with rules (place, segment, segment_group, priority, required_consent) as (values {listed}),

        matched as ({matched}),

        judged as (
            select
                rules.segment,
                (
                    rules.priority is null
                    or row_number() over (
                        partition by matched.customer_id, rules.segment_group
                        order by rules.priority nulls last, rules.segment
                    ) = 1
                )
                and (rules.required_consent is null or coalesce(consents.is_granted, false))
                    as is_member
            from matched
            inner join rules using (place)
            left join current_release.marts.customer_consent as consents
                on
                    matched.customer_id = consents.customer_id
                    and rules.required_consent = consents.purpose
                    and consents.is_current
        )

        select segment, count(*) as matches, count(*) filter (where is_member) as members
        from judged
        group by segment
    """


# --- the verb ------------------------------------------------------------------------------------


def add_segments(verbs: "Verbs") -> None:
    """Register the verb `segments` beside the others."""
    verb = verbs.add_parser(
        "segments", help="prove the rules of segments and show the sizes they would give"
    )
    verb.add_argument(
        "--rules", type=Path, metavar="FILE", help="instead of seeds/reference/segment_rules.csv"
    )
    verb.set_defaults(action=_segments)


def _segments(settings: Settings, options: argparse.Namespace) -> int:
    from orchestration.transform.rule_files import SegmentRuleError  # noqa: PLC0415
    from orchestration.transform.segments import check_segment_rules  # noqa: PLC0415

    try:
        rules = check_segment_rules(options.rules)
    except SegmentRuleError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    console.print(f"All {len(rules)} rules can be used.")
    try:
        sizes = segment_sizes(settings, rules)
    except SizesError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    if sizes is None:
        console.print(
            f"Nothing has been released from {settings.home} yet; sizes come after a run.",
            markup=False,
        )
        return 0
    table = Table("group", "segment", box=None)
    for heading in ("match", "members", "now", "change"):
        table.add_column(heading, justify="right")
    table.add_column("consent")
    for size in sizes.segments:
        table.add_row(*(Text(cell) for cell in _cells(size)))
    console.print(table)
    console.print(
        f"{sizes.customer_count:,} customers as of {sizes.as_of}; `now` is the current release. "
        "Nothing was changed.",
        markup=False,
    )
    return 0


def _cells(size: SegmentSize) -> tuple[str, ...]:
    change = "rule removed"
    if size.now is None:
        change = "new"
    elif size.members is not None:
        change = f"{size.members - size.now:+,}" if size.members != size.now else ""
    counts = (size.matches, size.members, size.now)
    told = ("" if count is None else f"{count:,}" for count in counts)
    return (size.segment_group, size.segment, *told, change, size.required_consent or "")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
