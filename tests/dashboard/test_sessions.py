"""How long somebody stays signed in, and what a page says that lets nobody in."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from orchestration.dashboard.access import read_users
from orchestration.dashboard.signing_in import _SESSION, IDLE, _Session
from orchestration.settings import Settings
from tests.dashboard.test_access import PASSWORD, write_users


def page(home: str) -> None:
    """A page for whom is signed in."""
    from pathlib import Path  # noqa: PLC0415 - AppTest runs the body alone

    import streamlit as st  # noqa: PLC0415

    from orchestration.dashboard.signing_in import signed_in  # noqa: PLC0415
    from orchestration.settings import Settings  # noqa: PLC0415

    visitor = signed_in(Settings(home=Path(home)))
    st.title(f"Seen by {visitor.name} as {visitor.role}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(sys, "argv", ["app.py"])
    # AppTest puts the page there, and processes that later tests start would run it
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    settings = Settings(home=tmp_path)
    write_users(settings, ("Eva", "steward", PASSWORD))
    return settings


def opened(settings: Settings) -> AppTest:
    return AppTest.from_function(page, args=(str(settings.home),), default_timeout=20)


def titles(app: AppTest) -> list[str]:
    assert not app.exception
    return [title.value for title in app.title]


@pytest.mark.parametrize(
    ("idle", "title"),
    [
        (IDLE - timedelta(minutes=1), "Seen by Eva as steward"),
        (IDLE + timedelta(minutes=1), "Customers"),
    ],
)
def test_who_does_nothing_for_eight_hours_is_signed_out(
    settings: Settings, idle: timedelta, title: str
) -> None:
    app = opened(settings)
    user = (read_users(settings) or {})["Eva"]
    app.session_state[_SESSION] = _Session(user, datetime.now(UTC) - idle)
    app.session_state["a filter"] = "DE"
    assert titles(app.run()) == [title]
    is_out = title == "Customers"
    assert [error.value for error in app.error] == (
        ["You were signed out after 8 hours without use."] if is_out else []
    )
    assert ("a filter" in app.session_state) is not is_out
    # what is looked at begins the eight hours anew
    app.run()
    assert titles(app) == [title]


def test_a_text_in_the_place_of_a_session_lets_nobody_in(settings: Settings) -> None:
    app = opened(settings)
    app.session_state[_SESSION] = "Eva"
    assert titles(app.run()) == ["Customers"]


def test_a_file_of_users_that_cannot_be_used_lets_nobody_in_and_shows_nothing_of_it(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with settings.dashboard_users.open("a") as file:
        file.write("Ann,queen,,\n")
    app = opened(settings).run()
    assert titles(app) == ["Not let in"]
    (said,) = [text.value for text in app.text]
    assert said.startswith("Nobody can come in now.")
    assert str(settings.home) not in said
    assert "dashboard_users.csv:3: role 'queen' is none" in caplog.text


@pytest.mark.parametrize("door", [[], ["--role", "steward"], ["--user-header", "X-User"]])
def test_without_users_a_page_lets_in_nobody_who_does_not_come_by_its_door(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, door: list[str]
) -> None:
    """Users who were there at the start are gone, and the visit has no header, not even a host."""
    monkeypatch.setattr(sys, "argv", ["app.py", *door])
    settings.dashboard_users.unlink()
    app = opened(settings).run()
    assert titles(app) == (["Not let in"] if door else ["Customers"])
