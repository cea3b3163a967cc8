"""Calls of the port `Users`: people who come, move, change their days and leave, and take each other's addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

from service.domain.users import Profile, User
from service.planning import wanted
from service.ports import Wanted
from tests.contracts.chance import Chance
from tests.contracts.sides import RULES, Sides

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

ADDRESSES = 20
"""Few enough that some are taken."""


class People:
    """Makes them."""

    def __init__(self, sides: Sides, chance: Chance) -> None:
        self._sides = sides
        self._chance = chance
        self._random = chance.random
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.create: 6,
            self.create_many: 3,
            self.change: 16,
            self.delete: 4,
            self.read: 2,
        }

    async def create(self) -> None:
        profile = self._profile()
        given = self._wanted(profile)
        await self._sides.ask(
            f"create {profile}",
            lambda side: side.users.create(profile, given),
            release=self._chance.release(),
            users=lambda user: [user.id],
        )

    async def create_many(self) -> None:
        profiles = [self._profile() for _ in range(self._random.randint(1, 4))]
        rows = [(profile, self._wanted(profile)) for profile in profiles]
        await self._sides.ask(
            f"create_many {profiles}",
            lambda side: side.users.create_many(rows),
            release=self._chance.release(),
            users=lambda ids: [user for user in ids if user is not None],
            comparable=lambda ids: [user is not None for user in ids],
        )

    async def change(self) -> None:
        user_id, version = self._chance.user(), self._version()
        changes = self._changes()
        given_version = version and self._version_of(user_id) + version - 1

        def edit(user: User) -> Profile:
            dates = {**user.profile.dates, **changes.get("dates", {})}  # type: ignore[dict-item]
            profile = replace(user.profile, **{name: value for name, value in changes.items() if name != "dates"})  # type: ignore[arg-type]
            return replace(profile, dates={code: day for code, day in dates.items() if day is not None})

        await self._sides.ask(
            f"change {user_id} of version {given_version}: {changes}",
            lambda side: side.users.change(user_id, edit, _replan, version=given_version),
            release=self._chance.release(),
        )

    async def delete(self) -> None:
        user_id, version = self._chance.user(), self._version()
        given_version, erase = version and self._version_of(user_id) + version - 1, self._random.random() < 0.4
        await self._sides.ask(
            f"delete {user_id} of version {given_version}, erase: {erase}",
            lambda side: side.users.delete(user_id, version=given_version, erase=erase),
        )

    async def read(self) -> None:
        user_id, some = self._chance.user(), self._random.choice
        after, email = some([None, user_id]), some([None, None, self._address()])
        zone, birthday = some([None, some(ZONES)]), some([None, self._date().month * 100 + self._date().day])
        await self._sides.ask(f"get {user_id}", lambda side: side.users.get(user_id))
        await self._sides.ask(
            f"page after {after}, {email}, {zone}, {birthday}",
            lambda side: side.users.page(after=after, limit=5, email=email, timezone=zone, birthday=birthday),
        )

    def _address(self) -> str:
        address = f"ada{self._random.randrange(ADDRESSES)}@example.com"
        return self._random.choice([address, address, address.upper()])

    def _date(self) -> date:
        """A day around now, of another year."""
        around = self._sides.at.date() + timedelta(days=self._random.randint(-3, 4))
        leap = self._random.random() < 0.1
        return (
            date(1992, 2, 29)
            if leap
            else around.replace(year=1991, day=min(around.day, 28 if around.month == 2 else 31))
        )

    def _profile(self) -> Profile:
        dates = {"birthday": self._date()} if self._random.random() < 0.9 else {}
        if self._random.random() < 0.4:
            dates["anniversary"] = self._date()
        return Profile("Ada", self._random.choice("ABC"), self._address(), self._random.choice(ZONES), dates)

    def _wanted(self, profile: Profile) -> list[Wanted]:
        return wanted(RULES, dict(profile.dates), profile.timezone, now=self._sides.at)

    def _changes(self) -> dict[str, object]:
        kind = self._random.choice(
            ["timezone", "timezone", "birthday", "birthday", "no birthday", "anniversary", "email", "city"]
        )
        match kind:
            case "timezone":
                return {"timezone": self._random.choice(ZONES)}
            case "birthday" | "anniversary":
                return {"dates": {kind: self._date()}}
            case "no birthday":
                return {"dates": {"birthday": None}}
            case "email":
                return {"email": self._address()}
            case _:
                return {"location_city": self._random.choice(["Turin", None]), "last_name": "D"}

    def _version(self) -> int | None:
        """None: any; 1: the present one; 0: the one before."""
        return self._random.choice([None, None, 1, 1, 0])

    def _version_of(self, user_id: UUID) -> int:
        row = self._sides.truth.users.get(user_id)
        return 1 if row is None else row.version


def _replan(before: Profile, after: Profile, now: datetime) -> list[Wanted]:
    changed = {
        code: after.dates.get(code) for code in [*before.dates, *(c for c in after.dates if c not in before.dates)]
    }
    return wanted(RULES, changed, after.timezone, now=now)
