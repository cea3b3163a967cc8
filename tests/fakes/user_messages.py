"""The effect of a user's edit on their messages: moved, cancelled, revived or created, in the edit's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.domain.messages import UNSENT, Status
from service.domain.planning import DesiredMessage
from tests.fakes.rows import MessageRow, Nowhere, UserRow
from tests.fakes.truth import Truth

_MOVABLE = UNSENT | {Status.CANCELLED, Status.EXPIRED}


def plan_user(
    truth: Truth, user: UserRow, desired: Sequence[DesiredMessage], *, late_limit: timedelta, tzdata: str
) -> None:
    """Change the messages of `user`, as the row is now, to `desired`."""
    now = truth.now()
    oldest = now - late_limit
    for one in desired:
        row = truth.find(user.id, one.occasion, one.local_year)
        if row is not None:
            if row.status is Status.SENDING:
                truth.move(row, reschedule_to=_after_the_attempt(truth, user, row, one.send_at))
            elif row.status in _MOVABLE:
                _adjust(truth, user, row, one.send_at, oldest=oldest, tzdata=tzdata)
        elif (
            one.send_at is not None
            and truth.exists_since(user, one.occasion) < one.send_at
            and oldest <= one.send_at < truth.planned_until  # beyond that, planning will come by
        ):
            due_at = max(one.send_at, now)
            truth.insert_message(user, one.occasion, one.local_year, one.send_at, due_at=due_at, tzdata=tzdata)


def cancel_user(truth: Truth, user: UserRow) -> None:
    """Cancel all unsent messages."""
    for row in truth.in_state(Status.SENDING):
        if row.user_id == user.id:
            truth.move(row, reschedule_to=Nowhere.NOWHERE)
    for row in truth.in_state(*UNSENT):
        if row.user_id == user.id:
            truth.move(row, status=Status.CANCELLED, ended_at=truth.now(), status_reason="the user was deleted")


def _after_the_attempt(
    truth: Truth, user: UserRow, row: MessageRow, send_at: datetime | None
) -> datetime | Nowhere | None:
    """Return the instant of a message that is being sent if its attempt fails; None: that of the next attempt."""
    if send_at == row.send_at:
        return None
    nowhere = send_at is None or (send_at <= truth.now() and truth.exists_since(user, row.occasion) >= send_at)
    return Nowhere.NOWHERE if nowhere else send_at


def _adjust(
    truth: Truth, user: UserRow, row: MessageRow, send_at: datetime | None, *, oldest: datetime, tzdata: str
) -> None:
    now, zone = truth.now(), user.profile.timezone
    active = truth.occasions[row.occasion].occasion.active
    if row.ended_at is None and send_at == row.send_at:
        # The same instant by the clocks of another zone: the message stays where it is on its way.
        if row.timezone != zone:
            truth.move(row, timezone=zone)
        return
    if send_at is None or (send_at <= now and truth.exists_since(user, row.occasion) >= send_at):
        if row.ended_at is None:
            truth.move(
                row,
                status=Status.CANCELLED,
                timezone=zone,
                send_at=send_at or row.send_at,
                due_at=max(send_at or row.send_at, now),
                ended_at=now,
                status_reason="the user's day was moved or removed" if active else "the occasion is not active",
                tzdata=tzdata,
            )
    elif row.ended_at is None or send_at > now or send_at >= oldest:
        # What has ended, and would be too late, stays as it is.
        truth.move(
            row,
            status=Status.SCHEDULED,
            timezone=zone,
            send_at=send_at,
            due_at=max(send_at, now),
            ended_at=None,
            status_reason=None,
            tzdata=tzdata,
        )
