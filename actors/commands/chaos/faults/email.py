"""Faults of the email service: down, unreachable, slow, too slow for us, with a wrong key, erratic or unclear."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from actors.commands.chaos.faults.connections import effect_on
from actors.commands.chaos.faults.fault import Fault, require_effect
from service.settings import Settings

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment

LONGEST_OUTAGE = 600.0
"""Seconds that an outage lasts at most, for settings under which the attempts last for hours."""

NO_CALL = "no node called the email service"


class EmailFault(Fault):
    """The email service behaves in another way for a while."""

    lasts: ClassVar[tuple[float, float]] = (4.0, 10.0)
    """Seconds."""

    async def inject(self, environment: Environment) -> str:
        before, asked = environment.stub.options, environment.stub.ledger.requests
        changes, what = self._options(environment)
        environment.stub.change(before.changed(changes))
        try:
            await asyncio.sleep(lasts := self.seconds(*self.lasts))
            await require_effect(environment, lambda: environment.stub.ledger.requests - asked, NO_CALL)
        finally:
            environment.stub.change(before)
        return f"{what}for {lasts:.1f} s"

    @abstractmethod
    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        """The options of the fake service during the fault, and what was drawn, in words."""


class Down(EmailFault):
    """The service answers every call with 503."""

    name: ClassVar[str] = "email-down"
    does: ClassVar[str] = "the email service answers 503 to every call"

    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        return {"down": True}, ""


class Unreachable(Fault):
    """The service cannot be reached for longer than all attempts at a message would take: none may fail."""

    name: ClassVar[str] = "email-unreachable"
    does: ClassVar[str] = "the email service is unreachable for longer than all attempts at a message last"
    takes: ClassVar[float] = 32.0

    async def inject(self, environment: Environment) -> str:
        relays = environment.fleet.relays("email")
        met = effect_on(relays)
        lasts = min(LONGEST_OUTAGE, attempts_last(environment.settings) + self.seconds(1, 5))
        try:
            for relay in relays:
                relay.cut()
            await asyncio.sleep(lasts)
            await require_effect(environment, met, NO_CALL)
        finally:
            for relay in relays:
                relay.mend()
        return f"every node for {lasts:.1f} s"


class Throttle(EmailFault):
    """The service takes a few calls a second and answers 429 beyond: all nodes slow down, and nothing fails."""

    name: ClassVar[str] = "email-throttle"
    does: ClassVar[str] = "the email service takes 2 to 20 calls a second and answers 429 to the others"
    lasts: ClassVar[tuple[float, float]] = (6.0, 15.0)

    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        rate = self.chance.randint(2, 20)
        # Without latency the nodes call as fast as they can.
        return {"rate": rate, "retryAfter": self.chance.choice([0, 1, 2]), "latency": 0.0}, f"{rate}/s "


class WrongKey(EmailFault):
    """The service does not accept our key, or our URL: every message waits, and nothing fails."""

    name: ClassVar[str] = "email-wrong-key"
    does: ClassVar[str] = "the email service answers 401, 403 or 404 to every call"

    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        status = self.chance.choice([401, 401, 403, 404])
        return {"status": status, "latency": 0.0}, f"{status} "


class RefuseAll(EmailFault):
    """The service refuses every message, as after a typing error in a text. Few may fail before the circuit opens."""

    name: ClassVar[str] = "email-refuse-all"
    does: ClassVar[str] = "the email service answers 422 to every call; few messages of each node may fail"

    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        environment.failures_allowed += environment.settings.circuit_failures * len(environment.fleet.slots)
        return {"status": 422, "latency": 0.0}, ""


class Slow(EmailFault):
    """About every second answer comes after the time-out. The service does not accept those calls."""

    name: ClassVar[str] = "email-slow"
    does: ClassVar[str] = "the email service takes 0.5 to 1.5 times the time-out of a call"

    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        timeout = environment.settings.email_timeout.total_seconds()
        return {"latency": [0.5 * timeout, 1.5 * timeout]}, ""


class Erratic(EmailFault):
    """Some calls fail, and some are never answered."""

    name: ClassVar[str] = "email-erratic"
    does: ClassVar[str] = "the email service answers 10 % of the calls with an error and 10 % never"

    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        return {"errorRate": 0.1, "hangRate": 0.1}, ""


class AcceptThenFail(EmailFault):
    """The service accepts a call and does not confirm it: the outcome is unknown."""

    name: ClassVar[str] = "email-accept-then-fail"
    does: ClassVar[str] = "the email service resets 30 % of the connections after it has accepted the greeting"

    def _options(self, environment: Environment) -> tuple[Mapping[str, Any], str]:
        return {"acceptThenFailRate": 0.3}, ""


def attempts_last(settings: Settings) -> float:
    """Seconds from the first to the last attempt at a message, if every attempt fails at once."""
    first, limit = settings.email_backoff.total_seconds(), settings.email_backoff_limit.total_seconds()
    return sum(min(limit, first * 2.0**number) for number in range(settings.email_attempts - 1))
