"""The middleware that refuses compressed requests."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from service.api.http.problems import MEDIA_TYPE, Problem


@web.middleware
async def refuse_content_encoding(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 415 to any Content-Encoding: a small compressed body can take seconds to inflate.

    The connections do not decompress either (`service.api.http.connections`), so no body costs more than its bytes.
    """
    if "Content-Encoding" in request.headers:
        raise Problem(MEDIA_TYPE, "Send the body as it is: no Content-Encoding is accepted.")
    return await handler(request)
