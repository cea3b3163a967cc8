-- A node may make the partitions of a new year although its role may change nothing else in the schema.

-- As the owner of the schema, which is the role that migrates; nothing but a year is handed in, and names are looked up
-- where the migration itself looked them up, whatever the caller's search_path says.
alter function ensure_year(integer) security definer set search_path from current;
