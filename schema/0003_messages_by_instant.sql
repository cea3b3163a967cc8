-- Finds the messages of a window of instants, whatever became of them, for previews and listings.

-- Planning makes rows in about the order of send_at, so a summary of every few pages is enough: it is a thousandth of the
-- size of a whole index, and costs the hot path, which moves every row four times, next to nothing.
create index concurrently messages_instant on messages using brin (send_at) with (pages_per_range = 32, autosummarize = on);
