"""What counting and logging cost: processor time for each greeting, and for a scrape. `python -m loadtest.telemetry`.

A batch is what the recorder writes at once in a wave. It is the time of this process that is measured: a machine that
does other things, too, makes the figures a little higher, and not many times as high.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from prometheus_client.openmetrics.exposition import generate_latest

from actors.delivery.lines import say_what_became
from actors.delivery.recorder import Parcel, Record, Recorder
from service.domain.messages import Answer, Outcome, Status
from service.ports import Claim, Claimed, Delivery, Recorded, Result
from service.telemetry.logs import configure
from service.telemetry.metrics import Metrics

BATCH = 100
ROUNDS = 200
AT = datetime(2027, 3, 14, 9, tzinfo=UTC)


def main() -> int:
    """Measure, and print a document."""
    records = [_record() for _ in range(BATCH)]
    moved = [Recorded(one.claimed.claim.id, Status.SENT, "birthday", 0.05) for one in records]
    encode: Any = generate_latest  # which has no types
    metrics, unused = Metrics(), _unused()
    recorder = Recorder(unused, unused, unused, on_failed=unused, outages=unused, metrics=metrics, witness=unused)
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        configure("info", "json", stream=nowhere, node="node-1")
        figures = {
            "metrics_us_per_greeting": _seconds(lambda: recorder._count(records, moved)) / BATCH * 1e6,  # noqa: SLF001
            "log_line_us_per_greeting": _seconds(lambda: say_what_became(records, moved)) / BATCH * 1e6,
            "scrape_ms": _seconds(lambda: encode(metrics.registry)) * 1e3,
        }
    sys.stdout.write(json.dumps({name: round(value, 2) for name, value in figures.items()}) + "\n")
    return 0


def _seconds(work: Callable[[], object]) -> float:
    """The median of the processor time that it takes."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return median(taken)


def _record() -> Record:
    claim = Claim(uuid4(), 2027, 1, 7)
    claimed = Claimed(claim, 1, AT, "birthday", "Ada", "Lovelace", "ada@example.com", "Hey, {full_name}")
    answer = Answer(Outcome.ACCEPTED, 0.012345678, 200)
    return Record(claimed, Result(claim, Status.SENT, answer, 0.0), Parcel(Delivery((claim.id,), None), 1))


def _unused() -> Any:
    """In the place of what is not asked."""
    return None


if __name__ == "__main__":
    raise SystemExit(main())
