"""A claim that a living node has lost: when it is freed, and who waits for how long."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from actors.chaos.rehearsal import stalled_after
from actors.recovery import PASS_EVERY, Recovery, lost_claim_is_freed_within
from service.settings import read
from tests.service.steady import Steady

CLAIM = (UUID(int=1), 1)


class Rows:
    """One row, claimed at the beginning of the steady clock."""

    def __init__(self, steady: Steady) -> None:
        self._steady = steady
        self._began = steady.at

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        return {CLAIM} if self._steady.at - self._began > seconds else set()


@pytest.mark.parametrize("timeout", [1, 5, 10, 30, 120])
async def test_a_lost_claim_is_freed_when_it_is_said_to_be_and_a_rehearsal_waits_for_longer(timeout: int) -> None:
    """The row's age and our own clock have to agree, which takes twice as long as the first; a rehearsal that gives
    up before has called lost what was on its way back."""
    steady = Steady()
    clock: Any = SimpleNamespace(steady=steady)
    rows: Any = Rows(steady)
    unused: Any = SimpleNamespace()
    recovery = Recovery(
        rows,
        unused,
        unused,
        {},
        unused,
        unused,
        unused,
        policy=unused,
        email_timeout=timedelta(seconds=timeout),
        cron="* * * * *",
        lease=unused,
        clock=clock,
        outages=unused,
        metrics=unused,
    )
    began = steady.at

    while not await recovery._stuck():
        steady.at += PASS_EVERY

    took = steady.at - began
    assert 2 * (3 * timeout + 60) <= took <= lost_claim_is_freed_within(timedelta(seconds=timeout))
    environment = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h", "EMAIL_URL": "http://h"}
    settings = read({f"HEYDAY_{name}": value for name, value in environment.items()} | {
        "HEYDAY_EMAIL_TIMEOUT": f"{timeout}s", "HEYDAY_EMAIL_BACKOFF_LIMIT": "5s"
    })  # fmt: skip
    assert stalled_after(settings) > took + 5
