"""A retailer of any size, written straight into the staging tables of a working database.

Everything hangs on hashes of numbers, so a size, a seed and a version of DuckDB give one world,
whatever the threads. A person's number decides who they are; how often they buy and look around is
Pareto distributed: most do it a few times, a few do it thousands of times. People come and go over
`HISTORY_DAYS`. The names are those of seed `match_frequencies`, as common as it says. A tenth of
the accounts are under a second e-mail address, guests leave one of the two, and half of the
receipts are anonymous, so identity has something to join and the marts something to leave out.

The day after (`add_day`) brings a share of everything: people, orders, visits, mails, tickets. Two
of a hundred of its web events are late by up to three days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from orchestration.sql import literal

HISTORY_DAYS = 900
PEOPLE_PER_CHUNK = 100_000
_DAY_SECONDS = 86_400

# Of a million buyers the first buys about this often as the median one: 250 ^ 1/2.5 Pareto steps.
_PARETO = 2.5
_BUYERS = 0.75
_TRACKED_EVENTS, _KNOWN_EVENTS = 0.45, 0.40
# Events of a visit with an order, of one without, and of one by somebody who is never known.
_EVENTS_PER_ORDER_VISIT, _EVENTS_PER_VISIT, _EVENTS_PER_ANONYMOUS_VISIT = 6, 3, 2
# Orders that are web shop orders: of two thirds of the people two thirds.
_SHOP_SHARE = 0.43

_PRODUCTS = (
    ("Running shoes", "Shoes", 8990),
    ("Sandals", "Shoes", 3995),
    ("Jeans", "Clothing", 5990),
    ("Rain jacket", "Clothing", 9900),
    ("Socks, 5 pairs", "Clothing", 1299),
    ("Yoga mat", "Sports", 2990),
    ("Tent for two", "Sports", 18900),
    ("Table lamp", "Home", 5490),
    ("Candle", "Home", 995),
    ("Headphones", "Tech", 14900),
    ("Phone case", "Tech", 1990),
    ("Perfume", "Beauty", 6800),
    ("Board game", "Toys", 3450),
    ("Leash", "Pets", 1390),
    ("Garden chair", "Garden", 5900),
    ("Gift card", "Gifts", 2500),
)
_CAMPAIGNS = ("spring-sale", "summer-sale", "black-friday", "xmas", "welcome-10", "win-back")
# Country by country: code, currency, calling code with first digits, cities.
_COUNTRY_CODES = ("GB", "DE", "US", "FR")
_CURRENCIES = ("GBP", "EUR", "USD", "EUR")
_DIALS = ("+447", "+4915", "+12", "+336")
_CITIES = (
    ("London", "Leeds", "York", "Bristol", "Glasgow"),
    ("Berlin", "Hamburg", "Köln", "Bremen", "Leipzig"),
    ("Denver", "Boston", "Austin", "Portland", "Dallas"),
    ("Paris", "Lyon", "Nantes", "Lille", "Nice"),
)
_COMMENTS = (
    "Fast delivery, very happy.",
    "The parcel was late and nobody answered.",
    "Good quality, fair price.",
    "It broke after a week. I want my money back!",
    "It was a gift.",
    "Never again, terrible service.",
)
_SUBJECTS = ("Damaged on arrival", "Return", "Thank you", "Where is my order", "Invoice")


@dataclass(frozen=True)
class World:
    """How large a world is. as_of: its last day. seed: another one is another world."""

    customers: int
    orders: int
    events: int
    as_of: date
    seed: int = 7


@dataclass(frozen=True)
class _Span:
    """What is written: people from `first` before `until`; records of those from `newcomers` on.

    share: of the orders, visits and mails of a whole history. start, end: epoch seconds in which
    they happen. offset: what numbers of orders and visits begin with.
    """

    first: int
    until: int
    newcomers: int
    share: float
    start: int
    end: int
    offset: int


def write_world(connection: duckdb.DuckDBPyConnection, world: World) -> dict[str, int]:
    """Fill the empty staging tables; returns the rows of each.

    connection: a working database in which staging and the seeds have been built. Takes 100,000
    people at a time, so memory hangs on how much one of them does, not on how many there are.
    """
    end = _first_second_after(world.as_of)
    start = end - HISTORY_DAYS * _DAY_SECONDS
    _prepare(connection, world)
    for first in range(0, world.customers, PEOPLE_PER_CHUNK):
        until = min(first + PEOPLE_PER_CHUNK, world.customers)
        _write(connection, world, _Span(first, until, first, 1.0, start, end, 0))
    return _row_counts(connection)


def add_day(connection: duckdb.DuckDBPyConnection, world: World, share: float) -> dict[str, int]:
    """Add what the day after the world's last one brings: a share of everything."""
    before = _row_counts(connection)
    start = _first_second_after(world.as_of)
    newcomers = max(1, round(world.customers * share))
    _prepare(connection, world)
    for first in range(0, world.customers + newcomers, PEOPLE_PER_CHUNK):
        until = min(first + PEOPLE_PER_CHUNK, world.customers + newcomers)
        span = _Span(first, until, world.customers, share, start, start + _DAY_SECONDS, 10**12)
        _write(connection, world, span)
    return {table: count - before[table] for table, count in _row_counts(connection).items()}


def _prepare(connection: duckdb.DuckDBPyConnection, world: World) -> None:
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set preserve_insertion_order = false")
    for macro in _macros(world):
        connection.execute(f"create or replace temp macro {macro}")
    for field in ("first_name", "last_name"):
        connection.execute(_name_slots(field))
    end = _first_second_after(world.as_of)
    connection.execute(
        "create or replace temp table appetites as select sum(order_weight) as order_weight,"
        " sum(visit_weight) as visit_weight from ("
        f"{_people(0, world.customers, end - HISTORY_DAYS * _DAY_SECONDS, end)})"
    )


def _write(connection: duckdb.DuckDBPyConnection, world: World, span: _Span) -> None:
    for name, query in _plans(world, span).items():
        connection.execute(f"create or replace temp table {name} as {query}")
    for table, query in _tables(span).items():
        connection.execute(
            f"insert into staging.{table} by name"
            f" select * exclude (row_id, loaded_second), {_LOADER} from ({query})"
        )


def _row_counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = connection.execute(
        "select table_name from duckdb_tables() where schema_name = 'staging' order by 1"
    ).fetchall()
    return {
        table: int(connection.execute(f"select count(*) from staging.{table}").fetchall()[0][0])
        for (table,) in tables
    }


def _first_second_after(day: date) -> int:
    return (day + timedelta(days=1) - date(1970, 1, 1)).days * _DAY_SECONDS


# What the landing would have written beside the values.
_LOADER = (
    "moment(loaded_second) as _loaded_at, 'world' as _source_file, md5_number(row_id) as _row_hash"
)


def _macros(world: World) -> tuple[str, ...]:
    return (
        # one die for each number and topic, and what is read from it
        # (signed: an unsigned one would be computed with in 128 bits)
        f"die(number, topic) as cast(hash(number, topic, {world.seed}) >> 1 as bigint)",
        "unit(number, topic) as ((die(number, topic) >> 10) + 1) / 9007199254740994.0",
        "happens(number, topic, rate) as unit(number, topic) < rate",
        "one_of(number, topic, options) as options[1 + die(number, topic) % len(options)]",
        # zero for most, heavy tailed
        f"pareto(number, topic) as pow(unit(number, topic), -1 / {_PARETO}) - 1",
        # a part of a count on average, whole for each number
        "part(amount, number, topic) as cast(floor(amount + unit(number, topic)) as bigint)",
        "moment(second) as make_timestamp(cast(second as bigint) * 1000000)",
    )


def _name_slots(field: str) -> str:
    """10,000 slots and more for the names of a field, each with as many as it is common."""
    return f"""
        create or replace temp table {field}_slots as
        select upper(left(value, 1)) || substr(value, 2) as name,
            row_number() over (order by value, copy) - 1 as slot
        from (
            select value, unnest(range(cast(ceil(frequency * 10000) as bigint))) as copy
            from reference.match_frequencies
            where field = '{field}' and length(value) > 1
        )
    """


def _people(first: int, until: int, start: int, end: int) -> str:
    """Everybody of these numbers, with what they do between two moments, without names."""
    return f"""
        select
            person,
            happens(person, 'account', 0.65) as has_account,
            happens(person, 'member', 0.4) as has_card,
            happens(person, 'mailing', 0.45) as has_mailing,
            -- whoever is in no other source is a contact of the CRM
            happens(person, 'contact', 0.5) or not (has_account or has_card or has_mailing)
                as has_contact,
            case when happens(person, 'buyer', {_BUYERS}) then pareto(person, 'orders') else 0 end
                as order_weight,
            pareto(person, 'visits') as visit_weight,
            {start} + cast(unit(person, 'first') * {end - start} as bigint) as first_second,
            case
                when happens(person, 'stays', 0.6) then {end}
                else first_second
                    + cast(unit(person, 'last') * ({end} - first_second) as bigint)
            end as last_second,
            die(person, 'country') % {len(_COUNTRY_CODES)} as country_number
        from (select unnest(range({first}, {until})) as person)
    """


def _plans(world: World, span: _Span) -> Mapping[str, str]:
    """Temporary tables that the staging tables are written from: who, what they buy and look at."""
    whole = _first_second_after(world.as_of)
    history = (whole - HISTORY_DAYS * _DAY_SECONDS, whole)
    is_day = span.share < 1
    # on a day after the world's last one, everybody who is still there is there all day
    window = (
        f"{span.start} as from_second, {span.end} as until_second"
        if is_day
        else "first_second as from_second, last_second as until_second"
    )
    first_second = (
        f"case when person < {span.newcomers} then first_second"
        f" else {span.start} + cast(unit(person, 'first') * 80000 as bigint) end"
    )
    browsing = world.events * _KNOWN_EVENTS / _EVENTS_PER_VISIT
    anonymous = (
        world.events
        * (1 - _TRACKED_EVENTS - _KNOWN_EVENTS)
        / _EVENTS_PER_ANONYMOUS_VISIT
        / max(world.customers, 1)
    )
    tracked = min(
        0.7,
        world.events
        * _TRACKED_EVENTS
        / _EVENTS_PER_ORDER_VISIT
        / max(world.orders * _SHOP_SHARE, 1),
    )
    cities = f"[{', '.join(_list(names) for names in _CITIES)}]"
    return {
        "people": f"""
            with numbered as (
                select *, die(person, 'first_name') % (select count(*) from first_name_slots)
                    as first_slot,
                    die(person, 'last_name') % (select count(*) from last_name_slots) as last_slot
                from ({_people(span.first, span.until, *history)})
            )
            select
                numbered.* exclude (first_slot, last_slot, first_second),
                {first_second} as first_second,
                {window},
                first_names.name as first_name,
                last_names.name as last_name,
                lower(replace(first_names.name || '.' || last_names.name, ' ', '')) || person
                    as mailbox,
                mailbox || '@' || one_of(person, 'domain',
                    ['gmail.com', 'yahoo.com', 'gmx.de', 'orange.fr', 'hotmail.com']) as email,
                case
                    when happens(person, 'second_email', 0.1)
                        then left(mailbox, 1) || last_slot || '.' || person || '@work.example'
                    else email
                end as second_email,
                {_list(_DIALS)}[1 + country_number]
                    -- a bijection: nobody has another one's number
                    || lpad(cast((person * 387420489 + 12345) % 1000000000 as varchar), 9, '0')
                    as phone,
                {_list(_COUNTRY_CODES)}[1 + country_number] as country,
                {_list(_CURRENCIES)}[1 + country_number] as currency_code,
                one_of(person // 3, 'city', {cities}[1 + country_number]) as city,
                -- three people to a household
                cast(1 + person // 3 % 200 as varchar) || ' '
                    || one_of(person // 3, 'street', ['Park', 'Mill', 'Church', 'Station', 'Lake'])
                    || ' Street' as street,
                lpad(cast(die(person // 3, 'postcode') % 90000 + 10000 as varchar), 5, '0')
                    as postcode,
                date '1940-01-01' + cast(die(person, 'born') % 23000 as integer) as birth_date,
                one_of(person, 'gender', ['f', 'm', 'f', 'm', 'd']) as gender,
                {world.orders} * numbered.order_weight / greatest(appetites.order_weight, 1e-9)
                    as order_count,
                {browsing} * numbered.visit_weight / greatest(appetites.visit_weight, 1e-9)
                    as visit_count
            from numbered
            inner join first_name_slots as first_names on numbered.first_slot = first_names.slot
            inner join last_name_slots as last_names on numbered.last_slot = last_names.slot
            cross join appetites
        """,
        "order_plan": f"""
            with counted as (
                select *, unnest(range(part(order_count * {span.share}, person, 'order_count')))
                    as nth
                from people
            ),
            numbered as (
                select *, {span.offset} + person * 1000000 + nth as number from counted
            )
            select
                number,
                person,
                from_second + cast(unit(number, 'ordered') * (until_second - 1 - from_second)
                    as bigint) as second,
                happens(number, 'online', if(has_account, 0.66, 0.03)) as is_online,
                has_account and not happens(number, 'guest', 0.01) as is_on_account,
                has_card,
                email,
                second_email,
                phone,
                currency_code,
                -- in hundredths; one in three hundred is free
                case
                    when happens(number, 'free', 0.003) then 0
                    else 500 + cast(2500 * pareto(number, 'amount') as bigint)
                        + die(person, 'taste') % 4000
                end as cents,
                unit(number, 'status') as status_die,
                1 + die(number, 'lines') % 2 + cast(happens(number, 'basket', 0.3) as bigint)
                    as line_count
            from numbered
        """,
        "visit_plan": f"""
            select
                'o' || number as visit_id,
                number,
                person,
                person * 2 + die(number, 'device') % 2 as device,
                if(is_on_account, person, null) as account,
                false as is_login,
                number as order_number,
                5 + die(number, 'length') % 3 as length_of_visit,
                -- the order is the last of the visit
                second - 60 * (length_of_visit - 1) as second
            from order_plan
            where is_online and happens(number, 'tracked', {tracked})

            union all

            select
                'v' || number as visit_id,
                number,
                person,
                person * 2 + die(number, 'device') % 2 as device,
                if(has_account and is_known, person, null) as account,
                has_account and is_known as is_login,
                null as order_number,
                1 + die(number, 'length') % 5 as length_of_visit,
                from_second + cast(unit(number, 'visited') * (until_second - 3000 - from_second)
                    as bigint)
                    - if({is_day} and happens(number, 'late', 0.02),
                        cast(unit(number, 'lateness') * 3 * 86400 as bigint), 0) as second
            from (
                select *, {span.offset} + person * 1000000 + nth as number,
                    happens(number, 'known', 0.25) as is_known
                from (
                    select *,
                        unnest(range(part(visit_count * {span.share}, person, 'visit_count')))
                            as nth
                    from people
                )
            )

            union all

            select
                'a' || number as visit_id,
                number,
                person,
                -- a device that nobody is known by
                -1 - number as device,
                null as account,
                false as is_login,
                null as order_number,
                1 + die(number, 'length') % 3 as length_of_visit,
                {span.start} + cast(unit(number, 'passed') * {span.end - span.start - 3000}
                    as bigint) as second
            from (
                select person, {span.offset} + person * 1000000 + nth as number
                from (
                    select person,
                        unnest(range(part({anonymous * span.share}, person, 'passers'))) as nth
                    from people
                )
            )
        """,
    }


def _tables(span: _Span) -> Mapping[str, str]:
    """Queries of the staging tables, over the plans; `row_id` and `loaded_second` are for all.

    A column that a staging model has and no query here stays null.
    """
    newcomers = f"person >= {span.newcomers}"
    loaded = f"{span.end} as loaded_second"
    mails = HISTORY_DAYS // 90 * span.share
    names = _list([name for name, _, _ in _PRODUCTS])
    categories = _list([category for _, category, _ in _PRODUCTS])
    in_time = f"second < {span.end}"
    return {
        "stg_crm__contacts": f"""
            select
                'crm:C' || person as source_record_id, 'C' || person as contact_id,
                first_name, last_name, email,
                if(happens(person, 'crm phone', 0.7), phone, null) as phone,
                birth_date, gender, if(happens(person, 'crm id', 0.1),
                    'ID' || lpad(cast(person as varchar), 10, '0'), null) as national_id,
                street, city, postcode, country,
                if(happens(person, 'firm', 0.05), last_name || ' Ltd', null) as company,
                case when happens(person, 'asked', 0.8) then happens(person, 'opted', 0.6) end
                    as is_marketing_opted_in,
                moment(first_second) as created_at,
                moment(first_second + 3600) as updated_at,
                happens(person, 'deleted', 0.01) as is_deleted,
                contact_id as row_id, {loaded}
            from people where has_contact and {newcomers}
        """,
        "stg_crm__opt_ins": f"""
            select
                'crm:C' || person as source_record_id, 'C' || person || ':1' as opt_in_id,
                'C' || person as contact_id, happens(person, 'opted', 0.6) as is_opted_in,
                moment(first_second + 3600) as answered_at, opt_in_id as row_id, {loaded}
            from people
            where has_contact and happens(person, 'asked', 0.8) and {newcomers}
        """,
        "stg_mailing__suppressions": f"""
            select
                'x' || person as suppression_id, email, phone,
                one_of(person, 'why', ['complaint', 'do_not_contact', 'hard_bounce']) as reason,
                moment(first_second + 86400) as occurred_at, suppression_id as row_id, {loaded}
            from people
            where has_mailing and happens(person, 'suppressed', 0.02) and {newcomers}
        """,
        "stg_shop__customers": f"""
            select
                'shop:' || person as source_record_id, cast(person as varchar) as account_id,
                first_name, last_name, second_email as email,
                if(happens(person, 'shop phone', 0.75), phone, null) as phone,
                street, city, postcode, country,
                moment(first_second) as created_at, moment(first_second + 7200) as updated_at,
                account_id as row_id, {loaded}
            from people where has_account and {newcomers}
        """,
        "stg_pos__members": f"""
            select
                'pos:M' || person as source_record_id, 'M' || person as member_id,
                first_name, last_name, if(happens(person, 'pos email', 0.8), email, null) as email,
                phone, birth_date, postcode,
                moment(first_second) as joined_at, moment(first_second) as updated_at,
                member_id as row_id, {loaded}
            from people where has_card and {newcomers}
        """,
        "stg_mailing__subscribers": f"""
            select
                'mailing:s' || person as source_record_id, 's' || person as subscriber_id,
                email, if(happens(person, 'named', 0.7), first_name, null) as first_name,
                if(happens(person, 'named', 0.7), last_name, null) as last_name,
                moment(first_second) as subscribed_at, moment(first_second) as updated_at,
                subscriber_id as row_id, {loaded}
            from people where has_mailing and {newcomers}
        """,
        "stg_shop__orders": f"""
            select
                'shop:' || number as order_key,
                if(is_on_account, 'shop:' || person, 'shop:order:' || number)
                    as source_record_id,
                cast(number as varchar) as order_id,
                if(is_on_account, cast(person as varchar), null) as account_id,
                if(is_on_account, second_email, email) as email, phone,
                moment(second) as ordered_at,
                case
                    when status_die < 0.03 then 'cancelled'
                    when status_die < 0.06 then 'refunded'
                    when status_die < 0.1 then 'partially_refunded'
                    else 'completed'
                end as status,
                currency_code,
                cast(cents / 100 as decimal(18, 4)) as total_amount,
                cast(if(happens(number, 'discount', 0.15), cents // 10, 0) / 100
                    as decimal(18, 4)) as discount_amount,
                case
                    when status_die between 0.03 and 0.06
                        then cast(cents / 100 as decimal(18, 4))
                    when status_die between 0.06 and 0.1
                        then cast(cents // 3 / 100 as decimal(18, 4))
                end as refunded_amount,
                if(happens(number, 'campaign', 0.25),
                    one_of(number, 'campaign name', {_list(_CAMPAIGNS)}), null) as campaign,
                moment(second + 86400) as updated_at,
                order_id as row_id, {loaded}
            from order_plan where is_online
        """,
        "stg_shop__order_lines": f"""
            select
                'shop:' || number as order_key, cast(number as varchar) as order_id,
                line_number, 'SKU-' || (1001 + product) as product_id,
                {names}[1 + product] as product_name, {categories}[1 + product] as category,
                cast(1 as decimal(18, 4)) as quantity,
                cast(cents // line_count / 100 as decimal(18, 4)) as unit_price_amount,
                order_id || line_number as row_id, {loaded}
            from (
                select *, die(number, line_number) % {len(_PRODUCTS)} as product
                from (
                    select *, unnest(range(1, cast(line_count + 1 as bigint))) as line_number
                    from order_plan where is_online
                )
            )
        """,
        "stg_pos__receipts": f"""
            select
                'pos:R' || number as order_key,
                if(has_card, 'pos:M' || person, null) as source_record_id,
                'R' || number as receipt_id,
                if(has_card, 'M' || person, null) as member_id,
                'store-' || die(person, 'store') % 200 as store_id,
                moment(second) as purchased_at, currency_code,
                cast(cents / 100 as decimal(18, 4)) as total_amount,
                if(status_die < 0.02, cast(cents / 100 as decimal(18, 4)), null)
                    as refunded_amount,
                receipt_id as row_id, {loaded}
            from order_plan where not is_online
        """,
        "stg_web__events": f"""
            select
                'e' || visit_id || '-' || place as event_id,
                hex(device) as anonymous_id,
                if(place >= cast(is_login as bigint), cast(account as varchar), null)
                    as account_id,
                visit_id as session_id,
                event_type,
                'https://shop.example/' || if(has_product, 'p/' || product, event_type)
                    as page_url,
                if(place = 0, one_of(number, 'referrer', [null, 'https://www.google.com/',
                    'https://www.facebook.com/', null]), 'https://shop.example/') as referrer,
                if(place = 0, one_of(number, 'source',
                    [null, 'google', 'newsletter', 'facebook', null]), null) as utm_source,
                if(place = 0, one_of(number, 'source',
                    [null, 'cpc', 'email', 'paid_social', null]), null) as utm_medium,
                if(utm_source is not null,
                    one_of(number, 'utm', {_list(_CAMPAIGNS)}), null) as utm_campaign,
                if(has_product, 'SKU-' || (1001 + product), null) as product_id,
                if(event_type = 'order', cast(order_number as varchar), null) as order_id,
                -- one visit in thirty has a break of 40 minutes after its second event
                moment(second + 60 * place
                    + if(order_number is null and place > 1 and happens(number, 'break', 0.03),
                        2400, 0)) as occurred_at,
                event_id as row_id, {loaded}
            from (
                select *, die(number, place) % {len(_PRODUCTS)} as product,
                    case
                        when order_number is not null and place = length_of_visit - 1 then 'order'
                        when order_number is not null and place = length_of_visit - 2
                            then 'checkout'
                        when is_login and place = 1 then 'login'
                        else one_of(number + place, 'event',
                            ['page_view', 'product_view', 'product_view', 'search', 'add_to_cart'])
                    end as event_type,
                    event_type in ('product_view', 'add_to_cart') as has_product
                from (
                    select *, unnest(range(cast(length_of_visit as bigint))) as place
                    from visit_plan
                )
            )
        """,
        "stg_mailing__deliveries": f"""
            select
                'mailing:s' || person as source_record_id,
                'd' || number || '-' || step as delivery_id,
                's' || person as subscriber_id,
                strftime(moment(second), '%Y-%m') || '-news' as campaign,
                ['sent', 'open', 'click'][step] as event_type,
                moment(second + 600 * (step - 1)) as occurred_at,
                delivery_id as row_id, {loaded}
            from (
                select *, unnest(range(1, 2
                    + cast(happens(number, 'open', 0.3) as bigint)
                    + cast(happens(number, 'open', 0.06) as bigint))) as step
                from (
                    select *, from_second
                        + cast(unit(number, 'mailed') * (until_second - from_second) as bigint)
                        as second
                    from (
                        select *, {span.offset} + person * 1000 + nth as number
                        from (
                            select *, unnest(range(part({mails}, person, 'mails'))) as nth
                            from people where has_mailing
                        )
                    )
                )
            )
            where {in_time}

            union all

            -- one delivery event of another kind for a few: a bounce or a farewell
            select
                'mailing:s' || person, 'd' || {span.offset} + person || '-x', 's' || person,
                'farewell', if(happens(person, 'bounce', 0.3), 'bounce', 'unsubscribe'),
                moment(until_second - 1), 'd' || {span.offset} + person || '-x', {span.end}
            from people
            where has_mailing and happens(person + {span.offset}, 'farewell', {0.1 * span.share})
        """,
        "stg_mailing__consents": f"""
            select
                'k' || person || '-' || purpose_number as consent_id, email,
                if(purpose_number = 2, phone, null) as phone,
                ['email_marketing', 'sms_marketing', 'profiling'][purpose_number] as purpose,
                if(happens(person, 'refused' || purpose_number, 0.15), 'withdrawn', 'granted')
                    as status,
                one_of(person, 'basis', ['consent', 'consent', 'legitimate_interest'])
                    as legal_basis,
                moment(first_second + purpose_number) as occurred_at,
                consent_id as row_id, {loaded}
            from (
                select *, unnest(range(1, 2 + die(person, 'purposes') % 3)) as purpose_number
                from people where (has_mailing or has_contact) and {newcomers}
            )
        """,
        "stg_support__tickets": f"""
            select
                'support:T' || number as source_record_id, 'T' || number as ticket_id,
                first_name || ' ' || last_name as requester_name, email as requester_email,
                if(happens(number, 'ticket phone', 0.3), phone, null) as requester_phone,
                one_of(number, 'subject', {_list(_SUBJECTS)}) as subject,
                one_of(number, 'body', {_list(_COMMENTS)}) as body,
                one_of(number, 'channel', ['email', 'web', 'phone', 'chat']) as channel,
                one_of(number, 'priority', ['low', 'normal', 'normal', 'high', 'urgent'])
                    as priority,
                if(solved_second < {span.end}, 'solved', 'open') as status,
                moment(second) as opened_at,
                if(replied_second < {span.end}, moment(replied_second), null) as first_replied_at,
                if(solved_second < {span.end}, moment(solved_second), null) as solved_at,
                if(solved_second < {span.end} and happens(number, 'rated', 0.4),
                    1 + die(number, 'csat') % 5, null) as csat_score,
                moment(second) as updated_at,
                ticket_id as row_id, {loaded}
            from ({_answers("tickets", 0.2 * span.share, span)})
        """,
        "stg_surveys__responses": f"""
            select
                'surveys:V' || number as source_record_id, 'V' || number as response_id,
                email, if(happens(number, 'survey phone', 0.1), phone, null) as phone,
                one_of(number, 'survey', ['after-order', 'in-store']) as survey,
                if(happens(number, 'nps', 0.9), die(number, 'nps score') % 11, null) as nps_score,
                if(happens(number, 'csat', 0.6), 1 + die(number, 'csat') % 5, null) as csat_score,
                if(happens(number, 'said', 0.6),
                    one_of(number, 'comment', {_list(_COMMENTS)}), null) as comment,
                moment(second) as responded_at,
                response_id as row_id, {loaded}
            from ({_answers("surveys", 0.15 * span.share, span)})
        """,
    }


def _answers(topic: str, rate: float, span: _Span) -> str:
    """Who says something, and when; a few say it often."""
    return f"""
        select *,
            from_second + cast(unit(number, '{topic}') * (until_second - 1 - from_second)
                as bigint) as second,
            second + cast(unit(number, '{topic} reply') * 86400 as bigint) as replied_second,
            replied_second + cast(pareto(number, '{topic} end') * 86400 as bigint)
                as solved_second
        from (
            select *, {span.offset} + person * 1000 + nth as number
            from (
                select *,
                    -- the mean of a Pareto step is two thirds
                    unnest(range(part({rate} * 1.5 * pareto(person, '{topic}'), person,
                        '{topic} count'))) as nth
                from people
            )
        )
    """


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(literal(value) for value in values)}]"
