-- The audit log: who changed what, by which request. It has ids and no personal data of users.

-- key_name and role are those of the API key; of the command line, os_user is the user of the operating system.
create table audit (
    id           uuid primary key default uuid_v7(),
    at           timestamptz not null default business_now(),
    key_name     text not null,
    role         text not null,
    os_user      text,
    action       text not null,
    subject_kind text not null,
    subject_id   text not null,
    request_id   text
);

create index audit_at on audit (at);

-- Entries are never changed. One may be deleted when it is older than its life of two years: forget_audit does it.
create function audit_is_append_only() returns trigger
    language plpgsql
    as $$
begin
    if tg_op = 'DELETE' and old.at < business_now() - interval '730 days' then
        return old;
    end if;
    raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end
$$;

create trigger audit_unchanged before update or delete on audit
    for each row execute function audit_is_append_only();
create trigger audit_not_truncated before truncate on audit
    for each statement execute function audit_is_append_only();

-- Deletes up to $1 entries past their life, as the owner: the role of the nodes may not delete.
create function forget_audit(most integer) returns integer
    language plpgsql security definer
    as $$
declare
    forgotten integer;
begin
    delete from audit where id = any(array(
        select id from audit where at < business_now() - interval '730 days' order by at limit most));
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;

do $$
declare
    home text := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.oid = 'messages'::regclass);
    other oid;
begin
    execute format('alter function forget_audit(integer) set search_path = %I, pg_temp', home);
    for other in
        select distinct a.grantee from pg_class c, aclexplode(c.relacl) a
        where c.oid = 'audit'::regclass and a.grantee <> c.relowner
    loop
        execute format('revoke update, delete, truncate on audit from %s',
            case when other = 0 then 'public' else quote_ident(pg_get_userbyid(other)) end);
    end loop;
end
$$;
