"""Reads from the metrics of the node if greetings may leave: the state of the circuit breaker, and what is held."""

from __future__ import annotations

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

METRICS_TIMEOUT = 1.0
"""Seconds for the answer of the node."""

AWAY = "away"
"""The state that is shown if the node does not answer."""

_STATES = {0.0: "closed", 1.0: "open", 2.0: "half-open"}


async def read_circuit(session: aiohttp.ClientSession) -> str:
    """Read the state: `closed`, `open`, `half-open`, or `away` without an answer. What is held is added to it."""
    try:
        async with session.get("/metrics", timeout=aiohttp.ClientTimeout(total=METRICS_TIMEOUT)) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return AWAY
    values = [sample.value for sample in _samples(text, "circuit_breaker_state")]
    held = [sample.labels["occasion"] for sample in _samples(text, "sending_held") if sample.value]
    state = _STATES.get(values[0], AWAY) if values else _STATES[0.0]
    return f"{state}, held: {', '.join(held)}" if held else state


def _samples(text: str, name: str) -> list[Sample]:
    lines = [line for line in text.splitlines() if line.startswith(name)]
    families = text_string_to_metric_families(f"# TYPE {name} gauge\n" + "\n".join(lines) + "\n")
    return [sample for family in families for sample in family.samples]
