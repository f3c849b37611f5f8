"""`warehouse docs`: pages that say the truth, load nothing and name nobody."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import duckdb
import pytest
from playwright.sync_api import Browser, expect

from orchestration.settings import Settings
from orchestration.transform.docs import (
    DATA_DOCS,
    DBT,
    GROUPS,
    INDEX,
    REPORT_HERE,
    TEXTS,
    build_docs,
    index_page,
)
from tests.browser import DESK, PHONE, opened, running_browser
from tests.conftest import SAMPLE, Installation


@pytest.fixture(scope="module")
def browser(sample_release: Path) -> Iterator[Browser]:
    """Started after every run of this process: while it is there, its event loop is running."""
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def home(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's home without its databases: the site is made without them."""
    home = tmp_path_factory.mktemp("documented") / "home"
    sample = sample_release.parents[1]
    shutil.copytree(sample, home, symlinks=True, ignore=shutil.ignore_patterns("*.duckdb"))
    outcome = Installation(SAMPLE, home).warehouse("docs")
    assert outcome.exit_code == 0, outcome.output
    assert str(home / "docs" / INDEX) in outcome.output
    return home


def test_every_page_opens_without_a_complaint_and_every_link_leads_to_a_page(
    home: Path, browser: Browser
) -> None:
    site = home / "docs"
    with opened(browser, site / INDEX) as seen:
        links = [link.get_attribute("href") or "" for link in seen.page.locator("main a").all()]
        assert {REPORT_HERE, DBT, f"{DATA_DOCS}/{INDEX}", "dictionary.html"} <= {*links}
        assert len(links) == len({*links})
        assert seen.inaccessible() == []
        assert seen.complaints == []
    pages = [*site.glob("*.html"), site / DATA_DOCS / INDEX, site / DATA_DOCS / "marts.orders.html"]
    assert {site / link for link in links} <= {*pages}
    for page in pages:
        with opened(browser, page) as seen:
            assert seen.complaints == [], page
            assert seen.overflows() == 0, page
            if page.name != DBT:
                targets = seen.page.locator("a[href]").evaluate_all(
                    "links => links.map(link => link.href).filter(at => at.startsWith('file:'))"
                )
                for target in {target.partition("#")[0] for target in targets}:
                    assert Path(target.removeprefix("file://")).is_file(), (page, target)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_at_a_desk_and_on_a_phone_by_light_and_by_dark(
    home: Path, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    for page, width in ((INDEX, PHONE), ("tune-matching.html", DESK)):
        with opened(browser, home / "docs" / page, width=width, scheme=scheme) as seen:
            assert seen.inaccessible() == []
            seen.page.set_viewport_size({"width": PHONE, "height": 900})
            assert seen.overflows() == 0


def test_every_page_of_a_text_lists_all_pages_and_its_own_parts(
    home: Path, browser: Browser
) -> None:
    with opened(browser, home / "docs" / "operate.html") as seen:
        beside = seen.page.get_by_role("navigation", name="All pages")
        expect(beside.locator("a[aria-current]")).to_have_text("Operate")
        for stem in (text.stem for text in TEXTS.glob("*.md")):
            expect(beside.locator(f'a[href="{stem}.html"]')).to_have_count(1)
        beside.get_by_role("link", name="Back up").click()
        expect(seen.page.locator("h2:target")).to_contain_text("Back up")
        # a link to a file of the texts bears the title of its page
        expect(seen.page.locator('main a[href="operations.html"]').first).to_have_text(
            "Operations in full"
        )


def test_the_page_of_dbt_shows_columns_with_the_types_of_their_contract(
    home: Path, browser: Browser
) -> None:
    with opened(browser, home / "docs" / DBT) as seen:
        seen.page.goto(seen.page.url.partition("#")[0] + "#!/model/model.customer_warehouse.orders")
        row = seen.page.locator("tr", has_text="reporting_net_amount").first
        expect(row).to_contain_text("decimal(18, 4)")
        assert seen.complaints == []


def test_pages_that_are_written_again_are_the_same_and_say_nothing_of_the_machine(
    home: Path,
) -> None:
    before = (home / "docs" / DBT).read_bytes()
    build_docs(Settings(home=home))
    again = (home / "docs" / DBT).read_bytes()
    assert again == before
    assert str(home).encode() not in again
    assert str(Path.cwd()).encode() not in again
    assert not (home / "docs.new").exists()
    assert (home / "docs").stat().st_mode & 0o777 == 0o700


def test_nobody_of_the_release_is_in_the_pages(home: Path, sample_release: Path) -> None:
    with duckdb.connect(str(sample_release), read_only=True) as connection:
        people = connection.execute(
            "select email, phone, customer_id from marts.customers"
            " where email is not null and phone is not null"
        ).fetchall()
    texts = {value for person in people for value in person}
    assert len(texts) > 500
    words = {
        word
        for page in (home / "docs").rglob("*.html")
        # but for texts of ours, which tell of made-up people by name
        if not (TEXTS / f"{page.stem}.md").exists()
        for word in re.findall(r"[^\s\"'<>,;:()\\]+", page.read_text(encoding="utf-8"))
    }
    assert "customer_id" in words
    assert texts & words == set()


def test_findings_of_a_gate_are_left_out_with_the_keys_of_their_rows(home: Path) -> None:
    page = "marts.orders.html"
    assert "<p class='warned'>" in (home / "data_docs" / page).read_text(encoding="utf-8")
    copied = (home / "docs" / DATA_DOCS / page).read_text(encoding="utf-8")
    assert "<p class='warned'>" not in copied
    assert "<details" not in copied


def test_the_first_page_says_when_nothing_is_released_and_links_only_what_is_there(
    tmp_path: Path,
) -> None:
    (tmp_path / DBT).touch()
    index = index_page(tmp_path, None)
    assert "No release yet." in index
    own = index.partition("<h2>This installation</h2>")[2]
    assert re.findall(r'href="([^"]*html)"', own) == [DBT]


def test_the_first_page_has_a_sentence_for_every_text() -> None:
    told = [stem for texts in GROUPS.values() for stem in texts]
    assert sorted(told) == sorted(text.stem for text in TEXTS.glob("*.md"))
    assert all(says.endswith(".") for texts in GROUPS.values() for says in texts.values())
