-- Users, their days, the messages that greet them, every attempt, and what the nodes agree on.

-- Business time: due, cron and lateness decisions use this function and nothing else. It is the statement's start,
-- so one statement sees one instant, and waiting for a lock never makes anything early. A rehearsal or demo database
-- may replace it (actors/commands/sandbox/servers/clock.py); a node refuses any other database in which it is not the real clock.
create function business_now() returns timestamptz
    language sql stable parallel safe
    as $$ select statement_timestamp() $$;

-- Seconds of business time in a second of real time: 1 in every real database.
create function business_rate() returns double precision
    language sql stable parallel safe
    as $$ select 1::double precision $$;

-- UUID version 7 (RFC 9562, 5.7): ids that grow with time keep the end of an index warm. PostgreSQL has its own from 18 on.
create function uuid_v7() returns uuid
    language sql volatile parallel safe
    as $$
        select encode(
            set_bit(set_bit(
                overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
                52, 1), 53, 1),
            'hex')::uuid
    $$;


-- An occasion is data: adding one is an INSERT here. send_at and leap_day null: the node's HEYDAY_SEND_AT, HEYDAY_LEAP_DAY.
create table occasions (
    code     text primary key check (code ~ '^[a-z][a-z0-9_]{0,31}$'),
    template text not null,
    send_at  time,
    leap_day text check (leap_day in ('feb28', 'mar1', 'skip'))
);

insert into occasions (code, template) values
    ('birthday', 'Hey, {full_name} it''s your birthday'),
    ('anniversary', 'Hey, {full_name} it''s your anniversary');


create table users (
    id               uuid primary key default uuid_v7(),
    first_name       text not null,
    last_name        text not null,
    email            text not null,
    -- The address case-folded by Unicode's rules, whatever the locale of the database.
    email_key        text not null,
    timezone         text not null,
    location_city    text,
    location_country text,
    version          integer not null default 1,
    created_at       timestamptz not null default business_now(),
    updated_at       timestamptz not null default business_now(),
    deleted_at       timestamptz
);

create unique index users_email_key on users (email_key) where deleted_at is null;


-- The dates of each occasion. month_day is month * 100 + day, so that 29 February is 229.
create table occasion_dates (
    user_id   uuid not null references users (id) on delete cascade,
    occasion  text not null references occasions (code),
    date      date not null,
    month_day smallint not null
        generated always as ((extract(month from date) * 100 + extract(day from date))::smallint) stored,
    primary key (user_id, occasion)
);

-- Planning reads one occasion's one day in ranges of users.
create index occasion_dates_day on occasion_dates (occasion, month_day, user_id);


-- One row per user, occasion and local year. No foreign key to users: checking it would cost planning a look-up a row,
-- and users are never deleted physically, only marked.
create table messages (
    id              uuid not null default uuid_v7(),
    user_id         uuid not null,
    occasion        text not null,
    local_year      smallint not null,
    timezone        text not null,
    send_at         timestamptz not null,            -- the instant of the greeting: 09:00 there
    due_at          timestamptz not null,            -- when to act next: send_at, or the next attempt
    status          text not null default 'scheduled',
    attempt         smallint not null default 0,     -- attempts begun
    attempts_before_redrive    smallint not null default 0,     -- attempts begun before the last redrive
    tzdata          text not null,                   -- version of the zone data that send_at was computed with
    planned_at      timestamptz not null default business_now(),
    queued_at       timestamptz,
    queued_by       bigint,                          -- nodes.incarnation of the ticker
    claimed_at      timestamptz,
    claimed_by      bigint,                          -- nodes.incarnation that is sending it
    ended_at        timestamptz,
    redriven_at     timestamptz,
    dead_lettered_at       timestamptz,                     -- when its copy was left with the dead letters
    status_reason   text,                            -- why it is where it is, for people
    primary key (id, local_year),
    constraint messages_once unique (user_id, occasion, local_year),
    constraint messages_status check (status in
        ('scheduled', 'queued', 'sending', 'retrying', 'sent', 'failed', 'cancelled', 'expired', 'unknown')),
    constraint messages_sending_has_owner check ((status = 'sending') = (claimed_by is not null)),
    constraint messages_ended check
        ((status in ('sent', 'failed', 'cancelled', 'expired', 'unknown')) = (ended_at is not null)),
    constraint messages_queued_when check (status <> 'queued' or (queued_at is not null and queued_by is not null)),
    constraint messages_tried check (attempt > 0 or status not in ('sending', 'sent', 'failed', 'unknown')),
    constraint messages_attempts check (attempt >= attempts_before_redrive and attempts_before_redrive >= 0),
    constraint messages_never_early check (due_at >= send_at)
) partition by list (local_year);

-- Each index holds only the rows that are in that hop: it is as small as the work in it.
create index messages_due     on messages (due_at)         where status in ('scheduled', 'retrying');
create index messages_queued  on messages (queued_at)      where status = 'queued';
create index messages_sending on messages (claimed_by)     where status = 'sending';
create index messages_ends    on messages (status, send_at) where status in ('failed', 'unknown', 'expired');
create index messages_not_dead_lettered on messages (id) where status = 'failed' and dead_lettered_at is null;


-- Append-only. An attempt whose node died is written by recovery as unknown; if that node comes back and knows better,
-- it appends what it knows beside it: hence the outcome in the key.
create table attempts (
    message_id  uuid not null,
    local_year  smallint not null,
    number      smallint not null check (number > 0),
    outcome     text not null check (outcome in ('accepted', 'permanent_failure', 'transient_failure', 'unknown')),
    incarnation bigint not null,
    started_at  timestamptz not null,
    duration    double precision not null check (duration >= 0),  -- seconds
    status_code smallint,
    error       text,
    recorded_at timestamptz not null default business_now(),
    primary key (message_id, number, outcome, local_year)
) partition by list (local_year);


-- Makes the partitions of a year. ATTACH takes a lock that lets readers and writers go on; CREATE ... PARTITION OF would not.
create function ensure_year(year integer) returns void
    language plpgsql
    as $$
declare
    base text;
    part text;
begin
    foreach base in array array['messages', 'attempts'] loop
        part := format('%s_%s', base, year);
        if to_regclass(part) is null then
            perform pg_advisory_xact_lock(hashtext('heyday.ensure_year'));
            -- Asked of the table itself: to_regclass may still answer from before the wait for the lock.
            if not exists (select from pg_class c where c.relname = part
                    and c.relnamespace = (select b.relnamespace from pg_class b where b.oid = to_regclass(base))) then
                execute format('create table %I (like %I including defaults including constraints)', part, base);
                execute format('alter table %I attach partition %I for values in (%s)', base, part, year);
            end if;
        end if;
    end loop;
end
$$;


-- A row per start of a node. The heartbeat is a counter, not a time: others see that it stopped, whatever their clocks do.
create table nodes (
    incarnation bigint generated always as identity primary key,
    node        text not null,
    heartbeat   bigint not null default 0,
    started_at  timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    ended_at    timestamptz
);

create index nodes_living on nodes (incarnation) where ended_at is null;


-- The instant up to which planning has been announced. It is complete up to the earliest range not yet planned.
create table planning (
    only_row boolean primary key default true check (only_row),
    planned_until    timestamptz not null
);

insert into planning (planned_until) values (business_now());

-- Planning still to be done: the users of one occasion's one day from after_user (exclusive) to until_user (inclusive),
-- for the instants from starts_at to ends_at. The row goes in the transaction that plans it.
create table plan_ranges (
    id           bigint generated always as identity primary key,
    occasion     text not null references occasions (code),
    local_year   smallint not null,
    month_day    smallint not null,
    after_user   uuid,
    until_user   uuid,
    starts_at    timestamptz not null,
    ends_at      timestamptz not null,
    announced_at timestamptz not null default clock_timestamp()
);

-- Whoever writes a user plans that user's own messages up to the announced instant, and holds this lock until it commits.
-- Whoever announces more takes the lock exclusively first: so every user is seen by one of the two, and none is missed.
-- Volatile on purpose: each query in it sees what was committed before it got the lock, even in the middle of a statement.
create function planning_fence() returns timestamptz
    language plpgsql volatile
    as $$
declare
    announced timestamptz;
begin
    perform pg_advisory_xact_lock_shared(hashtext('heyday.planning'));
    select planned_until into announced from planning;
    return announced;
end
$$;


-- A run of a job. One row per job and scheduled instant, written in the transaction of the work's first fact.
create table job_runs (
    job          text not null check (job in ('daily', 'minute', 'recovery')),
    scheduled_at timestamptz not null,
    incarnation  bigint not null,
    started_at   timestamptz not null default business_now(),
    primary key (job, scheduled_at)
);


-- The highest fencing token seen per lock. A holder with a lower one has been replaced.
create table fencing_tokens (
    name   text primary key,
    token  bigint not null
);

insert into fencing_tokens (name, token) values ('ticker', 0);


do $$
begin
    for year in extract(year from business_now())::integer - 1 .. extract(year from business_now())::integer + 1 loop
        perform ensure_year(year);
    end loop;
end
$$;
