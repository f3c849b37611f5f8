"""Import Great Expectations in the leanest way, once, and only when a gate is asked.

`import great_expectations` takes 4.4 CPU s beside Dagster and dbt. A third of it is scipy.stats and
altair, which serve three statistical expectations and one chart; they are handed over as modules
that load on first use. Another 0.5 s is garbage collection over objects that all stay. Together
2.2 CPU s are left.
"""

import gc
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

RARELY_USED = ("scipy.stats", "altair")


class _Deferred(ModuleType):
    """Stands in for a module until somebody asks for something in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def deferring(*names: str) -> Iterator[None]:
    """Let `import name` inside the block return a stand-in; outside the block nothing is changed.

    A module that is loaded already stays as it is.
    """
    stand_ins = {name: _Deferred(name) for name in names if name not in sys.modules}
    for name, stand_in in stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(importlib.import_module(parent), child, stand_in)
        sys.modules[name] = stand_in
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent and getattr(sys.modules[parent], child, None) is stand_in:
                delattr(sys.modules[parent], child)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def lean_import() -> Iterator[None]:
    """Import Great Expectations, or a module that does, inside this block.

    ```python
    with lean_import():
        from orchestration.gates import asking
    ```
    """
    # Read by GX at import: it would send usage events to its maker otherwise.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    shown_by = warnings.showwarning
    try:
        with _without_garbage_collection(), deferring(*RARELY_USED):
            yield
    finally:
        if warnings.showwarning is not shown_by:
            # GX sends the warnings of the whole process to a log that nobody reads
            logging.captureWarnings(False)
