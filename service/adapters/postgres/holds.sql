-- fragment: hold
id, occasion, reason, author, created_at, until, released_at, released_by

-- fragment: active
released_at is null and coalesce(until > business_now(), true)

-- name: active_holds
select {{hold}} from holds where {{active}} order by id limit $1

-- name: page
select {{hold}} from holds where $1::uuid is null or id < $1 order by id desc limit $2

-- name: take_turn
-- This comes before `create` in its transaction, so that concurrent requests count the active holds one after another.
select pg_advisory_xact_lock(hashtext('heyday.holds'))

-- name: create
-- It returns no row if the occasion does not exist, the end has passed, or $6 holds are active.
insert into holds (occasion, reason, author, until)
select $1, $2, $3, coalesce($4::timestamptz, business_now() + $5::interval)
where ($1::text is null or exists (select from occasions where code = $1))
    and coalesce($4::timestamptz > business_now(), true)
    and (select count(*) from holds where {{active}}) < $6
returning {{hold}}

-- name: refused
-- The reason why `create` returned no row.
select $1::text is not null and not exists (select from occasions where code = $1) as no_occasion,
    coalesce($2::timestamptz <= business_now(), false) as ended

-- name: release
-- A hold that has ended does not change.
update holds set released_at = business_now(), released_by = $2
where id = any($1::uuid[]) and {{active}}
returning id

-- name: by_ids
select {{hold}} from holds where id = any($1::uuid[]) order by id
