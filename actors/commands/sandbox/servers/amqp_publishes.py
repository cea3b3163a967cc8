"""Frames of AMQP 0-9-1: cuts streams into frames, and confirms publishes that it does not pass on.

It stands for a broker that confirms a publish and loses it, as RabbitMQ has done (rabbitmq-server#17504).
"""

from __future__ import annotations

from collections.abc import Iterator

from pamqp import commands, frame

PROTOCOL_HEADER = b"AMQP"
PROTOCOL_HEADER_BYTES = 8
"""The first bytes of a client (AMQP 0-9-1, 4.2.2). They are no frame."""

FRAME_HEADER_BYTES = 7
"""Type (1 byte), channel (2) and size of the payload (4); one byte ends the frame."""

METHOD, HEADER, BODY = 1, 2, 3
"""The types of frames that a publish consists of."""

Name = tuple[int, int]
"""The class and the method of a method frame."""

CHANNEL_OPEN: Name = (20, 10)
PUBLISH: Name = (60, 40)
ACK: Name = (60, 80)
NACK: Name = (60, 120)


class Frames:
    """Cuts one direction of a connection into whole frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the frames that `data` completes."""
        self._pending += data
        while (size := self._size()) and len(self._pending) >= size:
            yield bytes(self._pending[:size])
            del self._pending[:size]

    def _size(self) -> int:
        """The bytes of the first frame; 0 while that is unknown."""
        if self._pending.startswith(PROTOCOL_HEADER):
            return PROTOCOL_HEADER_BYTES
        if len(self._pending) < FRAME_HEADER_BYTES:
            return 0
        return FRAME_HEADER_BYTES + int.from_bytes(self._pending[3:7], "big") + 1


class Publishes:
    """The publishes of one connection. Swallows those with a routing key, and makes the confirm of each.

    It must see the connection from its first frame: a confirm has the number of its publish in the channel. The broker
    numbers only the publishes that it gets, so its confirms get the client's numbers.
    """

    def __init__(self) -> None:
        self.swallowed = 0
        """Publishes that were confirmed and not passed on."""
        self._published: dict[int, int] = {}
        """By channel: its publishes so far."""
        self._gaps: dict[int, list[int]] = {}
        """By channel: the numbers of its swallowed publishes, in order."""
        self._missing: dict[int, int | None] = {}
        """By channel: the bytes of the body that still belong to a swallowed publish; None before its header."""

    def request(self, one: bytes, *, routing_key: str | None) -> tuple[bytes, bytes]:
        """Take a frame of the client. Returns the bytes for the broker, and those for the client."""
        if one.startswith(PROTOCOL_HEADER):
            return one, b""
        kind, channel = one[0], _channel(one)
        if kind == METHOD:
            return self._method(one, channel, routing_key), b""
        if kind not in (HEADER, BODY) or channel not in self._missing:
            return one, b""
        payload = one[FRAME_HEADER_BYTES:-1]
        left = self._missing[channel]
        # A header has class, weight, and the size of the body in 8 bytes.
        left = int.from_bytes(payload[4:12], "big") if left is None else left - len(payload)
        self._missing[channel] = left
        return b"", b"" if left else self._confirm(channel)

    def answer(self, one: bytes) -> bytes:
        """Take a frame of the broker. Returns the bytes for the client."""
        channel = _channel(one)
        if one[0] != METHOD or _name(one) not in (ACK, NACK) or not self._gaps.get(channel):
            return one
        confirm = frame.unmarshal(one)[2]
        assert isinstance(confirm, (commands.Basic.Ack, commands.Basic.Nack))  # noqa: S101 - by its name
        for gap in self._gaps[channel]:
            if gap > confirm.delivery_tag:
                break
            confirm.delivery_tag += 1
        return frame.marshal(confirm, channel)

    def _method(self, one: bytes, channel: int, routing_key: str | None) -> bytes:
        name = _name(one)
        if name == CHANNEL_OPEN:
            self._published[channel], self._gaps[channel] = 0, []
            self._missing.pop(channel, None)
        elif name == PUBLISH:
            self._published[channel] += 1
            publish = frame.unmarshal(one)[2]
            if isinstance(publish, commands.Basic.Publish) and publish.routing_key == routing_key:
                self._missing[channel] = None
                return b""
        return one

    def _confirm(self, channel: int) -> bytes:
        del self._missing[channel]
        self.swallowed += 1
        self._gaps[channel].append(self._published[channel])
        return frame.marshal(commands.Basic.Ack(delivery_tag=self._published[channel]), channel)


def _channel(one: bytes) -> int:
    return int.from_bytes(one[1:3], "big")


def _name(one: bytes) -> Name:
    return int.from_bytes(one[7:9], "big"), int.from_bytes(one[9:11], "big")
