"""No output of a node, and no answer without a key, has a name, address or city of a user."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from actors.commands.sandbox.servers.relay import relayed
from tests.collector import Collector
from tests.node.harness import NOON, NodeProcess, World, eventually

CANARIES = ("quetzalina", "featherstonehaugh", "canary.test", "llanfairpwll", "atlantisland", "cafe-sesame")
USER = {
    "firstName": "Quetzalina",
    "lastName": "Featherstonehaugh",
    "email": "quetzalina.f@canary.test",
    "timezone": "UTC",
    "birthdayDate": "1990-03-15",
    "locationCity": "Llanfairpwll",
    "locationCountry": "Atlantisland",
}
KEY = {"Authorization": "Bearer cafe-sesame"}


async def create(node: NodeProcess, **changes: object) -> tuple[int, dict[str, object]]:
    """Create a user; return status and answer."""
    return await node.call("POST", "/api/v1/users", json=USER | changes, headers=KEY)


async def refusals(node: NodeProcess, user: str) -> None:
    """Make requests that the API refuses because of a value."""
    text = json.dumps(USER)
    requests: list[tuple[int, str, str, dict[str, Any]]] = [
        (409, "POST", "/users", {"json": USER}),
        (422, "POST", "/users", {"json": USER | {"birthdayDate": "Quetzalina"}}),
        (422, "POST", "/users", {"json": USER | {"email": "quetzalina.f@canary.test@Llanfairpwll"}}),
        (400, "POST", "/users", {"data": text[:-5], "headers": {"Content-Type": "application/json"}}),
        (415, "POST", "/users", {"data": text, "headers": {"Content-Type": "text/Quetzalina"}}),
        (422, "GET", "/users?birthday=Quetzalina", {}),
        (404, "GET", "/Quetzalina", {}),
        (412, "PUT", f"/users/{user}", {"json": USER, "headers": {"If-Match": '"99"'}}),
    ]
    for status, method, path, options in requests:
        headers = KEY | options.pop("headers", {})
        assert (await node.call(method, f"/api/v1{path}", headers=headers, **options))[0] == status, (method, path)
    assert (await node.get("/api/v1/users?email=quetzalina.f@canary.test"))[0] == 401


async def watched(world: World, node: NodeProcess) -> list[str]:
    """Return what watchers see, and what nodes share for them in Redis."""
    seen = [await node.call("GET", f"/api/v1/{page}", headers=KEY) for page in ("day", "nodes")]
    assert [status for status, _ in seen] == [200, 200]
    async with Redis.from_url(world.redis_url, decode_responses=True) as redis:
        shared = [str(await redis.get(key)) async for key in redis.scan_iter("heyday:watch:*")]
    assert len(shared) >= 3
    return [json.dumps(answer) for _, answer in seen] + shared


@pytest.mark.timeout(200)
async def test_no_name_address_or_city_is_in_what_a_node_writes(world: World) -> None:
    """At level debug, with every span kept, through greetings, refusals, crashes with rows in their texts, and
    outages."""
    await world.begin()
    async with (
        relayed(world.dsn) as postgres,
        relayed(str(world.rabbitmq_url)) as rabbitmq,
        Collector().served() as collector,
    ):
        node = await world.node(
            LOG_LEVEL="debug",
            API_KEYS="cafe-sesame",
            DATABASE_URL=postgres.url,
            RABBITMQ_URL=rabbitmq.url,
            TRACES=collector.url,
        )
        await node.logged("node_entered")
        status, user = await create(node)
        assert status == 201
        rows = "\n".join(json.dumps(USER | {"email": f"quetzalina.f{n}@canary.test"}) for n in range(3))
        ndjson = KEY | {"Content-Type": "application/x-ndjson"}
        assert (await node.call("POST", "/api/v1/users:import", data=f"{rows}\n{rows[:-9]}", headers=ndjson))[0] == 200
        await refusals(node, str(user["id"]))

        # PostgreSQL refuses rows and quotes them, in a request and in actors.
        await world.fetch("alter table users add constraint bug check (first_name <> 'Quetzalina') not valid")
        assert (await create(node, email="quetzalina.f9@canary.test"))[0] == 422
        await world.fetch("alter table users drop constraint bug")
        await world.fetch(
            """
            create function bug() returns trigger language plpgsql as $$
            begin raise exception 'no %', (select users from users where id = new.user_id); end $$;
            """
        )
        await world.fetch("create trigger bug before update on messages for each row execute function bug()")
        await world.clock.set(NOON + timedelta(hours=21))
        await node.logged("message_set_aside")
        shown = [json.dumps((await node.get(path))[1]) for path in ("/health", "/health/ready", "/health/detailed")]
        shown += await watched(world, node)
        # To drop the trigger would lock every partition, and deadlock with a node's reads.
        await world.fetch(
            "create or replace function bug() returns trigger language plpgsql as 'begin return new; end'"
        )
        await world.fetch("update set_aside set look_again_at = business_now()")

        # The service fails and quotes its input; then the servers go away. With this seed the first call fails.
        world.stub.change(world.stub.options.changed({"errorRate": 0.5, "acceptThenFailRate": 0.2, "seed": 1}))
        await world.all_end()
        await world.value("update users set email = ' ' where email like 'quetzalina.f0%' returning 1")
        for relay in (rabbitmq, postgres):
            relay.cut()
        for system in ("rabbitmq", "postgres"):
            await node.logged("outage_began", system=system)
        assert (await create(node, email="quetzalina.f8@canary.test"))[0] == 503
        shown += [json.dumps((await node.get(path))[1]) for path in ("/health/ready", "/health/detailed")]
        shown += await watched(world, node)
        shown.append((await node.get("/metrics"))[1])
        for relay in (rabbitmq, postgres):
            relay.mend()
        for system in ("rabbitmq", "postgres"):
            await node.logged("outage_ended", system=system)
        assert await node.drained() == 0

    wrote = [json.dumps(line) for line in node.lines] + node.said
    traced = collector.raw.decode("utf-8", "replace").lower()
    assert len(collector.named("POST /api/v1/users")) > 3
    assert [one for one in collector.named("POST /send-email") if one.failed]
    assert [canary for canary in CANARIES if canary in traced] == []
    assert len([line for line in node.lines if line["level"] == "debug"]) > 20
    assert len(node.lines_of("rows_refused")) == 1
    assert [line for line in [*wrote, *shown] for canary in CANARIES if canary in line.lower()] == []
    assert world.dsn.split(":")[2].split("@")[0] not in "".join(wrote)


async def test_responses_kept_for_repeated_requests_are_deleted_after_a_day(small_world: World) -> None:
    """They contain users, so an unused API must delete them, too."""
    await small_world.fetch(
        """
        insert into idempotency_keys (key, fingerprint, started_at, status, headers, body)
        select sha256(n::text::bytea), 'f', clock_timestamp() - case when n > 2 then interval '24 hours'
            else interval '23 hours 58 minutes' end, 201, '{}', 'Quetzalina' from generate_series(1, 2500) n
        """
    )

    node = await small_world.node()

    await eventually(lambda: small_world.value("select count(*) = 2 from idempotency_keys"))
    status, answer = await node.call("POST", "/api/v1/jobs/recovery:run")
    assert (status, answer["result"]["rows_deleted"]) == (202, 0)
    assert await small_world.value("select count(*) from idempotency_keys") == 2
