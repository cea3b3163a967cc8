-- name: reserve
-- For each key either started_at, from which on it is ours, or what it was used for, or nothing: it was taken this moment.
-- A request that has been worked on for longer than $3 seconds died with its node, and the same request may take its key
-- over, as anybody may after 24 hours. Keys are taken in one order by everybody, as in keep.
with given as materialized (
    select * from unnest($1::bytea[], $2::bytea[]) as t (key, fingerprint)
),
reserved as (
    insert into idempotency_keys as kept (key, fingerprint)
    select key, fingerprint from given order by key
    on conflict (key) do update set
        fingerprint = excluded.fingerprint, started_at = clock_timestamp(),
        status = null, headers = null, body = null, resource = null
    where kept.started_at < clock_timestamp() - interval '24 hours'
        or (kept.status is null and kept.fingerprint = excluded.fingerprint
            and kept.started_at < clock_timestamp() - make_interval(secs => $3))
    returning key, started_at
)
select g.key, r.started_at, k.fingerprint, k.status, k.headers, k.body
from given g
left join reserved r on r.key = g.key
left join idempotency_keys k on k.key = g.key and r.key is null

-- name: keep
with ours as materialized (
    select k.key, t.status, t.headers, t.body, t.resource
    from unnest($1::bytea[], $2::timestamptz[], $3::smallint[], $4::jsonb[], $5::bytea[], $6::text[])
        as t (key, started_at, status, headers, body, resource)
    join idempotency_keys k on k.key = t.key and k.started_at = t.started_at
    order by k.key
    for update of k
)
update idempotency_keys k
set status = ours.status, headers = ours.headers, body = ours.body, resource = ours.resource
from ours
where k.key = ours.key

-- name: forget_expired
-- Up to $1 at once; it waits for nobody, so a request that takes such a key over may hold it. An array, and not `in`: that
-- was planned as a join with the whole table.
delete from idempotency_keys
where key = any(array(
    select key from idempotency_keys
    where started_at < clock_timestamp() - interval '24 hours'
    order by started_at
    limit $1
    for update skip locked))
returning key

-- name: release
delete from idempotency_keys where key = $1 and started_at = $2 and status is null
