-- name: followed
select nullif(p.tzdata, '') as release, p.up_to,
    not exists (select from nodes n where n.ended_at is null and n.tzdata is distinct from $1) as agreed
from planning p

-- name: unsent
-- A scan of what is unsent, once for each release of the zone data.
select m.occasion, m.local_year, d.month_day, m.timezone, m.send_at, count(*) as messages
from messages m
join occasion_dates d on d.user_id = m.user_id and d.occasion = m.occasion
where m.status in ('scheduled', 'queued', 'retrying') and m.redriven_at is null and m.tzdata <> $1
group by m.occasion, m.local_year, d.month_day, m.timezone, m.send_at
order by m.send_at, m.timezone, m.occasion

-- name: shift
-- The row decides: whoever was sent, edited or redriven since it was counted is left alone.
with shifted as (
    select *
    from unnest($1::text[], $2::smallint[], $3::smallint[], $4::text[], $5::timestamptz[], $6::timestamptz[])
        as t (occasion, local_year, month_day, timezone, was, send_at)
),
held as (
    select m.id, m.local_year, s.send_at
    from shifted s
    join messages m
        on m.occasion = s.occasion and m.local_year = s.local_year and m.timezone = s.timezone and m.send_at = s.was
    join occasion_dates d on d.user_id = m.user_id and d.occasion = m.occasion and d.month_day = s.month_day
    where m.status in ('scheduled', 'queued', 'retrying') and m.redriven_at is null
    order by m.id
    for update of m
)
update messages m set
    status  = 'scheduled',
    send_at = held.send_at,
    due_at  = greatest(held.send_at, business_now()),
    tzdata  = $7,
    reason  = 'moved: the time zone has changed, by tzdata ' || $7
from held
where m.id = held.id and m.local_year = held.local_year

-- name: note
update planning set tzdata = $1
where tzdata < $1 and not exists (select from nodes n where n.ended_at is null and n.tzdata is distinct from $1)

-- name: fall_back
update planning set tzdata = $1 where tzdata > $1
