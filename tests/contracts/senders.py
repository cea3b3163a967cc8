"""Calls of the port `Messages`: claims, attempts, what became of them, and what is freed, taken back and redriven."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from service.domain.messages import Answer, Outcome, Status
from service.ports import Claim, Claimed, Due, Pulse, Recorded, Result
from tests.contracts.chance import Chance, place
from tests.contracts.sides import LATE_LIMIT, Sides

OUTCOMES: tuple[tuple[Status, Outcome | None, int | None, str | None], ...] = (
    (Status.SENT, Outcome.ACCEPTED, 200, None),
    (Status.SENT, Outcome.ACCEPTED, 202, None),
    (Status.FAILED, Outcome.REFUSED, 422, "refused"),
    (Status.RETRYING, Outcome.REJECTED, 503, "busy"),
    (Status.RETRYING, Outcome.REJECTED, None, "no connection"),
    (Status.FAILED, Outcome.REJECTED, 500, "its attempts are spent"),
    (Status.RETRYING, Outcome.UNKNOWN, None, "no answer in time"),
    (Status.UNKNOWN, Outcome.UNKNOWN, None, "no answer in time"),
    (Status.RETRYING, None, None, None),
)
"""What becomes of a claim: the state to move to, the outcome (None: no attempt was made), its status code and error."""


class Senders:
    """Makes them."""

    def __init__(self, sides: Sides, chance: Chance) -> None:
        self._sides = sides
        self._chance = chance
        self._random = chance.random
        self._fence = 1
        self._claims: list[Claim] = []
        """Every claim that was given, also those that were lost."""
        self._stuck: list[tuple[UUID, int]] = []
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.claim_due: 16,
            self.claim_for_sending: 18,
            self.record: 14,
            self.take_back: 4,
            self.take_back_claim: 2,
            self.take_back_lost: 2,
            self.sending_for: 3,
            self.free_claims: 5,
            self.bury: 3,
            self.redrive: 4,
            self.count: 4,
        }

    async def claim_due(self) -> None:
        self._fence = max(1, self._fence + self._random.choice([0, 0, 0, 0, 1, -1]))
        fence, incarnation = self._fence, self._chance.incarnation()
        due_at = {row.id: row.due_at for row in self._sides.truth.messages.values()}
        limit = self._whole_groups(self._random.choice([0, 1, 2, 5, 100]))
        late_limit = self._random.choice([LATE_LIMIT, timedelta(hours=36), timedelta(hours=2), timedelta(minutes=90)])

        def comparable(due: Due) -> object:
            # Those due at one instant have no order.
            expired = [moved.id for moved in due.expired]
            ids_only = [(sorted(ids), [due_at[message] for message in ids]) for ids in (due.queued, expired)]
            return ids_only, {(moved.id, moved.status, moved.occasion, moved.attempt) for moved in due.expired}

        await self._sides.ask(
            f"claim_due up to {limit} by {incarnation} with fence {fence}, late after {late_limit}",
            lambda side: side.messages.claim_due(
                fence=fence, incarnation=incarnation, limit=limit, late_limit=late_limit
            ),
            comparable=comparable,
        )

    async def take_back(self) -> None:
        ids, incarnation = self._chance.some(Status.QUEUED), self._chance.incarnation()
        await self._sides.ask(
            f"take_back {ids} of {incarnation}",
            lambda side: side.messages.take_back(ids, incarnation=incarnation),
        )

    async def take_back_claim(self) -> None:
        incarnation = self._chance.incarnation()
        await self._sides.ask(
            f"take_back_claim of {incarnation}", lambda side: side.messages.take_back_claim(incarnation=incarnation)
        )

    async def take_back_lost(self) -> None:
        queued_for = timedelta(seconds=self._random.choice([0, 30, 600]))
        await self._sides.ask(
            f"take_back_lost, queued for {queued_for}",
            lambda side: side.messages.take_back_lost(queued_for=queued_for),
        )

    async def claim_for_sending(self) -> None:
        ids, incarnation = self._chance.some(Status.QUEUED, most=10), self._chance.incarnation()

        def comparable(claimed: list[Claimed]) -> object:
            return sorted(claimed, key=lambda one: one.claim.id)

        claimed = await self._sides.ask(
            f"claim_for_sending {ids} by {incarnation}",
            lambda side: side.messages.claim_for_sending(ids, incarnation=incarnation),
            comparable=comparable,
        )
        self._claims += [one.claim for one in claimed or []]

    async def record(self) -> None:
        at = 1000.0
        mine = {claim: self._result(claim, at) for claim in self._some_claims()}
        results = list(mine.values())
        self._random.shuffle(results)

        def comparable(recorded: list[Recorded]) -> object:
            return sorted(recorded, key=lambda one: one.id)

        await self._sides.ask(
            f"record {results}", lambda side: side.messages.record(results, at=at), comparable=comparable
        )

    async def sending_for(self) -> None:
        seconds = self._random.choice([0.0, 15.0, 300.0])
        found = await self._sides.ask(f"sending_for {seconds} s", lambda side: side.messages.sending_for(seconds))
        rows = self._sides.truth.messages
        self._stuck += sorted(found or set(), key=lambda stuck: place(rows[stuck[0]]))

    async def free_claims(self) -> None:
        stuck = {one for one in self._stuck if self._random.random() < 0.5}
        stuck |= {(claim.id, claim.attempt) for claim in self._some_claims() if self._random.random() < 0.2}
        # Found stuck a while ago, when another attempt was under way.
        sending = self._chance.rows(Status.SENDING)
        stuck |= {(row.id, row.attempt - 1) for row in sending if self._random.random() < 0.3}
        hold, attempts = self._random.random() < 0.3, self._random.choice([1, 2, 3, 10])
        await self._sides.ask(
            f"free_claims of {stuck}, hold: {hold}, after {attempts} attempts",
            lambda side: side.messages.free_claims(stuck, hold=hold, attempts=attempts),
            comparable=lambda freed: sorted(freed, key=lambda moved: moved.id),
        )

    async def bury(self) -> None:
        await self._sides.ask("unburied", lambda side: side.messages.unburied())
        ids = self._chance.some(Status.FAILED)
        await self._sides.ask(f"buried {ids}", lambda side: side.messages.buried(ids))

    async def redrive(self) -> None:
        ids = self._chance.some(Status.FAILED, Status.UNKNOWN, Status.EXPIRED)
        await self._sides.ask(f"redrive {ids}", lambda side: side.messages.redrive(ids), comparable=sorted)

    async def count(self) -> None:
        limit = self._random.choice([0, 2, 1000])

        def comparable(pulse: Pulse) -> object:
            return pulse.now, pulse.rate, pulse.next_due

        await self._sides.ask("pulse", lambda side: side.messages.pulse(), comparable=comparable)
        await self._sides.ask(f"outstanding up to {limit}", lambda side: side.messages.outstanding(limit))
        await self._sides.ask("open_by_status", lambda side: side.messages.open_by_status())
        await self._sides.ask(
            "oldest_due_age",
            lambda side: side.messages.oldest_due_age(),
            comparable=lambda age: None if self._queued_first() > 1 else age,
        )

    def _some_claims(self) -> list[Claim]:
        """Some claims under way, and perhaps one that was lost long ago."""
        rows = self._sides.truth.messages
        open_claims = [
            claim
            for claim in self._claims
            if claim.id in rows and rows[claim.id].status is Status.SENDING and rows[claim.id].attempt == claim.attempt
        ]
        mine = self._random.sample(open_claims, self._random.randint(0, len(open_claims)))
        late = self._random.sample(self._claims, min(1, len(self._claims))) if self._random.random() < 0.3 else []
        return list(dict.fromkeys([*mine, *late]))

    def _result(self, claim: Claim, at: float) -> Result:
        status, outcome, status_code, error = self._random.choice(OUTCOMES)
        duration = self._random.choice([0.25, 1.5, 10.0])
        answer = None if outcome is None else Answer(outcome, duration, status_code, error)
        delay = timedelta(seconds=self._random.choice([0, 1, 60, 3600])) if status is Status.RETRYING else timedelta()
        return Result(claim, status, answer, at - duration - self._random.choice([0.0, 0.5]), delay)

    def _queued_first(self) -> int:
        """Of how many instants those are that were queued first together: which of them counts is open."""
        queued = self._chance.rows(Status.QUEUED)
        first = min((row.queued_at for row in queued if row.queued_at), default=None)
        return len({row.due_at for row in queued if row.queued_at == first})

    def _whole_groups(self, limit: int) -> int:
        """A limit that does not cut through messages due at one instant: which of them it takes is open."""
        due = sorted(
            row.due_at for row in self._chance.rows(Status.SCHEDULED, Status.RETRYING) if row.due_at <= self._sides.at
        )
        while 0 < limit < len(due) and due[limit - 1] == due[limit]:
            limit += 1
        return limit
