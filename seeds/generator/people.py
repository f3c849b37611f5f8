"""Who there is: people in households, with names, addresses, phones, e-mails and life events."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seeds.generator.countries import COUNTRIES
from seeds.generator.naming import NamePool, name_pool
from seeds.generator.world import DAY, NEVER, Bools, Floats, Ints, World, pick, roll, words

HOUSEHOLD_SIZES = (0.5, 0.28, 0.1, 0.08, 0.04)  # of 1, 2, 3, 4 and 5 known people
NAMESAKE_RATE = 0.2  # sons who carry their father's full name
TWIN_RATE = 0.3  # among households with two children
MOVED_RATE = 0.2
RENAMED_RATE = 0.12  # among women


@dataclass(frozen=True)
class People:
    """One entry per person, position = person number.

    The table `people` of the world holds what they would write on a form; this holds what decides
    how they behave. first_seen, gone, back: seconds between which they shop; `back` is NEVER for
    those who do not return. pace: purchases a year.
    """

    country: Ints
    household: Ints
    first_seen: Ints
    gone: Ints
    back: Ints
    pace: Floats
    moved_at: Ints
    has_shop: Bools
    has_till: Bools
    has_crm: Bools
    has_mailing: Bools
    is_online: Bools

    def __len__(self) -> int:
        return len(self.country)


@dataclass(frozen=True)
class _Household:
    """One entry per person: the household, their place in it (0 head, 1 partner, 2.. children)."""

    number: Ints
    place: Ints
    head: Ints  # person number of the household's head


def populate(world: World) -> People:
    """Draw everybody and store the table `people`."""
    rng = world.rng("people")
    count = world.people_count
    home = _households(rng, count)
    country = _per_household(rng, home, [c.share for c in COUNTRIES])
    is_woman = _genders(rng, home)
    born = _birth_days(rng, world, home)
    names = name_pool()
    first, last, second, married = _names(rng, names, home, country, is_woman)
    moved_at = _moment_or_never(rng, world, MOVED_RATE, count)
    renamed_at = np.where(
        is_woman, _moment_or_never(rng, world, RENAMED_RATE, count), NEVER
    ).astype(np.int64)
    places = _places(rng, home, country, moved_at)
    _store(
        world,
        {
            "person": np.arange(count),
            "country_no": country,
            "gender": words(["m", "f"], is_woman.astype(np.int64)),
            "given_name": words(names.first_names, first),
            "nickname": words(*_nickname_of(rng, names, first)),
            "family_name": words(names.last_names, last),
            "second_surname": words(names.last_names, second),
            "married_name": words(names.last_names, married),
            "renamed_at": renamed_at,
            "moved_at": moved_at,
            "birth_date": pa.array(born.astype("datetime64[D]")),
            "household": home.number,
            **places,
            **_reach(rng, home, country),
        },
    )
    return _behave(world, home.number, country, moved_at)


def _households(rng: np.random.Generator, count: int) -> _Household:
    sizes = 1 + pick(rng, HOUSEHOLD_SIZES, count)
    number = np.repeat(np.arange(count), sizes)[:count]
    head = np.searchsorted(number, np.arange(number[-1] + 1))[number]
    return _Household(number, np.arange(count) - head, head)


def _per_household(rng: np.random.Generator, home: _Household, weights: list[float]) -> Ints:
    return pick(rng, weights, int(home.number[-1]) + 1)[home.number]


def _genders(rng: np.random.Generator, home: _Household) -> Bools:
    is_woman = rng.random(len(home.number)) < 0.51
    partner = (home.place == 1) & (rng.random(len(is_woman)) < 0.96)
    return np.where(partner, ~is_woman[home.head], is_woman)


def _birth_days(rng: np.random.Generator, world: World, home: _Household) -> Ints:
    """Days since 1970; children are 22 to 38 years younger than the head and at least 16."""
    count = len(home.number)
    today = world.end // DAY
    has_children = np.isin(home.number, home.number[home.place >= 2])
    age = 18 + 62 * rng.beta(1.6, 2.2, count)
    age = np.where(has_children, 44 + 26 * rng.random(count), age)
    partner_age = np.maximum(age[home.head] + rng.normal(0, 4, count), 18)
    child_age = np.maximum(age[home.head] - 22 - 16 * rng.random(count), 16 + 3 * rng.random(count))
    age = np.where(home.place == 1, partner_age, np.where(home.place >= 2, child_age, age))
    born = today - (age * 365.25).astype(np.int64)
    is_twin = (home.place == 3) & (rng.random(count) < TWIN_RATE)
    return np.where(is_twin, np.roll(born, 1), born)


def _names(
    rng: np.random.Generator, names: NamePool, home: _Household, country: Ints, is_woman: Bools
) -> tuple[Ints, Ints, Ints, Ints]:
    """Positions of given name, family name, second Spanish surname (or -1), name after marriage."""
    count = len(country)
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    second, married = np.full(count, -1), np.zeros(count, np.int64)
    for code, land in enumerate(COUNTRIES):
        for gender, pool in ((False, names.men), (True, names.women)):
            chosen = np.flatnonzero((country == code) & (is_woman == gender))
            first[chosen] = pick(rng, pool[land.language], len(chosen))
        here = np.flatnonzero(country == code)
        last[here] = pick(rng, names.surnames[land.language], len(here))
        married[here] = pick(rng, names.surnames[land.language], len(here))
        if land.language == "es":
            second[here] = pick(rng, names.surnames["es"], len(here))
    # partners share the head's name in two of three homes, children in nearly all
    shares = rng.random(count) < np.select([home.place == 0, home.place == 1], [1, 0.66], 0.95)
    last = np.where(shares, last[home.head], last)
    namesake = (home.place >= 2) & ~is_woman & ~is_woman[home.head] & shares
    namesake &= rng.random(count) < NAMESAKE_RATE
    first = np.where(namesake, first[home.head], first)
    return first, last, second, married


def _nickname_of(rng: np.random.Generator, names: NamePool, first: Ints) -> tuple[list[str], Ints]:
    """Each person has one short form of their own: (vocabulary, code; -1 without any)."""
    options = [entry.split(",") if entry else [] for entry in names.nicknames]
    vocabulary = [nickname for entry in options for nickname in entry]
    sizes = np.array([len(entry) for entry in options])
    offset = np.cumsum(sizes) - sizes
    chosen = offset[first] + (rng.random(len(first)) * sizes[first]).astype(np.int64)
    return vocabulary, np.where(sizes[first] > 0, chosen, -1)


def _moment_or_never(rng: np.random.Generator, world: World, rate: float, count: int) -> Ints:
    moment = world.start + (rng.random(count) * (world.end - world.start)).astype(np.int64)
    return np.where(rng.random(count) < rate, moment, NEVER)


def _places(
    rng: np.random.Generator, home: _Household, country: Ints, moved_at: Ints
) -> dict[str, Ints]:
    """Dice of the address before and after a move; people of one home share the first one."""
    count = len(country)
    shares = (home.place < 2) | (rng.random(count) < 0.6)
    columns = {}
    for part in ("city", "street", "house", "postcode", "flat"):
        own = roll(rng, count)
        columns[f"{part}_before"] = np.where(shares, own[home.head], own).astype(np.int64)
        columns[f"{part}_after"] = np.where(moved_at < NEVER, roll(rng, count), 0).astype(np.int64)
    return columns


def _reach(rng: np.random.Generator, home: _Household, country: Ints) -> dict[str, object]:
    """Dice of phones and e-mails; the landline and sometimes an e-mail belong to the household."""
    count = len(country)
    dice = {f"{name}_die": roll(rng, count) for name in ("mobile", "landline", "home_mail")}
    own = {
        f"{name}_die": roll(rng, count)
        for name in ("mobile_area", "mail_form", "mail_domain", "company", "second_mail")
    }
    for name in ("landline_die", "home_mail_die"):
        dice[name] = dice[name][home.head]
    return {**dice, **own}


def _store(world: World, columns: dict[str, object]) -> None:
    """Turn the dice into text: the tables `countries`, `companies` and `people`."""
    world.show("drawn_people", columns)
    world.database.register("drawn_countries", _country_table())
    world.make("countries", "select * from drawn_countries")
    _make_companies(world)
    world.make("homes", _HOMES)
    world.make("people", _PEOPLE)
    world.drop("homes")
    world.hide("drawn_people", "drawn_countries")


def _country_table() -> pa.Table:
    texts = pa.list_(pa.string())
    fields: dict[str, tuple[list[object], pa.DataType]] = {
        "country_no": (list(range(len(COUNTRIES))), pa.int64()),
        "winter": ([c.utc_offset for c in COUNTRIES], pa.int64()),
        "landline_digits": ([c.landline_digits for c in COUNTRIES], pa.int64()),
    }
    for name in ("code", "currency", "calling", "trunk", "postcode", "street", "top_level"):
        fields[name] = ([getattr(c, name) for c in COUNTRIES], pa.string())
    for name in ("spellings", "cities", "streets", "mobile", "mail_domains", "company_forms"):
        fields[name] = ([list(getattr(c, name)) for c in COUNTRIES], texts)
    arrays = [pa.array(values, kind) for values, kind in fields.values()]
    return pa.table(arrays, names=list(fields))


def _make_companies(world: World) -> None:
    """A few employers per country; several people of the world share each of them."""
    rng = world.rng("companies")
    names = name_pool()
    count = max(40, world.people_count // 60)
    country = pick(rng, [c.share for c in COUNTRIES], count)
    last = np.zeros(count, np.int64)
    for code, land in enumerate(COUNTRIES):
        here = np.flatnonzero(country == code)
        last[here] = pick(rng, names.surnames[land.language], len(here))
    world.show(
        "drawn_companies",
        {
            "company_no": np.arange(count),
            "country_no": country,
            "founder": words(names.last_names, last),
            "form_die": roll(rng, count),
        },
    )
    world.make("companies", _COMPANIES)
    world.hide("drawn_companies")


def _behave(world: World, household: Ints, country: Ints, moved_at: Ints) -> People:
    """Draw when people shop, how often and through which doors."""
    rng = world.rng("behaviour")
    count = len(country)
    span = world.end - world.start
    first_seen = world.start + (span * 0.97 * rng.beta(0.8, 1.6, count)).astype(np.int64)
    stays = rng.random(count) < 0.5
    life = (rng.exponential(260, count) * DAY).astype(np.int64)
    gone = np.where(stays, world.end, np.minimum(first_seen + life, world.end))
    pause = (rng.uniform(200, 420, count) * DAY).astype(np.int64)
    returns = (rng.random(count) < 0.2) & (gone + pause < world.end)
    is_online = rng.random(count) < 0.75
    has_shop = is_online & (rng.random(count) < 0.66)
    return People(
        country=country,
        household=household,
        first_seen=first_seen,
        gone=gone,
        back=np.where(returns, gone + pause, NEVER),
        pace=rng.gamma(0.8, 6.0, count),
        moved_at=moved_at,
        has_shop=has_shop,
        has_till=rng.random(count) < np.where(is_online, 0.36, 0.66),
        has_crm=rng.random(count) < 0.42,
        has_mailing=rng.random(count) < np.where(is_online, 0.52, 0.3),
        is_online=is_online,
    )


_COMPANIES = """
    select
        company_no,
        row_number() over (partition by country_no order by company_no) - 1 as company_in_country,
        country_no,
        founder || ' ' || one_of(form_die, company_forms) as company,
        handle(founder) || company_no || '.example.' || top_level as company_domain
    from drawn_companies
    inner join countries using (country_no)
    order by company_no
"""

# Grain: one row per person and address, `moved` false before and true after a move.
_HOMES = """
    with addressed as (
        select
            person, country_no, false as moved, city_before as city_die,
            street_before as street_die, house_before as house_die,
            postcode_before as postcode_die, flat_before as flat_die
        from drawn_people
        union all
        select
            person, country_no, true, city_after, street_after, house_after, postcode_after,
            flat_after
        from drawn_people
        where moved_at < never()
    ),

    placed as (
        select
            *,
            string_split(one_of(city_die, cities), '|') as place,
            trim(one_of(street_die, streets)) as street_name,
            cast(1 + house_die % 148 as varchar)
                || case when house_die % 17 = 0 then chr(cast(97 + house_die % 3 as integer))
                    else '' end as house_number
        from addressed
        inner join countries using (country_no)
    )

    select
        person,
        moved,
        place[1] as city,
        place[3] as landline_area,
        place[2] || replace(replace(replace(replace(replace(postcode,
            '###', lpad(cast(postcode_die % 1000 as varchar), 3, '0')),
            '##', lpad(cast(postcode_die % 100 as varchar), 2, '0')),
            '#', cast(postcode_die // 1000 % 10 as varchar)),
            '@@', chr(cast(65 + postcode_die // 10000 % 26 as integer)) || '@'),
            '@', chr(cast(65 + postcode_die // 1000000 % 26 as integer))) as postcode,
        replace(replace(street, '{street}', street_name), '{number}', house_number)
            || case
                when code = 'US' and flat_die % 10 < 3
                    then ' Apt ' || cast(1 + flat_die // 10 % 30 as varchar)
                else ''
            end as street
    from placed
"""

_PEOPLE = """
    with named as (
        select
            drawn_people.* exclude (married_name),
            countries.* exclude (country_no, postcode, street, streets, cities),
            case
                when code = 'PL' and gender = 'f'
                    then regexp_replace(family_name, '(sk|ck)i$', '\\1a')
                when second_surname is not null then family_name || ' ' || second_surname
                else family_name
            end as last_name,
            case
                when code = 'PL' then regexp_replace(married_name, '(sk|ck)i$', '\\1a')
                else married_name
            end as new_last_name
        from drawn_people
        inner join countries using (country_no)
    ),

    employers as (
        select country_no, max(company_in_country) + 1 as companies
        from companies
        group by country_no
    ),

    reached as (
        select
            named.*,
            handle(given_name) as given,
            handle(family_name) as family,
            string_split(one_of(mobile_area_die, mobile), '+') as mobile_plan,
            one_of(mail_domain_die, mail_domains) as mail_domain,
            companies.company,
            companies.company_domain
        from named
        left join employers using (country_no)
        left join companies
            on named.country_no = companies.country_no
            and named.company_die % employers.companies = companies.company_in_country
    ),

    addressed as (
        select
            reached.*,
            case choice(mail_form_die, 9)
                when 0 then given || family
                when 1 then left(given, 1) || '.' || family
                when 2 then given || '_' || family
                when 3 then given || '.' || family || year(birth_date) % 100
                when 4 then coalesce(handle(nickname), given) || year(birth_date)
                when 5 then family || '.' || given
                when 6 then left(given, 1) || family || mail_form_die % 90
                else given || '.' || family
            end as local_part
        from reached
    ),

    counted as (
        select
            *,
            row_number() over (partition by local_part, mail_domain order by person) as taken,
            row_number() over (
                partition by given, family, company_domain order by person
            ) as taken_at_work
        from addressed
    )

    select
        counted.person, country_no, code as country_code, spellings, currency, winter,
        calling, trunk,
        gender, given_name, nickname, last_name, new_last_name, renamed_at, moved_at, birth_date,
        household,
        before.street as street_before, before.city as city_before,
        before.postcode as postcode_before,
        coalesce(after.street, before.street) as street_after,
        coalesce(after.city, before.city) as city_after,
        coalesce(after.postcode, before.postcode) as postcode_after,
        local_part || case when taken > 1 then '.' || taken else '' end || '@' || mail_domain
            as email,
        case
            when happens(second_mail_die, .3)
                then given || '.' || family || case when taken_at_work > 1 then taken_at_work || ''
                    else '' end || '@' || company_domain
        end as second_email,
        case
            when happens(home_mail_die, .2)
                then 'family.' || first_value(family) over (
                    partition by household order by counted.person
                ) || household || '@' || mail_domains[1]
        end as home_email,
        mobile_plan[1] as mobile_area,
        cast(2 + mobile_die % 5 as varchar) || lpad(
            cast(mobile_die // 5 % pow(10, cast(mobile_plan[2] as integer) - 1)::bigint as varchar),
            cast(mobile_plan[2] as integer) - 1, '0'
        ) as mobile_rest,
        case when happens(landline_die, .6) then before.landline_area end as landline_area,
        cast(2 + landline_die % 5 as varchar) || lpad(
            cast(landline_die // 5 % pow(10, landline_digits - 1)::bigint as varchar),
            cast(landline_digits - 1 as integer), '0'
        ) as landline_rest,
        case when happens(company_die, .14) then company end as company,
        company_domain
    from counted
    left join homes as before on counted.person = before.person and not before.moved
    left join homes as after on counted.person = after.person and after.moved
    order by counted.person
"""
