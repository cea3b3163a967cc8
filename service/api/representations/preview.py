"""Previews, forecasts and explanations as JSON, for the API and for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from service.api.representations.holds import held_json, hold_json
from service.api.representations.messages import with_timeline
from service.domain.holds import Hold
from service.domain.recipients import Recipient
from service.reports.eligibility import Prospect
from service.reports.explanation import Explanation
from service.reports.forecast import Forecast
from service.reports.outage import Outage, OutageCost


def recipient_json(recipient: Recipient | None) -> dict[str, object]:
    """Recipient and text of a greeting, beside the verdict. Nulls for an erased user."""
    if recipient is None:
        return {"name": None, "email": None, "text": None}
    return {"name": recipient.name, "email": recipient.email, "text": recipient.text}


def verdict_json(verdict: Prospect, holds: Sequence[Hold], outage: Outage | None = None) -> dict[str, object]:
    """One greeting of a preview, or the reason why a user is left out. `holds` are the active ones.

    With `outage`, also the cost that it would have.
    """
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
        "held": held_json(holds, verdict.occasion) if verdict.waits else None,
        **({"asIfDown": _cost_json(outage.cost(verdict))} if outage is not None else {}),
    }


def _cost_json(cost: OutageCost | None) -> dict[str, object] | None:
    if cost is None:
        return None
    return {"expired": cost.expired, "leavesAt": cost.leaves_at, "lateSeconds": cost.late.total_seconds()}


def forecast_json(forecast: Forecast, holds: Sequence[Hold]) -> dict[str, object]:
    """The counts of a forecast, and the holds that keep what is due from leaving."""
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
        "holds": [hold_json(one, forecast.now) for one in holds],
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
        "plannedUpTo": explanation.planned_until,
        "days": [
            {
                **verdict_json(day.verdict, explanation.holds),
                "why": day.why,
                "message": None if day.timeline is None else with_timeline(day.timeline),
            }
            for day in explanation.days
        ],
    }
