"""Run-time limits as JSON, for the API and for the command line."""

from __future__ import annotations

from typing import Any, ClassVar

from service.api.representations import kinds
from service.api.representations.answers import Answer, Member, camel_case
from service.domain.limits import LimitName, Source
from service.node.limits import NodeLimits

FIELDS = {name: camel_case(name) for name in LimitName}
"""The names of the limits in JSON."""

_VALUE: kinds.JsonSchema = {"type": ["string", "integer"]}


class LimitAnswer(Answer):
    """A limit as it is in effect."""

    value = Member(_VALUE, "The value in effect.")
    source = Member(kinds.enum(Source), "What decides: the limit, or the setting of the node.")
    setting = Member(_VALUE, "The setting of the node that answers.")
    author = Member(kinds.TEXT, "Who changed the limit last; null: it was never set.", null=True)
    changed_at = Member(kinds.INSTANT, null=True)

    example: ClassVar = {
        "value": "50/s",
        "source": "limit",
        "setting": "100/s",
        "author": "ops",
        "changedAt": "2026-12-10T08:58:03.410000Z",
    }


_UNCHANGED = {"value": 100, "source": "setting", "setting": 100, "author": None, "changedAt": None}


class LimitsAnswer(Answer):
    """The run-time limits."""

    email_rate = Member(LimitAnswer, "Calls of the email service over all nodes; `off`: no limit.")
    email_concurrency = Member(LimitAnswer, "Calls that each node may have in flight at an email service.")
    log_level = Member(LimitAnswer, "The level of the log.")

    example: ClassVar = {
        "emailRate": LimitAnswer.example,
        "emailConcurrency": _UNCHANGED,
        "logLevel": {**_UNCHANGED, "value": "info", "setting": "info"},
    }


def limits_json(limits: NodeLimits) -> dict[str, Any]:
    """Each limit as it is in effect: its value, whether a limit or the setting decides, and who changed it last."""
    answers = {
        name.value: LimitAnswer.json(
            value=value_json(name, one.value),
            source=one.source,
            setting=value_json(name, one.setting),
            author=one.change and one.change.author,
            changed_at=one.change and one.change.changed_at,
        )
        for name, one in limits.effective().items()
    }
    return LimitsAnswer.json(**answers)


def value_json(name: LimitName, value: str) -> str | int:
    """A value: a number where the limit is a number, otherwise a text as in the setting."""
    return int(value) if name is LimitName.EMAIL_CONCURRENCY else value
