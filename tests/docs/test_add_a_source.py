"""The page "Add a source in ten minutes", followed to the letter in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from orchestration.cli import main
from orchestration.governance.lint import KEPT_PARSE
from orchestration.landing.feeds import FEEDS
from orchestration.new_source.answers import read_sheet
from orchestration.new_source.draft import TODO, NewSourceError, draft, sheet_path
from orchestration.new_source.placing import place
from orchestration.settings import PROJECT_ROOT
from tests.docs.pages import Block, assert_printed_as_said, blocks_of, copied_project, follow

NAME = "loyalty/members"
BLOCKS = blocks_of("add-a-source.md")


def of_file(name: str) -> str:
    return next(block.text for block in BLOCKS if block.file.endswith(name))


COLUMNS = yaml.safe_load(of_file("loyalty__members.yml"))["columns"]


@pytest.fixture(scope="module")
def followed(
    parsed_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[Block, str]]:
    """The folder of the copy, and what each block of commands printed."""
    house = copied_project(tmp_path_factory.mktemp("page"))
    # one parse of dbt for the page of governance, the linter and the run: 8 CPU s each
    kept = house / KEPT_PARSE.relative_to(PROJECT_ROOT) / "dbt"
    shutil.copytree(parsed_project, kept)
    home = house.parent / "trial" / "home"
    home.mkdir(parents=True)
    (home / "dbt").symlink_to(kept, target_is_directory=True)
    return house, follow(BLOCKS, house)


def test_every_command_of_the_page_prints_what_the_page_says(
    followed: tuple[Path, dict[Block, str]],
) -> None:
    _, printed = followed
    assert [block.kind for block in BLOCKS].count("text") == 4
    assert_printed_as_said(BLOCKS, printed)


def test_a_bad_line_is_a_reject_and_both_gates_know_the_feed(
    followed: tuple[Path, dict[Block, str]],
) -> None:
    house, _ = followed
    home = house.parent / "trial" / "home"
    with duckdb.connect(str(home / "work.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from raw.loyalty__members").fetchone() == (6,)
        assert connection.execute(
            "select line_number from raw.rejects where source_file like 'loyalty/%'"
        ).fetchall() == [(8,)]
    with duckdb.connect(str(home / "quality_history.duckdb"), read_only=True) as connection:
        asked = connection.execute(
            "select distinct split_part(check_id, '/', 1) from quality.results"
            " where check_id like '%loyalty%'"
        ).fetchall()
    assert {table for (table,) in asked} == {"raw.loyalty__members", "staging.stg_loyalty__members"}


def test_a_member_and_a_contact_are_two_sources_of_one_customer(
    followed: tuple[Path, dict[Block, str]],
) -> None:
    house, _ = followed
    release = house.parent / "trial" / "home" / "current" / "warehouse.duckdb"
    with duckdb.connect(str(release), read_only=True) as connection:
        counts = connection.execute(
            "select sources.source_record_id, customers.source_count from marts.customers"
            " inner join marts.customer_sources as sources using (customer_id)"
            " where sources.source = 'loyalty' order by 1"
        ).fetchall()
    assert [count for _, count in counts] == [2, 2, 2, 2, 1, 1]


def test_forgetting_a_member_takes_the_loyalty_row(
    followed: tuple[Path, dict[Block, str]],
) -> None:
    _, printed = followed
    (told,) = (text for block, text in printed.items() if "forget" in block.text)
    assert re.search(r"loyalty/members +1 +go", told)


def test_what_was_placed_is_formatted_and_linted(followed: tuple[Path, dict[Block, str]]) -> None:
    house, _ = followed
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff
    for command in (["format", "--check"], ["check"]):
        subprocess.run(
            [ruff, *command, "orchestration/landing/feeds.py", "orchestration/privacy"],
            cwd=house,
            check=True,
        )


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "2026-06-30.csv"
    path.write_text(of_file("2026-06-30.csv"), encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of the project that a source is placed in."""
    root = tmp_path / "root"
    for folder in ("expectations", "governance", "seeds/reference", "dbt_project/models"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder)
    for file in ("orchestration/landing/feeds.py", "orchestration/privacy/identifiers.py"):
        (root / file).parent.mkdir(parents=True)
        shutil.copy(PROJECT_ROOT / file, root / file)
    return root


def answered(root: Path, **changes: object) -> Path:
    """The page's sheet with other answers."""
    path = sheet_path(NAME, root)
    path.parent.mkdir(exist_ok=True)
    sheet = yaml.safe_load(of_file("loyalty__members.yml")) | changes
    path.write_text(yaml.safe_dump(sheet), encoding="utf-8")
    return path


def test_the_answered_sheet_of_the_page_is_the_draft_with_its_questions_answered(
    root: Path, sample: Path
) -> None:
    drafted = yaml.safe_load(draft(NAME, sample, root).read_text(encoding="utf-8"))
    page = yaml.safe_load(of_file("loyalty__members.yml"))
    columns, answers = drafted.pop("columns"), page.pop("columns")
    for question, proposed in drafted.items():
        assert page[question] == proposed or proposed == TODO, question
    assert columns.keys() - answers.keys() == {"marketing_opt_in"}
    for name, given in answers.items():
        assert given.keys() == columns[name].keys(), name
        for question, answer in given.items():
            assert columns[name][question] in (answer, TODO), (name, question)
    questions = [*drafted.values(), *(q for column in columns.values() for q in column.values())]
    assert questions.count(TODO) == 5 + len(columns) + 2


def test_a_draft_guesses_no_purpose_and_holds_no_value_of_the_file(
    root: Path, sample: Path
) -> None:
    text = draft(NAME, sample, root).read_text(encoding="utf-8")
    assert {column["purposes"] for column in yaml.safe_load(text)["columns"].values()} == {TODO}
    assert yaml.safe_load(text)["columns"]["points_balance"]["class"] == TODO
    values = {
        value for line in of_file("2026-06-30.csv").splitlines()[1:] for value in line.split(",")
    }
    assert not [value for value in values if len(value) > 3 and value in text]


def test_an_open_sheet_is_not_placed_and_every_question_is_named(root: Path, sample: Path) -> None:
    path = draft(NAME, sample, root)
    with pytest.raises(NewSourceError) as raised:
        read_sheet(path, NAME)
    told = str(raised.value)
    assert told.count("it is open; answer it") == 7
    assert "purposes of member_id, first_name" in told


def test_a_draft_overwrites_nothing(root: Path, sample: Path) -> None:
    path = draft(NAME, sample, root)
    path.write_text("answered: already", encoding="utf-8")
    with pytest.raises(NewSourceError, match="is there already"):
        draft(NAME, sample, root)
    assert path.read_text(encoding="utf-8") == "answered: already"


def test_a_place_that_is_gone_leaves_the_house_as_it_is(root: Path) -> None:
    new = read_sheet(answered(root), NAME)
    (root / "expectations" / "staging.yml").write_text("[]\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(NewSourceError, match="nothing was written"):
        place(new, root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_model_that_is_there_is_not_overwritten(root: Path) -> None:
    new = read_sheet(answered(root), NAME)
    place(new, root)
    with pytest.raises(NewSourceError, match="is there already"):
        place(new, root)


def test_facts_of_a_source_are_no_records_of_people(root: Path) -> None:
    note = {"type": "text", "class": "sensitive", "purposes": ["service"], "says": "Free text"}
    place(
        read_sheet(answered(root, rows_are="facts", columns=COLUMNS | {"note": note}), NAME), root
    )
    unioned = root / "dbt_project" / "models" / "identity" / "int_records_unioned.sql"
    assert "loyalty" not in unioned.read_text(encoding="utf-8")
    rules = (root / "orchestration" / "privacy" / "identifiers.py").read_text(encoding="utf-8")
    assert '"member_id": "loyalty:"' in rules
    assert 'mentions=("note",)' in rules


def test_two_feeds_of_one_source_do_not_both_bring_records_of_people(root: Path) -> None:
    with pytest.raises(NewSourceError, match="crm/contacts already brings records of people"):
        read_sheet(answered(root), "crm/members")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"owner": TODO}, "owner: it is open; answer it."),
        ({"rows_are": "humans"}, "'humans' is wrong; allowed are people, facts"),
        ({"key": ["id"]}, "key: 'id' is wrong; it is none of birth_date"),
        ({"key": ["email"]}, "where rows are people, it alone is: record"),
        ({"newest_by": "city"}, "newest_by: 'city' is wrong; it is none, or a time"),
        ({"keep_for": "a while"}, "keep_for: 'a while' is wrong; write for example 3 years"),
        ({"dated_by": []}, "what is not kept forever needs a time that dates it"),
        ({"keepfor": "1 day"}, "'keepfor' is wrong; it has only"),
        ({"description": "x" * 90}, "say it in 75 letters"),
        (
            {"columns": COLUMNS | {"email": {"is": "email", "purposes": ["spam"]}}},
            "email, purposes: 'spam' is wrong; allowed are identity",
        ),
        (
            {"columns": COLUMNS | {"email": {"is": "phone", "purposes": ["identity"]}}},
            "two columns say it",
        ),
        (
            {"columns": COLUMNS | {"email": {"class": "none", "purposes": ["identity"]}}},
            "`email` is none, and another feed says direct",
        ),
        ({"columns": []}, "it is no sheet with `columns`"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_answer_is_a_sentence_with_place_value_and_remedy(
    root: Path, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(NewSourceError) as raised:
        read_sheet(answered(root, **changes), NAME)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", "", "it is empty"),
        ("a.csv", "id,name\n", "has no record"),
        ("a.txt", "id\n1\n", "ends in .csv"),
        ("a.csv", "id,ID\n1,2\n", "'id' twice"),
        ("a.csv", "\x00\x00\x00\x00", "UTF-16 or a binary file"),
        ("a.parquet", "PAR1 nothing PAR1", "cannot be read"),
    ],
)
def test_a_file_of_no_use_is_a_sentence(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(NewSourceError, match=told):
        draft(NAME, tmp_path / name, tmp_path)


def test_a_feed_that_is_there_and_a_name_that_is_none_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_HOME", str(tmp_path))
    for name, told in (
        (FEEDS[0].name, "is a feed already"),
        ("../x", "is no name of a feed"),
        ("loyalty", "is no name of a feed"),
        ("loyalty/members", "is not there: draft it"),
    ):
        assert main(["new-source", name]) == 1
        assert told in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("name", "values", "type_"),
    [
        ("visits", ["1", "20", ""], "integer"),
        ("spent", ["1.50", "20"], "decimal"),
        ("is_vip", ["yes", "no"], "boolean"),
        ("day", ["2026-01-31", "2026-02-01"], "date"),
        ("seen", ["2026-01-31T10:00:00Z", "2026-02-01T00:00:00+01:00"], "timestamp"),
        ("till", ["007", "120"], "text"),
        ("card_number", ["1", "2"], "text"),
        ("nothing", ["", ""], "text"),
        ("mostly", ["1", "2", "3", "4", "x"], "integer"),
        ("half", ["1", "2", "x", "y"], "text"),
    ],
)
def test_a_type_is_proposed_when_nearly_all_values_fit(
    tmp_path: Path, root: Path, name: str, values: list[str], type_: str
) -> None:
    lines = [f"thing_id,{name}", *(f"T{number},{value}" for number, value in enumerate(values))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sheet = yaml.safe_load(draft("tills/things", path, root).read_text(encoding="utf-8"))
    assert sheet["columns"][name]["type"] == type_
    assert sheet["key"] == ["thing_id"]


def test_json_lines_and_other_names_for_what_a_person_is_are_understood(
    tmp_path: Path, root: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"uid": "1", "mail": "a@x.test", "Given Name": "A", "surname": "B"}\n')
    sheet = draft("app/users", path, root).read_text(encoding="utf-8")
    columns = yaml.safe_load(sheet)["columns"]
    assert columns["mail"]["is"] == "email"
    assert columns["surname"]["is"] == "last_name"
    assert '# left out: "Given Name"' in sheet
