-- Reads of the demo for a day: live figures, latest greetings, and users with a day.
-- The work of a day ($1 to $2) is the messages due in it, and those still open from the day before.

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
-- The accepted attempt, with the name of the user at that time.
select a.started_at as at, m.timezone, coalesce(u.location_city, m.timezone) as city, 
    rtrim(u.first_name || ' ' || u.last_name) as full_name, m.occasion, m.attempt
from (select * from messages where status = 'sent' order by ended_at desc, id desc limit $1) m
join users u on u.id = m.user_id
join attempts a on a.message_id = m.id and a.local_year = m.local_year and a.outcome = 'accepted'
order by m.ended_at desc, m.id desc

-- name: count_users
select count(*) from users

-- name: celebrants
-- Users with a day near that date, for a comparison with the calendar.
select u.id, u.timezone, u.created_at, d.occasion, d.date
from occasion_dates d
join users u on u.id = d.user_id
where d.month_day = any($1::smallint[]) and u.deleted_at is null
