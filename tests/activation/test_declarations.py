"""What is declared wrongly is told at once, by export and entry, before anything is exported."""

from pathlib import Path

import pytest
import yaml

from orchestration.activation.declarations import Export, ExportRuleError, read_exports
from orchestration.activation.exporting import ExportManifest
from orchestration.settings import PROJECT_ROOT
from orchestration.transform.audiences import AUDIENCES_FILE
from orchestration.transform.rule_files import SegmentRuleError, csv_rows

GOOD = {
    "audience": "Newsletter",
    "identifier": "email",
    "format": "csv",
    "mode": "full",
    "owner": "marketing",
    "description": "The list.",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exports.yml"


def problem_of(file: Path, **changed: object) -> str:
    entry = {key: value for key, value in (GOOD | changed).items() if value is not None}
    file.write_text(yaml.safe_dump({"exports": {"list": entry}}), encoding="utf-8")
    with pytest.raises(ExportRuleError) as raised:
        read_exports(file)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{file}, export 'list', ")
    return problem


def test_the_declared_exports_can_be_used_and_each_is_of_an_audience() -> None:
    declared = read_exports()
    audiences = {row["audience"]: row for _, row in csv_rows(AUDIENCES_FILE, ("audience",))}
    assert len(declared) >= 3
    for one in declared:
        assert one.owner == audiences[one.audience]["owner"]


def test_the_page_on_activation_explains_every_entry_and_every_field_of_the_manifest() -> None:
    page = (PROJECT_ROOT / "docs" / "activation.md").read_text(encoding="utf-8")
    comment = (PROJECT_ROOT / "governance" / "exports.yml").read_text(encoding="utf-8")
    for name in {*Export.model_fields} - {"name", "description"}:
        assert f"# {name}:" in comment, name
    for name in ExportManifest.model_fields:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"audience": "Newsleter"}, "audience: there is no audience 'Newsleter'; did you mean"),
        ({"audience": None}, "audience is missing"),
        ({"identifier": "mail"}, "identifier: 'mail' does not fit"),
        ({"format": "xlsx"}, "format: 'xlsx' does not fit"),
        ({"mode": "sometimes"}, "mode: 'sometimes' does not fit"),
        ({"owner": "Eva Lind"}, "owner: 'Eva Lind' does not fit"),
        ({"where": "/etc"}, "where is unknown"),
        ({"formt": "csv"}, "formt is unknown; did you mean 'format'"),
        (
            {"identifier": "email_sha256", "audience": "Partner Lookalikes"},
            "platform is missing: email_sha256 is hashed as a platform wants it",
        ),
        ({"platform": "meta"}, "platform: meta is given hashed identifiers only"),
        ({"identifier": "phone"}, "identifier: phone is of channel sms"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(
    file: Path, changed: dict[str, object], told: str
) -> None:
    assert f", {told}" in problem_of(file, **changed)


def test_nobody_is_handed_to_a_platform_who_agreed_to_mails_only(file: Path) -> None:
    problem = problem_of(file, identifier="email_sha256", platform="meta")
    assert (
        "'Newsletter' agreed to email_marketing, which is no consent to be handed to a platform"
        in (problem)
    )


def test_all_problems_are_told_at_once(file: Path) -> None:
    wrong = GOOD | {"audience": "No", "format": "no"}
    file.write_text(yaml.safe_dump({"exports": {"a": wrong, "b": GOOD | {"audience": "No"}}}))
    with pytest.raises(ExportRuleError) as raised:
        read_exports(file)
    assert len(raised.value.problems) == 2


@pytest.mark.parametrize(
    "name", ["../out", "/tmp/out", "a b", "A", "latest/..", ".hidden", "x" * 42, "'; drop", "1"]
)
def test_a_name_that_is_no_plain_folder_is_refused(file: Path, name: str) -> None:
    file.write_text(yaml.safe_dump({"exports": {name: GOOD}}), encoding="utf-8")
    with pytest.raises(ExportRuleError, match="it names a folder"):
        read_exports(file)


@pytest.mark.parametrize("text", ["", "[]", "exports: [a]", "other: {}", "exports: {a: ]", "a: \0"])
def test_a_file_that_declares_nothing_readable_is_told(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SegmentRuleError, match=r"exports\.yml"):
        read_exports(file)


def test_no_exports_may_be_declared(file: Path) -> None:
    file.write_text("exports:\n", encoding="utf-8")
    assert read_exports(file) == ()


def test_an_audience_that_is_gone_from_its_file_is_told(file: Path, tmp_path: Path) -> None:
    audiences = tmp_path / "audiences.csv"
    head, *lines = AUDIENCES_FILE.read_text(encoding="utf-8").splitlines(keepends=True)
    audiences.write_text("".join([head, *(one for one in lines if "Newsletter" not in one)]))
    file.write_text(yaml.safe_dump({"exports": {"list": GOOD}}), encoding="utf-8")
    with pytest.raises(ExportRuleError, match="there is no audience 'Newsletter'"):
        read_exports(file, audiences)
