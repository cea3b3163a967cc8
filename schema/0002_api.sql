-- What the API keeps: the answers given to requests that carried an Idempotency-Key.

-- key is a digest of the client and its key; fingerprint one of the request. status is null while the request is being
-- worked on. resource is the path of what was made: erasing a user finds the answers that show them by it.
-- Kept for 24 hours of real time: clients retry by their own clocks, whatever the business clock does.
create table idempotency_keys (
    key         bytea primary key,
    fingerprint bytea not null,
    started_at  timestamptz not null default clock_timestamp(),
    status      smallint,
    headers     jsonb,
    body        bytea,
    resource    text,
    constraint idempotency_keys_answered check ((status is null) = (headers is null) and (status is null) = (body is null))
);

create index idempotency_keys_started on idempotency_keys (started_at);
create index idempotency_keys_resource on idempotency_keys (resource) where resource is not null;
