"""The dashboard as Streamlit runs it: `warehouse dashboard` starts it, and nothing imports it.

Every page is a part of the report (orchestration/report/page.py) asked anew of the current release,
of everybody or of whom the filters in the sidebar name. What was asked once of a release is kept
until there are too many answers, so a page that somebody else has looked at is there at once.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas  # noqa: F401 - Altair takes one that another page is only just importing for whole
import streamlit as st

from orchestration.dashboard import customer_page, desk_page
from orchestration.dashboard.access import Visitor
from orchestration.dashboard.drawing import in_colour
from orchestration.dashboard.reading import Filters, choices, find_release, open_release
from orchestration.dashboard.signing_in import signed_in
from orchestration.release import Release, ReleaseError
from orchestration.report.charts import CHARTS, specification
from orchestration.report.figures import FLOOR, HEADLINE, Row
from orchestration.report.leads import LEADS
from orchestration.report.page import (
    FIGURE_BY_KEY,
    SECTIONS,
    TILES,
    Panel,
    Section,
    figure_of,
    heading,
    tile_value,
)
from orchestration.report.reports import Report, read_report
from orchestration.report.words import change, day, label
from orchestration.settings import Settings

# Answers that are kept: figures of a release by filters.
_KEPT = 500
# Charts whose bars can be clicked: what the bar is called in the chart, and the filter it sets.
_DRILLS = {
    "lifecycle_stages": ("lifecycle_stage", "lifecycle_stage"),
    "rfm_segments": ("segment", "rfm_segment"),
    "value_tiers": ("tier", "value_tier"),
}


def main() -> None:
    """Show the page that the address names."""
    st.set_page_config(page_title="Customers", layout="wide", initial_sidebar_state=240)
    st.html(Path(__file__).with_name("dashboard.css"))
    visitor = signed_in(Settings())
    try:
        # a release may be gone by the time that its page asks
        _navigate(find_release(Settings()), visitor)
    except ReleaseError as error:
        st.title("Customers")
        st.info(str(error))


def _navigate(release: Release, visitor: Visitor) -> None:
    report = _report(release.id, release)
    figures = [st.Page(partial(_overview, release, report), title="Overview", default=True)]
    figures += [
        st.Page(
            partial(_section, section, release, report), title=section.name, url_path=section.key
        )
        for section in SECTIONS
    ]
    people = []
    if visitor.sees_people:
        people.append((customer_page.TITLE, customer_page.PATH, customer_page.show))
    if visitor.decides:
        people.append((desk_page.TITLE, desk_page.PATH, desk_page.show))
    pages = [
        st.Page(partial(show, release, visitor), title=title, url_path=path)
        for title, path, show in people
    ]
    page = st.navigation([*figures, *pages], position="top")
    page.run()
    floor = "" if page in pages else f" No figure by group speaks of fewer than {FLOOR} people."
    st.caption(f"Release {release.id}, published {day(report.released_at)}.{floor}")


def _filters(release: Release) -> Filters:
    """Let people choose whom figures speak of; an address with a choice in it can be shared."""
    offered = _choices(release.id, release)
    with st.sidebar:
        st.markdown("**Whom figures speak of**")
        chosen = {
            name: st.selectbox(
                label(name).capitalize(),
                ["", *values],
                format_func=lambda value: label(value) if value else "everybody",
                key=name,
                bind="query-params",
            )
            for name, values in offered.items()
        }
        filters = Filters(**chosen)
        if filters:
            st.button("Everybody", shortcut="Escape", on_click=_clear, args=(list(offered),))
    return filters


def _clear(names: Sequence[str]) -> None:
    for name in names:
        st.session_state[name] = ""


def _overview(release: Release, report: Report) -> None:
    filters = _filters(release)
    headline = _figure(release.id, filters, HEADLINE.key, release)[0]
    currency = str(headline["currency_code"] or "")
    before = report.before.headline if report.before and not filters else {}
    st.title(f"Customers as of {day(report.as_of)}")
    for start in range(0, len(TILES), 4):
        for column, tile in zip(st.columns(4), TILES[start : start + 4], strict=True):
            unit = currency if tile.unit == "amount" else tile.unit
            column.metric(
                tile.title,
                tile_value(tile, headline, currency),
                change(headline[tile.key], before.get(tile.key), unit) or None,
                delta_color="off",
                help=tile.what,
                border=True,
            )
    for panel in (Panel("retention_bridge"), Panel("revenue")):
        _panel(panel, release, report, filters, currency)


def _section(section: Section, release: Release, report: Report) -> None:
    filters = _filters(release)
    currency = str(report.figures["headline"][0]["currency_code"] or "")
    st.title(section.title)
    if not filters:
        st.markdown(LEADS[section.key](report))
    for row in _rows(section.panels):
        for column, panel in zip(st.columns(len(row)), row, strict=True):
            with column:
                _panel(panel, release, report, filters, currency)
    if section.key == "segments":
        _panel(Panel("segments"), release, report, filters, currency)
    if section.key == "trust":
        _trust(report)


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels by row: a wide one alone, others two by two."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if panel.is_wide or not rows or len(rows[-1]) == 2 or rows[-1][0].is_wide:
            rows.append([panel])
        else:
            rows[-1].append(panel)
    return rows


def _panel(panel: Panel, release: Release, report: Report, filters: Filters, currency: str) -> None:
    figure = figure_of(panel)
    with st.container(border=True):
        st.header(panel.title or figure.title)
        if filters and not _can_filter(release.id, figure.key, release):
            st.info("It is told of everybody only: its marts do not say by customer.")
            return
        found = _figure(release.id, filters, figure.key, release)
        if not found:
            st.info("Nobody.")
        elif panel.chart in CHARTS:
            _chart(panel.chart, found, currency)
        else:
            _table(found)
        marts = ", ".join(f"`marts.{mart}`" for mart in figure.marts)
        st.caption(f"As of {day(report.as_of)} · {figure.unit} · {marts}")
        if found and panel.chart in CHARTS:
            with st.expander("As a table"):
                _table(found)


def _chart(key: str, found: Sequence[Row], currency: str) -> None:
    chart = in_colour(specification(key, found, currency))
    drill = _DRILLS.get(key)
    if drill is None:
        st.vega_lite_chart(spec=chart, theme=None, width="stretch", key=f"chart-{key}")
        return
    name, column = drill
    clicked = {"name": "clicked", "select": {"type": "point", "fields": [name]}}
    place = chart["layer"][0] if "layer" in chart else chart
    place["params"] = [clicked]
    values = {label(row[column]): row[column] for row in found}
    st.vega_lite_chart(
        spec=chart,
        theme=None,
        width="stretch",
        key=f"chart-{key}",
        on_select=partial(_drill, f"chart-{key}", name, column, values),
        selection_mode="clicked",
    )


def _drill(chart: str, name: str, column: str, values: dict[str, str]) -> None:
    """Set the filter that a clicked bar stands for; a click beside the bars takes it back."""
    clicked = st.session_state[chart]["selection"]["clicked"]
    st.session_state[column] = values.get(clicked[0][name], "") if clicked else ""


def _table(found: Sequence[Row]) -> None:
    st.dataframe(
        [{heading(name): value for name, value in row.items()} for row in found],
        hide_index=True,
    )


def _trust(report: Report) -> None:
    day_of = st.column_config.DatetimeColumn(format="D MMM YYYY")
    for title, found in (
        ("Gates", report.gates),
        ("What the checks found", [one.model_dump() for one in report.run.findings]),
        ("Rejected lines, by reason", [one.model_dump() for one in report.run.rejects]),
        ("How fresh each feed is", [one.model_dump() for one in report.run.feeds]),
    ):
        with st.container(border=True):
            st.header(title)
            if found:
                st.dataframe(
                    [{heading(name): value for name, value in row.items()} for row in found],
                    hide_index=True,
                    column_config={
                        "checked at": None,
                        "newest file": day_of,
                        "newest record": day_of,
                    },
                )
            else:
                st.info("None.")


# Answers are kept by their arguments, but for those that begin with `_`.


@st.cache_data(max_entries=_KEPT, show_spinner="Asking the release ...")
def _figure(release_id: str, filters: Filters, key: str, _release: Release) -> list[Row]:  # noqa: ARG001
    with open_release(Settings(), _release, filters) as opened:
        return opened.figure(FIGURE_BY_KEY[key])


@st.cache_data(max_entries=_KEPT)
def _can_filter(release_id: str, key: str, _release: Release) -> bool:  # noqa: ARG001
    with open_release(Settings(), _release) as opened:
        return opened.can_filter(FIGURE_BY_KEY[key])


@st.cache_data(max_entries=8)
def _choices(release_id: str, _release: Release) -> dict[str, list[str]]:  # noqa: ARG001
    with open_release(Settings(), _release) as opened:
        return choices(opened)


@st.cache_data(max_entries=8)
def _report(release_id: str, _release: Release) -> Report:
    report = read_report(_release.path)
    if report is None:
        raise ReleaseError(
            f"Release {release_id} was made without a report. `make run REBUILD=1` makes one."
        )
    return report


if __name__ == "__main__":
    main()
