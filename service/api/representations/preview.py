"""Previews, forecasts and explanations as JSON, for the API and for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from service.api.representations import kinds
from service.api.representations.answers import Answer, Member, Part, page
from service.api.representations.examples import MESSAGE_ID, USER_ID
from service.api.representations.holds import HeldAnswer, HoldAnswer, held_json, hold_json
from service.api.representations.messages import MessageTimelineAnswer, with_timeline
from service.domain.holds import Hold
from service.domain.recipients import Recipient
from service.reports.eligibility import Prospect
from service.reports.explanation import Explained, Explanation
from service.reports.forecast import Forecast
from service.reports.outage import Outage


class _VerdictAnswer(Answer):
    """One greeting of a preview, or the reason why a user is left out."""

    user_id = Member(kinds.ID)
    occasion = Member(kinds.TEXT)
    local_year = Member(kinds.INTEGER, "Null for what is so in every year.", null=True)
    timezone = Member(kinds.TEXT)
    send_at = Member(kinds.INSTANT, "The instant of the greeting; null: the calendar has none.", null=True)
    rule = Member(
        kinds.ref("Rule"), "Why it is that instant; null: it is not what date, zone and rules say by now.", null=True
    )
    status = Member(kinds.ref("Prospect"), "Null: there will be no message.", null=True)
    left_out = Member(kinds.ref("LeftOut"), "Why the user is not greeted; null: they were, or will be.", null=True)
    message_id = Member(kinds.ID, null=True)
    held = Member(HeldAnswer, "The hold that keeps the message from leaving; null: there is none.", null=True)

    example: ClassVar = {
        "userId": USER_ID,
        "occasion": "birthday",
        "localYear": 2027,
        "timezone": "Europe/London",
        "sendAt": "2027-12-10T09:00:00Z",
        "rule": "exact",
        "status": "expected",
        "leftOut": None,
        "messageId": None,
        "held": None,
    }


class _CostAnswer(Part):
    """The cost of an outage for one greeting."""

    expired = Member(kinds.FLAG, "It would have been too late to send.")
    leaves_at = Member(kinds.INSTANT, "The end of the outage; null: it would have expired.", null=True)
    late_seconds = Member(kinds.SECONDS, of=lambda cost: cost.late.total_seconds())


class VerdictAnswer(_VerdictAnswer):
    """A greeting of the window, or the reason why a user is left out."""

    name = Member(kinds.TEXT, "Null: the user was erased.", null=True, optional=True)
    email = Member(kinds.TEXT, null=True, optional=True)
    text = Member(kinds.TEXT, "As it would be sent now; null where there is none.", null=True, optional=True)
    as_if_down = Member(
        _CostAnswer,
        "Only with `asIfDownFrom`: the cost of the outage. Null: the greeting would be as it is.",
        null=True,
        optional=True,
    )


PreviewPage = page("PreviewPage", VerdictAnswer)


class BacklogAnswer(Part):
    """The greetings that should have left already: due, on their way, and still to be planned."""

    total = Member(kinds.COUNT)
    due = Member(kinds.COUNT)
    queued = Member(kinds.COUNT)
    sending = Member(kinds.COUNT)
    to_plan = Member(kinds.COUNT)


class MinuteAnswer(Part):
    """The greetings of a minute."""

    at = Member(kinds.INSTANT)
    total = Member(kinds.COUNT)
    occasions = Member(kinds.COUNT, by_name=True, of=lambda minute: dict(minute.counts))


class WaveAnswer(Part):
    """A time in which messages wait."""

    begins_at = Member(kinds.INSTANT)
    over_at = Member(kinds.INSTANT)
    messages = Member(kinds.COUNT)
    peak = Member(kinds.COUNT)
    peak_at = Member(kinds.INSTANT)


class ForecastAnswer(Answer):
    """The counts of a forecast, and the holds that keep what is due from leaving."""

    now = Member(kinds.INSTANT)
    until = Member(kinds.INSTANT)
    backlog = Member(BacklogAnswer)
    total = Member(
        kinds.COUNT, "The sum of the minutes.", of=lambda forecast: sum(minute.total for minute in forecast.minutes)
    )
    minutes = Member(MinuteAnswer, many=True)
    holds = Member(HoldAnswer, "What is held now. It waits.", many=True)
    rate_per_second = Member(kinds.NUMBER, null=True, of="rate")
    waves = Member(
        WaveAnswer,
        "Times in which messages wait for the rate; null where no rate is set.",
        null=True,
        many=True,
    )

    example: ClassVar = {
        "now": "2026-12-08T12:30:00Z",
        "until": "2026-12-10T12:30:00Z",
        "backlog": {"total": 0, "due": 0, "queued": 0, "sending": 0, "toPlan": 0},
        "total": 620,
        "minutes": [{"at": "2026-12-10T09:00:00Z", "total": 620, "occasions": {"anniversary": 20, "birthday": 600}}],
        "holds": [],
        "ratePerSecond": 50,
        "waves": [
            {
                "beginsAt": "2026-12-10T09:00:00Z",
                "overAt": "2026-12-10T09:00:12.400000Z",
                "messages": 620,
                "peak": 620,
                "peakAt": "2026-12-10T09:00:00Z",
            }
        ],
    }


class ExplainedAnswer(_VerdictAnswer, Part):
    """One occasion in one local year, explained."""

    why = Member(kinds.TEXT, "Sentences for people.")
    message = Member(MessageTimelineAnswer, "Null: there is none.", null=True)

    example: ClassVar = {
        **_VerdictAnswer.example,
        "localYear": 2026,
        "sendAt": "2026-12-10T09:00:00Z",
        "status": "sent",
        "messageId": MESSAGE_ID,
        "why": (
            "The message was sent 2026-12-10 09:00:00 in Europe/London. "
            "It was due 2026-12-10 09:00:00 in Europe/London."
        ),
        "message": MessageTimelineAnswer.example,
    }


class ExplanationAnswer(Answer):
    """Everything about one user."""

    user_id = Member(kinds.ID)
    timezone = Member(kinds.TEXT)
    created_at = Member(kinds.INSTANT)
    deleted_at = Member(kinds.INSTANT, null=True)
    now = Member(kinds.INSTANT)
    planned_up_to = Member(kinds.INSTANT, "The instant up to which planning is complete.", of="planned_until")
    days = Member(ExplainedAnswer, many=True)

    example: ClassVar = {
        "userId": USER_ID,
        "timezone": "Europe/London",
        "createdAt": "2026-11-24T09:30:00Z",
        "deletedAt": None,
        "now": "2026-12-10T12:30:00Z",
        "plannedUpTo": "2026-12-12T12:00:00Z",
        "days": [ExplainedAnswer.example],
    }


def verdict_json(
    verdict: Prospect, recipient: Recipient | None, holds: Sequence[Hold], outage: Outage | None = None
) -> dict[str, Any]:
    """One greeting of a preview, or the reason why a user is left out. `holds` are the active ones.

    Without a recipient the user was erased. With `outage`, also the cost that it would have.
    """
    more = {name: recipient and getattr(recipient, name) for name in ("name", "email", "text")}
    if outage is not None:
        more["as_if_down"] = (cost := outage.cost(verdict)) and _CostAnswer.json(cost)
    return VerdictAnswer.json(verdict, held=_held(verdict, holds), **more)


def forecast_json(forecast: Forecast, holds: Sequence[Hold]) -> dict[str, Any]:
    """The counts of a forecast, and the holds that keep what is due from leaving."""
    return ForecastAnswer.json(forecast, holds=[hold_json(one, forecast.now) for one in holds])


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Everything about one user."""
    return ExplanationAnswer.json(
        explanation, days=[_explained_json(day, explanation.holds) for day in explanation.days]
    )


def _explained_json(day: Explained, holds: Sequence[Hold]) -> dict[str, Any]:
    message = None if day.timeline is None else with_timeline(day.timeline)
    return ExplainedAnswer.json(day.verdict, held=_held(day.verdict, holds), why=day.why, message=message)


def _held(verdict: Prospect, holds: Sequence[Hold]) -> dict[str, Any] | None:
    return held_json(holds, verdict.occasion) if verdict.waits else None
