"""The traffic that locust makes: users are created, read, changed, listed, imported and deleted.

It runs in its own process (loadtest/stress/swarm.py starts it), because importing locust patches the interpreter.
Every user's day is two days ahead or far away. The first are planned, and planned again after a change, but no user
is greeted during the traffic. So the email service's log has only the greetings of the scenario.
"""

from __future__ import annotations

import json
import random
from argparse import ArgumentParser
from collections import deque
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.env import Environment

from loadtest.stress.shapes import Shape, parse

USERS = "/api/v1/users"
MESSAGES = "/api/v1/messages"
ZONES = ("Europe/London", "Asia/Tokyo", "America/New_York", "Australia/Melbourne", "UTC", "Asia/Kolkata")

OWN_AT_MOST = 20
"""Users kept by one user of locust, so that locust itself does not grow in an hour of traffic."""

IMPORTED = 20
"""Users of one import."""

BUSY_FOR = "10"
"""Retry-After of a node with as many imports as it does at once: the client must wait; this is not an error."""

_prefix, _number = uuid4().hex[:12], count(1)


def add_options(parser: ArgumentParser) -> None:
    """Add the options that swarm.py passes."""
    parser.add_argument("--shape", required=True, help="SECONDS:USERS,…")
    parser.add_argument("--each", type=float, required=True, help="requests per second of each user")
    parser.add_argument("--known", type=Path, required=True, help="a file of ids of existing users")


_known: list[str] = []


def read_known(environment: Environment, **_: Any) -> None:
    """Read the ids of existing users."""
    assert environment.parsed_options is not None
    _known.extend(environment.parsed_options.known.read_text(encoding="utf-8").split())


_events: Any = events  # they have no types
_events.init_command_line_parser.add_listener(add_options)
_events.init.add_listener(read_known)


class GivenShape(LoadTestShape):
    """The shape from the command line."""

    _shape: Shape | None = None

    def tick(self) -> tuple[int, float] | None:
        """Return the wanted users, and the users to start per second."""
        if self._shape is None:
            assert self.runner is not None
            options = self.runner.environment.parsed_options
            assert options is not None
            self._shape = parse(options.shape, options.each)
        clock: Any = self.get_run_time  # which has no types
        return self._shape.tick(clock())


def day() -> str:
    """Return a birthday: in half of the cases the day after tomorrow, otherwise weeks away."""
    today: date = datetime.now(UTC).date()
    ahead = 2 if random.random() < 0.5 else random.randint(20, 300)
    return (today + timedelta(days=ahead)).replace(year=1988).isoformat()


def person() -> dict[str, str]:
    """Return a user with a unique address."""
    return {
        "firstName": "Ada",
        "lastName": f"No {next(_number)}",
        "email": f"{_prefix}.{next(_number)}@example.com",
        "timezone": random.choice(ZONES),
        "birthdayDate": day(),
        "locationCity": "London",
    }


class Client(FastHttpUser):
    """A client of the API: one request after another, at an even pace."""

    connection_timeout = 30.0
    network_timeout = 30.0

    def on_start(self) -> None:
        """Start without users of its own."""
        options = self.environment.parsed_options
        assert options is not None
        self._pace = constant_throughput(options.each)
        self._own: deque[str] = deque()

    def wait_time(self) -> float:
        """Return the seconds until the next request."""
        return float(self._pace(self))

    @task(20)
    def create(self) -> None:
        """Create a user, or delete one if there are enough."""
        if len(self._own) >= OWN_AT_MOST:
            self.delete()
        elif (made := self._ask("POST", USERS, (201,), json=person())) is not None:
            self._own.append(made["id"])

    @task(36)
    def read(self) -> None:
        """Read a user."""
        self._ask("GET", f"{USERS}/{self._any_known()}", (200,), name=f"{USERS}/{{id}}")

    @task(12)
    def change(self) -> None:
        """Move one of its users to another time zone or day."""
        if not self._own:
            self.create()
            return
        change = {"timezone": random.choice(ZONES)} if random.random() < 0.5 else {"birthdayDate": day()}
        self._ask("PATCH", f"{USERS}/{self._own[0]}", (200,), name=f"{USERS}/{{id}}", json=change)

    @task(6)
    def page(self) -> None:
        """Read a page of users."""
        self._ask("GET", f"{USERS}?limit=50", (200,), name=f"{USERS}?limit=50")

    @task(6)
    def find(self) -> None:
        """Search users by day and time zone."""
        born = f"{random.randint(1, 12):02}-{random.randint(1, 28):02}"
        path = f"{USERS}?birthday={born}&timezone={random.choice(ZONES)}&limit=20"
        self._ask("GET", path, (200,), name=f"{USERS}?birthday=&timezone=")

    @task(8)
    def messages_of(self) -> None:
        """Read the messages of a user."""
        self._ask("GET", f"{USERS}/{self._any_known()}/messages", (200,), name=f"{USERS}/{{id}}/messages")

    @task(3)
    def messages(self) -> None:
        """List scheduled messages."""
        self._ask("GET", f"{MESSAGES}?status=scheduled&limit=20", (200,), name=f"{MESSAGES}?status=")

    @task(1)
    def preview(self) -> None:
        """Preview one hour of tomorrow."""
        begin = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
        window = f"from={begin:%Y-%m-%dT%H:%M:%SZ}&to={begin + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        self._ask("GET", f"/api/v1/preview?{window}&limit=20", (200,), name="/api/v1/preview")

    @task(1)
    def forecast(self) -> None:
        """Read the forecast."""
        self._ask("GET", "/api/v1/forecast?hours=24", (200,), name="/api/v1/forecast")

    @task(1)
    def bring_in(self) -> None:
        """Import some users."""
        lines = "\n".join(json.dumps(person()) for _ in range(IMPORTED)) + "\n"
        kind = {"Content-Type": "application/x-ndjson"}
        path = f"{USERS}:import"
        with self.client.post(path, data=lines, headers=kind, name=path, catch_response=True) as answer:
            if answer.status_code == 503 and answer.headers.get("Retry-After") == BUSY_FOR:
                answer.request_meta["name"] = f"{path}, told to wait"
                answer.success()
            elif answer.status_code != 200:
                answer.failure(_failure(answer))
            elif (answer.text or "").count('"status":201') != IMPORTED:
                answer.failure("not every line of an import was answered with 201")

    @task(6)
    def delete(self) -> None:
        """Delete one of its users."""
        if not self._own:
            self.create()
            return
        self._ask("DELETE", f"{USERS}/{self._own.popleft()}", (204,), name=f"{USERS}/{{id}}")

    def _any_known(self) -> str:
        return random.choice(self._own) if self._own and random.random() < 0.5 else random.choice(_known)

    def _ask(self, method: str, path: str, good: tuple[int, ...], name: str | None = None, **words: Any) -> Any:
        """Make a request; return the JSON of the answer, or None for a failure or an empty body."""
        with self.client.request(method, path, name=name or path, catch_response=True, **words) as answer:
            if answer.status_code not in good:
                answer.failure(_failure(answer))
                return None
            return answer.json() if answer.text else None


def _failure(answer: Any) -> str:
    return str(answer.status_code or type(answer.error).__name__)
