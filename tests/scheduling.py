"""Which test process runs which tests: one file after the other, and tests with RabbitMQ in two processes only.

A broker takes 2.6 s of processor time to start, and each process would start its own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # ships no annotations

BROKERS = 2
"""Processes with a broker. In a run with six processes, the tests with RabbitMQ take two thirds of the time of two."""

WITH_RABBITMQ = " with RabbitMQ"
"""The end of the name of a unit of work, if its tests use RabbitMQ."""


def uses_rabbitmq(item: pytest.Item) -> bool:
    """True if the test has the fixture `rabbitmq_url`, or the mark of tests that ask for it while they run."""
    return "rabbitmq_url" in getattr(item, "fixturenames", ()) or item.get_closest_marker("rabbitmq") is not None


def tell_the_scheduler(process: Mapping[str, Any], items: Iterable[pytest.Item]) -> None:
    """Write down which tests use RabbitMQ. `process` is what xdist has given to this test process.

    The scheduler is in another process, which collects nothing. It gets names only, and those do not show it.
    """
    _message_of(process).write_text(json.dumps([item.nodeid for item in items if uses_rabbitmq(item)]))


def _message_of(process: Mapping[str, Any]) -> Path:
    return Path(tempfile.gettempdir(), f"heyday-scheduling-{process['testrunuid']}-{process['workerid']}")


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # ships no annotations
    """A file's tests with RabbitMQ are one unit of work and its others are another one. Each unit runs in one process.

    The first processes run those with RabbitMQ, and then help with the rest.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._using_rabbitmq: set[str] = set()

    def add_node_collection(self, node: Any, collection: list[str]) -> None:
        """Take the names of the tests from a test process, and which of them use RabbitMQ."""
        message = _message_of(node.workerinput)
        self._using_rabbitmq.update(json.loads(message.read_text()))
        message.unlink()
        super().add_node_collection(node, collection)

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return file + WITH_RABBITMQ if nodeid in self._using_rabbitmq else file

    def _assign_work_unit(self, node: Any) -> None:
        has_broker = node in self.nodes[:BROKERS]
        fitting = (unit for unit in self.workqueue if unit.endswith(WITH_RABBITMQ) is has_broker)
        self.workqueue.move_to_end(next(fitting, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)
