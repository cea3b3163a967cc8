"""A user as JSON: what a client may send, what it makes of a profile, and what is answered."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from actors.api.fields import Day, EmailAddress, Text, TimeZone
from actors.api.problems import INVALID, FieldError, Problem
from service.domain.users import Profile, User
from service.domain.zones import zone

_ERRORS = {"unknown": "Unknown field.", "type": "Expected a JSON object."}


class UserSchema(Schema):
    """What every user has; `user_schema` adds the dates of the occasions there are."""

    class Meta:
        unknown = RAISE

    error_messages = _ERRORS

    first_name = Text(required=True, data_key="firstName")
    last_name = Text(required=True, data_key="lastName")
    email = EmailAddress(required=True)
    timezone = TimeZone(required=True)
    location_city = Text(allow_none=True, load_default=None, data_key="locationCity")
    location_country = Text(allow_none=True, load_default=None, data_key="locationCountry")


@lru_cache(maxsize=64)
def date_field(occasion: str) -> str:
    """The JSON field of an occasion's date: `birthday` has `birthdayDate`, `name_day` has `nameDayDate`."""
    return re.sub(r"_+([a-z0-9]?)", lambda match: match[1].upper(), occasion) + "Date"


@lru_cache(maxsize=8)
def user_schema(occasions: tuple[str, ...]) -> type[Schema]:
    """The schema with a date for each occasion, loaded as `<code>_date`."""
    dates: dict[str, object] = {
        f"{code}_date": Day(allow_none=True, load_default=None, data_key=date_field(code)) for code in occasions
    }
    return type("User", (UserSchema,), dates)


class Loader:
    """Loads as its schema does, with the same fields and the same outcome. A document without a mistake, as nearly all
    are, takes a short way; any other is given to the schema, which finds all mistakes and words them."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._fields = [
            (field.data_key or name, name, field, schema.partial is True) for name, field in schema.load_fields.items()
        ]

    def load(self, value: Any) -> dict[str, Any]:
        """What the schema makes of the value. Raises ValidationError with every mistake."""
        if type(value) is dict:
            try:
                loaded = self._without_mistakes(value)
            except ValidationError:
                pass
            else:
                if loaded is not None:
                    return loaded
        found: dict[str, Any] = self._schema.load(value)
        return found

    def _without_mistakes(self, document: dict[str, Any]) -> dict[str, Any] | None:
        loaded = {}
        known = len(document)
        for key, name, field, partial in self._fields:
            if key in document:
                known -= 1
                value = document[key]
                if value is not None:
                    loaded[name] = field._deserialize(value, name, document)  # noqa: SLF001 - what its subclasses define
                elif field.allow_none:
                    loaded[name] = None
                else:
                    return None
            elif field.required and not partial:
                return None
            elif not partial:
                loaded[name] = field.load_default
        return None if known else loaded


@lru_cache(maxsize=8)
def loader(occasions: tuple[str, ...], *, partial: bool = False) -> Loader:
    """Loads users; `partial` for documents that may leave everything out. It has no state."""
    return Loader(user_schema(occasions)(partial=partial))


def profile_of(loaded: Mapping[str, Any], occasions: Sequence[str]) -> Profile:
    """The profile that a whole document describes; what it leaves out, the user does not have."""
    return Profile(
        loaded["first_name"],
        loaded["last_name"],
        loaded["email"],
        loaded["timezone"],
        {code: day for code in occasions if (day := loaded[f"{code}_date"]) is not None},
        loaded["location_city"],
        loaded["location_country"],
    )


def merged(profile: Profile, loaded: Mapping[str, Any], occasions: Sequence[str]) -> Profile:
    """The profile with what a partial document (RFC 7396) changes; null removes, what it leaves out stays."""
    given = {code: loaded[name] for code in occasions if (name := f"{code}_date") in loaded}
    dates = {code: day for code, day in {**profile.dates, **given}.items() if day is not None}
    names = {field.name for field in dataclasses.fields(Profile)}
    return dataclasses.replace(profile, dates=dates, **{name: loaded[name] for name in names & loaded.keys()})


def refuse_future(given: Mapping[str, Any], occasions: Sequence[str], timezone: str, now: datetime) -> None:
    """Raises Problem for dates that are not there yet, where the user is."""
    today = local_date(timezone, now)
    errors = [
        FieldError(
            date_field(code), f"Expected a date that is not in the future: it is {today.isoformat()} in {timezone}."
        )
        for code in occasions
        if (day := given.get(f"{code}_date")) is not None and day > today
    ]
    if errors:
        raise Problem(INVALID, f"{errors[0].field}: {errors[0].message}", errors=errors)


def local_date(timezone: str, now: datetime) -> date:
    """The date on the wall there."""
    return now.astimezone(zone(timezone)).date()


def as_json(user: User, occasions: Sequence[str]) -> dict[str, object]:
    """What is answered; every field is there, null where there is nothing."""
    profile = user.profile
    return {
        "id": user.id,
        "firstName": profile.first_name,
        "lastName": profile.last_name,
        "email": profile.email,
        "timezone": profile.timezone,
        **{date_field(code): profile.dates.get(code) for code in occasions},
        "locationCity": profile.location_city,
        "locationCountry": profile.location_country,
        "createdAt": user.created_at.astimezone(UTC),
        "updatedAt": user.updated_at.astimezone(UTC),
    }
