"""The inner state of a node as a list of values: what its objects hold, and where its coroutines wait.

Two nodes with equal lists have the same future. Every object that the node refers to is read, and unknown kinds raise
TypeError, so nothing is left out by accident; what is left out on purpose is named here. Instants are given relative to
the present, to the millisecond, as heyday only compares them. So a node that is as it was some seconds ago is equal.
"""

from __future__ import annotations

import asyncio
import dis
import gc
import random
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from enum import Enum
from functools import cache, partial
from math import isnan
from operator import length_hint
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any
from uuid import UUID

from prometheus_client.metrics import MetricWrapperBase

from actors.node_events import CircuitEvents
from actors.runtime.child import Child
from service.node.clock import BusinessClock
from service.node.outages import Outages
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.fakes.broker import Broker
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth
from tests.simulation.audit import Auditor
from tests.simulation.loop import BEGIN, Process, VirtualLoop
from tests.simulation.network import Far, Server
from tests.simulation.post import Post
from tests.simulation.world import REAL_BEGIN, SimulatedNode, World

PLAIN = frozenset({int, bool, str, bytes, type(None), UUID, timedelta, date, time})

NOT_OF_A_NODE = (World, SimulatedNode, VirtualLoop, Server, Auditor, Post, Truth, RedisMemory, Broker, random.Random)

FOR_PEOPLE = (CircuitEvents, Metrics, MetricWrapperBase, Outages)
"""Objects of these kinds measure, log or show, and change nothing that a node does."""

CONSTANT = (type, ModuleType, CodeType, Settings, tzinfo)

LONGEST = 1_000.0
"""Seconds that a walk takes at most: a number between its begin and this much later is an instant."""


class InnerState:
    """Reads one object after the other. An object that was read before is named by its place alone."""

    def __init__(self, world: World) -> None:
        self.values: list[Any] = []
        self._now, self._clocks = world.loop.time(), ((world._begin, world.now()), (REAL_BEGIN, world.real_now()))
        self._places: dict[int, int] = {}
        self._kept: list[Any] = []
        """The objects that were read, kept alive so that no later object gets the id of one of them."""

    def read(self, root: object) -> None:
        """Add the values of everything to which `root` leads."""
        values, places, unread = self.values, self._places, [root]
        while unread:
            one: Any = unread.pop()
            kind: Any = type(one)
            if kind in PLAIN:
                values.append(one)
            elif kind is float:
                values.append(self._seconds(one))
            elif kind is datetime:
                values.append(self._instant(one))
            elif id(one) in places:
                values.append((places[id(one)],))
            elif (reader := _reader(kind)) is None:
                values.append(one.name if isinstance(one, Enum) else kind.__name__)
            else:
                places[id(one)] = len(places)
                self._kept.append(one)
                parts = reader(self, one)
                values.append((kind.__name__, len(parts)))
                unread += reversed(parts)

    def _seconds(self, one: float) -> float | None:
        if isnan(one):
            return None
        return round(one - self._now if BEGIN <= one < BEGIN + LONGEST else one, 3) + 0.0  # never -0.0

    def _instant(self, one: datetime) -> float | str:
        for began, now in self._clocks:
            if timedelta() <= one - began < timedelta(seconds=LONGEST):
                return round((one - now).total_seconds(), 3) + 0.0
        return one.isoformat()

    # --- the parts of each kind ----------------------------------------------------------------------------------

    def _dict(self, one: dict[Any, Any]) -> list[Any]:
        return [part for item in one.items() for part in item]

    def _set(self, one: set[Any]) -> list[Any]:
        """Sort what has no order of its own by the place at which it was seen."""
        if all(type(part) in PLAIN or isinstance(part, Enum) for part in one):
            return sorted(one, key=repr)
        return sorted(one, key=lambda part: self._places.get(id(part), len(self._places)))

    def _object(self, one: object) -> list[Any]:
        slots = [vars(kind)["__slots__"] for kind in type(one).__mro__ if "__slots__" in vars(kind)]
        if not slots and not hasattr(one, "__dict__"):
            raise TypeError(f"cannot tell what {one!r} holds")
        parts = self._dict(getattr(one, "__dict__", {}))
        return parts + [getattr(one, name) for names in slots for name in names if not name.startswith("__")]

    def _child(self, one: Child) -> list[Any]:
        return self._dict({name: part for name, part in vars(one).items() if name != "_since"})  # it is only shown

    def _clock(self, one: BusinessClock) -> list[Any]:
        """Give what it says now. Its skew is only shown."""
        reading = one._reading
        if reading is None:
            return [one.jumps]
        ago = timedelta(seconds=self._now - one._at)
        ahead = [reading.now + ago - self._clocks[0][1], reading.real_now + ago - self._clocks[1][1]]
        return [one.jumps, reading.rate, one._uncertainty, *(seconds.total_seconds() for seconds in ahead)]

    def _far(self, one: Far) -> list[Any]:
        return [one._port]  # the rest are its calls, made when they were first used

    def _queue(self, one: FakeDeliveryQueue) -> list[Any]:
        # Only `depth`, which is not called here, depends on whether it is connected for publishing.
        return [one._consumer, "delivers" in one._links, one._was_there, one._was_emptied, one._connected]

    def _function(self, one: FunctionType) -> list[Any]:
        return [one.__qualname__, one.__closure__, one.__defaults__, one.__kwdefaults__]

    def _cell(self, one: CellType) -> list[Any]:
        return gc.get_referents(one)

    def _method(self, one: MethodType | BuiltinFunctionType) -> list[Any]:
        return [one.__qualname__, one.__self__]

    def _partial(self, one: partial[Any]) -> list[Any]:
        return [one.func, one.args, one.keywords]

    def _slice(self, one: slice) -> list[Any]:
        return [one.start, one.stop, one.step]

    def _iterator(self, one: Iterator[Any]) -> list[Any]:
        return [length_hint(one), *gc.get_referents(one)]

    def _exception(self, one: BaseException) -> list[Any]:
        return [one.args, vars(one)]

    def _process(self, one: Process) -> list[Any]:
        return [one.name, one.drawn]

    def _handle(self, one: Any) -> list[Any]:
        if one._cancelled or not getattr(one, "_scheduled", True):
            return []  # it is over
        return [getattr(one, "_when", None), one._callback, one._args]

    def _future(self, one: asyncio.Future[Any]) -> list[Any]:
        if one.cancelled():
            return ["cancelled"]
        if one.done():
            return [one.exception() or one.result()]
        return [waiter for waiter, _ in one._callbacks or ()]

    def _task(self, one: Any) -> list[Any]:
        if one.done():
            return self._future(one)
        return [one.get_coro(), one._fut_waiter, one._must_cancel, one.cancelling(), *self._future(one)]

    def _coroutine(self, one: Any) -> list[Any]:
        """Give the place at which it waits, the variables that are read after it, and its unfinished expressions."""
        prefix = {CoroutineType: "cr", GeneratorType: "gi", AsyncGeneratorType: "ag"}[type(one)]
        frame: FrameType | None = getattr(one, f"{prefix}_frame")
        if frame is None:
            return []
        variables, code, at = frame.f_locals, frame.f_code, frame.f_lasti
        if code.co_qualname == "_wait":  # of asyncio: its other variables are in the order of a set
            return [variables[name] for name in ("fs", "timeout_handle", "waiter", "return_when")]
        parts: list[Any] = [one.__qualname__, at]
        for name in read_after(code, at):
            if name in variables:
                parts += (name, variables[name])
        unnamed = gc.get_referents(one)
        for variable in variables.values():
            for place, part in enumerate(unnamed):
                if part is variable:
                    del unnamed[place]
                    break
        known = {id(frame), id(variables), id(frame.f_globals), id(frame.f_builtins)}
        return parts + [part for part in unnamed if id(part) not in known]


Reader = Callable[[InnerState, Any], list[Any]]


@cache
def _reader(kind: type) -> Reader | None:
    """Return what reads objects of that kind; None if its name says it all."""
    if issubclass(kind, (Enum, *NOT_OF_A_NODE, *FOR_PEOPLE, *CONSTANT)):
        return None
    readers: dict[tuple[type, ...], Reader] = {
        (list, tuple, deque): lambda _, one: list(one),
        (dict,): InnerState._dict,
        (set, frozenset): InnerState._set,
        (asyncio.Task,): InnerState._task,
        (asyncio.Future,): InnerState._future,
        (asyncio.Handle,): InnerState._handle,
        (CoroutineType, GeneratorType, AsyncGeneratorType): InnerState._coroutine,
        (FunctionType,): InnerState._function,
        (MethodType, BuiltinFunctionType): InnerState._method,
        (CellType,): InnerState._cell,
        (partial,): InnerState._partial,
        (slice,): InnerState._slice,
        (BaseException,): InnerState._exception,
        (Process,): InnerState._process,
        (Child,): InnerState._child,
        (BusinessClock,): InnerState._clock,
        (Far,): InnerState._far,
        (FakeDeliveryQueue,): InnerState._queue,
    }
    for kinds, reader in readers.items():
        if issubclass(kind, kinds):
            return reader
    iterates = kind.__name__ == "FutureIter" or hasattr(kind, "__length_hint__")
    return InnerState._iterator if iterates else InnerState._object


@cache
def read_after(code: CodeType, at: int) -> list[str]:
    """Return the variables that the code may read once it goes on from `at`, before it sets them again."""
    whole: Any = dis.Bytecode(code)
    steps: list[dis.Instruction] = list(whole)
    places = {step.offset: place for place, step in enumerate(steps)}

    def next_places(place: int) -> Iterator[int]:
        step = steps[place]
        if place + 1 < len(steps):
            yield place + 1
        if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
            yield places[step.argval]
        yield from (places[one.target] for one in whole.exception_entries if one.start <= step.offset < one.end)

    def may_read(name: str) -> bool:
        ahead, seen = list(next_places(places[at])), set()
        while ahead:
            place = ahead.pop()
            step = steps[place]
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            if place in seen:
                continue
            seen.add(place)
            if "_FAST" not in step.opname or name not in names:
                ahead += next_places(place)
            elif step.opname != "STORE_FAST":
                return True
        return False

    return [*filter(may_read, code.co_varnames), *code.co_cellvars, *code.co_freevars]
