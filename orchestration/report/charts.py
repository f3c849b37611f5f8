"""The charts of the report: one function for each figure, from its rows to a Vega-Lite chart.

A chart knows no colour, only its place in the palette: the page says which blue that is, by light
or by dark. Who opens the table beneath a chart sees the same rows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt

from orchestration.report.figures import Row
from orchestration.report.words import label

# Apart from each other for people who see no red or no green, and 3:1 from what is behind them
# (tests/report/test_charts.py); by name, light and dark.
PALETTE: Mapping[str, tuple[str, str]] = {
    "blue": ("#1a66b0", "#5aa9ec"),
    "orange": ("#c8500a", "#ff9a57"),
    "green": ("#0b8068", "#3ecba3"),
    "purple": ("#7a2f6e", "#e593c0"),
    "ochre": ("#8f6a00", "#dcb93f"),
    "grey": ("#6c7887", "#72819b"),
    "sky": ("#3d94c9", "#bfe5fb"),
}
# What is behind and around the charts.
GROUND: Mapping[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#161d27"),
    "ink": ("#16202c", "#e8edf3"),
    "soft": ("#556272", "#9fadbd"),
    "line": ("#dde3ea", "#2c3745"),
}
# From few to many, in steps, for a heat map.
STEPS: Sequence[tuple[str, str]] = (
    ("#eaf2fa", "#17293b"),
    ("#cfe2f3", "#1c3b57"),
    ("#a9cbe8", "#215074"),
    ("#79aedb", "#2a6a99"),
    ("#488fca", "#3d8bc4"),
    ("#2270b3", "#67abe2"),
    ("#124f86", "#a3cff3"),
)
_CATEGORIES = ("blue", "orange", "green", "purple", "grey", "sky")
# Pixels: few bars are thick, so that a chart is about as high as the one beside it.
_CHART, _LEAST_BAR, _MOST_BAR = 230, 22, 36


def colour(name: str) -> str:
    """A colour of the palette as the page resolves it."""
    return f"var(--{name})"


CONFIG: Mapping[str, Any] = {
    "background": "transparent",
    "font": 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
    "view": {"stroke": None},
    "mark": {"color": colour("blue")},
    "range": {
        "category": [colour(name) for name in _CATEGORIES],
        "heatmap": [colour(f"step-{step}") for step in range(len(STEPS))],
    },
    "axis": {
        "labelColor": colour("soft"),
        "titleColor": colour("soft"),
        "gridColor": colour("line"),
        "domainColor": colour("line"),
        "tickColor": colour("line"),
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 220,
    },
    "axisBand": {"ticks": False, "domain": False, "grid": False, "labelPadding": 6},
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": colour("ink"),
        "labelFontSize": 12,
        "symbolType": "square",
        "symbolSize": 90,
        "columnPadding": 14,
        "labelLimit": 200,
        # names in a row as long as there is room for them
        "columns": {"expr": "width < 300 ? 2 : 4"},
        "titleColor": colour("soft"),
        "titleFontWeight": "normal",
    },
    "text": {"color": colour("ink"), "fontSize": 12},
    "bar": {"cornerRadiusEnd": 2},
}

# Of five or more long names.
_LONG_LEGEND = alt.Legend(columns=alt.ExprRef("width < 300 ? 2 : width < 520 ? 3 : 6"))

Chart = Any  # `alt.Chart` or `alt.LayerChart`, whose methods have no types
Chartist = Callable[[Sequence[Row], str], Chart]


def _data(found: Sequence[Row], *categories: str) -> alt.Data:
    """The rows with the values of some columns as people read them."""
    read = [row | {name: label(row[name]) for name in categories} for row in found]
    return alt.Data(values=read)  # type: ignore[no-untyped-call]


def _height(found: Sequence[Row], column: str, most: int = _MOST_BAR) -> int:
    bars = max(len({row[column] for row in found}), 1)
    return bars * min(max(_CHART // bars, _LEAST_BAR), most)


def _bars(
    found: Sequence[Row], name: str, value: str, title: str, number_format: str = ",.0f"
) -> Chart:
    """Horizontal bars with their numbers, in the order of the rows; nothing where it is hidden."""
    base = alt.Chart(_data(found, name)).encode(
        y=alt.Y(f"{name}:N", sort=None, title=None),
        x=alt.X(f"{value}:Q", title=title, axis=None, scale=_room_for_number(found, value)),
    )
    bars = base.mark_bar(height={"band": 0.68}).encode(
        tooltip=[
            alt.Tooltip(f"{name}:N", title=label(name)),
            alt.Tooltip(f"{value}:Q", title=title, format=number_format),
        ]
    )
    numbers = base.mark_text(align="left", dx=5).encode(
        text=alt.Text(f"{value}:Q", format=number_format)
    )
    hidden = (
        base.transform_filter(f"datum[{value!r}] === null")
        .mark_text(align="left", dx=5, color=colour("soft"), fontStyle="italic")
        .encode(x=alt.value(0), text=alt.value("under 10"))
    )
    return (bars + numbers + hidden).properties(height=_height(found, name))


def _room_for_number(found: Sequence[Row], value: str, per: str = "") -> alt.Scale:
    """A scale with room beside the longest bar for its number. per: what bars are stacked by."""
    bars: dict[Any, float] = {}
    for number, row in enumerate(found):
        bar = row[per] if per else number
        bars[bar] = bars.get(bar, 0) + (row[value] or 0)
    return alt.Scale(domain=[0, 1.18 * (max(bars.values(), default=0) or 1)], nice=False)


def _shares(found: Sequence[Row], name: str, part: str, parts: Mapping[str, str]) -> Chart:
    """Customers as bars of shares; parts: what is stacked, in order, with the colours."""
    order = {text: number for number, text in enumerate(parts)}
    read = [row | {"place": order.get(row[part], len(order))} for row in found]
    return (
        alt.Chart(_data(read, name, part))
        .mark_bar(height={"band": 0.68})
        .encode(
            y=alt.Y(f"{name}:N", sort=None, title=None),
            x=alt.X(
                "customer_count:Q",
                stack="normalize",
                title="share of customers",
                axis=alt.Axis(format=".0%"),
            ),
            color=alt.Color(
                f"{part}:N",
                scale=alt.Scale(
                    domain=[label(text) for text in parts],
                    range=[colour(name) for name in parts.values()],
                ),
            ),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip(f"{name}:N", title=label(name)),
                alt.Tooltip(f"{part}:N", title=label(part)),
                alt.Tooltip("customer_count:Q", title="customers", format=",.0f"),
            ],
        )
        .properties(height=_height(found, name))
    )


def sources(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """Records of people and customers, two bars a source."""
    read = [
        {"source": row["source"], "what": what, "count": row[column]}
        for row in found
        for column, what in (("record_count", "records"), ("customer_count", "customers"))
    ]
    return (
        alt.Chart(_data(read, "source"))
        .mark_bar()
        .encode(
            y=alt.Y("source:N", sort=None, title=None),
            yOffset=alt.YOffset("what:N", sort=["records", "customers"]),
            x=alt.X("count:Q", title=None, axis=alt.Axis(format="~s", tickCount=5)),
            color=alt.Color(
                "what:N",
                scale=alt.Scale(
                    domain=["records", "customers"], range=[colour("sky"), colour("blue")]
                ),
            ),
            tooltip=["source:N", "what:N", alt.Tooltip("count:Q", format=",.0f")],
        )
        .properties(height=_height(found, "source", 40))
    )


def match_bands(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """Pairs by probability; the review band is what a person should look at."""
    outcomes = {"review": "orange", "refused": "purple", "matched": "blue", "same_evidence": "sky"}
    others = sorted({row["outcome"] for row in found} - outcomes.keys())
    outcomes |= dict.fromkeys(others, "grey")
    order = list(dict.fromkeys(row["probability"] for row in found))
    base = alt.Chart(_data(found, "outcome")).encode(
        y=alt.Y("probability:N", sort=order, title=None)
    )
    bars = base.mark_bar(height={"band": 0.68}).encode(
        x=alt.X(
            "pair_count:Q", axis=None, scale=_room_for_number(found, "pair_count", "probability")
        ),
        color=alt.Color(
            "outcome:N",
            scale=alt.Scale(
                domain=[label(outcome) for outcome in outcomes],
                range=[colour(name) for name in outcomes.values()],
            ),
        ),
        tooltip=[
            "probability:N",
            "outcome:N",
            alt.Tooltip("pair_count:Q", title="pairs", format=",.0f"),
        ],
    )
    numbers = base.mark_text(align="left", dx=5).encode(
        x=alt.X("sum(pair_count):Q", axis=None),
        text=alt.Text("sum(pair_count):Q", format=",.0f"),
    )
    return (bars + numbers).properties(height=_height(found, "probability"))


def rfm_segments(found: Sequence[Row], currency: str) -> Chart:
    """How many buyers a segment has, and how much of the money: two bars a segment."""
    buyers = sum(row["customer_count"] or 0 for row in found) or 1
    amount = sum(row["net_amount"] or 0 for row in found) or 1
    read = [
        {"segment": row["rfm_segment"], "what": what, "share": share, "told": told}
        for row in found
        if row["customer_count"] is not None
        for what, share, told in (
            (
                "of buyers",
                row["customer_count"] / buyers,
                f"{row['customer_count']:,} customers",
            ),
            (
                "of net revenue",
                (row["net_amount"] or 0) / amount,
                f"{row['net_amount'] or 0:,.0f} {currency}",
            ),
        )
    ]
    return (
        alt.Chart(_data(read, "segment"))
        .mark_bar()
        .encode(
            y=alt.Y("segment:N", sort=None, title=None),
            yOffset=alt.YOffset("what:N", sort=["of buyers", "of net revenue"]),
            x=alt.X("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=5)),
            color=alt.Color(
                "what:N",
                scale=alt.Scale(
                    domain=["of buyers", "of net revenue"], range=[colour("blue"), colour("orange")]
                ),
            ),
            tooltip=[
                "segment:N",
                alt.Tooltip("share:Q", title="share", format=".1%"),
                alt.Tooltip("told:N", title="that is"),
            ],
        )
        .properties(height=_height(found, "rfm_segment") + 40)
    )


def cohort_retention(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """A row for each cohort, a column for each month since, the share in the cell."""
    period = found[0]["cohort_period"] if found else "month"
    cohorts = {row["cohort_start"]: _cohort(row) for row in found}
    read = [
        row | {"cohort": cohorts[row["cohort_start"]], "percent": _percent(row["retained_ratio"])}
        for row in found
    ]
    base = alt.Chart(_data(read)).encode(
        x=alt.X(
            "period_offset:O",
            title=f"{period}s since the first purchase",
            axis=alt.Axis(labelAngle=0, labelOverlap=True),
        ),
        y=alt.Y("cohort:N", sort=list(cohorts.values()), title=None),
    )
    most = max((row["percent"] for row in read if row["percent"] is not None), default=0) or 1
    cells = base.mark_rect(cornerRadius=2, stroke=colour("paper"), strokeWidth=1).encode(
        color=alt.Color(
            "percent:Q",
            scale=alt.Scale(
                type="quantize",
                domain=[0, most],
                range=[colour(f"step-{step}") for step in range(len(STEPS))],
            ),
            legend=alt.Legend(title="% of the cohort", format=".0f"),
        ),
        tooltip=[
            alt.Tooltip("cohort:N", title="first purchase"),
            alt.Tooltip("period_offset:O", title=f"{period}s since"),
            alt.Tooltip("customer_count:Q", title="customers", format=",.0f"),
            alt.Tooltip("retained_count:Q", title="bought again", format=",.0f"),
            alt.Tooltip("retained_ratio:Q", title="share", format=".1%"),
        ],
    )
    hidden = (
        base.transform_filter("datum.retained_ratio === null")
        .mark_text(color=colour("soft"))
        .encode(text=alt.value("·"))
    )
    return (cells + hidden).properties(height=max(len(cohorts), 1) * 24)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio


def _cohort(row: Row) -> str:
    year, month, _ = row["cohort_start"].split("-")
    return f"{year} Q{(int(month) + 2) // 3}" if row["cohort"] == "quarter" else f"{year}-{month}"


_MOVES = {
    "new_count": ("new", 1, "blue"),
    "reactivated_count": ("came back", 1, "sky"),
    "gained_by_identity_count": ("gained by identity", 1, "purple"),
    "lapsed_count": ("lapsed", -1, "orange"),
    "lost_by_identity_count": ("lost by identity", -1, "grey"),
}


def retention_bridge(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """Who came, above the line, and who went, below it; identity told apart from churn."""
    read = [
        {"month": row["month_start"], "move": move, "customers": sign * (row[column] or 0)}
        | {"place": place}
        for row in found
        for place, (column, (move, sign, _)) in enumerate(_MOVES.items())
    ]
    return (
        alt.Chart(_data(read))
        .mark_bar()
        .encode(
            x=_months("month"),
            y=alt.Y("customers:Q", title="customers", axis=alt.Axis(tickCount=6)),
            color=alt.Color(
                "move:N",
                scale=alt.Scale(
                    domain=[move for move, _, _ in _MOVES.values()],
                    range=[colour(name) for _, _, name in _MOVES.values()],
                ),
                legend=_LONG_LEGEND,
            ),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("month:T", format="%B %Y", timeUnit="utcyearmonth"),
                "move:N",
                alt.Tooltip("customers:Q", format="+,.0f"),
            ],
        )
        .properties(height=250)
    )


def active_customers(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """How many were active at the end of each month."""
    base = alt.Chart(_data(found)).encode(
        x=_months("month_start"),
        y=alt.Y("closing_count:Q", title="customers", axis=alt.Axis(tickCount=5, format="~s")),
        tooltip=[
            alt.Tooltip("month_start:T", title="month", format="%B %Y", timeUnit="utcyearmonth"),
            alt.Tooltip("closing_count:Q", title="active at its end", format=",.0f"),
        ],
    )
    area = base.mark_area(opacity=0.16, line={"strokeWidth": 2.5, "color": colour("blue")})
    return (area + base.mark_point(filled=True, size=36, opacity=1)).properties(height=250)


def revenue(found: Sequence[Row], currency: str) -> Chart:
    """Net revenue of each month, its channels stacked."""
    return (
        alt.Chart(_data(found, "channel"))
        .mark_bar()
        .encode(
            x=_months("month"),
            y=alt.Y(
                "net_amount:Q", title=currency or None, axis=alt.Axis(format="~s", tickCount=5)
            ),
            color=alt.Color("channel:N"),
            tooltip=[
                alt.Tooltip("month:T", format="%B %Y", timeUnit="utcyearmonth"),
                "channel:N",
                alt.Tooltip("net_amount:Q", title=f"net, {currency}", format=",.0f"),
                alt.Tooltip("purchase_count:Q", title="purchases", format=",.0f"),
            ],
        )
        .properties(height=250)
    )


def value_tiers(found: Sequence[Row], currency: str) -> Chart:
    """What each tier brought and is expected to bring."""
    read = [
        {"tier": row["value_tier"], "what": what, "amount": row[column]}
        for row in found
        for column, what in (("net_amount", "so far"), ("expected_amount", "expected in 365 days"))
    ]
    return (
        alt.Chart(_data(read, "tier"))
        .mark_bar()
        .encode(
            y=alt.Y("tier:N", sort=None, title=None),
            yOffset=alt.YOffset("what:N", sort=["so far", "expected in 365 days"]),
            x=alt.X("amount:Q", title=currency or None, axis=alt.Axis(format="~s", tickCount=5)),
            color=alt.Color(
                "what:N",
                scale=alt.Scale(
                    domain=["so far", "expected in 365 days"],
                    range=[colour("blue"), colour("sky")],
                ),
            ),
            tooltip=[
                "tier:N",
                "what:N",
                alt.Tooltip("amount:Q", title=currency or "amount", format=",.0f"),
            ],
        )
        .properties(height=_height(found, "value_tier", 44))
    )


def net_promoter_scores(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """The score of each period; one of few answers is left out."""
    base = alt.Chart(_data(found)).encode(
        x=_months("period"),
        y=alt.Y(
            "net_promoter_score:Q",
            title="net promoter score",
            scale=alt.Scale(domain=[-100, 100]),
            axis=alt.Axis(values=[-100, -50, 0, 50, 100]),
        ),
        tooltip=[
            alt.Tooltip("period:T", title="from", format="%B %Y", timeUnit="utcyearmonth"),
            alt.Tooltip("net_promoter_score:Q", title="score", format="+.0f"),
            alt.Tooltip("response_count:Q", title="answers", format=",.0f"),
        ],
    )
    line = base.mark_line(strokeWidth=2.5)
    return (line + base.mark_point(filled=True, size=48, opacity=1)).properties(height=230)


def engagement_levels(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """How many are highly engaged in a channel, and how many not at all."""
    levels = {"high": "step-6", "medium": "step-4", "low": "step-2", "none": "line"}
    return _shares(found, "channel", "level", levels)


def feedback_themes(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """Comments that praise to the right, those that complain to the left."""
    read = [
        {"theme": row["theme"], "tone": tone, "comments": sign * (row[column] or 0)}
        for row in found
        if row["customer_count"] is not None
        for column, tone, sign in (
            ("positive_count", "positive", 1),
            ("negative_count", "negative", -1),
        )
    ]
    return (
        alt.Chart(_data(read, "theme"))
        .mark_bar(height={"band": 0.68})
        .encode(
            y=alt.Y("theme:N", sort=None, title=None),
            x=alt.X("comments:Q", title="comments", axis=alt.Axis(format="d", tickCount=6)),
            color=alt.Color(
                "tone:N",
                scale=alt.Scale(
                    domain=["negative", "positive"], range=[colour("orange"), colour("blue")]
                ),
            ),
            tooltip=["theme:N", "tone:N", alt.Tooltip("comments:Q", format="+,.0f")],
        )
        .properties(height=_height(read, "theme"))
    )


def purchase_funnel(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """How many took each step."""
    return _bars(found, "step", "customer_count", "people")


_MODELS = {
    "first_touch": "sky",
    "linear": "green",
    "position_based": "ochre",
    "time_decay": "purple",
    "last_touch": "blue",
}


def attribution(found: Sequence[Row], currency: str) -> Chart:
    """Five models, a point each: far apart where the answer hangs on the model."""
    totals: dict[str, float] = {}
    for row in found:
        totals[row["channel"]] = totals.get(row["channel"], 0) + (row["credited_amount"] or 0)
    order = [label(channel) for channel in sorted(totals, key=lambda name: -totals[name])]
    base = alt.Chart(_data(found, "channel", "attribution_model")).encode(
        y=alt.Y("channel:N", sort=order, title=None, axis=alt.Axis(grid=True)),
        x=alt.X(
            "credited_amount:Q",
            title=currency or None,
            axis=alt.Axis(format="~s", tickCount=5),
            scale=alt.Scale(zero=True),
        ),
    )
    return (
        base.mark_point(filled=True, size=95, opacity=0.9)
        .encode(
            color=alt.Color(
                "attribution_model:N",
                scale=alt.Scale(
                    domain=[label(model) for model in _MODELS],
                    range=[colour(name) for name in _MODELS.values()],
                ),
                legend=_LONG_LEGEND,
            ),
            shape=alt.Shape(
                "attribution_model:N",
                scale=alt.Scale(
                    domain=[label(model) for model in _MODELS],
                    range=["triangle-up", "circle", "diamond", "cross", "square"],
                ),
                legend=_LONG_LEGEND,
            ),
            tooltip=[
                "channel:N",
                alt.Tooltip("attribution_model:N", title="model"),
                alt.Tooltip("credited_amount:Q", title=currency or "amount", format=",.0f"),
                alt.Tooltip("purchase_count:Q", title="purchases", format=",.0f"),
            ],
        )
        .properties(height=max(len(order), 1) * 34)
    )


def consent(found: Sequence[Row], currency: str) -> Chart:  # noqa: ARG001
    """Granted, withdrawn or unknown; only granted is a yes."""
    statuses = {"granted": "blue", "withdrawn": "orange"}
    others = sorted({row["consent_status"] for row in found} - {*statuses, "unknown"})
    statuses |= dict.fromkeys(others, "grey") | {"unknown": "line"}
    return _shares(found, "purpose", "consent_status", statuses)


CHARTS: Mapping[str, Chartist] = {
    "sources": sources,
    "source_counts": lambda found, _: _bars(found, "source_count", "customer_count", "customers"),
    "cluster_sizes": lambda found, _: _bars(found, "records", "customer_count", "customers"),
    "match_bands": match_bands,
    "refused_merges": lambda found, _: _bars(found, "reason", "pair_count", "pairs"),
    "lifecycle_stages": lambda found, _: _bars(
        found, "lifecycle_stage", "customer_count", "customers"
    ),
    "rfm_segments": rfm_segments,
    "cohort_retention": cohort_retention,
    "retention_bridge": retention_bridge,
    "active_customers": active_customers,
    "revenue": revenue,
    "value_tiers": value_tiers,
    "net_promoter_scores": net_promoter_scores,
    "engagement_levels": engagement_levels,
    "feedback_themes": feedback_themes,
    "purchase_funnel": purchase_funnel,
    "attribution": attribution,
    "consent": consent,
    "audiences": lambda found, _: _bars(found, "audience", "member_count", "members"),
}


def _months(column: str) -> alt.X:
    return alt.X(
        f"{column}:O",
        timeUnit="utcyearmonth",
        title=None,
        axis=alt.Axis(format="%b %y", labelAngle=0, labelOverlap="greedy", labelSeparation=6),
    )


def specification(key: str, found: Sequence[Row], currency: str) -> dict[str, Any]:
    """Return the Vega-Lite of a chart, as wide as what it stands in."""
    return described(CHARTS[key](found, currency))


def described(chart: Chart) -> dict[str, Any]:
    """Return the Vega-Lite of a chart in the house's style, as wide as what it stands in."""
    found: dict[str, Any] = chart.properties(width="container").configure(**CONFIG).to_dict()
    return found
