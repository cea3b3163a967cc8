"""The run-time limits: values for all nodes that stand above their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from service.domain.limits import LimitChange, LimitName
from service.ports.audit import Principal


class Limits(Protocol):
    """The rows of limits. Every method raises Unavailable. A change is recorded in the audit log with it."""

    async def read(self) -> list[LimitChange]:
        """The latest change of each limit that was ever set. Every node reads them several times a second."""

    async def change(self, values: Mapping[LimitName, str | None], *, by: Principal) -> list[LimitChange]:
        """Set these limits; None removes one, so that the setting decides again. Returns what `read` returns then.

        The values are checked (service.limits). Once it returns, no node begins a call by the earlier value later
        than `MAX_AGE` (service.node.sending_holds).
        """
