"""The servers of the demo: PostgreSQL, Redis and the fake email service, started and stopped together."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from actors.demo.options import FAULTS
from actors.demo.place import Place
from service.email_stub import EmailStub
from service.embedded import processes
from service.embedded.postgres import PostgresServer
from service.embedded.redis import RedisServer

EMAIL_PORT = 8025
"""Where the fake email service listens, unless somebody else does."""


class Servers:
    """Entered: all three run, on loopback. Left: none does."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.postgres = PostgresServer(place.postgres)
        self.redis = RedisServer(place.redis)
        self.stub = EmailStub(FAULTS)

    async def __aenter__(self) -> Self:
        try:
            await self.postgres.start()
            await self.redis.start()
            try:
                await self.stub.listen("127.0.0.1", EMAIL_PORT)
            except OSError:
                await self.stub.close()
                await self.stub.listen("127.0.0.1", 0)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def empty(self) -> None:
        """Throw away what earlier demos kept, whatever state it is in, and end what they left running."""
        for server, directory in ((self.postgres, self._place.postgres), (self.redis, self._place.redis)):
            await processes.kill(processes.strays(directory.resolve(), server.programs))
        self._place.empty()

    async def _stop(self) -> None:
        servers = (self.redis, self.postgres)
        try:
            await self.stub.close()
            for server in servers:
                await server.stop()
        finally:
            # After an orderly stop there is nothing left to kill. Told to hurry, there is: what was committed is kept.
            for server in servers:
                if server.running:
                    await server.kill()
