"""The configuration: what each variable means, and what is said of a mistake."""

from __future__ import annotations

from dataclasses import asdict
from datetime import time, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from service.domain.calendar import LeapDay
from service.settings import (
    BadConfiguration,
    Rate,
    Secret,
    Settings,
    UnknownOutcome,
    read,
    read_calendar,
    read_database_url,
)

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
        ("EMAIL_RATE", "90/m", "email_rate", Rate(1.5, 60)),
        ("RATE_LIMIT", "off", "rate_limit", None),
        ("UNKNOWN_OUTCOME", "hold", "unknown_outcome", UnknownOutcome.HOLD),
        ("BIND", "[::1]:0", "bind_host", "::1"),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("NODE_ID", "node-1.example", "node_id", "node-1.example"),
        ("EMAIL_CONCURRENCY", " 7 ", "email_concurrency", 7),
        ("EMAIL_CONCURRENCY", "", "email_concurrency", Settings.email_concurrency),
        ("DATABASE_URL", "postgresql:///d?host=/run/pg", "database_url", "postgresql:///d?host=/run/pg"),
        ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
        ("RABBITMQ_URL", "amqps://u:p@h/vhost", "rabbitmq_url", "amqps://u:p@h/vhost"),
        ("BIND", "localhost:0", "bind_port", 0),
        ("TRUSTED_PROXIES", "10.0.0.0/8", "trusted_proxies", (ip_network("10.0.0.0/8"),)),
        ("EMAIL_RATE", "1/h", "email_rate", Rate(1 / 3600, 3600)),
        ("EMAIL_ATTEMPTS", "1", "email_attempts", 1),
        ("EMAIL_BACKOFF", "5s", "email_backoff", timedelta(seconds=5)),
        ("EMAIL_BACKOFF_LIMIT", "1h", "email_backoff_limit", timedelta(hours=1)),
        ("CIRCUIT_FAILURES", "3", "circuit_failures", 3),
        ("CIRCUIT_RESET", "1m", "circuit_reset", timedelta(minutes=1)),
        ("DELIVERY_ACTORS", "8", "delivery_actors", 8),
        ("DATABASE_CONNECTIONS", "4", "database_connections", 4),
        ("DAILY_CRON", "0 0 29 2 *", "daily_cron", "0 0 29 2 *"),
        ("MINUTE_CRON", "*/2 * * * *", "minute_cron", "*/2 * * * *"),
        ("RECOVERY_CRON", "0 * * MAR FRI", "recovery_cron", "0 * * MAR FRI"),
        ("DRAIN_WITHIN", "5s", "drain_within", timedelta(seconds=5)),
        ("LOG_FORMAT", "console", "log_format", "console"),
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
        ("SEND_AT", "0٩:00"),
        ("LATE_LIMIT", "9" * 400 + "d"),
        ("EMAIL_TIMEOUT", "0.0001ms"),
        ("EMAIL_RATE", "0.5/h"),
        ("EMAIL_RATE", "9" * 400),
        ("EMAIL_ATTEMPTS", "0"),
        ("EMAIL_BACKOFF", "fast"),
        ("EMAIL_BACKOFF_LIMIT", "1 hour"),
        ("CIRCUIT_FAILURES", "-1"),
        ("CIRCUIT_RESET", "15"),
        ("DELIVERY_ACTORS", "101"),
        ("DATABASE_CONNECTIONS", "3"),
        ("MINUTE_CRON", "@daily"),
        # Dates that never come crash whoever asks for the latest; random instants are other ones each time.
        ("RECOVERY_CRON", "0 0 30 2 *"),
        ("RECOVERY_CRON", "R * * * *"),
        ("RECOVERY_CRON", "r(0-9) * * * *"),
        ("RATE_LIMIT", "none"),
        ("DRAIN_WITHIN", "0s"),
        ("LOG_LEVEL", "trace"),
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
    settings = read(LEAST | {"HEYDAY_RABBITMQ_URL": "amqp://u:sesame@h", "HEYDAY_API_KEYS": "sesame,sesame-too"})

    assert "sesame" not in mistake
    assert "sesame" not in repr(settings) + str(settings) + repr(asdict(settings))
    assert repr(Secret("sesame")) == "'***'"
    # It is still the string that libraries need.
    assert f"{settings.rabbitmq_url}" == "amqp://u:sesame@h"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DATABASE_URL", "postgresql://u:sesame@h:port/d"),
        ("REDIS_URL", "sesame"),
        ("TRACES", "collector:4318"),
        ("EMAIL_URL", "http://[sesame"),
        ("RABBITMQ_URL", "rabbitmq://u:sesame@h"),
    ],
)
def test_a_mistake_in_a_secret_says_what_was_expected_without_its_value(variable: str, text: str) -> None:
    """The message goes to a log, and perhaps into a ticket."""
    (mistake,) = mistakes(**{variable: text})

    assert mistake.startswith(f"HEYDAY_{variable}='***': expected a URL such as ")
    assert "sesame" not in mistake


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "EMAIL_URL", "RABBITMQ_URL", "API_KEYS"])
def test_every_secret_may_come_from_a_file(tmp_path: Path, variable: str) -> None:
    """As the reference says of each of them; the file of the keys is remembered, to be read again."""
    name = f"HEYDAY_{variable}"
    text = ({"HEYDAY_RABBITMQ_URL": "amqp://u:p@h", "HEYDAY_API_KEYS": "key"} | LEAST)[name]
    file = tmp_path / "secret"
    file.write_text(f"{text}\n", encoding="utf-8")

    settings = read(LEAST | {name: "", f"{name}_FILE": str(file)})

    assert getattr(settings, variable.lower()) == (("key",) if variable == "API_KEYS" else text)
    assert settings.api_keys_file == (file if variable == "API_KEYS" else None)


def test_a_secret_file_that_is_no_text_or_empty_is_a_mistake(tmp_path: Path) -> None:
    """A volume that was not filled must not look like a choice."""
    binary, empty = tmp_path / "binary", tmp_path / "empty"
    binary.write_bytes(b"\xff\xfe sesame")
    empty.touch()

    (unreadable,) = mistakes(API_KEYS_FILE=str(binary))
    (missing,) = mistakes(EMAIL_URL="", EMAIL_URL_FILE=str(empty))

    assert unreadable.startswith(f"HEYDAY_API_KEYS_FILE={str(binary)!r}: expected a readable file")
    assert "sesame" not in unreadable
    assert missing.startswith("HEYDAY_EMAIL_URL is not set: expected a URL such as http")


@pytest.mark.parametrize("lacks", ["the exporter", "all of it"])
def test_traces_without_what_they_need_are_a_mistake_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """Found at start, rather than by an operator who looks for traces in vain."""

    def find(_name: str) -> None:
        if lacks == "all of it":
            raise ModuleNotFoundError("opentelemetry")

    assert read(LEAST | {"HEYDAY_TRACES": "http://collector:4318"}).traces_url == "http://collector:4318"
    monkeypatch.setattr("service.settings.find_spec", find)

    [mistake] = mistakes(TRACES="http://collector:4318")

    assert mistake.endswith("pip install 'heyday[tracing]'")
    assert read(LEAST).traces_url is None


def test_a_migration_needs_the_database_only() -> None:
    """It runs before anything else is there."""
    assert read_database_url({"HEYDAY_DATABASE_URL": "postgresql://h/d"}) == "postgresql://h/d"
    with pytest.raises(BadConfiguration, match="HEYDAY_DATABASE_URL is not set"):
        read_database_url({"HEYDAY_REDIS_URL": "redis://h"})


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
