-- name: reserve
-- Returns for each key started_at (it is reserved for this request), or the stored response, or nulls (another request
-- took it at this moment). A request without a response after $3 seconds died with its node, so the same request may
-- take the key over. After 24 hours any request may. Keys are locked in one order, as in keep.
with given as materialized (
    select * from unnest($1::bytea[], $2::bytea[]) as t (key, fingerprint)
),
reserved as (
    insert into idempotency_keys as kept (key, fingerprint)
    select key, fingerprint from given order by key
    on conflict (key) do update set
        fingerprint = excluded.fingerprint, started_at = clock_timestamp(),
        status = null, headers = null, body = null, resource = null, created = null
    where kept.started_at < clock_timestamp() - interval '24 hours'
        or (kept.status is null and kept.fingerprint = excluded.fingerprint
            and kept.started_at < clock_timestamp() - make_interval(secs => $3))
    returning key, started_at
)
select g.key, r.started_at, k.fingerprint, k.status, k.headers, k.body, k.created
from given g
left join reserved r on r.key = g.key
left join idempotency_keys k on k.key = g.key and r.key is null

-- name: note_resource
update idempotency_keys set resource = $3 where key = $1 and started_at = $2 and status is null

-- name: keep
with ours as materialized (
    select k.key, t.status, t.headers, t.body
    from unnest($1::bytea[], $2::timestamptz[], $3::smallint[], $4::jsonb[], $5::bytea[])
        as t (key, started_at, status, headers, body)
    join idempotency_keys k on k.key = t.key and k.started_at = t.started_at and k.status is null
    order by k.key
    for update of k
)
update idempotency_keys k
set status = ours.status, headers = ours.headers, body = ours.body
from ours
where k.key = ours.key
returning k.key

-- name: release
delete from idempotency_keys where key = $1 and started_at = $2 and status is null
