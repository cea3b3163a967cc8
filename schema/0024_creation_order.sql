-- The position of a user's creation among the changes of all users (see user_changes). An id is made before its transaction
-- commits, so a reader of pages in the order of ids can pass by a user who is committed a moment later. This number is
-- made under the lock of user_changes_begun, so a reader can wait for it. Users from before have 0, and are in the order
-- of their ids.
alter table users add column created_number bigint not null default 0;
alter table users alter column created_number set default nextval('user_changes'::regclass);
