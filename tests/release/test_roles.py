"""What a role's file holds, from small marts and small policies."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from orchestration.governance.register import read_register
from orchestration.release import Release, ReleaseError, read_manifest
from orchestration.release.roles import Query, Role, queries, read_roles, unknown_names
from orchestration.settings import Settings

Publish = Callable[..., Release]

PEOPLE = """
    create table marts.customers as
    select
        'cus_' || range as customer_id, 'ann' || range || '@x.test' as email,
        date '1980-05-17' + range::integer as birth_date, 30 + range as age_years,
        if(range < 3, null, '10' || (100 + range)) as postcode,
        range % 2 = 0 as is_contactable_by_email, 'x' as never_classified
    from range(25)
"""
ORDERS = """
    create table marts.orders as
    select 'cus_' || (range % 25) as customer_id, if(range % 25 < 12, 'shop', 'pos') as channel,
        'ord_' || range as order_key
    from range(300)
"""


def role(name: str = "analyst", **entries: Any) -> Role:
    given = {"description": "Reads.", "mode": "0640", "tables": "everything"} | entries
    return Role.model_validate({"name": name, **given})


def ask(release: Release, name: str, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(release.role_database(name)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def columns(release: Release, name: str, table: str) -> list[str]:
    return [column for column, *_ in ask(release, name, f"describe marts.{table}")]


def test_a_column_follows_its_own_rule_else_that_of_its_class_and_is_hidden_without_either(
    release: Publish,
) -> None:
    published = release(
        PEOPLE,
        roles=[
            role(
                classes={"none": "show", "direct": "hide", "pseudonym": "show"},
                columns={"birth_date": "year", "age_years": "decade", "postcode": "area"},
            )
        ],
    )
    assert columns(published, "analyst", "customers") == [
        "customer_id",
        "birth_date",
        "age_years",
        "postcode",
        "is_contactable_by_email",
    ]
    seen = ask(published, "analyst", "select distinct birth_date::varchar from marts.customers")
    assert seen == [("1980-01-01",)]
    ages = ask(published, "analyst", "select distinct age_years from marts.customers order by 1")
    assert ages == [(30,), (40,), (50,)]
    areas = ask(published, "analyst", "select distinct postcode from marts.customers order by 1")
    assert areas == [("10",), (None,)]


def test_pseudonyms_join_within_a_file_and_with_nothing_else(release: Publish) -> None:
    sees: dict[str, Any] = {"classes": {"none": "show", "pseudonym": "pseudonym"}}
    published = release(PEOPLE, ORDERS, roles=[role(**sees), role("scientist", **sees)])
    joined = "select count(*) from marts.orders inner join marts.customers using (customer_id)"
    assert ask(published, "analyst", joined) == [(300,)]
    distinct = "select distinct customer_id from marts.customers"
    one, other = (set(ask(published, name, distinct)) for name in ("analyst", "scientist"))
    assert len(one) == len(other) == 25
    assert not one & other
    again = release(PEOPLE, roles=[role(**sees)])
    assert set(ask(again, "analyst", distinct)) == one


def test_another_installation_gives_other_pseudonyms(release: Publish, settings: Settings) -> None:
    sees = role(classes={"pseudonym": "pseudonym"})
    distinct = "select distinct customer_id from marts.customers"
    here = ask(release(PEOPLE, roles=[sees]), "analyst", distinct)
    settings.erasure_key.write_text("7b" * 32)
    assert not {*here} & {*ask(release(PEOPLE, roles=[sees]), "analyst", distinct)}


def test_a_value_is_shown_only_where_its_condition_holds_and_a_row_only_where_its_does(
    release: Publish,
) -> None:
    policy = {
        "customers": {
            "rows": "age_years >= 40",
            "columns": {"age_years": "show", "email": "show when is_contactable_by_email"},
        }
    }
    published = release(PEOPLE, ORDERS, roles=[role("marketing", tables=policy)])
    seen = ask(published, "marketing", "select age_years, email from marts.customers order by 1")
    assert [age for age, _ in seen] == [*range(40, 55)]
    assert {email for age, email in seen if age % 2} == {None}
    assert [email for age, email in seen if not age % 2] == [
        f"ann{number}@x.test" for number in range(10, 25, 2)
    ]
    assert read_manifest(published).roles == {"marketing": {"customers": 15}}


def test_a_figure_of_fewer_people_than_the_floor_is_left_out(release: Publish) -> None:
    made = {
        "by_channel": {
            "from": "orders",
            "by": {"channel": "channel"},
            "measures": {"order_count": "count(*)"},
        }
    }

    def seen(floor: int) -> list[tuple[Any, ...]]:
        sees = role("dashboard", tables=made, floor=floor)
        return ask(release(ORDERS, roles=[sees]), "dashboard", "from marts.by_channel order by all")

    assert seen(12) == [("pos", 13, 156), ("shop", 12, 144)]
    assert seen(13) == [("pos", 13, 156)]
    assert seen(14) == []


def test_a_small_count_hides_itself_what_stands_beside_it_and_a_small_rest_of_its_whole(
    release: Publish,
) -> None:
    counted = """
        create table marts.cohort_retention as
        select * from (values (1, 100, 40, 0.4), (2, 100, 9, 0.09), (3, 100, 95, 0.95),
            (4, 100, 0, 0), (5, 100, 100, 1), (6, 8, 4, 0.5), (7, null, null, null))
            as t (period_offset, cohort_size, retained_count, retained_ratio)
    """
    policy = {
        "cohort_retention": {
            "classes": {"none": "show"},
            "counts": {
                "cohort_size": {"with": ["retained_count", "retained_ratio"]},
                "retained_count": {"of": "cohort_size", "with": ["retained_ratio"]},
            },
        }
    }
    published = release(counted, roles=[role("dashboard", tables=policy, floor=10)])
    shown = ask(published, "dashboard", "from marts.cohort_retention order by period_offset")
    assert [(row[0], row[1], row[2], row[3] is not None) for row in shown] == [
        (1, 100, 40, True),
        (2, 100, None, False),
        (3, 100, None, False),
        (4, 100, 0, True),
        (5, 100, 100, True),
        (6, None, None, False),
        (7, None, None, False),
    ]


def test_a_policy_that_does_not_fit_the_marts_publishes_nothing_and_says_where(
    release: Publish, settings: Settings
) -> None:
    first = release(PEOPLE, roles=[])
    sees = role(
        "marketing", tables={"customers": {"rows": "is_content", "columns": {"email": "show"}}}
    )
    with pytest.raises(ReleaseError, match=r"Role marketing, customers: .*is_content"):
        release(PEOPLE, roles=[sees])
    assert settings.current.resolve() == first.path.resolve()
    assert [path.name for path in settings.releases.iterdir() if path.name != ".lock"] == [first.id]


def test_an_older_release_without_files_of_roles_can_still_be_read(release: Publish) -> None:
    published = release(PEOPLE, roles=[])
    published.manifest.chmod(0o644)
    text = published.manifest.read_text().replace('"roles": {}', '"unknown": {}')
    published.manifest.write_text(text)
    assert read_manifest(published).roles == {}


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"mode": "0666"}, "mode: Input should be '0600'"),
        ({"tables": "all"}, "everything"),
        ({"classes": {"secret": "show"}}, "'none', 'pseudonym'"),
        ({"classes": {"none": "mask"}}, "'mask' is no rule; the rules are show, pseudonym"),
        ({"column": {}}, "column: Extra inputs are not permitted"),
        ({"floor": -1}, "greater than or equal to 0"),
        ({"tables": {"t": {"from": "orders"}}}, "t needs both `from` and `by`"),
        ({"tables": {"t": {"from": "orders", "by": {"a": "a"}}}}, "the role needs a `floor`"),
        ({"tables": {"t": {"counts": {"n": {}}}}}, "the role needs a `floor`"),
        ({"tables": {"t": {"measures": {"n": "count(*)"}}}}, "t has measures; say `from`"),
        (
            {
                "floor": 5,
                "tables": {"t": {"from": "o", "by": {"a": "a"}, "columns": {"a": "show"}}},
            },
            "t is made for the role; it has no classes",
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_role_and_entry(
    tmp_path: Path, entries: Mapping[str, Any], sentence: str
) -> None:
    path = tmp_path / "roles.yml"
    given = {"description": "Reads.", "mode": "0640", "tables": "everything"} | dict(entries)
    path.write_text(yaml.safe_dump({"roles": {"analyst": given}}))
    with pytest.raises(ReleaseError) as refused:
        read_roles(path)
    assert f"{path}, role analyst" in str(refused.value)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", "roles: [a]", "roles: {a: b}", "roles: {", "a: b"])
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "roles.yml"
    path.write_text(content)
    with pytest.raises(ReleaseError, match=r"roles\.yml"):
        read_roles(path)


@pytest.mark.parametrize("name", ["steward", "warehouse", "working", "../x", "Analyst", "a b", ""])
def test_a_name_that_cannot_name_a_file_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "roles.yml"
    given = {"description": "Reads.", "mode": "0640", "tables": "everything"}
    path.write_text(yaml.safe_dump({"roles": {name: given}}))
    with pytest.raises(ReleaseError, match="cannot name a role"):
        read_roles(path)


def test_names_that_no_mart_has_are_told() -> None:
    marts = {"customers": ["customer_id"]}
    told = unknown_names(role("a", **{"except": ["orders"], "columns": {"emial": "show"}}), marts)
    listed = {"customers": {"columns": {"emial": "show"}}, "orders": {}}
    also = unknown_names(role("b", tables=listed), marts)
    assert list(itertools.chain(told, also)) == [
        "role a leaves out orders, which is no mart.",
        "role a has a rule for emial, which is a column of no mart.",
        "role b, customers: customers has no column emial.",
        "role b, orders: there is no mart orders.",
    ]


def test_a_table_of_which_nothing_may_be_seen_is_not_in_the_file() -> None:
    found = queries(
        role(classes={"none": "show"}), {"t": ["email"], "u": ["as_of_date"]}, read_register()
    )
    assert found == (
        Query(
            "u",
            ("as_of_date",),
            'select "as_of_date" as "as_of_date" from release.marts."u"',
            unchanged=("as_of_date",),
        ),
    )
