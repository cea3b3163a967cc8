-- What the demo reads of a day: the live figures, the latest greetings, and everything that the summary is made of.
-- The work of a day ($1 to $2) is what falls due in it and what the day before has left open.

-- name: by_zone
select timezone,
    count(*) filter (where status = 'scheduled') as waiting,
    count(*) filter (where status in ('queued', 'sending')) as leaving,
    count(*) filter (where status = 'retrying') as retrying,
    count(*) filter (where status = 'sent') as sent,
    count(*) filter (where status in ('failed', 'expired', 'unknown')) as lost,
    count(*) filter (where status = 'sent' and attempt > 1) as retried
from messages
where send_at < $2 and (send_at >= $1 or ended_at is null or ended_at >= $1) and status <> 'cancelled'
group by timezone

-- name: attempts
select outcome, count(*) as count from attempts where started_at >= $1 group by outcome

-- name: latest
-- The attempt that was accepted, with the person as the service got to know them.
select a.started_at as at, m.timezone, coalesce(u.location_city, m.timezone) as city, 
    u.first_name || ' ' || u.last_name as full_name, m.occasion, m.attempt
from (select * from messages where status = 'sent' order by ended_at desc, id desc limit $1) m
join users u on u.id = m.user_id
join attempts a on a.message_id = m.id and a.local_year = m.local_year and a.outcome = 'accepted'
order by m.ended_at desc, m.id desc

-- name: count_users
select count(*) from users

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

-- name: celebrants
-- Whoever has a day near that date, to be compared with the calendar.
select u.id, u.timezone, u.created_at, d.occasion, d.date
from occasion_dates d
join users u on u.id = d.user_id
where d.month_day = any($1::smallint[]) and u.deleted_at is null

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
