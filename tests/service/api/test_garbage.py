"""A request leaves no garbage that only the cyclic collector frees.

The collector runs seldom (`GC_THRESHOLDS`). Garbage until then would make a node grow by megabytes under traffic.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.garbage import only_what_is_made
from tests.service.api.conftest import Api

USERS = "/api/v1/users"
NOBODY = "00000000-0000-0000-0000-000000000000"
OUT_OF_REACH = "/api/v1/preview?from=1990-01-01T00:00:00Z&to=1990-01-01T01:00:00Z"
NDJSON = {"Content-Type": "application/x-ndjson"}

OURS = ("actors.", "service.", "marshmallow.", "aiohttp.web_request")
"""Modules of what serves a request. The client in the same process is not looked at, nor two small objects that aiohttp
leaves of each path that leads nowhere."""

REQUESTS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "page": ("GET", f"{USERS}?limit=5", {}, 200),
    "messages": ("GET", "/api/v1/messages?limit=5", {}, 200),
    "preview": ("GET", OUT_OF_REACH, {}, 422),
    "forecast": ("GET", "/api/v1/forecast?hours=1", {}, 200),
    "redrive": ("POST", "/api/v1/messages:redrive", {"json": {"status": "failed", "dryRun": True}}, 202),
    "nobody": ("GET", f"{USERS}/{NOBODY}", {}, 404),
    "nowhere": ("GET", "/nowhere", {}, 404),
    "wrong fields": ("POST", USERS, {"json": {"firstName": 1}}, 422),
    "wrong JSON": ("POST", USERS, {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
    "wrong query": ("GET", f"{USERS}?limit=x", {}, 422),
    "wrong rows": ("POST", f"{USERS}:import", {"data": b'{"firstName": 1}\n' * 3, "headers": NDJSON}, 200),
}


@contextmanager
def uncollected() -> Iterator[Counter[str]]:
    """Count the objects of heyday's classes, by class, that the body left to the collector. Known at its end."""
    found: Counter[str] = Counter()
    with only_what_is_made():
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            yield found
            gc.collect()
            kinds = (type(one) for one in gc.garbage)
            found.update(kind.__qualname__ for kind in kinds if kind.__module__.startswith(OURS))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


async def test_no_request_waits_for_the_collector(api: Api) -> None:
    """Every listing left a schema, and every refusal a whole request: 7 MB of a node under traffic."""
    for what, (method, path, options, status) in REQUESTS.items():
        await _status(api, method, path, options)  # the first of a kind makes what stays

        with uncollected() as left:
            answered = await _status(api, method, path, options)

        assert (answered, left) == (status, {}), what


async def _status(api: Api, method: str, path: str, options: dict[str, Any]) -> int:
    async with api.client.request(method, path, **options) as response:
        await response.read()
        return response.status
