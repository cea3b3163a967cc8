"""The cases of a rehearsal: how each alert is caused, and what a person does by its section of the runbook."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import tzdata  # type: ignore[import-untyped]  # a package of data, without annotations

from loadtest.rehearsal.scene import Scene
from service.domain.cluster import SLACK
from service.ports.names import RABBITMQ_QUEUE

Act = Callable[[Scene], Awaitable[None]]

DEEP = 6_000
"""Greetings of the wave that fills the delivery queue: six times the threshold."""

BEHIND = timedelta(hours=20)
"""How far ahead planning is complete in the case of PlanningBehind. The alert expects a day or more."""

SKEW = 10
"""Seconds: twice the threshold."""

OLD_ZONES = "2024a"


async def nothing(_scene: Scene) -> None:
    """The section says that heyday does the rest."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cause, and the alerts that it must fire."""

    alerts: tuple[str, ...]
    cause: str
    begin: Act
    repair: Act = nothing
    """The section's steps outside heyday, such as starting a server."""
    repaired: str = ""
    """These steps in words, for the table."""
    do: tuple[str, ...] = ()
    """Commands of the section's "Do", or of a page that it names, in their order. `…` stands for `values`."""
    values: Callable[[], tuple[str, ...]] = tuple
    aftermath: tuple[str, ...] = ()
    """Alerts that fire once it is repaired."""
    within: float = 120.0
    """Seconds from the cause until the last of the alerts must fire."""
    most_factor: float = math.inf
    """The largest divisor of the durations of the rules with which the alert can fire."""


def names(case: Case) -> tuple[str, ...]:
    """Return all alerts of a case."""
    return (*case.alerts, *case.aftermath)


async def cut_answers(scene: Scene) -> None:
    """Let the service accept calls and cut their connections for a moment."""
    scene.answer(acceptThenFailRate=1.0)
    async with asyncio.timeout(60):
        while not await scene.environment.database.value("select count(*) from messages where status = 'unknown'"):
            await asyncio.sleep(0.2)
    scene.answer(acceptThenFailRate=0.0)


async def export_ledger(scene: Scene) -> None:
    """Ask the email service for what it has accepted."""
    async with aiohttp.ClientSession() as http, http.get(f"{scene.environment.stub.url}/accepted") as answer:
        (scene.folder / "accepted.csv").write_bytes(await answer.read())


async def refuse(scene: Scene) -> None:
    """Let the service refuse every message."""
    scene.answer(status=422)


async def accept(scene: Scene) -> None:
    """Let the service accept again."""
    scene.answer(status=0)


async def hold(scene: Scene) -> None:
    """Hold everything."""
    await scene.follow("heyday hold --reason 'a rehearsal'")


async def miss_two_days(scene: Scene) -> None:
    """Let messages be due since before the late limit."""
    await scene.greet(20, at=datetime.now(UTC) - timedelta(hours=49))


def missed() -> tuple[str, str]:
    """The day of those messages."""
    at = datetime.now(UTC)
    return f"{at - timedelta(hours=50):%Y-%m-%dT%H:%MZ}", f"{at - timedelta(hours=48):%Y-%m-%dT%H:%MZ}"


async def kill_one(scene: Scene) -> None:
    """Kill a node."""
    scene.slots[1].kill()


async def kill_all(scene: Scene) -> None:
    """Kill every node."""
    for slot in scene.slots:
        slot.kill()


async def start_nodes(scene: Scene) -> None:
    """Start the nodes that do not run."""
    for slot in scene.slots:
        if not slot.running:
            slot.start()
        await slot.ready()


async def stop_rabbitmq(scene: Scene) -> None:
    """Stop RabbitMQ."""
    broker = scene.environment.servers.own.rabbitmq
    assert broker is not None
    await broker.stop()


async def start_rabbitmq(scene: Scene) -> None:
    """Start RabbitMQ."""
    broker = scene.environment.servers.own.rabbitmq
    assert broker is not None
    await broker.start()


async def lose_bundles(scene: Scene) -> None:
    """Let RabbitMQ confirm bundles and drop them."""
    for relay in scene.environment.fleet.relays("rabbitmq"):
        relay.swallow_publishes(RABBITMQ_QUEUE.delivery)


async def use_the_stream(scene: Scene) -> None:
    """Use the Redis stream, and go back to RabbitMQ, one node after another."""
    for setting in ({"HEYDAY_RABBITMQ_URL": ""}, {}):
        for slot in scene.slots:
            await slot.drain(within=scene.environment.drain_timeout)
            slot.start(settings=setting)
            await slot.ready()
        for relay in scene.environment.fleet.relays("rabbitmq"):
            relay.mend()


async def damage_a_row(scene: Scene) -> None:
    """Let a trigger refuse the change of one message."""
    await scene.greet(1, at=datetime.now(UTC) + timedelta(seconds=5))
    await scene.environment.damage_open_message(0.99)


async def repair_the_row(scene: Scene) -> None:
    """Drop the trigger's list."""
    await scene.environment.repair_rows()


async def fall_behind(scene: Scene) -> None:
    """Take back what planning has reached, and lock a table that it reads: else it catches up at once."""
    await PLAN.lock(scene)
    await scene.environment.database.fetch("update planning set planned_until = business_now() + $1", BEHIND)


async def start_with_old_zones(scene: Scene) -> None:
    """Start a node with older time zone data."""
    old = scene.folder / "old_zones" / "tzdata"
    shutil.copytree(Path(tzdata.__file__).parent, old, ignore=shutil.ignore_patterns("__pycache__"))
    module = old / "__init__.py"
    module.write_text(module.read_text(encoding="utf-8").replace(tzdata.IANA_VERSION, OLD_ZONES), encoding="utf-8")
    (old / "zoneinfo" / "leapseconds").write_text("", encoding="ascii")  # it tells when the data was made
    await restart_second(scene, {"PYTHONPATH": str(old.parent)})


async def restart_second(scene: Scene, settings: dict[str, str] | None = None) -> None:
    """Restart a node with these settings beside its own."""
    await scene.slots[1].drain(within=scene.environment.drain_timeout)
    scene.slots[1].start(settings=settings)
    await scene.slots[1].ready()


class Locked:
    """A session that holds a lock of a table, while `clients` of the API read messages."""

    def __init__(self, table: str, *, clients: int = 0) -> None:
        self._table = table
        self._clients = clients
        self._stack = AsyncExitStack()

    async def lock(self, scene: Scene) -> None:
        """Take the lock."""
        connection = await asyncpg.connect(scene.environment.servers.database_url)
        self._stack.push_async_callback(connection.close)
        await connection.execute(f"begin; lock table {self._table} in access exclusive mode")
        http = await self._stack.enter_async_context(aiohttp.ClientSession(scene.slots[0].url))
        asking = [asyncio.ensure_future(http.get("/api/v1/messages")) for _ in range(self._clients)]
        self._stack.push_async_callback(_give_up, asking)

    async def unlock(self, _scene: Scene) -> None:
        """End that session."""
        await self._stack.aclose()


async def _give_up(asking: Sequence[asyncio.Future[aiohttp.ClientResponse]]) -> None:
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def break_a_function(scene: Scene) -> None:
    """Let a function that recovery calls return null, which no code expects: a stand-in for a bug."""
    for statement in (
        "alter function forget_audit(integer) rename to forget_audit_aside",
        "create function forget_audit(integer) returns integer language sql as 'select null::integer'",
    ):
        await scene.environment.database.fetch(statement)


async def repair_the_function(scene: Scene) -> None:
    """Put the function back."""
    for statement in (
        "drop function forget_audit(integer)",
        "alter function forget_audit_aside(integer) rename to forget_audit",
    ):
        await scene.environment.database.fetch(statement)


async def slow_down(scene: Scene) -> None:
    """Let a wave begin, and the service become slow when much of it is queued."""
    await scene.greet(DEEP)
    scene.answer(latency=[4.0, 4.0])


async def speed_up(scene: Scene) -> None:
    """Let the service be fast again."""
    scene.answer(latency=[0.0, 0.0])


async def restore_a_backup(scene: Scene) -> None:
    """Copy the data of PostgreSQL, let greetings leave, and put the copy in its place.

    A copy that is younger than two generations of the identity is not refused, and needs not be: Redis has the dedupe
    keys of what left since.
    """
    postgres = scene.environment.servers.own.postgres
    data, copy = postgres.directory / "data", postgres.directory / "copy"
    await postgres.stop()
    # With its owner, who is not this process.
    copying = await asyncio.create_subprocess_exec("cp", "-a", data, copy)
    assert await copying.wait() == 0
    await postgres.start()
    ledger = scene.environment.stub.ledger

    async def generation() -> int:
        return int(await scene.environment.database.value("select generation from cluster_identity"))

    accepted, marked = ledger.accepted, await generation()
    async with asyncio.timeout(90):
        while ledger.accepted < accepted + 20 or await generation() <= marked + SLACK + 1:
            await asyncio.sleep(0.2)
    await postgres.stop()
    shutil.rmtree(data)
    copy.rename(data)
    await postgres.start()


async def wait_for_the_old_database(scene: Scene) -> None:
    """Let 30 s pass in which no node has the old database, as the page says, and get the service's log."""
    await asyncio.sleep(30)
    await export_ledger(scene)


async def start_with_a_wrong_clock(scene: Scene) -> None:
    """Start a node whose clock is ahead. All processes here share one clock, so only its interpreter sees another."""
    wrong = scene.folder / "wrong_clock"
    wrong.mkdir()
    shifted = f"import time\nright = time.time\ntime.time = lambda: right() + {SKEW}\n"
    (wrong / "sitecustomize.py").write_text(shifted, encoding="utf-8")
    await restart_second(scene, {"PYTHONPATH": str(wrong)})


PLAN, MESSAGES = Locked("occasion_dates"), Locked("messages", clients=50)

CASES = (
    Case(
        ("ServerAway", "DueMessagesUnsent", "PendingEntriesNotClaimed"),
        "RabbitMQ is stopped, until all these fire",
        stop_rabbitmq,
        start_rabbitmq,
        "it is started",
        ("heyday call POST /api/v1/jobs/recovery:run",),
        aftermath=("LatenessBudgetBurnsFast", "LatenessBudgetBurns"),
        within=720.0,
    ),
    Case(
        ("OutcomesUnknown", "OutcomesHeld"),
        "the email service accepts calls and cuts the connections, until a message is unknown",
        cut_answers,
        export_ledger,
        "the service's log is exported",
        ("heyday doctor --ledger accepted.csv --mend", "heyday redrive --status unknown"),
    ),
    Case(
        ("MessagesFailing", "DeadLetters", "CircuitOpen", "CircuitOpenForLong"),
        "the email service answers 422 to every call",
        refuse,
        accept,
        "the text is corrected",
        ("heyday redrive --status failed",),
    ),
    Case(
        ("MessagesExpired",),
        "20 greetings were due 49 h ago",
        miss_two_days,
        do=("heyday redrive --status expired --from … --to …",),
        values=missed,
    ),
    Case(("NodeUnreachable", "NodeDied"), "a node is killed", kill_one, start_nodes, "it is started again"),
    Case(("NoNode",), "every node is killed", kill_all, start_nodes, "they are started again"),
    Case(
        ("MessagesSetAside",),
        "a trigger refuses every change of one message",
        damage_a_row,
        repair_the_row,
        "the row is repaired",
        ("psql --dbname heyday --command 'update set_aside set look_again_at = now()'",),
    ),
    Case(
        ("PlanningBehind",),
        "planning is set back to 20 h ahead, and a session locks the dates of the users",
        fall_behind,
        PLAN.unlock,
        "the session is ended",
    ),
    Case(
        ("ZoneDataOld",),
        f"a node is restarted with tzdata {OLD_ZONES}",
        start_with_old_zones,
        restart_second,
        "the newer tzdata is installed",
        ("heyday preview --tzdata-diff",),
    ),
    Case(
        ("DatabasePoolExhausted",),
        "a session locks the messages, and 50 clients read them",
        MESSAGES.lock,
        MESSAGES.unlock,
        "the session is ended",
    ),
    Case(
        ("ActorCrashed",),
        "a function of the schema returns null to recovery, in place of a bug",
        break_a_function,
        repair_the_function,
        "the function is repaired",
    ),
    Case(
        ("QueueDeep",),
        f"{DEEP:,} greetings are due, and each call takes 4 s",
        slow_down,
        speed_up,
        "the service is fast again",
    ),
    Case(("SendingHeldForLong",), "`heyday hold`", hold, do=("heyday release",)),
    Case(
        ("DatabaseRefused",),
        "a copy of PostgreSQL's data takes the place of the data, 20 greetings later",
        restore_a_backup,
        wait_for_the_old_database,
        "30 s pass without a node on the old database, and the service's log is exported",
        (
            "heyday doctor --adopt",
            "heyday doctor --ledger accepted.csv --mend",
            "heyday redrive --status unknown",
        ),
    ),
    Case(
        ("ClockSkewed",),
        f"the clock of a node is {SKEW} s ahead",
        start_with_a_wrong_clock,
        restart_second,
        "its clock is set right",
    ),
    Case(
        ("DeliveryQueueLosing",),
        "RabbitMQ confirms bundles and drops them",
        lose_bundles,
        use_the_stream,
        "nodes use the Redis stream, and then RabbitMQ again",
        within=900.0,
        # heyday takes lost messages back after 90 s each time, and the window of the rule must be longer.
        most_factor=2.0,
    ),
)

NOT_REHEARSED = {
    "Watchdog": "it always fires",
    "DailyJobMissed": "no daily job may succeed for 25 hours",
    "SharedFiguresMissing": "Prometheus must be cut off from a node that lives",
    "OldSnapshot": "a transaction must be open for an hour",
    "BackupOld": "needs node_exporter on the machine of PostgreSQL",
    "CertificateExpires": "needs blackbox_exporter",
    "DiskFillsUp": "needs node_exporter",
    "JobNotScraped": "needs the exporters, and Prometheus as a job of its own",
}
"""The alerts without a case, each with the reason."""
