-- Since when the oldest unsent message has been due, although its next attempt was put off.

-- due_at moves with each retry, and to now where an edit moves a message into the past. Only those rows are in here: one
-- that leaves at its first attempt, as nearly all do, costs nothing.
create index concurrently messages_put_off on messages (greatest(redriven_at, send_at))
    where status in ('scheduled', 'queued', 'retrying') and due_at > greatest(redriven_at, send_at);
