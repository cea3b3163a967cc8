"""The URL of PostgreSQL: its servers, and the certificates that it names.

The format is that of libpq (PostgreSQL manual, "Connection URIs"), with several hosts and `target_session_attrs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from service.certificates import OF_THE_SYSTEM, check_authorities, check_client_certificate, check_readable
from service.environment import Secret, check_host_name, url

SYSTEM = "system"
"""The `sslrootcert` of libpq that stands for the authorities that the operating system trusts."""

DEFAULT_ROOT = "~/.postgresql/root.crt"
"""The file that libpq, and asyncpg, read when no `sslrootcert` is given."""

VERIFYING = ("verify-ca", "verify-full")

MODES = ("disable", "allow", "prefer", "require", *VERIFYING)

WRITABLE = ("any", "primary", "read-write")

_url = url("postgresql", "postgres", several_hosts=True)


@dataclass(frozen=True)
class DatabaseUrl:
    """The servers, one URL each, in the order given.

    `system_roots` verifies their certificates by the authorities that the operating system trusts.
    """

    servers: tuple[Secret, ...]
    system_roots: bool


def database_url(text: str) -> Secret:
    """Return the URL as it is. Raises ValueError with what was expected of it."""
    parse_database_url(text)
    return Secret(text)


def parse_database_url(text: str) -> DatabaseUrl:
    """Take a URL apart. Raises ValueError, also when a file that it names cannot be used."""
    _url(text)
    parts = urlsplit(text)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    wanted = query.pop("target_session_attrs", "any")
    if wanted not in WRITABLE:
        raise ValueError(f"target_session_attrs={' or '.join(WRITABLE)}, because heyday writes, and not {wanted}")
    system_roots = _check_certificates(query)
    if system_roots:
        query = {name: value for name, value in query.items() if name not in ("sslmode", "sslrootcert")}
    account, at, addresses = parts.netloc.rpartition("@")
    servers = []
    for host, own_query in _hosts(addresses, query):
        changed = parts._replace(netloc=f"{account}{at}{host}", query=urlencode(own_query))
        servers.append(Secret(changed.geturl()))
    return DatabaseUrl(tuple(servers), system_roots)


def _hosts(addresses: str, query: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Each server's part of the address, and its query. The query may name hosts too, such as folders of sockets."""
    if addresses or "host" not in query:
        return [(address, query) for address in addresses.split(",")]
    hosts, ports = query["host"].split(","), query.get("port", "5432").split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError("one port, or as many as there are hosts")
    for port in ports:
        if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536):
            raise ValueError(f"a port from 1 to 65535, and not {port}")
    for host in hosts:
        try:
            check_host_name(host)
        except ValueError:
            raise ValueError(f"a host that can be looked up, and not {host}") from None
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [("", {**query, "host": host, "port": port}) for host, port in zip(hosts, ports, strict=True)]


def _check_certificates(query: dict[str, str]) -> bool:
    """True when the authorities are those of the operating system. Raises ValueError with option, file and remedy."""
    mode, root = query.get("sslmode", "prefer"), query.get("sslrootcert", "")
    if mode not in MODES:
        raise ValueError(f"sslmode to be one of {', '.join(MODES)}, and not {mode}")
    if path := query.get("sslcrl", ""):
        check_readable("sslcrl", path)
    if "sslpassword" not in query:  # a key behind a password is opened by the library
        check_client_certificate({name: value for name, value in query.items() if value}, "sslcert", "sslkey")
    if root == SYSTEM:
        if mode not in ("prefer", "verify-full"):
            raise ValueError(f"sslmode=verify-full with sslrootcert=system, and not sslmode={mode}")
        return True
    if root:
        check_authorities("sslrootcert", root)
    elif mode in VERIFYING and not Path(DEFAULT_ROOT).expanduser().is_file():
        raise ValueError(
            f"the authority's certificate for sslmode={mode}: add sslrootcert=FILE, or sslrootcert=system for the "
            f"authorities of the operating system, or put it into {DEFAULT_ROOT}"
        )
    return False


def authorities(server: str) -> str:
    """The authorities that the URL of one server trusts, in words."""
    root = dict(parse_qsl(urlsplit(server).query)).get("sslrootcert")
    return f"sslrootcert={root}" if root else OF_THE_SYSTEM
