"""Runs the generated TypeScript client against a real node: `python -m tests.openapi.round_trip SCRIPT`."""

from __future__ import annotations

import asyncio
import sys

from loadtest import servers
from loadtest.api import serving


async def main() -> int:
    """Start PostgreSQL, Redis and a node, run the script with Node, and return its exit code."""
    async with servers.running(rabbitmq=False) as running, serving(running, await running.database(), "off") as node:
        client = await asyncio.create_subprocess_exec("node", sys.argv[1], node.url)
        return await client.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
