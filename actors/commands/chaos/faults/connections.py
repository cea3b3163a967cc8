"""Faults of connections: each is cut, slowed, frozen or left half open by a relay, for one node or for all."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from actors.chaos.faults.fault import Fault, Need

if TYPE_CHECKING:
    from actors.chaos.stage import Stage
    from service.embedded.relay import Relay

SYSTEMS: dict[str, tuple[Need, ...]] = {
    "postgres": (Need.RELAYED_POSTGRES,),
    "redis": (Need.RELAYED_REDIS,),
    "rabbitmq": (Need.RABBITMQ, Need.RELAYED_RABBITMQ),
    "email": (),
}
"""What a node is connected to."""


class ConnectionFault(Fault):
    """Something is wrong between one node, or every node, and one system."""

    system: ClassVar[str]
    verb: ClassVar[str]
    sentence: ClassVar[str]
    lasts: ClassVar[tuple[float, float]] = (3.0, 14.0)
    """Seconds: shorter and longer than it takes to give a node up."""

    async def strike(self, stage: Stage) -> str:
        slots = stage.fleet.slots
        one = self.chance.choice(slots) if self.chance.random() < 0.5 else None
        relays = stage.fleet.relays(self.system, of=one)
        lasts = self.seconds(*self.lasts)
        try:
            for relay in relays:
                self._break(relay)
            await asyncio.sleep(lasts)
        finally:
            for relay in relays:
                relay.mend()
        return f"{one.node_id if one else 'every node'} for {lasts:.1f} s"

    @abstractmethod
    def _break(self, relay: Relay) -> None:
        """Make it misbehave."""


class Delay(ConnectionFault):
    """Every piece of data is late."""

    verb: ClassVar[str] = "delay"
    sentence: ClassVar[str] = "make all data to and from {} late by 0.1 to 1 s"

    def _break(self, relay: Relay) -> None:
        relay.delay = self.seconds(0.1, 1)


class Freeze(ConnectionFault):
    """Nothing passes, and nobody is told; afterwards all that was on its way arrives."""

    verb: ClassVar[str] = "freeze"
    sentence: ClassVar[str] = "hold back all data to and from {}, which arrive in the end"

    def _break(self, relay: Relay) -> None:
        relay.freeze()


class HalfOpen(ConnectionFault):
    """What is said arrives, and no answer comes back, ever."""

    verb: ClassVar[str] = "half-open"
    sentence: ClassVar[str] = "let data pass to {} and throw away the answers"

    def _break(self, relay: Relay) -> None:
        relay.swallow_answers()


class Reset(ConnectionFault):
    """Every connection is reset, and each new one at once."""

    verb: ClassVar[str] = "reset"
    sentence: ClassVar[str] = "reset every connection to {}, and each new one"

    def _break(self, relay: Relay) -> None:
        relay.cut()


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
