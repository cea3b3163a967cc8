-- fragment: is_left_out
-- As in messages.sql: what was set aside in the future, or for longer than an hour, was so before the clock was set back.
s.look_again_at > business_now() and s.since <= business_now() + interval '1 second'
        and s.look_again_at <= business_now() + interval '1 hour' * business_rate()

-- name: add
insert into set_aside as s (message_id, action, reason, look_again_at)
values ($1, $2, $3, business_now() + make_interval(secs => $4 * business_rate()))
on conflict (message_id) do update set
    action = excluded.action, reason = excluded.reason,
    -- Several statements may fail at the same damage. Only a failure at the next look doubles the wait.
    failures = s.failures + (not ({{is_left_out}}))::integer,
    since = least(s.since, business_now()),
    look_again_at = case when {{is_left_out}} then s.look_again_at else business_now()
        + make_interval(secs => least($4 * 2 ^ least(s.failures, 30), $5::double precision) * business_rate()) end
returning message_id, action, reason, failures, since, look_again_at

-- name: newest
select message_id, action, reason, failures, since, look_again_at from set_aside order by since desc limit $1

-- name: forget_repaired
-- Also rows that were changed by hand: a message that has ended is not looked at again.
delete from set_aside s
where look_again_at < business_now() - make_interval(secs => $1 * business_rate())
    or exists (select from messages m where m.id = s.message_id and m.ended_at is not null and m.status <> 'failed')
returning message_id
