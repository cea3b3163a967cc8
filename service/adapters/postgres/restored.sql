-- name: due
-- Unsent and due messages of this database, by state.
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
-- Unsent messages become unknown, or sent. An attempt may have been made after the backup. It is recorded with an
-- unknown outcome, or as accepted if Redis remembers that.
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
        reschedule_to   = null,
        ended_at   = business_now(),
        status_reason     = $3
    from unsent
    where m.id = unsent.id and m.local_year = unsent.local_year
    returning m.id, m.local_year, m.attempt, m.service
),
logged as (
    insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, error, service)
    select id, local_year, attempt, $5, $2, business_now(), 0, $3, coalesce(service, 'primary') from moved
    on conflict do nothing
)
select id from moved
