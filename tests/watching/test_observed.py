"""A real Prometheus scrapes a real node: every query of the dashboards has an answer, and no alert fires.

`python -m loadtest.observe` does the same for minutes, with faults, and checks the alerts that must fire.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.commands.sandbox.email_stub import StubOptions
from loadtest.observe.findings import ask_everything, empty_choices, fired
from loadtest.observe.prometheus import PrometheusServer
from tests.node.harness import NeverCame, World, eventually
from tests.watching.programs import Programs

A_WAVE = 200

ONLY_IN_TROUBLE = {
    "Which alerts fired, and when?",
    "Alerts",
    "Why does the email service accept nothing?",
    "Which node holds claimed entries?",
    "Is claimed work not finished?",
}
"""Panels without an answer while all is well. Entries are pending for moments, which a reading every 5 s may miss."""


@pytest.fixture
async def prometheus(small_world: World, programs: Programs, tmp_path: Path) -> AsyncIterator[PrometheusServer]:
    """Prometheus, which scrapes the first node of the world."""
    await small_world.begin()
    node = await small_world.node(EMAIL_RATE="40/s", EMAIL_CONCURRENCY="4")
    port = (await node.logged("api_listening"))["port"]
    server = PrometheusServer(
        tmp_path / "prometheus", executable=Path(programs.prometheus), targets=[f"127.0.0.1:{port}"]
    )
    await server.start()
    yield server
    await server.kill()
    await server.stop()


@pytest.mark.nightly
async def test_every_question_of_the_dashboards_has_an_answer(small_world: World, prometheus: PrometheusServer) -> None:
    """An empty panel looks as if all is well."""
    since = time.time()
    small_world.stub.change(StubOptions(error_rate=0.2))
    node = small_world.nodes[0]

    async def seen() -> bool:
        return await prometheus.scraped() == 1

    unanswered: set[str] = set()

    async def answered() -> bool:
        nonlocal unanswered
        await node.get("/nowhere")
        answers = await ask_everything(prometheus, since=since, until=time.time())
        unanswered = {one.query.panel.partition(" · ")[0] for one in answers if not one.series} - ONLY_IN_TROUBLE
        return not unanswered

    await eventually(seen)
    due = await small_world.wave(A_WAVE)

    async def expected() -> bool:
        return bool(await prometheus.query("next_wave_seconds > 0", since=since, until=time.time()))

    await eventually(expected)  # once the clock is set, no wave comes
    await small_world.clock.set(due)
    try:
        await eventually(answered, every=2)
    except NeverCame:
        pytest.fail(f"no answer to: {sorted(unanswered)}")
    await small_world.all_are("sent", A_WAVE)

    assert await empty_choices(prometheus, since=since, until=time.time()) == []
    assert await fired(prometheus, since=since, until=time.time()) == set()
