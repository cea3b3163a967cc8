"""What the demo asks the node itself: the state of its circuit breaker, from its metrics."""

from __future__ import annotations

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

WITHIN = 1.0
"""Seconds that the node has to answer."""

AWAY = "away"
"""Said instead of a state when the node does not answer."""

_STATES = {0.0: "closed", 1.0: "open", 2.0: "half-open"}


async def read_circuit(session: aiohttp.ClientSession) -> str:
    """`closed`, `open`, `half-open`, or that the node is away."""
    try:
        async with session.get("/metrics", timeout=aiohttp.ClientTimeout(total=WITHIN)) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return AWAY
    lines = [line for line in text.splitlines() if line.startswith("circuit_breaker_state")]
    families = text_string_to_metric_families("# TYPE circuit_breaker_state gauge\n" + "\n".join(lines) + "\n")
    values = [sample.value for family in families for sample in family.samples]
    return _STATES.get(values[0], AWAY) if values else _STATES[0.0]
