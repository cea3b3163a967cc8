"""Cursors of pages of users: opaque to clients, a position within."""

from __future__ import annotations

import base64
import re
import struct
from types import MappingProxyType
from typing import Any
from uuid import UUID

from marshmallow import fields

from service.api.http.fields import JsonSchema, Messages
from service.ports import ChangePosition, CreationPosition

_ERRORS: Messages = {"invalid": "Expected the nextCursor of an earlier page."}
_CHANGE = struct.Struct(">q16s")
_CREATION = struct.Struct(">3xq16s")
_POSITIONS: dict[int, tuple[struct.Struct, type[ChangePosition] | type[CreationPosition]]] = {
    32: (_CHANGE, ChangePosition),
    36: (_CREATION, CreationPosition),
}
"""The two kinds of positions, by the length of their cursors."""


class UserCursor(fields.Field[CreationPosition | ChangePosition]):
    """The position at which the page begins: after the creation of a user, or after a change."""

    default_error_messages = _ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "pattern": "^([A-Za-z0-9_-]{32}|[A-Za-z0-9_-]{36})$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> CreationPosition | ChangePosition:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value) or len(value) not in _POSITIONS:
            raise self.make_error("invalid")
        form, position = _POSITIONS[len(value)]
        number, user_id = form.unpack(base64.urlsafe_b64decode(value))
        return position(number, UUID(bytes=user_id))


def user_cursor(position: CreationPosition | ChangePosition) -> str:
    """The cursor of what comes after this position."""
    form = _CHANGE if isinstance(position, ChangePosition) else _CREATION
    return base64.urlsafe_b64encode(form.pack(position.number, position.user_id.bytes)).decode()
