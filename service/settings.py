"""Every setting of a node, read once from the environment; every mistake is reported together.

A setting is named after its variable. Every secret may also be given as NAME_FILE, the path of a file that holds it.
"""

from __future__ import annotations

import ipaddress
import math
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from croniter import CroniterBadDateError, croniter

from service.domain.calendar import LeapDay

T = TypeVar("T")

DEFAULT_BIND = ("127.0.0.1", 8080)
"""Host and port of the API: nobody else's business until somebody says so."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UnknownOutcome(StrEnum):
    """What becomes of a message whose attempt ended without an answer."""

    RESEND = "resend"
    """It is sent again under the same Idempotency-Key."""
    HOLD = "hold"
    """It waits for a person in state `unknown`."""


class BadConfiguration(Exception):
    """The environment has mistakes; `mistakes` has a line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Secret(str):
    """A string that does not show itself in a repr, a log or a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls per second, told as a number in so many `seconds`: 5/m is another way to say 1/12, and lets five
    requests of a client come at once."""

    per_second: float
    seconds: float = 1.0

    @property
    def at_once(self) -> int:
        """The number that was told, of requests that may come at once."""
        return max(1, math.floor(self.per_second * self.seconds + 1e-9))


@dataclass(frozen=True)  # no slots: the reader takes defaults from the class
class Settings:
    """What a node was told. Durations are timedeltas, rates are per second."""

    database_url: Secret
    redis_url: Secret
    email_url: Secret
    rabbitmq_url: Secret | None = None
    bind_host: str = "127.0.0.1"
    bind_port: int = 8080
    api_keys: tuple[Secret, ...] = ()
    api_keys_file: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    send_at: time = time(9)
    leap_day: LeapDay = LeapDay.FEB28
    late_limit: timedelta = timedelta(hours=48)
    unknown_outcome: UnknownOutcome = UnknownOutcome.RESEND
    email_timeout: timedelta = timedelta(seconds=10)
    email_concurrency: int = 100
    email_rate: Rate | None = None
    email_attempts: int = 10
    email_backoff: timedelta = timedelta(seconds=1)
    email_backoff_limit: timedelta = timedelta(minutes=15)
    circuit_failures: int = 20
    circuit_reset: timedelta = timedelta(seconds=15)
    delivery_actors: int = 4
    database_connections: int = 10
    cluster: str | None = None
    daily_cron: str = "0 0 * * *"
    minute_cron: str = "* * * * *"
    recovery_cron: str = "*/10 * * * *"
    rate_limit: Rate | None = Rate(100)
    drain_within: timedelta = timedelta(seconds=20)
    log_level: str = "info"
    log_format: str = "json"
    traces_url: Secret | None = None
    node_id: str = field(default_factory=lambda: f"{socket.gethostname()}-{secrets.token_hex(3)}")


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises BadConfiguration with every mistake in it."""
    reader = _Reader(environment)
    host, port = reader.value("BIND", _bind, DEFAULT_BIND)
    settings = Settings(
        database_url=reader.secret("DATABASE_URL", _url("postgresql", "postgres"), required=True) or Secret(),
        redis_url=reader.secret("REDIS_URL", _url("redis", "rediss", "unix"), required=True) or Secret(),
        email_url=reader.secret("EMAIL_URL", _url("http", "https"), required=True) or Secret(),
        rabbitmq_url=reader.secret("RABBITMQ_URL", _url("amqp", "amqps")),
        bind_host=host,
        bind_port=port,
        api_keys=_keys(reader.secret("API_KEYS", Secret) or ""),
        api_keys_file=reader.file("API_KEYS"),
        trusted_proxies=reader.value("TRUSTED_PROXIES", _networks, ()),
        send_at=reader.value("SEND_AT", _time, time(9)),
        leap_day=reader.value("LEAP_DAY", _choice(LeapDay), LeapDay.FEB28),
        late_limit=reader.value("LATE_LIMIT", _duration, Settings.late_limit),
        unknown_outcome=reader.value("UNKNOWN_OUTCOME", _choice(UnknownOutcome), UnknownOutcome.RESEND),
        email_timeout=reader.value("EMAIL_TIMEOUT", _duration, Settings.email_timeout),
        email_concurrency=reader.value("EMAIL_CONCURRENCY", _whole(1, 10_000), Settings.email_concurrency),
        email_rate=reader.value("EMAIL_RATE", _rate, None),
        email_attempts=reader.value("EMAIL_ATTEMPTS", _whole(1, 1000), Settings.email_attempts),
        email_backoff=reader.value("EMAIL_BACKOFF", _duration, Settings.email_backoff),
        email_backoff_limit=reader.value("EMAIL_BACKOFF_LIMIT", _duration, Settings.email_backoff_limit),
        circuit_failures=reader.value("CIRCUIT_FAILURES", _whole(1, 10_000), Settings.circuit_failures),
        circuit_reset=reader.value("CIRCUIT_RESET", _duration, Settings.circuit_reset),
        delivery_actors=reader.value("DELIVERY_ACTORS", _whole(1, 100), Settings.delivery_actors),
        database_connections=reader.value("DATABASE_CONNECTIONS", _whole(4, 1000), Settings.database_connections),
        cluster=reader.value("CLUSTER", _name, None),
        daily_cron=reader.value("DAILY_CRON", _cron, Settings.daily_cron),
        minute_cron=reader.value("MINUTE_CRON", _cron, Settings.minute_cron),
        recovery_cron=reader.value("RECOVERY_CRON", _cron, Settings.recovery_cron),
        rate_limit=reader.value("RATE_LIMIT", _rate, Settings.rate_limit),
        drain_within=reader.value("DRAIN_WITHIN", _duration, Settings.drain_within),
        log_level=reader.value("LOG_LEVEL", _one_of("debug", "info", "warning", "error"), "info"),
        log_format=reader.value("LOG_FORMAT", _one_of("json", "console"), "json"),
        traces_url=reader.secret("TRACES", _traces),
        **reader.given("NODE_ID", _name, "node_id"),
    )
    if not settings.api_keys and not is_loopback(settings.bind_host):
        reader.mistake("API_KEYS", "", f"at least one key, because HEYDAY_BIND={host}:{port} is not a loopback address")
    if reader.mistakes:
        raise BadConfiguration(reader.mistakes)
    return settings


def read_calendar(environment: Mapping[str, str]) -> tuple[time, LeapDay]:
    """Only what the calendar needs: local time of day and leap-day rule. Raises BadConfiguration."""
    reader = _Reader(environment)
    found = (
        reader.value("SEND_AT", _time, Settings.send_at),
        reader.value("LEAP_DAY", _choice(LeapDay), Settings.leap_day),
    )
    if reader.mistakes:
        raise BadConfiguration(reader.mistakes)
    return found


@dataclass(frozen=True, slots=True)
class PlanningSettings:
    """What planning goes by, and where."""

    database_url: Secret
    send_at: time
    leap_day: LeapDay
    late_limit: timedelta


def read_planning(environment: Mapping[str, str]) -> PlanningSettings:
    """Only what it takes to say what planning does. Raises BadConfiguration."""
    reader = _Reader(environment)
    settings = PlanningSettings(
        reader.secret("DATABASE_URL", _url("postgresql", "postgres"), required=True) or Secret(),
        reader.value("SEND_AT", _time, Settings.send_at),
        reader.value("LEAP_DAY", _choice(LeapDay), Settings.leap_day),
        reader.value("LATE_LIMIT", _duration, Settings.late_limit),
    )
    if reader.mistakes:
        raise BadConfiguration(reader.mistakes)
    return settings


def read_bind(environment: Mapping[str, str]) -> tuple[str, int]:
    """Only the host and the port that a node listens on. Raises BadConfiguration."""
    reader = _Reader(environment)
    bind = reader.value("BIND", _bind, DEFAULT_BIND)
    if reader.mistakes:
        raise BadConfiguration(reader.mistakes)
    return bind


def read_database_url(environment: Mapping[str, str]) -> Secret:
    """Only where the database is. Raises BadConfiguration."""
    reader = _Reader(environment)
    url = reader.secret("DATABASE_URL", _url("postgresql", "postgres"), required=True)
    if url is None:
        raise BadConfiguration(reader.mistakes)
    return url


class _Reader:
    """Reads variables one by one and remembers what was wrong with each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.mistakes: list[str] = []

    def mistake(self, name: str, value: str, expected: str) -> None:
        shown = f"={value!r}" if value else " is not set"
        self.mistakes.append(f"HEYDAY_{name}{shown}: expected {expected}")

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._environment.get(f"HEYDAY_{name}", "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.mistake(name, text, str(error))
            return default

    def given(self, name: str, parse: Callable[[str], str], argument: str) -> dict[str, str]:
        value = self.value(name, parse, "")
        return {argument: value} if value else {}

    def file(self, name: str) -> Path | None:
        """Where a secret is read from, if it is a file: so that it can be read again."""
        file = self._environment.get(f"HEYDAY_{name}_FILE", "").strip()
        return Path(file) if file else None

    def secret(self, name: str, parse: Callable[[str], Secret], *, required: bool = False) -> Secret | None:
        """A secret, from its variable or from the file that NAME_FILE names; its value is never shown."""
        text = self._environment.get(f"HEYDAY_{name}", "").strip()
        file = self._environment.get(f"HEYDAY_{name}_FILE", "").strip()
        if text and file:
            self.mistakes.append(f"HEYDAY_{name} and HEYDAY_{name}_FILE are both set: expected one of them")
            return None
        if file:
            try:
                text = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self.mistakes.append(f"HEYDAY_{name}_FILE={file!r}: expected a readable file ({error})")
                return None
        try:
            if text:
                return parse(text)
        except ValueError as error:
            self.mistakes.append(f"HEYDAY_{name}='***': expected {error}")
        else:
            if required:
                self.mistakes.append(f"HEYDAY_{name} is not set: expected {_required(parse)}")
        return None


def _required(parse: Callable[[str], Secret]) -> str:
    try:
        parse("")
    except ValueError as error:
        return str(error)
    return "a value"


def _url(*schemes: str) -> Callable[[str], Secret]:
    expected = f"a URL such as {schemes[0]}://host:port/…"

    def parse(text: str) -> Secret:
        try:
            parts = urlsplit(text)
            _ = parts.port  # raises where it is no number
        except ValueError:
            raise ValueError(expected) from None
        if parts.scheme not in schemes or not (parts.hostname or parts.path.strip("/") or parts.query):
            raise ValueError(expected)
        return Secret(text)

    return parse


def _traces(text: str) -> Secret:
    url = _url("http", "https")(text)
    try:
        installed = find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        installed = False
    if not installed:
        raise ValueError("the packages that traces need to be installed, by: pip install 'heyday[tracing]'")
    return url


def _bind(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("HOST:PORT such as 127.0.0.1:8080 or [::]:8080")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _keys(text: str) -> tuple[Secret, ...]:
    return tuple(Secret(key.strip()) for key in text.split(",") if key.strip())


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("addresses or networks, comma separated, such as 10.0.0.0/8,192.0.2.7") from None


def _time(text: str) -> time:
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", text):
        return time.fromisoformat(text)
    raise ValueError("a local time of day as HH:MM or HH:MM:SS")


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(text: str) -> timedelta:
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text):
        seconds = float(match[1]) * _UNITS[match[2]]
        # What is below a microsecond is no time at all.
        if seconds <= 366 * 86400 and (duration := timedelta(seconds=seconds)):
            return duration
    raise ValueError("a duration above zero and up to a year, such as 500ms, 10s, 15m, 48h or 2d")


def _rate(text: str) -> Rate | None:
    if text == "off":
        return None
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", text):
        seconds = _UNITS[match[2] or "s"]
        per_second = float(match[1]) / seconds
        if 1 / 3600 <= per_second <= 1_000_000:
            return Rate(per_second, seconds)
    raise ValueError("a rate from 1/h to 1000000/s, such as 100/s or 6000/m, or off")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"a whole number from {least} to {most}")

    return parse


def _choice(kind: Callable[[str], T]) -> Callable[[str], T]:
    def parse(text: str) -> T:
        try:
            return kind(text)
        except ValueError:
            values = [str(member) for member in kind]  # type: ignore[attr-defined]  # an enum class is iterable
            raise ValueError("one of " + ", ".join(values)) from None

    return parse


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() in values:
            return text.lower()
        raise ValueError("one of " + ", ".join(values))

    return parse


def _cron(text: str) -> str:
    # croniter also takes instants that it picks itself (H and R), and dates that never come, such as 30 February.
    if len(text.split()) == 5 and croniter.is_valid(text) and not re.search(r"\b[hr]\b", text, re.IGNORECASE):
        try:
            croniter(text, datetime(2000, 1, 1, tzinfo=UTC)).get_next()
        except CroniterBadDateError:
            pass
        else:
            return text
    raise ValueError("a cron expression of five fields, in UTC, such as */10 * * * *")


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", text):
        return text
    raise ValueError("up to 100 letters, digits, dots, dashes and underscores")
