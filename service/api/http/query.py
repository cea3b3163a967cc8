"""Query parameters: their fields, and cursors, which say where the next page begins and nothing to their holder."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from types import MappingProxyType
from typing import Any
from uuid import UUID

from marshmallow import RAISE, Schema, fields

from actors.api.fields import Messages, Shape
from service.domain.messages import Status

MOST_ITEMS = 500
"""Items of one page."""

ITEMS = 50
"""Items of a page whose size nobody named."""

_NUMBER_ERRORS: Messages = {"invalid": "Expected a whole number from {least} to {most}."}
_INSTANT_ERRORS: Messages = {"invalid": "Expected an instant with its offset, such as 2027-02-28T09:00:00Z."}
_CURSOR_ERRORS: Messages = {"invalid": "Expected the nextCursor of an earlier page."}
_BOOLEAN_ERRORS: Messages = {"invalid": "Expected true or false."}
_STATUS_ERRORS: Messages = {"invalid": "Expected one of {values}.", "required": "Expected, and missing."}
_MONTH_DAY_ERRORS: Messages = {"invalid": "Expected a month and a day that exist, as MM-DD."}
_SOME_ERRORS: Messages = {"invalid": "Expected something."}
_MONTH_DAY = "^((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9]))$"
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


class Query(Schema):
    """The parameters of a route; unknown ones are refused, so that a misspelt filter does not answer everything."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown parameter.", "type": "Expected parameters."}  # noqa: RUF012 - marshmallow's


class Number(fields.Field[int]):
    """A whole number in decimal digits, from `least` to `most`: out of range is refused, not clamped."""

    default_error_messages = _NUMBER_ERRORS

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least, self.most = least, most
        self.shape: Shape = {"type": "integer", "minimum": least, "maximum": most}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not self.least <= int(value) <= self.most:
            raise self.make_error("invalid", least=self.least, most=self.most)
        return int(value)


class Flag(fields.Field[bool]):
    """`true` or `false`."""

    default_error_messages = _BOOLEAN_ERRORS
    shape: Shape = MappingProxyType({"type": "boolean"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value in ("true", "false") or isinstance(value, bool):
            return value in ("true", True)
        raise self.make_error("invalid")


class Instant(fields.Field[dt.datetime]):
    """An instant, RFC 3339 with an offset."""

    default_error_messages = _INSTANT_ERRORS
    shape: Shape = MappingProxyType({"type": "string", "format": "date-time"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.datetime:
        # In a query an unescaped plus sign arrives as a space.
        text = value.replace(" ", "+") if isinstance(value, str) else ""
        try:
            if _INSTANT.fullmatch(text):
                return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
        except (ValueError, OverflowError) as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


class Cursor(fields.Field[UUID]):
    """Where the page begins."""

    default_error_messages = _CURSOR_ERRORS
    shape: Shape = MappingProxyType({"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        try:
            if re.fullmatch(r"[A-Za-z0-9_-]{22}", value):
                return UUID(bytes=base64.urlsafe_b64decode(value + "=="))
        except (ValueError, binascii.Error) as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


def cursor(last: UUID) -> str:
    """The cursor of the page after the item of that id."""
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


class MessageStatus(fields.Field[Status]):
    """The state of a message, one of `among`."""

    default_error_messages = _STATUS_ERRORS

    def __init__(self, among: frozenset[Status] = frozenset(Status), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.among = among
        every = among == frozenset(Status)
        self.shape: Shape = (
            {"$ref": "#/components/schemas/MessageStatus"} if every else {"type": "string", "enum": sorted(among)}
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Status:
        if not isinstance(value, str) or value not in self.among:
            raise self.make_error("invalid", values=", ".join(sorted(self.among)))
        return Status(value)


class MonthDay(fields.Field[int]):
    """`MM-DD`, loaded as month * 100 + day; 29 February exists."""

    default_error_messages = _MONTH_DAY_ERRORS
    shape: Shape = MappingProxyType(
        {"type": "string", "pattern": _MONTH_DAY, "description": "Month and day, `02-29` included."}
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        try:
            if re.fullmatch(r"[0-9]{2}-[0-9]{2}", value):
                day = dt.date.fromisoformat(f"2000-{value}")
                return day.month * 100 + day.day
        except ValueError as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


class Some(fields.Field[str]):
    """Any text that a database can hold, to be compared with."""

    default_error_messages = _SOME_ERRORS
    shape: Shape = MappingProxyType({"type": "string", "minLength": 1, "maxLength": 320, "pattern": "^[^\\u0000]*$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 320 or "\0" in value or not _is_unicode(value):
            raise self.make_error("invalid")
        return value


class OccasionCode(Some):
    """The code of an occasion; whether there is one of it only the database knows."""

    shape: Shape = MappingProxyType({"$ref": "#/components/schemas/Occasion"})


def _is_unicode(text: str) -> bool:
    # A percent-encoded query may hold bytes that are no UTF-8.
    return not any("\ud800" <= char <= "\udfff" for char in text)


class Page(Query):
    """Every listing's parameters."""

    limit = Number(1, MOST_ITEMS, load_default=ITEMS)
    cursor = Cursor(load_default=None)
