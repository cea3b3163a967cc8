"""Faults of PostgreSQL: restart, crash, no free connection, full disk, an open transaction, a damaged row."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

import asyncpg

from actors.commands.chaos.faults.connections import connections_ended
from actors.commands.chaos.faults.fault import Fault, Need, NoEffect

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment


CHANGED_WITHIN = 150.0
"""Seconds in which a node changes every due message: one that is queued for 90 s is taken back."""

WRITE_TIMEOUT = 5.0
"""Seconds for one write to a full disk."""

WRITE = "select pg_logical_emit_message(true, 'heyday chaos', repeat('x', 1024 * 1024))"
"""Writes 1 MB into the log of PostgreSQL, and nothing else."""


class RestartPostgres(Fault):
    """PostgreSQL ends every session, writes its data and starts again."""

    name: ClassVar[str] = "restart-postgres"
    does: ClassVar[str] = "stop PostgreSQL in order and start it again"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def inject(self, environment: Environment) -> str:
        async with connections_ended(environment, "postgres"):
            await environment.servers.own.postgres.restart()
        return ""


class KillPostgres(Fault):
    """All processes of PostgreSQL are killed. It recovers its data from its log."""

    name: ClassVar[str] = "kill-postgres"
    does: ClassVar[str] = "kill -9 PostgreSQL and start it again some seconds later"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def inject(self, environment: Environment) -> str:
        server = environment.servers.own.postgres
        async with connections_ended(environment, "postgres"):
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
        refused = False
        try:
            while time.monotonic() < until:
                # Again and again, because a server that ends deletes its unfinished files.
                disk.fill()
                refused = refused or await refuses_write(server.dsn())
                await asyncio.sleep(0.1)
        finally:
            disk.free()
        went_down = not server.running
        if went_down:
            await server.kill()
            await server.start()
        if not refused:
            raise NoEffect("PostgreSQL refused no write")
        return f"for {lasts:.1f} s" + (", and it went down" if went_down else "")


async def refuses_write(dsn: str) -> bool:
    """True if PostgreSQL refuses a write because its disk is full, or crashes or is away because of that."""
    try:
        connection = await asyncpg.connect(dsn, timeout=WRITE_TIMEOUT)
        try:
            await connection.execute(WRITE, timeout=WRITE_TIMEOUT)
        finally:
            connection.terminate()
    except (asyncpg.TooManyConnectionsError, TimeoutError):
        return False
    except (asyncpg.DiskFullError, asyncpg.OperatorInterventionError, asyncpg.PostgresConnectionError, OSError):
        return True
    return False


class OpenTransaction(Fault):
    """Another session holds a snapshot, as a backup or a forgotten transaction does: no old row version is removed."""

    name: ClassVar[str] = "open-transaction"
    does: ClassVar[str] = "hold a snapshot of the database in another session for some seconds"

    async def inject(self, environment: Environment) -> str:
        async with environment.database.connection() as connection, connection.transaction(isolation="repeatable_read"):
            await environment.ended(connection)
            began = time.time()
            await asyncio.sleep(lasts := self.seconds(6, 12))
            if not await environment.greeted_since(began):
                self.problems.append("no greeting left while the transaction was open")
            elif await environment.ended() <= await environment.ended(connection):
                raise NoEffect("no message ended, or the snapshot did not keep its old row version")
        return f"for {lasts:.1f} s"


class DamageRow(Fault):
    """PostgreSQL refuses every change of one message, as with a damaged page: the other messages must be sent."""

    name: ClassVar[str] = "damage-row"
    does: ClassVar[str] = "let PostgreSQL refuse every change of one message for some seconds, then repair it"
    recovery: ClassVar[str] = (
        "the repaired message has ended; heyday looks at it again a minute after the first failure"
    )

    takes: ClassVar[float] = 130.0
    recovery_timeout: ClassVar[float] = 240.0

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._damaged: UUID | None = None

    async def inject(self, environment: Environment) -> str:
        began = time.time()
        self._damaged = await environment.damage_open_message(self.chance.random())
        if self._damaged is None:
            raise NoEffect("no message was waiting")

        async def refused() -> bool:
            return await environment.refused_changes() > 0

        lasts = self.seconds(6, 12)
        try:
            await asyncio.sleep(lasts)
            if not await environment.until(refused, within=CHANGED_WITHIN):
                raise NoEffect("no node changed the damaged message")
            if not await environment.greeted_since(began, besides=1):
                self.problems.append("one damaged row stopped the other messages")
        finally:
            await environment.repair_rows()
        return f"{self._damaged} for {time.time() - began:.1f} s"

    async def recovered(self, environment: Environment, ended_at: float) -> bool:
        assert self._damaged is not None  # noqa: S101 - it was injected
        return await environment.has_ended(self._damaged)
