"""How an explanation looks: renderables of at most 100 columns, also where there is no colour."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestration.identity.explain import (
    SHOWN,
    DecisionMade,
    Explanation,
    Link,
    Outcome,
    Record,
)
from orchestration.identity.preview import CustomerChange, PairChange, PairState, Preview

WIDTH = 100

_RECORDS_A_TABLE = 4
_MOST_RECORDS = 8
_MOST_LINKS = 6
_BAR = 12

LABELS = {"email": "e-mail", "national_id": "national id", "frequency": "rarity"}
NOTES = {
    "household": "several people's",
    "crowded": "ignored: too many names",
    "role": "ignored: a role",
    "placeholder": "ignored: a placeholder",
}
RULES = {
    "only_value": "the only one",
    "rectified": "a steward's word",
    "source_priority": "best source",
    "most_recent": "newest",
    "most_frequent": "most frequent",
    "most_complete": "most complete",
    "verified_first": "verified",
    "source_record_id": "a tie",
}

_Item = TypeVar("_Item")


def explanation(told: Explanation, *, everything: bool = False) -> RenderableType:
    """Return all that is known about a customer; everything: no list is cut short."""
    parts: list[RenderableType] = [_heading(told)]
    if told.customer_id is None:
        return Group(*parts, *_history(told))
    parts += _records(told, everything)
    parts += _golden(told)
    parts += _joining(told, everything)
    parts += _apart(told, everything)
    parts += _decisions(told)
    parts += _history(told)
    return Group(*parts)


def _heading(told: Explanation) -> RenderableType:
    if told.customer_id is None:
        return Text(f"{told.reference} is no longer in use, and no customer took its place.")
    who = (told.customer_id, "bold")
    if told.redirected_from:
        text = Text.assemble((told.redirected_from, "bold"), " is now customer ", who)
    elif told.reference != told.customer_id:
        text = Text.assemble((told.reference, "bold"), " belongs to customer ", who)
    else:
        text = Text.assemble("Customer ", who)
    sources = sorted({record.source for record in told.records})
    text.append(f"\n{_counted(len(told.records), 'record')} in {', '.join(sources)}")
    if told.visitors:
        shown = ", ".join(told.visitors[:3]) + (", ..." if len(told.visitors) > 3 else "")
        text.append(f"; {_counted(len(told.visitors), 'web visitor')}: {shown}")
    return text


# --- records and golden record -------------------------------------------------------------------


def _records(told: Explanation, everything: bool) -> Iterator[RenderableType]:
    yield _title("Records")
    shown, more = _cut(told.records, _MOST_RECORDS, everything)
    for start in range(0, len(shown), _RECORDS_A_TABLE):
        if start:
            yield Text()
        yield _side_by_side(shown[start : start + _RECORDS_A_TABLE])
    if more:
        yield _more(more, "record")
    for record in told.records:
        if record.is_alone:
            yield _line(
                f"{record.source_record_id} says too little to be matched with other records.",
                "yellow",
            )


def _side_by_side(records: Sequence[Record]) -> RenderableType:
    table = _grid(headed=True)
    table.add_column("", width=11, style="dim")
    for record in records:
        table.add_column(Text(record.source_record_id, style="bold"), width=19, overflow="fold")
    for column in SHOWN:
        if any(column in record.values for record in records):
            table.add_row(_label(column), *(_value(record, column) for record in records))
    seen = [record.last_seen_at for record in records]
    if any(seen):
        table.add_row("last seen", *(f"{time:%Y-%m-%d}" if time else "" for time in seen))
    return _indented(table)


def _value(record: Record, column: str) -> Text:
    text = Text(record.values.get(column, ""))
    if note := record.notes.get(column):
        text.append(f" ({NOTES.get(note, note)})", style="dim")
    return text


def _golden(told: Explanation) -> Iterator[RenderableType]:
    if not told.golden:
        return
    yield _title("Golden record")
    table = _grid()
    table.add_column(width=11, style="dim")
    table.add_column(width=34, overflow="fold")
    table.add_column(width=18, overflow="fold")
    table.add_column(width=27, overflow="fold")
    for golden in told.golden:
        reason = RULES.get(golden.decided_by, golden.decided_by)
        if golden.rivals:
            reason += f", of {len(golden.rivals) + 1} values"
        table.add_row(
            _label(golden.field_group),
            Text(golden.value),
            Text(golden.source_record_id),
            Text(reason, style="dim"),
        )
    yield _indented(table)


# --- links ---------------------------------------------------------------------------------------


def _joining(told: Explanation, everything: bool) -> Iterator[RenderableType]:
    joined = told.links_of(Outcome.DECIDED_SAME, Outcome.SAME_EVIDENCE, Outcome.MATCHED)
    if len(told.records) < 2:
        yield _title("Why it stands alone")
        yield _line("No other record matches this one.")
        return
    yield _title("Why they are one")
    for link in joined:
        if link.outcome is Outcome.SAME_EVIDENCE:
            one, other = link.pair
            yield _line(f"{other} shows the same evidence as {one}.")
    compared = [link for link in joined if link.outcome is not Outcome.SAME_EVIDENCE]
    holding = compared if everything else [link for link in compared if link.holds]
    shown, more = _cut(holding, _MOST_LINKS, everything)
    for link in shown:
        yield from _waterfall(told, link)
    rest = len(compared) - len(shown)
    if rest > more:
        yield _line(
            f"{_counted(rest, 'further link')}: not needed to hold them together, or weaker. "
            "`--all` shows all.",
            "dim",
        )
    elif more:
        yield _more(more, "link")


def _apart(told: Explanation, everything: bool) -> Iterator[RenderableType]:
    for heading, outcomes in (
        ("Refused, though they match", (Outcome.REFUSED,)),
        ("Worth a look", (Outcome.REVIEW,)),
        ("Kept apart by a steward", (Outcome.DECIDED_NOT_SAME,)),
    ):
        links = told.links_of(*outcomes)
        if not links:
            continue
        yield _title(heading)
        if Outcome.REVIEW in outcomes:
            yield _line("Not linked. `decide same` or `decide not-same` settles a pair.", "dim")
        if Outcome.REFUSED in outcomes:
            yield _line(
                "A link would join all records of both customers; the reason may lie in any two.",
                "dim",
            )
        shown, more = _cut(links, _MOST_LINKS // 2, everything)
        for link in shown:
            yield from _waterfall(told, link)
        if more:
            yield _more(more, "pair")


def _waterfall(told: Explanation, link: Link) -> Iterator[RenderableType]:
    """The prior, what each comparison adds to it or takes, the rarity of values, the sum."""
    yield Text()
    yield _indented(_summary(told, link))
    one, other = (told.record(record) for record in _pair(told, link))
    steps = [("prior", f"share {link.shared_contacts}", link.prior_bits, "")]
    silent = []
    for evidence in link.evidence:
        if evidence.level == "not comparable":
            silent.append(_label(evidence.comparison))
        else:
            steps.append(
                (_label(evidence.comparison), evidence.level, evidence.bits, evidence.comparison)
            )
    if link.frequency_bits:
        rare = "rare values" if link.frequency_bits > 0 else "common values"
        steps.append(("rarity", rare, link.frequency_bits, ""))
    ends = [0.0]
    for _, _, bits, _ in steps:
        ends.append(ends[-1] + bits)
    low, high = min(ends), max(ends)

    table = _grid(headed=True)
    table.add_column("", width=11, style="dim")
    for record in _pair(told, link):
        table.add_column(Text(record, style="dim"), width=19, overflow="fold")
    table.add_column("", width=18)
    table.add_column(Text("bits", style="dim"), width=5, justify="right", no_wrap=True)
    table.add_column("", width=_BAR, no_wrap=True)
    for (label, level, bits, comparison), start in zip(steps, ends[:-1], strict=True):
        style = "green" if bits > 0 else "red" if bits < 0 else "dim"
        table.add_row(
            label,
            Text(one.value_of(comparison) if one and comparison else ""),
            Text(other.value_of(comparison) if other and comparison else ""),
            Text(level, style="" if bits else "dim"),
            # an equal contact is not counted twice
            Text(f"{bits:+.1f}" if bits else "prior", style=style),
            Text(_bar(start, start + bits, low, high), style=style),
        )
    table.add_row(
        Text("sum", style="bold"),
        "",
        "",
        Text(_percent(link.probability), style="bold"),
        Text(f"{link.weight:+.1f}", style="bold"),
        Text(_bar(0, link.weight, low, high), style="bold"),
    )
    yield _indented(table, 4)
    if silent:
        yield _line(f"Not comparable: {', '.join(silent)}.", "dim", 4)


def _summary(told: Explanation, link: Link) -> Text:
    signs = {
        Outcome.MATCHED: ("=", "matched", "green"),
        Outcome.DECIDED_SAME: ("=", "a steward decided", "green"),
        Outcome.REVIEW: ("?", "not linked", "yellow"),
        Outcome.REFUSED: ("≠", "refused", "red"),
        Outcome.DECIDED_NOT_SAME: ("≠", "a steward decided", "red"),
    }
    sign, word, style = signs[link.outcome]
    one, other = _pair(told, link)
    text = Text.assemble((one, "bold"), f" {sign} ", (other, "bold"), "  ", (word, style))
    if link.refused_reason:
        text.append(f": {link.refused_reason}", style=style)
    if link.decision_id:
        text.append(f" ({link.decision_id})", style=style)
    if link.customer_id != link.other_customer_id:
        stranger = (
            link.other_customer_id if link.customer_id == told.customer_id else link.customer_id
        )
        text.append(f"\n{other} belongs to {stranger}", style="dim")
    return text


def _pair(told: Explanation, link: Link) -> tuple[str, str]:
    """The two records of a link, one of this customer first."""
    if link.customer_id == told.customer_id:
        return link.pair
    return link.other_source_record_id, link.source_record_id


def _bar(start: float, end: float, low: float, high: float) -> str:
    """A piece of a waterfall between two running totals; at least one block when they differ."""
    if start == end or low == high:
        return ""
    scale = _BAR / (high - low)
    left = round((min(start, end) - low) * scale)
    right = round((max(start, end) - low) * scale)
    left = min(left, _BAR - 1)
    return " " * left + "█" * max(right - left, 1)


def _percent(probability: float) -> str:
    percent = 100 * probability
    if percent >= 99.9999:
        return "> 99.9999 %"
    if percent < 0.0001:
        return "< 0.0001 %"
    return f"{percent:.4f} %" if percent > 99.9 or percent < 0.1 else f"{percent:.1f} %"


# --- decisions and history -----------------------------------------------------------------------


def _decisions(told: Explanation) -> Iterator[RenderableType]:
    if not told.decisions:
        return
    yield _title("Decisions")
    for decision in told.decisions:
        yield _indented(_decision(decision))


def _decision(decision: DecisionMade) -> Text:
    relation = "is" if decision.verdict == "same" else "is not"
    return Text.assemble(
        (decision.decision_id, "bold"),
        f"  {decision.source_record_id} {relation} {decision.other_source_record_id}",
        (f"\n{decision.decided_by}, {decision.decided_at:%Y-%m-%d %H:%M}: ", "dim"),
        decision.reason,
    )


def _history(told: Explanation) -> Iterator[RenderableType]:
    if not told.history:
        return
    yield _title("History of the id" if not told.former_ids else "History of the ids")
    words = {
        "created": "was created",
        "split_from": "was split from",
        "merged_into": "was merged into",
        "withdrawn": "was withdrawn",
    }
    table = _grid()
    table.add_column(width=10, style="dim")
    table.add_column(width=10, style="dim")
    table.add_column(width=70)
    for event in told.history:
        said = f"{event.customer_id} {words.get(event.event, event.event)}"
        if event.other_customer_id:
            said += f" {event.other_customer_id}"
        table.add_row(
            f"release {event.release_number}",
            f"{event.occurred_on}",
            Text.assemble(said, (f": {event.reason}", "dim")),
        )
    yield _indented(table)
    if told.former_ids:
        yield _line(f"Ids that lead here: {', '.join(told.former_ids)}", "dim")


# --- preview -------------------------------------------------------------------------------------


def preview_report(seen: Preview) -> RenderableType:
    """Return what a change would do: the counts, then the largest merges and splits with why."""
    parts: list[RenderableType] = []
    for word, decisions in (
        ("New", seen.new_decisions),
        ("No longer in force", seen.gone_decisions),
    ):
        if decisions:
            shown = ", ".join(decisions[:5]) + (", ..." if len(decisions) > 5 else "")
            parts.append(Text(f"{word}: {_counted(len(decisions), 'decision')}, {shown}"))
    if seen.changes_nothing:
        parts.append(
            Text(
                f"Nothing would change: all {seen.customers_after:,} customers keep their records."
            )
        )
        return Group(*parts, _counts(seen))
    parts.append(_counts(seen))
    parts += _customer_changes("Customers that would be one", seen.merges, seen.merged_count)
    parts += _customer_changes("Customers that would come apart", seen.splits, seen.split_count)
    return Group(*parts)


def _counts(seen: Preview) -> RenderableType:
    table = _grid(headed=True)
    table.add_column("", width=28, style="dim")
    for heading in ("now", "then", "change"):
        table.add_column(Text(heading, style="dim"), width=12, justify="right")
    lines = [("customers", seen.customers_before, seen.customers_after)]
    if seen.new_record_count or seen.gone_record_count:
        before = seen.record_count - seen.new_record_count + seen.gone_record_count
        lines.append(("records", before, seen.record_count))
    names = {
        Outcome.MATCHED: "pairs matched",
        Outcome.SAME_EVIDENCE: "pairs with equal evidence",
        Outcome.REVIEW: "pairs worth a look",
        Outcome.REFUSED: "pairs refused",
        Outcome.DECIDED_SAME: "pairs decided the same",
        Outcome.DECIDED_NOT_SAME: "pairs decided not the same",
    }
    lines += [(names[o], *seen.outcomes[o]) for o in Outcome if any(seen.outcomes[o])]
    for name, before, after in lines:
        change = after - before
        table.add_row(name, f"{before:,}", f"{after:,}", f"{change:+,}" if change else "·")
    facts = _grid()
    facts.add_column(width=28, style="dim")
    facts.add_column(width=12, justify="right")
    facts.add_row("customers unchanged", f"{seen.unchanged_count:,}")
    facts.add_row("customers merged into larger", f"{seen.merged_count:,}")
    facts.add_row("customers split", f"{seen.split_count:,}")
    facts.add_row("records moved", f"{seen.moved_count:,}")
    return _indented(Group(table, Text(), facts))


def _customer_changes(
    heading: str, changes: Sequence[CustomerChange], count: int
) -> Iterator[RenderableType]:
    if not changes:
        return
    more = f" (the {len(changes)} largest)" if count > len(changes) else ""
    yield _title(f"{heading}{more}")
    for change in changes:
        parts = ", ".join(f"{name} ({size})" for name, size in change.parts[:4])
        if len(change.parts) > 4:
            parts += f" and {len(change.parts) - 4} more"
        yield _indented(
            Text.assemble(
                (change.customer_id, "bold"),
                f"  {_counted(change.record_count, 'record')}: {parts}",
            )
        )
        if change.because:
            yield _indented(_because(change.because), 4)


def _because(pair: PairChange) -> Text:
    text = Text(f"{pair.source_record_id} and {pair.other_source_record_id}: ", style="dim")
    text.append(f"{_state(pair.before)} → {_state(pair.after)}", style="")
    changes = [
        f"{_label(name)} {before:+.1f} → {after:+.1f}"
        for name, before, after in pair.largest_changes()
        if f"{before:+.1f}" != f"{after:+.1f}"
    ]
    if changes:
        text.append(f"; {', '.join(changes)}", style="dim")
    return text


def _state(state: PairState | None) -> str:
    if state is None:
        return "no link"
    words = {
        Outcome.MATCHED: "matched",
        Outcome.SAME_EVIDENCE: "equal evidence",
        Outcome.REVIEW: "worth a look",
        Outcome.REFUSED: "refused",
        Outcome.DECIDED_SAME: "decided the same",
        Outcome.DECIDED_NOT_SAME: "decided not the same",
    }
    reason = f" ({state.reason})" if state.reason else ""
    return f"{words[state.outcome]} {state.weight:+.1f} bits{reason}"


# --- pieces --------------------------------------------------------------------------------------


def _grid(*, headed: bool = False) -> Table:
    return Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="", show_header=headed
    )


def _indented(renderable: RenderableType, columns: int = 2) -> Padding:
    return Padding(renderable, (0, 0, 0, columns))


def _title(text: str) -> RenderableType:
    return Text(f"\n{text}", style="bold cyan")


def _line(text: str, style: str = "", columns: int = 2) -> Padding:
    return _indented(Text(text, style=style), columns)


def _more(count: int, thing: str) -> Padding:
    return _line(f"and {_counted(count, thing)} more; `--all` shows all.", "dim")


def _cut(items: Sequence[_Item], most: int, everything: bool) -> tuple[Sequence[_Item], int]:
    """The items that are shown, and how many are not."""
    shown = items if everything else items[:most]
    return shown, len(items) - len(shown)


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _label(column: str) -> str:
    return LABELS.get(column, column.replace("_", " "))
