"""Faults of the email service: it is away, slow, erratic, or accepts and then fails."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from actors.chaos.faults.fault import Fault

if TYPE_CHECKING:
    from actors.chaos.stage import Stage


class EmailFault(Fault):
    """The email service behaves in another way for a while."""

    async def strike(self, stage: Stage) -> str:
        before = stage.stub.options
        stage.stub.change(before.changed(self._options(stage.email_timeout)))
        try:
            await asyncio.sleep(lasts := self.seconds(4, 10))
        finally:
            stage.stub.change(before)
        return f"for {lasts:.1f} s"

    @abstractmethod
    def _options(self, timeout: float) -> Mapping[str, Any]:
        """How it behaves, as its `PUT /options` takes it. `timeout`: seconds after which a node gives an attempt up."""


class Down(EmailFault):
    """It answers, and what it answers is that it cannot."""

    name: ClassVar[str] = "email-down"
    does: ClassVar[str] = "the email service answers 503 to everything"

    def _options(self, timeout: float) -> Mapping[str, Any]:
        return {"down": True}


class Slow(EmailFault):
    """About every second answer comes too late: such calls are abandoned before they are accepted."""

    name: ClassVar[str] = "email-slow"
    does: ClassVar[str] = "the email service takes from half of to one and a half times the time-out"

    def _options(self, timeout: float) -> Mapping[str, Any]:
        return {"latency": [0.5 * timeout, 1.5 * timeout]}


class Erratic(EmailFault):
    """Some calls fail, some hang."""

    name: ClassVar[str] = "email-erratic"
    does: ClassVar[str] = "10 % of the calls are answered with an error, 10 % are never answered"

    def _options(self, timeout: float) -> Mapping[str, Any]:
        return {"errorRate": 0.1, "hangRate": 0.1}


class AcceptThenFail(EmailFault):
    """What it has accepted is not confirmed: nobody on our side can know."""

    name: ClassVar[str] = "email-accept-then-fail"
    does: ClassVar[str] = "the email service resets 30 % of the connections after it has accepted the greeting"

    def _options(self, timeout: float) -> Mapping[str, Any]:
        return {"acceptThenFailRate": 0.3}
