"""Parses environment variables, and reports wrong values.

A parser takes the text of a variable and returns its value. It raises ValueError with the text of what was expected.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

PREFIX = "HEYDAY_"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadConfiguration(Exception):
    """The environment has errors; `errors` has a line for each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class Secret(str):
    """A string that hides its value in a repr, a log line and a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of calls in this many `seconds`. 5/m is 1/12 per second with a burst of 5."""

    per_second: float
    seconds: float = 1.0

    @property
    def burst(self) -> int:
        """Requests that may come at once: the number as it was written."""
        return max(1, math.floor(self.per_second * self.seconds + 1e-9))


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A HEYDAY_ variable that is no setting; `nearest` is the setting with the most similar name, if any is similar."""

    name: str
    nearest: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.name} is not a setting and has no effect{hint}"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """The file of a secret, how its text is parsed, and its value at the start.

    `name` is the variable without prefix and suffix.
    """

    name: str
    path: Path
    parse: Callable[[str], Secret]
    value: Secret

    def read(self) -> Secret:
        """The secret as it is now. Raises OSError, UnicodeDecodeError, and ValueError without its value."""
        text = secret_text(self.path)
        if not text:
            raise ValueError("a value: the file is empty")
        return self.parse(unquoted(text))


def secret_text(file: Path) -> str:
    """The text of the file of a secret, without white space around it and without the byte order mark of an editor.

    Raises OSError, and UnicodeDecodeError.
    """
    return file.read_text(encoding="utf-8-sig").strip()


def unquoted(text: str) -> str:
    """The text of a variable itself. Raises ValueError if quotation marks of an .env file were left around it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise ValueError("a value without quotation marks around it")
    return text


class Environment:
    """Reads variables one by one and collects the error of each in `errors`.

    `files` are those of the secrets that were read from a file.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._known: set[str] = set()
        self.errors: list[str] = []
        self.files: list[SecretFile] = []

    def error(self, name: str, value: str, expected: str) -> None:
        """Add an error: the variable, its value and what was expected."""
        shown = f"={value!r}" if value else " is not set"
        self.errors.append(f"{PREFIX}{name}{shown}: expected {expected}")

    def contradiction(self, text: str) -> None:
        """Add an error about settings that exclude one another."""
        self.errors.append(text)

    def raise_errors(self, remarks: Iterable[object] = ()) -> None:
        """Raise BadConfiguration if there is an error. The remarks, which may explain it, come after the errors."""
        if self.errors:
            raise BadConfiguration([*self.errors, *map(str, remarks)])

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The value of a variable; `default` when it is empty, not set or wrong."""
        text = self._text(name)
        if not text:
            return default
        try:
            return parse(unquoted(text))
        except ValueError as error:
            self.error(name, text, str(error))
            return default

    def if_set(self, name: str, parse: Callable[[str], str], argument: str) -> dict[str, str]:
        """The value as a keyword argument, or no argument."""
        value = self.value(name, parse, "")
        return {argument: value} if value else {}

    def file(self, name: str) -> Path | None:
        """The file that holds a secret, if NAME_FILE is set."""
        text = self._text(f"{name}_FILE")
        return Path(text) if text else None

    def secret(self, name: str, parse: Callable[[str], Secret], *, required: bool = False) -> Secret | None:
        """A secret, from its variable or from the file that NAME_FILE names. An error never shows its value.

        An empty file is an error, also of a secret that is not required: it can be a volume that was not filled.
        """
        text, file = self._text(name), self.file(name)
        if text and file:
            self.errors.append(f"{PREFIX}{name} and {PREFIX}{name}_FILE are both set: expected one of them")
            return None
        try:
            if file is not None:
                text = secret_text(file)
            if text:
                value = parse(unquoted(text))
                if file is not None:
                    self.files.append(SecretFile(name, file, parse, value))
                return value
        except OSError as error:
            self.errors.append(f"{PREFIX}{name}_FILE={str(file)!r}: expected a readable file ({error})")
        except UnicodeDecodeError as error:
            self.errors.append(f"{PREFIX}{name}_FILE={str(file)!r}: expected a readable file of UTF-8 text ({error})")
        except ValueError as error:
            self.errors.append(f"{PREFIX}{name}='***': expected {error}")
        else:
            if required or file is not None:
                empty = f", but its file {str(file)!r} is empty" if file is not None else ""
                self.errors.append(f"{PREFIX}{name} is not set: expected {_expected(parse)}{empty}")
        return None

    def unknown(self) -> tuple[UnknownVariable, ...]:
        """The HEYDAY_ variables that were not asked for until now, in order."""
        return tuple(
            UnknownVariable(name, self._nearest(name))
            for name in sorted(self._variables)
            if name.startswith(PREFIX) and name not in self._known and not _of_a_service_link(name)
        )

    def _nearest(self, name: str) -> str | None:
        # The prefix is left out of the comparison, because it makes all names similar.
        known = [one.removeprefix(PREFIX) for one in sorted(self._known)]
        found = get_close_matches(name.removeprefix(PREFIX), known, n=1)
        return f"{PREFIX}{found[0]}" if found else None

    def _text(self, name: str) -> str:
        self._known.add(f"{PREFIX}{name}")
        return self._variables.get(f"{PREFIX}{name}", "").strip()


def _expected(parse: Callable[[str], Secret]) -> str:
    try:
        parse("")
    except ValueError as error:
        return str(error)
    return "a value"


def _of_a_service_link(name: str) -> bool:
    """Kubernetes sets such variables for a Service whose name begins with `heyday`; they are not meant for heyday."""
    return re.fullmatch(r"HEYDAY_(.*_)?(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)", name) is not None


def url(*schemes: str, several_hosts: bool = False) -> Callable[[str], Secret]:
    """A parser of URLs with one of these schemes; `several_hosts` allows `host:port,host:port`."""
    expected = f"a URL such as {schemes[0]}://host:port/…"

    def parse(text: str) -> Secret:
        # urlsplit drops some of these, so that the parts would differ from the text that a library gets.
        if not text.isprintable():
            raise ValueError(f"{expected}, without tabs, line breaks and invisible characters")
        try:
            parts = urlsplit(text)
            addresses = parts.netloc.rpartition("@")[2].split(",") if several_hosts else [parts.netloc]
            hosts = [host_of(address) for address in addresses]
        except ValueError:
            raise ValueError(expected) from None
        # Otherwise errors would name the rest of a password as an option or a database. A path of HTTP may have an @.
        path = "" if parts.scheme in ("http", "https") else parts.path
        if "@" not in parts.netloc and ("@" in path or (not parts.path and "@" in parts.query + parts.fragment)):
            raise ValueError(f"{expected}, with / ? # and @ in a password written as %2F %3F %23 %40")
        has_gap = len(hosts) > 1 and not all(hosts)
        if parts.scheme not in schemes or has_gap or not (any(hosts) or parts.path.strip("/") or parts.query):
            raise ValueError(expected)
        return Secret(text)

    return parse


def parts_and_host(text: str) -> tuple[SplitResult, str]:
    """The parts of a URL with one server, and its host: see host_of."""
    if not text.isprintable():
        raise ValueError(text)
    parts = urlsplit(text)
    return parts, host_of(parts.netloc.rpartition("@")[2])


def host_of(address: str) -> str:
    """The host of `host:port`. Raises ValueError for a host or a port that no server has; the text may quote it."""
    parts = urlsplit(f"//{address}")
    if parts.port == 0 or not re.fullmatch(r"(\[[^][\s]*]|[^][\s\\,]*)(:[0-9]*)?", address):
        raise ValueError(address)
    host = parts.hostname or ""
    check_host_name(host)
    return host


def check_host_name(host: str) -> None:
    """Raise ValueError for a name that cannot be looked up. A folder of sockets and an address with a zone pass."""
    if "%" not in host and "/" not in host:
        host.encode("idna")  # as a look-up does; UnicodeError is a ValueError


def split_hosts(text: str) -> list[str]:
    """A URL for each host of a URL with several hosts, in order."""
    parts = urlsplit(text)
    credentials, at, hosts = parts.netloc.rpartition("@")
    return [urlunsplit(parts._replace(netloc=f"{credentials}{at}{host}")) for host in hosts.split(",")]


def host_and_port(text: str) -> tuple[str, int]:
    """An address to listen on."""
    host, _, port = text.rpartition(":")
    if not host or re.search(r"[/*\s]", host) or not port.isdecimal() or int(port) > 65535:
        raise ValueError("HOST:PORT such as 127.0.0.1:8080 or [::]:8080")
    return host.strip("[]"), int(port)


def bind_text(host: str, port: int) -> str:
    """Write an address as HEYDAY_BIND takes it, that of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """True when a host name or address is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("addresses or networks, comma separated, such as 10.0.0.0/8,192.0.2.7") from None


_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::([1-9][0-9]{0,4}))?")
_OWN_PORTS = {"http": 80, "https": 443}


def origins(text: str) -> tuple[str, ...]:
    """Origins of pages as browsers send them (RFC 6454): scheme, host, and a port that is not the scheme's own."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if all(_is_origin(part) for part in parts):
        return parts
    raise ValueError("exact origins, comma separated, such as https://app.example.com,http://localhost:3000")


def _is_origin(text: str) -> bool:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return False
    port = int(found[2] or 0)
    return port <= 65535 and port != _OWN_PORTS[found[1]]


def time_of_day(text: str) -> time:
    """A local time of day."""
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", text):
        return time.fromisoformat(text)
    raise ValueError("a local time of day as HH:MM or HH:MM:SS")


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> timedelta:
    """A duration from a microsecond to 366 days."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text):
        seconds = float(match[1]) * _UNITS[match[2]]
        # A timedelta rounds what is below a microsecond to zero.
        if seconds <= 366 * 86400 and (parsed := timedelta(seconds=seconds)):
            return parsed
    raise ValueError("a duration above zero and up to 366 days, such as 500ms, 10s, 15m, 48h or 2d")


def rate(text: str) -> Rate | None:
    """A rate; None for `off`."""
    if text == "off":
        return None
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", text):
        seconds = _UNITS[match[2] or "s"]
        per_second = float(match[1]) / seconds
        if 1 / 3600 <= per_second <= 1_000_000:
            return Rate(per_second, seconds)
    raise ValueError("a rate from 1/h to 1000000/s, such as 100/s or 6000/m, or off")


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """A parser of whole numbers from `minimum` to `maximum`."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) < 10 and minimum <= int(text) <= maximum:
            return int(text)
        raise ValueError(f"a whole number from {minimum} to {maximum}")

    return parse


def member_of(kind: type[E]) -> Callable[[str], E]:
    """A parser of the values of an enum."""

    def parse(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise ValueError("one of " + ", ".join(kind)) from None

    return parse


def one_of(*values: str) -> Callable[[str], str]:
    """A parser of fixed words, in upper or lower case."""

    def parse(text: str) -> str:
        if text.lower() in values:
            return text.lower()
        raise ValueError("one of " + ", ".join(values))

    return parse


def name(text: str) -> str:
    """A name of a node or a cluster."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", text):
        return text
    raise ValueError("up to 100 letters, digits, dots, dashes and underscores")
