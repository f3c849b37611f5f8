"""A deferred module loads when it is used, and nothing of the trick stays behind."""

import sys
import xml
from typing import Any

import pytest

from orchestration.gates.lean_import import deferring

# A module that nothing here needs.
NAME = "xml.sax.saxutils"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    import xml.sax  # noqa: PLC0415

    monkeypatch.delitem(sys.modules, NAME, raising=False)
    monkeypatch.delattr(xml.sax, "saxutils", raising=False)


def import_it() -> Any:
    from xml.sax import saxutils  # noqa: PLC0415

    return saxutils


def test_a_deferred_module_loads_on_first_use_after_the_block() -> None:
    with deferring(NAME):
        deferred = import_it()

    assert NAME not in sys.modules
    assert deferred.escape("<") == "&lt;"
    assert NAME in sys.modules
    assert import_it() is sys.modules[NAME]


def test_a_deferred_module_may_be_used_inside_the_block() -> None:
    with deferring(NAME):
        deferred = import_it()
        assert deferred.escape("<") == "&lt;"

    assert sys.modules[NAME].escape("<") == "&lt;"


def test_a_module_that_is_loaded_is_left_alone() -> None:
    loaded = import_it()

    with deferring(NAME):
        assert import_it() is loaded

    assert xml.sax.saxutils is loaded
