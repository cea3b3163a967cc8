-- name: create_users
-- Users, their days and what is planned of them already, in one statement: one round trip, all or nothing. Their ids are
-- made first, so that rows can refer to them. Of two rows with one address the first wins. Addresses are taken in one
-- order by everybody: of two statements with the same ones, one waits for the other, and never both.
-- $8: lines; $9..$11: line, occasion and date of each day; $12..$15: line, occasion, local year and instant of each
-- greeting around now.
with fence as materialized (
    select planning_fence() as up_to
),
given as materialized (
    select uuid_v7() as id, t.*
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[])
        as t (first_name, last_name, email, email_key, timezone, location_city, location_country, line)
),
new_users as (
    insert into users (id, first_name, last_name, email, email_key, timezone, location_city, location_country)
    select id, first_name, last_name, email, email_key, timezone, location_city, location_country
    from given
    order by email_key, line
    on conflict (email_key) where deleted_at is null do nothing
    returning id, version, created_at, updated_at
),
new_dates as (
    insert into occasion_dates (user_id, occasion, date)
    select g.id, d.occasion, d.date
    from unnest($9::integer[], $10::text[], $11::date[]) as d (line, occasion, date)
    join given g on g.line = d.line
    join new_users n on n.id = g.id
),
new_messages as (
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
    select g.id, t.occasion, t.local_year, g.timezone, t.send_at, t.send_at, $16
    from fence f,
        unnest($12::integer[], $13::text[], $14::smallint[], $15::timestamptz[])
            as t (line, occasion, local_year, send_at)
    join given g on g.line = t.line
    join new_users n on n.id = g.id
    where t.send_at > n.created_at and t.send_at < f.up_to
)
select g.line, n.*
from given g
join new_users n on n.id = g.id

-- name: get_users
-- As get_user, for several who ask at the same time.
select u.*, (
    select coalesce(jsonb_object_agg(d.occasion, d.date), '{}') from occasion_dates d where d.user_id = u.id
) as dates
from users u
where u.id = any($1::uuid[]) and u.deleted_at is null

-- name: get_user
select u.*, (
    select coalesce(jsonb_object_agg(d.occasion, d.date), '{}') from occasion_dates d where d.user_id = u.id
) as dates
from users u
where u.id = $1 and u.deleted_at is null

-- name: list_users
-- Pages by id, which grows with time: a page never repeats or skips a user, whatever is created meanwhile.
select u.*, (
    select coalesce(jsonb_object_agg(d.occasion, d.date), '{}') from occasion_dates d where d.user_id = u.id
) as dates
from users u
where u.deleted_at is null
    and ($1::uuid is null or u.id > $1)
    and ($2::text is null or u.email_key = $2)
    and ($3::text is null or u.timezone = $3)
    and ($4::smallint is null or exists (
        select from occasion_dates d where d.user_id = u.id and d.occasion = 'birthday' and d.month_day = $4))
order by u.id
limit $5

-- name: lock_user
-- Whoever changes a user holds this until it commits; a planner that reads the row waits, and reads it again.
select id, version, business_now() as now from users where id = $1 and deleted_at is null for update

-- name: lock_user_or_deleted
-- Who was deleted can still be erased, once.
select id, version, business_now() as now from users where id = $1 and email <> '' for update

-- name: update_user
update users set
    first_name = $2, last_name = $3, email = $4, email_key = $5, timezone = $6,
    location_city = $7, location_country = $8, version = version + 1, updated_at = business_now()
where id = $1
returning id, version, created_at, updated_at

-- name: drop_dates
delete from occasion_dates where user_id = $1 and occasion <> all($2::text[])

-- name: put_dates
insert into occasion_dates (user_id, occasion, date)
select $1, t.occasion, t.date from unnest($2::text[], $3::date[]) as t (occasion, date)
on conflict (user_id, occasion) do update set date = excluded.date where occasion_dates.date <> excluded.date

-- name: delete_user
update users set deleted_at = coalesce(deleted_at, business_now()), updated_at = business_now(), version = version + 1
where id = $1

-- name: erase_user
-- What is kept is that somebody was greeted, not who.
update users set
    first_name = '', last_name = '', email = '', email_key = id::text, timezone = 'UTC',
    location_city = null, location_country = null
where id = $1

-- name: drop_all_dates
delete from occasion_dates where user_id = $1

-- name: forget_answers
-- Answers kept under an Idempotency-Key show the user as they were.
delete from idempotency_keys where resource = $1
