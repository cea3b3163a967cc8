"""Calls of the port `Users`: users are created, moved, changed and deleted, and reuse addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

from service.domain.dates import MonthDay, OccasionDate
from service.domain.planning import DesiredMessage, desired_messages
from service.domain.users import Profile, User
from tests.contracts.chance import ADDRESSES, Chance
from tests.contracts.sides import RULES, Release, Sides
from tests.edits import edited
from tests.principals import OPERATOR

ZONES = (
    "UTC",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "America/New_York",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Atlantic/Reykjavik",
)


class People:
    """Makes these calls."""

    def __init__(self, sides: Sides, chance: Chance) -> None:
        self._sides = sides
        self._chance = chance
        self._random = chance.random
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.create: 6,
            self.create_many: 3,
            self.change: 16,
            self.change_many: 4,
            self.delete: 4,
            self.read: 2,
        }

    async def create(self) -> None:
        profile = self._profile()
        given = self._desired(profile)
        await self._sides.ask(
            f"create {profile}",
            lambda side: side.users.create(profile, given),
            release=self._chance.release(),
            users=lambda user: [user.id],
        )

    async def create_many(self) -> None:
        profiles = [self._profile() for _ in range(self._random.randint(1, 4))]
        rows = [(profile, self._desired(profile)) for profile in profiles]
        await self._sides.ask(
            f"create_many {profiles}",
            lambda side: side.users.create_many(rows),
            release=self._chance.release(),
            users=lambda ids: [user for user in ids if isinstance(user, UUID)],
            comparable=lambda ids: [isinstance(user, UUID) for user in ids],
        )

    async def change(self) -> None:
        user_id, version = self._chance.user(), self._version()
        changes = self._changes()
        given_version = version and self._version_of(user_id) + version - 1

        def edit(user: User) -> Profile:
            return _changed(user.profile, changes)

        await self._sides.ask(
            f"change {user_id} of version {given_version}: {changes}",
            lambda side: edited(side.users, user_id, edit, _replan, version=given_version),
            release=self._chance.release(),
        )

    async def change_many(self) -> None:
        """Change some users at once. One of them at most gets an address or a key that another may have."""
        users = {self._chance.user(): self._changes() for _ in range(self._random.randint(1, 3))}
        unique = [user_id for user_id, changes in users.items() if changes.keys() & {"email", "external_id"}]
        for user_id in unique[1:]:
            users[user_id] = {"location_city": "Turin"}

        async def edit(side: Release) -> list[UUID]:
            async with side.users.editing_many(list(users)) as editing:
                edits = [
                    (user.id, user.profile, _changed(user.profile, users[user.id])) for user in editing.users.values()
                ]
                if edits:
                    now = editing.now
                    await editing.store([(id_, after, _replan(before, after, now)) for id_, before, after in edits])
                return sorted(editing.users)

        await self._sides.ask(f"change_many {users}", edit, release=self._chance.release())

    async def delete(self) -> None:
        user_id, version = self._chance.user(), self._version()
        given_version, erase = version and self._version_of(user_id) + version - 1, self._random.random() < 0.4
        await self._sides.ask(
            f"delete {user_id} of version {given_version}, erase: {erase}",
            lambda side: side.users.delete(user_id, version=given_version, by=OPERATOR, erase=erase),
        )

    async def read(self) -> None:
        user_id = self._chance.user()
        await self._sides.ask(f"get {user_id}", lambda side: side.users.get(user_id))
        wanted = [(self._key(), self._address()) for _ in range(self._random.randint(0, 4))]
        await self._sides.ask(f"match {wanted}", lambda side: side.users.match(wanted))

    def _address(self) -> str:
        address = f"ada{self._random.randrange(ADDRESSES)}@example.com"
        return self._random.choice([address, address, address.upper()])

    def _date(self) -> OccasionDate:
        """Return a day around now, in another year."""
        around = self._sides.at.date() + timedelta(days=self._random.randint(-3, 4))
        kind = self._random.random()
        if kind < 0.1:
            return MonthDay(2, 29) if kind < 0.05 else date(1992, 2, 29)
        if kind < 0.2:
            return MonthDay(around.month, around.day)
        return around.replace(year=1991, day=min(around.day, 28 if around.month == 2 else 31))

    def _profile(self) -> Profile:
        dates: dict[str, OccasionDate] = {"birthday": self._date()} if self._random.random() < 0.9 else {}
        if self._random.random() < 0.4:
            dates["anniversary"] = self._date()
        return Profile(
            "Ada",
            self._random.choice(["A", "B", "C", None]),
            self._address(),
            self._random.choice(ZONES),
            dates,
            external_id=self._key(),
            locale=self._random.choice(["de-AT", None]),
        )

    def _key(self) -> str | None:
        return self._random.choice([None, f"HR-{self._random.randrange(ADDRESSES)}"])

    def _desired(self, profile: Profile) -> list[DesiredMessage]:
        return desired_messages(RULES, dict(profile.dates), profile.timezone, now=self._sides.at)

    def _changes(self) -> dict[str, object]:
        kind = self._random.choice(
            ["timezone", "timezone", "birthday", "birthday", "no birthday", "anniversary", "email", "city", "key"]
        )
        match kind:
            case "timezone":
                return {"timezone": self._random.choice(ZONES)}
            case "birthday" | "anniversary":
                return {"dates": {kind: self._date()}}
            case "no birthday":
                return {"dates": {"birthday": None}}
            case "key":
                return {"external_id": self._key(), "locale": self._random.choice(["fr", None])}
            case "email":
                return {"email": self._address()}
            case _:
                return {"location_city": self._random.choice(["Turin", None]), "last_name": "D"}

    def _version(self) -> int | None:
        """Return an expected version: None for any, 1 for the present one, 0 for the previous one."""
        return self._random.choice([None, None, 1, 1, 0])

    def _version_of(self, user_id: UUID) -> int:
        row = self._sides.truth.users.get(user_id)
        return 1 if row is None else row.version


def _changed(profile: Profile, changes: dict[str, object]) -> Profile:
    dates = {**profile.dates, **changes.get("dates", {})}  # type: ignore[dict-item]
    profile = replace(profile, **{name: value for name, value in changes.items() if name != "dates"})  # type: ignore[arg-type]
    return replace(profile, dates={code: day for code, day in dates.items() if day is not None})


def _replan(before: Profile, after: Profile, now: datetime) -> list[DesiredMessage]:
    changed = {
        code: after.dates.get(code) for code in [*before.dates, *(c for c in after.dates if c not in before.dates)]
    }
    return desired_messages(RULES, changed, after.timezone, now=now)
