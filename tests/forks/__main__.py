"""`python -m tests.forks ADDRESS`: imports heyday, and forks on request at a Unix socket until its input is closed."""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Never

from tests.forks.client import RABBITMQ_PATIENCE

IMPORTED = (
    "actors.cli",
    "actors.commands.run",
    "actors.admission",
    "actors.http_server",
    "actors.node",
    "actors.process",
    "actors.wiring",
    "service.telemetry.logs",
    "service.telemetry.tracing",
)
"""The modules that `heyday run` imports at its start."""

REQUEST_WITHIN = 60.0
"""Seconds for a request to arrive."""

_SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class Forking:
    """Forks, and reports the ends of its forks."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        self._running: dict[int, int] = {}
        """Descriptors on which the ends of processes are reported, by process id."""

    def serve(self) -> None:
        """Work until standard input is closed. The forks end then, too."""
        while True:
            ready, _, _ = select.select([0, self._listening.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 1000)
                self._reap()
            if self._listening.fileno() in ready:
                asking, _ = self._listening.accept()
                with asking:
                    asking.settimeout(REQUEST_WITHIN)
                    self._answer(asking)
            if 0 in ready:
                return

    def _answer(self, asking: socket.socket) -> None:
        text, descriptors, _, _ = socket.recv_fds(asking, 1 << 20, 4)
        while more := asking.recv(1 << 20):
            text += more
        *streams, told = descriptors
        pid = os.fork()
        if pid == 0:
            _become(streams, **json.loads(text))
        for descriptor in streams:
            os.close(descriptor)
        self._running[pid] = told
        asking.sendall(str(pid).encode())

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            told = self._running.pop(pid)
            with suppress(BrokenPipeError):  # the test has already ended
                os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(told)


def _become(streams: Sequence[int], *, arguments: list[str], environment: Mapping[str, Any], folder: str) -> Never:
    """Turn this fork into the requested process."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    for becomes, descriptor in enumerate(streams):
        os.dup2(descriptor, becomes)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    code: object = 1
    try:
        if (patience := environment.get(RABBITMQ_PATIENCE)) is not None:
            _wait_for_rabbitmq(float(patience))
        code = import_module("actors.cli").main(arguments)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    # This process must not clean up the stack of the process that forks.
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 1)


def _wait_for_rabbitmq(seconds: float) -> None:
    """Let this process wait so long for a connection and an answer of RabbitMQ. Confirms of publishes stay bounded."""
    queue: Any = import_module("service.adapters.rabbitmq.queue")
    queue.CALL_TIMEOUT = queue.DEPTH_TIMEOUT = seconds
    queue.RabbitMQDeliveryQueue.__init__.__kwdefaults__["connect_within"] = seconds


def main(address: str) -> None:
    """Import heyday, close standard output to show that it listens, and serve."""
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(100)
        os.dup2(2, 1)
        Forking(listening).serve()


if __name__ == "__main__":
    main(sys.argv[1])
