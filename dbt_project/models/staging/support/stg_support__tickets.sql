-- Grain: one row per support ticket.
-- The requester is one text field here; identity takes it apart.
with newest_per_ticket as (
    {{ newest_versions(source('support', 'tickets'), key='ticket_id', cursor='updated_at') }}
),

typed as (
    select
        'support:' || ticket_id as source_record_id,
        ticket_id,
        requester_name,
        requester_email,
        requester_phone,
        subject,
        body,
        lower(trim(channel)) as channel,
        lower(trim(priority)) as priority,
        lower(trim(status)) as status,
        {{ utc('opened_at') }} as opened_at,
        {{ utc('first_reply_at') }} as first_replied_at,
        {{ utc('solved_at') }} as solved_at,
        {{ whole_number('csat_score') }} as csat_score,
        {{ utc('updated_at') }} as updated_at,
        _loaded_at,
        _source_file,
        _row_hash
    from newest_per_ticket
)

select * from typed
