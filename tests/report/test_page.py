"""The page of a report in a real browser: what it shows, to whom, and what it never does."""

import itertools
import json
from pathlib import Path
from typing import Any, Literal

import duckdb
import pytest
from playwright.sync_api import Browser, expect

from orchestration.report.figures import FIGURES
from orchestration.report.page import SECTIONS, TILES, page
from orchestration.report.reports import DATA, PAGE, Report
from orchestration.report.words import change, number
from tests.browser import DESK, PHONE, opened

CHARTS = [panel.chart for section in SECTIONS for panel in section.panels]
PAPER = "getComputedStyle(document.querySelector('.panel')).backgroundColor"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "{{ 7 * 7 }} ${alert(1)}",
    "\u202eright to left \U0001f600 né",
    "Donaudampfschifffahrtsgesellschaft" * 40,
)


@pytest.mark.parametrize(
    ("width", "scheme"), list(itertools.product((DESK, PHONE), ("light", "dark")))
)
def test_everybody_can_read_the_page(
    browser: Browser, sample_release: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser, sample_release.parent / PAGE, width=width, scheme=scheme) as seen:
        expect(seen.page.locator(".chart svg")).to_have_count(len(CHARTS))
        for chart in CHARTS:
            drawn = seen.page.locator(f"#chart-{chart} svg")
            box, panel = drawn.bounding_box(), seen.page.locator(f"#chart-{chart}").bounding_box()
            assert box, chart
            assert panel, chart
            assert box["height"] >= 50, chart
            assert box["width"] <= panel["width"] + 1, chart
        assert seen.overflows() == 0
        assert seen.inaccessible() == []
        assert seen.complaints == []
        paper = seen.page.evaluate(PAPER)
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 29, 39)"}[scheme]


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_no_text_of_a_chart_leaves_its_panel(
    browser: Browser, sample_release: Path, width: int
) -> None:
    with opened(browser, sample_release.parent / PAGE, width=width) as seen:
        expect(seen.page.locator(".chart svg")).to_have_count(len(CHARTS))
        outside = seen.page.evaluate(
            """() => [...document.querySelectorAll(".chart svg text")].filter(text => {
                const panel = text.closest(".panel").getBoundingClientRect();
                const {left, right, width} = text.getBoundingClientRect();
                return width > 0 && (left < panel.left || right > panel.right);
            }).map(text => text.textContent)"""
        )
        assert outside == []


def test_tiles_and_tables_show_the_numbers_of_the_report(
    browser: Browser, sample_release: Path, sample_report: Report
) -> None:
    (headline,) = sample_report.figures["headline"]
    units = {"amount": headline["currency_code"]}
    with opened(browser, sample_release.parent / PAGE) as seen:
        for tile in TILES:
            shown = seen.page.locator(f"#tile-{tile.key} .value").inner_text()
            assert shown == number(headline[tile.key], units.get(tile.unit, tile.unit))
        panel = seen.page.locator("figure", has=seen.page.locator("#chart-lifecycle_stages"))
        panel.locator("summary").click()
        rows = panel.locator("tbody tr").all_inner_texts()
        assert [row.split("\t") for row in rows] == [
            [row["lifecycle_stage"].replace("_", " "), f"{row['customer_count']:,}"]
            for row in sample_report.figures["lifecycle_stages"]
        ]


def test_a_number_says_how_it_moved_since_the_release_before(
    browser: Browser, sample_report: Report, tmp_path: Path
) -> None:
    (headline,) = sample_report.figures["headline"]
    before = {
        "release_id": "20260629T040000Z-00000000",
        "as_of": "2026-06-29",
        "headline": headline | {"customers": headline["customers"] - 12},
    }
    with opened(browser, _written(_changed(sample_report, before=before), tmp_path)) as seen:
        assert seen.page.locator("#tile-customers .change").inner_text() == "+12 (+0.6 %)"
        assert seen.page.locator("#tile-repeat_rate .change").inner_text() == "+0.0 points"


def test_words_from_outside_stay_text(
    browser: Browser, sample_report: Report, tmp_path: Path
) -> None:
    figures = json.loads(sample_report.model_dump_json())["figures"]
    for row, name in zip(figures["segments"], itertools.cycle(HOSTILE), strict=False):
        row["segment"] = row["description"] = name
    for key, column in (
        ("rfm_segments", "rfm_segment"),
        ("revenue", "channel"),
        ("attribution", "channel"),
        ("audiences", "audience"),
        ("feedback_themes", "theme"),
    ):
        for row, name in zip(figures[key], itertools.cycle(HOSTILE), strict=False):
            row[column] = name
    run = json.loads(sample_report.run.model_dump_json())
    run["rejects"][0]["column"] = HOSTILE[0]
    run["findings"][0]["because"] = HOSTILE[1]
    hostile = _written(_changed(sample_report, figures=figures, run=run), tmp_path)
    for width in (DESK, PHONE):
        with opened(browser, hostile, width=width) as seen:
            expect(seen.page.locator(".chart svg")).to_have_count(len(CHARTS))
            for chart in ("rfm_segments", "revenue", "audiences"):
                bars = seen.page.locator(f"#chart-{chart} svg .mark-rect path")
                bars.first.hover(force=True)
                seen.page.wait_for_timeout(100)
            for name in HOSTILE:
                assert seen.page.get_by_text(name, exact=True).count(), name
            assert seen.page.locator("img").count() == 0
            assert seen.overflows() == 0
            assert seen.complaints == []


def test_a_release_of_nobody_has_a_page(
    browser: Browser, sample_report: Report, tmp_path: Path
) -> None:
    figures: dict[str, list[dict[str, Any]]] = {figure.key: [] for figure in FIGURES}
    nothing = dict.fromkeys(sample_report.figures["headline"][0], 0) | {
        "repeat_rate": None,
        "net_promoter_score_365_days": None,
        "currency_code": None,
    }
    empty = _changed(sample_report, figures=figures | {"headline": [nothing]}, run={}, gates=[])
    with opened(browser, _written(empty, tmp_path)) as seen:
        assert seen.page.locator("#tile-customers .value").inner_text() == "0"
        assert seen.page.get_by_text("Nothing yet.").count() == len(CHARTS)
        assert seen.inaccessible() == []
        assert seen.complaints == []


def test_charts_fit_the_sheet_when_it_is_printed(browser: Browser, sample_release: Path) -> None:
    with opened(browser, sample_release.parent / PAGE, scheme="dark") as seen:
        expect(seen.page.locator(".chart svg")).to_have_count(len(CHARTS))
        seen.page.emulate_media(media="print", color_scheme="dark")
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        for chart in CHARTS:
            box = seen.page.locator(f"#chart-{chart} svg").bounding_box()
            panel = seen.page.locator(f"#chart-{chart}").bounding_box()
            assert box
            assert panel
            assert panel["width"] - 2 <= box["width"] <= panel["width"] + 1, chart
        paper = seen.page.evaluate(PAPER)
        assert paper == "rgb(255, 255, 255)"


def test_the_page_asks_nothing_of_anybody(browser: Browser, sample_release: Path) -> None:
    asked: list[str] = []
    target = sample_release.parent / PAGE
    with opened(browser, target) as seen:
        seen.page.on("request", lambda request: asked.append(request.url))
        seen.page.reload()
        expect(seen.page.locator(".chart svg")).to_have_count(len(CHARTS))
        policy = seen.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute(
            "content"
        )
    assert [url for url in asked if not url.startswith("data:")] == [target.as_uri()]
    assert policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy


def test_the_page_is_one_file_of_less_than_three_megabytes(sample_release: Path) -> None:
    assert (sample_release.parent / PAGE).stat().st_size < 3_000_000


def test_no_person_is_in_the_report(sample_release: Path) -> None:
    """Looked for: every e-mail address, phone number, street, birth date, company and id."""
    told = "".join(
        (sample_release.parent / name).read_text(encoding="utf-8").casefold()
        for name in (DATA, PAGE)
    )
    with duckdb.connect(str(sample_release), read_only=True) as connection:
        values = connection.execute(
            """
            select distinct lower(value) from (
                select unnest([customer_id, email, phone, street, birth_date::varchar,
                    first_name || ' ' || last_name, company]) as value
                from marts.customers
                union all
                select source_record_id from marts.customer_sources
                union all
                select value from marts.customer_golden_values
                where field_group in ('email', 'phone')
            )
            where length(value) > 5
            """
        ).fetchall()
    assert len(values) > 10_000
    assert [value for (value,) in values if value in told] == []


@pytest.mark.parametrize(
    ("now", "before", "unit", "told"),
    [
        (2177, 2165, "", "+12 (+0.6 %)"),
        (2177, 2177, "", "±0"),
        (5, 0, "", "+5"),
        (0.662, 0.658, "share", "+0.4 points"),
        (3.4, -2.0, "score", "+5 points"),
        (99.5, 120.25, "EUR", "-21 (-17.3 %)"),
        (None, 3, "", ""),
        (3, None, "", ""),
    ],
)
def test_a_change_is_told_in_the_unit_of_its_number(
    now: float | None, before: float | None, unit: str, told: str
) -> None:
    assert change(now, before, unit) == told


def _changed(report: Report, **changes: object) -> Report:
    return Report.model_validate(json.loads(report.model_dump_json()) | changes)


def _written(report: Report, folder: Path) -> Path:
    path = folder / PAGE
    path.write_text(page(report), encoding="utf-8")
    return path
