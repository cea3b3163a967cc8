"""A key for tests that make recorded changes."""

from __future__ import annotations

from service.domain.roles import Role
from service.ports import Principal

OPERATOR = Principal("operator", Role.ADMIN, "request-1")
