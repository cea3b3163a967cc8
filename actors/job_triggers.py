"""Runs a job through its actor: the manual trigger of the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from actors.runtime import ActorError, ActorFailed, Address, Reply
from service.ports import Busy

M = TypeVar("M")

JOB_TIMEOUT = 30.0
"""Seconds that a job may take when a request triggers it."""


async def run_job(address: Address[M], make: Callable[[Reply[dict[str, int]]], M]) -> dict[str, int]:
    """Ask an actor for its job. Raises TimeoutError, Unavailable, and Busy when the actor cannot take it now."""
    try:
        return await address.ask(make, within=JOB_TIMEOUT)
    except ActorFailed as error:
        raise Busy("The actor failed on this request; it is started again.") from error
    except ActorError as error:
        raise Busy("The actor takes no requests at the moment.") from error
