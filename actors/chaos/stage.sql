-- What the chaos command asks the database while faults hit it.

-- name: clock
select business_now() as now

-- name: greeted_since
select exists (select from attempts where outcome = 'accepted' and started_at > $1)

-- name: nothing_is_left_to
-- The latest start of each of these nodes: under the same name there may have been earlier ones.
with latest as (
    select distinct on (node) incarnation, ended_at from nodes where node = any($1::text[])
    order by node, incarnation desc
)
select not exists (select from latest where ended_at is null)
    and not exists (
        select from messages m join nodes n on n.incarnation = m.claimed_by
        where m.status = 'sending' and n.node = any($1::text[]))

-- name: lives
select exists (select from nodes where node = $1 and ended_at is null)

-- name: open
select count(*) from messages where ended_at is null

-- name: count
select count(*) from messages

-- name: has_tables
select to_regclass('users') is not null or to_regclass('messages') is not null

-- name: emptiness
select (select count(*) from users) as users, (select count(*) from messages) as messages,
    (select count(*) from nodes where ended_at is null) as nodes

-- name: history
-- Everything about some messages, for a person who has to find out what went wrong.
select to_jsonb(m) as message,
    (select jsonb_agg(to_jsonb(a) order by a.number, a.recorded_at) from attempts a where a.message_id = m.id) as attempts
from messages m
where m.id = any($1::uuid[])
