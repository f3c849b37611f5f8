"""What a person is told is held of them: all of it, nobody else's, and noted who asked."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.landing.feeds import FEEDS
from orchestration.landing.quarantine import set_aside
from orchestration.privacy.access_log import read_log
from tests.conftest import SAMPLE_AS_OF, Installation
from tests.landing.conftest import LOADED_AT

BY = ("--by", "Eva Lind", "--why", "case 17")
SCRIPT = "<script>alert('Jane')</script>"
AT = {"updated_at": "2026-05-01T10:00:00Z"}
# Jane and Peter are one household: they share an address and a mailbox.
HOUSE = {"street": "12 Mill Lane", "postcode": "AB1 2CD", "city": "Leeds", "country": "GB"}
JANE = {
    "contact_id": "C101",
    "first_name": SCRIPT,
    "last_name": "Doe",
    "email": "home@x.test",
    "phone": "+44 20 7946 0123",
    "birth_date": "1980-01-02",
}
PETER = {
    "contact_id": "C102",
    "first_name": "Peter",
    "last_name": "Doe",
    "email": "home@x.test",
    "phone": "+44 20 7946 0555",
    "birth_date": "1979-08-09",
}
OTHERS = [
    {"contact_id": f"C{n}", "first_name": first, "last_name": last, "email": f"e{n}@y.test"}
    for n, (first, last) in enumerate(
        [
            ("Ann", "Berg"),
            ("Olaf", "Lund"),
            ("Maria", "Rossi"),
            ("Tom", "Hill"),
            ("Lea", "Stone"),
            ("Ivo", "Brandt"),
        ],
        start=103,
    )
]
ORDERS = [
    {
        "order_id": "9001",
        "customer_id": "77",
        "ordered_at": "2026-04-02T10:11:12Z",
        "status": "completed",
        "currency_code": "EUR",
        "total_amount": "31.41",
    },
    {
        "order_id": "9002",
        "customer_id": "88",
        "ordered_at": "2026-04-03T10:11:12Z",
        "status": "completed",
        "currency_code": "EUR",
        "total_amount": "27.18",
    },
]
ACCOUNTS = [
    {"customer_id": "77", "first_name": SCRIPT, "last_name": "Doe", "phone": JANE["phone"]},
    {"customer_id": "88", "first_name": "Peter", "last_name": "Doe", "phone": PETER["phone"]},
]
TICKETS = [
    {
        "ticket_id": "T1",
        "requester_phone": JANE["phone"],
        "requester_name": f"{SCRIPT} Doe",
        "opened_at": "2026-04-05T08:00:00Z",
        "status": "open",
        "subject": "The kettle does not boil",
        "body": "Please call me back.",
    },
    {
        "ticket_id": "T2",
        "requester_phone": PETER["phone"],
        "requester_name": "Peter Doe",
        "opened_at": "2026-04-06T08:00:00Z",
        "status": "open",
        "subject": "My drill is broken",
        "body": f"Ask the other number, {JANE['phone']}.",
    },
]
PETERS = ["Peter", "7946 0555", "79460555", "crm:C102", "shop:88", "9002", "27.18", "drill", "1979"]


@pytest.fixture(scope="module")
def house(new_installation: Callable[[], Installation]) -> Installation:
    installation = new_installation()
    contacts = [one | HOUSE | AT for one in (JANE, PETER)] + [one | AT for one in OTHERS]
    installation.write("crm/contacts", "a.csv", contacts)
    older = JANE | HOUSE | {"street": "1 Old Road", "updated_at": "2025-05-01T10:00:00Z"}
    installation.write("crm/contacts", "b.csv", [older])
    with (installation.landing / "crm/contacts/b.csv").open("a", encoding="utf-8") as file:
        file.write("C101,too,many,columns,in,a,line,that,is,hers,x,y,z\n")
    installation.write("shop/customers", "a.csv", ACCOUNTS)
    installation.write("shop/orders", "a.csv", ORDERS)
    installation.write("support/tickets", "a.csv", TICKETS)
    installation.run()
    decided = installation.warehouse(
        "decide",
        "not-same",
        "crm:C101",
        "crm:C102",
        "--by",
        "Eva Lind",
        "--why",
        "Peter is her brother",
    )
    assert decided.exit_code == 0, decided.output
    rectified = installation.warehouse("rectify", "crm:C101", "gender", "female", *BY)
    assert rectified.exit_code == 0, rectified.output
    installation.run()
    shop = next(feed for feed in FEEDS if feed.name == "shop/orders")
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        ((row_hash,),) = connection.execute(
            "select _row_hash from raw.shop__orders where order_id = '9001'"
        ).fetchall()
        # one row of hers stands in the quarantine, too
        connection.execute("begin")
        connection.execute("create temp table hers as from raw.shop__orders")
        connection.execute("commit")
        set_aside(connection, shop, {row_hash: "raw.orders/some_check"}, {}, LOADED_AT)
        connection.execute("insert into raw.shop__orders from temp.hers where order_id = '9001'")
    return installation


@pytest.fixture(scope="module")
def told(house: Installation) -> dict[str, Any]:
    outcome = house.warehouse("subject-report", "crm:C101", *BY)
    assert outcome.exit_code == 0, outcome.output
    return json.loads(report_of(house).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def report_of(house: Installation, suffix: str = ".json") -> Path:
    return house.home / "reports" / f"{house.customers()['crm:C101']}{suffix}"


def rows_of(told: dict[str, Any], table: str) -> list[dict[str, Any]]:
    return [row for held in told["held"] if held["table"] == table for row in held["rows"]]


def test_everything_that_landed_of_the_person_is_told(told: dict[str, Any]) -> None:
    contacts = rows_of(told, "raw.crm__contacts")
    assert [row["street"] for row in contacts] == ["12 Mill Lane", "1 Old Road"]
    for name, value in (JANE | HOUSE | AT).items():
        assert contacts[0][name] == value
    assert [row["_source_file"] for row in contacts] == [
        "crm/contacts/a.csv",
        "crm/contacts/b.csv",
    ]
    assert all(row["_loaded_at"].endswith("Z") for row in contacts)
    assert [row["total_amount"] for row in rows_of(told, "raw.shop__orders")] == ["31.41"]
    assert [row["subject"] for row in rows_of(told, "raw.support__tickets")] == [
        "The kettle does not boil"
    ]
    assert [row["_check"] for row in rows_of(told, "raw.quarantine")] == ["raw.orders/some_check"]
    (rejected,) = rows_of(told, "raw.rejects")
    assert rejected["line_text"].startswith("C101,too,many")
    assert {one["file"] for one in told["sources"]} == {
        "crm/contacts/a.csv",
        "crm/contacts/b.csv",
        *(f"{feed}/a.csv" for feed in ("shop/customers", "shop/orders", "support/tickets")),
    }


def test_every_row_of_the_marts_that_names_the_person_is_told(
    house: Installation, told: dict[str, Any]
) -> None:
    customer = house.customers()["crm:C101"]
    assert told["about"]["customer_id"] == customer
    for table, column in house.query(
        "select table_name, column_name from duckdb_columns()"
        " where schema_name = 'marts' and column_name = 'customer_id'"
    ):
        ((count,),) = house.query(
            f"select count(*) from marts.{table} where {column} = '{customer}'"
        )
        assert len(rows_of(told, f"marts.{table}")) >= count, table
    assert [row["customer_id"] for row in rows_of(told, "marts.customers")] == [customer]
    assert {one["release"] for one in told["releases"]} == {
        path.name for path in (house.home / "releases").iterdir() if path.is_dir()
    }


def test_the_golden_record_says_where_each_value_came_from(told: dict[str, Any]) -> None:
    by_field = {one["field"]: one for one in told["golden_record"]}
    assert by_field["birth_date"]["value"] == "1980-01-02"
    assert by_field["birth_date"]["source_record_id"] == "crm:C101"
    assert [one["file"] for one in by_field["birth_date"]["files"]] == [
        "crm/contacts/a.csv",
        "crm/contacts/b.csv",
    ]


def test_what_a_steward_rectified_is_told_without_who_did_it(told: dict[str, Any]) -> None:
    by_field = {one["field"]: one for one in told["golden_record"]}
    assert by_field["gender"]["value"] == "female"
    assert by_field["gender"]["chosen_because"] == "rectified"
    (line,) = told["rectifications"]
    assert (line["record"], line["field"], line["value"]) == ("crm:C101", "gender", "female")
    assert (line["source_value"], line["reason"], line["is_in_force"]) == (None, "case 17", True)


def test_every_column_has_its_class_and_every_purpose_its_legal_basis(
    told: dict[str, Any],
) -> None:
    (contacts,) = [held for held in told["held"] if held["table"] == "raw.crm__contacts"]
    assert contacts["columns"]["email"]["class"] == "direct"
    named = {purpose["name"] for purpose in told["purposes"]}
    assert named == {purpose for held in told["held"] for purpose in held["purposes"]}
    assert all("article 6(1)" in purpose["legal_basis"] for purpose in told["purposes"])
    assert told["controller"]["contact"]
    assert told["recipients"]
    assert told["kept"]


def test_nothing_of_a_household_member_is_in_it(house: Installation, told: dict[str, Any]) -> None:
    peter = house.customers()["crm:C102"]
    assert peter != told["about"]["customer_id"]
    for suffix in (".json", ".html"):
        text = report_of(house, suffix).read_text(encoding="utf-8")
        for word in [*PETERS, peter]:
            assert word not in text, word
        assert "Eva Lind" not in text
    assert any(
        "[another person]" in row.values() for row in rows_of(told, "marts.customer_matches")
    )
    (decision,) = told["decisions_of_stewards"]
    assert decision["records"] == ["crm:C101", "[another person]"]
    assert decision["reason"].startswith("[not shown")
    # his ticket names her number: she is told that it does, and no more
    assert told["mentioned_by_others"] == [
        {"feed": "support/tickets", "column": "body", "texts": 1}
    ]


def test_the_page_escapes_what_people_wrote_and_loads_nothing(
    house: Installation, told: dict[str, Any]
) -> None:
    page = report_of(house, ".html").read_text(encoding="utf-8")
    assert told["about"]["customer_id"] in page
    assert "&lt;script&gt;alert(&#39;Jane&#39;)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    assert "src=" not in page
    for word in ("12 Mill Lane", "1 Old Road", "31.41", "The kettle does not boil", "home@x.test"):
        assert word in page


def test_the_report_is_for_its_owner_only_and_not_written_over(
    house: Installation, told: dict[str, Any]
) -> None:
    assert told
    assert stat.S_IMODE((house.home / "reports").stat().st_mode) == 0o700
    for suffix in (".json", ".html"):
        assert stat.S_IMODE(report_of(house, suffix).stat().st_mode) == 0o600
    again = house.warehouse("subject-report", "crm:C101", *BY)
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_a_folder_that_others_may_read_is_refused(house: Installation, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    outcome = house.warehouse("subject-report", "crm:C101", *BY, "--out", str(tmp_path))
    assert outcome.exit_code == 1
    assert "is open to others" in outcome.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told_so"),
    [
        (("home@x.test", *BY), "2 customers share it"),
        (("nobody@x.test", *BY), "nobody is known by it"),
        (("crm:C999", *BY), "nobody is known by it"),
        (("Jane Doe", *BY), "what was given is none of them"),
        (("crm:C103", "--by", " ", "--why", "case"), "--by is missing"),
        (("crm:C103", "--by", "Eva", "--why", ""), "--why is missing"),
        (("crm:C103", "--by", "Eva", "--why", "e103@y.test asked"), "--why names the person"),
    ],
)
def test_who_is_not_clear_or_not_answered_for_gets_no_report(
    house: Installation, arguments: tuple[str, ...], told_so: str
) -> None:
    before = sorted((house.home / "reports").glob("*"))
    outcome = house.warehouse("subject-report", *arguments)
    assert outcome.exit_code == 1
    assert told_so in outcome.output
    assert sorted((house.home / "reports").glob("*")) == before


def test_whoever_looks_with_our_tools_is_noted_and_found_by_the_person(
    house: Installation, told: dict[str, Any]
) -> None:
    assert told
    entry = rows_of(told, "raw.quarantine")[0]["_entry_id"]
    before = len(read_log(house.settings).lines)
    assert house.warehouse("explain", "crm:C103", "--by", "Ada", "--why", "case 18").exit_code == 0
    assert house.warehouse("explain", "crm:C103").exit_code == 0
    assert house.warehouse("quarantine", "show", entry, "--by", "Ada").exit_code == 0
    assert house.warehouse("forget", "crm:C104", "--dry-run", "--why", "case 19").exit_code == 0
    noted = read_log(house.settings).lines[before:]
    assert [(line.verb, line.why) for line in noted] == [
        ("explain", "case 18"),
        ("explain", ""),
        ("quarantine show", ""),
        ("forget", "case 19"),
    ]
    listed = house.warehouse("access-log", "--of", "e103@y.test", "--json")
    assert listed.exit_code == 0
    assert [line["why"] for line in json.loads(listed.output)["lines"]] == ["case 18", ""]
    hers = json.loads(house.warehouse("access-log", "--of", "crm:C101", "--json").output)
    assert [line["verb"] for line in hers["lines"]] == [
        "rectify",
        "subject-report",
        "quarantine show",
    ]
    for name in ("crm:C103", "e103@y.test"):
        assert name not in house.settings.access_log.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "crm:C103"),
        ("quarantine", "show", "{entry}"),
        ("forget", "crm:C103"),
        ("subject-report", "crm:C103", *BY),
    ],
)
def test_nothing_is_shown_when_the_log_cannot_be_written(
    house: Installation, told: dict[str, Any], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    entry = rows_of(told, "raw.quarantine")[0]["_entry_id"]
    installation = house.copy_to(tmp_path)
    content = installation.settings.access_log.read_bytes()
    installation.settings.access_log.write_bytes(content[:-2])
    outcome = installation.warehouse(*(one.format(entry=entry) for one in arguments))
    assert outcome.exit_code == 1
    assert "Nothing was shown" in outcome.output
    assert "Berg" not in outcome.output
    assert "crm:C103" not in outcome.output
    assert "31.41" not in outcome.output
    assert installation.warehouse("access-log").exit_code == 1


def test_an_erasure_deletes_the_report_of_the_person_and_keeps_that_of_another(
    house: Installation, told: dict[str, Any], tmp_path: Path
) -> None:
    assert told
    installation = house.copy_to(tmp_path)
    other = installation.customers()["crm:C105"]
    assert installation.warehouse("subject-report", "crm:C105", *BY).exit_code == 0
    lines = len(read_log(installation.settings).lines)
    exported = len([*(installation.home / "exports").glob("*/2*")])
    forgotten = installation.warehouse(
        "forget", "crm:C101", "--confirm", "--without-run", *BY, as_of=SAMPLE_AS_OF
    )
    assert forgotten.exit_code == 0, forgotten.output
    assert {path.name for path in (installation.home / "reports").iterdir()} == {
        f"{other}.json",
        f"{other}.html",
    }
    (certificate,) = (installation.home / "erasures").glob("*/certificate.json")
    exports = exported - len([*(installation.home / "exports").glob("*/2*")])
    assert json.loads(certificate.read_text())["files_removed"] == 2 + exports
    # the log is proven still, and who looked is found by the number of the person
    log = read_log(installation.settings)
    assert (len(log.lines), log.problem) == (lines + 1, "")
    listed = installation.warehouse("access-log", "--of", "crm:C101", "--json")
    assert len(json.loads(listed.output)["lines"]) >= 2
