"""Answers requests for the same list with one computation, if they accept an answer that is some seconds old.

Such a request has `Cache-Control: max-age=5` (RFC 9111, 5.2.1.1). With the same path, query and key it gets the last
answer that this node computed, if that is recent enough. Concurrent requests get one answer. A request without the
header is always computed, and replaces the shared answer. So a client that has changed something never sees the old
state again.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.middleware.clients import KEY, is_guarded

MAX_AGE = 300.0
"""Seconds for which an answer may be shared at most."""

MAX_KEPT = 64
"""Answers that a node keeps."""

MAX_BYTES = 512 * 1024
"""Bytes of an answer that is kept: a page of the largest size."""

_ACCEPTS = re.compile(r"(?:^|,)\s*max-age=(\d{1,6})\s*(?:,|$)", re.IGNORECASE)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    body: bytes
    content_type: str
    at: float

    def response(self, age: float) -> web.Response:
        return web.Response(body=self.body, headers={"Content-Type": self.content_type, "Age": str(int(age))})


def share_responses() -> Middleware:
    """The middleware, with the answers of one node. Routes that make their own tags are left alone."""
    kept: OrderedDict[Key, _Kept] = OrderedDict()
    computing: dict[Key, asyncio.Future[None]] = {}

    def forget_old() -> None:
        """Forget the answers that no request can get any more: they may show users."""
        latest = time.monotonic() - MAX_AGE
        while kept and (oldest := next(iter(kept.values()))).at <= latest:
            kept.popitem(last=False)
        if kept:
            asyncio.get_running_loop().call_later(oldest.at - latest, forget_old)

    async def compute(request: web.Request, handler: Handler, key: Key) -> web.StreamResponse:
        response = await handler(request)
        if (
            isinstance(response, web.Response)
            and response.status == 200
            and isinstance(response.body, bytes)
            and len(response.body) <= MAX_BYTES
            and "ETag" not in response.headers
        ):
            if not kept:
                asyncio.get_running_loop().call_later(MAX_AGE, forget_old)
            kept[key] = _Kept(response.body, response.headers["Content-Type"], time.monotonic())
            kept.move_to_end(key)
            while len(kept) > MAX_KEPT:
                kept.popitem(last=False)
        return response

    @web.middleware
    async def shared(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "GET" or not is_guarded(request):
            return await handler(request)
        accepts = _ACCEPTS.search(request.headers.get("Cache-Control", ""))
        key = (request.raw_path, request[KEY])
        if accepts is None:
            return await compute(request, handler, key) if key in kept else await handler(request)
        oldest = min(float(accepts[1]), MAX_AGE)
        if (under_way := computing.get(key)) is not None:
            await asyncio.wait([under_way])
        if (found := kept.get(key)) is not None and (age := time.monotonic() - found.at) < oldest:
            return found.response(age)
        computing[key] = under_way = asyncio.get_running_loop().create_future()
        try:
            return await compute(request, handler, key)
        finally:
            under_way.set_result(None)
            if computing.get(key) is under_way:
                del computing[key]

    return shared
