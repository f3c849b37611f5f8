"""Customer 360 and the steward's desk in a real browser: looked up, decided, run, looked up."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect

from orchestration.dashboard.desk import decided
from orchestration.identity.decisions import Action
from orchestration.privacy.access_log import hashes_of, read_log
from orchestration.settings import PROJECT_ROOT, Settings
from tests.browser import DESK, PHONE, opened
from tests.conftest import SAMPLE_AS_OF
from tests.dashboard.conftest import running_dashboard
from tests.dashboard.test_pages import complaints, go, settle

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
MARKDOWN = "![x](http://127.0.0.1:9/x.png) [y](javascript:alert(3)) **z** $a$ :red[b] `c`"
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 20


@pytest.fixture(scope="module")
def home(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that tests may decide in."""
    home = tmp_path_factory.mktemp("desk") / "home"
    shutil.copytree(sample_release.parent.parent, home, symlinks=True)
    return home


@pytest.fixture(scope="module")
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with running_dashboard(home) as address:
        yield address


def ask(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "current" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def find(page: Page, text: str, why: str = "") -> None:
    """Look for a customer on the page "Customers"."""
    page.get_by_role("textbox", name="Find a customer").fill(text)
    page.get_by_role("textbox", name="Why you look").fill(why)
    page.get_by_role("button", name="Find").click()
    settle(page)


def part(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).click()
    settle(page)


def press(page: Page, key: str) -> None:
    """Press a key once the page is drawn: what is left of the one before has the same keys."""
    settle(page)
    expect(page.get_by_role("textbox", name="Why", exact=True)).to_have_count(1)
    page.keyboard.press(key)


def waiting(page: Page) -> int:
    text = page.get_by_role("radio", name="To review").inner_text()
    return int(text.split("·")[1].replace(",", ""))


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light")])
def test_everybody_can_read_what_is_told_of_a_customer_and_the_desk(
    browser: Browser, address: str, home: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    ((customer_id, name, purchases),) = ask(
        home,
        "select customer_id, first_name || ' ' || last_name, purchase_count from marts.customers"
        " order by record_count desc, customer_id limit 1",
    )
    with opened(browser, address, width=width, scheme=scheme) as seen:
        settle(seen.page)
        go(seen.page, "Customers")
        find(seen.page, customer_id)
        expect(seen.page.get_by_role("heading", name=name)).to_be_visible()
        tiles = re.compile(rf"Purchases\s*{purchases}")
        expect(seen.page.get_by_test_id("stMain")).to_contain_text(tiles)
        for charts, name in ((0, "Profile"), (1, "Timeline"), (0, "Records"), (2, "Identity")):
            part(seen.page, name)
            drawn = seen.page.locator("[data-testid=stVegaLiteChart] svg.marks")
            expect(drawn).to_have_count(charts, timeout=15_000)
            assert seen.inaccessible() == [], name
            assert seen.overflows() == 0, name
        go(seen.page, "Desk")
        expect(seen.page.locator("[data-testid=stVegaLiteChart] svg.marks")).to_have_count(1)
        assert seen.inaccessible() == []
        assert seen.overflows() == 0
        assert seen.page.get_by_test_id("stException").count() == 0
        assert complaints(seen) == []


def test_a_search_lists_whom_it_finds_and_each_look_is_in_the_access_log(
    browser: Browser, address: str, home: Path, settings: Settings
) -> None:
    ((last_name, count, customer_id, name),) = ask(
        home,
        "select last_name, count(*), min(customer_id), min_by(first_name, customer_id)"
        " from marts.customers where length(last_name) > 5 group by 1"
        " having count(*) between 2 and 9 and count(*) = count(distinct first_name)"
        " order by 1 limit 1",
    )
    before = len(read_log(settings).lines)
    with opened(browser, address) as seen:
        settle(seen.page)
        go(seen.page, "Customers")
        find(seen.page, "nobody of that name")
        expect(seen.page.get_by_text("Nobody is found")).to_be_visible()
        find(seen.page, last_name, "case 4711")
        results = seen.page.get_by_role("button").filter(has_text=re.compile(last_name))
        assert results.count() >= count
        seen.page.get_by_role("button", name=f"{name} {last_name}", exact=True).click()
        expect(seen.page.get_by_role("heading", name=f"{name} {last_name}")).to_be_visible()
        settle(seen.page)
        part(seen.page, "Records")
        assert customer_id in seen.page.url
    search, look = read_log(settings).lines[before:]
    assert (search.verb, search.why) == ("dashboard search", "case 4711")
    assert (look.verb, look.outcome) == ("dashboard customer", "shown")
    assert hashes_of(settings, [customer_id]) <= search.of & look.of


def test_who_may_not_know_people_sees_them_masked_and_finds_whom_they_know(
    browser: Browser, home: Path
) -> None:
    ((customer_id, last_name, email, phone),) = ask(
        home,
        "select customer_id, last_name, email, phone from marts.customers"
        " where last_name is not null and email is not null and phone is not null"
        " order by record_count desc, customer_id limit 1",
    )
    with running_dashboard(home, "--role", "masked") as address, opened(browser, address) as seen:
        settle(seen.page)
        assert seen.page.get_by_role("link", name="Desk", exact=True).count() == 0
        go(seen.page, "Customers")
        find(seen.page, last_name[:4])
        expect(seen.page.get_by_text("Nobody is found")).to_be_visible()
        find(seen.page, email)
        expect(seen.page.get_by_text(customer_id)).to_be_visible()
        shown = ""
        for name in ("Profile", "Records", "Identity"):
            part(seen.page, name)
            shown += seen.page.content()
        for text in (last_name, email, phone):
            assert shown.count(text) == shown.count(f'value="{text}"'), text
        assert seen.page.get_by_role("button", name="Not the same").count() == 0
        assert complaints(seen) == []


def test_what_people_wrote_stays_text(browser: Browser, home: Path, tmp_path: Path) -> None:
    evil = tmp_path / "home"
    shutil.copytree(home, evil, symlinks=True)
    (evil / "decisions.csv").unlink(missing_ok=True)
    database = (evil / "current").resolve() / "warehouse.duckdb"
    database.parent.chmod(0o700)
    database.chmod(0o600)
    ((one, other),) = ask(
        evil,
        "select source_record_id, other_source_record_id from marts.customer_matches"
        " where outcome = 'review' order by match_weight desc, 1, 2 limit 1",
    )
    with duckdb.connect(str(database)) as connection:
        ((customer_id,),) = connection.execute(
            "update marts.customer_records set first_name = ?, last_name = ?, street = ?"
            " where source_record_id = ? returning customer_id",
            [SCRIPT, MARKDOWN, LONG, one],
        ).fetchall()
        connection.execute(
            "update marts.customers set first_name = ?, last_name = ? where customer_id = ?",
            [MARKDOWN, SCRIPT + LONG, customer_id],
        )
        connection.execute(
            "update marts.customer_golden_values set value = ? where customer_id = ?"
            " and field_group = 'name'",
            [SCRIPT + MARKDOWN + LONG, customer_id],
        )
    with running_dashboard(evil) as address, opened(browser, address) as seen:
        asked = []
        seen.page.on("request", lambda request: asked.append(request.url))
        settle(seen.page)
        go(seen.page, "Customers")
        find(seen.page, customer_id)
        shown = seen.page.get_by_role("heading").filter(has_text="Wolfeschlegel").inner_text()
        assert SCRIPT in shown
        assert "![x](http" in shown
        assert seen.overflows() == 0
        part(seen.page, "Records")
        go(seen.page, "Desk")
        shown = seen.page.get_by_role("heading").filter(has_text="alert").inner_text()
        assert SCRIPT in shown
        seen.page.get_by_role("textbox", name="Why", exact=True).fill(SCRIPT + MARKDOWN)
        seen.page.get_by_role("button", name="Unsure").click()
        expect(seen.page.get_by_text("Decided:")).to_be_visible()
        seen.page.get_by_role("radio", name="Decided").click()
        settle(seen.page)
        assert SCRIPT + MARKDOWN in seen.page.get_by_test_id("stMain").inner_text()
        assert seen.overflows() == 0
        host = address.removeprefix("http://")
        assert [url for url in asked if host not in url] == []
        assert complaints(seen) == []
    assert decided(Settings(home=evil))[0].pair == (one, other)


def test_what_a_steward_decides_holds_in_the_next_run_and_in_every_later_one(
    browser: Browser, address: str, home: Path, settings: Settings
) -> None:
    ((customer_id, *apart),) = ask(
        home,
        "select customer_id, source_record_id, other_source_record_id from marts.customer_matches"
        " where outcome = 'matched' and customer_id in ("
        "   select customer_id from marts.customer_records group by 1 having count(*) = 2)"
        " order by match_weight desc, 2, 3 limit 1",
    )
    ((*joined,),) = ask(
        home,
        "select source_record_id, other_source_record_id from marts.customer_matches"
        " where outcome = 'review' order by match_weight desc, 1, 2 limit 1",
    )
    with opened(browser, address) as seen:
        page = seen.page
        settle(page)
        go(page, "Customers")
        find(page, customer_id)
        part(page, "Identity")
        expect(page.get_by_text("becomes 2, of 1 and 1")).to_be_visible()
        page.get_by_role("textbox", name="Why", exact=True).fill("father and son")
        page.get_by_role("button", name="Not the same").click()
        expect(page.get_by_text(re.compile("^Decided: .* are not the same person"))).to_be_visible()

        go(page, "Desk")
        count = waiting(page)
        expect(page.get_by_text(f"{joined[0]}", exact=False).first).to_be_attached()
        press(page, "s")
        expect(page.get_by_text("say why first")).to_be_visible()
        press(page, "1")
        expect(page.get_by_role("textbox", name="Why", exact=True)).to_have_value(
            re.compile("Moved")
        )
        press(page, "s")
        expect(page.get_by_text(f"{joined[0]} and {joined[1]} are one person")).to_be_visible()
        settle(page)
        assert waiting(page) == count - 1
        press(page, "z")
        expect(page.get_by_text("are one person")).to_have_count(0)
        settle(page)
        assert waiting(page) == count
        press(page, "1")
        expect(page.get_by_role("textbox", name="Why", exact=True)).to_have_value(
            re.compile("Moved")
        )
        press(page, "s")
        expect(page.get_by_text("are one person")).to_be_visible()
        assert complaints(seen) == []

        words = {decision.pair: decision.action for decision in decided(settings)}
        assert words == {tuple(apart): Action.NOT_SAME, tuple(joined): Action.SAME}
        for arguments in ((), ("--rebuild",)):
            run(home, *arguments)
            records = f"('{apart[0]}', '{apart[1]}'), ('{joined[0]}', '{joined[1]}')"
            assert ask(
                home,
                "select one.customer_id = other.customer_id"
                f" from (values {records}) as pairs (one, other)"
                " inner join marts.customer_sources as one on pairs.one = one.source_record_id"
                " inner join marts.customer_sources as other"
                " on pairs.other = other.source_record_id"
                f" order by pairs.one = '{apart[0]}' desc",
            ) == [(False,), (True,)]

        go(page, "Customers")
        find(page, apart[0])
        part(page, "Identity")
        expect(page.get_by_text("decided not same", exact=False).first).to_be_attached()
        expect(page.get_by_text("father and son")).to_be_visible()


def run(home: Path, *arguments: str) -> None:
    """`warehouse run`, in a process of its own: the browser's loop is running in this one."""
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT_ROOT),
        "WAREHOUSE_HOME": str(home),
        "WAREHOUSE_AS_OF": SAMPLE_AS_OF,
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", "run", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
