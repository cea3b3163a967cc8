-- Run-time limits: values for all nodes that stand above their settings. Each node tells its settings and its version.

-- value: as in the setting HEYDAY_<name>; null: the limit was removed, and the setting decides again. version grows with
-- every change of any limit, so that nodes that have not read a change yet are told from those that have.
create table limits (
    name       text primary key check (name in ('email_rate', 'email_concurrency', 'log_level')),
    value      text check (value <> ''),
    version    bigint generated always as identity,
    author     text not null check (author <> ''),
    changed_at timestamptz not null default business_now()
);

-- The settings in effect when the node started, without secrets and addresses. Null: a node of an earlier version.
alter table nodes
    add column version  text,
    add column settings jsonb;
