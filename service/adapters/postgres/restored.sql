-- name: due
-- What this database thinks is still to be sent and is due, by state.
select status, count(*) as count, min(send_at) as oldest, max(send_at) as newest
from messages
where status in ('scheduled', 'queued', 'retrying', 'sending') and send_at <= $1
group by status
order by status

-- name: due_ids
select id, send_at from messages
where status in ('scheduled', 'queued', 'retrying', 'sending') and send_at <= $1 and ($2::uuid is null or id > $2)
order by id
limit $3

-- name: conclude
-- What is unsent here becomes unknown, or sent. An attempt that was perhaps made after the backup is an attempt whose
-- outcome nobody knows, one that Redis remembers was accepted: it is on record as that.
with unsent as (
    select id, local_year from messages
    where id = any($1::uuid[]) and status in ('scheduled', 'queued', 'retrying', 'sending')
    order by id
    for update
),
moved as (
    update messages m set
        status     = $4,
        attempt    = case when m.status = 'sending' then m.attempt else m.attempt + 1 end,
        claimed_by = null,
        moved_to   = null,
        ended_at   = business_now(),
        reason     = $3
    from unsent
    where m.id = unsent.id and m.local_year = unsent.local_year
    returning m.id, m.local_year, m.attempt
),
logged as (
    insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, error)
    select id, local_year, attempt, $5, $2, business_now(), 0, $3 from moved
    on conflict do nothing
)
select id from moved
