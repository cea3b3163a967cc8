-- name: pulse
-- The instant, how fast it runs, and when the next message is due. One index probe per year; read every second or so.
select
    business_now() as now,
    clock_timestamp() as real_now,
    business_rate() as rate,
    (select min(due_at) from messages where status in ('scheduled', 'retrying')) as next_due

-- name: outstanding
-- How many messages are on their way, up to a limit: enough to decide on back-pressure.
select count(*) from (
    select from messages where status = 'queued' limit $1
) as queued

-- name: claim_due
-- Oldest first; what is too late to send expires here, in the same pass. A ticker whose fencing number is not the
-- highest claims nothing. The locked rows are joined by their whole key, so that only their partitions are touched.
-- Lateness counts from the later of the instant and the redrive: one that was redriven may have been moved since.
with fence as (
    update fences set number = $1 where name = 'ticker' and number <= $1
    returning number
),
due as (
    select id, local_year
    from messages
    where status in ('scheduled', 'retrying') and due_at <= business_now()
    order by due_at
    limit coalesce((select $3::integer from fence), 0)
    for update skip locked
),
moved as (
    update messages m set
        status    = case when greatest(m.redriven_at, m.send_at) < business_now() - $4::interval
                         then 'expired' else 'queued' end,
        ended_at  = case when greatest(m.redriven_at, m.send_at) < business_now() - $4::interval
                         then business_now() end,
        reason    = case when greatest(m.redriven_at, m.send_at) < business_now() - $4::interval
                         then 'too late to send: more than ' || $4::interval || ' after its instant' else m.reason end,
        queued_at = business_now(),
        queued_by = $2
    from due
    where m.id = due.id and m.local_year = due.local_year
    returning m.id, m.status, m.occasion, m.attempt, m.due_at
)
select (select number from fence) as fence, id, status, occasion, attempt from moved order by due_at

-- name: fence
select number from fences where name = $1

-- name: claim_for_sending
-- The compare-and-set before any call: only what is queued and due, and only once. It reads name, address and text as
-- they are now. Rows are locked in the order of their ids, so that two claims of the same bundle wait and do not deadlock.
-- coalesce keeps them from being found by the index of what is queued: the planner read all that is queued for each
-- bundle, which took PostgreSQL 95 instead of 32 µs a greeting with 20,000 of them.
with held as (
    select id, local_year
    from messages
    where id = any($1::uuid[]) and coalesce(status, '') = 'queued' and due_at <= business_now()
    order by id
    for update
)
update messages m set status = 'sending', attempt = m.attempt + 1, claimed_by = $2, claimed_at = business_now()
from held, users u, occasions o
where m.id = held.id and m.local_year = held.local_year
    and u.id = m.user_id and u.deleted_at is null and o.code = m.occasion
returning m.id, m.local_year, m.attempt, m.attempt_base, m.send_at, m.occasion,
    u.first_name, u.last_name, u.email, o.template

-- name: record
-- Outcomes and attempts, one statement per batch. An attempt is kept even when the message was no longer ours to move:
-- what the service answered is a fact. An acceptance settles the message wherever it is by now: its claim may have been
-- freed, and the row be held, wait for another attempt, have failed or expired. Only what somebody is sending at this
-- moment is left to them, and their record finds the acceptance; and what its user's deletion has cancelled stays so.
-- An outcome of null is an attempt that was not made, and is not spent.
-- The clock may have jumped back since the claim: a retry is still never due before the instant. A message whose user was
-- edited meanwhile goes where the edit wants it, rather than to another attempt for the day that was.
with outcome as (
    select * from unnest(
        $1::bigint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::text[], $6::double precision[],
        $7::text[], $8::double precision[], $9::double precision[], $10::smallint[], $11::text[]
    ) as t (incarnation, id, local_year, attempt, status, delay, outcome, ago, duration, status_code, error)
),
held as (
    select m.id, m.local_year, m.send_at, m.moved_to, i.incarnation, i.attempt, i.status as wanted, false as late,
        case when i.status = 'sent' then i.status
             when i.id in (select id from outcome where outcome = 'accepted') then 'sent'
             when exists (select from attempts a where a.message_id = m.id and a.local_year = m.local_year
                          and a.outcome = 'accepted') then 'sent'
             else i.status end as follows
    from messages m
    join outcome i on m.id = i.id and m.local_year = i.local_year
    where m.status = 'sending' and m.claimed_by = i.incarnation and m.attempt = i.attempt
    order by m.id
    for update of m
),
late as (
    -- By its key and whatever its state, which is looked at once it is locked: the claim may have been freed just now.
    select m.id, m.local_year, m.send_at, m.moved_to, i.incarnation, i.attempt, i.status as wanted, true as late,
        'sent' as follows
    from (
        select * from outcome o
        where o.outcome = 'accepted'
            and (o.id, o.incarnation, o.attempt) not in (select id, incarnation, attempt from held)  -- hashed
        order by o.id
    ) i
    cross join lateral (
        select * from messages where id = i.id and local_year = i.local_year
        offset 0  -- keeps what follows from being looked at before
        for update
    ) m
    where m.status not in ('sending', 'sent')
        and (m.status <> 'cancelled' or exists (select from users u where u.id = m.user_id and u.deleted_at is null))
),
verdict as (
    select v.id, v.local_year, v.incarnation, v.attempt, v.wanted, v.late, v.follows,
        case when v.follows <> 'retrying' or v.moved_to is null then v.follows
             when v.moved_to = 'infinity' then 'cancelled' else 'scheduled' end as status,
        case when v.follows = 'retrying' and v.moved_to < 'infinity' then v.moved_to else v.send_at end as send_at
    from (select * from held union all select * from late) v
),
moved as (
    update messages m set
        status     = v.status,
        -- A backup that was put in its place may know of fewer attempts.
        attempt    = case when i.outcome is null and v.follows <> 'sent' then m.attempt - 1
                          else greatest(m.attempt, i.attempt) end,
        send_at    = v.send_at,
        due_at     = case when v.follows = 'retrying'
                          then greatest(business_now() + make_interval(secs => i.delay), v.send_at) else m.due_at end,
        timezone   = case when v.status <> v.follows then (select u.timezone from users u where u.id = m.user_id)
                          else m.timezone end,
        ended_at   = case when v.status in ('retrying', 'scheduled') then null else business_now() end,
        claimed_by = null,
        moved_to   = null,
        reason     = case when v.status <> v.follows then 'the user was edited while it was being sent'
                          when v.late then 'accepted: the answer was recorded late'
                          when v.follows <> v.wanted then 'accepted by an earlier attempt' else i.error end
    from verdict v, outcome i
    -- The batch may hold an answer to an earlier attempt of the same message too.
    where m.id = v.id and m.local_year = v.local_year
        and i.id = v.id and i.incarnation = v.incarnation and i.attempt = v.attempt
    returning m.id, m.status, m.occasion, m.send_at, i.outcome, i.ago
),
logged as (
    insert into attempts
        (message_id, local_year, number, outcome, incarnation, started_at, duration, status_code, error)
    select id, local_year, attempt, outcome, incarnation,
        business_now() - make_interval(secs => ago * business_rate()), duration, status_code, error
    from outcome
    where outcome is not null
    on conflict do nothing
)
select id, status, occasion, outcome,
    extract(epoch from business_now() - make_interval(secs => ago * business_rate()) - send_at)::double precision
        as lateness
from moved

-- name: sending_for
-- One that was claimed in the future was claimed before the clock was set back.
select id, attempt from messages
where status = 'sending'
    and (claimed_at < business_now() - make_interval(secs => $1 * business_rate())
        or claimed_at > business_now() + interval '1 second')

-- name: free_claims
-- What nodes that have ended were sending, and the attempts ($3, $4) that were found stuck: nobody knows whether the
-- service took it, unless an earlier attempt was accepted. An attempt that has ended since it was found is not freed,
-- nor is the one after it.
with dead as (
    -- As they are once they are locked: they may have been edited a moment ago.
    select m.*,
        case when exists (select from attempts a where a.message_id = m.id and a.local_year = m.local_year
                          and a.outcome = 'accepted') then 'sent'
             when $1 then 'unknown' when m.attempt - m.attempt_base >= $2 then 'failed' else 'retrying' end as follows
    from messages m
    where m.status = 'sending'
        and (m.claimed_by not in (select incarnation from nodes where ended_at is null)
            or (m.id, m.attempt) in (select * from unnest($3::uuid[], $4::smallint[])))
    order by m.id
    limit 5000
    for update skip locked
),
verdict as (
    -- As in record: a message whose user was edited meanwhile goes where the edit wants it.
    select d.id, d.local_year, d.attempt, d.claimed_by, d.claimed_at, d.follows,
        case when d.follows <> 'retrying' or d.moved_to is null then d.follows
             when d.moved_to = 'infinity' then 'cancelled' else 'scheduled' end as status,
        case when d.follows = 'retrying' and d.moved_to < 'infinity' then d.moved_to else d.send_at end as send_at
    from dead d
),
moved as (
    update messages m set
        status     = v.status,
        send_at    = v.send_at,
        due_at     = case when v.follows = 'retrying' then greatest(business_now(), v.send_at) else m.due_at end,
        timezone   = case when v.status <> v.follows then (select u.timezone from users u where u.id = m.user_id)
                          else m.timezone end,
        ended_at   = case when v.status in ('retrying', 'scheduled') then null else business_now() end,
        claimed_by = null,
        moved_to   = null,
        reason     = case when v.status <> v.follows then 'the user was edited while it was being sent'
                          when v.status = 'sent' then 'accepted by an earlier attempt'
                          else 'its node died, or lost it, while sending it' end
    from verdict v
    where m.id = v.id and m.local_year = v.local_year
    returning m.id, m.status, m.occasion, m.attempt
),
logged as (
    insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, error)
    select id, local_year, attempt, 'unknown', claimed_by, claimed_at, 0, 'no record of its end'
    from verdict
    on conflict do nothing
)
select id, status, occasion, attempt from moved

-- name: take_back_queued
-- Rows that have been queued for long: their stream entry or delivery is lost. One hop back, and the ticker finds them.
-- So are those that were queued in the future: the clock was set back, and what came of it was dropped as not yet due.
with lost as (
    select id, local_year
    from messages
    where status = 'queued'
        and (queued_at < business_now() - make_interval(secs => $1 * business_rate())
            or queued_at > business_now() + interval '1 second')
    order by queued_at
    limit 5000
    for update skip locked
)
update messages m set
    status = case when m.attempt > m.attempt_base then 'retrying' else 'scheduled' end,
    reason = 'taken back: it had been queued for too long'
from lost
where m.id = lost.id and m.local_year = lost.local_year
returning m.id

-- name: take_back_claims_of
-- Rows that this node's ticker claimed and could not append to the stream.
with mine as (
    select id, local_year from messages
    where id = any($1::uuid[]) and status = 'queued' and queued_by = $2
    order by id
    for update
)
update messages m set status = case when m.attempt > m.attempt_base then 'retrying' else 'scheduled' end
from mine
where m.id = mine.id and m.local_year = mine.local_year
returning m.id

-- name: take_back_claim
-- The latest claim of a ticker that has died: the one that it may not have appended to the stream. One statement made
-- it, so its rows have one queued_at. The claims before it are in the stream, or in the queue.
with lost as (
    select id, local_year
    from messages
    where status = 'queued' and queued_by = $1
        and queued_at = (select max(queued_at) from messages where status = 'queued' and queued_by = $1)
    order by id
    for update skip locked
)
update messages m set
    status = case when m.attempt > m.attempt_base then 'retrying' else 'scheduled' end,
    reason = 'taken back: the node that claimed it died'
from lost
where m.id = lost.id and m.local_year = lost.local_year
returning m.id

-- name: unburied
select id from messages where status = 'failed' and buried_at is null order by id limit 500

-- name: buried
-- In the order of their ids, as everything that moves several messages: an acceptance may settle some at this moment.
with held as (
    select id, local_year from messages
    where id = any($1::uuid[]) and status = 'failed' and buried_at is null
    order by id
    for update
)
update messages m set buried_at = business_now()
from held
where m.id = held.id and m.local_year = held.local_year

-- name: redrive
-- A person sends it again: at once, with a fresh budget of attempts, whatever the time. Not to a user who is deleted.
with held as (
    select m.id, m.local_year
    from messages m join users u on u.id = m.user_id and u.deleted_at is null
    where m.id = any($1::uuid[]) and m.status in ('failed', 'unknown', 'expired')
    order by m.id
    for update of m
)
update messages m set
    status = 'scheduled', due_at = greatest(business_now(), m.send_at), redriven_at = business_now(),
    attempt_base = m.attempt, ended_at = null, buried_at = null, reason = 'redriven'
from held
where m.id = held.id and m.local_year = held.local_year
returning m.id

-- name: open_by_status
-- Counts of what is not finished, from the partial indexes; the ends are counted by the events that make them, all but
-- `unknown`, which is no end for the person who has to decide.
select status, count(*) as count
from messages
where status in ('scheduled', 'retrying') or status = 'queued' or status = 'sending' or status = 'unknown'
group by status

-- name: oldest_due
-- Wherever it waits: for the ticker, in the queue (those queued first were due first), or for the end of its attempt. Those
-- that were put off, to another attempt or by an edit, have been due since their instant, or since they were redriven.
select greatest(0, coalesce(extract(epoch from business_now() - least(
    (select min(due_at) from messages where status in ('scheduled', 'retrying') and due_at <= business_now()),
    (select min(greatest(redriven_at, send_at)) from messages
        where status in ('scheduled', 'queued', 'retrying') and due_at > greatest(redriven_at, send_at)),
    (select due_at from messages where status = 'queued' order by queued_at limit 1),
    (select min(greatest(redriven_at, send_at)) from messages where status = 'sending')
)), 0))::double precision
