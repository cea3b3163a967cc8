-- Holds stop the sending of everything, or of one occasion. Suppressed addresses get nothing.

-- occasion null: everything. until null: until it is released. Both instants of a hold's end are business time. There is no
-- foreign key to occasions: an occasion that is not used any more can be deleted, and its past holds stay.
create table holds (
    id          uuid primary key default uuid_v7(),
    occasion    text,
    reason      text not null check (reason <> ''),
    author      text not null check (author <> ''),
    created_at  timestamptz not null default business_now(),
    until       timestamptz,
    released_at timestamptz,
    released_by text,
    constraint holds_released check ((released_at is null) = (released_by is null))
);

create index holds_unreleased on holds (id) where released_at is null;

-- An address is found by the SHA-256 of its comparison key (users.email_key), so that an opt-out outlives the erasure of
-- its user: erasing sets email to null and keeps the row.
create table suppressions (
    id           uuid primary key default uuid_v7(),
    address_hash bytea not null check (length(address_hash) = 32),
    email        text,
    reason       text not null check (reason in ('opt_out', 'bounce', 'complaint', 'manual')),
    source       text not null,
    created_at   timestamptz not null default business_now(),
    constraint suppressions_once unique (address_hash, reason)
);
