"""Where the `warehouse` command prints."""

import sys

from rich.console import Console

# Piped output is not a window: no line is broken, so that paths can be copied.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
