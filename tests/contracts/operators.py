"""Calls of the ports `Holds`, `Limits` and `Suppressions`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from service.domain.limits import LimitChange, LimitName
from service.domain.suppressions import NewSuppression, SuppressionReason, address_hash
from service.ports import AddedSuppression
from tests.contracts.chance import ADDRESSES, Chance
from tests.contracts.sides import Sides
from tests.principals import OPERATOR


class Operators:
    """Makes these calls."""

    def __init__(self, sides: Sides, chance: Chance) -> None:
        self._sides = sides
        self._random = chance.random
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.hold: 3,
            self.release: 5,
            self.suppress: 2,
            self.allow: 2,
            self.limit: 2,
        }

    async def hold(self) -> None:
        occasion = self._random.choice([None, "birthday", "anniversary", "name_day"])
        lasts = self._random.choice([None, timedelta(seconds=1), timedelta(minutes=30), timedelta(hours=4)])
        until = None
        if lasts is None and self._random.random() < 0.5:
            until = self._sides.at + timedelta(minutes=self._random.choice([-1, 0, 1, 90]))
        await self._sides.ask(
            f"hold {occasion} until {until} for {lasts}",
            lambda side: side.holds.create(occasion=occasion, reason="a test", by=OPERATOR, until=until, lasts=lasts),
            users=lambda hold: [hold.id],
        )

    async def limit(self) -> None:
        name = self._random.choice(list(LimitName))
        value = self._random.choice([None, None, "1", "2"])

        def without_versions(changes: list[LimitChange]) -> list[LimitChange]:
            return [replace(one, version=0) for one in changes]

        await self._sides.ask(
            f"limit {name} to {value}",
            lambda side: side.limits.change({name: value}, by=OPERATOR),
            comparable=without_versions,
        )

    async def suppress(self) -> None:
        given = [
            NewSuppression(f"Ada{number}@example.com", self._random.choice(list(SuppressionReason)), "a test")
            for number in self._random.choices(range(ADDRESSES), k=self._random.randint(1, 3))
        ]

        def new(added: list[AddedSuppression]) -> list[UUID]:
            rows = [one.suppression for one in added if one.new]
            return [row.id for row in sorted(rows, key=lambda row: (address_hash(row.email or ""), row.reason))]

        await self._sides.ask(f"suppress {given}", lambda side: side.suppressions.add(given, by=OPERATOR), users=new)

    async def allow(self) -> None:
        every = sorted(row.id for row in self._sides.truth.suppressions.values())
        one = self._random.choice([UUID(int=0xDEAD), *every])
        await self._sides.ask(f"allow {one}", lambda side: side.suppressions.remove(one, by=OPERATOR))
        email, reason = f"ada{self._random.randrange(ADDRESSES)}@example.com", SuppressionReason.BOUNCE
        wanted = self._random.choice([(None, None, None), (email, None, None), (None, reason, None), (None, None, one)])
        await self._sides.ask(
            f"suppressions {wanted}",
            lambda side: side.suppressions.page(email=wanted[0], reason=wanted[1], after=wanted[2], limit=3),
        )

    async def release(self) -> None:
        every = sorted(self._sides.truth.holds)
        ids = self._random.sample(every, min(len(every), self._random.choice([1, 1, 2, 100])))
        await self._sides.ask(f"release {ids}", lambda side: side.holds.release(ids, by=OPERATOR))
        await self._sides.ask("active holds", lambda side: side.holds.active())
        after = self._random.choice([None, *every])
        await self._sides.ask(f"holds after {after}", lambda side: side.holds.page(after=after, limit=3))
