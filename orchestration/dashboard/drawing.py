"""Charts of one customer, in the style of the report's, and their colours on Streamlit's pages."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt
import streamlit as st

from orchestration.dashboard.people import Customer, Row
from orchestration.identity.explain import Link, Outcome
from orchestration.identity.showing import LABELS
from orchestration.report.charts import GROUND, PALETTE, STEPS, colour, described
from orchestration.report.words import label

# Records in a drawing: more of them are a ball of wool, and are told in a table only.
MOST_DRAWN = 40
# What a link is drawn as, by outcome: colour, and dashes where it does not join.
LINES: Mapping[Outcome, tuple[str, list[int]]] = {
    Outcome.MATCHED: ("blue", [1, 0]),
    Outcome.SAME_EVIDENCE: ("sky", [1, 0]),
    Outcome.DECIDED_SAME: ("green", [1, 0]),
    Outcome.REVIEW: ("orange", [5, 4]),
    Outcome.REFUSED: ("purple", [5, 4]),
    Outcome.DECIDED_NOT_SAME: ("grey", [2, 4]),
}
_COLOURS = dict(PALETTE) | dict(GROUND) | {f"step-{step}": both for step, both in enumerate(STEPS)}
_KINDS = ("purchase", "session", "mail open", "mail click", "ticket", "survey", "consent")
# Pixels of legend and axis, which Streamlit counts as part of a chart.
_AROUND = 80
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
_NAMED = re.compile(r"var\(--([\w-]+)\)")


def in_colour(chart: dict[str, Any]) -> dict[str, Any]:
    """The chart in the colours of the page as it is, light or dark: Streamlit knows no names."""
    scheme = 1 if st.context.theme.type == "dark" else 0

    def coloured(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: coloured(inner) for name, inner in part.items()}
        if isinstance(part, list):
            return [coloured(inner) for inner in part]
        named = _NAMED.fullmatch(part) if isinstance(part, str) else None
        return _COLOURS[named[1]][scheme] if named else part

    found: dict[str, Any] = coloured(chart)
    return found


def timeline(touches: Sequence[Row]) -> dict[str, Any]:
    """What a customer did and when: a mark for each touch, a row for each kind."""
    found = [
        {
            "when": row["touched_at"].isoformat(),
            "kind": row["kind"],
            "channel": label(row["channel"]),
            "what": row["what"] or "",
        }
        for row in touches
        if row["kind"] in _KINDS
    ]
    kinds = [kind for kind in _KINDS if any(row["kind"] == kind for row in found)]
    chart = (
        alt.Chart(_values(found))
        .mark_tick(thickness=2, size=16)
        .encode(
            x=alt.X("when:T", title=None, axis=alt.Axis(format="%b %Y", labelOverlap=True)),
            y=alt.Y("kind:N", title=None, sort=kinds),
            color=alt.Color("kind:N", sort=kinds, legend=None),
            tooltip=["when:T", "kind:N", "channel:N", "what:N"],
        )
        .properties(height=24 * max(len(kinds), 2) + _AROUND / 2)
    )
    return described(chart)


def identity_graph(customer: Customer) -> dict[str, Any]:
    """The records of a customer and the links between them, on a circle.

    Links that hold the customer together are thick. Beyond MOST_DRAWN records only those whose
    links are strongest are drawn.
    """
    drawn = _drawn(customer)
    place = _places(customer, drawn)
    nodes = [
        {
            "x": x,
            "y": y,
            "record": record,
            "source": label(customer.records[record]["source"]),
            "whose": "this customer"
            if customer.records[record]["customer_id"] == customer.customer_id
            else "another customer",
            "align": "left" if x > 0 else "right",
        }
        for record, (x, y) in place.items()
    ]
    lines = [
        {
            "x": place[link.source_record_id][0],
            "y": place[link.source_record_id][1],
            "x2": place[link.other_source_record_id][0],
            "y2": place[link.other_source_record_id][1],
            "pair": " and ".join(link.pair),
            "outcome": label(link.outcome),
            "bits": round(link.weight, 1),
            "width": 3 if link.holds else 1.2,
        }
        for link in customer.links
        if set(link.pair) <= place.keys()
    ]
    outcomes = [one for one in LINES if any(line["outcome"] == label(one) for line in lines)]
    # room for names on both sides, of which a phone has little
    reach = "(width < 480 ? 3.2 : 1.75)"
    across = alt.Scale(
        domainMin=alt.ExprRef(f"-{reach}"), domainMax=alt.ExprRef(reach), nice=False, zero=False
    )
    down = alt.Scale(domain=[-1.15, 1.15])
    x, y = alt.X("x:Q", axis=None, scale=across), alt.Y("y:Q", axis=None, scale=down)
    edges = (
        alt.Chart(_values(lines))
        .mark_rule(opacity=0.85)
        .encode(
            x=x,
            y=y,
            x2="x2:Q",
            y2="y2:Q",
            color=alt.Color(
                "outcome:N",
                scale=alt.Scale(
                    domain=[label(one) for one in outcomes],
                    range=[colour(LINES[one][0]) for one in outcomes],
                ),
                legend=alt.Legend(symbolType="stroke", symbolStrokeWidth=3, symbolSize=300),
            ),
            strokeDash=alt.StrokeDash(
                "outcome:N",
                scale=alt.Scale(
                    domain=[label(one) for one in outcomes],
                    range=[LINES[one][1] for one in outcomes],
                ),
            ),
            strokeWidth=alt.StrokeWidth("width:Q", scale=None),
            tooltip=["pair:N", "outcome:N", "bits:Q"],
        )
    )
    points = (
        alt.Chart(_values(nodes))
        .mark_point(filled=True, size=110, opacity=1, stroke=colour("paper"), strokeWidth=1.5)
        .encode(
            x=x,
            y=y,
            fill=alt.Fill(
                "whose:N",
                scale=alt.Scale(
                    domain=["this customer", "another customer"],
                    range=[colour("ink"), colour("grey")],
                ),
                legend=None,
            ),
            tooltip=["record:N", "source:N", "whose:N"],
        )
    )
    texts = [
        alt.Chart(_values([node for node in nodes if node["align"] == align]))
        .mark_text(align=align, dx=9 if align == "left" else -9, fontSize=11)
        .encode(x=x, y=y, text="record:N")
        for align in _SIDES
    ]
    chart = alt.layer(edges, points, *texts).properties(height=max(200, 19 * len(drawn)) + _AROUND)
    return described(chart)


def _drawn(customer: Customer) -> list[str]:
    """The records to draw: those of the strongest links, and records without any while they fit."""
    order = dict.fromkeys(record for link in customer.links for record in link.pair)
    order |= dict.fromkeys(row["source_record_id"] for row in customer.own_records)
    return [record for record in order if record in customer.records][:MOST_DRAWN]


def _places(customer: Customer, drawn: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Places on a circle, in the order in which the holding links walk through the records."""
    beside: dict[str, list[str]] = defaultdict(list)
    for link in customer.links:
        if link.holds:
            beside[link.source_record_id].append(link.other_source_record_id)
            beside[link.other_source_record_id].append(link.source_record_id)
    walked: dict[str, None] = {}
    for start in drawn:
        waiting = [start]
        while waiting:
            record = waiting.pop()
            if record not in walked:
                walked[record] = None
                waiting += reversed(beside[record])
    order = [record for record in walked if record in drawn]
    turn = 2 * math.pi / max(len(order), 1)
    return {
        record: (round(math.cos(turn * n + 0.3), 4), round(math.sin(turn * n + 0.3), 4))
        for n, record in enumerate(order)
    }


def waterfall(link: Link) -> dict[str, Any]:
    """How the bits of a link add up to its weight: what speaks for one person, and what against."""
    parts = [("prior", f"they share {link.shared_contacts}", link.prior_bits)]
    parts += [(one.comparison, one.level, one.bits) for one in link.evidence if one.bits]
    if link.frequency_bits:
        parts.append(("frequency", "how rare the values are", link.frequency_bits))
    found: list[Row] = []
    reached = 0.0
    for name, level, bits in parts:
        what = LABELS.get(name, label(name))
        found.append(_bar(what, level, reached, reached + bits, bits))
        reached += bits
    found.append(_bar("weight", f"{chance(link)} one person", 0, link.weight, link.weight))
    low = min(0.0, *(row["low"] for row in found))
    high = max(0.0, *(row["high"] for row in found))
    # beside the longest bar there is room for its number, on a phone too
    room = (high - low or 1) / 10
    base = alt.Chart(_values(found)).encode(y=alt.Y("what:N", sort=None, title=None))
    scale = alt.Scale(domain=[low - room if low < 0 else 0, high + 3 * room], nice=False)
    bars = base.mark_bar(height={"band": 0.62}).encode(
        x=alt.X("low:Q", title="bits", scale=scale),
        x2="high:Q",
        color=alt.Color(
            "speaks:N",
            scale=alt.Scale(
                domain=["for", "against", "in all"],
                range=[colour("green"), colour("orange"), colour("blue")],
            ),
            legend=alt.Legend(columns=3),
        ),
        tooltip=["what:N", "level:N", alt.Tooltip("bits:Q", format="+.2f")],
    )
    numbers = base.mark_text(align="left", dx=5).encode(
        x=alt.X("high:Q"), text=alt.Text("bits:Q", format="+.1f")
    )
    zero = alt.Chart(_values([{"zero": 0}])).mark_rule(color=colour("soft")).encode(x="zero:Q")
    return described((bars + numbers + zero).properties(height=26 * len(found) + _AROUND))


def chance(link: Link) -> str:
    """The probability of one person in per cent; never as if there were no doubt."""
    return f"{min(max(link.probability, 0.001), 0.999):.1%}"


def _bar(what: str, level: str, start: float, end: float, bits: float) -> Row:
    speaks = "in all" if what == "weight" else "for" if bits > 0 else "against"
    return {
        "what": what,
        "level": level,
        "low": round(min(start, end), 4),
        "high": round(max(start, end), 4),
        "bits": round(bits, 4),
        "speaks": speaks,
    }


def _values(found: Sequence[Row]) -> alt.Data:
    return alt.Data(values=list(found))  # type: ignore[no-untyped-call]
