"""Users whose greetings are due at `NOW`, in PostgreSQL in memory."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from service.domain.messages import Status
from service.domain.users import Profile
from tests.actors.contexts import NOW
from tests.fakes.rows import MessageRow, UserRow
from tests.fakes.truth import Truth


def due_messages(truth: Truth, count: int) -> list[MessageRow]:
    """Make this many users, each with a scheduled message that is due."""
    for number in range(count):
        profile = Profile("Ada", "L", f"ada{number}@a.test", "UTC", {"birthday": date(1990, NOW.month, NOW.day)})
        long_ago = NOW - timedelta(days=1)
        user = UserRow(
            id=truth.new_user_id(),
            profile=profile,
            email_key=profile.email,
            version=1,
            created_at=long_ago,
            updated_at=long_ago,
        )
        truth.put_user(user)
        truth.insert_message(user, "birthday", NOW.year, NOW, due_at=NOW, tzdata="2026a")
    return list(truth.messages.values())


def queued_messages(truth: Truth, count: int) -> list[UUID]:
    """Make due messages that a ticker has queued, and return their ids."""
    return [truth.move(row, status=Status.QUEUED, queued_at=NOW, queued_by=1).id for row in due_messages(truth, count)]
