"""Ids in paths."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from service.api.http.fields import UUID_TEXT
from service.api.http.problems import NOT_FOUND, Problem


def path_uuid(request: web.Request) -> UUID:
    """The id in the path. Raises Problem, not found, for text that is no UUID."""
    text = request.match_info["id"]
    if not UUID_TEXT.fullmatch(text):
        raise Problem(NOT_FOUND, "There is no such id: ids are UUIDs.")
    return UUID(text)
