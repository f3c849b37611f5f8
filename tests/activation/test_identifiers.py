"""Identifiers are what platforms hash themselves, and no spreadsheet runs one."""

import hashlib

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.activation.identifiers import Identifier, Platform, email_sql, identifier_sql

EMAIL, EMAIL_SHA256 = Identifier.EMAIL, Identifier.EMAIL_SHA256
PHONE, PHONE_SHA256 = Identifier.PHONE, Identifier.PHONE_SHA256
META, GOOGLE = Platform.META, Platform.GOOGLE


def identified(identifier: Identifier, platform: Platform | None, text: str) -> str | None:
    sql = identifier_sql(identifier, platform, address="$text", customer_id="$text")
    return evaluated(sql, text)


def evaluated(sql: str, text: str) -> str | None:
    row = duckdb.execute(f"select {sql}", {"text": text}).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("identifier", "platform", "text", "published"),
    [
        # developers.facebook.com, Conversions API, customer information parameters
        (
            *(EMAIL_SHA256, META, "John_Smith@gmail.com"),
            "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f",
        ),
        (
            *(PHONE_SHA256, META, "+16505551212"),
            "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
        ),
        # developers.google.com, Data Manager API, format user data
        (
            *(EMAIL_SHA256, GOOGLE, "cloudy.sanfrancisco+shopping@gmail.com"),
            "223ebda6f6889b1494551ba902d9d381daf2f642bae055888e96343d53e9f9c4",
        ),
        (
            *(EMAIL_SHA256, GOOGLE, "DanaM@Example.com"),
            "1df6b43bc68dd38eca94e6a65b4f466ae537b796c81a526918b40ac4a7b906c7",
        ),
    ],
)
def test_the_examples_that_platforms_publish_come_out(
    identifier: Identifier, platform: Platform, text: str, published: str
) -> None:
    assert identified(identifier, platform, text) == published


@pytest.mark.parametrize(
    ("platform", "text", "normalised"),
    [
        (GOOGLE, " Jefferson.Loves.hiking@gmail.com ", "jeffersonloveshiking@gmail.com"),
        # Google leaves the domain as it is
        (GOOGLE, "j.e.f..ferson+x.y@googlemail.com", "jefferson@googlemail.com"),
        (GOOGLE, "user.name+NYC@Example.com", "user.name+nyc@example.com"),
        (GOOGLE, "a.b@notgmail.com", "a.b@notgmail.com"),
        (META, " Jane.Doe+promo@Gmail.com", "jane.doe+promo@gmail.com"),
        (None, " Jane.Doe+promo@Gmail.com", "jane.doe+promo@gmail.com"),
    ],
)
def test_a_platform_gets_an_address_as_it_normalises_it_itself(
    platform: Platform | None, text: str, normalised: str
) -> None:
    assert evaluated(email_sql("$text", platform), text) == normalised


def test_google_hashes_a_phone_with_its_plus_and_meta_without() -> None:
    assert identified(PHONE, None, " +18005550100 ") == "+18005550100"
    for platform, text in ((GOOGLE, "+18005550100"), (META, "18005550100")):
        hashed = hashlib.sha256(text.encode()).hexdigest()
        assert identified(PHONE_SHA256, platform, "+18005550100") == hashed


@pytest.mark.parametrize(
    "address",
    [
        "=cmd|' /C calc'!A0@x.test",
        "+ann@x.test",
        "-ann@x.test",
        "@x.test",
        "\tann@x.test\t=1",
        'a"b@x.test',
        "a,b@x.test",
        "a;b@x.test",
        "a b@x.test",
        "a\nb@x.test",
        "a\u202eb@x.test",
        "a\u200bb@x.test",
        "a@b@x.test",
        "ann",
        "",
    ],
)
def test_what_a_spreadsheet_could_run_or_misread_is_no_address(address: str) -> None:
    assert identified(EMAIL, None, address) is None
    assert identified(EMAIL_SHA256, META, address) is None


@pytest.mark.parametrize("address", ["+tag@gmail.com", "...@gmail.com", ".+x@googlemail.com"])
def test_of_an_address_that_is_nothing_but_dots_and_tag_nobody_is_made(address: str) -> None:
    assert identified(EMAIL_SHA256, GOOGLE, address) is None


@pytest.mark.parametrize(
    "phone",
    ["0711123456", "+0711123456", "+49 711 123456", "+49711=1+1", "+49", "+1234567890123456"],
)
def test_what_is_no_international_number_is_no_phone(phone: str) -> None:
    assert identified(PHONE, None, phone) is None


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
addresses = st.builds(
    "{}@{}".format,
    words,
    st.one_of(st.sampled_from(["gmail.com", "GoogleMail.com", "x.test"]), words),
)


@given(addresses, st.sampled_from([None, META, GOOGLE]))
def test_normalising_twice_changes_nothing_more(text: str, platform: Platform | None) -> None:
    once = evaluated(email_sql("$text", platform), text)
    assert once is not None
    assert evaluated(email_sql("$text", platform), once) == once


@given(addresses)
def test_an_identifier_begins_with_no_sign_of_a_formula_and_needs_no_quotes(text: str) -> None:
    found = identified(EMAIL, None, text)
    if found is not None:
        assert found[0] not in "=+-@\t\r"
        assert not set(found) & set('",;\r\n\t ')


@given(addresses, st.sampled_from([META, GOOGLE]))
def test_the_hash_is_that_of_the_normalised_text(text: str, platform: Platform) -> None:
    found = identified(EMAIL_SHA256, platform, text)
    if found is not None:
        normalised = evaluated(email_sql("$text", platform), text)
        assert normalised is not None
        assert found == hashlib.sha256(normalised.encode()).hexdigest()
