"""Random choices for the calls: a user, messages, a node, a release of the time zone data."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from uuid import UUID

from service.domain.messages import UNSENT, Status
from tests.contracts.sides import RELEASES, Sides
from tests.fakes.rows import MessageRow

ADDRESSES = 20
"""Addresses of users: few enough that some are taken."""


class Chance:
    """Draws from a seed and from the rows of the fake, which equal those of PostgreSQL."""

    def __init__(self, sides: Sides, random: Random) -> None:
        self._sides = sides
        self.random = random

    def release(self) -> str:
        return self.random.choices(RELEASES, weights=[6, 2, 1])[0]

    def user(self) -> UUID:
        if self.random.random() < 0.03:
            return UUID(int=0xDEAD)
        on_the_wire = [row.user_id for row in self.rows(Status.SENDING)]
        on_its_way = [row.user_id for row in self.rows(*UNSENT)]
        anybody = sorted(self._sides.truth.users)
        users = self.random.choice([on_the_wire, on_the_wire, on_its_way, anybody])
        return self.random.choice(users or anybody)

    def incarnation(self) -> int:
        """Return an incarnation, mostly of a living node."""
        nodes = self._sides.truth.nodes
        living = [number for number, row in nodes.items() if not row.ended]
        return self.random.choice(living or [1]) if self.random.random() < 0.9 else self.random.choice([*nodes, 99])

    def rows(self, *statuses: Status) -> list[MessageRow]:
        rows = self._sides.truth.messages.values()
        found = [row for row in rows if row.status in statuses]
        return sorted(found, key=place)

    def some(self, *statuses: Status, most: int = 4) -> list[UUID]:
        """Return ids of messages in these states, of a few in any state, and some unknown ids."""
        rows = self.rows(*statuses)
        ids = [row.id for row in self.random.sample(rows, min(most, len(rows)))]
        others = [row.id for row in self.rows(*Status)]
        strange: Iterable[UUID] = [*self.random.sample(others, min(2, len(others))), UUID(int=0xDEAD)]
        return list(dict.fromkeys([*ids, *(one for one in strange if self.random.random() < 0.3)]))


def place(row: MessageRow) -> tuple[UUID, str, int]:
    """Return a key of a message that is the same in every run, unlike its id."""
    return row.user_id, row.occasion, row.local_year
