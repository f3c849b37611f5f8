"""Owners, purposes, storage, lineage and classes: `docs/governance.md`.

`python -m orchestration.governance.page` rewrites the file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestration.gates.history import FAILED_ROWS_KEPT_DAYS, RESULTS_KEPT_DAYS
from orchestration.governance.lint import KEPT_PARSE
from orchestration.governance.models import Model, ancestors, read_models, source_feeds
from orchestration.governance.register import BASES, Purpose, Register, read_register
from orchestration.landing.feeds import FEEDS, Feed, Pii
from orchestration.operations.retention import RULES
from orchestration.privacy.retention_policy import read_policy
from orchestration.release.roles import read_roles
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import parse

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

PAGE_PATH = PROJECT_ROOT / "docs" / "governance.md"

_INTRODUCTION = """\
# Governance

Who answers for the data, what it is used for, where it comes from and how closely it points at a
person. This page is generated from the feeds (`orchestration/landing/feeds.py`), the boards of the
models and `governance/` (`make governance`); a test keeps it current. Columns one by one are in
[sources.md](sources.md) and in the [data dictionary](dictionary.md).

"""

_MEANINGS: Mapping[Pii, str] = {
    Pii.NONE: "says nothing of who it is",
    Pii.PSEUDONYM: "points at a person only through another table of ours: ids of people, records,"
    " orders, visitors",
    Pii.INDIRECT: "narrows a person down: birth date, postcode, page address",
    Pii.DIRECT: "names or reaches a person on its own: name, e-mail, phone, street, national id",
    Pii.SENSITIVE: "free text in which a person may have written anything",
}

_CLASSES = """\

`none` is about the value, not the row: what stands in one row with a pseudonym is personal data.
A name has one class in all tables. Names of the contract have the class of their feed, all others
that of `governance/columns.yml`; `make lint` stops at a name that is in neither, and a test looks
for the values of every person of the sample in all columns that are not `direct`.
"""

STORAGE = (
    (
        "landed rows and what is made of them",
        "work.duckdb: raw, staging, identity",
        "as the retention policy says, see above; or until the file is withdrawn (`warehouse"
        " withdraw`), or the purpose of a column ends",
    ),
    (
        "marts",
        "releases/: DuckDB and Parquet",
        "as long as their release, see below; histories speak of earlier days too",
    ),
    (
        "what gates found: counts, keys and digests",
        "quality_history.duckdb, data_docs/",
        f"{RESULTS_KEPT_DAYS} days; rows that failed {FAILED_ROWS_KEPT_DAYS} days; the pages of the"
        " last run",
    ),
    (
        "what people decided, in their name",
        "decisions.csv, rectifications.csv, overrides.csv, quarantine.csv, withdrawals.csv,"
        " holds.csv, retention_confirmations.csv; retention_log.csv of runs",
        "no end: nothing else can make it again",
    ),
    (
        "who may open the dashboard",
        "dashboard_users.csv",
        "until somebody takes them out (`warehouse dashboard-users remove`)",
    ),
    ("files of the sources", "the landing folder", "whatever the one who delivers them decides"),
)

_SECURITY = """\
## Security

- One machine: nothing is sent anywhere, and the telemetry of Dagster, dbt and Great Expectations
  is off. Dagster's pages are served to the machine itself only.
- Backups are encrypted, and releases and the databases of `$WAREHOUSE_HOME` when they have keys
  (`warehouse make-key`). Without keys, whoever may read the folder may read everything: give it to
  the account that runs the warehouse, on an encrypted disk. Give readers the file of their role
  only, `current/<role>.duckdb`; the others are closed to them.
- Readers get released files, which nobody may write; the working database is for the run alone.
- Nothing is published before every gate has passed, and each release can be traced to its inputs
  (`manifest.json`).
- What is remembered of deliveries and of failed checks are counts, keys and digests; values stay
  in plain text only where their class is `none`. `customer_matches` explains matches without a
  value of a person.
- Whoever decides, overrides, withdraws or repairs does so by name and with a reason.
"""


def page_text(manifest: "Manifest", register: Register | None = None) -> str:
    """Return the page as Markdown."""
    known = _Known.of(manifest, register or read_register())
    return "".join(
        (
            _INTRODUCTION,
            *_classes(known),
            *_owners(known),
            *_activities(known),
            *_retention(),
            *_storage(),
            *_roles(),
            _SECURITY,
            *_lineage(known),
        )
    )


@dataclass(frozen=True)
class _Known:
    """Everything that the page is made from. readers: exposures, by name."""

    register: Register
    models: Mapping[str, Model]
    sources: Mapping[str, Feed]
    loaders: Mapping[str, str]
    groups: tuple[Any, ...]
    readers: tuple[Any, ...]

    @staticmethod
    def of(manifest: "Manifest", register: Register) -> "_Known":
        return _Known(
            register,
            read_models(manifest),
            source_feeds(manifest, FEEDS),
            {
                source.source_name: str(source.source_meta.get("owner", ""))
                for source in manifest.sources.values()
            },
            tuple(sorted(manifest.groups.values(), key=lambda group: group.name)),
            tuple(sorted(manifest.exposures.values(), key=lambda exposure: exposure.name)),
        )

    @property
    def marts(self) -> list[Model]:
        return [model for model in self.models.values() if model.layer == "marts"]

    def columns(self, mart: Model, pii: Pii) -> list[str]:
        """Names of the columns of a mart that have a class."""
        names = (column.name for column in mart.columns)
        return [name for name in names if self.register.pii(mart.name, name) is pii]


def _classes(known: _Known) -> Iterator[str]:
    intake = Counter(column.pii for feed in FEEDS for column in feed.columns)
    yield "## Classes\n\n| class | a value | columns of the contract | columns of marts |\n"
    yield "|---|---|---|---|\n"
    for pii in Pii:
        count = sum(len(known.columns(mart, pii)) for mart in known.marts)
        yield f"| {pii} | {_MEANINGS[pii]} | {intake[pii]} | {count} |\n"
    yield _CLASSES
    shown = [pii for pii in reversed(Pii) if pii.strength >= Pii.INDIRECT.strength]
    yield f"\n### Marts with more than pseudonyms\n\n| mart | {' | '.join(shown)} |\n"
    yield f"|---|{'---|' * len(shown)}\n"
    others = []
    for mart in known.marts:
        columns = [_listed(known.columns(mart, pii)) for pii in shown]
        if any(columns):
            yield f"| `{mart.name}` | {' | '.join(columns)} |\n"
        else:
            others.append(mart)
    pseudonymous = [mart for mart in others if known.columns(mart, Pii.PSEUDONYM)]
    figures = [mart for mart in others if mart not in pseudonymous]
    yield f"\nPseudonyms and no more: {_names(pseudonymous)}.\n\nFigures only: {_names(figures)}.\n"
    published = {column.name for mart in known.marts for column in mart.columns}
    inside = {
        pii: [
            name
            for name in dict.fromkeys(c.name for f in FEEDS for c in f.columns if c.pii is pii)
            if name not in published
        ]
        for pii in (Pii.SENSITIVE, Pii.DIRECT)
    }
    yield "\nLanded and in no mart under this name: "
    yield "; ".join(f"{pii}: {_listed(names)}" for pii, names in inside.items() if names) + ".\n\n"


def _roles() -> Iterator[str]:
    yield "## Roles\n\nWhat each sees of a release, as `governance/roles.yml` says.\n\n"
    yield "| role | for what | sees | figures of at least |\n|---|---|---|---|\n"
    yield "| steward | Answers for the data. | everything | |\n"
    for role in read_roles():
        if role.tables == "everything":
            sees = f"every mart but {_listed(role.without)}; columns by class and rule"
        else:
            sees = _listed(sorted(role.tables))
        floor = f"{role.floor} people" if role.floor else ""
        yield f"| {role.name} | {role.description} | {sees} | {floor} |\n"
    yield "\n"


def _owners(known: _Known) -> Iterator[str]:
    yield "## Owners\n\n| source | feeds | answers for it | lands it |\n|---|---|---|---|\n"
    for source in dict.fromkeys(feed.source for feed in FEEDS):
        feeds = [feed for feed in FEEDS if feed.source == source]
        owners = ", ".join(dict.fromkeys(feed.owner for feed in feeds))
        entities = ", ".join(feed.entity for feed in feeds)
        yield f"| {source} | {entities} | {owners} | {known.loaders.get(source, '')} |\n"
    yield "\n| room | marts | owner |\n|---|---|---|\n"
    for room in dict.fromkeys(mart.room for mart in known.marts):
        marts = [mart for mart in known.marts if mart.room == room]
        for owner in dict.fromkeys(mart.owner for mart in marts):
            yield f"| {room} | {_names(m for m in marts if m.owner == owner)} | {owner} |\n"
    groups = (f"{group.name}: {group.owner.name}, {group.owner.email}" for group in known.groups)
    yield f"\nWhom to ask about a layer: {'; '.join(groups)}.\n\n"


def _activities(known: _Known) -> Iterator[str]:
    register = known.register
    yield (
        "## Processing activities\n\n"
        "The record that article 30 of the GDPR asks for. Controller:"
        f" {register.controller}, {register.contact}.\nThe legal bases are a proposal: the"
        " controller decides them in `governance/purposes.yml`. For every purpose,\n[storage]"
        "(#storage) says where data is and how long, [security](#security) how it is protected,"
        " and\nnothing goes to a third country.\n"
    )
    for purpose in register.purposes.values():
        yield f"\n### {purpose.name}: {purpose.title}\n\n{purpose.description}\n\n"
        yield "| | |\n|---|---|\n"
        for name, text in _activity(known, purpose):
            if text:
                yield f"| {name} | {_line(text)} |\n"
    yield "\n"


def _activity(known: _Known, purpose: Purpose) -> Iterator[tuple[str, str]]:
    yield "legal basis", f"{BASES[purpose.basis]}, article 6(1)({purpose.basis})"
    yield "interest", purpose.interest
    yield "note", purpose.note
    yield "people", ", ".join(purpose.subjects)
    taken = [
        (feed, column)
        for feed in FEEDS
        for column in feed.columns
        if purpose.name in column.purposes
    ]
    for pii in reversed(Pii):
        names = dict.fromkeys(column.name for _, column in taken if column.pii is pii)
        yield ("other data" if pii is Pii.NONE else f"{pii} data"), _listed(names)
    yield "sources", ", ".join(dict.fromkeys(feed.name for feed, _ in taken))
    marts = [
        mart
        for mart in known.marts
        if any(purpose.name in column.purposes for column in mart.columns)
    ]
    yield "marts", _names(marts)
    ids = {mart.unique_id for mart in marts}
    yield (
        "recipients",
        ", ".join(
            f"{reader.label or reader.name} ({reader.owner.name})"
            for reader in known.readers
            if ids & set(reader.depends_on_nodes)
        ),
    )


def _retention() -> Iterator[str]:
    yield (
        "## Retention\n\nHow long what landed is kept, from `seeds/reference/retention_policy.csv`;"
        " every run applies it\n([privacy.md](privacy.md#how-long-it-is-kept)). The periods are a"
        " proposal: the controller decides them.\n\n"
    )
    yield "| feed | from | period | then | why so long |\n|---|---|---|---|---|\n"
    for rule in read_policy(FEEDS).values():
        place = f"{rule.parent}." if rule.parent else ""
        dated = " or ".join(f"`{place}{column}`" for column in rule.dated_by)
        yield f"| {rule.feed} | {dated} | {rule.period} | {rule.action} | {_line(rule.basis)} |\n"
    yield "\n"


def _storage() -> Iterator[str]:
    yield "## Storage\n\nBelow `$WAREHOUSE_HOME`, but for the landing.\n\n"
    yield "| what | where | how long | setting |\n|---|---|---|---|\n"
    for what, where, kept in STORAGE:
        yield f"| {what} | {where} | {kept} | |\n"
    defaults = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if name.startswith("keep_")
    }
    for rule in RULES:
        setting = f"`{rule.setting}`" if rule.setting else ""
        yield f"| {rule.what} | {rule.where} | {rule.kept.format(**defaults)} | {setting} |\n"
    yield "\n"


def _lineage(known: _Known) -> Iterator[str]:
    yield "\n## Lineage\n\n| feed | raw table | staging model |\n|---|---|---|\n"
    staging = {
        feed.name: model.name
        for model in known.models.values()
        if model.layer == "staging"
        for parent in model.reads
        if (feed := known.sources.get(parent))
    }
    for feed in FEEDS:
        yield f"| {feed.name} | `raw.{feed.table}` | `{staging.get(feed.name, '')}` |\n"
    yield (
        "\nWhich feeds give a mart its rows and values. `identity`: it also names customers, or"
        " holds what the\nidentity layer found out; that layer reads"
        f" {_feeds_of_identity(known)}.\n\n"
        "| mart | feeds | identity |\n|---|---|---|\n"
    )
    for mart in known.marts:
        above = list(
            ancestors(known.models, mart.unique_id, past=("staging", "intermediate", "marts"))
        )
        found = {known.sources[name].name for name in above if name in known.sources}
        feeds = [feed.name for feed in FEEDS if feed.name in found]
        is_identified = any(
            known.models[name].layer == "identity" for name in above if name in known.models
        )
        yield f"| `{mart.name}` | {', '.join(feeds)} | {'yes' if is_identified else ''} |\n"


def _feeds_of_identity(known: _Known) -> str:
    found = {
        known.sources[name].name
        for model in known.models.values()
        if model.layer == "identity"
        for name in ancestors(known.models, model.unique_id)
        if name in known.sources
    }
    left = [feed.name for feed in FEEDS if feed.name not in found]
    return f"all feeds but {', '.join(left)}" if left else "all feeds"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _names(models: Iterable[Model]) -> str:
    return _listed(model.name for model in models)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write `docs/governance.md`."""
    text = page_text(parse(Settings(home=KEPT_PARSE)))
    PAGE_PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
