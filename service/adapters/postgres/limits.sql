-- fragment: limit
name, value, version, author, changed_at

-- name: limits
-- At most one row for each of three names: every node reads them several times a second.
select {{limit}} from limits order by name

-- name: change
-- $1 and $2: names and values; a value of null removes a limit. What is so already does not change. Rows are locked in the
-- order of their names, so that two changes at once do not wait for each other.
insert into limits as l (name, value, author)
select wanted.name, wanted.value, $3 from unnest($1::text[], $2::text[]) wanted(name, value)
where wanted.value is not null or exists (select from limits known where known.name = wanted.name)
order by wanted.name
on conflict (name) do update
    set value = excluded.value, author = excluded.author, version = default, changed_at = business_now()
    where l.value is distinct from excluded.value
returning {{limit}}
