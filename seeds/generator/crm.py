"""crm/contacts: what the sales and service team knows, with doubles and deleted ones."""

import numpy as np

from seeds.generator.cards import Manners, fill_cards
from seeds.generator.delivery import Delivery, versions
from seeds.generator.people import People
from seeds.generator.records import blanks, keep_records
from seeds.generator.world import World, roll

MANNERS = Manners(
    typo=0.03, nickname=0.05, work_mail=0.2, role_mail=0.4, no_phone=0.12, landline=0.4,
    no_birth=0.35, no_address=0.08, test=0.004,
)  # fmt: skip
DOUBLE_RATE = 0.12


def contacts(world: World, people: People, delivery: Delivery) -> None:
    """Write crm/contacts and keep the table `crm_cards` for the consents."""
    rng = world.rng("crm/contacts")
    members = np.flatnonzero(people.has_crm)
    doubles = members[rng.random(len(members)) < DOUBLE_RATE]
    records = keep_records(world, "crm", people, np.concatenate([members, doubles]))
    fill_cards(world, "crm_cards", records.forms, MANNERS)
    count = len(records.record)
    world.show(
        "crm_extra",
        {
            "row": np.arange(count),
            "created": records.created,
            "is_last": records.is_last,
            "gender_die": roll(rng, records.count)[records.record],
            "id_die": roll(rng, records.count)[records.record],
            "opt_in_die": roll(rng, records.count)[records.record],
            "deleted_die": roll(rng, records.count)[records.record],
            "late_die": roll(rng, count),
            "_blank": blanks(rng, count, 17),
        },
    )
    world.make("crm_rows", _ROWS)
    world.hide("crm_extra")
    delivery.deliver(world, "crm/contacts", "select * from crm_rows")
    world.know(
        """
        select distinct 'crm:' || contact_id, case when is_test then 'T' || contact_id
            else 'P' || person end
        from crm_rows
        """
    )
    world.drop("crm_rows")


_ROWS = f"""
    with rows_of_contacts as (
        select *, row as _row, arrival(happened, late_die) as arrives
        from crm_cards
        inner join crm_extra using (row)
    )

    select
        'C' || (100001 + record) as contact_id,
        first_name, last_name, email, phone, birth_date,
        case
            when happens(gender_die, .25) then null
            when happens(gender_die, .6) then upper(gender)
            when happens(gender_die, .75) then if(gender = 'f', 'female', 'male')
            when happens(gender_die, .76) then if(gender = 'f', 'm', 'f')
            when happens(gender_die, .77) then 'x'
            else gender
        end as gender,
        case when happens(id_die, .25) then national_id(country_code, gender, true_birth_date,
            person) end as national_id,
        street, city, postcode, country, company,
        case
            when happens(opt_in_die, .3) then null
            -- some change their mind by the next version
            else happens(reroll(opt_in_die, 3), if(is_last, .62, .7))
        end as marketing_opt_in,
        iso_local(created, 1) as created_at,
        iso_local(happened, 1) as updated_at,
        case
            when happens(deleted_die, .2) then null
            else is_last and happens(reroll(deleted_die, 7), .03)
        end as is_deleted,
        person,
        is_test,
        _row,
        arrives as _from,
        {versions("record", "arrives")} as _until,
        _blank
    from rows_of_contacts
    order by row
"""
