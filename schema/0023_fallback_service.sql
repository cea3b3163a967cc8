-- The second email service: to which of the two a message was claimed, and which attempt was made at which.
-- Nodes of the version before know the primary service alone, which is what the default says of their attempts.

-- The service of the latest claim, `primary` or `fallback`; of a sent message the one that took it. Null: never claimed, or
-- by a node of the version before.
alter table messages add column service text;

-- in_doubt: the service answered, and the answer does not rule out that it took the message, such as a 500.
alter table attempts
    add column service text not null default 'primary',
    add column in_doubt boolean not null default false;
