-- fragment: entry
-- send_at is text, because 24:00 is a time of day in PostgreSQL only.
code, subject, template, template_with_years, texts, send_at::text as send_at, leap_day, weekend, offset_days, active,
    active_since, version, text_version, created_at, updated_at

-- name: all
select {{entry}} from occasions order by code

-- name: get
select {{entry}} from occasions where code = $1

-- name: wait_for_writers
-- The lock of the trigger check_occasion: one writer at a time.
select pg_advisory_xact_lock(hashtext('heyday.occasions'))

-- name: lock
-- This lock lets others write rows that refer to the occasion. A transaction that changes the rules does so while it
-- holds the row of planning.
select version from occasions where code = $1 for no key update

-- name: count
select count(*) from occasions

-- name: create
-- The trigger check_occasion refuses texts that cannot be rendered, and counts the versions.
insert into occasions
    (code, subject, template, template_with_years, texts, send_at, leap_day, weekend, offset_days, active)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
returning {{entry}}

-- name: change
update occasions set
    subject = $2, template = $3, template_with_years = $4, texts = $5, send_at = $6, leap_day = $7, weekend = $8,
    offset_days = $9, active = $10
where code = $1
returning {{entry}}

-- name: has_dates
select exists (select from occasion_dates where occasion = $1)

-- name: use_summaries
-- Until the end of the transaction, has_messages uses messages_of_occasion. If an occasion has no messages, any other plan
-- reads a whole table or index, and the statistics may make it look cheap.
select set_config(name, value, true)
from (values ('enable_seqscan', 'off'), ('enable_indexscan', 'off'), ('enable_indexonlyscan', 'off'),
    ('plan_cache_mode', 'force_custom_plan')) as t (name, value)

-- name: has_messages
-- Messages have no foreign key to it, because the check would cost planning a look-up for each row. They stay when a user
-- loses the date.
select exists (select from messages where occasion = $1)

-- name: drop_ranges
delete from plan_ranges where occasion = $1

-- name: delete
delete from occasions where code = $1
