"""Tests that a release of the zone data counts as followed only if no node planned by another one meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime

from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.zone_data import PostgresZoneData
from service.ports import Followed
from tests.service.adapters.postgres.conftest import Store

NOW = datetime(2030, 5, 2, tzinfo=UTC)
OLDER, OURS = "2030a", "2030b"


async def entered(store: Store, release: str) -> int:
    """Begin a node with this release, and return its incarnation."""
    return await PostgresNodes(store.database, tzdata=release).enter(f"node-{release}")


async def followed_after(store: Store, read: Followed) -> str | None:
    """Follow our release without moves, by what was `read`, and return the release that is noted."""
    zone_data = PostgresZoneData(store.database, release=OURS)
    await zone_data.follow([], days=[], starts_at=NOW, ends_at=NOW, read=read)
    return (await zone_data.followed()).release


async def read(store: Store) -> Followed:
    """Return what a node of our release reads."""
    return await PostgresZoneData(store.database, release=OURS).followed()


async def test_a_release_is_not_followed_if_an_older_node_ends_after_the_reading(store: Store) -> None:
    """It may have planned after the unsent messages were read. They would keep the instants of the older release."""
    await entered(store, OURS)
    older = await entered(store, OLDER)
    before = await read(store)
    await store.nodes.leave(older)

    assert await followed_after(store, before) is None
    assert await followed_after(store, await read(store)) == OURS


async def test_a_release_is_not_followed_if_an_older_node_begins_and_ends_after_the_reading(store: Store) -> None:
    """A rollback, or an old image, may last less long than to read and move a million messages."""
    await entered(store, OURS)
    before = await read(store)
    assert before.agreed
    await store.nodes.leave(await entered(store, OLDER))

    assert await followed_after(store, before) is None
    assert await followed_after(store, await read(store)) == OURS


async def test_nodes_of_the_same_release_begin_and_end_while_it_is_followed(store: Store) -> None:
    """They plan by the same instants. So did older nodes that had ended before the reading."""
    await store.nodes.leave(await entered(store, OLDER))
    await entered(store, OURS)
    before = await read(store)
    await store.nodes.leave(await entered(store, OURS))

    assert await followed_after(store, before) == OURS
