"""How people fill in a form: the same person writes differently every time.

Every source asks for a subset of the same card (name, e-mail, phone, birth date, address). The
mess is drawn once per record and repeated in its later versions, so that an update shows what
changed in life (move, marriage, corrected typo), not new noise.
"""

from dataclasses import dataclass

import numpy as np

from seeds.generator.mess import PHONE_STYLES
from seeds.generator.world import Bools, Ints, World, roll

DICE = (
    "first", "last", "order", "case", "first_typo", "last_typo", "mail", "mail_typo", "mail_case",
    "phone", "phone_style", "phone_typo", "birth", "birth_typo", "street", "city", "postcode",
    "country", "test",
)  # fmt: skip


@dataclass(frozen=True)
class Manners:
    """How carefully a source's forms are filled in; all are shares of records.

    typo: of each name, e-mail, street, city, postcode, date and phone. work_mail: people who give
    their second address. role_mail: company contacts behind info@ or office@.
    """

    typo: float = 0.02
    nickname: float = 0.06
    initial: float = 0.015
    swapped: float = 0.012
    no_name: float = 0.015
    no_mail: float = 0.08
    work_mail: float = 0.12
    home_mail: float = 0.5
    role_mail: float = 0.0
    no_phone: float = 0.15
    landline: float = 0.25
    placeholder_phone: float = 0.008
    no_birth: float = 0.2
    no_address: float = 0.05
    test: float = 0.0


@dataclass(frozen=True)
class Forms:
    """One entry per filled-in form, several of which may be versions of one record.

    record: its number. at: when it was written. corrected: somebody has removed its typos.
    """

    record: Ints
    person: Ints
    at: Ints
    corrected: Bools

    @classmethod
    def once(cls, person: Ints, at: Ints) -> "Forms":
        """Records that are written once and never change."""
        count = len(person)
        return cls(np.arange(count), person, at, np.zeros(count, np.bool_))


def fill_cards(world: World, name: str, forms: Forms, manners: Manners) -> None:
    """Store the table `name` with one filled-in card per form.

    Its columns are those of the contract plus row (position of the form), record, person, happened,
    country_code, full_name, currency, winter, is_test.
    """
    rng = world.rng(f"cards {name}")
    records = int(forms.record.max(initial=-1)) + 1
    world.show(
        "requests",
        {
            "row": np.arange(len(forms.record)),
            "record": forms.record,
            "person": forms.person,
            "happened": forms.at,
            "corrected": forms.corrected,
            **{f"{die}_die": roll(rng, records)[forms.record] for die in DICE},
        },
    )
    world.make(name, _card_query(manners))
    world.hide("requests")


def _card_query(manners: Manners) -> str:
    return f"""
    with form as (
        select
            requests.*,
            people.* exclude (person),
            happened >= moved_at as has_moved,
            case when corrected then 0 else {manners.typo} end as typos,
            happens(test_die, {manners.test}) as is_test
        from requests
        inner join people using (person)
    ),

    -- what the person wants to write
    meant as (
        select
            *,
            case
                when happens(first_die, {manners.no_name}) then null
                when nickname is not null
                    and happens(first_die, {manners.no_name + manners.nickname}) then nickname
                when happens(reroll(first_die, 7), {manners.initial})
                    then left(given_name, 1) || '.'
                when country_code = 'US' and happens(reroll(first_die, 11), .07)
                    then given_name || ' ' || chr(65 + choice(first_die, 23)) || '.'
                else given_name
            end as first_meant,
            case
                when happens(last_die, {manners.no_name}) then null
                when happened >= renamed_at and happens(reroll(last_die, 7), .15)
                    then last_name || '-' || new_last_name
                when happened >= renamed_at and not happens(reroll(last_die, 7), .3)
                    then new_last_name
                when country_code = 'ES' and happens(reroll(last_die, 7), .5)
                    then regexp_extract(last_name, '^(?:(?:de|del) )?[^ ]+')
                else last_name
            end as last_meant,
            case
                when happens(mail_die, {manners.no_mail}) then null
                when company is not null and happens(reroll(mail_die, 11), {manners.role_mail})
                    then one_of(mail_die, ['info', 'office', 'sales', 'kontakt', 'noreply'])
                        || '@' || company_domain
                when home_email is not null and happens(reroll(mail_die, 7), {manners.home_mail})
                    then home_email
                when second_email is not null
                    and happens(reroll(mail_die, 5), {manners.work_mail / 0.3})
                    then second_email
                else email
            end as mail_meant,
            misdial(
                case
                    when landline_area is not null and happens(phone_die, {manners.landline})
                        then landline_rest
                    else mobile_rest
                end,
                phone_typo_die, typos
            ) as phone_rest,
            case
                when landline_area is not null and happens(phone_die, {manners.landline})
                    then landline_area
                else mobile_area
            end as phone_area,
            case when has_moved then street_after else street_before end as street_meant,
            case when has_moved then city_after else city_before end as city_meant,
            case when has_moved then postcode_after else postcode_before end as postcode_meant,
            happens(order_die, {manners.swapped}) as swaps_names
        from form
    ),

    -- what the fingers and the keyboard make of it
    slipped as (
        select
            *,
            typo(first_meant, first_typo_die, typos) as first_slipped,
            typo(last_meant, last_typo_die, typos) as last_slipped,
            case
                when happens(mail_typo_die, typos / 2)
                    then typo(split_part(mail_meant, '@', 1), mail_typo_die, 1) || '@'
                        || split_part(mail_meant, '@', 2)
                when happens(mail_typo_die, typos)
                    then replace(replace(mail_meant, 'gmail.com', 'gmial.com'), '.com', '.con')
                when happens(reroll(mail_typo_die, 7), .015) and ends_with(mail_meant, '@gmail.com')
                    then replace(mail_meant, '@', '+shop@')
                else mail_meant
            end as mail_typed
        from meant
    ),

    typed as (
        select
            *,
            shouted(first_slipped, case_die) as first_typed,
            shouted(last_slipped, case_die) as last_typed
        from slipped
    ),

    signed as (
        select
            row, record, person, happened, country_code, currency, winter, is_test, gender,
            company, birth_date as true_birth_date,
            case
                when is_test then 'Test'
                when swaps_names then last_typed
                else first_typed
            end as first_name,
            case
                when is_test then one_of(test_die, ['Test', 'User', 'Account'])
                when swaps_names then first_typed
                else last_typed
            end as last_name,
            case
                when is_test then one_of(reroll(test_die, 3), ['test@test.com', 'test@example.com'])
                when happens(mail_case_die, .03) then upper(mail_typed)
                when happens(mail_case_die, .08)
                    then upper(left(mail_typed, 1)) || substr(mail_typed, 2)
                when happens(mail_case_die, .09) then ' ' || mail_typed
                else mail_typed
            end as email,
            case
                when is_test or happens(reroll(phone_die, 7), {manners.placeholder_phone})
                    then one_of(phone_die, ['0000000', '0000000000', '123456789', '+999999999'])
                when happens(reroll(phone_die, 3), {manners.no_phone}) then null
                else phone_text(
                    calling, trunk, phone_area, phone_rest, choice(phone_style_die, {PHONE_STYLES})
                )
            end as phone,
            case
                when happens(birth_die, {manners.no_birth}) then null
                when happens(birth_die, {manners.no_birth + 0.008})
                    then one_of(birth_die, [date '1900-01-01', date '1970-01-01'])
                else misdate(birth_date, birth_typo_die, typos)
            end as birth_date,
            case
                when happens(street_die, {manners.no_address}) then null
                when happens(street_die, {manners.no_address + 0.1})
                    then replace(replace(replace(replace(street_meant,
                        'straße', 'str.'), 'Street', 'St'), 'Avenue', 'Ave'), 'avenue', 'av.')
                when happens(street_die, {manners.no_address + 0.14})
                    then replace(street_meant, 'straße', 'strasse')
                when happens(street_die, {manners.no_address + 0.17}) then upper(street_meant)
                else typo(street_meant, reroll(street_die, 7), typos)
            end as street,
            case
                when happens(city_die, {manners.no_address}) then null
                when happens(city_die, {manners.no_address + 0.06}) then plain(city_meant)
                when happens(city_die, {manners.no_address + 0.09}) then upper(city_meant)
                else typo(city_meant, reroll(city_die, 7), typos)
            end as city,
            case
                when happens(postcode_die, {manners.no_address}) then null
                when happens(postcode_die, {manners.no_address + 0.06})
                    then replace(lower(postcode_meant), ' ', '')
                else misdial(postcode_meant, reroll(postcode_die, 7), typos)
            end as postcode,
            case
                when happens(country_die, {manners.no_address}) then null
                when happens(country_die, {manners.no_address + 0.12})
                    then one_of(country_die, spellings)
                else country_code
            end as country
        from typed
    )

    select
        *,
        case
            when first_name is null or last_name is null then coalesce(first_name, last_name)
            when person % 9 = 0 then last_name || ', ' || first_name
            else first_name || ' ' || last_name
        end as full_name
    from signed
    order by row
    """
