{#- What a reader sees of a text: without HTML tags ("<3" is none) and outer blanks; null if
    nothing is left. -#}
{% macro visible_text(column) -%}
    nullif(
        trim(
            regexp_replace({{ column }}, '</?[a-zA-Z][^<>]*>', ' ', 'g'),
            ' ' || chr(9) || chr(10) || chr(13) || chr(160)
        ),
        ''
    )
{%- endmacro %}

{#- A letter without its forms: the line that greets, the line that says farewell with all that
    follows it, and "please". VADER takes "Dear", "please" and "Best regards" for joy: of the
    sample's tickets they made two in three positive. -#}
{% macro without_courtesies(text) -%}
    regexp_replace(
        regexp_replace(
            {{ text }},
            '(?ims)^[ \t]*(?:{{ farewells() | join('|') }})[ \t]*[,.!]*[ \t]*$.*',
            ''
        ),
        '(?im)^[ \t]*dear\b.{0,60},[ \t]*$|\bplease\b',
        '',
        'g'
    )
{%- endmacro %}

{% macro farewells() -%}
    {{ return([
        '(?:(?:with )?(?:best|kind|kindest|warm|warmest|many|my) )?(?:regards|wishes|greetings)',
        '(?:yours )?(?:sincerely|faithfully|truly)(?: yours)?',
        'respectfully(?: yours)?',
        'cheers',
        '(?:mit )?(?:freundlich|herzlich|best|viel|lieb|schön)e?n? gr(?:ü|ue)(?:ß|ss)en?',
        'cordialement|bien (?:à|a) vous',
        '(?:un )?(?:cordial )?saludos?(?: cordial(?:es)?)?|atentamente',
        '(?:cordiali|distinti) saluti',
        '(?:met )?vriendelijke groet(?:en)?',
        'atenciosamente',
    ]) }}
{%- endmacro %}

{#- Words of a text as ` word word `: lower case, without accents, one blank around each. -#}
{% macro spaced_words(column) -%}
    ' ' || trim(
        regexp_replace(
            lower(strip_accents(replace({{ column }}, 'ß', 'ss'))), '[^\p{L}\p{N}]+', ' ', 'g'
        )
    ) || ' '
{%- endmacro %}

{#- Rows (text_key, word) of a relation of texts with their spaced words. -#}
{% macro words_of(relation) -%}
    select
        text_key,
        unnest(string_split(trim(words), ' ')) as word
    from {{ relation }}
{%- endmacro %}

{#- Whether spaced words hold a keyword as whole words; a star is the rest of the last one. -#}
{% macro holds_keyword(words, keyword) -%}
    contains(
        {{ words }},
        ' ' || case
            when ends_with({{ keyword }}, '*') then rtrim({{ keyword }}, '*')
            else {{ keyword }} || ' '
        end
    )
{%- endmacro %}

{#- The value if it is on the scale, else null: what is off it cannot be averaged. -#}
{% macro on_scale(column, lowest, highest) -%}
    case when {{ column }} between {{ lowest }} and {{ highest }} then {{ column }} end
{%- endmacro %}

{#- Net promoter's three kinds of answers; null without a score or off its scale. -#}
{% macro nps_category(score) -%}
    case
        when {{ score }} between 9 and 10 then 'promoter'
        when {{ score }} between 7 and 8 then 'passive'
        when {{ score }} between 0 and 6 then 'detractor'
    end
{%- endmacro %}

{#- What a score of VADER means; a comment that it could not rate is unknown, never neutral. -#}
{% macro sentiment_category(score) -%}
    case
        when {{ score }} is null then 'unknown'
        when {{ score }} >= {{ var('sentiment_cut') }} then 'positive'
        when {{ score }} <= -{{ var('sentiment_cut') }} then 'negative'
        else 'neutral'
    end
{%- endmacro %}
