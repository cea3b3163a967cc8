"""RabbitMQ under administration: alarms, policies, two deployments on one virtual host, several hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import aio_pika
import pytest
from structlog.testing import capture_logs

from actors.commands.sandbox.servers.ports import free_port
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer
from service.adapters.rabbitmq import RabbitMQDeliveryQueue, topology
from service.adapters.rabbitmq import queue as queue_module
from service.adapters.rabbitmq.checkup import look
from service.adapters.rabbitmq.link import BLOCKED
from service.ports import Unavailable
from tests.servers import Servers

FIRST, SECOND = str(uuid4()), str(uuid4())


def bundle() -> list[UUID]:
    return [uuid4(), uuid4()]


@asynccontextmanager
async def deployment(
    url: str, cluster: str | None = FIRST, dead: list[int] | None = None
) -> AsyncIterator[RabbitMQDeliveryQueue]:
    """The queue of one node of a deployment. Its dead letters are appended to `dead`."""
    queue = RabbitMQDeliveryQueue(
        url,
        prefetch=3,
        confirm_within=20,
        cluster=lambda: cluster,
        on_dead_letters=(dead if dead is not None else []).append,
    )
    yield queue
    await queue.close()


@pytest.fixture
async def broker(servers: Servers, rabbitmq_url: str, tmp_path: Path) -> AsyncIterator[RabbitMQServer]:
    """A broker with `rabbitmqctl`: that of the session, or a private one if that is a container."""
    if isinstance(servers.rabbitmq, RabbitMQServer):
        yield servers.rabbitmq
        return
    private = RabbitMQServer(tmp_path / "rabbitmq")
    await private.start()
    yield private
    await private.kill()


async def until_dead(dead: list[int], messages: int) -> None:
    """Return when this many dead letters are counted."""
    async with asyncio.timeout(60):
        while sum(dead) < messages:  # noqa: ASYNC110 -- the broker tells it when it likes
            await asyncio.sleep(0.02)


async def test_a_second_deployment_on_one_virtual_host_is_refused(rabbitmq_url: str) -> None:
    """Each would take the other's bundles: 150 of 1,000 greetings waited for minutes with no log line."""
    async with deployment(rabbitmq_url, FIRST) as first, deployment(rabbitmq_url, SECOND) as second:
        await first.publish([bundle()])

        for attempt in (second.publish([bundle()]), second.receive(within=1), second.depth()):
            with pytest.raises(Unavailable, match=f"another deployment uses .*{FIRST}.*virtual host of its own"):
                await attempt

        assert (await first.depth()).ready == 1
        assert await first.receive(within=60) is not None


async def test_a_mark_that_another_node_is_reading_counts(rabbitmq_url: str) -> None:
    """A reader holds the mark for a moment. A second deployment took that for a missing mark and shut out the first."""
    async with (
        deployment(rabbitmq_url, FIRST) as first,
        deployment(rabbitmq_url, SECOND) as second,
        await aio_pika.connect(rabbitmq_url) as connection,
    ):
        await first.publish([bundle()])
        queue = await (await connection.channel()).get_queue(topology.CLUSTER)
        mark = await queue.get()
        attempt = asyncio.create_task(second.publish([bundle()]))
        await asyncio.sleep(0.07)  # the time for which the reader has the mark
        await mark.nack(requeue=True)

        with pytest.raises(Unavailable, match=f"another deployment uses .*{FIRST}"):
            await attempt


async def test_nodes_of_one_deployment_share_its_queues(rabbitmq_url: str) -> None:
    """They have the identity of their database."""
    async with deployment(rabbitmq_url, FIRST) as one, deployment(rabbitmq_url, FIRST) as other:
        for queue in (one, other):
            await queue.publish([bundle()])
            assert (await queue.depth()).dead == 0

        assert await other.receive(within=60) is not None


async def test_a_node_refuses_queues_that_another_deployment_took_meanwhile(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark of this deployment has expired, as after an outage, and another deployment has set its own."""
    monkeypatch.setattr("service.adapters.rabbitmq.queue.RENEWAL_INTERVAL", 0.0)
    async with deployment(rabbitmq_url, FIRST) as first, deployment(rabbitmq_url, SECOND) as second:
        assert await first.receive(within=0) is None
        await second.depth()

        with pytest.raises(Unavailable, match=f"another deployment uses .*{SECOND}"):
            await first.receive(within=1)

        assert (await look(rabbitmq_url)).cluster == SECOND


async def test_queues_without_a_mark_belong_to_the_next_deployment(rabbitmq_url: str) -> None:
    """The first one was removed, or its database was adopted under a new identity."""
    async with deployment(rabbitmq_url, FIRST) as first:
        await first.publish([bundle()])
    async with await aio_pika.connect(rabbitmq_url) as connection:  # as its time to live does it
        await (await (await connection.channel()).get_queue(topology.CLUSTER)).purge()

    async with deployment(rabbitmq_url, SECOND) as second:
        await second.publish([bundle()])


async def test_the_second_of_several_hosts_is_used_while_the_first_is_away(rabbitmq_url: str) -> None:
    """The URL lists the nodes of a RabbitMQ cluster."""
    away = f"127.0.0.1:{free_port()}"
    several = rabbitmq_url.replace("@", f"@{away},")

    async with deployment(several) as queue:
        await queue.publish([bundle()])
        assert await queue.receive(within=60) is not None

    assert (await look(several)).delivery is not None


async def test_none_of_several_hosts_is_an_outage() -> None:
    """Nodes wait for it, as for one host."""
    hosts = ",".join(f"127.0.0.1:{free_port()}" for _ in range(3))

    async with deployment(f"amqp://u:p@{hosts}/") as queue:
        with pytest.raises(Unavailable, match="rabbitmq is unavailable"):
            await queue.open()


async def test_a_broker_that_blocks_publishers_is_an_outage_that_says_so(
    broker: RabbitMQServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing is due, no bundle is refused, so the fault would show first at 09:00."""
    async with deployment(broker.url) as queue:
        await queue.depth()
        await broker.control("set_vm_memory_high_watermark", "0.00001")
        try:
            for attempt in (queue.depth(), queue.publish([bundle()])):
                with pytest.raises(Unavailable, match=BLOCKED):
                    await attempt
            # Later calls say it at once: a check of health has less time than a call.
            monkeypatch.setattr(queue_module, "DEPTH_TIMEOUT", 60.0)
            with pytest.raises(Unavailable, match=BLOCKED):
                async with asyncio.timeout(30):
                    await queue.depth()
            assert (await look(broker.url)).blocked
        finally:
            await broker.control("set_vm_memory_high_watermark", "0.4")

        async with asyncio.timeout(60):
            while True:
                try:
                    await queue.depth()
                    break
                except Unavailable:
                    await asyncio.sleep(0.1)
        assert not (await look(broker.url)).blocked


@pytest.mark.parametrize(
    ("policy", "definition"), [("message-ttl", '{"message-ttl":50}'), ("max-length", '{"max-length":1}')]
)
async def test_a_policy_that_drops_bundles_is_noticed_and_named(
    broker: RabbitMQServer, policy: str, definition: str
) -> None:
    """Recovery needs minutes for each dropped bundle, and only the dead letters show the cause."""
    dead: list[int] = []
    async with deployment(broker.url, dead=dead) as queue:
        await queue.open()
        await broker.control("set_policy", "harmful", r"^heyday\.delivery$", definition, "--apply-to", "queues")
        try:
            with capture_logs() as lines:
                consumer = await queue._consume()  # it has room for three, and nothing acknowledges them
                await queue.publish([bundle() for _ in range(8)])
                await until_dead(dead, 2 * (3 if policy == "message-ttl" else 1))
            found = await look(broker.url)
        finally:
            await broker.control("clear_policy", "harmful")

    assert consumer is not None
    assert [line["policy"] for line in lines if line["event"] == "queue_policy_detected"] == [policy]
    assert found.policies == (policy,)


async def test_dead_letters_of_every_kind_are_counted(rabbitmq_url: str) -> None:
    """A failed message, and a bundle that cannot be read."""
    dead: list[int] = []
    async with deployment(rabbitmq_url, dead=dead) as queue:
        assert await queue.receive(within=0) is None
        await queue.dead_letter([uuid4(), uuid4()])
        async with await aio_pika.connect(rabbitmq_url) as connection:
            exchange = await (await connection.channel()).get_exchange("heyday.delivery")
            await exchange.publish(aio_pika.Message(b"rubbish"), routing_key="heyday.delivery")

        async with asyncio.timeout(60):
            while sum(dead) < 3:
                assert await queue.receive(within=0.1) is None

    assert sum(dead) == 3


async def test_the_oldest_dead_letters_give_way(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only operators empty that queue, and the disk is finite."""
    monkeypatch.setitem(topology.ARGUMENTS[topology.DEAD], "x-max-length", 3)
    ids = [uuid4() for _ in range(5)]

    async with deployment(rabbitmq_url) as queue:
        for one in ids:
            await queue.dead_letter([one])
        async with asyncio.timeout(60):
            while (await queue.depth()).dead != 3:  # noqa: ASYNC110 -- the broker has no event for it
                await asyncio.sleep(0.02)

    async with await aio_pika.connect(rabbitmq_url) as connection:
        found = await (await connection.channel()).get_queue("heyday.dead")
        kept = [(await found.get(no_ack=True)).body.decode() for _ in range(3)]
    assert kept == [str(one) for one in ids[2:]]


async def test_dead_letters_of_an_earlier_version_stay_in_use(rabbitmq_url: str) -> None:
    """An earlier version declared the queue without the limit. An upgrade must neither stop nor lose messages."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await (await connection.channel()).declare_queue(
            "heyday.dead", durable=True, arguments={"x-queue-type": "quorum"}
        )

    async with deployment(rabbitmq_url) as queue:
        with capture_logs() as lines:
            await queue.dead_letter([uuid4()])
        async with asyncio.timeout(60):
            while (await queue.depth()).dead != 1:  # noqa: ASYNC110 -- the broker has no event for it
                await asyncio.sleep(0.02)

    assert [line["queue"] for line in lines if line["event"] == "dead_letter_queue_kept"] == ["heyday.dead"]
    found = await look(rabbitmq_url)
    assert found.dead is not None
    assert "x-max-length" in (found.dead.differs or "")


async def test_a_node_whose_database_was_adopted_replaces_its_own_mark(rabbitmq_url: str) -> None:
    """The identity is new, and the deployment is the same."""
    clusters = [FIRST]
    queue = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=3, cluster=lambda: clusters[-1])
    await queue.depth()
    clusters.append(SECOND)

    await queue.depth()

    assert (await look(rabbitmq_url)).cluster == SECOND
    await queue.close()
