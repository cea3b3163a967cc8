"""Releases claims for sending whose node has died or has lost them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from actors.context import NodeContext
from service.node.email_services import EmailServices
from service.ports import Messages
from service.telemetry.greeting_log import log_claims_lost


async def release_claims(
    node: NodeContext, messages: Messages, services: EmailServices, *, actor: str, lost: Sequence[tuple[UUID, int]] = ()
) -> int:
    """Release the claims of ended incarnations, and the attempts `lost` by living nodes; return their number.

    Counts and logs what becomes of each message, as moved by `actor`. Raises Unavailable.
    """
    total = 0
    hold, fallback = services.primary.policy.hold, services.fallback
    hold_fallback = fallback.policy.hold if fallback else None
    while freed := await messages.release_claims(lost, hold=hold, hold_fallback=hold_fallback):
        node.metrics.claims_freed([(one.status, one.occasion, one.service) for one in freed])
        await log_claims_lost(actor, freed)
        total += len(freed)
        lost = ()  # released now, or ended meanwhile
    return total
