"""Faults of connections. A relay delays, freezes, half-opens or resets those of one node or of every node."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, ClassVar

from actors.commands.chaos.faults.fault import Fault, LostBundles, Need, NoEffect, require_effect
from service.ports.names import RABBITMQ_QUEUE

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment
    from actors.commands.chaos.fleet import Slot
    from actors.commands.sandbox.servers.relay import Relay

SYSTEMS: dict[str, tuple[Need, ...]] = {
    "postgres": (Need.RELAYED_POSTGRES,),
    "redis": (Need.RELAYED_REDIS,),
    "rabbitmq": (Need.RABBITMQ, Need.RELAYED_RABBITMQ),
    "email": (),
}
"""The systems that a node is connected to, and the preconditions of faults between them."""

FIRST_PUBLISH_WITHIN = 60.0
"""Seconds within which a node publishes what a deleted queue had, if messages are left."""

LOST_ANSWERS = 6
"""Times at which the answers of PostgreSQL are lost in one fault."""


@contextmanager
def nodes_cut_off(environment: Environment, slots: Sequence[Slot]) -> Iterator[None]:
    """Cut these nodes off from RabbitMQ while the block runs: what they took in advance returns to the queue."""
    relays = [slot.relays["rabbitmq"] for slot in slots] if environment.servers.rabbitmq_url else []
    try:
        for relay in relays:
            relay.cut()
        yield
    finally:
        for relay in relays:
            relay.mend()


def effect_on(relays: Sequence[Relay]) -> Callable[[], int]:
    """A function for what the faults of these relays meet from now on."""
    before = sum(relay.met for relay in relays)
    return lambda: sum(relay.met for relay in relays) - before


@asynccontextmanager
async def connections_ended(environment: Environment, system: str) -> AsyncIterator[None]:
    """Require that the block ends every connection that the nodes have to a system, and that they have one.

    Raises NoEffect.
    """
    relays = environment.fleet.relays(system)

    def connections() -> frozenset[asyncio.StreamWriter]:
        return frozenset().union(*(relay.connections for relay in relays))

    await require_effect(environment, lambda: len(connections()), f"no node was connected to {system}")
    before = connections()
    yield
    ended = f"connections of the nodes to {system} did not end"
    await require_effect(environment, lambda: before.isdisjoint(connections()), ended)


class ConnectionFault(Fault):
    """A fault between one system and one node, or every node."""

    system: ClassVar[str]
    verb: ClassVar[str]
    sentence: ClassVar[str]
    lasts: ClassVar[tuple[float, float]] = (3.0, 14.0)
    """Seconds: less and more than it takes until the others take over the work of a node."""

    async def inject(self, environment: Environment) -> str:
        slots = environment.fleet.slots
        one = self.chance.choice(slots) if self.chance.random() < 0.5 else None
        relays = environment.fleet.relays(self.system, of=one)
        lasts = self.seconds(*self.lasts)
        met = effect_on(relays)
        try:
            for relay in relays:
                self._break(relay)
            await asyncio.sleep(lasts)
            await require_effect(environment, met, f"no data passed to or from {self.system}")
        finally:
            for relay in relays:
                relay.mend()
        return f"{one.node_id if one else 'every node'} for {lasts:.1f} s"

    @abstractmethod
    def _break(self, relay: Relay) -> None:
        """Switch the relay to its fault."""


class Delay(ConnectionFault):
    """All data is late."""

    verb: ClassVar[str] = "delay"
    sentence: ClassVar[str] = "delay all data to and from {} by 0.1 to 1 s"

    def _break(self, relay: Relay) -> None:
        relay.delay = self.seconds(0.1, 1)


class Freeze(ConnectionFault):
    """No data passes, and no connection ends. Afterwards all data arrives."""

    verb: ClassVar[str] = "freeze"
    sentence: ClassVar[str] = "hold back all data to and from {}, and deliver it at the end"

    def _break(self, relay: Relay) -> None:
        relay.freeze()


class HalfOpen(ConnectionFault):
    """Requests arrive, and answers are lost."""

    verb: ClassVar[str] = "half-open"
    sentence: ClassVar[str] = "let requests pass to {} and lose the answers"

    def _break(self, relay: Relay) -> None:
        relay.swallow_answers()


class Reset(ConnectionFault):
    """Every connection is reset, and each new one at once."""

    verb: ClassVar[str] = "reset"
    sentence: ClassVar[str] = "reset every connection to {}, and each new one"

    def _break(self, relay: Relay) -> None:
        relay.cut()


class LoseClaimAnswers(Fault):
    """Answers of PostgreSQL are lost again and again: some claims are committed, and their node does not know it."""

    name: ClassVar[str] = "lose-claim-answers"
    does: ClassVar[str] = (
        f"lose the answers of PostgreSQL {LOST_ANSWERS} times for an instant, then reset the connections"
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.RELAYED_POSTGRES,)

    async def inject(self, environment: Environment) -> str:
        lost = 0
        for _ in range(LOST_ANSWERS):
            relays = environment.fleet.relays("postgres", of=self.chance.choice(environment.fleet.slots))
            met = effect_on(relays)
            for relay in relays:
                relay.swallow_answers()
            await asyncio.sleep(self.seconds(0.05, 0.4))
            lost += met()
            for relay in relays:
                relay.mend()
            await asyncio.sleep(self.seconds(0.5, 1.5))
        if not lost:
            raise NoEffect("PostgreSQL answered nothing meanwhile")
        return f"{lost} answers, {LOST_ANSWERS} times"


class ConfirmAndDrop(LostBundles):
    """RabbitMQ confirms bundles and loses them, as a broken quorum queue has done. No error reports it."""

    name: ClassVar[str] = "confirm-and-drop"
    does: ClassVar[str] = "delete the delivery queue, confirm what is published then, and drop it, for some seconds"
    recovery: ClassVar[str] = "every message that was dropped has left the queue; heyday finds them after 90 s"
    takes: ClassVar[float] = 130.0
    needs: ClassVar[tuple[Need, ...]] = (Need.RABBITMQ, Need.RELAYED_RABBITMQ)

    async def inject(self, environment: Environment) -> str:
        relays, lasts = environment.fleet.relays("rabbitmq"), self.seconds(3, 8)
        before = sum(relay.swallowed for relay in relays)

        def dropped() -> int:
            return sum(relay.swallowed for relay in relays) - before

        try:
            for relay in relays:
                relay.swallow_publishes(RABBITMQ_QUEUE.delivery)
            # Everything may have been published already. What a deleted queue had is published again at once.
            await environment.servers.delete_queue()
            await require_effect(environment, dropped, "no bundle was published", within=FIRST_PUBLISH_WITHIN)
            await asyncio.sleep(lasts)
        finally:
            for relay in relays:
                relay.mend()
        return f"{dropped()} bundles, until {lasts:.1f} s after the first"


def _to(system: str, mode: type[ConnectionFault]) -> type[ConnectionFault]:
    words = {
        "system": system,
        "name": f"{mode.verb}-{system}",
        "does": mode.sentence.format(system),
        "needs": SYSTEMS[system],
        "__doc__": mode.__doc__,
    }
    return type(f"{mode.__name__}{system.capitalize()}", (mode,), words)


CONNECTION_FAULTS = tuple(_to(system, mode) for system in SYSTEMS for mode in (Delay, Freeze, HalfOpen, Reset))
