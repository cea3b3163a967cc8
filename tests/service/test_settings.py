"""The configuration: what each variable means, and what is said of a mistake."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest

from service.domain.calendar import LeapDay
from service.settings import BadConfiguration, Rate, Secret, Settings, UnknownOutcome, read, read_calendar

LEAST = {
    "HEYDAY_DATABASE_URL": "postgresql://user:sesame@db/heyday",
    "HEYDAY_REDIS_URL": "rediss://:sesame@redis:6380/0",
    "HEYDAY_EMAIL_URL": "https://mail.example.com/v1",
}


def mistakes(**variables: str) -> list[str]:
    """What is said of these variables, beside those that must be there."""
    with pytest.raises(BadConfiguration) as bad:
        read(LEAST | {f"HEYDAY_{name}": value for name, value in variables.items()})
    return bad.value.mistakes


def test_three_urls_are_enough() -> None:
    """Every other setting has a default, which is the documented one."""
    settings = read(LEAST)

    assert settings.rabbitmq_url is None
    assert (settings.bind_host, settings.bind_port) == ("127.0.0.1", 8080)
    assert (settings.send_at, settings.leap_day) == (time(9), LeapDay.FEB28)
    assert settings.late_limit == timedelta(hours=48)
    assert settings.unknown_outcome is UnknownOutcome.RESEND
    assert settings.email_timeout == timedelta(seconds=10)
    assert settings.email_rate is None
    assert settings.rate_limit == Rate(100.0)
    assert (settings.daily_cron, settings.minute_cron, settings.recovery_cron) == (
        "0 0 * * *",
        "* * * * *",
        "*/10 * * * *",
    )
    assert read(LEAST).node_id != settings.node_id


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("SEND_AT", "08:30:15", "send_at", time(8, 30, 15)),
        ("LEAP_DAY", "mar1", "leap_day", LeapDay.MAR1),
        ("LATE_LIMIT", "2d", "late_limit", timedelta(days=2)),
        ("EMAIL_TIMEOUT", "500ms", "email_timeout", timedelta(milliseconds=500)),
        ("EMAIL_RATE", "50", "email_rate", Rate(50.0)),
        ("EMAIL_RATE", "90/m", "email_rate", Rate(1.5)),
        ("RATE_LIMIT", "off", "rate_limit", None),
        ("UNKNOWN_OUTCOME", "hold", "unknown_outcome", UnknownOutcome.HOLD),
        ("BIND", "[::1]:0", "bind_host", "::1"),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("NODE_ID", "node-1.example", "node_id", "node-1.example"),
        ("EMAIL_CONCURRENCY", " 7 ", "email_concurrency", 7),
        ("EMAIL_CONCURRENCY", "", "email_concurrency", Settings.email_concurrency),
    ],
)
def test_a_variable_is_read(variable: str, text: str, field: str, value: object) -> None:
    """As the reference says; an empty one is as good as none."""
    assert getattr(read(LEAST | {f"HEYDAY_{variable}": text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SEND_AT", "9:00"),
        ("SEND_AT", "24:00"),
        ("LEAP_DAY", "feb29"),
        ("LATE_LIMIT", "0s"),
        ("LATE_LIMIT", "48"),
        ("LATE_LIMIT", "-1h"),
        ("LATE_LIMIT", "400d"),
        ("EMAIL_RATE", "0"),
        ("EMAIL_RATE", "fast"),
        ("EMAIL_CONCURRENCY", "0"),
        ("EMAIL_CONCURRENCY", "٣"),
        ("EMAIL_CONCURRENCY", "1e3"),
        ("DAILY_CRON", "0 0 * *"),
        ("DAILY_CRON", "0 0 0 * * *"),
        ("DAILY_CRON", "61 * * * *"),
        ("BIND", "8080"),
        ("BIND", "127.0.0.1:70000"),
        ("NODE_ID", "a b"),
        ("LOG_FORMAT", "xml"),
        ("UNKNOWN_OUTCOME", "retry"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ],
)
def test_a_mistake_names_the_variable_its_value_and_what_was_expected(variable: str, text: str) -> None:
    """So that it can be put right without the documentation."""
    (mistake,) = mistakes(**{variable: text})

    assert mistake.startswith(f"HEYDAY_{variable}={text!r}: expected ")


def test_every_mistake_is_reported_together() -> None:
    """Whoever sets up a node wants to hear of them once."""
    with pytest.raises(BadConfiguration) as bad:
        read({"HEYDAY_SEND_AT": "noon", "HEYDAY_BIND": "0.0.0.0:80", "HEYDAY_REDIS_URL": "http://sesame"})

    assert [mistake.split()[0].split("=")[0].rstrip(":") for mistake in bad.value.mistakes] == [
        "HEYDAY_DATABASE_URL",
        "HEYDAY_REDIS_URL",
        "HEYDAY_EMAIL_URL",
        "HEYDAY_SEND_AT",
        "HEYDAY_API_KEYS",
    ]


def test_a_secret_never_shows_its_value() -> None:
    """Not in a mistake, not in a repr, not in the repr of all settings."""
    (mistake,) = mistakes(DATABASE_URL="oracle://sesame")

    assert "sesame" not in mistake
    assert "sesame" not in repr(read(LEAST))
    assert repr(Secret("sesame")) == "'***'"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """As orchestrators hand them over; a newline at its end is not part of it."""
    file = tmp_path / "secret"
    file.write_text("redis://:sesame@redis/0\n")
    environment = LEAST | {"HEYDAY_REDIS_URL": "", "HEYDAY_REDIS_URL_FILE": str(file)}

    assert read(environment).redis_url == "redis://:sesame@redis/0"


def test_a_secret_twice_or_in_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """Which of the two is meant cannot be guessed."""
    assert "both set" in mistakes(REDIS_URL_FILE=str(tmp_path / "secret"))[0]
    assert "expected a readable file" in mistakes(REDIS_URL="", REDIS_URL_FILE=str(tmp_path / "secret"))[0]


@pytest.mark.parametrize(
    ("host", "mistaken"), [("127.0.0.1", False), ("[::1]", False), ("localhost", False), ("192.0.2.1", True)]
)
def test_without_keys_only_this_machine_is_served(host: str, mistaken: bool) -> None:
    """An API that deletes users must not be open to a network by mistake."""
    environment = LEAST | {"HEYDAY_BIND": f"{host}:8080"}

    if mistaken:
        assert mistakes(BIND=f"{host}:8080")[0].startswith("HEYDAY_API_KEYS is not set")
    else:
        assert read(environment).api_keys == ()
    assert read(environment | {"HEYDAY_API_KEYS": "one, two,"}).api_keys == ("one", "two")


def test_the_calendar_needs_no_servers() -> None:
    """`heyday when` reads two variables, and cares for no other."""
    assert read_calendar({"HEYDAY_SEND_AT": "07:00", "HEYDAY_REDIS_URL": "rubbish"}) == (time(7), LeapDay.FEB28)
    with pytest.raises(BadConfiguration):
        read_calendar({"HEYDAY_LEAP_DAY": "never"})
