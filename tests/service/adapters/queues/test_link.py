"""The meaning of errors of the AMQP library: outages, or bugs that must crash."""

from __future__ import annotations

import asyncio

import pytest
from aiormq.abc import TaskWrapper

from service.adapters.rabbitmq.link import Link, _caused_by, translating
from service.ports import Unavailable


def test_a_cause_that_leads_back_to_itself_has_an_end() -> None:
    """The library raises errors in circles when a connection is refused. An endless search stops the node."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first

    assert _caused_by(first, OSError) is None
    assert _caused_by(first, KeyError) is second


async def test_a_wait_on_a_channel_that_is_closed_without_a_reason_is_an_outage() -> None:
    """aiormq raises a bare Exception, which must not crash an actor."""
    wrapper = TaskWrapper(asyncio.ensure_future(asyncio.Event().wait()))
    wrapper.throw(Exception)

    with pytest.raises(Unavailable, match="the channel was closed"):
        async with translating(within=5):
            await wrapper


async def test_an_error_of_our_own_is_not_an_outage() -> None:
    """A bug must be visible."""
    with pytest.raises(KeyError):
        async with translating(within=5):
            raise KeyError("a bug")


async def test_a_connection_that_is_dropped_before_the_turn_to_declare_is_no_bug(rabbitmq_url: str) -> None:
    """The dispatcher waited while another link declared, and crashed when its own connection was gone by then."""
    declaring = asyncio.Lock()
    link = Link(rabbitmq_url, name="test", declaring=declaring)
    async with link.channel(within=5):
        async with declaring:
            waiting = asyncio.create_task(link.declare())
            await asyncio.sleep(0)
            await link.close()

        await waiting
    await link.close()
