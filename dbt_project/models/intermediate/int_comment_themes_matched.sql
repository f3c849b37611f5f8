-- Grain: one row per distinct comment and theme that it speaks of.
-- Only words that begin a keyword are looked at again; all others are gone after one join.
with texts as (
    select
        text_key,
        {{ spaced_words('any_value(text)') }} as words
    from {{ ref('int_comments_collected') }}
    group by text_key
),

keywords as (
    select
        theme,
        keyword,
        split_part(keyword, ' ', 1) as first_word
    from {{ ref('feedback_themes') }}
),

-- words are told apart before they meet the keywords: a million comments know few of them
vocabulary as (
    select word from ({{ words_of('texts') }})
    where word <> ''
    group by word
),

words_of_keywords as (
    select
        vocabulary.word,
        keywords.theme,
        keywords.keyword
    from vocabulary
    inner join keywords
        on
            vocabulary.word = keywords.first_word
            or (
                ends_with(keywords.first_word, '*')
                and starts_with(vocabulary.word, rtrim(keywords.first_word, '*'))
            )
),

found as (
    select
        words_of_texts.text_key,
        words_of_keywords.theme,
        words_of_keywords.keyword
    from ({{ words_of('texts') }}) as words_of_texts
    inner join words_of_keywords on words_of_texts.word = words_of_keywords.word
    group by
        words_of_texts.text_key,
        words_of_keywords.theme,
        words_of_keywords.keyword
)

select
    found.text_key,
    found.theme,
    min(found.keyword) as keyword
from found
inner join texts on found.text_key = texts.text_key
where {{ holds_keyword('texts.words', 'found.keyword') }}
group by
    found.text_key,
    found.theme
