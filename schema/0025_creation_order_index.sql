-- Users by their creation, for pages.
create index concurrently users_created on users (created_number, id);
