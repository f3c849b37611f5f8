"""How pages show what people wrote: as it is, never as Markdown or HTML."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import streamlit as st

# Rows of a table that is shown whole; a longer one is scrolled.
_MOST_WHOLE = 25
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=\"'])")


def escaped(text: str) -> str:
    """A text in which nothing means anything to Markdown: no link, image, colour or formula."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def table(found: Sequence[dict[str, Any]], nothing: str = "None.") -> None:
    """A table of rows with the same columns; those that are empty throughout are left out."""
    if not found:
        st.info(nothing)
        return
    columns: dict[str, Any] = {}
    for name in found[0]:
        values = [row[name] for row in found if row[name] is not None]
        if not values:
            columns[name] = None
        elif isinstance(values[0], datetime):
            columns[name] = st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm")
        elif isinstance(values[0], date):
            columns[name] = st.column_config.DateColumn(format="D MMM YYYY")
        elif isinstance(values[0], str):
            # the width of a column is a guess from its first rows; what is cut can be widened
            longest = max(len(value) for value in values)
            columns[name] = st.column_config.TextColumn(width=min(max(7 * longest + 30, 80), 320))
    texts = {name for name in found[0] if any(isinstance(row[name], str) for row in found)}
    shown = [
        {name: "" if value is None and name in texts else value for name, value in row.items()}
        for row in found
    ]
    st.dataframe(
        shown,
        hide_index=True,
        column_config=columns,
        height="content" if len(shown) <= _MOST_WHOLE else "auto",
    )
