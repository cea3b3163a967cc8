"""JSON responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from service.api.http.json_text import encode


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON response."""
    return web.Response(body=encode(content), status=status, headers=headers, content_type="application/json")
