"""The verbs by which stewards correct a person's data, typed as a steward types them."""

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from orchestration.identity.rectifications import (
    FIELDS,
    Rectification,
    RectificationError,
    drop_records,
    read_rectifications,
    rectifications_in_force,
)
from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    rectifications_state,
)
from orchestration.settings import PROJECT_ROOT
from tests.conftest import Installation, Outcome

WHO_AND_WHY = ("--by", "Eva Lind", "--why", "case 4711")
JANE = {
    "contact_id": "C1",
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "jane@wrong.test",
    "phone": "020 7946 0018",
    "birth_date": "1980-01-01",
    "updated_at": "2026-05-01T10:00:00Z",
}


def rectify(installation: Installation, *arguments: str) -> Outcome:
    return installation.warehouse("rectify", *arguments, *WHO_AND_WHY)


def newest(installation: Installation) -> Rectification:
    return read_rectifications(installation.settings.rectifications)[-1]


@pytest.fixture(scope="module")
def built(new_installation: Callable[[], Installation]) -> Installation:
    """Two contacts and an account of one person; tests go on with copies."""
    installation = new_installation()
    installation.write("crm/contacts", "a.csv", [JANE, JANE | {"contact_id": "C2"}])
    installation.write("shop/customers", "a.csv", [{"customer_id": "42", "email": JANE["email"]}])
    installation.run()
    return installation


@pytest.fixture
def known(built: Installation, tmp_path: Path) -> Installation:
    return built.copy_to(tmp_path)


def test_a_rectification_is_kept_with_who_why_and_what_the_source_said(known: Installation) -> None:
    outcome = rectify(known, "crm:C1", "email", " Jane@Right.test ")
    assert outcome.exit_code == 0, outcome.output
    assert "email of crm:C1 is Jane@Right.test" in outcome.output
    assert "The source says jane@wrong.test" in outcome.output
    assert "make run" in outcome.output
    line = newest(known)
    assert known.settings.rectifications == known.home / "rectifications.csv"
    assert known.settings.rectifications in known.settings.journals.values()
    assert (line.source_record_id, line.field, line.value) == ("crm:C1", "email", "Jane@Right.test")
    assert (line.source_value, line.decided_by, line.reason) == (
        "jane@wrong.test",
        "Eva Lind",
        "case 4711",
    )
    assert re.fullmatch("r-[0-9a-f]{10}", line.rectification_id)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("crm:C1", "emial", "a@x.test"), "field 'emial' is unknown; one of first_name,"),
        (("crm:C1", "email", "no address"), "an address is name@domain"),
        (("crm:C1", "email", " "), "`--clear` takes a value away"),
        (("crm:C1", "email"), "give either a VALUE or --clear"),
        (("crm:C1", "email", "a@x.test", "--clear"), "give either a VALUE or --clear"),
        (("crm:C1", "phone", "12"), "phone '12' cannot be read"),
        (("crm:C1", "birth_date", "31.12.1980"), "is no date; write it like 1980-12-31"),
        (("crm:C1", "birth_date", "1980-02-30"), "is no date; write it like 1980-12-31"),
        (("crm:C1", "birth_date", "2030-01-01"), "is not between 1900 and 2026-06-30"),
        (("crm:C1", "gender", "?"), "female, male or diverse"),
        (("crm:C1", "city", "York\nLeeds"), "cannot be printed"),
        (("crm:c1", "email", "a@x.test"), "Did you mean crm:C1"),
        (("jane@wrong.test", "email", "a@x.test"), "a record is <source>:<id>"),
    ],
)
def test_what_cannot_be_rectified_is_refused_in_words_and_nothing_is_kept(
    known: Installation, arguments: tuple[str, ...], said: str
) -> None:
    outcome = rectify(known, *arguments)
    assert outcome.exit_code == 1
    assert said in outcome.output
    assert "jane@wrong.test" not in outcome.output.replace("called jane@wrong.test", "")
    assert not known.settings.rectifications.exists()


def test_a_customer_is_told_to_be_named_by_a_record_and_no_value_is_shown(
    known: Installation,
) -> None:
    customer = known.customers()["crm:C1"]
    outcome = rectify(known, customer, "birth_date", "1981-01-01")
    assert outcome.exit_code == 1
    assert "A birth_date is held by crm:C1, crm:C2." in outcome.output
    assert "1980" not in outcome.output


def test_a_value_that_is_there_already_adds_no_line_and_a_later_word_takes_its_place(
    known: Installation,
) -> None:
    same = rectify(known, "crm:C1", "email", "JANE@wrong.test")
    assert same.exit_code == 0
    assert "Nothing to add: email of crm:C1 is jane@wrong.test already" in same.output
    assert (
        "Nothing to add: crm:C1 has no gender"
        in rectify(known, "crm:C1", "gender", "--clear").output
    )
    assert "Nothing to add" in rectify(known, "crm:C1", "phone", "+44 20 7946 0018").output
    assert not known.settings.rectifications.exists()
    rectify(known, "crm:C1", "email", "first@x.test")
    # the line counts at once, before any run
    assert "Nothing to add" in rectify(known, "crm:C1", "email", "First@x.test").output
    rectify(known, "crm:C1", "email", "second@x.test")
    lines = read_rectifications(known.settings.rectifications)
    assert [line.value for line in lines] == ["first@x.test", "second@x.test"]
    assert [line.value for line in rectifications_in_force(lines)] == ["second@x.test"]


def test_a_cleared_value_names_the_records_that_hold_it_too(known: Installation) -> None:
    outcome = rectify(known, "crm:C1", "email", "--clear")
    assert "email of crm:C1 is nothing" in outcome.output
    assert "The same email is held by crm:C2, shop:42 of the same customer" in outcome.output


def test_a_revoke_says_what_holds_now(known: Installation) -> None:
    rectify(known, "crm:C1", "email", "first@x.test")
    first = newest(known).rectification_id
    rectify(known, "crm:C1", "email", "second@x.test")
    second = newest(known).rectification_id
    outcome = known.warehouse("revoke", second, *WHO_AND_WHY)
    assert outcome.exit_code == 0
    assert f"In force is now {first}" in outcome.output
    outcome = known.warehouse("revoke", first, *WHO_AND_WHY)
    assert "email of crm:C1 is now what the source says" in outcome.output
    outcome = known.warehouse("revoke", first, *WHO_AND_WHY)
    assert outcome.exit_code == 1
    assert "was revoked before" in outcome.output
    outcome = known.warehouse("revoke", "r-none", *WHO_AND_WHY)
    assert "there is no rectification 'r-none' to revoke" in outcome.output


def test_the_list_shows_what_is_in_force_or_what_became_of_everything(known: Installation) -> None:
    rectify(known, "crm:C1", "email", "first@x.test")
    first = newest(known).rectification_id
    rectify(known, "crm:C1", "email", "second@x.test")
    second = newest(known).rectification_id
    known.warehouse("revoke", first, "--by", "[bold]Ida", "--why", "wrong [/] click")
    in_force = known.warehouse("rectifications").output
    assert re.search(rf"{second} .*still says jane@wrong.test", in_force)
    assert first not in in_force
    assert "In force: 1 of 3 lines" in in_force
    everything = known.warehouse("rectifications", "--all").output
    assert re.search(rf"{first} .* revoked by {newest(known).rectification_id}", everything)
    assert re.search(rf"{second} .* in force", everything)
    assert re.search(rf"revokes {first} .*\[bold\]Ida .*wrong \[/\] click", everything)


def test_who_rectifies_or_lists_is_noted_before_anything_is_shown(known: Installation) -> None:
    rectify(known, "crm:C1", "email", "right@x.test")
    known.warehouse("rectifications", "--by", "Ida", "--why", "audit")
    log = known.warehouse("access-log", "--of", "crm:C1").output
    assert re.search("Eva Lind .*rectify .*case 4711 .*email shown", log)
    assert re.search("Ida .*rectifications .*audit", log)


def test_nothing_is_rectified_when_the_log_cannot_be_written(known: Installation) -> None:
    known.settings.access_log.unlink(missing_ok=True)
    known.settings.access_log.mkdir()
    outcome = rectify(known, "crm:C1", "email", "right@x.test")
    assert outcome.exit_code == 1
    assert "jane@wrong.test" not in outcome.output
    assert not known.settings.rectifications.exists()


def test_nobody_rectifies_without_a_reason_or_before_the_first_run(
    known: Installation, installation: Installation
) -> None:
    outcome = known.warehouse("rectify", "crm:C1", "city", "York", "--by", "Eva", "--why", " ")
    assert outcome.exit_code == 1
    assert "reason is missing" in outcome.output
    outcome = rectify(installation, "crm:C1", "city", "York")
    assert outcome.exit_code == 1
    assert "Nothing has been built" in outcome.output


def test_a_broken_file_is_named_by_every_verb_and_stops_a_run(known: Installation) -> None:
    rectify(known, "crm:C1", "birth_date", "1981-01-01")
    path = known.settings.rectifications
    path.write_text(path.read_text().replace("1981-01-01", "1981"))
    for outcome in (
        known.warehouse("rectifications"),
        rectify(known, "crm:C1", "city", "York"),
        known.warehouse("revoke", "r-1", *WHO_AND_WHY),
        known.warehouse("run"),
    ):
        assert outcome.exit_code == 1
        assert f"{path}:2: birth_date '1981' is no date" in outcome.output
        assert "Traceback" not in outcome.output
    assert f"{path}:2" in known.warehouse("doctor").output


def test_an_erasure_takes_every_line_of_a_record_and_what_revoked_it(known: Installation) -> None:
    rectify(known, "crm:C1", "last_name", "O'Hara, Jr.")
    first = newest(known).rectification_id
    rectify(known, "crm:C2", "city", "York")
    known.warehouse("revoke", first, *WHO_AND_WHY)
    path = known.settings.rectifications
    assert len(drop_records(path, {"crm:C1"})) == 2
    (left,) = read_rectifications(path)
    assert left.source_record_id == "crm:C2"
    assert drop_records(path, {"crm:C1"}) == ()


def test_the_state_knows_what_is_in_force_and_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "rectifications.csv"
    with duckdb.connect(str(tmp_path / "work.duckdb")) as connection:
        load_released_ids(connection, None)
        assert rectifications_state(connection) == "0" * 16
        assert load_rectifications(connection, path) == ()
        assert rectifications_state(connection) == "0" * 16
        head = (
            "rectification_id,action,source_record_id,field,value,source_value,decided_by,"
            "decided_at,reason,revokes\n"
        )
        line = "r-1,set,crm:C1,email,a@x.test,,Eva,2026-06-01T00:00:00Z,case,\n"
        path.write_text(head + line)
        load_rectifications(connection, path)
        before = rectifications_state(connection)
        assert before != "0" * 16
        path.write_text(head)
        assert load_rectifications(connection, path) == ("r-1",)
        assert rectifications_state(connection) == "0" * 16
        path.write_text(head + line.replace(",email,", ",mail,"))
        with pytest.raises(RectificationError, match=r"rectifications\.csv:2: field 'mail' is"):
            load_rectifications(connection, path)


def test_models_rectify_the_fields_that_stewards_may_name() -> None:
    text = (PROJECT_ROOT / "dbt_project" / "macros" / "identity.sql").read_text(encoding="utf-8")
    (macro,) = re.findall(r"macro rectifiable_fields\(\).*?endmacro", text, re.DOTALL)
    assert set(re.findall(r"'(\w+)':", macro)) == set(FIELDS)
