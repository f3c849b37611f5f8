"""The documentation of an installation as static pages, `$WAREHOUSE_HOME/docs/`.

dbt's pages (models, columns, lineage, tests), those of `docs/`, the Data Docs of the last run and
the report of the current release, behind one first page (`docs.html` is how they look). They load
nothing and may be put on any web server: nobody is in them.

One site beside the releases, and not one in each: dbt's pages describe the code as it is now, which
would be wrong of an older release, and a release is sealed. So nothing grows, either.

The page of dbt is what `dbt docs generate --static` writes, made here of the same parts. That
command compiles every model first and asks the working database for columns: 28 s instead of 8, not
beside a run, not with an encrypted database, and with times and paths of the machine in the page.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup

from orchestration.gates.data_docs import without_findings
from orchestration.release import Release, current_release, read_manifest
from orchestration.report.charts import GROUND, PALETTE
from orchestration.report.reports import PAGE as REPORT
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import parse, target_folder

INDEX, DBT, DATA_DOCS = "index.html", "dbt.html", "data_docs"
# `report.html` is the page of docs/report.md.
REPORT_HERE = "release.html"
TEXTS = PROJECT_ROOT / "docs"
_TEMPLATE = Path(__file__).with_name("docs.html")

# Every text of `docs/` in the order in which the first page shows it, with what it is good for.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "Start": {
        "start": "From nothing to a release that you can ask, and your own file in it.",
        "architecture": "The house in one picture, and what happens in each of its rooms.",
    },
    "How-to": {
        "add-a-source": "A file that no feed covers becomes part of every customer.",
        "tune-matching": "See why records are one customer, decide, learn, measure.",
        "define-a-segment": "From a rule to a list in the mailing tool.",
        "operate": "Schedule, look, get out of an incident, go back, back up.",
        "activation": "Audiences as files for mailing tools and ad platforms.",
        "bi": "Superset, Python, Parquet, Postgres: recipe by recipe.",
    },
    "Reference": {
        "commands": "Every verb, and what it does.",
        "settings": "Every environment variable, and its default.",
        "sources": "What the warehouse accepts, column by column.",
        "marts": "Which mart answers which question, and what to know of it.",
        "dictionary": "Every column of every mart.",
        "report": "What the page of figures tells, and what it hides.",
        "dashboard": "Figures with filters, customers one by one, the desk; who may open it.",
        "feedback": "Scores, sentiment and themes, and how far to trust them.",
        "operations": "Every fault with what to do, backups, alerts.",
    },
    "Trust": {
        "privacy": "What people may ask, who sees what, threats and what counters them.",
        "governance": "Owners, purposes, legal bases, classes, lineage.",
        "benchmarks": "Measured figures, and the commands that print them.",
    },
}
_OWN_GROUP = "This installation"

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


@dataclass(frozen=True)
class Page:
    """A page of the site. file: relative to its folder. says: what it is good for, a sentence."""

    file: str
    title: str
    says: str


@dataclass(frozen=True)
class Group:
    """Pages under one heading of the first page."""

    name: str
    pages: Sequence[Page]

    @property
    def anchor(self) -> str:
        """Name of the heading in addresses."""
        return anchor_of(self.name)


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
    shutil.copytree(TEXTS / "images", fresh / "images")
    if settings.data_docs.is_dir():
        (fresh / DATA_DOCS).mkdir()
        for found in sorted(settings.data_docs.glob("*.html")):
            page = without_findings(found.read_text(encoding="utf-8"))
            (fresh / DATA_DOCS / found.name).write_text(page, encoding="utf-8")
    if release and (release.path / REPORT).is_file():
        shutil.copyfile(release.path / REPORT, fresh / REPORT_HERE)
    for text in sorted(TEXTS.glob("*.md")):
        page = _text_page(text, fresh, release)
        (fresh / f"{text.stem}.html").write_text(page, encoding="utf-8")
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


def _text_page(text: Path, site: Path, release: Release | None) -> str:
    """Return a text of `docs/` as a page; what it links to outside of `docs/` is only named."""
    body = _markdown().render(text.read_text(encoding="utf-8"))
    parts = [(anchor_of(part), _plain(part)) for tag, part in _HEADING.findall(body) if tag == "h2"]
    body = _HEADING.sub(_headed, body)
    body = _LINK.sub(_linked, body)
    shown = Markup(body)  # noqa: S704 - a text of ours, escaped by the renderer
    return _page(_title(text), site, release, here=f"{text.stem}.html", body=shown, parts=parts)


@cache
def _markdown() -> MarkdownIt:
    """The dialect of the texts. What is wide scrolls in its own box, also by keyboard."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("fence", _block)
    markdown.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    return markdown


def _block(
    renderer: RendererHTML,  # noqa: ARG001 - the signature of markdown-it
    tokens: Sequence[Token],
    number: int,
    options: OptionsDict,  # noqa: ARG001
    env: dict[str, Any],  # noqa: ARG001
) -> str:
    """A block of code: what is typed, what that prints (`text`), or a file with its name above."""
    language, _, file = tokens[number].info.partition(" ")
    kind = "printed" if language == "text" else "asked"
    name = f"<figcaption>{escape(file)}</figcaption>" if file else ""
    code = escape(tokens[number].content)
    return f'<figure class="{kind}">{name}<pre tabindex="0"><code>{code}</code></pre></figure>'


def _headed(found: re.Match[str]) -> str:
    """A heading with a link to itself, but for the title."""
    tag, text = found.groups()
    if tag == "h1":
        return found[0]
    anchor = anchor_of(text)
    link = f'<a class="here" href="#{anchor}" aria-label="Link to: {_plain(text)}">#</a>'
    return f'<{tag} id="{anchor}">{text}{link}</{tag}>'


def _linked(found: re.Match[str]) -> str:
    """A link of a text as one of the site: pages by their titles, no file outside of `docs/`."""
    target, hash_, anchor = found[1].partition("#")
    text = found[2]
    if not target:
        return f'<a href="{hash_}{anchor}">{text}</a>'
    if not (target.endswith(".md") and (TEXTS / target).parent == TEXTS):
        return found[0] if target.startswith("https://") else text
    name = escape(_title(TEXTS / target)) if text == target else text
    return f'<a href="{target.removesuffix(".md")}.html{hash_}{anchor}">{name}</a>'


def _plain(heading: str) -> Markup:
    """A heading without its marks; still HTML, whose letters are escaped."""
    return Markup(re.sub(r"<[^>]*>", "", heading))  # noqa: S704 - a text of ours, escaped


def anchor_of(heading: str) -> str:
    """As code hosts name headings: links of the texts go by it."""
    plain = re.sub(r"<[^>]*>|&\w+;", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _title(text: Path) -> str:
    return text.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def index_page(site: Path, release: Release | None) -> str:
    """Return the first page: links to those pages that the site has."""
    return _page("Documentation", site, release, here=INDEX)


def _groups(site: Path) -> Iterator[Group]:
    """Pages that the site has, as the first page and the side of every page list them."""
    for name, texts in GROUPS.items():
        pages = [
            Page(f"{stem}.html", _title(TEXTS / f"{stem}.md"), says) for stem, says in texts.items()
        ]
        yield Group(name, pages)
    own = [
        Page(REPORT_HERE, "Report of the release", "Figures of its day, none of few people."),
        Page(DBT, "Models", "Every model, column and test, and which is made from which."),
        Page(
            f"{DATA_DOCS}/{INDEX}", "Data Docs", "What the gates of the last run asked and found."
        ),
    ]
    yield Group(_OWN_GROUP, [page for page in own if (site / page.file).is_file()])


def _page(
    title: str,
    site: Path,
    release: Release | None,
    *,
    here: str,
    body: str = "",
    parts: Sequence[tuple[str, str]] = (),
) -> str:
    """A page with its surroundings. body: HTML, none for the first page. parts: anchor and name."""
    manifest = read_manifest(release) if release else None
    about = (
        f"Release {manifest.release_id}, as of {manifest.as_of}." if manifest else "No release yet."
    )
    return _template().render(
        title=title,
        about=about,
        here=here,
        body=body,
        parts=parts,
        index=INDEX,
        groups=list(_groups(site)),
        palette=dict(GROUND) | dict(PALETTE),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
