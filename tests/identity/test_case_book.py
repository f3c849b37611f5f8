"""The case book: named situations of customer data and what must come of them."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from orchestration.settings import PROJECT_ROOT
from tests.identity.lab import Lab, Partition, decision, record

CASES: list[dict[str, Any]] = yaml.safe_load(
    (PROJECT_ROOT / "tests" / "identity" / "case_book.yml").read_text(encoding="utf-8")
)
CASE_KEYS = {"name", "why", "steps", "one_per_person", "repeat"}
STEP_KEYS = {"records", "decisions", "visitors", "customers", "refused", "ids", "new"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_case(lab: Lab, case: dict[str, Any]) -> None:
    steps: list[dict[str, Any]] = case.get("steps") or [
        {key: value for key, value in case.items() if key in STEP_KEYS}
    ]
    landing = _repeated(case.get("repeat", {}))
    published: list[Mapping[str, str]] = []
    with lab.one_per_person(case.get("one_per_person", ())):
        for step in steps:
            for name, fields in step["records"].items():
                if fields is None:
                    del landing[name]
                else:
                    landing[name] = record(name, **fields)
            customers = lab.build(
                landing.values(),
                [decision(*line) for line in step.get("decisions", ())],
                visitors=[
                    {"source_record_id": visitor, "linked_record_id": linked}
                    for visitor, linked in step.get("visitors", {}).items()
                ],
            )
            assert lab.was_increment == bool(published)
            _check_customers(customers, step, list(landing))
            _check_refusals(lab, step)
            _check_ids(lab, customers, step, published)
            lab.release()
            published.append(customers.customers)


def test_the_case_book_is_one(lab: Lab) -> None:
    """Every case has a name of its own, a reason, an outcome, and no key that nothing reads."""
    assert len({case["name"] for case in CASES}) == len(CASES) >= 45
    for case in CASES:
        assert case["why"].rstrip().endswith(".")
        assert set(case) <= CASE_KEYS | STEP_KEYS, case["name"]
        for step in case.get("steps", [case]):
            assert step["customers"], case["name"]
            assert "steps" not in case or set(step) <= STEP_KEYS, case["name"]


def _repeated(repeat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    fields = {key: value for key, value in repeat.items() if key != "support"}
    names = [f"support:{number}" for number in range(repeat.get("support", 0))]
    return {name: record(name, **fields) for name in names}


def _check_customers(customers: Partition, step: Mapping[str, Any], landed: list[str]) -> None:
    expected = set()
    for group in step["customers"]:
        members = set(group)
        if "support:*" in members:
            members.remove("support:*")
            members |= {name for name in landed if name.startswith("support:")}
        expected.add(frozenset(members))
    assert customers.groups == expected


def _check_refusals(lab: Lab, step: Mapping[str, Any]) -> None:
    refusals = lab.refusals()
    for one, other, word in step.get("refused", ()):
        reasons = {reason for pair, reason in refusals if pair == {one, other}}
        assert any(word in reason for reason in reasons), refusals


def _check_ids(
    lab: Lab,
    customers: Partition,
    step: Mapping[str, Any],
    published: list[Mapping[str, str]],
) -> None:
    redirects = lab.redirects()
    live = set(customers.customers.values())
    for line in step.get("ids", ()):
        was = published[line["at"] - 1][line["of"]]
        now = was if was in live else redirects[was]
        assert now == (line["now"] and customers.customers[line["now"]]), line
    ever = {customer for release in published for customer in release.values()}
    for name in step.get("new", ()):
        assert customers.customers[name] not in ever
