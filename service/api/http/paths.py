"""Ids in paths."""

from __future__ import annotations

import re
from uuid import UUID

from aiohttp import web

from service.api.http.problems import NOT_FOUND, Problem

UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def path_uuid(request: web.Request) -> UUID:
    """The id in the path. Raises Problem, not found, for text that is no UUID."""
    text = request.match_info["id"]
    if not UUID_TEXT.fullmatch(text):
        raise Problem(NOT_FOUND, "There is no such id: ids are UUIDs.")
    return UUID(text)
