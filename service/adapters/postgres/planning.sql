-- name: rules
-- send_at of an occasion is text, because 24:00 is a time of day in PostgreSQL only.
select p.rules_version as version, p.send_at, p.leap_day,
    o.code, o.template, o.send_at::text as own_send_at, o.leap_day as own_leap_day,
    o.weekend, o.offset_days, o.active, o.active_since, o.subject, o.template_with_years, o.texts
from planning p
left join occasions o on true
order by o.code

-- name: rules_state
select p.rules_version as version, p.replanned_version, p.send_at, p.leap_day, p.rules_written_by as written_by,
    p.replaced_rules as replaced,
    exists (select from nodes n where n.ended_at is null and (n.send_at, n.leap_day) = (p.send_at, p.leap_day)) as supported,
    not exists (
        select from nodes n where n.ended_at is null and (n.send_at, n.leap_day) is distinct from (p.send_at, p.leap_day)
    ) as agreed
from planning p

-- name: rules_lock
-- Waits for every planner that uses the present rules (hold_rules). Later planners see the new ones. The lock is
-- advisory, because such locks are granted in the order of the requests.
select pg_advisory_xact_lock(hashtext('heyday.rules'))

-- name: hold_rules
-- Keeps the present rules in force until the end of the transaction.
select pg_advisory_xact_lock_shared(hashtext('heyday.rules'))

-- name: rules_version
select rules_version from planning

-- name: rules_row
-- announced: there are messages to plan again. The API makes messages before the first daily job, too.
select rules_version, business_now() as now, planned_until,
    exists (select from job_runs where job = 'daily') or exists (select from messages) as announced
from planning
for update

-- name: write_rules
-- $1: null keeps the defaults and only notes that messages follow the present rules.
update planning set
    rules_version     = rules_version + case when $1::time is null then 0 else 1 end,
    replanned_version = rules_version + case when $1::time is null then 0 else 1 end,
    replaced_rules    = case when $1::time is null or send_at is null then replaced_rules
                             else array_remove(replaced_rules || (to_char(send_at, 'HH24:MI:SS') || ' ' || leap_day), $4) end,
    rules_written_by  = case when $1::time is null then rules_written_by else $3 end,
    rules_written_at  = case when $1::time is null then rules_written_at else business_now() end,
    send_at           = coalesce($1, send_at),
    leap_day          = coalesce($2, leap_day)

-- name: occasions_to_replan
-- The occasions that changed since their messages were last planned again, or all ($1), with the offsets that unsent
-- messages follow.
select code, replan_offsets from occasions
where $1 or rules_version > (select replanned_version from planning)
order by code

-- name: days_beyond
-- The days of unsent messages beyond the announced instant ($2). An edit of a user or an offset has moved them there.
select distinct m.occasion, m.local_year, d.month_day
from messages m
join occasion_dates d on d.user_id = m.user_id and d.occasion = m.occasion
where m.status in ('scheduled', 'retrying') and m.due_at >= $2 and m.occasion = any($1::text[])
order by m.local_year, d.month_day, m.occasion

-- name: settle_rules
-- Forgets the replaced defaults, once every living node has the present ones.
update planning p set replaced_rules = '{}'
where p.rules_version = $1 and p.replaced_rules <> '{}' and not exists (
    select from nodes n where n.ended_at is null and (n.send_at, n.leap_day) is distinct from (p.send_at, p.leap_day))

-- name: drop_replans
-- Ranges of an earlier change of these occasions: the new ranges replace them. A planner keeps the one that it works
-- on.
delete from plan_ranges where id in (
    select id from plan_ranges where replans and occasion = any($1::text[]) for update skip locked)

-- name: plan_lock
-- Waits for all transactions that write a user under the instant announced so far (see planning_fence in the schema).
select pg_advisory_xact_lock(hashtext('heyday.planning'))

-- name: planned_until
-- The announced instant, and the complete one: the start of the earliest open range, or the announced instant.
select business_now() as now, p.planned_until as announced,
    coalesce((select min(starts_at) from plan_ranges), p.planned_until) as complete
from planning p

-- name: lock_planning
-- The order of locks: rules_lock, plan_lock, this row, an occasion, its ranges. A new range locks its occasion. A deletion
-- of an occasion changes the rules, too, and so waits for planners before it locks this row: a planner may wait for a
-- user whose edit waits for plan_lock, and the holder of plan_lock for this row.
select planned_until from planning for update

-- name: announce
update planning set planned_until = $1 where planned_until < $1 returning planned_until

-- name: job_run
insert into job_runs (job, scheduled_at, incarnation) values ($1, $2, $3)
on conflict do nothing
returning job

-- name: forget_job_runs
delete from job_runs where started_at < business_now() - interval '30 days'

-- name: ensure_year
select ensure_year($1)

-- name: split
-- The last user of each part of $3 users with this day, in order, by an index-only scan.
select user_id from (
    select user_id, row_number() over (order by user_id) as position
    from occasion_dates
    where occasion = $1 and month_day = $2
) as numbered
where position % $3 = 0
order by user_id

-- name: add_ranges
-- After lock_planning. An occasion that was deleted since the days were computed has no ranges.
insert into plan_ranges (occasion, local_year, month_day, after_user, until_user, starts_at, ends_at, replans)
select occasion, local_year, month_day, after_user, until_user, $6, $7, $8
from unnest($1::text[], $2::smallint[], $3::smallint[], $4::uuid[], $5::uuid[])
    as t (occasion, local_year, month_day, after_user, until_user)
where occasion = any(array(select code from occasions))
returning id

-- name: open_ranges
select id from plan_ranges
where announced_at < clock_timestamp() - make_interval(secs => $1) and id > $3
order by id
limit $2

-- name: peek_range
-- The transaction that locks the row plans the range. If it dies, the row is there again.
select occasion, local_year, month_day, after_user, until_user, starts_at, ends_at, replans
from plan_ranges
where id = $1
for update skip locked

-- name: drop_range
delete from plan_ranges where id = $1

-- name: split_range
-- Cuts a range in two at the middle of its users, and returns the id of the second half. It returns no row if the range
-- has one user, or if another node plans it.
with whole as (
    select * from plan_ranges where id = $1 for update skip locked
),
numbered as (
    select d.user_id, row_number() over (order by d.user_id) as position, count(*) over () as users
    from whole w
    join occasion_dates d on d.occasion = w.occasion and d.month_day = w.month_day
        and (w.after_user is null or d.user_id > w.after_user) and (w.until_user is null or d.user_id <= w.until_user)
),
middle as (
    select user_id from numbered where users > 1 and position = users / 2
),
first_half as (
    update plan_ranges r set until_user = middle.user_id from middle where r.id = $1
)
insert into plan_ranges (occasion, local_year, month_day, after_user, until_user, starts_at, ends_at, replans)
select w.occasion, w.local_year, w.month_day, middle.user_id, w.until_user, w.starts_at, w.ends_at, w.replans
from whole w, middle
returning id

-- name: postpone_range
-- Recovery hands it out again at each pass. Its age ends at once what `not_replanned_now` (messages.sql) waits for: the other
-- messages of the occasion do not wait for a row that cannot change. Returns its users, of whom there is one at most.
with range as (
    update plan_ranges set announced_at = least(announced_at, clock_timestamp() - interval '10 minutes') where id = $1
    returning occasion, month_day, after_user, until_user
)
select d.user_id
from range r
join occasion_dates d on d.occasion = r.occasion and d.month_day = r.month_day
    and (r.after_user is null or d.user_id > r.after_user) and (r.until_user is null or d.user_id <= r.until_user)

-- fragment: users_of_range
-- The users of a range. Each is locked and read by its key (offset 0): the tables may be new to PostgreSQL's statistics.
-- FOR SHARE waits for a user who is being changed and reads the row again, so no message uses old values. A later
-- change waits for this transaction and finds the message that it has to move. The user is locked before the date, as
-- in a change. The other order would deadlock. $6 maps each zone to its instant. A join might compare with all 600.
range as (
    select user_id from occasion_dates
    where occasion = $1 and month_day = $3
        and ($4::uuid is null or user_id > $4) and ($5::uuid is null or user_id <= $5)
    order by user_id
    offset 0
),
locked as (
    select u.id as user_id, u.timezone, ($6::jsonb ->> u.timezone)::timestamptz as send_at,
        greatest(u.created_at, o.active_since) as created_at, o.active
    from range r
    cross join lateral (
        select id, timezone, created_at from users where id = r.user_id and deleted_at is null
        offset 0
        for share
    ) u
    cross join lateral (
        select from occasion_dates
        where user_id = u.id and occasion = $1 and month_day = $3
            and extract(year from date) < $2::smallint  -- no greeting in the year of the date itself
        offset 0
        for share
    ) d
    cross join (select active, active_since from occasions where code = $1) o
)

-- name: plan_range
-- A message that the rules had cancelled before it was handed out, and that has its day again, is scheduled again.
with {{users_of_range}},
desired as materialized (
    select * from locked where created_at < send_at
),
made as (
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
    select user_id, $1, $2, timezone, send_at, send_at, $7 from desired
    on conflict on constraint messages_once do nothing
    returning user_id
),
cancelled as (
    select m.id, d.timezone, d.send_at
    from (
        select d.timezone, d.send_at, found.id
        from (select * from desired where user_id not in (select user_id from made)) d
        cross join lateral (
            select id from messages where user_id = d.user_id and occasion = $1 and local_year = $2 offset 0
        ) found
        order by found.id
        offset 0
    ) d
    cross join lateral (
        select id from messages
        where id = d.id and local_year = $2 and status = 'cancelled' and queued_at is null
        offset 0
        for update
    ) m
),
revived as (
    update messages m set
        status = 'scheduled', timezone = c.timezone, send_at = c.send_at, due_at = greatest(c.send_at, business_now()),
        ended_at = null, status_reason = 'planned again', tzdata = $7
    from cancelled c
    where m.id = c.id and m.local_year = $2
    returning m.id
)
select (select count(*) from made) + (select count(*) from revived) as messages

-- name: replan_range
-- The rules have changed: moves, cancels, revives or makes the messages of a range, as an edit of each user would
-- (plan_users). A user who was created between the new instant and the old one keeps the old one. A redriven message
-- stays as it is, unless the occasion is not active. $6: the instant of every zone that has one. $8, $9: the window of
-- the messages to make. Users whose message is there are left out of the insert: a conflict for each of them would cost
-- a fifth of the statement. Messages are locked in the order of their ids, as in every move of several.
with {{users_of_range}},
found as materialized (
    select d.*, m.id
    from locked d
    left join lateral (
        select id from messages where user_id = d.user_id and occasion = $1 and local_year = $2 offset 0
    ) m on true
),
verdict as materialized (
    select m.id, m.status as was, d.timezone, d.send_at, d.active, m.moves,
        case
            when not m.moves then null
            when d.send_at is null then case when m.ended_at is null then 'cancelled' end
            when d.send_at > business_now() then 'scheduled'
            when d.created_at >= d.send_at then null
            when m.ended_at is not null and d.send_at < business_now() - $10::interval then null
            else 'scheduled'
        end as status
    from (
        select * from found where id is not null
        order by id
        offset 0
    ) d
    cross join lateral (
        select id, status, ended_at, status = 'cancelled' or d.send_at is distinct from send_at as moves
        from messages
        where id = d.id and local_year = $2
            and status in ('scheduled', 'queued', 'sending', 'retrying', 'cancelled', 'expired')
            and (redriven_at is null or not d.active)
        offset 0
        for update
    ) m
),
on_the_wire as (
    update messages m set
        reschedule_to = case v.status when 'cancelled' then 'infinity' when 'scheduled' then v.send_at end
    from verdict v
    where m.id = v.id and m.local_year = $2 and v.was = 'sending'
),
moved as (
    update messages m set
        status        = v.status,
        timezone      = v.timezone,
        send_at       = coalesce(v.send_at, m.send_at),
        due_at        = greatest(coalesce(v.send_at, m.send_at), business_now()),
        ended_at      = case when v.status = 'cancelled' then business_now() end,
        status_reason = case when v.status <> 'cancelled' then 'moved: the rules have changed'
                             when v.active then 'the rules have changed: the day has no instant this year'
                             else 'the occasion is not active' end,
        tzdata        = $7
    from verdict v
    where m.id = v.id and m.local_year = $2 and v.status is not null and v.was <> 'sending'
    returning m.id
),
made as (
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
    select user_id, $1, $2, timezone, send_at, greatest(send_at, business_now()), $7
    from found
    where id is null and send_at > created_at and send_at >= $8 and send_at < $9
    on conflict on constraint messages_once do nothing
    returning id
)
select (select count(*) from moved) + (select count(*) from made) as messages

-- name: fence_for
-- Raises HD001 if the rules have changed. Otherwise they stay the same until the transaction ends.
select planning_fence_for($1)

-- name: plan_users
-- Changes the messages of users, given the instants computed from their rows as they are in this transaction: moves,
-- cancels, revives or creates. A message that is being sent keeps its row; reschedule_to has its instant if the attempt
-- fails. $1..$4: user, occasion, local year and instant (null: none in that year, or no date any more). A message whose
-- instant has passed is due at once if the user existed before it, and expires if that is too late. Each row is found by
-- its key (offset 0), as in planning a range, and messages are locked in the order of their ids.
with fence as materialized (
    select planning_fence() as planned_until
),
desired as materialized (
    select t.user_id, t.occasion, t.local_year, t.send_at, u.timezone,
        greatest(u.created_at, o.active_since) as created_at, o.active
    from unnest($1::uuid[], $2::text[], $3::smallint[], $4::timestamptz[]) as t (user_id, occasion, local_year, send_at)
    cross join lateral (select timezone, created_at from users where id = t.user_id offset 0) u
    join occasions o on o.code = t.occasion
),
verdict as materialized (
    -- Their state after the lock, which may be later than the rest of this statement sees.
    select m.id, d.local_year, m.status as was, d.timezone, d.send_at, d.active,
        m.ended_at is null and d.send_at = m.send_at and d.timezone <> m.timezone as is_renamed,
        case
            -- An unsent message that is already as desired stays as it is, in any state.
            when m.ended_at is null and d.send_at is not distinct from m.send_at then null
            when d.send_at is null then 'cancelled'
            when d.send_at > business_now() then 'scheduled'
            when d.created_at >= d.send_at then 'cancelled'
            -- Ended, and too late to be sent: it stays as it is.
            when m.ended_at is not null and d.send_at < business_now() - $5::interval then null
            else 'scheduled'
        end as status
    from (
        select d.*, found.id
        from desired d
        cross join lateral (
            select id from messages
            where user_id = d.user_id and occasion = d.occasion and local_year = d.local_year
            offset 0
        ) found
        order by found.id
        offset 0
    ) d
    cross join lateral (
        select id, status, send_at, ended_at, timezone from messages
        where id = d.id and local_year = d.local_year
            and status in ('scheduled', 'queued', 'sending', 'retrying', 'cancelled', 'expired')
        offset 0
        for update
    ) m
),
on_the_wire as (
    update messages m set reschedule_to = case v.status when 'cancelled' then 'infinity' when 'scheduled' then v.send_at end
    from verdict v
    where m.id = v.id and m.local_year = v.local_year and v.was = 'sending'
),
moved as (
    update messages m set
        status    = v.status,
        timezone  = v.timezone,
        send_at   = coalesce(v.send_at, m.send_at),
        due_at    = greatest(coalesce(v.send_at, m.send_at), business_now()),
        ended_at  = case when v.status = 'cancelled' then business_now() end,
        status_reason    = case when v.status <> 'cancelled' then null
                                when v.active then 'the user''s day was moved or removed'
                                else 'the occasion is not active' end,
        tzdata    = $6,
        claimed_by = null  -- as in cancel_user
    from verdict v
    where m.id = v.id and m.local_year = v.local_year and v.was <> 'sending'
        and (v.status = 'scheduled' or v.status = 'cancelled' and v.was not in ('cancelled', 'expired'))
),
renamed as (
    -- The same instant in another zone: the message keeps its state.
    update messages m set timezone = v.timezone
    from verdict v
    where m.id = v.id and m.local_year = v.local_year and v.is_renamed and v.was <> 'sending'
)
insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
select d.user_id, d.occasion, d.local_year, d.timezone, d.send_at, greatest(d.send_at, business_now()), $6
from desired d, fence
where d.created_at < d.send_at
    and d.send_at < fence.planned_until and d.send_at >= business_now() - $5::interval
on conflict on constraint messages_once do nothing

-- name: cancel_user
-- The user was deleted: unsent messages are neither sent nor tried again.
with present as (
    select id, local_year, status from messages
    where user_id = $1 and status in ('scheduled', 'queued', 'sending', 'retrying')
    order by id
    for update
),
on_the_wire as (
    update messages m set reschedule_to = 'infinity'
    from present p
    where m.id = p.id and m.local_year = p.local_year and p.status = 'sending'
)
-- claimed_by: PostgreSQL checks constraints on the row as it was at the start of the statement, before it sees that the
-- attempt has ended since.
update messages m set
    status = 'cancelled', ended_at = business_now(), status_reason = 'the user was deleted', claimed_by = null
from present
where m.id = present.id and m.local_year = present.local_year and present.status <> 'sending'
returning m.id
