"""How the report says names and numbers."""

from datetime import date, datetime
from typing import Any

NOTHING = "\N{EN DASH}"
_ACRONYMS = {"crm": "CRM", "pos": "tills", "nps": "NPS", "sms": "text message", "rfm": "RFM"}


def label(name: Any) -> str:
    """A name of a column or a value as people read it: `at_risk` is `at risk`."""
    text = "unknown" if name is None else str(name)
    return _ACRONYMS.get(text, text.replace("_", " "))


def day(moment: str | date | None) -> str:
    """`30 June 2026`."""
    if moment is None:
        return NOTHING
    read = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{read.day} {read:%B %Y}"


def month(first: str) -> str:
    """`June 2026`."""
    return f"{date.fromisoformat(first):%B %Y}"


def number(value: float | None, unit: str = "") -> str:
    """A number with its unit: `12,345`, `66 %` for a share, `397,601 EUR`, `+3` for a score."""
    if value is None:
        return "under 10"
    match unit:
        case "":
            return f"{value:,.0f}"
        case "share":
            return f"{100 * value:.1f} %"
        case "score":
            return f"{value:+.0f}"
        case _:
            return f"{value:,.0f} {unit}"


def change(now: float | None, before: float | None, unit: str = "") -> str:
    """How much more or less: `+12 (+0.6 %)`, in points where it is a share; empty when unknown."""
    if now is None or before is None:
        return ""
    difference = now - before
    if unit == "share":
        return f"{100 * difference:+.1f} points"
    if unit == "score":
        return f"{difference:+.0f} points"
    if round(difference) == 0:
        return "±0"
    share = f" ({100 * difference / before:+.1f} %)" if before else ""
    return f"{difference:+,.0f}{share}"
