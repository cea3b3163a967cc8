-- name: occasions
select code, template, send_at, leap_day from occasions order by code

-- name: plan_lock
-- Waits for everybody who is writing a user under the instant announced so far (see planning_fence in the schema).
select pg_advisory_xact_lock(hashtext('heyday.planning'))

-- name: planned_up_to
-- Announced, and complete: the begin of the earliest range not planned yet, or all that was announced.
select business_now() as now, p.up_to as announced,
    coalesce((select min(starts_at) from plan_ranges), p.up_to) as complete
from planning p

-- name: announced
select up_to from planning

-- name: announce
update planning set up_to = $1 where up_to < $1 returning up_to

-- name: job_run
insert into job_runs (job, scheduled_at, incarnation) values ($1, $2, $3)
on conflict do nothing
returning job

-- name: forget_job_runs
delete from job_runs where started_at < business_now() - interval '30 days'

-- name: ensure_year
select ensure_year($1)

-- name: split
-- The last user of each part of $3 users that have this day, in order; an index-only scan.
select user_id from (
    select user_id, row_number() over (order by user_id) as position
    from occasion_dates
    where occasion = $1 and month_day = $2
) as numbered
where position % $3 = 0
order by user_id

-- name: add_ranges
insert into plan_ranges (occasion, local_year, month_day, after_user, until_user, starts_at, ends_at)
select occasion, local_year, month_day, after_user, until_user, $6, $7
from unnest($1::text[], $2::smallint[], $3::smallint[], $4::uuid[], $5::uuid[])
    as t (occasion, local_year, month_day, after_user, until_user)
returning id

-- name: open_ranges
select id from plan_ranges
where announced_at < clock_timestamp() - make_interval(secs => $1)
order by id
limit $2

-- name: take_range
-- Whoever deletes the row plans it; if that transaction dies, the row is there again.
delete from plan_ranges where id = (select id from plan_ranges where id = $1 for update skip locked)
returning occasion, local_year, month_day, after_user, until_user, starts_at, ends_at

-- name: plan_range
-- FOR SHARE: a user who is being changed is waited for and read again, so no row is made from what was true before.
-- The other way round, a change that comes later waits for this transaction and finds the row that it has to move.
-- The user is locked before the date, as a change does it: the other order would deadlock with it.
insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
select u.id, d.occasion, $2, u.timezone, z.send_at, z.send_at, $8
from occasion_dates d
join users u on u.id = d.user_id
join unnest($6::text[], $7::timestamptz[]) as z (timezone, send_at) on z.timezone = u.timezone
where d.occasion = $1 and d.month_day = $3
    and ($4::uuid is null or d.user_id > $4) and ($5::uuid is null or d.user_id <= $5)
    and u.deleted_at is null and u.created_at < z.send_at
for share of u, d
on conflict on constraint messages_once do nothing

-- name: plan_user
-- What one user's days come to, given the instants computed from the row as it is in this transaction: moves, cancels,
-- revives or creates. What is being sent stays, and is told where to go should the attempt not succeed (moved_to). $2..$4: occasion, local year and instant (null: there is none that year, or no longer a date).
-- A message whose instant has passed is due at once if the user was there before it, and expires if that is too late.
with fence as materialized (
    select planning_fence() as up_to
),
wanted as (
    select t.occasion, t.local_year, t.send_at
    from unnest($2::text[], $3::smallint[], $4::timestamptz[]) as t (occasion, local_year, send_at)
),
present as (
    -- As they are once they are locked, which may be later than what the rest of this statement sees.
    select m.id, m.local_year, m.occasion, m.status, m.send_at, m.ended_at
    from messages m
    where m.user_id = $1
        and m.status in ('scheduled', 'queued', 'sending', 'retrying', 'cancelled', 'expired')
        and (m.occasion, m.local_year) in (select occasion, local_year from wanted)
    order by m.id
    for update
),
verdict as (
    select p.id, p.local_year, p.status as was, w.send_at,
        case
            when w.send_at is null then 'cancelled'
            when w.send_at > business_now() then 'scheduled'
            when u.created_at >= w.send_at then 'cancelled'
            -- Ended, and too late to be made good: it stays as it is.
            when p.ended_at is not null and w.send_at < business_now() - $5::interval then p.status
            else 'scheduled'
        end as status
    from present p
    join wanted w on w.occasion = p.occasion and w.local_year = p.local_year
    join users u on u.id = $1
    -- An unsent message that is already what it should be is left alone, wherever it is on its way.
    where p.ended_at is not null or w.send_at is distinct from p.send_at
),
on_the_wire as (
    update messages m set moved_to = case v.status when 'cancelled' then 'infinity' when 'scheduled' then v.send_at end
    from present p left join verdict v on v.id = p.id and v.local_year = p.local_year
    where m.id = p.id and m.local_year = p.local_year and p.status = 'sending'
),
moved as (
    update messages m set
        status    = v.status,
        timezone  = u.timezone,
        send_at   = coalesce(v.send_at, m.send_at),
        due_at    = greatest(coalesce(v.send_at, m.send_at), business_now()),
        ended_at  = case when v.status = 'cancelled' then business_now() end,
        reason    = case when v.status = 'cancelled' then 'the user''s day was moved or removed' end,
        tzdata    = $6
    from verdict v, users u
    where m.id = v.id and m.local_year = v.local_year and u.id = m.user_id and v.status in ('cancelled', 'scheduled')
        and v.was <> 'sending'
        and not (m.status = 'cancelled' and v.status = 'cancelled')
        and not (m.status = 'expired' and v.status = 'cancelled')
    returning m.status
),
renamed as (
    -- The same instant by the clocks of another zone: the message stays where it is on its way.
    update messages m set timezone = u.timezone
    from present, wanted w, users u
    where m.id = present.id and m.local_year = present.local_year and u.id = m.user_id
        and w.occasion = m.occasion and w.local_year = m.local_year
        and m.ended_at is null and present.status <> 'sending' and w.send_at = m.send_at and u.timezone <> m.timezone
),
created as (
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
    select u.id, w.occasion, w.local_year, u.timezone, w.send_at, greatest(w.send_at, business_now()), $6
    from wanted w, users u, fence
    where u.id = $1 and u.created_at < w.send_at
        and w.send_at < fence.up_to and w.send_at >= business_now() - $5::interval
    on conflict on constraint messages_once do nothing
    returning status
)
select status from moved union all select status from created

-- name: cancel_user
-- The user was deleted: whatever has not been sent will not be, nor tried again.
with present as (
    select id, local_year, status from messages
    where user_id = $1 and status in ('scheduled', 'queued', 'sending', 'retrying')
    order by id
    for update
),
on_the_wire as (
    update messages m set moved_to = 'infinity'
    from present p
    where m.id = p.id and m.local_year = p.local_year and p.status = 'sending'
)
update messages m set status = 'cancelled', ended_at = business_now(), reason = 'the user was deleted'
from present
where m.id = present.id and m.local_year = present.local_year and present.status <> 'sending'
returning m.id
