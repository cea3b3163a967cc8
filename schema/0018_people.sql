-- Users as companies have them: the key of the system that they come from, a language, dates without a year, and one order
-- of all changes for those who synchronise. A user with one name has an empty last_name: nodes of the version before would
-- greet a null as "None".

alter table users
    add column external_id   text,
    add column locale        text,
    -- The position of the user's latest change among the changes of all users: see user_changes.
    add column change_number bigint not null default 0;

-- Where the year is unknown, the year of `date` is 4: a leap year before every other date.
alter table occasion_dates add column year_known boolean not null default true;

-- A transaction may commit after one that has taken a higher number. So every statement that writes users first locks,
-- until it commits, what the sequence has come to: no number of the transaction is lower. Whoever reads users in the order
-- of their numbers stops at the lowest number that is locked (settled_user_changes), and skips nobody.
create sequence user_changes owned by users.change_number;

alter table users alter column change_number set default nextval('user_changes');

create function user_changes_begun() returns trigger
    language plpgsql
    as $$
begin
    -- A key of a lock has 31 bits.
    perform pg_advisory_xact_lock_shared(
        hashtext('heyday.user_changes'),
        (coalesce(pg_sequence_last_value('user_changes'::regclass), 0) & 2147483647)::integer);
    return null;
end
$$;

create trigger users_changes_begun before insert or update on users
    for each statement execute function user_changes_begun();

create function user_changed() returns trigger
    language plpgsql
    as $$
begin
    new.change_number := nextval('user_changes'::regclass);
    return new;
end
$$;

create trigger users_changed before update on users
    for each row execute function user_changed();

-- Every change up to this number is committed, or will never be. A statement that starts later sees them all: one that
-- calls this function may not, because its snapshot is older than what the function sees.
-- The sequence is read first: whoever locks after the locks are read takes a number beyond it.
create function settled_user_changes() returns bigint
    language plpgsql volatile
    as $$
declare
    latest bigint := coalesce(pg_sequence_last_value('user_changes'::regclass), 0);
    behind bigint;
begin
    select max(latest - l.objid::bigint & 2147483647) into behind
    from pg_locks l
    where l.locktype = 'advisory' and l.objsubid = 2
        and l.classid::bigint = hashtext('heyday.user_changes')::bigint & 4294967295
        and l.database = (select oid from pg_database where datname = current_database())
        -- Half of all keys lie behind; the others are of those who locked since.
        and (latest - l.objid::bigint & 2147483647) < 1073741824;
    return latest - coalesce(behind, 0);
end
$$;
