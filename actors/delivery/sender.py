"""Claims the messages of a bundle, many in one statement, and sends each with a bound on how many are on the wire."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from actors.delivery.recorder import Acknowledge, Parcel, Record
from actors.delivery.wire import Wire
from actors.facts import Fact, Witness
from actors.lease import Lease, LeaseLost
from actors.repeating import Backoff
from actors.runtime import Actor, Address, Context
from service.domain.messages import Answer, Outcome, Status
from service.domain.occasions import InvalidOccasion, render
from service.domain.retry import RetryPolicy, Verdict, verdict
from service.outages import Outages
from service.ports import (
    AcceptedKeys,
    CircuitOpen,
    Claimed,
    Delivery,
    EmailService,
    Greeting,
    Messages,
    RateLimit,
    Result,
    Unavailable,
)
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing

log = structlog.get_logger(__name__)


CLAIM_AHEAD = 1.0
"""Seconds for which a claimed message may wait for its turn under the rate limit. What waits longer is claimed later:
a drain must not leave it half-way, nor recovery take it for lost."""

CLAIM_EARLY = 0.25
"""Seconds before the first turn at which a claim is begun, so that it is done when the turn comes."""


NOT_SENT = Verdict(Status.RETRYING)
"""What follows when no attempt was made: the message is due again, and none is spent."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send what is ours of this delivery."""

    delivery: Delivery


class Sender(Actor[Deliver]):
    """One of a pool over one mailbox. It goes on to the next bundle as soon as its messages are on the wire, so one
    call that hangs holds up nothing but its own place."""

    def __init__(
        self,
        messages: Messages,
        accepted: AcceptedKeys,
        email: EmailService,
        rate: RateLimit,
        recorder: Address[Record | Acknowledge],
        *,
        lease: Lease,
        policy: RetryPolicy,
        wire: Wire,
        outages: Outages,
        metrics: Metrics,
        witness: Witness,
        tracing: Tracing = OFF,
    ) -> None:
        self._messages = messages
        self._accepted = accepted
        self._email = email
        self._rate = rate
        self._recorder = recorder
        self._lease = lease
        self._policy = policy
        self._wire = wire
        self._outages = outages
        self._metrics = metrics
        self._witness = witness
        self._tracing = tracing

    async def start(self, ctx: Context[Deliver]) -> None:
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()

    async def receive(self, message: Deliver) -> None:
        parcel = Parcel(message.delivery, len(message.delivery.ids), self._ctx.name)
        try:
            with self._tracing.deliver(published_by=message.delivery.traceparent) as span:
                parcel.trace_id = span.trace_id
                span.carried(1, messages=parcel.left)
                await self._deliver(parcel)
        except Exception:
            # A bug, and this delivery may be what brings it out. Kept, it would count against the prefetch for ever;
            # given back, it would come at once and crash the next. The rows bring up later what of it was not sent.
            parcel.left = -1  # not acknowledged once more by the last of those on the wire
            await self._recorder.tell(Acknowledge(message.delivery))
            raise

    async def _deliver(self, parcel: Parcel) -> None:
        delivery = parcel.delivery
        waits = await self._rate.reserve(len(delivery.ids))
        began = self._loop.time()
        turns = [began + wait for wait in waits]
        for part in _parts(waits, self._wire.most):
            ids = delivery.ids[part]
            if part.start and self._ctx.draining:
                return  # the rest is left to others, as below
            if not await self._wait_for(turns[part.start] - CLAIM_EARLY) or (claimed := await self._claim(ids)) is None:
                # This node is leaving. What is not acknowledged is delivered to another.
                return
            self._metrics.suppressed.labels("row").inc(len(ids) - len(claimed))
            parcel.left -= len(ids) - len(claimed)
            if claimed:
                self._witness(Fact.CLAIMED)
                await self._send_all(claimed, turns[part], parcel)
            elif parcel.left == 0:
                await self._recorder.tell(Acknowledge(delivery))

    async def _wait_for(self, turn: float) -> bool:
        """Wait until that second of the loop's clock; False when the actor has to finish before it."""
        while (left := turn - self._loop.time()) > 0:
            if self._ctx.draining:
                return False
            await asyncio.sleep(min(left, 0.5))
        return True

    async def _claim(self, ids: Sequence[UUID]) -> list[Claimed] | None:
        """Claim until the database has answered and the lease is held; None when this node leaves before that.
        Each message that is returned is to be released from the wire."""
        backoff = Backoff()
        await self._wire.reserve(len(ids))
        claimed: list[Claimed] = []
        try:
            while True:
                try:
                    claimed = await self._claim_what_can_be(ids)
                except Unavailable as error:
                    self._outages.met(self._ctx.name, error)
                    if self._ctx.draining:
                        return None
                    await asyncio.sleep(backoff.failed())
                except LeaseLost:
                    if self._ctx.draining:
                        return None
                    await self._lease.granted(within=1.0)
                else:
                    self._outages.passed(self._ctx.name)
                    return claimed
        finally:
            self._wire.release(len(ids) - len(claimed))

    async def _claim_what_can_be(self, ids: Sequence[UUID]) -> list[Claimed]:
        """Claim them together. Where one of them makes that fail, and it is no outage, each is claimed by itself: a row
        that nobody can claim holds up no other, and is in the log."""
        incarnation = self._lease.incarnation
        try:
            return await self._messages.claim_for_sending(ids, incarnation=incarnation)
        except Unavailable:
            raise
        except Exception as error:
            log.error("bundle_not_claimed", messages=len(ids), error=type(error).__name__)  # noqa: TRY400 - it may quote rows
        claimed: list[Claimed] = []
        for message in ids:
            try:
                claimed += await self._messages.claim_for_sending([message], incarnation=incarnation)
            except Unavailable:
                break  # recovery finds the rest; what is claimed is to be sent
            except Exception as error:
                log.error("message_not_claimed", message=str(message), error=type(error).__name__)  # noqa: TRY400 - as above
        return claimed

    async def _send_all(self, claimed: list[Claimed], turns: list[float], parcel: Parcel) -> None:
        """Give each its place on the wire, at its turn. Those that never come there are released here."""
        waiting = len(claimed)
        try:
            accepted = await self._accepted_before(claimed)
            for one, turn in zip(claimed, turns, strict=False):
                if one.claim.id in accepted:
                    await self._already_accepted(one, parcel)
                elif await self._put_on_the_wire(one, turn, parcel):
                    waiting -= 1
                else:
                    await self._report(one, parcel, None, NOT_SENT, self._loop.time())
        finally:
            self._wire.release(waiting)

    async def _put_on_the_wire(self, claimed: Claimed, turn: float, parcel: Parcel) -> bool:
        """Begin the attempt once there is a place for it; False if its turn is too far away."""
        await self._wire.places.acquire()
        begun = False
        try:
            if begun := await self._its_turn(turn):
                self._ctx.spawn(self._send(claimed, parcel), name="send", isolated=True)
        finally:
            if not begun:
                self._wire.places.release()
        return begun

    async def _its_turn(self, turn: float) -> bool:
        """Wait until that second of the loop's clock. Whoever comes too late takes another turn; False when that is so
        far away that the claim is better given up."""
        if self._loop.time() - turn > self._rate.grace:
            (wait,) = await self._rate.reserve(1)
            if wait > CLAIM_AHEAD:
                return False
            turn = self._loop.time() + wait
        if (wait := turn - self._loop.time()) > 0:
            await asyncio.sleep(wait)
        return True

    async def _accepted_before(self, claimed: list[Claimed]) -> set[object]:
        """Those that the service has accepted although the row does not say so: its node died in between."""
        again = [(one.claim.id, one.send_at.date()) for one in claimed]
        try:
            return set(await self._accepted.accepted(again))
        except Unavailable as error:
            # The keys only narrow a window; the claim has decided.
            log.debug("accepted_keys_not_looked_up", reason=error.reason)
            return set()

    async def _already_accepted(self, claimed: Claimed, parcel: Parcel) -> None:
        self._metrics.suppressed.labels("dedupe").inc()
        answer = Answer(Outcome.ACCEPTED, 0.0, error="accepted by an earlier attempt", called=False)
        await self._report(claimed, parcel, answer, Verdict(Status.SENT), self._loop.time())

    async def _send(self, claimed: Claimed, parcel: Parcel) -> None:
        """Make the attempt and report it. Cancelled half-way it reports nothing: then nobody knows the outcome."""
        began = self._loop.time()
        bug: Exception | None = None
        answer: Answer | None = None
        try:
            # Under the number that claimed it: a node that was ended, and has begun anew, may not send what it claimed
            # before.
            if self._lease.holds(claimed.claim.incarnation):
                answer = await self._attempt(claimed)
        except CircuitOpen:
            pass  # nothing was sent, and no attempt is spent
        except Exception as error:
            bug = error
            answer = Answer(Outcome.UNKNOWN, self._loop.time() - began, error="internal error")
        finally:
            self._wire.places.release()
            self._wire.release()
        follows = NOT_SENT if answer is None else verdict(answer, claimed.attempts_spent, self._policy, random.random)
        await self._report(claimed, parcel, answer, follows, began)
        if bug is not None:
            raise bug

    async def _attempt(self, claimed: Claimed) -> Answer:
        try:
            text = render(claimed.template, claimed.first_name, claimed.last_name)
        except InvalidOccasion as error:
            return Answer(Outcome.REFUSED, 0.0, error=f"the text cannot be made: {error}", called=False)
        claim = claimed.claim
        with self._tracing.attempt(claim.id, occasion=claimed.occasion, number=claim.attempt) as span:
            # Asked again after a wait for the circuit: the lease may be over by then, and the message another node's.
            answer = await self._email.send(
                Greeting(claim.id, claimed.email, text, span.traceparent),
                allowed=lambda: self._lease.holds(claim.incarnation),
            )
            span.answered(answer)
        self._witness(Fact.ANSWERED)
        return answer

    async def _report(
        self, claimed: Claimed, parcel: Parcel, answer: Answer | None, follows: Verdict, began: float
    ) -> None:
        result = Result(claimed.claim, follows.status, answer, began, follows.delay)
        await self._recorder.tell(Record(claimed, result, parcel))


def _parts(waits: list[float], most: int) -> Iterator[slice]:
    """The places of a delivery cut into parts of at most so many, whose turns come within `CLAIM_AHEAD` seconds."""
    start = 0
    for place, wait in enumerate(waits):
        if place - start == most or wait > waits[start] + CLAIM_AHEAD:
            yield slice(start, place)
            start = place
    yield slice(start, len(waits))
