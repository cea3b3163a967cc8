"""What an edit of a user does to their messages: moved, cancelled, revived or made, within the edit's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.domain.messages import UNSENT, Status
from service.ports import Wanted
from tests.fakes.rows import MessageRow, Nowhere, UserRow
from tests.fakes.truth import Truth

_MOVABLE = UNSENT | {Status.CANCELLED, Status.EXPIRED}


def plan_user(truth: Truth, user: UserRow, wanted: Sequence[Wanted], *, late_limit: timedelta, tzdata: str) -> None:
    """Make the messages of `user`, as the row is now, what `wanted` says."""
    now = truth.now()
    oldest = now - late_limit
    for one in wanted:
        row = truth.find(user.id, one.occasion, one.local_year)
        if row is not None:
            if row.status is Status.SENDING:
                truth.move(row, moved_to=_after_the_attempt(user, row, one.send_at, now))
            elif row.status in _MOVABLE:
                _adjust(truth, user, row, one.send_at, oldest=oldest, tzdata=tzdata)
        elif (
            one.send_at is not None
            and user.created_at < one.send_at
            and oldest <= one.send_at < truth.planned_up_to  # beyond that, planning will come by
        ):
            due_at = max(one.send_at, now)
            truth.insert_message(user, one.occasion, one.local_year, one.send_at, due_at=due_at, tzdata=tzdata)


def cancel_user(truth: Truth, user: UserRow) -> None:
    """Whatever has not been sent will not be, nor tried again."""
    for row in truth.in_state(Status.SENDING):
        if row.user_id == user.id:
            truth.move(row, moved_to=Nowhere.NOWHERE)
    for row in truth.in_state(*UNSENT):
        if row.user_id == user.id:
            truth.move(row, status=Status.CANCELLED, ended_at=truth.now(), reason="the user was deleted")


def _after_the_attempt(
    user: UserRow, row: MessageRow, send_at: datetime | None, now: datetime
) -> datetime | Nowhere | None:
    """Where a message that is being sent goes should the attempt not succeed; None: to the next attempt."""
    if send_at == row.send_at:
        return None
    return Nowhere.NOWHERE if send_at is None or (send_at <= now and user.created_at >= send_at) else send_at


def _adjust(
    truth: Truth, user: UserRow, row: MessageRow, send_at: datetime | None, *, oldest: datetime, tzdata: str
) -> None:
    now, zone = truth.now(), user.profile.timezone
    if row.ended_at is None and send_at == row.send_at:
        # The same instant by the clocks of another zone: the message stays where it is on its way.
        truth.move(row, timezone=zone)
        return
    if send_at is None or (send_at <= now and user.created_at >= send_at):
        if row.ended_at is None:
            truth.move(
                row,
                status=Status.CANCELLED,
                timezone=zone,
                send_at=send_at or row.send_at,
                due_at=max(send_at or row.send_at, now),
                ended_at=now,
                reason="the user's day was moved or removed",
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
            reason=None,
            tzdata=tzdata,
        )
