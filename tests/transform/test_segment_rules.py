"""What a rule of a segment may say, and what stops a run before it starts."""

import csv
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.transform import segments
from orchestration.transform.purposes import Purposes
from orchestration.transform.rule_files import SegmentRuleError
from orchestration.transform.segments import (
    COLUMNS,
    PredicateChecker,
    PredicateError,
    Vocabulary,
    check_segment_rules,
    documented_attributes,
    read_rules,
)

PURPOSES = Purposes(
    {"email_marketing": ("email",), "sms_marketing": ("sms",)},
    {"analysis": None, "newsletter": "email_marketing"},
)
GOOD = {
    "segment": "Young",
    "segment_group": "age",
    "priority": "",
    "predicate": "age_years < 30",
    "purpose": "analysis",
    "required_consent": "",
    "owner": "marketing",
    "description": "Younger than thirty.",
}


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return documented_attributes()


@pytest.fixture(scope="module")
def checker(vocabulary: Vocabulary) -> Iterator[PredicateChecker]:
    with PredicateChecker(vocabulary) as checker:
        yield checker


def write_rules(path: Path, *rules: dict[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rules[0]) if rules else list(COLUMNS))
        writer.writeheader()
        writer.writerows(rules)
    return path


def complaint(path: Path, vocabulary: Vocabulary) -> str:
    with pytest.raises(SegmentRuleError) as raised:
        read_rules(path, vocabulary, PURPOSES)
    return str(raised.value)


def test_every_shipped_rule_can_be_used() -> None:
    rules = check_segment_rules()
    groups = {rule.segment_group for rule in rules}
    assert {"rfm", "lifecycle", "engagement", "value", "age", "audience", "campaign"} <= groups
    assert len([rule for rule in rules if rule.segment_group == "rfm"]) == 10


# --- what is allowed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "predicate",
    [
        "recency_score = 5 and frequency_score >= 4",
        "RECENCY_SCORE = 5",
        "age_band in ('18-24', '25-34') or age_years is null",
        "last_purchased_at < as_of_date - 30",
        "last_purchased_at >= as_of_date - interval 2 weeks",
        "cast(last_purchased_at as date) between date '2026-01-01' and as_of_date",
        "not is_company and country like 'G%'",
        "case when purchase_count > 0 then reporting_net_amount / purchase_count > 50 end",
        "coalesce(gender, 'male') = 'male'",
        "lower(country) is distinct from 'gb'",
        "try_cast(country as integer) > 3",
        "is_company -- a firm",
        "true",
    ],
)
def test_a_plain_condition_over_documented_columns_can_be_used(
    checker: PredicateChecker, predicate: str
) -> None:
    checker.check(predicate)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predicate", "sentence"),
    [
        ("recency_dayz > 3", "no column 'recency_dayz'; did you mean 'recency_days'"),
        ('country = "GB"', "no column 'GB'; texts stand in single quotes"),
        ("recency_days > 3 and", "it is no SQL condition: syntax error"),
        ("recency_days", "it gives bigint instead of true or false"),
        ("null", "instead of true or false"),
        ("lifecycle_stage = 'actve'", "never has the value 'actve'; did you mean 'active'"),
        ("rfm_segment in ('Champion')", "did you mean 'Champions'"),
        ("LIFECYCLE_STAGE <> 'x'", "never has the value 'x'; it has active, at_risk"),
        ("now() > last_purchased_at", "now() reads the clock; use as_of_date"),
        ("today() > as_of_date", "today() reads the clock; use as_of_date"),
        ("CURRENT_DATE > as_of_date", "reads the clock; use as_of_date"),
        ("current_timestamp > last_purchased_at", "reads the clock; use as_of_date"),
        ("exists (select 1)", "a query inside a rule is not allowed"),
        ("customer_id in (select customer_id from marts.customers)", "a query inside a rule"),
        ("(select true)", "a query inside a rule is not allowed"),
        ("recency_days > all (select 1)", "a query inside a rule is not allowed"),
        ("read_csv('x') = 1", "the function read_csv is not allowed"),
        ("getenv('HOME') = 'x'", "the function getenv is not allowed"),
        ("random() > 0.5", "the function random is not allowed"),
        ("nextval('s') = 1", "the function nextval is not allowed"),
        ("sum(recency_days) > 3", "the function sum is not allowed"),
        ("main.lower(country) = 'x'", "the function lower is not allowed"),
        ("lower(distinct country) = 'x'", "the function lower is not allowed"),
        ("row_number() over () = 1", "knows no window"),
        ("sum(recency_days) over () > 1", "knows no window"),
        ("list_transform([1], x -> x) = [1]", "is not allowed"),
        ("columns('.*') > 3", "names its columns one by one"),
        ("#1 > 2", "positional_reference is not among what a rule may use"),
        ("recency_days > ?", "a rule has no parameters"),
        ("recency_days > $1", "a rule has no parameters"),
        ("int_customer_attributes_gathered.age_years > 1", "write age_years instead of"),
        ("country collate nocase = 'gb'", "collate is not among"),
        ("country::integer > 3", "write try_cast(... as integer)"),
        ("country = 5", "it cannot be evaluated"),
        ("recency_days > 'abc'", "it cannot be evaluated"),
        ("last_purchased_at > date '2026-02-30'", "it cannot be evaluated"),
        ("purchase_count * 9000000000000000000 > 1", "it cannot be evaluated"),
        ("true) or (false", "it is no SQL condition"),
        ("true, false", "more than one condition"),
        ("true as matches, false", "more than one condition"),
        ("true; drop table marts.customers", "it is no SQL condition"),
        ("true as x from attributes; select true", "more than one condition"),
        ("true /* open", "it is no SQL condition"),
        ("", "it is no SQL condition"),
        ("not " * 2000 + "is_company", "it is no SQL condition"),
        ("is_company" + " or is_company" * 2000, "longer than 10,000 characters"),
        ("country = 'a\0b'", "a character that is no text"),
    ],
)
def test_whatever_reads_more_than_the_columns_is_refused_with_its_reason(
    checker: PredicateChecker, predicate: str, sentence: str
) -> None:
    with pytest.raises(PredicateError) as raised:
        checker.check(predicate)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"owner": " "}, "line 2, segment 'Young', column owner: it is blank"),
        ({"purpose": ""}, "column purpose: it is blank"),
        ({"segment": ""}, "segment '(without name)', column segment: it is blank"),
        ({"predicate": ""}, "column predicate: it is blank"),
        ({"priority": "first"}, "column priority: 'first' is no whole number"),
        ({"priority": "0"}, "column priority: '0' is no whole number"),
        (
            {"required_consent": "email_marketng"},
            "'email_marketng' is no purpose of consent; did you mean 'email_marketing'",
        ),
        (
            {"purpose": "newsleter"},
            "column purpose: 'newsleter' is no purpose of segments; did you mean 'newsletter'",
        ),
        (
            {"purpose": "newsletter"},
            "column required_consent: purpose 'newsletter' is served only with consent to"
            " email_marketing, this says none; write email_marketing, or another purpose.",
        ),
        (
            {"purpose": "newsletter", "required_consent": "sms_marketing"},
            "with consent to email_marketing, this says sms_marketing",
        ),
        ({"predicate": "age < 30"}, "line 2, segment 'Young', predicate: there is no column 'age'"),
        ({"shoe_size": "42"}, "column shoe_size: unknown"),
    ],
)
def test_a_broken_rule_is_named_with_file_line_and_column(
    tmp_path: Path, vocabulary: Vocabulary, change: dict[str, str], sentence: str
) -> None:
    path = write_rules(tmp_path / "rules.csv", GOOD | change)
    said = complaint(path, vocabulary)
    assert said.startswith(str(path))
    assert sentence in said
    assert "\n" not in said


def test_two_rules_of_one_name_or_place_are_named_with_both_lines(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    rules = [
        GOOD | {"predicate": "age_years < 30\nand age_years > 17", "priority": "1"},
        GOOD | {"priority": "1"},
    ]
    said = complaint(write_rules(tmp_path / "rules.csv", *rules), vocabulary)
    assert "line 4, segment 'Young', column segment: line 2 has this name, too" in said
    assert "line 4, segment 'Young', column priority: 1 is taken in group 'age'" in said


def test_the_same_priority_in_another_group_and_no_priority_twice_are_fine(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    rules = [
        GOOD | {"segment": "a", "priority": "1"},
        GOOD | {"segment": "b", "priority": "1", "segment_group": "other"},
        GOOD | {"segment": "c"},
        GOOD | {"segment": "d", "required_consent": "email_marketing"},
    ]
    read = read_rules(write_rules(tmp_path / "rules.csv", *rules), vocabulary, PURPOSES)
    assert [rule.priority for rule in read] == [1, 1, None, None]
    assert [rule.required_consent for rule in read] == [None, None, None, "email_marketing"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; its first line names segment"),
        (b"segment,segment_group\n", "line 1: there is no column 'priority'"),
        (",".join(COLUMNS).encode() + b"\na,b\n", "line 2: 2 cells under 8 columns"),
        (",".join(COLUMNS).encode() + b'\n"a,b\n', "look for a double quote that is not closed"),
        (b"\xff\xfe", "is not UTF-8"),
        (",".join((*COLUMNS, "owner")).encode() + b"\n", "column 'owner' is there twice"),
    ],
)
def test_a_file_that_is_no_rule_file_is_refused_with_a_sentence(
    tmp_path: Path, vocabulary: Vocabulary, content: bytes, sentence: str
) -> None:
    path = tmp_path / "rules.csv"
    path.write_bytes(content)
    assert sentence in complaint(path, vocabulary)


def test_a_missing_file_is_refused_and_one_without_rules_is_not(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    assert "cannot be read" in complaint(tmp_path / "none.csv", vocabulary)
    assert read_rules(write_rules(tmp_path / "rules.csv"), vocabulary, PURPOSES) == ()


def test_a_run_takes_its_rules_from_the_seed_and_names_every_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [GOOD | {"segment": f"s{n}", "owner": ""} for n in range(9)]
    monkeypatch.setattr(segments, "RULES_FILE", write_rules(tmp_path / "rules.csv", *broken))
    with pytest.raises(SegmentRuleError) as raised:
        check_segment_rules()
    assert len(raised.value.problems) == 9
    assert str(raised.value).splitlines()[-1] == "... and 4 more."


# --- the law: an accepted predicate reads the relation and nothing else --------------------------

FRAGMENTS = st.sampled_from(
    [
        *("age_years", "country", "is_company", "as_of_date", "secret", "other.secret"),
        *("'GB'", "1", "null", "true", "*", "?", "$1", '"country"', "$$x$$"),
        *("=", "<", "and", "or", "not", "is null", "in", "between", "like", "||", "+", "::date"),
        *("(", ")", ",", ";", "--", "/*", "*/", "\n", "[", "]", "{", "}", "'", '"', "->", "::"),
        *("select", "from", "other", "where", "union all", "limit 1", "with", "values", "exists"),
        *("(select secret from other)", "(from other)", "exists (from other)", "case when"),
        *("then", "else", "end", "read_text('/etc/passwd')", "getenv('HOME')", "now()"),
        *("current_date", "current_setting('threads')", "row_number() over ()", "count(*)"),
        *("random()", "main.lower(country)", "lower(country)", "copy", "attach", "as matches"),
        *("from attributes", "as matches from attributes", "qualify", "filter (where true)"),
        *("pragma_database_size()", "columns(*)", "query('select 1')", "interval 3 days"),
    ]
)
PREDICATES = st.lists(FRAGMENTS, min_size=1, max_size=9).map(" ".join)


def wrap(core: str, wrapping: str) -> str:
    return wrapping.replace("@", core)


INJECTIONS = st.builds(
    wrap,
    PREDICATES,
    st.sampled_from(
        [
            "@",
            "true or @",
            "(@)",
            "not (@)",
            "true) or (@",
            "true; @",
            "true as matches from attributes; @; select true",
            "is_company and (@) is not null",
            "case when is_company then (@) end",
            "country in ('GB', @)",
            "true -- @",
            "true /* @ */",
            "'x' = 'x' union all select @",
        ]
    ),
)


@given(INJECTIONS)
def test_no_accepted_predicate_reads_anything_but_the_relation(predicate: str) -> None:
    vocabulary = Vocabulary(
        {
            "age_years": "bigint",
            "country": "varchar",
            "is_company": "boolean",
            "as_of_date": "date",
        }
    )
    with PredicateChecker(vocabulary) as checker:
        try:
            checker.check(predicate)
        except PredicateError:
            return
    # As the models put it into a query, beside a table that it must not see.
    query = f"select n from attributes where coalesce((\n{predicate}\n), false)"
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        connection.execute(
            "create table attributes as select 1 as n, 30::bigint as age_years, 'GB' as country,"
            " true as is_company, date '2026-03-01' as as_of_date"
        )
        connection.execute("create table other as select 'x' as secret")
        assert connection.get_table_names(query) == {"attributes"}
        assert len(connection.extract_statements(query)) == 1
        first = connection.execute(query).fetchall()
        connection.execute("drop table other")
        assert connection.execute(query).fetchall() == first
        assert connection.execute("select count(*) from attributes").fetchall() == [(1,)]


@given(
    st.recursive(
        st.sampled_from(
            ["is_company", "age_years > 30", "country = 'GB'", "age_years is null", "true"]
        ),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda two: f"({two[0]} and {two[1]})"),
            st.tuples(inner, inner).map(lambda two: f"{two[0]} or {two[1]}"),
            inner.map(lambda one: f"not ({one})"),
            inner.map(lambda one: f"case when {one} then true else false end"),
        ),
        max_leaves=8,
    )
)
def test_every_condition_made_of_plain_parts_is_accepted(predicate: str) -> None:
    columns = {"age_years": "bigint", "country": "varchar", "is_company": "boolean"}
    with PredicateChecker(Vocabulary(columns)) as checker:
        checker.check(predicate)
