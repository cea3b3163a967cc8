"""What every kind of call draws: somebody, some messages, a node, a release of the zone data."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from uuid import UUID

from service.domain.messages import UNSENT, Status
from tests.contracts.sides import RELEASES, Sides
from tests.fakes.rows import MessageRow


class Chance:
    """Draws from a seed and from the rows of the fake, which are those of PostgreSQL."""

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
        """Mostly of a node that lives."""
        nodes = self._sides.truth.nodes
        living = [number for number, row in nodes.items() if not row.ended]
        return self.random.choice(living or [1]) if self.random.random() < 0.9 else self.random.choice([*nodes, 99])

    def rows(self, *statuses: Status) -> list[MessageRow]:
        rows = self._sides.truth.messages.values()
        found = [row for row in rows if row.status in statuses]
        return sorted(found, key=place)

    def some(self, *statuses: Status, most: int = 4) -> list[UUID]:
        """Ids of some messages in these states, and of a few in any, and of none."""
        rows = self.rows(*statuses)
        ids = [row.id for row in self.random.sample(rows, min(most, len(rows)))]
        others = [row.id for row in self.rows(*Status)]
        strange: Iterable[UUID] = [*self.random.sample(others, min(2, len(others))), UUID(int=0xDEAD)]
        return list(dict.fromkeys([*ids, *(one for one in strange if self.random.random() < 0.3)]))


def place(row: MessageRow) -> tuple[UUID, str, int]:
    """What a message is known by, the same in every run: its own id is not."""
    return row.user_id, row.occasion, row.local_year
