-- What is due of the occasions that are not held, without reading what is due of those that are.
create index concurrently messages_due_by_occasion on messages (occasion, due_at)
    where status in ('scheduled', 'retrying');
