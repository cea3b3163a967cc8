-- What tells one claim from another, what an attempt has cost its message, and the id that the provider gave to it.

-- claim_token: drawn by the node for each claim. A claim that is repeated because its answer was lost finds its own rows
-- by it. attempts_spent: attempts since the last redrive that count against HEYDAY_EMAIL_ATTEMPTS.
alter table messages
    add column claim_token bigint,
    add column attempts_spent smallint not null default 0;

-- Null: not accepted, or the answer had no id in it.
alter table attempts add column provider_id text;
