"""Faults of PostgreSQL: restarted, killed, without a connection to give, without room on its disk."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

from actors.chaos.faults.fault import Fault, Need

if TYPE_CHECKING:
    from actors.chaos.stage import Stage


class RestartPostgres(Fault):
    """PostgreSQL ends every session, writes its data, and starts again."""

    name: ClassVar[str] = "restart-postgres"
    does: ClassVar[str] = "stop PostgreSQL in order and start it again"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def strike(self, stage: Stage) -> str:
        await stage.servers.own.postgres.restart()
        return ""


class KillPostgres(Fault):
    """PostgreSQL dies with all its processes, and has to find its data again from the log."""

    name: ClassVar[str] = "kill-postgres"
    does: ClassVar[str] = "kill -9 PostgreSQL and start it again some seconds later"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def strike(self, stage: Stage) -> str:
        server = stage.servers.own.postgres
        await server.kill()
        await asyncio.sleep(away := self.seconds(0.5, 10))
        await server.start()
        return f"away for {away:.1f} s"


class ExhaustConnections(Fault):
    """The nodes lose their connections, and somebody else has taken them all before they come back."""

    name: ClassVar[str] = "exhaust-connections"
    does: ClassVar[str] = "reset the nodes' connections to PostgreSQL and hold every one that it has to give"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS, Need.RELAYED_POSTGRES)

    async def strike(self, stage: Stage) -> str:
        relays = stage.fleet.relays("postgres")
        async with stage.servers.holding_every_connection() as held:
            for relay in relays:
                relay.cut()
                relay.mend()
            await asyncio.sleep(lasts := self.seconds(3, 10))
            return f"{held()} held for {lasts:.1f} s"


class FillDisk(Fault):
    """There is not a byte left where PostgreSQL writes. It may go down; then it is started again once there is room."""

    name: ClassVar[str] = "fill-disk"
    does: ClassVar[str] = "fill the disk of PostgreSQL to the last byte, and make room again some seconds later"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS, Need.QUOTA)

    async def strike(self, stage: Stage) -> str:
        server, quota = stage.servers.own.postgres, stage.servers.own.quota
        assert quota is not None  # noqa: S101 - it is needed
        # What the log has reserved would last for minutes; a new piece of it has nothing yet.
        await stage.database.value("select pg_switch_wal()")
        lasts = self.seconds(4, 12)
        until = time.monotonic() + lasts
        try:
            while time.monotonic() < until:
                # Again and again: a server that goes down deletes what it had begun.
                quota.fill()
                await asyncio.sleep(0.1)
        finally:
            quota.free()
        went_down = not server.running
        if went_down:
            await server.kill()
            await server.start()
        return f"for {lasts:.1f} s" + (", and it went down" if went_down else "")
