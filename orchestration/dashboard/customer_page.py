"""The page "Customers": who somebody is, what they did, and why their records are one customer."""

from collections.abc import Callable, Sequence

import streamlit as st

from orchestration.dashboard.access import Visitor
from orchestration.dashboard.desk import decided, find_pair
from orchestration.dashboard.desk_page import last_word, show_evidence, show_records, verdict
from orchestration.dashboard.drawing import MOST_DRAWN, identity_graph, in_colour, timeline
from orchestration.dashboard.people import (
    MOST_FOUND,
    Customer,
    Found,
    Row,
    full_name,
    masked,
    masked_found,
    search,
    tell,
)
from orchestration.dashboard.plain import escaped, table
from orchestration.dashboard.reading import open_release
from orchestration.governance.register import read_register
from orchestration.identity.decisions import DecisionError
from orchestration.identity.explain import Link
from orchestration.identity.showing import LABELS, NOTES, RULES
from orchestration.privacy.access_log import note
from orchestration.privacy.tombstones import PrivacyError
from orchestration.release import Release
from orchestration.report.words import NOTHING, day, label
from orchestration.settings import Settings

TITLE, PATH = "Customers", "customers"
_CHOSEN = "customer"


def show(release: Release, visitor: Visitor) -> None:
    """Find a customer and tell about it; the address names whom, by id."""
    st.title("Customer 360")
    with st.form("search", border=False):
        typed, why, button = st.columns([5, 4, 1.4], vertical_alignment="bottom")
        text = typed.text_input(
            "Find a customer",
            placeholder="Name or e-mail (the beginning is enough), phone or id"
            if visitor.decides
            else "Name, e-mail, phone or id, in full",
        )
        reason = why.text_input(
            "Why you look", placeholder="Case or request, kept in the access log"
        )
        if button.form_submit_button("Find", width="stretch") and text.strip():
            st.session_state.pop("looked", None)
            st.query_params.pop(_CHOSEN, None)
            st.session_state["searched"] = text
    try:
        if chosen := st.query_params.get(_CHOSEN):
            _customer(release, visitor, chosen, reason)
        elif searched := st.session_state.get("searched"):
            _found(release, visitor, searched, reason)
        else:
            st.info("Whom you look at is kept in the access log.")
    except (DecisionError, PrivacyError) as error:
        st.error(escaped(str(error)))


def _found(release: Release, visitor: Visitor, text: str, reason: str) -> None:
    with open_release(Settings(), release) as opened:
        found = search(opened, text, whole=not visitor.decides)
    if not found:
        st.info(f"Nobody is found by {escaped(text)}.")
        return
    if len(found) == 1:
        st.query_params[_CHOSEN] = found[0].customer_id
        _customer(release, visitor, found[0].customer_id, reason)
        return
    _look(visitor, ("search", text, release.id), reason, [one.customer_id for one in found])
    more = f"; these are the first {MOST_FOUND}" if len(found) >= MOST_FOUND else ""
    st.caption(f"{len(found)} customers{more}")
    for one in found:
        _result(one if visitor.decides else masked_found(one))


def _result(found: Found) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.button(
            escaped(found.name or found.customer_id),
            key=f"open-{found.customer_id}",
            on_click=_choose,
            args=(found.customer_id,),
            type="tertiary",
        )
        by = LABELS.get(found.found_by, found.found_by)
        told = [found.email, found.phone, found.city, f"{found.record_count} records"]
        if found.last_seen_at:
            told.append(f"last seen {day(found.last_seen_at)}")
        told.append(f"found by {by}")
        st.caption(escaped(" · ".join(filter(None, told))))


def _choose(customer_id: str) -> None:
    st.query_params[_CHOSEN] = customer_id


def _look(visitor: Visitor, look: tuple[str, str, str], reason: str, names: Sequence[str]) -> None:
    """Note a look in the access log, once however often the page is drawn meanwhile.

    look: verb, what was asked for, release. Raises PrivacyError when it cannot be noted; then
    nothing may be shown.
    """
    if st.session_state.get("looked") != look:
        note(
            Settings(),
            verb=f"dashboard {look[0]}",
            by=visitor.name,
            why=reason,
            names=names,
            outcome="shown" if visitor.decides else "shown masked",
        )
        st.session_state["looked"] = look


def _customer(release: Release, visitor: Visitor, chosen: str, reason: str) -> None:
    with open_release(Settings(), release) as opened:
        customer = tell(opened, chosen)
        if customer is None and chosen.startswith("cus_"):  # out of use
            found = search(opened, chosen, whole=True)
            customer = tell(opened, found[0].customer_id) if found else None
    if customer is None:
        st.info("Nobody has that id in this release.")
        return
    _look(visitor, ("customer", customer.customer_id, release.id), reason, customer.names)
    if not visitor.decides:
        customer = masked(customer, read_register())
    _heading(customer, chosen)
    part = st.segmented_control(
        "Part", list(_PARTS), default="Profile", key="part", label_visibility="collapsed"
    )
    _PARTS[part or "Profile"](customer, visitor, release)


def _heading(customer: Customer, chosen: str) -> None:
    profile, standing = customer.profile, customer.standing
    with st.container(border=True):
        st.header(escaped(customer.name))
        st.text(
            " · ".join(
                filter(
                    None,
                    (
                        customer.customer_id,
                        f"formerly {chosen}" if chosen != customer.customer_id else "",
                        profile["email"],
                        profile["phone"],
                        profile["city"],
                        profile["country"],
                    ),
                )
            )
        )
        currency = profile["reporting_currency_code"]
        tiles = (
            ("Customer since", day(profile["first_seen_at"])),
            ("Last seen", day(profile["last_seen_at"])),
            ("Purchases", f"{profile['purchase_count']:,}"),
            ("Money kept", f"{profile['reporting_net_amount']:,.0f} {currency}"),
            ("Stage", label(standing["lifecycle_stage"]) if standing else NOTHING),
            ("Segment", standing.get("rfm_segment") or NOTHING),
        )
        for column, (name, value) in zip(st.columns(len(tiles)), tiles, strict=True):
            column.markdown(f"<small>{name}</small>", unsafe_allow_html=True)
            column.text(value)


# --- the parts -----------------------------------------------------------------------------------


def _profile(customer: Customer, _visitor: Visitor, _release: Release) -> None:
    with st.container(border=True):
        st.header("Golden record")
        st.caption("The value that survived for each field, the record it is from, and why.")
        rivals: dict[str, list[str]] = {}
        for row in customer.golden:
            if not row["is_survivor"]:
                rivals.setdefault(row["field_group"], []).append(row["value"])
        table(
            [
                {
                    "field": LABELS.get(row["field_group"], label(row["field_group"])),
                    "value": row["value"],
                    "from": row["source_record_id"],
                    "because": RULES.get(row["decided_by"], label(row["decided_by"])),
                    "seen in records": row["record_count"],
                    "other values": " | ".join(rivals.get(row["field_group"], [])),
                }
                for row in customer.golden
                if row["is_survivor"]
            ]
        )
    with st.container(border=True):
        st.header("Value and mood")
        standing = customer.standing
        told = {
            "value tier": label(standing.get("value_tier")),
            "expected in a year": _amount(standing, "expected_value_365_days"),
            "days since last purchase": standing.get("recency_days"),
            "likelihood to recommend": standing.get("nps_score"),
            "satisfaction": standing.get("csat_score"),
            "comments": standing.get("comment_count"),
            "main theme": label(standing["main_theme"]) if standing.get("main_theme") else None,
            "latest comment": standing.get("last_sentiment"),
        }
        table([{"": name, "now": str(value)} for name, value in told.items() if value is not None])


def _amount(row: Row, column: str) -> str | None:
    if row.get(column) is None:
        return None
    return f"{row[column]:,.0f} {row['reporting_currency_code']}"


def _timeline(customer: Customer, _visitor: Visitor, _release: Release) -> None:
    with st.container(border=True):
        st.header("Timeline across channels")
        if not customer.touches:
            st.info("Nothing is known to have happened.")
            return
        cut = f" These are the latest of {customer.touch_count:,}."
        st.caption(
            "Visits, mails, tickets, surveys, purchases and consent, newest first, UTC."
            + (cut if customer.touch_count > len(customer.touches) else "")
        )
        st.vega_lite_chart(
            spec=in_colour(timeline(customer.touches)), theme=None, width="stretch", key="touches"
        )
        table(
            [
                {
                    "when": row["touched_at"],
                    "what": row["kind"],
                    "channel": label(row["channel"]),
                    "details": row["what"],
                }
                for row in customer.touches
            ]
        )


def _consents(customer: Customer, _visitor: Visitor, _release: Release) -> None:
    profile = customer.profile
    with st.container(border=True):
        st.header("Consent")
        may = [
            f"{channel}: {'may be contacted' if profile[column] else 'must not be contacted'}"
            for channel, column in (
                ("e-mail", "is_contactable_by_email"),
                ("text message", "is_contactable_by_sms"),
            )
        ]
        st.caption(" · ".join(may))
        table(
            [
                {
                    "purpose": label(row["purpose"]),
                    "says": row["consent_status"],
                    "from": row["valid_from"],
                    "until": row["valid_until"],
                    "legal basis": label(row["legal_basis"]) if row["legal_basis"] else None,
                    "recorded by": label(row["source"]),
                }
                for row in customer.consents
            ],
            "Nobody said anything, which is no consent.",
        )
        if customer.suppressions:
            st.header("Must not be contacted")
            table(
                [
                    {
                        "by": label(row["channel"]),
                        "because": label(row["reason"]),
                        "since": row["suppressed_at"],
                        "recorded by": label(row["source"]),
                    }
                    for row in customer.suppressions
                ]
            )
    with st.container(border=True):
        st.header("Segments")
        table(
            [
                {
                    "segment": row["segment"],
                    "since": row["entered_on"],
                    "until": row["left_on"],
                    "because": row["entered_reason"],
                    "left because": row["left_reason"],
                }
                for row in customer.segments
            ],
            "In no segment, now or ever.",
        )


def _records(customer: Customer, _visitor: Visitor, _release: Release) -> None:
    with st.container(border=True):
        st.header("Records")
        st.caption("What each source says, normalised. What a steward rectified is marked.")
        own = sorted(
            customer.own_records, key=lambda row: str(row["last_seen_at"] or ""), reverse=True
        )
        table(
            [
                {
                    "record": row["source_record_id"],
                    "kind": label(row["record_type"]),
                    "name": full_name(row),
                    "e-mail": _with_note(row, "email"),
                    "phone": _with_note(row, "phone"),
                    "born": row["birth_date"],
                    "address": ", ".join(
                        filter(None, (row["street"], row["postcode"], row["city"], row["country"]))
                    ),
                    "company": row["company"],
                    "last seen": row["last_seen_at"],
                    "rectified": row["rectified_fields"],
                }
                for row in own
            ]
        )
        if customer.visitors:
            st.caption(f"And {len(customer.visitors)} of the visitors to the web site.")
    with st.container(border=True):
        st.header("What became of the id")
        table(
            [
                {
                    "on": row["occurred_on"],
                    "customer": row["customer_id"],
                    "event": label(row["event"]),
                    "other customer": row["other_customer_id"],
                    "because": row["reason"],
                }
                for row in customer.history
            ]
        )


def _with_note(row: Row, column: str) -> str:
    sharing = row[f"{column}_sharing"]
    return (row[column] or "") + (f" ({NOTES.get(sharing, sharing)})" if sharing else "")


def _identity(customer: Customer, visitor: Visitor, release: Release) -> None:
    with st.container(border=True):
        st.header("Why these records are one customer")
        if not customer.links:
            st.info("One record, and nothing that another one shares.")
            return
        cut = f" The {MOST_DRAWN} with the strongest links." if _is_cut(customer) else ""
        st.caption(
            "Records and what links them; thick lines hold the customer together, broken ones did"
            f" not join.{cut}"
        )
        st.vega_lite_chart(
            spec=in_colour(identity_graph(customer)), theme=None, width="stretch", key="graph"
        )
    with st.container(border=True):
        st.header("What a link is worth")
        link = st.selectbox(
            "Link",
            customer.links,
            format_func=_link_label,
            key=f"link-{customer.customer_id}",
        )
        if link is None:
            return
        last_word()
        show_evidence(link)
        if visitor.decides:
            show_records(*(customer.records[record] for record in link.pair))
            settings = Settings()
            with open_release(settings, release) as opened:
                decisions = decided(settings)
                pair = find_pair(opened, link.pair, decisions)
                if pair is not None:
                    verdict(opened, pair, decisions)


def _is_cut(customer: Customer) -> bool:
    return len({record for link in customer.links for record in link.pair}) > MOST_DRAWN


def _link_label(link: Link) -> str:
    return f"{' and '.join(link.pair)} · {label(link.outcome)} · {link.weight:+.1f} bits"


_PARTS: dict[str, Callable[[Customer, Visitor, Release], None]] = {
    "Profile": _profile,
    "Timeline": _timeline,
    "Consent and segments": _consents,
    "Records": _records,
    "Identity": _identity,
}
