"""Changes users as the API does, in one call: for tests of what follows an edit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from service.domain.planning import DesiredMessage
from service.domain.users import Profile, User
from service.ports import UserNotFound, Users


async def edited(
    users: Users,
    user_id: UUID,
    edit: Callable[[User], Profile],
    plan: Callable[[Profile, Profile, datetime], list[DesiredMessage]],
    *,
    version: int | None = None,
) -> User | None:
    """Store what `edit` makes of the user, and move the messages as `plan` says. None if there is no such user."""
    try:
        async with users.editing(user_id, version=version) as editing:
            after = edit(editing.user)
            return await editing.store(after, plan(editing.user.profile, after, editing.now))
    except UserNotFound:
        return None
