-- name: enter
insert into nodes (node, tzdata, send_at, leap_day, version, settings) values ($1, $2, $3, $4, $5, $6::jsonb)
returning incarnation

-- name: beat
-- It returns no row if others have seen no heartbeat for too long, and have ended this incarnation.
update nodes set heartbeat = heartbeat + 1, heartbeat_at = clock_timestamp()
where incarnation = $1 and ended_at is null
returning heartbeat

-- name: living
select incarnation, node, heartbeat from nodes where ended_at is null order by incarnation

-- name: ended
-- Compare-and-set on the heartbeat: a node with a new heartbeat is alive.
update nodes set ended_at = clock_timestamp()
where incarnation = $1 and heartbeat = $2 and ended_at is null
returning node

-- name: leave
update nodes set ended_at = clock_timestamp() where incarnation = $1 and ended_at is null
returning node
