"""Data Docs: what the gates of the last run asked and found, as a static site.

The pages are those of Great Expectations with everything taken out that a browser would fetch from
somebody else's server (style sheets, scripts, a logo that counts its readers): they can be opened
anywhere, also offline, and show counts only. Rendering 27 suites takes 0.3 s, where GX's own site
builder takes 0.7 s and leaves 5 MB of pictures and fonts.
"""

import html
import json
import logging
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestration.database import working_file
from orchestration.faults import write_whole
from orchestration.gates.databases import opened
from orchestration.gates.lean_import import lean_import
from orchestration.gates.results import LAYERS, GateRecord, GateResult, gate_records
from orchestration.settings import Settings

log = logging.getLogger("warehouse")

# Scripts only filter and fold what is on the page; without them the whole page is shown.
FROM_ELSEWHERE = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer\b.*?</footer>|url\([^)]*\)",
    re.DOTALL,
)
# What `_failure` says: sentences may quote why a row failed and who let it pass, rows their keys.
FOUND = re.compile(
    r"<p class='(?:failed|warned)'>.*?</p>(?:<details>.*?</details>)?",
    re.DOTALL,
)
LINK = re.compile(r'<a\b[^>]*href="(?!#)[^"]*"[^>]*>(.*?)</a>', re.DOTALL)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid #d8dee4;
  vertical-align: top; }
h1, h2, h3, h4, h5, h6 { line-height: 1.25; margin: 1.2rem 0 .4rem; }
a { color: #0550ae; }
.passed, .text-success { color: #1a7f37; }
.failed, .text-danger { color: #cf222e; font-weight: 600; }
.warned { color: #9a6700; font-weight: 600; }
td .text-success::before { content: "passed"; }
td .text-danger::before { content: "failed"; }
.card, .modal, .collapse, a[data-toggle], .btn, nav { display: none; }
"""


def build_data_docs(settings: Settings) -> Path:
    """Write the site for the gates that have a verdict and return its first page.

    Call it once, after the last gate of a run; it needs no data, so a failed gate is shown too.
    """
    with opened(working_file(settings), read_only=True) as connection:
        records = gate_records(connection)
    with lean_import():
        from orchestration.gates import asking  # noqa: PLC0415 - costs 2.2 CPU s, once a process
    site = settings.data_docs
    fresh = settings.home / "data_docs.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    rows = []
    for record in records:
        for document in _kept_documents(settings, record.layer):
            name = f"{document['suite_name']}.html"
            failed = document.pop("failed")
            page = _own_page(asking.page(document), failed)
            (fresh / name).write_text(page, encoding="utf-8")
            rows.append(_row(record, document, name))
    (fresh / "index.html").write_text(_index(settings, rows), encoding="utf-8")
    shutil.rmtree(site, ignore_errors=True)
    fresh.rename(site)
    return site / "index.html"


def without_findings(page: str) -> str:
    """Return a page of the site as everybody may see it: rules and counts, nothing of any row."""
    return FOUND.sub("", page)


def keep_documents(
    settings: Settings, layer: str, documents: Sequence[dict[str, Any]], result: GateResult
) -> None:
    """Keep what GX answered about a layer, and what failed, until the site is built."""
    failed: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for check in (*result.critical_failures, *result.warnings):
        failed[check.table].append(
            {"sentence": check.sentence, "rows": check.failed_rows, "stops": check.stops}
        )
    for document in documents:
        document["failed"] = failed[document["suite_name"]]
    file = _documents_file(settings, layer)
    file.parent.mkdir(exist_ok=True)
    write_whole(file, json.dumps(documents))


def _kept_documents(settings: Settings, layer: str) -> Iterator[dict[str, Any]]:
    file = _documents_file(settings, layer)
    if not file.exists():
        return
    try:
        documents = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        # written by an earlier run: of this one's gates, the verdicts are in the database
        log.warning("%s is damaged (%s): its pages are left out until that gate runs", file, error)
        return
    yield from documents


def _documents_file(settings: Settings, layer: str) -> Path:
    return settings.home / "gates" / f"{layer}.json"


def _own_page(page: str, failed: Sequence[dict[str, Any]]) -> str:
    page = LINK.sub(r"\1", FROM_ELSEWHERE.sub("", page))
    above = f'<p><a href="index.html">All suites</a></p>{"".join(map(_failure, failed))}'
    page = page.replace("<html>", '<html lang="en">', 1)
    page = page.replace("<body>", f"<body>{above}", 1)
    return page.replace("</head>", f"<style>{STYLE}</style></head>", 1)


def _failure(failed: dict[str, Any]) -> str:
    """A sentence, and the rows that broke the rule: keys only, so the page shows nobody."""
    # kept by an earlier version, a failure may not say whether it stopped the run
    style = "failed" if failed.get("stops", True) else "warned"
    sentence = f"<p class='{style}'>{html.escape(failed['sentence'])}</p>"
    if not failed["rows"]:
        return sentence
    head = "".join(f"<th>{html.escape(name)}</th>" for name in failed["rows"][0])
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(value)}</td>' for value in row.values())}</tr>"
        for row in failed["rows"]
    )
    return (
        f"{sentence}<details><summary>{len(failed['rows'])} failed rows</summary>"
        f"<table><tr>{head}</tr>{body}</table></details>"
    )


def _row(record: GateRecord, document: dict[str, Any], page: str) -> str:
    severities = [
        one["expectation_config"]["severity"] for one in document["results"] if not one["success"]
    ]
    critical, warnings = severities.count("critical"), severities.count("warning")
    cells = (
        record.layer,
        f'<a href="{page}">{html.escape(document["suite_name"])}</a>',
        str(len(document["results"])),
        f'<span class="{"failed" if critical else "passed"}">{critical}</span>',
        f'<span class="{"warned" if warnings else "passed"}">{warnings}</span>',
        f"{record.checked_at:%Y-%m-%d %H:%M:%S} UTC",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _index(settings: Settings, rows: Sequence[str]) -> str:
    head = ("Layer", "Suite", "Checks", "Critical failures", "Warnings", "Checked at")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>'
        f"<style>{STYLE}</style></head><body><h1>Gates of the last run</h1>"
        f"<p>As of {settings.as_of}. Gates in order: {', '.join(LAYERS)}.</p>"
        f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>"
        f"{''.join(rows)}</table></body></html>"
    )
