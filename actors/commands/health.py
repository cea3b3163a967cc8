"""`heyday health`: asks a node on this machine whether it lives, for container engines that have no curl to do it."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from service.settings import read_bind

WITHIN = 3.0
"""Seconds for the answer: less than what an engine leaves a health check by default."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--ready", action="store_true", help="ask whether it can work, not only whether it lives")
    parser.add_argument("--url", type=_http, help="ask this address instead of the node that HEYDAY_BIND names")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> tuple[bool, str]:
    """Whether it answered with a 2xx, and what to say about it. Raises BadConfiguration."""
    url = args.url or url_of(*read_bind(environment), path="/health/ready" if args.ready else "/health/live")
    try:
        # Whatever proxy this machine has, it is not between a container and itself.
        with build_opener(ProxyHandler({})).open(url, timeout=WITHIN) as answer:
            return True, f"{url}: {answer.status}"
    except HTTPError as refused:
        return False, f"{url}: {refused.code} {refused.read(500).decode(errors='replace')}"
    except (URLError, OSError) as error:
        return False, f"{url}: {getattr(error, 'reason', error)}"


def url_of(host: str, port: int, *, path: str) -> str:
    """Where a node that listens there is reached from its own machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}{path}"
    if address.is_unspecified:  # listens everywhere, so on loopback too
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}{path}" if address.version == 6 else f"http://{address}:{port}{path}"


def _http(text: str) -> str:
    if urlsplit(text).scheme not in {"http", "https"}:
        raise argparse.ArgumentTypeError("expected an address such as http://127.0.0.1:8080/health/live")
    return text
