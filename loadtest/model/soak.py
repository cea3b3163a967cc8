"""Edits users through the API of several nodes, moves business time, and compares what left with the model."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import cycle
from random import Random
from time import monotonic
from typing import Any

import aiohttp

from actors.commands.sandbox.email_stub import EmailStub
from loadtest.model.rules import Greeting, Model, Person

BEGIN = datetime(2027, 2, 26, 0, 5, tzinfo=UTC)
"""Before the leap day of a common year, and the changes of clocks in March. All edits are made five minutes past a full
hour, and greetings are due at quarters of an hour: no edit races with one."""

ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "America/St_Johns"),
    *("America/Sao_Paulo", "Asia/Tokyo", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Sydney", "Australia/Eucla"),
    *("Pacific/Auckland", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Honolulu", "Africa/Cairo", "Asia/Tehran"),
)

HOURS = (time(9), time(9), time(8, 30), time(10), time(12, 15), time(7))

LATE = 90.0
"""Seconds of real time within which everything due must have left, on a busy machine."""

LOST_ANSWERS = 0.1
"""Share of the calls that are accepted and get no answer. heyday repeats them with the same key."""

POLL_INTERVAL = 0.1

ODD = "odd"
"""The begin of addresses at which the email service may fail for a while."""

LEAST_PEOPLE = 40

IMPORTED = 10
"""People in one import."""

OPEN = "queued,sending,retrying"


@dataclass
class Findings:
    """The steps and the differences of a soak."""

    rounds: int = 0
    greetings: int = 0
    edits: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Soak:
    """One soak. `urls` are the nodes; `set_clock` moves business time, which goes on at normal speed."""

    def __init__(
        self,
        urls: Sequence[str],
        stub: EmailStub,
        set_clock: Callable[[datetime], Awaitable[None]],
        *,
        seed: int,
        model: Model | None = None,
    ) -> None:
        self.found = Findings()
        self._urls = cycle(urls)
        self._stub = stub
        self._set_clock = set_clock
        self._rng = Random(seed)
        self._model = model or Model({"birthday": time(9), "anniversary": time(9)})
        self._now = BEGIN
        self._ids: dict[str, str] = {}
        self._texts = {
            "birthday": {"Hey, {} it's your birthday"},
            "anniversary": {"Hey, {} it's your anniversary"},
        }
        """By occasion: the texts that may leave now, with a place for the name."""
        self._holds: dict[str | None, str] = {}
        self._read = 0
        self._keys: Counter[str | None] = Counter()
        """The acceptances of each key until the last comparison."""
        self._calls: list[str] = []
        """The edits of this round."""
        self._numbers = 0
        self._http: aiohttp.ClientSession | None = None

    async def run(self, *, until: Callable[[Findings], bool]) -> Findings:
        """Make rounds until `until` is true, or something is wrong. Raises what aiohttp raises."""
        await self._set_clock(self._now)
        self._stub.change(self._stub.options.changed({"errorRate": 0.1, "acceptThenFailRate": LOST_ANSWERS}))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as self._http:
            for _ in range(LEAST_PEOPLE // IMPORTED):
                await self._import()
            while not self.found.wrong and not until(self.found):
                await self._round()
                self.found.rounds += 1
        return self.found

    async def _round(self) -> None:
        edits = (
            *(self._create, self._create, self._import, self._move, self._move, self._redate, self._delete),
            *(self._set_hour, self._set_text, self._hold, self._release),
        )
        self._calls.clear()
        for edit in self._rng.choices(edits, k=self._rng.randint(4, 12)):
            if await edit():
                name = edit.__name__.strip("_")
                self.found.edits[name] += 1
                if must := self._model.advance(self._now):
                    # What this edit has made due leaves now. Else the next edit would race with it.
                    await self._compare(f"after {name}", must)
        await self._compare("after the edits", self._model.advance(self._now))
        for texts in self._texts.values():
            newest = max(texts, key=_version)
            texts.intersection_update({newest})
        fails = self._rng.random() < 0.3
        self._stub.change(self._stub.options.changed({"failFor": ODD if fails else ""}))
        self._now += timedelta(hours=self._rng.choice((1, 3, 7, 13, 24, 30)))
        await self._set_clock(self._now)
        must = self._model.advance(self._now)
        if fails:
            await self._accepted({one for one in must if not one[0].startswith(ODD)})
            self._stub.change(self._stub.options.changed({"failFor": ""}))
            await self._redrive()
        await self._compare("after the clock moved", must)

    # --- edits -------------------------------------------------------------------------------------------------------

    def _person(self, email: str | None = None) -> Person:
        rng = self._rng
        if email is None:
            self._numbers += 1
            email = f"{rng.choice((ODD, 'even', 'even'))}{self._numbers}@example.com"
        near = self._now.date() + timedelta(days=rng.randint(-1, 4))
        if near.month == 2 and rng.random() < 0.3:
            near = date(2028, 2, 29)
        days = {"birthday": near.replace(year=1988)}
        if rng.random() < 0.4:
            # Some began this year: there is no greeting in the year of the date itself.
            began = self._now.date() - timedelta(days=rng.randint(1, 300))
            far = self._now.date() + timedelta(days=rng.randint(-1, 4))
            days["anniversary"] = began if rng.random() < 0.2 else far.replace(year=2004, day=min(far.day, 28))
        return Person(email, f"Ada {email.partition('@')[0]}", rng.choice(ZONES), days)

    async def _create(self) -> bool:
        person = self._person()
        self._ids[person.email] = (await self._call("POST", "/users", _as_json(person)))["id"]
        self._model.create(person, self._now)
        return True

    async def _import(self) -> bool:
        people = [self._person() for _ in range(IMPORTED)]
        lines = "".join(json.dumps(_as_json(person)) + "\n" for person in people)
        answer = await self._call("POST", "/users:import", lines, kind="application/x-ndjson")
        for person, line in zip(people, answer.splitlines(), strict=True):
            self._ids[person.email] = json.loads(line)["id"]
            self._model.create(person, self._now)
        return True

    async def _move(self) -> bool:
        life = self._anybody()
        moved = Person(life.email, life.name, self._rng.choice(ZONES), life.days)
        await self._call("PATCH", f"/users/{self._ids[life.email]}", {"timezone": moved.zone})
        self._model.change(moved, self._now)
        return True

    async def _redate(self) -> bool:
        life = self._anybody()
        birthday = self._person(life.email).days["birthday"]
        await self._call("PATCH", f"/users/{self._ids[life.email]}", {"birthdayDate": birthday.isoformat()})
        self._model.change(Person(life.email, life.name, life.zone, {**life.days, "birthday": birthday}), self._now)
        return True

    async def _delete(self) -> bool:
        if len(self._model.lives) <= LEAST_PEOPLE:
            return False
        life = self._anybody()
        await self._call("DELETE", f"/users/{self._ids[life.email]}", None)
        self._model.delete(life.email)
        return True

    async def _set_hour(self) -> bool:
        occasion, hour = self._rng.choice(("birthday", "anniversary")), self._rng.choice(HOURS)
        await self._call("PATCH", f"/occasions/{occasion}", {"sendAt": hour.isoformat("minutes")})
        self._model.set_hour(occasion, hour, self._now)
        return True

    async def _set_text(self) -> bool:
        occasion = self._rng.choice(("birthday", "anniversary"))
        self._numbers += 1
        await self._call("PATCH", f"/occasions/{occasion}", {"text": f"{{full_name}}: {occasion} #{self._numbers}"})
        self._texts[occasion].add(f"{{}}: {occasion} #{self._numbers}")
        return True

    async def _hold(self) -> bool:
        if self._holds:
            return False
        occasion = self._rng.choice((None, "birthday", "anniversary"))
        body = {"reason": "a soak"} | ({"occasion": occasion} if occasion else {})
        self._holds[occasion] = (await self._call("POST", "/holds", body))["id"]
        self._model.hold(occasion)
        return True

    async def _release(self) -> bool:
        released = list(self._holds.items())
        for occasion, hold in released:
            await self._call("POST", f"/holds/{hold}:release", None)
            del self._holds[occasion]
            self._model.release(occasion)
        return bool(released)

    async def _redrive(self) -> None:
        await self._call("POST", "/messages:redrive", {"status": "failed"})
        self.found.edits["redrive"] += 1

    def _anybody(self) -> Person:
        return self._rng.choice([life.person for life in self._model.lives.values()])

    async def _call(self, method: str, path: str, body: Any, *, kind: str = "application/json") -> Any:
        assert self._http is not None
        data = None if body is None else body if isinstance(body, str) else json.dumps(body)
        headers = {"Content-Type": kind} if data is not None else {}
        url = f"{next(self._urls)}/api/v1{path}"
        if method != "GET":
            self._calls.append(f"{method} {url} {body}")
        async with self._http.request(method, url, data=data, headers=headers) as response:
            text = await response.text()
            if response.status >= 300:
                raise aiohttp.ClientError(f"{method} {path} {body}: {response.status} {text[:300]}")
            return json.loads(text) if response.content_type == "application/json" else text

    # --- comparing ---------------------------------------------------------------------------------------------------

    async def _accepted(self, must: set[Greeting]) -> None:
        """Wait until these have left, or until it is too late."""
        give_up = monotonic() + LATE
        wanted = Counter((email, occasion) for email, occasion, _ in must)
        while monotonic() < give_up:
            there = Counter((email, occasion) for email, occasion, _ in self._since_last())
            if not wanted - there:
                return
            await asyncio.sleep(POLL_INTERVAL)

    def _since_last(self) -> list[tuple[str, str, str]]:
        """Address, occasion and text of what has left since the last comparison.

        A service that honours keys delivers the calls of one key once.
        """
        found = {}
        for block in self._stub.ledger.acceptances(since=self._read):
            for one in block:
                if one.key not in self._keys:
                    occasion = "birthday" if "birthday" in one.message else "anniversary"
                    found[one.key] = (one.email, occasion, one.message)
        return list(found.values())

    async def _unknown_outcomes(self, key: str | None) -> int:
        """The attempts without an answer at the message of this key. Each explains one repetition."""
        timeline = (await self._call("GET", f"/messages/{key}", None))["timeline"]
        return sum(one["event"] == "attempt" and one["outcome"] == "unknown" for one in timeline)

    async def _compare(self, when: str, must: set[Greeting]) -> None:
        """Wait for what must leave, then for the end of all work, and name every difference."""
        await self._accepted(must)
        give_up = monotonic() + LATE
        while monotonic() < give_up:
            if self._holds or not (await self._call("GET", f"/messages?status={OPEN}&limit=1", None))["items"]:
                break
            await asyncio.sleep(POLL_INTERVAL)
        left = self._since_last()
        accepted = {one.key: one.email for block in self._stub.ledger.acceptances(since=self._read) for one in block}
        self._keys.update(one.key for block in self._stub.ledger.acceptances(since=self._read) for one in block)
        self._read = self._stub.ledger.accepted
        self.found.greetings += len(left)
        wanted = Counter((email, occasion) for email, occasion, _ in must)
        there = Counter((email, occasion) for email, occasion, _ in left)
        wrong = [f"missing: {one}" for one in (wanted - there).elements()]
        for email, occasion in (there - wanted).elements():
            allowed = sorted(one for one in self._model.possible if one[:2] == (email, occasion))
            if allowed:
                self._model.possible.discard(allowed[0])
                self._model.done.add(allowed[0])
                life = self._model.lives.get(email)
                if life is not None:
                    life.pending.pop(allowed[0][1:], None)
            else:
                wrong.append(f"too much: {(email, occasion)}")
        for key, email in accepted.items():
            again = self._keys[key] - 1
            if again and (unknown := await self._unknown_outcomes(key)) < again:
                wrong.append(f"accepted {again + 1} times for '{email}', after {unknown} unknown outcomes: {key}")
        for email, occasion, message in left:
            name = f"Ada {email.partition('@')[0]}"
            if message not in {text.format(name) for text in self._texts[occasion]}:
                wrong.append(f"another text for {(email, occasion)}: {message}")
        if wrong:
            people = {one.partition("'")[2].partition("'")[0] for one in wrong}
            lives = [f"{life}" for email, life in self._model.lives.items() if email in people]
            lives += [f"{await self._call('GET', f'/users/{self._ids[one]}/explanation', None)}" for one in people]
            self.found.wrong += [
                f"round {self.found.rounds}, {when}, {self._now:%Y-%m-%d %H:%M}:",
                *wrong,
                *lives,
                *self._calls,
            ]


def _version(text: str) -> int:
    return int(text.rpartition("#")[2]) if "#" in text else 0


def _as_json(person: Person) -> dict[str, Any]:
    first, _, last = person.name.partition(" ")
    return {
        "firstName": first,
        "lastName": last,
        "email": person.email,
        "timezone": person.zone,
        **{f"{occasion}Date": day.isoformat() for occasion, day in person.days.items()},
    }
