"""The roles of API keys, each of which may do what the lower ones may."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A role, from the lowest to the highest."""

    READ = "read"
    """Reads everything but the audit log."""
    WRITE = "write"
    """Also changes users and suppressions."""
    OPERATE = "operate"
    """Also redrives, runs jobs, holds, changes occasions, and sends tests."""
    ADMIN = "admin"
    """Also erases users, and reads the audit log."""

    def may(self, least: Role) -> bool:
        """True if this role may do what needs `least`."""
        return _ORDER.index(self) >= _ORDER.index(least)


_ORDER = tuple(Role)
