-- The roles of heyday's database. Run this file in that database before the first `heyday migrate`: as a superuser, or as the
-- owner of the database with CREATEROLE, such as the administrator of a managed PostgreSQL. It may be run again, and tells
-- in a notice what its role may not do. It sets no passwords: deploy/postgres/initdb.sh does, or a person with \password.
--
-- heyday_migrator owns everything. `heyday migrate` and `heyday prune` use it.
-- heyday_node reads and writes the rows of its work, and the occasions that the API writes. It cannot change the schema or
-- the list of migrations, and so neither can an attacker who takes over a node. heyday_backup copies the whole server.

do $$
declare
    role text;
begin
    foreach role in array array['heyday_migrator', 'heyday_node', 'heyday_backup'] loop
        if not exists (select from pg_roles where rolname = role) then
            execute format('create role %I login', role);
        end if;
    end loop;
    -- Before PostgreSQL 16 only a superuser may do this. A managed service makes its own backups.
    begin
        alter role heyday_backup replication;
    exception when insufficient_privilege then
        raise notice 'heyday_backup may not copy the server (ALTER ROLE heyday_backup REPLICATION): %', sqlerrm;
    end;
    -- The default privileges of another role can be changed only by its members. The creator of a role is none.
    if not pg_has_role('heyday_migrator', 'usage') then
        execute format('grant heyday_migrator to %I', current_user);
    end if;

    -- By default every role may connect and make temporary tables, which could stand in for tables of the schema.
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to heyday_migrator, heyday_node', current_database());
end
$$;

do $$
declare
    owner text := (select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'public');
begin
    if pg_has_role(owner, 'usage') then
        revoke all on schema public from public;
        grant usage, create on schema public to heyday_migrator;
        grant usage on schema public to heyday_node;
    else
        -- PostgreSQL 14 lets every role use it, and create objects in it.
        raise notice 'The schema public belongs to %. Run as that role: REVOKE CREATE ON SCHEMA public FROM public; '
            'GRANT USAGE, CREATE ON SCHEMA public TO heyday_migrator; GRANT USAGE ON SCHEMA public TO heyday_node;', owner;
    end if;
end
$$;

-- What a migration makes is the node's to use from the moment it exists: a new version needs no step of its own.
alter default privileges for role heyday_migrator in schema public
    grant select, insert, update, delete on tables to heyday_node;
alter default privileges for role heyday_migrator in schema public grant usage on sequences to heyday_node;
-- Without "in schema", because only that takes away what PUBLIC has by default.
alter default privileges for role heyday_migrator revoke execute on functions from public;
alter default privileges for role heyday_migrator in schema public grant execute on functions to heyday_node;

-- Waits and locks of others, for `heyday doctor`.
do $$
begin
    grant pg_read_all_stats to heyday_node;
exception when insufficient_privilege then
    raise notice 'The doctor will not see the waits of other roles (GRANT pg_read_all_stats TO heyday_node): %', sqlerrm;
end
$$;
