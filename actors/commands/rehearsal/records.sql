-- Records for the verdict. The work of a period ($1 to $2) is the messages due in it, and those still open from before.

-- name: work
select m.id, m.status, m.send_at,
    count(a.number) filter (where a.outcome = 'accepted') as accepted,
    count(a.number) filter (where a.outcome = 'permanent_failure') as refused,
    count(a.number) filter (where a.outcome = 'transient_failure') as rejected,
    count(a.number) filter (where a.outcome = 'unknown') as unknown,
    min(a.started_at) as first_began,
    max(a.started_at) filter (where a.outcome = 'accepted') as accepted_began
from messages m
left join attempts a on a.message_id = m.id and a.local_year = m.local_year
where m.send_at < $2 and (m.send_at >= $1 or m.ended_at is null or m.ended_at >= $1) and m.status <> 'cancelled'
group by m.id, m.local_year
order by m.send_at, m.id

-- name: unplanned
-- Greetings that are due by the calendar but have no message.
select count(*)
from unnest($1::uuid[], $2::text[], $3::smallint[]) as t (user_id, occasion, local_year)
where not exists (
    select from messages m
    where m.user_id = t.user_id and m.occasion = t.occasion and m.local_year = t.local_year)

-- name: on_record
-- Keys that the email service has accepted and that belong to messages with an attempt.
select id from messages where id = any($1::uuid[]) and attempt > 0
