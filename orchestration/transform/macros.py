"""Macros of dbt's that need nothing of dbt, for SQL that has to read a value as models do."""

from functools import cache
from typing import Any

import jinja2

from orchestration.settings import PROJECT_ROOT


@cache
def plain_macros(file: str) -> Any:
    """Return the macros of a file as functions that give SQL. file: in dbt_project/macros."""
    text = (PROJECT_ROOT / "dbt_project" / "macros" / file).read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=False).from_string(text).module  # noqa: S701 - SQL
