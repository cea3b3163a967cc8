"""Every setting of a node, read once from the environment; all errors are reported together.

A setting has the name of its variable. Every secret may also be given as NAME_FILE, the path of a file that holds it.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from importlib.util import find_spec
from pathlib import Path

from service import email_access
from service.api_keys import ApiKey, checked_api_keys, parse_api_keys, strongest_secret
from service.bind_settings import DEFAULT_BIND
from service.cron_settings import cron, has_cron_gap
from service.database_url import database_url
from service.domain.calendar import LeapDay
from service.domain.email_formats import EmailFormat, keys_last
from service.domain.messages import EmailServiceName
from service.domain.planning import HORIZON
from service.domain.suppressions import only_to
from service.email_event_secrets import (
    EmailEventSecret,
    checked_email_event_secrets,
    parse_email_event_secrets,
)
from service.email_settings import (
    SMTP_CONCURRENCY,
    EmailServiceSettings,
    UnknownOutcome,
    default_outcome,
    email_url,
    is_smtp,
    read_fallback,
    refuse_contradictions,
    refuse_mail_options,
)
from service.environment import (
    BadConfiguration,
    Environment,
    Network,
    Rate,
    Secret,
    SecretFile,
    UnknownVariable,
    bind_text,
    duration,
    host_and_port,
    is_loopback,
    member_of,
    name,
    networks,
    one_of,
    origins,
    rate,
    time_of_day,
    url,
    whole_number,
)
from service.limits import LOG_LEVELS, MAX_CONCURRENCY, shown
from service.store_urls import rabbitmq_url, redis_url

__all__ = [
    "BadConfiguration",
    "EmailServiceSettings",
    "PlanningSettings",
    "Rate",
    "Secret",
    "Settings",
    "UnknownOutcome",
    "UnknownVariable",
    "is_loopback",
    "is_smtp",
    "read",
    "read_api_secret",
    "read_calendar",
    "read_database_url",
    "read_planning",
]

DEFAULT_RATE_LIMIT = Rate(100)
"""Requests to the API per second and client."""

HEARTBEAT_CONNECTIONS = 2
"""Connections of a node to PostgreSQL for heartbeats and holds, besides those of its pool."""

MIN_API_KEY_LENGTH = 16
"""Characters of an API key, if other machines can reach the API. A shorter key can be guessed."""


@dataclass(frozen=True)  # no slots: the reader takes defaults from the class
class Settings:
    """The settings of one node."""

    database_url: Secret
    redis_url: Secret
    email_url: Secret
    rabbitmq_url: Secret | None = None
    bind_host: str = "127.0.0.1"
    bind_port: int = 8080
    api_keys: tuple[ApiKey, ...] = ()
    api_keys_file: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    cors_origins: tuple[str, ...] = ()
    console: bool = True
    send_at: time = time(9)
    leap_day: LeapDay = LeapDay.FEB28
    late_limit: timedelta = timedelta(hours=48)
    unknown_outcome: UnknownOutcome = UnknownOutcome.RESEND
    email_format: EmailFormat = EmailFormat.DEFAULT
    email_from: str | None = None
    email_token: Secret | None = None
    email_headers: Secret | None = None
    email_proxy: Secret | None = None
    email_ca: Secret | None = None
    email_client_certificate: Secret | None = None
    email_unsubscribe: str | None = None
    email_html: Secret | None = None
    email_events_secrets: tuple[EmailEventSecret, ...] = ()
    email_timeout: timedelta = timedelta(seconds=10)
    email_concurrency: int = 100
    email_rate: Rate | None = None
    email_attempts: int = 10
    email_backoff: timedelta = timedelta(seconds=1)
    email_backoff_limit: timedelta = timedelta(minutes=15)
    idempotency_lasts: timedelta = timedelta(hours=24)
    circuit_failures: int = 20
    circuit_reset: timedelta = timedelta(seconds=15)
    delivery_actors: int = 4
    only_to: tuple[str, ...] | None = None
    database_connections: int = 10
    email_fallback: EmailServiceSettings | None = None
    cluster: str | None = None
    daily_cron: str = "0 0 * * *"
    minute_cron: str = "* * * * *"
    recovery_cron: str = "*/10 * * * *"
    rate_limit: Rate | None = DEFAULT_RATE_LIMIT
    drain_within: timedelta = timedelta(seconds=20)
    log_level: str = "info"
    log_format: str = "json"
    traces_url: Secret | None = None
    node_id: str = field(default_factory=lambda: f"{socket.gethostname()}-{secrets.token_hex(3)}")
    unknown: tuple[UnknownVariable, ...] = ()
    secret_files: tuple[SecretFile, ...] = ()

    @property
    def email(self) -> EmailServiceSettings:
        """The primary email service."""
        return EmailServiceSettings(
            name=EmailServiceName.PRIMARY,
            url=self.email_url,
            format=self.email_format,
            sender=self.email_from,
            token=self.email_token,
            headers=self.email_headers,
            proxy=self.email_proxy,
            ca=self.email_ca,
            client_certificate=self.email_client_certificate,
            unsubscribe=self.email_unsubscribe,
            html=self.email_html,
            concurrency=self.email_concurrency,
            rate=self.email_rate,
            unknown_outcome=self.unknown_outcome,
            idempotency_lasts=self.idempotency_lasts,
        )

    @property
    def email_services(self) -> tuple[EmailServiceSettings, ...]:
        """The primary email service and, if there is one, the fallback."""
        return (self.email,) if self.email_fallback is None else (self.email, self.email_fallback)

    @property
    def connections_of_node(self) -> int:
        """The most connections of this node to PostgreSQL."""
        return self.database_connections + HEARTBEAT_CONNECTIONS

    @property
    def serves_only_this_machine(self) -> bool:
        """True on a loopback bind, unless a proxy brings in the clients of other machines."""
        return is_loopback(self.bind_host) and not self.trusted_proxies

    @property
    def min_api_key_length(self) -> int:
        """The shortest API key that is accepted: any where only this machine is served."""
        return 1 if self.serves_only_this_machine else MIN_API_KEY_LENGTH


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises BadConfiguration with every error in it."""
    reader = Environment(environment)
    host, port = reader.value("BIND", host_and_port, DEFAULT_BIND)
    # In the order of their errors. The kind of email service decides about other settings.
    database, redis = (
        reader.secret("DATABASE_URL", database_url, required=True) or Secret(),
        reader.secret("REDIS_URL", redis_url, required=True) or Secret(),
    )
    api_keys = reader.secret("API_KEYS", checked_api_keys)
    address = reader.secret("EMAIL_URL", email_url, required=True) or Secret()
    email_format = reader.value("EMAIL_FORMAT", member_of(EmailFormat), EmailFormat.DEFAULT)
    remembered = None if is_smtp(address) else keys_last(email_format)
    settings = Settings(
        database_url=database,
        redis_url=redis,
        email_url=address,
        rabbitmq_url=reader.secret("RABBITMQ_URL", rabbitmq_url),
        bind_host=host,
        bind_port=port,
        api_keys=parse_api_keys(api_keys or ""),
        api_keys_file=reader.file("API_KEYS"),
        trusted_proxies=reader.value("TRUSTED_PROXIES", networks, ()),
        cors_origins=reader.value("CORS_ORIGINS", origins, ()),
        console=reader.value("CONSOLE", one_of("on", "off"), "on") == "on",
        send_at=reader.value("SEND_AT", time_of_day, Settings.send_at),
        leap_day=reader.value("LEAP_DAY", member_of(LeapDay), LeapDay.FEB28),
        late_limit=reader.value("LATE_LIMIT", duration, Settings.late_limit),
        unknown_outcome=(outcome := reader.value("UNKNOWN_OUTCOME", _outcome, None)) or default_outcome(remembered),
        email_format=email_format,
        email_from=reader.value("EMAIL_FROM", email_access.sender, None),
        email_token=reader.secret("EMAIL_TOKEN", email_access.token),
        email_headers=reader.secret("EMAIL_HEADERS", email_access.headers),
        email_proxy=reader.secret("EMAIL_PROXY", email_access.proxy),
        email_ca=reader.secret("EMAIL_CA", email_access.authorities),
        email_client_certificate=reader.secret("EMAIL_CLIENT_CERTIFICATE", email_access.client_certificate),
        email_timeout=reader.value("EMAIL_TIMEOUT", duration, Settings.email_timeout),
        email_unsubscribe=reader.value("EMAIL_UNSUBSCRIBE", email_access.unsubscribe, None),
        email_html=reader.secret("EMAIL_HTML", email_access.html),
        email_events_secrets=parse_email_event_secrets(
            reader.secret("EMAIL_EVENTS_SECRETS", checked_email_event_secrets) or ""
        ),
        email_concurrency=reader.value(
            "EMAIL_CONCURRENCY",
            whole_number(1, MAX_CONCURRENCY),
            SMTP_CONCURRENCY if is_smtp(address) else Settings.email_concurrency,
        ),
        email_rate=reader.value("EMAIL_RATE", rate, None),
        email_attempts=reader.value("EMAIL_ATTEMPTS", whole_number(1, 1000), Settings.email_attempts),
        email_backoff=reader.value("EMAIL_BACKOFF", duration, Settings.email_backoff),
        email_backoff_limit=reader.value("EMAIL_BACKOFF_LIMIT", duration, Settings.email_backoff_limit),
        idempotency_lasts=(lasts := reader.value("IDEMPOTENCY_LASTS", _lasts, None))
        or remembered
        or Settings.idempotency_lasts,
        circuit_failures=reader.value("CIRCUIT_FAILURES", whole_number(1, 10_000), Settings.circuit_failures),
        circuit_reset=reader.value("CIRCUIT_RESET", duration, Settings.circuit_reset),
        only_to=reader.value("ONLY_TO", only_to, None),
        delivery_actors=reader.value("DELIVERY_ACTORS", whole_number(1, 100), Settings.delivery_actors),
        database_connections=reader.value("DATABASE_CONNECTIONS", whole_number(4, 1000), Settings.database_connections),
        cluster=reader.value("CLUSTER", name, None),
        daily_cron=reader.value("DAILY_CRON", cron, Settings.daily_cron),
        minute_cron=reader.value("MINUTE_CRON", cron, Settings.minute_cron),
        recovery_cron=reader.value("RECOVERY_CRON", cron, Settings.recovery_cron),
        rate_limit=reader.value("RATE_LIMIT", rate, Settings.rate_limit),
        drain_within=reader.value("DRAIN_WITHIN", duration, Settings.drain_within),
        log_level=reader.value("LOG_LEVEL", one_of(*LOG_LEVELS), "info"),
        log_format=reader.value("LOG_FORMAT", one_of("json", "console"), "json"),
        traces_url=reader.secret("TRACES", _traces),
    )
    node_id = reader.if_set("NODE_ID", name, "node_id")
    _refuse_contradictions(settings, reader)
    fallback = read_fallback(reader, settings.email, unknown_outcome=outcome, idempotency_lasts=lasts)
    settings = replace(settings, email_fallback=fallback)
    refuse_mail_options(settings.email_services, reader)
    unknown = reader.unknown()
    reader.raise_errors(unknown)  # a setting that is missing may be there under a wrong name
    return replace(
        settings,
        unknown=unknown,
        secret_files=tuple(reader.files),
        **node_id,  # type: ignore[arg-type]  # it has no other name
    )


def _outcome(text: str) -> UnknownOutcome | None:
    return member_of(UnknownOutcome)(text)


def _lasts(text: str) -> timedelta | None:
    return duration(text)


def _refuse_contradictions(settings: Settings, reader: Environment) -> None:
    """Add an error for values that are valid alone but contradict each other."""
    bind = bind_text(settings.bind_host, settings.bind_port)
    others = (
        "HEYDAY_TRUSTED_PROXIES is set"
        if is_loopback(settings.bind_host)
        else f"HEYDAY_BIND={bind} is not a loopback address"
    )
    if not settings.api_keys and not settings.serves_only_this_machine:
        reader.error("API_KEYS", "", f"at least one key, because {others}")
    if any(key.length is not None and key.length < settings.min_api_key_length for key in settings.api_keys):
        reader.error(
            "API_KEYS",
            "***",
            f"secrets of {MIN_API_KEY_LENGTH} characters or more, because {others}",
        )
    if settings.drain_within < settings.email_timeout:
        reader.contradiction(
            f"HEYDAY_DRAIN_WITHIN={settings.drain_within.total_seconds():g}s: expected at least "
            f"HEYDAY_EMAIL_TIMEOUT={settings.email_timeout.total_seconds():g}s, because a call that is cut off "
            "has an unknown outcome"
        )
    refuse_contradictions(settings.email, reader)
    if has_cron_gap(settings.daily_cron, HORIZON):
        hours = HORIZON.total_seconds() / 3600
        reader.contradiction(
            f"HEYDAY_DAILY_CRON={settings.daily_cron!r}: expected a run at least every {hours:g} hours, "
            "because each run plans that far ahead"
        )


_SHOWN = (
    "cluster", "send_at", "leap_day", "late_limit", "daily_cron", "minute_cron", "recovery_cron", "email_format",
    "email_timeout", "email_concurrency", "email_rate", "email_attempts", "email_backoff", "email_backoff_limit",
    "unknown_outcome", "idempotency_lasts", "circuit_failures", "circuit_reset", "delivery_actors",
    "database_connections", "rate_limit", "drain_within", "console", "log_level", "log_format",
)  # fmt: skip
"""Settings that are shown as they are: no secrets, addresses and paths."""

_HIDDEN = (
    "rabbitmq_url", "email_from", "email_token", "email_headers", "email_proxy", "email_ca", "email_client_certificate",
    "email_unsubscribe", "email_html", "traces_url",
)  # fmt: skip
"""Settings of which is shown only whether they are set. A digest would confirm a secret that was guessed."""

_COUNTED = ("api_keys", "only_to", "cors_origins", "trusted_proxies", "email_events_secrets")
"""Settings of which is shown only how many values they have."""


def effective(settings: Settings) -> dict[str, str]:
    """The settings in effect in which nodes of one deployment should not differ, by their names in lower case.

    Secrets and addresses are not shown. The address on which a node listens and its name may differ, and are left out.
    """
    fallback = settings.email_fallback
    return {
        **{name: _shown(getattr(settings, name)) for name in _SHOWN},
        **{name: "off" if getattr(settings, name) is None else "set" for name in _HIDDEN},
        **{name: str(len(getattr(settings, name) or ())) for name in _COUNTED},
        "email_fallback": "off" if fallback is None else "set",
        "email_fallback_format": "off" if fallback is None else fallback.format,
        "email_fallback_rate": "off" if fallback is None else shown(fallback.rate),
    }


def _shown(value: object) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case timedelta():
            return f"{value.total_seconds():g}s"
        case _:
            return shown(value)


def read_calendar(environment: Mapping[str, str]) -> tuple[time, LeapDay]:
    """Read the settings of the calendar only: local time of day and leap-day rule. Raises BadConfiguration."""
    reader = Environment(environment)
    found = _calendar(reader)
    reader.raise_errors()
    return found


def _calendar(reader: Environment) -> tuple[time, LeapDay]:
    return (
        reader.value("SEND_AT", time_of_day, Settings.send_at),
        reader.value("LEAP_DAY", member_of(LeapDay), Settings.leap_day),
    )


@dataclass(frozen=True, slots=True)
class PlanningSettings:
    """The settings that planning depends on, and the database."""

    database_url: Secret
    send_at: time
    leap_day: LeapDay
    late_limit: timedelta
    only_to: tuple[str, ...] | None


def read_planning(environment: Mapping[str, str]) -> PlanningSettings:
    """Read the settings of planning only. Raises BadConfiguration."""
    reader = Environment(environment)
    settings = PlanningSettings(
        reader.secret("DATABASE_URL", database_url, required=True) or Secret(),
        *_calendar(reader),
        reader.value("LATE_LIMIT", duration, Settings.late_limit),
        reader.value("ONLY_TO", only_to, None),
    )
    reader.raise_errors()
    return settings


def read_api_secret(environment: Mapping[str, str]) -> Secret | None:
    """Read only the secret of the API key that may do most. Raises BadConfiguration.

    None without keys, and where the settings have only the digests of secrets.
    """
    reader = Environment(environment)
    keys = reader.secret("API_KEYS", checked_api_keys, required=reader.file("API_KEYS") is not None)
    reader.raise_errors()
    return strongest_secret(keys or "")


def read_database_url(environment: Mapping[str, str]) -> Secret:
    """Read only the URL of the database. Raises BadConfiguration."""
    reader = Environment(environment)
    found = reader.secret("DATABASE_URL", database_url, required=True) or Secret()
    reader.raise_errors()
    return found


def _traces(text: str) -> Secret:
    collector = url("http", "https")(text)
    try:
        installed = find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:  # a parent package is missing, too
        installed = False
    if not installed:
        raise ValueError("the packages that traces need: install heyday again, as WHEEL[tracing] or .[tracing]")
    return collector
