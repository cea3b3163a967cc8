-- name: server
select current_setting('server_version_num')::integer as version_number, current_setting('server_version') as version,
    pg_is_in_recovery() as standby, current_setting('max_connections')::integer as max_connections,
    current_setting('superuser_reserved_connections')::integer as reserved,
    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
    (select count(*) from pg_stat_activity where backend_type = 'client backend' and application_name = 'heyday') as ours,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    (select last_failed_wal from pg_stat_archiver
    where last_failed_time > coalesce(last_archived_time, '-infinity')) as not_archived

-- name: lacking_grants
-- The grants that this role lacks: privileges on tables (grouped by privilege), sequences and functions. The sequence
-- of an identity column, and the function of a trigger, need no privilege of their own. None without the schema.
with home as (select relnamespace as oid from pg_class where oid = to_regclass('messages')),
lacking as (
    select c.relname, string_agg(upper(wanted.privilege), ', ' order by wanted.place) as privileges
    from pg_class c
    cross join unnest(array['select', 'insert', 'update', 'delete']) with ordinality as wanted (privilege, place)
    where c.relnamespace = (select oid from home) and c.relkind in ('r', 'p') and not c.relispartition
        and not has_table_privilege(c.oid, wanted.privilege)
        and (wanted.privilege = 'select'
            or c.relname <> 'schema_migrations' -- a node only reads it
                and (wanted.privilege = 'insert' or c.relname <> 'audit')) -- this one is append-only
    group by c.relname
)
select format('GRANT %s ON %s TO %I',
    privileges, string_agg(quote_ident(relname), ', ' order by relname), current_user) as statement
from lacking
group by privileges
union all
select format('GRANT USAGE ON SEQUENCE %s TO %I',
    string_agg(quote_ident(c.relname), ', ' order by c.relname), current_user)
from pg_class c
where c.relnamespace = (select oid from home) and c.relkind = 'S'
    and case when c.relkind = 'S' then not has_sequence_privilege(c.oid, 'usage') end
    and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')
having count(*) > 0
union all
select format('GRANT EXECUTE ON FUNCTION %s TO %I',
    string_agg(p.oid::regprocedure::text, ', ' order by p.proname), current_user)
from pg_proc p
where p.pronamespace = (select oid from home) and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
    and not has_function_privilege(p.oid, 'execute')
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') -- of an extension
having count(*) > 0

-- name: years
-- The years that have a partition, of both tables.
select extract(year from business_now())::integer as this_year, array(
    select substr(c.relname, 10)::integer
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'messages'::regclass and to_regclass('attempts_' || substr(c.relname, 10)) is not null
    order by 1) as years

-- name: nodes
-- The nodes that have not ended, and the seconds of real time since the last heartbeat of each.
select incarnation, node, extract(epoch from clock_timestamp() - heartbeat_at)::double precision as silent,
    version, settings::text
from nodes
where ended_at is null
order by incarnation

-- name: work
-- Counts of messages that wait, and the fencing token of the ticker.
select (select token from fencing_tokens where name = 'ticker') as fence,
    (select count(*) from messages where status = 'unknown') as unknown,
    (select count(*) from messages where status = 'failed' and dead_lettered_at is null) as awaiting_dead_letter,
    (select count(*) from messages
        where status in ('scheduled', 'retrying') and due_at < business_now() - interval '5 minutes') as overdue

-- name: taken_back
-- Unsent messages that the delivery queue took and did not deliver: recovery took them back (messages.sql, requeue_lost).
select count(*) from messages
where status in ('scheduled', 'retrying', 'queued', 'sending')
    and status_reason = 'taken back: it had been queued for too long'
