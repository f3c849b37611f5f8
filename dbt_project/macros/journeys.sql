{#- Lower-case host of an address, without user and port; null when it has none. -#}
{% macro url_host(column) -%}
    nullif(
        lower(regexp_extract(
            {{ column }}, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@?#]*@)?([^/:?#]+)', 1
        )),
        ''
    )
{%- endmacro %}

{#- A variable's number of units; refuses what is no number, below `least` or not above `above`. -#}
{% macro number_of(variable, unit, least=none, above=none) -%}
    {%- set amount = var(variable) -%}
    {%- set bound = least ~ " or more" if above is none else "above " ~ above -%}
    {%- if amount is boolean or amount is not number
        or (least is not none and amount < least) or (above is not none and amount <= above) -%}
        {{ exceptions.raise_compiler_error(
            variable ~ " is " ~ amount ~ "; say a number of " ~ unit ~ ", " ~ bound ~ "."
        ) }}
    {%- endif -%}
    {{ return(amount) }}
{%- endmacro %}

{#- An interval of a variable's number of units. -#}
{% macro interval_of(variable, unit) -%}
    {%- set seconds = {'minutes': 60, 'hours': 3600, 'days': 86400}[unit] -%}
    interval '{{ (number_of(variable, unit, least=0) * seconds) | round | int }} seconds'
{%- endmacro %}

{#- Steps that a path of channels may have; refuses what leaves no beginning, middle and end. -#}
{% macro journey_path_steps() -%}
    {{ return(number_of('journey_path_steps', 'steps', least=3) | int) }}
{%- endmacro %}

{#- Whose journey a purchase ends: the customer's; of those of nobody it is the UTC day's. -#}
{% macro journey_owner() -%}
    coalesce(customer_id, cast(cast(ordered_at as date) as varchar))
{%- endmacro %}

{#- Whether a journey whose last touch was then may go on. -#}
{% macro is_journey_awake(touched_at) -%}
    {{ touched_at }} + {{ interval_of('attribution_window_days', 'days') }} >= {{ as_of_end() }}
{%- endmacro %}

{#- Whether a cart that was filled then, and not bought, is left for good. -#}
{% macro is_cart_abandoned(carted_at) -%}
    {{ carted_at }} + {{ interval_of('abandoned_cart_hours', 'hours') }} < {{ as_of_end() }}
{%- endmacro %}

{#- Weight of a touch in the model time_decay: a whole number, a thousand million for the last touch
    and half of it for each half-life before. Only ratios count, so the last touch may be the one. -#}
{% macro decayed_weight(touched_at, last_touched_at) -%}
    cast(
        round(
            1000000000
            * pow(
                0.5,
                (epoch_us({{ last_touched_at }}) - epoch_us({{ touched_at }}))
                / ({{ number_of('attribution_half_life_days', 'days', above=0) }} * 86400000000.0)
            )
        ) as bigint
    )
{%- endmacro %}

{#- The models of attribution: the weight of a touch, the weight of the touches up to it, and that of
    all, as whole numbers from its position among touch_count touches. Position based gives 40 % to
    the first and the last and shares 20 % among those between; of two each gets half. -#}
{% macro attribution_models() -%}
    {{ return([
        {'name': 'first_touch', 'weight': 'case when touch_position = 1 then 1 else 0 end',
         'running': '1', 'total': '1'},
        {'name': 'last_touch', 'weight': 'case when touch_position = touch_count then 1 else 0 end',
         'running': 'case when touch_position = touch_count then 1 else 0 end', 'total': '1'},
        {'name': 'linear', 'weight': '1', 'running': 'touch_position', 'total': 'touch_count'},
        {'name': 'position_based',
         'weight': 'case when touch_count <= 2 then 1'
                   ' when touch_position in (1, touch_count) then 2 * (touch_count - 2) else 1 end',
         'running': 'case when touch_count <= 2 then touch_position'
                    ' when touch_position = touch_count then 5 * (touch_count - 2)'
                    ' else 2 * (touch_count - 2) + touch_position - 1 end',
         'total': 'case when touch_count <= 2 then touch_count else 5 * (touch_count - 2) end'},
        {'name': 'time_decay', 'weight': 'decayed_weight', 'running': 'running_decayed_weight',
         'total': 'total_decayed_weight'},
    ]) }}
{%- endmacro %}

{#- What a touch gets of an amount by a model: the share of all touches up to it, cut to the fourth
    decimal, less the share of those before. So the credits of an order add up to its amount, to the
    last decimal and for refunds as well, whatever the weights. -#}
{% macro credited_amount(amount, model) -%}
    {%- set units = "cast(cast(abs(" ~ amount ~ ") as decimal(28, 4)) * cast(10000 as decimal(5, 0))"
        ~ " as hugeint)" -%}
    cast(
        cast(
            (
                {{ units }} * ({{ model.running }}) // ({{ model.total }})
                - {{ units }} * ({{ model.running }} - ({{ model.weight }})) // ({{ model.total }})
            ) * sign({{ amount }}) as decimal(24, 0)
        ) * cast(0.0001 as decimal(4, 4)) as decimal(18, 4)
    )
{%- endmacro %}

{#- The steps of the funnel as SQL texts; refuses none. -#}
{% macro funnel_steps() -%}
    {%- set steps = var('funnel_steps') -%}
    {%- if steps is string or steps is not sequence or not steps -%}
        {{ exceptions.raise_compiler_error(
            "funnel_steps is " ~ steps ~ "; say a list of event types, in order."
        ) }}
    {%- endif -%}
    {%- set quoted = [] -%}
    {%- for step in steps -%}
        {%- do quoted.append("'" ~ (step | string | trim | lower | replace("'", "''")) ~ "'") -%}
    {%- endfor -%}
    {{ return(quoted) }}
{%- endmacro %}

{#- What a customer does with a mail; providers say it in the past tense or not. -#}
{% macro is_mail_open(event_type) -%}
    {{ event_type }} in ('open', 'opened')
{%- endmacro %}

{% macro is_mail_click(event_type) -%}
    {{ event_type }} in ('click', 'clicked')
{%- endmacro %}
