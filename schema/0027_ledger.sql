-- The acceptances that `heyday doctor --ledger` compares with the rows. A table of the schema, because the role of a node may
-- not make a temporary one, and a pooler would not keep it.

-- comparison: one call of the command, which deletes its rows at its end. What a killed one has left is deleted by a later one
-- after a day. Unlogged: nothing is lost if a crash empties it.
create unlogged table ledger (
    comparison uuid not null,
    key        uuid not null,
    at         timestamptz,
    loaded_at  timestamptz not null default statement_timestamp()
);

create index ledger_by_key on ledger (comparison, key);
