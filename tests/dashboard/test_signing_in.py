"""People sign in to the dashboard, or a proxy names them, in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from orchestration.dashboard.access import UNKNOWN, Role, remove_user, set_user
from orchestration.privacy.access_log import read_log
from orchestration.report.page import SECTIONS
from orchestration.settings import Settings
from tests.browser import DESK, PHONE, Seen, opened
from tests.dashboard.conftest import running_dashboard, running_proxy
from tests.dashboard.test_access import PASSWORD, write_users
from tests.dashboard.test_pages import complaints, settle

HEADER = "X-Forwarded-User"
SCRIPT = "<script>alert(1)</script> **Ann** ![x](http://y.test/x.png)"
FIGURES = ["Overview", *(section.name for section in SECTIONS)]
# A page below another is asked for its own health, before the one of the server is.
_ASKS_BELOW = re.compile(r"404 \(Not Found\)")


@pytest.fixture(scope="module")
def settings(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of the sample's release in which three people have a role."""
    home = tmp_path_factory.mktemp("users")
    (home / "releases").symlink_to(sample_release.parent.parent / "releases")
    (home / "current").symlink_to(Path("releases", sample_release.parent.resolve().name))
    settings = Settings(home=home)
    write_users(
        settings, ("Eva", "steward", PASSWORD), ("Vic", "viewer", PASSWORD), (SCRIPT, "masked", "")
    )
    return settings


@pytest.fixture(scope="module")
def with_users(settings: Settings) -> Iterator[str]:
    """The address of a dashboard in which people sign in."""
    with running_dashboard(settings.home) as address:
        yield address


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").first.fill(password)
    page.get_by_role("button", name="Sign in").click()


def come_in(page: Page, name: str) -> None:
    sign_in(page, name, PASSWORD)
    # the form stays until the page is whole
    expect(page.get_by_label("Password")).to_have_count(0, timeout=20_000)
    settle(page)


def pages(page: Page) -> list[str]:
    links = page.get_by_test_id("stTopNavLink")
    expect(links.first).to_be_visible(timeout=20_000)
    return [text.strip() for text in links.all_inner_texts()]


def inaccessible(seen: Seen) -> list[str]:
    assert seen.overflows() == 0
    return seen.inaccessible()


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light")])
def test_a_wrong_password_is_refused_and_the_right_one_opens_the_page_that_was_asked_for(
    browser: Browser, with_users: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser, f"{with_users}/segments", width=width, scheme=scheme) as seen:
        settle(seen.page)
        assert inaccessible(seen) == []
        assert seen.page.get_by_test_id("stSidebar").count() == 0
        sign_in(seen.page, "Eva", "wrong password")
        expect(seen.page.get_by_text("The name or the password is wrong.")).to_be_visible()
        expect(seen.page.get_by_label("Password").first).to_have_value("")
        assert inaccessible(seen) == []
        come_in(seen.page, "Eva")
        expect(seen.page.get_by_role("heading", name="Segments", level=1)).to_be_visible()
        assert inaccessible(seen) == []
        assert not [text for text in complaints(seen) if not _ASKS_BELOW.search(text)]


def test_a_viewer_sees_figures_and_no_other_page_until_they_sign_out(
    browser: Browser, with_users: str, settings: Settings
) -> None:
    before = len(read_log(settings).lines)
    with opened(browser, with_users) as seen:
        sign_in(seen.page, "nobody", PASSWORD)
        expect(seen.page.get_by_text("is wrong")).to_be_visible()
        come_in(seen.page, "Vic")
        assert pages(seen.page) == FIGURES
        sidebar = seen.page.get_by_test_id("stSidebar")
        expect(sidebar.get_by_text("Vic")).to_be_visible()
        expect(sidebar.get_by_text("viewer")).to_be_visible()
        seen.page.get_by_role("button", name="Sign out").click()
        expect(seen.page.get_by_label("Name")).to_be_visible()
        expect(sidebar).to_be_hidden()
        seen.page.reload()
        expect(seen.page.get_by_label("Name")).to_be_visible()
        assert seen.page.get_by_test_id("stMetric").count() == 0
    log = read_log(settings)
    assert not log.problem
    assert [(line.by, line.outcome) for line in log.lines[before:]] == [
        (UNKNOWN, "refused: wrong name or password"),
        ("Vic", "signed in as viewer"),
    ]


def test_a_user_who_is_removed_is_out_with_the_next_click(
    browser: Browser, with_users: str, settings: Settings
) -> None:
    set_user(settings, "Tom", Role.STEWARD, PASSWORD)
    with opened(browser, with_users) as seen:
        come_in(seen.page, "Tom")
        remove_user(settings, "Tom")
        seen.page.get_by_role("link", name="Value", exact=True).first.click()
        expect(seen.page.get_by_text("Your access was changed")).to_be_visible()
        expect(seen.page.get_by_role("heading", name="Value")).to_have_count(0)
        sign_in(seen.page, "Tom", PASSWORD)
        expect(seen.page.get_by_text("is wrong")).to_be_visible()


def test_whom_a_proxy_names_comes_in_with_their_role_and_nobody_else_does(
    browser: Browser, settings: Settings
) -> None:
    before = len(read_log(settings).lines)
    with running_dashboard(settings.home, "--user-header", HEADER) as address:
        with (
            running_proxy(address, f"{HEADER}: {SCRIPT}") as proxy,
            opened(browser, proxy) as seen,
        ):
            settle(seen.page)
            sidebar = seen.page.get_by_test_id("stSidebar")
            expect(sidebar.get_by_text(SCRIPT)).to_be_visible()
            expect(sidebar.get_by_text("masked")).to_be_visible()
            assert seen.page.get_by_role("button", name="Sign out").count() == 0
            assert inaccessible(seen) == []
            assert complaints(seen) == []
        stranger = f"{SCRIPT} the second"
        for headers, said in (
            ([f"{HEADER}: {stranger}"], f"You are signed in as {stranger} and have no role"),
            ([], f"The proxy has to say in {HEADER} who you are"),
        ):
            with (
                running_proxy(address, *headers) as proxy,
                opened(browser, proxy, width=PHONE) as seen,
            ):
                expect(seen.page.get_by_text(said)).to_be_visible(timeout=20_000)
                assert seen.page.get_by_test_id("stMetric").count() == 0
                assert seen.page.get_by_label("Password").count() == 0
                assert inaccessible(seen) == []
                assert complaints(seen) == []
    assert [(line.by, line.outcome) for line in read_log(settings).lines[before:]] == [
        (SCRIPT, f"signed in as masked by {HEADER}"),
        (UNKNOWN, f"refused by {HEADER}"),
        (UNKNOWN, f"refused by {HEADER}"),
    ]


def test_without_users_nobody_comes_in_through_a_proxy(browser: Browser, dashboard: str) -> None:
    with (
        running_proxy(dashboard, "X-Forwarded-For: 10.0.0.4") as proxy,
        opened(browser, proxy) as seen,
    ):
        expect(seen.page.get_by_text("for the machine that it runs on")).to_be_visible(
            timeout=20_000
        )
        assert seen.page.get_by_test_id("stMetric").count() == 0
