"""Tests that the duration of a refusal reveals nothing about valid keys."""

from __future__ import annotations

import hmac
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from service.api.email_events.signatures import NotAuthentic, Webhook, verify
from service.api.middleware.api_keys import ApiKeys
from service.api_keys import parse_api_keys
from service.domain.email_formats import EmailFormat
from service.settings import Secret, Settings


def test_every_key_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping at the first match would reveal its position, and comparing texts a correct prefix."""
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    keys = ApiKeys(
        Settings(Secret(""), Secret(""), Secret(""), api_keys=parse_api_keys("first,second-and-longer,third"))
    )
    monkeypatch.setattr(hmac, "compare_digest", noted)

    fits = [keys.find(key) is not None for key in ("first", "third", "", "firs", "first" * 1000)]

    assert fits == [True, True, False, False, False]
    assert compared == [(64, 64)] * 15


def test_every_secret_of_a_webhook_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the same as for keys."""
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    keys = [b"first", b"second-and-longer"]
    for secret in ("first", "second-and-longer", "firs", "first" * 1000):
        webhook = Webhook(CIMultiDict({"Authorization": f"Bearer {secret}"}), b"{}")
        with suppress(NotAuthentic):
            verify(EmailFormat.BREVO, keys, webhook, datetime.now(UTC))

    assert compared == [(32, 32)] * 8
