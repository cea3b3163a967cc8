-- fragment: suppression
id, email, reason, source, created_at

-- name: page
-- $2: the hash of an address, or null for all.
select {{suppression}} from suppressions
where ($1::uuid is null or id > $1) and ($2::bytea is null or address_hash = $2) and ($3::text is null or reason = $3)
order by id
limit $4

-- name: let_no_erasure_begin
-- A transaction that adds suppressions holds this, and one that erases a user the other: an address is not looked for
-- while its user is being erased.
select pg_advisory_xact_lock_shared(hashtext('heyday.erasure'))

-- name: erase_alone
select pg_advisory_xact_lock(hashtext('heyday.erasure'))

-- name: add
-- There is one row for an address and a reason. An existing row keeps its source. Rows are written in one order, so that
-- two imports of the same addresses do not deadlock.
-- The address of an erased user is not stored again, for whatever reason, unless a new user has it. $5: the comparison key
-- of the address. $6: false stores the address only if a user has it.
insert into suppressions as s (address_hash, email, reason, source)
select hash,
    case when exists (select from users u where u.email_key = t.key and u.deleted_at is null) then t.email
         when t.keep and not exists (select from suppressions e where e.address_hash = t.hash and e.email is null)
            then t.email end,
    reason, source
from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[])
    as t (hash, email, reason, source, key, keep)
order by hash, reason
on conflict (address_hash, reason) do update set email = coalesce(s.email, excluded.email)
returning {{suppression}}, address_hash, xmax = 0 as added

-- name: remove
delete from suppressions where id = $1 returning id

-- name: forget_address
-- Suppressions of an erased user stay, because an opt-out must outlive the user.
update suppressions set email = null, source = 'erased'
where address_hash = (select sha256(convert_to(email_key, 'UTF8')) from users where id = $1)
returning id
