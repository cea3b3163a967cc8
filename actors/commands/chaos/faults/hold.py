"""Sending is held in the middle of the wave, and released."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, ClassVar

import aiohttp

from actors.commands.chaos.faults.fault import Fault, NoEffect

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment

HELD_WITHIN = timedelta(seconds=1)
"""The longest time from a hold to the last call that may begin."""

RECORDED_WITHIN = 1.0
"""Seconds from the end of a call to its record."""


class Hold(Fault):
    """Everything is held by one node's API, and released by another's."""

    name: ClassVar[str] = "hold"
    does: ClassVar[str] = "hold all sending for some seconds, then release it"
    recovery: ClassVar[str] = "no call began while sending was held, and a greeting is accepted after the release"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._held: tuple[datetime, datetime] | None = None

    async def inject(self, environment: Environment) -> str:
        first, *_, last = (slot.url for slot in environment.fleet.slots * 2)
        seconds = self.seconds(3.0, 8.0)
        made = await _post(f"{first}/api/v1/holds", {"reason": "heyday chaos"})
        try:
            await asyncio.sleep(seconds)
            if not await environment.waiting():
                raise NoEffect("no message was due that could be held")
        finally:
            released = await _post(f"{last}/api/v1/holds/{made['id']}:release")
        begin = datetime.fromisoformat(made["createdAt"]) + HELD_WITHIN
        self._held = begin, datetime.fromisoformat(released["releasedAt"])
        return f"everything, for {seconds:.1f} s"

    async def cleanup(self, environment: Environment) -> None:
        """Look for calls that began while sending was held. A call is on record when it has ended."""
        if self._held is None:
            return
        await asyncio.sleep(environment.settings.email_timeout.total_seconds() + RECORDED_WITHIN)
        if calls := await environment.calls_between(*self._held):
            self.problems.append(f"{calls} calls began while sending was held")


async def _post(url: str, body: dict[str, str] | None = None) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        response.raise_for_status()
        answer: dict[str, str] = await response.json()
        return answer
