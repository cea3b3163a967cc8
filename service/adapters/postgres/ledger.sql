-- Everywhere $1 is the comparison. The differences are read by pages of up to $3 keys that follow $2, if it is given.

-- name: forget_abandoned
-- Of comparisons that were killed. The table is empty while there is none.
delete from ledger where loaded_at < statement_timestamp() - interval '1 day'

-- name: forget
delete from ledger where comparison = $1

-- name: bounds
select count(*) as lines, count(distinct key) as keys, min(at) as first, max(at) as last from ledger
where comparison = $1

-- name: twice
select key as id, count(*) as times, null::text as status, null::text as status_reason, null::timestamptz as at
from ledger
where comparison = $1 and ($2::uuid is null or key > $2)
group by key
having count(*) > 1
order by key
limit $3

-- name: not_sent_here
-- Messages accepted by the service that our rows do not show as sent.
select m.id, count(*) as times, m.status, m.status_reason, min(l.at) as at
from ledger l
join messages m on m.id = l.key
where l.comparison = $1 and m.status <> 'sent' and ($2::uuid is null or l.key > $2)
group by m.id, m.status, m.status_reason
order by m.id
limit $3

-- name: not_ours
-- Keys accepted by the service that belong to no message here.
select l.key as id, count(*) as times, null::text as status, null::text as status_reason, min(l.at) as at
from ledger l
where l.comparison = $1 and not exists (select from messages m where m.id = l.key)
    and ($2::uuid is null or l.key > $2)
group by l.key
order by l.key
limit $3

-- name: not_accepted_there
-- Messages sent here in the period of the ledger that the ledger lacks.
select m.id, 0::bigint as times, m.status, m.status_reason, m.ended_at as at
from messages m
where m.status = 'sent'
    and ($4::timestamptz is null or m.ended_at >= $4) and ($5::timestamptz is null or m.ended_at < $5)
    and not exists (select from ledger l where l.comparison = $1 and l.key = m.id)
    and ($2::uuid is null or m.id > $2)
order by m.id
limit $3

-- name: mend
-- Records the acceptance in the ledger as an accepted attempt, with the number of the latest begun attempt.
with known as (
    select m.id, m.local_year, (select min(l.at) from ledger l where l.comparison = $1 and l.key = m.id) as at
    from messages m
    where m.status = 'unknown' and exists (select from ledger l where l.comparison = $1 and l.key = m.id)
    order by m.id
    limit 5000
    for update of m
),
moved as (
    update messages m set status = 'sent', ended_at = business_now(), status_reason = $3
    from known k
    where m.id = k.id and m.local_year = k.local_year
    returning m.id, m.local_year, m.attempt, m.service, k.at
),
logged as (
    insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, error, service)
    select id, local_year, attempt, 'accepted', $2, coalesce(at, business_now()), 0, $3, coalesce(service, 'primary')
    from moved
    on conflict do nothing
)
select id from moved
