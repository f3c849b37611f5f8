"""A column without class or purpose, or with a wrong one, stops `make lint` with a sentence."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestration.governance import lint
from orchestration.governance.models import Model, ModelColumn, read_models, source_feeds
from orchestration.governance.register import Register, RegisterError, read_register
from orchestration.landing.feeds import FEEDS, Feed, Pii
from orchestration.settings import Settings
from orchestration.transform.dbt import parse

CONTACTS = next(feed for feed in FEEDS if feed.name == "crm/contacts")
PURPOSES = """
purposes:
  sales: {title: Sales, description: What is sold., basis: f, interest: Know it., subjects: [all]}
  identity: {title: Who, description: Who it is., basis: c, subjects: [all]}
"""
SOURCES = {"source.contacts": CONTACTS}


def register(folder: Path, columns: str, purposes: str = PURPOSES) -> Register:
    (folder / "columns.yml").write_text(columns, encoding="utf-8")
    (folder / "purposes.yml").write_text(purposes, encoding="utf-8")
    return read_register([CONTACTS], folder / "columns.yml", folder / "purposes.yml")


def model(
    name: str, columns: Mapping[str, str], purpose: str = "sales", reads: tuple[str, ...] = ()
) -> Model:
    """A mart. columns: name to purpose, or "" for that of the mart."""
    purposes = tuple(filter(None, (purpose,)))
    return Model(
        unique_id=f"model.{name}",
        name=name,
        layer="marts",
        room="orders",
        board="models/marts/orders/_orders.yml",
        owner="sales",
        purposes=purposes,
        columns=tuple(
            ModelColumn(column, (own,) if own else purposes) for column, own in columns.items()
        ),
        reads=reads,
    )


def problems(known: Register, *models: Model) -> list[str]:
    everything = {one.unique_id: one for one in models}
    return lint.problems(everything, SOURCES, known, [])


def test_the_project_is_clean(parsed_project: Path) -> None:
    manifest = parse(Settings(home=parsed_project.parent))
    sources = source_feeds(manifest, FEEDS)
    assert len(sources) == len(FEEDS)
    assert lint.problems(read_models(manifest), sources, read_register()) == []


def test_a_column_without_a_class_is_told_and_never_taken_for_harmless(tmp_path: Path) -> None:
    known = register(tmp_path, "none: [total]")
    orders = model("orders", {"total": "", "shoe_size": ""})
    assert known.pii("orders", "shoe_size") is None
    assert problems(known, orders) == [
        "orders.shoe_size has no class; put `shoe_size` under one of none, pseudonym, indirect,"
        " direct, sensitive in governance/columns.yml."
    ]


def test_a_column_has_the_purpose_of_its_model_or_its_own_or_is_told(tmp_path: Path) -> None:
    known = register(tmp_path, "none: [total, paid]")
    assert problems(known, model("orders", {"total": "", "paid": "identity"})) == []
    assert problems(known, model("orders", {"total": "", "paid": "identity"}, purpose="")) == [
        "orders.total: no purpose; write `purpose:` into `config.meta` of the model"
        " (models/marts/orders/_orders.yml), or of the column where it differs. The purposes are"
        " in governance/purposes.yml."
    ]


def test_a_purpose_that_is_not_listed_is_told_with_the_nearest(tmp_path: Path) -> None:
    known = register(tmp_path, "none: [total, paid]")
    assert problems(known, model("orders", {"total": "", "paid": "identiti"}, "sale")) == [
        "orders: 'sale' is no purpose; did you mean sales? (governance/purposes.yml).",
        "orders.paid: 'identiti' is no purpose; did you mean identity? (governance/purposes.yml).",
    ]


def test_a_class_on_a_board_is_told_for_it_would_be_a_second_scheme(tmp_path: Path) -> None:
    known = register(tmp_path, "none: [total]")
    orders = model("orders", {"total": ""})
    tagged = dataclasses.replace(orders.columns[0], own_class=("pii:direct",))
    assert problems(known, dataclasses.replace(orders, columns=(tagged,))) == [
        "orders.total has a class on its board (pii:direct); take it out of"
        " models/marts/orders/_orders.yml, classes are given by name in governance/columns.yml."
    ]


def test_a_name_that_is_listed_and_gone_is_told(tmp_path: Path) -> None:
    known = register(tmp_path, "none: [total, paid]\nhomonyms: {value: {orders: none}}")
    assert problems(known, model("orders", {"total": ""})) == [
        "governance/columns.yml lists `paid`, which no board has; take it out.",
        "governance/columns.yml lists `value` of orders, which its board does not have; take it"
        " out.",
    ]


def test_a_name_that_a_feed_brings_keeps_the_class_of_the_feed(tmp_path: Path) -> None:
    known = register(tmp_path, "none: [total]")
    assert known.pii("orders", "email") is Pii.DIRECT
    assert known.pii("orders", "contact_id") is Pii.PSEUDONYM
    with pytest.raises(RegisterError, match="`email` is listed as none, and the feed crm/contacts"):
        register(tmp_path, "none: [email]")


def test_a_homonym_needs_a_class_in_each_model_that_has_it(tmp_path: Path) -> None:
    known = register(tmp_path, "homonyms: {value: {people: direct, fits: none}}")
    models = [model(name, {"value": ""}) for name in ("people", "fits", "other")]
    assert [known.pii(one.name, "value") for one in models] == [Pii.DIRECT, Pii.NONE, None]
    assert problems(known, *models) == [
        "other.value has no class: `value` does not mean the same everywhere; add other to it"
        " under `homonyms` in governance/columns.yml."
    ]


@pytest.mark.parametrize("parent", ["feed", "model"])
def test_a_class_weaker_than_that_of_its_origin_is_told(tmp_path: Path, parent: str) -> None:
    known = register(tmp_path, "homonyms: {email: {staged: direct, orders: none}}")
    staged = model("staged", {"email": ""}, reads=("source.contacts",))
    above = "source.contacts" if parent == "feed" else "model.staged"
    origin = "crm/contacts" if parent == "feed" else "staged"
    assert problems(known, staged, model("orders", {"email": ""}, reads=(above,))) == [
        f"orders.email is none, and {origin}.email, from which it is taken, is direct; give it that"
        " class in governance/columns.yml, or another name if it holds something else."
    ]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("none: [total]\ndirect: [total]", "`total` is listed under none and under direct"),
        ("harmless: [total]", "'harmless' is no class"),
        ("homonyms: {total: {orders: harmless}}", "homonyms, total, orders: 'harmless' is no"),
        ("none: [total]\nhomonyms: {total: {orders: none}}", "under homonyms and under none"),
        ("- total", "is no mapping"),
    ],
)
def test_a_list_of_classes_that_contradicts_itself_is_refused(
    tmp_path: Path, columns: str, words: str
) -> None:
    with pytest.raises(RegisterError, match=words):
        register(tmp_path, columns)


def test_feeds_that_give_a_name_two_classes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "columns.yml").write_text("none: [total]")
    (tmp_path / "purposes.yml").write_text(PURPOSES)
    columns = tuple(
        dataclasses.replace(column, pii=Pii.NONE) if column.name == "email" else column
        for column in CONTACTS.columns
    )
    other = dataclasses.replace(CONTACTS, entity="people", columns=columns)
    with pytest.raises(RegisterError, match="crm/people: `email` is none, and another feed says"):
        read_register([CONTACTS, other], tmp_path / "columns.yml", tmp_path / "purposes.yml")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{title: Sales, basis: c, subjects: [all]}", "sales: description is missing"),
        ("{title: S, description: D., basis: x, subjects: [all]}", "'x' is no letter"),
        ("{title: S, description: D., basis: f, subjects: [all]}", "basis f needs `interest`"),
    ],
)
def test_a_purpose_that_says_too_little_is_refused(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(RegisterError, match=words):
        register(tmp_path, "none: [total]", f"purposes:\n  sales: {entry}\n")


def test_a_column_of_the_contract_without_a_purpose_or_with_an_unknown_one_is_told(
    tmp_path: Path,
) -> None:
    known = register(tmp_path, "none: []")
    purposes = {"gender": (), "company": ("sale",)}
    columns = tuple(
        dataclasses.replace(column, purposes=purposes.get(column.name, ("identity",)))
        for column in CONTACTS.columns
    )
    feed: Feed = dataclasses.replace(CONTACTS, columns=columns, owner="")
    assert lint.problems({}, {}, known, [feed]) == [
        "crm/contacts has no owner; say who answers for it in its feed.",
        "crm/contacts.gender has no purpose, so it is not loaded; give it one of"
        " governance/purposes.yml, or take it out of the contract.",
        "crm/contacts.company: 'sale' is no purpose; did you mean sales?"
        " (governance/purposes.yml).",
    ]
