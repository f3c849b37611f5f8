"""The one place that says what a value of each column type must look like.

Landing rejects what does not fit; staging casts the rest with the macros in dbt_project/macros
(staging.sql, time.sql), and a test holds the two together: what landed never fails to cast. The
expressions assume a session with `set TimeZone = 'UTC'`: a timestamp without zone is read as UTC,
and DuckDB reads it in the session's zone. Text is cast to `timestamptz`, never to plain
`timestamp`, which ignores an offset without a word (DuckDB 1.5.5).
"""

from orchestration.landing.feeds import ColumnType

_EARLIEST, _LATEST = "'0001-01-01'", "'9999-12-31 23:59:59.999999'"


def timestamp_sql(text: str) -> str:
    """Return SQL of the instant that a text expression is (`timestamptz`); NULL when it is none."""
    # The second try is for `2026-01-31T10:00Z`, which ISO 8601 allows and DuckDB does not read;
    # coalesce evaluates it only where the first try failed.
    return (
        f"coalesce(try_cast({text} as timestamptz), try_cast(regexp_replace({text},"
        f" '^(.{{10}}[T ][0-9]{{2}}:[0-9]{{2}})(Z|[+-].*)$', '\\1:00\\2') as timestamptz))"
    )


def fits_sql(type_: ColumnType, text: str) -> str:
    """Return the SQL condition that holds when the non-null text expression `text` fits.

    The condition is never true for a value that staging cannot cast; it may be NULL instead of
    false, so test it with `is not true`.
    """
    match type_:
        case ColumnType.TEXT:
            return "true"
        case ColumnType.INTEGER:
            # try_cast alone rounds 1.5 to 2 and reads 0x10 and 1_000. A whole 5.0 is welcome, many
            # tools write integers that may be missing like this; 5.000 is five thousand in half
            # of Europe. The pattern costs 0.05 µs a value; comparing with try_cast to decimal(38)
            # costs 2 µs.
            return (
                f"(regexp_full_match({text}, ' *[-+]?[0-9]+([.]0{{0,2}})? *')"
                f" and try_cast({text} as bigint) is not null)"
            )
        case ColumnType.DECIMAL:
            # 1.25E+03 is what a spreadsheet leaves of 1249.99; e-05 is how DuckDB writes a double.
            return (
                f"(try_cast({text} as decimal(18, 4)) is not null and not contains({text}, '_')"
                f" and not contains({text}, 'E') and not contains({text}, 'e+'))"
            )
        case ColumnType.BOOLEAN:
            # Not `in`: from six constants on DuckDB 1.5.5 makes it a join, and a table created
            # from a query with a join does not keep the order of the file.
            words = "['true', 'false', 't', 'f', 'yes', 'no', 'y', 'n', '1', '0']"
            return f"list_contains({words}, lower(trim({text})))"
        case ColumnType.DATE:
            # `like` keeps out 2024/01/31 and 2024-1-5, the range keeps out infinity and BC.
            return (
                f"({text} like '____-__-__' and"
                f" try_cast({text} as date) between {_EARLIEST} and '9999-12-31')"
            )
        case ColumnType.TIMESTAMP:
            return (
                f"({text} like '____-__-__%' and"
                f" {timestamp_sql(text)} between {_EARLIEST} and {_LATEST})"
            )


def expectation(type_: ColumnType) -> str:
    """Say what a value of this type must look like; fits after "expected"."""
    return {
        ColumnType.TEXT: "text",
        ColumnType.INTEGER: "a whole number such as 42",
        ColumnType.DECIMAL: (
            "a number with a decimal point and no thousands separators such as 1234.50,"
            " below 100000000000000"
        ),
        ColumnType.BOOLEAN: "true or false (also yes/no, y/n, t/f, 1/0)",
        ColumnType.DATE: "a calendar date such as 2026-01-31",
        ColumnType.TIMESTAMP: (
            "an ISO 8601 time such as 2026-01-31T10:00:00Z or 2026-01-31T10:00:00+01:00"
            " (without a zone it is read as UTC)"
        ),
    }[type_]
