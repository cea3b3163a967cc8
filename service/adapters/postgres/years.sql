-- name: this_year
select extract(year from business_now())::integer

-- name: tables
-- The tables of single years. `marked`: an earlier run has begun to remove it. A table that is neither attached nor
-- marked was detached by an operator.
select b.base, c.relname as name, substr(c.relname, length(b.base) + 2)::integer as year,
    i.inhrelid is not null as attached, coalesce(i.inhdetachpending, false) as pending,
    obj_description(c.oid, 'pg_class') is not distinct from $1 as marked,
    pg_total_relation_size(c.oid) as bytes
from (values ('messages'), ('attempts')) b (base)
join pg_class p on p.oid = to_regclass(b.base)
join pg_class c on c.relnamespace = p.relnamespace and c.relkind = 'r' and c.relname ~ ('^' || b.base || '_[0-9]{4}$')
left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = p.oid
order by year, b.base desc

-- name: open_messages
-- By year, from the partial indexes and the few rows that are queued or being sent.
select local_year as year, count(*) as open
from messages
where status in ('scheduled', 'queued', 'sending', 'retrying') and local_year < $1
group by local_year
