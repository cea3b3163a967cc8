-- The rules that decide when a greeting is due are rows with a version; what is written about an occasion must be understood.

-- send_at and leap_day are HEYDAY_SEND_AT and HEYDAY_LEAP_DAY of the node that wrote them last; null until a node has.
-- rules_version grows with every change of a rule, also of an occasion's own; messages follow it up to replanned_version.
-- rules_written_by is the node's incarnation. replaced_rules has the values before, until every living node has the
-- present ones: see docs/decisions/0011-rules-are-rows.md.
alter table planning
    add column send_at           time,
    add column leap_day          text,
    add column rules_version     bigint not null default 0,
    add column replanned_version bigint not null default 0,
    add column rules_written_by  bigint not null default 0,
    add column rules_written_at  timestamptz,
    add column replaced_rules    text[] not null default '{}';

-- What each node's own environment says. Null: a node of an earlier version.
alter table nodes
    add column send_at  time,
    add column leap_day text;

-- Messages of these ranges are moved as an edit of the user would move them. Without it, only missing ones are made.
alter table plan_ranges add column replans boolean not null default false;


-- As planning_fence, for instants that were computed by these rules (null: by none). Instants by other rules are refused:
-- the transaction that changed the rules has not seen them, so they would stay as they are.
create function planning_fence_for(computed_by bigint) returns timestamptz
    language plpgsql volatile
    as $$
declare
    announced timestamptz;
    present bigint;
begin
    perform pg_advisory_xact_lock_shared(hashtext('heyday.planning'));
    select planned_until, rules_version into announced, present from planning;
    if computed_by <> present then
        raise exception 'the planning rules are of version %, and not of version % any more', present, computed_by
            using errcode = 'HD001';
    end if;
    return announced;
end
$$;


-- Two codes with one value have one JSON field: `day_1` and `day1` are both `day1Date`. Underscores before a digit or at
-- the end leave no trace in the field, and several in a row count as one.
create function occasion_field(code text) returns text
    language sql immutable parallel safe
    as $$ select regexp_replace(regexp_replace(code, '_+(?=[0-9]|$)', '', 'g'), '_+', '_', 'g') $$;

-- Accepts what service/domain/occasions.py accepts, and nothing else.
create function check_occasion() returns trigger
    language plpgsql
    as $$
begin
    -- Two writers of one field at the same time: the second waits, and then sees the first.
    perform pg_advisory_xact_lock(hashtext('heyday.occasions'));
    if new.template !~ '^([^{}]|\{\{|\}\}|\{(full_name|first_name|last_name)\})*$' then
        raise exception 'template of occasion %: expected no braces but {full_name}, {first_name}, {last_name}, and {{ or }} for a brace itself', new.code
            using errcode = 'check_violation', constraint = 'occasions_template';
    end if;
    -- Every character that Unicode calls white space, and the separators U+001C to U+001F.
    if btrim(new.template, U&'\0009\000A\000B\000C\000D\001C\001D\001E\001F\0020\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000') = '' then
        raise exception 'template of occasion %: expected some text', new.code
            using errcode = 'check_violation', constraint = 'occasions_template';
    end if;
    if new.send_at = '24:00' or date_trunc('second', new.send_at::interval) <> new.send_at::interval then
        raise exception 'send_at of occasion %: expected a time of day from 00:00 to 23:59:59, in whole seconds', new.code
            using errcode = 'check_violation', constraint = 'occasions_send_at';
    end if;
    if exists (select from occasions o
            where o.code <> new.code and (tg_op = 'INSERT' or o.code <> old.code)
                and occasion_field(o.code) = occasion_field(new.code)) then
        raise exception 'code %: another occasion has the same JSON field', new.code
            using errcode = 'check_violation', constraint = 'occasions_field';
    end if;
    return new;
end
$$;

create trigger occasions_checked before insert or update on occasions
    for each row execute function check_occasion();

-- Texts decide nothing about instants; the rest does.
create function occasions_changed() returns trigger
    language plpgsql
    as $$
begin
    update planning set rules_version = rules_version + 1;
    return null;
end
$$;

create trigger occasions_replanned after insert or delete or update of code, send_at, leap_day on occasions
    for each statement execute function occasions_changed();
