"""The documentation of an installation as static pages, `$WAREHOUSE_HOME/docs/`.

dbt's pages (models, columns, lineage, tests), those of `docs/`, the Data Docs of the last run and
the report of the current release, behind one first page. They load nothing and may be put on any
web server: nobody is in them.

One site beside the releases, and not one in each: dbt's pages describe the code as it is now, which
would be wrong of an older release, and a release is sealed. So nothing grows, either.

The page of dbt is what `dbt docs generate --static` writes, made here of the same parts. That
command compiles every model first and asks the working database for columns: 28 s instead of 8, not
beside a run, not with an encrypted database, and with times and paths of the machine in the page.
"""

import json
import re
import shutil
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from orchestration.gates.data_docs import STYLE, without_findings
from orchestration.release import Release, current_release, read_manifest
from orchestration.report.reports import PAGE as REPORT
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import parse, target_folder

INDEX, DBT, DATA_DOCS = "index.html", "dbt.html", "data_docs"
# `report.html` is the page of docs/report.md.
REPORT_HERE = "release.html"
TEXTS = PROJECT_ROOT / "docs"

# The page may run its own scripts and load nothing from anywhere.
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:;'
    " font-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'\">"
)
# Two slips of dbt's page: an icon that its build forgot to fill in, and a link that browsers follow
# before Angular has put an address there.
_SLIPS = {
    '<link rel="shortcut icon" href="${require(\'./assets/favicons/favicon.ico\')}"/>': (
        '<link rel="icon" href="data:,"/>'
    ),
    'xlink:href="{{': 'ng-attr-xlink:href="{{',
}
# What differs from one parse of the same project to the next, or from machine to machine.
_OF_A_PARSE = (
    "generated_at",
    "invocation_id",
    "invocation_started_at",
    "run_started_at",
    "user_id",
)
_OF_A_NODE = ("created_at", "root_path", "build_path", "compiled_path")
_HEADING = re.compile(r"<(h[1-6])>(.*?)</\1>")
_LINK = re.compile(r'<a href="([^"]*)">(.*?)</a>', re.DOTALL)


def build_docs(settings: Settings) -> Path:
    """Write the site and return its first page; the folder is its owner's and replaced whole.

    Opens no database, so a run may be under way. Raises TransformError when the project cannot be
    parsed and ReleaseError when the current release cannot be read.
    """
    release = current_release(settings)
    fresh = settings.home / "docs.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    parse(settings)
    (fresh / DBT).write_text(_dbt_page(settings), encoding="utf-8")
    for text in sorted(TEXTS.glob("*.md")):
        page = _text_page(text.read_text(encoding="utf-8"))
        (fresh / f"{text.stem}.html").write_text(page, encoding="utf-8")
    shutil.copytree(TEXTS / "images", fresh / "images")
    if settings.data_docs.is_dir():
        (fresh / DATA_DOCS).mkdir()
        for found in sorted(settings.data_docs.glob("*.html")):
            page = without_findings(found.read_text(encoding="utf-8"))
            (fresh / DATA_DOCS / found.name).write_text(page, encoding="utf-8")
    if release and (release.path / REPORT).is_file():
        shutil.copyfile(release.path / REPORT, fresh / REPORT_HERE)
    (fresh / INDEX).write_text(index_page(fresh, release), encoding="utf-8")
    shutil.rmtree(settings.docs, ignore_errors=True)
    fresh.rename(settings.docs)
    return settings.docs / INDEX


def _dbt_page(settings: Settings) -> str:
    """dbt's own page with the project in it; the same bytes for the same project."""
    from dbt.task.docs import DOCS_INDEX_FILE_PATH  # noqa: PLC0415 - dbt

    manifest = json.loads((target_folder(settings) / "manifest.json").read_text(encoding="utf-8"))
    for name in _OF_A_PARSE:
        manifest["metadata"].pop(name, None)
    for section in manifest.values():
        for node in section.values() if isinstance(section, dict) else ():
            if isinstance(node, dict):
                for name in _OF_A_NODE:
                    node.pop(name, None)
    page = Path(DOCS_INDEX_FILE_PATH).read_text(encoding="utf-8")
    page = page.replace("<head>", f"<head>{_POLICY}", 1)
    for slip, mended in _SLIPS.items():
        page = page.replace(slip, mended)
    for place, content in (("MANIFEST", manifest), ("CATALOG", _catalog(manifest))):
        data = json.dumps(content, sort_keys=True).replace("</", "<\\/")
        page = page.replace(f'"{place}.JSON INLINE DATA"', data)
    return page


def _catalog(manifest: dict[str, Any]) -> dict[str, Any]:
    """Types of columns as contracts declare and enforce them; no database is asked."""
    nodes = {
        key: {
            "unique_id": key,
            "metadata": {
                "type": node["config"]["materialized"],
                "database": node["database"],
                "schema": node["schema"],
                "name": node["name"],
            },
            "columns": {
                name: {"name": name, "index": number, "type": column["data_type"] or ""}
                for number, (name, column) in enumerate(node["columns"].items(), start=1)
            },
            "stats": {},
        }
        for key, node in manifest["nodes"].items()
        if key.startswith("model.")
    }
    return {"metadata": {}, "nodes": nodes, "sources": {}, "errors": None}


def _text_page(text: str) -> str:
    """Return a text of `docs/` as a page; what it links to outside of `docs/` is only named."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = _HEADING.sub(
        lambda found: f'<{found[1]} id="{_anchor(found[2])}">{found[2]}</{found[1]}>', body
    )
    body = _LINK.sub(_linked, body)
    title = text.partition("\n")[0].lstrip("# ")
    return _page(title, f'<p><a href="{INDEX}">Documentation</a></p>{body}')


def _linked(found: re.Match[str]) -> str:
    target, hash_, anchor = found[1].partition("#")
    if target and not (target.endswith(".md") and (TEXTS / target).parent == TEXTS):
        return found[0] if target.startswith("https://") else found[2]
    page = f"{target.removesuffix('.md')}.html" if target else ""
    return f'<a href="{page}{hash_}{anchor}">{found[2]}</a>'


def _anchor(heading: str) -> str:
    """As code hosts name headings: links of the texts go by it."""
    plain = re.sub(r"<[^>]*>|&\w+;", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def index_page(site: Path, release: Release | None) -> str:
    """Return the first page: links to those pages that the site has."""
    manifest = read_manifest(release) if release else None
    about = (
        f"Release {manifest.release_id}, as of {manifest.as_of}." if manifest else "No release yet."
    )
    pages = [
        (REPORT_HERE, "Report of the release", "figures, none of few people"),
        (DBT, "Models", "every model, column and test, and which is made from which"),
        (f"{DATA_DOCS}/{INDEX}", "Data Docs", "what the gates of the last run asked and found"),
    ]
    pages += [
        (f"{text.stem}.html", text.read_text(encoding="utf-8").partition("\n")[0].lstrip("# "), "")
        for text in sorted(TEXTS.glob("*.md"))
    ]
    rows = "".join(
        f'<tr><td><a href="{page}">{escape(title)}</a></td><td>{escape(what)}</td></tr>'
        for page, title, what in pages
        if (site / page).is_file()
    )
    return _page(
        "Documentation", f"<h1>Documentation</h1><p>{escape(about)}</p><table>{rows}</table>"
    )


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}'
        "img { max-width: 100%; } td, p, li { overflow-wrap: anywhere; }"
        " pre { overflow-x: auto; background: #f6f8fa;"
        " padding: .7rem; }"
        f"</style></head><body>{body}</body></html>\n"
    )
