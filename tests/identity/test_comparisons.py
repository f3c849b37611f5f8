"""How two records are seen to agree, in the words of seed match_levels."""

import pytest

from tests.identity.lab import Lab, decision, record

PAIR = ("crm:1", "shop:2")
FIRST, LAST, BORN, MAIL = "first_name", "last_name", "birth_date", "email"
WORK = "different, one of them not at a mail provider"


def seen(lab: Lab, one: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    """Comparison to its level in words; a steward has the two compared whatever they are."""
    lab.build([record("crm:1", **one), record("shop:2", **other)], [decision("same", *PAIR)])
    fields = ("first_name", "last_name", "birth_date", "email", "phone", "address", "national_id")
    columns = ", ".join(f"{name}_level" for name in fields)
    (row,) = lab.query(f"select {columns} from identity.int_matches_explained")
    return dict(zip(fields, row, strict=True))


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("Anna Berg", "anna Berg", "exact"),
        ("William Oakley", "Bill Oakley", "nickname"),
        # elizabeth more often, and robert more often
        ("Alicia Oakley", "Lisa Oakley", "close, or short for one name"),
        ("Henry Oakley", "Harry Oakley", "close, or short for one name"),
        ("Catarina Oakley", "Catarnia Oakley", "close, or short for one name"),
        ("Martha Oakley", "M. Oakley", "initial or short form"),
        ("Martha Oakley", "Oscar Oakley", "different"),
        ("Thomas Arnold", "Arnold Thomas", "swapped with last name"),
        ("Thomas Arnold", "Arnold Stone", "crossed with last name"),
        ("Stone Arnold", "Thomas Stone", "crossed with last name"),
    ],
)
def test_first_names_are_seen_as(lab: Lab, one: str, other: str, level: str) -> None:
    names = [dict(zip((FIRST, LAST), name.split(), strict=True)) for name in (one, other)]
    levels = seen(lab, *names)
    assert levels[FIRST] == level
    if "with last name" in level:
        assert levels[LAST] == "not comparable"


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("eva@gmail.com", "EVA+news@gmail.com", "exact"),
        ("zebra77@gmail.com", "zebra77@web.de", "same mailbox name at another provider"),
        ("evalind@gmail.com", "evalind@gmial.con", "same mailbox name at another provider"),
        # two providers, and a mailbox that every Eva Lind would choose
        ("eva.lind@hotmail.com", "eva.lind@hotmail.fr", "not comparable"),
        ("zebra77@gmail.com", "zebar77@gmail.com", "close"),
        ("e.lindt@brewery.test", "e.lind@brewery.test", "close"),
        ("e.lindt@gmail.com", "e.lind@gmail.com", "different"),
        ("zebra77@gmail.com", "horse12@yahoo.com", "different"),
        (
            "zebra77@gmail.com",
            "e.lind@brewery.test",
            "different, one of them not at a mail provider",
        ),
        ("zebra77@gmail.com", "family@gmail.com", "not comparable"),
    ],
)
def test_emails_are_seen_as(lab: Lab, one: str, other: str, level: str) -> None:
    name = {FIRST: "Eva", LAST: "Lind"}
    assert seen(lab, name | {MAIL: one}, name | {MAIL: other})[MAIL] == level


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("1980-04-12", "1980-04-12", "exact"),
        ("1980-04-12", "1980-12-04", "one field off, or day and month exchanged"),
        ("1980-04-12", "1989-04-12", "one field off, or day and month exchanged"),
        ("1980-04-12", "1980-05-27", "near"),
        ("1980-04-12", "1980-05-28", "different"),
        ("1980-04-12", "1981-05-13", "near"),
        ("1980-04-12", "1990-03-30", "near"),
        ("1980-04-12", "1985-06-01", "different"),
    ],
)
def test_birth_dates_are_seen_as(lab: Lab, one: str, other: str, level: str) -> None:
    assert seen(lab, {BORN: one}, {BORN: other})[BORN] == level
