-- How many messages were ever taken back because they had been queued for too long. The ticker measures how fast messages
-- leave the queue, and what was taken back was not sent. The row goes with the statement that takes back.
create table taken_back (
    only_row boolean primary key default true check (only_row),
    messages bigint not null
);

insert into taken_back (messages) values (0);
