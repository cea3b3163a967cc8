"""Suppressions as JSON."""

from __future__ import annotations

from service.domain.suppressions import Suppression


def suppression_json(one: Suppression) -> dict[str, object]:
    """An address that gets nothing."""
    return {
        "id": one.id,
        "email": one.email,
        "reason": one.reason,
        "source": one.source,
        "createdAt": one.created_at,
    }
