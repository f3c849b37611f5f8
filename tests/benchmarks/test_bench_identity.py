"""The parts of the identity benchmark that its figures stand on."""

import itertools
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy import count_pairs
from benchmarks.bench_identity import copies_of, differences
from benchmarks.identity_steps import identity_models, split_at_linkage
from benchmarks.measuring import Meter, Spent, StepFailedError, run_step
from benchmarks.people import COLUMNS, PeopleError, parse_map, read_people

# Cluster and person of each record, from few values, so that they meet often.
labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12)


def people_of(tmp_path: Path, text: str, mapping: str, **options: Any) -> list[tuple[Any, ...]]:
    """Read a file of people; return its records as they would be built, and the person of each."""
    path, people = tmp_path / "people.csv", tmp_path / "people.parquet"
    path.write_text(text)
    read_people(path, parse_map(mapping), options["truth"], options.get("pattern"), people)
    with duckdb.connect() as connection:
        return connection.execute(
            "select source_record_id, first_name, birth_date::varchar, street, person_id"
            f" from read_parquet('{people}') order by source_record_id"
        ).fetchall()


@given(labels)
def test_pairs_counted_by_group_sizes_are_the_pairs_listed_one_by_one(
    records: list[tuple[int, int]],
) -> None:
    pairs = list(itertools.combinations(records, 2))
    claimed = [pair for pair in pairs if pair[0][0] == pair[1][0]]
    true = [pair for pair in pairs if pair[0][1] == pair[1][1]]
    both = [pair for pair in claimed if pair in true and pair[0][1] == pair[1][1]]
    with duckdb.connect() as connection:
        connection.execute("create table labelled (cluster_id int, person_id int)")
        if records:
            connection.executemany("insert into labelled values (?, ?)", records)
        found = count_pairs(connection, "labelled")
    assert found.precision == pytest.approx(len(both) / len(claimed) if claimed else 1)
    assert found.recall == pytest.approx(len(both) / len(true) if true else 1)


def test_copies_of_people_are_other_people_with_the_same_companions(tmp_path: Path) -> None:
    text = "id,first,last,email,born\n7,Ann,Oak,ann.oak@mail.test,1980-04-12\n7,Zoe,,z@x.test,\n"
    mapping = "first_name=first last_name=last email=email birth_date=born"
    people_of(tmp_path, text, mapping, truth="id")
    copied = copies_of(tmp_path / "people.parquet", 2, tmp_path / "copies.parquet")
    with duckdb.connect() as connection:
        found = connection.execute(
            "select first_name, last_name, email, birth_date::varchar, person_id"
            f" from read_parquet('{copied}') order by all"
        ).fetchall()
    assert found == [
        ("Ann", "Oak", "ann.oak@mail.test", "1980-04-12", "7#0"),
        ("Apf", None, "a@x.test", None, "7#1"),
        ("Boo", "Pbl", "boo.pbl@mail.test", "1980-04-13", "7#1"),
        ("Zoe", None, "z@x.test", None, "7#0"),
    ]


@given(labels)
def test_a_record_differs_when_its_companions_do_and_cluster_ids_do_not_matter(
    records: list[tuple[int, int]],
) -> None:
    def companions(side: int) -> list[frozenset[int]]:
        return [
            frozenset(i for i, other in enumerate(records) if other[side] == record[side])
            for record in records
        ]

    expected = sum(one != other for one, other in zip(companions(0), companions(1), strict=True))
    with duckdb.connect() as connection:
        connection.execute("create table one (source_record_id varchar, cluster_id varchar)")
        connection.execute("create table other (source_record_id varchar, cluster_id varchar)")
        for i, (one, other) in enumerate(records):
            connection.execute(f"insert into one values ('r{i}', 'a{one}')")
            connection.execute(f"insert into other values ('r{i}', 'b{other}')")
        assert differences(connection, "one", "other") == (expected, len(records))


def test_a_record_that_only_one_side_has_differs() -> None:
    with duckdb.connect() as connection:
        connection.execute("create table one as select 'r' as source_record_id, 'a' as cluster_id")
        connection.execute("create table other as from one where false")
        assert differences(connection, "one", "other") == (1, 1)


def test_a_map_names_the_columns_that_fill_ours() -> None:
    assert parse_map("last_name=surname street=number+road") == {
        "last_name": ["surname"],
        "street": ["number", "road"],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The map is empty"),
        ("last_name", "'last_name', which is not ours=theirs"),
        ("last_name=", "'last_name=', which is not ours=theirs"),
        ("street=number+", "'street=number+', which is not ours=theirs"),
        ("surname=last_name", "fills 'surname', but the columns of a record are"),
        ("source=origin", "fills 'source', but the columns of a record are"),
        ("city=town city=place", "fills 'city' twice"),
    ],
)
def test_a_bad_map_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(PeopleError, match=sentence.replace("+", r"\+")):
        parse_map(text)


def test_blanks_around_names_and_values_do_not_count(tmp_path: Path) -> None:
    text = "rec_id, given, born, number, road\nrec-7-dup-0,  ann , 19560409, 7, high street\n"
    mapping = "source_record_id=rec_id first_name=given birth_date=born street=number+road"
    assert people_of(tmp_path, text, mapping, truth="rec_id", pattern=r"(rec-\d+)") == [
        ("people:rec-7-dup-0", "ann", "1956-04-09", "7 high street", "rec-7")
    ]


def test_a_bad_date_is_missing_and_counted_aloud(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,born,who\n1,19569999,a\n2,1956-04-09,a\n3,,b\n")
    mapping = parse_map("source_record_id=id birth_date=born")
    remarks = read_people(path, mapping, "who", None, tmp_path / "people.parquet")
    assert remarks == [
        "birth_date: 1 of 2 values are no date ('19569999' for one); they count as missing."
    ]


def test_people_have_the_columns_of_the_unioned_records(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("name,who\nann,a\n")
    read_people(path, parse_map("first_name=name"), "who", None, tmp_path / "people.parquet")
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"describe from read_parquet('{tmp_path / 'people.parquet'}')"
        ).fetchall()
    assert [(name, type_.lower()) for name, type_, *_ in rows] == [
        *COLUMNS.items(),
        ("person_id", "varchar"),
    ]


@pytest.mark.parametrize(
    ("text", "truth", "pattern", "sentence"),
    [
        ("name,who\nann,a\n", "whom", None, "has no column 'whom'; it has name, who"),
        ("nam,who\nann,a\n", "who", None, "has no column 'name'; it has nam, who"),
        ("name,who\nann,\n", "who", None, "1 of the 1 records of .* have no 'who'"),
        ("name,who\nann,a\n", "who", r"(\d+)", "have no 'who' that matches"),
        ("name,who\nann,a\n", "who", r"\w+", "has 0 groups and needs one"),
        ("name,who\nann,a\n", "who", "(", "is no regular expression"),
        ("name,who\nann,a\n", "who", "(a)(?=b)?", "cannot be used"),
        ("name,who\n", "who", None, "has no record"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(
    tmp_path: Path, text: str, truth: str, pattern: str | None, sentence: str
) -> None:
    with pytest.raises(PeopleError, match=sentence):
        people_of(tmp_path, text, "first_name=name", truth=truth, pattern=pattern)


def test_a_missing_file_and_a_repeated_id_are_refused(tmp_path: Path) -> None:
    mapping = parse_map("source_record_id=id")
    with pytest.raises(PeopleError, match="There is no file"):
        read_people(tmp_path / "none.csv", mapping, "who", None, tmp_path / "people.parquet")
    with pytest.raises(PeopleError, match="2 records and 1 ids"):
        people_of(tmp_path, "id,who\n1,a\n1,b\n", "source_record_id=id", truth="who")


def test_what_needs_staging_is_not_built_except_through_the_given_models() -> None:
    parents = {
        "int_records_unioned": {"staging.contacts"},
        "int_visitors_linked": {"staging.events"},
        "int_pairs_scored": {"int_records_unioned"},
        "int_records_clustered": {"int_pairs_scored"},
        "int_sources": {"int_records_clustered", "int_visitors_linked"},
        "int_consents": {"int_sources", "staging.consents"},
        "int_consents_counted": {"int_consents"},
    }
    assert identity_models(parents) == ["int_pairs_scored", "int_records_clustered", "int_sources"]
    assert split_at_linkage(parents) == {
        "before": [],
        "linkage": ["int_pairs_scored", "int_records_clustered"],
        "after": ["int_sources"],
    }


def test_a_model_between_two_of_the_linkage_must_be_named() -> None:
    parents = {
        "int_pairs_scored": {"int_records_unioned"},
        "int_between": {"int_pairs_scored"},
        "int_records_clustered": {"int_between"},
    }
    with pytest.raises(StepFailedError, match="int_between stands between"):
        split_at_linkage(parents)


def test_a_phase_is_measured_and_a_second_time_adds_up() -> None:
    meter = Meter()
    for _ in range(2):
        with meter.phase("sum"):
            sum(range(1_000_000))
    spent = meter.phases["sum"]
    assert spent.cpu_seconds > 0
    assert spent.peak_mib > 0
    assert spent + Spent(1.0, 1.0, 0) == Spent(
        spent.cpu_seconds + 1, spent.seconds + 1, spent.peak_mib
    )


def test_a_step_that_fails_says_what_it_said_last(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match=r"nothing_of_this_name.*failed: KeyError"):
        run_step("benchmarks.identity_steps", "nothing_of_this_name", {}, tmp_path)
