"""The rows of a service that has run for a year, made by a few statements in about two seconds."""

from __future__ import annotations

NODES = """
insert into nodes (node, ended_at)
select 'node' || n, case when n > 3 then clock_timestamp() end from generate_series(1, 30) n;
"""

_PEOPLE = """
insert into users (first_name, last_name, email, email_key, timezone, created_at)
select 'Ada', 'Smith', 'user' || n || '@example.com', 'user' || n || '@example.com',
    (array['UTC', 'Europe/Paris', 'America/New_York', 'Asia/Tokyo', 'Asia/Kolkata', 'Pacific/Apia', 'America/Lima',
        'Australia/Sydney'])[1 + n % 8],
    business_now() - interval '2 years'
from generate_series({first}, {last}) n;

create temporary table crowd on commit drop as
select * from (select *, substring(email from '[0-9]+')::integer as n from users) u where n between {first} and {last};

-- Twenty years of days, as many users on each: a statement for the users of a day reads as many rows in each run.
insert into occasion_dates (user_id, occasion, date)
select id, occasion, date '1970-01-01' + (n * 37 + k::integer * 1000) % 7305
from crowd, unnest(array['birthday', 'anniversary']) with ordinality as o (occasion, k);

-- Last year is done with; of this year nine in a thousand are under way or did not arrive, the others are sent.
insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, planned_at,
    status, attempt, queued_at, queued_by, claimed_at, claimed_by, ended_at, dead_lettered_at)
select u.id, o.occasion, y.year, u.timezone, t.at, t.at, 'test', t.at - interval '1 day',
    s.status, (s.status in ('sent', 'failed', 'sending', 'unknown'))::integer, t.at, 1, t.at,
    case when s.status = 'sending' then 1 + u.n % 5 end,
    case when s.status in ('sent', 'failed', 'unknown', 'expired') then t.at end,
    case when s.status = 'failed' and u.n % 3 > 0 then t.at end
from crowd u,
    unnest(array['birthday', 'anniversary']) with ordinality as o (occasion, k),
    (select extract(year from business_now())::smallint - d as year, d from unnest(array[0, 1]) d) y,
    lateral (select business_now() - make_interval(days => y.d * 365, secs => (u.n * 601 + o.k * 7) % 8000000) as at) a,
    lateral (select case when y.d = 1 or u.n % 1000 >= 9 then 'sent'
        else (array['scheduled', 'scheduled', 'queued', 'queued', 'queued', 'sending', 'failed', 'expired', 'unknown'])
            [1 + u.n % 1000] end as status) s,
    lateral (select case when s.status = 'scheduled' then business_now() + make_interval(secs => u.n - 1000) else a.at
        end as at) t
where o.k = 1 or y.d = 0
order by t.at; -- as planning makes them

insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, status_code)
select id, local_year, 1, case when status = 'sent' then 'accepted' else 'transient_failure' end,
    1 + abs(hashtext(id::text)) % 30, send_at, 0.1, 200
from messages
where user_id in (select id from crowd) and status in ('sent', 'failed') and hashtext(id::text) % 4 <> 0;

insert into idempotency_keys (key, fingerprint, started_at, status, headers, body)
select sha256(n::text::bytea), 'f', clock_timestamp() - make_interval(secs => n * 5), 201, '{{}}',
    repeat('-', 300)::bytea
from generate_series({first}, {last}) n;
"""


def crowd(first: int, last: int) -> str:
    """Statements, for one transaction, that make the users numbered from `first` to `last`, and what belongs to them.

    Of 20,000 users: 40,000 dates, 60,000 messages, about 45,000 attempts, 20,000 kept answers of 28 hours.
    """
    return _PEOPLE.format(first=first, last=last)


CROWD = NODES + crowd(1, 20_000)
