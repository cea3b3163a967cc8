"""How long the refusal of a key takes says nothing about the valid ones."""

from __future__ import annotations

import hmac

import pytest

from actors.api.keys import ApiKeys


def test_every_key_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping at the first that fits would tell its place, and comparing texts how much of one was right."""
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    keys = ApiKeys(("first", "second-and-longer", "third"), None)
    monkeypatch.setattr(hmac, "compare_digest", noted)

    fits = [keys.fingerprint(key) is not None for key in ("first", "third", "", "firs", "first" * 1000)]

    assert fits == [True, True, False, False, False]
    assert compared == [(32, 32)] * 15
