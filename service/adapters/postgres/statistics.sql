-- name: tables
-- Our tables, each partition by itself, as counted since the statistics were reset.
select s.relname as name, s.n_live_tup as live, s.n_dead_tup as dead, s.seq_scan as scans, s.seq_tup_read as scanned,
    s.n_tup_upd as updates, s.n_tup_hot_upd as hot, s.n_mod_since_analyze as since_analyze,
    extract(epoch from clock_timestamp() - greatest(s.last_autovacuum, s.last_vacuum))::double precision as vacuumed_ago,
    extract(epoch from clock_timestamp() - greatest(s.last_autoanalyze, s.last_analyze))::double precision as analyzed_ago
from pg_stat_user_tables s
where s.schemaname = (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = 'messages'::regclass)
order by s.relname

-- name: unused_indexes
-- Large indexes that no query has used and that enforce nothing.
select s.indexrelname as name, s.relname as on_table, pg_relation_size(s.indexrelid) as bytes
from pg_stat_user_indexes s
join pg_index i on i.indexrelid = s.indexrelid
where s.idx_scan = 0 and not i.indisunique and pg_relation_size(s.indexrelid) > 64 * 1024 * 1024
order by 3 desc

-- name: sessions
-- Sessions that wait, and the oldest transaction with its holder: vacuum removes no row that it can see.
with transactions as (
    select extract(epoch from clock_timestamp() - xact_start)::double precision as seconds,
        'session ' || pid || coalesce(' of ' || usename, '') || coalesce(' (' || nullif(application_name, '') || ')', '')
            || coalesce(' at ' || host(client_addr), '') || coalesce(', ' || state, '') as holder
    from pg_stat_activity
    where backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid() and xact_start is not null
    union all
    select extract(epoch from clock_timestamp() - prepared)::double precision, 'prepared transaction ' || gid
    from pg_prepared_xacts
),
oldest as (
    select * from transactions order by seconds desc limit 1
)
select
    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
    current_setting('max_connections')::integer as max_connections,
    (select count(*) from pg_stat_activity where wait_event_type = 'Lock') as waiting,
    coalesce((select seconds from oldest), 0)::double precision as oldest_transaction,
    (select holder from oldest) as oldest_holder,
    (select blks_hit::double precision / nullif(blks_hit + blks_read, 0) from pg_stat_database
        where datname = current_database()) as cached,
    (select deadlocks from pg_stat_database where datname = current_database()) as deadlocks,
    current_setting('autovacuum') as autovacuum
