"""Decides, before a node enters the cluster, whether it may work with its database."""

from __future__ import annotations

import asyncio

from actors.wiring import Resources
from service.ports import Unavailable, UnsuitableDatabase

CLOCK_TOLERANCE = 1.0
"""Seconds by which business time may differ from the database's own clock. A larger difference means a moved clock."""


class Refused(Exception):
    """This node must not work with that database."""


class Admission:
    """Checks schema, encoding and clock of the database. `rehearsal` accepts a database whose business clock was moved.

    `refused` raises Refused as soon as the database turns out to be one to keep away from.
    """

    def __init__(self, resources: Resources, *, rehearsal: bool) -> None:
        self._resources = resources
        self._rehearsal = rehearsal
        self.refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def check(self) -> bool:
        """Return whether the node may enter. Raises Unavailable while the database is away or lacks migrations."""
        try:
            lacking = await self._resources.lacking()
        except UnsuitableDatabase as error:
            self._refuse(str(error))
            return False
        if lacking:
            raise Unavailable("postgres", f"the schema lacks {', '.join(lacking)}: run `heyday migrate`")
        reading = await self._resources.messages.read_clock()
        differs = abs((reading.now - reading.real_now).total_seconds()) > CLOCK_TOLERANCE or reading.rate != 1
        if differs and not self._rehearsal:
            self._refuse(
                f"the business clock of this database is not the real one (it says {reading.now.isoformat()}, the "
                f"real one {reading.real_now.isoformat()}, rate {reading.rate:g}): it belongs to a demo or a rehearsal"
            )
        return not self.refused.done()

    def _refuse(self, reason: str) -> None:
        if not self.refused.done():
            self.refused.set_exception(Refused(reason))
