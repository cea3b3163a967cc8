"""One attempt to hand a greeting to a provider's API, in one of the formats."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from yarl import URL

from service.adapters.email.access import OPEN, Access
from service.adapters.email.answers import answer_to, parsed_json
from service.adapters.email.formats.format import Format, Mail, checked_address, parse_sender
from service.adapters.email.header_fields import one_line
from service.adapters.email.http import HttpEmailService, RequestBody
from service.domain.messages import Answer, Outcome
from service.ports import Greeting


class ProviderEmailService(HttpEmailService):
    """The API of a provider at `base_url`. The rest is as in HttpEmailService.

    Raises ValueError for a URL or a token that the format cannot use.
    """

    def __init__(
        self,
        base_url: str,
        email_format: Format,
        *,
        sender: str,
        timeout: timedelta,
        concurrency: int,
        access: Access = OPEN,
    ) -> None:
        self._format = email_format
        self._sender = parse_sender(sender)
        super().__init__(base_url, timeout=timeout, concurrency=concurrency, access=access)

    def _destination(self, base: URL, access: Access) -> tuple[URL, dict[str, str]]:
        url = _below(base, self._format.path)
        token = access.token or ""
        headers = {"User-Agent": "heyday", **self._format.authenticate(token), **access.fields}
        if self._format.sign is not None:
            self._format.sign("POST", url, b"", token)  # a mistake in URL or token shows at once
        return url.without_query_params(*self._format.options), headers

    async def attempt(self, greeting: Greeting) -> Answer:
        """Make one attempt, as HttpEmailService does. An address that reads as several is refused without a call."""
        try:
            checked_address(greeting.email)
        except ValueError as error:
            return Answer(Outcome.PERMANENT_FAILURE, 0.0, error=str(error), called=False)
        return await super().attempt(greeting)

    def _request(self, greeting: Greeting) -> tuple[RequestBody, dict[str, str]]:
        to, subject = checked_address(greeting.email), one_line(greeting.subject)
        mail = Mail(greeting.id, self._sender, to, subject, greeting.text)
        content = self._format.body(mail)
        headers: dict[str, str] = {}
        if self._format.key_header is not None:
            headers[self._format.key_header] = str(greeting.id)
        if self._format.sign is not None:
            headers |= self._format.sign(
                "POST", _below(URL(self._base_url), self._format.path), content, self._access.token or ""
            )
        return RequestBody(content, content_type=self._format.content_type), headers

    def _answer(
        self, status: int, headers: Mapping[str, str], duration: float, said: bytes, greeting: Greeting
    ) -> Answer:
        # An accepted message stays accepted with any body.
        verdict = None if 200 <= status < 300 else self._format.verdict(status, headers, parsed_json(said))
        return answer_to(
            status,
            headers,
            duration=duration,
            body=said,
            private=greeting.private,
            verdict=verdict,
            id_header=self._format.id_header,
        )

    async def probe(self) -> int | None:
        """Ask for something that needs the token. None if the provider has no such request."""
        if self._format.probe is None:
            return None
        url = _below(URL(self._base_url), self._format.probe)
        headers = self._format.sign("GET", url, b"", self._access.token or "") if self._format.sign else {}
        return await self._get(url.without_query_params(*self._format.options), headers)


def _below(base: URL, path: str) -> URL:
    return base.with_user(None).joinpath(*path.split("/")).with_query(base.query)
