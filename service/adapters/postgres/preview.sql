-- fragment: address
u.email_key,
    (select min(s.reason) from suppressions s where s.address_hash = sha256(convert_to(u.email_key, 'UTF8'))) as suppressed

-- name: days_with_users
-- The places of the days that a user has. Each is looked up in the index, once, however many users have it.
select days.place
from unnest($1::text[], $2::smallint[]) with ordinality as days (occasion, month_day, place),
    lateral (
        select from occasion_dates d where d.occasion = days.occasion and d.month_day = days.month_day limit 1
    ) d
order by days.place

-- name: of_day
-- One day of one occasion in the order of users, so that the cost depends on the page only. $4 maps each zone to its
-- instant. It is looked up in the object, because a join with 600 zones would lose the order or compare with all of
-- them. All three tables get the start of the page. Otherwise a merge join would read one of them from its beginning.
select u.id as person, u.timezone as zone, u.created_at, u.deleted_at, s.instant, {{address}},
    m.id, m.user_id, m.occasion, m.local_year, m.timezone, m.send_at, m.due_at, m.status, m.attempt, m.tzdata,
    m.planned_at, m.ended_at, m.redriven_at, m.status_reason, m.service,
    exists (
        select from plan_ranges r
        where r.occasion = $1 and r.local_year = $2 and r.month_day = $3
            and (r.after_user is null or d.user_id > r.after_user)
            and (r.until_user is null or d.user_id <= r.until_user)
            and s.instant >= r.starts_at and s.instant < r.ends_at
    ) as to_plan,
    extract(year from d.date) >= $2::smallint as is_first_year
from occasion_dates d
join users u on u.id = d.user_id
cross join lateral (select ($4::jsonb ->> u.timezone)::timestamptz as instant) s
left join messages m on m.user_id = d.user_id and m.occasion = $1 and m.local_year = $2
    and m.user_id > coalesce($5, '00000000-0000-0000-0000-000000000000'::uuid)
where d.occasion = $1 and d.month_day = $3
    and d.user_id > coalesce($5, '00000000-0000-0000-0000-000000000000'::uuid)
    and u.id > coalesce($5, '00000000-0000-0000-0000-000000000000'::uuid)
    and s.instant is not null
    and case
        when m.send_at >= $7 and m.send_at < $8 then true
        when m.send_at >= $9 and m.send_at < $10 then false
        else u.deleted_at is null or $11::boolean
    end
order by d.user_id
limit $6

-- name: orphaned
-- Messages of a window that of_day does not find, because the date or zone of their user, or the rules, have changed
-- since. $5: the keys that of_day finds, an object with keys occasion/local year/month and day/zone.
select u.id as person, u.timezone as zone, u.created_at, u.deleted_at, null::timestamptz as instant, {{address}},
    m.id, m.user_id, m.occasion, m.local_year, m.timezone, m.send_at, m.due_at, m.status, m.attempt, m.tzdata,
    m.planned_at, m.ended_at, m.redriven_at, m.status_reason, m.service,
    false as to_plan, false as is_first_year
from messages m
-- Joined by key, one by one: hashing all users would cost more with more users (hence the offset).
cross join lateral (select * from users where id = m.user_id offset 0) u
left join occasion_dates d on d.user_id = m.user_id and d.occasion = m.occasion
where m.send_at >= $1 and m.send_at < $2 and m.local_year = any($3::smallint[])
    and ($4::text is null or m.occasion = $4)
    and m.id > coalesce($6, '00000000-0000-0000-0000-000000000000'::uuid)
    and ($5::jsonb ? concat_ws('/', m.occasion, m.local_year, d.month_day, u.timezone)) is not true
order by m.id
limit $7

-- name: person
-- A row for each occasion in each of the years, with the stored data.
select u.id as person, u.timezone as zone, u.created_at, u.deleted_at, {{address}}, o.code, y.year, to_char(d.date, case when d.year_known then 'YYYY-MM-DD' else '--MM-DD' end) as date,
    m.id, m.user_id, m.occasion, m.local_year, m.timezone, m.send_at, m.due_at, m.status, m.attempt, m.tzdata,
    m.planned_at, m.ended_at, m.redriven_at, m.status_reason, m.service,
    array(
        select tstzrange(r.starts_at, r.ends_at) from plan_ranges r
        where r.occasion = o.code and r.local_year = y.year and r.month_day = d.month_day
            and (r.after_user is null or u.id > r.after_user) and (r.until_user is null or u.id <= r.until_user)
    ) as to_plan
from users u
cross join occasions o
cross join unnest($2::smallint[]) as y (year)
left join occasion_dates d on d.user_id = u.id and d.occasion = o.code
left join messages m on m.user_id = u.id and m.occasion = o.code and m.local_year = y.year
where u.id = $1
order by y.year, o.code

-- name: user_of
select id from users where email_key = $1 and deleted_at is null

-- name: on_the_way
-- Messages that are due and not handed out, and those on their way, except those that are too late.
select
    (select count(*) from messages where status in ('scheduled', 'retrying') and due_at <= business_now()
        and greatest(redriven_at, send_at) >= business_now() - $1::interval) as due,
    (select count(*) from messages where status = 'queued') as queued,
    (select count(*) from messages where status = 'sending') as sending

-- name: planned_by_minute
select date_trunc('minute', due_at) as at, occasion, count(*) as count
from messages
where status in ('scheduled', 'retrying') and due_at > business_now() and due_at < $1
    and greatest(redriven_at, send_at) >= due_at - $2::interval
group by 1, 2

-- name: to_plan_by_instant
-- Users whose message of this day is still to be planned. The conditions are those of plan_range.
select s.instant as at, count(*) as count
from occasion_dates d
cross join lateral (select * from users where id = d.user_id offset 0) u
cross join lateral (select ($4::jsonb ->> u.timezone)::timestamptz as instant) s
where d.occasion = $1 and d.month_day = $3
    and u.deleted_at is null and u.created_at < s.instant
    and extract(year from d.date) < $2::smallint
    and not exists (
        select from messages m where m.user_id = d.user_id and m.occasion = $1 and m.local_year = $2
    )
    and (s.instant >= (select planned_until from planning) or exists (
        select from plan_ranges r
        where r.occasion = $1 and r.local_year = $2 and r.month_day = $3
            and (r.after_user is null or d.user_id > r.after_user)
            and (r.until_user is null or d.user_id <= r.until_user)
            and s.instant >= r.starts_at and s.instant < r.ends_at))
group by 1
