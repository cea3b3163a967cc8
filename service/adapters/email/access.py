"""The means to reach an email service: token, headers, proxy and certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.request import proxy_bypass

from yarl import URL

from service.email_access import headers_of, tls_context
from service.environment import Secret


@dataclass(frozen=True)
class Access:
    """The credentials for an email service, and the way to it. service/email_access.py has their forms.

    `ca` replaces the system's authorities. `client_certificate` is a certificate with its key.
    """

    token: Secret | None = None
    headers: Secret | None = None
    proxy: Secret | None = None
    ca: Secret | None = None
    client_certificate: Secret | None = None

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The headers of every request."""
        return headers_of(self.headers) if self.headers else {}

    def options(self, url: URL) -> dict[str, Any]:
        """The arguments for a request of aiohttp to `url`: proxy and TLS, where they are not the default.

        The variable NO_PROXY names the hosts to which no proxy leads, as for other programs.
        """
        options: dict[str, Any] = {}
        if self.proxy and not proxy_bypass(f"{url.host}:{url.port}"):
            options["proxy"] = self.proxy
        if self.ca or self.client_certificate:
            options["ssl"] = tls_context(self.ca, self.client_certificate)
        return options


OPEN = Access()
"""Access to a service that asks for nothing."""
