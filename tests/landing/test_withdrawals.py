"""A file with wrong contents is withdrawn: raw is what it would be if the file had never come."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.landing import LandingError, Outcome, landing_state
from orchestration.landing.feeds import FEEDS
from orchestration.landing.quarantine import Action as Correcting
from orchestration.landing.quarantine import Correction, entry_id, follow_corrections, set_aside
from orchestration.landing.withdrawals import (
    WithdrawalError,
    in_force,
    read_withdrawals,
    take_back,
    withdraw,
)
from orchestration.settings import Settings
from tests.conftest import Installation
from tests.landing.conftest import LOADED_AT, World

CONTACTS = next(feed for feed in FEEDS if feed.name == "crm/contacts")
HEADER = "contact_id,first_name\n"
BAD = HEADER + "C1,Wrong\nC2,Both\n"
DAY = timedelta(days=1)
AT = datetime(2026, 7, 1, 9, tzinfo=UTC)

LANDED = """
    select contact_id, first_name, _source_file, _loaded_at from raw.crm__contacts order by all
"""


def put_days(world: World, *contents: str, withdrawn: int | None = None) -> None:
    """Deliver and land a file a day: crm/contacts/1.csv, 2.csv, ...; one may be left out."""
    for number, content in enumerate(contents, start=1):
        if number == withdrawn:
            continue
        world.put(f"crm/contacts/{number}.csv", HEADER + content)
        world.land(loaded_at=LOADED_AT + number * DAY)


def test_a_withdrawn_file_leaves_nothing_and_stays_out(world: World) -> None:
    world.put("crm/contacts/a.csv", HEADER + "C0,Anna\n")
    world.put("crm/contacts/b.csv", BAD + "C3\n")
    world.land()
    world.withdraw("crm/contacts/b.csv", BAD + "C3\n")
    report = world.land()
    assert world.names() == [("C0", "Anna")]
    assert world.rejects() == []
    assert (report.files_withdrawn, report.refused) == (1, ())
    again = world.land()
    assert (again.files_read, again.files_withdrawn) == (0, 1)
    assert [file.outcome for file in again.files] == [Outcome.KNOWN, Outcome.WITHDRAWN]
    assert again.files[1].message == (
        "crm/contacts/b.csv was withdrawn by Eva Lind on 2026-03-01: wrong export."
    )
    assert world.rows(
        "select status, line_count, is_present from raw.files where file_path like '%b.csv'"
    ) == [("withdrawn", 0, True)]


def test_a_new_database_does_not_load_withdrawn_content_but_corrected_content(
    world: World,
) -> None:
    world.put("crm/contacts/a.csv", BAD)
    world.withdraw("crm/contacts/a.csv", BAD)
    first = world.land()
    assert (first.new_row_count, first.files_withdrawn) == (0, 1)
    assert world.names() == []
    world.put("crm/contacts/a.csv", HEADER + "C1,Right\n")
    assert world.land().files_withdrawn == 0
    world.put("crm/contacts/a.csv", BAD)
    assert world.land().files_withdrawn == 1
    assert world.names() == [("C1", "Right")]
    assert world.rows("select status from raw.files where is_present") == [("withdrawn",)]


def test_rows_that_a_later_file_repeated_come_back_with_its_name_and_time(world: World) -> None:
    put_days(world, "C0,Anna\n", "C1,Wrong\nC2,Both\n", "C2,Both\nC3,Cleo\n", "C2,Both\nC4,Dan\n")
    world.withdraw("crm/contacts/2.csv", BAD)
    report = world.land(loaded_at=LOADED_AT + 9 * DAY)
    moment = LOADED_AT.replace(tzinfo=None)
    assert world.rows(LANDED) == [
        ("C0", "Anna", "crm/contacts/1.csv", moment + DAY),
        ("C2", "Both", "crm/contacts/3.csv", moment + 3 * DAY),
        ("C3", "Cleo", "crm/contacts/3.csv", moment + 3 * DAY),
        ("C4", "Dan", "crm/contacts/4.csv", moment + 4 * DAY),
    ]
    assert report.files_read == 2, "the file before the withdrawn one is left alone"
    assert world.land().files_read == 0


def test_a_copy_of_the_withdrawn_content_is_read_and_warned_of(world: World) -> None:
    world.put("crm/contacts/a.csv", BAD)
    world.land()
    world.put("crm/contacts/b.csv", BAD)
    assert world.land().files[1].message == "Same content as crm/contacts/a.csv."
    world.withdraw("crm/contacts/a.csv", BAD)
    report = world.land()
    assert len(world.names()) == 2
    assert "b.csv has the content that was withdrawn as crm/contacts/a.csv" in report.warnings[0]
    world.withdraw("crm/contacts/b.csv", BAD)
    world.land()
    assert world.names() == []


def test_one_version_of_a_path_is_withdrawn_and_the_other_stays(world: World) -> None:
    right = HEADER + "C1,Right\nC2,Both\n"
    for content in (BAD, right):
        world.put("crm/contacts/a.csv", content)
        world.land()
    world.withdraw("crm/contacts/a.csv", BAD)
    world.land()
    assert world.names() == [("C1", "Right"), ("C2", "Both")]
    assert world.rows("select status, is_present from raw.files order by status") == [
        ("loaded", True),
        ("withdrawn", False),
    ]


def test_a_withdrawal_that_is_undone_lets_the_file_land_as_the_newest(world: World) -> None:
    put_days(world, "C1,Wrong\nC2,Both\n", "C2,Both\n")
    version = world.withdraw("crm/contacts/1.csv", BAD)
    world.land(loaded_at=LOADED_AT + 3 * DAY)
    del world.withdrawn[version]
    report = world.land(loaded_at=LOADED_AT + 4 * DAY)
    assert (report.files_withdrawn, report.new_row_count, report.repeated_row_count) == (0, 1, 1)
    assert world.names() == [("C1", "Wrong"), ("C2", "Both")]


def test_a_refused_file_that_is_withdrawn_no_longer_refuses(world: World) -> None:
    world.put("crm/contacts/a.csv", "name\nJane\n")
    assert len(world.land().refused) == 1
    world.withdraw("crm/contacts/a.csv", "name\nJane\n")
    assert world.land().refused == ()
    world.connection.execute("drop schema raw cascade")
    report = world.land()
    assert (report.refused, report.files_withdrawn) == ((), 1)


def test_rows_that_only_a_lost_file_would_bring_back_are_not_lost_in_silence(world: World) -> None:
    put_days(world, "C1,Wrong\nC2,Both\n", "C2,Both\nC3,Cleo\n")
    (world.landing / "crm/contacts/2.csv").unlink()
    world.withdraw("crm/contacts/1.csv", BAD)
    with pytest.raises(LandingError, match=r"no longer in the landing.*crm/contacts/2\.csv"):
        world.land()
    assert len(world.names()) == 3, "nothing was taken out"
    report = world.land(anyway=True)
    assert world.names() == [("C3", "Cleo")]
    assert "are lost" in report.warnings[0]


def test_a_repeating_file_that_was_moved_or_touched_is_found_by_its_content(world: World) -> None:
    put_days(world, "C1,Wrong\nC2,Both\n", "C2,Both\nC3,Cleo\n", "C2,Both\nC4,Dan\n")
    folder = world.landing / "crm/contacts"
    (folder / "2.csv").rename(folder / "moved.csv")
    (folder / "3.csv").touch()
    world.withdraw("crm/contacts/1.csv", BAD)
    world.land(loaded_at=LOADED_AT + 9 * DAY)
    assert world.names() == [("C2", "Both"), ("C3", "Cleo"), ("C4", "Dan")]
    assert world.rows("select _source_file from raw.crm__contacts where contact_id = 'C2'") == [
        ("crm/contacts/moved.csv",)
    ]


def test_columns_of_a_withdrawn_file_are_not_what_the_next_is_held_against(world: World) -> None:
    odd = "contact_id,first_name,last_name\nC1,Wrong,Odd\n"
    put_days(world, "C0,Anna\n")
    world.put("crm/contacts/2.csv", odd)
    world.land(loaded_at=LOADED_AT + 2 * DAY)
    world.withdraw("crm/contacts/2.csv", odd)
    world.put("crm/contacts/3.csv", HEADER + "C3,Cleo\n")
    assert world.land(loaded_at=LOADED_AT + 3 * DAY).warnings == ()


def test_a_killed_run_leaves_the_withdrawal_followed_and_the_others_to_be_read(
    world: World,
) -> None:
    put_days(world, "C1,Wrong\nC2,Both\n", "C2,Both\nC3,Cleo\n")
    world.withdraw("crm/contacts/1.csv", BAD)

    def die(sentence: str) -> None:
        raise KeyboardInterrupt(sentence)

    with pytest.raises(KeyboardInterrupt, match="2 rows of it were taken out"):
        world.land(die)
    assert world.names() == []
    world.land()
    assert world.names() == [("C2", "Both"), ("C3", "Cleo")]


def test_rows_set_aside_and_their_repairs_go_with_their_file(world: World) -> None:
    put_days(world, "C1,Wrong\nC2,Both\n", "C2,Both\nC3,Right\n")
    now = LOADED_AT.replace(tzinfo=None)
    hashes = dict(world.rows("select contact_id, _row_hash from raw.crm__contacts"))
    set_aside(world.connection, CONTACTS, {hashes["C1"]: "check", hashes["C2"]: "check"}, {}, now)
    repair = Correction(
        entry_id(CONTACTS, hashes["C1"]),
        Correcting.REPAIR,
        {"contact_id": "C3", "first_name": "Righter"},
        "Eva Lind",
        AT,
        "asked",
    )
    follow_corrections(world.connection, {repair.entry_id: repair}, "load", now)
    assert ("C3", "Righter") in world.names()
    world.withdraw("crm/contacts/1.csv", BAD)
    world.land()
    assert world.names() == [("C2", "Both"), ("C3", "Right")]
    assert world.rows("select count(*) from raw.quarantine") == [(0,)]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=4), min_size=2, max_size=4),
    st.data(),
)
def test_after_any_withdrawal_raw_is_that_of_a_landing_without_the_file(
    quick_world: World, days: list[list[str]], data: st.DataObject
) -> None:
    contents = ["".join(f"C{name},{name}\n" for name in day) for day in days]
    bad = data.draw(st.integers(1, len(days)))
    found = []
    for is_withdrawn in (True, False):
        for path in quick_world.landing.rglob("*.csv"):
            path.unlink()
        quick_world.connection.execute("drop schema if exists raw cascade")
        quick_world.withdrawn.clear()
        (quick_world.landing / "crm/contacts").mkdir(parents=True, exist_ok=True)
        put_days(quick_world, *contents, withdrawn=None if is_withdrawn else bad)
        if is_withdrawn:
            quick_world.withdraw(f"crm/contacts/{bad}.csv", HEADER + contents[bad - 1])
        quick_world.land(loaded_at=LOADED_AT + 9 * DAY)
        found.append((quick_world.rows(LANDED), landing_state(quick_world.connection)))
    assert found[0] == found[1]


# --- deciding ----------------------------------------------------------------------------------


@pytest.fixture
def decider(tmp_path: Path, world: World) -> Settings:
    """An installation into which two versions of one file and one of another have landed."""
    (tmp_path / "home").mkdir()
    for content in (BAD, HEADER + "C1,Right\n"):
        world.put("crm/contacts/2026-06-30.csv", content)
        world.put("crm/contacts/2026-06-29.csv", HEADER + "C9,Zoe\n")
        world.land()
    world.connection.close()
    (tmp_path / "work.duckdb").rename(tmp_path / "home" / "work.duckdb")
    return Settings(home=tmp_path / "home", landing=tmp_path / "landing")


FILE = "crm/contacts/2026-06-30.csv"


def test_every_version_is_withdrawn_unless_one_is_named_and_may_come_back(
    decider: Settings,
) -> None:
    journal = decider.withdrawals
    both = withdraw(decider, FILE, "", by="Eva", why="wrong export", at=AT)
    assert len(both) == 2
    (back,) = take_back(decider, FILE, both[0].content_hash[:8], by="Eva", why="right", at=AT)
    assert in_force(read_withdrawals(journal)).keys() == {both[1].version}
    once_more = withdraw(decider, f"{decider.landing}/{FILE}", "", by="Eva", why="wrong", at=AT)
    assert [line.version for line in once_more] == [back.version]
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    ("file", "version", "sentence"),
    [
        ("crm/contacts/2026-06-31.csv", "", "No file .*from the landing on.*2026-06-30.csv"),
        ("nothing", "", "some that landed: crm/contacts/"),
        (FILE, "zz", "has no version 'zz'; its versions are"),
        ("crm/contacts/2026-06-29.csv", "", "was withdrawn by Ada on .*nothing is left"),
    ],
)
def test_what_cannot_be_withdrawn_is_told_in_a_sentence(
    decider: Settings, file: str, version: str, sentence: str
) -> None:
    withdraw(decider, "crm/contacts/2026-06-29.csv", "", by="Ada", why="no", at=AT)
    before = decider.withdrawals.read_bytes()
    with pytest.raises(WithdrawalError, match=sentence):
        withdraw(decider, file, version, by="Eva", why="wrong", at=AT)
    with pytest.raises(WithdrawalError, match="is not withdrawn"):
        take_back(decider, FILE, "", by="Eva", why="wrong", at=AT)
    assert decider.withdrawals.read_bytes() == before


def test_without_a_working_database_the_arrivals_say_what_has_landed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, landing=tmp_path / "landing")
    with pytest.raises(WithdrawalError, match="Nothing has landed yet"):
        withdraw(settings, FILE, "", by="Eva", why="wrong", at=AT)
    settings.arrivals.write_text(
        f"feed,content_hash,loaded_at,file_path\ncrm/contacts,abc,2026-06-30T05:00:00,{FILE}\n"
    )
    (line,) = withdraw(settings, FILE, "AB", by="Eva", why="wrong", at=AT)
    assert line.version == (FILE, "abc")


def test_several_versions_that_begin_alike_are_ambiguous(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, landing=tmp_path / "landing")
    lines = [f"crm/contacts,ab{digit},2026-06-30T05:00:00,{FILE}" for digit in "12"]
    header = "feed,content_hash,loaded_at,file_path"
    settings.arrivals.write_text("\n".join([header, *lines]) + "\n")
    with pytest.raises(WithdrawalError, match="may be any of ab1, ab2; give more digits"):
        withdraw(settings, FILE, "ab", by="Eva", why="wrong", at=AT)


def test_the_verbs_withdraw_list_and_undo(decider: Settings) -> None:
    installation = Installation(decider.landing, decider.home)
    by = ("--by", "Eva Lind", "--why", "half the export")
    withdrawn = installation.warehouse("withdraw", FILE, *by)
    assert (withdrawn.exit_code, withdrawn.output.count("takes its rows out")) == (0, 2)
    again = installation.warehouse("withdraw", FILE, *by)
    assert (again.exit_code, "nothing is left to withdraw" in again.output) == (1, True)
    undone = installation.warehouse("withdraw", FILE, "--undo", *by)
    assert (undone.exit_code, undone.output.count("lets it land again")) == (0, 2)
    listed = installation.warehouse("withdrawals").output
    assert listed.count("half the export") == 4
    assert "0 versions of files are withdrawn" in listed
