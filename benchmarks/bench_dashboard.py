"""How long people wait for the dashboard: a search, a customer, the desk's queue, and every page.

    make bench-dashboard CUSTOMERS=1000000

Releases the embedded sample in a temporary home, and puts in the place of its marts as many copies
of its customers as are asked for, each with ids, records, names and addresses of its own: what is
read is as much, and as varied, as in a release of that size. Then it asks the plain functions, each
question with a connection of its own, as pages do, and looks at every page in a browser: once cold,
then again, as people do who come back to it (warm). Nothing of it is kept.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import requests
from playwright.sync_api import Page, expect, sync_playwright
from rich.table import Table

from orchestration.console import console
from orchestration.dashboard.desk import Queue, queue, waiting
from orchestration.dashboard.people import search, tell
from orchestration.dashboard.reading import Opened, find_release, open_release
from orchestration.report.page import SECTIONS
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal, quoted

AS_OF = "2026-06-30"
TIMES = 7
_LONGEST_WAIT_MS = 120_000


def main() -> None:
    """Make the release, ask, look, and print what was waited for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    wanted = parser.parse_args().customers
    with tempfile.TemporaryDirectory(prefix="bench-dashboard-") as folder:
        settings = Settings(home=Path(folder) / "home")
        console.print("Releasing the sample ...")
        _release_sample(settings)
        customers = _multiply(settings, wanted)
        size = (find_release(settings).path / "warehouse.duckdb").stat().st_size
        console.print(f"{customers:,} customers, {size / 1e6:,.0f} MB")
        table = Table("what", "first, ms", "median, ms", "longest, ms", box=None)
        for what, waited in (*_questions(settings), *_pages(settings)):
            first, *others = (1000 * seconds for seconds in waited)
            table.add_row(
                what,
                f"{first:,.0f}",
                f"{statistics.median(others):,.0f}",
                f"{max(others):,.0f}",
            )
        console.print(table)


# --- the release ---------------------------------------------------------------------------------


def _release_sample(settings: Settings) -> None:
    environment = os.environ | {
        "WAREHOUSE_HOME": str(settings.home),
        "WAREHOUSE_AS_OF": AS_OF,
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    subprocess.run(
        [sys.executable, "-m", "orchestration", "run"],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _multiply(settings: Settings, wanted: int) -> int:
    """Put copies of the sample's customers in the place of its marts; returns how many."""
    release = find_release(settings)
    with open_release(settings, release) as opened:
        marts = opened.marts
    release.path.chmod(0o700)
    once, many = release.path / "once.duckdb", release.path / "warehouse.duckdb"
    many.rename(once)
    with duckdb.connect(str(many)) as connection:
        connection.execute("set preserve_insertion_order = true")
        connection.execute(f"attach {literal(once)} as once (read_only)")
        connection.execute("create schema marts")
        ((here,),) = connection.execute("select count(*) from once.marts.customers").fetchall()
        copies = max(round(wanted / here), 1)
        for table, names in marts.items():
            of_people = "customer_id" in names
            shown = ", ".join(_of_copy(name) for name in names) if of_people else "*"
            times = f", range({copies}) as copies (copy)" if of_people else ""
            order = " order by search_key, key_type, customer_id" if "search_key" in names else ""
            connection.execute(
                f"create table marts.{quoted(table)} as"
                f" select {shown} from once.marts.{quoted(table)}{times}{order}"
            )
    once.unlink()
    return int(copies * here)


def _of_copy(column: str) -> str:
    """A column of the customers of one copy: their ids, names and addresses are their own."""
    name = quoted(column)
    letters = (f"chr(97 + copy::int // {power} % 26)" for power in (1, 26, 676))
    word = " || ".join(letters)
    if column == "search_key":
        return (
            "case key_type when 'email' then replace(search_key, '@', copy || '@')"
            f" when 'name' then search_key || {word} else search_key end as search_key"
        )
    if column in ("customer_id", "other_customer_id", "current_customer_id"):
        return f"'cus_' || left(md5({name} || copy), 20) as {name}"
    if column.endswith(("_record_id", "_key")):
        return f"{name} || '-' || copy as {name}"
    if column == "email":
        return f"replace({name}, '@', copy || '@') as {name}"
    if column == "last_name":
        return f"{name} || {word} as {name}"
    return name


# --- questions -----------------------------------------------------------------------------------


def _questions(settings: Settings) -> Iterator[tuple[str, list[float]]]:
    release = find_release(settings)
    with open_release(settings, release) as opened:
        ((customer_id, first, last, email, phone, record),) = opened.connection.execute(
            "select customer_id, first_name, last_name, email, phone, name_source_record_id"
            " from marts.customers where first_name is not null and email is not null"
            " and phone is not null order by record_count desc, customer_id limit 1"
        ).fetchall()
    asked: Sequence[tuple[str, Callable[[Opened], object]]] = (
        ("search: a name", lambda opened: search(opened, f"{first} {last}")),
        ("search: the beginning of a name", lambda opened: search(opened, last[:4])),
        ("search: an e-mail", lambda opened: search(opened, email)),
        ("search: a phone", lambda opened: search(opened, phone)),
        ("search: a customer id", lambda opened: search(opened, customer_id)),
        ("search: a record", lambda opened: search(opened, record)),
        ("all of a customer", lambda opened: tell(opened, customer_id)),
        ("the queue of the desk", lambda opened: queue(opened, Queue.REVIEW, ())),
        ("how many wait", lambda opened: waiting(opened, ())),
    )
    for what, ask in asked:
        waited = []
        for _ in range(TIMES + 1):
            began = time.perf_counter()
            with open_release(settings, release) as opened:
                if not ask(opened):
                    raise RuntimeError(f"{what}: nothing was found")
            waited.append(time.perf_counter() - began)
        yield what, waited


# --- pages ---------------------------------------------------------------------------------------


def _pages(settings: Settings) -> Iterator[tuple[str, list[float]]]:
    """Seconds from a click until a page has been drawn: first, then TIMES times when warm."""
    with open_release(settings, find_release(settings)) as opened:
        found = opened.connection.execute(
            "select customer_id from marts.customers order by record_count desc, customer_id"
            f" limit {TIMES + 1}"
        ).fetchall()
    customers = [customer_id for (customer_id,) in found]
    with _dashboard(settings) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        _drawn(page, "Customers as of", 2)
        links = [(section.name, section.title, len(section.panels)) for section in SECTIONS]
        links += [
            ("Customers", "Customer 360", 0),
            ("Desk", "Steward's desk", 1),
            ("Overview", "Customers as of", 2),
        ]
        waited: dict[str, list[float]] = {name: [] for name, _, _ in links}
        for _ in range(TIMES + 1):
            for name, title, charts in links:
                began = time.perf_counter()
                page.get_by_role("link", name=name, exact=True).first.click()
                _drawn(page, title, charts)
                waited[name].append(time.perf_counter() - began)
        for name, seconds in waited.items():
            yield f"page: {name}", seconds
        yield "page: all of a customer, by their id", _customers(page, customers)
        browser.close()


def _customers(page: Page, customers: Sequence[str]) -> list[float]:
    """Seconds from a click on Find until everything of a customer is there."""
    page.get_by_role("link", name="Customers", exact=True).first.click()
    _drawn(page, "Customer 360", 0)
    waited = []
    for customer_id in customers:
        page.get_by_role("textbox", name="Find a customer").fill(customer_id)
        began = time.perf_counter()
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_text(customer_id)).to_be_visible(timeout=_LONGEST_WAIT_MS)
        expect(page.get_by_role("heading", name="Value and mood")).to_be_visible(
            timeout=_LONGEST_WAIT_MS
        )
        _drawn(page, "Customer 360", 0)
        waited.append(time.perf_counter() - began)
    return waited


def _drawn(page: Page, title: str, charts: int) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text(title, timeout=_LONGEST_WAIT_MS)
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=_LONGEST_WAIT_MS)
    expect(page.locator("[data-testid=stVegaLiteChart] svg.marks")).to_have_count(
        charts, timeout=_LONGEST_WAIT_MS
    )


@contextmanager
def _dashboard(settings: Settings) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "WAREHOUSE_HOME": str(settings.home),
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    command = [sys.executable, "-m", "orchestration", "dashboard", "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            while True:
                try:
                    requests.get(f"{address}/_stcore/health", timeout=5).raise_for_status()
                    break
                except requests.ConnectionError:
                    if server.poll() is not None:
                        raise RuntimeError("the dashboard has ended") from None
                    time.sleep(0.2)
            yield address
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
