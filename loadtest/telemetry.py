"""Measures the cost of metrics, logs and traces: processor time per greeting, and per scrape.

    python -m loadtest.telemetry
    python -m loadtest.telemetry --waves 7

prints it. With --waves it also runs waves through a whole node, alternating with metrics and without
(loadtest.without_metrics), that many of each, in both orders.

A batch is what the result writer writes at once in a wave. The processor time of this process is measured, so a busy
machine makes the figures only a little higher.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import uvloop
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client.openmetrics.exposition import generate_latest

from actors.commands.sandbox.servers.rabbitmq import installed_sbin
from actors.context import NodeContext
from actors.delivery.result_writer import InFlightDelivery, Record, ResultWriter, UnwrittenResults
from loadtest.bare import Figures
from loadtest.bench import bench
from loadtest.cases import Case
from loadtest.node_wave import wave
from service.domain.messages import Answer, EmailServiceName, Outcome, Status
from service.domain.retry import FIRST
from service.ports import Claim, Claimed, Delivery, Recorded, Result
from service.settings import Secret, Settings
from service.telemetry.greeting_log import Attempted, log_attempts
from service.telemetry.logs import configure
from service.telemetry.metrics import Metrics
from service.telemetry.spans import OpenTelemetry
from service.telemetry.tracing import OFF, Tracing

BATCH = 100
ROUNDS = 200
PER_BUNDLE = 50
AT = datetime(2027, 3, 14, 9, tzinfo=UTC)


def main() -> int:
    """Measure, and print a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waves", type=int, default=0, help="waves with metrics, and as many without")
    parser.add_argument("--greetings", type=int, default=10_000, help="greetings of each wave (%(default)s)")
    args = parser.parse_args()
    figures = uvloop.run(_waves(args.waves, args.greetings)) if args.waves else _of_a_batch()
    sys.stdout.write(json.dumps({name: round(value, 2) for name, value in figures.items()}) + "\n")
    return 0


async def _waves(count: int, greetings: int) -> dict[str, float]:
    """Return the results of waves: the medians of both kinds, and of the ratios of successive pairs."""
    without, with_ = replace(Case(greetings), metrics=False), Case(greetings)
    found: dict[Case, list[Figures]] = {with_: [], without: []}
    async with bench(rabbitmq=(queue := installed_sbin() is not None)) as running:
        for number in range(count):
            for case in (with_, without) if number % 2 else (without, with_):
                figures = await wave(running, replace(case, stream=not queue))
                found[case].append(figures)
                sys.stderr.write(f"{case.name}: {json.dumps(figures)}\n")

    def ratio(figure: str) -> float:
        return median(one[figure] / other[figure] for one, other in zip(found[with_], found[without], strict=True))

    return {
        **{f"per_second_{name}": median(one["perSecond"] for one in found[case])
           for name, case in (("with", with_), ("without", without))},
        **{f"node_us_{name}": median(one["nodeMicroseconds"] for one in found[case])
           for name, case in (("with", with_), ("without", without))},
        "throughput_change_percent": (ratio("perSecond") - 1) * 100,
        "node_time_change_percent": (ratio("nodeMicroseconds") - 1) * 100,
    }  # fmt: skip


def _of_a_batch() -> dict[str, float]:
    """Return the cost of a batch of the result writer, of a scrape, and of spans."""
    records = [_record() for _ in range(BATCH)]
    moved = [Recorded(one.claimed.claim.id, Status.SENT, "birthday", 0.05) for one in records]
    encode: Any = generate_latest  # which has no types
    attempts = [Attempted(one.claimed, one.result, "sender", None) for one in records]
    metrics, unused = Metrics(), _unused()
    context = NodeContext(unused, unused, unused, metrics)
    writer = ResultWriter(context, unused, unused, unused, unwritten=UnwrittenResults(), on_failed=unused)
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        configure("info", "json", stream=nowhere, node="node-1")
        return {
            "metrics_us_per_greeting": _seconds(lambda: writer._count(records, moved)) / BATCH * 1e6,  # noqa: SLF001
            "log_line_us_per_greeting": _seconds(lambda: log_attempts(attempts, moved)) / BATCH * 1e6,
            "scrape_ms": _seconds(lambda: encode(metrics.registry)) * 1e3,
            "traces_off_us_per_greeting": _tracing(OFF, sampled=False) * 1e6,
            "traces_not_sampled_us_per_greeting": _tracing(_traced(), sampled=False) * 1e6,
            "traces_us_per_greeting": _tracing(_traced(), sampled=True) * 1e6,
        }


def _seconds(work: Callable[[], object]) -> float:
    """Return the median of its processor time in seconds."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return median(taken)


class _Encoder(SpanExporter):
    """An exporter that encodes spans but does not send them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializePartialToString()
        return SpanExportResult.SUCCESS


def _traced() -> Tracing:
    urls = Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")
    return OpenTelemetry(Settings(*urls, traces_url=Secret("http://h")), exporter=_Encoder())


def _tracing(tracing: Tracing, *, sampled: bool) -> float:
    """Return the processor time per greeting: of the event loop's thread, and of the exporter's thread."""
    traceparent = f"00-{7:032x}-{8:016x}-{int(sampled):02x}"
    answer = Answer(Outcome.ACCEPTED, 0.012345678, 200)
    ids = [uuid4() for _ in range(PER_BUNDLE)]
    began = time.process_time()
    for _ in range(ROUNDS):
        with tracing.publish(claimed_by=[traceparent]) as published:
            published.carried(1, messages=PER_BUNDLE)
        with tracing.deliver(published_by=published.traceparent) as delivery:
            delivery.carried(1, messages=PER_BUNDLE)
            for id_ in ids:
                with tracing.attempt(id_, occasion="birthday", number=1, service=EmailServiceName.PRIMARY) as attempt:
                    attempt.answered(answer)
        if sampled:
            time.sleep(0.02)  # the queue is bounded, and what does not fit costs nothing
    asyncio.run(tracing.close())
    return (time.process_time() - began) / (ROUNDS * PER_BUNDLE)


def _record() -> Record:
    claim = Claim(uuid4(), 2027, 1, 7)
    claimed = Claimed(claim, FIRST, AT, "birthday", "Ada", "Lovelace", "ada@example.com", "Hey, {full_name}")
    answer = Answer(Outcome.ACCEPTED, 0.012345678, 200)
    return Record(
        claimed, Result(claim, Status.SENT, answer, 0.0), InFlightDelivery(Delivery((claim.id,), None), 1, "senders-0")
    )


def _unused() -> Any:
    """Stand in for a dependency that is not used."""
    return None


if __name__ == "__main__":
    raise SystemExit(main())
