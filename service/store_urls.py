"""The URLs of Redis and RabbitMQ: their options, and the certificates that they name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from urllib.parse import parse_qsl, urlsplit

from service.certificates import OF_THE_SYSTEM, check_authorities, check_client_certificate
from service.environment import Secret, split_hosts, url

REDIS_OPTIONS = ("client_name", "db", "health_check_interval", "password", "socket_keepalive", "username")
REDIS_TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_keyfile",
    "ssl_password",
)
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
RABBITMQ_OPTIONS = ("auth", "connection_timeout", "heartbeat", "name", "timeout")
RABBITMQ_TLS_OPTIONS = ("cadata", "cafile", "capath", "certfile", "keyfile", "no_verify_ssl")
"""Options of a URL. The libraries ignore others, or crash at the first connection."""

REDIS_NUMBERS = ("db", "health_check_interval")
RABBITMQ_NUMBERS = ("connection_timeout", "heartbeat", "timeout")
"""Options whose value is a whole number."""

CERT_REQS = ("none", "optional", "required")

AUTH = ("plain", "external")

_server = url("redis", "rediss", "unix")
_sentinels = url("redis+sentinel", "rediss+sentinel", several_hosts=True)
_rabbitmq = url("amqp", "amqps", several_hosts=True)


def redis_url(text: str) -> Secret:
    """A URL of one server, or of sentinels with the name of a service. Raises ValueError with what was expected."""
    by_sentinel = text.partition(":")[0].endswith("+sentinel")
    parsed = (_sentinels if by_sentinel else _server)(text)
    if by_sentinel:
        service, _, database = urlsplit(parsed).path.strip("/").partition("/")
        if not service or not _is_number(database or "0"):
            raise ValueError("a URL such as redis+sentinel://host:26379,host:26379/service/0")
    elif not text.startswith("unix") and not _is_number(urlsplit(parsed).path.strip("/") or "0"):
        raise ValueError("the number of a database in the path, such as redis://host:6379/0")
    plain = REDIS_OPTIONS + (SENTINEL_OPTIONS if by_sentinel else ())
    options = _options(text, plain, REDIS_TLS_OPTIONS, tls=text.startswith("rediss"), secure="rediss://")
    _numbers(options, REDIS_NUMBERS)
    _one_of(options, "ssl_cert_reqs", CERT_REQS)
    _one_of(options, "ssl_check_hostname", ("true", "false"))
    if "ssl_ca_certs" in options:
        check_authorities("ssl_ca_certs", options["ssl_ca_certs"])
    if "ssl_password" not in options:  # a key behind a password is opened by the library
        check_client_certificate(options, "ssl_certfile", "ssl_keyfile")
    return parsed


def rabbitmq_url(text: str) -> Secret:
    """A URL of one host or of several. Raises ValueError with what was expected."""
    parsed = _rabbitmq(text)
    tls = text.startswith("amqps")
    options = _options(text, RABBITMQ_OPTIONS, RABBITMQ_TLS_OPTIONS, tls=tls, secure="amqps://")
    _numbers(options, RABBITMQ_NUMBERS)
    _one_of(options, "auth", AUTH)
    if "cafile" in options:
        check_authorities("cafile", options["cafile"])
    check_client_certificate(options, "certfile", "keyfile")
    return parsed


def rabbitmq_authorities(url: str) -> str:
    """The authorities that a URL of RabbitMQ trusts, in words."""
    options = dict(parse_qsl(urlsplit(url).query))
    names = ("cafile", "capath")
    return " or ".join(f"{name}={options[name]}" for name in names if name in options) or OF_THE_SYSTEM


def rabbitmq_server(url: str) -> str:
    """The first host of a URL, with its port."""
    parts = urlsplit(split_hosts(url)[0])
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


def _options(
    text: str, plain: tuple[str, ...], only_tls: tuple[str, ...], *, tls: bool, secure: str
) -> Mapping[str, str]:
    options = dict(parse_qsl(urlsplit(text).query, keep_blank_values=True))
    for name in options:
        if name in only_tls and not tls:
            raise ValueError(f"{secure} with {name}, because without TLS it has no effect")
        if name not in plain + only_tls:
            near = get_close_matches(name, plain + only_tls, n=1)
            raise ValueError(f"no option {name}" + (f"; did you mean {near[0]}?" if near else ""))
    return options


def _numbers(options: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        if name in options and not _is_number(options[name]):
            raise ValueError(f"{name} to be a whole number, and not {options[name]}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _one_of(options: Mapping[str, str], name: str, values: tuple[str, ...]) -> None:
    if (value := options.get(name)) is not None and value.lower() not in values:
        raise ValueError(f"{name} to be one of {', '.join(values)}, and not {value}")
