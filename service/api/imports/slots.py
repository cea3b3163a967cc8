"""The imports of a node at once, shared by clients and by every route that imports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.api.http.problems import BUSY, Problem

MAX_IMPORTS = 4
"""Imports that a node does at once."""

MAX_IMPORTS_PER_CLIENT = 2
"""Imports of one client among them, so that no key can take all slots."""


class ImportSlots:
    """Gives an import one of the slots, or refuses it at once."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    @contextmanager
    def slot(self, client: str) -> Iterator[None]:
        """One of the node's imports. Raises Problem."""
        if self._running.total() >= MAX_IMPORTS:
            raise Problem(BUSY, "Other imports are under way on this node.", headers={"Retry-After": "10"})
        if self._running[client] >= MAX_IMPORTS_PER_CLIENT:
            raise Problem(BUSY, "Your other imports are under way on this node.", headers={"Retry-After": "10"})
        self._running[client] += 1
        try:
            yield
        finally:
            self._running[client] -= 1
            self._running += Counter()  # drops clients without imports
