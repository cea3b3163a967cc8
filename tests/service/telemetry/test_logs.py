"""Logs are lines with an event and fields, without secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import structlog

from service.api_keys import parse_api_keys
from service.domain.messages import Status
from service.settings import Secret, Settings
from service.telemetry import logs
from service.telemetry.logs import configure, log_batch, log_unhandled, toggle_debug, use_fields

NOISY = ("asyncio", "aio_pika", "aiormq", "aiormq.connection", "aiohttp")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore the logging of the process after `configure`."""
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level, {n: logging.getLogger(n).level for n in NOISY}
    yield
    structlog.configure(**before[0])
    logs._fields.clear()
    root.handlers[:] = before[1]
    root.setLevel(before[2])
    for name, level in before[3].items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    """The stream of the log lines."""
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The log lines, each a document."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail_with_secrets() -> None:
    """A failure with a password and an address in its frames."""
    password = "sesame"
    person = {"email": "ada@example.com"}
    raise RuntimeError(f"failed with {len(password)} characters and {len(person)} field")


def test_a_line_is_one_document_with_event_fields_level_and_time(stream: io.StringIO) -> None:
    """Log collectors split at line ends, and search by field."""
    configure("info", "json", stream=stream, node="node-1")

    structlog.get_logger("t").info("planned", count=3, note="two\nlines", late=False)

    [line] = lines(stream)
    assert stream.getvalue().count("\n") == 1
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert at.utcoffset() is not None
    assert line == {
        "event": "planned",
        "count": 3,
        "note": "two\nlines",
        "late": False,
        "level": "info",
        "node": "node-1",
    }


async def test_a_field_of_every_line_changes_in_tasks_that_run_already(stream: io.StringIO) -> None:
    """Two nodes with one id are told apart when one enters. A search for the name then finds all of its lines."""
    configure("info", "json", stream=stream, node="node-1")
    renamed = asyncio.Event()

    async def speak() -> None:
        await renamed.wait()
        structlog.get_logger("t").info("spoken")
        logging.getLogger("third.party").warning("spoken")
        log_batch("info", [{"event": "spoken"}])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speak())
        await asyncio.sleep(0)
        use_fields(node="node-1.2", other="not configured")
        renamed.set()

    assert [(line["node"], "other" in line) for line in lines(stream)] == [("node-1.2", False)] * 3


def test_a_failure_is_one_line_without_the_values_of_variables(stream: io.StringIO) -> None:
    """Values may be names, addresses and passwords. The frames are enough to find a bug."""
    configure("info", "json", stream=stream)
    log = structlog.get_logger("t")

    try:
        fail_with_secrets()
    except RuntimeError:
        log.exception("actor_crashed", actor="ticker")

    [line] = lines(stream)
    assert "sesame" not in stream.getvalue()
    assert "ada@example.com" not in stream.getvalue()
    [trace] = line["exception"]
    assert trace["exc_type"] == "RuntimeError"
    assert trace["exc_value"] == ""
    assert trace["frames"][-1]["name"] == "fail_with_secrets"


def test_other_peoples_loggers_speak_the_same_language(stream: io.StringIO) -> None:
    """A collector drops lines that are not JSON."""
    configure("info", "json", stream=stream, node="node-1")
    log = logging.getLogger("third.party")

    log.warning("the answer is %d", 42, extra={"attempt": 2})
    try:
        fail_with_secrets()
    except RuntimeError:
        log.exception("it failed")

    said, failed = lines(stream)
    assert (said["event"], said["level"], said["logger"]) == ("the answer is 42", "warning", "third.party")
    assert (said["attempt"], said["node"]) == (2, "node-1")
    assert failed["event"] == "it failed"
    assert failed["exception"][0]["exc_type"] == "RuntimeError"
    assert "sesame" not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_secret_that_is_logged_is_not_shown(stream: io.StringIO, form: str) -> None:
    """It is a subclass of str, which a serialiser would write out."""
    configure("info", form, stream=stream)

    keys = parse_api_keys("porter:read:sesame")
    settings = Settings(Secret("sesame"), Secret("sesame"), Secret("sesame"), api_keys=keys)

    structlog.get_logger("t").info("connecting", url=Secret("sesame"), keys=keys, settings=settings)
    structlog.get_logger("t").info("odd", url=Secret("sesame"), keys=keys, text="lone surrogate \udcff")

    assert "sesame" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 7


def test_values_of_many_kinds_are_written_as_what_they_are(stream: io.StringIO) -> None:
    """Numbers can be added up, and states compared with those of the database."""
    configure("info", "json", stream=stream)

    structlog.get_logger("t").info("many", counts=Counter(a=2), status=Status.SENT, seven=UUID(int=7), none=None)

    [line] = lines(stream)
    assert line["counts"] == {"a": 2}
    assert line["status"] == "sent"
    assert line["seven"] == "00000000-0000-0000-0000-000000000007"
    assert line["none"] is None


@pytest.mark.parametrize(
    "value", ["lone surrogate \udcff", 1 << 80, {1: "a"}, object, float("nan")], ids=lambda v: type(v).__name__
)
def test_no_value_loses_its_line(stream: io.StringIO, capsys: pytest.CaptureFixture[str], value: object) -> None:
    """Loggers of libraries may pass paths that are not Unicode, and big numbers."""
    configure("info", "json", stream=stream)

    logging.getLogger("third.party").warning("odd", extra={"value": value})
    structlog.get_logger("t").info("odd", value=value)

    assert [line["event"] for line in lines(stream)] == ["odd", "odd"]
    assert capsys.readouterr().err == ""


def test_the_level_decides_what_is_said(stream: io.StringIO) -> None:
    """Libraries that repeat the lines of adapters are silent except at level debug."""
    configure("warning", "json", stream=stream)
    structlog.get_logger("t").info("quiet")
    structlog.get_logger("t").warning("loud")
    logging.getLogger("aio_pika.robust").warning("reconnecting")

    configure("debug", "json", stream=stream)
    logging.getLogger("aio_pika.robust").debug("reconnecting again")

    assert [line["event"] for line in lines(stream)] == ["loud", "reconnecting again"]


def test_the_level_changes_while_the_process_runs(stream: io.StringIO) -> None:
    """A restart would end the fault that is being examined. Loggers in use change, too."""
    configure("warning", "json", stream=stream)
    log, theirs = structlog.get_logger("t").bind(actor="ticker"), logging.getLogger("aio_pika.robust")
    log.debug("before")

    toggle_debug()
    log.debug("ours")
    theirs.debug("theirs")
    toggle_debug()
    log.info("after")
    theirs.warning("after")
    log.warning("still")

    assert [(line["event"], line.get("to")) for line in lines(stream)] == [
        ("log_level_changed", "debug"),
        ("ours", None),
        ("theirs", None),
        ("log_level_changed", "warning"),
        ("still", None),
    ]


def test_a_logger_that_writes_out_passwords_is_silent_at_every_level(stream: io.StringIO) -> None:
    """It shows each frame of AMQP, and the second contains the password."""
    configure("debug", "json", stream=stream)

    logging.getLogger("aiormq.connection").debug("Sending <StartOk response=sesame>")

    assert stream.getvalue() == ""


async def test_an_unhandled_exception_is_logged_without_its_text(stream: io.StringIO) -> None:
    """The event loop's own line quotes the exception."""
    configure("info", "json", stream=stream)
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(log_unhandled)

    try:
        loop.call_exception_handler({"message": "never retrieved", "exception": KeyError("sesame"), "future": "sesame"})
    finally:
        loop.set_exception_handler(before)

    [line] = lines(stream)
    assert (line["event"], line["what"]) == ("exception_unhandled", "never retrieved")
    assert line["exception"][0]["exc_type"] == "KeyError"
    assert "sesame" not in stream.getvalue()


def test_what_a_request_has_bound_is_on_its_lines(stream: io.StringIO) -> None:
    """The request id leads from an answer to every log line about it, of any logger."""
    configure("info", "json", stream=stream)

    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("t").info("ours")
        logging.getLogger("third.party").warning("theirs")
    structlog.get_logger("t").info("after")

    assert [line.get("request_id") for line in lines(stream)] == ["r-1", "r-1", None]


def test_configured_twice_a_line_is_said_once(stream: io.StringIO) -> None:
    """The root logger keeps its handlers until they are removed."""
    configure("info", "json", stream=stream)
    configure("info", "json", stream=stream)

    structlog.get_logger("t").info("once")

    assert len(lines(stream)) == 1


def test_the_console_shows_event_fields_and_traceback_without_values(stream: io.StringIO) -> None:
    """The console is readable, and shows no personal data either."""
    configure("info", "console", stream=stream, node="node-1")
    log = structlog.get_logger("t")

    try:
        fail_with_secrets()
    except RuntimeError:
        log.exception("actor_crashed", actor="ticker")

    shown = stream.getvalue()
    for text in ("actor_crashed", "ticker", "node-1", "Traceback", "fail_with_secrets", "RuntimeError"):
        assert text in shown, text
    assert "ada@example.com" not in shown.replace('person = {"email": "ada@example.com"}', "")
    assert "{'email'" not in shown


class Closed(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, _text: str, /) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_node_continues_when_the_reader_of_its_log_has_gone() -> None:
    """Otherwise a dead log collector would fail every request, and SIGTERM would not drain the node."""
    configure("info", "json", stream=Closed())

    structlog.get_logger("test").info("said", to="a closed pipe")
    logging.getLogger("others").error("said too")
