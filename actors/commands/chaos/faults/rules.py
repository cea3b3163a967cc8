"""A rule of the calendar changes while messages wait: a rolling restart with another hour of sending."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

import aiohttp

from actors.commands.chaos.faults.fault import Fault
from actors.commands.chaos.wave import BORN, sign_up_people
from service.domain.calendar import occurrence
from service.domain.zones import zone, zone_names

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment

BEYOND = (timedelta(minutes=5), timedelta(minutes=100))
"""Time from the end of the planned range to the instants of the newcomers under the old rule."""

AHEAD = timedelta(minutes=15)
"""Least time from those instants under the new rule to the end of the planned range."""

NEWCOMERS = 20
"""Users who sign up for the fault."""


class ChangeRules(Fault):
    """The hour of sending moves earlier, in every node, one after another.

    Some users have an instant just beyond the planned range under the old rule, and within it under the new rule. Each
    must get a message. Unsent messages of the wave are sent once.
    """

    name: ClassVar[str] = "change-rules"
    does: ClassVar[str] = "restart every node in turn with an earlier HEYDAY_SEND_AT, then with the old one again"
    takes: ClassVar[float] = 40.0
    recovery: ClassVar[str] = (
        "users whose instant moved into the planned range have a message, and a greeting is accepted"
    )

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._newcomers: list[UUID] = []

    async def inject(self, environment: Environment) -> str:
        send_at = environment.settings.send_at
        planned = await environment.planned_until()
        zones, shift = newcomers_beyond(planned, send_at)
        async with aiohttp.ClientSession(environment.fleet.slots[0].url) as session:
            self._newcomers = await sign_up_people(session, self._people(zones, environment))
        earlier = (datetime.combine(datetime(2000, 1, 2, tzinfo=UTC), send_at) - shift).time()
        await restart_all(self, environment, {"HEYDAY_SEND_AT": earlier.isoformat()})
        return f"from {send_at:%H:%M} to {earlier:%H:%M}"

    async def recovered(self, environment: Environment, ended_at: float) -> bool:
        return await environment.all_planned(self._newcomers) and await environment.greeted_since(ended_at)

    async def cleanup(self, environment: Environment) -> None:
        await restart_all(self, environment, {})

    def _people(self, zones: dict[str, datetime], environment: Environment) -> list[dict[str, str]]:
        names = sorted(zones)
        people = []
        for number in range(NEWCOMERS):
            timezone = names[number % len(names)]
            day = zones[timezone].astimezone(zone(timezone)).date()
            people.append(
                {
                    "firstName": "Newcomer",
                    "lastName": f"No {number + 1}",
                    "email": f"newcomer.{environment.next_number()}@example.com",
                    "timezone": timezone,
                    "birthdayDate": day.replace(year=BORN).isoformat(),
                }
            )
        return people


def newcomers_beyond(planned_until: datetime, send_at: time) -> tuple[dict[str, datetime], timedelta]:
    """Zones in which `send_at` comes soon after the planned range, each with that instant, and how far to move it."""
    found: dict[str, datetime] = {}
    for name in zone_names():
        if name == "Factory":
            continue
        day = (planned_until + BEYOND[0]).astimezone(zone(name)).date()
        for date in (day, day + timedelta(days=1)):
            instant = occurrence(date.replace(year=BORN), name, date.year, at=send_at).send_at
            if instant is not None and BEYOND[0] <= instant - planned_until <= BEYOND[1]:
                found[name] = instant
    last = max(found.values())
    return found, timedelta(minutes=-(-(last - planned_until + AHEAD) // timedelta(minutes=1)))


async def restart_all(fault: Fault, environment: Environment, settings: dict[str, str]) -> None:
    """Drain each node and start it with these settings beside its own, one after another, as a deployment does."""
    for slot in environment.fleet.slots:
        gone = slot.node_id
        if not await slot.drain(within=environment.drain_timeout):
            fault.problems.append(f"{gone} did not end in order")
        slot.start(settings=settings)
        await slot.ready()
