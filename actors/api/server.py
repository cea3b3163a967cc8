"""The actor that serves HTTP: it listens when it starts, and finishes what is under way when it drains."""

from __future__ import annotations

import asyncio
from typing import Never, assert_never

import structlog
from aiohttp import web

from actors.api.application import application
from actors.api.not_http import Runner
from actors.api.parts import ApiParts
from actors.runtime import Actor, Context

__all__ = ["ApiParts", "ApiServer"]

log = structlog.get_logger(__name__)

FINISH_WITHIN = 4.5
"""Seconds that requests under way have to finish when the node drains, and then their connections to end, as long
again: together less than a child's own deadline."""

CLOSE_WITHIN = 0.5
"""The same when there is no more time: together less than stop() may take."""

SETTLE_TURNS = 5
"""Turns of the loop between accepting a connection and its first task, with some to spare."""

BACKLOG = 1024
"""Connections that may wait to be accepted."""


class ApiServer(Actor[Never]):
    """Listens on `settings.bind_host:bind_port`; it receives no messages. Port 0 takes a free one: see `port`."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._runner: web.AppRunner | None = None
        self._draining = False

    @property
    def port(self) -> int:
        """The port it listens on. Raises LookupError when it does not."""
        if self._runner is None or not self._runner.addresses:
            raise LookupError("the API does not listen")
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self, ctx: Context[Never]) -> None:
        settings = self._parts.settings
        app = application(self._parts, draining=lambda: self._draining)
        self._runner = Runner(app, access_log=None, shutdown_timeout=CLOSE_WITHIN)
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.bind_host, settings.bind_port, backlog=BACKLOG).start()
        log.info("api_listening", host=settings.bind_host, port=self.port)

    async def receive(self, message: Never) -> None:
        assert_never(message)

    async def drain(self) -> None:
        """Stop accepting, and wait for the requests under way."""
        self._draining = True
        if self._runner is None or self._runner.server is None:
            return
        for site in self._runner.sites:
            await site.stop()
        # Connections that were accepted just before need these turns of the loop to be made: a server that is shut down
        # without knowing of them would leave their clients waiting for ever.
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)
        # Idle connections are closed, the others after the answer that they are waiting for.
        self._runner.server.pre_shutdown()
        await self._runner.server.shutdown(FINISH_WITHIN)

    async def stop(self) -> None:
        """Close what is still open."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
