"""The page of owners, purposes, lineage and classes says what the project says."""

import re
from pathlib import Path

import pytest

from orchestration.governance.page import PAGE_PATH, page_text
from orchestration.governance.register import BASES, read_register
from orchestration.landing.feeds import FEEDS
from orchestration.operations.retention import RULES
from orchestration.settings import Settings
from orchestration.transform.dbt import parse


@pytest.fixture(scope="module")
def page(parsed_project: Path) -> str:
    return page_text(parse(Settings(home=parsed_project.parent)))


def section(page: str, title: str) -> str:
    """Text below a heading up to the next one of its level, or of one above."""
    level = len(title) - len(title.lstrip("#"))
    return re.split(rf"\n#{{2,{level}}} ", page.split(f"\n{title}", 1)[1])[0]


def rows(text: str) -> dict[str, list[str]]:
    """Cells of every table row by the first one."""
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {first.strip(" `"): [cell.strip() for cell in rest] for first, *rest in cells}


def test_the_page_is_current(page: str) -> None:
    assert PAGE_PATH.read_text(encoding="utf-8") == page, "run make governance"


def test_every_source_and_every_mart_has_an_owner(page: str) -> None:
    of_sources, of_rooms = map(rows, section(page, "## Owners").split("| room |"))
    for feed in FEEDS:
        entities, *owners = of_sources[feed.source]
        assert feed.entity in entities
        assert all(owners)
    marts = {name for cells in of_rooms.values() for name in re.findall("`([a-z_]+)`", cells[0])}
    assert marts == set(rows(section(page, "## Lineage").split("| mart |")[1])) - {"---"}


def test_every_purpose_has_a_record_with_basis_people_data_and_marts(page: str) -> None:
    for purpose in read_register().purposes.values():
        record = rows(section(page, f"### {purpose.name}: "))
        assert record["legal basis"] == [f"{BASES[purpose.basis]}, article 6(1)({purpose.basis})"]
        assert record["people"] == [", ".join(purpose.subjects)]
        assert all(record[name][0] for name in ("sources", "marts", "recipients"))


def test_the_marts_that_name_people_are_listed_and_others_are_not(page: str) -> None:
    listed = rows(section(page, "### Marts with more than pseudonyms"))
    assert "`email`" in listed["customers"][1]
    assert listed["customer_matches"][0] == "`decision_reason`"
    assert {"orders", "customer_retention", "days"}.isdisjoint(listed)


def test_every_rule_of_retention_is_told_with_its_setting(page: str) -> None:
    storage = rows(section(page, "## Storage"))
    for rule in RULES:
        assert storage[rule.what][0] == rule.where
        assert "{" not in storage[rule.what][1]
        assert storage[rule.what][2].strip("`") == (rule.setting or "")


def test_lineage_leads_to_the_feeds_that_give_values_and_not_to_those_that_give_changes(
    page: str,
) -> None:
    lineage = rows(section(page, "## Lineage"))
    sold = "shop/orders, shop/order_lines, pos/receipts"
    assert lineage["shop/orders"] == ["`raw.shop__orders`", "`stg_shop__orders`"]
    assert lineage["orders"] == [sold, "yes"]
    assert lineage["customer_retention"] == [sold, "yes"]  # increments of it look at journeys
    assert lineage["purchase_funnel"][0] == "web/events"
    assert lineage["customer_golden_values"] == ["", "yes"]
    assert lineage["days"] == ["", ""]
