"""Fixtures for actors: the context of their node, and stores in memory that the contract suites hold.

The fakes are imported when a test asks for them: the tests of the runtime collect garbage after each test, which takes
the longer the more is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from actors.context import NodeContext
    from tests.fakes.broker import Broker
    from tests.fakes.redis_memory import RedisMemory
    from tests.fakes.truth import Truth
    from tests.service.node.steady import Steady


@pytest.fixture
def steady() -> Steady:
    """The steady clock of the node, moved by the test."""
    from tests.service.node.steady import Steady

    return Steady()


@pytest.fixture
def context(steady: Steady) -> NodeContext:
    """The context of a node whose lease was just renewed."""
    from tests.actors.contexts import node_context

    return node_context(steady)


@pytest.fixture
def truth() -> Truth:
    """PostgreSQL in memory, at `NOW`."""
    from tests.actors.contexts import NOW
    from tests.fakes.truth import Truth

    return Truth(now=lambda: NOW)


@pytest.fixture
def memory(steady: Steady) -> RedisMemory:
    """Redis in memory, by the steady clock."""
    from tests.fakes.redis_memory import RedisMemory

    return RedisMemory(monotonic=steady)


@pytest.fixture
def broker() -> Broker:
    """RabbitMQ in memory."""
    from tests.fakes.broker import Broker

    return Broker()
