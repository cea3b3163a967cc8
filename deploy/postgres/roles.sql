-- The roles of heyday's database, to be run in that database by a superuser before the first `heyday migrate`. It may be
-- run again. It sets no passwords: deploy/postgres/initdb.sh does, or a person with \password.
--
-- heyday_migrator owns everything and is used by `heyday migrate` alone. heyday_node reads and writes rows: it cannot
-- change the schema, and so neither can anybody who takes over a node. heyday_backup copies the whole server.

do $$
declare
    role text;
begin
    foreach role in array array['heyday_migrator', 'heyday_node', 'heyday_backup'] loop
        if not exists (select from pg_roles where rolname = role) then
            execute format('create role %I login', role);
        end if;
    end loop;
    alter role heyday_backup replication;

    -- By default everybody may connect and make temporary tables.
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to heyday_migrator, heyday_node', current_database());
    -- For `heyday doctor --ledger`, which loads the books into a table of its own session.
    execute format('grant temporary on database %I to heyday_node', current_database());
end
$$;

revoke all on schema public from public;
grant usage, create on schema public to heyday_migrator;
grant usage on schema public to heyday_node;

-- What a migration makes is the node's to use from the moment it exists: a new version needs no step of its own.
alter default privileges for role heyday_migrator in schema public
    grant select, insert, update, delete on tables to heyday_node;
alter default privileges for role heyday_migrator in schema public grant usage on sequences to heyday_node;
-- Without "in schema", because only that takes away what PUBLIC has by default.
alter default privileges for role heyday_migrator revoke execute on functions from public;
alter default privileges for role heyday_migrator in schema public grant execute on functions to heyday_node;

-- Waits and locks of others, for `heyday doctor`.
grant pg_read_all_stats to heyday_node;
