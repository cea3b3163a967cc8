"""Entity tags for everything that is read: who asks again with If-None-Match gets a body only when it has changed."""

from __future__ import annotations

import hashlib

from aiohttp import web
from aiohttp.typedefs import Handler

from service.api.http.etags import is_not_modified
from service.api.middleware.clients import is_guarded


@web.middleware
async def tag_responses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tag what a GET or HEAD under /api answers with a digest of it (RFC 9110, 8.8.3), unless it has one.

    The tag is weak: the routes that take If-Match have versions, and no other.
    """
    response = await handler(request)
    if (
        request.method not in ("GET", "HEAD")
        or not is_guarded(request)
        or response.status != 200
        or "ETag" in response.headers
    ):
        return response
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    tag = hashlib.blake2b(response.body, digest_size=12).hexdigest()
    if is_not_modified(request, tag):
        return web.Response(status=304, headers={"ETag": f'W/"{tag}"'})
    response.headers["ETag"] = f'W/"{tag}"'
    return response
