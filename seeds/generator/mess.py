"""How values get dirty, as SQL macros over dice.

One die (32 random bits) per row and field serves twice: its lower part says whether something
happens, its upper part which of the possible things.
"""

import duckdb

from seeds.generator.world import NEVER

MACROS = (
    # chance and choice; `reroll` makes another die of the same one, independent for every k
    # (all parts ubigint: mixed types would be computed as 128 bits, 30 times slower)
    "wide(number) as cast(number as ubigint)",
    "stir(die, factor) as xor(wide(die), wide(die) >> wide(16)) * factor % wide(4294967296)",
    "reroll(die, k) as stir(stir(die, wide(2146121005 + 104730 * k)), wide(2221713035))",
    "happens(die, rate) as die % 100000 < cast(rate as double) * 100000",
    "choice(die, options) as cast((die // 100000) % options as integer)",
    "one_of(die, options) as options[1 + choice(die, len(options))]",
    # one slip of the keyboard: letter lost, added, replaced, or two exchanged
    """slip(word, spot, kind, letter) as case kind
        when 0 then left(word, spot - 1) || substr(word, spot + 1)
        when 1 then left(word, spot) || letter || substr(word, spot + 1)
        when 2 then left(word, spot - 1) || letter || substr(word, spot + 1)
        else left(word, spot - 1) || substr(word, spot + 1, 1) || substr(word, spot, 1)
            || substr(word, spot + 2)
    end""",
    """typo(word, die, rate) as case
        when happens(die, rate) and length(word) > 3
            then slip(
                word, 2 + choice(die // 4, length(word) - 2), choice(die, 4),
                chr(97 + choice(die // 97, 26))
            )
        else word
    end""",
    # one digit replaced by its neighbour
    """misdial(digits, die, rate) as case
        when happens(die, rate)
            then left(digits, choice(die, length(digits)))
                || translate(substr(digits, 1 + choice(die, length(digits)), 1),
                    '0123456789', '1234567890')
                || substr(digits, 2 + choice(die, length(digits)))
        else digits
    end""",
    """misdate(day, die, rate) as case
        when not happens(die, rate) then day
        when choice(die, 4) = 0 and day(day) <= 12 then make_date(year(day), day(day), month(day))
        when choice(die, 4) <= 1 then make_date(year(day), month(day), 1 + day(day) % 28)
        when choice(die, 4) = 2 then make_date(year(day) + 1, month(day), least(day(day), 28))
        else make_date(year(day) - 10, month(day), least(day(day), 28))
    end""",
    # letters
    """plain(word) as translate(strip_accents(word), 'łŁøØß', 'lLoOs')""",
    """umlauts_as_two(word) as replace(replace(replace(replace(replace(replace(replace(word,
        'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ß', 'ss'), 'Ä', 'Ae'), 'Ö', 'Oe'), 'Ü', 'Ue')""",
    """shouted(word, die) as case
        when happens(die, .04) then upper(word)
        when happens(die, .08) then lower(word)
        when happens(die, .18) then plain(word)
        when happens(die, .24) then umlauts_as_two(word)
        when happens(die, .25) then word || ' '
        else word
    end""",
    "handle(word) as regexp_replace(lower(plain(umlauts_as_two(word))), '[^a-z]', '', 'g')",
    # moments, from seconds UTC; Europe and America at their summer or winter offset
    "moment(seconds) as make_timestamp(cast(seconds as bigint) * 1000000)",
    "iso_utc(seconds) as strftime(moment(seconds), '%Y-%m-%dT%H:%M:%SZ')",
    """hours_off(seconds, winter) as
        winter + case when month(moment(seconds)) between 4 and 10 then 1 else 0 end""",
    """iso_local(seconds, winter) as
        strftime(moment(seconds + 3600 * hours_off(seconds, winter)), '%Y-%m-%dT%H:%M:%S')
        || printf('%s%02d:00', case when hours_off(seconds, winter) < 0 then '-' else '+' end,
            abs(hours_off(seconds, winter)))""",
    # the second in which a row reaches an export: at once, or days late for a few
    """arrival(moment, die) as least(
        moment + case when die % 1000 < 40 then 86400 * (2 + die // 1000 % 25) else 0 end, the_end()
    )""",
    # national numbers have the shape of their country, not its check digits
    """tail(number, count) as lpad(
        cast(number * 7919 % cast(pow(10, count) as bigint) as varchar), count, '0'
    )""",
    """national_id(country, gender, born, number) as case country
        when 'US' then 1 + number % 8 || tail(number, 2) || '-' || tail(number // 7 + 10, 2)
            || '-' || tail(number + 1, 4)
        when 'GB' then 'JK ' || tail(number, 2) || ' ' || tail(number // 100 + 13, 2) || ' '
            || tail(number // 7 + 31, 2) || ' ' || chr(cast(65 + number % 4 as integer))
        when 'FR' then if(gender = 'm', '1', '2') || strftime(born, '%y%m') || tail(number, 8)
        when 'PL' then strftime(born, '%y%m%d') || tail(number, 5)
        when 'SE' then strftime(born, '%y%m%d') || '-' || tail(number, 4)
        when 'CH' then '756.' || tail(number, 4) || '.' || tail(number // 10000 + 77, 4) || '.'
            || tail(number + 5, 2)
        when 'ES' then tail(number, 8) || chr(cast(65 + number % 23 as integer))
        when 'NL' then tail(number + 1, 9)
        else '4' || tail(number + 1, 10)
    end""",
    # phone numbers: area and rest are national digits without the trunk zero
    """pairs(digits) as rtrim(substr(digits, 1, 2) || ' ' || substr(digits, 3, 2) || ' '
        || substr(digits, 5, 2) || ' ' || substr(digits, 7))""",
    """phone_text(calling, trunk, area, rest, style) as case
        when style <= 1 then '+' || calling || area || rest
        when style = 2 then '+' || calling || ' ' || area || ' ' || rest
        when style = 3 and calling = '1' then '1' || area || rest
        when style = 3 then '00' || calling || area || rest
        when style = 4 and calling = '1' then area || '.' || left(rest, 3) || '.' || substr(rest, 4)
        when style = 4 and trunk = '0' then '+' || calling || ' (0)' || area || ' ' || rest
        when calling = '1' and style <= 6
            then '(' || area || ') ' || left(rest, 3) || '-' || substr(rest, 4)
        when calling = '1' then area || '-' || left(rest, 3) || '-' || substr(rest, 4)
        when style = 5 and calling in ('49', '41') then trunk || area || '/' || rest
        when style = 5 then trunk || area || pairs(rest)
        when style = 6 then trunk || area || '-' || left(rest, 3) || ' ' || substr(rest, 4)
        when style = 7 then trunk || area || '.' || replace(pairs(rest), ' ', '.')
        when style = 8 then trunk || area || ' ' || pairs(rest)
        else trunk || area || rest
    end""",
)
PHONE_STYLES = 10


def install_macros(database: duckdb.DuckDBPyConnection, end: int) -> None:
    """Create every macro; `the_end()` is the world's last second, `never()` lies beyond it."""
    for macro in (f"the_end() as {end}", f"never() as {NEVER}", *MACROS):
        database.execute(f"create or replace macro {macro}")
