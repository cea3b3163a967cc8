"""Claims the messages of a bundle in one statement, and calls the email service for each, within the node's limits."""

from __future__ import annotations

import asyncio
import math
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from actors.context import NodeContext
from actors.delivery.permits import Permits
from actors.delivery.result_writer import Acknowledge, Flush, InFlightDelivery, Record
from actors.delivery.turns import Turns
from actors.failpoints import Failpoint
from actors.periodic import OutageBackoff
from actors.runtime import Actor, Address, Context, StrayCancellation
from service.domain.messages import Answer, EmailServiceName, Outcome, Status
from service.domain.retry import NextStep, may_call, next_step
from service.domain.texts import InvalidText, render
from service.node.email_services import NOT_SENT, EmailPath, EmailServices
from service.node.lease import LeaseLost
from service.ports import (
    AcceptedKeys,
    CircuitOpen,
    Claimed,
    Claims,
    Delivery,
    Greeting,
    Messages,
    Result,
    Unavailable,
)
from service.ports.messages import HELD as LEFT_OUT_HELD

log = structlog.get_logger(__name__)


CLAIM_AHEAD = 1.0
"""Seconds that a claimed message may wait for its turn under the rate limit.

A message that would wait longer is claimed later. Otherwise a drain could leave it unfinished, or recovery could take
it for lost.
"""

CLAIM_EARLY = 0.25
"""A claim begins this many seconds before the first turn, so that it is done in time."""

GIVE_BACK_TIMEOUT = 2.0
"""Seconds in which a draining node tries to return a claim whose answer was lost."""

HOLD_CHECK_INTERVAL = 0.5
"""Seconds between two checks that this node still has a claimed message which waits for a reading of the holds."""

NOT_ATTEMPTED = "not attempted"

HELD = "not attempted: sending is held"

CIRCUIT_OPEN = "not attempted: the circuit of the email service is open"

KEPT_BY_SERVICE = "not attempted: it waits for the email service that may have taken it"

NO_SUCH_SERVICE = "not attempted: the fallback service may have taken it, and this node has no fallback service"

KEY_FORGOTTEN = "an earlier attempt has an unknown outcome, and the email service may have forgotten its key"


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send the messages of this delivery that this node can claim."""

    delivery: Delivery


class Sender(Actor[Deliver]):
    """One of a pool of senders that share a mailbox.

    It starts a task for each message of a bundle, and then takes the next bundle. So a call that hangs blocks only its
    own permit. `permits` has those of each email service that this node has.
    """

    def __init__(
        self,
        node: NodeContext,
        messages: Messages,
        accepted: AcceptedKeys,
        services: EmailServices,
        result_writer: Address[Record | Acknowledge | Flush],
        *,
        late_limit: timedelta | None = None,
        permits: Mapping[EmailServiceName, Permits],
    ) -> None:
        self._messages = messages
        self._accepted = accepted
        self._services = services
        self._result_writer = result_writer
        self._lease = node.lease
        self._holds = node.holds
        self._late_limit = late_limit
        self._permits = permits
        self._outages = node.outages
        self._metrics = node.metrics
        self._failpoint = node.failpoint
        self._tracing = node.tracing

    async def start(self, ctx: Context[Deliver]) -> None:
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Wait for no server any more: the next instance may get no bundle for hours."""
        self._outages.passed(self._ctx.name)

    async def receive(self, message: Deliver) -> None:
        in_flight = InFlightDelivery(message.delivery, len(message.delivery.ids), self._ctx.name)
        try:
            with self._tracing.deliver(published_by=message.delivery.traceparent) as span:
                in_flight.trace_id = span.trace_id
                span.carried(1, messages=in_flight.left)
                await self._deliver(in_flight)
        except Exception:
            # This is a bug, and the delivery may be its cause. If it were kept, it would count against the prefetch for
            # ever. If it were given back, it would return at once and crash the next instance. Recovery finds its
            # unsent messages in the rows.
            in_flight.left = -1  # so that the last of its calls does not acknowledge it again
            await self._result_writer.tell(Acknowledge(message.delivery))
            raise

    async def _deliver(self, in_flight: InFlightDelivery) -> None:
        """Claim and send in parts whose turns are close.

        A draining node does not acknowledge the delivery, so another node gets the rest.
        """
        left = ids = in_flight.delivery.ids
        while left:
            turns = await self._take_turns(left)
            done = 0
            for part in _parts(turns.at, self._permits[turns.service].largest_claim):
                if self._ctx.draining and left[part.start] is not ids[0]:
                    return
                if not await self._wait_for(turns.at[part.start] - CLAIM_EARLY, turns):
                    return
                if not self._are_valid(turns):
                    break
                part_turns = Turns(turns.service, turns.epoch, turns.at[part])
                if not await self._deliver_part(left[part], part_turns, in_flight):
                    return
                done = part.stop
            left = left[done:]

    async def _take_turns(self, ids: Sequence[UUID]) -> Turns:
        """Reserve only turns that come soon: before later ones come, the rate may change and make them void."""
        service = self._services.preferred
        rate = self._path(service).rate
        soon = rate.per_second * CLAIM_AHEAD
        count = len(ids) if soon >= len(ids) else max(1, int(soon))
        spare = self._permits[service].spare.take(count, epoch=rate.epoch, not_before=self._loop.time() - rate.grace)
        waits = await rate.reserve(count - len(spare), ahead=CLAIM_AHEAD) if len(spare) < count else []
        now = self._loop.time()
        return Turns(service, rate.epoch, [*spare, *(now + wait for wait in waits)])

    def _are_valid(self, turns: Turns) -> bool:
        """True while the service of these turns is the preferred one, and its rate was not lowered since."""
        return self._services.preferred is turns.service and self._path(turns.service).rate.epoch == turns.epoch

    def _path(self, service: EmailServiceName) -> EmailPath:
        path = self._services.path(service)
        assert path is not None  # noqa: S101 - asked for only where there is such a service
        return path

    async def _wait_for(self, turn: float, turns: Turns) -> bool:
        """Wait until that second of the loop's clock, or until the turns are void.

        Return False if the node drains first.
        """
        while (left := turn - self._loop.time()) > 0 and self._are_valid(turns):
            if self._ctx.draining:
                return False
            await asyncio.sleep(min(left, 0.5))
        return True

    async def _deliver_part(self, ids: Sequence[UUID], turns: Turns, in_flight: InFlightDelivery) -> bool:
        """Claim `ids`, and start a task for each message that was claimed. Return False if the node drains first."""
        permits = self._permits[turns.service]
        async with permits.claims(len(ids)) as permit:
            claimed = await self._claim(ids, in_flight)
            if claimed is None:
                return False
            claimed_at, holds_at = self._loop.time(), self._holds.now()
            permit.keep(len(claimed))
            self._count_left_out(claimed, dropped=len(ids) - len(claimed) - sum(claimed.left_out.values()))
            in_flight.left -= len(ids) - len(claimed)
            permits.spare.put(Turns(turns.service, turns.epoch, turns.at[len(claimed) :]))
            if not claimed:
                if in_flight.left == 0:
                    await self._result_writer.tell(Acknowledge(in_flight.delivery))
                return True
            self._failpoint(Failpoint.CLAIMED)
            accepted = await self._accepted_before(claimed)
            for one, turn in zip(claimed, turns.at, strict=False):
                path = self._services.path(one.claim.service)
                if one.claim.id in accepted:
                    await self._already_accepted(one, in_flight)
                elif path is None:
                    later = self._services.not_sent(one)
                    await self._report(one, in_flight, None, later, claimed_at, reason=NO_SUCH_SERVICE)
                elif not may_call(one.history, path.policy):
                    forgotten = NextStep(Status.UNKNOWN)
                    await self._report(one, in_flight, None, forgotten, claimed_at, reason=KEY_FORGOTTEN)
                else:
                    last_ago = one.history.last_ago
                    last_attempt = None if last_ago is None else claimed_at - last_ago
                    own = Turns(turns.service, turns.epoch, [turn])
                    if one.claim.service is not turns.service:
                        # The claim chose the other service. A turn that has passed lets `_its_turn` take one there.
                        own = Turns(one.claim.service, path.rate.epoch, [-math.inf])
                    sending = self._send(one, path, in_flight, own, last_attempt, holds_at)
                    permit.hand_to(self._ctx.spawn(sending, name="send", isolated=True))
            return True

    def _count_left_out(self, claimed: Claims, *, dropped: int) -> None:
        self._metrics.suppressed.labels("row").inc(dropped)
        for reason, count in claimed.left_out.items():
            if reason != LEFT_OUT_HELD:
                self._metrics.addresses_suppressed.labels(reason).inc(count)

    async def _claim(self, ids: Sequence[UUID], in_flight: InFlightDelivery) -> Claims | None:
        """Claim until the database has answered and the lease is held. Return None if the node drains before that.

        A repeated claim has the token of the first, whose answer may have been lost: it gets the same rows again.
        """
        backoff = OutageBackoff()
        token = secrets.randbits(63)
        while True:
            try:
                claimed = await self._messages.claim_for_sending(
                    ids,
                    incarnation=self._lease.incarnation,
                    token=token,
                    late_limit=self._late_limit,
                    fallback=self._services.for_fallback(ids),
                )
            except Unavailable as error:
                self._outages.met(self._ctx.name, error)
                if self._ctx.draining:
                    self._ctx.spawn(self._give_back(ids, token, in_flight), name="give back", isolated=True)
                    return None
                await asyncio.sleep(backoff.failed())
            except LeaseLost:
                if self._ctx.draining:
                    return None
                await self._lease.granted(within=1.0)
            else:
                self._outages.passed(self._ctx.name)
                return claimed

    async def _give_back(self, ids: Sequence[UUID], token: int, in_flight: InFlightDelivery) -> None:
        """Return the messages of a claim whose answer may have been lost. Nothing of it was sent."""
        backoff = OutageBackoff()
        until = self._loop.time() + GIVE_BACK_TIMEOUT
        while True:
            try:
                claimed = await self._messages.claim_for_sending(
                    ids, incarnation=self._lease.incarnation, token=token, late_limit=self._late_limit
                )
            except Unavailable:
                if self._loop.time() >= until:
                    return  # recovery releases the rows when this node has ended
                await asyncio.sleep(backoff.failed())
            except LeaseLost:
                return  # as above
            else:
                break
        for one in claimed:
            await self._report(one, in_flight, None, NOT_SENT, self._loop.time())

    async def _accepted_before(self, claimed: list[Claimed]) -> set[UUID]:
        """The ids of claimed messages that the service accepted before their node died and recorded nothing."""
        try:
            return await self._accepted.accepted([one.claim.id for one in claimed])
        except Unavailable as error:
            # The keys only narrow a window. The claim has decided.
            log.debug("accepted_keys_not_looked_up", reason=error.reason)
            return set()

    async def _already_accepted(self, claimed: Claimed, in_flight: InFlightDelivery) -> None:
        self._metrics.suppressed.labels("dedupe").inc()
        answer = Answer(Outcome.ACCEPTED, 0.0, error="accepted by an earlier attempt", called=False)
        await self._report(claimed, in_flight, answer, NextStep(Status.SENT), self._loop.time())

    async def _send(
        self,
        claimed: Claimed,
        path: EmailPath,
        in_flight: InFlightDelivery,
        turns: Turns,
        last_attempt: float | None,
        holds_at: float,
    ) -> None:
        """Make the attempt and report it. A cancelled attempt reports nothing, so its outcome is unknown.

        `holds_at` is when the database found the message not held, by the clock of the holds.
        """
        bug: Exception | None = None
        answer: Answer | None = None
        not_sent, why_not = NOT_SENT, NOT_ATTEMPTED
        async with self._permits[claimed.claim.service].calls:
            # A draining node begins no call, which could last as long as the whole drain.
            refused = await self._refused(claimed, path, turns, holds_at)
            began = self._loop.time()
            try:
                # The lease must be that of the claim: a node that was ended, and entered again, may not send its
                # earlier claims.
                if refused is None and self._may_call(claimed):
                    answer = await self._attempt(claimed, path, last_attempt)
            except CircuitOpen:
                not_sent = self._services.not_sent(claimed)  # and no attempt is spent
                cause = path.email.unavailable
                circuit = CIRCUIT_OPEN if cause is None else f"{CIRCUIT_OPEN} ({cause})"
                why_not = KEPT_BY_SERVICE if not_sent.delay else circuit
            except asyncio.CancelledError:
                if _is_being_cancelled():
                    raise
                bug = StrayCancellation("an attempt")  # else the message would stay `sending` while this node lives
                answer = Answer(Outcome.UNKNOWN, self._loop.time() - began, error="internal error")
            except Exception as error:
                bug = error
                answer = Answer(Outcome.UNKNOWN, self._loop.time() - began, error="internal error")
        follows = not_sent if answer is None else next_step(answer, claimed.history, path.policy, random.random)
        await self._report(claimed, in_flight, answer, follows, began, reason=refused or why_not)
        if bug is not None:
            raise bug

    async def _refused(self, claimed: Claimed, path: EmailPath, turns: Turns, holds_at: float) -> str | None:
        """Wait until the call may begin. Otherwise return the reason."""
        while not self._ctx.draining and await self._its_turn(path, turns):
            if self._holds.allow(claimed.occasion):
                return None
            if not await self._not_held(claimed, holds_at):
                return HELD if self._holds.read_since(holds_at) else NOT_ATTEMPTED
            # The turn may have passed meanwhile.
        return NOT_ATTEMPTED

    async def _its_turn(self, path: EmailPath, turns: Turns) -> bool:
        """Wait for the turn. If it has passed, take another one.

        Return False if the turn is void, or if the next one comes too late: then the claim is given up.
        """
        (turn,) = turns.at
        if self._loop.time() - turn > path.rate.grace:
            another = await self._another_turn(path, turns.service)
            if another is None:
                return False
            turn = another
            if turn - self._loop.time() > CLAIM_AHEAD:
                # Keep the turn for a later call. Otherwise messages that are claimed again and again would reserve ever
                # more unused turns, and the next free one would be ever further away.
                self._permits[turns.service].spare.put(Turns(turns.service, path.rate.epoch, [turn]))
                return False
        if (wait := turn - self._loop.time()) > 0:
            await asyncio.sleep(wait)
        return turns.epoch == path.rate.epoch

    async def _another_turn(self, path: EmailPath, service: EmailServiceName) -> float | None:
        """A spare turn, or a new one. None if a new one would come later than CLAIM_AHEAD."""
        epoch, soonest = path.rate.epoch, self._loop.time() - path.rate.grace
        for turn in self._permits[service].spare.take(1, epoch=epoch, not_before=soonest):
            return turn
        # A place that comes later would only be kept, and would outlast the low rate by which it was reserved.
        waits = await path.rate.reserve(1, within=CLAIM_AHEAD)
        return self._loop.time() + waits[0] if waits else None

    async def _not_held(self, claimed: Claimed, holds_at: float) -> bool:
        """Wait for a recent reading of the holds. Return False if the message is held, or if this node drains first.

        A reading from before `holds_at` may have a hold that was released since. The next one decides.
        """
        while not self._holds.allow(claimed.occasion):
            if self._holds.read_since(holds_at) or self._ctx.draining:
                return False
            if not self._lease.holds(claimed.claim.incarnation):
                return False
            await self._holds.next_reading(within=HOLD_CHECK_INTERVAL)
        return True

    def _may_call(self, claimed: Claimed) -> bool:
        return self._lease.holds(claimed.claim.incarnation) and self._holds.allow(claimed.occasion)

    async def _attempt(self, claimed: Claimed, path: EmailPath, last_attempt: float | None) -> Answer:
        try:
            text = render(claimed.template, claimed.first_name, claimed.last_name, claimed.years)
            subject = render(claimed.subject, claimed.first_name, claimed.last_name) if claimed.subject else ""
        except InvalidText as error:
            return Answer(Outcome.PERMANENT_FAILURE, 0.0, error=f"the text cannot be made: {error}", called=False)
        claim = claimed.claim

        def allowed() -> bool:
            """Asked after the waits for circuit and connection: the message may be held, or belong to another node."""
            return self._may_call(claimed)

        private = (claimed.email, claimed.first_name, claimed.last_name or "")
        with self._tracing.attempt(
            claim.id, occasion=claimed.occasion, number=claim.attempt, service=claim.service
        ) as span:
            answer = await path.email.send(
                Greeting(claim.id, claimed.email, text, span.traceparent, private, subject, allowed),
                last_attempt=last_attempt,
                wait=self._services.waits_for_trial(claim.service),
            )
            span.answered(answer)
        self._failpoint(Failpoint.ANSWERED)
        if answer.outcome is Outcome.ACCEPTED:
            path.rate.accepted()
        elif answer.throttled:
            await path.rate.throttled(answer.retry_after)
        return answer

    async def _report(
        self,
        claimed: Claimed,
        in_flight: InFlightDelivery,
        answer: Answer | None,
        follows: NextStep,
        began: float,
        *,
        reason: str = NOT_ATTEMPTED,
    ) -> None:
        result = Result(claimed.claim, follows.status, answer, began, follows.delay, reason)
        await self._result_writer.tell(Record(claimed, result, in_flight))


def _is_being_cancelled() -> bool:
    """True if this task was cancelled; False if only something that it waited for was."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _parts(turns: list[float], most: int) -> Iterator[slice]:
    """The places of a delivery, cut into parts of limited size whose turns come within `CLAIM_AHEAD` seconds."""
    start = 0
    for place, turn in enumerate(turns):
        if place - start == most or turn > turns[start] + CLAIM_AHEAD:
            yield slice(start, place)
            start = place
    yield slice(start, len(turns))
