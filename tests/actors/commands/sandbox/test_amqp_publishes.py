"""A relay in front of RabbitMQ that confirms publishes and drops them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from pamqp import commands, frame, header

from actors.commands.sandbox.servers.amqp_publishes import Frames, Publishes
from actors.commands.sandbox.servers.relay import relayed


async def test_publishes_with_one_key_are_confirmed_and_dropped_and_all_others_arrive(rabbitmq_url: str) -> None:
    """The channel stays in step: the broker counts only what it gets, and each publish has its own confirm."""
    async with relayed(rabbitmq_url) as relay, await aio_pika.connect(relay.url) as connection:
        channel = await connection.channel()
        one, other = [await channel.declare_queue(name, exclusive=True) for name in ("heyday.one", "heyday.other")]

        async def publish(name: str, size: int) -> None:
            # A large body has several frames; an empty one has none.
            await channel.default_exchange.publish(aio_pika.Message(b"x" * size), name, mandatory=True, timeout=20)

        await publish("heyday.one", 1)
        relay.swallow_publishes("heyday.one")
        await asyncio.gather(
            *(publish(name, size) for size in (0, 3, 500_000) for name in ("heyday.one", "heyday.other") * 5)
        )
        relay.mend()
        await publish("heyday.one", 2)
        await publish("heyday.other", 1)

        arrived = {queue.name: [len(message.body) async for message in _all(queue)] for queue in (one, other)}

    assert relay.swallowed == 15
    assert arrived == {"heyday.one": [1, 2], "heyday.other": [*[0] * 5, *[3] * 5, *[500_000] * 5, 1]}


async def _all(queue: AbstractQueue) -> AsyncIterator[AbstractIncomingMessage]:
    while (message := await queue.get(fail=False, no_ack=True)) is not None:
        yield message


def test_frames_are_whole_however_the_network_divides_them() -> None:
    """A confirm that comes within another frame would end the connection."""
    sent = [b"AMQP\x00\x00\x09\x01", *(frame.marshal(one, 1) for one in (commands.Channel.Open(), _header(3)))]
    frames = Frames()

    found = [one for byte in b"".join(sent) for one in frames.feed(bytes([byte]))]

    assert found == sent


def test_confirms_of_the_broker_get_the_numbers_of_the_client() -> None:
    """Publishes 2, 3 and 5 are swallowed, so that the broker numbers 1, 4 and 6 as 1, 2 and 3."""
    publishes = Publishes()
    publishes.request(frame.marshal(commands.Channel.Open(), 1), routing_key="lost")
    for key in ("kept", "lost", "lost", "kept", "lost", "kept"):
        publishes.request(frame.marshal(commands.Basic.Publish(routing_key=key), 1), routing_key="lost")
        publishes.request(frame.marshal(_header(0), 1), routing_key="lost")

    def tag(number: int) -> int:
        passed = publishes.answer(frame.marshal(commands.Basic.Ack(delivery_tag=number, multiple=True), 1))
        confirm = frame.unmarshal(passed)[2]
        assert isinstance(confirm, commands.Basic.Ack)
        assert confirm.multiple
        return confirm.delivery_tag

    assert (publishes.swallowed, [tag(1), tag(2), tag(3)]) == (3, [1, 4, 6])


def _header(size: int) -> header.ContentHeader:
    return header.ContentHeader(body_size=size, properties=commands.Basic.Properties())
