"""The streams give each entry to one node, keep it until it is finished, and survive a flush."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio.connection import Connection

from service.adapters.redis.connection import RedisClients
from service.adapters.redis.streams import MAX_TRIES, REQUEUE_BATCH, RedisWorkStream
from service.ports import Emptied, StreamState, WorkStream
from tests.service.adapters.redis.stores import NAME, Store


@pytest.fixture
def stream(store: Store) -> WorkStream:
    """The stream of node `a`."""
    return store.stream("a")


async def test_what_was_appended_is_read_in_order(stream: WorkStream) -> None:
    """Greetings leave oldest first only if every hop keeps the order."""
    await stream.open()
    await stream.append(["first", "second", "third"])

    entries = await stream.read(count=2, block=0) + await stream.read(count=2, block=0)

    assert [entry.body for entry in entries] == ["first", "second", "third"]


async def test_work_appended_before_the_first_node_starts_is_read(stream: WorkStream) -> None:
    """The group starts at the beginning of the stream."""
    await stream.append(["early"])

    await stream.open()

    assert [entry.body for entry in await stream.read(count=5, block=0)] == ["early"]


async def test_opening_twice_changes_nothing(stream: WorkStream) -> None:
    """Every node opens every stream at start."""
    await stream.open()
    await stream.append(["kept"])
    await stream.read(count=1, block=0)

    await stream.open()

    assert (await stream.state()).pending == {"a": 1}


async def test_an_entry_goes_to_one_consumer_only(store: Store) -> None:
    """Otherwise two nodes would do the same work."""
    nodes = [store.stream(name) for name in "abcd"]
    await nodes[0].open()
    await nodes[0].append([str(number) for number in range(200)])

    batches = await asyncio.gather(*(node.read(count=10, block=0) for _ in range(6) for node in nodes))

    bodies = [entry.body for batch in batches for entry in batch]
    assert sorted(bodies, key=int) == [str(number) for number in range(200)]


async def test_finished_entries_are_deleted(stream: WorkStream) -> None:
    """Otherwise the stream grows until the server is full."""
    await stream.open()
    await stream.append(["one", "two"])
    entries = await stream.read(count=2, block=0)

    await stream.finish(entries)

    assert await stream.state() == StreamState(length=0, pending={})


async def test_finishing_nothing_is_harmless(stream: WorkStream) -> None:
    """An empty batch must not become a command without arguments."""
    await stream.finish([])
    await stream.append([])


async def test_a_blocking_read_returns_as_soon_as_work_is_there(store: Store, stream: WorkStream) -> None:
    """A wave must not wait for a poll."""
    await stream.open()
    reading = asyncio.ensure_future(stream.read(count=1, block=30))
    await store.until_a_reader_waits()

    await stream.append(["now"])

    async with asyncio.timeout(60):
        assert [entry.body for entry in await reading] == ["now"]


async def test_a_read_without_waiting_does_not_wait_for_ever(stream: WorkStream) -> None:
    """Redis waits for ever with BLOCK 0. The port must not wait at all."""
    await stream.open()

    async with asyncio.timeout(60):
        assert await stream.read(count=1, block=0) == []
        assert await stream.read(count=1, block=-1) == []
        assert await stream.read(count=1, block=0.01) == []


async def test_unfinished_work_of_this_node_is_found_at_restart(store: Store) -> None:
    """Redis gives a pending entry again only to a node that asks for it."""
    before = store.stream("a")
    await before.open()
    await before.append(["mine", "also mine", "new"])
    await before.read(count=2, block=0)

    entries = await store.stream("a").unfinished(count=10)

    assert [entry.body for entry in entries] == ["mine", "also mine"]


async def test_pending_entries_that_were_deleted_are_dropped(store: Store, stream: WorkStream) -> None:
    """XTRIM and XDEL leave pending ids without an entry, which would return at every restart."""
    await stream.open()
    await stream.append([str(number) for number in range(6)])
    entries = await stream.read(count=6, block=0)
    await store.delete(*entries[:5])

    left = await stream.unfinished(count=2)

    assert [entry.body for entry in left] == ["5"]
    assert (await stream.state()).pending == {"a": 1}


async def test_entries_of_a_dead_node_are_put_back_and_its_name_removed(store: Store) -> None:
    """Every restart adds a consumer, which must be removed in the end."""
    dead, living = store.stream("dead"), store.stream("a")
    await dead.open()
    await dead.append(["left behind", "not taken"])
    await dead.read(count=1, block=0)

    requeued = await living.requeue_abandoned(living={"a"}, idle=3600)

    assert (requeued.entries, requeued.given_up) == (1, ())
    assert {entry.body for entry in await living.read(count=5, block=0)} == {"left behind", "not taken"}
    assert await store.consumers() == {"a"}


async def test_entries_of_a_living_node_stay_with_it(store: Store, stream: WorkStream) -> None:
    """A slow node is not dead, and neither is the calling node."""
    other = store.stream("b")
    await stream.open()
    await stream.append(["of a", "of b"])
    await stream.read(count=1, block=0)
    await other.read(count=1, block=0)

    requeued = await stream.requeue_abandoned(living={"b"}, idle=3600)

    assert requeued.entries == 0
    assert (await stream.state()).pending == {"a": 1, "b": 1}


async def test_idle_entries_of_a_living_node_are_put_back(store: Store, stream: WorkStream) -> None:
    """A task that lost its entry without a crash would hold it for ever."""
    await stream.open()
    await stream.append(["forgotten", "just taken"])
    [forgotten] = await stream.read(count=1, block=0)
    await stream.read(count=1, block=0)
    await store.age(forgotten, "a", 60)

    requeued = await stream.requeue_abandoned(living={"a"}, idle=59)

    assert requeued.entries == 1
    assert [entry.body for entry in await stream.read(count=5, block=0)] == ["forgotten"]


async def test_more_than_one_script_run_is_put_back_at_once(store: Store, stream: WorkStream) -> None:
    """One run of the script is bounded. The call repeats it until nothing is left."""
    dead = store.stream("dead")
    await dead.open()
    await dead.append([str(number) for number in range(2 * REQUEUE_BATCH + 3)])
    await dead.read(count=3 * REQUEUE_BATCH, block=0)

    requeued = await stream.requeue_abandoned(living=set(), idle=3600)

    assert requeued.entries == 2 * REQUEUE_BATCH + 3
    assert await stream.state() == StreamState(length=2 * REQUEUE_BATCH + 3, pending={})
    assert await store.consumers() == set()


async def test_poison_is_given_up_and_reported(store: Store, stream: WorkStream) -> None:
    """An entry that kills its node must not kill one node after another."""
    await stream.open()
    await stream.append(["poison"])

    for node in range(MAX_TRIES):
        await store.stream(f"victim {node}").read(count=1, block=0)
        assert (await stream.requeue_abandoned(living=set(), idle=3600)).entries == 1
    await store.stream("last victim").read(count=1, block=0)
    requeued = await stream.requeue_abandoned(living=set(), idle=3600)

    assert (requeued.entries, requeued.given_up) == (0, ("poison",))
    assert await stream.state() == StreamState(length=0, pending={})


async def test_an_entry_that_was_deleted_is_not_put_back(store: Store, stream: WorkStream) -> None:
    """Nothing can be put back, but the dead node's consumer must still be removed."""
    dead = store.stream("dead")
    await dead.open()
    await dead.append(["deleted"])
    [entry] = await dead.read(count=1, block=0)
    await store.delete(entry)

    requeued = await stream.requeue_abandoned(living=set(), idle=3600)

    assert requeued.entries == 0
    assert await store.consumers() == set()


async def test_a_reader_waiting_while_it_is_taken_for_dead_still_gets_work(store: Store, stream: WorkStream) -> None:
    """A node with a late heartbeat loses its consumer during a read, and must not lose the entries that it reads."""
    late = store.stream("late")
    await late.open()
    await late.append(["earlier"])
    await late.finish(await late.read(count=1, block=0))
    reading = asyncio.ensure_future(late.read(count=1, block=30))
    await store.until_a_reader_waits()

    await stream.requeue_abandoned(living={"a"}, idle=3600)
    assert await store.consumers() == set()
    await stream.append(["work"])

    async with asyncio.timeout(60):
        [entry] = await reading
    assert entry.body == "work"
    assert (await stream.state()).pending == {"late": 1}


@pytest.mark.parametrize("call", ["read", "blocking read", "unfinished", "requeue_abandoned"])
async def test_an_emptied_redis_is_reported_once_and_works_again(call: str, store: Store, stream: WorkStream) -> None:
    """After FLUSHALL or a failover the group is missing. It is created again, and the rows give the work again."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "read": lambda: stream.read(count=1, block=0),
        "blocking read": lambda: stream.read(count=1, block=0.01),
        "unfinished": lambda: stream.unfinished(count=1),
        "requeue_abandoned": lambda: stream.requeue_abandoned(living=set(), idle=1),
    }
    await stream.open()
    await store.flush()
    await stream.append(["appended before the group was made again"])

    with pytest.raises(Emptied):
        await calls[call]()

    await calls[call]()
    await stream.append(["later"])
    await stream.requeue_abandoned(living=set(), idle=0)
    entries = await stream.read(count=5, block=0)
    assert {entry.body for entry in entries} <= {"appended before the group was made again", "later"}
    assert (await stream.state()).length == 2


async def test_a_flush_wakes_a_waiting_reader(store: Store, stream: WorkStream) -> None:
    """Redis and Valkey report it in different words."""
    await stream.open()
    reading = asyncio.ensure_future(stream.read(count=1, block=30))
    await store.until_a_reader_waits()

    await store.flush()

    async with asyncio.timeout(60):
        with pytest.raises(Emptied):
            await reading


async def test_the_state_is_read_in_one_round_trip(clients: RedisClients, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health has less than a second for all streams, also when Redis is far away."""
    stream = RedisWorkStream(clients.commands, clients.blocking, NAME, consumer="a")
    await stream.open()
    await stream.append(["a", "b"])
    await stream.read(count=1, block=0.1)
    sent: list[object] = []
    send = Connection.send_packed_command

    async def counted(self: Connection, *arguments: Any, **options: Any) -> None:
        sent.append(arguments)
        await send(self, *arguments, **options)

    monkeypatch.setattr(Connection, "send_packed_command", counted)

    state = await stream.state()

    assert (state.length, sum(state.pending.values())) == (2, 1)
    assert len(sent) == 1


async def test_the_state_of_a_missing_stream_is_empty(stream: WorkStream) -> None:
    """Metrics are read before streams are opened, and after a flush."""
    assert await stream.state() == StreamState(length=0, pending={})


async def test_a_foreign_entry_in_the_stream_is_handed_out_as_empty_text(
    clients: RedisClients,
) -> None:
    """The reader refuses it. It must not block the stream."""
    stream = RedisWorkStream(clients.commands, clients.blocking, NAME, consumer="a")
    await stream.open()
    await clients.commands.xadd(NAME, {"hello": "world"})
    await clients.commands.xadd(NAME, {"body": b"\xff\xfe"})

    entries = await stream.read(count=5, block=0)

    assert [entry.body for entry in entries] == ["", "\\xff\\xfe"]
