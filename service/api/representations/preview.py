"""Previews, forecasts and explanations as JSON, for the API and for the command line."""

from __future__ import annotations

from actors.api.message_json import with_timeline
from service.explanation import Explanation
from service.forecast import Forecast
from service.prospects import Prospect


def verdict_json(verdict: Prospect) -> dict[str, object]:
    """Who gets what when, or is left out and why."""
    return {
        "userId": verdict.user_id,
        "occasion": verdict.occasion,
        "localYear": verdict.local_year,
        "timezone": verdict.timezone,
        "sendAt": verdict.send_at,
        "rule": verdict.rule,
        "status": verdict.status,
        "leftOut": verdict.left_out,
        "messageId": verdict.message_id,
    }


def forecast_json(forecast: Forecast) -> dict[str, object]:
    """What will leave."""
    return {
        "now": forecast.now,
        "until": forecast.until,
        "backlog": {
            "total": forecast.backlog.total,
            "due": forecast.backlog.due,
            "queued": forecast.backlog.queued,
            "sending": forecast.backlog.sending,
            "toPlan": forecast.backlog.to_plan,
        },
        "total": sum(minute.total for minute in forecast.minutes),
        "minutes": [
            {"at": minute.at, "total": minute.total, "occasions": dict(minute.counts)} for minute in forecast.minutes
        ],
        "ratePerSecond": forecast.rate,
        "waves": forecast.waves
        and [
            {
                "beginsAt": wave.begins_at,
                "overAt": wave.over_at,
                "messages": wave.messages,
                "peak": wave.peak,
                "peakAt": wave.peak_at,
            }
            for wave in forecast.waves
        ],
    }


def explanation_json(explanation: Explanation) -> dict[str, object]:
    """Everything about one user."""
    return {
        "userId": explanation.user_id,
        "timezone": explanation.timezone,
        "createdAt": explanation.created_at,
        "deletedAt": explanation.deleted_at,
        "now": explanation.now,
        "plannedUpTo": explanation.planned_up_to,
        "days": [
            {
                **verdict_json(day.verdict),
                "why": day.why,
                "message": None if day.timeline is None else with_timeline(day.timeline),
            }
            for day in explanation.days
        ],
    }
