-- name: page
-- Pages by id, which grows with the time of planning. Filters that are null fall away: the plan is made anew while that
-- is cheaper, so the indexes of the failed, unknown and expired ones are used.
select id, user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, planned_at, ended_at,
    redriven_at, reason
from messages
where ($1::uuid is null or id > $1)
    and ($2::uuid is null or user_id = $2)
    and ($3::text is null or status = $3)
    and ($4::text is null or occasion = $4)
    and ($5::timestamptz is null or send_at >= $5)
    and ($6::timestamptz is null or send_at < $6)
order by id
limit $7

-- name: knows_user
-- Deleted and erased users keep their row.
select exists (select from users where id = $1)

-- name: message
-- A message with the nodes that had it in their hands, and whether its user is still there.
select m.*, queued.node as queued_node,
    coalesce(claimed.node, (
        select n.node from attempts a join nodes n on n.incarnation = a.incarnation
        where a.message_id = m.id and a.local_year = m.local_year
        order by a.number desc, a.recorded_at desc limit 1)) as claimed_node,
    exists (select from users u where u.id = m.user_id and u.deleted_at is null) as has_user
from messages m
left join nodes queued on queued.incarnation = m.queued_by
left join nodes claimed on claimed.incarnation = m.claimed_by
where m.id = $1

-- name: attempts
select a.number, a.outcome, a.started_at, a.duration, a.status_code, a.error, a.recorded_at, n.node
from attempts a
left join nodes n on n.incarnation = a.incarnation
where a.message_id = $1 and a.local_year = $2
order by a.number, a.recorded_at

-- name: redrivable
-- Those of deleted users are left: nobody is there to greet.
select m.id
from messages m
join users u on u.id = m.user_id and u.deleted_at is null
where m.status = $1
    and m.status in ('failed', 'unknown', 'expired')
    and ($2::text is null or m.occasion = $2)
    and ($3::timestamptz is null or m.send_at >= $3)
    and ($4::timestamptz is null or m.send_at < $4)
order by m.send_at, m.id
limit $5

-- name: count_redrivable
select count(*)
from messages m
join users u on u.id = m.user_id and u.deleted_at is null
where m.status = $1
    and m.status in ('failed', 'unknown', 'expired')
    and ($2::text is null or m.occasion = $2)
    and ($3::timestamptz is null or m.send_at >= $3)
    and ($4::timestamptz is null or m.send_at < $4)
