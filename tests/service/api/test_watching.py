"""The routes of watched figures: computed once for all clients, and only on request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from service.adapters.redis import snapshots as shared
from service.adapters.redis.connection import connect
from service.adapters.redis.snapshots import RedisSnapshots
from service.api import watching
from service.api.day_counts import DayCounts
from service.api.http.json_text import encode
from service.api.representations.watching import WatchedNodeAnswer
from service.api.routes import watching as routes
from service.ports import Overview, Overviews, SharedText, Unavailable
from service.reports.day import Cell, day_cells
from tests.service.api.conftest import Api, Serve

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)

ZONES = {"Pacific/Kiritimati": 840, "Asia/Kolkata": 330, "Europe/London": 0, "Pacific/Pago_Pago": -660}


class CountedOverviews:
    """Counts the reads of another adapter."""

    def __init__(self, overviews: Overviews) -> None:
        self._overviews = overviews
        self.days: list[bool] = []
        """For each reading: whether a day was counted."""

    async def read(self, **wanted: Any) -> Overview:
        self.days.append(wanted["day"] is not None)
        return await self._overviews.read(**wanted)


class AwayLater:
    """Another one, until it is away."""

    def __init__(self, overviews: Overviews) -> None:
        self._overviews = overviews
        self.is_away = False

    async def read(self, **wanted: Any) -> Overview:
        if self.is_away:
            raise Unavailable("postgres", "connection refused")
        return await self._overviews.read(**wanted)


async def insert(api: Api, *, at: datetime, timezone: str, status: str, count: int = 1, late: bool = False) -> None:
    """Store messages without users."""
    await api.database.fetch("select ensure_year($1)", at.year)
    ended = status in ("sent", "failed", "cancelled", "expired", "unknown")
    await api.database.fetch(
        """
        insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata,
            ended_at, queued_at, queued_by, claimed_by)
        select gen_random_uuid(), 'birthday', $1, $2, $3, $3, $4, 1, '2026a',
            case when $5 then $3::timestamptz + case when $6 then interval '2 minutes' else interval '1 second' end end,
            case when $4 = 'queued' then $3::timestamptz end, case when $4 = 'queued' then 1 end,
            case when $4 = 'sending' then 1 end
        from generate_series(1, $7)
        """,
        at.year, timezone, at, status, ended, late, count,
    )  # fmt: skip


async def test_a_day_is_shown_by_offset_and_by_zone(serve: Serve, clock: Any) -> None:
    """Every message is in one cell and one count, so the sums agree."""
    await clock.set(NOON)
    api = await serve()
    london = NOON.replace(hour=9)
    await insert(api, at=london, timezone="Europe/London", status="sent", count=5)
    await insert(api, at=london, timezone="Europe/London", status="sent", count=2, late=True)
    await insert(api, at=london, timezone="Atlantic/Reykjavik", status="failed")
    await insert(api, at=london, timezone="Europe/London", status="retrying")
    await insert(api, at=london, timezone="Europe/London", status="queued")
    await insert(api, at=london, timezone="Europe/London", status="cancelled")
    await insert(api, at=NOON.replace(hour=3, minute=30), timezone="Asia/Kolkata", status="unknown")
    await insert(api, at=NOON.replace(hour=20), timezone="Pacific/Pago_Pago", status="scheduled", count=3)
    await insert(api, at=NOON + timedelta(days=1), timezone="Europe/London", status="scheduled")

    status, day = await api.call("GET", "/api/v1/day")
    assert status == 200, day
    assert [(one["offset"], one["at"], one["planned"]) for one in day["cells"]] == [
        ("+05:30", "2027-03-14T03:30:00Z", 1),
        ("+00:00", "2027-03-14T09:00:00Z", 10),
        ("-11:00", "2027-03-14T20:00:00Z", 3),
    ]
    cell = day["cells"][1]
    assert cell["timezones"] == ["Atlantic/Reykjavik", "Europe/London"]
    assert {name: cell[name] for name in ("sent", "sentLate", "late", "failed", "retrying", "cancelled")} == {
        "sent": 7, "sentLate": 2, "late": 1, "failed": 1, "retrying": 1, "cancelled": 1,
    }  # fmt: skip
    assert day["total"]["planned"] == 14
    assert day["byOccasion"] == {"birthday": day["total"]}
    assert (day["attention"]["unknown"], day["attention"]["failed"], day["attention"]["overdue"]) == (1, 1, 2)
    assert day["attention"]["overdueSince"] == "2027-03-14T09:00:00Z"

    _, by_zone = await api.call("GET", "/api/v1/day?by=zone&date=2027-03-14")
    assert {one["timezone"]: one["planned"] for one in by_zone["cells"]} == {
        "Asia/Kolkata": 1, "Atlantic/Reykjavik": 1, "Europe/London": 9, "Pacific/Pago_Pago": 3,
    }  # fmt: skip
    assert by_zone["total"] == day["total"]


async def test_new_year_counts_messages_of_both_years(serve: Serve) -> None:
    """In the east the next local year has begun, while it is still the last day in UTC."""
    api = await serve()
    at = datetime(2026, 12, 31, 19, tzinfo=UTC)
    await api.database.fetch("select ensure_year(year) from generate_series(2026, 2027) year")
    for year in (2026, 2027):
        await api.database.fetch(
            """
            insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
            values (gen_random_uuid(), 'birthday', $1, 'Pacific/Kiritimati', $2, $2, '2026a')
            """,
            year, at,
        )  # fmt: skip

    _, day = await api.call("GET", "/api/v1/day?date=2026-12-31")

    assert [(one["offset"], one["planned"]) for one in day["cells"]] == [("+14:00", 2)]


@pytest.mark.parametrize("date", ["0001-01-01", "9999-12-31", "1969-12-31"])
async def test_days_without_messages_are_empty(api: Api, date: str) -> None:
    """This includes the first and the last possible day."""
    status, day = await api.call("GET", f"/api/v1/day?date={date}")

    assert (status, day["cells"], day["total"]["planned"]) == (200, [], 0)


@pytest.mark.parametrize("query", ["date=2027-02-29", "date=today", "by=country", "day=2027-01-01"])
async def test_wrong_parameters_are_refused(api: Api, query: str) -> None:
    """A day that does not exist is not taken for another one."""
    status, problem = await api.call("GET", f"/api/v1/day?{query}")

    assert (status, problem["type"]) == (422, "/problems/invalid-query")


async def test_what_is_held_is_shown_at_once(serve: Serve, clock: Any) -> None:
    """A hold needs no new figures: its due messages move to another count."""
    await clock.set(NOON)
    holds: list[Any] = []
    api = await serve(active_holds=lambda: holds)
    await insert(api, at=NOON.replace(hour=9), timezone="Europe/London", status="scheduled", count=4)
    _, before = await api.call("GET", "/api/v1/day")
    _, hold = await api.call("POST", "/api/v1/holds", json={"reason": "a mistake in the text"})
    holds.extend(await api.dependencies.ports.holds.active())

    _, after = await api.call("GET", "/api/v1/day")

    assert (before["total"]["late"], after["total"]["late"], after["total"]["held"]) == (4, 0, 4)
    assert [one["id"] for one in after["attention"]["held"]] == [hold["id"]]


async def test_watchers_on_two_nodes_cost_one_statement(
    serve: Serve, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are computed once for all clients on all nodes and pages, and a 304 has their age."""
    monkeypatch.setattr(shared, "CALL_TIMEOUT", 30.0)
    monkeypatch.setattr(watching, "FIRST_WAIT", 60.0)
    monkeypatch.setattr(watching, "REFRESH_INTERVAL", 60.0)
    began = time.monotonic()
    redis = connect(redis_url)
    first = await serve(snapshots=RedisSnapshots(redis.commands))
    counted = CountedOverviews(first.dependencies.ports.overviews)
    nodes = [await serve(snapshots=RedisSnapshots(redis.commands), overviews=counted) for _ in range(2)]
    try:
        pages = [node.client.get(f"/api/v1/{page}") for node in nodes for page in ["day"] * 10 + ["nodes"] * 10]
        answers = await asyncio.gather(*pages)
        tag = answers[0].headers["ETag"]
        async with nodes[1].client.get("/api/v1/day", headers={"If-None-Match": tag}) as again:
            body = await again.read()
    finally:
        await redis.close()

    assert {answer.status for answer in answers} == {200}
    assert counted.days.count(True) == 1
    assert len(counted.days) <= 2  # the first who ask for the nodes may not know yet that others watch the day
    assert (again.status, body, again.headers["ETag"]) == (304, b"", tag)
    assert 0 <= int(again.headers["Age"]) <= round(time.monotonic() - began)


async def test_counts_are_parsed_once_and_not_for_each_watcher(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of many zones takes milliseconds to parse, and each page asks every other second."""
    monkeypatch.setattr(watching, "REFRESH_INTERVAL", 60.0)
    api = await serve()
    parsed: list[date] = []
    parse = DayCounts.parse

    def counted(day: date, *rest: Any) -> DayCounts:
        parsed.append(day)
        return parse(day, *rest)

    monkeypatch.setattr(DayCounts, "parse", counted)

    answers = [await api.call("GET", f"/api/v1/day?by={by}") for by in ("offset", "zone") * 5]

    assert {status for status, _ in answers} == {200}
    assert len(parsed) == 1


async def test_each_watched_day_is_written_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where people watch many days."""
    monkeypatch.setattr(watching, "REFRESH_INTERVAL", 60.0)
    api = await serve()
    written: list[bool] = []

    def counted(*args: Any, **options: Any) -> list[Cell]:
        written.append(options["by_zone"])
        return day_cells(*args, **options)

    monkeypatch.setattr(routes, "day_cells", counted)
    pages = [f"date=2027-03-{day:02}&by={by}" for day in range(1, 9) for by in ("offset", "zone")]

    async def watch() -> None:
        for page in pages:
            assert (await api.call("GET", f"/api/v1/day?{page}"))[0] == 200

    await watch()  # each day that is counted is a change of what needs attention
    written.clear()
    for _ in range(3):
        await watch()

    assert len(written) <= len(pages)


async def test_counts_are_judged_as_of_their_instant(serve: Serve, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that is up to a minute old is no statement about now: a message sent since is not shown as late."""
    monkeypatch.setattr(watching, "REFRESH_INTERVAL", 0.0)
    monkeypatch.setattr(watching, "LOOK_INTERVAL", 0.0)
    midnight = NOON.replace(hour=0)
    await clock.set(midnight + timedelta(seconds=10))
    api = await serve()
    await insert(api, at=midnight - timedelta(seconds=30), timezone="Etc/GMT-9", status="scheduled")
    _, before = await api.call("GET", "/api/v1/day?date=2027-03-13")
    await api.database.fetch("update messages set status = 'sent', ended_at = business_now()")
    await clock.set(midnight + timedelta(seconds=50))

    _, after = await api.call("GET", "/api/v1/day?date=2027-03-13")

    assert (before["total"]["waiting"], after["total"]["waiting"], after["total"]["late"]) == (1, 1, 0)


class AwaySnapshots:
    """A Redis that is away, and counts how often it is asked."""

    def __init__(self) -> None:
        self.looks = 0

    async def look(self, _name: str, *, fresh: float) -> SharedText:
        self.looks += 1
        raise Unavailable("redis", f"connection refused, {fresh:g}")

    async def share(self, _name: str, _text: str, *, fresh: float) -> None:
        raise Unavailable("redis", f"connection refused, {fresh:g}")

    async def report(self, _node: str, _text: str) -> None:
        raise Unavailable("redis", "connection refused")

    async def reports(self, _nodes: Sequence[str]) -> list[str | None]:
        raise Unavailable("redis", "connection refused")


async def test_a_redis_that_is_away_is_asked_once_a_second(serve: Serve) -> None:
    """However many watch: each question may take as long as the deadline of a call."""
    redis = AwaySnapshots()
    api = await serve(snapshots=redis)
    began = time.monotonic()

    answers = [await api.call("GET", "/api/v1/nodes") for _ in range(20)]

    assert {status for status, _ in answers} == {200}
    assert redis.looks <= 1 + (time.monotonic() - began)


async def test_without_redis_a_node_computes_for_itself(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so once in an interval, too."""
    monkeypatch.setattr(watching, "REFRESH_INTERVAL", 60.0)
    first = await serve()
    counted = CountedOverviews(first.dependencies.ports.overviews)
    api = await serve(overviews=counted)

    for _ in range(3):
        await asyncio.gather(*(api.call("GET", "/api/v1/day") for _ in range(5)))

    assert counted.days == [True]


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "5",
        '{"counts": []}',
        '{"now": "2027-01-01T00:00:00Z"}',
        '{"counts": [[0, "Etc/UTC"]], "ages": [], "instants": [], "cost": 0}',
    ],
)
async def test_texts_of_somebody_else_are_computed_again(
    serve: Serve, redis_url: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another version during an upgrade, or written by a person."""
    monkeypatch.setattr(shared, "CALL_TIMEOUT", 30.0)
    redis = connect(redis_url)
    snapshots = RedisSnapshots(redis.commands)
    for name in ("now", f"today:{datetime.now(UTC).date()}"):
        await snapshots.share(name, text, fresh=0.001)
    api = await serve(snapshots=snapshots)
    await api.database.fetch("insert into nodes (node) values ('node-2')")
    await snapshots.report("node-2", text)
    try:
        status, nodes = await api.call("GET", "/api/v1/nodes")
        day_status, _ = await api.call("GET", "/api/v1/day")
    finally:
        await redis.close()

    assert (status, day_status) == (200, 200)
    assert [(one["node"], one["report"]) for one in nodes["items"]] == [("node-2", None)]


def mutants(value: Any) -> Iterator[Any]:
    """The value as another version may write it: each part of it missing, null, or of another type."""
    yield from (other for other in (None, 5, -1.5, "text", [], {}, [None], {"a": None}) if other != value)
    if isinstance(value, dict):
        for name, part in value.items():
            yield {key: other for key, other in value.items() if key != name}
            yield from ({**value, name: mutant} for mutant in mutants(part))
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield value[:index] + value[index + 1 :]
            yield from ([*value[:index], mutant, *value[index + 1 :]] for mutant in mutants(part))


class SharedSnapshots:
    """Texts that another node has shared. This node gets no turn to make new ones."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts

    async def look(self, name: str, *, fresh: float) -> SharedText:
        text = self.texts.get(name.partition(":")[0])
        return SharedText(text, age=fresh / 2, turn=text is None)

    async def share(self, _name: str, _text: str, *, fresh: float) -> None:
        assert fresh >= 0

    async def report(self, _node: str, _text: str) -> None:
        raise NotImplementedError

    async def reports(self, nodes: Sequence[str]) -> list[str | None]:
        return [self.texts.get(node) for node in nodes]


OUTAGE = {"system": "redis", "reason": "connection refused", "seconds": 3.2}
ACTOR = WatchedNodeAnswer.example["report"]["actors"]
REPORT = {
    **WatchedNodeAnswer.example["report"],
    "missing": ["redis"],
    "outages": [OUTAGE],
    "actors": {**ACTOR, "children": [{**ACTOR, "mailbox": {"depth": 1, "capacity": 9}, "lastError": "KeyError"}]},
}
OVERVIEW = {
    "now": "2027-03-14T12:00:00Z",
    "rate": 1.0,
    "since": "2027-03-07T12:00:00Z",
    "ended": {"unknown": 1, "failed": 2, "expired": 3},
    "overdue": 1,
    "overdueSince": "2027-03-14T09:00:00Z",
    "nodes": [{**WatchedNodeAnswer.example, "node": "node-2", "report": None}],
    "endedNodes": [{"node": "node-3", "incarnation": 5, "endedSeconds": 42, "died": True}],
}
DAY = {
    "counts": [[NOON.timestamp(), "Europe/London", "birthday", "sent", 3, 1]],
    "ages": [0.5] * 24,
    "instants": [NOON.timestamp()] * 24,
    "cost": 5e-6,
}


async def shows_all(api: Api) -> list[dict[str, Any]]:
    """The nodes as they are shown. Every page must be served."""
    pages = {page: await api.call("GET", f"/api/v1/{page}") for page in ("nodes", "day", "day?by=zone")}
    assert {status for status, _ in pages.values()} == {200}, pages
    items: list[dict[str, Any]] = pages["nodes"][1]["items"]
    return items


async def test_reports_of_another_shape_are_left_out(serve: Serve) -> None:
    """A node of another version is shown without what it says of itself, and the other nodes as ever."""
    reports = {f"node-{number:04}": report for number, report in enumerate((REPORT, *mutants(REPORT)))}
    snapshots = SharedSnapshots(**{node: encode(report).decode() for node, report in reports.items()})
    api = await serve(snapshots=snapshots)
    await api.database.fetch("insert into nodes (node) select unnest($1::text[])", list(reports))

    shown = {one["node"]: one["report"] for one in await shows_all(api)}

    assert shown["node-0000"] == REPORT
    assert {node: report for node, report in shown.items() if report is not None} == {
        node: reports[node] for node, report in shown.items() if report is not None
    }
    assert shown.keys() == reports.keys()
    assert list(shown.values()).count(None) > len(reports) / 2


@pytest.mark.parametrize(("name", "shared"), [("now", OVERVIEW), ("today", DAY)], ids=["overview", "day"])
async def test_figures_of_another_shape_are_computed_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, clock: Any, name: str, shared: dict[str, Any]
) -> None:
    """A node of another version may share figures that this one cannot read."""
    await clock.set(NOON)
    for constant in ("LOOK_INTERVAL", "FIRST_WAIT", "REFRESH_INTERVAL"):
        monkeypatch.setattr(watching, constant, 0.0)
    snapshots = SharedSnapshots()
    api = await serve(snapshots=snapshots)
    await api.database.fetch("insert into nodes (node) values ('node-2')")

    for mutant in (shared, *mutants(shared)):
        snapshots.texts[name] = encode(mutant).decode()
        await shows_all(api)


@pytest.mark.parametrize(("other", "worst"), [("closed", "resting"), ("open", "open")])
async def test_a_circuit_state_of_a_later_version_is_shown(
    serve: Serve, redis_url: str, other: str, worst: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older node answers during an upgrade. A state that it does not know is worse than a closed circuit."""
    monkeypatch.setattr(shared, "CALL_TIMEOUT", 30.0)
    redis = connect(redis_url)
    snapshots = RedisSnapshots(redis.commands)
    api = await serve(snapshots=snapshots)
    for node, state in (("node-2", other), ("node-3", "resting")):
        await api.database.fetch("insert into nodes (node) values ($1)", node)
        circuit = {**WatchedNodeAnswer.example["report"]["circuit"], "state": state}
        report = {**WatchedNodeAnswer.example["report"], "circuit": circuit}
        await snapshots.report(node, encode(report).decode())
    try:
        status, day = await api.call("GET", "/api/v1/day")
    finally:
        await redis.close()

    assert (status, day["attention"]["circuit"]["state"]) == (200, worst)


async def test_nodes_are_in_the_order_of_their_names(api: Api) -> None:
    """Whichever started first: after each restart a person finds a node at the same place."""
    for node in ("node-3", "node-1", "node-2"):
        await api.database.fetch("insert into nodes (node) values ($1)", node)

    _, nodes = await api.call("GET", "/api/v1/nodes")

    assert [one["node"] for one in nodes["items"]] == ["node-1", "node-2", "node-3"]


async def test_nodes_that_ended_are_shown_for_a_while(api: Api) -> None:
    """A node that died is told from one that was stopped, and one that came back is not among them."""
    await api.database.fetch(
        """
        insert into nodes (node, heartbeat_at, ended_at) values
            ('died', clock_timestamp() - interval '70 seconds', clock_timestamp() - interval '1 minute'),
            ('stopped', clock_timestamp() - interval '61 seconds', clock_timestamp() - interval '1 minute'),
            ('long ago', clock_timestamp() - interval '70 minutes', clock_timestamp() - interval '1 hour'),
            ('back', clock_timestamp() - interval '70 seconds', clock_timestamp() - interval '1 minute'),
            ('back', clock_timestamp() + interval '1 minute', null),
            ('silent', clock_timestamp() - interval '6 seconds', null)
        """
    )

    _, nodes = await api.call("GET", "/api/v1/nodes")
    _, day = await api.call("GET", "/api/v1/day")

    assert [(one["node"], one["died"]) for one in nodes["ended"]] == [("died", True), ("stopped", False)]
    assert day["attention"]["nodes"] == {"living": 2, "silent": ["silent"], "died": ["died"]}


async def test_the_last_figures_are_shown_while_the_database_is_away(serve: Serve) -> None:
    """With their age, so that a page can say how old they are."""
    first = await serve()
    away = AwayLater(first.dependencies.ports.overviews)
    api = await serve(overviews=away)
    _, before = await api.call("GET", "/api/v1/nodes")
    away.is_away = True
    watching_again = await serve(overviews=away)

    status, problem = await watching_again.call("GET", "/api/v1/nodes")
    _, after = await api.call("GET", "/api/v1/nodes")

    assert (status, problem["type"]) == (503, "/problems/unavailable")
    assert after["items"] == before["items"]
