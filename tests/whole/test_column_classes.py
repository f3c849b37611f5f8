"""The classes of mart columns, held against the values of a whole run.

A class is a promise about values. So the values of every person in raw (e-mail addresses, phone
numbers, full names, streets, national ids) are looked for in every mart column.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import duckdb
import pytest

from orchestration.governance.register import Register, read_register
from orchestration.landing.feeds import FEEDS, Pii

Finder = Callable[[str], Iterator[str]]

LONGEST = 6
"""Words of the longest name, street or id that is looked for."""

MAIL = re.compile(r"[^\s@<>()\[\]\"';,|/?&=]+@[^\s@<>()\[\]\"';,|/?&=]+")
DIGITS = re.compile(r"(?<![0-9a-z])[0-9]{9,}(?![0-9a-z])")


def plain(text: str) -> str:
    """Lower case without accents; anything but letters and digits is a blank."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join("".join(char if char.isalnum() else " " for char in letters).split())


def runs(text: str) -> Iterator[str]:
    """Every run of words of a text, shortest first."""
    words = plain(text).split()
    for start in range(len(words)):
        for end in range(start + 1, min(start + LONGEST, len(words)) + 1):
            yield " ".join(words[start:end])


def mails(text: str) -> Iterator[str]:
    return (found.rstrip(".") for found in MAIL.findall(text.casefold().replace("%40", "@")))


def phones(text: str) -> Iterator[str]:
    """The last nine digits of each number: the same however a number is written."""
    joined = re.sub(r"(?<=[0-9)])[ ()./-]+(?=[0-9(])", "", text.casefold())
    return (digits[-9:] for digits in DIGITS.findall(joined))


def ids(text: str) -> Iterator[str]:
    return (run.replace(" ", "") for run in runs(text))


FINDERS: Mapping[str, Finder] = {
    "an e-mail address": mails,
    "a phone number": phones,
    "a full name": runs,
    "a street": runs,
    "a national id": ids,
}

# Column of a feed → what it holds; a full name is made of two columns, see `personal_values`.
HOLDS = {
    "email": "an e-mail address",
    "requester_email": "an e-mail address",
    "phone": "a phone number",
    "requester_phone": "a phone number",
    "first_name": "a full name",
    "last_name": "a full name",
    "requester_name": "a full name",
    "street": "a street",
    "national_id": "a national id",
}


def personal_values(work: Path) -> dict[str, set[str]]:
    """The values of every direct column in raw, written as the finder of their kind says them."""
    values: dict[str, set[str]] = {kind: set() for kind in FINDERS}
    with duckdb.connect(str(work), read_only=True) as connection:
        for feed in FEEDS:
            direct = [column.name for column in feed.columns if column.pii is Pii.DIRECT]
            if not direct:
                continue
            for row in connection.execute(
                f"select distinct {', '.join(direct)} from raw.{feed.table}"
            ).fetchall():
                record = dict(zip(direct, row, strict=True))
                first, last = record.pop("first_name", None), record.pop("last_name", None)
                if first and last:
                    record["requester_name"] = f"{first} {last}"
                    values["a full name"].add(plain(f"{last} {first}"))
                for name, value in record.items():
                    kind = HOLDS[name]
                    values[kind].update(_said(kind, value or ""))
    return values


def _said(kind: str, value: str) -> Iterator[str]:
    match kind:
        case "an e-mail address":
            yield from mails(value)
        case "a phone number":
            yield from phones(re.sub(r"[^0-9]", "", value))
        case "a full name":
            if " " in plain(value):  # one word may be anything
                yield plain(value)
        case "a street":
            if " " in plain(value) and any(char.isdigit() for char in value):
                yield plain(value)
        case _:
            if len(compact := plain(value).replace(" ", "")) > 5:
                yield compact


def what_columns_hold(
    release: Path, known: Mapping[str, set[str]]
) -> dict[tuple[str, str], set[str]]:
    """Return what was found in each column of the marts; (table, column) → kinds."""
    found: dict[tuple[str, str], set[str]] = {}
    with duckdb.connect(str(release), read_only=True) as connection:
        columns = connection.execute(
            "select table_name, column_name from duckdb_columns() where schema_name = 'marts'"
            " and (data_type = 'VARCHAR' or data_type like '%INT%') order by all"
        ).fetchall()
        for table, column in columns:
            kinds = found.setdefault((table, column), set())
            for (value,) in connection.execute(
                f"select distinct {column}::varchar from marts.{table} where {column} is not null"
            ).fetchall():
                kinds.update(
                    kind
                    for kind, finder in FINDERS.items()
                    if kind not in kinds and any(one in known[kind] for one in finder(value))
                )
    return found


def broken_promises(
    found: Mapping[tuple[str, str], set[str]], register: Register, weaker_than: Pii
) -> list[str]:
    """Name each column of a class weaker than that in which something was found."""
    promises = []
    for (table, column), kinds in sorted(found.items()):
        pii = register.pii(table, column)
        if kinds and pii is not None and pii.strength < weaker_than.strength:
            promises.append(f"{table}.{column} is {pii} and holds {' and '.join(sorted(kinds))}")
    return promises


@pytest.fixture(scope="module")
def known(sample_release: Path) -> dict[str, set[str]]:
    home = sample_release.parent.parent
    return personal_values(home / "work.duckdb")


@pytest.fixture(scope="module")
def found(sample_release: Path, known: dict[str, set[str]]) -> dict[tuple[str, str], set[str]]:
    return what_columns_hold(sample_release, known)


def test_every_direct_column_of_the_contract_is_looked_for() -> None:
    direct = {column.name for feed in FEEDS for column in feed.columns if column.pii is Pii.DIRECT}
    assert direct == set(HOLDS)


def test_the_sample_has_people_to_look_for(known: dict[str, set[str]]) -> None:
    assert {kind: len(values) > 100 for kind, values in known.items()} == dict.fromkeys(known, True)


def test_no_column_that_is_not_direct_holds_what_names_or_reaches_a_person(
    found: dict[tuple[str, str], set[str]],
) -> None:
    assert broken_promises(found, read_register(), Pii.DIRECT) == []


@pytest.mark.parametrize("weak", [Pii.NONE, Pii.PSEUDONYM])
def test_a_wrong_class_is_found_by_the_values_under_it(
    found: dict[tuple[str, str], set[str]], weak: Pii
) -> None:
    right = read_register()
    wrong = dict.fromkeys(("email", "phone", "street"), weak)
    value = {"customer_history": weak, "customer_golden_values": Pii.DIRECT}
    poisoned = dataclasses.replace(
        right, classes={**right.classes, **wrong}, homonyms={**right.homonyms, "value": value}
    )
    assert broken_promises(found, poisoned, Pii.INDIRECT) == [
        f"customer_history.value is {weak} and holds a full name and a phone number and a street"
        " and an e-mail address",
        f"customer_records.email is {weak} and holds a full name and an e-mail address",
        f"customer_records.phone is {weak} and holds a phone number",
        f"customer_records.street is {weak} and holds a street",
        f"customers.email is {weak} and holds a full name and an e-mail address",
        f"customers.phone is {weak} and holds a phone number",
        f"customers.street is {weak} and holds a street",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://shop.example/?mail=Ann.Lee%40web.de&x=1", "an e-mail address"),
        ("call 0049 (170) 260-4876 today", "a phone number"),
        ("Dear Mr. LEE, Ánn:", "a full name"),
        ("lives at 12, Oak Road", "a street"),
        ("id 865 17-2184", "a national id"),
    ],
)
def test_what_is_hidden_in_a_text_is_found(text: str, kind: str) -> None:
    known = {
        "an e-mail address": {"ann.lee@web.de"},
        "a phone number": {"702604876"},
        "a full name": {"ann lee", "lee ann"},
        "a street": {"12 oak road"},
        "a national id": {"865172184"},
    }
    held = {name for name, finder in FINDERS.items() if set(finder(text)) & known[name]}
    assert kind in held
