"""The fault of power: servers and their disks lose what was not synced."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar

from actors.commands.chaos.disks import PowerDisk, cut_power
from actors.commands.chaos.faults.connections import connections_ended
from actors.commands.chaos.faults.fault import LostBundles, Need

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment


class CutPower(LostBundles):
    """One server, or all of them at one instant, lose their power: what they did not sync is gone."""

    name: ClassVar[str] = "cut-power"
    does: ClassVar[str] = "cut the power of one server or of all, so that unsynced writes are lost, for some seconds"
    recovery: ClassVar[str] = "no message is queued since before the cut; heyday finds a lost entry after 90 s"
    takes: ClassVar[float] = 60.0
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS, Need.POWER_DISKS)

    async def inject(self, environment: Environment) -> str:
        own = environment.servers.own
        servers = {"postgres": own.postgres, "redis": own.redis} | ({"rabbitmq": own.rabbitmq} if own.rabbitmq else {})
        hit = self.chance.choice([tuple(servers), *((name,) for name in servers)])
        machines = []
        for name in hit:
            disk = own.disks[name]
            assert isinstance(disk, PowerDisk)  # noqa: S101 - it is needed
            machines.append((servers[name], disk))
        async with AsyncExitStack() as stack:
            for name in hit:
                await stack.enter_async_context(connections_ended(environment, name))
            await cut_power(machines)
            await asyncio.sleep(away := self.seconds(0.5, 6))
            await asyncio.gather(*(servers[name].start() for name in hit))
        return f"{', '.join(hit)} away for {away:.1f} s"
