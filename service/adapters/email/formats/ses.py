"""Amazon SES, version 2: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html

The base URL is the endpoint of the region, `https://email.eu-west-1.amazonaws.com`; for another host name
`?region=eu-west-1` says the region. It has no key for repeated requests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from yarl import URL

from service.adapters.email.answers import Verdict
from service.adapters.email.formats.format import Format, Headers, Mail, json_body, text_of
from service.adapters.email.formats.signature import signed
from service.email_access import AwsCredentials, aws_region

ABOUT_THE_ACCOUNT = frozenset(
    {
        "AccountSuspendedException",
        "LimitExceededException",
        "MailFromDomainNotVerifiedException",
        "NotFoundException",
        "SendingPausedException",
    }
)


def _body(mail: Mail) -> object:
    return {
        "FromEmailAddress": mail.sender.ascii_header,
        "Destination": {"ToAddresses": [mail.to]},
        "Content": {
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {"Text": {"Data": mail.text, "Charset": "UTF-8"}},
            }
        },
        "EmailTags": [{"Name": "heyday-message", "Value": str(mail.id)}],
    }


def _verdict(status: int, headers: Headers, body: Any) -> Verdict | None:
    kind = headers.get("x-amzn-ErrorType") or text_of(body, "__type")
    kind = kind.partition(":")[0].rpartition("#")[2]
    if kind in {"TooManyRequestsException", "ThrottlingException"}:
        return Verdict.THROTTLED
    if kind in ABOUT_THE_ACCOUNT:
        return Verdict.UNAVAILABLE
    # In the sandbox every recipient is refused until the account may send to all.
    if kind == "MessageRejected" and "not verified" in text_of(body, "message"):
        return Verdict.NOT_AUTHORISED
    return None


def _sign(method: str, url: URL, body: bytes, token: str) -> dict[str, str]:
    # The service compares the instant with its own clock, so it is this machine's and not the business clock's.
    return signed(
        AwsCredentials.parse(token),
        method=method,
        url=url.without_query_params("region"),
        headers={"Content-Type": "application/json"} if body else {},
        body=body,
        region=aws_region(url),
        service="ses",
        at=datetime.now(UTC),
    )


SES = Format(
    page="https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html",
    path="v2/email/outbound-emails",
    body=json_body(_body),
    verdict=_verdict,
    sign=_sign,
    options=frozenset({"region"}),
    probe="v2/email/account",
)
