"""The addresses that get nothing: opt-outs, bounces, complaints, and those that a person entered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from service.domain.suppressions import NewSuppression, Suppression, SuppressionReason
from service.ports.audit import Principal


@dataclass(frozen=True, slots=True)
class AddedSuppression:
    """A suppression, and True if it was not there before."""

    suppression: Suppression
    new: bool


class Suppressions(Protocol):
    """The rows of suppressions. Every method raises Unavailable. A change is recorded in the audit log with it.

    They are looked at when a message is claimed for sending. Removing one brings back no message that was cancelled.
    """

    async def page(
        self, *, email: str | None, reason: SuppressionReason | None, after: UUID | None, limit: int
    ) -> list[Suppression]:
        """Suppressions in the order of their ids; of one address in any spelling, and for one reason, if given."""

    async def add(self, given: Sequence[NewSuppression], *, by: Principal) -> list[AddedSuppression]:
        """Suppress these addresses, in one transaction. The results are in the same order.

        There is one row for an address and a reason: adding it again changes nothing.
        """

    async def remove(self, suppression_id: UUID, *, by: Principal) -> bool:
        """Remove one; False if there is none. Messages of the address are sent again, unless another one covers it."""
