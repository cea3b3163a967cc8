"""The supervisor: which children it restarts, in which order, after which wait, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from actors.runtime import (
    ActorState,
    Address,
    Backoff,
    ChildSpec,
    Crashed,
    Escalated,
    Event,
    Intensity,
    Pool,
    Restarting,
    Started,
    Strategy,
    Supervisor,
    TooManyRestarts,
)
from tests.actors.runtime.stage import AT_ONCE, Do, Gate, Naps, Observer, Puppet, Stage, crash, nothing, turns

FAR = 60.0


class Company:
    """Three puppets a, b and c under one supervisor, with one journal."""

    def __init__(
        self,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        *,
        intensity: Intensity | None = None,
        backoff: Backoff = AT_ONCE,
        sleep: Naps | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        on_start: dict[str, Do] | None = None,
        on_stop: dict[str, Do] | None = None,
    ) -> None:
        self.journal: list[str] = []
        self.observer = Observer()
        self.addresses: dict[str, Address[Do]] = {name: Address(name, 10) for name in "abc"}
        self._on_start, self._on_stop = on_start or {}, on_stop or {}
        self.supervisor = Supervisor(
            "company",
            [ChildSpec(name, self._maker(name), address) for name, address in self.addresses.items()],
            strategy=strategy,
            intensity=intensity,
            backoff=backoff,
            on_event=self.observer,
            clock=clock,
            sleep=sleep or asyncio.sleep,
        )

    def _maker(self, name: str) -> Callable[[], Puppet]:
        return lambda: Puppet(
            self.journal,
            name=name,
            on_start=self._on_start.get(name, nothing),
            on_stop=self._on_stop.get(name, nothing),
        )

    async def started(self) -> Company:
        """Start, and clear the journal."""
        await self.supervisor.start()
        self.journal.clear()
        self.observer.events.clear()
        return self

    async def crash(self, *names: str) -> None:
        """Crash these children in the same turn of the loop."""
        for name in names:
            await self.addresses[name].tell(crash)

    async def drained(self) -> list[str]:
        """Drain, and return the journal up to the end of all children."""
        journal = list(self.journal)
        report = await self.supervisor.drain(FAR)
        assert report.clean
        return journal

    def states(self) -> list[ActorState]:
        """The states of a, b and c."""
        return [child.state for child in self.supervisor.view().children]


def failing(times: int) -> Do:
    """Fail this many times, then do nothing."""
    failures = iter(range(times))

    async def do(puppet: Puppet) -> None:
        if next(failures, None) is not None:
            await crash(puppet)

    return do


def test_two_children_of_one_name_are_refused() -> None:
    """Names are labels of metrics and logs."""
    with pytest.raises(ValueError, match="different names"):
        Supervisor("s", [Supervisor("twin", []), Supervisor("twin", [])])


async def test_children_start_in_order_each_after_the_one_before_is_ready() -> None:
    """Downstream is ready before upstream begins to send."""
    gate = Gate()
    company = Company(on_start={"b": gate})

    starting = asyncio.ensure_future(company.supervisor.start())
    await gate.reached.wait()
    await turns()

    assert company.journal == ["start a", "start b"]
    assert company.states() == [ActorState.RUNNING, ActorState.STARTING, ActorState.STOPPED]
    gate.opened.set()
    await starting
    assert company.journal == ["start a", "start b", "start c"]
    await company.drained()


async def test_a_child_that_fails_at_its_first_start_is_started_again_before_the_next_one() -> None:
    """A failure at start is treated like any crash, and does not change the order."""
    company = Company(on_start={"b": failing(2)})

    await company.supervisor.start()

    assert company.journal == ["start a", "start b", "stop b", "start b", "stop b", "start b", "start c"]
    await company.drained()


async def test_one_for_one_restarts_only_the_one_that_failed() -> None:
    """Its siblings do not depend on it."""
    company = await Company().started()

    await company.crash("b")
    await company.observer.until(Started, "b")

    assert await company.drained() == ["stop b", "start b"]


async def test_rest_for_one_restarts_the_one_that_failed_and_those_after_it_in_order() -> None:
    """Children that were started later may use the one that failed."""
    company = await Company(Strategy.REST_FOR_ONE).started()

    await company.crash("b")
    await company.observer.until(Started, "c")

    assert await company.drained() == ["stop b", "stop c", "start b", "start c"]


@pytest.mark.parametrize("order", ["ac", "ca"])
async def test_two_children_that_fail_in_one_turn_are_both_restarted(order: str) -> None:
    """The second failure must not be lost while the first is handled."""
    company = await Company().started()

    await company.crash(*order)
    for name in order:
        await company.observer.until(Started, name)

    assert sorted(await company.drained()) == ["start a", "start c", "stop a", "stop c"]


@pytest.mark.parametrize("order", ["ab", "ba", "ac", "ca", "bc", "cb", "abc", "cba"])
async def test_rest_for_one_starts_children_in_order_when_several_fail_in_one_turn(order: str) -> None:
    """One restart covers both failures."""
    company = await Company(Strategy.REST_FOR_ONE).started()

    await company.crash(*order)
    await company.observer.until(Started, "c")

    journal = await company.drained()
    first = min(order)
    restarted = [name for name in "abc" if name >= first]
    assert journal[-len(restarted) :] == [f"start {name}" for name in restarted]
    assert sorted(journal[: -len(restarted)]) == [f"stop {name}" for name in restarted]


async def test_rest_for_one_restarts_an_earlier_child_that_fails_while_later_ones_wait() -> None:
    """A wider restart replaces the one under way, and no child is started twice."""
    naps = Naps()
    company = await Company(Strategy.REST_FOR_ONE, backoff=Backoff(random=lambda: 1.0), sleep=naps).started()
    await company.crash("b")
    await naps.begun()
    assert company.states() == [ActorState.RUNNING, ActorState.BACKING_OFF, ActorState.BACKING_OFF]

    await company.crash("a")
    await company.observer.until(Restarting, "a")
    await turns()
    naps.end()
    await company.observer.until(Started, "c")

    assert await company.drained() == ["stop b", "stop c", "stop a", "start a", "start b", "start c"]


async def test_rest_for_one_restarts_a_child_that_fails_while_those_after_it_start() -> None:
    """The start of the later child is interrupted and repeated."""
    gate = Gate()
    company = Company(Strategy.REST_FOR_ONE, on_start={"c": nothing})
    await company.started()
    company._on_start["c"] = gate
    await company.crash("b")
    await gate.reached.wait()

    company._on_start["c"] = nothing
    await company.crash("b")
    await company.observer.until(Started, "c")

    assert await company.drained() == [
        *("stop b", "stop c", "start b", "start c"),
        *("stop b", "stop c", "start b", "start c"),
    ]


async def test_rest_for_one_restarts_the_first_failure_when_another_child_fails_meanwhile() -> None:
    """A child may crash while the others are halted one by one. The first failure must not be forgotten."""
    gate = Gate()
    company = await Company(Strategy.REST_FOR_ONE, on_stop={"c": gate}).started()
    await company.crash("a")
    await gate.reached.wait()

    await company.crash("b")
    await company.observer.until(Restarting, "b")
    gate.opened.set()
    await company.observer.until(Started, "c")

    assert await company.drained() == ["stop a", "stop c", "stop b", "start a", "start b", "start c"]


async def test_the_wait_before_a_restart_grows_with_the_failures_and_is_random() -> None:
    """With full jitter, nodes do not reconnect to a server at the same instant."""
    naps = Naps()
    chances = iter([1.0, 0.5, 1.0, 1.0])
    company = await Company(backoff=Backoff(first=1.0, at_most=3.0, random=lambda: next(chances)), sleep=naps).started()

    for name, times in (("a", 1), ("a", 2), ("a", 3), ("b", 1)):
        await company.crash(name)
        await naps.begun()
        naps.end()
        await company.observer.until(Started, name, times=times)

    assert naps.wanted == [1.0, 1.0, 3.0, 1.0]
    await company.drained()


async def test_the_backing_off_of_one_child_does_not_delay_the_restart_of_another() -> None:
    """The children fail independently."""
    naps = Naps()
    chances = iter([1.0, 0.0])
    company = await Company(backoff=Backoff(random=lambda: next(chances)), sleep=naps).started()
    await company.crash("a")
    await naps.begun()

    await company.crash("b")
    await company.observer.until(Started, "b")

    assert company.states() == [ActorState.BACKING_OFF, ActorState.RUNNING, ActorState.RUNNING]
    naps.end()
    await company.observer.until(Started, "a")
    await company.drained()


async def test_a_supervisor_gives_up_at_the_first_failure_beyond_its_intensity() -> None:
    """A bug that always returns needs a new process or an operator."""
    company = await Company(intensity=Intensity(restarts=2, within=60.0)).started()
    for times in (1, 2):
        await company.crash("b")
        await company.observer.until(Started, "b", times=times)

    await company.crash("b")

    with pytest.raises(TooManyRestarts) as gave_up:
        await company.supervisor.wait()
    assert isinstance(gave_up.value.__cause__, ValueError)
    assert company.journal == ["stop b", "start b", "stop b", "start b", "stop b", "stop c", "stop a"]
    assert company.supervisor.view().state is ActorState.FAILED
    assert len(company.observer.of(Escalated)) == 1


async def test_a_failure_while_a_supervisor_gives_up_changes_nothing() -> None:
    """The supervisor is ending already."""
    gate = Gate()
    company = await Company(intensity=Intensity(restarts=0, within=60.0), on_stop={"c": gate}).started()
    await company.crash("b")
    await gate.reached.wait()

    await company.crash("a")
    await company.observer.until(Crashed, "a")
    gate.opened.set()

    with pytest.raises(TooManyRestarts):
        await company.supervisor.wait()
    assert company.journal == ["stop b", "stop c", "stop a"]
    assert len(company.observer.of(Escalated)) == 1


async def test_failures_that_are_long_past_do_not_count() -> None:
    """One crash a day must not end a node after three weeks."""
    now = 0.0
    company = await Company(intensity=Intensity(restarts=1, within=60.0), clock=lambda: now).started()

    for times in range(1, 5):
        await company.crash("b")
        await company.observer.until(Started, "b", times=times)
        now += 60.0

    assert company.supervisor.view().children[1].restarts == 4
    await company.drained()


async def test_a_child_that_never_starts_makes_the_supervisor_give_up_by_default() -> None:
    """With a longer back-off the budget would never be spent, and the node would look alive."""
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    observer = Observer()
    supervisor = Supervisor(
        "s",
        [ChildSpec("child", lambda: Puppet([], on_start=crash), Address("child", 1))],
        backoff=Backoff(random=lambda: 1.0),
        on_event=observer,
        clock=lambda: now,
        sleep=sleep,
    )

    with pytest.raises(TooManyRestarts):
        await supervisor.start()

    assert supervisor.view().state is ActorState.FAILED
    assert len(observer.of(Restarting)) == Intensity().restarts
    assert now < Intensity().within


async def test_a_supervisor_that_gives_up_lets_isolated_tasks_finish() -> None:
    """A bug in one actor must not cut off mails that another is sending."""
    gate = Gate()
    company = Company(intensity=Intensity(restarts=0, within=60.0))

    async def spawn(puppet: Puppet) -> None:
        async def send() -> None:
            await gate(puppet)
            puppet.journal.append("sent")

        puppet.ctx.spawn(send(), name="send", isolated=True)

    await company.started()
    await company.addresses["a"].tell(spawn)
    await gate.reached.wait()
    await company.crash("b")
    await company.observer.until(Escalated)
    await turns(20)

    gate.opened.set()

    with pytest.raises(TooManyRestarts):
        await company.supervisor.wait()
    assert company.journal == ["stop b", "stop c", "stop a", "sent"]


async def test_a_supervisor_that_gives_up_is_a_failure_of_a_child_in_its_parent() -> None:
    """The parent restarts the whole branch with a fresh budget."""
    inner = Company(intensity=Intensity(restarts=1, within=60.0))
    observer = Observer()
    outer = Supervisor("outer", [inner.supervisor], backoff=AT_ONCE, on_event=observer)
    await outer.start()
    await inner.crash("b")
    await inner.observer.until(Started, "b", times=2)
    inner.journal.clear()

    await inner.crash("b")
    await inner.observer.until(Started, "company", times=2)
    await inner.crash("b")
    await inner.observer.until(Started, "b", times=4)

    assert inner.journal == ["stop b", "stop c", "stop a", "start a", "start b", "start c", "stop b", "start b"]
    assert isinstance(observer.of(Crashed)[0].error, TooManyRestarts)
    assert outer.view().children[0].restarts == 1
    await outer.drain(FAR)


async def test_a_branch_that_gives_up_while_it_is_restarted_comes_up_once() -> None:
    """Its failure must not end the new instance."""
    gate, observer = Gate(), Observer()
    inner = Company(intensity=Intensity(restarts=0, within=60.0), on_stop={"c": gate})
    first: Address[Do] = Address("first", 10)
    outer = Supervisor(
        "outer",
        [ChildSpec("first", lambda: Puppet(inner.journal, name="first"), first), inner.supervisor],
        strategy=Strategy.REST_FOR_ONE,
        backoff=AT_ONCE,
        on_event=observer,
    )
    await outer.start()
    inner.journal.clear()
    await inner.crash("b")
    await gate.reached.wait()

    await first.tell(crash)
    await observer.until(Restarting, "first")
    await turns(20)
    gate.opened.set()
    await inner.observer.until(Started, "company", times=2)
    await turns(20)

    assert inner.journal == [
        *("stop b", "stop c", "stop first", "stop a"),
        *("start first", "start a", "start b", "start c"),
    ]
    await outer.drain(FAR)


async def test_the_failure_of_a_branch_reaches_the_caller_that_waits_for_the_root() -> None:
    """The process then ends with a non-zero exit code."""
    inner = Company(intensity=Intensity(restarts=0, within=60.0))
    outer = Supervisor("outer", [inner.supervisor], intensity=Intensity(restarts=0, within=60.0))
    running = asyncio.ensure_future(outer.run())
    await inner.observer.until(Started, "company")

    await inner.crash("b")

    with pytest.raises(TooManyRestarts) as gave_up:
        await running
    assert isinstance(gave_up.value.__cause__, TooManyRestarts)


async def test_each_cell_of_a_pool_crashes_and_restarts_on_its_own() -> None:
    """One bad message costs one instance."""
    journal: list[str] = []
    observer = Observer()
    address: Address[Do] = Address("pool", 10)
    pool = Pool("pool", lambda number: Puppet(journal, name=str(number)), address, size=3)
    supervisor = Supervisor("s", [pool], backoff=AT_ONCE, on_event=observer)
    await supervisor.start()

    await address.tell(crash)
    await observer.until(Restarting)
    await observer.until(Started, "pool-0", times=2)

    assert journal == ["start 0", "start 1", "start 2", "stop 0", "start 0"]
    await supervisor.drain(FAR)


async def test_the_view_shows_the_tree_with_mailboxes_restarts_and_errors() -> None:
    """Operators see it in /health/detailed."""
    now = 0.0
    company = Company(clock=lambda: now)
    shared: Address[Do] = Address("pool", 7)
    root = Supervisor(
        "root",
        [company.supervisor, Pool("pool", lambda _: Puppet([]), shared, size=2)],
        clock=lambda: now,
    )
    await root.start()
    await company.crash("b")
    await company.observer.until(Started, "b", times=2)
    now = 5.0
    gate = Gate()
    await company.addresses["c"].tell(gate)
    await gate.reached.wait()
    company.addresses["c"].offer(nothing)

    view = root.view()

    branch, pool = view.children
    assert [(child.name, child.kind) for child in view.children] == [("company", "supervisor"), ("pool", "pool")]
    assert [child.restarts for child in branch.children] == [0, 1, 0]
    assert branch.children[1].last_error == "ValueError"
    assert (branch.children[2].depth, branch.children[2].capacity) == (1, 10)
    assert branch.children[2].since == 5.0
    assert (pool.depth, pool.capacity) == (0, 7)
    assert [(cell.name, cell.depth, cell.capacity) for cell in pool.children] == [
        ("pool-0", None, None),
        ("pool-1", None, None),
    ]
    gate.opened.set()
    await root.drain(FAR)


async def test_an_observer_that_fails_does_not_harm_the_actors() -> None:
    """A bug in a metric must not end the node."""
    stage = Stage()
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))

    def fail(_: Event) -> None:
        raise ValueError("a mistake in a metric")

    root = Supervisor("root", [ChildSpec("puppet", lambda: Puppet([]), stage.address)], on_event=fail)

    await root.start()
    got = await stage.heard("yes")
    await root.drain(FAR)

    assert got == "yes"
    assert "the observer of root failed" in complaints[0]
