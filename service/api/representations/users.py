"""A user as JSON: the schema of requests, the profile from it, and the document of responses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from service.api.http.fields import Day, EmailAddress, ExternalId, Language, Text, TimeZone
from service.api.http.problems import FieldError
from service.domain.dates import OccasionDate
from service.domain.occasions import date_field
from service.domain.users import Profile, User
from service.domain.zones import zone

ONE_DAY = timedelta(days=1)

_ERRORS = {"unknown": "Unknown field.", "type": "Expected a JSON object."}


class UserSchema(Schema):
    """The fields of every user. `user_schema` adds a date for each occasion."""

    class Meta:
        unknown = RAISE

    error_messages = _ERRORS

    external_id = ExternalId(allow_none=True, load_default=None, data_key="externalId")
    first_name = Text(required=True, data_key="firstName")
    last_name = Text(allow_none=True, load_default=None, data_key="lastName")
    email = EmailAddress(required=True)
    timezone = TimeZone(required=True)
    locale = Language(allow_none=True, load_default=None)
    location_city = Text(allow_none=True, load_default=None, data_key="locationCity")
    location_country = Text(allow_none=True, load_default=None, data_key="locationCountry")


@lru_cache(maxsize=8)
def user_schema(occasions: tuple[str, ...]) -> type[Schema]:
    """The schema with a date for each occasion, loaded as `<code>_date`."""
    dates: dict[str, object] = {
        f"{code}_date": Day(allow_none=True, load_default=None, data_key=date_field(code)) for code in occasions
    }
    return type("User", (UserSchema,), dates)


class Loader:
    """Loads as its schema does, with the same fields and the same result.

    Nearly every document is valid and takes a short way. The schema loads all others, and finds and words every error.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.names = {field.data_key or name: name for name, field in schema.load_fields.items()}
        """The names in what is loaded, by the keys of JSON."""
        self.nullable = {field.data_key or name: bool(field.allow_none) for name, field in schema.load_fields.items()}
        """True for each key whose field may be null."""
        self._fields = [
            (field.data_key or name, name, field, schema.partial is True) for name, field in schema.load_fields.items()
        ]

    def load(self, value: Any) -> dict[str, Any]:
        """The value as the schema loads it. Raises ValidationError with every error."""
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
    """The loader of users; `partial` for documents that may leave fields out. It has no state."""
    return Loader(user_schema(occasions)(partial=partial))


_NAMES = frozenset(field.name for field in dataclasses.fields(Profile)) - {"dates"}


def profile_of(loaded: Mapping[str, Any], occasions: Sequence[str]) -> Profile:
    """The profile that a whole document describes. A field that it leaves out is null."""
    return Profile(
        loaded["first_name"],
        loaded["last_name"],
        loaded["email"],
        loaded["timezone"],
        {code: day for code in occasions if (day := loaded[f"{code}_date"]) is not None},
        loaded["location_city"],
        loaded["location_country"],
        loaded["external_id"],
        loaded["locale"],
    )


def merged(profile: Profile, loaded: Mapping[str, Any], occasions: Sequence[str]) -> Profile:
    """The profile with the changes of a merge patch (RFC 7396): null removes, and fields that are left out stay."""
    given = {code: loaded[name] for code in occasions if (name := f"{code}_date") in loaded}
    dates = {code: day for code, day in {**profile.dates, **given}.items() if day is not None}
    return dataclasses.replace(profile, dates=dates, **{name: loaded[name] for name in _NAMES & loaded.keys()})


def changes(profile: Profile, loaded: Mapping[str, Any]) -> bool:
    """True when `merged` would return another profile."""
    dates = profile.dates
    return any(
        (getattr(profile, name) if name in _NAMES else dates.get(name.removesuffix("_date"))) != value
        for name, value in loaded.items()
    )


def future_dates(given: Mapping[str, Any], occasions: Sequence[str], timezone: str, now: datetime) -> list[FieldError]:
    """An error for each date that is still in the future where the user is."""
    past = now.astimezone(UTC).date() - ONE_DAY  # everywhere
    if not any(isinstance(day := given.get(f"{code}_date"), date) and day > past for code in occasions):
        return []
    today = local_date(timezone, now)
    return [
        FieldError(
            date_field(code), f"Expected a date that is not in the future: it is {today.isoformat()} in {timezone}."
        )
        for code in occasions
        if isinstance(day := given.get(f"{code}_date"), date) and day > today
    ]


def local_date(timezone: str, now: datetime) -> date:
    """The local date in a time zone."""
    return now.astimezone(zone(timezone)).date()


def date_json(day: OccasionDate | None) -> str | None:
    """The date as a client sends it."""
    return None if day is None else str(day)


def as_json(user: User, occasions: Sequence[str]) -> dict[str, object]:
    """The user as a response shows it. Every field is present; null means none."""
    profile = user.profile
    return {
        "id": user.id,
        "externalId": profile.external_id,
        "firstName": profile.first_name,
        "lastName": profile.last_name,
        "email": profile.email,
        "timezone": profile.timezone,
        "locale": profile.locale,
        **{date_field(code): date_json(profile.dates.get(code)) for code in occasions},
        "locationCity": profile.location_city,
        "locationCountry": profile.location_country,
        "createdAt": user.created_at.astimezone(UTC),
        "updatedAt": user.updated_at.astimezone(UTC),
    }
