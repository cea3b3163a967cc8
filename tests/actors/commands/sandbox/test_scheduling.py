"""The distribution of tests over the test processes."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # ships no annotations

from tests.scheduling import BROKERS, Scheduling, tell_the_scheduler

PROCESSES = 4


class Process:
    """A test process that runs what it is given, by the numbers of the tests."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.workerinput = {"testrunuid": uuid.uuid4().hex, "workerid": f"gw{number}"}
        self.shutting_down = False
        self.given: list[int] = []
        self.done: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        """Take further tests."""
        self.given += indices

    def shutdown(self) -> None:
        """Take no further tests."""
        self.shutting_down = True


class Collected:
    """A collected test, with its fixtures."""

    def __init__(self, nodeid: str, *fixtures: str) -> None:
        self.nodeid = nodeid
        self.fixturenames = fixtures

    def get_closest_marker(self, name: str) -> None:
        """No mark."""


def collected(files: int, *, with_rabbitmq: int) -> list[Collected]:
    """Three tests in each of this many files, of which so many have a fourth one, with RabbitMQ."""
    plain = [Collected(f"tests/test_{file}.py::test_{test}", "database") for file in range(files) for test in "abc"]
    return plain + [Collected(f"tests/test_{file}.py::test_d[a::b]", "rabbitmq_url") for file in range(with_rabbitmq)]


def distributed(tests: list[Collected]) -> list[list[Collected]]:
    """The tests that each process runs, in order, if every test takes the same time."""
    config: Any = SimpleNamespace(
        getvalue=lambda name: {"tx": [f"{PROCESSES}*popen"]}[name], option=SimpleNamespace(loadscopereorder=False)
    )
    scheduling = Scheduling(config, Producer("test", enabled=False))
    processes = [Process(number) for number in range(PROCESSES)]
    for process in processes:
        scheduling.add_node(process)
    for process in processes:
        tell_the_scheduler(process.workerinput, tests)  # type: ignore[arg-type]
        scheduling.add_node_collection(process, [test.nodeid for test in tests])
    scheduling.schedule()
    while any(process.given for process in processes):
        for process in processes:
            if process.given:
                process.done.append(process.given.pop(0))
                scheduling.mark_test_complete(process, process.done[-1])
    assert scheduling.tests_finished
    return [[tests[number] for number in process.done] for process in processes]


def uses(test: Collected) -> bool:
    return "rabbitmq_url" in test.fixturenames


def test_tests_with_rabbitmq_run_first_and_in_few_processes() -> None:
    """Each process with one starts a broker. They take long, so they must not wait for others."""
    tests = collected(40, with_rabbitmq=20)

    done = distributed(tests)

    assert sorted(test.nodeid for run in done for test in run) == sorted(test.nodeid for test in tests)
    for number, run in enumerate(done):
        using = [uses(test) for test in run]
        assert using == sorted(using, reverse=True)
        assert any(using) is (number < BROKERS)
        assert not all(using), "a process with a broker helps with the rest"


def test_the_tests_of_a_file_run_one_after_the_other_in_one_process() -> None:
    """They share what is made once for a file."""
    done = distributed(collected(40, with_rabbitmq=20))

    for run in done:
        files = [test.nodeid.partition("::")[0] for test in run if not uses(test)]
        assert [files.index(file) for file in files] == sorted(files.index(file) for file in files)
        assert all(files.count(file) == 3 for file in files)


def test_no_process_waits_while_there_are_tests() -> None:
    """If almost all of them use RabbitMQ, a further broker is cheaper than a process that does nothing."""
    assert all(distributed(collected(1, with_rabbitmq=20)))


def test_a_test_that_asks_for_rabbitmq_without_a_mark_is_refused(request: pytest.FixtureRequest) -> None:
    """The scheduler would not know of it, and any process might start a broker."""
    with pytest.raises(AssertionError, match=r"needs pytest\.mark\.rabbitmq"):
        request.getfixturevalue("rabbitmq_url")
