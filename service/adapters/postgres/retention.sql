-- name: forget_responses
-- Stored responses of an Idempotency-Key, up to $1. It skips rows that a request is taking over. With `in`, PostgreSQL
-- would join with the whole table; with an array it uses look-ups.
delete from idempotency_keys
where key = any(array(
    select key from idempotency_keys
    where started_at < clock_timestamp() - interval '24 hours'
    order by started_at
    limit $1
    for update skip locked))
returning key

-- name: forget_nodes
-- Nodes that ended so long ago that no message of this year or last year names them. Both times are real time.
delete from nodes
where incarnation = any(array(
    select incarnation from nodes
    where ended_at < clock_timestamp() - interval '800 days'
    order by incarnation
    limit $1
    for update skip locked))
returning incarnation

-- name: forget_audit
select forget_audit($1)
