-- A user created under an Idempotency-Key is noted in the statement that creates it: id, version and instants. The rest of
-- the response follows from the request itself, so that no copy of personal data is kept.
alter table idempotency_keys add column created jsonb;
