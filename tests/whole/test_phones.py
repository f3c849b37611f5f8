"""Phone numbers against libphonenumber, through the whole run."""

import duckdb
import phonenumbers
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


def test_example_numbers_become_the_e164_that_libphonenumber_gives(
    installation: Installation,
) -> None:
    expected, contacts = {}, []
    for country in COUNTRIES:
        for kind in TYPES:
            number = phonenumbers.example_number_for_type(country, kind)
            assert number is not None
            for way in WAYS:
                contact_id = f"{country}-{kind}-{way}"
                typed = phonenumbers.format_number(number, way)
                # The library makes up examples like 01 234567890, which as typed is what people
                # fill in to get past a form.
                if "".join(filter(str.isdigit, typed)).lstrip("0") not in "1234567890":
                    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
                    expected[contact_id] = e164
                contacts.append({"contact_id": contact_id, "phone": typed, "country": country})
    installation.write("crm/contacts", "a.csv", contacts)
    installation.run()
    # the records, not the customers: contacts with one phone and nothing else are one customer
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        normalised = dict(
            connection.execute(
                "select replace(source_record_id, 'crm:', ''), phone"
                " from identity.int_records_normalised where phone is not null"
            ).fetchall()
        )
    assert normalised == expected
    assert len(expected) >= len(COUNTRIES) * len(TYPES) * len(WAYS) - 4


def test_what_is_no_phone_number_is_not_published(installation: Installation) -> None:
    typed = ["0000000", "123456789", "n/a", "12", "+", "call me", "٠١٢٣", "1" * 30, "+49"]
    installation.write(
        "crm/contacts",
        "a.csv",
        [{"contact_id": str(i), "phone": text, "country": "DE"} for i, text in enumerate(typed)],
    )
    installation.run()
    assert installation.query("select phone from marts.customers where phone is not null") == []
