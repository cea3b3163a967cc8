-- name: reserve
-- One row: the key is ours, from started_at on. No row: somebody has it. A request that has been worked on for longer than
-- $3 seconds died with its node, and the same request may take its key over. Old keys go, a few at a time.
with expired as (
    delete from idempotency_keys
    where key in (
        select key from idempotency_keys
        where started_at < clock_timestamp() - interval '24 hours' and key <> $1
        limit 20
        for update skip locked)
)
insert into idempotency_keys as kept (key, fingerprint) values ($1, $2)
on conflict (key) do update set
    fingerprint = excluded.fingerprint, started_at = clock_timestamp(),
    status = null, headers = null, body = null, resource = null
where kept.started_at < clock_timestamp() - interval '24 hours'
    or (kept.status is null and kept.fingerprint = excluded.fingerprint
        and kept.started_at < clock_timestamp() - make_interval(secs => $3))
returning started_at

-- name: kept
select fingerprint, status, headers, body from idempotency_keys where key = $1

-- name: keep
update idempotency_keys set status = $3, headers = $4, body = $5, resource = $6
where key = $1 and started_at = $2

-- name: release
delete from idempotency_keys where key = $1 and started_at = $2 and status is null
