"""What counting, logging and tracing cost: processor time for each greeting, and for a scrape.

    python -m loadtest.telemetry
    python -m loadtest.telemetry --waves 7

prints it. With --waves come waves through a whole node, in turn with its metrics and without
(loadtest.without_metrics), so many of each, in this order and the other.

A batch is what the recorder writes at once in a wave. It is the time of this process that is measured: a machine that
does other things, too, makes the figures a little higher, and not many times as high.
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

from actors.delivery.lines import say_what_became
from actors.delivery.recorder import Parcel, Record, Recorder
from loadtest.bare import Figures
from loadtest.bench import bench
from loadtest.cases import Case
from loadtest.node_wave import wave
from service.domain.messages import Answer, Outcome, Status
from service.embedded.rabbitmq import installed_sbin
from service.ports import Claim, Claimed, Delivery, Recorded, Result
from service.settings import Secret, Settings
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
    parser.add_argument("--greetings", type=int, default=10_000, help="of each wave")
    args = parser.parse_args()
    figures = uvloop.run(_waves(args.waves, args.greetings)) if args.waves else _of_a_batch()
    sys.stdout.write(json.dumps({name: round(value, 2) for name, value in figures.items()}) + "\n")
    return 0


async def _waves(count: int, greetings: int) -> dict[str, float]:
    """What waves say: the medians of either kind, and of the ratios of each two that followed one another."""
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
    """What a batch of the recorder, a scrape and the spans say."""
    records = [_record() for _ in range(BATCH)]
    moved = [Recorded(one.claimed.claim.id, Status.SENT, "birthday", 0.05) for one in records]
    encode: Any = generate_latest  # which has no types
    metrics, unused = Metrics(), _unused()
    recorder = Recorder(unused, unused, unused, on_failed=unused, outages=unused, metrics=metrics, witness=unused)
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        configure("info", "json", stream=nowhere, node="node-1")
        return {
            "metrics_us_per_greeting": _seconds(lambda: recorder._count(records, moved)) / BATCH * 1e6,  # noqa: SLF001
            "log_line_us_per_greeting": _seconds(lambda: say_what_became(records, moved)) / BATCH * 1e6,
            "scrape_ms": _seconds(lambda: encode(metrics.registry)) * 1e3,
            "traces_off_us_per_greeting": _tracing(OFF, sampled=False) * 1e6,
            "traces_not_sampled_us_per_greeting": _tracing(_traced(), sampled=False) * 1e6,
            "traces_us_per_greeting": _tracing(_traced(), sampled=True) * 1e6,
        }


def _seconds(work: Callable[[], object]) -> float:
    """The median of the processor time that it takes."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return median(taken)


class _Encoder(SpanExporter):
    """Does all that is done for spans but to send them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializePartialToString()
        return SpanExportResult.SUCCESS


def _traced() -> Tracing:
    urls = Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")
    return OpenTelemetry(Settings(*urls, traces_url=Secret("http://h")), exporter=_Encoder())


def _tracing(tracing: Tracing, *, sampled: bool) -> float:
    """The processor time for each greeting of bundles on their way: of the loop's thread, and of the one that sends."""
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
                with tracing.attempt(id_, occasion="birthday", number=1) as attempt:
                    attempt.answered(answer)
        if sampled:
            time.sleep(0.02)  # the queue has a bound, and what does not fit costs nothing
    asyncio.run(tracing.close())
    return (time.process_time() - began) / (ROUNDS * PER_BUNDLE)


def _record() -> Record:
    claim = Claim(uuid4(), 2027, 1, 7)
    claimed = Claimed(claim, 1, AT, "birthday", "Ada", "Lovelace", "ada@example.com", "Hey, {full_name}")
    answer = Answer(Outcome.ACCEPTED, 0.012345678, 200)
    return Record(claimed, Result(claim, Status.SENT, answer, 0.0), Parcel(Delivery((claim.id,), None), 1, "senders-0"))


def _unused() -> Any:
    """In the place of what is not asked."""
    return None


if __name__ == "__main__":
    raise SystemExit(main())
