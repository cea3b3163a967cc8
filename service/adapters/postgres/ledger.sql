-- name: open
-- Of this session alone, and gone with it.
create temporary table ledger (key uuid not null, at timestamptz)

-- name: loaded
create index on ledger (key)

-- name: bounds
select count(*) as lines, count(distinct key) as keys, min(at) as first, max(at) as last from ledger

-- name: twice
select key as id, count(*) as times, null::text as status, null::text as reason, null::timestamptz as at
from ledger
group by key
having count(*) > 1
order by key

-- name: not_sent_here
-- Accepted there, and not sent as far as our row says.
select m.id, count(*) as times, m.status, m.reason, min(l.at) as at
from ledger l
join messages m on m.id = l.key
where m.status <> 'sent'
group by m.id, m.status, m.reason
order by m.status, m.id

-- name: not_ours
-- Accepted there under a key that is no message here.
select l.key as id, count(*) as times, null::text as status, null::text as reason, min(l.at) as at
from ledger l
where not exists (select from messages m where m.id = l.key)
group by l.key
order by l.key

-- name: not_accepted_there
-- Sent here in the time that the ledger covers, and not in it.
select m.id, 0::bigint as times, m.status, m.reason, m.ended_at as at
from messages m
where m.status = 'sent'
    and ($1::timestamptz is null or m.ended_at >= $1) and ($2::timestamptz is null or m.ended_at < $2)
    and not exists (select from ledger l where l.key = m.id)
order by m.id

-- name: mend
-- The service knows what nobody here knew: it is on record as an accepted attempt, the latest one that was begun.
with known as (
    select m.id, m.local_year, (select min(l.at) from ledger l where l.key = m.id) as at
    from messages m
    where m.status = 'unknown' and exists (select from ledger l where l.key = m.id)
    order by m.id
    limit 5000
    for update of m
),
moved as (
    update messages m set status = 'sent', ended_at = business_now(), reason = $2
    from known k
    where m.id = k.id and m.local_year = k.local_year
    returning m.id, m.local_year, m.attempt, k.at
),
logged as (
    insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, error)
    select id, local_year, attempt, 'accepted', $1, coalesce(at, business_now()), 0, $2 from moved
    on conflict do nothing
)
select id from moved
