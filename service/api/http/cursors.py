"""Cursors of pages of users: opaque to clients, a position within."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from types import MappingProxyType
from typing import Any
from uuid import UUID

from marshmallow import fields

from service.api.http.fields import JsonSchema, Messages
from service.api.http.query import cursor
from service.ports import ChangePosition

__all__ = ["UserCursor", "change_cursor", "cursor"]

_ERRORS: Messages = {"invalid": "Expected the nextCursor of an earlier page."}
_CHANGE = struct.Struct(">q16s")


class UserCursor(fields.Field[UUID | ChangePosition]):
    """The position at which the page begins: after a user, or after a change."""

    default_error_messages = _ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "pattern": "^([A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{32})$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID | ChangePosition:
        try:
            if re.fullmatch(r"[A-Za-z0-9_-]{22}", value):
                return UUID(bytes=base64.urlsafe_b64decode(value + "=="))
            if re.fullmatch(r"[A-Za-z0-9_-]{32}", value):
                number, user_id = _CHANGE.unpack(base64.urlsafe_b64decode(value))
                return ChangePosition(number, UUID(bytes=user_id))
        except (ValueError, binascii.Error) as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


def change_cursor(position: ChangePosition) -> str:
    """The cursor of what comes after this position."""
    return base64.urlsafe_b64encode(_CHANGE.pack(position.number, position.user_id.bytes)).decode()
