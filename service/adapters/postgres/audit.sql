-- name: record
-- An entry for each subject ($7).
insert into audit (key_name, role, os_user, request_id, action, subject_kind, subject_id)
select $1, $2, $3, $4, $5, $6, subject from unnest($7::text[]) as subject

-- name: page
-- The newest first. $1: entries before this one.
select id, at, key_name, role, os_user, action, subject_kind, subject_id, request_id
from audit
where ($1::uuid is null or (at, id) < (select a.at, a.id from audit a where a.id = $1))
    and ($2::text is null or action = $2)
    and ($3::text is null or key_name = $3)
    and ($4::timestamptz is null or at >= $4)
    and ($5::timestamptz is null or at < $5)
order by at desc, id desc
limit $6
