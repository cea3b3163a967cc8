-- What acts as the owner of the schema looks names up in the schema alone, and nodes write only the tables of their work.

-- Within five years of now: a node that is taken over cannot fill the schema with tables. A table that has the name of a
-- partition, and is none, was detached by a person: it is not written to.
create or replace function ensure_year(year integer) returns void
    language plpgsql security definer
    as $$
declare
    this_year integer := extract(year from business_now());
    base text;
    part text;
begin
    if year is null or abs(year - this_year) > 5 then
        raise exception 'year % is not within five years of %', year, this_year using errcode = 'invalid_parameter_value';
    end if;
    foreach base in array array['messages', 'attempts'] loop
        part := format('%s_%s', base, year);
        if not exists (select from pg_inherits i where i.inhparent = to_regclass(base) and i.inhrelid = to_regclass(part)) then
            perform pg_advisory_xact_lock(hashtext('heyday.ensure_year'));
            -- Asked of the catalog itself: to_regclass may still answer from before the wait for the lock.
            if exists (select from pg_class c where c.relname = part and not c.relispartition
                    and c.relnamespace = (select b.relnamespace from pg_class b where b.oid = to_regclass(base))) then
                raise exception 'the table % is detached: attach it to %, or give it another name', part, base
                    using errcode = 'object_not_in_prerequisite_state';
            end if;
            if not exists (select from pg_class c where c.relname = part
                    and c.relnamespace = (select b.relnamespace from pg_class b where b.oid = to_regclass(base))) then
                execute format('create table %I (like %I including defaults including constraints)', part, base);
                execute format('alter table %I attach partition %I for values in (%s)', base, part, year);
            end if;
        end if;
    end loop;
end
$$;

-- pg_temp last: named nowhere, it comes first, and a temporary table of the caller would stand in for a table of ours.
do $$
declare
    home text := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.oid = 'messages'::regclass);
    found regprocedure;
begin
    for found in select p.oid from pg_proc p where p.pronamespace = home::regnamespace and p.prosecdef loop
        execute format('alter function %s set search_path = %I, pg_temp', found, home);
    end loop;
end
$$;

-- The role of the nodes has what default privileges gave it. Migrations are the migrator's to note, and the occasions, whose
-- texts go to everyone, are the owner's to write.
do $$
declare
    base text;
    other oid;
begin
    foreach base in array array['schema_migrations', 'occasions'] loop
        for other in
            select distinct a.grantee from pg_class c, aclexplode(c.relacl) a
            where c.oid = base::regclass and a.grantee <> c.relowner
        loop
            execute format('revoke insert, update, delete on %I from %s', base,
                case when other = 0 then 'public' else quote_ident(pg_get_userbyid(other)) end);
        end loop;
    end loop;
end
$$;
