"""Faults of PostgreSQL: restart, crash, no free connection, full disk, an open transaction, a damaged row."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from actors.commands.chaos.faults.fault import Fault, Need, NoEffect

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment


class RestartPostgres(Fault):
    """PostgreSQL ends every session, writes its data and starts again."""

    name: ClassVar[str] = "restart-postgres"
    does: ClassVar[str] = "stop PostgreSQL in order and start it again"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def inject(self, environment: Environment) -> str:
        await environment.servers.own.postgres.restart()
        return ""


class KillPostgres(Fault):
    """All processes of PostgreSQL are killed. It recovers its data from its log."""

    name: ClassVar[str] = "kill-postgres"
    does: ClassVar[str] = "kill -9 PostgreSQL and start it again some seconds later"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def inject(self, environment: Environment) -> str:
        server = environment.servers.own.postgres
        await server.kill()
        await asyncio.sleep(away := self.seconds(0.5, 10))
        await server.start()
        return f"away for {away:.1f} s"


class ExhaustConnections(Fault):
    """The nodes lose their connections, and another client takes every connection."""

    name: ClassVar[str] = "exhaust-connections"
    does: ClassVar[str] = "reset the connections of the nodes to PostgreSQL and take every connection that it offers"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS, Need.RELAYED_POSTGRES)

    async def inject(self, environment: Environment) -> str:
        relays = environment.fleet.relays("postgres")
        async with environment.servers.holding_every_connection() as held:
            for relay in relays:
                relay.cut()
                relay.mend()
            await asyncio.sleep(lasts := self.seconds(3, 10))
            taken = held()
        if not taken:
            raise NoEffect("PostgreSQL offered no connection")
        return f"{taken} held for {lasts:.1f} s"


class FillDisk(Fault):
    """The disk of PostgreSQL is full. If PostgreSQL ends, it is started again when there is room."""

    name: ClassVar[str] = "fill-disk"
    does: ClassVar[str] = "fill the disk of PostgreSQL to the last byte, and free it some seconds later"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS, Need.SMALL_DISK)

    async def inject(self, environment: Environment) -> str:
        own = environment.servers.own
        server, disk = own.postgres, own.disks["postgres"]
        # The reserved part of the log would last for minutes. A new segment has no reserve.
        await environment.database.value("select pg_switch_wal()")
        lasts = self.seconds(4, 12)
        until = time.monotonic() + lasts
        try:
            while time.monotonic() < until:
                # Again and again, because a server that ends deletes its unfinished files.
                disk.fill()
                await asyncio.sleep(0.1)
        finally:
            disk.free()
        went_down = not server.running
        if went_down:
            await server.kill()
            await server.start()
        return f"for {lasts:.1f} s" + (", and it went down" if went_down else "")


class OpenTransaction(Fault):
    """Another session holds a snapshot, as a backup or a forgotten transaction does: no old row version is removed."""

    name: ClassVar[str] = "open-transaction"
    does: ClassVar[str] = "hold a snapshot of the database in another session for some seconds"

    async def inject(self, environment: Environment) -> str:
        began = time.time()
        async with environment.database.connection() as connection, connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("select count(*) from users")
            await asyncio.sleep(lasts := self.seconds(6, 12))
        if not await environment.greeted_since(began):
            self.problems.append("no greeting left while the transaction was open")
        return f"for {lasts:.1f} s"


class DamageRow(Fault):
    """PostgreSQL refuses every change of one message, as with a damaged page: the other messages must be sent."""

    name: ClassVar[str] = "damage-row"
    does: ClassVar[str] = "let PostgreSQL refuse every change of one message for some seconds, then repair it"
    recovery: ClassVar[str] = (
        "the repaired message has ended; heyday looks at it again a minute after the first failure"
    )

    takes: ClassVar[float] = 90.0
    recovery_timeout: ClassVar[float] = 240.0

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._damaged: UUID | None = None

    async def inject(self, environment: Environment) -> str:
        began = time.time()
        self._damaged = await environment.damage_open_message(self.chance.random())
        if self._damaged is None:
            raise NoEffect("no message was waiting")
        lasts = self.seconds(6, 12)
        try:
            await asyncio.sleep(lasts)
            if not await environment.greeted_since(began, besides=1):
                self.problems.append("one damaged row stopped the other messages")
        finally:
            await environment.repair_rows()
        return f"{self._damaged} for {lasts:.1f} s"

    async def recovered(self, environment: Environment, ended_at: float) -> bool:
        assert self._damaged is not None  # noqa: S101 - it was injected
        return await environment.has_ended(self._damaged)
