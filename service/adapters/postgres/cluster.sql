-- name: look
-- The row, or nulls, and where this database is now.
select c.id, c.name, c.generation, c.location, c.timeline, c.known_at, l.location as here, l.timeline as here_timeline
from cluster_location() l
left join cluster_identity c on true

-- name: make
insert into cluster_identity (name, location, timeline) select $1, l.location, l.timeline from cluster_location() l
on conflict do nothing

-- name: mark
-- The row sets the pace, so that a generation is as long with ten nodes as with one.
update cluster_identity set
    generation = greatest(generation, $3) + 1, location = $4, timeline = $5, name = coalesce(name, $6),
    marked_at = clock_timestamp(), known_at = business_now()
where id = $1 and generation = $2
    and (marked_at not between clock_timestamp() - make_interval(secs => $7) and clock_timestamp()
        or location <> $4 or timeline is distinct from $5)

-- name: adopt
insert into cluster_identity (name, generation, location, timeline, adopted_at)
select $2, $1 + 1, l.location, l.timeline, clock_timestamp() from cluster_location() l
on conflict (only_row) do update set
    id = gen_random_uuid(), name = $2, generation = greatest(cluster_identity.generation, $1) + 1,
    location = excluded.location, timeline = excluded.timeline,
    marked_at = clock_timestamp(), known_at = business_now(), adopted_at = clock_timestamp()
