-- name: enter
insert into nodes (node, tzdata) values ($1, $2) returning incarnation

-- name: beat
-- No row: others have seen no beat for too long, and have freed what this incarnation held.
update nodes set beat = beat + 1, beat_at = clock_timestamp()
where incarnation = $1 and ended_at is null
returning beat

-- name: living
select incarnation, node, beat from nodes where ended_at is null order by incarnation

-- name: ended
-- Compare-and-set on the beat: a node that beat in the meantime is alive.
update nodes set ended_at = clock_timestamp()
where incarnation = $1 and beat = $2 and ended_at is null
returning node

-- name: leave
update nodes set ended_at = clock_timestamp() where incarnation = $1 and ended_at is null
returning node
