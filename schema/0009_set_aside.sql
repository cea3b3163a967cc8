-- Messages whose rows PostgreSQL cannot change: a broken constraint, a trigger that raises, a damaged page.

-- Statements that move many messages leave these out until look_again_at, so that one row stops no other. `action` is the
-- statement that failed, `reason` is the server's sentence. Both times are business time.
create table set_aside (
    message_id    uuid primary key,
    action        text not null,
    reason        text not null,
    failures      integer not null default 1 check (failures > 0),
    since         timestamptz not null default business_now(),
    look_again_at timestamptz not null
);
