-- name: overview
-- One statement for everything that people watch, however many they are. $1: from which instant on the ends are counted,
-- each up to $2; they and what is due are read from partial indexes. $3: whether messages of a day are counted, from $4 to
-- before $5, of the local years $6. They are read by the BRIN index on send_at: 300,000 messages took 0.24 s by three
-- processes.
select
    business_now() as now,
    business_rate() as rate,
    (select count(*) from (select from messages where status = 'unknown' and send_at >= $1 limit $2) c) as unknown,
    (select count(*) from (select from messages where status = 'failed' and send_at >= $1 limit $2) c) as failed,
    (select count(*) from (select from messages where status = 'expired' and send_at >= $1 limit $2) c) as expired,
    (select count(*) from (
        (select from messages
            where status in ('scheduled', 'retrying') and due_at <= business_now() - interval '1 minute' limit $2)
        union all
        (select from messages
            where status = 'queued' and due_at <= business_now() - interval '1 minute' limit $2)
    ) c) as overdue,
    least(
        (select min(due_at) from messages
            where status in ('scheduled', 'retrying') and due_at <= business_now() - interval '1 minute'),
        -- Those queued first were due first.
        (select due_at from (select due_at from messages where status = 'queued' order by queued_at limit 1) first
            where due_at <= business_now() - interval '1 minute')
    ) as overdue_since,
    (select coalesce(json_agg(json_build_array(
            incarnation, node, extract(epoch from started_at),
            extract(epoch from clock_timestamp() - heartbeat_at), tzdata, version, settings)
            order by node, incarnation), '[]')
        from nodes where ended_at is null) as nodes,
    -- The latest starts are read by the primary key, so the price does not grow with the table.
    (select coalesce(json_agg(json_build_array(
            incarnation, node, extract(epoch from clock_timestamp() - ended_at),
            ended_at - heartbeat_at > interval '5 seconds') order by incarnation), '[]')
        from (select * from nodes order by incarnation desc limit 100) latest
        where ended_at > clock_timestamp() - interval '10 minutes'
            and node not in (select alive.node from nodes alive where alive.ended_at is null)) as ended_nodes,
    case when $3::boolean then (
        select coalesce(json_agg(json_build_array(
            extract(epoch from send_at), timezone, occasion, status, count, late)), '[]')
        from (
            select send_at, timezone, occasion, status, count(*) as count,
                count(*) filter (where ended_at > send_at + interval '1 minute') as late
            from messages
            where send_at >= $4 and send_at < $5 and local_year = any($6::smallint[])
            group by send_at, timezone, occasion, status
        ) counted
    ) end as day
