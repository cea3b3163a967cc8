"""Reads the files of secrets again when they change."""

from __future__ import annotations

from typing import Never

from actors.context import NodeContext
from actors.periodic import PeriodicActor
from service.node.secret_files import SecretFiles

READ_INTERVAL = 0.5
"""Seconds between two checks of the files. A changed secret is in use within a second."""


class SecretReader(PeriodicActor[Never]):
    """Runs only on a node that has secrets from files."""

    def __init__(self, node: NodeContext, files: SecretFiles) -> None:
        super().__init__(node)
        self._files = files

    async def run_once(self) -> float:
        await self._files.check()
        return READ_INTERVAL
