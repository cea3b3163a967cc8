"""The users of the wave, and the settings of the nodes."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from random import Random

import orjson
import pytest

from actors.commands.chaos.configuration import configure
from actors.commands.chaos.fleet import why_not_relayed
from actors.commands.chaos.options import ChaosOptions
from actors.commands.chaos.wave import DAYS_AHEAD, Wave, choose
from service.domain.calendar import LeapDay, occurrence
from service.settings import BadConfiguration

TODAY = datetime(2027, 2, 24, 13, tzinfo=UTC)


def wave(seed: int, *, today: datetime = TODAY, at: time = time(9), leap_day: LeapDay = LeapDay.FEB28) -> Wave:
    """The wave of a seed."""
    return choose(today, 100, Random(seed), at=at, leap_day=leap_day)


@pytest.mark.parametrize("at", [time(9), time(8, 30)])
@pytest.mark.parametrize("today", [TODAY, datetime(2028, 2, 24, 1, tzinfo=UTC), datetime(2027, 3, 9, tzinfo=UTC)])
def test_every_user_of_the_wave_is_due_at_its_instant(today: datetime, at: time) -> None:
    """This holds on the last day of February, on a leap day, and at a clock change."""
    for seed in range(20):
        found = wave(seed, today=today, at=at)
        people = [orjson.loads(line) for line in found.people(0, 100)]

        assert len(found.zones) >= 5
        assert found.due > today + timedelta(days=DAYS_AHEAD - 1)
        for number, person in enumerate(people):
            born = date.fromisoformat(person.get("birthdayDate") or person["anniversaryDate"])
            due = found.due_of(number, uuid.uuid4())
            assert occurrence(born, person["timezone"], due.local_year, at=at).send_at == found.due
            assert (due.occasion == "birthday") is ("birthdayDate" in person)


def test_a_seed_repeats_the_wave() -> None:
    """The wave also depends on the current day."""
    assert wave(3) == wave(3)
    assert len({wave(seed).due for seed in range(20)}) > 5


def options(**changes: str) -> ChaosOptions:
    """A rehearsal of 1,000 greetings."""
    return ChaosOptions(3, 1000, 1, ("kill-node",), **changes)  # type: ignore[arg-type]  # fields by name


def test_the_settings_of_the_environment_are_rehearsed() -> None:
    """The nodes use the settings of the operator, except those that lead out of the rehearsal."""
    found = configure(
        {
            "HEYDAY_EMAIL_TIMEOUT": "7s",
            "HEYDAY_UNKNOWN_OUTCOME": "hold",
            "HEYDAY_EMAIL_CONCURRENCY": "40",
            "HEYDAY_EMAIL_URL": "https://email.example.com",
            "HEYDAY_DATABASE_URL": "postgresql://production/heyday",
            "HEYDAY_API_KEYS_FILE": "/run/secrets/keys",
            "HEYDAY_RATE_LIMIT": "1/s",
            "PATH": "/bin",
        },
        options(),
        seconds=14.0,
    )

    assert (found.nodes["HEYDAY_EMAIL_TIMEOUT"], found.nodes["HEYDAY_EMAIL_CONCURRENCY"]) == ("7s", "40")
    assert found.settings.unknown_outcome == "hold"
    assert found.nodes["HEYDAY_RATE_LIMIT"] == "off"
    assert not {"HEYDAY_EMAIL_URL", "HEYDAY_DATABASE_URL", "HEYDAY_API_KEYS_FILE", "PATH"} & found.nodes.keys()


def test_a_real_email_service_has_no_part_in_a_rehearsal() -> None:
    """Neither its form, which the fake one does not speak, nor a second one, nor the addresses that it may write to."""
    found = configure(
        {
            "HEYDAY_EMAIL_URL_FILE": "/run/secrets/url",
            "HEYDAY_EMAIL_FORMAT": "postmark",
            "HEYDAY_EMAIL_TOKEN": "live-3c1f5b0e",
            "HEYDAY_EMAIL_HTML_FILE": "/etc/heyday/greeting.html",
            "HEYDAY_EMAIL_UNSUBSCRIBE": "mailto:bye@example.com",
            "HEYDAY_EMAIL_FALLBACK_URL": "https://second.example.com",
            "HEYDAY_EMAIL_RATE": "50/s",
            "HEYDAY_ONLY_TO": "@staff.example.com",
            "HEYDAY_TRACES": "https://collector.example.com",
        },
        options(),
        seconds=14.0,
    )

    assert [name for name in found.nodes if name not in configure({}, options(), seconds=14.0).nodes] == [
        "HEYDAY_EMAIL_RATE"
    ]


def test_the_servers_of_the_environment_are_used_only_on_request() -> None:
    """A shell may contain the URLs of production."""
    environment = {"HEYDAY_DATABASE_URL": "postgresql://staging/heyday", "HEYDAY_REDIS_URL": "redis://staging"}

    assert configure(environment, options(), seconds=14.0).settings.database_url != environment["HEYDAY_DATABASE_URL"]
    given = configure(environment, options(servers="environment"), seconds=14.0).settings
    assert (given.database_url, given.redis_url) == tuple(environment.values())
    with pytest.raises(BadConfiguration, match="HEYDAY_DATABASE_URL is not set"):
        configure({}, options(servers="environment"), seconds=14.0)


def test_every_mistake_in_the_environment_is_reported() -> None:
    """All mistakes are reported together."""
    with pytest.raises(BadConfiguration, match=r"(?s)HEYDAY_LATE_LIMIT.*HEYDAY_EMAIL_TIMEOUT"):
        configure({"HEYDAY_EMAIL_TIMEOUT": "soon", "HEYDAY_LATE_LIMIT": "never"}, options(), seconds=14.0)


@pytest.mark.parametrize(
    ("url", "can"),
    [
        ("postgresql://heyday:secret@db/heyday?sslmode=require", True),
        ("postgresql://db/heyday?sslmode=verify-full", False),
        ("postgresql://one,two/heyday", False),
        ("redis://redis", True),
        ("rediss://redis", False),
        ("unix:///run/redis.sock", False),
        ("amqp://rabbit/", True),
        ("amqps://rabbit/", False),
    ],
)
def test_a_connection_that_is_bound_to_its_host_is_not_relayed(url: str, can: bool) -> None:
    """The relay does not have the certificate of the host."""
    assert (why_not_relayed(url) is None) is can
