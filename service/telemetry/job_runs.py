"""Records the runs of a job: outcome, duration, and the time of the last success."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.telemetry.metrics import Metrics

DONE = "done"
FAILED = "failed"


@dataclass
class JobRun:
    """One run; the job may set an outcome other than `done`."""

    outcome: str = DONE


@contextmanager
def job_run(metrics: Metrics, job: str) -> Iterator[JobRun]:
    """Record one run of `job`. It has failed when an exception or a cancellation leaves the block."""
    began = time.perf_counter()
    run = JobRun()
    try:
        yield run
    except BaseException:
        run.outcome = FAILED
        raise
    finally:
        if run.outcome != FAILED:
            metrics.job_success.labels(job).set_to_current_time()
        metrics.job_runs.labels(job, run.outcome).inc()
        metrics.job_duration.labels(job).observe(time.perf_counter() - began)
