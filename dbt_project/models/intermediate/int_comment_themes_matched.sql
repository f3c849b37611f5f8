-- Grain: one row per distinct comment and theme that it speaks of.
-- A text is looked at once per word that begins a keyword, never once per keyword.
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

words_of_texts as (
    {{ distinct_words('texts') }}
),

vocabulary as (
    select word from words_of_texts
    where word <> ''
    group by word
),

-- the words in use are few beside the texts, so that beginnings may be compared with each of them
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
)

select
    words_of_texts.text_key,
    words_of_keywords.theme,
    min(words_of_keywords.keyword) as keyword
from words_of_texts
inner join words_of_keywords on words_of_texts.word = words_of_keywords.word
where {{ holds_keyword('words_of_texts.words', 'words_of_keywords.keyword') }}
group by
    words_of_texts.text_key,
    words_of_keywords.theme
