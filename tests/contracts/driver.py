"""Draws calls of PostgreSQL's ports from a seed: those of nodes, users and clocks, and unusual ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random

from service.domain.messages import Status
from service.ports import NodeBeat
from tests.contracts.chance import Chance
from tests.contracts.operators import Operators
from tests.contracts.people import People
from tests.contracts.planners import Planners
from tests.contracts.senders import Senders
from tests.contracts.sides import Sides

BEGINS = (
    datetime(2027, 2, 26, 3, tzinfo=UTC),
    datetime(2026, 12, 30, 22, 15, tzinfo=UTC),
    datetime(2028, 2, 27, 12, tzinfo=UTC),
    datetime(2027, 3, 27, 9, tzinfo=UTC),
)
"""Before a 28 February, a New Year, a 29 February, and a change to summer time."""


class Driver:
    """Makes one call after another; its state is in the rows of the fake and in its claims."""

    def __init__(self, sides: Sides, random: Random) -> None:
        self._sides = sides
        self._random = random
        self._chance = Chance(sides, random)
        self._beats: list[NodeBeat] = []
        self._people = People(sides, self._chance)
        self._planners = Planners(sides, self._chance)
        self._senders = Senders(sides, self._chance)
        self._steps: dict[Callable[[], Awaitable[None]], int] = {
            **self._people.steps,
            **self._planners.steps,
            **self._senders.steps,
            **Operators(sides, self._chance).steps,
            self.move_clock: 12,
            self.set_clock_back: 5,
            self.enter: 3,
            self.beat: 3,
            self.end: 3,
            self.leave: 1,
        }

    async def begin(self) -> None:
        """Create a few nodes and users, and plan their messages."""
        for _ in range(2):
            await self.enter()
        for _ in range(4):
            await self._people.create_many()
        await self._planners.announce()

    async def step(self) -> None:
        """Make one call, or a few that belong together."""
        [step] = self._random.choices(list(self._steps), weights=list(self._steps.values()))
        await step()

    async def move_clock(self) -> None:
        at, due = self._sides.at, sorted(row.due_at for row in self._chance.rows(Status.SCHEDULED, Status.RETRYING))
        ahead = [instant for instant in due if instant > at]
        choices = [
            at + timedelta(seconds=self._random.choice([0.25, 1, 10])),
            at + timedelta(minutes=self._random.randint(1, 90)),
            at + timedelta(hours=self._random.randint(1, 8)),
            *(self._random.choice(ahead) for _ in range(4) if ahead),
            *(ahead[:1] * 6),
        ]
        if self._random.random() < 0.1:
            choices = [at + timedelta(days=self._random.randint(1, 3))]
        await self._sides.set_clock(self._random.choice(choices))

    async def set_clock_back(self) -> None:
        back = self._random.choice([timedelta(seconds=1), timedelta(seconds=2), timedelta(hours=1), timedelta(hours=5)])
        await self._sides.set_clock(self._sides.at - back)
        if self._random.random() < 0.5:  # messages queued or claimed in the future are looked for
            await self._senders.requeue_lost()
            await self._senders.sending_for()

    async def enter(self) -> None:
        name, release = self._random.choice("abc"), self._chance.release()
        await self._sides.ask(f"enter {name} with {release}", lambda side: side.nodes.enter(name), release=release)

    async def beat(self) -> None:
        incarnation = self._chance.incarnation()
        await self._sides.ask(f"beat {incarnation}", lambda side: side.nodes.beat(incarnation))
        self._beats += await self._sides.ask("living", lambda side: side.nodes.living()) or []

    async def end(self) -> None:
        if self._beats:
            seen = self._random.choice(self._beats)
            await self._sides.ask(f"end {seen}", lambda side: side.nodes.end(seen))

    async def leave(self) -> None:
        incarnation = self._chance.incarnation()
        await self._sides.ask(f"leave {incarnation}", lambda side: side.nodes.leave(incarnation))
