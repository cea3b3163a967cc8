"""Stores rows of which some describe users that there are: each creates a user, updates one, or changes nothing.

A row finds its user by the caller's own key; without one, or where no user has it yet, by the address. Fields that the
row leaves out stay as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeAlias
from uuid import UUID

from service.api.imports.rows import Row
from service.api.occasion_cache import OccasionCache, codes, moved
from service.api.representations.users import changes, merged
from service.domain.planning import DesiredMessage, PlanningRules
from service.domain.users import Profile, email_key
from service.ports import Created, EmailTaken, ExternalIdTaken, RowRefused, Users

CreateMany: TypeAlias = Callable[..., Awaitable[list[Created]]]
"""Stores profiles under `ids`, `again` where an earlier answer was lost."""


class Outcome(StrEnum):
    """The effect of a row; the values are those of the result line."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Stored:
    """The user of a row, and what the row has done."""

    id: UUID
    outcome: Outcome


Result: TypeAlias = Stored | EmailTaken | ExternalIdTaken | RowRefused
"""The result of a row."""


def keys_of(row: Row) -> set[str]:
    """Return the keys that name the user of a row, to compare with other rows."""
    profile = row.profile
    if profile is None:
        return set()
    address = email_key(profile.email)
    return {address} if profile.external_id is None else {address, f"\0{profile.external_id}"}


def _names(row: Profile, user: Profile) -> bool:
    """True if a row finds this user: by the key, or by the address where one of the two has no key."""
    if row.external_id is not None and user.external_id is not None:
        return row.external_id == user.external_id
    return email_key(row.email) == email_key(user.email)


class UpdatingBatch:
    """A batch of rows that describe users. A call that failed may be made again: what is done stays done."""

    def __init__(
        self,
        users: Users,
        occasions: OccasionCache,
        statements: asyncio.Semaphore,
        rows: Sequence[Row],
        ids: Sequence[UUID],
    ) -> None:
        self._users = users
        self._occasions = occasions
        self._statements = statements
        self._rows = rows
        self._ids = ids
        """The ids for new users."""
        self._results: dict[int, Result] = {}
        self._tried: set[int] = set()
        """Rows that an earlier call may have stored, without an answer."""

    async def store(self, create_many: CreateMany, earlier: Awaitable[object] | None) -> list[Result]:
        """Store the rows that are not stored yet, and return the results of all.

        A row whose address or key is taken is tried a second time, after the batch `earlier`: another row may have
        freed it. Raises Unavailable.
        """
        await self._pass(create_many, alone=earlier is None)
        if any(isinstance(one, EmailTaken | ExternalIdTaken) for one in self._results.values()):
            if earlier is not None:
                await earlier
            self._results = {
                line: one for line, one in self._results.items() if not isinstance(one, EmailTaken | ExternalIdTaken)
            }
            await self._pass(create_many, alone=True)
        return [self._results[line] for line in range(len(self._rows))]

    async def _pass(self, create_many: CreateMany, *, alone: bool) -> None:
        for lines in self._turns():
            await self._turn(lines, create_many, alone=alone)

    def _turns(self) -> list[list[int]]:
        """The rows without a result, in order, cut where two of them may name one user: the second comes later."""
        turns: list[list[int]] = []
        seen: set[str] = set()
        for line, row in enumerate(self._rows):
            if line in self._results:
                continue
            keys = keys_of(row)
            if not turns or not seen.isdisjoint(keys):
                turns.append([])
                seen = set()
            turns[-1].append(line)
            seen |= keys
        return turns

    async def _turn(self, lines: list[int], create_many: CreateMany, *, alone: bool) -> None:
        wanted = [(profile.external_id, profile.email) for profile in map(self._profile, lines)]
        new: list[int] = []
        changed: list[tuple[int, UUID]] = []
        named: set[UUID] = set()
        async with self._statements:
            found = await self._users.match(wanted)
        for line, user in zip(lines, found, strict=True):
            if user is None:
                new.append(line)
            elif user.id == self._ids[line]:
                self._results[line] = Stored(user.id, Outcome.CREATED)
            elif not alone and user.profile.external_id is not None and self._profile(line).external_id is None:
                # A row of the earlier batch may name this user by the key, and free the address.
                self._results[line] = EmailTaken()
            elif user.id not in named and not changes(user.profile, self._rows[line].given):
                self._results[line] = Stored(user.id, Outcome.UNCHANGED)
            else:
                changed.append((line, user.id))
            if user is not None:
                named.add(user.id)
        if new:
            await self._create(new, create_many)
        while changed:
            # Two rows may mean one user, by the key and by the address. The second comes later, and looks again.
            first = {user_id: line for line, user_id in reversed(changed)}
            await self._edit(first)
            changed = [(line, user_id) for line, user_id in changed if first[user_id] != line]

    async def _create(self, lines: list[int], create_many: CreateMany) -> None:
        again = not self._tried.isdisjoint(lines)
        self._tried.update(lines)
        profiles = [self._profile(line) for line in lines]
        async with self._statements:
            made = await create_many(profiles, ids=[self._ids[line] for line in lines], again=again)
        for line, one in zip(lines, made, strict=True):
            self._results[line] = (
                Stored(one, Outcome.CREATED) if isinstance(one, UUID) else EmailTaken() if one is None else one
            )

    async def _edit(self, lines: Mapping[UUID, int]) -> None:
        """Change the users of these rows in one transaction. Where one row is refused, change each half, down to it."""
        try:
            async with self._statements:
                self._results.update(await self._occasions.apply(partial(self._change, lines)))
        except (EmailTaken, ExternalIdTaken, RowRefused) as error:
            error.__traceback__ = None
            if len(lines) == 1:
                self._results[next(iter(lines.values()))] = error
                return
        else:
            return
        users = list(lines)
        for half in users[: len(users) // 2], users[len(users) // 2 :]:
            await self._edit({user_id: lines[user_id] for user_id in half})

    async def _change(self, lines: Mapping[UUID, int], rules: PlanningRules) -> dict[int, Result]:
        results: dict[int, Result] = {}
        edits: list[tuple[UUID, Profile, list[DesiredMessage]]] = []
        known = codes(rules)
        async with self._users.editing_many(list(lines)) as editing:
            for user_id, line in lines.items():
                user = editing.users.get(user_id)
                if user is None or not _names(self._profile(line), user.profile):
                    # Just deleted, or changed by an earlier row: the second try finds another user, or none.
                    results[line] = EmailTaken()
                    continue
                before = user.profile
                after = merged(before, self._rows[line].given, known)
                results[line] = Stored(user_id, Outcome.UNCHANGED if after == before else Outcome.UPDATED)
                if after != before:
                    edits.append((user_id, after, moved(rules, before, after, editing.now)))
            if edits:
                await editing.store(edits)
        return results

    def _profile(self, line: int) -> Profile:
        profile = self._rows[line].profile
        assert profile is not None  # noqa: S101 - a batch has rows that describe users only
        return profile
