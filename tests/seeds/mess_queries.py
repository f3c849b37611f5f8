"""What "as messy as life" means, feature by feature: how many there must be and how to count them.

`PREPARE` makes the tables that the queries read: `records` (every version of every record with
the person behind it), `named` (the newest version of those with a full name) and `pairs` (two named
records of one person). Test accounts are in none of the last two.
"""

PREPARE = """
create or replace temp table records as
with typed as (
    select 'crm:' || contact_id as id, first_name, last_name, email, phone,
        cast(birth_date as date) as birth_date, street, postcode, country, updated_at
    from crm__contacts
    union all
    select 'shop:' || customer_id, first_name, last_name, email, phone, null, street, postcode,
        country, updated_at
    from shop__customers
    union all
    select 'pos:' || member_id, first_name, last_name, email, phone, cast(birth_date as date), null,
        postcode, null, updated_at
    from pos__members
    union all
    select 'mailing:' || subscriber_id, first_name, last_name, email, null, null, null, null, null,
        updated_at
    from mailing__subscribers
    union all
    select 'support:' || ticket_id, null, null, requester_email, requester_phone, null, null, null,
        null, updated_at
    from support__tickets
    union all
    select 'surveys:' || response_id, null, null, email, phone, null, null, null, null, responded_at
    from surveys__responses
    union all
    select 'shop:order:' || order_id, null, null, email, phone, null, null, null, null, updated_at
    from shop__orders
    where customer_id is null
)

select typed.*, truth.person_id
from typed
inner join truth on typed.id = truth.source_record_id;

create or replace temp table named as
select distinct on (id) *
from records
where first_name is not null and last_name is not null and not starts_with(person_id, 'T')
order by id, updated_at desc;

create or replace temp table pairs as
select
    one.id as one_id, other.id as other_id,
    lower(one.first_name) as one_first, lower(other.first_name) as other_first,
    lower(one.last_name) as one_last, lower(other.last_name) as other_last
from named as one
inner join named as other on one.person_id = other.person_id and one.id < other.id;
"""


def _shared(column: str) -> str:
    return f"""
        select count(*) from (
            select {column} from records
            where {column} is not null and not starts_with(person_id, 'T')
            group by all having count(distinct person_id) > 1
        )
    """


def _records(condition: str) -> str:
    return f"select count(distinct id) from records where {condition}"


MESS: dict[str, tuple[int, str]] = {
    # names
    "one letter wrong": (
        40,
        """select count(*) from pairs where one_last <> other_last
            and damerau_levenshtein(one_last, other_last) = 1""",
    ),
    "nicknames": (
        20,
        """select count(*) from pairs where one_last = other_last
            and length(one_first) > 2 and length(other_first) > 2
            and not contains(one_first, ' ') and not contains(other_first, ' ')
            and not contains(one_first, '.') and not contains(other_first, '.')
            and damerau_levenshtein(one_first, other_first) > 2""",
    ),
    "first and last name swapped": (
        15,
        """select count(*) from pairs where one_first = other_last and one_last = other_first
            and one_first <> one_last""",
    ),
    "initials only": (20, r"select count(*) from named where first_name ~ '\p{L}\.'"),
    "upper case names": (
        40,
        "select count(*) from named where last_name = upper(last_name) and length(last_name) > 2",
    ),
    "lower case names": (
        40,
        "select count(*) from named where last_name = lower(last_name) and length(last_name) > 2",
    ),
    "accents": (150, "select count(*) from named where last_name <> strip_accents(last_name)"),
    "accents lost": (
        4,
        """select count(*) from pairs where one_last <> other_last
            and strip_accents(one_last) = strip_accents(other_last)""",
    ),
    "umlauts written as two letters": (
        2,
        """select count(*) from pairs where one_last <> other_last and contains(one_last, 'ue')
            and contains(other_last, 'ü')""",
    ),
    "renamed people": (
        5,
        """select count(*) from pairs where one_first = other_first
            and jaro_winkler_similarity(one_last, other_last) < .6""",
    ),
    "father and son of one name": (
        1,
        """select count(*) from (
            select lower(first_name), lower(last_name), postcode from named
            where postcode is not null group by all having count(distinct person_id) > 1
        )""",
    ),
    "twins": (
        2,
        """select count(*) from (
            select birth_date, lower(last_name) from named
            where birth_date not in ('1900-01-01', '1970-01-01')
            group by all having count(distinct person_id) > 1
        )""",
    ),
    # reach
    "addresses shared by people": (40, _shared("lower(street) || postcode")),
    "e-mails shared by people": (30, _shared("lower(trim(email))")),
    "landlines shared by people": (
        10,
        _shared(
            """case when length(phone) > 9
                then right(regexp_replace(phone, '[^0-9]', '', 'g'), 9) end"""
        ),
    ),
    "role e-mails": (20, _records("email ~ '(info|office|sales|kontakt|noreply)@.*'")),
    "placeholder phones": (
        20,
        _records("phone in ('0000000', '0000000000', '123456789', '+999999999')"),
    ),
    "test accounts": (5, "select count(*) from truth where starts_with(person_id, 'T')"),
    "mistyped mail domains": (10, _records("lower(email) ~ '.*(gmial|[.]con$).*'")),
    "plus addresses": (5, _records("contains(email, '+shop@')")),
    "upper case e-mails": (30, _records("email = upper(email)")),
    "moved people": (
        15,
        """select count(*) from (
            select id from records where postcode is not null
            group by id having count(distinct postcode) > 1
        )""",
    ),
    "placeholder birth dates": (3, _records("birth_date in ('1900-01-01', '1970-01-01')")),
    "no e-mail": (200, _records("email is null")),
    "neither e-mail nor phone": (10, _records("email is null and phone is null")),
    "ways to write a country": (25, "select count(distinct country) from records"),
    # records
    "people with two contacts": (
        30,
        """select count(*) from (
            select person_id from truth where starts_with(source_record_id, 'crm:')
            group by person_id having count(*) > 1
        )""",
    ),
    "people in three or more sources": (
        200,
        """select count(*) from (
            select person_id from records group by person_id
            having count(distinct split_part(id, ':', 1)) > 2
        )""",
    ),
    "people in one source": (
        200,
        """select count(*) from (
            select person_id from records group by person_id
            having count(distinct split_part(id, ':', 1)) = 1
        )""",
    ),
    "deleted contacts": (
        10,
        "select count(distinct contact_id) from crm__contacts where is_deleted = 'true'",
    ),
    # files
    "same row in several files": (
        300,
        """select count(*) from (
            select contact_id, updated_at from crm__contacts
            group by all having count(distinct _file) > 1
        )""",
    ),
    "several versions of a contact": (
        30,
        """select count(*) from (
            select contact_id from crm__contacts
            group by all having count(distinct updated_at) > 1
        )""",
    ),
    "older versions in a later file": (
        5,
        """select count(*) from crm__contacts as newer
            inner join crm__contacts as older using (contact_id)
            where newer._file < older._file and cast(newer.updated_at as timestamptz)
                > cast(older.updated_at as timestamptz)""",
    ),
    "late events": (
        5,
        """select count(*) from web__events
            where _file >= '2026-06-07' and not contains(_file, 'replay')
                and cast(occurred_at as timestamptz) < timestamptz '2026-05-31 00:00:00+00'""",
    ),
    # behaviour
    "guest orders": (
        500,
        "select count(distinct order_id) from shop__orders where customer_id is null",
    ),
    "full refunds": (30, "select count(*) from shop__orders where status = 'refunded'"),
    "partial refunds": (
        30,
        """select count(*) from shop__orders where cast(refunded_amount as decimal(18, 2))
            < cast(total_amount as decimal(18, 2))""",
    ),
    "returned pieces": (
        3,
        "select count(*) from shop__order_lines where cast(quantity as int) < 0",
    ),
    "anonymous receipts": (500, "select count(*) from pos__receipts where member_id is null"),
    "currencies": (6, "select count(distinct currency_code) from shop__orders"),
    "zone offsets": (5, "select count(distinct right(ordered_at, 6)) from shop__orders"),
    "visitors who never log in": (
        300,
        """select count(*) from (
            select anonymous_id from web__events group by all having count(user_id) = 0
        )""",
    ),
    "visitors who log in later": (
        200,
        """select count(*) from (
            select anonymous_id from web__events group by all
            having count(user_id) between 1 and count(*) - 1
        )""",
    ),
    "devices shared by two people": (
        10,
        """select count(*) from (
            select anonymous_id from web__events
            inner join truth on source_record_id = 'shop:' || user_id
            group by all having count(distinct person_id) > 1
        )""",
    ),
    "orders of visitors who are not logged in": (
        200,
        "select count(*) from web__events where order_id is not null and user_id is null",
    ),
    "abandoned carts": (
        100,
        """select count(*) from (
            select session_id from web__events group by all
            having bool_or(event_type = 'add_to_cart') and not bool_or(event_type = 'order')
        )""",
    ),
    "unsubscribes": (
        50,
        "select count(*) from mailing__deliveries where event_type = 'unsubscribe'",
    ),
    "bounces": (30, "select count(*) from mailing__deliveries where event_type = 'bounce'"),
    "people who must not be contacted": (
        20,
        "select count(*) from mailing__suppressions where reason <> 'hard_bounce'",
    ),
    "consent withdrawn": (
        200,
        "select count(*) from mailing__consents where status = 'withdrawn'",
    ),
    "consent granted, withdrawn and granted again": (
        30,
        """select count(*) from (
            select email, purpose from mailing__consents group by all
            having list(status order by cast(occurred_at as timestamptz), consent_id)
                = ['granted', 'withdrawn', 'granted']
        )""",
    ),
    "comments with line breaks": (
        10,
        "select count(*) from surveys__responses where contains(comment, chr(10))",
    ),
    "comments with quotes": (
        10,
        "select count(*) from surveys__responses where contains(comment, '\"')",
    ),
    "lapsed buyers": (
        100,
        """select count(*) from (
            select customer_id from shop__orders where customer_id is not null group by all
            having max(cast(ordered_at as timestamptz)) < timestamptz '2026-01-01 00:00:00+00'
        )""",
    ),
}
