-- Pages of what is rare, without reading the rest of the table: users of a time zone, and cancelled messages. Every other
-- state has an index, but for `sent`, which most messages are. The index of users costs the creation of one about 3 µs.
create index concurrently users_timezone on users (timezone, created_number, id) where deleted_at is null;
create index concurrently messages_cancelled on messages (id) where status = 'cancelled';
