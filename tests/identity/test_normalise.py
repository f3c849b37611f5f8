"""No text that a person or a broken export can hold stops the run, and what is normal stays so."""

from collections.abc import Callable, Sequence

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from tests.identity.lab import RECORD, Lab, Model, record

COLUMNS = tuple(
    field.name
    for field in RECORD
    if str(field.type) == "string"
    and field.name not in ("source_record_id", "source", "record_type")
)
# DuckDB holds every character; surrogates are none.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("ßæœłøđðıŁØİÅé'\u2019 -.,@+()0123456789aeou\u0000\u200b\u0301", max_size=20),
    st.emails(),
    st.from_regex(r"(\+|00|0)?[0-9 ()/-]{5,18}( ?(ext|x|#) ?[0-9]{1,4})?", fullmatch=True),
)


@pytest.fixture(scope="module")
def normalise(
    compiled_models: Sequence[Model], lab_of_session: Lab
) -> Callable[[list[dict[str, object]]], list[dict[str, object]]]:
    """The rows that int_records_normalised makes of records."""
    lab = lab_of_session
    shown = lab.connection.execute("describe identity.int_records_normalised").fetchall()
    names = [row[0] for row in shown]

    def rows(records: list[dict[str, object]]) -> list[dict[str, object]]:
        lab.reset()
        lab.build([record(f"crm:{place}", **values) for place, values in enumerate(records)])
        found = lab.tables("int_records_normalised")["int_records_normalised"]
        made = {row[1]: dict(zip(names, row, strict=True)) for row in found}
        return [made[f"crm:{place}"] for place in range(len(records))]

    return rows


@given(
    records=st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, TEXTS)), max_size=6)
)
def test_any_text_in_any_column_goes_through_the_whole_layer_and_comes_out_normal(
    records: list[dict[str, str]], normalise: Callable[..., list[dict[str, object]]]
) -> None:
    first = normalise(records)
    assert len(first) == len(records)
    shown = ("first_name", "last_name", "email", "phone", "gender", "national_id", "street",
             "city", "postcode", "country", "company")  # fmt: skip
    again = normalise([{name: row[name] for name in shown} for row in first])
    for row, twice in zip(first, again, strict=True):
        assert {name: twice[name] for name in shown} == {name: row[name] for name in shown}
        for name in ("match_first_name", "match_last_name", "match_street", "match_city"):
            text = row[name]
            assert text is None or (text and not set(str(text)) & set(" '-.0123456789"))
        assert row["match_first_name_canonical"] is None or row["match_first_name"] is not None


TAKEN_FOR_HOME: set[str] = {"XK"}
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("de", "DE"),
        ("Germany", "DE"),
        (" GERMANY ", "DE"),
        ("Deutschland", "DE"),
        ("Allemagne", "DE"),
        ("France", "FR"),
        ("Frankreich", "FR"),
        ("United Kingdom", "GB"),
        ("Großbritannien", "GB"),
        ("USA", "US"),
        ("U.S.", "US"),
        ("fra", "FR"),
        ("DEU", "DE"),
        ("GER", "DE"),
        ("United States", "US"),
        ("Czechia", "CZ"),
        ("Polska", "PL"),
        ("España", "ES"),
        ("Czech Republic", "CZ"),
        ("Hong Kong", "HK"),
        # a language's code is no country
        ("aa", "AA"),
        ("Atlantis", "ATLANTIS"),
        # two countries have this name, and this one has become two
        ("Kongo", "KONGO"),
        ("YUG", "YUG"),
    ],
)
def test_a_country_is_known_by_its_code_and_by_its_name_in_many_languages(
    typed: str, code: str, normalise: Callable[..., list[dict[str, object]]]
) -> None:
    assert [row["country"] for row in normalise([{"country": typed}])] == [code]


def test_a_number_with_its_country_is_e164_in_every_region(
    normalise: Callable[..., list[dict[str, object]]],
) -> None:
    """Every region's own examples, typed with a plus: the number is complete."""
    typed, expected = [], []
    for region in REGIONS:
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            for way in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL):
                digits = e164.lstrip("+")
                # what people fill in to get past a form, and what is too short to be somebody's
                if len(digits) >= 7 and digits[-7:].strip(digits[-1]):
                    text = phonenumbers.format_number(number, way)
                    typed.append({"phone": text, "country": region})
                    expected.append(e164)
    assert len({values["country"] for values in typed}) > 230
    found = [row["phone"] for row in normalise(typed)]
    wrong = {
        values["phone"]: (got, right)
        for values, got, right in zip(typed, found, expected, strict=True)
        if got != right
    }
    assert wrong == {}


def test_a_national_number_is_never_another_countrys(
    normalise: Callable[..., list[dict[str, object]]],
) -> None:
    """Typed without its country, a number may stay unknown; it must not become a wrong one."""
    typed, expected = [], []
    for region in REGIONS:
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
                typed.append({"phone": text, "country": region})
                expected.append(number)
    found = [row["phone"] for row in normalise(typed)]
    right = [got == phonenumbers.format_number(number, PhoneNumberFormat.E164)
             for got, number in zip(found, expected, strict=True)]  # fmt: skip
    assert sum(right) >= 0.85 * len(typed)
    wrong = {
        values["country"]
        for values, got, number in zip(typed, found, expected, strict=True)
        if got is not None and not str(got).startswith(f"+{number.country_code}")
    }
    # a country that seed phone_plans does not know is taken for the home country
    assert wrong <= TAKEN_FOR_HOME
