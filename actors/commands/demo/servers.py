"""The servers of the demo: PostgreSQL, Redis and the fake email service."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from actors.commands.demo.directory import DemoDirectory
from actors.commands.demo.options import FAULTS
from actors.commands.sandbox.email_stub import EmailStub
from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.postgres import PostgresServer
from actors.commands.sandbox.servers.redis import RedisServer

EMAIL_PORT = 8025
"""Port of the fake email service, if it is free."""


class Servers:
    """Entered: all three run on loopback. Left: none runs."""

    def __init__(self, place: DemoDirectory) -> None:
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

    async def look_after(self) -> None:
        """Start those again that have ended. Raises EmbeddedError."""
        for server in (self.postgres, self.redis):
            if not server.running:
                await server.kill()  # its processes that are left
                await server.start()

    async def empty(self) -> None:
        """Kill servers that earlier demos left running, and delete their data."""
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
            # After an orderly stop no process is left. After a hurried one there may be: committed data is kept.
            for server in servers:
                if server.running:
                    await server.kill()
