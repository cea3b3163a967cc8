"""`heyday health`: asks the node on this machine for its health. Container images need no curl for it."""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import orjson

from actors.commands.arguments import is_http
from actors.commands.exit_codes import FAILED, OK
from actors.commands.output import printable
from service.api.http.json_text import encode
from service.bind_settings import read_bind

ANSWER_TIMEOUT = 3.0
"""Seconds for the answer. Container engines allow 30 s by default."""

MAX_BYTES = 1 << 20
"""Bytes of an answer about health that are read: the address may be that of another program."""

SHOWN_BYTES = 500
"""Bytes of a refusal that are shown as text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--ready", action="store_true", help="ask for readiness instead of liveness")
    parser.add_argument("--json", action="store_true", help="write JSON: the address, the status and the answer")
    parser.add_argument("--url", type=_http, help="ask this address instead of the one in HEYDAY_BIND")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Ask, write the answer and return the exit code, which is 0 after a 2xx. Raises BadConfiguration."""
    url = args.url or url_of(*read_bind(environment), path="/health/ready" if args.ready else "/health/live")
    answer = ask(url, most=MAX_BYTES)
    if args.json:
        sys.stdout.write(encode(answer.as_json()).decode() + "\n")
    else:
        print(printable(str(answer)), file=sys.stdout if answer.is_ok else sys.stderr)
    return OK if answer.is_ok else FAILED


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a node: a status with a body, or an error that kept it from answering."""

    url: str
    status: int | None
    body: bytes
    error: str | None = None

    @property
    def is_ok(self) -> bool:
        """True after a 2xx."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        if self.is_ok:
            return f"{self.url}: {self.status}"
        if self.status is None:
            return f"{self.url}: {self.error}"
        return f"{self.url}: {self.status} {self.body[:SHOWN_BYTES].decode(errors='replace')}"

    def as_json(self) -> dict[str, object]:
        """The answer as JSON. `answer` is the node's own JSON, or else its text."""
        try:
            answer: object = orjson.loads(self.body) if self.body else None
        except orjson.JSONDecodeError:
            answer = self.body.decode(errors="replace")
        return {"url": self.url, "ok": self.is_ok, "status": self.status, "answer": answer, "error": self.error}


def ask(
    url: str,
    *,
    method: str = "GET",
    secret: str | None = None,
    data: bytes | None = None,
    within: float = ANSWER_TIMEOUT,
    most: int | None = None,
) -> Answer:
    """Send a request to a node, with the secret of an API key and with JSON, and return the answer.

    `most` bytes of the answer are read, by default all. Characters that no URL has, such as a space or an ä, are
    percent-encoded.
    """
    url = re.sub(r"[^\x21-\x7e]+", lambda part: quote(part[0], errors="surrogateescape"), url)
    headers: dict[str, str | bytes] = {}
    if secret:
        headers["Authorization"] = f"Bearer {secret}".encode(errors="surrogateescape")
    if data is not None:
        headers["Content-Type"] = "application/json"
    try:
        # A proxy of this machine is not between a container and itself.
        request = Request(url, method=method, headers=headers, data=data)  # type: ignore[arg-type]  # noqa: S310 - the caller checks the scheme
        try:
            answer = build_opener(ProxyHandler({})).open(request, timeout=within)
        except HTTPError as refused:
            answer = refused
        with answer:
            return Answer(url, answer.status, answer.read(most))
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ConnectionRefusedError):
            return Answer(url, None, b"", "no node listens there: start one, or correct the address (HEYDAY_BIND)")
        return Answer(url, None, b"", str(reason))
    except (HTTPException, ValueError) as error:  # the answer is not HTTP, or the address is no URL
        return Answer(url, None, b"", f"{type(error).__name__}: {error}".rstrip())


def url_of(host: str, port: int, *, path: str) -> str:
    """The URL at which a node with this bind address is reached from its own machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}{path}"
    if address.is_unspecified:  # it listens on every address, loopback included
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}{path}" if address.version == 6 else f"http://{address}:{port}{path}"


def _http(text: str) -> str:
    if not is_http(text):
        raise argparse.ArgumentTypeError(f"expected an address such as http://127.0.0.1:8080/health/live, not {text!r}")
    return text
