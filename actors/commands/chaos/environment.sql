-- Questions of `heyday chaos` to the database while faults are injected.

-- name: clock
select business_now() as now

-- name: greeted_since
select exists (select from attempts where outcome = 'accepted' and started_at > $1)

-- name: attempted_by
select exists (
    select from attempts a join nodes n using (incarnation) where n.node = $1 and a.started_at > $2)

-- name: nothing_is_claimed_by
-- The latest start of each of these nodes: there may have been earlier ones with the same name.
with latest as (
    select distinct on (node) incarnation, ended_at from nodes where node = any($1::text[])
    order by node, incarnation desc
)
select not exists (select from latest where ended_at is null)
    and not exists (
        select from messages m join nodes n on n.incarnation = m.claimed_by
        where m.status = 'sending' and n.node = any($1::text[]))

-- name: lives
select exists (select from nodes where node = $1 and ended_at is null)

-- name: open
-- Messages of the next days are not part of the wave.
select count(*) from messages where ended_at is null and send_at < business_now() + interval '1 hour'

-- name: open_ids
select id from messages
where ended_at is null and send_at < business_now() + interval '1 hour' and status in ('scheduled', 'queued')
order by id

-- name: ended
select count(*) from messages where ended_at is not null

-- name: count
select count(*) from messages

-- name: has_ended
select ended_at is not null from messages where id = $1

-- name: planned_until
select planned_until from planning

-- name: planned_users
select count(distinct user_id) from messages where user_id = any($1::uuid[]) and status <> 'cancelled'

-- name: queued_before
select exists (select from messages where status = 'queued' and queued_at < $1)

-- name: calls_between
select count(*) from attempts where started_at > $1 and started_at < $2

-- name: can_damage
select to_regclass('chaos_damaged_rows') is not null

-- name: damage_table
create table chaos_damaged_rows (id uuid primary key)

-- name: damage_counter
create sequence chaos_refused

-- name: damage_function
-- A sequence keeps its number although the statement fails.
create function chaos_refuse_damaged_row() returns trigger language plpgsql as $$
begin
    if exists (select from chaos_damaged_rows d where d.id = old.id) then
        perform nextval('chaos_refused');
        raise exception 'the row of message % is damaged (heyday chaos)', old.id;
    end if;
    return new;
end $$

-- name: damage_trigger
create trigger chaos_damage before update on messages for each row execute function chaos_refuse_damaged_row()

-- name: damage
with none_refused as (select setval('chaos_refused', 1, false))
insert into chaos_damaged_rows (id) select $1 from none_refused

-- name: refused
select case when is_called then last_value else 0 end from chaos_refused

-- name: repair
delete from chaos_damaged_rows

-- name: has_tables
select to_regclass('users') is not null or to_regclass('messages') is not null

-- name: preflight
select (select count(*) from users) as users, (select count(*) from messages) as messages,
    (select count(*) from nodes where ended_at is null) as nodes

-- name: history
-- Everything about some messages, for a person who looks for the cause.
select to_jsonb(m) as message,
    (select jsonb_agg(to_jsonb(a) order by a.number, a.recorded_at) from attempts a where a.message_id = m.id) as attempts
from messages m
where m.id = any($1::uuid[])
