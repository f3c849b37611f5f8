"""What VADER may rate, what it makes of odd texts, and that a text is rated once."""

import csv
import importlib.util
import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from orchestration.settings import PROJECT_ROOT
from orchestration.transform.dbt import DBT_PROJECT

spec = importlib.util.spec_from_file_location(
    "int_comments_rated", DBT_PROJECT / "models" / "intermediate" / "int_comments_rated.py"
)
assert spec is not None
assert spec.loader is not None
comments: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(comments)

with (PROJECT_ROOT / "seeds" / "reference" / "language_words.csv").open(encoding="utf-8") as seed:
    WORDS = [(line["language"], line["word"]) for line in csv.DictReader(seed)]
LANGUAGES: dict[str, frozenset[str]] = defaultdict(frozenset)
for language, word in WORDS:
    LANGUAGES[word] |= {language}
ANALYZER = SentimentIntensityAnalyzer()


def rate(text: str) -> tuple[str | None, float | None]:
    found: tuple[str | None, float | None] = comments.rate(text, ANALYZER, LANGUAGES)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "The mic is great.",
        "Love it!",
        "Great quality",
        "Five stars, thanks!!!",
        "It's naïve, but I like it",
        "I want to die for this cake",
        "No problem",
        "TOP!!!",
        "😀",
        "<3",
    ],
)
def test_an_english_comment_is_rated_as_vader_rates_it(text: str) -> None:
    assert rate(text)[1] == ANALYZER.polarity_scores(text)["compound"] != 0


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Die Größe passt perfekt.", "de"),  # die
        ("Die Lieferung war in Ordnung", "de"),  # war
        ("Sehr gut 😀", "de"),
        ("Un bon pain, merci", "fr"),  # pain
        ("Très déçu, le produit est cassé.", "fr"),
        ("El producto es super malo", "es"),
        ("Molto bene, grazie", "it"),
        ("Die was kapot en niet goed", "nl"),
        ("Não recomendo, péssimo", "pt"),
        ("Qualité super", None),
        ("Тест super", None),
        ("很好 great", None),
    ],
)
def test_a_foreign_comment_is_unknown_though_vader_knows_some_of_its_words(
    text: str, language: str | None
) -> None:
    assert rate(text) == (language, None)


@pytest.mark.parametrize(
    "text", ["", " ", "n/a", "It took three weeks.", "The red one", "\x00", "👍"]
)
def test_a_comment_without_any_word_that_vader_knows_is_unknown_and_not_neutral(text: str) -> None:
    assert rate(text)[1] is None


def test_what_is_glad_and_cross_in_equal_parts_is_neutral_and_not_unknown() -> None:
    analyzer = SimpleNamespace(
        emojis={}, polarity_scores=lambda _: {"compound": 0.0, "pos": 0.5, "neg": 0.5}
    )
    assert comments.rate("good and bad", analyzer, LANGUAGES) == ("en", 0.0)


def test_entities_and_curly_apostrophes_are_read_as_people_see_them() -> None:
    assert rate("I don\N{RIGHT SINGLE QUOTATION MARK}t like it") == rate("I don't like it")
    assert rate("Great &amp; good &lt;3") == rate("Great & good <3")


@pytest.mark.parametrize(
    "text",
    [
        "good " * 200_000,
        "good bad but " * 100_000,
        "x :) " * 200_000,
        "😀" * 200_000,
        "a 😀 " * 200_000,
        "x" * 1_000_000,
        "\N{COMBINING ACUTE ACCENT}" * 1_000_000,
    ],
    ids=["words", "but", "smileys", "emoji", "words and emoji", "one word", "accents"],
)
def test_a_comment_of_a_megabyte_takes_no_longer_than_its_beginning(text: str) -> None:
    started = time.process_time()
    rate(text)
    # 0.3 s at worst; without the limits the second of these takes hours
    assert time.process_time() - started < 3


@given(st.text(max_size=200))
def test_any_text_is_unknown_or_between_minus_one_and_one(text: str) -> None:
    score = rate(text)[1]
    assert score is None or -1 <= score <= 1


@given(st.lists(st.sampled_from([word for _, word in WORDS]), max_size=8), st.randoms())
def test_the_language_hangs_on_the_words_and_not_on_their_order(
    words: list[str], random: Any
) -> None:
    before = comments.language_of(" ".join(words), LANGUAGES)
    random.shuffle(words)
    assert comments.language_of(" ".join(words), LANGUAGES) == before


class Build:
    """dbt's side of the model: two tables to read, and the table that it makes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.this = SimpleNamespace(database="memory", schema="main", identifier="rated_last")
        self.rated: list[str] = []

    def ref(self, name: str) -> duckdb.DuckDBPyRelation:
        return self.connection.table(name)

    def __call__(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
        """Build the table anew; `rated` tells which texts were given to VADER for it."""
        self.rated = []
        real = comments.rate

        def watched(text: str, *others: Any) -> Any:
            self.rated.append(text)
            return real(text, *others)

        with monkeypatch.context() as patch:
            patch.setattr(comments, "rate", watched)
            relation = comments.model(Named(self), self.connection)
        rows: list[tuple[Any, ...]] = relation.order("text_key").fetchall()
        columns = ", ".join(relation.columns)
        self.connection.execute("create or replace table rated_last as from rated")
        assert columns == "text_key, language, sentiment_score, rated_by"
        return rows


class Named:
    """What dbt hands to a Python model; the relation's name is its text."""

    def __init__(self, build: Build) -> None:
        self.ref = build.ref
        self.this = Relation(build.this)


class Relation:
    """A name that is also its parts."""

    def __init__(self, parts: SimpleNamespace) -> None:
        self.database, self.schema = parts.database, parts.schema
        self.identifier = parts.identifier

    def __str__(self) -> str:
        return f"{self.database}.{self.schema}.{self.identifier}"


@pytest.fixture
def build() -> Build:
    connection = duckdb.connect()
    connection.execute("create table int_comments_collected (text_key varchar, text varchar)")
    connection.execute("create table language_words (language varchar, word varchar)")
    connection.executemany("insert into language_words values (?, ?)", WORDS)
    return Build(connection)


def say(build: Build, *texts: str) -> None:
    for text in texts:
        build.connection.execute("insert into int_comments_collected values (md5($1), $1)", [text])


def test_a_text_is_rated_once_however_many_wrote_it_and_not_again_in_the_next_build(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(build, 'I "love", it\n', "I hate it", "I hate it", "Geht so.")
    first = build(monkeypatch)
    assert sorted(build.rated) == ["Geht so.", 'I "love", it\n', "I hate it"]
    assert sorted(score for _, _, score, _ in first if score) == [-0.5719, 0.6369]

    say(build, "It is new and good")
    build.connection.execute("delete from int_comments_collected where text = 'Geht so.'")
    second = build(monkeypatch)
    assert build.rated == ["It is new and good"]
    assert len(second) == 3
    assert set(first) & set(second) == {row for row in first if row[2]}


def test_all_texts_are_rated_again_when_the_words_of_languages_change(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(build, "I love it", "Geht so.")
    before = build(monkeypatch)
    build.connection.execute("delete from language_words where word = 'geht'")
    after = build(monkeypatch)
    assert sorted(build.rated) == ["Geht so.", "I love it"]
    assert [row[:3] for row in before] != after
    assert {row[3] for row in before} & {row[3] for row in after} == set()


def test_a_table_of_another_shape_is_no_obstacle_and_nothing_said_is_nothing_rated(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.connection.execute("create table rated_last (text_key varchar)")
    assert build(monkeypatch) == []
