"""Pages in Debian's Chromium: what people see of them, and what the browser says of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

DESK, PHONE = 1280, 390
_SERIOUS = ("serious", "critical")
# Milliseconds that a page is waited for; Playwright's 5 s are few beside another test on two cores.
expect.set_options(timeout=20_000)


@dataclass
class Seen:
    """An open page. complaints: what the browser's console said, and what a script raised."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def inaccessible(self) -> list[str]:
        """What axe-core finds that keeps people from reading the page."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{fault['id']}: {fault['help']} ({node['target']})"
            for fault in found
            if fault["impact"] in _SERIOUS
            for node in fault["nodes"]
        ]

    def overflows(self) -> int:
        """Pixels by which the page is wider than its window."""
        wide: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start Chromium; `make chromium` installs it. Nothing it is shown comes from a network."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    target: Path | str,
    *,
    width: int = DESK,
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Seen]:
    """Open a file or an address in a window of that many pixels."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    seen = Seen(page)
    page.on("console", lambda message: _note(seen, message.type, message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: _dismiss(seen, dialog))
    page.goto(target.as_uri() if isinstance(target, Path) else target)
    try:
        yield seen
    finally:
        page.close()


def _note(seen: Seen, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        seen.complaints.append(f"{kind}: {text}")


def _dismiss(seen: Seen, dialog: object) -> None:
    seen.complaints.append(f"dialog: {dialog}")
    getattr(dialog, "dismiss")()  # noqa: B009 - playwright gives no type
