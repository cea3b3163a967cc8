-- The caller's own keys, unique as addresses are; and users by their changes, for those who synchronise.
create unique index concurrently users_external_id on users (external_id) where deleted_at is null and external_id is not null;
create index concurrently users_changes on users (change_number, id);
create index concurrently users_updated_at on users (updated_at) include (change_number);
