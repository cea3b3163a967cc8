"""Claims the messages of a bundle, all in one statement, and sends each with a bound on how many are on the wire."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import structlog

from actors.delivery.recorder import Acknowledge, Parcel, Record
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

log = structlog.get_logger(__name__)


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
        places: int,
        outages: Outages,
        metrics: Metrics,
        witness: Witness,
    ) -> None:
        self._messages = messages
        self._accepted = accepted
        self._email = email
        self._rate = rate
        self._recorder = recorder
        self._lease = lease
        self._policy = policy
        self._places = asyncio.Semaphore(places)
        self._outages = outages
        self._metrics = metrics
        self._witness = witness

    async def start(self, ctx: Context[Deliver]) -> None:
        self._ctx = ctx

    async def receive(self, message: Deliver) -> None:
        delivery = message.delivery
        waits = await self._rate.reserve(len(delivery.ids))
        began = asyncio.get_running_loop().time()
        if waits[0] > 0:
            # Before the claim: what waits for its turn is not being sent yet.
            await asyncio.sleep(waits[0])
        claimed = await self._claim(delivery)
        self._metrics.suppressed.labels("row").inc(len(delivery.ids) - len(claimed))
        if not claimed:
            await self._recorder.tell(Acknowledge(delivery))
            return
        self._witness(Fact.CLAIMED)
        parcel = Parcel(delivery, len(claimed))
        accepted = await self._accepted_before(claimed)
        for one, wait in zip(claimed, waits, strict=False):
            if one.claim.id in accepted:
                await self._already_accepted(one, parcel)
                continue
            await self._places.acquire()
            if wait > 0:
                await asyncio.sleep(began + wait - asyncio.get_running_loop().time())
            self._ctx.spawn(self._send(one, parcel), name="send", isolated=True)

    async def _claim(self, delivery: Delivery) -> list[Claimed]:
        """Claim until the database has answered, or the lease is lost: the delivery is then somebody else's."""
        backoff = Backoff()
        while True:
            try:
                claimed = await self._messages.claim_for_sending(delivery.ids, incarnation=self._lease.incarnation)
            except Unavailable as error:
                self._outages.met(self._ctx.name, error)
                await asyncio.sleep(backoff.failed())
            except LeaseLost:
                if not self._ctx.draining and await self._lease.granted(within=1.0):
                    continue
            else:
                self._outages.passed(self._ctx.name)
                return claimed

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
        answer = Answer(Outcome.ACCEPTED, 0.0, error="accepted by an earlier attempt")
        await self._report(claimed, parcel, answer, Verdict(Status.SENT), asyncio.get_running_loop().time())

    async def _send(self, claimed: Claimed, parcel: Parcel) -> None:
        """Make the attempt and report it. Cancelled half-way it reports nothing: then nobody knows the outcome."""
        began = asyncio.get_running_loop().time()
        bug: Exception | None = None
        answer: Answer | None = None
        try:
            if self._lease.held:
                answer = await self._attempt(claimed)
        except CircuitOpen:
            pass  # nothing was sent, and no attempt is spent
        except Exception as error:  # noqa: BLE001 - it is raised again below, once the claim has an outcome
            bug = error
            answer = Answer(Outcome.UNKNOWN, asyncio.get_running_loop().time() - began, error="internal error")
        finally:
            self._places.release()
        if answer is None:
            follows = Verdict(Status.RETRYING)
        else:
            follows = verdict(answer, claimed.attempts_spent, self._policy, random.random)
        await self._report(claimed, parcel, answer, follows, began)
        if bug is not None:
            raise bug

    async def _attempt(self, claimed: Claimed) -> Answer:
        try:
            text = render(claimed.template, claimed.first_name, claimed.last_name)
        except InvalidOccasion as error:
            return Answer(Outcome.REFUSED, 0.0, error=f"the text cannot be made: {error}")
        answer = await self._email.send(Greeting(claimed.claim.id, claimed.email, text))
        self._witness(Fact.ANSWERED)
        return answer

    async def _report(
        self, claimed: Claimed, parcel: Parcel, answer: Answer | None, follows: Verdict, began: float
    ) -> None:
        result = Result(claimed.claim, follows.status, answer, began, follows.delay)
        await self._recorder.tell(Record(claimed, result, parcel))
