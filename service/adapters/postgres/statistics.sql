-- name: tables
-- Our tables, partitions one by one, as the server has counted since its statistics were reset.
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
-- Who waits for whom, and who keeps a transaction open: rows cannot be cleaned up behind it.
select
    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
    current_setting('max_connections')::integer as max_connections,
    (select count(*) from pg_stat_activity where wait_event_type = 'Lock') as waiting,
    (select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::double precision from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()) as oldest_transaction,
    (select blks_hit::double precision / nullif(blks_hit + blks_read, 0) from pg_stat_database
        where datname = current_database()) as cached,
    (select deadlocks from pg_stat_database where datname = current_database()) as deadlocks,
    current_setting('autovacuum') as autovacuum
