-- Occasions have a subject, texts by language, a weekend rule, an offset, and may be inactive. The API writes them.

-- `template` stays the text for everyone: nodes of an earlier version read it alone, so it never contains {years}.
-- `template_with_years` replaces it where the number of years is known. `texts` maps language tags to objects with
-- `subject`, `text` and `textWithoutYears`. `text_version` grows with every change of a text, `version` with every change.
-- Nobody is greeted for an instant up to `active_since`. `replan_offsets`: offsets that unsent messages may follow.
-- `rules_version` is the version of the planning rules that came with the last change of a rule of this occasion.
alter table occasions
    add column subject             text not null default 'A greeting for you',
    add column template_with_years text,
    add column texts               jsonb not null default '{}',
    add column weekend             text not null default 'keep' check (weekend in ('keep', 'before', 'after')),
    add column offset_days         smallint not null default 0 check (offset_days between -60 and 60),
    add column active              boolean not null default true,
    add column active_since        timestamptz,
    add column version             integer not null default 1,
    add column text_version        integer not null default 1,
    add column rules_version       bigint not null default 0,
    add column rules_changed_at    timestamptz,
    add column replan_offsets      smallint[] not null default '{0}',
    add column created_at          timestamptz not null default business_now(),
    add column updated_at          timestamptz not null default business_now();

-- Without the check: a template that was stored before there was one must not stop the migration.
alter table occasions disable trigger occasions_checked;
update occasions set subject = 'Happy birthday' where code = 'birthday';
update occasions set subject = 'Happy anniversary' where code = 'anniversary';
alter table occasions enable trigger occasions_checked;

-- The version of the text that was sent, or was to be sent.
alter table messages add column text_version integer;

-- True when the text contains the placeholder {years}.
create function uses_years(template text) returns boolean
    language sql immutable parallel safe
    as $$ select template ~ '^(?:[^{}]|\{\{|\}\}|\{(?:full_name|first_name|last_name)\})*\{years\}' $$;

-- The first mistake of a text, or null: what service/domain/texts.py finds, too.
create function text_mistake(template text, with_years boolean, one_line boolean) returns text
    language plpgsql immutable parallel safe
    as $$
declare
    names text := 'full_name|first_name|last_name' || case when with_years then '|years' else '' end;
    most integer := case when one_line then 200 else 10000 end;
    place integer;
begin
    -- Every character that Unicode calls white space, and the separators U+001C to U+001F.
    if btrim(template, U&'\0009\000A\000B\000C\000D\001C\001D\001E\001F\0020\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000') = '' then
        return 'expected some text';
    end if;
    if length(template) > most then
        return format('expected at most %s characters, not %s', most, length(template));
    end if;
    if one_line and template ~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]' then
        return 'expected one line without control characters';
    end if;
    place := length(substring(template from '^(?:[^{}]|\{\{|\}\}|\{(?:' || names || ')\})*')) + 1;
    if place <= length(template) then
        return format('`%s`, column %s: expected {%s}, or {{ and }} for a brace itself',
            substring(template from greatest(1, place - 30) for place - greatest(1, place - 30) + 20),
            place, replace(names, '|', '}, {'));
    end if;
    return null;
end
$$;

-- The first mistake of the texts by language, or null.
create function texts_mistake(texts jsonb) returns text
    language plpgsql immutable parallel safe
    as $$
declare
    tag text;
    given jsonb;
    wrong text;
begin
    if jsonb_typeof(texts) <> 'object' then
        return 'expected an object';
    end if;
    if (select count(*) from jsonb_object_keys(texts)) > 100 then
        return 'expected at most 100 languages';
    end if;
    if (select count(distinct lower(k)) < count(*) from jsonb_object_keys(texts) k) then
        return 'expected each language once, in upper or lower case';
    end if;
    for tag, given in select * from jsonb_each(texts) loop
        if length(tag) > 35 or tag !~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$' then
            return format('%s: expected a language tag (BCP 47) such as de or pt-BR', left(tag, 35));
        end if;
        if jsonb_typeof(given) <> 'object' or jsonb_typeof(given -> 'text') is distinct from 'string'
                or coalesce(jsonb_typeof(given -> 'subject'), 'null') not in ('string', 'null')
                or coalesce(jsonb_typeof(given -> 'textWithoutYears'), 'null') not in ('string', 'null')
                or given - array['subject', 'text', 'textWithoutYears'] <> '{}' then
            return format('%s: expected an object with text, and perhaps subject and textWithoutYears', tag);
        end if;
        wrong := text_mistake(given ->> 'subject', false, true);
        if wrong is not null then
            return format('%s.subject: %s', tag, wrong);
        end if;
        wrong := text_mistake(given ->> 'text', true, false);
        if wrong is not null then
            return format('%s.text: %s', tag, wrong);
        end if;
        wrong := case
            when uses_years(given ->> 'text') and given ->> 'textWithoutYears' is null
                then 'expected a text without {years}, for dates whose year is unknown'
            when not uses_years(given ->> 'text') and given ->> 'textWithoutYears' is not null
                then 'expected null: the text does not use {years}'
            else text_mistake(given ->> 'textWithoutYears', false, false) end;
        if wrong is not null then
            return format('%s.textWithoutYears: %s', tag, wrong);
        end if;
    end loop;
    return null;
end
$$;

-- Accepts what service/domain/occasions.py accepts, and nothing else. It also counts the versions.
create or replace function check_occasion() returns trigger
    language plpgsql
    as $$
declare
    wrong text;
begin
    -- Two writers of one field at the same time: the second waits, and then sees the first.
    perform pg_advisory_xact_lock(hashtext('heyday.occasions'));
    wrong := text_mistake(new.template, false, false);
    if wrong is not null then
        raise exception 'template of occasion %: %', new.code, wrong
            using errcode = 'check_violation', constraint = 'occasions_template';
    end if;
    wrong := coalesce(text_mistake(new.template_with_years, true, false),
        case when not uses_years(new.template_with_years) then 'expected a text with {years}' end);
    if wrong is not null then
        raise exception 'template_with_years of occasion %: %', new.code, wrong
            using errcode = 'check_violation', constraint = 'occasions_template';
    end if;
    wrong := text_mistake(new.subject, false, true);
    if wrong is not null then
        raise exception 'subject of occasion %: %', new.code, wrong
            using errcode = 'check_violation', constraint = 'occasions_subject';
    end if;
    wrong := texts_mistake(new.texts);
    if wrong is not null then
        raise exception 'texts of occasion %: %', new.code, wrong
            using errcode = 'check_violation', constraint = 'occasions_texts';
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
    if tg_op = 'INSERT' then
        new.replan_offsets := array[new.offset_days];
        update planning set rules_version = rules_version + 1 returning rules_version into new.rules_version;
        return new;
    end if;

    new.version := old.version;
    new.text_version := old.text_version;
    new.rules_version := old.rules_version;
    new.rules_changed_at := old.rules_changed_at;
    new.replan_offsets := old.replan_offsets;
    new.active_since := old.active_since;
    new.created_at := old.created_at;
    if (new.subject, new.template, new.template_with_years, new.texts)
            is distinct from (old.subject, old.template, old.template_with_years, old.texts) then
        new.text_version := old.text_version + 1;
        new.version := old.version + 1;
    end if;
    if (new.code, new.send_at, new.leap_day, new.weekend, new.offset_days, new.active)
            is distinct from (old.code, old.send_at, old.leap_day, old.weekend, old.offset_days, old.active) then
        new.version := old.version + 1;
        -- In this statement, and not after it: a change of the defaults at the same time waits for this row.
        update planning set rules_version = rules_version + 1 returning rules_version into new.rules_version;
        new.rules_changed_at := clock_timestamp();
        if new.active and not old.active then
            new.active_since := business_now();
        end if;
        -- Messages follow the offset before this change; also those before it, while they are being planned again.
        new.replan_offsets := case
            when old.rules_version > (select replanned_version from planning)
                or exists (select from plan_ranges r where r.occasion = old.code and r.replans)
                then array(select distinct unnest(old.replan_offsets || new.offset_days) order by 1)
            else array(select distinct unnest(array[old.offset_days, new.offset_days]) order by 1) end;
    end if;
    new.updated_at := case when new.version = old.version then old.updated_at else business_now() end;
    return new;
end
$$;

-- check_occasion raises the version of the rules; a deletion has no such trigger.
drop trigger occasions_replanned on occasions;
create trigger occasions_replanned after delete on occasions
    for each statement execute function occasions_changed();

-- The API of the nodes writes occasions now: its role `operate` guards them.
do $$
declare
    other oid;
begin
    for other in
        select distinct a.grantee from pg_class c, aclexplode(c.relacl) a
        where c.oid = 'occasions'::regclass and a.grantee <> c.relowner and a.privilege_type = 'SELECT'
    loop
        execute format('grant insert, update, delete on occasions to %s',
            case when other = 0 then 'public' else quote_ident(pg_get_userbyid(other)) end);
    end loop;
end
$$;
