"""Phone numbers against libphonenumber, through the whole run."""

from collections.abc import Callable, Iterator
from itertools import product

import duckdb
import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from tests.conftest import Installation

# Where the trunk prefix, the calling code and the lengths say all; the rest (AR, BR, MX ...) need
# rules of their own.
COUNTRIES = (
    *("AT", "AU", "BE", "CA", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "GR", "HU", "IE"),
    *("IN", "IT", "JP", "NL", "NO", "NZ", "PL", "PT", "RO", "SE", "TR", "US", "ZA"),
)
TYPES = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
WAYS = (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL)


# What people type to get past a form, and what is cut short.
NO_NUMBERS = ("0000000", "123456789", "n/a", "12", "+", "call me", "٠١٢٣", "1" * 30, "+49")


def examples() -> Iterator[tuple[dict[str, str], str | None]]:
    """Contacts with a number as the library writes it, and its E.164; None where it is made up."""
    for country, kind, way in product(COUNTRIES, TYPES, WAYS):
        number = phonenumbers.example_number_for_type(country, kind)
        assert number is not None
        typed = phonenumbers.format_number(number, way)
        # Examples like 01 234567890 are what people fill in to get past a form.
        is_made_up = "".join(filter(str.isdigit, typed)).lstrip("0") in "1234567890"
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        yield (
            {"contact_id": f"{country}-{kind}-{way}", "phone": typed, "country": country},
            None if is_made_up else e164,
        )


@pytest.fixture(scope="module")
def released(new_installation: Callable[[], Installation]) -> Installation:
    installation = new_installation()
    none = [
        {"contact_id": f"none-{i}", "phone": text, "country": "DE"}
        for i, text in enumerate(NO_NUMBERS)
    ]
    installation.write("crm/contacts", "a.csv", [*(contact for contact, _ in examples()), *none])
    installation.run()
    return installation


def test_example_numbers_become_the_e164_that_libphonenumber_gives(released: Installation) -> None:
    expected = {contact["contact_id"]: e164 for contact, e164 in examples() if e164}
    # the records, not the customers: contacts with one phone and nothing else are one customer
    with duckdb.connect(str(released.settings.working_database)) as connection:
        normalised = dict(
            connection.execute(
                "select replace(source_record_id, 'crm:', ''), phone"
                " from identity.int_records_normalised where phone is not null"
            ).fetchall()
        )
    assert normalised == expected
    assert len(expected) >= len(COUNTRIES) * len(TYPES) * len(WAYS) - 4


def test_what_is_no_phone_number_is_not_published(released: Installation) -> None:
    published = released.query(
        "select source_record_id, phone from marts.customer_sources"
        " inner join marts.customers using (customer_id)"
        " where starts_with(source_record_id, 'crm:none-')"
    )
    assert len(published) == len(NO_NUMBERS)
    assert {phone for _, phone in published} == {None}
