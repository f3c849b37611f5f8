"""A small world of people who are easily confused, and what happens to their records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from orchestration.identity.decisions import Decision, contradictions
from orchestration.identity.rectifications import Rectification
from tests.identity.lab import decision, record, rectification

# Households with shared phones and e-mails, twins, father and son, namesakes, a nickname.
PEOPLE: Mapping[str, Mapping[str, str]] = {
    "Anna": {"first_name": "Anna", "last_name": "Berg", "birth_date": "1980-04-12",
             "email": "anna.berg80@x.test", "phone": "+44 20 7946 0018", "home": "mill"},
    "Peter": {"first_name": "Peter", "last_name": "Berg", "birth_date": "1978-11-03",
              "email": "pberg78@y.test", "phone": "+44 20 7946 0018", "home": "mill"},
    "Paul": {"first_name": "Paul", "last_name": "Berg", "birth_date": "2004-02-29",
             "email": "paul2004@y.test", "phone": "+44 7700 900123", "home": "mill"},
    "Paula": {"first_name": "Paula", "last_name": "Berg", "birth_date": "2004-02-29",
              "email": "paula2004@y.test", "phone": "+44 7700 900124", "home": "mill"},
    "John": {"first_name": "John", "last_name": "Smith", "birth_date": "1950-01-31",
             "email": "john.smith@x.test", "phone": "+44 161 496 0321", "home": "park"},
    "John junior": {"first_name": "John", "last_name": "Smith", "birth_date": "1985-07-09",
                    "email": "jsmith85@y.test", "phone": "+44 161 496 0321", "home": "park"},
    "Other John": {"first_name": "John", "last_name": "Smith", "birth_date": "1991-10-10",
                   "email": "john.smith@y.test", "phone": "+44 113 496 0777", "home": "quay"},
    "William": {"first_name": "William", "last_name": "Oakley", "birth_date": "1966-05-05",
                "email": "woakley66@x.test", "phone": "+44 117 496 0555", "home": "quay"},
}  # fmt: skip
HOMES: Mapping[str, Mapping[str, str]] = {
    "mill": {"street": "4 Mill Lane", "city": "Leeds", "postcode": "LS1 4AB", "country": "GB"},
    "park": {"street": "77 Park Road", "city": "York", "postcode": "YO1 7PX", "country": "GB"},
    "quay": {"street": "9 Quay Street", "city": "Bristol", "postcode": "BS1 5AA", "country": "GB"},
}
# What records get wrong: another person's or everybody's values, misspelt ones.
MISTAKES: Sequence[Mapping[str, Any]] = (
    {}, {}, {}, {}, {},
    {"email": "family.berg@y.test"},
    {"email": "info@shop.test"},
    {"email": "anna.berg80@z.test"},
    {"phone": "+44 161 496 0321"},
    {"phone": "0000000"},
    {"birth_date": "1970-01-01"},
    {"birth_date": "1980-12-04"},
    {"first_name": "Bill"},
    {"first_name": "J."},
    {"first_name": "Ana"},
    {"last_name": "Bergh"},
    {"last_name": "Smith-Berg"},
    {"last_name": "Schmidt", "email": "jsmith85@y.test"},
    {"first_name": None, "last_name": None},
    {"national_id": "QQ 12 34 56 C"},
    {"national_id": "AB 98 76 54 D"},
)  # fmt: skip
SOURCES = ("crm", "shop", "pos", "mailing", "support")
PARTS = ("birth_date", "email", "phone", "home")
SLOTS = tuple(f"{SOURCES[number % 5]}:{number}" for number in range(16))


# What stewards say of whomever: values of others, one of nobody, and that there is none.
RECTIFIED: Mapping[str, list[str]] = {
    "email": [str(PEOPLE["Anna"]["email"]), str(PEOPLE["Peter"]["email"]), "new@x.test", ""],
    "birth_date": [str(PEOPLE["Anna"]["birth_date"]), "1955-05-05", ""],
    "last_name": [str(PEOPLE["Anna"]["last_name"]), "Smith", ""],
    "gender": ["female", ""],
}


@st.composite
def records_of(draw: st.DrawFn, slot: str) -> dict[str, Any]:
    """A record in this slot of somebody: some parts are missing, some are wrong."""
    person = dict(PEOPLE[draw(st.sampled_from(sorted(PEOPLE)))])
    kept = draw(st.sets(st.sampled_from(PARTS), min_size=1))
    values: dict[str, Any] = {
        part: person[part]
        for part in (*PARTS, "first_name", "last_name")
        if part in kept or part.endswith("_name")
    }
    if "home" in values:
        values |= HOMES[values.pop("home")]
    return record(slot, **(values | draw(st.sampled_from(MISTAKES))))


@dataclass(frozen=True)
class Step:
    """A landing, with what stewards say that is in force; then a release, none, or a roll back.

    killed_after: the build of this landing is killed first, after the model of this number.
    """

    records: Mapping[str, Mapping[str, Any]]
    decisions: tuple[Decision, ...]
    then: str
    day: int
    killed_after: int | None = None
    changes: frozenset[str] = field(default_factory=frozenset)
    rectifications: tuple[Rectification, ...] = ()


@st.composite
def histories(draw: st.DrawFn, steps: int = 3) -> list[Step]:
    """Landings that grow, shrink and change; stewards decide, rectify and revoke on the way."""
    landing: dict[str, dict[str, Any]] = {}
    decisions: dict[frozenset[str], Decision] = {}
    rectifications: dict[tuple[str, str], Rectification] = {}
    made: list[Step] = []
    day = 0
    for number in range(steps):
        slots = draw(
            st.sets(
                st.sampled_from(SLOTS), min_size=0 if number else 5, max_size=4 if number else 14
            )
        )
        changes = set()
        for slot in sorted(slots):
            if slot in landing and draw(st.integers(0, 2)) == 0:
                del landing[slot]
                changes.add("withdrawn")
            else:
                changes.add("changed" if slot in landing else "new")
                landing[slot] = draw(records_of(slot))
        for _ in range(draw(st.integers(0, 2))):
            pair = frozenset(
                draw(st.lists(st.sampled_from(SLOTS), min_size=2, max_size=2, unique=True))
            )
            if pair in decisions:
                del decisions[pair]
                changes.add("revoked")
                continue
            verdict = draw(st.sampled_from(["same", "not_same"]))
            line = decision(verdict, *sorted(pair))
            if not contradictions([*decisions.values(), line]):
                decisions[pair] = line
                changes.add(verdict)
        for _ in range(draw(st.integers(0, 2))):
            target = draw(st.sampled_from(SLOTS)), draw(st.sampled_from(sorted(RECTIFIED)))
            if target in rectifications and draw(st.booleans()):
                del rectifications[target]
                changes.add("rectification revoked")
            else:
                rectifications[target] = rectification(
                    *target, draw(st.sampled_from(RECTIFIED[target[1]]))
                )
                changes.add("rectified")
        # a day passes between releases
        if made and made[-1].then == "release":
            day += draw(st.integers(0, 1))
        made.append(
            Step(
                records=dict(landing),
                decisions=tuple(decisions.values()),
                then=draw(
                    st.sampled_from(["release", "release", "release", "nothing", "roll back"])
                ),
                day=day,
                killed_after=draw(st.sampled_from([None] * 9 + list(range(2, 30, 3))))
                if number
                else None,
                changes=frozenset(changes),
                rectifications=tuple(rectifications.values()),
            )
        )
    return made
