-- name: followed
select nullif(p.tzdata, '') as release, p.planned_until,
    not exists (select from nodes n where n.ended_at is null and n.tzdata is distinct from $1) as agreed,
    coalesce((select max(incarnation) from nodes), 0) as latest_node
from planning p

-- name: unsent
-- Scans all unsent messages, once for each release of the zone data.
select m.occasion, m.local_year, d.month_day, m.timezone, m.send_at, count(*) as messages
from messages m
join occasion_dates d on d.user_id = m.user_id and d.occasion = m.occasion
where m.status in ('scheduled', 'queued', 'retrying') and m.redriven_at is null and m.tzdata <> $1
group by m.occasion, m.local_year, d.month_day, m.timezone, m.send_at
order by m.send_at, m.timezone, m.occasion

-- fragment: to_shift
-- The row decides: a message that was sent, edited or redriven after the count stays as it is.
select m.id, m.local_year, s.send_at
    from unnest($1::text[], $2::smallint[], $3::smallint[], $4::text[], $5::timestamptz[], $6::timestamptz[])
        as s (occasion, local_year, month_day, timezone, was, send_at)
    join messages m
        on m.occasion = s.occasion and m.local_year = s.local_year and m.timezone = s.timezone and m.send_at = s.was
    join occasion_dates d on d.user_id = m.user_id and d.occasion = m.occasion and d.month_day = s.month_day
    where m.status in ('scheduled', 'queued', 'retrying') and m.redriven_at is null

-- name: shift_ids
{{to_shift}}

-- name: shift
-- $8: only these ids, or null.
with held as (
    {{to_shift}} and ($8::uuid[] is null or m.id = any($8))
    order by m.id
    for update of m
)
update messages m set
    status  = 'scheduled',
    send_at = held.send_at,
    due_at  = greatest(held.send_at, business_now()),
    tzdata  = $7,
    status_reason  = 'moved: the time zone has changed, by tzdata ' || $7
from held
where m.id = held.id and m.local_year = held.local_year
returning m.id

-- name: note
-- No node had another release when the unsent messages were read, and none has begun since. $2: the highest incarnation
-- at that time. A node that has begun and ended meanwhile may have planned by its own release.
update planning set tzdata = $1
where tzdata < $1 and not exists (
    select from nodes n where n.tzdata is distinct from $1 and (n.ended_at is null or n.incarnation > $2))

-- name: fall_back
update planning set tzdata = $1 where tzdata > $1
