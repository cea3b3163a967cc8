"""Asks the process that forks for a fork. As a program it is `heyday`, which starts in the time of an interpreter.

It imports little: the program runs for each command of a document.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence

RABBITMQ_PATIENCE = "TESTS_RABBITMQ_PATIENCE"
"""The variable with the seconds that a fork gives RabbitMQ to connect and to answer, instead of heyday's own."""


def fork(
    address: str, arguments: Sequence[str], environment: Mapping[str, str], folder: str, streams: tuple[int, int, int]
) -> tuple[int, int]:
    """Return the id of the new process, and a descriptor on which its exit code can be read when it has ended.

    `streams` become its standard input, output and error.
    """
    exited, told = os.pipe()
    request = {"arguments": list(arguments), "environment": dict(environment), "folder": folder}
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(address)
        text = json.dumps(request).encode()
        sent = socket.send_fds(asking, [text], [*streams, told])
        asking.sendall(text[sent:])
        asking.shutdown(socket.SHUT_WR)
        os.close(told)
        return int(asking.recv(100)), exited


if __name__ == "__main__":
    _, ended = fork(sys.argv[1], sys.argv[2:], os.environ, os.getcwd(), (0, 1, 2))
    code = int(os.read(ended, 100) or b"137")
    sys.exit(code if code >= 0 else 128 - code)
