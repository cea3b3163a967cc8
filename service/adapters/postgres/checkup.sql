-- name: server
select current_setting('server_version_num')::integer as version_number, current_setting('server_version') as version,
    pg_is_in_recovery() as standby, current_setting('max_connections')::integer as max_connections,
    current_setting('superuser_reserved_connections')::integer as reserved,
    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
    (select count(*) from pg_stat_activity where backend_type = 'client backend' and application_name = 'heyday') as ours,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    pg_encoding_to_char((select encoding from pg_database where datname = current_database())) as encoding

-- name: lacks_privileges
-- Tables that this role may not work with as a node does.
select c.relname
from pg_class c
where c.relkind in ('r', 'p') and not c.relispartition
    and c.relnamespace = (select relnamespace from pg_class where oid = 'messages'::regclass)
    and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
        and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'))
order by c.relname

-- name: may_make_years
-- Partitions of a year to come are made by a function that acts as the owner of the schema.
select has_function_privilege('ensure_year(integer)', 'execute')

-- name: years
-- The years that have a partition, of both tables.
select extract(year from business_now())::integer as this_year, array(
    select substr(c.relname, 10)::integer
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'messages'::regclass and to_regclass('attempts_' || substr(c.relname, 10)) is not null
    order by 1) as years

-- name: nodes
-- The nodes that have not ended, and for how long each has not been heard, in seconds of real time.
select incarnation, node, extract(epoch from clock_timestamp() - beat_at)::double precision as silent
from nodes
where ended_at is null
order by incarnation

-- name: work
-- What waits, what waits for a person, and the fence of the ticker.
select (select number from fences where name = 'ticker') as fence,
    (select count(*) from messages where status = 'unknown') as unknown,
    (select count(*) from messages where status = 'failed' and buried_at is null) as unburied,
    (select count(*) from messages
        where status in ('scheduled', 'retrying') and due_at < business_now() - interval '5 minutes') as overdue
