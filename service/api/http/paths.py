"""What a path names."""

from __future__ import annotations

import re
from uuid import UUID

from aiohttp import web

from actors.api.problems import NOT_FOUND, Problem

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def uuid_in(request: web.Request) -> UUID:
    """The id in the path. What is no id names nothing: raises Problem, not found."""
    text = request.match_info["id"]
    if not _UUID.fullmatch(text):
        raise Problem(NOT_FOUND, "There is nothing of this id: ids are UUIDs.")
    return UUID(text)
