"""Where the `warehouse` command prints."""

import sys

from rich.console import Console, RenderableType

# Piped output is not a window: no line is broken, so that paths can be copied.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)

_REPORT_WIDTH = 100


def print_report(report: RenderableType) -> None:
    """Print a laid out report, as wide as the window but at most 100 columns, piped or not."""
    width = min(console.width, _REPORT_WIDTH)
    if console.is_terminal:
        console.print(report, width=width, soft_wrap=False)
        return
    with console.capture() as capture:
        console.print(report, width=width, soft_wrap=False)
    for line in capture.get().splitlines():
        console.print(line.rstrip(), markup=False)
