-- fragment: not_set_aside
-- A row that PostgreSQL could not change is left out for a while, so that it stops no other. One that was set aside in the
-- future, or for longer than an hour, was so before the clock was set back. The condition is that of set_aside.sql. As an
-- array it is read once, before anything else: `not in` adds its cost to the first row of each partition, and the planner
-- then sorts all due messages instead of reading the first ones of each.
id <> all (array(
    select message_id from set_aside
    where look_again_at > business_now() and since <= business_now() + interval '1 second'
        and look_again_at <= business_now() + interval '1 hour' * business_rate()))

-- fragment: is_due
status in ('scheduled', 'retrying') and due_at <= business_now()

-- fragment: of_occasion
-- With `order by occasion, due_at` only the index on both columns fits. With `occasion = o.code` the planner may take the
-- index on due_at alone, and that leads through all due messages of an occasion that is held.
(occasion, due_at) >= (o.code, '-infinity') and (occasion, due_at) <= (o.code, 'infinity')

-- fragment: of_ended_node
claimed_by not in (select incarnation from nodes where ended_at is null)

-- fragment: queued_for_long
status = 'queued'
    and (queued_at < business_now() - make_interval(secs => $1 * business_rate())
        or queued_at > business_now() + interval '1 second')

-- fragment: of_latest_claim
status = 'queued' and queued_by = $1
    and queued_at = (select max(queued_at) from messages where status = 'queued' and queued_by = $1)

-- fragment: unsent_status
-- The state of a message that goes one hop back. After an attempt since the last redrive it is a retry.
case when m.attempt > m.attempts_before_redrive then 'retrying' else 'scheduled' end

-- fragment: not_replanned_now
-- While the messages of an occasion move to other instants, none is handed out by an old instant. This begins with the
-- change of the occasion itself. It is bounded, because a range that cannot be planned must not delay the others for
-- long.
occasion <> all (array(
    select r.occasion from plan_ranges r
    where r.replans and r.announced_at > clock_timestamp() - interval '10 minutes'
    union all
    select o.code from occasions o, planning p
    where o.rules_version > p.replanned_version and o.rules_changed_at > clock_timestamp() - interval '10 minutes'))

-- fragment: not_held
-- Both sub-queries run once for each statement. The condition is that of `active` in holds.sql.
not exists (select from holds h where h.occasion is null and h.released_at is null and coalesce(h.until > business_now(), true))
    and occasion <> all (array(
        select h.occasion from holds h
        where h.occasion is not null and h.released_at is null and coalesce(h.until > business_now(), true)))

-- fragment: raise_fence
-- A ticker whose fencing token is not the highest claims nothing.
fence as (
    update fencing_tokens set token = $1 where name = 'ticker' and token <= $1
    returning token
)

-- fragment: due_message
-- A due message and its next state. Lateness counts from the later of the instant and the redrive, because a redriven
-- message may have been moved since. A message of unknown outcome does not expire. It may have been delivered, so it
-- waits for an operator.
m.id, m.local_year,
        case when greatest(m.redriven_at, m.send_at) >= business_now() - $4::interval then 'queued'
             when exists (select from attempts a where a.message_id = m.id and a.local_year = m.local_year
                          and a.number > m.attempts_before_redrive and a.outcome = 'unknown') then 'unknown'
             else 'expired' end as next_status

-- fragment: move_due
-- The locked rows are joined by their whole key, so that only their partitions are touched.
moved as (
    update messages m set
        status    = due.next_status,
        ended_at  = case when due.next_status <> 'queued' then business_now() end,
        status_reason = case when due.next_status <> 'queued'
                         then 'too late to send: more than ' || $4::interval || ' after its instant' else m.status_reason end,
        queued_at = business_now(),
        queued_by = $2
    from due
    where m.id = due.id and m.local_year = due.local_year
    returning m.id, m.status, m.occasion, m.attempt, m.due_at
)
select (select token from fence) as fence, id, status, occasion, attempt from moved order by due_at

-- fragment: verdict
-- The next state of each row of `concluded`. If the user was edited while the message was being sent, the edit decides,
-- and no attempt is made for the old day.
select c.*,
    case when c.follows <> 'retrying' or c.reschedule_to is null then c.follows
         when c.reschedule_to = 'infinity' then 'cancelled' else 'scheduled' end as next_status,
    case when c.follows = 'retrying' and c.reschedule_to < 'infinity' then c.reschedule_to else c.send_at end as next_send_at
from concluded c

-- fragment: follow_verdict
-- Moves a message by its verdict `v`. The clock may have jumped back since the claim, but a retry is never due before
-- the instant.
    status        = v.next_status,
    send_at       = v.next_send_at,
    -- No delay means that no attempt was made. The message keeps its place among the due ones.
    due_at        = case when v.follows = 'retrying'
                         then greatest(business_now() + make_interval(secs => v.delay), v.next_send_at,
                                       case when v.delay is null then m.due_at end)
                         else m.due_at end,
    -- Read again, because this statement may have waited for the edit. An edit that has not ended yet moves the message
    -- itself.
    timezone      = coalesce(case when v.next_status <> v.follows then zone_of_user(m.user_id) end, m.timezone),
    ended_at      = case when v.next_status in ('retrying', 'scheduled') then null else business_now() end,
    claimed_by    = null,
    reschedule_to = null

-- fragment: service_that_accepted
-- The service of an accepted attempt that is on record.
(select a.service from attempts a
    where a.message_id = m.id and a.local_year = m.local_year and a.outcome = 'accepted' order by a.number limit 1)

-- fragment: given_outcomes
select * from unnest(
    $1::bigint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::text[], $6::double precision[],
    $7::text[], $8::double precision[], $9::double precision[], $10::smallint[], $11::text[], $12::boolean[], $13::text[],
    $14::text[], $15::boolean[], $16::bigint[]
) as t (incarnation, id, local_year, attempt, status, delay, outcome, ago, duration, status_code, error, spent, provider_id,
    service, in_doubt, token)

-- fragment: log_attempts
insert into attempts
    (message_id, local_year, number, outcome, incarnation, started_at, duration, status_code, error, provider_id,
    service, in_doubt)
select id, local_year, attempt, outcome, incarnation,
    business_now() - make_interval(secs => ago * business_rate()), duration, status_code, error, provider_id,
    service, in_doubt
from outcome
where outcome is not null
on conflict do nothing

-- name: read_clock
-- The instant, the rate of the clock, and if $1, the next due instant without held messages. For it, it reads one index
-- entry per year, or per year and occasion during a hold of an occasion. While a session holds a snapshot it also reads
-- the entry of every message that was due since then. `held` has the occasions; '' means all.
select
    business_now() as now,
    clock_timestamp() as real_now,
    business_rate() as rate,
    h.held,
    case when not $1::boolean or '' = any(h.held) then null
         when h.held = '{}' then (
            select min(due_at) from messages where status in ('scheduled', 'retrying') and {{not_set_aside}})
         else (
            select min(next.due_at)
            from occasions o
            cross join lateral (
                select due_at from messages
                where {{of_occasion}} and status in ('scheduled', 'retrying') and {{not_set_aside}}
                order by occasion, due_at
                limit 1
            ) next
            where o.code <> all (h.held))
    end as next_due
from (
    select array(
        select distinct coalesce(occasion, '') from holds
        where released_at is null and coalesce(until > business_now(), true)) as held
) h

-- name: outstanding
-- Counts the messages on their way, up to a limit: enough to decide on back-pressure.
select
    (select count(*) from (select from messages where status = 'queued' limit $1) as queued) as queued,
    (select messages from taken_back) as taken_back

-- name: claim_due
-- Oldest first. Messages that are too late expire in the same pass. $5: only these ids, or null for all.
with {{raise_fence}},
due as (
    select {{due_message}}
    from messages m
    where {{is_due}} and {{not_replanned_now}} and {{not_held}} and {{not_set_aside}}
        and ($5::uuid[] is null or id = any($5))
    order by due_at
    limit coalesce((select $3::integer from fence), 0)
    for update skip locked
),
{{move_due}}

-- name: claim_due_around_holds
-- The same during a hold of an occasion. It does not read the due messages of that occasion, however many there are. `due`
-- finds each row by its key alone: with a condition on the status an index on it would do, too. Its limit takes nothing
-- away, but tells the planner that the rows are few.
with {{raise_fence}},
oldest as (
    select found.id, found.local_year
    from occasions o
    cross join lateral (
        select id, local_year, due_at from messages
        where {{of_occasion}} and {{is_due}} and {{not_replanned_now}} and {{not_held}} and {{not_set_aside}}
            and ($5::uuid[] is null or id = any($5))
        order by occasion, due_at
        limit $3::integer
    ) found
    where o.code <> all (array(
        select h.occasion from holds h
        where h.occasion is not null and h.released_at is null and coalesce(h.until > business_now(), true)))
    order by found.due_at
    limit coalesce((select $3::integer from fence), 0)
),
due as (
    select found.id, found.local_year, found.next_status
    from oldest o
    cross join lateral (
        select {{due_message}}, m.status, m.due_at
        from messages m
        where m.id = o.id and m.local_year = o.local_year
        offset 0
        for update skip locked
    ) found
    where {{is_due}}
    limit $3::integer
),
{{move_due}}

-- name: due_ids
select id from messages where {{is_due}} and {{not_replanned_now}} and {{not_held}} and {{not_set_aside}}
order by due_at limit $1

-- name: fence
select token from fencing_tokens where name = $1

-- name: claim_for_sending
-- The compare-and-set before any call: only queued and due messages, and only once. A claim that is repeated because
-- its answer was lost has the same token ($3) and gets its own rows again. It reads name, address and text as they are
-- now, and chooses the text as service/domain/texts.py does. Messages of an inactive occasion are not sent: planning
-- cancels them. A message that became too late in the queue ($4) stays queued: recovery takes it back, and claim_due
-- ends it. Rows are locked in the order of their ids, so that two claims of the same bundle wait and do not deadlock.
-- coalesce prevents the use of the index of queued messages. The planner read all of them for each bundle, which took
-- PostgreSQL 95 instead of 32 µs a greeting with 20,000 queued. Verdicts other than 'sending' are the reasons why a
-- message is not sent now: 'held' goes one hop back and keeps its place among the due messages; the others are ends.
-- $5: the addresses and @domains that may be written to, or null for all.
-- The claim names the email service before the call: $6 are the messages for the fallback service. A message that one of
-- the services may have taken at an earlier attempt, also before a redrive, is claimed for that one whatever $6 says.
with locked as (
    select id, local_year, user_id, occasion, attempt, status = 'sending' as repeated, {{not_held}} as not_held
    from messages
    where id = any($1::uuid[])
        and (coalesce(status, '') = 'queued' and due_at <= business_now()
                and ($4::interval is null or greatest(redriven_at, send_at) >= business_now() - $4::interval)
            or coalesce(status, '') = 'sending' and claimed_by = $2 and claim_token = $3::bigint)
    order by id
    for update
),
judged as materialized (
    select l.id, l.local_year, l.repeated, u.first_name, u.last_name, u.email,
        case when l.attempt > 0 then (
            select a.service from attempts a
            where a.message_id = l.id and a.local_year = l.local_year and (a.outcome = 'unknown' or a.in_doubt)
            order by a.number limit 1) end as pinned_to,
        o.subject, o.template, o.template_with_years, o.text_version,
        -- The longest language tag that begins the locale: the lookup of RFC 4647, 3.4.
        case when u.locale is not null and o.texts <> '{}' then (
            select t.value from jsonb_each(o.texts) t
            where lower(u.locale) = lower(t.key) or lower(u.locale) like lower(t.key) || '-%'
            order by length(t.key) desc
            limit 1) end as own_text,
        case when l.repeated then 'sending'
             when not l.not_held then 'held'
             -- The first condition saves the search in the address, a tenth of the statement.
             when $5::text[] is not null
                    and not (u.email_key = any($5::text[]) or substring(u.email_key from '@[^@]*$') = any($5::text[]))
                then 'only_to'
             else coalesce((
                select min(s.reason) from suppressions s
                where s.address_hash = sha256(convert_to(u.email_key, 'UTF8'))), 'sending')
        end as verdict
    from locked l
    -- By its key: with another condition, a plan from an empty table would read a partial index whole.
    cross join lateral (select * from users where id = l.user_id offset 0) u
    join occasions o on o.code = l.occasion and (o.active or l.repeated)
    where u.deleted_at is null
),
claimed as (
    update messages m set
        status = case j.verdict when 'sending' then 'sending' when 'held' then {{unsent_status}} else 'cancelled' end,
        claimed_by = case when j.verdict = 'sending' then $2::bigint end,
        claim_token = case when j.verdict = 'sending' then $3::bigint else m.claim_token end,
        claimed_at = case when j.verdict = 'sending' then business_now() else m.claimed_at end,
        service = case when j.repeated or j.verdict <> 'sending' then m.service
                       when j.pinned_to is not null then j.pinned_to
                       when m.id = any($6::uuid[]) then 'fallback' else 'primary' end,
        -- At its maximum the number stays the same. By then only the order of attempts depends on it.
        attempt = case when j.repeated or j.verdict <> 'sending' then m.attempt else least(m.attempt + 1, 32767) end,
        text_version = case when j.verdict = 'sending' then j.text_version else m.text_version end,
        ended_at = case when j.verdict not in ('sending', 'held') then business_now() end,
        status_reason = case j.verdict when 'sending' then m.status_reason
                        when 'held' then 'taken back: sending is held'
                        when 'only_to' then 'HEYDAY_ONLY_TO does not name the address'
                        else 'the address is suppressed: ' || j.verdict end
    from judged j
    where m.id = j.id and m.local_year = j.local_year
    returning j.verdict, m.id, m.user_id, m.local_year, m.attempt, m.attempts_before_redrive, m.attempts_spent, m.send_at,
        m.occasion, m.service, j.pinned_to is not null as pinned, j.first_name, j.last_name, j.email, j.subject,
        j.template, j.template_with_years, j.own_text
)
select c.verdict, c.id, c.local_year, c.attempt, c.attempts_before_redrive, c.attempts_spent, c.send_at, c.occasion,
    c.service, c.pinned, c.first_name, c.last_name, c.email, past.unknown_for, past.last_ago, dated.years,
    coalesce(c.own_text ->> 'subject', c.subject) as subject,
    case
        when c.own_text is null then
            case when dated.years is null then c.template else coalesce(c.template_with_years, c.template) end
        when dated.years is null then coalesce(c.own_text ->> 'textWithoutYears', c.own_text ->> 'text')
        else c.own_text ->> 'text'
    end as template
from claimed c
left join lateral (
    -- The first condition saves the read for texts without years.
    select c.local_year - extract(year from d.date)::integer as years from occasion_dates d
    where (c.template_with_years is not null or c.own_text ->> 'textWithoutYears' is not null)
        and d.user_id = c.user_id and d.occasion = c.occasion and d.year_known
    offset 0
) dated on true
cross join lateral (
    select
        extract(epoch from business_now() - min(a.started_at) filter (where a.outcome = 'unknown'))::double precision
            as unknown_for,
        (extract(epoch from business_now() - max(a.started_at + make_interval(secs => a.duration * business_rate())))
            / business_rate())::double precision as last_ago
    from attempts a
    -- The first condition saves the read for a first attempt.
    where c.attempt > c.attempts_before_redrive + 1 and a.message_id = c.id and a.local_year = c.local_year
        and a.number > c.attempts_before_redrive and a.number < c.attempt
) past

-- name: record
-- Outcomes and attempts, one statement per batch. An attempt is kept even if the message belongs to another claim now,
-- because the answer of the service must not be lost. An acceptance settles the message in nearly any state: its claim
-- may have been released, and the message may be held, wait for another attempt, have failed or expired. There are two
-- exceptions. If another node is sending the message now, that node's record finds the acceptance. A message that the
-- deletion of its user has cancelled stays cancelled. An outcome of null is an attempt that was not made. Its number is
-- that of the next claim, too. So the token decides whose claim it is: a record that is repeated because its answer was
-- lost may arrive while the next claim is calling the service.
with outcome as (
    {{given_outcomes}}
),
locked as (
    -- Found by key in any state. The state is checked after the lock, because the claim may have just been released.
    select m.id, m.local_year, m.send_at, m.reschedule_to, m.user_id, m.status as is_now, i.incarnation, i.attempt,
        i.delay, i.status as wanted, i.outcome, i.ago, i.error, i.spent, i.service,
        m.status = 'sending' and m.claimed_by = i.incarnation and m.attempt = i.attempt
            and m.claim_token is not distinct from i.token as in_time
    from (select * from outcome order by id) i
    cross join lateral (
        select * from messages where id = i.id and local_year = i.local_year
        offset 0  -- forces this to be evaluated by key, row by row
        for update
    ) m
),
concluded as materialized (
    -- `offset 0` keeps PostgreSQL from reading the other table whole, to hash it. Earlier attempts are looked at after
    -- the lock, because one may have been recorded while this waited for it.
    select l.*,
        case when l.in_time and l.wanted <> 'sent'
                and l.id not in (select id from outcome where outcome = 'accepted')
                and not was_accepted(l.id, l.local_year) then l.wanted
             else 'sent' end as follows
    from locked l
    where l.in_time
        or l.outcome = 'accepted' and l.is_now not in ('sending', 'sent')
            and (l.is_now <> 'cancelled'
                or exists (select from users u where u.id = l.user_id and u.deleted_at is null offset 0))
),
verdict as materialized (
    {{verdict}}
),
moved as (
    update messages m set
        {{follow_verdict}},
        -- A restored backup may have fewer attempts.
        attempt = case when v.outcome is null and v.follows <> 'sent' then m.attempt - 1
                       else greatest(m.attempt, v.attempt) end,
        attempts_spent = case when v.outcome is not null and v.spent then least(m.attempts_spent + 1, 32767)
                              else m.attempts_spent end,
        service = case when v.outcome = 'accepted' then v.service
                       when v.follows = 'sent' then coalesce({{service_that_accepted}}, m.service) else m.service end,
        status_reason = case when v.next_status <> v.follows then 'the user was edited while it was being sent'
                       when not v.in_time then 'accepted: the answer was recorded late'
                       when v.follows <> v.wanted then 'accepted by an earlier attempt' else v.error end
    from verdict v
    where m.id = v.id and m.local_year = v.local_year
    returning m.id, m.status, m.occasion, m.send_at, v.outcome, v.ago
),
logged as (
    {{log_attempts}}
)
select id, status, occasion, outcome,
    extract(epoch from business_now() - make_interval(secs => ago * business_rate()) - send_at)::double precision
        as lateness
from moved

-- name: record_attempts
-- The attempts alone, if the message cannot be changed. The answer must not be lost: release_claims finds it later.
with outcome as (
    {{given_outcomes}}
)
{{log_attempts}}

-- name: sending_for
-- A claim in the future was made before the clock was set back.
select id, attempt from messages
where status = 'sending'
    and (claimed_at < business_now() - make_interval(secs => $1 * business_rate())
        or claimed_at > business_now() + interval '1 second')

-- name: release_claims
-- Releases the claims of ended nodes, and the attempts ($2, $3) that were found stuck. Their outcome is unknown, unless
-- an earlier attempt was accepted. An attempt that has ended since it was found is not released, and neither is the
-- next one, unless the one that was found was not made. No attempt is spent, because its end says nothing about the
-- message. $1 and $5: an unknown outcome waits for a person, at the primary and at the fallback service.
with held as (
    -- Their state after the lock, because they may have just been edited.
    select m.id, m.local_year, m.send_at, m.reschedule_to, m.attempt, m.claimed_by, m.claimed_at, m.service,
        0::double precision as delay
    from messages m
    where m.status = 'sending'
        and ({{of_ended_node}} or (m.id, m.attempt) in (select * from unnest($2::uuid[], $3::smallint[])))
        and {{not_set_aside}} and ($4::uuid[] is null or id = any($4))
    order by m.id
    limit 5000
    for update skip locked
),
concluded as (
    select *,
        case when was_accepted(id, local_year) then 'sent'
             when case service when 'fallback' then $5::boolean else $1::boolean end then 'unknown'
             else 'retrying' end as follows
    from held
),
verdict as (
    {{verdict}}
),
moved as (
    update messages m set
        {{follow_verdict}},
        service = case when v.next_status = 'sent' then coalesce({{service_that_accepted}}, m.service) else m.service end,
        status_reason = case when v.next_status <> v.follows then 'the user was edited while it was being sent'
                      when v.next_status = 'sent' then 'accepted by an earlier attempt'
                      else 'its node died, or lost it, while sending it' end
    from verdict v
    where m.id = v.id and m.local_year = v.local_year
    returning m.id, m.status, m.occasion, m.attempt, m.service
),
logged as (
    insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, error, service)
    select id, local_year, attempt, 'unknown', claimed_by, claimed_at, 0, 'no record of its end',
        coalesce(service, 'primary')
    from verdict
    on conflict do nothing
)
select id, status, occasion, attempt, service from moved

-- name: claims_of_ended_nodes
select id, attempt from messages where status = 'sending' and {{of_ended_node}} and {{not_set_aside}} limit 5000

-- name: requeue_lost
-- Rows that were queued too long ago: their stream entry or delivery is lost. They go one hop back, and the ticker
-- finds them. Rows queued in the future are included: the clock was set back, and their bundles were dropped as not yet
-- due.
with lost as (
    select id, local_year
    from messages
    where {{queued_for_long}} and {{not_set_aside}} and ($2::uuid[] is null or id = any($2))
    order by queued_at
    limit 5000
    for update skip locked
),
moved as (
    update messages m set
        status = {{unsent_status}},
        status_reason = 'taken back: it had been queued for too long'
    from lost
    where m.id = lost.id and m.local_year = lost.local_year
    returning m.id
),
counted as (
    update taken_back set messages = messages + found.count
    from (select count(*) from moved) found
    where found.count > 0
)
select id from moved

-- name: lost_in_queue
select id from messages where {{queued_for_long}} and {{not_set_aside}} order by queued_at limit 5000

-- name: requeue_claims
-- Rows that this node's ticker claimed and could not append to the stream.
with mine as (
    select id, local_year from messages
    where id = any($1::uuid[]) and status = 'queued' and queued_by = $2
    order by id
    for update
)
update messages m set status = {{unsent_status}}
from mine
where m.id = mine.id and m.local_year = mine.local_year
returning m.id

-- name: requeue_claim
-- The latest claim of a ticker that died or got no answer. It may be missing in the stream. One statement made it, so
-- its rows have the same queued_at. Earlier claims are in the stream or in the queue.
with lost as (
    select id, local_year
    from messages
    where {{of_latest_claim}} and {{not_set_aside}} and ($2::uuid[] is null or id = any($2))
    order by id
    for update skip locked
)
update messages m set
    status = {{unsent_status}},
    status_reason = 'taken back: the claim of its ticker may be lost'
from lost
where m.id = lost.id and m.local_year = lost.local_year
returning m.id

-- name: latest_claim
select id from messages where {{of_latest_claim}} and {{not_set_aside}}

-- name: awaiting_dead_letter
select id from messages where status = 'failed' and dead_lettered_at is null and {{not_set_aside}} order by id limit 500

-- name: mark_dead_lettered
-- Rows are locked in the order of their ids, as in every statement for several rows, because an acceptance may settle
-- some of them now.
with held as (
    select id, local_year from messages
    where id = any($1::uuid[]) and status = 'failed' and dead_lettered_at is null
    order by id
    for update
)
update messages m set dead_lettered_at = business_now()
from held
where m.id = held.id and m.local_year = held.local_year

-- name: redrive
-- Schedules messages again, due now, with all attempts to spend. Messages of deleted users and inactive occasions are
-- left out. Users are locked before messages, as everywhere, so a deletion comes before all of this or after it.
with people as materialized (
    select id from users
    where id = any(array(select user_id from messages where id = any($1::uuid[]))) and deleted_at is null
    order by id
    for share
),
held as (
    select m.id, m.local_year
    from messages m join people u on u.id = m.user_id
    join occasions o on o.code = m.occasion and o.active
    where m.id = any($1::uuid[]) and m.status in ('failed', 'unknown', 'expired')
    order by m.id
    for update of m
)
update messages m set
    status = 'scheduled', due_at = greatest(business_now(), m.send_at), redriven_at = business_now(),
    attempts_before_redrive = m.attempt, attempts_spent = 0, ended_at = null, dead_lettered_at = null, status_reason = 'redriven'
from held
where m.id = held.id and m.local_year = held.local_year
returning m.id

-- name: open_by_status
-- Counts the states that are not an end, `unknown`, and `failed` of the last 30 days, by the partial indexes. It reads at most
-- $1 rows of those that wait for their instant, the earliest first, and $2 rows of each other index, so that its cost does
-- not grow with the backlog.
select status, count(*) as count
from (
    (select status from messages where status in ('scheduled', 'retrying') order by due_at limit $1)
    union all (select status from messages where status = 'queued' limit $2)
    union all (select status from messages where status = 'sending' limit $2)
    union all (select status from messages where status = 'unknown' limit $2)
    union all (select status from messages
        where status = 'failed' and send_at > business_now() - interval '30 days' limit $2)
) as counted
group by status

-- name: next_wave
-- By the index on the due instant. Retries are in it, too, and are no wave. It reads at most $1 rows to find the instant, and $1
-- to count.
select extract(epoch from wave.due_at - business_now())::double precision as seconds,
    (select count(*) from (select from messages
        where status in ('scheduled', 'retrying') and due_at = wave.due_at limit $1) as counted) as messages
from (
    select due_at from (
        select due_at, status from messages
        where status in ('scheduled', 'retrying') and due_at > business_now()
        order by due_at limit $1
    ) as waiting
    where status = 'scheduled' order by due_at limit 1
) as wave

-- name: oldest_snapshot
-- PostgreSQL removes no row version that a snapshot may see, or that is newer than a transaction that writes. Of sessions of
-- other roles it tells only with pg_read_all_stats. Vacuum ignores its own kind, so only clients count.
select coalesce(extract(epoch from clock_timestamp() - least(
    (select min(xact_start) from pg_stat_activity
        where backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid()
            and (backend_xmin is not null or backend_xid is not null)
            and (datname = current_database() or datname is null)),
    (select min(prepared) from pg_prepared_xacts where database = current_database())
)), 0)::double precision

-- name: oldest_due
-- A message may wait for the ticker, in the queue (the first queued were the first due), or for the end of its attempt.
-- A message that was put off, to another attempt or by an edit, has been due since its instant, or since its redrive.
-- Held messages do not count. As in claim_due_around_holds, those that wait for the ticker are not read. Before its day a
-- message has a negative age, which is 0 here: with a condition on due_at, a planner whose statistics are from before the
-- wave expected one due message, and read all.
select greatest(0, coalesce(extract(epoch from business_now() - least(
    (select min(waiting.due_at)
        from (select code, code as occasion from occasions) o
        cross join lateral (
            select due_at from messages
            where {{of_occasion}} and status in ('scheduled', 'retrying')
            order by occasion, due_at
            limit 1
        ) waiting
        where {{not_held}}),
    (select greatest(redriven_at, send_at) from messages
        where status in ('scheduled', 'queued', 'retrying') and due_at > greatest(redriven_at, send_at) and {{not_held}}
        order by greatest(redriven_at, send_at)
        limit 1),
    (select due_at from messages where status = 'queued' and {{not_held}} order by queued_at limit 1),
    (select min(greatest(redriven_at, send_at)) from messages where status = 'sending')
)), 0))::double precision
