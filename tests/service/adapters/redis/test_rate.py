"""The rate holds over all nodes together, evenly spaced. Without Redis each node uses its share."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import pytest

from actors.commands.sandbox.servers.relay import Relay, relayed
from service.adapters.redis import rate
from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.fallback import PAUSE_AFTER_FAILURE
from service.adapters.redis.rate import BURST, SETTLE, RedisRateLimit
from service.ports import RateLimit
from tests.service.adapters.redis.stores import Store

Freeze = Callable[[Relay], AbstractContextManager[None]]

AHEAD = 20
"""Seconds of calls that are reserved beforehand, so that the row never runs empty, however slow this machine is."""


@pytest.mark.parametrize(("per_second", "at_once"), [(100, 1), (100, 7), (999, 10), (13_000, 50), (30, 1)])
async def test_the_rate_is_exact_over_all_nodes(per_second: int, at_once: int, store: Store) -> None:
    """The agreed rate must hold within 2 % over 5 s, for any interleaving of nodes."""
    nodes = [store.rate(per_second, nodes=4) for _ in range(4)]
    rounds = 5 * per_second // (4 * at_once)
    await nodes[0].reserve(AHEAD * per_second)

    async def reserve(limit: RateLimit) -> None:
        for _ in range(rounds):
            await limit.reserve(at_once)

    first = await place(nodes[0])
    await asyncio.gather(*map(reserve, nodes))
    last = await place(nodes[3])

    seconds = (4 * rounds * at_once + 1) / per_second
    assert last.earliest - first.latest <= seconds * 1.02
    assert last.latest - first.earliest >= seconds * 0.98


@dataclass(frozen=True)
class Place:
    """The instant of a call, as exactly as a client can know it: on a busy machine the answer takes long."""

    earliest: float
    latest: float


async def place(limit: RateLimit) -> Place:
    """Reserve the next slot."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    (wait,) = await limit.reserve(1)
    return Place(asked + wait, loop.time() + wait)


async def test_a_reservation_is_evenly_spaced(store: Store) -> None:
    """A rate limit must prevent bursts."""
    waits = await store.rate(10).reserve(5)

    assert waits[0] == 0
    assert [later - earlier for earlier, later in pairwise(waits)] == pytest.approx([0.1] * 4)


async def test_idle_time_is_made_up_for_only_a_little(store: Store) -> None:
    """After a night without greetings, ten thousand must not leave at once."""
    waits = await store.rate(1_000).reserve(1_000)

    assert waits.count(0) <= 1_000 * BURST
    assert waits[-1] == pytest.approx(1 - BURST, abs=0.002)


async def test_the_next_reservation_goes_behind_the_last(store: Store) -> None:
    """The reservations of two nodes share one sequence."""
    one, other = (store.rate(2, nodes=2) for _ in range(2))

    began = time.monotonic()
    await one.reserve(4)
    [wait] = await other.reserve(1)
    took = time.monotonic() - began

    assert 2 - took - 0.001 <= wait <= 2.001


async def test_nothing_reserved_nothing_waited_for(store: Store) -> None:
    """An empty batch takes no slot."""
    assert await store.rate(1).reserve(0) == []
    assert await store.rate(1).reserve(1) == [0]


async def test_limits_of_different_names_do_not_meet(store: Store) -> None:
    """A second service has its own rate."""
    await store.rate(1).reserve(100)

    assert await store.rate(1, name="other").reserve(1) == [0]


async def test_a_lower_rate_is_kept_by_nodes_that_have_not_read_it(store: Store) -> None:
    """Places that were reserved at the old rate serve no call later than a second after the change."""
    one, other = (store.rate(1_000, nodes=2) for _ in range(2))
    await other.reserve(60_000)
    before = one.epoch

    one.configure(10, 1)
    [first] = await one.reserve(1)
    waits = await other.reserve(4)

    assert one.epoch != before
    assert 0 < first <= SETTLE
    assert [later - earlier for earlier, later in pairwise(waits)] == pytest.approx([0.1] * 3)
    assert one.per_second == 10


async def test_a_higher_rate_comes_without_a_burst(store: Store) -> None:
    """Calls at the old rate, at their places, end before those at the new rate begin."""
    one, other = (store.rate(1, nodes=2) for _ in range(2))
    await one.reserve(60)

    other.configure(1_000, 1)
    waits = await other.reserve(1_000)

    assert SETTLE / 2 < waits[0] <= SETTLE
    assert waits[-1] - waits[0] == pytest.approx(0.999, abs=0.001)


async def test_a_rate_where_there_was_none(store: Store) -> None:
    """In an emergency, a person limits what was unlimited."""
    limit = store.rate(None)
    await limit.reserve(1_000)

    limit.configure(10, 1)
    waits = await limit.reserve(5)

    assert waits[-1] - waits[0] == pytest.approx(0.4, abs=0.001)


async def test_no_rate_where_there_was_one(store: Store) -> None:
    """A node that has not read the change keeps to the old rate. The other need not wait for its places."""
    limit = store.rate(1)
    await limit.reserve(60)

    limit.configure(None, 1)

    assert await limit.reserve(300) == [0] * 300
    assert limit.per_second == math.inf


async def test_an_earlier_version_counts_again_when_the_later_is_not_used(
    clients: RedisClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored database has earlier versions. Without this, its rate would never count."""
    monkeypatch.setattr(rate, "VERSION_KEPT", 0.0)
    later, restored = (RedisRateLimit(clients.commands, 1_000, nodes=lambda: 1) for _ in range(2))
    later.configure(10, 5)
    await later.reserve(100)

    waits = await restored.reserve(100)

    assert waits[-1] - waits[0] == pytest.approx(0.099, abs=0.001)


async def test_a_changed_rate_counts_without_redis() -> None:
    """A person may lower the rate while Redis is away."""
    clients = connect("redis://127.0.0.1:1")
    limit = RedisRateLimit(clients.commands, 1_000, nodes=lambda: 2, clock=lambda: 1000.0)
    await limit.reserve(60_000)

    limit.configure(10, 1)
    waits = await limit.reserve(3)

    assert waits == pytest.approx([SETTLE, SETTLE + 0.2, SETTLE + 0.4])
    await clients.close()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Freeze:
    """Freezes a relay for a block, in which a reservation is given up soon."""

    @contextmanager
    def freeze(relay: Relay) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(rate, "RESERVE_TIMEOUT", 0.1)
            relay.freeze()
            yield
            relay.thaw()

    return freeze


async def test_without_redis_a_node_takes_its_share() -> None:
    """An outage of Redis must neither stop the greetings nor remove the limit."""
    now = 1000.0
    clients = connect("redis://127.0.0.1:1")
    limit = RedisRateLimit(clients.commands, 100, nodes=lambda: 5, clock=lambda: now)

    waits = await limit.reserve(3) + await limit.reserve(2)

    assert [later - earlier for earlier, later in pairwise(waits)] == pytest.approx([1 / 20] * 4)
    await clients.close()


async def test_redis_is_asked_again_when_it_may_be_back(redis_url: str, frozen: Freeze) -> None:
    """The share of a node is temporary."""
    now = 1000.0
    async with relayed(redis_url) as relay:
        clients = connect(relay.url)
        limit = RedisRateLimit(clients.commands, 10, nodes=lambda: 1, clock=lambda: now)

        with frozen(relay):
            await limit.reserve(1)
        now += PAUSE_AFTER_FAILURE / 2
        await limit.reserve(1)
        assert not await clients.commands.exists("heyday:rate:email")
        now += PAUSE_AFTER_FAILURE
        await limit.reserve(1)
        assert await clients.commands.exists("heyday:rate:email")

        await clients.close()


async def test_a_node_without_redis_first_uses_the_places_it_has(redis_url: str, frozen: Freeze) -> None:
    """Calls of both sequences at once would exceed the agreed rate."""
    now = 1000.0
    async with relayed(redis_url) as relay:
        clients = connect(relay.url)
        limit = RedisRateLimit(clients.commands, 10, nodes=lambda: 2, clock=lambda: now)

        shared = await limit.reserve(20)
        with frozen(relay):
            own = await limit.reserve(20)

        assert own[0] == pytest.approx(shared[-1] + 0.1, abs=0.001)
        await clients.close()


async def test_all_wait_for_the_places_that_a_node_gave_itself_without_redis(redis_url: str, frozen: Freeze) -> None:
    """These slots are still used when Redis is back."""
    now = 1000.0
    async with relayed(redis_url) as relay:
        clients, others = connect(relay.url), connect(redis_url)
        limit = RedisRateLimit(clients.commands, 10, nodes=lambda: 2, clock=lambda: now)
        other = RedisRateLimit(others.commands, 10, nodes=lambda: 2, clock=lambda: now)

        with frozen(relay):
            own = await limit.reserve(50)
        now += PAUSE_AFTER_FAILURE
        asked = time.monotonic()
        (ours,) = await limit.reserve(1)
        (theirs,) = await other.reserve(1)
        between = time.monotonic() - asked

        assert ours == pytest.approx(own[-1] + 0.2 - PAUSE_AFTER_FAILURE, abs=0.001)
        # The second is asked a little later, by the clock of Redis, and so waits that much less.
        assert ours + 0.1 - between - 0.001 <= theirs <= ours + 0.1 + 0.001
        await clients.close()
        await others.close()


async def test_without_a_configured_rate_no_call_waits(store: Store) -> None:
    """By default there is no limit."""
    limit = store.rate(None)

    assert await limit.reserve(300) + await limit.reserve(3) == [0] * 303
    assert (limit.per_second, limit.grace) == (math.inf, math.inf)


@pytest.mark.parametrize("per_second", [0, -1, float("nan")])
async def test_a_rate_that_is_none_is_refused(per_second: float, clients: RedisClients) -> None:
    """With a rate of 0 a call would wait for ever."""
    with pytest.raises(ValueError, match="a rate is above 0"):
        RedisRateLimit(clients.commands, per_second, nodes=lambda: 1)


async def test_a_throttle_of_one_node_slows_all_down(store: Store) -> None:
    """The rate is that of the service, for all nodes."""
    one, other = (store.rate(None, nodes=2) for _ in range(2))
    await other.reserve(1)
    before = other.epoch
    for _ in range(100):
        one.accepted()

    await one.throttled(None)
    waits = await other.reserve(20)

    assert other.epoch != before
    assert 20 < other.per_second < 1_000
    # What may be made up for at once is left out.
    assert waits[-1] - waits[0] >= (19 - BURST * other.per_second) / other.per_second * 0.9


async def test_no_more_is_reserved_than_a_rate_lets_begin_soon_that_this_node_does_not_know(store: Store) -> None:
    """A whole bundle at a low rate waited for minutes after the rate was high again."""
    one, other = (store.rate(None, nodes=2) for _ in range(2))
    for _ in range(3):
        one.accepted()
    await one.throttled(None)

    waits = await other.reserve(50, ahead=1.0)

    assert 1 <= len(waits) <= other.per_second
    assert waits[-1] <= 1.1


async def test_a_place_that_is_too_far_away_is_not_taken(store: Store) -> None:
    """Each message that looks for another place would put the next free one further away."""
    one, other = (store.rate(1, nodes=2) for _ in range(2))
    await one.reserve(10)

    assert await other.reserve(1, within=5.0) == []
    [wait] = await other.reserve(1, within=20.0)

    assert 5 < wait <= 10


async def test_a_pause_is_kept_by_all(store: Store) -> None:
    """Every node honours Retry-After, for all messages."""
    one, other = (store.rate(1_000, nodes=2) for _ in range(2))

    began = time.monotonic()
    await one.throttled(timedelta(seconds=30))
    [wait] = await other.reserve(1)
    took = time.monotonic() - began

    assert 30 - took - 0.001 <= wait <= 30.001
    assert (one.per_second, other.per_second) == (0, 0)


async def test_places_reserved_before_a_throttle_are_void(store: Store) -> None:
    """Otherwise slots of several minutes at the old rate would delay the new rate."""
    limit = store.rate(10)
    await limit.reserve(1_000)
    epoch = limit.epoch

    await limit.throttled(None)
    [wait] = await limit.reserve(1)

    assert limit.epoch != epoch
    assert wait < 5


async def test_without_redis_a_node_slows_down_by_itself() -> None:
    """It uses the throttles that it gets itself."""
    now = 1000.0
    clients = connect("redis://127.0.0.1:1")
    limit = RedisRateLimit(clients.commands, None, nodes=lambda: 4, clock=lambda: now)
    for _ in range(10):
        limit.accepted()

    await limit.throttled(timedelta(seconds=5))
    waits = await limit.reserve(2)

    # Nine tenths of the 10 calls a second that each of four nodes may have made, and a quarter of it for this one.
    assert waits == pytest.approx([5, 5 + 1 / 9])
    await clients.close()
