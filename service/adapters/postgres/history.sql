-- fragment: filters
    ($2::uuid is null or user_id = $2)
    and ($3::text[] is null or status = any($3))
    and ($4::text is null or occasion = $4)
    and ($5::timestamptz is null or send_at >= $5)
    and ($6::timestamptz is null or send_at < $6)
    and ($7::text is null or user_id = (select u.id from users u where u.email_key = $7 and u.deleted_at is null))
    and ($8::text[] is null or timezone = any($8))
    and ($9::uuid[] is null or id = any($9))

-- name: page
-- Pages by id, which grows with the time of planning. Null filters cost nothing: PostgreSQL makes a plan for the given
-- values while that is cheaper, so it uses the indexes of failed, unknown and expired messages.
select id, user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, planned_at, ended_at,
    redriven_at, status_reason, service
from messages
where ($1::uuid is null or id > $1) and
{{filters}}
order by id
limit $10

-- name: newest
-- The same as `page`, in the opposite order.
select id, user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, planned_at, ended_at,
    redriven_at, status_reason, service
from messages
where ($1::uuid is null or id < $1) and
{{filters}}
order by id desc
limit $10

-- name: count
select count(*) from (
    select from messages
    where ($1::uuid is null or id > $1) and
    {{filters}}
    limit $10
) counted

-- name: knows_user
-- Deleted and erased users keep their row.
select exists (select from users where id = $1)

-- name: message
-- A message with the nodes that claimed it, whether its user still exists, and whether its occasion is active.
select m.*, queued.node as queued_node,
    coalesce(claimed.node, (
        select n.node from attempts a join nodes n on n.incarnation = a.incarnation
        where a.message_id = m.id and a.local_year = m.local_year
        order by a.number desc, a.recorded_at desc limit 1)) as claimed_node,
    coalesce((select u.deleted_at is null from users u where u.id = m.user_id), false) as has_user,
    coalesce((select o.active from occasions o where o.code = m.occasion), false) as has_active_occasion
from messages m
left join nodes queued on queued.incarnation = m.queued_by
left join nodes claimed on claimed.incarnation = m.claimed_by
where m.id = $1

-- name: attempts
select a.number, a.outcome, a.started_at, a.duration, a.status_code, a.error, a.recorded_at, a.provider_id, a.service, n.node
from attempts a
left join nodes n on n.incarnation = a.incarnation
where a.message_id = $1 and a.local_year = $2
order by a.number, a.recorded_at

-- name: redrivable
-- It has the filters of a page, and pages by instant and id. Messages of deleted users, and of inactive occasions, are
-- left out.
select m.send_at, m.id
from (
    select id, user_id, occasion, send_at from messages
    where status in ('failed', 'unknown', 'expired') and ($1::uuid is null or (send_at, id) > ($11::timestamptz, $1)) and
    {{filters}}
) m
join users u on u.id = m.user_id and u.deleted_at is null
join occasions o on o.code = m.occasion and o.active
order by m.send_at, m.id
limit $10

-- name: reasons
-- What would be redriven, by the reason. The rows of deleted users, and of occasions that are not active, are counted apart.
select coalesce(m.status_reason, 'no reason is on record') as reason, count(*) as messages,
    count(*) filter (where u.id is not null and o.code is not null) as redrivable,
    min(m.send_at) as oldest, max(m.send_at) as newest, min(m.id::text)::uuid as example
from (
    select id, user_id, occasion, send_at, status_reason from messages
    where status in ('failed', 'unknown', 'expired') and ($1::uuid is null or id > $1) and
    {{filters}}
) m
left join users u on u.id = m.user_id and u.deleted_at is null
left join occasions o on o.code = m.occasion and o.active
group by 1
order by 2 desc, 1
limit $10

-- name: count_redrivable
select count(*)
from (
    select user_id, occasion from messages
    where status in ('failed', 'unknown', 'expired') and ($1::uuid is null or id > $1) and
    {{filters}}
) m
join users u on u.id = m.user_id and u.deleted_at is null
join occasions o on o.code = m.occasion and o.active
