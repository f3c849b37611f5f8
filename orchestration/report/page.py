"""A report as one page, `report.html`: charts that draw themselves, and under each its table.

The page loads nothing from anywhere, and its policy lets no script run but the two that are in it:
the library that draws (Vega, by vl-convert) and the few lines that call it. Every value is escaped.
"""

import base64
import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from orchestration.report.charts import GROUND, PALETTE, STEPS, specification
from orchestration.report.figures import FIGURES, FLOOR, HEADLINE, Figure, Row, currency_of
from orchestration.report.leads import LEADS
from orchestration.report.words import NOTHING, change, day, label, number

if TYPE_CHECKING:
    from orchestration.report.reports import Report

_TEMPLATE = Path(__file__).with_name("report.html")

_DRAW = """
const charts = JSON.parse(document.getElementById("charts").textContent);
const views = [];
for (const [key, chart] of Object.entries(charts)) {
    const place = document.getElementById("chart-" + key);
    // `ast`: expressions are interpreted, for the page lets nothing be compiled from text
    vegaEmbed(place, chart, {actions: false, renderer: "svg", ast: true})
        .then(({view}) => views.push([view, place]));
}
for (const [event, isPaper] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(event, () => {
        document.body.classList.toggle("paper", isPaper);
        for (const [view, place] of views) view.signal("width", place.clientWidth).run();
    });
}
"""

# Unit of a headline number: an amount, a share, a score, or nothing for a count.
_AMOUNT, _SHARE, _SCORE, _COUNT = "amount", "share", "score", ""


@dataclass(frozen=True)
class Tile:
    """A headline number. what: the sentence beneath it."""

    key: str
    title: str
    unit: str
    what: str


TILES = (
    Tile("customers", "Customers", _COUNT, "known on the as-of day"),
    Tile("active_customers", "Active customers", _COUNT, "bought lately, or came back"),
    Tile("net_revenue_30_days", "Net revenue, 30 days", _AMOUNT, "paid less refunded"),
    Tile("net_revenue_365_days", "Net revenue, 365 days", _AMOUNT, "paid less refunded"),
    Tile("repeat_rate", "Repeat rate", _SHARE, "of buyers bought again"),
    Tile("expected_value_365_days", "Expected in 365 days", _AMOUNT, "of the customers of today"),
    Tile("net_promoter_score_365_days", "Net promoter score", _SCORE, "of the last 365 days"),
    Tile("contactable_audience", "May be e-mailed", _COUNT, "agreed, and not suppressed"),
)


@dataclass(frozen=True)
class Panel:
    """A chart of a section. figure: whose rows it shows, where it is not named as the chart."""

    chart: str
    figure: str = ""
    title: str = ""
    is_wide: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page. name: in the list of parts. What is no chart the template draws."""

    key: str
    name: str
    title: str
    panels: tuple[Panel, ...] = ()


SECTIONS = (
    Section(
        "people",
        "Sources",
        "From sources to customers",
        (Panel("sources"), Panel("source_counts")),
    ),
    Section(
        "matching",
        "Matching",
        "Match quality",
        (Panel("cluster_sizes"), Panel("match_bands"), Panel("refused_merges")),
    ),
    Section("segments", "Segments", "Segments", (Panel("lifecycle_stages"), Panel("rfm_segments"))),
    Section(
        "retention",
        "Retention",
        "Retention",
        (
            Panel("cohort_retention", is_wide=True),
            Panel("retention_bridge"),
            Panel(
                "active_customers", "retention_bridge", "Active customers at the end of each month"
            ),
        ),
    ),
    Section("value", "Value", "Revenue and value", (Panel("revenue"), Panel("value_tiers"))),
    Section(
        "engagement",
        "Engagement",
        "Engagement and feedback",
        (
            Panel("engagement_levels"),
            Panel("net_promoter_scores"),
            Panel("feedback_themes", is_wide=True),
        ),
    ),
    Section("journeys", "Journeys", "Journeys", (Panel("attribution"), Panel("purchase_funnel"))),
    Section("consent", "Consent", "Consent and audiences", (Panel("consent"), Panel("audiences"))),
    Section("trust", "Trust", "Why this release may be trusted"),
)

_NOUNS = {
    *("check", "comment", "customer", "failure", "line", "member", "pair", "purchase", "record"),
    *("response", "row", "source", "warning"),
}

FIGURE_BY_KEY = {figure.key: figure for figure in (HEADLINE, *FIGURES)}


def figure_of(panel: Panel) -> Figure:
    """Return the figure whose rows a panel shows."""
    return FIGURE_BY_KEY[panel.figure or panel.chart]


def tile_value(tile: Tile, headline: Row, currency: str) -> str:
    """Return a headline number as people read it."""
    return number(headline[tile.key], currency if tile.unit == _AMOUNT else tile.unit)


def page(report: "Report") -> str:
    """Return the page of a report."""
    figures = report.figures
    currency = currency_of(figures)
    drawn = {
        panel.chart: specification(panel.chart, figures[figure_of(panel).key], currency)
        for section in SECTIONS
        for panel in section.panels
        if figures[figure_of(panel).key]
    }
    # no `<` in it can end the element that it stands in
    charts = json.dumps(drawn, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    library = vega_library()
    return _template().render(
        report=report,
        currency=currency,
        floor=FLOOR,
        tiles=list(_tiles(report, currency)),
        sections=SECTIONS,
        leads={key: lead(report) for key, lead in LEADS.items()},
        figure_of=figure_of,
        rows_of=lambda panel: figures[figure_of(panel).key],
        figure_named=FIGURE_BY_KEY.__getitem__,
        segments=figures["segments"],
        palette=dict(GROUND) | dict(PALETTE),
        steps=STEPS,
        charts=charts,
        library=library,
        draw=_DRAW,
        scripts=" ".join(f"'{_hash(script)}'" for script in (library, _DRAW)),
    )


@cache
def vega_library() -> str:
    """Vega, Vega-Lite and vega-embed as one script of 0.9 MB.

    To bundle it takes 1.5 CPU s, so it is kept beside the package that it is made from.
    """
    kept = Path(
        sys.prefix, "share", "customer-warehouse", f"vega-{version('vl-convert-python')}.js"
    )
    if kept.exists():
        return kept.read_text(encoding="utf-8")
    # in a process of its own: the threads of its engine would stay in this one
    bundle = "import vl_convert; print(vl_convert.javascript_bundle())"
    command = [sys.executable, "-c", bundle]
    bundled = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own
    script = bundled.stdout.decode().replace("</script", "<\\/script")
    with contextlib.suppress(OSError):  # an environment that only others may write to
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{os.getpid()}")
        unfinished.write_text(script, encoding="utf-8")
        unfinished.replace(kept)
    return script


def _hash(script: str) -> str:
    """What the policy of the page calls a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _tiles(report: "Report", currency: str) -> Iterator[dict[str, str]]:
    """The headline numbers with what they were in the release before."""
    now = next(iter(report.figures["headline"]), {})
    before = report.before.headline if report.before else {}
    for tile in TILES:
        unit = currency if tile.unit == _AMOUNT else tile.unit
        value = now.get(tile.key)
        yield {
            "key": tile.key,
            "title": tile.title,
            "what": tile.what,
            "value": tile_value(tile, now, currency) if now else "none",
            "change": change(value, before.get(tile.key), unit),
        }


def _cell(value: Any, column: str, figure: Figure) -> str:
    """A cell of the table beneath a chart."""
    if value is None:
        return f"under {FLOOR}" if column in {count.name for count in figure.people} else "·"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if column.endswith("_ratio"):
            return f"{100 * value:.1f} %"
        return f"{value:,.1f}" if column.endswith("_score") else f"{value:,.0f}"
    text = str(value)
    return text if column in ("description", "segment", "audience") else label(text)


def _is_number(rows: Sequence[Row], column: str) -> bool:
    return any(
        isinstance(row[column], int | float) and not isinstance(row[column], bool) for row in rows
    ) or column.endswith(("_count", "_ratio", "_amount"))


def heading(column: str) -> str:
    """`customers` for `customer_count`, `retained` for `retained_count`."""
    counted = column.removesuffix("_count")
    if counted != column:
        return label(counted) + ("s" if counted.split("_")[-1] in _NOUNS else "")
    return label(column.replace("_ratio", "_share"))


def _age(days: int | None) -> str:
    match days:
        case None:
            return NOTHING
        case 0:
            return "the same day"
        case 1:
            return "1 day before"
        case _:
            return f"{days:,} days before" if days > 0 else f"{-days:,} days after"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"label": label, "day": day, "number": number, "age": _age}
    environment.filters |= {"cell": _cell, "heading": heading}
    environment.globals |= {"is_number": _is_number}
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
