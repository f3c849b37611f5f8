"""Files in which analysts write rules: CSV with the line of each row, and errors that name it."""

import csv
import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from orchestration.settings import PROJECT_ROOT

REFERENCE = PROJECT_ROOT / "seeds" / "reference"

_SHOWN = 5


class SegmentRuleError(ValueError):
    """Rules cannot be used. problems: each a sentence with file, line, rule, column and remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        shown = list(self.problems[:_SHOWN])
        if len(self.problems) > _SHOWN:
            shown.append(f"... and {len(self.problems) - _SHOWN} more.")
        super().__init__("\n".join(shown))


def csv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a CSV with the number of the line in which each begins. Blank lines are skipped."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SegmentRuleError([f"{path} cannot be read: {error.strerror}."]) from error
    except UnicodeDecodeError as error:
        raise SegmentRuleError(
            [f"{path} is not UTF-8 (byte {error.start}); save it so."]
        ) from error
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            begins, line = line, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = _header(path, cells, needed)
            elif len(cells) != len(header):
                raise SegmentRuleError(
                    [
                        f"{path}, line {begins}: {len(cells)} cells under {len(header)} columns;"
                        " a text with commas or line breaks needs double quotes around it."
                    ]
                )
            else:
                row = zip(header, (cell.strip() for cell in cells), strict=True)
                yield begins, dict(row)
    except csv.Error as error:
        raise SegmentRuleError(
            [f"{path}, line {line}: {error}; look for a double quote that is not closed."]
        ) from error
    if header is None:
        raise SegmentRuleError([f"{path} is empty; its first line names {', '.join(needed)}."])


def _header(path: Path, cells: list[str], needed: Sequence[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    for name in needed:
        if name not in header:
            hint = nearest(name, header)
            raise SegmentRuleError([f"{path}, line 1: there is no column {name!r}{hint}."])
    repeated = {name for name in header if header.count(name) > 1}
    if repeated:
        raise SegmentRuleError([f"{path}, line 1: column {min(repeated)!r} is there twice."])
    return header


def nearest(name: str, known: Iterable[str]) -> str:
    """Return half a sentence that names the known word most like this one; empty without."""
    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[found[0]]!r}" if found else ""
