"""`python -m loadtest.without_metrics run` is `heyday run` without metrics. The time that a wave saves is the cost of
metrics (`python -m loadtest.telemetry --waves 5`). It has no other use, because such a node cannot be watched.
"""

from __future__ import annotations

import sys
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from actors import cli
from actors.delivery.result_writer import ResultWriter


class _Nothing:
    """A series that counts nothing."""

    def inc(self, _amount: float = 1) -> None: ...

    def set(self, _value: float) -> None: ...

    def set_to_current_time(self) -> None: ...

    def observe(self, _amount: float) -> None: ...


def _nothing(*_: Any, **__: Any) -> Any:
    return _NOTHING


_NOTHING = _Nothing()


def main() -> int:
    """Run a command of heyday in which no metric counts anything."""
    for kind in (Counter, Gauge, Histogram):
        for method in ("labels", "inc", "set", "set_to_current_time", "observe"):
            if hasattr(kind, method):
                setattr(kind, method, _nothing)
    ResultWriter._count = _nothing  # type: ignore[method-assign]  # noqa: SLF001 - it only counts
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
