"""Grain: one row per distinct comment: how it sounds by VADER, null where VADER cannot tell.

VADER knows English words only. It finds words of its lexicon in other languages too, with another
meaning (German die, war, Gift; French pain), so a comment whose small words are mostly foreign is
not rated; nor is one without any word of the lexicon, which says nothing, not something neutral.
"""

import csv
import hashlib
import html
import re
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

# VADER looks at all words again for many of those that it knows, so that twice as many take four
# times as long; and it writes out emoji as names of two or three words. What is left after this
# takes 0.4 s at worst; the 4,000th character of a comment changes nothing that anybody would ask.
LONGEST = 4000
MOST_EMOJI = 100
BATCH = 10_000


WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def words_of(text: str) -> list[str]:
    """Split into words: lower case, without accents; an apostrophe inside stays."""
    text = text.lower()
    if not text.isascii():
        text = "".join(
            character
            for character in unicodedata.normalize("NFD", text)
            if not unicodedata.combining(character)
        )
    return WORD.findall(text)


def language_of(text: str, languages_of: Mapping[str, frozenset[str]]) -> str | None:
    """Language that most small words belong to; English wins a tie, the alphabet any other.

    languages_of: word to the languages that have it. Null when there is no such word: a few words
    like "Great quality!" are taken for English unless a letter is not ASCII ("Qualité correcte").
    """
    counts = Counter(language for word in words_of(text) for language in languages_of.get(word, ()))
    if counts:
        return min(counts, key=lambda language: (-counts[language], language != "en", language))
    return None


def may_be_english(text: str, language: str | None) -> bool:
    """Tell whether the words of a text may be looked up in an English lexicon.

    Emoji have names of their own in VADER, so a text without any letter may be.
    """
    if language is None:
        return all(character.isascii() for character in text if character.isalpha())
    return language == "en"


def beginning(text: str, emojis: Mapping[str, str]) -> str:
    """Cut the text before the emoji that is one too many."""
    if text.isascii():
        return text
    places = [place for place, character in enumerate(text) if character in emojis]
    return text[: places[MOST_EMOJI]] if len(places) > MOST_EMOJI else text


def rate(
    text: str, analyzer: object, languages_of: Mapping[str, frozenset[str]]
) -> tuple[str | None, float | None]:
    """Return (language, VADER's compound score from -1 to 1), each None when it cannot be told."""
    visible = beginning(html.unescape(text[:LONGEST]), analyzer.emojis)
    # "don't" is a negation only with the plain apostrophe
    visible = visible.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    language = language_of(visible, languages_of)
    if not may_be_english(visible, language):
        return language, None
    scores = analyzer.polarity_scores(visible)
    if scores["compound"] == scores["pos"] == scores["neg"] == 0:
        return language, None
    return language, scores["compound"]


def rated(
    texts: Iterable[tuple[str, str]], words: Iterable[tuple[str, str]], rated_by: str
) -> Iterator[tuple[str, str | None, float | None, str]]:
    """Rate texts (key, text); yields (key, language, score, rated_by).

    words: (language, word) of the seed language_words. The lexicon is read when the first text
    comes, in 0.04 s.
    """
    languages = defaultdict(set)
    for language, word in words:
        languages[word].add(language)
    languages_of = {word: frozenset(found) for word, found in languages.items()}
    analyzer = None
    for key, text in texts:
        if analyzer is None:
            from vaderSentiment.vaderSentiment import (  # noqa: PLC0415 - imports requests, 0.2 s
                SentimentIntensityAnalyzer,
            )

            analyzer = SentimentIntensityAnalyzer()
        yield (key, *rate(text, analyzer, languages_of), rated_by)


COLUMNS = {
    "text_key": "varchar",
    "language": "varchar",
    "sentiment_score": "double",
    "rated_by": "varchar",
}


def model(dbt, session):
    """dbt's entry: rates the texts that the table of the last build does not hold already.

    A rating depends on nothing but the text and what `rated_by` is a digest of: this file, VADER's
    version and the words of languages. So ratings of another build are as good as new ones.
    """
    comments = dbt.ref("int_comments_collected")  # noqa: F841 - DuckDB reads it by its name
    language_words = dbt.ref("language_words")  # noqa: F841

    words = session.sql(
        "select language, word from language_words order by language, word"
    ).fetchall()
    digest = hashlib.md5(Path(__file__).read_bytes(), usedforsecurity=False)
    digest.update(repr((version("vaderSentiment"), words)).encode())
    rated_by = digest.hexdigest()
    is_built = session.sql(
        "select count(*) = 4 from duckdb_columns() where"
        f" database_name = '{dbt.this.database}' and schema_name = '{dbt.this.schema}'"
        f" and table_name = '{dbt.this.identifier}' and column_name in {tuple(COLUMNS)}"
    ).fetchall()[0][0]
    before = (
        f"select * from {dbt.this} where rated_by = '{rated_by}'"
        if is_built
        else "select null as text_key, null as language, null as sentiment_score,"
        " null as rated_by where false"
    )
    session.sql(f"create or replace temp table rated_before as {before}")
    unrated = session.sql(
        "select text_key, any_value(text) from comments"
        " anti join rated_before using (text_key) group by text_key"
    )
    # Through a file: Arrow and bound parameters import pandas, which takes longer than the rest.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rated.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rated(batches(unrated), words, rated_by))
        session.sql(
            "create or replace temp table rated as"
            f" from read_csv('{path}', header = false, auto_detect = false, delim = ',',"
            f" quote = '\"', columns = {COLUMNS})"
            " union all by name select rated_before.* from rated_before"
            " semi join comments using (text_key)"
        )
    return session.table("rated")


def batches(relation):
    """Yield the rows of a relation without holding all of them at a time."""
    while rows := relation.fetchmany(BATCH):
        yield from rows
