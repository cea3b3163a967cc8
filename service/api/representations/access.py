"""The key of a request, and entries of the audit log, as JSON."""

from __future__ import annotations

from typing import ClassVar

from service.api.representations import kinds
from service.api.representations.answers import Answer, Member, page
from service.api.representations.examples import MESSAGE_ID
from service.ports import AuditAction


class MeAnswer(Answer):
    """The principal of a request."""

    name = Member(kinds.TEXT, "The name of the key; `no key` on a node without keys.")
    role = Member(kinds.ref("Role"))

    example: ClassVar = {"name": "billing", "role": "write"}


class AuditEntryAnswer(Answer):
    """A change of one subject."""

    id = Member(kinds.ID)
    at = Member(kinds.INSTANT)
    key = Member(kinds.TEXT, "The name of the key, or `command line`.", of="by.name")
    role = Member(kinds.ref("Role"), of="by.role")
    os_user = Member(kinds.TEXT, "The user of the operating system who ran the command.", null=True, of="by.os_user")
    action = Member(kinds.enum(AuditAction))
    subject_kind = Member(kinds.TEXT)
    subject_id = Member(kinds.TEXT, "An id, a code or a name: never personal data.")
    request_id = Member(kinds.TEXT, "The `X-Request-ID` of the request.", null=True, of="by.request_id")

    example: ClassVar = {
        "id": "01938c11-0d5e-7f31-b1c4-7a90d35c2e68",
        "at": "2026-12-10T10:15:00.120000Z",
        "key": "support",
        "role": "operate",
        "osUser": None,
        "action": "messages.redriven",
        "subjectKind": "message",
        "subjectId": MESSAGE_ID,
        "requestId": "9f1c0c3e4e6b4d0d8a52f6f3b1a7c2d4",
    }


AuditPage = page("AuditPage", AuditEntryAnswer)
