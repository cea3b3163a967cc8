"""Draws calls of the ports of PostgreSQL from a seed, as nodes, people and clocks would make them, or stranger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import TypeVar
from uuid import UUID

from service.domain.calendar import LeapDay
from service.domain.messages import UNSENT, Answer, Outcome, Status
from service.domain.users import Profile, User
from service.planning import Rules, days, horizon, instants, wanted
from service.ports import Claim, Claimed, Due, NodeBeat, Pulse, Recorded, Result, Shifted, UnsentDay, Wanted
from tests.contracts.sides import LATE_LIMIT, RELEASES, Sides
from tests.fakes.rows import MessageRow
from tests.fakes.truth import OCCASIONS

T = TypeVar("T")

BEGINS = (
    datetime(2027, 2, 26, 3, tzinfo=UTC),
    datetime(2026, 12, 30, 22, 15, tzinfo=UTC),
    datetime(2028, 2, 27, 12, tzinfo=UTC),
    datetime(2027, 3, 27, 9, tzinfo=UTC),
)
"""Before a 28 February, a New Year, a 29 February, and a change to summer time."""

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

RULES = Rules(time(9), LeapDay.FEB28, OCCASIONS)

ADDRESSES = 20
"""Few enough that some are taken."""

OUTCOMES: tuple[tuple[Status, Outcome | None, int | None, str | None], ...] = (
    (Status.SENT, Outcome.ACCEPTED, 200, None),
    (Status.SENT, Outcome.ACCEPTED, 202, None),
    (Status.FAILED, Outcome.REFUSED, 422, "refused"),
    (Status.RETRYING, Outcome.REJECTED, 503, "busy"),
    (Status.RETRYING, Outcome.REJECTED, None, "no connection"),
    (Status.FAILED, Outcome.REJECTED, 500, "its attempts are spent"),
    (Status.RETRYING, Outcome.UNKNOWN, None, "no answer in time"),
    (Status.UNKNOWN, Outcome.UNKNOWN, None, "no answer in time"),
    (Status.RETRYING, None, None, None),
)
"""What becomes of a claim: the state to move to, the outcome (None: no attempt was made), its status code and error."""


class Driver:
    """Makes one call after another; what it knows is in the rows of the fake and in the claims that it was given."""

    def __init__(self, sides: Sides, random: Random) -> None:
        self._sides = sides
        self._random = random
        self._fence = 1
        self._claims: list[Claim] = []
        """Every claim that was given, also those that were lost."""
        self._beats: list[NodeBeat] = []
        self._stuck: list[tuple[UUID, int]] = []
        self._unsent: list[UnsentDay] = []
        self._steps: dict[Callable[[], Awaitable[None]], int] = {
            self.create: 6,
            self.create_many: 3,
            self.change: 16,
            self.delete: 4,
            self.read_users: 2,
            self.announce: 6,
            self.plan: 5,
            self.move_clock: 10,
            self.claim_due: 16,
            self.claim_for_sending: 18,
            self.record: 14,
            self.take_back: 4,
            self.take_back_claim: 2,
            self.take_back_lost: 2,
            self.sending_for: 3,
            self.free_claims: 5,
            self.bury: 3,
            self.redrive: 4,
            self.count: 4,
            self.enter: 3,
            self.beat: 3,
            self.end: 3,
            self.leave: 1,
            self.look_at_zones: 4,
            self.follow_zones: 4,
            self.fall_back: 1,
        }

    async def begin(self) -> None:
        """A few nodes and users, and what is planned for them."""
        for _ in range(2):
            await self.enter()
        for _ in range(4):
            await self.create_many()
        await self.announce()

    async def step(self) -> None:
        """One call, or a few that belong together."""
        [step] = self._random.choices(list(self._steps), weights=list(self._steps.values()))
        await step()

    # --- users -------------------------------------------------------------------------------------------------

    async def create(self) -> None:
        profile = self._profile()
        given = self._wanted(profile)
        await self._sides.ask(
            f"create {profile}",
            lambda side: side.users.create(profile, given),
            release=self._release(),
            users=lambda user: [user.id],
        )

    async def create_many(self) -> None:
        profiles = [self._profile() for _ in range(self._random.randint(1, 4))]
        rows = [(profile, self._wanted(profile)) for profile in profiles]
        await self._sides.ask(
            f"create_many {profiles}",
            lambda side: side.users.create_many(rows),
            release=self._release(),
            users=lambda ids: [user for user in ids if user is not None],
            comparable=lambda ids: [user is not None for user in ids],
        )

    async def change(self) -> None:
        user_id, version = self._user(), self._version()
        changes = self._changes()
        given_version = version and self._version_of(user_id) + version - 1

        def edit(user: User) -> Profile:
            dates = {**user.profile.dates, **changes.get("dates", {})}  # type: ignore[dict-item]
            profile = replace(user.profile, **{name: value for name, value in changes.items() if name != "dates"})  # type: ignore[arg-type]
            return replace(profile, dates={code: day for code, day in dates.items() if day is not None})

        await self._sides.ask(
            f"change {user_id} of version {given_version}: {changes}",
            lambda side: side.users.change(user_id, edit, _replan, version=given_version),
            release=self._release(),
        )

    async def delete(self) -> None:
        user_id, version = self._user(), self._version()
        given_version, erase = version and self._version_of(user_id) + version - 1, self._random.random() < 0.4
        await self._sides.ask(
            f"delete {user_id} of version {given_version}, erase: {erase}",
            lambda side: side.users.delete(user_id, version=given_version, erase=erase),
        )

    async def read_users(self) -> None:
        user_id, some = self._user(), self._random.choice
        after, email = some([None, user_id]), some([None, None, self._address()])
        zone, birthday = some([None, some(ZONES)]), some([None, self._date().month * 100 + self._date().day])
        await self._sides.ask(f"get {user_id}", lambda side: side.users.get(user_id))
        await self._sides.ask(
            f"page after {after}, {email}, {zone}, {birthday}",
            lambda side: side.users.page(after=after, limit=5, email=email, timezone=zone, birthday=birthday),
        )

    # --- planning ----------------------------------------------------------------------------------------------

    async def announce(self) -> None:
        now, job = self._sides.at, self._random.choice(["daily", "daily", "recovery"])
        scheduled_at = now.replace(minute=0)
        up_to = horizon(now) - timedelta(hours=self._random.choice([0, 0, 24, 40]))
        announced = self._sides.truth.planned_up_to
        found = days(RULES, announced, up_to) if announced < up_to else []
        incarnation = self._incarnation()
        await self._sides.ask(
            f"announce {job} of {scheduled_at} up to {up_to}",
            lambda side: side.planning.announce(job, scheduled_at, incarnation=incarnation, up_to=up_to, days=found),
        )
        for _ in range(self._random.choice([0, 5, 100])):
            if self._sides.truth.plan_ranges:
                await self.plan()

    async def plan(self) -> None:
        older, limit = self._random.choice([0, 0, 3600]), self._random.choice([3, 100])
        open_ranges = await self._sides.ask(
            f"open_ranges older than {older} s, up to {limit}",
            lambda side: side.planning.open_ranges(older_than=older, limit=limit),
        )
        number = self._random.choice(open_ranges or [1])
        release = self._release()
        await self._sides.ask(
            f"plan {number} with {release}",
            lambda side: side.planning.plan(number, lambda found: instants(RULES, found), tzdata=release),
            release=release,
        )

    async def move_clock(self) -> None:
        at, due = self._sides.at, sorted(row.due_at for row in self._rows(Status.SCHEDULED, Status.RETRYING))
        ahead = [instant for instant in due if instant > at]
        choices = [
            at + timedelta(seconds=self._random.choice([0.25, 1, 10])),
            at + timedelta(minutes=self._random.randint(1, 90)),
            at + timedelta(hours=self._random.randint(1, 8)),
            *(self._random.choice(ahead) for _ in range(4) if ahead),
            *(ahead[:1] * 6),
        ]
        if self._random.random() < 0.1:
            choices = [
                at - timedelta(hours=1),
                at - timedelta(seconds=2),
                at + timedelta(days=self._random.randint(1, 3)),
            ]
        await self._sides.set_clock(self._random.choice(choices))

    # --- messages on their way ---------------------------------------------------------------------------------

    async def claim_due(self) -> None:
        self._fence = max(1, self._fence + self._random.choice([0, 0, 0, 0, 1, -1]))
        fence, incarnation = self._fence, self._incarnation()
        due_at = {row.id: row.due_at for row in self._sides.truth.messages.values()}
        limit = self._whole_groups(self._random.choice([0, 1, 2, 5, 100]))
        late_limit = self._random.choice([LATE_LIMIT, timedelta(hours=36), timedelta(hours=2), timedelta(minutes=90)])

        def comparable(due: Due) -> object:
            # Those due at one instant have no order.
            return [(sorted(ids), [due_at[message] for message in ids]) for ids in (due.queued, due.expired)]

        await self._sides.ask(
            f"claim_due up to {limit} by {incarnation} with fence {fence}, late after {late_limit}",
            lambda side: side.messages.claim_due(
                fence=fence, incarnation=incarnation, limit=limit, late_limit=late_limit
            ),
            comparable=comparable,
        )

    async def take_back(self) -> None:
        ids, incarnation = self._some(Status.QUEUED), self._incarnation()
        await self._sides.ask(
            f"take_back {ids} of {incarnation}",
            lambda side: side.messages.take_back(ids, incarnation=incarnation),
        )

    async def take_back_claim(self) -> None:
        incarnation = self._incarnation()
        await self._sides.ask(
            f"take_back_claim of {incarnation}", lambda side: side.messages.take_back_claim(incarnation=incarnation)
        )

    async def take_back_lost(self) -> None:
        queued_for = timedelta(seconds=self._random.choice([0, 30, 600]))
        await self._sides.ask(
            f"take_back_lost, queued for {queued_for}",
            lambda side: side.messages.take_back_lost(queued_for=queued_for),
        )

    async def claim_for_sending(self) -> None:
        ids, incarnation = self._some(Status.QUEUED, most=10), self._incarnation()

        def comparable(claimed: list[Claimed]) -> object:
            return sorted(claimed, key=lambda one: one.claim.id)

        claimed = await self._sides.ask(
            f"claim_for_sending {ids} by {incarnation}",
            lambda side: side.messages.claim_for_sending(ids, incarnation=incarnation),
            comparable=comparable,
        )
        self._claims += [one.claim for one in claimed or []]

    async def record(self) -> None:
        at = 1000.0
        mine = {claim: self._result(claim, at) for claim in self._some_claims()}
        results = list(mine.values())
        self._random.shuffle(results)

        def comparable(recorded: list[Recorded]) -> object:
            return sorted(recorded, key=lambda one: one.id)

        await self._sides.ask(
            f"record {results}", lambda side: side.messages.record(results, at=at), comparable=comparable
        )

    async def sending_for(self) -> None:
        seconds = self._random.choice([0.0, 15.0, 300.0])
        found = await self._sides.ask(f"sending_for {seconds} s", lambda side: side.messages.sending_for(seconds))
        rows = self._sides.truth.messages
        self._stuck += sorted(found or set(), key=lambda stuck: _place(rows[stuck[0]]))

    async def free_claims(self) -> None:
        stuck = {one for one in self._stuck if self._random.random() < 0.5}
        stuck |= {(claim.id, claim.attempt) for claim in self._some_claims() if self._random.random() < 0.2}
        hold, attempts = self._random.random() < 0.3, self._random.choice([1, 2, 3, 10])
        await self._sides.ask(
            f"free_claims of {stuck}, hold: {hold}, after {attempts} attempts",
            lambda side: side.messages.free_claims(stuck, hold=hold, attempts=attempts),
        )

    async def bury(self) -> None:
        await self._sides.ask("unburied", lambda side: side.messages.unburied())
        ids = self._some(Status.FAILED)
        await self._sides.ask(f"buried {ids}", lambda side: side.messages.buried(ids))

    async def redrive(self) -> None:
        ids = self._some(Status.FAILED, Status.UNKNOWN, Status.EXPIRED)
        await self._sides.ask(f"redrive {ids}", lambda side: side.messages.redrive(ids), comparable=sorted)

    async def count(self) -> None:
        limit = self._random.choice([0, 2, 1000])

        def comparable(pulse: Pulse) -> object:
            return pulse.now, pulse.rate, pulse.next_due

        await self._sides.ask("pulse", lambda side: side.messages.pulse(), comparable=comparable)
        await self._sides.ask(f"outstanding up to {limit}", lambda side: side.messages.outstanding(limit))
        await self._sides.ask("open_by_status", lambda side: side.messages.open_by_status())
        await self._sides.ask(
            "oldest_due_age",
            lambda side: side.messages.oldest_due_age(),
            comparable=lambda age: None if self._queued_first() > 1 else age,
        )
        await self._sides.ask("planned", lambda side: side.planning.planned())
        await self._sides.ask("occasions", lambda side: side.planning.occasions())

    # --- nodes -------------------------------------------------------------------------------------------------

    async def enter(self) -> None:
        name, release = self._random.choice("abc"), self._release()
        await self._sides.ask(f"enter {name} with {release}", lambda side: side.nodes.enter(name), release=release)

    async def beat(self) -> None:
        incarnation = self._incarnation()
        await self._sides.ask(f"beat {incarnation}", lambda side: side.nodes.beat(incarnation))
        self._beats += await self._sides.ask("living", lambda side: side.nodes.living()) or []

    async def end(self) -> None:
        if self._beats:
            seen = self._random.choice(self._beats)
            await self._sides.ask(f"end {seen}", lambda side: side.nodes.end(seen))

    async def leave(self) -> None:
        incarnation = self._incarnation()
        await self._sides.ask(f"leave {incarnation}", lambda side: side.nodes.leave(incarnation))

    # --- zone data ---------------------------------------------------------------------------------------------

    async def look_at_zones(self) -> None:
        release = self._release()

        def in_order(unsent: list[UnsentDay]) -> list[UnsentDay]:
            return sorted(unsent, key=lambda one: (one.send_at, one.timezone, repr(one.day)))

        await self._sides.ask(f"followed by {release}", lambda side: side.zone_data.followed(), release=release)
        unsent = await self._sides.ask(
            f"unsent by {release}", lambda side: side.zone_data.unsent(), release=release, comparable=in_order
        )
        self._unsent = in_order(unsent or [])

    async def follow_zones(self) -> None:
        release, truth = self._release(), self._sides.truth
        shifted = [
            Shifted(one, one.send_at + timedelta(hours=self._random.choice([-1, 1, 24])))
            for one in self._unsent
            if self._random.random() < 0.3
        ]
        ends_at = truth.planned_up_to
        starts_at = ends_at - timedelta(hours=26)
        again = self._random.sample(found := days(RULES, starts_at, ends_at), min(2, len(found)))
        await self._sides.ask(
            f"follow {release}: {shifted}, and {again} again",
            lambda side: side.zone_data.follow(shifted, days=again, starts_at=starts_at, ends_at=ends_at),
            release=release,
        )

    async def fall_back(self) -> None:
        release = self._release()
        await self._sides.ask(f"fall_back to {release}", lambda side: side.zone_data.fall_back(), release=release)

    # --- what is drawn -----------------------------------------------------------------------------------------

    def _release(self) -> str:
        return self._random.choices(RELEASES, weights=[6, 2, 1])[0]

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

    def _user(self) -> UUID:
        if self._random.random() < 0.03:
            return UUID(int=0xDEAD)
        on_the_wire = [row.user_id for row in self._rows(Status.SENDING)]
        on_its_way = [row.user_id for row in self._rows(*UNSENT)]
        anybody = sorted(self._sides.truth.users)
        users = self._random.choice([on_the_wire, on_the_wire, on_its_way, anybody])
        return self._random.choice(users or anybody)

    def _incarnation(self) -> int:
        """Mostly of a node that lives."""
        nodes = self._sides.truth.nodes
        living = [number for number, row in nodes.items() if not row.ended]
        return self._random.choice(living or [1]) if self._random.random() < 0.9 else self._random.choice([*nodes, 99])

    def _rows(self, *statuses: Status) -> list[MessageRow]:
        rows = self._sides.truth.messages.values()
        found = [row for row in rows if row.status in statuses]
        return sorted(found, key=_place)

    def _some(self, *statuses: Status, most: int = 4) -> list[UUID]:
        """Ids of some messages in these states, and of a few in any, and of none."""
        rows = self._rows(*statuses)
        ids = [row.id for row in self._random.sample(rows, min(most, len(rows)))]
        others = [row.id for row in self._rows(*Status)]
        strange: Iterable[UUID] = [*self._random.sample(others, min(2, len(others))), UUID(int=0xDEAD)]
        return list(dict.fromkeys([*ids, *(one for one in strange if self._random.random() < 0.3)]))

    def _some_claims(self) -> list[Claim]:
        """Some claims under way, and perhaps one that was lost long ago."""
        rows = self._sides.truth.messages
        open_claims = [
            claim
            for claim in self._claims
            if claim.id in rows and rows[claim.id].status is Status.SENDING and rows[claim.id].attempt == claim.attempt
        ]
        mine = self._random.sample(open_claims, self._random.randint(0, len(open_claims)))
        late = self._random.sample(self._claims, min(1, len(self._claims))) if self._random.random() < 0.3 else []
        return list(dict.fromkeys([*mine, *late]))

    def _result(self, claim: Claim, at: float) -> Result:
        status, outcome, status_code, error = self._random.choice(OUTCOMES)
        duration = self._random.choice([0.25, 1.5, 10.0])
        answer = None if outcome is None else Answer(outcome, duration, status_code, error)
        delay = timedelta(seconds=self._random.choice([0, 1, 60, 3600])) if status is Status.RETRYING else timedelta()
        return Result(claim, status, answer, at - duration - self._random.choice([0.0, 0.5]), delay)

    def _queued_first(self) -> int:
        """Of how many instants those are that were queued first together: which of them counts is open."""
        queued = self._rows(Status.QUEUED)
        first = min((row.queued_at for row in queued if row.queued_at), default=None)
        return len({row.due_at for row in queued if row.queued_at == first})

    def _whole_groups(self, limit: int) -> int:
        """A limit that does not cut through messages due at one instant: which of them it takes is open."""
        due = sorted(
            row.due_at for row in self._rows(Status.SCHEDULED, Status.RETRYING) if row.due_at <= self._sides.at
        )
        while 0 < limit < len(due) and due[limit - 1] == due[limit]:
            limit += 1
        return limit


def _place(row: MessageRow) -> tuple[UUID, str, int]:
    """What a message is known by, the same in every run: its own id is not."""
    return row.user_id, row.occasion, row.local_year


def _replan(before: Profile, after: Profile, now: datetime) -> list[Wanted]:
    changed = {
        code: after.dates.get(code) for code in [*before.dates, *(c for c in after.dates if c not in before.dates)]
    }
    return wanted(RULES, changed, after.timezone, now=now)
