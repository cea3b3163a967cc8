"""Structured logs: an event name and fields, as JSON lines or for a console, third-party loggers included."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

from service.settings import Secret


def _hide_secrets(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A secret is a string, and the console would write it out as one."""
    for name, value in event.items():
        if isinstance(value, Secret):
            event[name] = "***"
    return event


_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    _hide_secrets,
)


def configure(level: str, form: str, *, stream: TextIO | None = None, **fields: str) -> None:
    """Send every log line to `stream` (standard error by default); `fields` are on each of them.

    The one place in which heyday changes the state of the process: called once, by the command line.
    """
    structlog.contextvars.bind_contextvars(**fields)
    stream = stream or sys.stderr
    render: structlog.typing.Processor
    if form == "json":
        render = structlog.processors.JSONRenderer(serializer=_json)
    else:
        render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    # Without the values of variables: they hold names, addresses and passwords.
    tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    ending = [*([tracebacks] if form == "json" else []), render]
    # Our own lines are written as they are; the way through `logging` would cost three times as much, for each request.
    structlog.configure(
        processors=[*_SHARED, *ending],
        logger_factory=structlog.WriteLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_SHARED, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "aio_pika", "aiormq", "aiohttp"):
        # They repeat at info and warning what the adapters say once as an outage.
        logging.getLogger(noisy).setLevel(logging.ERROR if level != "debug" else logging.DEBUG)


def _json(event: Any, **_options: Any) -> str:
    try:
        return orjson.dumps(event, default=_plain, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:
        # Text that is no Unicode and numbers beyond 64 bits, of other people's loggers: slower, but not lost.
        return json.dumps(
            {name: value if isinstance(value, str | int | float) else repr(value) for name, value in event.items()}
        )


def _plain(value: Any) -> Any:
    """What the serialiser does not write itself: other kinds of objects, and subclasses, for secrets are one."""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list):
        return list(value)
    return dict(value) if isinstance(value, dict) else str(value)
