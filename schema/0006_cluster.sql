-- How a database is recognised as the one that the nodes worked with before: see docs/decisions.

-- id: made by the first node. name: HEYDAY_CLUSTER of that node. generation grows every few seconds while nodes work, and
-- Redis is told after each commit: a database that is behind what Redis knows was restored. location and timeline are where
-- the database was then (cluster_location). marked_at is real time; known_at is business time, up to which this database
-- knows what was sent.
create table cluster_identity (
    only_row   boolean primary key default true check (only_row),
    id         uuid not null default gen_random_uuid(),
    name       text,
    generation bigint not null default 1 check (generation > 0),
    location   text not null,
    timeline   bigint,
    marked_at  timestamptz not null default clock_timestamp(),
    known_at   timestamptz not null default business_now(),
    adopted_at timestamptz
);

-- Where this database is: server, database and table. A dump that is restored has another location, wherever that is. The
-- timeline of the server's log grows by one when a standby is promoted, and when a backup is recovered to a point in time.
-- What a role may not ask, or a server does not tell, is left out; then that much less is recognised.
create function cluster_location(out location text, out timeline bigint)
    language plpgsql stable
    as $$
begin
    location := concat_ws('/', (select d.oid from pg_database d where d.datname = current_database()),
        'cluster_identity'::regclass::oid);
    begin
        location := concat_ws('/', (select system_identifier from pg_control_system()), location);
        timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
    exception when insufficient_privilege or feature_not_supported or object_not_in_prerequisite_state then
        null;
    end;
end
$$;
