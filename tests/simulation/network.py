"""The network between a node and a server: calls take time, get lost before or after they are done, hang, arrive late.

A call is served outside of the process that makes it, as by a server: it may be done although its caller is stopped,
has given up, or is dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from inspect import iscoroutinefunction
from random import Random
from typing import Any

from service.adapters.postgres.connection import QUERY_TIMEOUT
from service.adapters.postgres.nodes import BEAT_WITHIN
from service.adapters.postgres.planning import PLAN_TIMEOUT
from service.adapters.rabbitmq.queue import CALL_TIMEOUT as BROKER_TIMEOUT
from service.adapters.redis.accepted import CALL_TIMEOUT as ACCEPTED_TIMEOUT
from service.adapters.redis.connection import COMMAND_TIMEOUT
from service.ports import Unavailable
from tests.simulation.loop import VirtualLoop

DEADLINES = {
    "postgres": QUERY_TIMEOUT,
    "postgres.beat": BEAT_WITHIN,
    "postgres.living": BEAT_WITHIN,
    "postgres.read_clock": 5.0,
    "postgres.plan": PLAN_TIMEOUT,
    "redis": COMMAND_TIMEOUT,
    "redis.accepted": ACCEPTED_TIMEOUT,
    "redis.remember": ACCEPTED_TIMEOUT,
    "rabbitmq": BROKER_TIMEOUT,
    "rabbitmq.publish": 10.0,
}
"""Seconds after which the adapters give up a call, as they do themselves."""

LATEST = 10.0
"""Seconds after its caller gave up that a call may still be done: the server waited for a lock, a packet was late."""

SLOW_BY = 2.0
"""Seconds by which a slow link delays a request or an answer, at most."""

LOCAL = frozenset({"receive", "close"})
"""Calls that ask no server: a bundle to receive has come already, a connection is closed from here."""

SILENT = frozenset({"acknowledge", "pause"})
"""Calls that say nothing of an outage: what they did not do is done again."""


WATCHING = frozenset({"enter", "beat", "living", "end", "requeue_claim", "release_claims"})
"""The calls of PostgreSQL by which nodes live, see who does not, and free what the dead were sending: as long as they
are answered, the 15 s hold for any fate of the other calls."""


FATES = ("refused", "cut", "lost", "hangs", "late", "bug")
"""What may become of a call beside being done: the names of the events that say so."""


class Bug(Exception):
    """Stands for a mistake of heyday, or of a library: no adapter raises it, and it crashes the actor."""


@dataclass
class Weather:
    """The probabilities of each fault of a call; `longest` is the longest usual delay in seconds."""

    longest: float = 0.002
    late: float = 0.0
    before: float = 0.0
    after: float = 0.0
    hang: float = 0.0
    bug: float = 0.0

    @property
    def fair(self) -> bool:
        """True when every call is done soon."""
        return not (self.late or self.before or self.after or self.hang)


@dataclass
class Server:
    """PostgreSQL, Redis or RabbitMQ, as seen from outside; `blinded_at` is when a call of the watch last failed."""

    name: str
    weather: Weather
    down: bool = False
    blinded_at: float = 0.0

    def failed(self, call: str, at: float) -> None:
        """That call failed, or will."""
        if call in WATCHING:
            self.blinded_at = at


class Broken(StrEnum):
    """The ways in which the link of one node to one server is broken while others reach the server."""

    REFUSES = "refuses"
    """No connection is made."""
    SILENT = "silent"
    """Nothing arrives, and the caller is not told."""
    DEAF = "deaf"
    """What is asked arrives and is done; no answer comes back."""
    SLOW = "slow"
    """Everything arrives, up to `SLOW_BY` seconds later in each direction."""


Tell = Callable[..., None]


class Link:
    """The way from one process to one server, and the calls that are on it."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: Random,
        server: Server,
        tell: Tell,
        broken: Callable[[], Broken | None] = lambda: None,
    ) -> None:
        self._broken = broken
        self._loop = loop
        self._rng = rng
        self._server = server
        self._tell = tell
        self._under_way: dict[asyncio.Task[None], bool] = {}
        """The calls that are served; the value is true for one that ends when its caller hangs up."""

    def cut(self) -> None:
        """The process is gone: who waits for something is given up, the rest may be done or not."""
        for task, waits in list(self._under_way.items()):
            if waits or self._rng.random() < 0.5:
                task.cancel()

    async def call(self, port: Any, name: str, args: Any, kwargs: Any) -> Any:
        """Make a call to a port. Raises what the port raises, and Unavailable."""
        method = getattr(port, name)
        weather, rng, server = self._server.weather, self._rng, self._server
        if name == "close":
            return await method(*args, **kwargs)
        luck = rng.random()
        if weather.bug and rng.random() < weather.bug:
            self._tell("bug", call=name)
            server.failed(name, self._loop.time())
            raise Bug(f"in {name}")
        broken = self._broken()
        refused = server.down or luck < weather.before
        dead = broken is not None and broken is not Broken.SLOW
        if broken is Broken.REFUSES or (dead and name in LOCAL | SILENT):
            refused = True
        if name in LOCAL or name in SILENT:
            if not refused:
                return await method(*args, **kwargs)
            await port.close()
            self._tell("cut", server=server.name, call=name)
            if name in SILENT:
                return None
            raise Unavailable(server.name, "the connection was cut")
        if refused:
            if not broken:
                server.failed(name, self._loop.time())
            await asyncio.sleep(rng.random() * weather.longest)
            self._tell("refused", server=server.name, call=name)
            raise Unavailable(server.name, "refused")
        return await self._ask(method, name, args, kwargs, luck - weather.before)

    async def _ask(self, method: Callable[..., Any], name: str, args: Any, kwargs: Any, luck: float) -> Any:
        weather, rng, loop = self._server.weather, self._rng, self._loop
        waits = kwargs.get("block", 0.0)
        deadline = DEADLINES.get(f"{self._server.name}.{name}", DEADLINES[self._server.name]) + waits
        there, back = rng.random() * weather.longest, rng.random() * weather.longest
        if self._broken() is Broken.SLOW:
            there, back = there + rng.random() * SLOW_BY, back + rng.random() * SLOW_BY
        fate = "done"
        for what, chance in (("lost", weather.after), ("hangs", weather.hang), ("late", weather.late)):
            if self._broken() not in (None, Broken.SLOW):
                fate = "hangs"
                break
            if 0 <= luck < chance:
                fate = what
                self._server.failed(name, loop.time())
                self._tell(what, server=self._server.name, call=name)
                break
            luck -= chance
        if fate == "late":
            there = rng.random() * (deadline + LATEST)
        done = fate != "hangs" or rng.random() < 0.5
        broken = self._broken()
        if broken not in (None, Broken.SLOW):
            done = broken is Broken.DEAF
        answer: asyncio.Future[Any] = loop.create_future()
        serving = loop.in_process(
            None, self._serve(answer, method, args, kwargs, there, back, fate, done), name=f"serve {name}"
        )
        self._under_way[serving] = waits > 0
        serving.add_done_callback(lambda task: self._under_way.pop(task, None))
        try:
            async with asyncio.timeout(deadline):
                found = await answer
        except TimeoutError:
            if not broken:
                self._server.failed(name, loop.time())
            raise Unavailable(self._server.name, f"no answer within {deadline:g} s") from None
        finally:
            if waits and not serving.done():
                serving.cancel()
        if fate == "late":
            self._server.failed(name, loop.time())  # until now its caller waited
        return found

    async def _serve(
        self,
        answer: asyncio.Future[Any],
        method: Callable[..., Any],
        args: Any,
        kwargs: Any,
        there: float,
        back: float,
        fate: str,
        done: bool,
    ) -> None:
        await asyncio.sleep(there)
        result, error = None, None
        if done:
            try:
                result = await method(*args, **kwargs)
            except Exception as raised:
                error = raised
        await asyncio.sleep(back)
        if fate == "hangs" or answer.done():
            return
        if fate == "lost":
            error = Unavailable(self._server.name, "the connection was lost")
        if error is not None:
            answer.set_exception(error)
            answer.exception()  # seen: its caller may be dead
        else:
            answer.set_result(result)


class Far:
    """A port at the other end of a link."""

    def __init__(self, port: Any, link: Link) -> None:
        self._port = port
        self._link = link

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._link.call(self._port, name, args, kwargs)

        setattr(self, name, call)
        return call
