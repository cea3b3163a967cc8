-- The audit log by action, and by key, the newest first. It has few rows when this is applied.
create index audit_action on audit (action, at);
create index audit_key on audit (key_name, at);
