"""The pages of the dashboard in a real browser, as people use them."""

import re
import shutil
from pathlib import Path
from typing import Literal

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect

from orchestration.report.page import SECTIONS, TILES, tile_value
from orchestration.report.reports import read_report
from tests.browser import DESK, PHONE, Seen, opened
from tests.dashboard.conftest import running_dashboard

# Vega says so while it waits for the rows of a chart, which Streamlit sends after it.
_WAITS = re.compile(r"Infinite extent")


def settle(page: Page) -> None:
    """Wait until the page is drawn."""
    expect(page.locator("h1")).to_be_visible(timeout=20_000)
    page.wait_for_timeout(200)
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=20_000)
    page.wait_for_timeout(200)


def go(page: Page, name: str) -> None:
    """Open a page by its name in the list of pages."""
    if page.get_by_test_id("stExpandSidebarButton").is_visible():  # on a phone
        page.get_by_test_id("stExpandSidebarButton").click()
        page.wait_for_timeout(500)
    page.get_by_role("link", name=name, exact=True).first.click()
    if page.get_by_test_id("stSidebarCollapseButton").is_visible() and (
        page.viewport_size and page.viewport_size["width"] <= PHONE
    ):
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
        page.wait_for_timeout(500)
    section = next((section for section in SECTIONS if section.name == name), None)
    if section:
        expect(page.get_by_role("heading", name=section.title, level=1)).to_be_visible()
    settle(page)


def complaints(seen: Seen) -> list[str]:
    return [text for text in seen.complaints if not _WAITS.search(text)]


def customers(page: Page) -> str:
    tile = page.get_by_test_id("stMetric").filter(has_text=re.compile(r"^Customers"))
    return tile.get_by_test_id("stMetricValue").inner_text()


def count(release: Path, condition: str) -> str:
    with duckdb.connect(str(release), read_only=True) as connection:
        ((found,),) = connection.execute(
            f"select count(*) from marts.customer_segments where {condition}"
        ).fetchall()
    return f"{found:,}"


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light")])
def test_everybody_can_read_every_page(
    browser: Browser, dashboard: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser, dashboard, width=width, scheme=scheme) as seen:
        settle(seen.page)
        for section in SECTIONS:
            go(seen.page, section.name)
            charts = seen.page.locator("[data-testid=stVegaLiteChart] svg.marks")
            expect(charts).to_have_count(len(section.panels), timeout=15_000)
            assert seen.inaccessible() == [], section.name
            assert seen.overflows() == 0, section.name
        assert seen.page.get_by_test_id("stException").count() == 0
        assert complaints(seen) == []


def test_the_overview_shows_the_headline_of_the_release(
    browser: Browser, dashboard: str, sample_release: Path
) -> None:
    report = read_report(sample_release.parent)
    assert report is not None
    (headline,) = report.figures["headline"]
    with opened(browser, dashboard) as seen:
        settle(seen.page)
        expect(seen.page.get_by_test_id("stMetricValue")).to_have_count(len(TILES))
        values = seen.page.get_by_test_id("stMetricValue").all_inner_texts()
    currency = headline["currency_code"]
    assert values == [tile_value(tile, headline, currency) for tile in TILES]


def test_a_filter_narrows_every_page_and_stands_in_the_address(
    browser: Browser, dashboard: str, sample_release: Path
) -> None:
    german = count(sample_release, "country = 'DE'")
    with opened(browser, dashboard) as seen:
        settle(seen.page)
        seen.page.get_by_role("combobox", name="Country").click()
        seen.page.get_by_role("option", name="DE", exact=True).click()
        expect(seen.page.get_by_text("It is told of everybody only")).to_be_visible()
        settle(seen.page)
        assert customers(seen.page) == german
        assert "country=DE" in seen.page.url
        with opened(browser, seen.page.url) as shared:
            settle(shared.page)
            assert customers(shared.page) == german
        seen.page.get_by_role("button", name="Everybody").click()
        expect(seen.page.get_by_text("It is told of everybody only")).to_have_count(0)
        settle(seen.page)
        assert customers(seen.page) == count(sample_release, "true")


def test_a_click_on_a_bar_goes_down_to_its_customers(
    browser: Browser, dashboard: str, sample_release: Path
) -> None:
    with opened(browser, dashboard) as seen:
        settle(seen.page)
        go(seen.page, "Segments")
        chart = seen.page.locator("[data-testid=stVegaLiteChart]").first
        expect(chart.locator("svg.marks")).to_be_visible()
        seen.page.wait_for_timeout(500)
        # the first bar is that of the most common stage, left of the middle and near the top
        box = chart.bounding_box()
        assert box
        seen.page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 20)
        expect(seen.page.get_by_role("combobox", name="Lifecycle stage")).to_have_value(
            "prospect", timeout=10_000
        )
        settle(seen.page)
        go(seen.page, "Overview")
        assert customers(seen.page) == count(sample_release, "lifecycle_stage = 'prospect'")


def test_a_value_that_is_no_choice_chooses_nobody_else(
    browser: Browser, dashboard: str, sample_release: Path
) -> None:
    with opened(browser, f"{dashboard}/?country=<script>alert(1)</script>") as seen:
        settle(seen.page)
        assert customers(seen.page) == count(sample_release, "true")
        assert complaints(seen) == []


def test_a_release_of_nobody_has_every_page(
    browser: Browser, sample_release: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(sample_release.parent.parent, home, symlinks=True)
    database = (home / "current").resolve() / "warehouse.duckdb"
    database.parent.chmod(0o700)
    database.chmod(0o600)
    with duckdb.connect(str(database)) as connection:
        for (mart,) in connection.execute("select table_name from duckdb_tables()").fetchall():
            connection.execute(f"delete from marts.{mart}")
    with running_dashboard(home) as address, opened(browser, address) as seen:
        settle(seen.page)
        assert customers(seen.page) == "0"
        for name in (*(section.name for section in SECTIONS), "Customers"):
            go(seen.page, name)
        seen.page.get_by_role("textbox", name="Find a customer").fill("Ann")
        seen.page.get_by_role("button", name="Find").click()
        expect(seen.page.get_by_text("Nobody is found by Ann")).to_be_visible()
        go(seen.page, "Desk")
        expect(seen.page.get_by_text("Nothing waits here")).to_be_visible()
        assert seen.page.get_by_test_id("stException").count() == 0
        assert complaints(seen) == []


def test_without_a_release_it_says_what_makes_one(browser: Browser, tmp_path: Path) -> None:
    with running_dashboard(tmp_path) as address, opened(browser, address) as seen:
        settle(seen.page)
        expect(seen.page.get_by_text("make run")).to_be_visible()
        assert complaints(seen) == []
