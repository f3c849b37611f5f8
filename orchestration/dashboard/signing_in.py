"""How visitors of the dashboard come in: the form, and what each run of a page asks first.

Streamlit keeps who signed in with the page, on its server; a reload asks again. A callback and a
fragment run before the page, or without it: one that changes something asks `visitor_now` first.
"""

import logging
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import streamlit as st

from orchestration.dashboard.access import (
    AccessError,
    Attempts,
    Door,
    RefusedError,
    User,
    Visitor,
    note_visit,
    read_door,
    read_users,
    sign_in,
    user_named,
    visitor_from_here,
)
from orchestration.privacy.tombstones import PrivacyError
from orchestration.settings import Settings

IDLE = timedelta(hours=8)
"""How long somebody stays signed in who does nothing."""

_SESSION, _SAID, _REFUSED = "signed-in", "sign-in-said", "sign-in-refused"
_NAME, _PASSWORD = "sign-in-name", "sign-in-password"
_WATCHED = timedelta(minutes=1)
_CLOSED = (
    "Nobody can come in now. Whoever runs the warehouse finds the reason in what the dashboard"
    " prints."
)

_attempts = Attempts()
_log = logging.getLogger(__name__)


@dataclass
class _Session:
    """Who came in, as which line of the file of users. A client sends texts, and none of these."""

    user: User
    used_at: datetime


def signed_in(settings: Settings) -> Visitor:
    """Return who looks at the page; else show the form, or why they are not let in, and stop."""
    try:
        visitor = visitor_now(settings)
    except RefusedError as error:
        _stop(str(error))
    except (AccessError, PrivacyError) as error:
        _log.error("Nobody is let in: %s", error)
        _stop(_CLOSED)
    if visitor is None:
        _ask(settings)
        st.stop()
    session = st.session_state.get(_SESSION)
    if isinstance(session, _Session):
        session.used_at = datetime.now(UTC)
        _watch(settings)
    _say_who(visitor)
    return visitor


def visitor_now(settings: Settings) -> Visitor | None:
    """Return who is there at this moment; None for whom has yet to sign in.

    Raises RefusedError, AccessError, or PrivacyError when a visit cannot be noted.
    """
    door = read_door(sys.argv[1:])
    if door.user_header:
        return _brought_by_proxy(settings, door)
    users = read_users(settings)
    if users is None and door.role:
        return visitor_from_here(door, st.context.headers)
    session = st.session_state.get(_SESSION)
    if not isinstance(session, _Session):
        return None
    if datetime.now(UTC) - session.used_at > IDLE:
        _end(f"You were signed out after {IDLE // timedelta(hours=1)} hours without use.")
        return None
    if (users or {}).get(session.user.name) != session.user:
        _end("Your access was changed, so you have to sign in again.")
        return None
    return session.user.visitor


def _brought_by_proxy(settings: Settings, door: Door) -> Visitor:
    """Who the proxy says it is, noted once for a page that is opened."""
    try:
        user = user_named(settings, door.user_header, st.context.headers.get_all(door.user_header))
    except RefusedError:
        st.session_state.pop(_SESSION, None)
        if not st.session_state.get(_REFUSED):
            note_visit(settings, None, door.user_header)
            st.session_state[_REFUSED] = True
        raise
    session = st.session_state.get(_SESSION)
    if not isinstance(session, _Session) or session.user != user:
        note_visit(settings, user, door.user_header)
        if isinstance(session, _Session):
            st.session_state.clear()
        st.session_state[_SESSION] = _Session(user, datetime.now(UTC))
    return user.visitor


def _end(said: str = "") -> None:
    """Forget who was there and what they looked at."""
    st.session_state.clear()
    st.session_state[_SAID] = said


@st.fragment(run_every=_WATCHED)
def _watch(settings: Settings) -> None:
    """Take the page off the screen of whom may see it no longer, though nobody touches it."""
    try:
        is_over = visitor_now(settings) is None
    except (RefusedError, AccessError, PrivacyError):
        is_over = True
    if is_over:
        st.rerun()


def _say_who(visitor: Visitor) -> None:
    with st.sidebar, st.container(key="visitor"):
        st.text(visitor.name)  # and no markdown, which a name could hold
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.caption(visitor.role, width="content")
            is_ours = not read_door(sys.argv[1:]).user_header
            if is_ours and isinstance(st.session_state.get(_SESSION), _Session):
                st.button("Sign out", type="tertiary", on_click=_end)


def _ask(settings: Settings) -> None:
    """Show the form under the address that was asked for, so that its page comes after it."""
    form = partial(_form, settings)
    pages = [st.Page(form, title="Sign in", default=True)]
    asked = urlsplit(st.context.url or "").path.strip("/")
    if re.fullmatch(r"[a-z0-9_-]+", asked):
        pages.append(st.Page(form, title="Sign in", url_path=asked))
    st.navigation(pages, position="hidden").run()


def _form(settings: Settings) -> None:
    with (
        st.container(key="sign-in", horizontal_alignment="center"),
        st.form("sign-in-form", width=400),
    ):
        st.title("Customers")
        st.markdown("Sign in to see the figures, and what else your role shows.")
        st.text_input("Name", key=_NAME, autocomplete="username")
        st.text_input("Password", type="password", key=_PASSWORD, autocomplete="current-password")
        if said := st.session_state.get(_SAID):
            st.error(said)
        st.form_submit_button(
            "Sign in", type="primary", width="stretch", on_click=_try, args=(settings,)
        )


def _try(settings: Settings) -> None:
    """Sign in with what the form holds; its password is not kept."""
    name, password = st.session_state[_NAME], st.session_state[_PASSWORD]
    st.session_state[_PASSWORD] = ""
    try:
        user = sign_in(settings, _attempts, name, password)
    except RefusedError as error:
        st.session_state[_SAID] = str(error)
    except (AccessError, PrivacyError) as error:
        _log.error("Nobody is let in: %s", error)
        st.session_state[_SAID] = _CLOSED
    else:
        st.session_state.clear()
        st.session_state[_SESSION] = _Session(user, datetime.now(UTC))


def _stop(said: str) -> None:
    with (
        st.container(key="sign-in", horizontal_alignment="center"),
        st.container(border=True, width=480),
    ):
        st.title("Not let in")
        st.text(said)  # it may hold a name, which stays text
    st.stop()
