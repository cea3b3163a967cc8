-- fragment: dates
(
    select coalesce(jsonb_object_agg(d.occasion, to_char(d.date, case when d.year_known then 'YYYY-MM-DD' else '--MM-DD' end)), '{}')
    from occasion_dates d where d.user_id = u.id
) as dates

-- name: filtered
select u.*, {{dates}}
from users u
where u.deleted_at is null
    and (u.created_number, u.id) > ($1::bigint, $8::uuid)
    and ($2::text is null or u.email_key = $2)
    and ($3::text is null or u.external_id = $3)
    and ($4::text is null or u.timezone = $4)
    and ($5::smallint is null or exists (
        select from occasion_dates d where d.user_id = u.id and d.occasion = 'birthday' and d.month_day = $5))
    and ($6::smallint is null or exists (
        select from occasion_dates d where d.user_id = u.id and d.occasion = 'anniversary' and d.month_day = $6))
order by u.created_number, u.id
limit $7

-- name: search
-- Reads at most $4 users, including deleted ones. The last row is the last of them, with how many they are.
with looked as materialized (
    select created_number, id, deleted_at, first_name || ' ' || last_name as name, email_key, email
    from users
    where (created_number, id) > ($1::bigint, $6::uuid)
    order by created_number, id
    limit $4
),
found as (
    select created_number, id from looked
    where deleted_at is null and (
        position(lower($2) in lower(name)) > 0 or position($2 in name) > 0
        or position($3 in email_key) > 0 or position(lower($2) in lower(email)) > 0)
    order by created_number, id
    limit $5
)
select * from (
    select found.created_number, found.id, null::bigint as looked from found order by created_number, id
) f
union all
select l.created_number, l.id, (select count(*) from looked)
from (select created_number, id from looked order by created_number desc, id desc limit 1) l

-- name: users
select u.*, {{dates}}
from users u
where u.id = any($1::uuid[])

-- name: settled
select settled_user_changes() as settled

-- name: first_change_since
-- The lowest number of a change at $1 or later. Numbers and times differ in order only for statements that ran at the
-- same time, and none runs for a minute.
select min(change_number) as number
from users
where updated_at >= $1
    and updated_at <= (select updated_at from users where updated_at >= $1 order by updated_at limit 1) + interval '1 minute'

-- name: changed
-- The same as search, in the order of changes after ($1, $2) and up to the change $3.
with looked as materialized (
    select change_number, id, updated_at
    from users
    where (change_number, id) > ($1::bigint, $2::uuid) and change_number <= $3
    order by change_number, id
    limit $5
),
found as (
    select change_number, id from looked where updated_at >= $4 order by change_number, id limit $6
)
select * from (
    select found.change_number, found.id, null::bigint as looked from found order by change_number, id
) f
union all
select l.change_number, l.id, (select count(*) from looked)
from (select change_number, id from looked order by change_number desc, id desc limit 1) l
