-- fragment: given
given as materialized (
    select coalesce(t.given_id, uuid_v7()) as id, f.now, t.*
    from fence f, unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
                $17::uuid[], $19::text[], $20::text[], $22::bytea[], $23::bytea[])
        as t (first_name, last_name, email, email_key, timezone, location_city, location_country, line,
              given_id, external_id, locale, key, fingerprint)
    where f.now >= $24::timestamptz
)

-- fragment: days
new_dates as (
    insert into occasion_dates (user_id, occasion, date, year_known)
    select g.id, d.occasion, d.date, d.year_known
    from unnest($9::integer[], $10::text[], $11::date[], $21::boolean[]) as d (line, occasion, date, year_known)
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
    where t.send_at > n.created_at and t.send_at < f.planned_until
)

-- fragment: dates
(
    select coalesce(jsonb_object_agg(d.occasion, to_char(d.date, case when d.year_known then 'YYYY-MM-DD' else '--MM-DD' end)), '{}')
    from occasion_dates d where d.user_id = u.id
) as dates

-- fragment: fence
fence as materialized (
    select planning_fence_for($18::bigint) as planned_until, business_now() as now
)

-- name: create_users
-- Users, their days and their planned messages, in one statement: one round trip, all or nothing. The ids are made
-- first, so that rows can refer to them. Of two rows with one address the first wins. All statements lock addresses in
-- one order, so that of two with the same users one waits for the other. The fence comes before the ids. It refuses
-- instants by old rules ($18), and is held until the commit. $8: lines; $9..$11, $21: line, occasion, date of each day,
-- and if its year is known; $12..$15: line, occasion, local year and instant of each greeting around now.
-- $19, $20: external ids, and languages. $22, $23: not used here. $24: instants before it were left out; no row if that
-- is not the past.
with {{fence}},
{{given}},
new_users as (
    insert into users (
        id, first_name, last_name, email, email_key, timezone, location_city, location_country, external_id, locale)
    select id, first_name, last_name, email, email_key, timezone, location_city, location_country, external_id, locale
    from given
    order by email_key, line
    on conflict do nothing
    returning id, version, created_at, updated_at
),
{{days}}
select g.line, n.*, false as in_use
from given g
left join new_users n on n.id = g.id

-- name: create_users_under_keys
-- The same for requests with an Idempotency-Key ($22, and $23: what their requests are): the responses are kept in the
-- same commit. A key that is in use creates nothing. Keys are locked before addresses, in one order. A taken address is
-- an error, because the response would be wrong: the callers are then served one by one.
-- When a key may be taken over: see `reserve`. $25: its seconds.
with {{fence}},
{{given}},
asked as materialized (
    select distinct on (key) key, fingerprint, line, id, now from given order by key, line
),
kept as (
    insert into idempotency_keys as stored (key, fingerprint, status, body, resource, headers, created)
    select key, fingerprint, 201, '', '/api/v1/users/' || id, '{}',
        jsonb_build_object('id', id, 'version', 1, 'created_at', now, 'updated_at', now)
    from asked
    order by key
    on conflict (key) do update set
        fingerprint = excluded.fingerprint, started_at = clock_timestamp(), status = 201, headers = '{}', body = '',
        resource = excluded.resource, created = excluded.created
    where stored.started_at < clock_timestamp() - interval '24 hours'
        or (stored.status is null and stored.fingerprint = excluded.fingerprint
            and stored.started_at < clock_timestamp() - make_interval(secs => $25))
    returning key
),
ours as materialized (
    select a.line from asked a join kept k on k.key = a.key
),
new_users as (
    insert into users (
        id, first_name, last_name, email, email_key, timezone, location_city, location_country, external_id, locale,
        version, created_at, updated_at)
    select id, first_name, last_name, email, email_key, timezone, location_city, location_country, external_id, locale,
        1, now, now
    from given
    where line in (select line from ours)
    order by email_key, line
    returning id, version, created_at, updated_at
),
{{days}}
select g.line, n.*, g.line not in (select line from ours) as in_use
from given g
left join new_users n on n.id = g.id

-- name: new_ids
select uuid_v7() as id from generate_series(1, $1)

-- name: existing_ids
select id from users where id = any($1::uuid[])

-- name: taken_keys
select external_id from users where external_id = any($1::text[]) and deleted_at is null

-- name: get_users
-- The users of several requests or changes. They are found by their keys alone: with another condition, a plan from an
-- empty table would read a partial index whole.
select u.*, {{dates}}
from (select * from users where id = any($1::uuid[]) offset 0) u
where u.deleted_at is null

-- name: match_users
-- $1, $2: external ids (or null), and addresses in the form in which they are compared.
select t.line, u.*, {{dates}}
from unnest($1::text[], $2::text[]) with ordinality as t (external_id, email_key, line)
cross join lateral (
    select found.* from (
        select 1 as place, * from users where external_id = t.external_id and deleted_at is null
        union all
        select 2, * from users
        where email_key = t.email_key and deleted_at is null and (t.external_id is null or external_id is null)
    ) found
    order by place
    limit 1
) u

-- name: lock_user
-- A transaction that changes a user holds this lock until it commits. A planner that reads the row waits, and reads it
-- again.
select version from users where id = $1 and deleted_at is null for update

-- name: lock_user_or_deleted
-- A deleted user can still be erased, once.
select version from users where id = $1 and email <> '' for update

-- name: lock_users
-- As lock_user, in the order of the ids: of two transactions with the same users, one waits for the other.
select u.id, u.version, business_now() as now
from (select distinct id from unnest($1::uuid[]) as t (id) order by id) asked
cross join lateral (select * from users where id = asked.id offset 0 for update) u
where u.deleted_at is null

-- name: update_users
update users u set
    first_name = t.first_name, last_name = t.last_name, email = t.email, email_key = t.email_key, timezone = t.timezone,
    location_city = t.location_city, location_country = t.location_country, external_id = t.external_id,
    locale = t.locale, version = u.version + 1, updated_at = business_now()
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[])
    as t (id, first_name, last_name, email, email_key, timezone, location_city, location_country, external_id, locale)
where u.id = t.id
returning u.id, u.version, u.created_at, u.updated_at

-- name: drop_dates
-- $1: users; $2, $3: user and occasion of each date that stays.
delete from occasion_dates d using unnest($1::uuid[]) as t (id)
where d.user_id = t.id
    and (d.user_id, d.occasion) not in (select user_id, occasion from unnest($2::uuid[], $3::text[]) as k (user_id, occasion))

-- name: put_dates
insert into occasion_dates (user_id, occasion, date, year_known)
select t.user_id, t.occasion, t.date, t.year_known
from unnest($1::uuid[], $2::text[], $3::date[], $4::boolean[]) as t (user_id, occasion, date, year_known)
on conflict (user_id, occasion) do update set date = excluded.date, year_known = excluded.year_known
    where (occasion_dates.date, occasion_dates.year_known) <> (excluded.date, excluded.year_known)

-- name: delete_user
update users set deleted_at = coalesce(deleted_at, business_now()), updated_at = business_now(), version = version + 1
where id = $1

-- name: erase_user
-- The row still shows that a user was greeted, but not who.
update users set
    first_name = '', last_name = '', email = '', email_key = id::text, timezone = 'UTC',
    location_city = null, location_country = null, external_id = null, locale = null
where id = $1

-- name: drop_all_dates
delete from occasion_dates where user_id = $1

-- name: forget_responses
-- The stored responses that show this user, or a suppression of their address.
delete from idempotency_keys where resource = any ($1::text[])
