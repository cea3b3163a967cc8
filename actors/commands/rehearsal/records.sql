-- What the verdict is made of. The work of a time ($1 to $2) is what falls due in it and what was left open before.

-- name: work
select m.id, m.status, m.send_at,
    count(a.number) filter (where a.outcome = 'accepted') as accepted,
    count(a.number) filter (where a.outcome = 'rejected') as rejected,
    count(a.number) filter (where a.outcome = 'unknown') as unknown,
    min(a.started_at) as first_began,
    max(a.started_at) filter (where a.outcome = 'accepted') as accepted_began
from messages m
left join attempts a on a.message_id = m.id and a.local_year = m.local_year
where m.send_at < $2 and (m.send_at >= $1 or m.ended_at is null or m.ended_at >= $1) and m.status <> 'cancelled'
group by m.id, m.local_year
order by m.send_at, m.id

-- name: unplanned
-- Those of the days which are due by the calendar for which there is no message at all.
select count(*)
from unnest($1::uuid[], $2::text[], $3::smallint[]) as t (user_id, occasion, local_year)
where not exists (
    select from messages m
    where m.user_id = t.user_id and m.occasion = t.occasion and m.local_year = t.local_year)

-- name: on_record
-- Of the keys that the email service has accepted, those of messages that were tried.
select id from messages where id = any($1::uuid[]) and attempt > 0
